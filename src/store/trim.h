/* store/trim.h - free parts of the data file given back to the file system:
 * its end is cut off, long holes inside it are punched.
 *
 * Loop thread only.  Free sectors are named by nothing that recovery could
 * need, so this may be done at any time; after a checkpoint there are most. */
#ifndef NQ_STORE_TRIM_H
#define NQ_STORE_TRIM_H

#include "os/pool.h"
#include "store/space.h"

#define TRIM_RUNS 64u /* holes punched at a time */

struct store;

enum trim_mode {
    TRIM_USUAL, /* what is worth it */
    TRIM_CUT,   /* the end, however little it is; no holes, as pages are to
                   move there */
    TRIM_ALL,   /* as much as can be */
};

struct trim {
    struct store *st;
    struct job job;
    bool is_busy; /* nothing may be closed yet */
    bool punches; /* storage.punch_holes */
    enum trim_mode mode;
    nq_rc rc;        /* of the job */
    uint64_t cut_to; /* what the job does: cut there, or punch */
    unsigned runs_count;
    struct space_run runs[TRIM_RUNS];
    uint64_t cuts, punched; /* so far: times, bytes */
};

/* Begins what there is to do, unless some of it is under way. */
void trim_begin(struct trim *tr);

#endif
