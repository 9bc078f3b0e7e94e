/* store/page_find.c - looking a key up in one page.
 *
 * First the prefix, then a branchless search over the heads, which decides
 * unless some heads equal that of the key.  Among those a binary search
 * compares whole keys; only there can a tail be needed, if the in-page parts
 * are equal to the end.  Called for every level of every descent. */
#include "store/page.h"

#include "store/page_search.h"

struct lookup {
    const struct page *pg;
    const uint16_t *off;
    struct slice key;    /* all of it */
    struct slice suffix; /* of its in-page part, behind the page's prefix */
    page_tail_fn *tail;
    void *arg;
};

/* The whole key against one whose in-page part is a prefix of it. */
static nq_rc
compare_tail(const struct lookup *l, pgno tail, int *cmp)
{
    size_t skip = page_max_key(l->pg->shift) + 1;
    struct slice rest = {NULL, 0};
    nq_rc rc = tail == 0 ? NQ_OK : l->tail(l->arg, tail, &rest);

    if (rc == NQ_OK)
        *cmp =
            bytes_compare(rest.p, rest.len, l->key.p + skip, l->key.len - skip);
    return rc;
}

/* Key of `slot` against the key looked up; both have the prefix. */
static inline nq_rc
compare_slot(const struct lookup *l, unsigned slot, int *cmp)
{
    const struct page *pg = l->pg;
    const uint8_t *p = page_at_const(pg, l->off[slot]);
    uint32_t n, skip;

    p = get_varint(p, &n);
    if (pg->kind == PAGE_LEAF) {
        p = get_varint(p, &skip);
        p += *p & REC_EXPIRES ? 7 : 1;
    }
    if (nq_likely(!page_is_long(pg, pg->prefix_len + n))) {
        *cmp = bytes_compare(p, n, l->suffix.p, l->suffix.len);
        return NQ_OK;
    }
    *cmp = bytes_compare(p, n, l->suffix.p, l->suffix.len);
    if (*cmp == 0) {
        pgno tail;
        uint32_t len;

        get_tail_ref(p + n, &tail, &len);
        return compare_tail(l, tail, cmp);
    }
    return NQ_OK;
}

/* Among slots [lo, hi), whose heads are equal: the first with a key >= the
 * one looked up. */
static nq_rc
find_tied(const struct lookup *l, unsigned lo, unsigned hi, unsigned *slot,
          bool *found)
{
    *found = false;
    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;
        int c;
        nq_rc rc = compare_slot(l, mid, &c);

        if (rc != NQ_OK)
            return rc;
        if (c < 0) {
            lo = mid + 1;
        } else {
            *found |= c == 0;
            hi = mid;
        }
    }
    *slot = lo;
    return NQ_OK;
}

/* The end of the run of heads equal to `h` that begins at `lo`. */
static unsigned
end_of_ties(const struct page *pg, unsigned lo, uint32_t h)
{
    unsigned hi = lo + 1;

    if (hi >= pg->count || pg->head[hi] != h)
        return hi;
    if (h == UINT32_MAX)
        return pg->count;
    return hi + page_lower_bound(pg->head + hi, pg->count - hi, h + 1);
}

static struct lookup
lookup_of(const struct page *pg, struct slice key, page_tail_fn *tail,
          void *arg)
{
    return (struct lookup){.pg = pg,
                           .off = page_offs(pg),
                           .key = key,
                           .suffix = page_suffix_of(pg, key),
                           .tail = tail,
                           .arg = arg};
}

void
page_find_heads(const struct page *pg, struct slice key,
                struct page_guess *guess)
{
    int c = page_prefix_compare(pg, key);
    struct slice suffix;
    uint32_t h;

    if (nq_unlikely(c != 0)) {
        *guess = (struct page_guess){c < 0 ? 0 : pg->count, false};
        return;
    }
    suffix = page_suffix_of(pg, key);
    h = page_head_of(suffix.p, suffix.len);
    guess->slot = page_lower_bound(pg->head, pg->count, h);
    guess->is_tied = guess->slot < pg->count && pg->head[guess->slot] == h;
}

nq_rc
page_find_record(const struct page *pg, struct slice key,
                 const struct page_guess *guess, page_tail_fn *tail, void *arg,
                 unsigned *slot, bool *found)
{
    struct lookup l;

    *slot = guess->slot;
    *found = false;
    if (!guess->is_tied)
        return NQ_OK;
    l = lookup_of(pg, key, tail, arg);
    return find_tied(&l, *slot, end_of_ties(pg, *slot, pg->head[*slot]), slot,
                     found);
}

nq_rc
page_find(const struct page *pg, struct slice key, page_tail_fn *tail,
          void *arg, unsigned *slot, bool *found)
{
    struct page_guess guess;

    page_find_heads(pg, key, &guess);
    return page_find_record(pg, key, &guess, tail, arg, slot, found);
}

nq_rc
page_find_child_tied(const struct page *pg, struct slice key, unsigned lo,
                     page_tail_fn *tail, void *arg, unsigned *slot)
{
    struct lookup l = lookup_of(pg, key, tail, arg);
    unsigned end = end_of_ties(pg, lo, pg->head[lo]);
    bool found;
    nq_rc rc = find_tied(&l, lo, end, &lo, &found);

    *slot = found ? lo : lo - 1;
    return rc;
}

nq_rc
page_find_child(const struct page *pg, struct slice key, page_tail_fn *tail,
                void *arg, unsigned *slot)
{
    return page_find_child_inline(pg, key, tail, arg, slot);
}

nq_rc
page_compare(const struct page *pg, unsigned slot, struct slice key,
             page_tail_fn *tail, void *arg, int *cmp)
{
    int c = page_prefix_compare(pg, key);
    struct lookup l;

    if (nq_unlikely(c != 0)) {
        *cmp = -c;
        return NQ_OK;
    }
    l = lookup_of(pg, key, tail, arg);
    return compare_slot(&l, slot, cmp);
}
