/* cmd/feed_name.c - durable feeds: a name, a query, and a position up to which
 * everything was acknowledged.
 *
 *   acked ......... at ............ head
 *          given     read next
 *
 * The name, its position and its query (an identity, see cmd/feed.c, and the
 * text for people) are a mark of the database (db/cover.h), so they outlive
 * the process.  Subs of one name share its messages: each is given to one of
 * them, in turn.  Unacknowledged messages of a sub that goes are given to the
 * others; when the last one goes, reading begins at `acked` again.  So each
 * message is given at least once.
 *
 *   mark data   varint length, identity; text
 *
 * I1 Every message behind `acked` and up to `at` was acknowledged, or is on
 *    `given` (somebody has it) or `again` (nobody has it), by rising position.
 * I2 A name without subs has no reader and nothing on these lists.
 * I3 What is given and not acknowledged is bounded as a queue is, once for
 *    each sub.
 *
 * Called by cmd/cmd_feed, cmd/cmd_feed_list, cmd/feed_sub. */
#include "base/cursor.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/feed_int.h"

#define CHANNEL_PREFIX "nq:feed:"

/* A message that was not acknowledged yet. */
struct given {
    struct list link;
    lsn at;
    struct feed_sub *sub; /* NULL: on `again` */
    size_t len;
    uint8_t body[];
};

struct feed_name {
    struct list link; /* feeds->names */
    struct feeds *all;
    struct feed *feed; /* NULL: no sub since the start */
    struct cover *cover;
    struct buf identity, text;
    struct list subs; /* by in_lane */
    uint32_t count;
    struct change_reader *reader;
    lsn at, acked;
    struct list given, again;
    uint64_t waiting, waiting_bytes; /* of both */
    uint64_t acknowledged, redelivered;
    char channel[sizeof CHANNEL_PREFIX + MARK_NAME_MAX];
};

static struct slice
name_of(const struct feed_name *n)
{
    return slice_str(n->channel + sizeof CHANNEL_PREFIX - 1);
}

const char *
feed_name_channel(const struct feed_name *n)
{
    return n->channel;
}

const struct feed_name *
feed_name_of(struct list *link)
{
    return nq_container(link, struct feed_name, link);
}

struct slice
feed_name_identity(const struct feed_name *n)
{
    return buf_slice(&n->identity);
}

/* --- life ------------------------------------------------------------------
 */

static struct feed_name *
name_new(struct feeds *all, struct slice name, struct slice identity,
         struct slice text, lsn at)
{
    struct feed_name *n = nq_calloc(1, sizeof *n);

    n->all = all;
    n->at = n->acked = at;
    memcpy(n->channel, CHANNEL_PREFIX, sizeof CHANNEL_PREFIX - 1);
    memcpy(n->channel + sizeof CHANNEL_PREFIX - 1, name.p, name.len);
    buf_put_slice(&n->identity, identity);
    buf_put_slice(&n->text, text);
    list_init(&n->subs);
    list_init(&n->given);
    list_init(&n->again);
    list_push_back(&all->names, &n->link);
    all->stats.named++;
    return n;
}

static nq_rc
take_cover(struct feed_name *n)
{
    struct key_range r;

    if (!feed_identity_range(buf_slice(&n->identity), &r))
        return NQ_ECORRUPT;
    return db_cover_take(n->all->e->db, &r, &n->cover);
}

static void
drop_given(struct feed_name *n, struct given *g)
{
    n->waiting--;
    n->waiting_bytes -= g->len;
    list_remove(&g->link);
    nq_free(g);
}

static void
drop_all_of(struct feed_name *n, struct list *l)
{
    while (!list_empty(l))
        drop_given(n, nq_container(l->next, struct given, link));
}

static void
name_free(struct feed_name *n)
{
    nq_assert(list_empty(&n->subs));
    change_reader_close(n->reader);
    feed_unref(n->feed);
    drop_all_of(n, &n->given);
    drop_all_of(n, &n->again);
    list_remove(&n->link);
    n->all->stats.named--;
    buf_fini(&n->identity);
    buf_fini(&n->text);
    nq_free(n);
}

static void
load(void *arg, const struct mark *m)
{
    struct feeds *all = arg;
    struct cursor c = cursor_of(m->data);
    struct slice identity, text;

    if (!cursor_get_slice(&c, &identity) ||
        !cursor_get_bytes(&c, cursor_left(&c), &text))
        return;
    name_new(all, m->name, identity, text, m->at);
}

void
feed_names_load(struct feeds *all)
{
    if (all->has_names)
        return;
    all->has_names = true;
    db_mark_each(all->e->db, load, all);
    list_each(it, &all->names)
    {
        struct feed_name *n = nq_container(it, struct feed_name, link);
        nq_rc rc = take_cover(n);

        if (rc != NQ_OK)
            log_warn("feed %s: its range cannot be covered: %s", n->channel,
                     rc_text(rc));
    }
}

