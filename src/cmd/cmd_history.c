/* cmd/cmd_history.c - NQ.HISTORY and NQ.REPLAY: the last messages of a channel
 * (cmd/history.h), once, or as the beginning of a subscription.
 *
 * Ids are decimal texts; those of a channel follow one another. */
#include "cmd/handlers.h"

#include <stdio.h>

#include "cmd/command.h"
#include "cmd/engine.h"
#include "cmd/history.h"
#include "cmd/message.h"
#include "cmd/pubsub.h"
#include "cmd/reply.h"
#include "cmd/session.h"

/* Of one answer: more is asked for from the next id on. */
#define ANSWER_MESSAGES 10000
#define ANSWER_BYTES (1024u * 1024)

/* `id` or START (0); false: answered. */
static bool
parse_from(struct req *rq, struct slice text, uint64_t *from)
{
    int64_t id;

    *from = 0;
    if (slice_is(text, "start"))
        return true;
    if (slice_to_i64(text, &id) && id > 0) {
        *from = (uint64_t)id;
        return true;
    }
    reply_error(rq, "the id of a message is a number above 0, or START");
    return false;
}

static bool
is_on(struct req *rq)
{
    if (history_is_on(rq->engine))
        return true;
    reply_error(rq, "no history of channels is kept; see "
                    "pubsub.history_messages");
    return false;
}

static void
reply_gone(struct req *rq, uint64_t from, uint64_t oldest, uint64_t next)
{
    reply_error(rq,
                "-NOHISTORY message %llu %s: oldest %llu, next to come %llu",
                (unsigned long long)from,
                from < oldest ? "is not kept any more" : "is yet to come",
                (unsigned long long)oldest, (unsigned long long)next);
}

/* --- NQ.HISTORY ------------------------------------------------------------
 */

struct span {
    uint64_t begin, end; /* ids [begin, end) */
};

/* What a MULTI published shows when the log has what it wrote. */
static bool
is_settled(const struct engine *e, const struct message *m)
{
    return m->gate == 0 || m->gate < e->settled;
}

static struct span
settled_span(const struct engine *e, const struct history_channel *ch)
{
    struct span all = {history_first(ch), history_next(ch)};

    while (all.end > all.begin &&
           !is_settled(e, history_at(ch, all.end - 1, NULL)))
        all.end--;
    return all;
}

/* The first `n` of `all` from its begin on, or its last, within the bounds of
 * an answer; one at least, if there is one. */
static struct span
choose(const struct history_channel *ch, struct span all, uint64_t n, bool last)
{
    struct span some = {last ? all.end : all.begin, 0};
    uint64_t bytes = 0;

    some.end = some.begin;
    n = nq_min(n, (uint64_t)ANSWER_MESSAGES);
    while (some.end - some.begin < n && bytes < ANSWER_BYTES &&
           (last ? some.begin > all.begin : some.end < all.end)) {
        uint64_t id = last ? --some.begin : some.end++;

        bytes += message_text(history_at(ch, id, NULL)).len;
    }
    return some;
}

static void
reply_span(struct req *rq, const struct history_channel *ch, struct span some)
{
    reply_array(rq, some.end - some.begin);
    for (uint64_t id = some.begin; id < some.end; id++) {
        uint64_t ms;
        const struct message *m = history_at(ch, id, &ms);

        reply_array(rq, 3);
        reply_bulk_printf(rq, "%llu", (unsigned long long)id);
        reply_int(rq, (int64_t)ms);
        reply_bulk(rq, message_text(m));
    }
}

/* NQ.HISTORY channel n [FROM id | FROM START]: array of [id, milliseconds,
 * message], the oldest first: the last n that are kept, or the first n from
 * the id on.  At most 10000, and about 1 MiB. */
void
cmd_nq_history(struct req *rq)
{
    bool has_from = rq->argc > 3;
    const struct history_channel *ch;
    struct span all = {0, 0};
    uint64_t from = 0;
    int64_t n;

    if (rq->argc != 3 && (rq->argc != 5 || !slice_is(rq->argv[3], "from"))) {
        reply_syntax(rq);
        return;
    }
    if (!slice_to_i64(rq->argv[2], &n) || n < 0) {
        reply_rc(rq, NQ_ENOTINT);
        return;
    }
    if (!is_on(rq) || (has_from && !parse_from(rq, rq->argv[4], &from)))
        return;
    history_trim(rq->engine);
    ch = history_find(rq->engine, rq->argv[1]);
    if (ch != NULL)
        all = settled_span(rq->engine, ch);
    if (from != 0 && (from < all.begin || from > all.end)) {
        reply_gone(rq, from, all.begin, all.end);
        return;
    }
    all.begin = nq_max(all.begin, from);
    reply_span(rq, ch, choose(ch, all, (uint64_t)n, !has_from));
}

/* --- NQ.REPLAY -------------------------------------------------------------
 */

/* NQ.REPLAY channel FROM id | FROM START: subscribes and answers as SUBSCRIBE
 * does, but the messages begin with those of the history. */
void
cmd_nq_replay(struct req *rq)
{
    struct session *s = rq->s;
    uint64_t from, oldest, next;

    if (rq->argc != 4 || !slice_is(rq->argv[2], "from")) {
        reply_syntax(rq);
        return;
    }
    if (!is_on(rq) || !parse_from(rq, rq->argv[3], &from))
        return;
    if (pubsub_replay(s, rq->argv[1], from, &oldest, &next) != PUBSUB_REPLAYS) {
        reply_gone(rq, from, oldest, next);
        return;
    }
    reply_array(rq, 3); /* no push: clients wait for a reply */
    reply_bulk_str(rq, "subscribe");
    reply_bulk(rq, rq->argv[1]);
    reply_int(rq, (int64_t)pubsub_count(s, PUBSUB_CHANNEL) +
                      pubsub_count(s, PUBSUB_PATTERN));
}
