/* cmd/cmd_feed.c - NQ.SUBSCRIBE, NQ.UNSUBSCRIBE.
 *
 *   NQ.SUBSCRIBE selector [WHERE ...] [RETURN field ...]
 *                [SNAPSHOT] [FROM lsn | FROM START | NOW]
 *                [EVENTS [set] [del] [expire]] [AS name]
 *                [POLICY pause | drop-oldest | drop-newest | disconnect]
 *
 * The answer has the shape of SUBSCRIBE's: "subscribe", the channel, how many
 * feeds the client follows; but it is an ordinary reply in RESP3, too, since
 * clients wait for one.  SUBSCRIBE to a channel whose name is such a command
 * does the same, in the way of SUBSCRIBE, on a channel of that name. Everything
 * that can be refused is, before the first effect, which is the cover of the
 * range. */
#include "cmd/handlers.h"

#include "cmd/feed_int.h"
#include "cmd/push.h"
#include "cmd/reply.h"
#include "resp/parse.h"

#define FEEDS_MAX 1024u /* of one client */

static const char *const own_words[] = {"SNAPSHOT", "FROM",   "NOW", "EVENTS",
                                        "AS",       "POLICY", NULL};

/* What NQ.SUBSCRIBE asks for. */
struct asked {
    struct select sel;
    uint8_t events;
    bool has_snapshot, has_from, from_start;
    lsn from;
    struct slice name;    /* empty: none */
    struct slice channel; /* the same: of the feed's choice */
    enum pressure_policy policy;
};

/* --- parsing ---------------------------------------------------------------
 */

static bool
parse_from(struct req *rq, uint32_t *i, struct asked *a)
{
    int64_t at;

    if (*i == rq->argc) {
        reply_syntax(rq);
        return false;
    }
    a->has_from = true;
    if (slice_is(rq->argv[*i], "START")) {
        a->from_start = true;
    } else if (slice_to_i64(rq->argv[*i], &at) && at >= 0) {
        a->from = (lsn)at;
    } else {
        reply_error(rq, "FROM takes START or a position, which is a number");
        return false;
    }
    ++*i;
    return true;
}

static bool
parse_events(struct req *rq, uint32_t *i, struct asked *a)
{
    static const char *const names[] = {"set", "del", "expire"};

    a->events = 0;
    for (; *i < rq->argc; ++*i) {
        unsigned n = 0;

        while (n < nq_countof(names) && !slice_is(rq->argv[*i], names[n]))
            n++;
        if (n == nq_countof(names))
            break;
        a->events |= (uint8_t)(1u << n);
    }
    if (a->events != 0)
        return true;
    reply_error(rq, "EVENTS takes some of set, del, expire");
    return false;
}

static bool
parse_name(struct req *rq, uint32_t *i, struct asked *a)
{
    if (*i == rq->argc || rq->argv[*i].len == 0 ||
        rq->argv[*i].len > MARK_NAME_MAX) {
        reply_error(rq, "AS takes a name of 1 to %u bytes", MARK_NAME_MAX);
        return false;
    }
    a->name = rq->argv[(*i)++];
    return true;
}

static bool
parse_policy(struct req *rq, uint32_t *i, struct asked *a)
{
    if (*i < rq->argc && pressure_policy_find(rq->argv[*i], &a->policy) &&
        a->policy != PRESSURE_NONE) {
        ++*i;
        return true;
    }
    reply_error(rq, "POLICY takes pause, drop-oldest, drop-newest or "
                    "disconnect");
    return false;
}

/* One of `own_words` and what belongs to it. */
static bool
parse_word(struct req *rq, uint32_t *i, struct asked *a)
{
    struct slice word = rq->argv[(*i)++];

    if (slice_is(word, "SNAPSHOT")) {
        a->has_snapshot = true;
        return true;
    }
    if (slice_is(word, "NOW"))
        return true;
    if (slice_is(word, "FROM"))
        return parse_from(rq, i, a);
    if (slice_is(word, "EVENTS"))
        return parse_events(rq, i, a);
    if (slice_is(word, "AS"))
        return parse_name(rq, i, a);
    if (slice_is(word, "POLICY"))
        return parse_policy(rq, i, a);
    reply_syntax(rq);
    return false;
}

static bool
parse(struct req *rq, struct asked *a)
{
    uint32_t i = 1;

    if (!select_parse_selector(rq, &i, &a->sel) ||
        !select_parse_clauses(rq, &i, SELECT_WHERE | SELECT_RETURN, own_words,
                              &a->sel))
        return false;
    while (i < rq->argc) {
        if (!parse_word(rq, &i, a) ||
            !select_parse_clauses(rq, &i, SELECT_WHERE | SELECT_RETURN,
                                  own_words, &a->sel))
            return false;
    }
    if (a->channel.len > 0 && a->name.len > 0) {
        reply_error(rq, "AS goes with NQ.SUBSCRIBE itself, as its channel has "
                        "the name");
        return false;
    }
    if (a->has_snapshot && (a->has_from || a->name.len > 0)) {
        reply_error(rq, "SNAPSHOT goes with neither FROM nor AS");
        return false;
    }
    return true;
}

