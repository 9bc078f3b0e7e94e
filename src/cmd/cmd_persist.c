/* cmd/cmd_persist.c - checkpoints and waiting for the log: SAVE, BGSAVE,
 * BGREWRITEAOF, NQ.CHECKPOINT, LASTSAVE, WAIT, WAITAOF.
 *
 * A command that waits runs twice or more; its state says what it waits for.
 * Deadlines are monotonic, as those of req_block_until(). */
#include "base/mem.h"
#include "cmd/args.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/park.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "os/clock.h"
#include "store/store.h"

/* --- checkpoints --------------------------------------------------------- */

/* Shared by the waiting command and the store, which calls back once. */
struct save_wait {
    struct engine *engine;
    uint64_t session_id;
    nq_rc rc;
    bool is_done;
    bool is_orphan; /* the client left: on_saved() frees this */
};

static void
leave_save(void *state)
{
    struct save_wait *w = state;

    if (w->is_done)
        nq_free(w);
    else
        w->is_orphan = true;
}

static void
on_saved(void *arg, nq_rc rc)
{
    struct save_wait *w = arg;
    struct session *s;

    if (w->is_orphan) {
        nq_free(w);
        return;
    }
    w->is_done = true;
    w->rc = rc;
    s = session_by_id(w->engine, w->session_id);
    if (s != NULL)
        session_unblock(s);
}

void
cmd_save(struct req *rq)
{
    struct save_wait *w = rq->state;

    if (w == NULL) {
        w = nq_calloc(1, sizeof *w);
        w->engine = rq->engine;
        w->session_id = rq->s->id;
        rq->state = w;
        rq->free_state = leave_save;
        store_checkpoint(rq->engine->store, on_saved, w);
    }
    if (!w->is_done)
        req_block(rq);
    else if (w->rc == NQ_OK)
        reply_ok(rq);
    else
        reply_rc(rq, w->rc);
}

void
cmd_nq_checkpoint(struct req *rq)
{
    cmd_save(rq);
}

void
cmd_bgsave(struct req *rq)
{
    bool is_schedule = rq->argc == 2 && slice_is(rq->argv[1], "schedule");

    if (rq->argc > 2 || (rq->argc == 2 && !is_schedule)) {
        reply_syntax(rq);
        return;
    }
    if (store_checkpoint_running(rq->engine->store) && !is_schedule) {
        reply_error(rq, "Background save already in progress");
        return;
    }
    store_checkpoint(rq->engine->store, NULL, NULL);
    reply_status(rq, "Background saving started");
}

void
cmd_bgrewriteaof(struct req *rq)
{
    store_checkpoint(rq->engine->store, NULL, NULL);
    reply_status(rq, "Background append only file rewriting started");
}

void
cmd_lastsave(struct req *rq)
{
    struct store_stats st = {0};

    if (rq->engine->store != NULL)
        store_get_stats(rq->engine->store, &st);
    reply_int(rq, st.last_wall_s != 0
                      ? (int64_t)st.last_wall_s
                      : (int64_t)(rq->engine->start_wall_ms / 1000));
}

/* --- waiting for the log ------------------------------------------------- */

/* The deadline is fixed when the command runs first. */
static uint64_t *
deadline_of(struct req *rq, uint64_t deadline_ms)
{
    if (rq->state == NULL) {
        rq->state = nq_memdup(&deadline_ms, sizeof deadline_ms);
        rq->free_state = nq_free;
    }
    return rq->state;
}

static bool
is_over(const struct req *rq, uint64_t deadline_ms)
{
    return rq->is_cut || (deadline_ms != 0 && clock_mono_ms() >= deadline_ms);
}

/* There are no replicas, so the answer is 0, after as long as was asked. */
void
cmd_wait(struct req *rq)
{
    int64_t replicas;
    uint64_t deadline_ms;

    if (!slice_to_i64(rq->argv[1], &replicas)) {
        reply_rc(rq, NQ_ENOTINT);
        return;
    }
    if (!arg_timeout_ms(rq, 2, &deadline_ms))
        return;
    deadline_ms = *deadline_of(rq, deadline_ms);
    if (replicas <= 0 || rq->in_multi || is_over(rq, deadline_ms))
        reply_int(rq, 0);
    else
        req_block_until(rq, deadline_ms);
}

static bool
parse_waitaof(struct req *rq, int64_t *local, int64_t *replicas,
              uint64_t *deadline_ms)
{
    if (!slice_to_i64(rq->argv[1], local) ||
        !slice_to_i64(rq->argv[2], replicas)) {
        reply_rc(rq, NQ_ENOTINT);
        return false;
    }
    if (*local < 0 || *local > 1) {
        reply_error(rq, "value is out of range, must be between 0 and 1");
        return false;
    }
    if (*replicas < 0) {
        reply_error(rq, "value is out of range, must be positive");
        return false;
    }
    return arg_timeout_ms(rq, 3, deadline_ms);
}

void
cmd_waitaof(struct req *rq)
{
    int64_t local, replicas;
    uint64_t deadline_ms;
    lsn want = rq->s->last_write;
    bool is_durable;

    if (!parse_waitaof(rq, &local, &replicas, &deadline_ms))
        return;
    deadline_ms = *deadline_of(rq, deadline_ms);
    is_durable = want == 0 || wal_durable(store_wal(rq->engine->store)) > want;
    if ((is_durable || local == 0) && replicas == 0)
        deadline_ms = 1; /* nothing left to wait for */
    if (!is_durable && local > 0 &&
        wal_writable(store_wal(rq->engine->store)) == NQ_EREADONLY) {
        reply_rc(rq, NQ_EREADONLY);
    } else if (rq->in_multi || is_over(rq, deadline_ms)) {
        reply_array(rq, 2);
        reply_int(rq, is_durable);
        reply_int(rq, 0);
    } else if (is_durable) {
        req_block_until(rq, deadline_ms);
    } else {
        req_block_durable(rq, want, deadline_ms);
    }
}
