/* cmd/grover_run_int.h - what the files of a quantum search share:
 * grover_run.c (its course), grover_gather.c (its rows), grover_work.c (the
 * simulation, on a worker).
 *
 *   I1  while is_working, the worker owns what stands below "the worker's",
 *       and nobody changes what it reads: query, rows' keys, numbers
 *   I2  `bytes` is what grover_reserve() gave; it is given back at the end,
 *       and never before the worker is done */
#ifndef NQ_CMD_GROVER_RUN_INT_H
#define NQ_CMD_GROVER_RUN_INT_H

#include "base/list.h"
#include "base/sm.h"
#include "cmd/engine.h"
#include "cmd/grover_run.h"
#include "cmd/matching.h"
#include "os/pool.h"

#define GROVER_RUN_MAGIC 0x6720767eu

/* A path whose numbers are told; shared with matchings, which may outlive the
 * run. */
struct grover_path {
    struct path *path;
    unsigned refs;
};

struct grover_run {
    uint32_t magic;
    struct engine *engine;
    struct list link; /* in grover.runs, until it is over */
    uint32_t dbi;
    struct grover_query query;
    uint64_t session_id;
    struct sm sm;
    struct grover_result result;
    struct grover_plan plan;
    struct program *where; /* NULL: none */
    struct grover_path *path;
    struct buf lo, hi;
    bool has_hi;
    uint64_t bytes; /* I2 */

    /* --- rows ------------------------------------------------------------ */
    struct matching *rows; /* BITS: kept, its keys are used */
    enum matching_what what;
    uint64_t scan_began;
    bool is_crowded;    /* keys or numbers took more memory than they may */
    struct buf keys;    /* of rows with a number */
    double *numbers;    /* one for each of them */
    uint64_t room;      /* of numbers */
    struct buf best;    /* LEAST, GREATEST: the key of the scan's answer */
    double best_number; /* valid only if there are rows */

    /* --- verification ---------------------------------------------------- */
    struct matching *check;
    struct buf checked; /* the key that it is about */
    size_t verified;    /* bytes of `measured` */

    /* --- the worker's ---------------------------------------------------- */
    struct job job;
    bool is_working, is_orphan;
    atomic_bool cancel;
    struct oracle all;  /* as gathered */
    struct oracle left; /* without what was measured */
    struct search *search;
    struct search_least least;
    struct amplitudes *spectrum;
    uint64_t *starts; /* of every GROVER_STRIDEth key in matching_keys() */
    enum search_end end;
    struct buf measured;      /* keys: varint length and bytes, each */
    uint64_t measured_count;  /* all in all */
    uint64_t measured_before; /* of them, before the worker began last */
    uint64_t measured_row;    /* LEAST, GREATEST */
    uint64_t wanted;          /* this time */
    uint64_t max_iterations;  /* of the settings, when it was decided */
};

#define GROVER_STRIDE 64u

/* matching_opts.wake */
void grover_run_wake(void *arg);

/* --- grover_gather.c ------------------------------------------------------ */

/* The rows of the range, as the plan wants them. */
void grover_gather_begin(struct grover_run *r);
/* NQ_OK: all are there.  NQ_AGAIN: will be woken.  NQ_EHELD: more at once. */
NQ_MUST_USE nq_rc grover_gather(struct grover_run *r);
/* A matching of one key alone.  Its rows tell their number if there is a
 * path. */
struct matching *grover_gather_one(struct grover_run *r, struct slice key);
void grover_gather_end(struct grover_run *r);

/* --- grover_work.c -------------------------------------------------------- */

/* On a worker, for some milliseconds: appends to `measured` what a simulation,
 * or else the order of keys, has to say; up to `wanted`.  r->end tells whether
 * it is to be called again (SEARCH_PAUSED). */
void grover_work(struct grover_run *r);
void grover_work_end(struct grover_run *r);

#endif
