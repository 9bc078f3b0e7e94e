/* cmd/pubsub_queue.c - what waits for one subscriber of channels.
 *
 * Messages are put into the output at once, as Redis does, but for two cases:
 *
 *   - The client's command is running, or has put a part of its reply: they
 *     wait until the reply is complete, so as not to land inside of it.
 *   - pubsub.drop_policy is not none, and so much is unsent that the session
 *     has no room (cmd/pressure.h): they wait until there is, within
 *     websocket.queues.*, and beyond that the policy is applied.
 *
 * What is dropped is counted for each subscription.  As soon as there is room
 * the client is told, on the channel "__gap__:" and the name it subscribed to,
 * by {"event":"gap","count":n}; with the ids of the first and the last
 * ("from", "to") if the channel has a history.  The place of this message is
 * that of the gap: under drop-oldest before, under drop-newest behind what
 * waits; under drop-newest nothing is taken until half of the queue is free,
 * so that one gap is told once.
 *
 * I1 While something waits the session's room is waited for (subs->room), or
 *    it is sent by pubsub_deliver().
 * I2 What waits leaves in the order in which it came, and before what comes.
 * I3 Members with gap.count > 0 are those on subs->gapped. */
#include "cmd/pubsub_int.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/session.h"

#define SWEEPS 8 /* within one broadcast_queue_size */

/* One on the list `waiting`. */
struct waiting_message {
    struct list link;
    struct message *m;
    struct member *member; /* NULL: unsubscribed meanwhile */
};

/* --- which policy ----------------------------------------------------------
 */

static enum pressure_policy
policy_of(const struct subs *subs)
{
    const struct queue_limits *q = &subs->s->engine->limits.queue;

    /* One gap is told at one place. */
    if (!list_empty(&subs->gapped))
        return subs->is_gap_last ? PRESSURE_NEWEST : PRESSURE_OLDEST;
    return q->is_on ? (enum pressure_policy)q->drop_policy : PRESSURE_NONE;
}

static bool
is_in_reply(const struct session *s)
{
    return s == s->engine->running || (s->flags & SESSION_IN_REPLY) != 0;
}

void
pubsub_queue_note(struct subs *subs)
{
    enum pressure_state state = PRESSURE_NORMAL;

    if (!list_empty(&subs->gapped) || subs->is_full)
        state = PRESSURE_DROPPING;
    else if (!list_empty(&subs->behind))
        state = PRESSURE_PAUSED;
    else if (policy_of(subs) != PRESSURE_NONE && subs->waiting_count > 0)
        state = PRESSURE_THROTTLED;
    pressure_set_state(subs->s, PRESSURE_CHANNELS, state);
}

/* --- the queue -------------------------------------------------------------
 */

static uint64_t
cost(const struct message *m)
{
    return sizeof(struct waiting_message) + m->len;
}

static void
push(struct subs *subs, struct message *m, struct member *member)
{
    struct pubsub *ps = subs->s->engine->pubsub;
    struct waiting_message *w = nq_malloc(sizeof *w);

    *w = (struct waiting_message){.m = m, .member = member};
    m->refs++;
    list_push_back(&subs->waiting, &w->link);
    if (subs->waiting_count++ == 0)
        list_push_back(&ps->queued, &subs->in_queued);
    subs->waiting_bytes += cost(m);
    ps->waiting_count++;
    pressure_wait_room(subs->s, &subs->room);
}

static struct waiting_message *
oldest(const struct subs *subs)
{
    return nq_container(subs->waiting.next, struct waiting_message, link);
}

/* It leaves the list; the caller has its reference. */
static struct message *
take(struct subs *subs, struct waiting_message *w)
{
    struct pubsub *ps = subs->s->engine->pubsub;
    struct message *m = w->m;

    list_remove(&w->link);
    nq_free(w);
    subs->waiting_bytes -= cost(m);
    ps->waiting_count--;
    if (--subs->waiting_count == 0)
        list_remove(&subs->in_queued);
    return m;
}

/* --- dropping --------------------------------------------------------------
 */

static void
count_dropped(struct subs *subs, struct member *member, const struct message *m)
{
    struct engine *e = subs->s->engine;

    subs->dropped++;
    e->stats.pubsub_dropped++;
    if (member == NULL)
        return; /* nobody is there whom it would interest */
    if (member->gap.count++ == 0) {
        list_push_back(&subs->gapped, &member->in_gapped);
        member->gap.from = m->id;
    }
    member->gap.to = m->id;
}

