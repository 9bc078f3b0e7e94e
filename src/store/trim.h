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

struct trim {
    struct store *st;
    struct job job;
    bool is_busy;    /* nothing may be closed yet */
    bool punches;    /* storage.punch_holes */
    bool gives_all;  /* compaction: as much as can be, not what is worth it */
    nq_rc rc;        /* of the job */
    uint64_t cut_to; /* what the job does: cut there, or punch */
    unsigned runs_count;
    struct space_run runs[TRIM_RUNS];
    uint64_t cuts, punched; /* so far: times, bytes */
};

/* A checkpoint is done, and none runs: begins what is worth it. */
void trim_begin(struct trim *tr);

#endif
