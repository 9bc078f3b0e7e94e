/* cmd/pubsub.c - topics, members and publishing.
 *
 *   topic    a channel, pattern or shard channel with at least one member
 *   member   one session subscribed to one topic: in the topic's list, in the
 *            session's list, and in a hash by both
 *   message  cmd/message.h; what cannot leave at once: cmd/pubsub_queue.c
 *
 * I1 session->subs is NULL unless the session is a member of something, or
 *    messages to it wait.
 * I2 A message leaves only when the log is settled past its gate.
 *
 * Called by cmd/cmd_pubsub, cmd/notify and, when a session ends, through
 * engine->drop_subs. */
#include "cmd/pubsub.h"

#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/history.h"
#include "cmd/pubsub_int.h"
#include "cmd/session.h"

/* --- topics ----------------------------------------------------------------
 */

static bool
topic_is(const struct hash_node *n, const void *key)
{
    const struct topic *t = (const struct topic *)n;

    return slice_eq(pubsub_topic_name(t), *(const struct slice *)key);
}

static struct topic *
topic_find(const struct pubsub *ps, enum pubsub_kind kind, struct slice name)
{
    struct hash_node *n =
        hash_find(&ps->topics[kind], hash_bytes(name), topic_is, &name);

    return n == NULL ? NULL : nq_container(n, struct topic, node);
}

static struct topic *
topic_make(struct pubsub *ps, enum pubsub_kind kind, struct slice name)
{
    struct topic *t = topic_find(ps, kind, name);

    if (t != NULL)
        return t;
    t = nq_calloc(1, sizeof *t + name.len);
    t->kind = kind;
    t->len = (uint32_t)name.len;
    if (name.len > 0)
        memcpy(t->name, name.p, name.len);
    list_init(&t->members);
    hash_insert(&ps->topics[kind], &t->node, hash_bytes(name));
    if (kind == PUBSUB_PATTERN) {
        t->pattern.text = pubsub_topic_name(t);
        patterns_add(ps->patterns, &t->pattern);
    }
    return t;
}

static void
topic_free(struct pubsub *ps, struct topic *t)
{
    if (t->kind == PUBSUB_PATTERN)
        patterns_remove(ps->patterns, &t->pattern);
    hash_remove(&ps->topics[t->kind], &t->node);
    nq_free(t);
}

/* --- members ---------------------------------------------------------------
 */

struct member_key {
    const struct session *s;
    const struct topic *topic;
};

static uint64_t
member_hash(const struct member_key *key)
{
    return hash_bytes(slice_of(key, sizeof *key));
}

static bool
member_is(const struct hash_node *n, const void *key)
{
    const struct member *m = (const struct member *)n;
    const struct member_key *k = key;

    return m->s == k->s && m->topic == k->topic;
}

static struct member *
member_find(const struct pubsub *ps, const struct session *s,
            const struct topic *t)
{
    struct member_key key = {s, t};
    struct hash_node *n =
        hash_find(&ps->members, member_hash(&key), member_is, &key);

    return n == NULL ? NULL : nq_container(n, struct member, node);
}

static void
member_free(struct pubsub *ps, struct member *m)
{
    struct topic *t = m->topic;

    pubsub_replay_end(m);
    pubsub_queue_forget(m);
    m->s->subs->counts[t->kind]--;
    list_remove(&m->in_topic);
    list_remove(&m->in_session);
    hash_remove(&ps->members, &m->node);
    nq_free(m);
    if (--t->count == 0)
        topic_free(ps, t);
}

static void
subs_new(struct session *s)
{
    struct subs *subs = s->subs = nq_calloc(1, sizeof *subs);

    subs->s = s;
    for (int kind = 0; kind < PUBSUB_KINDS; kind++)
        list_init(&subs->members[kind]);
    pubsub_queue_init(subs);
}

void
pubsub_free_empty(struct session *s)
{
    for (int kind = 0; kind < PUBSUB_KINDS; kind++)
        if (s->subs->counts[kind] > 0)
            return;
    if (!pubsub_queue_is_empty(s->subs))
        return;
    pubsub_queue_fini(s->subs);
    nq_free(s->subs);
    s->subs = NULL;
}

bool
pubsub_subscribe(struct session *s, enum pubsub_kind kind, struct slice name)
{
    struct pubsub *ps = s->engine->pubsub;
    struct topic *t = topic_make(ps, kind, name);
    struct member_key key = {s, t};
    struct member *m;

    if (member_find(ps, s, t) != NULL)
        return false;
    if (s->subs == NULL)
        subs_new(s);
    m = nq_calloc(1, sizeof *m);
    list_init(&m->in_gapped);
    list_init(&m->in_behind);
    m->topic = t;
    m->s = s;
    hash_insert(&ps->members, &m->node, member_hash(&key));
    list_push_back(&t->members, &m->in_topic);
    list_push_back(&s->subs->members[kind], &m->in_session);
    t->count++;
    s->subs->counts[kind]++;
    return true;
}

bool
pubsub_unsubscribe(struct session *s, enum pubsub_kind kind, struct slice name)
{
    struct pubsub *ps = s->engine->pubsub;
    struct topic *t = topic_find(ps, kind, name);
    struct member *m = t == NULL ? NULL : member_find(ps, s, t);

    if (m == NULL)
        return false;
    member_free(ps, m);
    pubsub_queue_note(s->subs);
    pubsub_free_empty(s);
    return true;
}

