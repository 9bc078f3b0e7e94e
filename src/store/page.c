/* store/page.c - slotted pages: the header, space, leaves.  Inner pages are
 * in page_inner.c, mixing several pages in page_mix.c.
 *
 *   0   u8 kind, flags, shift, level | u16 count, capacity
 *   8   u32 data_off, garbage | u64 earliest
 *   24  u16 prefix_len, prefix_off | u16 run_slot, run_len
 *   32  u64 lsn
 *   40  u8 prefix[24]      a longer prefix stands among the records
 *   64  u32 head[capacity] four key bytes behind the prefix, as a number
 *       leaf:  u16 off[capacity]
 *       inner: u32 child[], u64 count[] (top bit: owns), u64 earliest[],
 *              u16 off[]   (each of `capacity`)
 *       free space
 *       records, from the end down
 *
 * A leaf record: varint length of the key's suffix and of the value, meta
 * byte (type 4 bits, flags 3, has expiry 1), [u48 expiry ms], suffix,
 * [tail: u32 chunk, u32 length of the whole key], value.
 * An inner entry's key: varint length of the suffix, suffix, [tail].
 * All numbers are in the machine's order, which is little-endian.
 *
 *   P1  prefix_len bytes are shared by the in-page parts of all keys (inner:
 *       of all but slot 0, which has no key); it may be less than possible
 *   P2  heads do not decrease; equal heads are ordered by their keys
 *   P3  records lie in [data_off, size), arrays below it; garbage + live
 *       record bytes (+ a long prefix) = size - data_off
 *   P4  a key has a tail if and only if its in-page part is longer than
 *       page_max_key()
 *
 * A page gets its prefix when it is written as a whole.  A key without it
 * lies before or behind all others; it shortens the prefix, if the longer
 * suffixes fit.
 *
 * Called by btree*.c on the loop thread, and by the reader of pages. */
#include "store/page.h"

#include "store/page_search.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "pages are little-endian"
#endif

_Static_assert(sizeof(struct page) == PAGE_HEADER, "page header");
_Static_assert(offsetof(struct page, lsn) == PAGE_LSN_OFFSET, "page lsn");
_Static_assert(offsetof(struct page, head) == PAGE_HEADER, "heads");

/* --- space --------------------------------------------------------------- */

size_t
page_used(const struct page *pg)
{
    return page_size(pg) - pg->data_off - pg->garbage +
           pg->count * page_slot_size(pg);
}

size_t
page_free(const struct page *pg)
{
    return page_size(pg) - PAGE_HEADER - page_used(pg);
}

void
page_init(struct page *pg, enum page_kind kind, unsigned shift, unsigned level,
          struct slice prefix)
{
    lsn stamp = pg->lsn;

    *pg = (struct page){.kind = (uint8_t)kind,
                        .shift = (uint8_t)shift,
                        .level = (uint8_t)level,
                        .data_off = 1u << shift,
                        .earliest = PAGE_NEVER,
                        .lsn = stamp,
                        .prefix_len = (uint16_t)prefix.len,
                        .prefix_off = offsetof(struct page, prefix)};
    if (prefix.len == 0)
        return;
    if (prefix.len > PAGE_INLINE_PREFIX) {
        pg->data_off -= (uint32_t)prefix.len;
        pg->prefix_off = (uint16_t)pg->data_off;
    }
    memcpy(page_at(pg, pg->prefix_off), prefix.p, prefix.len);
}

/* Moves the arrays apart for `capacity` slots; last ones first. */
static void
grow_slots(struct page *pg, unsigned capacity)
{
    uint8_t *base = page_at(pg, PAGE_HEADER);
    size_t old = pg->capacity, n = pg->count;

    if (pg->kind == PAGE_LEAF) {
        memmove(base + (size_t)4 * capacity, base + 4 * old, 2 * n);
    } else {
        memmove(base + (size_t)24 * capacity, base + 24 * old, 2 * n);
        memmove(base + (size_t)16 * capacity, base + 16 * old, 8 * n);
        memmove(base + (size_t)8 * capacity, base + 8 * old, 8 * n);
        memmove(base + (size_t)4 * capacity, base + 4 * old, 4 * n);
    }
    pg->capacity = (uint16_t)capacity;
}

