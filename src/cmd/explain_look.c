/* cmd/explain_look.c - estimates, from a look at what is in memory.
 *
 *   leaves   of the range are counted from their parents, in slices; with the
 *            count of rows that says how many a part of it takes
 *   hits     those of them in memory, of the part that will be looked at:
 *            all, or with LIMIT the first ones
 *   matches  a WHERE that no index answers is tried on rows at places spread
 *            evenly over the range; a place that is not in memory is left out
 *
 * Nothing is read from the disk but the upper levels of the tree. */
#include "cmd/explain.h"

#include <math.h>

#include "base/check.h"
#include "cmd/engine.h"
#include "db/rows.h"
#include "store/frames.h"
#include "store/store.h"

#define LEAVES_AT_ONCE 1024u
#define LEAVES_MAX (1u << 20)
#define SAMPLE_PLACES 64u
#define SAMPLE_ROWS 64u /* at each */

/* --- leaves --------------------------------------------------------------- */

static void
begin_range(const struct explain_plan *p, struct residency *r)
{
    struct slice hi = buf_slice(&p->hi);

    residency_init(r, buf_slice(&p->lo), p->has_hi ? &hi : NULL, p->reverse);
}

/* NQ_AGAIN: the time is up. */
static nq_rc
walk(struct req *rq, struct residency *r, uint64_t most)
{
    nq_rc rc = NQ_OK;

    while (rc == NQ_OK && !r->is_over && r->leaves < most) {
        uint64_t n = nq_min(most - r->leaves, (uint64_t)LEAVES_AT_ONCE);

        rc = residency_look(rq->db, rq->dbi, r, (unsigned)n);
        if (rc == NQ_OK && req_should_yield(rq))
            return NQ_AGAIN;
    }
    return rc;
}

static nq_rc
look_at_keys(struct req *rq, struct explain_look *l,
             const struct explain_plan *p)
{
    nq_rc rc = NQ_OK;

    for (; l->next_key < p->nkeys; l->next_key++) {
        struct slice key = rq->argv[p->keys[l->next_key]];
        struct residency one;

        residency_init(&one, key, NULL, false);
        rc = residency_look(rq->db, rq->dbi, &one, 1);
        residency_fini(&one);
        if (rc != NQ_OK)
            break;
        l->front.leaves += one.leaves;
        l->front.resident += one.resident;
    }
    return rc;
}

/* --- samples -------------------------------------------------------------- */

static void
try_row(struct req *rq, struct explain_look *l, const struct explain_plan *p,
        struct slice key, const struct record *rec)
{
    struct row_fields fields;
    struct row row;

    if (db_row_near(key, rec, program_needs(p->where), rq->engine->now_ms,
                    &fields, &row) != ROW_NEAR)
        return;
    row_scratch_next(l->scratch);
    l->sampled++;
    l->sample_matches += program_run(p->where, &row, l->scratch) == TRUTH_TRUE;
}

/* Rows from number `n` of the tree on. */
static nq_rc
try_place(struct req *rq, struct explain_look *l, const struct explain_plan *p,
          uint64_t n, uint64_t rows)
{
    struct btree_cursor c;
    struct record rec;
    nq_rc rc;

    btree_cursor_init(&c, db_tree(rq->db, rq->dbi));
    rc = btree_nth(&c, n);
    while (rc == NQ_OK && c.valid && rows-- > 0) {
        if ((rc = btree_record(&c, &rec)) == NQ_OK)
            try_row(rq, l, p, c.key, &rec);
        if (rc == NQ_OK)
            rc = btree_next(&c);
    }
    btree_cursor_fini(&c);
    return rc;
}

