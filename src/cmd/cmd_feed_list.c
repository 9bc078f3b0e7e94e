/* cmd/cmd_feed_list.c - NQ.FEEDS, NQ.ACK.
 *
 *   NQ.FEEDS                every feed that is followed or has a name
 *   NQ.FEEDS CLIENTS [id]   every subscription (of one client)
 *   NQ.FEEDS DROP name      a name and its position are forgotten
 *   NQ.ACK name lsn         what was given up to there is done
 */
#include "cmd/handlers.h"

#include "base/mem.h"
#include "cmd/feed_int.h"
#include "cmd/gather.h"
#include "cmd/reply.h"

/* --- listing ---------------------------------------------------------------
 */

#define CHECK_EVERY 16u /* entries between two looks at the clock */

/* A listing, as far as it has come.  Feeds and sessions stand in the order of
 * their ids, so it goes on behind the last one. */
struct feed_listing {
    struct gather g;
    uint64_t after;
};

static void
free_listing(void *state)
{
    struct feed_listing *l = state;

    gather_fini(&l->g);
    nq_free(l);
}

static struct feed_listing *
listing_state(struct req *rq)
{
    if (rq->state == NULL) {
        rq->state = nq_calloc(1, sizeof(struct feed_listing));
        rq->free_state = free_listing;
    }
    return rq->state;
}

/* Whether the slice is over; then what there is is kept. */
static bool
is_cut(struct req *rq, struct feed_listing *l, struct reply_deferred d,
       uint64_t n)
{
    if (n % CHECK_EVERY != 0 || n == 0 || !req_should_yield(rq))
        return false;
    gather_keep(rq, &l->g, d, n);
    req_yield(rq);
    return true;
}

static void
put_text(struct req *rq, const char *name, struct slice v)
{
    reply_bulk_str(rq, name);
    reply_bulk(rq, v);
}

static void
put_int(struct req *rq, const char *name, uint64_t v)
{
    reply_bulk_str(rq, name);
    reply_int(rq, (int64_t)v);
}

/* Positions are text everywhere. */
static void
put_position(struct req *rq, const char *name, lsn at)
{
    reply_bulk_str(rq, name);
    reply_bulk_printf(rq, "%llu", (unsigned long long)at);
}

static void
list_name(struct req *rq, const struct feed_name *n)
{
    struct feed_name_info info;

    feed_name_get_info(n, &info);
    reply_map(rq, 9);
    put_text(rq, "channel", slice_str(info.channel));
    put_text(rq, "name", info.name);
    put_text(rq, "query", info.text);
    put_int(rq, "subscribers", info.subs);
    put_position(rq, "acknowledged", info.acked);
    put_position(rq, "read", info.at);
    put_int(rq, "unacknowledged", info.waiting);
    put_int(rq, "messages_done", info.acknowledged);
    put_int(rq, "redelivered", info.redelivered);
}

static void
list_feed(struct req *rq, const struct feed *f)
{
    uint64_t waiting = 0;

    for (unsigned i = 0; i < FEED_LANES; i++)
        waiting += f->lanes[i].ring.end - f->lanes[i].ring.first;
    reply_map(rq, 7);
    put_text(rq, "channel", slice_str(f->channel));
    put_text(rq, "query", buf_slice(&f->text));
    put_int(rq, "db", f->db);
    put_int(rq, "subscribers", f->subs);
    put_int(rq, "live", (uint64_t)f->lanes[0].live + f->lanes[1].live);
    put_int(rq, "matched", f->matched);
    put_int(rq, "waiting", waiting);
}

/* The names come first, in one piece: they are few. */
static uint64_t
list_names(struct req *rq)
{
    struct feeds *all = rq->engine->feeds;
    uint64_t n = 0;

    feed_names_load(all);
    list_each(it, &all->names)
    {
        list_name(rq, feed_name_of(it));
        n++;
    }
    return n;
}