bool
page_reserve(struct page *pg, size_t bytes)
{
    size_t slot = page_slot_size(pg);
    size_t arrays = PAGE_HEADER + slot * pg->capacity;
    size_t more;

    if (pg->count < pg->capacity)
        return arrays + bytes <= pg->data_off;
    if (arrays + slot + bytes > pg->data_off)
        return false;
    more = (pg->data_off - arrays - bytes) / slot;
    grow_slots(pg, (unsigned)(pg->capacity + nq_min(more, PAGE_GROW)));
    return true;
}

void
page_discard(struct page *pg, uint32_t off, size_t size)
{
    if (off == pg->data_off)
        pg->data_off += (uint32_t)size;
    else
        pg->garbage += (uint32_t)size;
}

void
page_open_slot(struct page *pg, unsigned slot)
{
    size_t n = pg->count - slot;
    uint16_t *off = page_offs_mut(pg) + slot;

    pg->count++;
    if (n == 0)
        return;
    memmove(pg->head + slot + 1, pg->head + slot, n * 4);
    memmove(off + 1, off, n * 2);
    if (pg->kind == PAGE_INNER) {
        pgno *child = page_children_mut(pg) + slot;
        uint64_t *count = page_counts_mut(pg) + slot;
        uint64_t *expiry = page_expiries_mut(pg) + slot;

        memmove(child + 1, child, n * 4);
        memmove(count + 1, count, n * 8);
        memmove(expiry + 1, expiry, n * 8);
    }
}

void
page_close_slot(struct page *pg, unsigned slot)
{
    size_t n = pg->count - slot - 1u;
    uint16_t *off = page_offs_mut(pg) + slot;

    memmove(pg->head + slot, pg->head + slot + 1, n * 4);
    memmove(off, off + 1, n * 2);
    if (pg->kind == PAGE_INNER) {
        pgno *child = page_children_mut(pg) + slot;
        uint64_t *count = page_counts_mut(pg) + slot;
        uint64_t *expiry = page_expiries_mut(pg) + slot;

        memmove(child, child + 1, n * 4);
        memmove(count, count + 1, n * 8);
        memmove(expiry, expiry + 1, n * 8);
    }
    pg->count--;
}

/* --- keys ---------------------------------------------------------------- */

void
page_key_at(const struct page *pg, unsigned slot, uint8_t *dst,
            struct page_key *out)
{
    uint32_t off = page_offs(pg)[slot];
    struct slice suffix;

    if (pg->kind == PAGE_LEAF) {
        struct page_record r;

        record_decode(pg, off, &r);
        suffix = r.suffix;
        out->len = r.key_len;
        out->tail = r.tail;
    } else if (slot == 0) {
        *out = (struct page_key){{dst, 0}, 0, 0};
        return;
    } else {
        entry_decode(pg, off, out);
        suffix = out->in;
    }
    memcpy(dst, page_prefix(pg).p, pg->prefix_len);
    memcpy(dst + pg->prefix_len, suffix.p, suffix.len);
    out->in = slice_of(dst, pg->prefix_len + suffix.len);
}

/* --- rebuilding ---------------------------------------------------------- */

size_t
page_size_with(const struct page *pg, size_t prefix_len)
{
    size_t sum = PAGE_HEADER + prefix_room(prefix_len);
    size_t slot = page_slot_size(pg);
    const uint16_t *off = page_offs(pg);

    for (unsigned i = 0; i < pg->count; i++) {
        sum += slot;
        if (pg->kind == PAGE_LEAF) {
            struct page_record r;

            record_decode(pg, off[i], &r);
            sum += leaf_record_size(pg->shift, pg->prefix_len + r.suffix.len,
                                    prefix_len, &r.v);
        } else if (i > 0) {
            struct page_key k;

            entry_decode(pg, off[i], &k);
            sum += entry_key_size(pg->shift, pg->prefix_len + k.in.len,
                                  prefix_len);
        }
    }
    return sum;
}

/* The first `len` bytes that the keys of the page share. */
static struct slice
prefix_of_first_key(const struct page *pg, size_t len, uint8_t *dst)
{
    unsigned slot = pg->kind == PAGE_INNER ? 1 : 0;
    struct page_key k;

    if (len <= pg->prefix_len)
        return slice_of(page_prefix(pg).p, len);
    page_key_at(pg, slot, dst, &k);
    return slice_of(dst, len);
}

