/* cmd/push.c - heartbeats, silence, and the rate of commands of push clients.
 *
 *   idle        nothing is with the kernel that the client has not taken
 *   owing       something is; since when, tells `alive_ms`
 *   given up    owing for heartbeat_timeout without taking a byte or sending
 *               one; or, after NQ.HEARTBEAT ON, not sending for so long
 *
 * Each client is looked at every tenth of the shortest of the times, or each
 * second if that is less: asking the kernel costs a system call.
 *
 * I1 session->push is NULL unless the session holds a feed or asked for or
 *    against heartbeats; engine->push_clients counts those that hold a feed
 *    or asked for them. */
#include "cmd/push.h"

#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "cmd/command.h"
#include "cmd/engine.h"
#include "cmd/reply.h"
#include "cmd/session.h"

#define LOOK_MS_MAX 1000
#define LOOKS 10 /* within the shortest time */

struct push {
    struct list link; /* engine->pushes */
    struct session *s;
    uint32_t feeds;
    enum push_heartbeat mode;
    uint64_t look_ms;  /* when to look again */
    uint64_t taken;    /* stream position that the client's side has */
    uint64_t taken_ms; /* when that moved last */
    uint64_t alive_ms; /* the last sign of life, or not owing */
    uint64_t put;      /* stream position of all there was to send */
    uint64_t put_ms;   /* when that moved last */
    uint64_t beat_ms;  /* the last heartbeat */
    uint64_t credit;   /* commands it may send now, in thousandths */
    uint64_t credit_ms;
};

static bool
is_client(const struct push *p)
{
    return p->feeds > 0 || p->mode == PUSH_ON;
}

/* --- life ------------------------------------------------------------------
 */

static struct push *
push_of(struct session *s)
{
    struct push *p = s->push;
    struct engine *e = s->engine;

    if (p != NULL)
        return p;
    p = s->push = nq_calloc(1, sizeof *p);
    p->s = s;
    p->taken = p->put = s->out.put;
    p->taken_ms = p->alive_ms = p->put_ms = p->beat_ms = e->now_ms;
    p->credit = e->limits.push.rate * 1000ull;
    p->credit_ms = e->now_ms;
    list_push_back(&e->pushes, &p->link);
    return p;
}

static void
free_unused(struct session *s)
{
    struct push *p = s->push;

    if (is_client(p) || p->mode == PUSH_OFF)
        return;
    list_remove(&p->link);
    nq_free(p);
    s->push = NULL;
}

bool
push_is_client(const struct session *s)
{
    return s->push != NULL && is_client(s->push);
}

static bool
has_place(const struct session *s)
{
    uint32_t most = s->engine->limits.push.most;

    return push_is_client(s) || most == 0 || s->engine->push_clients < most;
}

/* `was`: whether it was a push client before a change. */
static void
count_change(struct session *s, bool was)
{
    bool is = is_client(s->push);

    if (is && !was) {
        s->engine->push_clients++;
        if (s->ops->tune != NULL)
            s->ops->tune(s);
    } else if (was && !is) {
        s->engine->push_clients--;
    }
}

bool
push_enter(struct session *s)
{
    bool was;

    if (!has_place(s))
        return false;
    was = is_client(push_of(s));
    s->push->feeds++;
    count_change(s, was);
    return true;
}

void
push_leave(struct session *s)
{
    nq_assert(s->push != NULL && s->push->feeds > 0);
    s->push->feeds--;
    count_change(s, true);
    free_unused(s);
}

bool
push_set_heartbeat(struct session *s, enum push_heartbeat mode)
{
    bool was;

    if (mode == PUSH_ON && !has_place(s))
        return false;
    was = is_client(push_of(s));
    s->push->mode = mode;
    count_change(s, was);
    free_unused(s);
    return true;
}

enum push_heartbeat
push_heartbeat_of(const struct session *s)
{
    return s->push == NULL ? PUSH_AUTO : s->push->mode;
}

void
push_drop(struct session *s)
{
    if (s->push == NULL)
        return;
    nq_assert(s->push->feeds == 0);
    push_set_heartbeat(s, PUSH_AUTO);
}

/* --- commands a second -----------------------------------------------------
 */

/* A bucket that holds what may come in a second. */
bool
push_may_run(struct req *rq)
{
    struct push *p = rq->s->push;
    uint64_t now_ms = rq->engine->now_ms;
    uint64_t full = rq->engine->limits.push.rate * 1000ull;

    if (full == 0 || !is_client(p) || rq->cmd->flags & CMD_IN_SUBSCRIBED ||
        rq->s->parked != NULL)
        return true;
    if (now_ms > p->credit_ms)
        p->credit += (now_ms - p->credit_ms) * rq->engine->limits.push.rate;
    p->credit_ms = now_ms;
    p->credit = nq_min(p->credit, full);
    if (p->credit < 1000) {
        rq->engine->stats.rate_limited++;
        return false;
    }
    p->credit -= 1000;
    return true;
}

