/* cmd/dispatch.c - the batch: gates, probe, execute.
 *
 * Probing before anything of the batch ran means that a finger may be stale
 * when its command comes; its version tells (store/btree.h), except that a
 * command without keys that writes (FLUSHDB, SWAPDB, EXEC) may put another
 * tree in the place of the one probed.  After such a command, and for a
 * session that changed its database, the fingers are dropped.
 *
 *   I1 each call ends in exactly one of: reply complete (CALL_DONE), nothing
 *      put and the session waiting for a key (CALL_DONE, but BLOCKED), or
 *      nothing put and the session parked (CALL_KEPT; with keep_output the
 *      output of a slice stays)
 *   I2 what a command put is gated by the LSN it depends on before the next
 *      command runs */
#include "cmd/dispatch.h"

#include "base/hash.h"
#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/gate.h"
#include "cmd/handlers.h"
#include "cmd/idle.h"
#include "cmd/latency.h"
#include "cmd/multi.h"
#include "cmd/notify.h"
#include "cmd/park.h"
#include "cmd/pubsub.h"
#include "cmd/reply.h"
#include "cmd/slowlog.h"
#include "cmd/wait_key.h"
#include "db/change.h"
#include "os/clock.h"
#include "store/frames.h"
#include "store/store.h"

#define PROBES_MAX 256 /* keys that are probed at once */

struct batch {
    struct engine *engine;
    struct req *reqs;
    unsigned n;
    unsigned probed; /* requests below have been probed */
    struct probe *probes;
    bool are_fingers_good;
};

/* --- PROBE --------------------------------------------------------------- */

static bool
is_probed(const struct req *rq)
{
    return rq->cmd != NULL && rq->cmd->first_key > 0 &&
           !(rq->cmd->flags & CMD_MOVABLEKEYS) &&
           !(rq->s->flags & SESSION_BLOCKED) && rq->s->multi == NULL &&
           rq->argc > (uint32_t)rq->cmd->first_key;
}

/* One probe per key of `rq`, as far as there is room. */
static unsigned
add_probes(struct req *rq, struct probe *probes, unsigned room)
{
    uint32_t at[PROBES_MAX];
    int n = command_keys(rq->cmd, rq->argv, rq->argc, at, (int)room);

    if (n <= 0)
        return 0;
    rq->fingers = arena_alloc(rq->arena, (size_t)n * sizeof *rq->fingers);
    rq->nfingers = (unsigned)n;
    for (int i = 0; i < n; i++) {
        rq->fingers[i] = (struct finger){0};
        probes[i] = (struct probe){.tree = db_tree(rq->db, rq->dbi),
                                   .key = rq->argv[at[i]],
                                   .finger = &rq->fingers[i]};
    }
    return (unsigned)n;
}

/* Probes the next requests of the batch, for as many keys as there is room
 * for.  What ran before has no bearing on their fingers. */
static void
probe_next(struct batch *b)
{
    struct engine *e = b->engine;
    unsigned n = 0;

    b->are_fingers_good = true;
    do {
        struct req *rq = &b->reqs[b->probed++];

        rq->dbi = rq->probed_dbi = rq->s->dbi;
        if (is_probed(rq))
            n += add_probes(rq, b->probes + n, PROBES_MAX - n);
    } while (b->probed < b->n && n < PROBES_MAX);
    /* Alone, a lookup has nothing to be interleaved with. */
    if (n > 1 && btree_probe(b->probes, n) > 0)
        park_read_ahead(e);
}

/* --- EXECUTE ------------------------------------------------------------- */

/* Counters of two CPUs may be a little apart: never below nothing. */
static uint64_t
elapsed_ns(const struct req *rq, uint64_t now)
{
    return now > rq->start ? ticks_to_ns(rq->engine->ticks, now - rq->start)
                           : 0;
}

static void
account(struct req *rq, uint64_t ns)
{
    struct command_stats *st = rq->cmd->stats;
    const struct engine_limits *limits = &rq->engine->limits;
    uint64_t us = ns / 1000;
    uint64_t total = st->nsec + ns;

    st->calls++;
    st->failed += rq->is_error;
    st->usec += total / 1000;
    st->nsec = (uint32_t)(total % 1000);
    if (nq_unlikely(st->latency == NULL))
        st->latency = nq_calloc(1, sizeof *st->latency);
    histogram_add(st->latency, us);
    rq->engine->stats.commands_processed++;
    rq->s->commands++;
    rq->s->last_cmd = rq->cmd;
    if (nq_unlikely(limits->slowlog_us >= 0 &&
                    us >= (uint64_t)limits->slowlog_us))
        slowlog_add(rq->engine, rq, us);
    if (nq_unlikely(limits->latency_ms > 0 && us / 1000 >= limits->latency_ms))
        latency_add(rq->engine->latency,
                    rq->cmd->flags & CMD_FAST ? "fast-command" : "command",
                    us / 1000);
}

