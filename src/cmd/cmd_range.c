/* cmd/cmd_range.c - NQ.RANGE and NQ.PREFIX: records in the order of keys.
 *
 *   NQ.RANGE start end [WHERE expression] [RETURN field ...]
 *       [LIMIT offset count] [REV] [KEYSONLY | VALUESONLY]
 *   NQ.PREFIX prefix   [the same]
 *
 * The answer is a flat array in both protocols: key, value, key, value ...
 * or only keys, or only values.  A value is
 *
 *   a string           a bulk
 *   a hash             a map of its fields; RESP2: a flat array, as HGETALL
 *   another type       null
 *   RETURN f g ...     in place of the value a map of these fields, or RESP2 a
 *                      flat array: name, value, name ...; null: there is none
 *
 *   NQ.RANGE s: s; WHERE temp > 25 RETURN temp site
 *   RESP2  *4 "s:1" ["temp", "26", "site", "north"] "s:7" [...]
 *   RESP3  *4 "s:1" {"temp": "26", "site": "north"} "s:7" {...}
 *
 * REV gives the same records from the last to the first; with REV the bounds
 * may be given in either order.  LIMIT is as in Redis: a negative count is all
 * that follow, a negative offset is nothing; it counts rows that match.
 * Without WHERE the offset costs O(log n).
 *
 * A short answer without WHERE is made in one piece; its length is known from
 * the counts in the tree, and big values go out by reference.  All else is
 * found by a matching (cmd/matching.h): changes in between are seen or not, but
 * no key is given twice, and none is left out that is there throughout. */
#include "cmd/cmd_range.h"

#include "base/check.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/matching.h"
#include "cmd/reply.h"
#include "cmd/select.h"
#include "db/rows.h"
#include "db/string.h"

#define RANGE_AT_ONCE 512                /* records that fit a slice */
#define RANGE_HASH_MAX ((size_t)1 << 20) /* bytes of values, told at once */
#define CLAUSES                                                                \
    (SELECT_WHERE | SELECT_RETURN | SELECT_LIMIT | SELECT_ORDER | SELECT_WHAT)

/* --- the walk of a short answer ------------------------------------------ */

static nq_rc
step(struct btree_cursor *c, bool reverse)
{
    return reverse ? btree_prev(c) : btree_next(c);
}

/* Stands on the first record of the answer, `live` being in the range. */
static nq_rc
seek_first(struct req *rq, const struct select *q, uint64_t live,
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

/* --- values --------------------------------------------------------------- */

static bool
count_field(void *arg, struct slice name, struct slice value)
{
    uint64_t *n = arg;

    nq_unused(name);
    nq_unused(value);
    ++*n;
    return true;
}

static bool
reply_field(void *arg, struct slice name, struct slice value)
{
    reply_bulk(arg, name);
    reply_bulk(arg, value);
    return true;
}

/* The fields of a hash, found just now. */
static nq_rc
reply_hash(struct req *rq, struct slice key)
{
    struct row_fields fields;
    struct row row;
    uint64_t n = 0;
    nq_rc rc = db_row_far(rq->db, rq->dbi, key, ROW_FIELDS, RANGE_HASH_MAX,
                          rq->arena, &fields, &row);

    if (rc == NQ_OK)
        row.each_field(&row, count_field, &n);
    if (rc == NQ_OK && (rc = db_row_check(&fields)) == NQ_OK) {
        reply_map(rq, n);
        row.each_field(&row, reply_field, rq);
        rc = db_row_check(&fields);
    }
    db_row_end(&fields);
    return rc == NQ_ETOOLONG ? NQ_ETOOMUCH : rc;
}

static nq_rc
reply_value(struct req *rq, const struct btree_cursor *c, const struct entry *e)
{
    if (e->rec.type == DB_HASH)
        return reply_hash(rq, c->key);
    if (e->rec.type == DB_STRING)
        reply_entry(rq, e);
    else
        reply_null(rq);
    return NQ_OK;
}

/* --- a short answer ------------------------------------------------------ */

/* `n` records from where the cursor stands, straight into the reply. */
static nq_rc
answer_records(struct req *rq, const struct select *q, struct btree_cursor *c,
               uint64_t n)
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
                rc = reply_value(rq, c, &e);
            if (rq->outcome != REQ_DONE)
                return NQ_OK; /* a value missed: parked */
            n--;
        }
        if (n > 0 && rc == NQ_OK)
            rc = step(c, q->reverse);
    }
    return rc;
}

/* --- both commands ------------------------------------------------------- */

/* How many records the answer has, `live` being in the range. */
static uint64_t
answer_length(const struct select *q, uint64_t live)
{
    uint64_t n = 0;

    if (q->offset >= 0 && (uint64_t)q->offset < live)
        n = live - (uint64_t)q->offset;
    return q->count >= 0 ? nq_min(n, (uint64_t)q->count) : n;
}

/* A long answer: from the record that the cursor stands on. */
static void
begin_long(struct req *rq, struct select *q, const struct btree_cursor *c)
{
    struct range *r = &q->range;

    if (q->reverse) {
        r->hi = range_behind(rq, c->key);
        r->has_hi = true;
    } else {
        r->lo = c->key;
    }
    range_rows_begin(rq, q, 0);
    range_rows_run(rq);
}

static nq_rc
range_begin(struct req *rq, struct select *q, struct btree_cursor *c)
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
    begin_long(rq, q, c);
    return NQ_OK;
}

static void
range_run(struct req *rq, struct select *q)
{
    uint64_t mark = reply_mark(rq);
    struct btree_cursor c;
    nq_rc rc;

    btree_cursor_init(&c, db_tree(rq->db, rq->dbi));
    rc = range_begin(rq, q, &c);
    if (rc != NQ_OK) /* only the error, not what was put of an array */
        reply_rc_from(rq, mark, rc);
    btree_cursor_fini(&c);
}

/* With the clauses from argv[i] on. */
static void
range_parsed(struct req *rq, uint32_t i, struct select *q)
{
    if (q->range.is_empty && q->reverse && !q->is_prefix)
        q->range = range_parse(rq, rq->argv[2], rq->argv[1]);
    if (i < rq->argc) {
        reply_syntax(rq);
    } else if (q->where == NULL && !q->has_return) {
        range_run(rq, q);
    } else if (q->offset < 0 || q->count == 0) {
        reply_array(rq, 0);
    } else {
        range_rows_begin(rq, q, (uint64_t)q->offset);
        range_rows_run(rq);
    }
}

static void
range_command(struct req *rq, uint32_t i, struct range range, bool is_prefix)
{
    struct select q = {.range = range, .is_prefix = is_prefix};

    if (select_parse_clauses(rq, &i, CLAUSES, NULL, &q))
        range_parsed(rq, i, &q);
    select_fini(&q);
}

void
cmd_nq_range(struct req *rq)
{
    if (rq->state != NULL)
        range_rows_run(rq);
    else
        range_command(rq, 3, range_parse(rq, rq->argv[1], rq->argv[2]), false);
}

void
cmd_nq_prefix(struct req *rq)
{
    if (rq->state != NULL)
        range_rows_run(rq);
    else
        range_command(rq, 2, range_of_prefix(rq, rq->argv[1]), true);
}
