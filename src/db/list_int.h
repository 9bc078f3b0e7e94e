/* db/list_int.h - what the files of the list share; lists.c tells the layout.
 */
#ifndef NQ_DB_LIST_INT_H
#define NQ_DB_LIST_INT_H

#include "db/db_int.h"
#include "db/hold.h"
#include "db/lists.h"
#include "db/list_piece.h"
#include "store/corrupt.h"

#define LIST_DAMAGED() NQ_CORRUPT("a list's bytes do not fit together")

#define LIST_HEADER 12
#define LIST_TRAILER 16
#define LIST_RECORD_MAX 1984 /* bytes of a record's value, at most */
#define LIST_CHUNK_HEADER 2
#define LIST_LABEL 8
#define LIST_LABEL_STEP (UINT64_C(1) << 24) /* between labels at the ends */

/* --- list_record.c: the record ------------------------------------------- */

/* What a record says.  Offsets are those in its value. */
struct list_shape {
    uint32_t room; /* elements stand in [LIST_HEADER, room) */
    uint32_t start, mid, end;
    uint32_t head_n, tail_n; /* in [start, mid) and [mid, end) */
    bool is_quick, has_tree;
    uint32_t lp_bytes; /* of a tree that is not quick: as a listpack */
    uint64_t tree_n;
    pgno root;
};

NQ_MUST_USE nq_rc list_shape_of(const struct record *rec,
                                struct list_shape *out);
/* Header and, if there is a tree, trailer. */
void list_shape_put(uint8_t *val, size_t len, const struct list_shape *s);

static inline uint64_t
list_shape_count(const struct list_shape *s)
{
    return s->head_n + s->tree_n + s->tail_n;
}

/* How much a record, an element and a chunk may take at this page size. */
struct list_sizes {
    uint32_t record; /* of a value, at most, and always if there is a tree */
    uint32_t area;   /* of the elements in a record that has a tree */
    uint32_t elem;   /* longer elements are blobs */
    uint32_t chunk;  /* of the elements in a chunk; one alone may be longer */
};
struct list_sizes list_sizes_of(const struct btree *t);

/* Does a list of `count` elements and `bytes` of listpack pass the limit of
 * the setting?  `half`: of half of it, as when a list shrinks. */
bool list_is_over_limit(struct db *db, uint64_t bytes, uint64_t count,
                        bool half);

/* --- list_work.c: a list being changed ----------------------------------- */

/* The record's elements stand in `area`, the rest in the tree.  All steps
 * leave the whole consistent, so what was done before one failed is good. */
struct list_work {
    struct db *db;
    uint32_t dbi;
    struct slice key;
    struct entry *old;
    struct list_sizes sizes;
    struct btree tree;
    uint64_t tree_n;
    bool found, is_quick;
    bool is_shrinking; /* elements go: it may become a listpack again */
    bool lp_unknown;   /* lp_bytes is to be found out */
    bool was_blocking;
    enum list_end lean; /* where room is wanted */
    uint64_t lp_bytes;
    uint64_t tree_was; /* when it began */
    pgno root_was;
    uint32_t start, mid, end, head_n, tail_n;
    uint8_t area[LIST_RECORD_MAX];
};

/* Reads the record; NQ_EHELD.  Changes nothing. */
NQ_MUST_USE nq_rc list_work_open(struct db *db, uint32_t dbi, struct slice key,
                                 struct entry *old, bool found,
                                 struct list_work *w);
/* Everything is at hand: from here on missing pages are read on the spot. */
void list_work_begin(struct list_work *w);
/* Writes the record, or removes the key, and logs the effect; ends what begin
 * began.  *is_gone may be NULL. */
NQ_MUST_USE nq_rc list_work_commit(struct list_work *w, uint8_t effect,
                                   const struct slice *args, unsigned nargs,
                                   bool *is_gone);
/* Instead, when a step failed: elements may have gone from the record to the
 * tree or back, but none is lost.  Returns `why`. */
NQ_MUST_USE nq_rc list_work_give_up(struct list_work *w, nq_rc why);

static inline uint64_t
list_work_count(const struct list_work *w)
{
    return w->head_n + w->tree_n + w->tail_n;
}

