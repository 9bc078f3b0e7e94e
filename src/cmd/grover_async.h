/* cmd/grover_async.h - quantum searches that no client waits for: jobs of
 * NQ.JOBS, whose results are kept for NQ.GROVER.RESULT.
 *
 * Loop thread only. */
#ifndef NQ_CMD_GROVER_ASYNC_H
#define NQ_CMD_GROVER_ASYNC_H

#include "cmd/grover_run.h"

/* Owns the run from now on, unless NQ_EBUSY: there are too many of them. */
NQ_MUST_USE nq_rc grover_async_start(struct engine *e, struct grover_run *r,
                                     uint64_t *id);
/* The run of that job, NULL: there is none, it was cancelled, or is so long
 * over that it is forgotten. */
const struct grover_run *grover_async_find(struct engine *e, uint64_t id);

#endif