static void
free_state(struct req *rq)
{
    if (rq->state != NULL && rq->free_state != NULL)
        rq->free_state(rq->state);
    rq->state = NULL;
}

void
dispatch_run(struct req *rq)
{
    struct engine *e = rq->engine;

    rq->start = e->clock;
    rq->cmd->fn(rq);
    if (nq_likely(rq->db != NULL))
        db_changes_end(rq->db);
    e->clock = ticks_now(e->ticks);
    if (nq_likely(rq->outcome == REQ_DONE)) {
        nq_dassert(rq->part == NULL);
        free_state(rq);
        account(rq, elapsed_ns(rq, e->clock));
    }
}

/* Holds what was put since `mark` back until what it depends on is settled. */
static void
gate_output(struct req *rq, uint64_t mark)
{
    struct session *s = rq->s;
    lsn gate;

    if (rq->db == NULL)
        return;
    gate = db_gate(rq->db);
    if (gate == 0 || gate < rq->engine->settled)
        return;
    if (rq->cmd->flags & CMD_WRITE || rq->cmd->fn == cmd_exec)
        s->last_write = nq_max(s->last_write, gate);
    if (s->out.put == mark)
        return;
    if (gate <= s->gated && !outq_is_empty(&s->out))
        return; /* an earlier mark waits for as much */
    outq_gate(&s->out, mark, gate);
    s->gated = gate;
}

/* After the log has failed nothing more settles.  A read of pages that were
 * changed before is refused, for a restart may take back what it would tell;
 * all other reads go on. */
static bool
refuse_unsettled(struct req *rq, uint64_t mark)
{
    struct session *s = rq->s;
    lsn gate;

    if (rq->db == NULL || rq->engine->store == NULL ||
        rq->cmd->flags & CMD_WRITE || rq->cmd->fn == cmd_exec ||
        s->flags & SESSION_IN_REPLY || s->out.put == mark)
        return false;
    gate = db_gate(rq->db);
    if (nq_likely(gate == 0 || gate < rq->engine->settled) ||
        wal_writable(store_wal(rq->engine->store)) != NQ_EREADONLY)
        return false;
    outq_rewind(&s->out, mark);
    reply_error(rq, "-MISCONF what this would tell was not safe when the log "
                    "failed; restart the server to see what it is");
    return true;
}

/* CLIENT REPLY OFF and SKIP. */
static void
silence(const struct req *rq, uint64_t mark)
{
    struct session *s = rq->s;

    if (nq_likely(!(s->flags & (SESSION_REPLY_OFF | SESSION_REPLY_SKIP |
                                SESSION_REPLY_SKIP_NEXT))))
        return;
    if (s->flags & (SESSION_REPLY_OFF | SESSION_REPLY_SKIP) && !rq->is_push)
        outq_rewind(&s->out, mark);
    s->flags &= ~(uint32_t)SESSION_REPLY_SKIP;
    if (s->flags & SESSION_REPLY_SKIP_NEXT)
        s->flags |= SESSION_REPLY_SKIP;
    s->flags &= ~(uint32_t)SESSION_REPLY_SKIP_NEXT;
}

/* The command waits: nothing of its reply stays. */
static enum call_result
keep(struct req *rq, uint64_t mark)
{
    reply_drop_parts(rq);
    if (!rq->keep_output || rq->outcome == REQ_PARK ||
        rq->outcome == REQ_HELD) {
        outq_rewind(&rq->s->out, mark);
    } else {
        gate_output(rq, mark);
        rq->s->flags |= SESSION_IN_REPLY;
    }
    park(rq);
    return CALL_KEPT;
}

/* The command waits for a key: its reply will be put when it was woken. */
static enum call_result
leave_waiting(struct req *rq, uint64_t mark)
{
    reply_drop_parts(rq);
    outq_rewind(&rq->s->out, mark);
    park_done(rq->s);
    rq->s->flags |= SESSION_BLOCKED;
    rq->s->last_cmd = rq->cmd;
    return CALL_DONE;
}

static void
finish(struct req *rq, uint64_t mark)
{
    silence(rq, mark);
    if (rq->cmd != NULL && !refuse_unsettled(rq, mark))
        gate_output(rq, mark);
    park_done(rq->s);
    session_check_output(rq->s);
}

