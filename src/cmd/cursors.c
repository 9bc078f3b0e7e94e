/* cmd/cursors.c - the table of open queries.
 *
 *   C1  each is in the table by id, and in the list of its session
 *   C2  what streams push takes TURN_NS of a turn, whoever they are: each gets
 *       a batch, then the next one
 *   C3  a source wakes its cursor only while somebody waits: a command of the
 *       session (is_blocking), or the stream
 *
 * Called by cmd_cursor.c, cmd_stream_query.c, session.c and engine.c. */
#include "cmd/cursors.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cmd/cmd_stream_query.h"
#include "cmd/engine.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "os/clock.h"

#define TURN_NS 500000u

struct cursors {
    struct hash table;
    struct list due;
    uint64_t next_id;
    struct cursors_stats stats;
};

static struct cursor *
of_session(struct list *link)
{
    return nq_container(link, struct cursor, in_session);
}

static void
on_wake(void *arg)
{
    struct cursor *c = arg;

    if (c->is_blocking) {
        c->is_blocking = false;
        session_unblock(c->s);
    } else if (c->stream != NULL) {
        cursor_make_due(c);
    }
}

/* --- parsing ---------------------------------------------------------------
 */

#define CLAUSES                                                                \
    (SELECT_WHERE | SELECT_RETURN | SELECT_LIMIT | SELECT_ORDER | SELECT_WHAT)

static bool
parse_query(struct req *rq, uint32_t *i, const char *const *own,
            struct select *sel, bool *is_snapshot)
{
    *is_snapshot = false;
    if (!select_parse_selector(rq, i, sel))
        return false;
    for (;;) {
        if (!select_parse_clauses(rq, i, CLAUSES, own, sel))
            return false;
        if (*i == rq->argc || !slice_is(rq->argv[*i], "SNAPSHOT") ||
            *is_snapshot)
            break;
        *is_snapshot = true;
        ++*i;
    }
    if (sel->offset < 0) {
        reply_error(rq, "LIMIT begins at 0 or behind it");
        return false;
    }
    return true;
}

static bool
may_open(struct req *rq)
{
    const struct cursor_limits *l = &rq->engine->limits.cursors;
    unsigned mine = 0;

    list_each(it, &rq->s->cursors)
    {
        mine++;
    }
    if (rq->engine->cursors->table.count >= l->most)
        reply_error(rq,
                    "%u cursors and streams are open, as many as "
                    "query.max_cursors allows",
                    l->most);
    else if (mine >= l->per_client)
        reply_error(rq,
                    "this client has %u cursors and streams open, as many "
                    "as query.max_cursors_per_client allows",
                    l->per_client);
    else
        return true;
    return false;
}

struct cursor *
cursor_open(struct req *rq, uint32_t *i, const char *const *own,
            enum cursor_kind kind)
{
    struct cursors *cs = rq->engine->cursors;
    struct select sel = {0};
    struct source_opts o = {
        .dbi = rq->dbi, .resp = rq->s->resp, .wake = on_wake};
    struct cursor *c;

    if (!parse_query(rq, i, own, &sel, &o.is_snapshot) || !may_open(rq)) {
        select_fini(&sel);
        return NULL;
    }
    c = nq_calloc(1, sizeof *c);
    *c = (struct cursor){.id = cs->next_id++,
                         .kind = kind,
                         .engine = rq->engine,
                         .s = rq->s,
                         .resp = rq->s->resp,
                         .dbi = rq->dbi,
                         .opened_ms = clock_mono_ms()};
    c->used_ms = c->opened_ms;
    list_init(&c->due);
    o.arg = c;
    c->source = source_open(rq->engine, &sel, &o);
    select_fini(&sel);
    hash_insert(&cs->table, &c->node, hash_u64(c->id));
    list_push_back(&rq->s->cursors, &c->in_session);
    cs->stats.open[kind]++;
    cs->stats.opened[kind]++;
    return c;
}

/* --- finding and closing ----------------------------------------------------
 */

static bool
has_id(const struct hash_node *n, const void *id)
{
    const struct cursor *c =
        (const struct cursor *)(const void *)((const char *)n -
                                              offsetof(struct cursor, node));

    return c->id == *(const uint64_t *)id;
}

