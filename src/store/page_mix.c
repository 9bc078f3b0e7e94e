/* store/page_mix.c - taking leaves apart and writing them anew: splits,
 * redistribution and merges, all as "these records become those pages".
 *
 * The size of a page depends on the prefix that its first and last key share,
 * so sizes are computed, never estimated.  Called by btree_split.c and
 * btree_merge.c. */
#include "store/page_mix.h"

#include "store/page_int.h"

#define KEY_ROOM (1 << (PAGE_MAX_SHIFT - 2))

void
page_mix_clear(struct page_mix *m)
{
    m->sources = 0;
    m->records = 0;
}

void
page_mix_add(struct page_mix *m, const struct page *source)
{
    nq_assert(m->sources < nq_countof(m->source));
    m->start[m->sources] = m->records;
    m->source[m->sources++] = source;
    m->records += source->count;
    m->start[m->sources] = m->records;
}

unsigned
page_mix_count(const struct page_mix *m)
{
    return m->records + (m->changes && !m->replaces);
}

/* Where record `i` of the sequence stands; NULL: it is the change. */
static const struct page *
find(const struct page_mix *m, unsigned i, unsigned *slot)
{
    unsigned s = 0;

    if (m->changes && i >= m->at) {
        if (i == m->at)
            return NULL;
        i -= !m->replaces;
    }
    while (i >= m->start[s + 1])
        s++;
    *slot = i - m->start[s];
    return m->source[s];
}

void
page_mix_key(const struct page_mix *m, unsigned i, uint8_t *dst,
             struct page_key *out)
{
    unsigned slot;
    const struct page *pg = find(m, i, &slot);

    if (pg != NULL) {
        page_key_at(pg, slot, dst, out);
        return;
    }
    memcpy(dst, m->key.in.p, m->key.in.len);
    *out = m->key;
    out->in.p = dst;
}

/* How much the keys [lo, hi) share: as much as the first and the last. */
static size_t
common_prefix(const struct page_mix *m, unsigned lo, unsigned hi)
{
    uint8_t a[KEY_ROOM], b[KEY_ROOM];
    struct page_key x, y;

    page_mix_key(m, lo, a, &x);
    page_mix_key(m, hi - 1, b, &y);
    return bytes_common(x.in.p, x.in.len, y.in.p, y.in.len);
}

/* Slot and record of `i` under a prefix. */
static size_t
size_of(const struct page_mix *m, unsigned i, size_t prefix)
{
    unsigned slot;
    const struct page *pg = find(m, i, &slot);
    struct page_record r;

    if (pg == NULL)
        return LEAF_SLOT +
               leaf_record_size(m->shift, m->key.in.len, prefix, &m->value);
    record_decode(pg, page_offs(pg)[slot], &r);
    return LEAF_SLOT + leaf_record_size(m->shift, pg->prefix_len + r.suffix.len,
                                        prefix, &r.v);
}

bool
page_mix_fits(const struct page_mix *m, unsigned lo, unsigned hi)
{
    size_t prefix = common_prefix(m, lo, hi);
    size_t sum = PAGE_HEADER + prefix_room(prefix);
    size_t size = (size_t)1 << m->shift;

    for (unsigned i = lo; i < hi && sum <= size; i++)
        sum += size_of(m, i, prefix);
    return sum <= size;
}

bool
page_mix_cut(const struct page_mix *m, unsigned parts,
             unsigned cut[PAGE_MIX_MAX + 1])
{
    unsigned n = page_mix_count(m), part = 1;
    size_t prefix = common_prefix(m, 0, n), total = 0, sum = 0;

    for (unsigned i = 0; i < n; i++)
        total += size_of(m, i, prefix);
    cut[0] = 0;
    for (unsigned i = 0; i < n && part < parts; i++) {
        sum += size_of(m, i, prefix);
        if (sum >= total * part / parts)
            cut[part++] = i + 1;
    }
    while (part <= parts)
        cut[part++] = n;
    for (unsigned p = 0; p < parts; p++)
        if (cut[p] == cut[p + 1] || !page_mix_fits(m, cut[p], cut[p + 1]))
            return false;
    return true;
}

bool
page_mix_cut_at(const struct page_mix *m, unsigned at,
                unsigned cut[PAGE_MIX_MAX + 1])
{
    unsigned n = page_mix_count(m);

    if (at < 1 || at >= n || !page_mix_fits(m, 0, at) ||
        !page_mix_fits(m, at, n))
        return false;
    cut[0] = 0;
    cut[1] = at;
    cut[2] = n;
    return true;
}

/* A key without the others' prefix is best alone: tried before the search,
 * which is quadratic and finds something near the middle. */
bool
page_mix_cut_any(const struct page_mix *m, unsigned cut[PAGE_MIX_MAX + 1])
{
    unsigned n = page_mix_count(m), mid;

    if (n < 2)
        return false;
    if (page_mix_cut(m, 2, cut))
        return true;
    mid = nq_min(nq_max(cut[1], 1u), n - 1);
    if ((m->at == 0 && page_mix_cut_at(m, 1, cut)) ||
        (m->at == n - 1 && page_mix_cut_at(m, n - 1, cut)))
        return true;
    for (unsigned d = 0; d < n; d++)
        if ((d < mid && page_mix_cut_at(m, mid - d, cut)) ||
            page_mix_cut_at(m, mid + d, cut))
            return true;
    return false;
}

void
page_mix_write(const struct page_mix *m, unsigned lo, unsigned hi,
               struct page *dst)
{
    uint8_t buf[KEY_ROOM];
    struct page_key first;
    size_t prefix = common_prefix(m, lo, hi);

    page_mix_key(m, lo, buf, &first);
    first.in.len = prefix;
    page_init(dst, PAGE_LEAF, m->shift, 0, first.in);
    dst->capacity = (uint16_t)(hi - lo);
    for (unsigned i = lo; i < hi; i++) {
        unsigned slot;
        const struct page *pg = find(m, i, &slot);

        if (pg == NULL)
            page_append(dst, &m->key, &m->value);
        else
            page_append_from(dst, pg, slot);
    }
}