void
page_rebuild(struct page *pg, size_t prefix_len, unsigned capacity)
{
    _Alignas(64) uint8_t bytes[1 << PAGE_MAX_SHIFT];
    uint8_t key[1 << (PAGE_MAX_SHIFT - 2)];
    struct page *old = (struct page *)(void *)bytes;

    memcpy(bytes, pg, page_size(pg));
    page_init(pg, old->kind, old->shift, old->level,
              prefix_of_first_key(old, prefix_len, key));
    pg->capacity = (uint16_t)capacity;
    pg->run_slot = old->run_slot;
    pg->run_len = old->run_len;
    if (pg->kind == PAGE_LEAF)
        page_append_range(pg, old, 0, old->count);
    else
        page_entries_append(pg, old, 0, old->count);
}

/* --- leaf records -------------------------------------------------------- */

void
page_record_at(const struct page *pg, unsigned slot, struct page_record *out)
{
    nq_dassert(pg->kind == PAGE_LEAF && slot < pg->count);
    record_decode(pg, page_offs(pg)[slot], out);
}

/* Everything of a record before its suffix. */
static uint8_t *
put_record_header(uint8_t *p, size_t suffix, const struct page_value *v)
{
    p = put_varint(p, suffix);
    p = put_varint(p, v->val.len);
    if (v->expire_ms == 0) {
        *p++ = v->meta & (uint8_t)~REC_EXPIRES;
        return p;
    }
    *p++ = v->meta | REC_EXPIRES;
    memcpy(p, &v->expire_ms, 6);
    return p + 6;
}

/* Writes a record of `size` bytes below data_off and returns its offset. */
static uint32_t
put_record(struct page *pg, const struct page_key *key,
           const struct page_value *v, size_t size)
{
    size_t suffix = key->in.len - pg->prefix_len;
    uint8_t *p;

    pg->data_off -= (uint32_t)size;
    p = put_record_header(page_at(pg, pg->data_off), suffix, v);
    memcpy(p, key->in.p + pg->prefix_len, suffix);
    p += suffix;
    if (nq_unlikely(page_key_is_long(pg->shift, key->in.len))) {
        pg->flags |= PAGE_LONG;
        memcpy(p, &key->tail, 4);
        memcpy(p + 4, &key->len, 4);
        p += TAIL_REF;
        if (key->tail != 0)
            pg->flags |= PAGE_OWNS;
    }
    if (v->val.len > 0)
        memcpy(p, v->val.p, v->val.len);
    return pg->data_off;
}

static void
note_value(struct page *pg, const struct page_value *v)
{
    if (v->expire_ms != 0 && v->expire_ms < pg->earliest)
        pg->earliest = v->expire_ms;
    if (PAGE_META_FLAGS(v->meta) & 1) /* REC_OWNS */
        pg->flags |= PAGE_OWNS;
}

void
page_append(struct page *pg, const struct page_key *key,
            const struct page_value *v)
{
    size_t size = leaf_record_size(pg->shift, key->in.len, pg->prefix_len, v);
    bool fits = page_reserve(pg, size);
    unsigned slot = pg->count;

    nq_assert(fits);
    page_offs_mut(pg)[slot] = (uint16_t)put_record(pg, key, v, size);
    pg->head[slot] =
        page_head_of(key->in.p + pg->prefix_len, key->in.len - pg->prefix_len);
    pg->count++;
    note_value(pg, v);
}

/* Where the parts of a record stand. */
struct parts {
    const uint8_t *start, *second; /* suffix length; value length */
    const uint8_t *suffix, *end;
    uint32_t suffix_len;
    uint8_t meta;
};

static inline void
take_apart(const struct page *pg, uint32_t off, struct parts *out)
{
    const uint8_t *p;
    uint32_t val;

    out->start = page_at_const(pg, off);
    out->second = get_varint(out->start, &out->suffix_len);
    p = get_varint(out->second, &val);
    out->meta = *p;
    out->suffix = p + (out->meta & REC_EXPIRES ? 7 : 1);
    out->end = out->suffix + out->suffix_len + val;
    if (nq_unlikely(page_is_long(pg, pg->prefix_len + out->suffix_len)))
        out->end += TAIL_REF;
}

