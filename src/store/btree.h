/* store/btree.h - the B+tree: variable-length keys in bytewise order, counted,
 * with the earliest expiry in every inner entry.
 *
 * Loop thread only.  A tree is a root page id and a version; whoever keeps
 * the tree keeps this struct.  Slices returned point into pages: borrowed
 * until the next write to the tree or the end of the command.
 *
 * Any call may return NQ_MISS (pages noted as wanted, see frames.h), or
 * NQ_ECORRUPT / NQ_EIO; then nothing was changed.  A put or del first
 * resolves every page it must have, then changes. */
#ifndef NQ_STORE_BTREE_H
#define NQ_STORE_BTREE_H

#include "base/rc.h"
#include "base/slice.h"
#include "store/pgno.h"

struct frames;

#define BTREE_MAX_KEY 65536
#define BTREE_MAX_HEIGHT 24

struct btree {
    struct frames *fr;
    pgno root;        /* 0: empty */
    uint64_t version; /* moves whenever records come, go or stand elsewhere;
                         validates cursors */
    uint64_t shape;   /* moves whenever keys change pages; validates fingers.
                         Change the root with btree_set_root() only. */
    pgno append_leaf; /* private: while keys are put behind all others */
    uint64_t append_shape;
    bool weighted; /* records stand for several elements: see the counts */
};

/* Another root, or none: fingers and cursors must notice. */
static inline void
btree_set_root(struct btree *t, pgno root)
{
    t->root = root;
    t->version++;
    t->shape++;
}

/* What a leaf keeps for a key.  `type` and `flags` are the caller's, except
 * that REC_EXPIRES is derived from expire_ms.  The tree never looks into
 * `val`. */
struct record {
    struct slice val;   /* at most btree_max_inline() bytes */
    uint64_t expire_ms; /* 0: never; below 2^48 */
    uint8_t type;       /* 4 bits */
    uint8_t flags;      /* 3 bits */
    lsn page_lsn;       /* out only: stamp of the leaf it was read from */
};

/* Where a key was found, or would be inserted.  While the tree's shape
 * stands, the leaf is the one for the key, and the slot is looked up again if
 * records moved.  Puts and deletes in a leaf with room keep all fingers good;
 * a split, merge or redistribution anywhere makes all of them void, which
 * does no harm.  All zero: none. */
struct btree_path;
struct finger {
    uint64_t version; /* the tree's shape; private, as are all but found */
    pgno root, leaf;
    uint16_t slot;
    bool found;
    struct btree_path *path; /* the owner's room, or NULL: with it, an insert
                                or delete need not descend again either */
};

/* The longest `val` kept in a leaf: a quarter of a page less overhead. */
uint32_t btree_max_inline(const struct btree *t);

/* NQ_OK or NQ_NOTFOUND; `f` (may be NULL), if good, is used, and set. */
NQ_MUST_USE nq_rc btree_get(struct btree *t, struct slice key,
                            struct record *out, struct finger *f);
/* Inserts or replaces.  rec->val may point into the tree's own pages.
 * NQ_EKEYLEN. */
NQ_MUST_USE nq_rc btree_put(struct btree *t, struct slice key,
                            const struct record *rec, struct finger *f);
NQ_MUST_USE nq_rc btree_del(struct btree *t, struct slice key,
                            struct finger *f); /* NQ_NOTFOUND */
/* The same; on_old (may be NULL) sees the record that is about to be replaced
 * or deleted, which may still fail. */
typedef void btree_old_fn(void *arg, const struct record *old);
NQ_MUST_USE nq_rc btree_put_told(struct btree *t, struct slice key,
                                 const struct record *rec, struct finger *f,
                                 btree_old_fn *on_old, void *arg);
NQ_MUST_USE nq_rc btree_del_told(struct btree *t, struct slice key,
                                 struct finger *f, btree_old_fn *on_old,
                                 void *arg);
