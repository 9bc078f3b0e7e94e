/* cmd/cmd_stream_pending.c - XPENDING: what a group waits for, in sum or one
 * by one.
 *
 * An answer in slices goes on behind what it told last; what is acknowledged
 * or claimed meanwhile may be told as it was or as it is. */
#include "base/arena.h"
#include "base/check.h"
#include "base/mem.h"
#include "cmd/args.h"
#include "cmd/cmd_stream.h"
#include "cmd/gather.h"
#include "cmd/handlers.h"

#define LISTED_MAGIC 0x5850454eu

/* What the long form remembers between slices. */
struct listed {
    uint32_t magic;
    struct gather g;
    struct stream_id from;
    uint64_t left;
};

struct pending_args {
    struct stream_id from, to;
    uint64_t count;
    int64_t idle_ms;
    uint32_t consumer; /* of argv; 0: all */
};

static void
refuse_group(struct req *rq)
{
    struct slice key = rq->argv[1], group = rq->argv[2];

    reply_error(rq, "-NOGROUP No such key '%.*s' or consumer group '%.*s'",
                (int)nq_min(key.len, 256u), (const char *)key.p,
                (int)nq_min(group.len, 256u), (const char *)group.p);
}

/* --- in sum -------------------------------------------------------------- */

static nq_rc
sum_consumers(struct req *rq, struct stream *s, const struct stream_group *g)
{
    struct reply_deferred d = reply_array_begin(rq);
    struct stream_consumer c;
    struct stream_walk w;
    uint64_t n = 0, pending;
    char text[21];
    nq_rc rc;

    stream_walk_init(&w, s);
    rc = stream_walk_consumers(&w, g, slice_lit(""));
    while (rc == NQ_OK && w.valid) {
        if ((rc = stream_walk_consumer(&w, &c)) != NQ_OK ||
            (rc = stream_pending_count(s, g, &c, &pending)) != NQ_OK)
            break;
        if (pending > 0) {
            reply_array(rq, 2);
            reply_bulk(rq, c.name);
            reply_bulk(rq, slice_of(text, u64_to_text(text, pending)));
            n++;
        }
        rc = stream_walk_next(&w);
    }
    stream_walk_fini(&w);
    if (rc == NQ_OK)
        reply_array_end(rq, d, n);
    return rc;
}

/* The smallest and the greatest id. */
static nq_rc
sum_ids(struct req *rq, struct stream *s, const struct stream_group *g)
{
    struct stream_pending first;
    struct stream_id last;
    struct stream_walk w;
    nq_rc rc;

    stream_walk_init(&w, s);
    rc = stream_walk_pending(&w, g, NULL, STREAM_ID_MIN);
    if (rc == NQ_OK && !w.valid)
        rc = NQ_ECORRUPT;
    if (rc == NQ_OK)
        rc = stream_walk_pending_at(&w, &first);
    stream_walk_fini(&w);
    if (rc == NQ_OK)
        rc = stream_pending_last(s, g, &last);
    if (rc == NQ_OK) {
        reply_stream_id(rq, first.id);
        reply_stream_id(rq, last);
    }
    return rc;
}

static nq_rc
sum_group(struct req *rq, struct stream *s, const struct stream_group *g)
{
    struct reply_deferred d;
    uint64_t n;
    nq_rc rc = stream_pending_count(s, g, NULL, &n);

    if (rc != NQ_OK)
        return rc;
    d = reply_array_begin(rq);
    reply_int(rq, (int64_t)n);
    if (n == 0) {
        reply_null(rq);
        reply_null(rq);
        reply_null_array(rq);
    } else if ((rc = sum_ids(rq, s, g)) == NQ_OK) {
        rc = sum_consumers(rq, s, g);
    }
    if (rc == NQ_OK)
        reply_array_end(rq, d, 4);
    return rc;
}

/* --- one by one ---------------------------------------------------------- */

static bool
parse_pending(struct req *rq, struct pending_args *a)
{
    uint32_t at = 3;
    int64_t count;

    *a = (struct pending_args){.idle_ms = 0};
    if (slice_is(rq->argv[3], "IDLE")) {
        if (!arg_int(rq, 4, &a->idle_ms))
            return false;
        if (rq->argc < 8) {
            reply_syntax(rq);
            return false;
        }
        at = 5;
    }
    if (!arg_int(rq, at + 2, &count) || !arg_stream_start(rq, at, &a->from) ||
        !arg_stream_end(rq, at + 1, &a->to))
        return false;
    a->count = (uint64_t)nq_max(count, 0);
    a->consumer = at + 3 < rq->argc ? at + 3 : 0;
    return true;
}

/* The name of a pending entry's consumer; most often that of the one before. */
struct owner {
    bool is_known;
    uint64_t number;
    struct slice name;
};

static nq_rc
find_owner(struct req *rq, struct stream *s, const struct stream_group *g,
           uint64_t number, struct owner *o)
{
    nq_rc rc;

    if (o->is_known && o->number == number)
        return NQ_OK;
    rc = stream_consumer_name(s, g, number, rq->arena, &o->name);
    o->is_known = rc == NQ_OK;
    o->number = number;
    return rc;
}

