/* cmd/dispatch.h - from parsed commands to replies: the batch.
 *
 * Loop thread only.  Per loop turn, net collects calls from all ready
 * sessions, in client order, and hands them over in batches:
 *
 *   gates (known, arity, auth, loading, read-only, memory ...)
 *   PROBE    btree_probe over every key of the batch
 *   EXECUTE  the handlers, in order
 *
 * COMMIT (store_turn) and REPLY (conn) follow when the turn's calls are done.
 *
 * A command whose pages are not in memory is parked before it had any effect:
 * its call comes back CALL_KEPT, the session is SESSION_BLOCKED, the bytes
 * of the command stay in the connection's input, and are presented again
 * after ops->resume.  The same serves commands that work in slices
 * (req_yield) and commands that wait for an event (req_block).
 *
 * A command that waits for a key (cmd/wait_key.h) is CALL_DONE, its reply
 * follows when it was woken; SESSION_BLOCKED holds back what follows it. */
#ifndef NQ_CMD_DISPATCH_H
#define NQ_CMD_DISPATCH_H

#include "base/rc.h"
#include "base/slice.h"

struct engine;
struct session;
struct req;

#define BATCH_MAX 64

enum call_result { CALL_DONE, CALL_KEPT };

struct call {
    struct session *session;
    struct slice *argv; /* point into the connection's input; argc > 0 */
    uint32_t argc;
    enum call_result result; /* out */
};

/* Runs calls[0..n), n <= BATCH_MAX.  Once a session is blocked or closing,
 * its further calls in the batch come back CALL_KEPT.  Not to be called from
 * inside a command. */
void dispatch_batch(struct engine *e, struct call *calls, unsigned n);

/* A protocol error: puts Redis' error reply ("-ERR " and `what`); the
 * connection is to be closed after it is sent. */
void dispatch_protocol_error(struct session *s, const char *what);

/* For wait_key: runs again the command of a session that waits, with all that
 * belongs to a command that runs: its reply, if it comes to one, is put and
 * gated.  rq->outcome tells how it ended; it may be parked. */
void dispatch_woken(struct req *rq);
/* The same for one that waited in vain: a null array, or the error of `rc`.
 * May be called inside another session's command. */
void dispatch_end_wait(struct req *rq, nq_rc rc);

/* For EXEC: runs one queued command, gates passed, with all accounts. */
void dispatch_run(struct req *rq);

#endif
