/* cmd/cmd_stream_info.c - XINFO.
 *
 * Lists of groups and of consumers go on by name from slice to slice.  XINFO
 * STREAM FULL is one piece, so it tells FULL_MAX of each list at most.  There
 * are no radix trees here: their figures are what Redis would have if its
 * nodes were full. */
#include "base/check.h"
#include "base/mem.h"
#include "cmd/args.h"
#include "cmd/cmd_stream.h"
#include "cmd/gather.h"
#include "cmd/handlers.h"

#define FULL_COUNT 10 /* of each list, if it does not say */
#define FULL_MAX 1000
#define NAMED_MAGIC 0x58494e46u
#define NAMES_PER_LOOK 32

static void
refuse_arguments(struct req *rq)
{
    reply_error(rq,
                "unknown subcommand or wrong number of arguments for '%.*s'. "
                "Try XINFO HELP.",
                (int)nq_min(rq->argv[1].len, 128u),
                (const char *)rq->argv[1].p);
}

/* --- one group, one consumer --------------------------------------------- */

static void
put_lag(struct req *rq, const struct stream *s, const struct stream_group *g)
{
    int64_t lag;

    reply_bulk_str(rq, "entries-read");
    if (g->read == STREAM_READ_UNKNOWN)
        reply_null(rq);
    else
        reply_int(rq, g->read);
    reply_bulk_str(rq, "lag");
    if (stream_group_lag(s, g, &lag))
        reply_int(rq, lag);
    else
        reply_null(rq);
}

static nq_rc
put_group(struct req *rq, struct stream *s, const struct stream_group *g)
{
    uint64_t consumers, pending;
    nq_rc rc = stream_consumer_count(s, g, &consumers);

    if (rc == NQ_OK)
        rc = stream_pending_count(s, g, NULL, &pending);
    if (rc != NQ_OK)
        return rc;
    reply_map(rq, 6);
    reply_bulk_str(rq, "name");
    reply_bulk(rq, g->name);
    reply_bulk_str(rq, "consumers");
    reply_int(rq, (int64_t)consumers);
    reply_bulk_str(rq, "pending");
    reply_int(rq, (int64_t)pending);
    reply_bulk_str(rq, "last-delivered-id");
    reply_stream_id(rq, g->last);
    put_lag(rq, s, g);
    return NQ_OK;
}

static nq_rc
put_consumer(struct req *rq, struct stream *s, const struct stream_group *g,
             const struct stream_consumer *c)
{
    int64_t now = (int64_t)db_now(rq->db);
    uint64_t pending;
    nq_rc rc = stream_pending_count(s, g, c, &pending);

    if (rc != NQ_OK)
        return rc;
    reply_map(rq, 4);
    reply_bulk_str(rq, "name");
    reply_bulk(rq, c->name);
    reply_bulk_str(rq, "pending");
    reply_int(rq, (int64_t)pending);
    reply_bulk_str(rq, "idle");
    reply_int(rq, nq_max(now - (int64_t)c->seen_ms, 0));
    reply_bulk_str(rq, "inactive");
    reply_int(rq, c->active_ms == STREAM_NEVER ? -1 : now - c->active_ms);
    return NQ_OK;
}

/* --- lists in order of names --------------------------------------------- */

struct named {
    uint32_t magic;
    struct gather g;
    struct buf from; /* the next name to tell */
};

static void
named_free(void *state)
{
    struct named *n;

    NQ_CAST(n, state, NAMED_MAGIC);
    gather_fini(&n->g);
    buf_fini(&n->from);
    n->magic = 0;
    nq_free(n);
}

static struct named *
named_of(struct req *rq)
{
    struct named *n = rq->state;

    if (n == NULL) {
        n = nq_calloc(1, sizeof *n);
        n->magic = NAMED_MAGIC;
        rq->state = n;
        rq->free_state = named_free;
    }
    return n;
}

static nq_rc
put_at(struct req *rq, struct stream *s, const struct stream_group *group,
       struct stream_walk *w, struct slice *name)
{
    struct stream_consumer c;
    struct stream_group g;
    nq_rc rc;

