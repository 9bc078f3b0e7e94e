/* store/btree_leaves.h - which leaves hold the keys of a range, as their
 * parents tell: for who reads whole leaves.
 *
 * Loop thread only.  The leaves need not be in memory. */
#ifndef NQ_STORE_BTREE_LEAVES_H
#define NQ_STORE_BTREE_LEAVES_H

#include "base/buf.h"
#include "store/btree.h"

#define BTREE_LEAVES_MAX 128u

struct btree_leaves {
    unsigned count; /* all below one parent */
    pgno ids[BTREE_LEAVES_MAX];
    bool is_end; /* no leaf behind them has keys of the range */
    /* Else keys from here on (back: below here) are in leaves behind them:
     * what is left of the range.  The caller's to free. */
    struct buf bound;
};

/* The first (back: last) leaves that may have keys of [lo, hi), in order, at
 * most `max`; hi NULL: no end.  out->bound is cleared, not freed.
 * NQ_NOTFOUND: the tree is empty. */
NQ_MUST_USE nq_rc btree_leaves(struct btree *t, struct slice lo,
                               const struct slice *hi, bool back, unsigned max,
                               struct btree_leaves *out);
/* One of them, if it is in memory: used as by a walk, which is no reason to
 * keep it.  NULL: it is not. */
const uint8_t *btree_leaf_visit(struct btree *t, pgno id);
/* Starts reading those of them that are on disk only. */
void btree_leaves_ahead(struct btree *t, const pgno *ids, unsigned n);

#endif
