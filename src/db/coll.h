/* db/coll.h - a collection: an ordered map of bytes to bytes that belongs to
 * one key.  Hashes, sets, sorted sets and streams are made of it.
 *
 * Loop thread only.  Small ones are packed into the key's record; past what a
 * leaf takes they get a counted B+tree of their own, and the record holds its
 * root.  Nobody above needs to know which it is.
 *
 * A change goes like this:
 *
 *   db_find_write, coll_open
 *   coll_want          of a tree: all that the change will touch, or NQ_MISS
 *   coll_begin         NQ_EHELD: somebody reads it in slices; park, run again
 *   coll_put, coll_del ...   head[] and the public fields may change too
 *   coll_commit        writes the record, logs one effect
 *   coll_close         always
 *
 * A command that changes several begins all of them before it changes the
 * first.  From coll_begin on missing pages are read on the spot, so a change is
 * never torn by NQ_MISS.  What fails all the same (NQ_EIO, NQ_ECORRUPT,
 * NQ_EPOOL) may have done a part: commit with an effect that tells just that
 * part, then report.  Every change writes the key's record, so its leaf's stamp
 * covers the whole collection (the gate of db.h needs nothing else), and
 * watchers learn of it from the effect.
 *
 * Items are in bytewise order of their keys, at most BTREE_MAX_KEY bytes long.
 * But a packed hash keeps its fields in the order in which they came, as
 * clients of Redis expect of small ones: coll_first(), coll_next() and
 * coll_nth() go by that; ranks mean nothing there, and a seek to a key that is
 * not there begins anew.
 * Slices returned are borrowed until the next change of this collection or
 * the end of the command. */
#ifndef NQ_DB_COLL_H
#define NQ_DB_COLL_H

#include "base/buf.h"
#include "db/db.h"

struct arena;
struct keyspace;

#define COLL_HEAD_MAX 96
#define COLL_SPOTS 4     /* keys whose places in the tree are remembered */
#define COLL_SPOT_KEY 64 /* the longest of those */

struct item {
    struct slice key;
    struct slice val;   /* not valid if is_blob: coll_val() */
    uint64_t len;       /* of the value */
    uint64_t expire_ms; /* 0: never */
    bool is_blob;       /* too long for a leaf */
};

/* Where a key was looked up, for what is done with it next. */
struct coll_spot {
    struct finger finger;
    struct btree_path path; /* the finger's */
    uint8_t key_len;
    uint8_t key[COLL_SPOT_KEY];
};

/* Not to be copied once it is open. */
struct coll {
    struct db *db;
    uint32_t dbi;
    struct slice key; /* borrowed from the caller */
    enum db_type type;
    /* The type's own bytes, kept with the record; head_len is what coll_open
     * was told, zeroes when the key is new.  Both may be changed until the
     * commit. */
    uint8_t head[COLL_HEAD_MAX];
    uint8_t head_len;
    uint64_t count;     /* items; private to change */
    uint64_t expire_ms; /* of the record; may be changed before commit */
    uint8_t flags;      /* of the record, without REC_OWNS; the same */
    bool keep_empty;    /* without it, a commit of no items removes the key */
    bool may_pack;      /* a tree that became small may be packed again */
    bool is_tree;       /* out only */
    /* private */
    bool is_changed, has_shrunk; /* since coll_begin */
    bool has_begun, is_blocking;
    bool was_tree;    /* the record, as it stands in the database */
    bool in_work;     /* `packed` stands in `work`, not in a page */
    uint8_t work_off; /* where in it */
    uint8_t spots_used, spot_next;
    struct keyspace *space;
    struct entry *entry;
    struct slice packed; /* the items of a packed one */
    size_t hint;     /* where in it the item got last begins, or no item does */
    struct buf work; /* the whole value of a changed one */
    struct btree tree;
    struct coll_spot spots[COLL_SPOTS];
};

/* `e` is what db_find() or db_find_write() left, found or not, and must live
 * as long as the coll; once it was changed it is good for another coll_open()
 * only.  A record of another type must not get here. */
NQ_MUST_USE nq_rc coll_open(struct db *db, uint32_t dbi, struct slice key,
                            enum db_type type, struct entry *e, bool found,
                            uint8_t head_len, struct coll *out);
void coll_close(struct coll *c);

/* NQ_OK or NQ_NOTFOUND. */
NQ_MUST_USE nq_rc coll_get(struct coll *c, struct slice key, struct item *out);
/* Of a packed one: the item whose key is `skip` bytes, then `tail`. */
NQ_MUST_USE nq_rc coll_get_tail(struct coll *c, size_t skip, struct slice tail,
                                struct item *out);
/* The value's bytes: borrowed, or copied into the arena if it is a blob. */
NQ_MUST_USE nq_rc coll_val(struct coll *c, const struct item *it,
                           struct arena *arena, struct slice *out);

/* --- changes ------------------------------------------------------------- */