/* --- heartbeats ------------------------------------------------------------
 */

/* In RESP2 only a client that expects messages may get one. */
static bool
takes_messages(const struct push *p)
{
    return p->s->resp >= 3 || p->s->subs != NULL || p->feeds > 0;
}

static void
send_heartbeat(struct push *p)
{
    struct session *s = p->s;
    char text[24];

    snprintf(text, sizeof text, "%llu", (unsigned long long)s->engine->now_ms);
    reply_to_array(s, 3, true);
    reply_to_bulk(s, slice_lit("message"));
    reply_to_bulk(s, slice_lit("__heartbeat__"));
    reply_to_bulk(s, slice_str(text));
    p->put = s->out.put;
    p->put_ms = p->beat_ms = s->engine->now_ms;
    s->engine->stats.heartbeats++;
}

/* What moved since the last look. */
static void
look(struct push *p)
{
    struct session *s = p->s;
    uint64_t now_ms = s->engine->now_ms;
    uint64_t untaken = s->ops->untaken == NULL ? 0 : s->ops->untaken(s);
    uint64_t taken = s->out.sent - nq_min(untaken, s->out.sent);

    if (taken > p->taken) {
        p->taken = taken;
        p->taken_ms = p->alive_ms = now_ms;
    }
    if (untaken == 0)
        p->alive_ms = now_ms;
    p->alive_ms = nq_max(p->alive_ms, s->active_ms);
    if (s->out.put != p->put) {
        p->put = s->out.put;
        p->put_ms = now_ms;
    }
}

static uint64_t
since(uint64_t now_ms, uint64_t then_ms)
{
    return now_ms > then_ms ? now_ms - then_ms : 0;
}

static void
give_up(struct push *p, const char *why)
{
    log_notice("client id=%llu addr=%s is closed: %s",
               (unsigned long long)p->s->id, p->s->addr, why);
    p->s->engine->stats.push_closes++;
    session_end(p->s, false);
}

/* Ends the client if it is gone or silent; true: it did. */
static bool
is_given_up(struct push *p)
{
    const struct push_limits *l = &p->s->engine->limits.push;
    uint64_t now_ms = p->s->engine->now_ms;
    uint64_t heard_ms = p->mode == PUSH_ON ? p->s->active_ms : p->alive_ms;
    uint64_t moved_ms = nq_max(p->taken_ms, p->s->active_ms);

    if (l->has_heartbeat && l->timeout_ms > 0 && p->mode != PUSH_OFF &&
        since(now_ms, heard_ms) >= l->timeout_ms) {
        give_up(p, "it gave no sign of life for "
                   "websocket.heartbeat_timeout");
        return true;
    }
    if (l->idle_ms > 0 && since(now_ms, moved_ms) >= l->idle_ms) {
        give_up(p, "it was idle for websocket.idle_timeout");
        return true;
    }
    return false;
}

/* What is on its way shows as well as a heartbeat whether it is taken; but
 * one that promised to answer is to have something to answer. */
static void
beat(struct push *p)
{
    const struct push_limits *l = &p->s->engine->limits.push;
    uint64_t last_ms = p->mode == PUSH_ON ? p->beat_ms : p->put_ms;

    if (p->mode != PUSH_ON && !outq_is_empty(&p->s->out))
        return;
    if (l->has_heartbeat && l->interval_ms > 0 && p->mode != PUSH_OFF &&
        takes_messages(p) && pressure_has_room(p->s) &&
        since(p->s->engine->now_ms, last_ms) >= l->interval_ms)
        send_heartbeat(p);
}

static uint64_t
look_period(const struct push_limits *l)
{
    uint64_t ms = LOOK_MS_MAX * LOOKS;
    const uint64_t times[] = {l->interval_ms, l->timeout_ms, l->idle_ms};

    for (size_t i = 0; i < nq_countof(times); i++)
        if (times[i] > 0)
            ms = nq_min(ms, times[i]);
    return ms / LOOKS;
}

void
push_cron(struct engine *e)
{
    uint64_t period_ms = look_period(&e->limits.push);

    list_each(it, &e->pushes)
    {
        struct push *p = nq_container(it, struct push, link);

        if (e->now_ms < p->look_ms || !is_client(p) ||
            p->s->flags & SESSION_CLOSE_ASAP)
            continue;
        p->look_ms = e->now_ms + period_ms;
        look(p);
        if (!is_given_up(p))
            beat(p);
    }
}
