/* cmd/feed_lane.c - the messages of a feed for those who keep up.
 *
 *   number   ring.first ........ least .............. ring.end
 *                                 ^ slowest live sub   ^ those on `tip`
 *
 * I1 The ring has every message of the feed behind ring.base, as far as
 *    feeds->tail_at, as long as somebody is live; else it is empty.
 * I2 A live sub is on `tip` if and only if its number is ring.end; else it is
 *    on feeds->ready, or waits for room.  `idle` counts the former.
 * I3 live == idle: everybody has everything, and the ring is emptied.
 * I4 `least` is no more than the number of any live sub that does not drop.
 * I5 A change that many feeds are told of takes several slices; who joins
 *    meanwhile might miss it, and does not.
 *
 * What would pass the bounds of a queue takes the oldest message out of the
 * ring.  Who still wants it falls behind, drops it, or goes: that is its
 * policy.  So a sub that is stuck costs what the ring holds, once a lane, and
 * its window of unsent output.
 *
 * Called by cmd/feeds, cmd/feed_sub. */
#include "base/mem.h"
#include "cmd/feed_int.h"

#define CHECK_EVERY 32u /* feeds between two looks at the clock */

static struct feed_lane *
lane_of(const struct feed_sub *sub)
{
    return &sub->feed->lanes[sub->lane];
}

static bool
is_idle(const struct feed_sub *sub)
{
    return sub->next == lane_of(sub)->ring.end;
}

static void
empty_if_idle(struct feed_lane *l)
{
    if (l->idle == l->live)
        feed_ring_trim(&l->ring, l->ring.end);
}

/* --- joining and leaving ---------------------------------------------------
 */

/* The number of the first message behind sub->at; the sub is not far from the
 * end, as a rule. */
static uint64_t
number_behind(const struct feed_ring *r, lsn at)
{
    uint64_t n = r->end;

    while (n > r->first && feed_ring_at(r, n - 1)->at > at)
        n--;
    return n;
}

bool
feed_lane_join(struct feed_sub *sub)
{
    struct feed *f = sub->feed;
    struct feed_lane *l;

    sub->lane = sub->s->resp >= 3 ? 1 : 0;
    l = lane_of(sub);
    if (l->live == 0)
        l->ring.base = f->all->tail_at;
    if (sub->at < l->ring.base || sub->at > f->all->tail_at ||
        f->all->is_passing)
        return false; /* I5 */
    if (!f->range.is_put)
        feed_ranges_put(&f->all->ranges[f->db], &f->range);
    sub->mode = FEED_LIVE;
    sub->next = number_behind(&l->ring, sub->at);
    list_push_back(&l->subs, &sub->in_lane);
    l->least = l->live == 0 ? sub->next : nq_min(l->least, sub->next);
    l->live++;
    f->all->stats.live++;
    list_remove(&sub->link);
    if (is_idle(sub)) {
        l->idle++;
        list_push_back(&l->tip, &sub->link);
    } else {
        list_push_back(&f->all->ready, &sub->link);
    }
    return true;
}

void
feed_lane_leave(struct feed_sub *sub)
{
    struct feed *f = sub->feed;
    struct feed_lane *l = lane_of(sub);

    nq_assert(sub->mode == FEED_LIVE && l->live > 0);
    if (is_idle(sub))
        l->idle--;
    list_remove(&sub->in_lane);
    list_remove(&sub->link);
    l->live--;
    f->all->stats.live--;
    sub->mode = FEED_BEHIND;
    empty_if_idle(l);
    for (unsigned i = 0; i < FEED_LANES; i++)
        if (f->lanes[i].live > 0)
            return;
    feed_ranges_remove(&f->all->ranges[f->db], &f->range);
}

/* --- overflow --------------------------------------------------------------
 */

/* The message that is about to leave the ring is the next one of the sub. */
static void
overflow(struct feed_sub *sub, const struct feed_entry *e)
{
    struct feed_lane *l = lane_of(sub);

    switch (sub->policy) {
    case PRESSURE_OLDEST:
        sub->gap_from = e->at;
        feed_sub_set_state(sub);
        break;
    case PRESSURE_DISCONNECT:
        sub->feed->all->stats.disconnects++;
        session_end(sub->s, false);
        break;
    case PRESSURE_NEWEST:
        /* What waits now is sent; what comes behind is not. */
        sub->gap_from = feed_ring_at(&l->ring, l->ring.end - 1)->at;
        break;
    case PRESSURE_NONE:
    case PRESSURE_PAUSE:
    case PRESSURE_POLICIES:
        break;
    }
    if (sub->policy == PRESSURE_OLDEST)
        return;
    sub->at = nq_max(sub->at, e->at - 1);
    feed_lane_leave(sub);
    if (sub->policy == PRESSURE_DISCONNECT) {
        sub->mode = FEED_OVER;
        return;
    }
    sub->feed->all->stats.pauses++;
    feed_sub_fall_behind(sub);
}

/* Applies the policies of those who want the first message of the ring, and
 * finds `least` again. */
static void
pass_over_first(struct feed_lane *l)
{
    uint64_t first = l->ring.first, least = l->ring.end;
    struct feed_entry e = *feed_ring_at(&l->ring, first);

    list_each(it, &l->subs)
    {
        struct feed_sub *sub = nq_container(it, struct feed_sub, in_lane);

        if (sub->next < first)
            continue; /* drops already */
        if (sub->next == first)
            overflow(sub, &e);
        else
            least = nq_min(least, sub->next);
    }
    l->least = least;
}