static inline uint32_t
list_work_free(const struct list_work *w)
{
    return w->sizes.area - (w->end - w->start);
}

static inline struct slice
list_work_run(const struct list_work *w)
{
    return slice_of(w->area, w->end);
}

/* `was` bytes at `at` of that part make way for `now` others; there is room
 * for them.  Returns where they go. */
uint8_t *list_work_splice(struct list_work *w, enum list_end part, uint32_t at,
                          uint32_t was, uint32_t now);
/* An outermost element, for which there is room. */
void list_work_push(struct list_work *w, enum list_end part, struct slice elem);
/* Where element `i` of the area begins, and what it is. */
NQ_MUST_USE nq_rc list_work_find(const struct list_work *w, uint64_t i,
                                 uint32_t *at, struct piece *out);
/* Elements of `raw` bytes are to come: will it be a listpack no more? */
void list_work_grow(struct list_work *w, uint64_t raw, uint64_t n);
/* If there is no tree: all elements belong to that part. */
void list_work_join(struct list_work *w, enum list_end part);
/* n elements, or all, go from that end. */
NQ_MUST_USE nq_rc list_work_shed(struct list_work *w, enum list_end end,
                                 uint64_t n);
/* Up to n elements of the part go, from its outer end. */
NQ_MUST_USE nq_rc list_work_cut(struct list_work *w, enum list_end part,
                                uint64_t n);
/* Room for `need` bytes in the area, for which elements may go to the tree. */
NQ_MUST_USE nq_rc list_work_need(struct list_work *w, uint32_t need);

/* --- list_tree.c: chunks ------------------------------------------------- */

void list_label_put(uint8_t dst[LIST_LABEL], uint64_t label);
/* Of the record that the cursor stands on. */
NQ_MUST_USE nq_rc list_label_of(const struct btree_cursor *c, uint64_t *label);
/* The elements of a chunk. */
NQ_MUST_USE nq_rc list_chunk_read(const struct record *rec, struct slice *run,
                                  uint32_t *n);
/* Notes the pages for element `i` of the tree (the last one, if there are not
 * so many); for both ends. */
NQ_MUST_USE nq_rc list_tree_want(struct list_work *w, uint64_t i);
NQ_MUST_USE nq_rc list_tree_want_ends(struct list_work *w);
/* The innermost elements of the part become a chunk of the tree. */
NQ_MUST_USE nq_rc list_tree_spill(struct list_work *w, enum list_end part);
/* The outermost chunk of the tree goes innermost into the part.  Not for a
 * blob. */
NQ_MUST_USE nq_rc list_tree_pull(struct list_work *w, enum list_end part);
/* A new outermost record. */
NQ_MUST_USE nq_rc list_tree_push(struct list_work *w, enum list_end end,
                                 const struct record *rec, uint32_t n);
/* n elements go from that end of the tree, which has as many, while the part
 * there is empty. */
NQ_MUST_USE nq_rc list_tree_cut(struct list_work *w, enum list_end end,
                                uint64_t n);
/* A tree of few elements goes into the record if that has room. */
NQ_MUST_USE nq_rc list_tree_settle(struct list_work *w);
/* Adds what the elements of the tree take in a listpack. */
NQ_MUST_USE nq_rc list_tree_count_listpack(struct list_work *w);

/* --- list_chunk.c: changes inside of the tree ---------------------------- */

/* Spreads the labels around `label`, so that there are some in between. */
NQ_MUST_USE nq_rc list_tree_relabel(struct list_work *w, uint64_t label);

/* The element at `i` of the tree becomes `elem`; or, `insert`, `elem` comes
 * before it, or behind the last one. */
NQ_MUST_USE nq_rc list_chunk_edit(struct list_work *w, uint64_t i,
                                  struct slice elem, bool insert);

/* Of the record of that label, `take` elements equal to `needle` (as a piece)
 * go, the first or the last ones; of a blob, the blob. */
NQ_MUST_USE nq_rc list_chunk_remove(struct list_work *w, uint64_t label,
                                    struct slice needle, uint32_t take,
                                    bool last);

/* The record of an element: a blob, or a chunk of its own, built in `room`. */
void list_chunk_of(struct list_work *w, struct slice elem,
                   uint8_t room[LIST_RECORD_MAX], struct record *out);

#endif