/* Changes the value's bytes in place: only for a value that keeps its length
 * (a counter, a bit, a blob reference).  Returns where to write. */
NQ_MUST_USE nq_rc btree_patch(struct btree *t, struct slice key,
                              struct finger *f, uint8_t **val, size_t *len);
/* The same for the `val` that btree_get() just gave, through `f`, nothing
 * having been written to the tree since. */
uint8_t *btree_patch_got(struct btree *t, const struct finger *f,
                         struct slice val);

/* Interleaved lookups (DESIGN, the batch): descends for up to 64 keys in
 * lockstep, prefetching headers, heads and records; sets each finger; notes
 * every miss.  Returns the number of probes whose path is not resident. */
struct probe {
    struct btree *tree;
    struct slice key;
    struct finger *finger;
    bool missed; /* out */
};
unsigned btree_probe(struct probe *probes, unsigned n);

/* --- order ---------------------------------------------------------------
 * A cursor stands on a record or at an end.  After a change of the tree it
 * finds its place again by key; it keeps the key it stands on. */
struct btree_step { /* one page of a descent, and the slot taken there */
    pgno id;
    uint32_t slot;
};
struct btree_path {
    unsigned depth; /* at[0] is the root, at[depth - 1] the leaf */
    struct btree_step at[BTREE_MAX_HEIGHT];
};
struct btree_cursor {
    struct btree *tree;
    uint64_t version;
    pgno leaf;
    int32_t slot;
    bool valid;       /* stands on a record */
    struct slice key; /* full key, in memory owned by the cursor */
    uint8_t *key_buf; /* private, as all below */
    size_t key_cap;
    uint32_t val_off, val_len; /* of the record, in its leaf */
    uint64_t expire_ms;
    uint8_t meta;
    uint16_t ahead_lines; /* of the next leaf, to be fetched with each step */
    const uint8_t *ahead; /* in the next leaf; never read, only prefetched */
    struct btree_path path;
};
void btree_cursor_init(struct btree_cursor *c, struct btree *t);
void btree_cursor_fini(struct btree_cursor *c);
/* First record with a key >= key (or > key if `after`). */
NQ_MUST_USE nq_rc btree_seek(struct btree_cursor *c, struct slice key,
                             bool after);
/* Last record with a key <= key (or < key if `before`). */
NQ_MUST_USE nq_rc btree_seek_back(struct btree_cursor *c, struct slice key,
                                  bool before);
NQ_MUST_USE nq_rc btree_first(struct btree_cursor *c);
NQ_MUST_USE nq_rc btree_last(struct btree_cursor *c);
NQ_MUST_USE nq_rc btree_next(struct btree_cursor *c);
NQ_MUST_USE nq_rc btree_prev(struct btree_cursor *c);
NQ_MUST_USE nq_rc btree_record(struct btree_cursor *c, struct record *out);

/* A finger (with its path, if it has room for one) to the record that the
 * cursor stands on; not good if the tree was changed since. */
void btree_cursor_finger(const struct btree_cursor *c, struct finger *f);

/* Calls fn for the cursor's record and those behind it until it returns
 * false; the cursor then stands on that record, or at the end.  Twice as fast
 * as stepping.  fn must not change the tree.  After a failure the cursor
 * stands on the last record that fn has seen, or where it was. */
typedef bool btree_visit_fn(void *arg, struct slice key,
                            const struct record *rec);
NQ_MUST_USE nq_rc btree_visit(struct btree_cursor *c, btree_visit_fn *fn,
                              void *arg);

/* --- counts, O(log n) ------------------------------------------------------
 *
 * In a `weighted` tree a record stands for as many elements as its weight
 * says, and count, rank and nth count elements.  The weight is a
 * little-endian u16 of at least 1 at the start of the record's val; with
 * REC_OWNS the val is a reference, and the weight is 1.  Puts follow a weight
 * that changes; btree_patch() must leave it as it is.  The mark is not in the
 * pages: whoever keeps the tree sets it from its first record on, and always.
 * Only who does nothing but free all of a tree may leave it out. */
