/* cmd/cmd_pubsub.c - SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE and their opposites,
 * PUBLISH, SPUBLISH, PUBSUB.
 *
 * Each name of a (un)subscription is answered by a push (RESP3) or an array
 * (RESP2) of word, name and how many subscriptions are left; the count joins
 * channels and patterns, as clients expect, and feeds: a channel may be a query
 * (cmd/feeds.h). */
#include "cmd/handlers.h"

#include "cmd/command.h"
#include "cmd/engine.h"
#include "cmd/feeds.h"
#include "cmd/pubsub.h"
#include "cmd/reply.h"
#include "cmd/session.h"

/* --- subscribing -----------------------------------------------------------
 */

static int64_t
subscriptions(const struct session *s, enum pubsub_kind kind)
{
    if (kind == PUBSUB_SHARD)
        return pubsub_count(s, PUBSUB_SHARD);
    return (int64_t)pubsub_count(s, PUBSUB_CHANNEL) +
           pubsub_count(s, PUBSUB_PATTERN) + feeds_count(s);
}

/* `name` NULL: there was nothing to unsubscribe from. */
static void
reply_subscription(struct req *rq, enum pubsub_kind kind,
                   const struct slice *name)
{
    reply_push(rq, 3);
    reply_bulk_str(rq, rq->cmd->name);
    if (name == NULL)
        reply_null(rq);
    else
        reply_bulk(rq, *name);
    reply_int(rq, subscriptions(rq->s, kind));
}

/* False: an error is answered in its place, or all is to run again. */
static bool
subscribe_one(struct req *rq, enum pubsub_kind kind, struct slice name)
{
    if (kind == PUBSUB_CHANNEL && feeds_is_channel(name))
        return feeds_subscribe(rq, name);
    pubsub_subscribe(rq->s, kind, name);
    return true;
}

static void
subscribe(struct req *rq, enum pubsub_kind kind)
{
    for (uint32_t i = 1; i < rq->argc && rq->outcome == REQ_DONE; i++) {
        if (subscribe_one(rq, kind, rq->argv[i]))
            reply_subscription(rq, kind, &rq->argv[i]);
    }
}

static void
unsubscribe_all(struct req *rq, enum pubsub_kind kind)
{
    bool has_any = pubsub_count(rq->s, kind) > 0;
    struct slice name;

    while (pubsub_first(rq->s, kind, &name)) {
        /* The name goes with the last subscription to it. */
        name.p = arena_memdup(rq->arena, name.p, name.len);
        pubsub_unsubscribe(rq->s, kind, name);
        reply_subscription(rq, kind, &name);
    }
    while (kind == PUBSUB_CHANNEL && feeds_first(rq->s, &name)) {
        name.p = arena_memdup(rq->arena, name.p, name.len);
        feeds_unsubscribe(rq->s, name);
        reply_subscription(rq, kind, &name);
        has_any = true;
    }
    if (!has_any)
        reply_subscription(rq, kind, NULL);
}

static void
unsubscribe(struct req *rq, enum pubsub_kind kind)
{
    if (rq->argc == 1)
        unsubscribe_all(rq, kind);
    for (uint32_t i = 1; i < rq->argc; i++) {
        pubsub_unsubscribe(rq->s, kind, rq->argv[i]);
        if (kind == PUBSUB_CHANNEL)
            feeds_unsubscribe(rq->s, rq->argv[i]);
        reply_subscription(rq, kind, &rq->argv[i]);
    }
}

/* SUBSCRIBE channel ...: a push for each. */
void
cmd_subscribe(struct req *rq)
{
    subscribe(rq, PUBSUB_CHANNEL);
}

/* PSUBSCRIBE pattern ...: a push for each. */
void
cmd_psubscribe(struct req *rq)
{
    subscribe(rq, PUBSUB_PATTERN);
}

/* SSUBSCRIBE shardchannel ...: a push for each. */
void
cmd_ssubscribe(struct req *rq)
{
    subscribe(rq, PUBSUB_SHARD);
}

/* UNSUBSCRIBE [channel ...]: a push for each, or for all there were. */
void
cmd_unsubscribe(struct req *rq)
{
    unsubscribe(rq, PUBSUB_CHANNEL);
}

/* PUNSUBSCRIBE [pattern ...]: a push for each, or for all there were. */
void
cmd_punsubscribe(struct req *rq)
{
    unsubscribe(rq, PUBSUB_PATTERN);
}

