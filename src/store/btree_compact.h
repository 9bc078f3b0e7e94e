/* store/btree_compact.h - packing a tree into as few pages as it needs.
 *
 * Loop thread only.  In slices: between two of them the tree may be read and
 * changed as ever, unless somebody reads it in slices of his own (a hold,
 * db/hold.h; a walk or a clone).  Nothing is logged, as no record changes; the
 * root's page stays the root, so whoever names the tree by it need not know.
 * Fingers and cursors notice as they notice a split. */
#ifndef NQ_STORE_BTREE_COMPACT_H
#define NQ_STORE_BTREE_COMPACT_H

#include "base/buf.h"
#include "store/btree.h"

/* Where a packing is; zeroed storage of the caller begins one. */
struct btree_compact {
    struct buf key; /* the first key that is still to be looked at */
    unsigned level; /* of the pages whose children are packed; 0: none yet */
    uint64_t seen;  /* leaves */
    uint64_t freed; /* pages */
};

/* Told of each record that owns something, perhaps more than once. */
typedef void btree_owner_fn(void *arg, struct slice key,
                            const struct record *rec);

/* One slice, some thirty leaves.  NQ_AGAIN: there is more.  NQ_MISS: pages
 * were noted; NQ_EPOOL and the other errors of reads: the slice can be taken
 * again, or the packing given up.  on_owner may be NULL. */
NQ_MUST_USE nq_rc btree_compact_step(struct btree *t, struct btree_compact *c,
                                     btree_owner_fn *on_owner, void *arg);
void btree_compact_fini(struct btree_compact *c);

#endif
