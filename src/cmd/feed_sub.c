/* cmd/feed_sub.c - one session that follows one feed.
 *
 *   ROWS -> BEHIND <-> LIVE        BEHIND -> OVER
 *
 * I1 Everything up to sub->at is put, or is not for it; nothing behind it is.
 * I2 What is put is settled: a sub whose position is not waits on
 *    feeds->early.
 * I3 A sub that is neither LIVE nor OVER is on feeds->ready or feeds->early,
 *    waits for room, or has a reader that will call.
 *
 * Called by cmd/feeds, cmd/feed_lane, cmd/cmd_feed. */
#include "base/mem.h"
#include "cmd/feed_int.h"
#include "cmd/push.h"

/* --- life ------------------------------------------------------------------
 */

void
feed_sub_wake(struct feed_sub *sub)
{
    list_remove(&sub->link);
    list_push_back(&sub->feed->all->ready, &sub->link);
}

static void
on_room(struct pressure_wait *w)
{
    struct feed_sub *sub = nq_container(w, struct feed_sub, room);

    if (sub->mode != FEED_LIVE || feed_lane_waiting(sub) > 0)
        feed_sub_wake(sub); /* who is idle stays on its list */
}

struct feed_sub *
feed_sub_new(struct session *s, struct feed *f)
{
    struct feed_sub *sub = nq_calloc(1, sizeof *sub);

    sub->magic = FEED_SUB_MAGIC;
    sub->s = s;
    sub->feed = f;
    sub->mode = FEED_BEHIND;
    list_init(&sub->in_lane);
    list_init(&sub->link);
    pressure_wait_init(&sub->room, on_room);
    if (s->feeds == NULL) {
        s->feeds = nq_calloc(1, sizeof *s->feeds);
        list_init(&s->feeds->subs);
    }
    list_push_back(&s->feeds->subs, &sub->in_session);
    s->feeds->count++;
    f->subs++;
    f->all->stats.subscribers++;
    feed_sub_wake(sub);
    return sub;
}

void
feed_sub_free(struct feed_sub *sub)
{
    struct session *s = sub->s;

    nq_assert(sub->magic == FEED_SUB_MAGIC);
    if (sub->mode == FEED_LIVE)
        feed_lane_leave(sub);
    if (sub->name != NULL)
        feed_name_leave(sub);
    change_reader_close(sub->reader);
    pressure_wait_end(&sub->room);
    feed_rows_free(sub->rows);
    feed_chunk_unref(sub->chunk);
    list_remove(&sub->link);
    list_remove(&sub->in_session);
    sub->feed->all->stats.subscribers--;
    push_leave(s);
    sub->feed->subs--;
    feed_unref(sub->feed);
    sub->magic = 0;
    nq_free(sub);
    if (--s->feeds->count > 0)
        return;
    nq_free(s->feeds);
    s->feeds = NULL;
    pressure_set_state(s, PRESSURE_FEEDS, PRESSURE_NORMAL);
}

/* --- state -----------------------------------------------------------------
 */

enum pressure_state
feed_sub_state(const struct feed_sub *sub)
{
    if (sub->gap_from != 0)
        return PRESSURE_DROPPING;
    if (sub->mode == FEED_BEHIND && sub->has_fallen)
        return PRESSURE_PAUSED;
    if (sub->mode == FEED_LIVE && feed_lane_waiting(sub) == 0)
        return PRESSURE_NORMAL;
    return list_empty(&sub->room.link) ? PRESSURE_NORMAL : PRESSURE_THROTTLED;
}

void
feed_sub_set_state(struct feed_sub *sub)
{
    uint8_t worst = PRESSURE_NORMAL;

    list_each(it, &sub->s->feeds->subs)
    {
        const struct feed_sub *other =
            nq_container(it, struct feed_sub, in_session);

        worst = nq_max(worst, (uint8_t)feed_sub_state(other));
    }
    pressure_set_state(sub->s, PRESSURE_FEEDS, (enum pressure_state)worst);
}

