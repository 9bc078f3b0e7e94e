/* store/page_mix.c - taking leaves apart and writing them anew: splits,
 * redistribution and merges, all as "these records become those pages".
 *
 * One pass measures the records as they stand, with their page's prefix.
 * What a piece of the sequence takes in a page of its own is bounded from
 * that: its keys share what the first and the last share; if that is less
 * than a source's prefix, each record of that source grows by the difference.
 *
 * Why one leaf and a change can always be cut in two: a key with the leaf's
 * prefix makes two pages of at most size - header bytes, as no record is
 * longer than five twelfths of a page; a key without it is the first or the
 * last, and may stand alone.
 *
 * Called by btree_split.c and btree_merge.c. */
#include "store/page_mix.h"

#include "store/page_search.h"

#define KEY_ROOM (1 << (PAGE_MAX_SHIFT - 2))

void
page_mix_init(struct page_mix *m, unsigned shift)
{
    m->shift = shift;
    m->sources = 0;
    m->records = 0;
    m->changes = false;
    m->replaces = false;
    m->at = 0;
}

unsigned
page_mix_count(const struct page_mix *m)
{
    return m->records + (m->changes && !m->replaces);
}

/* The change's record, its key as long as can be. */
static uint32_t
change_size(const struct page_mix *m)
{
    return LEAF_SLOT +
           (uint32_t)leaf_record_size(m->shift, m->key.in.len, 0, &m->value);
}

void
page_mix_sources(struct page_mix *m, const struct page *a, const struct page *b)
{
    uint32_t *sum = m->sum + 1, total, size, old;
    unsigned n;

    m->sources = b == NULL ? 1 : 2;
    m->source[0] = a;
    m->source[1] = b;
    m->records = a->count + (b == NULL ? 0u : b->count);
    m->sum[0] = 0;
    total = page_record_sizes(a, 0, sum);
    if (b != NULL)
        page_record_sizes(b, total, sum + a->count);
    if (!m->changes)
        return;
    n = page_mix_count(m);
    size = change_size(m);
    old = m->replaces ? sum[m->at] - m->sum[m->at] : 0;
    for (unsigned i = n; i-- > m->at;)
        sum[i] = (m->replaces ? sum[i] : m->sum[i]) + size - old;
}

/* The records of the sources that the sequence's [lo, hi) covers: how many
 * come before `i`. */
static unsigned
index_of(const struct page_mix *m, unsigned i)
{
    return m->changes && !m->replaces && i > m->at ? i - 1 : i;
}

/* Where record `i` of the sequence stands; NULL: it is the change. */
static const struct page *
find(const struct page_mix *m, unsigned i, unsigned *slot)
{
    unsigned s;

    if (m->changes && i == m->at)
        return NULL;
    i = index_of(m, i);
    s = i >= m->source[0]->count;
    *slot = s == 0 ? i : i - m->source[0]->count;
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

/* What the keys [lo, hi) share, in `dst`: as much as the first and the last. */
static struct slice
common_prefix(const struct page_mix *m, unsigned lo, unsigned hi, uint8_t *dst)
{
    uint8_t last[KEY_ROOM];
    struct page_key x, y;

    page_mix_key(m, lo, dst, &x);
    page_mix_key(m, hi - 1, last, &y);
    return slice_of(dst, bytes_common(x.in.p, x.in.len, y.in.p, y.in.len));
}

bool
page_mix_fits(const struct page_mix *m, unsigned lo, unsigned hi)
{
    uint8_t bytes[KEY_ROOM];
    size_t prefix = common_prefix(m, lo, hi, bytes).len;
    size_t bound = PAGE_HEADER + prefix_room(prefix) + m->sum[hi] - m->sum[lo];
    unsigned from = index_of(m, lo), to = index_of(m, hi), start = 0;

    for (unsigned s = 0; s < m->sources; s++) {
        const struct page *pg = m->source[s];
        unsigned end = start + pg->count;
        unsigned a = nq_max(from, start), b = nq_min(to, end);

        /* one byte more where the suffix's length needs another */
        if (a < b && pg->prefix_len > prefix)
            bound += (size_t)(b - a) * (pg->prefix_len - prefix + 1);
        start = end;
    }
    return bound <= (size_t)1 << m->shift;
}

bool
page_mix_cut_at(const struct page_mix *m, unsigned at,
                unsigned cut[PAGE_MIX_PARTS + 1])
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

/* The first record that begins at or behind `bytes`. */
static unsigned
find_sum(const struct page_mix *m, uint64_t bytes)
{
    unsigned lo = 0, hi = page_mix_count(m);

    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;

        if (m->sum[mid] < bytes)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

bool
page_mix_cut(const struct page_mix *m, unsigned parts,
             unsigned cut[PAGE_MIX_PARTS + 1])
{
    unsigned n = page_mix_count(m);

    cut[0] = 0;
    cut[parts] = n;
    for (unsigned p = 1; p < parts; p++)
        cut[p] = find_sum(m, (uint64_t)m->sum[n] * p / parts);
    for (unsigned p = 0; p < parts; p++)
        if (cut[p] >= cut[p + 1] || !page_mix_fits(m, cut[p], cut[p + 1]))
            return false;
    return true;
}

/* A key without the others' prefix is best alone; else something near the
 * middle fits. */
bool
page_mix_cut_any(const struct page_mix *m, unsigned cut[PAGE_MIX_PARTS + 1])
{
    unsigned n = page_mix_count(m), mid;

    if (n < 2)
        return false;
    if (page_mix_cut(m, 2, cut))
        return true;
    if ((m->at == 0 && page_mix_cut_at(m, 1, cut)) ||
        (m->at == n - 1 && page_mix_cut_at(m, n - 1, cut)))
        return true;
    mid = find_sum(m, m->sum[n] / 2);
    for (unsigned d = 0; d < n; d++)
        if ((d < mid && page_mix_cut_at(m, mid - d, cut)) ||
            page_mix_cut_at(m, mid + d, cut))
            return true;
    return false;
}

/* Records [lo, hi) of the sources. */
static void
append_sources(const struct page_mix *m, unsigned lo, unsigned hi,
               struct page *dst)
{
    unsigned start = 0;

    for (unsigned s = 0; s < m->sources; s++) {
        const struct page *pg = m->source[s];
        unsigned a = nq_max(lo, start), b = nq_min(hi, start + pg->count);

        if (a < b)
            page_append_range(dst, pg, a - start, b - start);
        start += pg->count;
    }
}

void
page_mix_write(const struct page_mix *m, unsigned lo, unsigned hi,
               struct page *dst)
{
    bool has_change = m->changes && m->at >= lo && m->at < hi;
    unsigned from = index_of(m, lo), to = index_of(m, hi);
    uint8_t bytes[KEY_ROOM];
    struct slice prefix = common_prefix(m, lo, hi, bytes);

    if (has_change && hi - lo == 1) {
        struct slice guess = page_prefix(m->source[0]);

        prefix.len = bytes_common(prefix.p, prefix.len, guess.p, guess.len);
    }
    page_init(dst, PAGE_LEAF, m->shift, 0, prefix);
    dst->capacity = (uint16_t)(hi - lo);
    if (!has_change) {
        append_sources(m, from, to, dst);
        return;
    }
    append_sources(m, from, m->at, dst);
    page_append(dst, &m->key, &m->value);
    append_sources(m, m->at + m->replaces, to, dst);
}