    if (group == NULL) {
        rc = stream_walk_group(w, &g);
        *name = g.name;
        return rc == NQ_OK ? put_group(rq, s, &g) : rc;
    }
    rc = stream_walk_consumer(w, &c);
    *name = c.name;
    return rc == NQ_OK ? put_consumer(rq, s, group, &c) : rc;
}

/* To be continued behind `last`: `n` more were put. */
static void
suspend(struct req *rq, struct slice last, struct reply_deferred d, uint64_t n)
{
    struct named *kept = named_of(rq);

    buf_clear(&kept->from);
    buf_put_slice(&kept->from, last);
    buf_put_u8(&kept->from, 0);
    gather_keep(rq, &kept->g, d, n);
    if (!gather_is_too_long(rq, &kept->g))
        req_yield(rq);
}

/* The groups of `s`, or the consumers of `group`. */
static void
list(struct req *rq, struct stream *s, const struct stream_group *group)
{
    struct named *l = rq->state;
    struct slice from = l == NULL ? slice_lit("") : buf_slice(&l->from), name;
    struct reply_deferred d = reply_array_begin(rq);
    struct stream_walk w;
    uint64_t n = 0;
    nq_rc rc;

    stream_walk_init(&w, s);
    rc = group == NULL ? stream_walk_groups(&w, from)
                       : stream_walk_consumers(&w, group, from);
    while (rc == NQ_OK && w.valid) {
        if ((rc = put_at(rq, s, group, &w, &name)) != NQ_OK)
            break;
        if (++n % NAMES_PER_LOOK == 0 && req_should_yield(rq)) {
            suspend(rq, name, d, n);
            stream_walk_fini(&w);
            return;
        }
        rc = stream_walk_next(&w);
    }
    stream_walk_fini(&w);
    if (rc != NQ_OK) {
        reply_drop_parts(rq);
        reply_rc(rq, rc);
    } else if (l == NULL) {
        reply_array_end(rq, d, n);
    } else {
        gather_keep(rq, &l->g, d, n);
        reply_array(rq, l->g.n);
        gather_tell(rq, &l->g);
    }
}

static void
list_of(struct req *rq, bool of_group)
{
    struct named *l = rq->state;
    struct stream_group g;
    struct stream s;
    struct entry e;
    nq_rc rc;

    if (l != NULL && l->g.is_telling) {
        gather_tell(rq, &l->g);
        return;
    }
    if ((rc = req_open_stream(rq, 2, false, &e, &s)) != NQ_OK) {
        reply_rc(rq, rc);
        return;
    }
    if (of_group)
        rc = stream_group_find(&s, rq->argv[3], &g);
    if (rc == NQ_OK)
        list(rq, &s, of_group ? &g : NULL);
    else if (rc == NQ_NOTFOUND)
        reply_error(
            rq,
            "-NOGROUP No such consumer group '%.*s' for key name "
            "'%.*s'",
            (int)nq_min(rq->argv[3].len, 256u), (const char *)rq->argv[3].p,
            (int)nq_min(rq->argv[2].len, 256u), (const char *)rq->argv[2].p);
    else
        reply_rc(rq, rc);
    stream_close(&s);
}

void
cmd_xinfo_groups(struct req *rq)
{
    list_of(rq, false);
}

void
cmd_xinfo_consumers(struct req *rq)
{
    list_of(rq, true);
}

/* --- XINFO STREAM FULL --------------------------------------------------- */

/* Up to `n` pending entries of the group, or of one consumer: then without
 * its name. */
