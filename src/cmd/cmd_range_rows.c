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
#include "cmd/reply.h"
#include "cmd/session.h"

#define ROWS_MAGIC 0x524f5753u
#define ROWS_PER_PART 64u          /* put aside at once */
#define OUTPUT_AT_ONCE (64u << 10) /* bytes between two looks at the clock */

struct rows {
    uint32_t magic;
    struct matching *matching;
    struct listing answer; /* items: the values of the reply, one by one */
    bool want_keys;
    uint64_t skip; /* rows of LIMIT's offset still to come */
};

static void
rows_free(void *state)
{
    struct rows *w;

    NQ_CAST(w, state, ROWS_MAGIC);
    matching_close(w->matching);
    listing_fini(&w->answer);
    nq_free(w);
}

void
range_rows_begin(struct req *rq, struct select *sel, uint64_t skip)
{
    struct rows *w = nq_calloc(1, sizeof *w);
    struct matching_opts opts = {.what = MATCHING_ROWS};

    w->magic = ROWS_MAGIC;
    listing_init(&w->answer, rq);
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
        w->answer.count++;
    }
    if (matched_shape(row) != MATCHED_NOTHING) {
        matched_reply(rq, row);
        w->answer.count++;
    }
}

/* Some rows, put behind the others in one piece. */
static nq_rc
collect_some(struct req *rq, struct rows *w)
{
    struct reply_deferred part = reply_array_begin(rq);
    struct matched row;
    nq_rc rc = NQ_OK;

    for (unsigned i = 0; i < ROWS_PER_PART && rc == NQ_OK; i++)
        if ((rc = matching_next(w->matching, &row)) == NQ_OK)
            put_row(rq, w, &row);
    reply_part_save(rq, part, &w->answer.items);
    return rc;
}

/* NQ_NOTFOUND: that is all.  NQ_AGAIN: the request waits, or has yielded. */
static nq_rc
collect(struct req *rq, struct rows *w)
{
    nq_rc rc;

    do {
        if (w->answer.items.len > w->answer.limit_bytes)
            return NQ_NOTFOUND;
        if ((rc = collect_some(rq, w)) == NQ_AGAIN)
            req_block(rq);
        else if (rc == NQ_OK && req_should_yield(rq)) {
            req_yield(rq);
            rc = NQ_AGAIN;
        }
    } while (rc == NQ_OK);
    return rc;
}

/* --- answering ------------------------------------------------------------ */

static void
answer(struct req *rq, struct listing *l)
{
    if (!l->is_complete) {
        l->is_complete = true;
        reply_array(rq, l->count);
    }
    while (l->emitted < l->items.len) {
        size_t n = nq_min(l->items.len - l->emitted, (size_t)OUTPUT_AT_ONCE);

        reply_raw(rq, slice_of(l->items.p + l->emitted, n));
        l->emitted += n;
        if (l->emitted < l->items.len && req_should_yield(rq)) {
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
    if (!w->answer.is_complete)
        rc = collect(rq, w);
    db_gate_all(rq->db, rq->dbi);
    if (rc == NQ_AGAIN)
        return;
    if (rc != NQ_NOTFOUND)
        reply_rc(rq, rc);
    else if (!listing_is_too_long(rq, &w->answer))
        answer(rq, &w->answer);
}