static inline void
note_parts(struct page *pg, const struct page *src, const struct parts *r)
{
    if (r->meta & REC_EXPIRES) {
        uint64_t expire_ms = load_u48(r->suffix - 6);

        pg->earliest = nq_min(pg->earliest, expire_ms);
    }
    if (r->meta & PAGE_META(0, 1)) /* REC_OWNS */
        pg->flags |= PAGE_OWNS;
    if (nq_unlikely(page_is_long(src, src->prefix_len + r->suffix_len))) {
        uint32_t len;
        pgno tail;

        get_tail_ref(r->suffix + r->suffix_len, &tail, &len);
        pg->flags |= PAGE_LONG;
        if (tail != 0)
            pg->flags |= PAGE_OWNS;
    }
}

/* The prefix of the record's new page is shorter (more > 0: that many bytes
 * come back from the old prefix) or longer (less > 0: that many go). */
static uint8_t *
put_with_prefix(uint8_t *end, const struct parts *r, const uint8_t *back,
                size_t more, size_t less)
{
    size_t suffix = r->suffix_len + more - less;
    size_t fixed = (size_t)(r->suffix - r->second);
    size_t body = (size_t)(r->end - r->suffix) - less;
    uint8_t *p = end - body - more - fixed - short_varint_size(suffix), *q;

    q = put_varint(p, suffix);
    memcpy(q, r->second, fixed);
    if (more > 0)
        memcpy(q + fixed, back, more);
    memcpy(q + fixed + more, r->suffix + less, body);
    return p;
}

void
page_append_range(struct page *pg, const struct page *src, unsigned lo,
                  unsigned hi)
{
    const uint16_t *from = page_offs(src);
    uint16_t *to = page_offs_mut(pg) + pg->count;
    size_t common = nq_min(pg->prefix_len, src->prefix_len);
    size_t more = src->prefix_len - common, less = pg->prefix_len - common;
    const uint8_t *back = page_prefix(src).p + common;
    uint8_t *end = page_at(pg, pg->data_off);
    bool is_plain = src->flags == 0 && src->earliest == PAGE_NEVER;

    nq_dassert(pg->count + hi - lo <= pg->capacity);
    if (more == 0 && less == 0)
        memcpy(pg->head + pg->count, src->head + lo, 4 * (size_t)(hi - lo));
    for (unsigned i = lo; i < hi; i++) {
        struct parts r;

        take_apart(src, from[i], &r);
        if (nq_unlikely(!is_plain))
            note_parts(pg, src, &r);
        if (nq_likely(more == 0 && less == 0)) {
            end -= r.end - r.start;
            memcpy(end, r.start, (size_t)(r.end - r.start));
        } else {
            uint32_t suffix;

            end = put_with_prefix(end, &r, back, more, less);
            (void)get_varint(end, &suffix);
            pg->head[pg->count + i - lo] = page_head_of(
                end + short_varint_size(suffix) + (r.suffix - r.second),
                suffix);
        }
        *to++ = (uint16_t)(end - page_at(pg, 0));
    }
    pg->count = (uint16_t)(pg->count + hi - lo);
    pg->data_off = (uint32_t)(end - page_at(pg, 0));
    nq_assert(pg->data_off >= PAGE_HEADER + LEAF_SLOT * (size_t)pg->capacity);
}

uint32_t
page_record_sizes(const struct page *pg, uint32_t sum, uint32_t *sums)
{
    const uint16_t *off = page_offs(pg);

    for (unsigned i = 0; i < pg->count; i++) {
        struct parts r;

        take_apart(pg, off[i], &r);
        sum += LEAF_SLOT + (uint32_t)(r.end - r.start);
        sums[i] = sum;
    }
    return sum;
}

/* --- changing leaves ----------------------------------------------------- */

static bool
is_inside(const struct page *pg, struct slice s)
{
    return s.p >= (const uint8_t *)pg && s.p < page_at_const(pg, page_size(pg));
}

/* The prefix that the page would have with a key `in` added. */
static size_t
prefix_with(const struct page *pg, struct slice in)
{
    uint8_t buf[1 << (PAGE_MAX_SHIFT - 2)];
    struct page_key k;
    size_t n = in.len;

    page_key_at(pg, 0, buf, &k);
    n = bytes_common(k.in.p, k.in.len, in.p, n);
    page_key_at(pg, pg->count - 1u, buf, &k);
    return bytes_common(k.in.p, k.in.len, in.p, n);
}

