/* cmd/pubsub.c - topics, members and messages.
 *
 *   topic    a channel, pattern or shard channel with at least one member
 *   member   one session subscribed to one topic: in the topic's list, in the
 *            session's list, and in a hash by both
 *   message  [ '*' or '>', count, \r\n ] [ body ]: only the first four bytes
 *            differ between RESP2 and RESP3, so the body is made once and
 *            either copied or, when it is long, shared by reference
 *
 * I1 session->subs is NULL unless the session is a member of something, or
 *    messages to it wait.
 * I2 A message leaves only when the log is settled past its gate; a gate of a
 *    session's queue never rises behind a later mark (session->gated).
 * I3 A message to a client whose command is running, or has put a part of
 *    its reply, waits in `waiting` until the reply is complete, so that it
 *    never lands inside of it.
 *
 * Called by cmd/cmd_pubsub, cmd/notify and, when a session ends, through
 * engine->drop_subs. */
#include "cmd/pubsub.h"

#include "base/hash.h"
#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/patterns.h"
#include "cmd/session.h"
#include "resp/write.h"

#define SHARE_BYTES 2048 /* a body this long is shared, not copied */
#define HEADER_BYTES 4   /* "*3\r\n" */

struct topic {
    struct hash_node node;  /* stays first */
    struct pattern pattern; /* kind PUBSUB_PATTERN */
    struct list members;
    uint64_t count;
    enum pubsub_kind kind;
    uint32_t len;
    uint8_t name[];
};

struct member {
    struct hash_node node; /* stays first */
    struct list in_topic, in_session;
    struct topic *topic;
    struct session *s;
};

struct subs {
    struct list members[PUBSUB_KINDS];
    uint32_t counts[PUBSUB_KINDS];
    struct list waiting; /* I3 */
    uint64_t waiting_bytes;
};

struct message {
    uint32_t refs;
    char count; /* '3' or '4' elements */
    size_t len;
    uint8_t body[];
};

/* One on the list `waiting`. */
struct waiting_message {
    struct list link;
    struct message *m;
    lsn gate;
};

struct pubsub {
    struct hash topics[PUBSUB_KINDS];
    struct hash members;
    struct patterns *patterns;
};

/* --- topics ----------------------------------------------------------------
 */

static struct slice
topic_name(const struct topic *t)
{
    return slice_of(t->name, t->len);
}

static bool
topic_is(const struct hash_node *n, const void *key)
{
    const struct topic *t = (const struct topic *)n;

    return slice_eq(topic_name(t), *(const struct slice *)key);
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
        t->pattern.text = topic_name(t);
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

    m->s->subs->counts[t->kind]--;
    list_remove(&m->in_topic);
    list_remove(&m->in_session);
    hash_remove(&ps->members, &m->node);
    nq_free(m);
    if (--t->count == 0)
        topic_free(ps, t);
}

static void
free_empty_subs(struct session *s)
{
    for (int kind = 0; kind < PUBSUB_KINDS; kind++)
        if (s->subs->counts[kind] > 0)
            return;
    if (!list_empty(&s->subs->waiting))
        return;
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
    if (s->subs == NULL) {
        s->subs = nq_calloc(1, sizeof *s->subs);
        for (int k = 0; k < PUBSUB_KINDS; k++)
            list_init(&s->subs->members[k]);
        list_init(&s->subs->waiting);
    }
    m = nq_calloc(1, sizeof *m);
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
    free_empty_subs(s);
    return true;
}