static enum call_result
execute(struct req *rq)
{
    struct session *s = rq->s;
    uint64_t mark = s->out.put;
    nq_rc rc = park_take(rq);

    if (rq->db != NULL)
        db_gate_reset(rq->db);
    switch (gate_check(rq)) {
    case GATE_HOLD:
        park_paused(rq);
        return CALL_KEPT;
    case GATE_QUEUE:
        multi_queue(rq);
        break;
    case GATE_REFUSED:
        free_state(rq);
        break;
    case GATE_RUN:
        if (nq_likely(rc == NQ_OK))
            dispatch_run(rq);
        else
            reply_rc(rq, rc);
        if (rq->outcome == REQ_WAIT)
            return leave_waiting(rq, mark);
        if (rq->outcome != REQ_DONE)
            return keep(rq, mark);
        free_state(rq);
    }
    finish(rq, mark);
    return CALL_DONE;
}

/* --- commands that waited for a key -------------------------------------- */

/* What was put for a session that had no call in the batch leaves. */
static void
deliver(struct session *s)
{
    s->flags &= ~(uint32_t)(SESSION_IN_REPLY | SESSION_OWN_PACE);
    if (nq_unlikely(s->subs != NULL))
        pubsub_deliver(s);
    s->active_ms = s->engine->now_ms;
    s->ops->wake(s);
}

void
dispatch_woken(struct req *rq)
{
    struct engine *e = rq->engine;
    struct session *s = rq->s, *before = e->running;
    uint64_t mark = s->out.put;
    nq_rc rc = park_take(rq);

    e->running = s;
    e->clock = ticks_now(e->ticks);
    db_gate_reset(rq->db);
    if (nq_likely(rc == NQ_OK))
        dispatch_run(rq);
    else
        reply_rc(rq, rc);
    if (rq->outcome == REQ_WAIT) {
        leave_waiting(rq, mark);
    } else if (rq->outcome != REQ_DONE) {
        keep(rq, mark);
    } else {
        free_state(rq);
        finish(rq, mark);
        deliver(s);
    }
    e->running = before;
}

/* It depends on nothing, so what the running command read or wrote does not
 * hold it back. */
void
dispatch_end_wait(struct req *rq, nq_rc rc)
{
    uint64_t mark = rq->s->out.put;

    if (rc == NQ_OK)
        reply_null_array(rq);
    else
        reply_rc(rq, rc);
    account(rq, 0);
    silence(rq, mark);
    deliver(rq->s);
}

/* --- the batch ----------------------------------------------------------- */

static void
prepare(struct batch *b, const struct call *calls)
{
    struct engine *e = b->engine;
    const struct command *last = NULL, *container;

    /* All at once: the compiler clears a single one slowly. */
    memset(b->reqs, 0, b->n * sizeof *b->reqs);
    for (unsigned i = 0; i < b->n; i++) {
        struct req *rq = &b->reqs[i];

        rq->s = calls[i].session;
        rq->engine = e;
        rq->db = e->db;
        rq->arena = &e->arena;
        rq->argv = calls[i].argv;
        rq->argc = calls[i].argc;
        rq->dbi = calls[i].session->dbi;
        if (!command_is_named(last, rq->argv[0]))
            last = command_find_argv(rq->argv, rq->argc, &container);
        rq->cmd = last;
    }
}

static enum call_result
run_call(struct batch *b, unsigned i)
{
    struct req *rq = &b->reqs[i];
    struct session *s = rq->s;
    enum call_result result;

    if (s->flags &
        (SESSION_BLOCKED | SESSION_CLOSE_AFTER_REPLY | SESSION_CLOSE_ASAP))
        return CALL_KEPT;
    rq->dbi = s->dbi;
    if (!b->are_fingers_good || rq->dbi != rq->probed_dbi)
        rq->nfingers = 0;
    rq->engine->running = s;
    result = execute(rq);
    rq->engine->running = NULL;
    if (nq_likely(result == CALL_DONE)) {
        s->flags &= ~(uint32_t)(SESSION_IN_REPLY | SESSION_OWN_PACE);
        if (nq_unlikely(s->subs != NULL))
            pubsub_deliver(s);
    }
    s->active_ms = b->engine->now_ms;
    if (rq->cmd != NULL &&
        (rq->cmd->fn == cmd_exec ||
         (rq->cmd->flags & CMD_WRITE && rq->cmd->first_key == 0)))
        b->are_fingers_good = false;
    return result;
}

