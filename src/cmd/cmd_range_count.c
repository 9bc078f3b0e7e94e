/* cmd/cmd_range_count.c - places in the order: NQ.COUNT, NQ.RANK, NQ.NTH.
 *
 * The tree counts its records in inner entries, so a count is the difference
 * of two ranks, unless it is that of rows that match a WHERE: these are looked
 * at (cmd/matching.h).  Records that are due but not yet removed are counted
 * too and are taken off by a second count whose work is in proportion to them.
 */
#include "cmd/cmd_range.h"

#include "cmd/cmd_key.h"
#include "cmd/handlers.h"
#include "cmd/matching.h"
#include "cmd/reply.h"
#include "cmd/select.h"

bool
range_is_due(const struct req *rq, const struct record *rec)
{
    return db_is_gone(rq->db, rq->dbi, rec);
}

/* Records below `key`, or all of them if it is NULL. */
static nq_rc
rank_of(struct btree *t, const struct slice *key, uint64_t *out)
{
    return key != NULL ? btree_rank(t, *key, out) : btree_count(t, out);
}

nq_rc
range_count(struct req *rq, const struct range *r, uint64_t *out)
{
    struct btree *t = db_tree(rq->db, rq->dbi);
    uint64_t from = 0, to = 0, due = 0;
    nq_rc rc;

    *out = 0;
    db_gate_all(rq->db, rq->dbi);
    if (r->is_empty)
        return NQ_OK;
    if ((rc = btree_rank(t, r->lo, &from)) != NQ_OK ||
        (rc = rank_of(t, range_hi(r), &to)) != NQ_OK)
        return rc;
    rc = db_count_gone(rq->db, rq->dbi, r->lo, range_hi(r), &due);
    *out = to - from - due;
    return rc;
}

/* Among the first i + 1 records of the range, D(i) are due.  Living key `n`
 * is at the least i with i = n + D(i); going up from n finds it. */
nq_rc
range_nth(struct req *rq, const struct range *r, uint64_t n,
          struct btree_cursor *c)
{
    struct btree *t = c->tree;
    struct buf end = BUF_INIT;
    uint64_t base, due = 0, before;
    nq_rc rc = btree_rank(t, r->lo, &base);

    do {
        before = due;
        if (rc == NQ_OK)
            rc = btree_nth(c, base + n + due);
        if (rc != NQ_OK || !c->valid)
            break;
        buf_clear(&end);
        buf_put_slice(&end, c->key);
        buf_put_u8(&end, 0);
        rc = db_count_gone(rq->db, rq->dbi, r->lo,
                           &(struct slice){end.p, end.len}, &due);
    } while (rc == NQ_OK && due != before);
    buf_fini(&end);
    return rc;
}

/* --- NQ.COUNT ------------------------------------------------------------- */

static void
count_all(struct req *rq, const struct range *r)
{
    uint64_t n;
    nq_rc rc = range_count(rq, r, &n);

    if (rc != NQ_OK)
        reply_rc(rq, rc);
    else
        reply_int(rq, (int64_t)n);
}

/* The state of the request is a matching. */
static void
count_matching(struct req *rq)
{
    struct matching_stats st;
    nq_rc rc = matching_finish(rq->state);

    db_gate_all(rq->db, rq->dbi);
    if (rc == NQ_AGAIN) {
        req_block(rq);
    } else if (rc != NQ_OK) {
        reply_rc(rq, rc);
    } else {
        matching_get_stats(rq->state, &st);
        reply_int(rq, (int64_t)st.matched);
    }
}

static void
count_parsed(struct req *rq, uint32_t i, struct select *sel)
{
    static const struct matching_opts opts = {.what = MATCHING_COUNT};

    if (i < rq->argc) {
        reply_syntax(rq);
    } else if (sel->where == NULL) {
        count_all(rq, &sel->range);
    } else {
        rq->state = matching_open_for(rq, sel, &opts);
        rq->free_state = matching_free_state;
        count_matching(rq);
    }
}

/* NQ.COUNT start end [WHERE expression]: integer. */
void
cmd_nq_count(struct req *rq)
{
    struct select sel = {.range = {.lo = slice_lit("")}};
    uint32_t i = 3;

    if (rq->state != NULL) {
        count_matching(rq);
        return;
    }
    sel.range = range_parse(rq, rq->argv[1], rq->argv[2]);
    if (select_parse_clauses(rq, &i, SELECT_WHERE, NULL, &sel))
        count_parsed(rq, i, &sel);
    select_fini(&sel);
}

/* --- NQ.RANK and NQ.NTH --------------------------------------------------- */

/* NQ.RANK key: how many keys come before it, or null if it is not there. */
void
cmd_nq_rank(struct req *rq)
{
    struct range r = {.lo = slice_lit(""), .hi = rq->argv[1], .has_hi = true};
    struct entry e;
    uint64_t n;
    bool found;
    nq_rc rc;

    if (!key_is_found(rq, req_find(rq, 1, &e), &found))
        return;
    if (!found) {
        reply_null(rq);
        return;
    }
    if ((rc = range_count(rq, &r, &n)) != NQ_OK)
        reply_rc(rq, rc);
    else
        reply_int(rq, (int64_t)n);
}

/* NQ.NTH index: the key there, counted from 0 or, negative, from the end. */
void
cmd_nq_nth(struct req *rq)
{
    struct range all = {.lo = slice_lit("")};
    struct btree_cursor c;
    int64_t index;
    uint64_t n;
    nq_rc rc;

    if (!slice_to_i64(rq->argv[1], &index)) {
        reply_rc(rq, NQ_ENOTINT);
        return;
    }
    if ((rc = range_count(rq, &all, &n)) != NQ_OK) {
        reply_rc(rq, rc);
        return;
    }
    if (index < 0)
        index += (int64_t)n;
    if (index < 0 || (uint64_t)index >= n) {
        reply_null(rq);
        return;
    }
    btree_cursor_init(&c, db_tree(rq->db, rq->dbi));
    rc = range_nth(rq, &all, (uint64_t)index, &c);
    if (rc != NQ_OK)
        reply_rc(rq, rc);
    else if (c.valid)
        reply_bulk(rq, c.key);
    else
        reply_null(rq);
    btree_cursor_fini(&c);
}
