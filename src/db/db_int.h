/* db/db_int.h - what the files of the keyspace share: db.c, db_bulk.c,
 * lazyfree.c, expire.c, replay.c, string.c. */
#ifndef NQ_DB_DB_INT_H
#define NQ_DB_DB_INT_H

#include "base/buf.h"
#include "base/check.h"
#include "base/cursor.h"
#include "base/rng.h"
#include "db/db.h"
#include "store/blob.h"
#include "store/frames.h"
#include "store/store.h"
#include "store/wal.h"

#define DB_MAGIC 0x4e514442u
#define DB_MAX_DATABASES 65536
#define DB_FOREVER ((UINT64_C(1) << 48) - 1) /* every expiry is due by then */

/* Codes of the log; the names are the rows of effect.def. */
enum effect {
#define EFFECT(code, name, apply) EFFECT_##name = (code),
#include "db/effect.def"
#undef EFFECT
};

/* One logical database.  The three stamps say what an answer depends on that
 * no page of its own can tell. */
struct keyspace {
    struct btree tree;
    uint64_t expires; /* keys with an expiry, due ones included */
    lsn changed;      /* last change of any kind: answers about many keys */
    lsn removed;      /* last key that went: answers "there is no such key" */
    lsn origin;       /* when this tree became this database's: any answer */
};

/* What nobody sees any more, freed in slices, the last one first. */
struct pending_free {
    struct btree *trees;
    uint32_t tree_count, tree_cap;
    struct blob_ref *blobs; /* those whose index was not in memory */
    uint32_t blob_count, blob_cap;
};

/* The background's own misses. */
enum background_wait { WAIT_NONE, WAIT_READING, WAIT_PINNED };

/* What the open collections share (coll.c). */
struct coll_pool {
    struct buf bufs[8]; /* memory between two uses */
    unsigned resting;   /* how many of them */
    unsigned blocking;  /* colls for which missing pages are read at once */
    bool was_blocking;  /* before the first of them */
};

struct db {
    uint32_t magic;
    struct db_opts opts;
    struct db_limits limits;
    struct frames *fr;
    struct wal *wal;
    struct keyspace *spaces;
    uint32_t count;
    uint64_t now_ms;
    lsn gate;
    bool has_effects; /* the running command logged something */
    bool is_replaying, active_expire;
    struct wal_record redo; /* valid only if has_redo: to be applied again */
    bool has_redo;
    struct pending_free frees;
    struct frames_wait wait; /* pages that the background waits for */
    enum background_wait waiting;
    uint64_t retry_us;    /* nothing before this, after a failure */
    uint32_t next_expire; /* database where the expiry cycle goes on */
    struct buf due_seen;  /* varint database and length, key: expired keys that
                             readers met while nobody else removes them */
    struct buf scratch;   /* a key handed out, or held across a change */
    struct coll_pool colls;
    struct rng rng;
    struct db_stats stats;
};

struct keyspace *db_space(struct db *db, uint32_t dbi);

static inline void
db_gate_raise(struct db *db, lsn at)
{
    if (at > db->gate)
        db->gate = at;
}

static inline bool
db_is_due(const struct db *db, const struct record *rec)
{
    return rec->expire_ms != 0 && rec->expire_ms <= db->now_ms &&
           !db->is_replaying;
}

/* Around everything that may miss: once the running command has effects it
 * cannot be parked and run again, so what it still misses is read here and
 * now.  Returns what db_calls_end() wants back. */
static inline bool
db_calls_begin(struct db *db)
{
    return db->has_effects ? frames_set_blocking(db->fr, true) : true;
}

static inline void
db_calls_end(struct db *db, bool was_blocking)
{
    if (nq_unlikely(!was_blocking))
        (void)frames_set_blocking(db->fr, false);
}

/* NQ_OK, or why nothing can be written. */
NQ_MUST_USE nq_rc db_writable(struct db *db);
/* The same for what takes more space, which may have run out while deleting
 * is still welcome. */
NQ_MUST_USE nq_rc db_may_grow(struct db *db);

/* Logs one effect on `key`, raises the gate, tells watchers; `key` must not
 * point into pages.  In replay it does nothing. */
NQ_MUST_USE nq_rc db_log(struct db *db, uint32_t dbi, uint8_t effect,
                         struct slice key, const struct slice *args,
                         unsigned nargs);
void db_touch(struct db *db, uint32_t dbi, struct slice key);

/* What a record owns besides its place in the leaf. */
struct owned {
    struct blob_ref ref;
    bool is_blob;
};
/* NQ_MISS: what freeing it takes is not in memory.  Of a damaged value the
 * pages are given up. */
NQ_MUST_USE nq_rc db_owned(struct db *db, const struct record *rec,
                           struct owned *out);
void db_owned_free(struct db *db, const struct owned *o);
/* The tree's half of a put: the record replaces what `old` found, the expiry
 * counter follows, what was owned is freed unless `rec` refers to it. */
NQ_MUST_USE nq_rc db_put_record(struct db *db, struct keyspace *ks,
                                struct slice key, const struct record *rec,
                                struct entry *old);
/* db_put(), telling whether the tree took the record: the log may refuse
 * after that. */
NQ_MUST_USE nq_rc db_put_told(struct db *db, uint32_t dbi, struct slice key,
                              const struct record *rec, struct entry *old,
                              uint8_t effect, const struct slice *args,
                              unsigned nargs, bool *is_stored);

/* Removes the key found in `e` with all that it owns and logs DEL. */
NQ_MUST_USE nq_rc db_remove(struct db *db, uint32_t dbi, struct slice key,
                            struct entry *e);
/* The same for one that is due: counted and told as "expired". */
NQ_MUST_USE nq_rc db_remove_expired(struct db *db, uint32_t dbi,
                                    struct slice key, struct entry *e);

/* --- lazyfree.c ---------------------------------------------------------- */
void db_free_later(struct db *db, const struct btree *tree);
/* For btree_del_range: frees what a record owned, now if its index is in
 * memory, else later.  `arg` is the db. */
void db_free_owned_record(void *arg, const struct record *rec);
/* One slice; NQ_AGAIN: there is more.  NQ_MISS: pages were noted. */
NQ_MUST_USE nq_rc db_free_slice(struct db *db, uint64_t until_us);
/* The pending list as part of the catalog. */
void db_write_frees(struct db *db);
NQ_MUST_USE nq_rc db_load_frees(struct db *db);
void db_frees_fini(struct db *db);

/* --- expire.c: the background -------------------------------------------- */
void db_background_close(struct db *db);
/* A reader met an expired key; with the expiry cycle off, the background
 * removes it, as reading removes it in Redis. */
void db_note_due(struct db *db, uint32_t dbi, struct slice key);

/* --- replay.c: one function per row of effect.def, in any of these files - */
#define EFFECT(code, name, apply)                                              \
    NQ_MUST_USE nq_rc apply(struct db *db, const struct wal_record *r);
#include "db/effect.def"
#undef EFFECT

#endif
