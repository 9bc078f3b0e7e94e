/* store/page_search.h - comparing and searching inside one page, inline:
 * every level of every descent goes through here.  Private to page*.c and to
 * the hot paths of btree*.c. */
#ifndef NQ_STORE_PAGE_SEARCH_H
#define NQ_STORE_PAGE_SEARCH_H

#include "store/page_int.h"

/* --- heads --------------------------------------------------------------- */

/* Four key bytes as a number that orders as they do; short keys are padded
 * with zeros. */
static inline uint32_t
page_head_of(const uint8_t *p, size_t len)
{
    uint32_t v = 0;

    if (nq_likely(len >= 4)) {
        memcpy(&v, p, 4);
        return __builtin_bswap32(v);
    }
    for (size_t i = 0; i < len; i++)
        v |= (uint32_t)p[i] << (24 - 8 * i);
    return v;
}

/* How many of the `n` heads are below `h`.  The steps depend on n alone and
 * the choice is arithmetic, so nothing is mispredicted; a compiler that saw a
 * condition would make a branch of it. */
static inline unsigned
page_lower_bound(const uint32_t *head, unsigned n, uint32_t h)
{
    size_t at = 0;

    if (n == 0)
        return 0;
    while (n > 1) {
        unsigned half = n / 2;

        at += half & (0 - (size_t)(head[at + half - 1] < h));
        n -= half;
    }
    return (unsigned)(at + (head[at] < h));
}

/* --- keys ---------------------------------------------------------------- */

static inline uint64_t
load_be64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, 8);
    return __builtin_bswap64(v);
}

/* memcmp order, a prefix first; quick for short keys. */
static inline int
bytes_compare(const uint8_t *a, size_t an, const uint8_t *b, size_t bn)
{
    size_t n = an < bn ? an : bn;

    while (n >= 8) {
        uint64_t x = load_be64(a), y = load_be64(b);

        if (x != y)
            return x < y ? -1 : 1;
        a += 8;
        b += 8;
        n -= 8;
        an -= 8;
        bn -= 8;
    }
    for (size_t i = 0; i < n; i++)
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    return an < bn ? -1 : an > bn;
}

static inline size_t
bytes_common(const uint8_t *a, size_t an, const uint8_t *b, size_t bn)
{
    size_t n = an < bn ? an : bn, i = 0;

    while (i < n && a[i] == b[i])
        i++;
    return i;
}

static inline uint64_t
load_u64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, 8);
    return v;
}

/* `key` against the page's prefix: 0 if it has it.  Prefixes up to 16 bytes
 * and keys of at least that length take two masked words and no loop; the
 * bytes behind a short prefix belong to the header. */
static inline int
page_prefix_compare(const struct page *pg, struct slice key)
{
    size_t n = pg->prefix_len;
    const uint8_t *p = page_at_const(pg, pg->prefix_off);
    int c;

    if (nq_likely(n <= 16 && key.len >= 16)) {
        uint64_t a = load_u64(key.p) ^ load_u64(p);
        uint64_t b = load_u64(key.p + 8) ^ load_u64(p + 8);
        uint64_t last = n % 8 == 0 ? 0 : ~(uint64_t)0 >> (64 - 8 * (n % 8));

        if (n < 8)
            a &= last;
        b = n < 8 ? 0 : n < 16 ? b & last : b;
        if (nq_likely((a | b) == 0))
            return 0;
    }
    c = bytes_compare(key.p, nq_min(key.len, n), p, n);
    return c;
}

/* --- searching ----------------------------------------------------------- */

/* What the page would hold of a key that has its prefix. */
static inline struct slice
page_suffix_of(const struct page *pg, struct slice key)
{
    size_t in = key.len;

    if (nq_unlikely(pg->flags & PAGE_LONG))
        in = nq_min(in, (size_t)page_max_key(pg->shift) + 1);
    return slice_of(key.p + pg->prefix_len, in - pg->prefix_len);
}

/* page_find_child() where the head of `lo` equals that of the key. */
NQ_MUST_USE nq_rc page_find_child_tied(const struct page *pg, struct slice key,
                                       unsigned lo, page_tail_fn *tail,
                                       void *arg, unsigned *slot);

static inline NQ_MUST_USE nq_rc
page_find_child_inline(const struct page *pg, struct slice key,
                       page_tail_fn *tail, void *arg, unsigned *slot)
{
    unsigned n = pg->count, lo;
    int c = page_prefix_compare(pg, key);
    struct slice suffix;
    uint32_t h;

    if (nq_unlikely(c != 0 || n <= 1)) {
        *slot = c < 0 || n <= 1 ? 0 : n - 1;
        return NQ_OK;
    }
    suffix = page_suffix_of(pg, key);
    h = page_head_of(suffix.p, suffix.len);
    lo = 1 + page_lower_bound(pg->head + 1, n - 1, h);
    *slot = lo - 1;
    if (nq_likely(lo == n || pg->head[lo] != h))
        return NQ_OK;
    return page_find_child_tied(pg, key, lo, tail, arg, slot);
}

#endif
