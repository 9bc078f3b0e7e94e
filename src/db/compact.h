/* db/compact.h - NQ.COMPACT and nqdb-cli compact: trees packed into as few
 * pages as they need, then the data file made as small as those.
 *
 * Loop thread only, in slices, beside everything else; nothing is logged.
 * Where it is stands in the catalog, so one that a restart ended can go on:
 * db_compact_unfinished() tells. */
#ifndef NQ_DB_COMPACT_H
#define NQ_DB_COMPACT_H

#include "base/rc.h"

#include <stdbool.h>
#include <stdint.h>

struct compact;
struct db;

struct compact_opts {
    bool full;            /* write every page again, in the settings of now */
    uint64_t bytes_per_s; /* 0: as fast as it goes */
    uint32_t from;        /* of a full one: where an earlier one stood; or 0 */
};

struct compact_progress {
    const char *phase;    /* "packing", "checkpoint", "rewriting", "moving" */
    uint64_t done, total; /* pages of the phase; total 0: not known */
    uint64_t packed_away; /* pages that trees do not need any more */
    uint64_t moved, moved_bytes; /* written again */
    uint64_t damaged;            /* pages that cannot be read, and stay */
    uint64_t file_before, file_now;
};

struct compact *compact_new(struct db *db, const struct compact_opts *opts);
/* At any time, then what is done stays; `is_over`: it is not to go on after a
 * restart.  Of NULL: does nothing. */
void compact_free(struct compact *c, bool is_over);
/* One slice of at most half a millisecond.  NQ_AGAIN: there is more, see
 * compact_wait_ms(); damaged trees are left as they are and logged; other
 * failures end it. */
NQ_MUST_USE nq_rc compact_step(struct compact *c);
/* 0: at once; -1: when a worker is done; else in so many milliseconds. */
int compact_wait_ms(const struct compact *c);
void compact_set_rate(struct compact *c, uint64_t bytes_per_s);
void compact_get_progress(const struct compact *c,
                          struct compact_progress *out);
/* Whether one was under way when the last checkpoint was made, and how. */
bool compact_is_unfinished(struct db *db, struct compact_opts *out);

#endif
