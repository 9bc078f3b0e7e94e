/* cmd/feeds.c - all feeds: the tail that every settled change passes, and the
 * turns of those who have something to send.
 *
 * Each turn, for at most SLICE_US:
 *
 *   tail    changes that have settled since pass the lanes (feed_lane.c)
 *   early   subs that waited for the log go on
 *   ready   subs put what there is and fits (feed_sub.c), each at most its
 *           window of output, the one that waits longest first
 *
 * I1 The tail is open if a sub is live; what it has passed is tail_at.
 *
 * Called by cmd/engine. */
#include "cmd/feeds.h"

#include "base/mem.h"
#include "cmd/feed_int.h"
#include "os/clock.h"

#define SLICE_US 500

/* --- the tail --------------------------------------------------------------
 */

bool
feeds_is_settled(const struct feeds *all, lsn at)
{
    return changes_settled(all->e->changes) >= at;
}

bool
feeds_is_over_slice(const struct feeds *all)
{
    return clock_mono_us() >= all->slice_end;
}

static void
on_tail_ready(void *arg)
{
    struct feeds *all = arg;

    all->has_news = true;
}

static void
close_tail(struct feeds *all)
{
    feed_lanes_forget(all);
    change_reader_close(all->tail);
    all->tail = NULL;
}

static bool
pass_change(void *arg, const struct change *c)
{
    struct feeds *all = arg;

    if (feeds_is_over_slice(all) || !feed_lanes_pass(all, c))
        return false;
    all->tail_at = c->at;
    return true;
}

/* The tail cannot be read on: everybody goes on by himself, and is told what
 * he cannot have. */
static void
break_tail(struct feeds *all)
{
    struct list *sessions = &all->e->sessions;

    close_tail(all);
    list_each(it, sessions)
    {
        struct session *s = nq_container(it, struct session, link);

        if (s->feeds == NULL)
            continue;
        list_each(at, &s->feeds->subs)
        {
            struct feed_sub *sub =
                nq_container(at, struct feed_sub, in_session);

            if (sub->mode != FEED_LIVE)
                continue;
            feed_lane_leave(sub);
            feed_sub_wake(sub);
        }
    }
}

static void
run_tail(struct feeds *all)
{
    nq_rc rc;

    all->has_news = false;
    rc = change_reader_next(all->tail, pass_change, all);
    if (rc == NQ_AGAIN)
        return;
    if (rc != NQ_OK)
        break_tail(all);
    else if (feeds_is_over_slice(all))
        all->has_news = true;
    else
        all->tail_at = nq_max(all->tail_at, change_reader_at(all->tail));
}

void
feeds_follow(struct feeds *all, lsn at)
{
    struct change_reader_opts opts = {.ready = on_tail_ready, .arg = all};

    if (all->tail == NULL) {
        opts.after = all->tail_at = changes_settled(all->e->changes);
        all->tail = change_reader_open(all->e->changes, &opts);
        all->has_news = true; /* it calls only once it was read */
    }
    if (at > all->tail_at)
        run_tail(all);
}

/* --- the turn --------------------------------------------------------------
 */

/* Those whose position has settled by now. */
static void
run_early(struct feeds *all)
{
    list_each(it, &all->early)
    {
        struct feed_sub *sub = nq_container(it, struct feed_sub, link);

        if (feeds_is_settled(all, sub->at))
            feed_sub_wake(sub);
    }
}

static void
run_ready(struct feeds *all)
{
    struct list now; /* apart, for a sub may be woken again */

    list_init(&now);
    list_take_all(&now, &all->ready);
    while (!list_empty(&now) && !feeds_is_over_slice(all))
        feed_sub_run(nq_container(now.next, struct feed_sub, link));
    /* The others come first in the next turn. */
    list_take_all(&now, &all->ready);
    list_take_all(&all->ready, &now);
}

