/* net/turn.c - one turn of the reactor, after the ready sockets were read:
 *
 *   collect    whole requests of ready connections, SHARE of each in turn,
 *              into a batch of at most BATCH_MAX calls
 *   dispatch   cmd/dispatch runs it
 *   settle     executed bytes are consumed, what stays is kept
 *     ... again until no connection has a whole request, or for TURN_US
 *   on_turn    the server closes the log frame
 *   flush      replies whose gate is open are written, and messages to some
 *              of those who have no command in the turn, so that a message
 *              to thousands does not keep the others waiting
 *   close      connections that ended are freed
 *
 * I1 Requests of one connection run in the order they came: a connection
 *    has its calls in a batch in order, and its bytes are consumed up to the
 *    first call that was kept.
 * I2 Bytes that calls of a batch point to do not move before it was
 *    dispatched: input_keep() is called only behind that.
 * I3 When turn_run() returns, no input lies in the shared area.
 *
 * A protocol error is answered only when all requests before it were: a
 * malformed request found behind others is parsed again once they ran.
 *
 * While the log or the pool is behind (is_throttling), a connection whose
 * last command was a write is put aside on `held` with its requests, and
 * nothing more is read from it than fits one read; readers go on. */
#include "net/loop_int.h"

#include "base/check.h"
#include "base/log.h"
#include "cmd/command.h"
#include "os/clock.h"

#define SHARE 16     /* requests of one connection before the next one's */
#define TURN_US 1000 /* commands of one turn, before replies are written */
#define PUSHES 200   /* clients that get messages of others, in one turn */

/* --- settle ----------------------------------------------------------------
 */

/* Finds the place of an open connection whose batch ran. */
static void
settle_open(struct loop *l, struct conn *c)
{
    if (nq_unlikely((c->session.flags & SESSION_BLOCKED) != 0)) {
        list_remove(&c->ready_link);
        input_keep(l->inputs, &c->in);
        if (c->is_at_end)
            conn_end_blocked(c);
        return;
    }
    if (c->in.len > 0 && c->input != INPUT_PARTIAL) {
        if (list_empty(&c->ready_link))
            conn_mark_ready(c);
        return;
    }
    list_remove(&c->ready_link);
    if (nq_unlikely(c->in.len > 0))
        input_keep(l->inputs, &c->in);
    if (nq_unlikely(c->is_at_end))
        conn_drain(c);
}

/* The batch ran (or `c` had no request for it): what was executed goes, and
 * what is left is kept. */
static void
settle(struct conn *c)
{
    struct loop *l = c->loop;
    uint32_t flags = c->session.flags;

    if (nq_unlikely(c->was_kept)) {
        resp_forget(&c->parser);
        c->input = INPUT_UNKNOWN;
        c->parsed = c->done;
        c->was_kept = false;
    }
    if (nq_likely(c->life.state == CONN_OPEN)) /* else the input is gone */
        input_consume(l->inputs, &c->in, c->parsed);
    c->parsed = c->done = 0;
    c->calls = 0;
    conn_mark_dirty(c);
    if (nq_unlikely((flags & SESSION_CLOSE_ASAP) != 0))
        conn_close(c);
    else if (nq_unlikely((flags & SESSION_CLOSE_AFTER_REPLY) != 0))
        conn_drain(c);
    if (nq_likely(c->life.state == CONN_OPEN))
        settle_open(l, c);
    else
        conn_drop_input(c);
}

/* --- collect ---------------------------------------------------------------
 */

/* The next request of `c` into the batch as call `n`; false if it has none
 * that can run behind those it already has in the batch. */
