/* cmd/matching_plan.c - where a matching looks for its rows: in its range, in
 * less of it, or under the keys that an index tells.
 *
 *   matching_plan -> plan_choose -> the range is narrowed
 *                 -> plan_reader -> matching_collect, in slices
 *                 -> matching_take_keys: batches that are nothing but gaps
 *
 * Whatever goes wrong with an index, its range is read instead.  BITS says
 * something of each row, so it has no plan.
 *
 * Called by matching.c and matching_take.c. */
#include "base/check.h"
#include "cmd/engine.h"
#include "cmd/matching_int.h"
#include "cmd/plan.h"
#include "db/index.h"

#define COLLECT_US 300
#define KEYS_EACH 64u /* batch */

/* --- choosing ------------------------------------------------------------- */

static void
narrow(struct matching *m, const struct plan *p)
{
    bool reverse = m->place.reverse;

    scan_place_fini(&m->place);
    m->place = (struct scan_place){.lo = BUF_INIT, .hi = BUF_INIT};
    scan_place_init(&m->place, p->lo, p->has_hi ? &p->hi : NULL, reverse);
}

/* Just that key. */
static void
narrow_to_one(struct matching *m, struct plan *p)
{
    uint8_t *behind = arena_alloc(&m->arena, p->lo.len + 1);

    if (p->lo.len > 0)
        memcpy(behind, p->lo.p, p->lo.len);
    behind[p->lo.len] = 0;
    p->hi = slice_of(behind, p->lo.len + 1);
    p->has_hi = true;
    narrow(m, p);
}

static void
take_plan(struct matching *m, struct plan *p)
{
    m->stats.estimated = p->rows;
    switch (p->kind) {
    case PLAN_EMPTY:
        m->place.is_over = true;
        break;
    case PLAN_SEEK:
        narrow_to_one(m, p);
        break;
    case PLAN_RANGE:
    case PLAN_SCAN:
        narrow(m, p);
        break;
    case PLAN_INDEX:
        m->reader = plan_reader(m->engine->db, p, m->place.reverse);
        break;
    }
}

nq_rc
matching_plan(struct matching *m)
{
    struct slice hi = buf_slice(&m->hi);
    struct plan_query q = {.lo = buf_slice(&m->lo),
                           .hi = m->has_hi ? &hi : NULL,
                           .where = m->sel.where,
                           .wanted =
                               m->opts.limit != 0 ? m->opts.limit : UINT64_MAX};
    struct plan p;
    nq_rc rc;

    if (m->sel.where == NULL || m->opts.has_no_plan || m->place.is_over ||
        m->opts.what == MATCHING_BITS)
        return NQ_OK;
    rc = plan_choose(m->engine->db, m->dbi, &q, &m->arena, &p);
    if (rc == NQ_OK)
        take_plan(m, &p);
    arena_reset(&m->arena);
    return rc;
}

/* --- by an index ---------------------------------------------------------- */

static void
give_up_index(struct matching *m)
{
    index_reader_free(m->reader);
    m->reader = NULL;
    m->is_collected = false;
}

nq_rc
matching_collect(struct matching *m)
{
    uint64_t budget_us = m->opts.is_now ? UINT64_MAX : COLLECT_US;
    nq_rc rc;

    if (m->reader == NULL || m->is_collected)
        return NQ_OK;
    rc = index_reader_collect(m->reader, budget_us);
    if (rc == NQ_AGAIN || rc == NQ_MISS)
        return rc;
    if (rc == NQ_OK)
        m->is_collected = true;
    else
        give_up_index(m);
    return NQ_OK;
}

/* The leaves of several keys are read at once, before one is looked at. */
static void
want_leaves(struct matching *m, const struct slice *keys, unsigned n)
{
    struct btree *t = db_tree(m->engine->db, m->dbi);
    struct finger fingers[KEYS_EACH] = {{0}};
    struct probe probes[KEYS_EACH];

    for (unsigned i = 0; i < n; i++)
        probes[i] =
            (struct probe){.tree = t, .key = keys[i], .finger = &fingers[i]};
    if (n == 0 || btree_probe(probes, n) == 0 || m->opts.is_now ||
        m->is_far_waiting)
        return;
    matching_fetch_far(m);
}

nq_rc
matching_take_keys(struct matching *m, struct batch *b)
{
    struct slice keys[KEYS_EACH];
    unsigned n = 0;

    while (n < KEYS_EACH && index_reader_next(m->reader, &keys[n]))
        batch_put_gap(b, keys[n++]);
    want_leaves(m, keys, n);
    return n == 0 ? NQ_NOTFOUND : NQ_OK;
}