bool
pubsub_first(const struct session *s, enum pubsub_kind kind, struct slice *name)
{
    if (pubsub_count(s, kind) == 0)
        return false;
    *name = topic_name(
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

/* "message" and "smessage" have a channel, "pmessage" a pattern before it. */
static struct message *
message_new(const char *word, const struct slice *pattern, struct slice channel,
            struct slice text)
{
    struct slice first = slice_str(word);
    size_t room = first.len + channel.len + text.len +
                  4 * (RESP_HEADER_MAX + 2) +
                  (pattern == NULL ? 0 : pattern->len);
    struct message *m = nq_malloc(sizeof *m + room);

    m->refs = 1;
    m->count = pattern == NULL ? '3' : '4';
    m->len = resp_put_bulk(m->body, first);
    if (pattern != NULL)
        m->len += resp_put_bulk(m->body + m->len, *pattern);
    m->len += resp_put_bulk(m->body + m->len, channel);
    m->len += resp_put_bulk(m->body + m->len, text);
    nq_assert(m->len <= room);
    return m;
}

static void
message_release(void *arg, size_t n)
{
    struct message *m = arg;

    nq_unused(n);
    if (--m->refs == 0)
        nq_free(m);
}

static void
gate_from(struct session *s, uint64_t mark, lsn gate)
{
    if (gate == 0 || gate < s->engine->settled ||
        (gate <= s->gated && mark != s->out.sent))
        return;
    outq_gate(&s->out, mark, gate);
    s->gated = gate;
}

static void
message_put(struct session *s, struct message *m, lsn gate)
{
    uint64_t mark = s->out.put;
    uint8_t *head;

    head = outq_reserve(&s->out, HEADER_BYTES);
    head[0] = s->resp >= 3 ? '>' : '*';
    head[1] = (uint8_t)m->count;
    head[2] = '\r';
    head[3] = '\n';
    outq_commit(&s->out, HEADER_BYTES);
    if (m->len < SHARE_BYTES) {
        outq_put(&s->out, m->body, m->len);
    } else {
        m->refs++;
        outq_ref(&s->out, m->body, m->len, message_release, m);
    }
    gate_from(s, mark, gate);
    s->ops->wake(s);
    session_check_output(s);
}

/* Puts the message off until the reply is complete, within the limit of the
 * client's output. */
static void
message_wait(struct session *s, struct message *m, lsn gate)
{
    struct waiting_message *w = nq_malloc(sizeof *w);
    uint64_t hard = s->engine->limits.output[CLASS_PUBSUB].hard;

    w->m = m;
    w->gate = gate;
    m->refs++;
    list_push_back(&s->subs->waiting, &w->link);
    s->subs->waiting_bytes += sizeof *w + m->len;
    if (hard != 0 && s->subs->waiting_bytes > hard) {
        s->engine->stats.output_limit_closes++;
        session_end(s, false);
    }
}

static void
message_send(struct session *s, struct message *m, lsn gate)
{
    s->engine->stats.pubsub_messages++;
    if (s == s->engine->running || (s->flags & SESSION_IN_REPLY) != 0)
        message_wait(s, m, gate);
    else
        message_put(s, m, gate);
}

/* Puts, or with `drop` forgets, all that waits. */
static void
end_waiting(struct session *s, bool drop)
{
    struct list *it;

    while ((it = list_pop_front(&s->subs->waiting)) != NULL) {
        struct waiting_message *w =
            nq_container(it, struct waiting_message, link);

        if (!drop)
            message_put(s, w->m, w->gate);
        message_release(w->m, 0);
        nq_free(w);
    }
    s->subs->waiting_bytes = 0;
}

void
pubsub_deliver(struct session *s)
{
    if (list_empty(&s->subs->waiting))
        return;
    end_waiting(s, false);
    free_empty_subs(s);
}

static uint64_t
send_to_topic(const struct topic *t, struct message *m, lsn gate)
{
    uint64_t receivers = 0;

    list_each(it, &t->members)
    {
        struct session *s = nq_container(it, struct member, in_topic)->s;

        if ((s->flags & SESSION_CLOSE_ASAP) != 0)
            continue;
        message_send(s, m, gate);
        receivers++;
    }
    return receivers;
}

struct publishing {
    struct slice channel, message;
    lsn gate;
    uint64_t receivers;
};

static void
send_to_pattern(struct pattern *p, void *arg)
{
    struct publishing *pub = arg;
    struct topic *t = nq_container(p, struct topic, pattern);
    struct message *m =
        message_new("pmessage", &p->text, pub->channel, pub->message);

    pub->receivers += send_to_topic(t, m, pub->gate);
    message_release(m, 0);
}

uint64_t
pubsub_publish(struct engine *e, enum pubsub_kind kind, struct slice channel,
               struct slice message, lsn gate)
{
    struct pubsub *ps = e->pubsub;
    struct publishing pub = {channel, message, gate, 0};
    struct topic *t = topic_find(ps, kind, channel);

    if (t != NULL) {
        struct message *m =
            message_new(kind == PUBSUB_SHARD ? "smessage" : "message", NULL,
                        channel, message);

        pub.receivers = send_to_topic(t, m, gate);
        message_release(m, 0);
    }
    if (kind == PUBSUB_CHANNEL && ps->topics[PUBSUB_PATTERN].count > 0)
        patterns_match(ps->patterns, channel, send_to_pattern, &pub);
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
    end_waiting(s, true);
    for (int kind = 0; kind < PUBSUB_KINDS; kind++)
        list_each(it, &s->subs->members[kind])
        {
            member_free(s->engine->pubsub,
                        nq_container(it, struct member, in_session));
        }
    free_empty_subs(s);
}

void
pubsub_init(struct engine *e)
{
    e->pubsub = nq_calloc(1, sizeof *e->pubsub);
    e->pubsub->patterns = patterns_new();
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

/* --- what is there ---------------------------------------------------------
 */

uint64_t
pubsub_topics(const struct engine *e, enum pubsub_kind kind)
{
    return e->pubsub->topics[kind].count;
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

    each->fn(topic_name(nq_container(n, struct topic, node)), each->arg);
}

void
pubsub_each(const struct engine *e, enum pubsub_kind kind,
            void (*fn)(struct slice name, void *arg), void *arg)
{
    struct each each = {fn, arg};

    hash_each(&e->pubsub->topics[kind], each_topic, &each);
}
