/* db/list.h - the list type: elements in the order they were put, reached by
 * index and from both ends.
 *
 * Loop thread only; NQ_MISS as in db.h.  Calls that write log one effect,
 * raise their event and touch watchers; a list that loses its last element is
 * removed with it, and "del" is raised.  They return NQ_EHELD, with nothing
 * changed, while somebody reads the list in slices (db/hold.h).  `old` is what
 * db_find_write() left, and is void afterwards.
 *
 * Elements and items borrowed from a list are good until its next change. */
#ifndef NQ_DB_LIST_H
#define NQ_DB_LIST_H

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
    uint64_t len;
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
 * go on in another slice of a command: find the key, init, seek again. */
struct list_cursor {
    bool valid;
    uint64_t index;        /* of the element, while valid */
    struct list_item item; /* while valid */
    /* private */
    struct db *db;
    struct slice val; /* of the record */
    uint64_t count;   /* of the list */
    uint64_t head,
        tail; /* elements in the record, before and behind the tree */
    struct btree tree;
    struct btree_cursor at;
    struct slice run; /* the elements of one piece, and where in it */
    size_t off, size; /* the element */
    uint32_t run_n, nth;
    bool has_back;    /* how the elements of the piece are written */
    uint16_t *starts; /* of a chunk that is walked backwards */
    uint32_t starts_cap;
};
/* `e`: a found list. */
NQ_MUST_USE nq_rc list_cursor_init(struct list_cursor *cu, struct db *db,
                                   const struct entry *e);
void list_cursor_fini(struct list_cursor *cu);
NQ_MUST_USE nq_rc list_seek(struct list_cursor *cu, uint64_t index);
NQ_MUST_USE nq_rc list_next(struct list_cursor *cu);
NQ_MUST_USE nq_rc list_prev(struct list_cursor *cu);

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
NQ_MUST_USE nq_rc list_insert(struct db *db, uint32_t dbi, struct slice key,
                              struct entry *old, uint64_t index,
                              struct slice elem, uint64_t *len);
/* LTRIM: keeps [start, start + n), which lies inside, or nothing. */
NQ_MUST_USE nq_rc list_trim(struct db *db, uint32_t dbi, struct slice key,
                            struct entry *old, uint64_t start, uint64_t n);
/* LREM: up to |count| elements equal to `elem` go, from the head or (count
 * below 0) from the tail; 0: all.  None: nothing is logged or raised. */
NQ_MUST_USE nq_rc list_remove(struct db *db, uint32_t dbi, struct slice key,
                              struct entry *old, int64_t count,
                              struct slice elem, uint64_t *removed);

/* All of it against its invariants (list.c): NQ_ECORRUPT. */
NQ_MUST_USE nq_rc list_check(struct db *db, const struct entry *e);

#endif