/* Room for a record whose key's part is `in`, by another prefix or by
 * collecting garbage; moves records. */
static bool
make_room(struct page *pg, struct slice in, const struct page_value *v)
{
    bool fits_prefix = slice_has_prefix(in, page_prefix(pg));
    size_t prefix, need;

    if (pg->count == 0)
        return false;
    need = LEAF_SLOT + leaf_record_size(pg->shift, in.len,
                                        fits_prefix ? pg->prefix_len : 0, v);
    if (fits_prefix && page_free(pg) < need)
        return false;
    prefix = prefix_with(pg, in);
    need = LEAF_SLOT + leaf_record_size(pg->shift, in.len, prefix, v);
    if (page_size_with(pg, prefix) + need > page_size(pg))
        return false;
    page_rebuild(pg, prefix, pg->count + 1u);
    return true;
}

static void
note_run(struct page *pg, unsigned slot)
{
    if (slot == pg->run_slot + 1u)
        pg->run_len = (uint16_t)nq_min(pg->run_len + 1, UINT16_MAX);
    else
        pg->run_len = 0;
    pg->run_slot = (uint16_t)slot;
}

bool
page_insert(struct page *pg, unsigned slot, const struct page_key *key,
            const struct page_value *v)
{
    uint8_t copy[1 << (PAGE_MAX_SHIFT - 2)];
    struct page_value w = *v;
    size_t size;
    bool reserved;

    nq_dassert(pg->kind == PAGE_LEAF && slot <= pg->count);
    nq_dassert(key->in.len == key->len || key->tail != 0);
    if (pg->count == 0 &&
        (pg->prefix_len == 0 || !slice_has_prefix(key->in, page_prefix(pg))))
        page_init(pg, PAGE_LEAF, pg->shift, 0, key->in);
    size = slice_has_prefix(key->in, page_prefix(pg))
               ? leaf_record_size(pg->shift, key->in.len, pg->prefix_len, v)
               : page_size(pg);
    if (nq_unlikely(!page_reserve(pg, size))) {
        if (is_inside(pg, v->val)) {
            memcpy(copy, v->val.p, v->val.len);
            w.val.p = copy;
        }
        if (!make_room(pg, key->in, &w))
            return false;
        size = leaf_record_size(pg->shift, key->in.len, pg->prefix_len, v);
        reserved = page_reserve(pg, size);
        nq_assert(reserved);
    }
    page_open_slot(pg, slot);
    page_offs_mut(pg)[slot] = (uint16_t)put_record(pg, key, &w, size);
    pg->head[slot] =
        page_head_of(key->in.p + pg->prefix_len, key->in.len - pg->prefix_len);
    note_value(pg, v);
    note_run(pg, slot);
    return true;
}

/* The new value where the old record stands; it is not longer than that. */
static void
replace_in_place(struct page *pg, unsigned slot, const struct page_record *old,
                 size_t old_size, const struct page_value *v, size_t size)
{
    uint16_t *off = page_offs_mut(pg) + slot;
    uint8_t *p = page_at(pg, *off);
    size_t keep = (size_t)(old->v.val.p - old->suffix.p); /* with the tail */
    uint8_t header[16];
    size_t n = (size_t)(put_record_header(header, old->suffix.len, v) - header);

    memmove(p + n, old->suffix.p, keep);
    memcpy(p, header, n);
    if (v->val.len > 0)
        memmove(p + n + keep, v->val.p, v->val.len);
    pg->garbage += (uint32_t)(old_size - size);
}

/* The record's key does not move, so its slot keeps its head; only where its
 * bytes stand changes. */
static bool
replace_elsewhere(struct page *pg, unsigned slot, size_t old_size,
                  const struct page_value *v, size_t size)
{
    uint8_t buf[1 << (PAGE_MAX_SHIFT - 2)];
    struct page_key key;

    page_key_at(pg, slot, buf, &key);
    if (PAGE_HEADER + LEAF_SLOT * (size_t)pg->capacity + size > pg->data_off) {
        uint16_t run_slot = pg->run_slot, run_len = pg->run_len;
        bool fits;

        if (page_free(pg) + old_size < size)
            return false;
        page_remove(pg, slot);
        page_rebuild(pg, pg->prefix_len, pg->count + 1u);
        fits = page_insert(pg, slot, &key, v);
        nq_assert(fits);
        pg->run_slot = run_slot;
        pg->run_len = run_len;
        return true;
    }
    page_discard(pg, page_offs(pg)[slot], old_size);
    page_offs_mut(pg)[slot] = (uint16_t)put_record(pg, &key, v, size);
    return true;
}