static void
bound(struct feed *f, struct feed_lane *l)
{
    struct feed_ring *r = &l->ring;

    while (r->end - r->first > 1 &&
           pressure_is_full(f->all->e, r->end - r->first - 1, r->bytes)) {
        if (l->least <= r->first)
            pass_over_first(l);
        if (r->first < r->end)
            feed_ring_trim(r, r->first + 1);
    }
}

/* --- messages --------------------------------------------------------------
 */

static void
put_message(struct feed *f, unsigned lane, lsn at)
{
    struct feed_lane *l = &f->lanes[lane];
    struct slice body = buf_slice(&f->all->body);
    uint8_t head[FEED_HEAD_MAX];
    size_t n = feed_head(f->channel, lane == 0 ? 2 : 3, body.len, head);

    feed_ring_put(&l->ring, at, slice_of(head, n), body, slice_lit("\r\n"));
    list_take_all(&f->all->ready, &l->tip);
    l->idle = 0;
    bound(f, l);
}

static void
note_hit(void *arg, struct feed_range *r)
{
    struct feeds *all = arg;

    if (all->hit_count == all->hit_cap) {
        all->hit_cap = all->hit_cap == 0 ? 16 : all->hit_cap * 2;
        all->hits = nq_realloc(all->hits, all->hit_cap * sizeof *all->hits);
    }
    all->hits[all->hit_count++] = feed_ref(nq_container(r, struct feed, range));
}

static void
find_hits(struct feeds *all, const struct change *c)
{
    if (c->db >= all->databases)
        return;
    if (c->event == CHANGE_GONE || c->event == CHANGE_RESET)
        feed_ranges_across(&all->ranges[c->db], c->key,
                           c->has_hi ? &c->hi : NULL, note_hit, all);
    else
        feed_ranges_at(&all->ranges[c->db], c->key, note_hit, all);
}

static void
pass(struct feed *f, const struct change *c)
{
    if (!feed_tell(f, c))
        return;
    f->matched++;
    f->all->stats.matched++;
    for (unsigned i = 0; i < FEED_LANES; i++)
        if (f->lanes[i].live > 0)
            put_message(f, i, c->at);
}

void
feed_lanes_forget(struct feeds *all)
{
    for (size_t i = 0; i < all->hit_count; i++)
        feed_unref(all->hits[i]);
    all->hit_count = all->hit_next = 0;
    all->is_passing = false;
}

bool
feed_lanes_pass(struct feeds *all, const struct change *c)
{
    /* They are found first, for a policy may take a feed out of the tree. */
    if (!all->is_passing)
        find_hits(all, c);
    all->is_passing = true;
    while (all->hit_next < all->hit_count) {
        pass(all->hits[all->hit_next++], c);
        if (all->hit_next % CHECK_EVERY == 0 && feeds_is_over_slice(all))
            return false;
    }
    feed_lanes_forget(all);
    return true;
}

/* --- sending ---------------------------------------------------------------
 */

uint64_t
feed_lane_waiting(const struct feed_sub *sub)
{
    const struct feed_ring *r = &lane_of(sub)->ring;

    return r->end - nq_max(sub->next, r->first);
}

/* The messages that the sub dropped are told. */
static void
tell_gap(struct feed_sub *sub)
{
    struct feeds *all = sub->feed->all;
    struct feed_lane *l = lane_of(sub);
    const struct feed_ring *r = &l->ring;
    uint64_t count = r->first - sub->next;

    feed_message_gap(&all->body, sub->gap_from, r->base, count);
    feed_sub_put_body(sub);
    sub->gap_from = 0;
    sub->next = r->first;
    sub->at = r->base;
    l->least = nq_min(l->least, sub->next);
    sub->dropped += count;
    all->stats.dropped += count;
    all->stats.gaps++;
}

bool
feed_lane_send(struct feed_sub *sub)
{
    struct feed_lane *l = lane_of(sub);
    const struct feed_ring *r = &l->ring;

    if (is_idle(sub))
        return true; /* and is on `tip` already */
    while (sub->next < r->end && feed_sub_has_room(sub)) {
        const struct feed_entry *e;
        uint64_t count;
        size_t len;

        if (sub->next < r->first) {
            tell_gap(sub);
            continue;
        }
        e = feed_ring_at(r, sub->next);
        count = feed_ring_run(r, sub->next, PRESSURE_WINDOW, &len);
        feed_sub_put(sub, e->chunk, e->from, len, count);
        sub->next += count;
        sub->at = feed_ring_at(r, sub->next - 1)->at;
    }
    list_remove(&sub->link);
    if (!is_idle(sub))
        return false;
    l->idle++;
    list_push_back(&l->tip, &sub->link);
    empty_if_idle(l);
    return true;
}

void
feed_lane_check(const struct feed_lane *l)
{
    uint32_t live = 0, idle = 0;

    list_each(it, &l->subs)
    {
        const struct feed_sub *sub = nq_container(it, struct feed_sub, in_lane);

        live++;
        idle += sub->next == l->ring.end;
        nq_assert(sub->next <= l->ring.end);
        nq_assert(sub->gap_from != 0 ? sub->next < l->ring.first
                                     : sub->next >= l->least);
    }
    nq_assert(l->live == live && l->idle == idle);
    nq_assert(live > idle || l->ring.first == l->ring.end);
}
