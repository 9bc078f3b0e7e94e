/* db/db_int.h - what the files of the keyspace share: db.c, db_bulk.c,
 * owned.c, lazyfree.c, hold.c, expire.c, replay.c and the types. */
#ifndef NQ_DB_DB_INT_H
#define NQ_DB_DB_INT_H

#include "base/buf.h"
#include "base/check.h"
#include "base/cursor.h"
#include "base/hash.h"
#include "base/rng.h"
#include "db/change.h"
#include "db/db.h"
#include "db/owned.h"
#include "store/blob.h"
#include "store/frames.h"
#include "store/store.h"
#include "store/wal.h"

#define DB_MAGIC 0x4e514442u
#define DB_MAX_DATABASES DB_STAGING
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
    uint64_t expires;     /* records with an expiry, due ones included */
    uint64_t fields_only; /* of them: only fields expire, not the key */
    lsn changed;          /* last change of any kind: answers about many keys */
    lsn removed; /* last key that went: answers "there is no such key" */
    lsn origin;  /* when this tree became this database's: any answer */
};

/* The trees that are held (hold.c). */
struct holds {
    struct hash held;
    bool are_all_wanted;
};

/* The background's own misses. */
enum background_wait { WAIT_NONE, WAIT_READING, WAIT_PINNED };

struct cover_table;
struct change_log;
struct mark_table;

/* What the open collections share (coll.c). */
struct coll_pool {
    struct buf bufs[8]; /* memory between two uses */
    unsigned resting;   /* how many of them */
    unsigned blocking;  /* colls for which missing pages are read at once */
    bool was_blocking;  /* before the first of them */
};

struct indexes;

struct db {
    uint32_t magic;
    struct db_opts opts;
    struct db_limits limits;
    struct frames *fr;
    struct wal *wal;
    struct keyspace *spaces;
    uint32_t count;
    struct keyspace staging; /* DB_STAGING */
    uint64_t now_ms;
    lsn gate;
    bool has_effects; /* the running command logged something */
    bool is_replaying, active_expire;
    struct wal_record redo; /* valid only if has_redo: to be applied again */
    bool has_redo;
    struct copying *copying; /* the COPY that replay is in */
    struct pending_free frees;
    struct holds holds;
    struct frames_wait wait; /* pages that the background waits for */
    enum background_wait waiting;
    uint64_t retry_us;    /* nothing before this, after a failure */
    uint32_t next_expire; /* database where the expiry cycle goes on */
    struct buf due_seen;  /* varint database and length, key: expired keys that
                             readers met while nobody else removes them */
    struct buf scratch;   /* a key handed out, or held across a change */
    struct coll_pool colls;
    struct cover_table *covers; /* NULL: there are none */
    struct change_log *changes; /* NULL: none was ever told */
    struct mark_table *marks;   /* NULL: none */
    uint64_t max_image;         /* bytes of a value that is told */
    uint64_t patches;        /* values written in place, which no tree's version
                                tells, though it may move their page */
    struct indexes *indexes; /* NULL: there are none */
    struct rng rng;
    struct db_stats stats;
};

struct keyspace *db_space(struct db *db, uint32_t dbi);
/* Its row in the catalog: u32 root of the tree first. */
struct slice db_space_name(uint32_t dbi, char dst[16]);
/* Whether that is a database, or the staging one. */
static inline bool
db_has_space(const struct db *db, uint64_t dbi)
{
    return dbi < db->count || dbi == DB_STAGING;
}

/* Moves whenever a record that was found may stand elsewhere. */
static inline uint64_t
db_record_version(const struct db *db, const struct keyspace *ks)
{
    return ks->tree.version + db->patches;
}

static inline void
db_gate_raise(struct db *db, lsn at)
{
    if (at > db->gate)
        db->gate = at;
}

/* Something of the key is due: itself, or fields. */
static inline bool
db_has_due(const struct db *db, const struct record *rec)
{
    return rec->expire_ms != 0 && rec->expire_ms <= db->now_ms &&
           !db->is_replaying;
}

/* DB_FIELD_TTL means something else for other types. */
static inline bool
db_has_field_ttl(const struct record *rec)
{
    return (rec->flags & DB_FIELD_TTL) != 0 && rec->type == DB_HASH;
}

