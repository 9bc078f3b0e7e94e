/* cmd/cmd_range.c - NQ.RANGE and NQ.PREFIX: records in the order of keys.
 *
 *   NQ.RANGE start end [LIMIT offset count] [REV] [KEYSONLY | VALUESONLY]
 *   NQ.PREFIX prefix   [the same]
 *
 * The answer is a flat array in both protocols: key, value, key, value ...
 * or only keys, or only values.  REV gives the same records from the last to
 * the first; with REV the bounds may be given in either order.  LIMIT is as in
 * Redis: a negative count is all that follow, a negative offset is nothing.
 * The offset costs O(log n).
 *
 * A short answer is made in one piece; its length is known from the counts
 * in the tree, and big values go out by reference.  A long one is collected in
 * slices (cmd_range_listing.c): the walk keeps its place by key, so changes
 * in between are seen or not, but no key is given twice, and none is left out
 * that is there throughout. */
#include "cmd/cmd_range.h"

#include "base/check.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "db/string.h"

#define RANGE_AT_ONCE 512 /* records that fit a slice */
#define KEYS_PER_LOOK 16  /* between two looks at the clock */

struct range_query {
    struct range range;
    bool reverse, want_keys, want_values;
    int64_t offset, count; /* count < 0: all */
};

/* --- options ------------------------------------------------------------- */

static bool
parse_option(struct req *rq, uint32_t *i, struct range_query *q)
{
    struct slice word = rq->argv[*i];

    if (slice_is(word, "REV")) {
        q->reverse = true;
    } else if (slice_is(word, "KEYSONLY") && q->want_keys) {
        q->want_values = false;
    } else if (slice_is(word, "VALUESONLY") && q->want_values) {
        q->want_keys = false;
    } else if (slice_is(word, "LIMIT") && *i + 2 < rq->argc) {
        if (!slice_to_i64(rq->argv[*i + 1], &q->offset) ||
            !slice_to_i64(rq->argv[*i + 2], &q->count)) {
            reply_rc(rq, NQ_ENOTINT);
            return false;
        }
        *i += 2;
    } else {
        reply_syntax(rq);
        return false;
    }
    return true;
}

static bool
parse_options(struct req *rq, uint32_t first, struct range_query *q)
{
    *q = (struct range_query){
        .want_keys = true, .want_values = true, .count = -1};
    for (uint32_t i = first; i < rq->argc; i++)
        if (!parse_option(rq, &i, q))
            return false;
    return true;
}

/* --- one step of the walk ------------------------------------------------ */

static nq_rc
step(struct btree_cursor *c, bool reverse)
{
    return reverse ? btree_prev(c) : btree_next(c);
}

/* Stands behind the last key visited. */
static nq_rc
seek_on(struct btree_cursor *c, const struct listing *l, bool reverse)
{
    return reverse ? btree_seek_back(c, buf_slice(&l->at), true)
                   : btree_seek(c, buf_slice(&l->at), true);
}

/* Stands on the first record of the answer, `live` being in the range. */
static nq_rc
seek_first(struct req *rq, const struct range_query *q, uint64_t live,
           struct btree_cursor *c)
{
    uint64_t off = (uint64_t)q->offset;

    if (!q->reverse && off == 0)
        return btree_seek(c, q->range.lo, false);
    if (!q->reverse)
        return range_nth(rq, &q->range, off, c);
    if (off == 0 && !q->range.has_hi)
        return btree_last(c);
    if (off == 0)
        return btree_seek_back(c, q->range.hi, true);
    return range_nth(rq, &q->range, live - 1 - off, c);
}

/* --- a short answer ------------------------------------------------------ */

/* `n` records from where the cursor stands, straight into the reply. */
static nq_rc
answer_records(struct req *rq, const struct range_query *q,
               struct btree_cursor *c, uint64_t n)
{
    struct entry e = {0};
    nq_rc rc = NQ_OK;

    reply_array(rq, n * ((uint64_t)q->want_keys + q->want_values));
    while (n > 0 && rc == NQ_OK) {
        nq_assert(c->valid);
        if ((rc = btree_record(c, &e.rec)) != NQ_OK)
            break;
        if (!range_is_due(rq, &e.rec)) {
            if (q->want_keys)
                reply_bulk(rq, c->key);
            if (q->want_values)
                reply_entry(rq, &e);
            if (rq->outcome != REQ_DONE)
                return NQ_OK; /* a value missed: parked */
            n--;
        }
        if (n > 0)
            rc = step(c, q->reverse);
    }
    return rc;
}

/* --- a long answer ------------------------------------------------------- */

