/* cmd/cmd_stream_readgroup.c - XREADGROUP.
 *
 *   look_at_groups    errors first, and all pages that any stream will need
 *   serve_group       stream by stream, at most STREAM_SLICE entries at once:
 *     deliver_new     ">": entries behind what the group has read
 *     deliver_old     an id: what is pending for the consumer behind it
 *
 * Each of those is one effect, also the one that finds nothing: it says that
 * the consumer was seen, and makes it if it is new.  Without COUNT, or with a
 * large one, there are several, with a yield between them; another consumer
 * may then get entries in between, as between two commands.  Inside MULTI
 * there is no yield. */
#include "cmd/cmd_stream_read.h"

#include "base/arena.h"
#include "base/check.h"
#include "cmd/handlers.h"
#include "cmd/wait_key.h"

/* One delivery of at most STREAM_SLICE entries. */
struct batch {
    struct stream s;
    struct stream_group g;
    struct stream_claim *claims;
    struct stream_delivery d;
    struct stream_id id; /* the last entry that was looked at */
    uint64_t seen;       /* entries told */
    size_t bytes;        /* of those */
    bool is_end;         /* there are no more */
};

/* --- what is asked for --------------------------------------------------- */

/* What the id of stream k says: *is_new for ">". */
static bool
parse_from(struct req *rq, const struct read_args *a, uint32_t k, bool *is_new,
           struct stream_id *out)
{
    uint32_t i = a->keys + a->n + k;
    struct slice text = rq->argv[i];

    *is_new = slice_eq(text, slice_lit(">"));
    if (*is_new)
        return true;
    if (slice_eq(text, slice_lit("$")) || slice_eq(text, slice_lit("+"))) {
        reply_error(rq,
                    "The %c ID is meaningless in the context of XREADGROUP: "
                    "you want to read the history of this consumer by "
                    "specifying a proper ID, or use the > ID to get new "
                    "messages. The %c ID would just return an empty result "
                    "set.",
                    text.p[0], text.p[0]);
        return false;
    }
    if (!arg_stream_id(rq, i, out))
        return false;
    *is_new = stream_id_cmp(*out, STREAM_ID_MAX) == 0;
    return true;
}

static nq_rc
open_batch(struct req *rq, const struct read_args *a, uint32_t k,
           struct entry *e, struct batch *b)
{
    nq_rc rc = req_open_group(rq, a->keys + k, a->group, true, e, &b->s, &b->g);

    if (rc != NQ_OK)
        return rc;
    b->claims = arena_alloc(rq->arena, STREAM_SLICE * sizeof *b->claims);
    b->d = (struct stream_delivery){.group = rq->argv[a->group],
                                    .consumer = rq->argv[a->consumer],
                                    .now_ms = db_now(rq->db),
                                    .claims = b->claims};
    b->seen = 0;
    b->bytes = 0;
    b->is_end = false;
    return NQ_OK;
}

static void
refuse_group(struct req *rq, const struct read_args *a, uint32_t k)
{
    struct slice key = rq->argv[a->keys + k], group = rq->argv[a->group];

    reply_error(rq,
                "-NOGROUP No such key '%.*s' or consumer group '%.*s' in "
                "XREADGROUP with GROUP option",
                (int)nq_min(key.len, 256u), (const char *)key.p,
                (int)nq_min(group.len, 256u), (const char *)group.p);
}

/* --- telling and planning ------------------------------------------------ */

static void
add_claim(struct batch *b, struct stream_id id, uint64_t deliveries)
{
    b->claims[b->d.n++] = (struct stream_claim){
        .id = id, .delivered_ms = b->d.now_ms, .deliveries = deliveries};
}

/* Tells up to `n` entries behind what the group has read, and plans their
 * delivery. */
static nq_rc
plan_new(struct req *rq, const struct read_args *a, struct batch *b, uint64_t n,
         bool tell)
{
    struct stream_id from = b->g.last;
    struct stream_fields fields;
    struct stream_cursor cu;
    nq_rc rc = NQ_OK;

    stream_cursor_init(&cu, &b->s);
    if (stream_id_next(&from))
        rc = stream_seek(&cu, from);
    while (rc == NQ_OK && cu.valid && b->seen < n &&
           b->bytes <= STREAM_SLICE_BYTES) {
        stream_group_step(&b->s, &b->g, cu.id);
        if (!a->noack)
            add_claim(b, cu.id, 1);
        if ((rc = stream_entry(&cu, rq->arena, &fields)) != NQ_OK)
            break;
        b->bytes += cursor_left(&fields.at);
        if (tell)
            reply_stream_entry(rq, cu.id, &fields);
        b->id = cu.id;
        b->seen++;
        rc = stream_next(&cu);
    }
    b->is_end = !cu.valid;
    stream_cursor_fini(&cu);
    b->d.is_active = b->d.n > 0;
    b->d.moves_group = b->seen > 0;
    b->d.last = b->g.last;
    b->d.read = b->g.read;
    return rc;
}

