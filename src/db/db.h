/* db/db.h - the logical databases: keys with a type, an expiry and a value,
 * every change logged as an effect.
 *
 * Loop thread only.  One B+tree per database; the same calls serve commands
 * and replay, which is told apart only by db_is_replaying() (then nothing is
 * logged, no events are raised, nothing counts as expired).
 *
 * Any call may return NQ_MISS: pages were noted as wanted, nothing was
 * changed, the command is to be parked and run again from its start.  A
 * command finds all keys that it will change before it changes the first.
 *
 * Expired keys are never visible.  db_find() of one answers NQ_NOTFOUND;
 * db_find_write() deletes it first (effect DEL, event "expired"), so that
 * what follows is logged against what replay will see. */
#ifndef NQ_DB_DB_H
#define NQ_DB_DB_H

#include "base/rc.h"
#include "base/slice.h"
#include "store/btree.h"
#include "store/pgno.h"

struct db;
struct store;

enum db_type {
    DB_STRING = 0,
    DB_LIST = 1,
    DB_SET = 2,
    DB_ZSET = 3,
    DB_HASH = 4,
    DB_STREAM = 5,
    DB_TYPES
};
/* "string", "list" ... as TYPE answers. */
const char *db_type_name(enum db_type type);

/* Flag bits of a record, besides REC_OWNS (value is a blob reference). */
#define DB_INT 2 /* string: val is a little-endian int64 */
#define DB_RAWISH                                                              \
    4 /* string: was changed in place; OBJECT ENCODING says raw                \
       */
/* hash: some fields expire; rec.expire_ms is the earliest expiry of all, the
 * key's own stands in its value (see db/fields.h) */
#define DB_FIELD_TTL 2

/* The database where long results are built before they get their name: no
 * client sees it, every start empties it. */
#define DB_STAGING 0xffffu

/* A key that was found.  Slices are borrowed from the page until the next
 * write.  Nothing in it is to be changed by hand. */
struct entry {
    struct record rec;
    struct finger finger;
    uint64_t version; /* of the database, when it was read */
};

/* Vouches that e->rec, a copy whose bytes the caller owns, is as good as what
 * db_find() would leave now: for reading a tree that is held. */
void db_entry_vouch(struct db *db, uint32_t dbi, struct entry *e);

/* Classes of keyspace events, with Redis' letters. */
enum db_event_class {
    EVENT_GENERIC = 'g',
    EVENT_STRING = '$',
    EVENT_LIST = 'l',
    EVENT_SET = 's',
    EVENT_HASH = 'h',
    EVENT_ZSET = 'z',
    EVENT_STREAM = 't',
    EVENT_EXPIRED = 'x',
    EVENT_EVICTED = 'e',
    EVENT_NEW = 'n',
    EVENT_MISS = 'm'
};

/* From which size on OBJECT ENCODING tells the encodings that Redis has for
 * large values; settings of the same names. */
struct db_limits {
    uint32_t hash_max_listpack_entries, hash_max_listpack_value;
    uint32_t set_max_intset_entries, set_max_listpack_entries,
        set_max_listpack_value;
    uint32_t zset_max_listpack_entries, zset_max_listpack_value;
    int64_t list_max_listpack_size; /* -1..-5: 4 to 64 KB; else entries */
    uint64_t stream_node_max_bytes, stream_node_max_entries;
    uint64_t hll_sparse_max_bytes;
};

struct db_opts {
    struct store *store;
    uint32_t databases; /* 16 */
    /* After each change of a key, before its reply; `event` as Redis names
     * them ("set", "del", "expire" ...).  May be NULL. */
    void (*on_event)(void *arg, uint32_t dbi, enum db_event_class class,
                     const char *event, struct slice key);
    /* A key was or may have been changed (WATCH).  key.p NULL: all keys of
     * the database. */
    void (*on_touch)(void *arg, uint32_t dbi, struct slice key);
    /* A change was logged, for change_decode(); may be NULL. */
    void (*on_change)(void *arg, lsn at, uint32_t dbi, struct slice key,
                      struct slice args);
    /* A hold has ended that somebody was told NQ_EHELD for (db/hold.h).  Any
     * time; must not call back.  May be NULL. */
    void (*on_release)(void *arg);
    void *arg;
};