bool
pubsub_first(const struct session *s, enum pubsub_kind kind, struct slice *name)
{
    if (pubsub_count(s, kind) == 0)
        return false;
    *name = pubsub_topic_name(
        nq_container(s->subs->members[kind].next, struct member, in_session)
            ->topic);
    return true;
}

uint32_t
pubsub_count(const struct session *s, enum pubsub_kind kind)
{
    return s->subs == NULL ? 0 : s->subs->counts[kind];
}

/* --- messages --------------------------------------------------------------
 */

static uint64_t
send_to_topic(const struct topic *t, struct message *m)
{
    uint64_t receivers = 0;

    list_each(it, &t->members)
    {
        struct member *member = nq_container(it, struct member, in_topic);

        if ((member->s->flags & SESSION_CLOSE_ASAP) != 0)
            continue;
        member->s->engine->stats.pubsub_messages++;
        if (nq_unlikely(member->replay != NULL))
            pubsub_replay_send(member, m);
        else
            pubsub_queue_send(member, m);
        receivers++;
    }
    return receivers;
}

struct publishing {
    struct slice channel, message;
    lsn gate;
    uint64_t number, receivers;
};

static void
send_to_pattern(struct pattern *p, void *arg)
{
    struct publishing *pub = arg;
    struct topic *t = nq_container(p, struct topic, pattern);
    struct message *m = message_new("pmessage", &p->text, pub->channel,
                                    pub->message, pub->gate);

    m->number = pub->number;
    pub->receivers += send_to_topic(t, m);
    message_release(m);
}

/* Channels of ours, as those of notifications, have no history. */
static bool
has_history(const struct engine *e, const struct publishing *pub,
            enum pubsub_kind kind)
{
    return kind == PUBSUB_CHANNEL && history_is_on(e) &&
           !(pub->channel.len >= 2 && memcmp(pub->channel.p, "__", 2) == 0);
}

uint64_t
pubsub_publish(struct engine *e, enum pubsub_kind kind, struct slice channel,
               struct slice message, lsn gate)
{
    struct pubsub *ps = e->pubsub;
    struct publishing pub = {channel, message, gate, ++ps->number, 0};
    struct topic *t = topic_find(ps, kind, channel);
    bool is_kept = has_history(e, &pub, kind);

    if (t != NULL || is_kept) {
        struct message *m =
            message_new(kind == PUBSUB_SHARD ? "smessage" : "message", NULL,
                        channel, message, gate);

        m->number = pub.number;
        if (is_kept)
            history_add(e, channel, m);
        if (t != NULL)
            pub.receivers = send_to_topic(t, m);
        message_release(m);
    }
    if (kind == PUBSUB_CHANNEL && ps->topics[PUBSUB_PATTERN].count > 0)
        patterns_match(ps->patterns, channel, send_to_pattern, &pub);
    pubsub_queue_sweep(e);
    return pub.receivers;
}

bool
pubsub_has_subscribers(const struct engine *e)
{
    return e->pubsub->members.count > 0;
}

/* --- life ------------------------------------------------------------------
 */

static void
pubsub_drop(struct session *s)
{
    if (s->subs == NULL)
        return;
    pubsub_queue_fini(s->subs);
    for (int kind = 0; kind < PUBSUB_KINDS; kind++)
        list_each(it, &s->subs->members[kind])
        {
            member_free(s->engine->pubsub,
                        nq_container(it, struct member, in_session));
        }
    pubsub_free_empty(s);
}

void
pubsub_init(struct engine *e)
{
    e->pubsub = nq_calloc(1, sizeof *e->pubsub);
    e->pubsub->patterns = patterns_new();
    list_init(&e->pubsub->queued);
    e->drop_subs = pubsub_drop;
}

void
pubsub_fini(struct engine *e)
{
    struct pubsub *ps = e->pubsub;

    if (ps == NULL)
        return;
    nq_assert(ps->members.count == 0);
    for (int kind = 0; kind < PUBSUB_KINDS; kind++)
        hash_fini(&ps->topics[kind]);
    hash_fini(&ps->members);
    patterns_free(ps->patterns);
    nq_free(ps);
    e->pubsub = NULL;
}

struct member *
pubsub_member(const struct session *s, enum pubsub_kind kind, struct slice name)
{
    const struct pubsub *ps = s->engine->pubsub;
    const struct topic *t = topic_find(ps, kind, name);

    return t == NULL ? NULL : member_find(ps, s, t);
}

/* --- what is there ---------------------------------------------------------
 */

uint64_t
pubsub_topics(const struct engine *e, enum pubsub_kind kind)
{
    return e->pubsub->topics[kind].count;
}

uint64_t
pubsub_waiting(const struct engine *e)
{
    return e->pubsub->waiting_count;
}

uint64_t
pubsub_subscribers(const struct engine *e, enum pubsub_kind kind,
                   struct slice name)
{
    const struct topic *t = topic_find(e->pubsub, kind, name);

    return t == NULL ? 0 : t->count;
}

struct each {
    void (*fn)(struct slice name, void *arg);
    void *arg;
};

static void
each_topic(struct hash_node *n, void *arg)
{
    struct each *each = arg;

    each->fn(pubsub_topic_name(nq_container(n, struct topic, node)), each->arg);
}

void
pubsub_each(const struct engine *e, enum pubsub_kind kind,
            void (*fn)(struct slice name, void *arg), void *arg)
{
    struct each each = {fn, arg};

    hash_each(&e->pubsub->topics[kind], each_topic, &each);
}