/* --- subscribing -----------------------------------------------------------
 */

static struct key_range
range_of(const struct req *rq, const struct asked *a)
{
    return (struct key_range){.db = rq->dbi,
                              .lo = a->sel.range.lo,
                              .hi = a->sel.range.hi,
                              .has_hi = a->sel.range.has_hi};
}

/* Whether the feed can begin there: every change behind it is in the log. */
static bool
check_from(struct req *rq, struct asked *a)
{
    struct key_range r = range_of(rq, a);
    lsn oldest, newest;

    changes_bounds(rq->engine->changes, &r, &oldest, &newest);
    if (a->from_start)
        a->from = oldest;
    if (a->from >= oldest && a->from <= newest)
        return true;
    reply_error(rq,
                "-POSITION changes behind %llu are not all there: the oldest "
                "position is %llu, the newest %llu",
                (unsigned long long)a->from, (unsigned long long)oldest,
                (unsigned long long)newest);
    return false;
}

static bool
follows(const struct session *s, const struct feed *f)
{
    if (s->feeds == NULL)
        return false;
    list_each(it, &s->feeds->subs)
    {
        if (nq_container(it, struct feed_sub, in_session)->feed == f)
            return true;
    }
    return false;
}

static bool
may_follow(struct req *rq, const struct asked *a, struct slice identity)
{
    const struct feed *f = feed_find(rq->engine->feeds, identity);

    if (a->sel.range.is_empty)
        reply_error(rq, "no key can be in this range");
    else if (f != NULL && follows(rq->s, f))
        reply_error(rq, "this client follows this query already");
    else if (feeds_count(rq->s) >= FEEDS_MAX)
        reply_error(rq, "a client follows at most %u queries", FEEDS_MAX);
    else
        return true;
    return false;
}

/* A name is of one query for good, and goes on at its own position. */
static bool
check_name(struct req *rq, const struct asked *a, struct slice identity)
{
    const struct feed_name *n;

    if (a->name.len == 0)
        return true;
    n = feed_name_find(rq->engine->feeds, a->name);
    if (memchr(a->name.p, '\0', a->name.len) != NULL)
        reply_error(rq, "the name of a feed has no zero bytes");
    else if (n != NULL && !slice_eq(feed_name_identity(n), identity))
        reply_error(rq, "the feed of this name has another query: see "
                        "NQ.FEEDS");
    else if (n != NULL && a->has_from)
        reply_error(rq, "the feed of this name has a position, and goes on "
                        "there: see NQ.FEEDS");
    else
        return true;
    return false;
}

/* The feed of the query, with a cover. */
static nq_rc
covered_feed(struct req *rq, struct asked *a, struct slice identity,
             struct feed **out)
{
    struct key_range r = range_of(rq, a);
    struct cover *cover;
    nq_rc rc;

    if ((*out = feed_find(rq->engine->feeds, identity)) != NULL) {
        feed_ref(*out);
        return NQ_OK;
    }
    if ((rc = db_cover_take(rq->db, &r, &cover)) != NQ_OK)
        return rc;
    *out = feed_new(rq->engine->feeds, rq->dbi, &a->sel, a->events, a->channel,
                    identity);
    (*out)->cover = cover;
    return NQ_OK;
}

static void
reply_subscription(struct req *rq, const char *word, struct slice channel)
{
    reply_array(rq, 3);
    reply_bulk_str(rq, word);
    reply_bulk(rq, channel);
    reply_int(rq, feeds_count(rq->s));
}

/* What may fail of a subscription, behind which nothing does: its feed, and its
 * name if it has one. */
static nq_rc
make(struct req *rq, struct asked *a, struct slice identity, struct feed **feed,
     struct feed_name **name)
{
    struct feeds *all = rq->engine->feeds;
    nq_rc rc;

    if ((rc = covered_feed(rq, a, identity, feed)) != NQ_OK)
        return rc;
    *name = a->name.len == 0 ? NULL : feed_name_find(all, a->name);
    if (a->name.len == 0 || *name != NULL)
        return NQ_OK;
    rc = feed_name_make(
        all, a->name, identity, buf_slice(&(*feed)->text),
        a->has_from ? a->from : changes_head(rq->engine->changes), name);
    if (rc != NQ_OK)
        feed_unref(*feed);
    return rc;
}

/* Takes `rows`.  NULL: an error is answered. */
static struct feed_sub *
subscribe(struct req *rq, struct asked *a, struct slice identity,
          struct feed_rows *rows)
{
    struct feed *f;
    struct feed_name *name;
    struct feed_sub *sub;
    nq_rc rc = make(rq, a, identity, &f, &name);

    if (rc != NQ_OK) {
        push_leave(rq->s);
        feed_rows_free(rows);
        reply_rc(rq, rc);
        return NULL;
    }
    sub = feed_sub_new(rq->s, f);
    sub->policy = a->policy;
    sub->ready_at = changes_head(rq->engine->changes);
    sub->at = a->has_from ? a->from : sub->ready_at;
    if (name != NULL) {
        feed_name_join(name, sub);
    } else if (a->has_snapshot) {
        sub->mode = FEED_ROWS;
        sub->rows = rows != NULL ? rows : feed_rows_ask(sub);
    }
    return sub;
}

