/* store/page_inner.c - inner pages: children, their counts and expiries, and
 * the keys that separate them.  The layout is at the top of page.c.
 *
 *   N1  slot 0 has no key (offset 0, head 0): it takes all keys below that
 *       of slot 1
 *   N2  all keys below child i are >= the key of slot i and < that of i + 1
 *
 * Called by btree*.c on the loop thread. */
#include "store/page.h"

#include "store/page_search.h"

#define COUNT_MASK (COUNT_OWNS - 1)
#define KEY_ROOM (1 << (PAGE_MAX_SHIFT - 2))

pgno
page_child(const struct page *pg, unsigned slot)
{
    nq_dassert(pg->kind == PAGE_INNER && slot < pg->count);
    return page_children(pg)[slot];
}

void
page_entry_at(const struct page *pg, unsigned slot, struct page_entry *out)
{
    uint64_t count = page_counts(pg)[slot];

    nq_dassert(pg->kind == PAGE_INNER && slot < pg->count);
    *out = (struct page_entry){.child = page_children(pg)[slot],
                               .count = count & COUNT_MASK,
                               .earliest = page_expiries(pg)[slot],
                               .owns = (count & COUNT_OWNS) != 0};
}

void
page_entry_set(struct page *pg, unsigned slot, const struct page_entry *e)
{
    nq_dassert(pg->kind == PAGE_INNER && slot < pg->count);
    page_children_mut(pg)[slot] = e->child;
    page_counts_mut(pg)[slot] = e->count | (e->owns ? COUNT_OWNS : 0);
    page_expiries_mut(pg)[slot] = e->earliest;
}

void
page_entry_add(struct page *pg, unsigned slot, int64_t count)
{
    nq_dassert(slot < pg->count);
    page_counts_mut(pg)[slot] += (uint64_t)count;
}

void
page_entry_total(const struct page *pg, struct page_entry *out)
{
    const uint64_t *count = page_counts(pg), *expiry = page_expiries(pg);
    uint64_t sum = 0, any = 0, min = PAGE_NEVER;

    for (unsigned i = 0; i < pg->count; i++) {
        sum += count[i] & COUNT_MASK;
        any |= count[i];
        min = nq_min(min, expiry[i]);
    }
    *out = (struct page_entry){
        .count = sum, .earliest = min, .owns = (any & COUNT_OWNS) != 0};
}

/* --- keys ---------------------------------------------------------------- */

/* Writes the key below data_off; returns its offset. */
static uint32_t
put_key(struct page *pg, const struct page_key *sep, size_t size)
{
    size_t suffix = sep->in.len - pg->prefix_len;
    uint8_t *p;

    pg->data_off -= (uint32_t)size;
    p = put_varint(page_at(pg, pg->data_off), suffix);
    memcpy(p, sep->in.p + pg->prefix_len, suffix);
    if (page_key_is_long(pg->shift, sep->in.len)) {
        pg->flags |= PAGE_LONG;
        memcpy(p + suffix, &sep->tail, 4);
        memcpy(p + suffix + 4, &sep->len, 4);
    }
    return pg->data_off;
}

static void
set_key(struct page *pg, unsigned slot, const struct page_key *sep)
{
    size_t size = entry_key_size(pg->shift, sep->in.len, pg->prefix_len);

    page_offs_mut(pg)[slot] = (uint16_t)put_key(pg, sep, size);
    pg->head[slot] =
        page_head_of(sep->in.p + pg->prefix_len, sep->in.len - pg->prefix_len);
}

static void
drop_key(struct page *pg, unsigned slot)
{
    uint32_t off = page_offs(pg)[slot];
    struct page_key k;

    if (off == 0)
        return;
    entry_decode(pg, off, &k);
    page_discard(
        pg, off,
        entry_key_size(pg->shift, pg->prefix_len + k.in.len, pg->prefix_len));
    page_offs_mut(pg)[slot] = 0;
    pg->head[slot] = 0;
}

/* --- room ---------------------------------------------------------------- */

/* The prefix that is left when `n` keys join. */
static size_t
common_prefix(const struct page *pg, const struct page_key *seps, unsigned n)
{
    struct slice prefix = page_prefix(pg);

    for (unsigned i = 0; i < n; i++)
        prefix.len =
            bytes_common(prefix.p, prefix.len, seps[i].in.p, seps[i].in.len);
    return prefix.len;
}

bool
page_entries_fit(const struct page *pg, const struct page_key *seps, unsigned n)
{
    size_t prefix = common_prefix(pg, seps, n), sum = 0;

    for (unsigned i = 0; i < n; i++)
        sum += INNER_SLOT + entry_key_size(pg->shift, seps[i].in.len, prefix);
    if (prefix == pg->prefix_len)
        return sum <= page_free(pg);
    return page_size_with(pg, prefix) + sum <= page_size(pg);
}

