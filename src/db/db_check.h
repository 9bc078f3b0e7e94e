/* db/db_check.h - the whole database, walked: trees, values, page table and
 * space.  Finds pages owned twice or by nobody.
 *
 * Loop thread; reads what is not in memory on the spot, so it holds up
 * whatever else runs. */
#ifndef NQ_DB_DB_CHECK_H
#define NQ_DB_DB_CHECK_H

#include "base/rc.h"
#include "store/btree.h"

struct db;

struct db_check_stats {
    struct btree_stats trees; /* of all databases; height: the greatest */
    uint64_t blobs, blob_bytes;
    uint64_t pages;    /* owned by trees and values */
    uint64_t findings; /* reported */
};

/* With `read_extents`, every page on disk is read and its checksum tested.
 * Each finding goes to report(arg, text).  NQ_OK, NQ_ECORRUPT if there was
 * any, or NQ_EIO ... if it could not go on. */
NQ_MUST_USE nq_rc db_check(struct db *db, bool read_extents,
                           void (*report)(void *arg, const char *text),
                           void *arg, struct db_check_stats *out);

#endif
