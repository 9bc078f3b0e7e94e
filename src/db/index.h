/* db/index.h - secondary indexes: the keys of a prefix by the value of one
 * path of their rows.
 *
 * Loop thread only.  An index belongs to the data of a database: SWAPDB takes
 * it along, FLUSHDB empties it.  It says which keys may have a value, never
 * which ones have it: who reads by an index tests each row again.
 *
 *   D1  a row of the prefix that has a value of the index's kind at its path
 *       is found by that value, from the end of the turn on in which it was
 *       written (index_reader sees to what is not entered yet)
 *   D2  what is found may be gone, or have another value by now
 *
 * An index is made in the background and used when it is complete.  One whose
 * pages are damaged is not used any more until it is made anew; writes go on.
 */
#ifndef NQ_DB_INDEX_H
#define NQ_DB_INDEX_H

#include "base/buf.h"
#include "db/db.h"
#include "query/value.h"

#define INDEX_MAX 64u         /* in all databases together */
#define INDEX_NAME_MAX 128u   /* bytes */
#define INDEX_PREFIX_MAX 512u /* bytes */
#define INDEX_PATH_MAX 1024u  /* bytes */

enum index_kind {
    INDEX_NUMERIC, /* numbers, and fields of hashes that are one */
    INDEX_TEXT     /* texts, and all fields of hashes; by their first bytes */
};
enum index_state { INDEX_BUILDING, INDEX_READY, INDEX_DAMAGED };
const char *index_kind_name(enum index_kind kind);    /* "numeric", "text" */
const char *index_state_name(enum index_state state); /* "building" ... */

struct index;

struct index_def {
    struct slice name, prefix, path; /* path: as path_text() writes it */
    uint32_t dbi;
    enum index_kind kind;
};

struct index_info {
    struct index_def def; /* borrowed from the index */
    enum index_state state;
    uint64_t rows;         /* that it has; 0 as long as its root is not read */
    uint64_t mismatched;   /* rows whose value is not of its kind */
    uint64_t long_values;  /* rows whose value is too long to be looked at:
                              always told */
    uint64_t long_keys;    /* rows whose key is too long; with any of them it is
                              not used */
    uint64_t pending;      /* keys to be entered when pages were read */
    uint64_t built, total; /* keys looked at while building; about how many */
    bool is_stopped;       /* building, but somebody cancelled it */
    uint64_t seeks, found; /* times it was read, and keys that it told */
};

/* Logged.  NQ_EEXISTS: there is one of that name; NQ_ELIMIT: INDEX_MAX;
 * NQ_ESYNTAX: the path is none, or its value is no part of what is stored. */
NQ_MUST_USE nq_rc db_index_create(struct db *db, const struct index_def *def);
NQ_MUST_USE nq_rc db_index_drop(struct db *db, struct slice name);
NQ_MUST_USE nq_rc db_index_rebuild(struct db *db, struct slice name);
/* NULL: none. */
struct index *db_index_find(struct db *db, struct slice name);
/* Of all databases, in the order of their names; NULL: there are not so many.
 * Valid until the next create or drop. */
struct index *db_index_at(struct db *db, unsigned n);
unsigned db_index_count(const struct db *db);
void index_get_info(struct index *ix, struct index_info *out);
void index_get_def(const struct index *ix, struct index_def *out);
/* It is complete, sound, and knows all rows. */
bool index_is_usable(const struct index *ix);

/* --- bounds ----------------------------------------------------------------
 * Values have an order-preserving spelling, by which entries stand. */

#define INDEX_VALUE_MAX 136u /* bytes of one */

/* Half-open, as spellings; keys follow them in the tree. */
struct index_bounds {
    uint8_t lo[INDEX_VALUE_MAX + 1], hi[INDEX_VALUE_MAX + 1];
    uint8_t lo_len, hi_len;
};
/* One end of a range of values. */
struct index_end {
    const struct value *value; /* NULL: there is no bound */
    bool is_open;              /* the value itself is not meant */
};
/* All values between them, and, where a text is longer than its spelling, some
 * more.  False: none is that the index could have: a text for a numeric one,
 * or the wrong order. */
bool index_bounds_between(enum index_kind kind, const struct index_end *lo,
                          const struct index_end *hi, struct index_bounds *out);
/* All texts with that beginning. */
bool index_bounds_prefix(enum index_kind kind, const struct value *prefix,
                         struct index_bounds *out);
/* How many entries are there: O(log n), exact.  NQ_MISS. */
NQ_MUST_USE nq_rc index_count(struct index *ix, const struct index_bounds *b,
                              uint64_t *out);

/* --- reading ---------------------------------------------------------------
 * First all candidates are collected, in slices, then they are told in the
 * order of keys.  A row that has a value within the bounds from before the
 * first slice until the last one is among them, whatever else is written
 * meanwhile. */
struct index_reader;
struct index_read {
    struct index *index;
    const struct index_bounds *bounds; /* copied; they do not overlap */
    unsigned count;
    struct slice lo; /* keys of the range only; copied */
    const struct slice *hi;
    bool reverse;
    size_t limit; /* bytes of keys to be kept; 0: INDEX_READ_MAX */
};
#define INDEX_READ_MAX (64u << 20)
struct index_reader *index_reader_new(struct db *db,
                                      const struct index_read *what);
/* NQ_AGAIN: the time is up; NQ_MISS; NQ_OK: collected.  NQ_ETOOLONG: more than
 * the limit; NQ_ECLOSED: the index was dropped or emptied meanwhile;
 * NQ_ECORRUPT and NQ_EIO: it is damaged: then the range is to be read instead.
 */
NQ_MUST_USE nq_rc index_reader_collect(struct index_reader *r,
                                       uint64_t budget_us);
/* How many there are. */
size_t index_reader_count(const struct index_reader *r);
/* The next one, borrowed from the reader; false: no more. */
bool index_reader_next(struct index_reader *r, struct slice *key);
void index_reader_free(struct index_reader *r); /* of NULL: does nothing */

/* --- background ------------------------------------------------------------
 */

/* A slice of building; NQ_AGAIN: there is more, see *is_waiting (pages are
 * being read); NQ_OK: complete, or it is another index's turn; NQ_NOTFOUND: no
 * such index any more. */
NQ_MUST_USE nq_rc db_index_build(struct db *db, struct slice name,
                                 uint64_t budget_us, bool *is_waiting);
/* Whether somebody has to see to its building, which is the caller from now
 * on, until index_leave_job(). */
bool index_take_job(struct index *ix);
void db_index_leave_job(struct db *db, struct slice name);
/* It is not built any more, until it is made anew or a restart. */
void db_index_stop_build(struct db *db, struct slice name);
/* Writers must wait at their sockets: too many keys are to be entered when
 * their pages were read. */
bool db_index_is_throttling(const struct db *db);

#endif