NQ_MUST_USE nq_rc db_open(const struct db_opts *opts, struct db **out);
/* Replays for about `budget_us`; NQ_AGAIN: call again; NQ_OK: finished, the
 * database is open for writing. */
NQ_MUST_USE nq_rc db_replay(struct db *db, uint64_t budget_us);
bool db_is_replaying(const struct db *db);
/* Writes roots and counters into the store's catalog: what the owner of the
 * store calls from store_opts.before_cut. */
void db_write_catalog(struct db *db);
void db_close(struct db *db); /* the store is closed by its owner, after */

uint32_t db_count(const struct db *db); /* of logical databases */
struct store *db_store(struct db *db);
struct btree *db_tree(struct db *db, uint32_t dbi);

/* Redis' defaults until somebody changes them. */
struct db_limits *db_limits(struct db *db);

/* The time of the running command: set once by dispatch, so that a command
 * and a MULTI block see one clock. */
void db_set_now(struct db *db, uint64_t wall_ms);
uint64_t db_now(const struct db *db);

/* The greatest LSN that the running command depends on: the stamp of every
 * page it read and of its own effects.  Dispatch resets it before, and gates
 * the reply by it after. */
void db_gate_reset(struct db *db);
lsn db_gate(const struct db *db);
/* For an answer about many keys (counts, ranges): it depends on every change
 * of the database. */
void db_gate_all(struct db *db, uint32_t dbi);

/* --- keys ---------------------------------------------------------------- */

/* NQ_OK or NQ_NOTFOUND (absent or expired). e->finger may have been set by a
 * probe of this key (else zero it). */
NQ_MUST_USE nq_rc db_find(struct db *db, uint32_t dbi, struct slice key,
                          struct entry *e);
/* For a command that will change the key: the same, but an expired key is
 * deleted; NQ_EREADONLY, NQ_ENOSPC, NQ_EFULL when nothing can be written. */
NQ_MUST_USE nq_rc db_find_write(struct db *db, uint32_t dbi, struct slice key,
                                struct entry *e);

/* DEL: removes the key with all that it owns.  Raises "del".  NQ_NOTFOUND. */
NQ_MUST_USE nq_rc db_del(struct db *db, uint32_t dbi, struct slice key);
/* The same for a key that db_find_write() found and that is still as `e` says:
 * nothing was written since. */
NQ_MUST_USE nq_rc db_del_found(struct db *db, uint32_t dbi, struct slice key,
                               struct entry *e);
/* The same, but nothing is raised: what takes its place raises its own. */
NQ_MUST_USE nq_rc db_del_replaced(struct db *db, uint32_t dbi, struct slice key,
                                  struct entry *e);
/* Sets (or with 0 removes) the expiry of the key found in `e`; one in the
 * past deletes it.  Raises "expire" or "persist". */
NQ_MUST_USE nq_rc db_set_expire(struct db *db, uint32_t dbi, struct slice key,
                                struct entry *e, uint64_t expire_ms);
/* When the key expires, wall ms, 0: never.  rec.expire_ms may be the expiry of
 * a field (DB_FIELD_TTL), so this is what to ask. */
uint64_t db_expire_of(const struct record *rec);
/* For who walks a tree: whether the key of this record, just read from there,
 * is over, though not removed yet. */
bool db_is_gone(struct db *db, uint32_t dbi, const struct record *rec);
/* How many of the records of [lo, hi) are.  Work in proportion to them. */
NQ_MUST_USE nq_rc db_count_gone(struct db *db, uint32_t dbi, struct slice lo,
                                const struct slice *hi, uint64_t *out);
