/* cmd/gate.h - what a command must pass before it runs. */
#ifndef NQ_CMD_GATE_H
#define NQ_CMD_GATE_H

#include "cmd/command.h"

enum gate_verdict {
    GATE_RUN,
    GATE_QUEUE,  /* a MULTI is open: queue it */
    GATE_HOLD,   /* clients are paused: present it again later */
    GATE_REFUSED /* the error is put */
};

/* rq->cmd is what command_find_argv() gave, perhaps NULL. */
enum gate_verdict gate_check(struct req *rq);

#endif