static nq_rc
look_at_rows(struct req *rq, struct explain_look *l,
             const struct explain_plan *p)
{
    uint64_t base, rows, step = p->rows_in_range / SAMPLE_PLACES + 1;
    nq_rc rc;

    if (p->where == NULL || p->has_matches || p->rows_in_range == UINT64_MAX)
        return NQ_OK;
    rc = btree_rank(db_tree(rq->db, rq->dbi), buf_slice(&p->lo), &base);
    if (l->scratch == NULL)
        l->scratch = row_scratch_new();
    while (rc == NQ_OK && l->next_place * step < p->rows_in_range) {
        uint64_t at = l->next_place++ * step;

        rows =
            nq_min(nq_min(step, (uint64_t)SAMPLE_ROWS), p->rows_in_range - at);
        rc = try_place(rq, l, p, base + at, rows);
        if (rc == NQ_MISS) {
            frames_forget_wanted(store_frames(rq->engine->store));
            rc = NQ_OK;
        }
        if (rc == NQ_OK && req_should_yield(rq))
            return NQ_AGAIN;
    }
    return rc;
}

/* --- estimates ------------------------------------------------------------ */

/* Rows and matches, as the sample says. */
static void
estimate_rows(const struct explain_look *l, struct explain_plan *p)
{
    double share;

    if (l->sampled == 0)
        return;
    p->has_matches = true;
    share = (double)l->sample_matches / (double)l->sampled;
    p->matches = (uint64_t)((double)p->rows_in_range * share + 0.5);
    p->rows = p->rows_in_range;
    if (p->matches > p->wanted) {
        p->rows = (uint64_t)((double)p->wanted / share + 0.5);
        p->matches = p->wanted;
    }
}

/* Leaves among `all`, of which so many rows lie in.  By an index they are
 * anywhere: some leaves are met more than once. */
static uint64_t
estimate_pages(const struct explain_plan *p, uint64_t all)
{
    double leaves = (double)all, rows = (double)p->rows, met;

    if (p->uses_ranks)
        return nq_min(all, (uint64_t)2);
    if (p->rows_in_range == 0 || p->rows_in_range == UINT64_MAX)
        return p->pages;
    if (p->reads_in_order)
        return nq_min(all,
                      (uint64_t)(leaves * rows / (double)p->rows_in_range) + 1);
    met = leaves * (1 - exp(-rows / leaves));
    return nq_min(all, (uint64_t)(met + 0.5));
}

nq_rc
explain_look(struct req *rq, struct explain_plan *p, struct explain_look *l)
{
    nq_rc rc = look_at_keys(rq, l, p);

    if (rc != NQ_OK || !p->has_range)
        return rc;
    if (!l->has_begun) {
        begin_range(p, &l->all);
        l->has_begun = true;
    }
    if ((rc = walk(rq, &l->all, LEAVES_MAX)) != NQ_OK ||
        (rc = look_at_rows(rq, l, p)) != NQ_OK)
        return rc;
    if (!l->is_estimated) {
        estimate_rows(l, p);
        if (l->all.is_over)
            p->pages = estimate_pages(p, l->all.leaves);
        begin_range(p, &l->front);
        l->is_estimated = true;
    }
    if (!p->reads_in_order)
        return walk(rq, &l->front, LEAVES_MAX);
    return walk(rq, &l->front, nq_min(p->pages, (uint64_t)LEAVES_MAX));
}

void
explain_look_fini(struct explain_look *l)
{
    residency_fini(&l->all);
    residency_fini(&l->front);
    row_scratch_free(l->scratch);
}

void
explain_tell_estimates(struct explain_tree *t, const struct explain_plan *p,
                       const struct explain_look *l, uint32_t page_size)
{
    const struct residency *r = &l->front;

    explain_open(t, "estimated");
    if (p->has_range && p->rows_in_range != UINT64_MAX)
        explain_int(t, "rows in range", p->rows_in_range);
    explain_int(t, "rows looked at", p->rows);
    explain_int(t, "rows", p->matches);
    if (l->sampled > 0)
        explain_printf(t, "rows are from", "a sample of %llu",
                       (unsigned long long)l->sampled);
    else if (!p->has_matches)
        explain_text(t, "rows are from", slice_lit("a guess"));
    explain_int(t, "pages", p->pages);
    explain_int(t, "bytes", p->pages * page_size);
    if (r->leaves > 0) {
        explain_real(t, "predicted cache hits",
                     (double)r->resident / (double)r->leaves);
        explain_printf(t, "of pages in memory", "%llu of %llu",
                       (unsigned long long)r->resident,
                       (unsigned long long)r->leaves);
    }
    explain_close(t);
}