static void
put_pending(struct req *rq, const struct stream_pending *p, struct slice name)
{
    int64_t idle = (int64_t)(db_now(rq->db) - p->delivered_ms);

    reply_array(rq, 4);
    reply_stream_id(rq, p->id);
    reply_bulk(rq, name);
    reply_int(rq, nq_max(idle, 0));
    reply_int(rq, (int64_t)p->deliveries);
}

/* Puts what there is from l->from on; NQ_AGAIN: there is more, but not in
 * this slice. */
static nq_rc
put_some(struct req *rq, struct stream *s, const struct stream_group *g,
         const struct stream_consumer *c, const struct pending_args *a,
         struct listed *l, uint64_t *n)
{
    int64_t now = (int64_t)db_now(rq->db);
    struct owner owner = {.is_known = false};
    struct stream_pending p;
    struct stream_walk w;
    unsigned looks = 0;
    nq_rc rc;

    stream_walk_init(&w, s);
    rc = stream_walk_pending(&w, g, c, l->from);
    while (rc == NQ_OK && w.valid && l->left > 0) {
        if ((rc = stream_walk_pending_at(&w, &p)) != NQ_OK ||
            stream_id_cmp(p.id, a->to) > 0)
            break;
        if (++looks % STREAM_SLICE == 0 && req_should_yield(rq)) {
            rc = NQ_AGAIN;
            break;
        }
        if (a->idle_ms <= 0 || now - (int64_t)p.delivered_ms >= a->idle_ms) {
            if ((rc = find_owner(rq, s, g, p.consumer, &owner)) != NQ_OK)
                break;
            put_pending(rq, &p, owner.name);
            ++*n;
            l->left--;
        }
        l->from = p.id;
        if (!stream_id_next(&l->from))
            break;
        rc = stream_walk_next(&w);
    }
    stream_walk_fini(&w);
    return rc;
}

static void
listed_free(void *state)
{
    struct listed *l;

    NQ_CAST(l, state, LISTED_MAGIC);
    gather_fini(&l->g);
    l->magic = 0;
    nq_free(l);
}

/* To be continued: `n` more were put. */
static void
suspend(struct req *rq, const struct listed *l, struct reply_deferred d,
        uint64_t n)
{
    struct listed *kept = rq->state;

    if (kept == NULL) {
        kept = nq_memdup(l, sizeof *l);
        rq->state = kept;
        rq->free_state = listed_free;
    }
    gather_keep(rq, &kept->g, d, n);
    if (!gather_is_too_long(rq, &kept->g))
        req_yield(rq);
}

static void
finish(struct req *rq, struct listed *l, struct reply_deferred d, uint64_t n)
{
    if (rq->state == NULL) {
        reply_array_end(rq, d, n);
        return;
    }
    gather_keep(rq, &l->g, d, n);
    reply_array(rq, l->g.n);
    gather_tell(rq, &l->g);
}

static void
list_pending(struct req *rq, struct stream *s, const struct stream_group *g,
             const struct pending_args *a)
{
    struct listed first = {.magic = LISTED_MAGIC}, *l = rq->state;
    struct stream_consumer c;
    struct reply_deferred d;
    uint64_t n = 0;
    nq_rc rc = NQ_OK;

    if (a->consumer != 0)
        rc = stream_consumer_find(s, g, rq->argv[a->consumer], &c);
    if (l == NULL) {
        l = &first;
        l->from = a->from;
        l->left = a->count;
    }
    d = reply_array_begin(rq);
    if (rc == NQ_OK)
        rc = put_some(rq, s, g, a->consumer != 0 ? &c : NULL, a, l, &n);
    if (rc == NQ_OK || rc == NQ_NOTFOUND) {
        finish(rq, l, d, n);
    } else if (rc == NQ_AGAIN || (rc == NQ_MISS && n > 0 && !rq->in_multi)) {
        suspend(rq, l, d, n);
    } else {
        reply_drop_parts(rq);
        reply_rc(rq, rc);
    }
}

void
cmd_xpending(struct req *rq)
{
    struct listed *l = rq->state;
    struct pending_args a;
    struct stream_group g;
    struct stream s;
    struct entry e;
    nq_rc rc;

    if (rq->argc != 3 && (rq->argc < 6 || rq->argc > 9)) {
        reply_syntax(rq);
        return;
    }
    if (rq->argc > 3 && !parse_pending(rq, &a))
        return;
    if (l != NULL && l->g.is_telling) {
        gather_tell(rq, &l->g);
        return;
    }
    rc = req_open_group(rq, 1, 2, false, &e, &s, &g);
    if (rc == NQ_NOTFOUND) {
        refuse_group(rq);
        return;
    }
    if (rc != NQ_OK) {
        reply_rc(rq, rc);
        return;
    }
    if (rq->argc > 3) {
        list_pending(rq, &s, &g, &a);
    } else if ((rc = sum_group(rq, &s, &g)) != NQ_OK) {
        reply_drop_parts(rq);
        reply_rc(rq, rc);
    }
    stream_close(&s);
}