#ifdef NQ_DEBUG
#define CHECKED_MAX 100 /* subscribers that debug builds look at each turn */

static void
check_feed(struct hash_node *n, void *arg)
{
    const struct feed *f = nq_container(n, struct feed, node);

    nq_unused(arg);
    for (unsigned i = 0; i < FEED_LANES; i++)
        feed_lane_check(&f->lanes[i]);
}
#endif

bool
feeds_turn(struct engine *e)
{
    struct feeds *all = e->feeds;

    if (all->ranges == NULL || e->is_loading)
        return false;
    feed_names_load(all);
    if (all->stats.subscribers == 0)
        return false;
    all->slice_end = clock_mono_us() + SLICE_US;
    if (all->tail != NULL && (all->has_news || !list_empty(&all->early)))
        run_tail(all);
    if (!list_empty(&all->early))
        run_early(all);
    run_ready(all);
    if (all->stats.live == 0 && list_empty(&all->ready) && all->tail != NULL) {
        close_tail(all);
    }
#ifdef NQ_DEBUG
    if (all->stats.subscribers <= CHECKED_MAX)
        hash_each(&all->by_identity, check_feed, NULL);
#endif
    return feeds_has_more(e);
}

bool
feeds_has_more(const struct engine *e)
{
    const struct feeds *all = e->feeds;

    return all->ranges != NULL &&
           (!list_empty(&all->ready) || (all->tail != NULL && all->has_news));
}

/* --- life ------------------------------------------------------------------
 */

void
feeds_init(struct engine *e)
{
    struct feeds *all = nq_calloc(1, sizeof *all);

    e->feeds = all;
    all->e = e;
    list_init(&all->ready);
    list_init(&all->early);
    list_init(&all->names);
    list_init(&all->order);
    all->scratch = row_scratch_new();
}

void
feeds_fini(struct engine *e)
{
    struct feeds *all = e->feeds;

    if (all == NULL)
        return;
    nq_assert(all->stats.subscribers == 0 && all->ranges == NULL);
    hash_fini(&all->by_identity);
    row_scratch_free(all->scratch);
    buf_fini(&all->body);
    nq_free(all->hits);
    nq_free(all);
    e->feeds = NULL;
}

void
feeds_attach(struct engine *e)
{
    struct feeds *all = e->feeds;

    all->databases = db_count(e->db);
    all->ranges = nq_calloc(all->databases, sizeof *all->ranges);
}

void
feeds_detach(struct engine *e)
{
    struct feeds *all = e->feeds;

    list_each(it, &e->sessions)
    {
        feeds_drop(nq_container(it, struct session, link));
    }
    close_tail(all);
    feed_names_free(all);
    all->has_names = false;
    nq_free(all->ranges);
    all->ranges = NULL;
}

void
feeds_drop(struct session *s)
{
    while (s->feeds != NULL)
        feed_sub_free(
            nq_container(s->feeds->subs.next, struct feed_sub, in_session));
}

bool
feeds_unsubscribe(struct session *s, struct slice channel)
{
    if (s->feeds == NULL)
        return false;
    list_each(it, &s->feeds->subs)
    {
        struct feed_sub *sub = nq_container(it, struct feed_sub, in_session);

        if (slice_eq(slice_str(feed_sub_channel(sub)), channel)) {
            feed_sub_free(sub);
            return true;
        }
    }
    return false;
}

bool
feeds_first(const struct session *s, struct slice *channel)
{
    if (s->feeds == NULL)
        return false;
    *channel = slice_str(feed_sub_channel(
        nq_container(s->feeds->subs.next, struct feed_sub, in_session)));
    return true;
}

uint32_t
feeds_count(const struct session *s)
{
    return s->feeds == NULL ? 0 : s->feeds->count;
}

void
feeds_get_stats(const struct engine *e, struct feeds_stats *out)
{
    *out = e->feeds->stats;
    out->behind = out->subscribers - out->live;
}
