/* db/db_check.h - the whole database, walked: data file, trees, values, page
 * table and space.  Names what is damaged and the keys that it costs; mends
 * what can be mended.
 *
 * Loop thread.  The check goes in slices, for a server that answers others
 * meanwhile, or in one piece, for tools.  Reading the data file is done by
 * workers while others write; from db_check_needs_still() on nothing may be
 * written until the end. */
#ifndef NQ_DB_DB_CHECK_H
#define NQ_DB_DB_CHECK_H

#include "base/rc.h"
#include "store/btree_check.h"

struct db;

struct db_check_stats {
    /* Of all databases and their collections; height: the greatest; records:
     * keys alone. */
    struct btree_stats trees;
    uint64_t collections; /* trees of their own */
    uint64_t items;       /* in those */
    uint64_t blobs, blob_bytes;
    uint64_t pages;    /* owned by trees and values */
    uint64_t extents;  /* read */
    uint64_t damaged;  /* pages */
    uint64_t repaired; /* pages that were, and are not any more */
    uint64_t skipped;  /* collections too long for all that is to be seen of
                          their kind, in slices */
    uint64_t findings; /* reported */
};

/* What was found; valid during report(). */
struct db_finding {
    const char *text; /* all of it in a line */
    const char *kind; /* "leaf", "inner", "root" (one of those), "chunk",
                         "index" (of a big value), "tail" (of a long key),
                         "part" (of the file that is no page), "page"; or what
                         is wrong with no page: "tree", "value", "space" */
    pgno page;        /* 0: none */
    uint64_t offset;  /* in the data file; 0: not on disk */
    const char *problem;
    bool has_values; /* the two below */
    uint64_t expected, found;
    int64_t database;    /* -1: of none */
    const char *keys;    /* what it covers, in words; "": not known */
    const char *outcome; /* "lost", "repairable", "repaired" */
};

struct db_check_opts {
    bool read_extents; /* every page on disk is read */
    bool repair;       /* what can be, is written anew; with read_extents */
    /* In one piece: everything stands still, what is missing is read on the
     * spot (frames_set_blocking), long collections are looked at to the end.
     */
    bool is_whole;
    void (*report)(void *arg, const struct db_finding *f);
    /* A worker has come back, there is something to do; NULL: not told. */
    void (*on_progress)(void *arg);
    void *arg;
};

struct db_check;

struct db_check *db_check_new(struct db *db, const struct db_check_opts *opts);
/* One slice of about budget_us.  NQ_AGAIN (see db_check_wait_ms) or NQ_MISS:
 * go on; NQ_OK, or NQ_ECORRUPT if there was any finding: finished; NQ_EPOOL:
 * no memory for the next page just now. */
NQ_MUST_USE nq_rc db_check_step(struct db_check *c, uint64_t budget_us);
/* When to call again: 0 at once; -1: when a worker is back; else in ms. */
int db_check_wait_ms(const struct db_check *c);
bool db_check_needs_still(const struct db_check *c);
/* "extents", "trees", "table"; how much of that is done. */
const char *db_check_progress(const struct db_check *c, uint64_t *done,
                              uint64_t *total);
void db_check_set_rate(struct db_check *c, uint64_t bytes_per_s);
/* So far. */
const struct db_check_stats *db_check_get_stats(const struct db_check *c);
void db_check_free(struct db_check *c); /* db_check_free(NULL) does nothing */

/* All of it, reading what is not in memory on the spot.  NQ_OK, NQ_ECORRUPT
 * if there was any finding, or NQ_EIO ... if it could not go on. */
NQ_MUST_USE nq_rc db_check(struct db *db, const struct db_check_opts *opts,
                           struct db_check_stats *out);

/* What a page of that range covers, in words, zero-ended: of a database, or
 * (key.p not NULL) of the private tree of that key. */
struct buf;
void db_describe_range(struct buf *out, uint32_t dbi, uint8_t type,
                       struct slice key, const struct btree_range *r);

#endif
