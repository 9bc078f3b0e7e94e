/* store/btree_check.h - the whole of a tree against its invariants: for
 * NQ.CHECK, tools and tests.
 *
 * Loop thread only. */
#ifndef NQ_STORE_BTREE_CHECK_H
#define NQ_STORE_BTREE_CHECK_H

#include "store/btree.h"

struct btree_stats {
    uint64_t leaves, inners, records, used_bytes, page_bytes;
    unsigned height;
};
/* Walks the whole tree (tools and NQ.CHECK): order, fences, counts, expiry
 * bounds, fill.  `on_page` (may be NULL) sees each page id once.  NQ_ECORRUPT
 * after logging what is wrong. */
NQ_MUST_USE nq_rc btree_check(struct btree *t, struct btree_stats *stats,
                              void (*on_page)(void *arg, pgno id), void *arg);

/* What a page of a tree stands for: keys from `low` up to but not `high`.
 * Valid inside on_page and on_damage. */
struct btree_range {
    struct slice low, high; /* low is empty for the first */
    bool has_high;          /* false: up to the end */
    uint64_t rank, count;   /* elements before it, and in it, as parents tell;
                               count 0 of the root */
    unsigned level;         /* 0: a leaf; BTREE_MAX_HEIGHT: a root that cannot
                               be read */
    bool is_tail;           /* the end of a long key in that leaf */
};

/* The same, some pages at a time: NQ_AGAIN until all is seen.  The tree must
 * not change meanwhile; after NQ_MISS the step is taken again.  `opts` must
 * outlive the walk; each function may be NULL.  Records are told in order. */
struct btree_walk_opts {
    /* Each page of the tree once, tails of long keys included. */
    void (*on_page)(void *arg, pgno id);
    void (*on_record)(void *arg, const struct record *r);
    /* With it, damage does not end the walk: the page is left out, with what
     * is below it, and the walk goes on behind it.  `what` is wrong with the
     * page; NULL: it cannot be read (NQ_ECORRUPT or NQ_EIO). */
    void (*on_damage)(void *arg, pgno id, nq_rc rc, const char *what);
    void *arg;
    bool ignore_counts; /* of a tree that is being freed without its mark */
};
struct btree_walk *btree_walk_new(struct btree *t,
                                  const struct btree_walk_opts *opts);
NQ_MUST_USE nq_rc btree_walk_step(struct btree_walk *w, unsigned pages);
/* Of the page that was told last. */
void btree_walk_range(const struct btree_walk *w, struct btree_range *out);
/* The key of the record that was told last; of one whose tail is damaged the
 * beginning. */
struct slice btree_walk_key(const struct btree_walk *w);
/* Pages were left out: not all that the tree owns was told. */
bool btree_walk_has_gaps(const struct btree_walk *w);
void btree_walk_free(struct btree_walk *w, struct btree_stats *stats);

#endif