void
feed_names_free(struct feeds *all)
{
    while (!list_empty(&all->names))
        name_free(nq_container(all->names.next, struct feed_name, link));
}

struct feed_name *
feed_name_find(struct feeds *all, struct slice name)
{
    feed_names_load(all);
    list_each(it, &all->names)
    {
        struct feed_name *n = nq_container(it, struct feed_name, link);

        if (slice_eq(name_of(n), name))
            return n;
    }
    return NULL;
}

nq_rc
feed_name_make(struct feeds *all, struct slice name, struct slice identity,
               struct slice text, lsn at, struct feed_name **out)
{
    struct feed_name *n = name_new(all, name, identity, text, at);
    struct buf data = BUF_INIT;
    struct mark m = {.name = name, .at = at};
    nq_rc rc = take_cover(n);

    buf_put_varint(&data, identity.len);
    buf_put_slice(&data, identity);
    buf_put_slice(&data, text);
    m.data = buf_slice(&data);
    if (rc == NQ_OK)
        rc = db_mark_put(all->e->db, &m);
    buf_fini(&data);
    *out = n;
    if (rc == NQ_OK)
        return NQ_OK;
    if (n->cover != NULL)
        db_cover_drop(all->e->db, n->cover, all->e->now_ms);
    name_free(n);
    return rc;
}

nq_rc
feed_name_drop(struct feed_name *n)
{
    struct db *db = n->all->e->db;
    nq_rc rc = db_mark_del(db, name_of(n));

    if (rc != NQ_OK && rc != NQ_NOTFOUND)
        return rc;
    while (!list_empty(&n->subs))
        feed_sub_free(nq_container(n->subs.next, struct feed_sub, in_lane));
    if (n->cover != NULL)
        db_cover_drop(db, n->cover, n->all->e->now_ms);
    name_free(n);
    return NQ_OK;
}

/* --- giving ----------------------------------------------------------------
 */

static bool
may_take(const struct feed_name *n, const struct feed_sub *sub)
{
    return feed_sub_has_room(sub) &&
           !pressure_is_full(n->all->e, sub->held, sub->held_bytes);
}

/* The sub whose turn it is; NULL: none has room. */
static struct feed_sub *
next_sub(struct feed_name *n)
{
    list_each(it, &n->subs)
    {
        struct feed_sub *sub = nq_container(it, struct feed_sub, in_lane);

        if (may_take(n, sub))
            return sub;
    }
    return NULL;
}

static void
give(struct feed_name *n, struct feed_sub *sub, struct given *g)
{
    struct list *at = &n->given;

    /* One that is given again is older than the newest ones. */
    while (at->prev != &n->given &&
           nq_container(at->prev, struct given, link)->at > g->at)
        at = at->prev;
    list_remove(&g->link);
    list_insert(at, &g->link);
    g->sub = sub;
    list_remove(&sub->in_lane);
    list_push_back(&n->subs, &sub->in_lane);
    sub->held++;
    sub->held_bytes += g->len;
    buf_clear(&n->all->body);
    buf_put(&n->all->body, g->body, g->len);
    feed_sub_put_body(sub);
}

static struct given *
given_new(struct feed_name *n, lsn at)
{
    const struct buf *body = &n->all->body;
    struct given *g = nq_malloc(sizeof *g + body->len);

    list_init(&g->link);
    g->at = at;
    g->sub = NULL;
    g->len = body->len;
    memcpy(g->body, body->p, body->len);
    n->waiting++;
    n->waiting_bytes += g->len;
    return g;
}

static bool
take_change(void *arg, const struct change *c)
{
    struct feed_name *n = arg;
    struct feed_sub *sub;

    if (feeds_is_over_slice(n->all) || (sub = next_sub(n)) == NULL)
        return false;
    if (feed_tell(n->feed, c)) {
        n->feed->matched++;
        give(n, sub, given_new(n, c->at));
    }
    n->at = c->at;
    return true;
}

static void
give_again(struct feed_name *n)
{
    struct feed_sub *sub;

    while (!list_empty(&n->again) && (sub = next_sub(n)) != NULL) {
        n->redelivered++;
        n->all->stats.redelivered++;
        give(n, sub, nq_container(n->again.next, struct given, link));
    }
}

static void
on_readable(void *arg)
{
    struct feed_name *n = arg;

    if (!list_empty(&n->subs))
        feed_sub_wake(nq_container(n->subs.next, struct feed_sub, in_lane));
}

/* The log was let go of before the feed was read: this is told to whose turn
 * it is, and what there is left comes behind. */
static nq_rc
lose(struct feed_name *n)
{
    struct key_range r = feed_key_range(n->feed);
    struct feed_sub *sub = next_sub(n);
    lsn oldest, newest;

    if (sub == NULL)
        return NQ_AGAIN;
    changes_bounds(n->all->e->changes, &r, &oldest, &newest);
    feed_message_lost(&n->all->body, n->at, oldest, newest);
    n->at = oldest;
    give(n, sub, given_new(n, oldest));
    change_reader_seek(n->reader, oldest);
    return NQ_OK;
}