static nq_rc
put_pending(struct req *rq, struct stream *s, const struct stream_group *g,
            const struct stream_consumer *c, uint64_t n)
{
    struct reply_deferred d = reply_array_begin(rq);
    struct stream_pending p;
    struct stream_walk w;
    struct slice name;
    uint64_t told = 0;
    nq_rc rc;

    stream_walk_init(&w, s);
    rc = stream_walk_pending(&w, g, c, STREAM_ID_MIN);
    for (; rc == NQ_OK && w.valid && told < n; told++) {
        rc = stream_walk_pending_at(&w, &p);
        if (rc == NQ_OK && c == NULL)
            rc = stream_consumer_name(s, g, p.consumer, rq->arena, &name);
        if (rc != NQ_OK)
            break;
        reply_array(rq, c == NULL ? 4 : 3);
        reply_stream_id(rq, p.id);
        if (c == NULL)
            reply_bulk(rq, name);
        reply_int(rq, (int64_t)p.delivered_ms);
        reply_int(rq, (int64_t)p.deliveries);
        rc = stream_walk_next(&w);
    }
    stream_walk_fini(&w);
    if (rc == NQ_OK)
        reply_array_end(rq, d, told);
    return rc;
}

static nq_rc
put_full_consumer(struct req *rq, struct stream *s,
                  const struct stream_group *g, const struct stream_consumer *c,
                  uint64_t n)
{
    uint64_t pending;
    nq_rc rc = stream_pending_count(s, g, c, &pending);

    if (rc != NQ_OK)
        return rc;
    reply_map(rq, 5);
    reply_bulk_str(rq, "name");
    reply_bulk(rq, c->name);
    reply_bulk_str(rq, "seen-time");
    reply_int(rq, (int64_t)c->seen_ms);
    reply_bulk_str(rq, "active-time");
    reply_int(rq, c->active_ms);
    reply_bulk_str(rq, "pel-count");
    reply_int(rq, (int64_t)pending);
    reply_bulk_str(rq, "pending");
    return put_pending(rq, s, g, c, n);
}

static nq_rc
put_full_consumers(struct req *rq, struct stream *s,
                   const struct stream_group *g, uint64_t n)
{
    struct reply_deferred d = reply_array_begin(rq);
    struct stream_consumer c;
    struct stream_walk w;
    uint64_t told = 0;
    nq_rc rc;

    stream_walk_init(&w, s);
    rc = stream_walk_consumers(&w, g, slice_lit(""));
    for (; rc == NQ_OK && w.valid && told < FULL_MAX; told++) {
        rc = stream_walk_consumer(&w, &c);
        if (rc == NQ_OK)
            rc = put_full_consumer(rq, s, g, &c, n);
        if (rc == NQ_OK)
            rc = stream_walk_next(&w);
    }
    stream_walk_fini(&w);
    if (rc == NQ_OK)
        reply_array_end(rq, d, told);
    return rc;
}

static nq_rc
put_full_group(struct req *rq, struct stream *s, const struct stream_group *g,
               uint64_t n)
{
    uint64_t pending;
    nq_rc rc = stream_pending_count(s, g, NULL, &pending);

    if (rc != NQ_OK)
        return rc;
    reply_map(rq, 7);
    reply_bulk_str(rq, "name");
    reply_bulk(rq, g->name);
    reply_bulk_str(rq, "last-delivered-id");
    reply_stream_id(rq, g->last);
    put_lag(rq, s, g);
    reply_bulk_str(rq, "pel-count");
    reply_int(rq, (int64_t)pending);
    reply_bulk_str(rq, "pending");
    if ((rc = put_pending(rq, s, g, NULL, n)) != NQ_OK)
        return rc;
    reply_bulk_str(rq, "consumers");
    return put_full_consumers(rq, s, g, n);
}

static nq_rc
put_full(struct req *rq, struct stream *s, uint64_t n)
{
    struct reply_deferred d;
    struct stream_group g;
    struct stream_walk w;
    uint64_t told = 0;
    nq_rc rc;

    reply_bulk_str(rq, "entries");
    rc =
        reply_stream_range(rq, s, STREAM_ID_MIN, STREAM_ID_MAX, n, false, true);
    reply_bulk_str(rq, "groups");
    d = reply_array_begin(rq);
    stream_walk_init(&w, s);
    if (rc == NQ_OK)
        rc = stream_walk_groups(&w, slice_lit(""));
    for (; rc == NQ_OK && w.valid && told < FULL_MAX; told++) {
        rc = stream_walk_group(&w, &g);
        if (rc == NQ_OK)
            rc = put_full_group(rq, s, &g, n);
        if (rc == NQ_OK)
            rc = stream_walk_next(&w);
    }
    stream_walk_fini(&w);
    if (rc == NQ_OK)
        reply_array_end(rq, d, told);
    return rc;
}

