/* cmd/cmd_jobs.c - NQ.JOBS: what maintenance runs, ran, and how it went. */
#include "cmd/jobs.h"

#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"

struct listing {
    struct req *rq;
    uint64_t count;
};

static void
put_number(struct req *rq, const char *name, int64_t v)
{
    reply_bulk_str(rq, name);
    reply_int(rq, v);
}

static void
put_text(struct req *rq, const char *name, const char *v)
{
    reply_bulk_str(rq, name);
    reply_bulk_str(rq, v == NULL ? "" : v);
}

static double
percent(const struct jobs_info *i)
{
    const struct jobs_progress *p = &i->progress;

    if (i->state == JOBS_DONE)
        return 100;
    return p->total == 0 ? 0 : 100 * (double)p->done / (double)p->total;
}

static void
put_info(void *arg, const struct jobs_info *i)
{
    struct listing *l = arg;
    struct req *rq = l->rq;

    l->count++;
    reply_map(rq, 13);
    put_number(rq, "id", (int64_t)i->id);
    put_text(rq, "kind", i->kind);
    put_text(rq, "state", jobs_state_name(i->state));
    put_text(rq, "phase", i->progress.phase);
    put_number(rq, "done", (int64_t)i->progress.done);
    put_number(rq, "total", (int64_t)i->progress.total);
    put_text(rq, "unit", i->progress.unit);
    reply_bulk_str(rq, "percent");
    reply_bulk_printf(rq, "%.1f", percent(i));
    reply_bulk_str(rq, "rate");
    reply_bulk_printf(rq, "%.0f", i->rate);
    put_number(rq, "started", (int64_t)(i->started_wall_ms / 1000));
    put_number(rq, "took-ms", (int64_t)i->took_ms);
    put_number(rq, "eta-ms", i->eta_ms);
    put_text(rq, "result", i->result);
}

void
cmd_nq_jobs(struct req *rq)
{
    struct reply_deferred d = reply_array_begin(rq);
    struct listing l = {.rq = rq};

    jobs_each(rq->engine->jobs, put_info, &l);
    reply_array_end(rq, d, l.count);
}

/* PAUSE, RESUME and CANCEL. */
static void
steer(struct req *rq, nq_rc (*how)(struct jobs *j, uint64_t id))
{
    int64_t id;
    nq_rc rc;

    if (!slice_to_i64(rq->argv[2], &id) || id < 1) {
        reply_error(rq, "the id of a job is a positive number; see NQ.JOBS");
        return;
    }
    rc = how(rq->engine->jobs, (uint64_t)id);
    if (rc == NQ_OK)
        reply_ok(rq);
    else if (rc == NQ_NOTFOUND)
        reply_error(rq, "no job %lld is under way", (long long)id);
    else
        reply_error(rq, "job %lld can be neither paused nor cancelled",
                    (long long)id);
}

void
cmd_nq_jobs_pause(struct req *rq)
{
    steer(rq, jobs_pause);
}

void
cmd_nq_jobs_resume(struct req *rq)
{
    steer(rq, jobs_resume);
}

void
cmd_nq_jobs_cancel(struct req *rq)
{
    steer(rq, jobs_cancel);
}

void
cmd_nq_jobs_help(struct req *rq)
{
    static const char *const lines[] = {
        "LIST",
        "    What runs, what is always there (id 0), and what ended last; the",
        "    same without a word.",
        "PAUSE <id>",
        "    Hold a job; what it did so far stays.",
        "RESUME <id>",
        "    Let it go on.",
        "CANCEL <id>",
        "    End it; what it did so far stays.",
        NULL,
    };

    reply_help(rq, lines);
}
