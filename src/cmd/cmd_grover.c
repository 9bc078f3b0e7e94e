/* cmd/cmd_grover.c - NQ.GROVER, NQ.GROVER.MIN, .MAX, .SPECTRUM and .RESULT.
 *
 * A search is a run (cmd/grover_run.h); the command makes its steps, or with
 * ASYNC gives it to a job.  A client that goes takes its run with it. */
#include "cmd/cmd_grover.h"

#include "base/check.h"
#include "cmd/engine.h"
#include "cmd/grover_async.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "cmd/session.h"

static void
free_run(void *state)
{
    grover_run_free(state);
}

static void
begin_async(struct req *rq, struct grover_run *run)
{
    uint64_t id;
    nq_rc rc = grover_async_start(rq->engine, run, &id);

    if (rc == NQ_OK) {
        reply_int(rq, (int64_t)id);
        return;
    }
    grover_run_free(run);
    reply_error(rq, "-BUSY too many searches are under way; see NQ.JOBS");
}

static void
begin(struct req *rq, enum grover_kind kind)
{
    struct grover_args args;
    struct grover_run *run;

    if (!grover_args_parse(rq, kind, &args))
        return;
    run = grover_run_new(rq->engine, rq->dbi, &args.sel, &args.query,
                         args.is_async ? 0 : rq->s->id);
    if (args.is_async) {
        begin_async(rq, run);
        return;
    }
    rq->state = run;
    rq->free_state = free_run;
}

/* A run that is over, NULL: it is not, or there is none. */
static const struct grover_run *
serve(struct req *rq, enum grover_kind kind)
{
    rq->ends_with_client = true;
    if (rq->state == NULL)
        begin(rq, kind);
    if (rq->state == NULL)
        return NULL;
    switch (grover_run_step(rq->state)) {
    case GROVER_WAITS:
        req_block(rq);
        return NULL;
    case GROVER_MORE:
        req_yield(rq);
        return NULL;
    default:
        return rq->state;
    }
}

static void
serve_map(struct req *rq, enum grover_kind kind)
{
    const struct grover_run *run = serve(rq, kind);

    if (run != NULL)
        grover_reply(rq, run);
}

void
cmd_nq_grover(struct req *rq)
{
    serve_map(rq, GROVER_FIND);
}

void
cmd_nq_grover_min(struct req *rq)
{
    serve_map(rq, GROVER_LEAST);
}

void
cmd_nq_grover_max(struct req *rq)
{
    serve_map(rq, GROVER_GREATEST);
}

static bool
has_word(const struct req *rq, const char *word)
{
    for (uint32_t i = 1; i < rq->argc; i++) {
        if (slice_is(rq->argv[i], word))
            return true;
    }
    return false;
}

void
cmd_nq_grover_spectrum(struct req *rq)
{
    const struct grover_run *run = serve(rq, GROVER_SPECTRUM);

    /* What follows WHERE can not be that word: it would end it. */
    if (run != NULL)
        grover_reply_spectrum(rq, run, has_word(rq, "PLOT"));
}

/* NQ.GROVER.RESULT job: what a search with ASYNC came to. */
void
cmd_nq_grover_result(struct req *rq)
{
    const struct grover_run *run;
    int64_t id;

    if (!slice_to_i64(rq->argv[1], &id) || id < 1) {
        reply_error(rq, "the id of a job is a positive number; see NQ.JOBS");
        return;
    }
    run = grover_async_find(rq->engine, (uint64_t)id);
    if (run == NULL)
        reply_error(rq, "no result of a job %lld is kept", (long long)id);
    else if (!grover_run_is_over(run))
        reply_error(rq, "-NOTREADY job %lld is in its %s", (long long)id,
                    grover_run_phase(run));
    else
        grover_reply(rq, run);
}

/* NQ.GROVER.PLAN: what NQ.GROVER would do with these arguments, and why. */
void
cmd_nq_grover_plan(struct req *rq)
{
    const struct grover *g = rq->engine->grover;
    struct grover_args args;

    if (!grover_args_parse(rq, GROVER_FIND, &args))
        return;
    grover_reply_plan(rq, g, &args.query);
    grover_args_drop(&args);
}