static nq_rc
collect_record(struct req *rq, const struct range_query *q,
               struct btree_cursor *c, struct listing *l)
{
    struct entry e = {0};
    size_t before = l->items.len;
    uint64_t count = l->count, len;
    nq_rc rc = btree_record(c, &e.rec);

    if (rc != NQ_OK || range_is_due(rq, &e.rec))
        return rc;
    if (q->want_keys)
        listing_put(l, c->key);
    if (q->want_values) {
        len = string_len(&e);
        rc = string_copy(rq->db, &e, 0, len, listing_put_room(l, len));
    }
    if (rc != NQ_OK) {
        l->items.len = before;
        l->count = count;
        return rc;
    }
    l->wanted--;
    return NQ_OK;
}

/* Goes on until the range ends, enough is collected, or the slice is used up
 * (NQ_AGAIN).  What was collected before a miss is kept. */
static nq_rc
collect(struct req *rq, const struct range_query *q, struct btree_cursor *c,
        struct listing *l)
{
    nq_rc rc = NQ_OK;

    while (rc == NQ_OK && c->valid && l->wanted > 0 &&
           range_has(&q->range, c->key)) {
        if ((rc = collect_record(rq, q, c, l)) != NQ_OK)
            break;
        listing_stand(l, c->key);
        rq->has_progressed = true;
        if (l->items.len > l->limit_bytes)
            return NQ_OK;
        if (++l->visited % KEYS_PER_LOOK == 0 && req_should_yield(rq))
            return NQ_AGAIN;
        rc = step(c, q->reverse);
    }
    return rc;
}

/* The first turn of it stands on the first record already. */
static void
range_in_slices(struct req *rq, const struct range_query *q,
                struct btree_cursor *c)
{
    struct listing *l = listing_of(rq);
    nq_rc rc = NQ_OK;

    if (!l->is_complete) {
        if (l->has_at)
            rc = seek_on(c, l, q->reverse);
        if (rc == NQ_OK)
            rc = collect(rq, q, c, l);
        db_gate_all(rq->db, rq->dbi);
    }
    if (rc == NQ_AGAIN)
        req_yield(rq);
    else if (rc != NQ_OK)
        reply_rc(rq, rc);
    else if (!listing_is_too_long(rq, l))
        (void)listing_answer(rq, l);
}

/* --- both commands ------------------------------------------------------- */

/* How many records the answer has, `live` being in the range. */
static uint64_t
answer_length(const struct range_query *q, uint64_t live)
{
    uint64_t n = 0;

    if (q->offset >= 0 && (uint64_t)q->offset < live)
        n = live - (uint64_t)q->offset;
    return q->count >= 0 ? nq_min(n, (uint64_t)q->count) : n;
}

static nq_rc
range_begin(struct req *rq, const struct range_query *q, struct btree_cursor *c)
{
    uint64_t live, n;
    nq_rc rc = range_count(rq, &q->range, &live);

    if (rc != NQ_OK)
        return rc;
    if ((n = answer_length(q, live)) == 0) {
        reply_array(rq, 0);
        return NQ_OK;
    }
    if ((rc = seek_first(rq, q, live, c)) != NQ_OK)
        return rc;
    if (n <= RANGE_AT_ONCE)
        return answer_records(rq, q, c, n);
    /* Keys may come in meanwhile: the count is no end by itself. */
    listing_of(rq)->wanted = q->count < 0 ? UINT64_MAX : (uint64_t)q->count;
    range_in_slices(rq, q, c);
    return NQ_OK;
}

static void
range_run(struct req *rq, const struct range_query *q)
{
    uint64_t mark = reply_mark(rq);
    struct btree_cursor c;
    nq_rc rc = NQ_OK;

    btree_cursor_init(&c, db_tree(rq->db, rq->dbi));
    if (rq->state == NULL)
        rc = range_begin(rq, q, &c);
    else
        range_in_slices(rq, q, &c);
    if (rc != NQ_OK) /* only the error, not what was put of an array */
        reply_rc_from(rq, mark, rc);
    btree_cursor_fini(&c);
}

void
cmd_nq_range(struct req *rq)
{
    struct range_query q;

    if (!parse_options(rq, 3, &q))
        return;
    q.range = range_parse(rq, rq->argv[1], rq->argv[2]);
    if (q.range.is_empty && q.reverse)
        q.range = range_parse(rq, rq->argv[2], rq->argv[1]);
    range_run(rq, &q);
}

void
cmd_nq_prefix(struct req *rq)
{
    struct range_query q;

    if (!parse_options(rq, 2, &q))
        return;
    q.range = range_of_prefix(rq, rq->argv[1]);
    range_run(rq, &q);
}
