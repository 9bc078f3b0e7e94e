/* db/lists.h - the list type: elements in the order they were put, reached by
 * index and from both ends.
 *
 * Loop thread only; NQ_MISS as in db.h.  Calls that write log one effect,
 * raise their event and touch watchers; a list that loses its last element is
 * removed with it, and "del" is raised.  They return NQ_EHELD, with nothing
 * changed, while somebody reads the list in slices (db/hold.h).  `old` is what
 * db_find_write() left, and is void afterwards.
 *
 * Elements and items borrowed from a list are good until its next change. */
#ifndef NQ_DB_LISTS_H
#define NQ_DB_LISTS_H

#include "base/buf.h"
#include "db/db.h"
#include "store/blob.h"

struct arena;

enum list_end { LIST_HEAD, LIST_TAIL };

/* Elements of a found list. */
uint64_t list_len(const struct entry *e);
/* "listpack" or "quicklist", as Redis 7.2 would keep it. */
const char *list_encoding(const struct entry *e);
/* The tree to be held while it is read in slices; 0: it has none, all of it
 * stands in the record. */
pgno list_root(const struct entry *e);

/* --- reading ------------------------------------------------------------- */

/* One element.  Not to be copied: bytes may point into text. */
struct list_item {
    struct slice bytes; /* not valid if is_blob */
    bool is_blob;
    struct blob_ref blob; /* valid only if is_blob */
    char text[24];        /* of an integer */
};

/* Its bytes: borrowed, or copied into the arena if it is a blob. */
NQ_MUST_USE nq_rc list_item_bytes(struct db *db, const struct list_item *it,
                                  struct arena *arena, struct slice *out);
/* The element at `index`, counted from the head; NQ_NOTFOUND behind the end. */
NQ_MUST_USE nq_rc list_at(struct db *db, const struct entry *e, uint64_t index,
                          struct list_item *out);

/* Stands on an element or at an end.  Becomes void with the next change.  To
 * go on in another slice of a command, while the list is held: keep the
 * record (its val copied: the key may go meanwhile), init and seek again. */
struct list_cursor {
    bool valid;
    uint64_t index; /* of the element, while valid */
    /* private */
    struct db *db;
    struct slice val; /* of the record */
    uint64_t head_n, tree_n, tail_n;
    uint32_t start, mid, end;
    enum { LIST_IN_HEAD, LIST_IN_TREE, LIST_IN_TAIL } where;
    struct btree tree;
    struct btree_cursor at;
    bool is_blob;     /* the record of the tree is one */
    struct slice run; /* the elements around, and the one it stands on */
    uint32_t run_n, nth;
    size_t off, size;
    uint16_t *starts; /* of a chunk that is walked backwards */
    uint32_t starts_cap, starts_n;
};
/* `e`: a found list. */
NQ_MUST_USE nq_rc list_cursor_init(struct list_cursor *cu, struct db *db,
                                   const struct entry *e);
void list_cursor_fini(struct list_cursor *cu);
NQ_MUST_USE nq_rc list_seek(struct list_cursor *cu, uint64_t index);
NQ_MUST_USE nq_rc list_next(struct list_cursor *cu);
NQ_MUST_USE nq_rc list_prev(struct list_cursor *cu);
/* The element that it stands on. */
NQ_MUST_USE nq_rc list_item(struct list_cursor *cu, struct list_item *out);

/* An element that is looked for. */
struct list_needle {
    struct slice elem;  /* the caller's */
    struct slice bytes; /* as it stands in a list; empty: only as a blob */
};
void list_needle_init(struct list_needle *n, struct db *db, struct slice elem,
                      struct arena *arena);
/* Does the cursor stand on one that is equal? */
NQ_MUST_USE nq_rc list_is_equal(struct list_cursor *cu,
                                const struct list_needle *n, bool *out);

/* Which elements list_remove_marked() takes away: marked with a cursor, one
 * after the other from either end. */
struct list_marks {
    uint64_t n;          /* of elements */
    uint64_t head, tail; /* private, as all below */
    struct buf in_tree;  /* u64 label, u32 elements, of each chunk */
};
void list_marks_fini(struct list_marks *m); /* of a zeroed one, too */
NQ_MUST_USE nq_rc list_mark(struct list_marks *m, struct list_cursor *cu);

/* --- changes ------------------------------------------------------------- */

/* LPUSH, RPUSH: one after the other, so that the last one ends up outermost.
 * `elems` is the caller's memory, not pages.  `event` may be NULL.  *len (may
 * be NULL): elements afterwards. */
NQ_MUST_USE nq_rc list_push(struct db *db, uint32_t dbi, struct slice key,
                            struct entry *old, bool found, enum list_end end,
                            const struct slice *elems, uint32_t n,
                            const char *event, uint64_t *len);
/* LPOP, RPOP of up to n (at least 1) elements, whose values nobody wants, or
 * has read before.  Raises "lpop" or "rpop". */
NQ_MUST_USE nq_rc list_drop(struct db *db, uint32_t dbi, struct slice key,
                            struct entry *old, enum list_end end, uint64_t n);
/* The same with their values, outermost first, copied into the arena: `out`
 * has room for n, which is at most list_len(). */
NQ_MUST_USE nq_rc list_pop(struct db *db, uint32_t dbi, struct slice key,
                           struct entry *old, enum list_end end, uint32_t n,
                           struct arena *arena, struct slice *out);
/* LMOVE, RPOPLPUSH: `to_key` may be `from_key`; `to` and `to_found` are what
 * db_find_write() left of it.  *elem is copied into the arena. */
NQ_MUST_USE nq_rc list_move(struct db *db, uint32_t dbi, struct slice from_key,
                            struct entry *from, enum list_end from_end,
                            struct slice to_key, struct entry *to,
                            bool to_found, enum list_end to_end,
                            struct arena *arena, struct slice *elem);
/* LSET, of an index below list_len(). */
NQ_MUST_USE nq_rc list_set(struct db *db, uint32_t dbi, struct slice key,
                           struct entry *old, uint64_t index,
                           struct slice elem);
/* LINSERT before the element at `index`, or behind the last one. */
NQ_MUST_USE nq_rc list_insert_at(struct db *db, uint32_t dbi, struct slice key,
                                 struct entry *old, uint64_t index,
                                 struct slice elem, uint64_t *len);
/* LTRIM: keeps [start, start + n), which lies inside, or nothing. */
NQ_MUST_USE nq_rc list_trim(struct db *db, uint32_t dbi, struct slice key,
                            struct entry *old, uint64_t start, uint64_t n);
/* LREM of what was marked (at least one), from the head or, `last`, from the
 * tail.  The list is as it was when they were marked. */
NQ_MUST_USE nq_rc list_remove_marked(struct db *db, uint32_t dbi,
                                     struct slice key, struct entry *old,
                                     const struct list_needle *n,
                                     const struct list_marks *marks, bool last);

/* All of it against its invariants (lists.c): NQ_ECORRUPT. */
NQ_MUST_USE nq_rc list_check(struct db *db, const struct entry *e);

#endif