/* --- putting ---------------------------------------------------------------
 */

bool
feed_sub_has_room(const struct feed_sub *sub)
{
    const struct session *s = sub->s;

    if (s->engine->limits.queue.is_on)
        return pressure_has_room(s);
    return s != s->engine->running &&
           (s->flags & (SESSION_IN_REPLY | SESSION_CLOSE_ASAP |
                        SESSION_CLOSE_AFTER_REPLY)) == 0;
}

static void
release_chunk(void *chunk, size_t n)
{
    nq_unused(n);
    feed_chunk_unref(chunk);
}

void
feed_sub_put(struct feed_sub *sub, struct feed_chunk *c, size_t from,
             size_t len, uint64_t count)
{
    struct session *s = sub->s;
    struct feeds_stats *stats = &sub->feed->all->stats;

    outq_ref(&s->out, c->bytes + from, len, release_chunk, feed_chunk_ref(c));
    sub->sent += count;
    stats->sent += count;
    stats->bytes += len;
    s->ops->wake(s);
    session_check_output(s);
}

const char *
feed_sub_channel(const struct feed_sub *sub)
{
    return sub->name == NULL ? sub->feed->channel
                             : feed_name_channel(sub->name);
}

static void
append(struct feed_chunk *c, const void *p, size_t n)
{
    memcpy(c->bytes + c->len, p, n);
    c->len += n;
}

void
feed_sub_put_body(struct feed_sub *sub)
{
    struct slice body = buf_slice(&sub->feed->all->body);
    uint8_t head[FEED_HEAD_MAX];
    size_t n = feed_head(feed_sub_channel(sub), sub->s->resp, body.len, head);
    struct feed_chunk *c = feed_chunk_room(&sub->chunk, n + body.len + 2);
    size_t from = c->len;

    append(c, head, n);
    append(c, body.p, body.len);
    append(c, "\r\n", 2);
    feed_sub_put(sub, c, from, c->len - from, 1);
}

/* --- behind ----------------------------------------------------------------
 */

void
feed_sub_fall_behind(struct feed_sub *sub)
{
    sub->mode = FEED_BEHIND;
    sub->has_fallen = true;
    pressure_wait_room(sub->s, &sub->room);
    feed_sub_set_state(sub);
}

static void
on_readable(void *arg)
{
    struct feed_sub *sub;

    NQ_CAST(sub, arg, FEED_SUB_MAGIC);
    feed_sub_wake(sub);
}

static void
tell_ready(struct feed_sub *sub)
{
    feed_message_ready(&sub->feed->all->body, sub->ready_at);
    feed_sub_put_body(sub);
    sub->ready_at = 0;
}

/* What was dropped, the newest first of all, is told. */
static void
tell_gap(struct feed_sub *sub)
{
    struct feeds *all = sub->feed->all;

    feed_message_gap(&all->body, sub->gap_from, sub->gap_to, sub->gap_count);
    feed_sub_put_body(sub);
    sub->dropped += sub->gap_count;
    all->stats.dropped += sub->gap_count;
    all->stats.gaps++;
    sub->gap_from = sub->gap_count = 0;
}

/* One change that the sub reads by itself. */
static bool
take_change(void *arg, const struct change *c)
{
    struct feed_sub *sub = arg;

    if (!feed_sub_has_room(sub) || feeds_is_over_slice(sub->feed->all))
        return false;
    if (sub->ready_at != 0 && c->at > sub->ready_at) {
        tell_ready(sub);
        return take_change(arg, c);
    }
    if (feed_tell(sub->feed, c)) {
        if (sub->gap_from != 0 && c->at >= sub->gap_from) {
            sub->gap_count++;
            sub->gap_to = c->at;
        } else {
            feed_sub_put_body(sub);
        }
    }
    sub->at = c->at;
    return true;
}