struct cursor *
cursor_find(struct req *rq, struct slice text, enum cursor_kind kind)
{
    struct hash_node *n = NULL;
    struct cursor *c;
    int64_t number;
    uint64_t id;

    if (slice_to_i64(text, &number) && number > 0) {
        id = (uint64_t)number;
        n = hash_find(&rq->engine->cursors->table, hash_u64(id), has_id, &id);
    }
    c = n == NULL ? NULL : nq_container(n, struct cursor, node);
    return c != NULL && c->s == rq->s && c->kind == kind ? c : NULL;
}

void
cursor_close(struct cursor *c)
{
    struct cursors *cs = c->engine->cursors;

    stream_fini(c);
    source_close(c->source);
    hash_remove(&cs->table, &c->node);
    list_remove(&c->in_session);
    list_remove(&c->due);
    cs->stats.open[c->kind]--;
    if (c->is_blocking)
        session_unblock(c->s);
    nq_free(c);
}

void
cursor_touch(struct cursor *c)
{
    c->used_ms = clock_mono_ms();
}

void
cursors_drop(struct session *s)
{
    while (!list_empty(&s->cursors)) {
        struct cursor *c = of_session(s->cursors.next);

        c->is_blocking = false;
        cursor_close(c);
    }
}

void
cursors_stop(struct engine *e)
{
    list_each(it, &e->sessions)
    {
        cursors_drop(nq_container(it, struct session, link));
    }
}

/* --- turns -------------------------------------------------------------------
 */

void
cursor_make_due(struct cursor *c)
{
    if (list_empty(&c->due))
        list_push_back(&c->engine->cursors->due, &c->due);
}

bool
cursors_turn(struct engine *e)
{
    struct cursors *cs = e->cursors;
    uint64_t end_ns;

    if (list_empty(&cs->due))
        return false;
    end_ns = clock_mono_ns() + TURN_NS;
    while (!list_empty(&cs->due) && clock_mono_ns() < end_ns)
        stream_pump(nq_container(list_pop_front(&cs->due), struct cursor, due));
    return !list_empty(&cs->due);
}

bool
cursors_are_due(const struct engine *e)
{
    return !list_empty(&e->cursors->due);
}

/* --- time --------------------------------------------------------------------
 */

static void
look_at(struct engine *e, struct cursor *c, uint64_t now_ms)
{
    uint64_t idle_ms = e->limits.cursors.idle_s * UINT64_C(1000);

    if (idle_ms != 0 && !c->is_blocking && now_ms - c->used_ms > idle_ms) {
        e->cursors->stats.expired++;
        if (c->stream != NULL)
            stream_expire(c);
        else
            cursor_close(c);
        return;
    }
    if (c->stream != NULL)
        stream_cron(c, now_ms);
}

void
cursors_cron(struct engine *e)
{
    uint64_t now_ms = clock_mono_ms();

    if (e->cursors->table.count == 0)
        return;
    list_each(it, &e->sessions)
    {
        struct session *s = nq_container(it, struct session, link);
        struct list *at = s->cursors.next, *next;

        for (; at != &s->cursors; at = next) {
            next = at->next;
            look_at(e, of_session(at), now_ms);
        }
    }
}

void
cursors_each(struct engine *e, const struct session *of,
             void (*fn)(void *arg, struct cursor *c), void *arg)
{
    list_each(it, &e->sessions)
    {
        struct session *s = nq_container(it, struct session, link);

        if (of != NULL && s != of)
            continue;
        list_each(at, &s->cursors)
        {
            fn(arg, of_session(at));
        }
    }
}

struct cursors_stats *
cursors_stats(struct engine *e)
{
    return &e->cursors->stats;
}

struct cursors *
cursors_new(struct engine *e)
{
    struct cursors *cs = nq_calloc(1, sizeof *cs);

    list_init(&cs->due);
    cs->next_id = 1 + rng_below(&e->rng, 1000000);
    return cs;
}

void
cursors_free(struct cursors *cs)
{
    if (cs == NULL)
        return;
    nq_assert(cs->table.count == 0);
    hash_fini(&cs->table);
    nq_free(cs);
}