static bool
collect_one(struct loop *l, struct conn *c, unsigned n,
            const struct resp_limits *limits)
{
    struct call *call = &l->calls[n];
    struct resp_request rq;

    for (;;) {
        struct slice in = slice_of(c->in.p + c->parsed, c->in.len - c->parsed);

        switch (resp_parse(&c->parser, in, limits,
                           l->argv + (size_t)n * RESP_SHORT_ARGS, &rq)) {
        case RESP_MORE:
            c->want = rq.want;
            c->input = INPUT_PARTIAL;
            return false;
        case RESP_BAD:
            c->input = INPUT_BAD;
            if (c->calls == 0) {
                dispatch_protocol_error(&c->session, rq.error);
                conn_drain(c);
            }
            return false;
        case RESP_REQUEST:
            break;
        }
        c->parsed += rq.len;
        if (nq_likely(rq.argc > 0))
            break;
    }
    *call = (struct call){.session = &c->session,
                          .argv = rq.argv,
                          .argc = rq.argc,
                          .result = CALL_DONE};
    l->ends[n] = c->parsed;
    return true;
}

static bool
is_held_back(const struct conn *c)
{
    const struct command *last = c->session.last_cmd;

    return c->loop->is_throttling && last != NULL &&
           (last->flags & CMD_WRITE) != 0;
}

/* Whether `c` may have commands run; if not, it leaves the list. */
static bool
may_run(struct loop *l, struct conn *c)
{
    if (nq_unlikely(is_held_back(c))) {
        conn_put_aside(c, &l->held);
        input_keep(l->inputs, &c->in);
        return false;
    }
    if (nq_unlikely((c->session.flags & SESSION_BLOCKED) != 0 ||
                    conn_is_behind(c))) {
        list_remove(&c->ready_link);
        input_keep(l->inputs, &c->in);
        conn_mark_dirty(c);
        return false;
    }
    return true;
}

/* Up to SHARE requests of `c` behind call `n`; returns the new n. */
static unsigned
collect_from(struct loop *l, struct conn *c, unsigned n)
{
    const struct engine_limits *el = &l->engine->limits;
    struct resp_limits limits = {
        .max_bulk = el->proto_max_bulk,
        .is_authenticated = session_is_authenticated(&c->session),
    };
    unsigned most = nq_min(n + SHARE, (unsigned)BATCH_MAX);

    c->input = INPUT_UNKNOWN;
    c->want = 0;
    while (n < most && collect_one(l, c, n, &limits)) {
        n++;
        c->calls++;
        if (resp_holds(&c->parser))
            break; /* its arguments live until the next parse */
    }
    return n;
}

/* Fills a batch; *nconns: connections in loop->batch. */
static unsigned
collect(struct loop *l, unsigned *nconns)
{
    unsigned n = 0;

    *nconns = 0;
    while (n < BATCH_MAX && !list_empty(&l->ready)) {
        struct conn *c = nq_container(l->ready.next, struct conn, ready_link);
        unsigned before = n;
        bool is_new = c->calls == 0;

        if (!may_run(l, c))
            continue;
        n = collect_from(l, c, n);
        if (is_new && n > before)
            l->batch[(*nconns)++] = c;
        list_remove(&c->ready_link);
        if (n == before && is_new)
            settle(c);
        else if (n - before == SHARE && !resp_holds(&c->parser))
            list_push_back(&l->ready, &c->ready_link);
    }
    return n;
}

/* --- the turn --------------------------------------------------------------
 */

static void
run_batch(struct loop *l, unsigned n, unsigned nconns)
{
    dispatch_batch(l->engine, l->calls, n);
    for (unsigned i = 0; i < n; i++) {
        struct conn *c = l->calls[i].session->conn;

        if (nq_unlikely(l->calls[i].result == CALL_KEPT))
            c->was_kept = true;
        else if (!c->was_kept)
            c->done = l->ends[i];
    }
    for (unsigned i = 0; i < nconns; i++)
        settle(l->batch[i]);
}

static void
release_held(struct loop *l)
{
    while (!list_empty(&l->held)) {
        struct conn *c = nq_container(l->held.next, struct conn, ready_link);

        conn_mark_ready(c);
        conn_update_reader(c);
    }
}