NQ_MUST_USE nq_rc btree_count(struct btree *t, uint64_t *out);
/* Records with keys below `key`. */
NQ_MUST_USE nq_rc btree_rank(struct btree *t, struct slice key, uint64_t *out);
/* Stands on the record of rank n, or invalid if there are not so many. */
NQ_MUST_USE nq_rc btree_nth(struct btree_cursor *c, uint64_t n);
/* About how many pages the tree has, from `samples` (at least 1) descents:
 * each multiplies the children of the pages it passes (Knuth, Estimating the
 * efficiency of backtrack programs, 1975). */
NQ_MUST_USE nq_rc btree_estimate_pages(struct btree *t, unsigned samples,
                                       uint64_t *out);
/* For weighted trees: stands on the record that has the element of rank n,
 * which is its element *within, from 0. */
NQ_MUST_USE nq_rc btree_nth_within(struct btree_cursor *c, uint64_t n,
                                   uint64_t *within);
/* How many records of keys in [lo, hi) are due at now_ms, that is, expire at
 * or before it; hi NULL: no end.
 * Work in proportion to what is due. */
NQ_MUST_USE nq_rc btree_count_due(struct btree *t, struct slice lo,
                                  const struct slice *hi, uint64_t now_ms,
                                  uint64_t *out);
/* The same of those for which fn() says so; it must not change the tree. */
typedef bool btree_due_fn(void *arg, const struct record *rec);
NQ_MUST_USE nq_rc btree_count_due_if(struct btree *t, struct slice lo,
                                     const struct slice *hi, uint64_t now_ms,
                                     btree_due_fn *fn, void *arg,
                                     uint64_t *out);
/* Stands on some record that is due at now_ms, or is invalid if there is
 * none; repairs expiry bounds that turned out too early on the way.
 * NQ_AGAIN: repaired many and found nothing yet; go on later. */
NQ_MUST_USE nq_rc btree_seek_due(struct btree_cursor *c, uint64_t now_ms);
/* Lower bound of the earliest expiry; 0 if nothing expires. */
NQ_MUST_USE nq_rc btree_earliest(struct btree *t, uint64_t *out);

/* --- whole subtrees ------------------------------------------------------ */
/* Detaches the keys of [lo, hi) and frees whole pages below inner entries
 * without visiting records; `on_record` (may be NULL) is called for each
 * record that owns a blob or a tree (flags & REC_OWNS).  Does about
 * `budget` pages of work; *done tells whether all of it is gone; *removed
 * counts records, or elements.  NQ_MISS keeps what was done. */
#define REC_OWNS 1 /* flag bit: the value refers to pages of its own */
NQ_MUST_USE nq_rc btree_del_range(struct btree *t, struct slice lo,
                                  const struct slice *hi, unsigned budget,
                                  void (*on_record)(void *arg,
                                                    const struct record *r),
                                  void *arg, uint64_t *removed, bool *done);

/* Frees all of it at once if it is one leaf that is in memory and owns
 * nothing; else false. */
bool btree_free_small(struct btree *t);

/* --- copying --------------------------------------------------------------
 * A tree whose records, if they own something, own blobs, is copied page by
 * page, its blobs with it.  The source must not change meanwhile.  Between
 * steps the copy so far is a tree, which may be freed in place of being
 * finished; nobody else may touch it before that. */
struct btree_clone *btree_clone_new(const struct btree *from);
/* About `pages` of work.  NQ_AGAIN: there is more.  NQ_MISS, and everything
 * else that a read says: the same step once more, or give up. */
NQ_MUST_USE nq_rc btree_clone_step(struct btree_clone *c, unsigned pages);
/* 0 as long as it has none; then it stays the same. */
pgno btree_clone_root(const struct btree_clone *c);
void btree_clone_free(struct btree_clone *c); /* not the pages */

#endif
