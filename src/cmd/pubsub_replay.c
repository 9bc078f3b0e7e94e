/* cmd/pubsub_replay.c - subscribers of a channel who begin in the past, and
 * read its history (cmd/history.h) until they have caught up.
 *
 * For such a member nothing waits: it has a place, the id of the message that
 * it gets next.  At the end of the history it takes messages as they are
 * published.  If then it has no room, it is behind again at that message: so a
 * slow one costs no memory, and loses only what the history forgets meanwhile,
 * of which it is told as others are of what was dropped.
 *
 * I1 A member with a replay is on subs->behind if, and only if, its next
 *    message was published already. */
#include "cmd/pubsub_int.h"

#include "base/buf.h"
#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/history.h"
#include "cmd/session.h"

static void
fall_behind(struct member *m)
{
    struct subs *subs = m->s->subs;

    list_push_back(&subs->behind, &m->in_behind);
    pressure_wait_room(m->s, &subs->room);
}

/* "__replay__:channel" tells what will come. */
static void
announce(struct member *m, uint64_t from, uint64_t next)
{
    struct slice name = pubsub_topic_name(m->topic);
    struct buf channel = BUF_INIT, text = BUF_INIT;
    struct message *msg;

    buf_put_str(&channel, "__replay__:");
    buf_put_slice(&channel, name);
    buf_printf(&text,
               "{\"event\":\"replay\",\"from\":\"%llu\",\"next\":\"%llu\"}",
               (unsigned long long)from, (unsigned long long)next);
    msg =
        message_new("message", NULL, buf_slice(&channel), buf_slice(&text), 0);
    pubsub_queue_notice(m, msg);
    message_release(msg);
    buf_fini(&channel);
    buf_fini(&text);
}

enum pubsub_place
pubsub_replay(struct session *s, struct slice channel, uint64_t from,
              uint64_t *oldest, uint64_t *next)
{
    struct history_channel *ch = history_hold(s->engine, channel);
    struct member *m;

    *oldest = history_first(ch);
    *next = history_next(ch);
    if (from == 0)
        from = *oldest;
    if (from < *oldest || from > *next) {
        history_let_go(s->engine, ch);
        return from < *oldest ? PUBSUB_GONE : PUBSUB_FUTURE;
    }
    pubsub_subscribe(s, PUBSUB_CHANNEL, channel);
    m = pubsub_member(s, PUBSUB_CHANNEL, channel);
    pubsub_replay_end(m);
    m->replay = nq_malloc(sizeof *m->replay);
    *m->replay = (struct replay){ch, from};
    announce(m, from, *next);
    if (from < *next)
        fall_behind(m);
    pubsub_queue_note(s->subs);
    return PUBSUB_REPLAYS;
}

void
pubsub_replay_send(struct member *m, struct message *msg)
{
    struct session *s = m->s;
    struct replay *r = m->replay;

    if (!list_empty(&m->in_behind))
        return;
    if (msg->id == r->next && pubsub_queue_is_empty(s->subs) &&
        list_empty(&s->subs->behind) && pressure_has_room(s)) {
        message_put(s, msg);
        r->next++;
        return;
    }
    fall_behind(m);
    pubsub_queue_note(s->subs);
}

/* What the history has forgotten before it was told. */
static void
put_lost(struct member *m, uint64_t first)
{
    struct replay *r = m->replay;
    struct message *msg;
    uint64_t count = first - r->next;

    m->gap = (struct pubsub_gap){count, r->next, first - 1};
    m->s->subs->dropped += count;
    m->s->engine->stats.pubsub_dropped += count;
    msg = pubsub_gap_message(m);
    message_put(m->s, msg);
    message_release(msg);
    r->next = first;
}

/* False: the session has no more room. */
static bool
pump_one(struct member *m)
{
    struct replay *r = m->replay;

    while (r->next < history_next(r->ch)) {
        if (!pressure_has_room(m->s))
            return false;
        if (r->next < history_first(r->ch))
            put_lost(m, history_first(r->ch));
        else
            message_put(m->s, history_at(r->ch, r->next++, NULL));
    }
    return true;
}

void
pubsub_replay_pump(struct subs *subs)
{
    while (!list_empty(&subs->behind)) {
        struct member *m =
            nq_container(subs->behind.next, struct member, in_behind);

        if (!pump_one(m))
            return;
        list_remove(&m->in_behind);
    }
}

void
pubsub_replay_end(struct member *m)
{
    if (m->replay == NULL)
        return;
    list_remove(&m->in_behind);
    history_let_go(m->s->engine, m->replay->ch);
    nq_free(m->replay);
    m->replay = NULL;
}