/* Room for one more key, and a slot if `slots`; keys may move. */
static bool
make_room(struct page *pg, const struct page_key *sep, unsigned slots)
{
    size_t prefix = common_prefix(pg, sep, 1);
    size_t need = entry_key_size(pg->shift, sep->in.len, prefix);
    bool reserved;

    if (prefix == pg->prefix_len) {
        size_t arrays = PAGE_HEADER + (size_t)INNER_SLOT * pg->capacity;

        if (slots > 0 ? page_reserve(pg, need) : arrays + need <= pg->data_off)
            return true;
        if (need + slots * INNER_SLOT > page_free(pg))
            return false;
    } else if (page_size_with(pg, prefix) + need + slots * INNER_SLOT >
               page_size(pg)) {
        return false;
    }
    page_rebuild(pg, prefix, pg->count + slots);
    reserved = slots == 0 || page_reserve(pg, need);
    nq_assert(reserved);
    return true;
}

/* --- changes ------------------------------------------------------------- */

static void
write_entry(struct page *pg, unsigned slot, const struct page_key *sep,
            const struct page_entry *e)
{
    page_open_slot(pg, slot);
    page_offs_mut(pg)[slot] = 0;
    pg->head[slot] = 0;
    if (slot > 0)
        set_key(pg, slot, sep);
    page_entry_set(pg, slot, e);
}

void
page_entry_append(struct page *pg, const struct page_key *sep,
                  const struct page_entry *e)
{
    size_t size = pg->count == 0
                      ? 0
                      : entry_key_size(pg->shift, sep->in.len, pg->prefix_len);
    bool reserved = page_reserve(pg, size);

    nq_assert(reserved);
    write_entry(pg, pg->count, sep, e);
}

void
page_entries_append(struct page *pg, const struct page *src, unsigned lo,
                    unsigned hi)
{
    uint8_t bytes[KEY_ROOM];
    struct page_entry e;
    struct page_key k;

    for (; lo < hi; lo++) {
        page_key_at(src, lo, bytes, &k);
        page_entry_at(src, lo, &e);
        page_entry_append(pg, &k, &e);
    }
}

/* The first key gives the page its prefix. */
static void
adopt_prefix(struct page *pg, const struct page_key *sep)
{
    struct page_entry first;

    page_entry_at(pg, 0, &first);
    page_init(pg, PAGE_INNER, pg->shift, pg->level, sep->in);
    page_entry_append(pg, NULL, &first);
}

bool
page_entry_insert(struct page *pg, unsigned slot, const struct page_key *sep,
                  const struct page_entry *e)
{
    nq_dassert(pg->kind == PAGE_INNER && slot <= pg->count);
    if (slot == 0) {
        nq_assert(pg->count == 0);
        page_entry_append(pg, NULL, e);
        return true;
    }
    if (pg->count == 1 &&
        (pg->prefix_len == 0 || !slice_has_prefix(sep->in, page_prefix(pg))))
        adopt_prefix(pg, sep);
    if (!make_room(pg, sep, 1))
        return false;
    write_entry(pg, slot, sep, e);
    return true;
}

/* --- whole pages --------------------------------------------------------- */

static struct slice
shared_by(const struct page_key *a, const struct page_key *b)
{
    size_t n = bytes_common(a->in.p, a->in.len, b->in.p, b->in.len);

    return slice_of(a->in.p, n);
}

void
page_entries_write(struct page *dst, const struct page *src, unsigned lo,
                   unsigned hi)
{
    uint8_t a[KEY_ROOM], b[KEY_ROOM];
    struct page_key first = {{NULL, 0}, 0, 0}, last = first;

    if (hi - lo > 1) {
        page_key_at(src, lo + 1, a, &first);
        page_key_at(src, hi - 1, b, &last);
    }
    page_init(dst, PAGE_INNER, src->shift, src->level,
              shared_by(&first, &last));
    dst->capacity = (uint16_t)(hi - lo);
    page_entries_append(dst, src, lo, hi);
}

bool
page_entries_join(struct page *dst, const struct page *a,
                  const struct page_key *sep, const struct page *b)
{
    uint8_t x[KEY_ROOM], y[KEY_ROOM];
    struct page_key first = *sep, last = *sep;
    struct page_entry e;
    struct slice prefix;
    size_t size;

    if (a->count > 1)
        page_key_at(a, 1, x, &first);
    if (b->count > 1)
        page_key_at(b, b->count - 1u, y, &last);
    prefix = shared_by(&first, &last);
    size = page_size_with(a, prefix.len) + page_size_with(b, prefix.len) +
           entry_key_size(a->shift, sep->in.len, prefix.len);
    if (size - PAGE_HEADER - prefix_room(prefix.len) > page_size(a))
        return false;
    page_init(dst, PAGE_INNER, a->shift, a->level, prefix);
    dst->capacity = (uint16_t)(a->count + b->count);
    page_entries_append(dst, a, 0, a->count);
    page_entry_at(b, 0, &e);
    page_entry_append(dst, sep, &e);
    page_entries_append(dst, b, 1, b->count);
    return true;
}

void
page_entry_remove(struct page *pg, unsigned slot)
{
    nq_dassert(pg->kind == PAGE_INNER && slot < pg->count);
    drop_key(pg, slot);
    if (slot == 0 && pg->count > 1)
        drop_key(pg, 1);
    page_close_slot(pg, slot);
}

bool
page_entry_rekey(struct page *pg, unsigned slot, const struct page_key *sep)
{
    nq_dassert(slot > 0 && slot < pg->count);
    if (!make_room(pg, sep, 0))
        return false;
    drop_key(pg, slot);
    set_key(pg, slot, sep);
    return true;
}
