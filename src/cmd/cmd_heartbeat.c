/* cmd/cmd_heartbeat.c - NQ.HEARTBEAT: what a push client says of its
 * heartbeats (cmd/push.h). */
#include "cmd/handlers.h"

#include "cmd/command.h"
#include "cmd/push.h"
#include "cmd/reply.h"
#include "cmd/session.h"

static const char *const modes[] = {
    [PUSH_AUTO] = "auto",
    [PUSH_ON] = "on",
    [PUSH_OFF] = "off",
};

/* NQ.HEARTBEAT: "auto", "on" or "off".  NQ.HEARTBEAT ON: send them always; I
 * answer.  OFF: send none.  AUTO: as long as there is a feed, and I need not
 * answer. */
void
cmd_nq_heartbeat(struct req *rq)
{
    if (rq->argc > 2) {
        reply_wrong_arity(rq);
        return;
    }
    if (rq->argc == 1) {
        reply_bulk_str(rq, modes[push_heartbeat_of(rq->s)]);
        return;
    }
    for (unsigned i = 0; i < nq_countof(modes); i++) {
        if (!slice_is(rq->argv[1], modes[i]))
            continue;
        if (push_set_heartbeat(rq->s, (enum push_heartbeat)i))
            reply_ok(rq);
        else
            reply_error(rq, PUSH_TOO_MANY);
        return;
    }
    reply_syntax(rq);
}
