/* cmd/cmd_encrypt.c - NQ.ENCRYPT: STATUS, ROTATE MASTER, ROTATE DATA.
 *
 * ROTATE MASTER waits for its end, as SAVE does: the key comes from its
 * source on a worker, which may take as long as a command runs.  ROTATE DATA
 * answers the number of the job that does it. */
#include "cmd/cmd_encrypt.h"

#include <stdio.h>

#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/jobs.h"
#include "cmd/park.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "os/clock.h"
#include "store/rotate.h"

/* --- the job -------------------------------------------------------------- */

struct rotation {
    struct engine *engine;
    struct rotate *rotate;
};

static nq_rc
step(struct jobs_run *run, void *arg)
{
    struct rotation *r = arg;
    nq_rc rc;

    rotate_set_rate(r->rotate, jobs_rate(r->engine->jobs));
    rc = rotate_turn(r->rotate);
    if (rc == NQ_AGAIN && rotate_wait_ms(r->rotate) != 0)
        jobs_wait(run, rotate_wait_ms(r->rotate));
    return rc;
}

static void
progress(void *arg, struct jobs_progress *out)
{
    const struct rotation *r = arg;
    struct rotate_progress p;

    rotate_get_progress(r->rotate, &p);
    *out = (struct jobs_progress){
        .done = p.pages, .total = p.total, .unit = "pages", .phase = p.phase};
}

static void
end(struct jobs_run *run, void *arg, enum jobs_state how, nq_rc rc)
{
    struct rotation *r = arg;
    struct rotate_progress p;

    rotate_get_progress(r->rotate, &p);
    if (how == JOBS_DONE)
        jobs_result(run, "%llu pages have the new key",
                    (unsigned long long)p.total);
    else if (p.damaged > 0)
        jobs_result(run, "%llu pages could not be read; the old keys are kept",
                    (unsigned long long)p.damaged);
    else if (how == JOBS_FAILED)
        jobs_result(run, "%s; NQ.ENCRYPT ROTATE DATA goes on from here",
                    rc_text(rc));
    else
        jobs_result(run, "NQ.ENCRYPT ROTATE DATA or a restart goes on from "
                         "here");
    rotate_free(r->rotate);
    nq_free(r);
}

static const struct jobs_kind rotation_kind = {.name = "rotate",
                                               .is_single = true,
                                               .step = step,
                                               .progress = progress,
                                               .end = end};

nq_rc
encrypt_rotate_data(struct engine *e, uint64_t *id)
{
    struct rotation *r = nq_calloc(1, sizeof *r);
    nq_rc rc;

    r->engine = e;
    rc = rotate_new(e->store, &r->rotate);
    if (rc == NQ_OK)
        rc = jobs_start(e->jobs, &rotation_kind, r, id);
    if (rc != NQ_OK) {
        rotate_free(r->rotate);
        nq_free(r);
    }
    return rc;
}

/* --- STATUS --------------------------------------------------------------- */

static void
put_number(struct req *rq, const char *name, uint64_t v)
{
    reply_bulk_str(rq, name);
    reply_int(rq, (int64_t)v);
}

static uint64_t
age_s(uint64_t made_ms)
{
    uint64_t now = clock_wall_ms();

    return made_ms == 0 || made_ms > now ? 0 : (now - made_ms) / 1000;
}

void
cmd_nq_encrypt_status(struct req *rq)
{
    struct rotate_stats st;

    rotate_get_stats(rq->engine->store, &st);
    reply_map(rq, 11);
    put_number(rq, "encrypted", st.is_on);
    reply_bulk_str(rq, "algorithm");
    reply_bulk_str(rq, st.is_on ? "aes-256-gcm" : "");
    put_number(rq, "complete", st.is_complete);
    put_number(rq, "keys", st.keys);
    put_number(rq, "current-key", st.current);
    put_number(rq, "current-key-age", age_s(st.current_ms));
    put_number(rq, "oldest-key", st.oldest);
    put_number(rq, "oldest-key-age", age_s(st.oldest_ms));
    put_number(rq, "sealed-pages", st.extents);
    put_number(rq, "sealed-frames", st.frames);
    put_number(rq, "rotation-due", st.is_due);
}

/* --- ROTATE MASTER -------------------------------------------------------- */

/* Shared by the waiting command and the store, which calls back once. */
struct master_wait {
    struct engine *engine;
    uint64_t session_id;
    nq_rc rc;
    bool is_done;
    bool is_orphan; /* the client left: on_master() frees this */
    char why[ROTATE_WHY];
};

static void
leave_master(void *state)
{
    struct master_wait *w = state;

    if (w->is_done)
        nq_free(w);
    else
        w->is_orphan = true;
}

static void
on_master(void *arg, nq_rc rc, const char *why)
{
    struct master_wait *w = arg;
    struct session *s;

    if (w->is_orphan) {
        nq_free(w);
        return;
    }
    w->is_done = true;
    w->rc = rc;
    snprintf(w->why, sizeof w->why, "%s", why);
    s = session_by_id(w->engine, w->session_id);
    if (s != NULL)
        session_unblock(s);
}

static void
rotate_master_key(struct req *rq)
{
    struct master_wait *w = rq->state;

    if (w == NULL) {
        w = nq_calloc(1, sizeof *w);
        w->engine = rq->engine;
        w->session_id = rq->s->id;
        rq->state = w;
        rq->free_state = leave_master;
        rotate_master(rq->engine->store, rq->engine->host.fetch_master_key,
                      NULL, on_master, w);
    }
    if (!w->is_done)
        req_block(rq);
    else if (w->rc == NQ_OK)
        reply_ok(rq);
    else
        reply_error(rq, "%s", w->why);
}

/* --- ROTATE --------------------------------------------------------------- */

static void
rotate_data_keys(struct req *rq)
{
    uint64_t id = 0;
    nq_rc rc = encrypt_rotate_data(rq->engine, &id);

    if (rc == NQ_OK)
        reply_int(rq, (int64_t)id);
    else if (rc == NQ_EBUSY)
        reply_error(rq, "job %llu does that already", (unsigned long long)id);
    else if (rc == NQ_EINVAL)
        reply_error(rq, "the database is not encrypted");
    else
        reply_rc(rq, rc);
}

void
cmd_nq_encrypt_rotate(struct req *rq)
{
    if (slice_is(rq->argv[2], "MASTER"))
        rotate_master_key(rq);
    else if (slice_is(rq->argv[2], "DATA"))
        rotate_data_keys(rq);
    else
        reply_syntax(rq);
}

void
cmd_nq_encrypt_help(struct req *rq)
{
    static const char *const lines[] = {
        "STATUS",
        "    Whether what is on disk is encrypted, and with which keys; ages",
        "    are in seconds.",
        "ROTATE MASTER",
        "    Fetch the master key from its source again and seal the data",
        "    keys with it: a file or a command, as a variable is wiped when it",
        "    was read.  Keep the old key until this answers OK.",
        "ROTATE DATA",
        "    Write all pages again with a fresh data key, and forget the old",
        "    ones; answers the number of the job (NQ.JOBS).",
        NULL,
    };

    reply_help(rq, lines);
}
