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

/* The same, some pages at a time: NQ_AGAIN until all is seen.  The tree must
 * not change meanwhile; after NQ_MISS the step is taken again.  `opts` must
 * outlive the walk; either function may be NULL.  Records are told in
 * order. */
struct btree_walk_opts {
    void (*on_page)(void *arg, pgno id);
    void (*on_record)(void *arg, const struct record *r);
    void *arg;
    bool ignore_counts; /* of a tree that is being freed without its mark */
};
struct btree_walk *btree_walk_new(struct btree *t,
                                  const struct btree_walk_opts *opts);
NQ_MUST_USE nq_rc btree_walk_step(struct btree_walk *w, unsigned pages);
void btree_walk_free(struct btree_walk *w, struct btree_stats *stats);

#endif