struct message *
pubsub_gap_message(struct member *member)
{
    static const char before[] = "__gap__:";
    const struct pubsub_gap *gap = &member->gap;
    struct buf channel = BUF_INIT, text = BUF_INIT;
    struct message *m;

    buf_put_str(&channel, before);
    buf_put_slice(&channel, pubsub_topic_name(member->topic));
    buf_printf(&text, "{\"event\":\"gap\",\"count\":%llu",
               (unsigned long long)gap->count);
    if (gap->from != 0)
        buf_printf(&text, ",\"from\":\"%llu\",\"to\":\"%llu\"",
                   (unsigned long long)gap->from, (unsigned long long)gap->to);
    buf_put_u8(&text, '}');
    m = message_new(member->topic->kind == PUBSUB_SHARD ? "smessage"
                                                        : "message",
                    NULL, buf_slice(&channel), buf_slice(&text), 0);
    m->is_notice = true;
    buf_fini(&channel);
    buf_fini(&text);
    member->gap = (struct pubsub_gap){0, 0, 0};
    list_remove(&member->in_gapped);
    member->s->engine->stats.pubsub_gaps++;
    return m;
}

/* The gaps so far are behind what waits. */
static void
push_gaps(struct subs *subs)
{
    while (!list_empty(&subs->gapped)) {
        struct member *member =
            nq_container(subs->gapped.next, struct member, in_gapped);
        struct message *m = pubsub_gap_message(member);

        push(subs, m, member);
        message_release(m);
    }
}

/* The oldest but for notices, which are never dropped and are few; or NULL. */
static struct waiting_message *
oldest_published(const struct subs *subs)
{
    for (struct list *it = subs->waiting.next; it != &subs->waiting;
         it = it->next) {
        struct waiting_message *w =
            nq_container(it, struct waiting_message, link);

        if (!w->m->is_notice)
            return w;
    }
    return NULL;
}

static void
drop(struct subs *subs, struct waiting_message *w)
{
    if (list_empty(&subs->gapped))
        subs->is_gap_last = false;
    count_dropped(subs, w->member, w->m);
    message_release(take(subs, w));
}

static void
disconnect(struct session *s, const char *why)
{
    s->engine->stats.output_limit_closes++;
    log_notice("client id=%llu addr=%s is closed: %s",
               (unsigned long long)s->id, s->addr, why);
    session_end(s, false);
}

static bool
is_full(const struct subs *subs)
{
    return pressure_is_full(subs->s->engine, subs->waiting_count,
                            subs->waiting_bytes);
}

static void
make_room(struct subs *subs)
{
    struct waiting_message *w;

    while (is_full(subs) && (w = oldest_published(subs)) != NULL)
        drop(subs, w);
}

/* Whether drop-newest takes the message; if not, it is dropped. */
static bool
takes_newest(struct subs *subs, struct member *member, const struct message *m)
{
    subs->is_full = subs->is_full ? pressure_is_full(subs->s->engine,
                                                     2 * subs->waiting_count,
                                                     2 * subs->waiting_bytes)
                                  : is_full(subs);
    if (!subs->is_full) {
        push_gaps(subs);
        return true;
    }
    if (list_empty(&subs->gapped))
        subs->is_gap_last = true;
    count_dropped(subs, member, m);
    return false;
}

/* Whether the queue takes the message, for which it may make room. */
static bool
takes(struct subs *subs, struct member *member, const struct message *m)
{
    switch (policy_of(subs)) {
    case PRESSURE_OLDEST:
        make_room(subs);
        return true;
    case PRESSURE_NEWEST:
        return takes_newest(subs, member, m);
    case PRESSURE_DISCONNECT:
        if (!is_full(subs))
            return true;
        disconnect(subs->s, "more messages wait for it than "
                            "websocket.queues allows");
        return false;
    default:
        return true;
    }
}

/* Redis' limit, for what waits for the end of a reply. */
static void
check_hard_limit(struct subs *subs)
{
    struct session *s = subs->s;
    uint64_t hard = s->engine->limits.output[CLASS_PUBSUB].hard;

    if (hard == 0 || subs->waiting_bytes <= hard)
        return;
    s->engine->stats.output_limit_closes++;
    session_end(s, false);
}

/* --- sending ---------------------------------------------------------------
 */

void
pubsub_queue_send(struct member *member, struct message *m)
{
    struct session *s = member->s;
    struct subs *subs = s->subs;

    if (nq_likely(subs->waiting_count == 0 && list_empty(&subs->gapped) &&
                  !is_in_reply(s)) &&
        (policy_of(subs) == PRESSURE_NONE || pressure_has_room(s))) {
        message_put(s, m);
        return;
    }
    if (takes(subs, member, m)) {
        push(subs, m, member);
        check_hard_limit(subs);
    }
    pubsub_queue_note(subs);
}

void
pubsub_queue_notice(struct member *member, struct message *m)
{
    struct subs *subs = member->s->subs;

    m->is_notice = true;
    push(subs, m, member);
    pubsub_queue_note(subs);
}

