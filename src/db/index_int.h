/* db/index_int.h - what the files of indexes share: index.c (which ones there
 * are), index_value.c (spellings), index_row.c (the value of a row),
 * index_enter.c (one key), index_work.c (keys that changed), index_walk.c
 * (ranges, building), index_read.c (reading), index_keep.c (effects and
 * catalog), index_check.c (against the data). */
#ifndef NQ_DB_INDEX_INT_H
#define NQ_DB_INDEX_INT_H

#include "base/arena.h"
#include "base/list.h"
#include "db/db_int.h"
#include "db/index.h"
#include "query/program.h"

/* Records of an index have a type that no key has, so that nobody takes one of
 * its pages for one of a database (salvage). */
#define INDEX_RECORD 15

#define INDEX_KEY_MAX 65000u     /* of a key that can follow a spelling */
#define INDEX_LONG (256u * 1024) /* a value beyond that is not read */
#define INDEX_RANGES 8u

/* How an entry of the tree `keys` begins: what the row has at the path. */
enum index_class {
    CLASS_VALUE = 1,    /* a value of its kind; the rest is its spelling */
    CLASS_LONG = 2,     /* a value that is too long to be looked at */
    CLASS_MISMATCH = 3, /* one of another kind */
    CLASS_LONG_KEY = 4  /* not looked at: the key is too long */
};

/* Class and spelling; len 0: the row has nothing at the path. */
struct index_value {
    uint8_t bytes[INDEX_VALUE_MAX];
    uint8_t len;
};

/* Keys of an index that are to be held against their rows again: a superset
 * of what was deleted at once. */
struct index_range {
    struct buf lo, hi;
    bool has_hi;
};

struct index {
    struct indexes *all;
    uint32_t slot; /* row of the catalog */
    struct buf name, prefix, path_text;
    uint32_t dbi;
    enum index_kind kind;
    enum index_state state;
    struct path *path;
    unsigned needs;
    struct btree keys;   /* key -> class and spelling */
    struct btree values; /* class and spelling, key -> nothing; only those of
                            CLASS_VALUE and CLASS_LONG */
    uint64_t classes[CLASS_LONG_KEY + 1]; /* entries of `keys`, but for
                                             CLASS_VALUE, which are not
                                             counted here */
    struct index_range ranges[INDEX_RANGES];
    unsigned range_count;
    struct buf built_to; /* building: keys up to there are in; has_built_to */
    bool has_built_to, is_stopped, has_job;
    uint64_t built, total;
    struct frames_wait wait; /* of building */
    enum background_wait waiting;
    uint64_t seeks, found;
    struct list readers; /* that collect */
};

/* A key whose row changed since it was entered. */
struct index_key {
    struct hash_node node;
    struct list link; /* in fresh or waiting */
    uint32_t dbi, len;
    bool is_waiting;
    uint8_t bytes[];
};

/* What of a key tells most that have no index from those that have. */
struct index_prefix {
    uint64_t head, mask; /* first 8 bytes, and which of them count */
    struct index *index;
};
struct index_filter {  /* of a database */
    uint8_t first[32]; /* bit by first byte of a key */
    unsigned count;
    struct index_prefix prefixes[INDEX_MAX];
};

struct indexes {
    struct db *db;
    struct index *list[INDEX_MAX]; /* by name */
    unsigned count;
    struct index_filter **filters; /* by database; NULL: it has none */
    struct hash keys;
    struct list fresh, waiting;
    uint64_t waiting_count, waiting_bytes;
    struct frames_wait wait; /* for the first `batch` that wait */
    enum background_wait wait_state;
    unsigned batch;
    uint64_t not_before_us; /* after a failure; monotonic */
    struct row_scratch *scratch;
    struct arena arena;
    struct buf work;       /* a spelling and a key */
    unsigned rows_of_keys; /* "index.keys" in the catalog */
};

/* --- index.c -------------------------------------------------------------- */
struct indexes *indexes_of(struct db *db); /* makes it */
/* NULL: the path is none. */
struct index *index_new(struct indexes *x, const struct index_def *def);
/* It is one of those that are kept up from now on. */
void index_add(struct indexes *x, struct index *ix);
/* No pages are freed. */
void index_forget(struct indexes *x, struct index *ix);
/* Everything in it goes. */
void index_empty(struct index *ix, enum index_state state);
void index_set_filters(struct indexes *x);
void index_damaged(struct index *ix, nq_rc rc);
bool index_has_prefix(const struct index *ix, struct slice key);
static inline bool
index_is_kept(const struct index *ix)
{
    return ix->state != INDEX_DAMAGED;
}

