/* cmd/multi.c - MULTI, EXEC, DISCARD, WATCH, UNWATCH.
 *
 * Queued commands are copies on the heap, bounded by the limit of the query
 * buffer, so what a client can make us keep is what it could send anyway.
 *
 * EXEC:
 *   I1 all keys of all queued commands are probed first; a miss parks EXEC
 *      before any effect, and it runs again from its start
 *   I2 a miss after the first effect (the index of a blob, say) is read in
 *      blocking mode: the transaction is never left half done
 *   I3 what it will change must not be held (db/hold.h): EXEC waits for that
 *      as a whole, before any effect
 *   I4 its effects are one group of the log: one frame, all or nothing
 * A command that is not read-only counts as an effect, whatever it did. */
#include "cmd/multi.h"

#include "base/mem.h"
#include "cmd/dispatch.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "cmd/watch.h"
#include "db/hold.h"
#include "store/frames.h"
#include "store/store.h"

#define QUEUE_BYTES_MAX (1ull << 30) /* if the query buffer has no limit */
#define KEYS_AT_ONCE 64              /* probed together */

/* --- the state of a session ---------------------------------------------- */

struct multi *
multi_get(struct req *rq)
{
    struct engine *e = rq->engine;
    uint32_t max = e->limits.max_transactions;

    if (rq->s->multi != NULL)
        return rq->s->multi;
    if (max > 0 && e->transactions >= max) {
        reply_error(rq, "max active transactions reached (%u)", max);
        return NULL;
    }
    e->transactions++;
    rq->s->multi = nq_calloc(1, sizeof *rq->s->multi);
    list_init(&rq->s->multi->watched);
    return rq->s->multi;
}

void
multi_put(struct session *s)
{
    if (s->multi == NULL || s->multi->is_open ||
        !list_empty(&s->multi->watched))
        return;
    nq_assert(s->multi->n == 0);
    s->engine->transactions--;
    nq_free(s->multi->queue);
    nq_free(s->multi);
    s->multi = NULL;
}

static void
drop_queue(struct multi *m)
{
    for (uint32_t i = 0; i < m->n; i++)
        nq_free(m->queue[i].argv);
    m->n = 0;
    m->bytes = 0;
    m->flags = 0;
}

void
multi_discard(struct session *s)
{
    if (s->multi == NULL)
        return;
    drop_queue(s->multi);
    watch_drop_all(s);
    s->multi->is_open = false;
    s->multi->is_spoiled = false;
    s->multi->is_expired = false;
    multi_put(s);
}

void
multi_spoil(struct session *s)
{
    if (multi_is_open(s))
        s->multi->is_spoiled = true;
}

void
multi_expire(struct session *s, uint64_t now_ms)
{
    uint64_t limit_ms = s->engine->limits.transaction_timeout_s * 1000ull;

    if (limit_ms == 0 || !multi_is_open(s) || s->multi->is_expired ||
        s->parked != NULL || now_ms - s->multi->opened_ms < limit_ms)
        return;
    drop_queue(s->multi);
    s->multi->is_expired = true;
}

bool
multi_has_writes(const struct session *s)
{
    return s->multi != NULL && s->multi->flags & CMD_WRITE;
}

/* --- queueing ------------------------------------------------------------ */

/* The arguments in one piece: the slices, then their bytes. */
static struct slice *
copy_arguments(const struct req *rq, uint64_t bytes)
{
    struct slice *argv = nq_malloc(bytes);
    uint8_t *at = (uint8_t *)(argv + rq->argc);

    for (uint32_t i = 0; i < rq->argc; i++) {
        argv[i] = slice_of(at, rq->argv[i].len);
        if (argv[i].len > 0)
            memcpy(at, rq->argv[i].p, argv[i].len);
        at += argv[i].len;
    }
    return argv;
}

