/* cmd/offload.c - work for a worker on behalf of a command that waits.
 *
 * The chain: offload_start -> run_job (a worker) -> job_done (the loop) ->
 * session_unblock -> the handler again, whose offload_is_done is true.  If the
 * client goes in between: free_state -> is_orphan -> job_done frees it. */
#include "cmd/offload.h"

#include "base/check.h"
#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/session.h"
#include "store/store.h"

static struct offload *
offload_of(struct job *j)
{
    struct offload *o = nq_container(j, struct offload, job);

    nq_assert(o->magic == OFFLOAD_MAGIC);
    return o;
}

static void
run_job(struct job *j)
{
    struct offload *o = offload_of(j);

    o->run(o);
}

static void
job_done(struct job *j)
{
    struct offload *o = offload_of(j);
    struct session *s;

    o->is_running = false;
    if (o->is_orphan) {
        o->free(o);
        return;
    }
    if ((s = session_by_id(o->engine, o->session_id)) != NULL)
        session_unblock(s);
}

static void
free_state(void *state)
{
    struct offload *o;

    NQ_CAST(o, state, OFFLOAD_MAGIC);
    if (o->is_running)
        o->is_orphan = true;
    else
        o->free(o);
}

void
offload_init(struct req *rq, struct offload *o, void (*run)(struct offload *o),
             void (*free)(struct offload *o))
{
    nq_assert(rq->state == NULL);
    *o = (struct offload){.magic = OFFLOAD_MAGIC,
                          .engine = rq->engine,
                          .session_id = rq->s->id,
                          .run = run,
                          .free = free};
    rq->state = o;
    rq->free_state = free_state;
}

bool
offload_start(struct req *rq, struct offload *o)
{
    nq_assert(rq->state == o && !o->is_running);
    if (rq->in_multi) {
        o->run(o);
        return true;
    }
    o->is_running = true;
    o->job = (struct job){.run = run_job, .done = job_done};
    pool_submit(store_workers(rq->engine->store), &o->job, POOL_LONG);
    req_block(rq);
    return false;
}

bool
offload_is_done(struct req *rq, struct offload *o)
{
    nq_assert(rq->state == o);
    if (o->is_running)
        req_block(rq);
    return !o->is_running;
}

/* --- freeing -------------------------------------------------------------- */

struct freeing {
    struct job job;
    void *p;
    void (*drop)(void *p);
};

static void
run_freeing(struct job *j)
{
    struct freeing *f = nq_container(j, struct freeing, job);

    f->drop(f->p);
}

static void
on_freed(struct job *j)
{
    nq_free(nq_container(j, struct freeing, job));
}

void
offload_free(struct engine *e, void *p, void (*drop)(void *p))
{
    struct freeing *f;

    if (e->store == NULL) {
        drop(p);
        return;
    }
    f = nq_malloc(sizeof *f);
    *f = (struct freeing){
        .job = {.run = run_freeing, .done = on_freed}, .p = p, .drop = drop};
    pool_submit(store_workers(e->store), &f->job, POOL_LONG);
}
