/* cmd/cmd_range_rows.c - ordered reads whose rows are found by a matching:
 * those with WHERE or RETURN, and long ones.
 *
 * An array of the protocol begins with its length, so the rows are put aside
 * as they come, in the form in which they will be answered; the matching goes
 * on meanwhile.  Their memory is bounded like that of listings
 * (cmd_range_listing.c). */
#include "base/check.h"
#include "base/mem.h"
#include "cmd/cmd_range.h"
#include "cmd/matching.h"
#include "cmd/pile.h"
#include "cmd/reply.h"
#include "cmd/session.h"

#define ROWS_MAGIC 0x524f5753u
#define ROWS_PER_PART 64u /* put aside at once */
#define BYTES_PER_PART (64u << 10)

struct rows {
    uint32_t magic;
    struct matching *matching;
    struct pile answer; /* as it will be sent, without its header */
    struct buf part;    /* of it */
    uint64_t count, limit_bytes;
    bool is_complete;
    bool want_keys;
    uint64_t skip; /* rows of LIMIT's offset still to come */
};

static void
rows_free(void *state)
{
    struct rows *w;

    NQ_CAST(w, state, ROWS_MAGIC);
    matching_close(w->matching);
    pile_fini(&w->answer);
    buf_fini(&w->part);
    nq_free(w);
}

void
range_rows_begin(struct req *rq, struct select *sel, uint64_t skip)
{
    struct rows *w = nq_calloc(1, sizeof *w);
    struct matching_opts opts = {.what = MATCHING_ROWS};

    w->magic = ROWS_MAGIC;
    w->limit_bytes = answer_limit(rq);
    w->want_keys = sel->want_keys;
    w->skip = skip;
    if (sel->count >= 0)
        opts.limit = skip + (uint64_t)sel->count;
    w->matching = matching_open_for(rq, sel, &opts);
    rq->state = w;
    rq->free_state = rows_free;
}

/* --- collecting ----------------------------------------------------------- */

static void
put_row(struct req *rq, struct rows *w, const struct matched *row)
{
    if (w->skip > 0) {
        w->skip--;
        return;
    }
    if (w->want_keys) {
        reply_bulk(rq, row->key);
        w->count++;
    }
    if (matched_shape(row) != MATCHED_NOTHING) {
        matched_reply(rq, row);
        w->count++;
    }
}

/* Some rows, put behind the others in one piece. */
static nq_rc
collect_some(struct req *rq, struct rows *w)
{
    struct reply_deferred part = reply_array_begin(rq);
    struct matched row;
    size_t bytes = 0;
    nq_rc rc = NQ_OK;

    for (unsigned i = 0; i < ROWS_PER_PART && bytes < BYTES_PER_PART; i++) {
        if ((rc = matching_next(w->matching, &row)) != NQ_OK)
            break;
        put_row(rq, w, &row);
        bytes += row.told.len;
    }
    buf_clear(&w->part);
    reply_part_save(rq, part, &w->part);
    pile_put(&w->answer, buf_slice(&w->part));
    return rc;
}

/* NQ_NOTFOUND: that is all.  NQ_AGAIN: the request waits, or has yielded. */
static nq_rc
collect(struct req *rq, struct rows *w)
{
    nq_rc rc;

    do {
        rc = collect_some(rq, w);
        if (w->answer.bytes > w->limit_bytes)
            return NQ_NOTFOUND;
        if (rc == NQ_AGAIN) {
            req_block(rq);
        } else if (rc == NQ_OK && req_should_yield(rq)) {
            req_yield(rq);
            rc = NQ_AGAIN;
        }
    } while (rc == NQ_OK);
    return rc;
}

/* --- answering ------------------------------------------------------------ */

static void
answer(struct req *rq, struct rows *w)
{
    struct slice some;

    if (!w->is_complete)
        reply_array(rq, w->count);
    w->is_complete = true;
    while (pile_take(&w->answer, &some)) {
        reply_raw(rq, some);
        if (req_should_yield(rq)) {
            rq->keep_output = true;
            req_yield(rq);
            return;
        }
    }
}

void
range_rows_run(struct req *rq)
{
    struct rows *w;
    nq_rc rc = NQ_NOTFOUND;

    NQ_CAST(w, rq->state, ROWS_MAGIC);
    if (!w->is_complete)
        rc = collect(rq, w);
    db_gate_all(rq->db, rq->dbi);
    if (rc == NQ_AGAIN)
        return;
    if (rc != NQ_NOTFOUND)
        reply_rc(rq, rc);
    else if (w->answer.bytes > w->limit_bytes)
        reply_too_long(rq, w->limit_bytes);
    else
        answer(rq, w);
}