static void
put_oldest(struct subs *subs)
{
    struct message *m = take(subs, oldest(subs));

    message_put(subs->s, m);
    message_release(m);
}

static void
put_gap(struct subs *subs)
{
    struct message *m = pubsub_gap_message(
        nq_container(subs->gapped.next, struct member, in_gapped));

    message_put(subs->s, m);
    message_release(m);
}

/* The next thing that may be put; false: there is none. */
static bool
put_next(struct subs *subs)
{
    bool has_gap = !list_empty(&subs->gapped);

    if (has_gap && (!subs->is_gap_last || subs->waiting_count == 0))
        put_gap(subs);
    else if (subs->waiting_count > 0)
        put_oldest(subs);
    else
        return false;
    return true;
}

static void
on_room(struct pressure_wait *w)
{
    struct subs *subs = nq_container(w, struct subs, room);

    while (pressure_has_room(subs->s) && put_next(subs))
        ;
    if (subs->waiting_count == 0)
        subs->is_full = false;
    if (!list_empty(&subs->behind) && pressure_has_room(subs->s))
        pubsub_replay_pump(subs);
    if (!pubsub_queue_is_empty(subs) || !list_empty(&subs->behind))
        pressure_wait_room(subs->s, w);
    pubsub_queue_note(subs);
    pubsub_free_empty(subs->s);
}

void
pubsub_deliver(struct session *s)
{
    struct subs *subs = s->subs;

    if (policy_of(subs) != PRESSURE_NONE)
        return; /* on_room() does it */
    while (put_next(subs))
        ;
    pubsub_queue_note(subs);
    pubsub_free_empty(s);
}

/* --- too old ---------------------------------------------------------------
 */

static void
end_old(struct subs *subs, uint64_t limit)
{
    enum pressure_policy policy = policy_of(subs);
    struct waiting_message *w;

    if (policy != PRESSURE_OLDEST && policy != PRESSURE_DISCONNECT)
        return;
    while ((w = oldest_published(subs)) != NULL && w->m->number < limit) {
        if (policy == PRESSURE_DISCONNECT) {
            disconnect(subs->s, "a message waits for it for longer than "
                                "websocket.queues.broadcast_queue_size");
            return;
        }
        drop(subs, w);
    }
    pubsub_queue_note(subs);
}

void
pubsub_queue_sweep(struct engine *e)
{
    struct pubsub *ps = e->pubsub;
    uint64_t most = e->limits.queue.broadcast;

    if (nq_likely(list_empty(&ps->queued)) ||
        ps->number - ps->swept < most / SWEEPS)
        return;
    ps->swept = ps->number;
    if (!e->limits.queue.is_on || ps->number <= most)
        return;
    list_each(it, &ps->queued)
    {
        struct subs *subs = nq_container(it, struct subs, in_queued);

        if ((subs->s->flags & SESSION_CLOSE_ASAP) == 0)
            end_old(subs, ps->number - most);
    }
}

/* --- life ------------------------------------------------------------------
 */

void
pubsub_queue_init(struct subs *subs)
{
    list_init(&subs->waiting);
    list_init(&subs->gapped);
    list_init(&subs->behind);
    list_init(&subs->in_queued);
    pressure_wait_init(&subs->room, on_room);
}

bool
pubsub_queue_is_empty(const struct subs *subs)
{
    return subs->waiting_count == 0 && list_empty(&subs->gapped);
}

/* What was published to it is not wanted any more, and may not come behind
 * the answer to UNSUBSCRIBE, when the client expects replies.  As with Redis,
 * what only waits for the end of the reply still comes. */
void
pubsub_queue_forget(struct member *member)
{
    struct subs *subs = member->s->subs;
    bool is_dropped = policy_of(subs) != PRESSURE_NONE;

    list_remove(&member->in_gapped);
    list_each(it, &subs->waiting)
    {
        struct waiting_message *w =
            nq_container(it, struct waiting_message, link);

        if (w->member != member)
            continue;
        w->member = NULL;
        if (is_dropped)
            message_release(take(subs, w));
    }
}

void
pubsub_queue_fini(struct subs *subs)
{
    while (subs->waiting_count > 0)
        message_release(take(subs, oldest(subs)));
    pressure_wait_end(&subs->room);
    pressure_set_state(subs->s, PRESSURE_CHANNELS, PRESSURE_NORMAL);
}

void
pubsub_get_queue(const struct session *s, struct pubsub_queue *out)
{
    const struct subs *subs = s->subs;

    *out = (struct pubsub_queue){0, 0, 0};
    if (subs == NULL)
        return;
    out->messages = subs->waiting_count;
    out->bytes = subs->waiting_bytes;
    out->dropped = subs->dropped;
}