/* An entry that is pending, with its fields or without. */
static nq_rc
tell_pending(struct req *rq, struct batch *b, const struct stream_pending *p,
             bool tell)
{
    struct stream_fields fields;
    nq_rc rc = stream_get(&b->s, p->id, rq->arena, &fields);

    if (rc == NQ_OK) {
        b->bytes += cursor_left(&fields.at);
        add_claim(b, p->id, p->deliveries + 1);
        if (tell)
            reply_stream_entry(rq, p->id, &fields);
    } else if (rc == NQ_NOTFOUND) {
        rc = NQ_OK;
        if (tell) {
            reply_array(rq, 2);
            reply_stream_id(rq, p->id);
            reply_null_array(rq);
        }
    }
    b->id = p->id;
    b->seen++;
    return rc;
}

/* The same of what is pending for the consumer behind `from`. */
static nq_rc
plan_old(struct req *rq, const struct read_args *a, struct batch *b,
         struct stream_id from, uint64_t n, bool tell)
{
    struct stream_consumer c;
    struct stream_pending p;
    struct stream_walk w;
    nq_rc rc = stream_consumer_find(&b->s, &b->g, rq->argv[a->consumer], &c);

    b->is_end = true;
    if (rc == NQ_NOTFOUND || !stream_id_next(&from))
        return rc == NQ_NOTFOUND ? NQ_OK : rc;
    if (rc != NQ_OK)
        return rc;
    stream_walk_init(&w, &b->s);
    rc = stream_walk_pending(&w, &b->g, &c, from);
    while (rc == NQ_OK && w.valid && b->seen < n &&
           b->bytes <= STREAM_SLICE_BYTES) {
        rc = stream_walk_pending_at(&w, &p);
        if (rc == NQ_OK)
            rc = tell_pending(rq, b, &p, tell);
        if (rc == NQ_OK)
            rc = stream_walk_next(&w);
    }
    b->is_end = !w.valid;
    stream_walk_fini(&w);
    return rc;
}

/* --- before the first effect --------------------------------------------- */

/* What the first delivery of stream k will need; NQ_EINVAL: answered. */
static nq_rc
look_at_group(struct req *rq, const struct read_args *a, uint32_t k,
              uint64_t *number)
{
    uint64_t n = nq_min(a->count, (uint64_t)STREAM_SLICE);
    struct stream_id from = STREAM_ID_MIN;
    struct batch b;
    struct entry e;
    bool is_new;
    nq_rc rc = open_batch(rq, a, k, &e, &b);

    if (rc == NQ_NOTFOUND) {
        refuse_group(rq, a, k);
        return NQ_EINVAL;
    }
    if (rc != NQ_OK)
        return rc;
    *number = b.g.number;
    if (!parse_from(rq, a, k, &is_new, &from))
        rc = NQ_EINVAL;
    else if (a->n > 1) /* a single one finds its misses before its effect */
        rc = is_new ? plan_new(rq, a, &b, n, false)
                    : plan_old(rq, a, &b, from, n, false);
    if (rc == NQ_OK && a->n > 1)
        rc = stream_want_delivery(&b.s, &b.d);
    stream_close(&b.s);
    return rc;
}

/* False: answered, or parked.  *number: of the group in the last stream. */
static bool
look_at_groups(struct req *rq, const struct read_args *a, uint64_t *number)
{
    nq_rc rc, missed = NQ_OK;

    for (uint32_t k = 0; k < a->n; k++) {
        rc = look_at_group(rq, a, k, number);
        if (rc == NQ_EINVAL)
            return false;
        if (rc == NQ_MISS) {
            missed = rc;
        } else if (rc != NQ_OK) {
            reply_rc(rq, rc);
            return false;
        }
    }
    reply_rc(rq, missed);
    return missed == NQ_OK;
}

