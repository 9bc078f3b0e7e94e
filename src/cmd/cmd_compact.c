/* cmd/cmd_compact.c - NQ.COMPACT [FULL] [RATE mb/s] [ASYNC | SYNC].
 *
 * The work is a job; a SYNC command waits for it with its client, and answers
 * what came of it.  A client that leaves does not end it, CANCEL does. */
#include "cmd/cmd_compact.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/jobs.h"
#include "cmd/park.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "db/compact.h"

#define MB (1u << 20)
#define PAUSED_MS 20 /* between looks at a pause of writers */

/* The job; shared with a command that waits for its end. */
struct compact_run {
    struct engine *engine;
    struct compact *compact; /* NULL: it is over */
    bool has_rate;           /* of its own */
    uint64_t session_id;     /* that waits; 0: none */
    uint64_t id;
    struct compact_progress last;
    enum jobs_state how;
    nq_rc rc;
};

/* --- the job --------------------------------------------------------------
 */

static nq_rc
on_step(struct jobs_run *job, void *arg)
{
    struct compact_run *r = arg;
    nq_rc rc;

    /* Whoever has writers wait wants trees that stand still. */
    if (r->engine->pause_until_ms != 0) {
        jobs_wait(job, PAUSED_MS);
        return NQ_AGAIN;
    }
    if (!r->has_rate)
        compact_set_rate(r->compact, jobs_rate(r->engine->jobs));
    rc = compact_step(r->compact);
    if (rc == NQ_AGAIN)
        jobs_wait(job, compact_wait_ms(r->compact));
    return rc;
}

static void
on_progress(void *arg, struct jobs_progress *out)
{
    struct compact_run *r = arg;

    compact_get_progress(r->compact, &r->last);
    *out = (struct jobs_progress){
        .done = r->last.done,
        .total = r->last.total,
        .unit = "pages",
        .phase = r->last.phase,
    };
}

static void
on_end(struct jobs_run *job, void *arg, enum jobs_state how, nq_rc rc)
{
    struct compact_run *r = arg;
    struct session *s = NULL;

    compact_free(r->compact, rc != NQ_ECLOSED);
    r->compact = NULL;
    r->how = how;
    r->rc = rc;
    if (how == JOBS_DONE)
        jobs_result(job,
                    "%llu pages packed away, %llu moved; data file %llu -> "
                    "%llu bytes",
                    (unsigned long long)r->last.packed_away,
                    (unsigned long long)r->last.moved,
                    (unsigned long long)r->last.file_before,
                    (unsigned long long)r->last.file_now);
    if (r->session_id == 0) {
        nq_free(r);
        return;
    }
    s = session_by_id(r->engine, r->session_id);
    if (s != NULL)
        session_unblock(s);
}

static const struct jobs_kind kind = {
    .name = "compact",
    .is_single = true,
    .step = on_step,
    .progress = on_progress,
    .end = on_end,
};

static nq_rc
start(struct engine *e, const struct compact_opts *opts, bool has_rate,
      struct compact_run **out)
{
    struct compact_run *r = nq_calloc(1, sizeof *r);
    struct compact_opts o = *opts;
    nq_rc rc;

    if (!has_rate)
        o.bytes_per_s = jobs_rate(e->jobs);
    r->engine = e;
    r->has_rate = has_rate;
    rc = jobs_start(e->jobs, &kind, r, &r->id);
    if (rc == NQ_OK)
        r->compact = compact_new(e->db, &o);
    else
        nq_free(r);
    *out = rc == NQ_OK ? r : NULL;
    return rc;
}

void
compact_resume(struct engine *e)
{
    struct compact_opts opts;
    struct compact_run *r;

    if (!compact_is_unfinished(e->db, &opts))
        return;
    log_notice("goes on with the compaction that the last end interrupted");
    (void)!start(e, &opts, false, &r);
}

/* --- the command ----------------------------------------------------------
 */

/* The client left, or was answered. */
static void
leave(void *state)
{
    struct compact_run *r = state;

    if (r->compact == NULL)
        nq_free(r);
    else
        r->session_id = 0;
}

static bool
parse(struct req *rq, struct compact_opts *o, bool *has_rate, bool *is_async)
{
    int64_t mb;

    *o = (struct compact_opts){.full = false};
    *has_rate = *is_async = false;
    for (uint32_t i = 1; i < rq->argc; i++) {
        struct slice word = rq->argv[i];

        if (slice_is(word, "full")) {
            o->full = true;
        } else if (slice_is(word, "async")) {
            *is_async = true;
        } else if (slice_is(word, "sync")) {
            *is_async = false;
        } else if (slice_is(word, "rate") && i + 1 < rq->argc &&
                   slice_to_i64(rq->argv[i + 1], &mb) && mb >= 0 &&
                   mb <= INT32_MAX) {
            o->bytes_per_s = (uint64_t)mb * MB;
            *has_rate = true;
            i++;
        } else {
            return false;
        }
    }
    return true;
}

static void
put_number(struct req *rq, const char *name, uint64_t v)
{
    reply_bulk_str(rq, name);
    reply_int(rq, (int64_t)v);
}

static void
reply_done(struct req *rq, const struct compact_run *r)
{
    if (r->how == JOBS_CANCELLED) {
        reply_error(rq, "job %llu was cancelled; what it did stays",
                    (unsigned long long)r->id);
        return;
    }
    if (r->rc != NQ_OK) {
        reply_rc(rq, r->rc);
        return;
    }
    reply_map(rq, 7);
    put_number(rq, "job", r->id);
    put_number(rq, "pages-packed-away", r->last.packed_away);
    put_number(rq, "pages-moved", r->last.moved);
    put_number(rq, "bytes-written", r->last.moved_bytes);
    put_number(rq, "damaged-pages", r->last.damaged);
    put_number(rq, "file-bytes-before", r->last.file_before);
    put_number(rq, "file-bytes-now", r->last.file_now);
}

/* True: the command goes on with rq->state, to wait for it. */
static bool
begin(struct req *rq)
{
    struct compact_opts o;
    struct compact_run *r;
    bool has_rate, is_async;
    nq_rc rc;

    if (!parse(rq, &o, &has_rate, &is_async)) {
        reply_syntax(rq);
        return false;
    }
    if ((rc = start(rq->engine, &o, has_rate, &r)) != NQ_OK) {
        reply_rc(rq, rc);
        return false;
    }
    if (is_async) {
        reply_int(rq, (int64_t)r->id);
        return false;
    }
    r->session_id = rq->s->id;
    rq->state = r;
    rq->free_state = leave;
    return true;
}

void
cmd_nq_compact(struct req *rq)
{
    struct compact_run *r;

    if (rq->state == NULL && !begin(rq))
        return;
    r = rq->state;
    if (r->compact != NULL)
        req_block(rq);
    else
        reply_done(rq, r);
}