void
multi_queue(struct req *rq)
{
    struct multi *m = rq->s->multi;
    uint64_t max = rq->engine->limits.query_buffer_limit;
    uint64_t bytes = rq->argc * sizeof(struct slice);

    for (uint32_t i = 0; i < rq->argc; i++)
        bytes += rq->argv[i].len;
    if (m->bytes + bytes > (max > 0 ? max : QUEUE_BYTES_MAX)) {
        reply_error(rq, "the transaction is larger than "
                        "client-query-buffer-limit allows");
        multi_spoil(rq->s);
        return;
    }
    if (!m->is_spoiled && !m->is_expired && !m->is_touched) {
        if (m->n == m->cap) {
            m->cap = m->cap == 0 ? 8 : m->cap * 2;
            m->queue = nq_realloc(m->queue, m->cap * sizeof *m->queue);
        }
        m->queue[m->n++] =
            (struct queued){rq->cmd, copy_arguments(rq, bytes), rq->argc};
        m->bytes += bytes;
        m->flags |= rq->cmd->flags;
    }
    reply_status(rq, "QUEUED");
}

void
cmd_multi(struct req *rq)
{
    struct multi *m;

    if (multi_is_open(rq->s)) {
        reply_error(rq, "MULTI calls can not be nested");
        return;
    }
    m = multi_get(rq);
    if (m == NULL)
        return;
    m->is_open = true;
    m->opened_ms = rq->engine->now_ms;
    reply_ok(rq);
}

void
cmd_discard(struct req *rq)
{
    if (!multi_is_open(rq->s)) {
        reply_error(rq, "DISCARD without MULTI");
        return;
    }
    multi_discard(rq->s);
    reply_ok(rq);
}

/* --- EXEC ---------------------------------------------------------------- */

/* I1.  SELECT in the queue only makes the probe look in vain; what it missed
 * is then read by I2.  So is what is damaged or more than the pool takes:
 * there is nothing to wait for then. */
static bool
are_keys_resident(struct req *rq, const struct multi *m)
{
    struct probe probes[KEYS_AT_ONCE];
    struct finger fingers[KEYS_AT_ONCE];
    unsigned n = 0, missed = 0;

    for (uint32_t i = 0; i < m->n; i++) {
        const struct queued *q = &m->queue[i];
        uint32_t *at = arena_alloc(rq->arena, q->argc * sizeof *at);
        int keys = command_keys(q->cmd, q->argv, q->argc, at, (int)q->argc);

        for (int k = 0; k < keys; k++) {
            fingers[n] = (struct finger){0};
            probes[n] = (struct probe){.tree = db_tree(rq->db, rq->s->dbi),
                                       .key = q->argv[at[k]],
                                       .finger = &fingers[n]};
            if (++n == KEYS_AT_ONCE) {
                missed += btree_probe(probes, n);
                n = 0;
            }
        }
    }
    if (n > 0)
        missed += btree_probe(probes, n);
    return missed == 0 || frames_wanted(store_frames(rq->engine->store)) == 0;
}

/* After it, another key than the one named may be in the place of a name. */
static bool
moves_names(const struct command *cmd)
{
    return cmd->fn == cmd_select || cmd->fn == cmd_swapdb ||
           cmd->fn == cmd_rename || cmd->fn == cmd_renamenx ||
           cmd->fn == cmd_move;
}

/* I3 */
static nq_rc
check_holds(struct req *rq, const struct multi *m)
{
    nq_rc rc = NQ_OK, one;

    if (nq_likely(!hold_is_any(rq->db)))
        return NQ_OK;
    for (uint32_t i = 0; i < m->n; i++) {
        const struct queued *q = &m->queue[i];
        uint32_t *at = arena_alloc(rq->arena, q->argc * sizeof *at);
        int keys = command_keys(q->cmd, q->argv, q->argc, at, (int)q->argc);

        if (moves_names(q->cmd))
            return hold_check_all(rq->db);
        if ((q->cmd->flags & CMD_WRITE) == 0)
            continue;
        if (keys < 0)
            return hold_check_all(rq->db);
        for (int k = 0; k < keys; k++) {
            one = hold_check_key(rq->db, rq->s->dbi, q->argv[at[k]]);
            rc = one != NQ_OK ? one : rc; /* all of them are wanted */
        }
    }
    return rc;
}