static struct feed_sub *
check_and_subscribe(struct req *rq, struct asked *a, struct slice identity)
{
    struct feed_rows *rows = NULL;
    nq_rc rc = NQ_OK;

    if (!may_follow(rq, a, identity) || (a->has_from && !check_from(rq, a)) ||
        !check_name(rq, a, identity))
        return NULL;
    if (a->has_snapshot)
        rc = feed_rows_read(rq, &a->sel, &rows);
    if (rc != NQ_OK) {
        reply_rc(rq, rc);
        return NULL;
    }
    if (push_enter(rq->s))
        return subscribe(rq, a, identity, rows);
    feed_rows_free(rows);
    reply_error(rq, PUSH_TOO_MANY);
    return NULL;
}

/* What argv says.  NULL: an error is answered, or it is to run again. */
static struct feed_sub *
follow(struct req *rq, struct slice channel)
{
    struct asked a = {
        .events = FEED_ALL, .policy = PRESSURE_PAUSE, .channel = channel};
    struct buf identity = BUF_INIT;
    struct feed_sub *sub = NULL;

    if (parse(rq, &a)) {
        feed_identity(rq->dbi, &a.sel, a.events, channel, &identity);
        sub = check_and_subscribe(rq, &a, buf_slice(&identity));
    }
    buf_fini(&identity);
    select_fini(&a.sel);
    return sub;
}

/* NQ.SUBSCRIBE: array of "subscribe", the channel, how many feeds. */
void
cmd_nq_subscribe(struct req *rq)
{
    const struct feed_sub *sub = follow(rq, slice_lit(""));

    if (sub != NULL)
        reply_subscription(rq, "subscribe", slice_str(feed_sub_channel(sub)));
}

/* --- by SUBSCRIBE ----------------------------------------------------------
 */

#define COMMAND_CHANNEL "NQ.SUBSCRIBE "

bool
feeds_is_channel(struct slice name)
{
    size_t len = sizeof COMMAND_CHANNEL - 1;

    return name.len > len && name.p[len - 1] == ' ' &&
           slice_is(slice_of(name.p, len - 1), "NQ.SUBSCRIBE");
}

static bool
follows_channel(const struct session *s, struct slice name)
{
    if (s->feeds == NULL)
        return false;
    list_each(it, &s->feeds->subs)
    {
        const struct feed_sub *sub =
            nq_container(it, struct feed_sub, in_session);

        if (slice_eq(slice_str(feed_sub_channel(sub)), name))
            return true;
    }
    return false;
}

/* Lets argv be the words of the command that the name is. */
static bool
follow_words(struct req *rq, struct slice name)
{
    struct slice room[RESP_SHORT_ARGS], line, *argv = rq->argv;
    struct resp_limits limits = {FEED_CHANNEL_MAX, true};
    struct resp_parser parser = {NULL};
    uint32_t argc = rq->argc;
    struct resp_request words;
    bool is_done = false;
    uint8_t *text = arena_alloc(rq->arena, name.len + 1);

    memcpy(text, name.p, name.len);
    text[name.len] = '\n';
    line = slice_of(text, name.len + 1);
    if (resp_parse(&parser, line, &limits, room, &words) == RESP_REQUEST &&
        words.len == line.len && words.argc >= 3) {
        rq->argv = words.argv;
        rq->argc = words.argc;
        is_done = follow(rq, name) != NULL;
        rq->argv = argv;
        rq->argc = argc;
    } else {
        reply_error(rq, "the channel is no NQ.SUBSCRIBE command");
    }
    resp_forget(&parser);
    return is_done;
}

bool
feeds_subscribe(struct req *rq, struct slice name)
{
    if (follows_channel(rq->s, name))
        return true;
    if (rq->engine->is_loading) {
        reply_error(rq, "-LOADING nqdb is loading the dataset in memory");
        return false;
    }
    if (!rq->in_multi && name.len <= FEED_CHANNEL_MAX &&
        memchr(name.p, '\0', name.len) == NULL)
        return follow_words(rq, name);
    reply_error(rq,
                "the channel of a query has at most %u bytes, none of them "
                "zero, and is not for transactions",
                FEED_CHANNEL_MAX);
    return false;
}

/* --- unsubscribing ---------------------------------------------------------
 */

/* NQ.UNSUBSCRIBE [channel]: array of "unsubscribe", the channel (null: all),
 * how many feeds are left. */
void
cmd_nq_unsubscribe(struct req *rq)
{
    if (rq->argc > 2) {
        reply_wrong_arity(rq);
        return;
    }
    if (rq->argc == 2) {
        feeds_unsubscribe(rq->s, rq->argv[1]);
        reply_subscription(rq, "unsubscribe", rq->argv[1]);
        return;
    }
    feeds_drop(rq->s);
    reply_array(rq, 3);
    reply_bulk_str(rq, "unsubscribe");
    reply_null(rq);
    reply_int(rq, 0);
}
