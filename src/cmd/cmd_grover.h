/* cmd/cmd_grover.h - what the commands of quantum search share: arguments,
 * waiting, replies.
 *
 *   NQ.GROVER          selector WHERE ... [MATCHES m | UNKNOWN] [COUNT c]
 *                      [ITERATIONS k | AUTO] [ENGINE AUTO | SIM | CLASSICAL]
 *                      [COMPLEX] [SEED s] [STATE] [ASYNC]
 *   NQ.GROVER.PLAN     the same; runs nothing
 *   NQ.GROVER.MIN      selector PATH p [WHERE ...] [ENGINE ...] [COMPLEX]
 *   NQ.GROVER.MAX      [SEED s] [ASYNC]
 *   NQ.GROVER.SPECTRUM selector WHERE ... [ITERATIONS k | AUTO] [COMPLEX]
 *                      [AMPLITUDES] [PLOT]
 *   NQ.GROVER.RESULT   job
 *
 * Loop thread only. */
#ifndef NQ_CMD_CMD_GROVER_H
#define NQ_CMD_CMD_GROVER_H

#include "cmd/grover_run.h"

struct grover_args {
    struct select sel;
    struct grover_query query;
    bool is_async, wants_plot;
};

/* False: an error is answered, or the command is parked for a page; there is
 * nothing to drop. */
bool grover_args_parse(struct req *rq, enum grover_kind kind,
                       struct grover_args *out);
void grover_args_drop(struct grover_args *args);

/* What came of it, as a map; or its error. */
void grover_reply(struct req *rq, const struct grover_run *r);
/* The same for a spectrum. */
void grover_reply_spectrum(struct req *rq, const struct grover_run *r,
                           bool as_plot);
/* What would be done, without doing it. */
void grover_reply_plan(struct req *rq, const struct grover *g,
                       const struct grover_query *q);

#endif