/* The key itself is due. */
static inline bool
db_is_due(const struct db *db, const struct record *rec)
{
    uint64_t own;

    if (nq_likely(!db_has_due(db, rec)) || !db_has_field_ttl(rec))
        return db_has_due(db, rec);
    own = db_expire_of(rec);
    return own != 0 && own <= db->now_ms;
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

/* The value found in `e`, to be written where it stands, without a change of
 * length. */
NQ_MUST_USE nq_rc db_patch(struct db *db, uint32_t dbi, struct slice key,
                           struct entry *e, uint8_t **val, size_t *len);
/* Logs one effect on `key`, raises the gate, tells watchers; `key` must not
 * point into pages.  In replay it does nothing. */
NQ_MUST_USE nq_rc db_log(struct db *db, uint32_t dbi, uint8_t effect,
                         struct slice key, const struct slice *args,
                         unsigned nargs);
void db_touch(struct db *db, uint32_t dbi, struct slice key);
/* Logs what is no change of a key, and raises the gate: a command may do it
 * and be parked and run again all the same. */
NQ_MUST_USE nq_rc db_log_aside(struct db *db, uint32_t dbi, uint8_t effect,
                               struct slice key, const struct slice *args,
                               unsigned nargs);

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

/* --- db_bulk.c ----------------------------------------------------------- */

/* Both ends of a RENAME or COPY. */
struct db_pair {
    uint32_t from_db, to_db;
    struct slice from, to;
};
/* Finds them to be changed; NQ_NOTFOUND: the source is not there. */
NQ_MUST_USE nq_rc db_find_pair(struct db *db, const struct db_pair *p,
                               struct entry *src, struct entry *dst);
/* "varint db | key", as the effects have it. */
void db_encode_target(struct buf *b, uint32_t dbi, struct slice key);
NQ_MUST_USE nq_rc db_decode_target(struct db *db, struct slice args,
                                   uint32_t *dbi, struct slice *key);
/* Once, when replay is done. */
NQ_MUST_USE nq_rc db_clear_staging(struct db *db);

/* --- expiry.c: when a key ends ------------------------------------------- */
enum expiry_kind { EXPIRES_NOT, EXPIRES, FIELDS_EXPIRE };
enum expiry_kind db_expiry_kind(const struct record *rec);
/* The counters: a record of that kind came (1) or went (-1). */
void db_count_expiry(struct keyspace *ks, enum expiry_kind kind, int by);
/* Whether the key just found is not there any more: it is due, or all of its
 * fields are. */
NQ_MUST_USE nq_rc db_is_over(struct db *db, uint32_t dbi, struct slice key,
                             struct entry *e, bool *out);

/* --- hold.c -------------------------------------------------------------- */
void db_holds_fini(struct db *db);

/* --- expire.c: the background -------------------------------------------- */
void db_background_close(struct db *db);
/* A reader met an expired key; with the expiry cycle off, the background
 * removes it, as reading removes it in Redis. */
void db_note_due(struct db *db, uint32_t dbi, struct slice key);

/* --- cover.c, mark.c ------------------------------------------------------ */
NQ_MUST_USE nq_rc db_load_covers(struct db *db);
NQ_MUST_USE nq_rc db_load_marks(struct db *db);
void db_write_covers(struct db *db);
void db_write_marks(struct db *db);
void db_close_covers(struct db *db);
void db_close_marks(struct db *db);
/* Whether changes of the key, or of some of the range, are told; db->covers is
 * not NULL. */
bool cover_has(struct db *db, uint32_t dbi, struct slice key);
bool cover_meets(struct db *db, const struct key_range *r);

/* --- change.c --------------------------------------------------------------
 */
void db_close_changes(struct db *db);
/* Before a covered key is changed: what it is now, `e` being what was found,
 * NULL: nothing.  NQ_MISS: a part of its value is not in memory. */
NQ_MUST_USE nq_rc change_note(struct db *db, uint32_t dbi, struct slice key,
                              const struct entry *e);
/* The same where `db_changes_end()` may be far, and time is what changes it:
 * if it is gone by then, it has expired. */
NQ_MUST_USE nq_rc change_note_due(struct db *db, uint32_t dbi, struct slice key,
                                  const struct entry *e);
/* What was noted of the key is told, or forgotten, now. */
void change_tell_key(struct db *db, uint32_t dbi, struct slice key);
/* It was logged that the key was changed. */
void change_touched(struct db *db, uint32_t dbi, struct slice key);
/* A change of all keys of the range. */
void change_tell_range(struct db *db, enum change_event event,
                       const struct key_range *r);

static inline bool
db_is_covered(struct db *db, uint32_t dbi, struct slice key)
{
    return nq_unlikely(db->covers != NULL) && !db->is_replaying &&
           cover_has(db, dbi, key);
}

/* --- replay.c: one function per row of effect.def, in any of these files - */
#define EFFECT(code, name, apply)                                              \
    NQ_MUST_USE nq_rc apply(struct db *db, const struct wal_record *r);
#include "db/effect.def"
#undef EFFECT

#endif