/* Runs the queue; not REQ_DONE: before any effect, EXEC is to be parked. */
static enum req_outcome
run_queue(struct req *rq, struct multi *m)
{
    struct frames *fr =
        rq->engine->store == NULL ? NULL : store_frames(rq->engine->store);
    bool has_effects = false, was_blocking = false;
    uint32_t i;

    for (i = 0; i < m->n; i++) {
        struct req sub = {.s = rq->s,
                          .engine = rq->engine,
                          .db = rq->db,
                          .arena = rq->arena,
                          .cmd = m->queue[i].cmd,
                          .argv = m->queue[i].argv,
                          .argc = m->queue[i].argc,
                          .dbi = rq->s->dbi,
                          .in_multi = true};

        dispatch_run(&sub);
        if (sub.outcome != REQ_DONE) {
            nq_assert(!has_effects);
            nq_assert(sub.outcome == REQ_PARK || sub.outcome == REQ_HELD);
            reply_drop_parts(&sub);
            if (sub.state != NULL)
                sub.free_state(sub.state);
            return sub.outcome;
        }
        if (has_effects || sub.cmd->flags & CMD_READONLY)
            continue;
        has_effects = true;
        was_blocking = fr != NULL && frames_set_blocking(fr, true);
    }
    if (has_effects && fr != NULL)
        frames_set_blocking(fr, was_blocking);
    return REQ_DONE;
}

/* Puts the reply and returns false if the queue is not to be run. */
static bool
may_run(struct req *rq, struct multi *m)
{
    bool conflict;
    nq_rc rc;

    if (m->is_expired) {
        reply_error(rq, "-EXECABORT Transaction discarded because it was open "
                        "for too long.");
        return false;
    }
    if (m->is_spoiled) {
        reply_error(rq, "-EXECABORT Transaction discarded because of previous "
                        "errors.");
        return false;
    }
    rc = watch_check(rq->s, rq->db, &conflict);
    if (rc != NQ_OK) {
        reply_rc(rq, rc);
        return false;
    }
    if (conflict) {
        rq->engine->stats.watch_conflicts++;
        reply_null_array(rq);
    }
    return !conflict;
}

void
cmd_exec(struct req *rq)
{
    struct multi *m = rq->s->multi;
    struct wal *w;
    nq_rc rc;

    if (!multi_is_open(rq->s)) {
        reply_error(rq, "EXEC without MULTI");
        return;
    }
    if (!may_run(rq, m)) {
        if (rq->outcome == REQ_DONE)
            multi_discard(rq->s);
        return;
    }
    if (rq->db != NULL && !are_keys_resident(rq, m)) {
        reply_rc(rq, NQ_MISS);
        return;
    }
    if (rq->db != NULL && (rc = check_holds(rq, m)) != NQ_OK) {
        reply_rc(rq, rc);
        return;
    }
    w = rq->engine->store == NULL ? NULL : store_wal(rq->engine->store);
    if (w != NULL)
        wal_begin_group(w);
    reply_array(rq, m->n);
    rq->outcome = run_queue(rq, m);
    if (w != NULL)
        wal_end_group(w);
    if (rq->outcome != REQ_DONE)
        return;
    rq->engine->stats.execs++;
    multi_discard(rq->s);
}

/* --- WATCH --------------------------------------------------------------- */

void
cmd_watch(struct req *rq)
{
    uint32_t n = rq->argc - 1;
    enum watch_was *was = arena_alloc(rq->arena, n * sizeof *was);
    uint64_t *expire_ms = arena_alloc(rq->arena, n * sizeof *expire_ms);

    if (multi_is_open(rq->s)) {
        reply_error(rq, "WATCH inside MULTI is not allowed");
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        nq_rc rc;

        was[i] = WATCH_ABSENT;
        expire_ms[i] = 0;
        if (rq->db == NULL || rq->engine->is_loading)
            continue; /* no key can change before it is loaded */
        rc = watch_look(rq->db, rq->dbi, rq->argv[i + 1], &was[i],
                        &expire_ms[i]);

        if (rc != NQ_OK) {
            reply_rc(rq, rc);
            return;
        }
    }
    if (multi_get(rq) == NULL)
        return;
    for (uint32_t i = 0; i < n; i++)
        watch_add(rq->s, rq->dbi, rq->argv[i + 1], was[i], expire_ms[i]);
    reply_ok(rq);
}

void
cmd_unwatch(struct req *rq)
{
    if (rq->s->multi != NULL && !rq->in_multi) {
        watch_drop_all(rq->s);
        multi_put(rq->s);
    }
    reply_ok(rq);
}
