/* cmd/grover_async.c - quantum searches as jobs.
 *
 * A job's state is a *search* in the engine's list, the youngest first.  It
 * stays there when the job is over, until KEPT younger ones are. */
#include "cmd/grover_async.h"

#include "base/check.h"
#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/jobs.h"

#define KEPT 64u
#define RUNNING_MAX 16u

struct search_job {
    struct list link; /* in grover.searches */
    struct grover *grover;
    struct grover_run *run;
    uint64_t id;
    bool is_over;
};

static struct search_job *
job_of(struct list *it)
{
    return nq_container(it, struct search_job, link);
}

static void
forget(struct search_job *s)
{
    list_remove(&s->link);
    grover_run_free(s->run);
    nq_free(s);
}

static void
forget_old(struct grover *g)
{
    struct list *it = g->searches.next;

    for (unsigned over = 0; it != &g->searches;) {
        struct search_job *s = job_of(it);

        it = it->next;
        over += s->is_over;
        if (s->is_over && over > KEPT)
            forget(s);
    }
}

/* --- the job ---------------------------------------------------------------
 */

static nq_rc
on_step(struct jobs_run *job, void *arg)
{
    struct search_job *s = arg;

    switch (grover_run_step(s->run)) {
    case GROVER_WAITS:
        jobs_wait(job, -1);
        return NQ_AGAIN;
    case GROVER_MORE:
        return NQ_AGAIN;
    default:
        return grover_run_result(s->run)->rc;
    }
}

static void
on_progress(void *arg, struct jobs_progress *out)
{
    const struct search_job *s = arg;

    *out = (struct jobs_progress){
        .unit = "rows",
        .phase = grover_run_phase(s->run),
    };
}

static void
on_end(struct jobs_run *job, void *arg, enum jobs_state how, nq_rc rc)
{
    struct search_job *s = arg;
    const struct grover_result *res = grover_run_result(s->run);

    nq_unused(rc);
    if (how == JOBS_CANCELLED) {
        forget(s);
        return;
    }
    jobs_result(job, "%llu keys; %s; NQ.GROVER.RESULT tells more",
                (unsigned long long)res->key_count, res->reason);
    s->is_over = true;
    forget_old(s->grover);
}

static const struct jobs_kind kind = {
    .name = "grover",
    .step = on_step,
    .progress = on_progress,
    .end = on_end,
};

nq_rc
grover_async_start(struct engine *e, struct grover_run *r, uint64_t *id)
{
    struct search_job *s;
    unsigned running = 0;
    nq_rc rc;

    list_each(it, &e->grover->searches) running += !job_of(it)->is_over;
    if (running >= RUNNING_MAX)
        return NQ_EBUSY;
    s = nq_calloc(1, sizeof *s);
    s->grover = e->grover;
    s->run = r;
    list_push_front(&e->grover->searches, &s->link);
    rc = jobs_start(e->jobs, &kind, s, &s->id);
    nq_assert(rc == NQ_OK); /* they are not single */
    *id = s->id;
    return NQ_OK;
}

const struct grover_run *
grover_async_find(struct engine *e, uint64_t id)
{
    list_each(it, &e->grover->searches)
    {
        if (job_of(it)->id == id)
            return job_of(it)->run;
    }
    return NULL;
}

void
grover_forget_all(struct grover *g)
{
    while (!list_empty(&g->searches))
        forget(job_of(g->searches.next));
}