/* Value and expiry move by reference; `to` is replaced.  Raises "rename_from"
 * and "rename_to", or "move_from" and "move_to"; nothing when it comes from
 * DB_STAGING. */
NQ_MUST_USE nq_rc db_rename(struct db *db, uint32_t from_db, struct slice from,
                            uint32_t to_db, struct slice to);
NQ_MUST_USE nq_rc db_copy(struct db *db, uint32_t from_db, struct slice from,
                          uint32_t to_db, struct slice to);
/* db_copy() in slices of about budget_us: NQ_AGAIN, or NQ_MISS, until done.
 * What is copied so far is kept in *state, NULL at the beginning, which
 * db_copy_end() frees in any case; nothing is seen of it before it is done.
 * Meanwhile the source is held: that it is another one now, or gone, is found
 * out.  NQ_EHELD: somebody waits to change it; once more, from the start. */
struct copying;
NQ_MUST_USE nq_rc db_copy_some(struct db *db, uint32_t from_db,
                               struct slice from, uint32_t to_db,
                               struct slice to, uint64_t budget_us,
                               struct copying **state);
void db_copy_end(struct copying *state); /* NULL: does nothing */
/* O(1): the old tree is freed in the background. */
NQ_MUST_USE nq_rc db_flush(struct db *db, uint32_t dbi);
NQ_MUST_USE nq_rc db_flush_all(struct db *db);
NQ_MUST_USE nq_rc db_swap(struct db *db, uint32_t a, uint32_t b);
/* Keys of [lo, hi) go, all of them before this returns; the logged effect is
 * the range.  Pages are freed whole, without visiting their records, but a
 * caller with a long range gives it in parts to share the loop.  *removed:
 * how many keys. */
NQ_MUST_USE nq_rc db_del_range(struct db *db, uint32_t dbi, struct slice lo,
                               const struct slice *hi, uint64_t *removed);

NQ_MUST_USE nq_rc db_size(struct db *db, uint32_t dbi, uint64_t *keys);
NQ_MUST_USE nq_rc db_expires(struct db *db, uint32_t dbi, uint64_t *keys);
/* Uniform over the keys that are not expired; NQ_NOTFOUND if there is none. */
NQ_MUST_USE nq_rc db_random_key(struct db *db, uint32_t dbi, struct slice *key);

/* About how many bytes of pages the record has besides its place in a leaf,
 * judged by `samples` descents; of blobs, the value itself. */
NQ_MUST_USE nq_rc db_owned_bytes(struct db *db, const struct record *rec,
                                 unsigned samples, uint64_t *out);

/* --- background ---------------------------------------------------------- */

/* One slice, at most budget_us, of what goes on beside commands: expiry where
 * something is due, freeing of flushed trees and deleted ranges.  Returns
 * whether there is more to do at once. */
bool db_background(struct db *db, uint64_t budget_us);
/* When db_background() has something to do again, wall ms: the next key is
 * due, or pages are to be freed; 0: nothing. */
uint64_t db_next_due(struct db *db);
void db_set_active_expire(struct db *db, bool on);

struct db_stats {
    uint64_t expired_keys, expired_stale_perc, lazyfreed, lazyfree_pending;
};
void db_get_stats(const struct db *db, struct db_stats *out);

/* --- for the type modules of this folder --------------------------------- */

/* Inserts or replaces the record and logs the effect with `args`, which must
 * not point into pages.  `old` is what db_find_write() left, found or not.
 * What the replaced record owned is freed unless its val is rec's own. */
NQ_MUST_USE nq_rc db_put(struct db *db, uint32_t dbi, struct slice key,
                         const struct record *rec, struct entry *old,
                         uint8_t effect, const struct slice *args,
                         unsigned nargs);
void db_event(struct db *db, uint32_t dbi, enum db_event_class class,
              const char *event, struct slice key);

#endif