/* --- index_value.c -------------------------------------------------------- */
void index_spell(enum index_kind kind, const struct value *v,
                 struct index_value *out);
/* How long the class and spelling are that `entry` of the tree `values` begins
 * with; 0: it is damaged. */
size_t index_spelling_len(enum index_kind kind, struct slice entry);
/* The least bytes above all that begin with `b`; false: there are none. */
bool index_successor(struct buf *b);

/* --- index_row.c ---------------------------------------------------------- */
/* What the row of the key has for this index, as it stands in its tree,
 * whether due or not.  NQ_MISS; failures of the row's pages. */
NQ_MUST_USE nq_rc index_row_value(struct index *ix, struct slice key,
                                  struct index_value *out);

/* --- index_enter.c -------------------------------------------------------- */
/* Holds the entry of the key against its row.  NQ_MISS: pages are noted,
 * nothing was changed; NQ_EPOOL.  Damage of the index is its own matter. */
NQ_MUST_USE nq_rc index_enter(struct index *ix, struct slice key);
/* What `keys` has; len 0: nothing. */
NQ_MUST_USE nq_rc index_entered(struct index *ix, struct slice key,
                                struct index_value *out);
/* The key of an entry of `values`, into all->work. */
struct slice index_entry(struct index *ix, const struct index_value *v,
                         struct slice key);

/* --- index_work.c --------------------------------------------------------- */
/* Enters what changed, so far as pages are in memory. */
void index_settle(struct indexes *x);
void index_drop_keys(struct indexes *x);
void index_add_waiting(struct indexes *x, uint32_t dbi, struct slice key);
void index_swap_keys(struct indexes *x, uint32_t a, uint32_t b);
/* Those that wait and have more than `len` bytes, on the spot. */
void index_enter_long_keys(struct indexes *x, size_t len);
/* --- index_walk.c --------------------------------------------------------- */
void index_add_range(struct index *ix, struct slice lo, const struct slice *hi);
/* Some keys of its ranges; NQ_AGAIN: there are more. */
NQ_MUST_USE nq_rc index_work_range(struct index *ix);
/* Keys up to there are in, at least. */
struct slice index_stand(const struct index *ix);
void index_end_wait(struct index *ix);

/* --- index_read.c --------------------------------------------------------- */
/* The entry of the key changes: readers that collect must know it. */
void index_tell_readers(struct index *ix, struct slice key);
void index_close_readers(struct index *ix);

/* --- for the rest of db/ -------------------------------------------------- */

/* A key changed, or may have. */
void index_note(struct indexes *x, uint32_t dbi, struct slice key);
static inline void
db_index_note(struct db *db, uint32_t dbi, struct slice key)
{
    if (nq_unlikely(db->indexes != NULL))
        index_note(db->indexes, dbi, key);
}
void db_index_on_flush(struct db *db, uint32_t dbi);
void db_index_on_swap(struct db *db, uint32_t a, uint32_t b);
/* `is_whole`: none of the range is left. */
void db_index_on_del_range(struct db *db, uint32_t dbi, struct slice lo,
                           const struct slice *hi, bool is_whole);
/* After each record of the log; NQ_AGAIN: there is too much to be entered. */
NQ_MUST_USE nq_rc db_index_on_replay(struct db *db);
/* Between commands: what changed is entered, and what waits for pages.  True:
 * more at once. */
bool db_index_background(struct db *db, uint64_t until_us);
bool db_index_has_work(const struct db *db);
/* When db_index_background() has something to do, wall ms; 0: nothing. */
uint64_t db_index_next_due(const struct db *db);
/* All that is to be done, but for building: NQ_AGAIN, NQ_MISS; for who wants
 * to compare. */
NQ_MUST_USE nq_rc db_index_drain(struct db *db, uint64_t until_us);
void db_write_indexes(struct db *db);
NQ_MUST_USE nq_rc db_load_indexes(struct db *db);
void db_indexes_close(struct db *db);

/* Its trees, for who walks all trees: n is 0 or 1. */
struct btree *index_tree(struct index *ix, unsigned n);

/* An index against the data, in slices; nothing is written meanwhile. */
struct index_check;
struct index_check *
index_check_new(struct index *ix, void (*finding)(void *arg, const char *text),
                void *arg);
/* NQ_AGAIN, NQ_MISS, NQ_EPOOL: go on; else it is over. */
NQ_MUST_USE nq_rc index_check_step(struct index_check *k, unsigned keys);
void index_check_free(struct index_check *k); /* of NULL: does nothing */

#endif
