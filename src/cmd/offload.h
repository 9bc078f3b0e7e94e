/* cmd/offload.h - a part of a command that a worker does, while its client
 * waits and everybody else goes on.
 *
 * Loop thread only, but for run().  An offload stands at the beginning of the
 * state of its request (req.state), and offload_free is that request's
 * free_state: should the client go meanwhile, the state lives until the
 * worker is done with it.
 *
 *   if (!offload_is_done(rq, &w->offload))    in each run of the handler
 *       return;                               waits
 *   ... what the worker made
 *   offload_start(rq, &w->offload);           and again: it waits or, inside
 *                                             MULTI, is done at once */
#ifndef NQ_CMD_OFFLOAD_H
#define NQ_CMD_OFFLOAD_H

#include "cmd/command.h"
#include "os/pool.h"

#define OFFLOAD_MAGIC 0x0ff10ad1u

struct offload {
    uint32_t magic;
    struct job job;
    struct engine *engine;
    uint64_t session_id;
    bool is_running, is_orphan;
    /* On a worker: sees nothing but what `o` belongs to, which nobody else
     * touches meanwhile. */
    void (*run)(struct offload *o);
    /* Frees what `o` belongs to. */
    void (*free)(struct offload *o);
};

/* `o` becomes the state of the request. */
void offload_init(struct req *rq, struct offload *o,
                  void (*run)(struct offload *o),
                  void (*free)(struct offload *o));
/* Does run(); true: it is done already, else the command waits and runs again
 * after it. */
bool offload_start(struct req *rq, struct offload *o);
/* False: a worker is at it; the command waits on. */
bool offload_is_done(struct req *rq, struct offload *o);
/* `p` is nobody's any more, and freeing it takes long: a worker does it. */
void offload_free(struct engine *e, void *p, void (*drop)(void *p));

#endif