/* --- XINFO STREAM -------------------------------------------------------- */

static void
put_facts(struct req *rq, const struct stream *s)
{
    uint64_t node = db_limits(rq->db)->stream_node_max_entries;
    uint64_t nodes = (s->length + nq_max(node, 1) - 1) / nq_max(node, 1);

    reply_bulk_str(rq, "length");
    reply_int(rq, (int64_t)s->length);
    reply_bulk_str(rq, "radix-tree-keys");
    reply_int(rq, (int64_t)nodes);
    reply_bulk_str(rq, "radix-tree-nodes");
    reply_int(rq, (int64_t)nodes + 1);
    reply_bulk_str(rq, "last-generated-id");
    reply_stream_id(rq, s->last);
    reply_bulk_str(rq, "max-deleted-entry-id");
    reply_stream_id(rq, s->max_deleted);
    reply_bulk_str(rq, "entries-added");
    reply_int(rq, (int64_t)s->added);
    reply_bulk_str(rq, "recorded-first-entry-id");
    reply_stream_id(rq, s->first);
}

/* The first or last entry, or null. */
static nq_rc
put_edge(struct req *rq, struct stream *s, bool is_last)
{
    if (s->length == 0) {
        reply_null(rq);
        return NQ_OK;
    }
    return reply_stream_range(rq, s, STREAM_ID_MIN, STREAM_ID_MAX, 1, is_last,
                              false);
}

static nq_rc
put_short(struct req *rq, struct stream *s)
{
    uint64_t groups;
    nq_rc rc = stream_group_count(s, &groups);

    if (rc != NQ_OK)
        return rc;
    reply_bulk_str(rq, "groups");
    reply_int(rq, (int64_t)groups);
    reply_bulk_str(rq, "first-entry");
    rc = put_edge(rq, s, false);
    reply_bulk_str(rq, "last-entry");
    return rc == NQ_OK ? put_edge(rq, s, true) : rc;
}

/* FULL [COUNT n]; *n 0: not full. */
static bool
parse_full(struct req *rq, uint64_t *n)
{
    int64_t count = FULL_COUNT;

    *n = 0;
    if (rq->argc == 3)
        return true;
    if ((rq->argc != 4 && rq->argc != 6) || !slice_is(rq->argv[3], "FULL") ||
        (rq->argc == 6 && !slice_is(rq->argv[4], "COUNT"))) {
        refuse_arguments(rq);
        return false;
    }
    if (rq->argc == 6 && !arg_int(rq, 5, &count))
        return false;
    if (count < 0)
        count = FULL_COUNT;
    *n = count == 0 ? FULL_MAX : (uint64_t)nq_min(count, FULL_MAX);
    return true;
}

void
cmd_xinfo_stream(struct req *rq)
{
    struct reply_deferred d;
    struct stream s;
    struct entry e;
    uint64_t n;
    nq_rc rc = req_open_stream(rq, 2, false, &e, &s);

    if (rc != NQ_OK) {
        reply_rc(rq, rc);
        return;
    }
    if (parse_full(rq, &n)) {
        d = reply_array_begin(rq);
        put_facts(rq, &s);
        rc = n > 0 ? put_full(rq, &s, n) : put_short(rq, &s);
        if (rc == NQ_OK) {
            reply_map_end(rq, d, n > 0 ? 9 : 10);
        } else {
            reply_drop_parts(rq);
            reply_rc(rq, rc);
        }
    }
    stream_close(&s);
}

void
cmd_xinfo_help(struct req *rq)
{
    static const char *const lines[] = {
        "CONSUMERS <key> <groupname>",
        "    Show consumers of <groupname>.",
        "GROUPS <key>",
        "    Show the stream consumer groups.",
        "STREAM <key> [FULL [COUNT <count>]",
        "    Show information about the stream.",
        NULL};

    reply_help(rq, lines);
}
