/* db/db_check.h - the whole database, walked: trees, values, page table and
 * space.  Finds pages owned twice or by nobody.
 *
 * Loop thread.  The check goes in slices, for a server that answers others
 * meanwhile, or in one piece, for tools.  Nothing may be written from its
 * begin to its end. */
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
    uint64_t findings; /* reported */
};

struct db_check;

/* With `read_extents`, every page on disk is read and its checksum tested.
 * Each finding goes to report(arg, text). */
struct db_check *db_check_new(struct db *db, bool read_extents,
                              void (*report)(void *arg, const char *text),
                              void *arg);
/* One slice of about budget_us; the last step, against the page table, is one
 * piece.  NQ_AGAIN or NQ_MISS: go on; NQ_OK, or NQ_ECORRUPT if there was any
 * finding: finished; NQ_EPOOL: no memory for the next page just now. */
NQ_MUST_USE nq_rc db_check_step(struct db_check *c, uint64_t budget_us);
/* So far. */
const struct db_check_stats *db_check_get_stats(const struct db_check *c);
void db_check_free(struct db_check *c); /* db_check_free(NULL) does nothing */

/* All of it, reading what is not in memory on the spot.  NQ_OK, NQ_ECORRUPT
 * if there was any finding, or NQ_EIO ... if it could not go on. */
NQ_MUST_USE nq_rc db_check(struct db *db, bool read_extents,
                           void (*report)(void *arg, const char *text),
                           void *arg, struct db_check_stats *out);

#endif