bool
page_replace(struct page *pg, unsigned slot, const struct page_value *v)
{
    uint8_t copy[1 << (PAGE_MAX_SHIFT - 2)];
    struct page_value w = *v;
    struct page_record old;
    size_t in, size, old_size;

    page_record_at(pg, slot, &old);
    in = pg->prefix_len + old.suffix.len;
    size = leaf_record_size(pg->shift, in, pg->prefix_len, v);
    old_size = leaf_record_size(pg->shift, in, pg->prefix_len, &old.v);
    if (is_inside(pg, v->val) &&
        (v->val.p != old.v.val.p || v->val.len != old.v.val.len ||
         size != old_size)) {
        memcpy(copy, v->val.p, v->val.len);
        w.val.p = copy;
    }
    if (size <= old_size)
        replace_in_place(pg, slot, &old, old_size, &w, size);
    else if (!replace_elsewhere(pg, slot, old_size, &w, size))
        return false;
    note_value(pg, v);
    return true;
}

void
page_remove(struct page *pg, unsigned slot)
{
    struct page_record r;
    uint32_t off = page_offs(pg)[slot];
    const uint8_t *from = page_at_const(pg, off);

    nq_dassert(pg->kind == PAGE_LEAF && slot < pg->count);
    record_decode(pg, off, &r);
    page_discard(pg, off, (size_t)(r.v.val.p + r.v.val.len - from));
    page_close_slot(pg, slot);
    pg->run_len = 0;
    if (pg->count == 0)
        page_init(pg, PAGE_LEAF, pg->shift, 0, slice_of(NULL, 0));
}

/* --- hiding slots -------------------------------------------------------- */

/* Where the bytes of the slot's record or key begin and where its suffix
 * ends, which is where a tail is referred to; its size. */
static size_t
slot_size(const struct page *pg, unsigned slot, const uint8_t **suffix_end)
{
    uint32_t off = page_offs(pg)[slot];
    const uint8_t *from = page_at_const(pg, off);
    struct page_record r;
    struct page_key k;

    *suffix_end = NULL;
    if (pg->kind == PAGE_LEAF) {
        record_decode(pg, off, &r);
        *suffix_end = r.suffix.p + r.suffix.len;
        return (size_t)(r.v.val.p + r.v.val.len - from);
    }
    if (slot == 0)
        return 0;
    entry_decode(pg, off, &k);
    *suffix_end = k.in.p + k.in.len;
    return entry_key_size(pg->shift, pg->prefix_len + k.in.len, pg->prefix_len);
}

void
page_hide(struct page *pg, unsigned n)
{
    const uint8_t *end;

    for (; pg->count > n; pg->count--)
        pg->garbage += (uint32_t)slot_size(pg, pg->count - 1u, &end);
}

void
page_show(struct page *pg)
{
    const uint8_t *end;

    nq_assert(pg->count < pg->capacity);
    pg->garbage -= (uint32_t)slot_size(pg, pg->count, &end);
    pg->count++;
}

void
page_set_tail(struct page *pg, unsigned slot, pgno tail)
{
    const uint8_t *end;

    (void)slot_size(pg, slot, &end);
    nq_assert(end != NULL);
    memcpy(page_at(pg, (size_t)(end - page_at_const(pg, 0))), &tail, 4);
}

uint64_t
page_find_earliest(const struct page *pg)
{
    uint64_t min = PAGE_NEVER;
    struct page_record r;

    if (pg->kind == PAGE_INNER) {
        struct page_entry e;

        page_entry_total(pg, &e);
        return e.earliest;
    }
    for (unsigned i = 0; i < pg->count; i++) {
        page_record_at(pg, i, &r);
        if (r.v.expire_ms != 0)
            min = nq_min(min, r.v.expire_ms);
    }
    return min;
}
