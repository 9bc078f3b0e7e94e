/* store/pin_tree.h - trees and blobs as a pinned checkpoint has them, read
 * from the data file into memory of their own.
 *
 * Any one thread at a time, between pin_enter() and pin_leave().  Nothing of
 * the frame pool is touched.  All that reads may say NQ_ECORRUPT or NQ_EIO.
 * Slices are borrowed until the next call with the same reader. */
#ifndef NQ_STORE_PIN_TREE_H
#define NQ_STORE_PIN_TREE_H

#include "store/blob.h"
#include "store/btree.h"
#include "store/pin.h"

/* One place in one tree: a page of each level, and a key. */
struct pin_tree;

/* root 0: an empty tree. */
struct pin_tree *pin_tree_new(struct pin *p, pgno root);
void pin_tree_free(struct pin_tree *t); /* of NULL: does nothing */
/* Another tree of the same checkpoint, with the memory of this one. */
void pin_tree_reset(struct pin_tree *t, pgno root);

/* First record with a key >= key (> key if `after`), the last one with a key
 * <= key (< key if `before`), and the ends.  NQ_NOTFOUND: there is none. */
NQ_MUST_USE nq_rc pin_tree_seek(struct pin_tree *t, struct slice key,
                                bool after);
NQ_MUST_USE nq_rc pin_tree_seek_back(struct pin_tree *t, struct slice key,
                                     bool before);
NQ_MUST_USE nq_rc pin_tree_first(struct pin_tree *t);
NQ_MUST_USE nq_rc pin_tree_last(struct pin_tree *t);
/* To the neighbour of the record that it stands on.  NQ_NOTFOUND: there is
 * none, and it stands nowhere. */
NQ_MUST_USE nq_rc pin_tree_next(struct pin_tree *t);
NQ_MUST_USE nq_rc pin_tree_prev(struct pin_tree *t);
/* The record that it stands on. */
NQ_MUST_USE nq_rc pin_tree_record(struct pin_tree *t, struct slice *key,
                                  struct record *rec);

/* Records with keys below `key`; all of them.  Moves it off its place. */
NQ_MUST_USE nq_rc pin_tree_rank(struct pin_tree *t, struct slice key,
                                uint64_t *out);
NQ_MUST_USE nq_rc pin_tree_count(struct pin_tree *t, uint64_t *out);

/* The blob's bytes: `dst` has room for ref->len. */
NQ_MUST_USE nq_rc pin_tree_blob(struct pin_tree *t, const struct blob_ref *ref,
                                uint8_t *dst);

#endif