/* SUNSUBSCRIBE [shardchannel ...]: a push for each, or for all there were. */
void
cmd_sunsubscribe(struct req *rq)
{
    unsubscribe(rq, PUBSUB_SHARD);
}

/* --- publishing ------------------------------------------------------------
 */

/* A message may tell of what its MULTI block wrote, so it waits for as much
 * as the block does. */
static void
publish(struct req *rq, enum pubsub_kind kind)
{
    lsn gate = rq->in_multi ? db_gate(rq->db) : 0;
    uint64_t receivers =
        pubsub_publish(rq->engine, kind, rq->argv[1], rq->argv[2], gate);

    reply_int(rq, (int64_t)receivers);
}

/* PUBLISH channel message: how many received it. */
void
cmd_publish(struct req *rq)
{
    publish(rq, PUBSUB_CHANNEL);
}

/* SPUBLISH shardchannel message: how many received it. */
void
cmd_spublish(struct req *rq)
{
    publish(rq, PUBSUB_SHARD);
}

/* --- PUBSUB ----------------------------------------------------------------
 */

struct listing {
    struct req *rq;
    const struct slice *pattern; /* NULL: all */
    uint64_t n;
};

static void
list_topic(struct slice name, void *arg)
{
    struct listing *ls = arg;

    if (ls->pattern != NULL && !slice_glob(*ls->pattern, name, false))
        return;
    reply_bulk(ls->rq, name);
    ls->n++;
}

static void
channels(struct req *rq, enum pubsub_kind kind)
{
    struct listing ls = {rq, rq->argc == 3 ? &rq->argv[2] : NULL, 0};
    struct reply_deferred d;

    if (rq->argc > 3) {
        reply_error(rq,
                    "unknown subcommand or wrong number of arguments for "
                    "'%.*s'. Try PUBSUB HELP.",
                    (int)nq_min(rq->argv[1].len, (size_t)128),
                    (const char *)rq->argv[1].p);
        return;
    }
    d = reply_array_begin(rq);
    pubsub_each(rq->engine, kind, list_topic, &ls);
    reply_array_end(rq, d, ls.n);
}

static void
numsub(struct req *rq, enum pubsub_kind kind)
{
    reply_array(rq, 2 * ((uint64_t)rq->argc - 2));
    for (uint32_t i = 2; i < rq->argc; i++) {
        reply_bulk(rq, rq->argv[i]);
        reply_int(rq,
                  (int64_t)pubsub_subscribers(rq->engine, kind, rq->argv[i]));
    }
}

/* PUBSUB CHANNELS [pattern]: array of the channels with subscribers. */
void
cmd_pubsub_channels(struct req *rq)
{
    channels(rq, PUBSUB_CHANNEL);
}

/* PUBSUB SHARDCHANNELS [pattern]: the same of shard channels. */
void
cmd_pubsub_shardchannels(struct req *rq)
{
    channels(rq, PUBSUB_SHARD);
}

/* PUBSUB NUMSUB [channel ...]: channel, subscribers, channel, ... */
void
cmd_pubsub_numsub(struct req *rq)
{
    numsub(rq, PUBSUB_CHANNEL);
}

/* PUBSUB SHARDNUMSUB [shardchannel ...]: the same of shard channels. */
void
cmd_pubsub_shardnumsub(struct req *rq)
{
    numsub(rq, PUBSUB_SHARD);
}

/* PUBSUB NUMPAT: how many different patterns are subscribed to. */
void
cmd_pubsub_numpat(struct req *rq)
{
    reply_int(rq, (int64_t)pubsub_topics(rq->engine, PUBSUB_PATTERN));
}

/* PUBSUB HELP. */
void
cmd_pubsub_help(struct req *rq)
{
    static const char *const lines[] = {
        "CHANNELS [<pattern>]",
        "    The channels that have subscribers (and match <pattern>).",
        "NUMPAT",
        "    How many different patterns have subscribers.",
        "NUMSUB [<channel> ...]",
        "    How many subscribers each <channel> has, without patterns.",
        "SHARDCHANNELS [<pattern>]",
        "    The shard channels that have subscribers (and match <pattern>).",
        "SHARDNUMSUB [<shardchannel> ...]",
        "    How many subscribers each <shardchannel> has.",
        NULL,
    };

    reply_help(rq, lines);
}