/* Moves all nodes of `from` to the end of `to`. */
static void
move_all(struct list *from, struct list *to)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

/* The log failed for good: what waits for it may never be told. */
static void
drop_gated(struct loop *l)
{
    while (!list_empty(&l->gated)) {
        struct conn *c = nq_container(l->gated.next, struct conn, out_link);

        log_warn("client id=%llu addr=%s is closed: the log failed before "
                 "its command was safe",
                 (unsigned long long)c->session.id, c->session.addr);
        conn_close(c);
    }
}

/* Writes what may leave; asks to be told when the log lets more go. */
static void
flush_all(struct loop *l)
{
    lsn settled =
        l->opts.settled == NULL ? (lsn)-1 : l->opts.settled(l->opts.arg);
    struct list now; /* apart, for conn_flush() may put on `dirty` again */

    list_init(&now);
    if (settled > l->settled) {
        l->settled = settled;
        l->gate_min = l->asked = LSN_NEVER;
        move_all(&l->gated, &now);
    }
    move_all(&l->dirty, &now);
    while (!list_empty(&now))
        conn_flush(nq_container(now.next, struct conn, out_link));
    for (unsigned n = 0; n < PUSHES && !list_empty(&l->pushed); n++)
        conn_flush(nq_container(l->pushed.next, struct conn, out_link));
    if (list_empty(&l->gated))
        return;
    if (l->opts.is_log_dead != NULL && l->opts.is_log_dead(l->opts.arg))
        drop_gated(l);
    else if (l->gate_min < l->asked) {
        l->asked = l->gate_min;
        l->opts.wake_at(l->opts.arg, l->asked);
    }
}

static void
free_closed(struct loop *l)
{
    while (!list_empty(&l->closing))
        conn_free(nq_container(l->closing.next, struct conn, link));
}

/* What could not run in this turn outlives the area. */
static void
keep_rest(struct loop *l)
{
    list_each(it, &l->ready)
    {
        struct conn *c = nq_container(it, struct conn, ready_link);

        input_keep(l->inputs, &c->in);
    }
    input_pool_reset(l->inputs);
}

static void
run_commands(struct loop *l, uint64_t start_us)
{
    while (!list_empty(&l->ready)) {
        unsigned nconns, n = collect(l, &nconns);

        if (n > 0)
            run_batch(l, n, nconns);
        if (!list_empty(&l->ready) && clock_mono_us() - start_us >= TURN_US)
            return;
    }
}

#ifdef NQ_DEBUG
#define CHECKED_MAX 100 /* connections that debug builds look at each turn */

static void
check_all(const struct loop *l)
{
    if (l->nconns > CHECKED_MAX)
        return;
    list_each(it, &l->conns)
    {
        conn_check(nq_container(it, struct conn, link));
    }
}
#endif

void
turn_run(struct loop *l)
{
    uint64_t start_us = clock_mono_us(), lag_us;

    l->is_throttling =
        l->opts.is_throttling != NULL && l->opts.is_throttling(l->opts.arg);
    move_all(&l->arrived, &l->ready);
    if (nq_unlikely(!list_empty(&l->held)) && !l->is_throttling)
        release_held(l);
    if (!l->is_draining)
        run_commands(l, start_us);
    if (l->opts.on_turn != NULL)
        l->opts.on_turn(l->opts.arg);
    flush_all(l);
    keep_rest(l);
    free_closed(l);
#ifdef NQ_DEBUG
    check_all(l);
#endif
    l->stats.turns++;
    lag_us = clock_mono_us() - start_us;
    if (lag_us > l->stats.lag_us_max)
        l->stats.lag_us_max = lag_us;
}

bool
turn_has_more(const struct loop *l)
{
    return (!list_empty(&l->ready) && !l->is_draining) ||
           !list_empty(&l->dirty) || !list_empty(&l->pushed) ||
           !list_empty(&l->closing);
}