/* Looks all these keys up at once, and whatever blobs they own; NQ_MISS if a
 * page on the way to any is not in memory.  The last COLL_SPOTS keys that were
 * wanted or got are not searched again by what is done with them next. */
NQ_MUST_USE nq_rc coll_want(struct coll *c, const struct slice *keys,
                            unsigned n);
NQ_MUST_USE nq_rc coll_begin(struct coll *c);
/* `is_new` may be NULL.  NQ_EKEYLEN, and as long as nothing was changed
 * NQ_ENOSPC, NQ_EFULL.  Neither slice may point into this collection. */
NQ_MUST_USE nq_rc coll_put(struct coll *c, struct slice key, struct slice val,
                           uint64_t expire_ms, bool *is_new);
/* The value stays.  NQ_NOTFOUND. */
NQ_MUST_USE nq_rc coll_set_expire(struct coll *c, struct slice key,
                                  uint64_t expire_ms);
NQ_MUST_USE nq_rc coll_del(struct coll *c, struct slice key); /* NQ_NOTFOUND */
/* Items of [lo, hi) go (hi NULL: no end); pages are freed whole. */
NQ_MUST_USE nq_rc coll_del_range(struct coll *c, struct slice lo,
                                 const struct slice *hi, uint64_t *removed);
/* Turns a packed one into a tree, for types that want one earlier. */
NQ_MUST_USE nq_rc coll_make_tree(struct coll *c);
/* The record is written (or removed, if no item is left and not keep_empty),
 * the effect logged, "new" raised if it is; `args` must not point into pages.
 * When nothing was changed it need not be called.  *is_gone (may be NULL): the
 * key was removed; the caller raises "del" then. */
NQ_MUST_USE nq_rc coll_commit(struct coll *c, uint8_t effect,
                              const struct slice *args, unsigned nargs,
                              bool *is_gone);

/* --- order --------------------------------------------------------------- */

/* Stands on an item or at an end.  Becomes void with the next change.  To go
 * on in another slice of a command: keep the key, open and seek again. */
struct coll_cursor {
    struct coll *c;
    bool valid;
    struct slice key; /* of the item, while valid */
    /* private */
    struct btree_cursor at;
    size_t off, next;
    struct buf back; /* u32 offsets of a packed one, made to walk backwards */
};
void coll_cursor_init(struct coll_cursor *cu, struct coll *c);
void coll_cursor_fini(struct coll_cursor *cu);
NQ_MUST_USE nq_rc coll_first(struct coll_cursor *cu);
NQ_MUST_USE nq_rc coll_last(struct coll_cursor *cu);
/* First item with a key >= key (> key if `after`). */
NQ_MUST_USE nq_rc coll_seek(struct coll_cursor *cu, struct slice key,
                            bool after);
/* Last item with a key <= key (< key if `before`). */
NQ_MUST_USE nq_rc coll_seek_back(struct coll_cursor *cu, struct slice key,
                                 bool before);
/* The item of rank n. */
NQ_MUST_USE nq_rc coll_nth(struct coll_cursor *cu, uint64_t n);
NQ_MUST_USE nq_rc coll_next(struct coll_cursor *cu);
NQ_MUST_USE nq_rc coll_prev(struct coll_cursor *cu);
NQ_MUST_USE nq_rc coll_item(struct coll_cursor *cu, struct item *out);
/* The key that it stands on is not searched again by what is done with it
 * next, as if it had been wanted. */
void coll_remember(struct coll_cursor *cu);

/* How many items have keys below `key`. */
NQ_MUST_USE nq_rc coll_rank(struct coll *c, struct slice key, uint64_t *out);
/* How many items are due at now_ms; the earliest expiry of all, exactly, 0:
 * none. */
NQ_MUST_USE nq_rc coll_count_due(struct coll *c, uint64_t now_ms,
                                 uint64_t *out);
NQ_MUST_USE nq_rc coll_earliest(struct coll *c, uint64_t *out);
/* Stands on some item that is due, or is invalid. */
NQ_MUST_USE nq_rc coll_seek_due(struct coll_cursor *cu, uint64_t now_ms);

/* --- for whoever looks at records without opening them ------------------- */

/* Whether the record's value has a tree of its own; its root.  So it is for
 * every type but strings: REC_OWNS says that there is a tree, and the value
 * ends with its root, a little-endian u32.  Records inside that tree are of
 * type DB_STRING; one of them that has REC_OWNS is a blob reference. */
bool coll_record_root(const struct record *rec, pgno *root);
/* How long its head is, as coll_open() wants it. */
uint8_t coll_record_head_len(const struct record *rec);
/* The head of a record's value; false: it is shorter than that. */
bool coll_record_head(const struct record *rec, struct slice *out,
                      uint8_t head_len);
/* The value of a hash, set, sorted set or stream against its format; of a
 * tree only what the record says.  *items as counted there.  NQ_ECORRUPT. */
NQ_MUST_USE nq_rc coll_record_check(const struct record *rec, uint64_t *items);

#endif