static void
read_on(struct feed_name *n)
{
    struct key_range r = feed_key_range(n->feed);
    struct change_reader_opts opts = {&r, n->at, on_readable, n};
    nq_rc rc;

    if (n->reader == NULL)
        n->reader = change_reader_open(n->all->e->changes, &opts);
    rc = change_reader_next(n->reader, take_change, n);
    if (rc == NQ_NOTFOUND)
        rc = lose(n);
    if (rc != NQ_OK)
        return;
    if (feeds_is_over_slice(n->all))
        on_readable(n);
    else if (next_sub(n) != NULL)
        n->at = nq_max(n->at, change_reader_at(n->reader));
}

void
feed_name_run(struct feed_sub *sub)
{
    struct feed_name *n = sub->name;

    give_again(n);
    if (list_empty(&n->again))
        read_on(n);
    if (!feed_sub_has_room(sub))
        pressure_wait_room(sub->s, &sub->room);
}

/* --- joining and leaving ---------------------------------------------------
 */

void
feed_name_join(struct feed_name *n, struct feed_sub *sub)
{
    if (n->feed == NULL)
        n->feed = feed_ref(sub->feed);
    sub->name = n;
    sub->ready_at = 0;
    list_push_back(&n->subs, &sub->in_lane);
    n->count++;
}

/* What it had is for the others. */
static void
take_back(struct feed_name *n, const struct feed_sub *sub)
{
    struct list *at = n->again.next;

    list_each(it, &n->given)
    {
        struct given *g = nq_container(it, struct given, link);

        if (g->sub != sub)
            continue;
        while (at != &n->again &&
               nq_container(at, struct given, link)->at < g->at)
            at = at->next;
        g->sub = NULL;
        list_remove(&g->link);
        list_insert(at, &g->link);
    }
}

void
feed_name_leave(struct feed_sub *sub)
{
    struct feed_name *n = sub->name;

    list_remove(&sub->in_lane);
    sub->name = NULL;
    if (--n->count > 0) {
        take_back(n, sub);
        on_readable(n);
        return;
    }
    drop_all_of(n, &n->given);
    drop_all_of(n, &n->again);
    change_reader_close(n->reader);
    n->reader = NULL;
    n->at = n->acked;
}

/* --- acknowledging ---------------------------------------------------------
 */

/* Those up to `at` of the session, or with NULL of all. */
static uint64_t
acknowledge(struct feed_name *n, struct list *l, const struct session *s,
            lsn at)
{
    uint64_t count = 0;

    list_each(it, l)
    {
        struct given *g = nq_container(it, struct given, link);

        if (g->at > at)
            break;
        if (s != NULL && (g->sub == NULL || g->sub->s != s))
            continue;
        if (g->sub != NULL) {
            g->sub->held--;
            g->sub->held_bytes -= g->len;
        }
        drop_given(n, g);
        count++;
    }
    return count;
}

static lsn
first_at(const struct list *l)
{
    return list_empty(l) ? UINT64_MAX
                         : nq_container(l->next, struct given, link)->at;
}

static bool
is_sub_of(const struct feed_name *n, const struct session *s)
{
    list_each(it, &n->subs)
    {
        if (nq_container(it, struct feed_sub, in_lane)->s == s)
            return true;
    }
    return false;
}

/* Moves the durable position to where nothing before it is missing. */
static nq_rc
move_mark(struct feed_name *n, lsn to)
{
    nq_rc rc;

    if (to <= n->acked)
        return NQ_OK;
    if ((rc = db_mark_move(n->all->e->db, name_of(n), to)) != NQ_OK)
        return rc;
    n->acked = to;
    if (n->count == 0)
        n->at = to;
    return NQ_OK;
}

nq_rc
feed_name_ack(struct feed_name *n, const struct session *s, lsn at,
              uint64_t *count)
{
    lsn first;

    if (!is_sub_of(n, s))
        s = NULL;
    *count = acknowledge(n, &n->given, s, at);
    if (s == NULL)
        *count += acknowledge(n, &n->again, s, at);
    n->acknowledged += *count;
    if (n->count == 0)
        return move_mark(n, nq_min(at, changes_settled(n->all->e->changes)));
    on_readable(n);
    first = nq_min(first_at(&n->given), first_at(&n->again));
    return move_mark(n, first == UINT64_MAX ? n->at : first - 1);
}

/* --- telling ---------------------------------------------------------------
 */

void
feed_name_get_info(const struct feed_name *n, struct feed_name_info *out)
{
    *out = (struct feed_name_info){
        .name = name_of(n),
        .text = buf_slice(&n->text),
        .channel = n->channel,
        .acked = n->acked,
        .at = n->at,
        .subs = n->count,
        .waiting = n->waiting,
        .acknowledged = n->acknowledged,
        .redelivered = n->redelivered,
    };
}