/* The log cannot be read where the sub is. */
static void
lose(struct feed_sub *sub)
{
    struct feeds *all = sub->feed->all;
    struct key_range r = feed_key_range(sub->feed);
    lsn oldest, newest;

    changes_bounds(all->e->changes, &r, &oldest, &newest);
    feed_message_lost(&all->body, sub->at, oldest, newest);
    feed_sub_put_body(sub);
    change_reader_close(sub->reader);
    sub->reader = NULL;
    sub->mode = FEED_OVER;
}

static nq_rc
read_changes(struct feed_sub *sub)
{
    struct key_range r = feed_key_range(sub->feed);
    struct change_reader_opts opts = {&r, sub->at, on_readable, sub};

    if (sub->reader == NULL)
        sub->reader = change_reader_open(sub->feed->all->e->changes, &opts);
    return change_reader_next(sub->reader, take_change, sub);
}

static bool
join(struct feed_sub *sub)
{
    feeds_follow(sub->feed->all, sub->at);
    if (sub->ready_at != 0 || sub->gap_from != 0 || !feed_lane_join(sub))
        return false;
    change_reader_close(sub->reader);
    sub->reader = NULL;
    sub->has_fallen = false;
    return true;
}

/* Everything that is settled was read: it may be live from here on. */
static void
catch_up(struct feed_sub *sub)
{
    sub->at = nq_max(sub->at, change_reader_at(sub->reader));
    if (sub->gap_from != 0)
        tell_gap(sub);
    if (sub->ready_at != 0 && sub->at >= sub->ready_at)
        tell_ready(sub);
    if (!join(sub) && sub->at > sub->feed->all->tail_at)
        feed_sub_wake(sub); /* the tail is behind; else the reader calls */
}

static void
run_behind(struct feed_sub *sub)
{
    struct feeds *all = sub->feed->all;
    nq_rc rc;

    if (!feeds_is_settled(all, sub->at)) {
        list_push_back(&all->early, &sub->link);
        return;
    }
    if (sub->ready_at != 0 && sub->at >= sub->ready_at &&
        feed_sub_has_room(sub))
        tell_ready(sub);
    if (sub->reader == NULL && join(sub))
        return;
    rc = read_changes(sub);
    if (rc == NQ_AGAIN)
        return;
    if (rc != NQ_OK)
        lose(sub);
    else if (!feed_sub_has_room(sub))
        pressure_wait_room(sub->s, &sub->room);
    else if (feeds_is_over_slice(all))
        feed_sub_wake(sub);
    else
        catch_up(sub);
}

/* --- running ---------------------------------------------------------------
 */

static void
run_rows(struct feed_sub *sub)
{
    struct feeds *all = sub->feed->all;
    nq_rc rc;

    if (!feeds_is_settled(all, sub->at)) {
        list_push_back(&all->early, &sub->link);
        return;
    }
    if ((rc = feed_rows_send(sub)) == NQ_AGAIN)
        return;
    feed_rows_free(sub->rows);
    sub->rows = NULL;
    sub->mode = FEED_BEHIND;
    if (rc == NQ_OK)
        run_behind(sub);
    else
        lose(sub);
}

static void
run_live(struct feed_sub *sub)
{
    if (sub->lane != (sub->s->resp >= 3 ? 1 : 0)) {
        feed_lane_leave(sub); /* HELLO: it goes on in the other one */
        run_behind(sub);
    } else if (!feed_lane_send(sub)) {
        pressure_wait_room(sub->s, &sub->room);
    }
}

void
feed_sub_run(struct feed_sub *sub)
{
    list_remove(&sub->link);
    if ((sub->s->flags & SESSION_CLOSE_ASAP) != 0)
        return;
    if (sub->name != NULL)
        feed_name_run(sub);
    else if (sub->mode == FEED_ROWS)
        run_rows(sub);
    else if (sub->mode == FEED_BEHIND)
        run_behind(sub);
    if (sub->mode == FEED_LIVE)
        run_live(sub);
    feed_sub_set_state(sub);
}