/* --- delivering ---------------------------------------------------------- */

/* One delivery; *is_end: there is nothing more of this stream.  It is told
 * and done, or neither. */
static nq_rc
serve_batch(struct req *rq, const struct read_args *a, struct reading *rd,
            bool is_new, bool *is_end)
{
    uint64_t n = nq_min(rd->left, (uint64_t)STREAM_SLICE);
    struct reply_deferred d;
    struct batch b;
    struct entry e;
    nq_rc rc = open_batch(rq, a, rd->at, &e, &b);

    *is_end = true;
    if (rc != NQ_OK)
        return rc;
    d = reply_array_begin(rq);
    rc = is_new ? plan_new(rq, a, &b, n, true)
                : plan_old(rq, a, &b, rd->id, n, true);
    if (rc == NQ_OK)
        rc = stream_deliver(&b.s, &b.d);
    stream_close(&b.s);
    if (rc != NQ_OK) {
        reply_part_drop(rq, d);
        return rc;
    }
    reply_part_join(rq, d);
    rd->inner_n += b.seen;
    rd->left -= b.seen;
    if (b.seen > 0)
        rd->id = b.id;
    *is_end = b.is_end || rd->left == 0;
    return NQ_OK;
}

/* Whether stream rd->at has anything new; else the consumer is just seen. */
static nq_rc
is_served(struct req *rq, const struct read_args *a, const struct reading *rd,
          bool *out)
{
    struct batch b;
    struct entry e;
    nq_rc rc = open_batch(rq, a, rd->at, &e, &b);

    if (rc != NQ_OK)
        return rc;
    *out = b.s.length > 0 && stream_id_cmp(b.s.last, b.g.last) > 0;
    if (*out) {
        rc = plan_new(rq, a, &b, 1, false);
        *out = b.seen > 0;
    }
    if (rc == NQ_OK && !*out)
        rc = stream_deliver(&b.s, &b.d);
    stream_close(&b.s);
    return rc;
}

/* Whether the group went between two slices: then it has no more entries. */
static bool
is_gone(const struct req *rq, const struct reading *rd, nq_rc rc)
{
    return rd == rq->state && (rc == NQ_NOTFOUND || rc == NQ_EWRONGTYPE);
}

static nq_rc
serve_group(struct req *rq, const struct read_args *a, struct reading *rd)
{
    struct stream_id from = STREAM_ID_MIN;
    bool is_new, is_end = false, has = true;
    nq_rc rc = NQ_OK;

    if (!parse_from(rq, a, rd->at, &is_new, &from))
        return NQ_EINVAL;
    if (!rd->is_inside) {
        rd->left = a->count;
        rd->id = from;
        if (is_new)
            rc = is_served(rq, a, rd, &has);
        if (rc != NQ_OK || !has)
            return is_gone(rq, rd, rc) ? NQ_OK : rc;
    }
    reading_enter(rq, a, rd);
    while (rc == NQ_OK && !is_end) {
        rc = serve_batch(rq, a, rd, is_new, &is_end);
        if (gather_is_full(rq, &rd->entries))
            break;
        if (rc == NQ_OK && !is_end && !rq->in_multi)
            rc = NQ_AGAIN;
    }
    if (is_gone(rq, rd, rc))
        rc = NQ_OK;
    rd->is_inside = true;
    if (rc == NQ_OK)
        reading_leave(rq, rd);
    return rc;
}

static void
readgroup_first(struct req *rq, const struct read_args *a)
{
    struct reading rd = {.at = 0};
    struct wait_for what = {.first = a->keys,
                            .n = a->n,
                            .type = DB_STREAM,
                            .deadline_ms = a->deadline_ms};
    uint64_t number = 0;

    if (!look_at_groups(rq, a, &number) ||
        reading_serve(rq, a, &rd, serve_group))
        return;
    if (a->n == 1)
        what.same = number + 1;
    if (a->has_block && !rq->in_multi)
        req_wait_keys(rq, &what);
    else
        reply_null_array(rq);
}

void
cmd_xreadgroup(struct req *rq)
{
    struct reading *rd = reading_of(rq);
    struct read_args a;

    if (!parse_read(rq, true, &a))
        return;
    if (rd == NULL)
        readgroup_first(rq, &a);
    else if (rd->streams.is_telling)
        gather_tell(rq, &rd->streams);
    else
        (void)reading_serve(rq, &a, rd, serve_group);
}