void
dispatch_batch(struct engine *e, struct call *calls, unsigned n)
{
    struct batch b = {.engine = e, .n = n, .are_fingers_good = true};

    nq_assert(n <= BATCH_MAX && !e->is_dispatching);
    e->is_dispatching = true;
    arena_reset(&e->arena);
    e->now_ms = clock_wall_ms();
    if (e->db != NULL) {
        db_set_now(e->db, e->now_ms);
        e->settled = wal_settled(store_wal(e->store));
    }
    b.reqs = arena_alloc(&e->arena, n * sizeof *b.reqs);
    prepare(&b, calls);
    if (e->db == NULL || e->is_loading)
        b.probed = n;
    else
        b.probes = arena_alloc(&e->arena, PROBES_MAX * sizeof *b.probes);
    e->clock = ticks_now(e->ticks);
    for (unsigned i = 0; i < n; i++) {
        if (i == b.probed) {
            probe_next(&b);
            e->clock = ticks_now(e->ticks);
        }
        calls[i].result = run_call(&b, i);
        if (nq_unlikely(e->keys_ready > 0))
            wait_serve(e);
        if (i + 1 == n || calls[i + 1].session != calls[i].session)
            if (!outq_is_empty(&calls[i].session->out))
                calls[i].session->ops->wake(calls[i].session);
    }
    if (e->store != NULL) /* what was noted in vain */
        frames_forget_wanted(store_frames(e->store));
    e->stats.batches++;
    e->is_dispatching = false;
}

void
dispatch_protocol_error(struct session *s, const char *what)
{
    struct req rq = {.s = s, .engine = s->engine};

    s->engine->stats.protocol_errors++;
    reply_error(&rq, "%s", what);
    s->flags |= SESSION_CLOSE_AFTER_REPLY;
    s->ops->wake(s);
}

/* --- what handlers call -------------------------------------------------- */

/* Where the finger of argv[i] is kept; NULL if it was not probed. */
static struct finger *
finger_of(const struct req *rq, uint32_t i)
{
    int n = (int)i - rq->cmd->first_key;

    if (rq->nfingers == 0 || n < 0)
        return NULL;
    n /= rq->cmd->key_step;
    return n < (int)rq->nfingers ? &rq->fingers[n] : NULL;
}

static inline void
note_use(struct req *rq, uint32_t i)
{
    bool is_quiet = (rq->cmd->flags & CMD_NOTOUCH) != 0 ||
                    ((rq->s->flags & SESSION_NO_TOUCH) != 0 &&
                     !command_is_named(rq->cmd, slice_lit("touch")));

    if (!is_quiet)
        idle_touch(rq->engine->idle, rq->dbi, rq->argv[i], rq->engine->now_ms);
}

nq_rc
req_find(struct req *rq, uint32_t i, struct entry *e)
{
    const struct finger *f = finger_of(rq, i);
    nq_rc rc;

    e->finger = f == NULL ? (struct finger){0} : *f;
    rc = db_find(rq->db, rq->dbi, rq->argv[i], e);
    note_use(rq, i);
    rq->engine->stats.keyspace_hits += rc == NQ_OK;
    if (rc == NQ_NOTFOUND) {
        rq->engine->stats.keyspace_misses++;
        notify_on_event(rq->engine, rq->dbi, EVENT_MISS, "keymiss",
                        rq->argv[i]);
    }
    return rc;
}

nq_rc
req_find_write(struct req *rq, uint32_t i, struct entry *e)
{
    struct finger *f = finger_of(rq, i);
    nq_rc rc;

    e->finger = f == NULL ? (struct finger){0} : *f;
    rc = db_find_write(rq->db, rq->dbi, rq->argv[i], e);
    note_use(rq, i);
    if (f != NULL)
        *f = e->finger; /* commands of many keys find each one twice */
    return rc;
}

nq_rc
req_find_type(struct req *rq, uint32_t i, enum db_type type, bool write,
              struct entry *e)
{
    nq_rc rc = write ? req_find_write(rq, i, e) : req_find(rq, i, e);

    if (rc == NQ_OK && e->rec.type != type)
        return NQ_EWRONGTYPE;
    return rc;
}

struct rng
req_rng(const struct req *rq)
{
    struct rng rng;

    rng_seed(&rng, hash_bytes(slice_str(rq->engine->run_id)) ^
                       hash_u64(rq->s->id) ^ hash_u64(~rq->s->commands));
    return rng;
}

bool
req_should_yield(struct req *rq)
{
    return !rq->in_multi &&
           elapsed_ns(rq, ticks_now(rq->engine->ticks)) >= REQ_SLICE_NS;
}