static void
list_feeds(struct req *rq)
{
    bool is_first = rq->state == NULL;
    struct feed_listing *l = listing_state(rq);
    struct reply_deferred d = reply_array_begin(rq);
    uint64_t n = is_first ? list_names(rq) : 0;

    list_each(it, &rq->engine->feeds->order)
    {
        const struct feed *f = nq_container(it, struct feed, order);

        if (f->id <= l->after)
            continue;
        list_feed(rq, f);
        l->after = f->id;
        if (is_cut(rq, l, d, ++n))
            return;
    }
    gather_end_array(rq, &l->g, d, n);
}

static const char *
mode_name(const struct feed_sub *sub)
{
    static const char *const names[] = {"snapshot", "behind", "live", "over"};

    return sub->name != NULL ? "shared" : names[sub->mode];
}

static void
list_sub(struct req *rq, const struct feed_sub *sub)
{
    uint64_t waiting =
        sub->mode == FEED_LIVE ? feed_lane_waiting(sub) : sub->held;

    reply_map(rq, 9);
    put_int(rq, "client", sub->s->id);
    put_text(rq, "channel", slice_str(feed_sub_channel(sub)));
    put_text(rq, "mode", slice_str(mode_name(sub)));
    put_text(rq, "policy", slice_str(pressure_policy_name(sub->policy)));
    put_text(rq, "state", slice_str(pressure_state_name(feed_sub_state(sub))));
    put_position(rq, "position", sub->at);
    put_int(rq, "sent", sub->sent);
    put_int(rq, "dropped", sub->dropped);
    put_int(rq, "waiting", waiting);
}

static uint64_t
list_subs(struct req *rq, const struct session *s)
{
    list_each(it, &s->feeds->subs)
    {
        list_sub(rq, nq_container(it, struct feed_sub, in_session));
    }
    return s->feeds->count;
}

static void
list_clients(struct req *rq, int64_t id)
{
    struct feed_listing *l = listing_state(rq);
    struct reply_deferred d = reply_array_begin(rq);
    uint64_t n = 0;

    list_each(it, &rq->engine->sessions)
    {
        struct session *s = nq_container(it, struct session, link);

        if (s->feeds == NULL || s->id <= l->after ||
            (id != 0 && s->id != (uint64_t)id))
            continue;
        n += list_subs(rq, s);
        l->after = s->id;
        if (req_should_yield(rq)) {
            gather_keep(rq, &l->g, d, n);
            req_yield(rq);
            return;
        }
    }
    gather_end_array(rq, &l->g, d, n);
}

static void
drop_name(struct req *rq, struct slice name)
{
    struct feed_name *n = feed_name_find(rq->engine->feeds, name);
    nq_rc rc;

    if (n == NULL) {
        reply_int(rq, 0);
        return;
    }
    if ((rc = feed_name_drop(n)) == NQ_OK)
        reply_int(rq, 1);
    else
        reply_rc(rq, rc);
}

/* NQ.FEEDS: array of maps; DROP: how many there were. */
void
cmd_nq_feeds(struct req *rq)
{
    int64_t id = 0;

    if (rq->argc == 1) {
        list_feeds(rq);
    } else if (rq->argc == 3 && slice_is(rq->argv[1], "DROP")) {
        drop_name(rq, rq->argv[2]);
    } else if (rq->argc <= 3 && slice_is(rq->argv[1], "CLIENTS")) {
        if (rq->argc == 3 && (!slice_to_i64(rq->argv[2], &id) || id <= 0))
            reply_error(rq, "Invalid client ID");
        else
            list_clients(rq, id);
    } else {
        reply_syntax(rq);
    }
}

/* --- acknowledging ---------------------------------------------------------
 */

/* NQ.ACK name lsn: how many messages that was.  Inside MULTI it is one with
 * what else the transaction does. */
void
cmd_nq_ack(struct req *rq)
{
    struct feed_name *n = feed_name_find(rq->engine->feeds, rq->argv[1]);
    uint64_t count;
    int64_t at;
    nq_rc rc;

    if (n == NULL)
        reply_error(rq, "there is no feed of this name: see NQ.FEEDS");
    else if (!slice_to_i64(rq->argv[2], &at) || at < 0)
        reply_error(rq, "a position is a number");
    else if ((rc = feed_name_ack(n, rq->s, (lsn)at, &count)) == NQ_OK)
        reply_int(rq, (int64_t)count);
    else
        reply_rc(rq, rc);
}
