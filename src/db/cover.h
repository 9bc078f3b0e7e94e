/* db/cover.h - ranges of keys whose every change is told in the log
 * (db/change.h).
 *
 * Loop thread only.  A cover is durable: it is made by an effect in the log
 * and is part of each checkpoint, so that what happens between a crash and the
 * return of its readers is told, too.  A cover that nobody uses lingers, then
 * goes.
 *
 * Positions are LSNs.  A position p stands for "all changes with an LSN up to
 * p, and none behind it". */
#ifndef NQ_DB_COVER_H
#define NQ_DB_COVER_H

#include "db/db.h"

/* Keys of one database from lo (inclusive) to hi (exclusive). */
struct key_range {
    uint32_t db;
    struct slice lo, hi;
    bool has_hi; /* false: no upper end */
};
bool key_range_has(const struct key_range *r, uint32_t db, struct slice key);

struct cover;

/* From now on each change of a key of the range is told, until it is dropped
 * as often as it was taken, and some time after.  Users of the same range
 * share one cover.  As an effect of the running command this is settled with
 * db_gate().  NQ_EREADONLY, NQ_ENOSPC; NQ_EFULL: COVERS_MAX of them; NQ_EINVAL:
 * the range is empty. */
#define COVERS_MAX 100000u
NQ_MUST_USE nq_rc db_cover_take(struct db *db, const struct key_range *r,
                                struct cover **out);
void db_cover_drop(struct db *db, struct cover *c, uint64_t now_ms);
/* The first position from which on all changes of the range are told, by
 * whatever covers there are; NQ_NOTFOUND: now they are not. */
NQ_MUST_USE nq_rc db_cover_since(struct db *db, const struct key_range *r,
                                 lsn *out);
/* Ends covers that nobody used for `linger_ms`; those that came with the
 * database count from the first call on. */
void db_cover_sweep(struct db *db, uint64_t now_ms, uint64_t linger_ms);

struct cover_stats {
    uint32_t covers, used;
    lsn oldest; /* the least `since` of all; 0: there is none */
};
void db_cover_get_stats(const struct db *db, struct cover_stats *out);

#endif
