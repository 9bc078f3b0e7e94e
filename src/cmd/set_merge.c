/* cmd/set_merge.c - union, intersection and difference of sets.
 *
 * All inputs are ordered, so one walk over them together gives the result in
 * order, whatever their sizes:
 *
 *   union         the smallest key that any cursor stands on; a heap knows it
 *   intersection  leapfrog: the candidate is what one cursor stands on, all
 *                 others seek to it, and whoever lands behind it tells the
 *                 next candidate.  Costs no more than seeks of the smallest
 *   difference    the first input, and the others seek after it
 *
 * A cursor that has a little way to go steps, and else seeks.
 *
 * `at` is the place of the walk: everything before it is done, and `at` itself
 * if `is_past`.  It is right whenever merge_next() returns, so a slice may end
 * at any moment, also for a page that is missing.
 *
 * I1  while a slice is open, no cursor has gone beyond the first key at or
 *     behind the place; those that are before it catch up by advance() */
#include "cmd/set_merge.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "cmd/held.h"
#include "db/set.h"

#define STEPS_BEFORE_SEEK 4
#define LOOKS_AT_ONCE 64 /* without a result, before NQ_AGAIN */

struct source {
    struct slice key;
    struct entry *entry; /* of the first slice; NULL: it is kept */
    struct entry again;  /* of the later ones */
    struct held held;
    struct coll coll;
    struct coll_cursor cursor;
    bool is_open;
};

struct merge {
    enum set_op op;
    unsigned n; /* sources, all of them sets that exist */
    bool is_kept, is_over;
    bool has_at, is_past;
    struct buf at;
    uint32_t *order; /* of the sources; union: a heap by where they stand */
    unsigned in_heap;
    struct source *sources;
};

/* --- life ---------------------------------------------------------------- */

struct merge *
merge_new(enum set_op op, struct entry *entries, const struct slice *keys,
          unsigned n)
{
    struct merge *m = nq_calloc(1, sizeof *m);
    unsigned found = 0;

    for (unsigned i = 0; i < n; i++)
        found += entries[i].finger.found;
    m->op = op;
    m->is_over = found == 0 || (op == SET_INTER && found < n) ||
                 (op == SET_DIFF && !entries[0].finger.found);
    if (m->is_over)
        return m; /* nothing is in the result */
    m->sources = nq_calloc(found, sizeof *m->sources);
    m->order = nq_calloc(found, sizeof *m->order);
    for (unsigned i = 0; i < n; i++)
        if (entries[i].finger.found) {
            m->sources[m->n].key = keys[i];
            m->sources[m->n++].entry = &entries[i];
        }
    return m;
}

static void
close_source(struct source *s)
{
    if (!s->is_open)
        return;
    coll_cursor_fini(&s->cursor);
    coll_close(&s->coll);
    s->is_open = false;
}

void
merge_free(struct merge *m)
{
    if (m == NULL)
        return;
    for (unsigned i = 0; i < m->n; i++) {
        close_source(&m->sources[i]);
        held_end(&m->sources[i].held);
    }
    buf_fini(&m->at);
    nq_free(m->order);
    nq_free(m->sources);
    nq_free(m);
}

/* --- the place ----------------------------------------------------------- */

static void
stand(struct merge *m, struct slice key, bool is_past)
{
    buf_clear(&m->at);
    buf_put_slice(&m->at, key);
    m->has_at = true;
    m->is_past = is_past;
}

/* Moves a cursor that is behind to the first key at or behind `to`. */
static nq_rc
advance(struct source *s, struct slice to)
{
    nq_rc rc = NQ_OK;

    for (unsigned i = 0; s->cursor.valid && slice_cmp(s->cursor.key, to) < 0;
         i++) {
        if (i == STEPS_BEFORE_SEEK)
            return coll_seek(&s->cursor, to, false);
        if ((rc = coll_next(&s->cursor)) != NQ_OK)
            break;
    }
    return rc;
}

/* --- a slice ------------------------------------------------------------- */

static nq_rc
open_source(struct req *rq, struct merge *m, struct source *s)
{
    struct entry *e = s->entry;
    nq_rc rc;

    if (e == NULL) {
        held_entry(&s->held, rq, &s->again);
        e = &s->again;
    }
    rc = set_open(rq->db, rq->dbi, s->key, e, true, &s->coll);
    coll_cursor_init(&s->cursor, &s->coll);
    s->is_open = true;
    if (rc != NQ_OK)
        return rc;
    return m->has_at ? coll_seek(&s->cursor, buf_slice(&m->at), m->is_past)
                     : coll_first(&s->cursor);
}

/* Intersections walk the smallest set, and ask the others. */
static void
smallest_first(struct merge *m)
{
    for (unsigned i = 1; i < m->n; i++) {
        uint32_t first = m->order[0];

        if (m->sources[m->order[i]].coll.count < m->sources[first].coll.count) {
            m->order[0] = m->order[i];
            m->order[i] = first;
        }
    }
}

/* The key that the i-th of the heap stands on. */
static struct slice
heap_key(const struct merge *m, unsigned i)
{
    return m->sources[m->order[i]].cursor.key;
}

static void
heap_sift(struct merge *m, unsigned i)
{
    for (;;) {
        unsigned least = i;
        uint32_t moved = m->order[i];

        for (unsigned k = 2 * i + 1; k <= 2 * i + 2 && k < m->in_heap; k++)
            if (slice_cmp(heap_key(m, k), heap_key(m, least)) < 0)
                least = k;
        if (least == i)
            return;
        m->order[i] = m->order[least];
        m->order[least] = moved;
        i = least;
    }
}

/* Those that are not at their end. */
static void
heap_build(struct merge *m)
{
    m->in_heap = 0;
    for (unsigned i = 0; i < m->n; i++)
        if (m->sources[i].cursor.valid)
            m->order[m->in_heap++] = i;
    for (unsigned i = m->in_heap / 2; i-- > 0;)
        heap_sift(m, i);
}

nq_rc
merge_open(struct req *rq, struct merge *m)
{
    nq_rc rc = NQ_OK;

    if (m->is_kept)
        db_gate_all(rq->db, rq->dbi);
    for (unsigned i = 0; i < m->n && !m->is_over && rc == NQ_OK; i++) {
        m->order[i] = i;
        rc = open_source(rq, m, &m->sources[i]);
    }
    if (rc != NQ_OK || m->is_over)
        return rc;
    if (m->op == SET_INTER)
        smallest_first(m);
    else if (m->op == SET_UNION)
        heap_build(m);
    return NQ_OK;
}

static nq_rc
keep_all(struct req *rq, struct merge *m)
{
    nq_rc rc = NQ_OK;

    for (unsigned i = 0; i < m->n && rc == NQ_OK; i++) {
        rc = held_keep(&m->sources[i].held, rq->db, m->sources[i].entry);
        m->sources[i].entry = NULL;
    }
    m->is_kept = true;
    return rc;
}

nq_rc
merge_close(struct req *rq, struct merge *m, bool stay)
{
    nq_rc rc = NQ_OK;

    for (unsigned i = 0; i < m->n; i++)
        close_source(&m->sources[i]);
    if (stay && !m->is_kept)
        rc = keep_all(rq, m);
    return rc;
}

/* --- the next member ----------------------------------------------------- */

/* From the member that was given last to the one behind it. */
static nq_rc
step_past(const struct merge *m, struct source *s)
{
    if (m->has_at && m->is_past && s->cursor.valid &&
        slice_eq(s->cursor.key, buf_slice(&m->at)))
        return coll_next(&s->cursor);
    return NQ_OK;
}

static nq_rc
is_over(struct merge *m)
{
    m->is_over = true;
    return NQ_NOTFOUND;
}

static nq_rc
give(struct merge *m, struct slice key, struct slice *member)
{
    stand(m, key, true);
    *member = buf_slice(&m->at);
    return NQ_OK;
}

static nq_rc
next_of_union(struct merge *m, struct slice *member)
{
    while (m->in_heap > 0) {
        struct source *s = &m->sources[m->order[0]];
        bool was_given = m->has_at && m->is_past &&
                         slice_eq(s->cursor.key, buf_slice(&m->at));
        nq_rc rc;

        if (!was_given)
            return give(m, s->cursor.key, member);
        if ((rc = coll_next(&s->cursor)) != NQ_OK)
            return rc;
        if (!s->cursor.valid)
            m->order[0] = m->order[--m->in_heap];
        heap_sift(m, 0);
    }
    return is_over(m);
}

/* Has all inputs but the first stand on `key`, the first one's, if they have
 * it.  Else the first goes on (NQ_AGAIN), or the result has ended
 * (NQ_NOTFOUND). */
static nq_rc
meet(struct merge *m, struct source *first)
{
    struct slice key = first->cursor.key;
    nq_rc rc;

    for (unsigned i = 1; i < m->n; i++) {
        struct source *s = &m->sources[m->order[i]];

        if ((rc = advance(s, key)) != NQ_OK) {
            stand(m, key, false);
            return rc;
        }
        if (!s->cursor.valid)
            return is_over(m);
        if (slice_eq(s->cursor.key, key))
            continue;
        stand(m, s->cursor.key, false);
        rc = advance(first, buf_slice(&m->at));
        return rc == NQ_OK ? NQ_AGAIN : rc;
    }
    return NQ_OK;
}

static nq_rc
next_of_inter(struct merge *m, struct slice *member)
{
    struct source *first = &m->sources[m->order[0]];
    nq_rc rc = step_past(m, first);

    for (unsigned n = 0; n < LOOKS_AT_ONCE && rc == NQ_OK; n++) {
        if (!first->cursor.valid)
            return is_over(m);
        rc = meet(m, first);
        if (rc == NQ_OK)
            return give(m, first->cursor.key, member);
        if (rc == NQ_AGAIN)
            rc = NQ_OK;
    }
    return rc == NQ_OK ? NQ_AGAIN : rc;
}

/* Whether any input but the first has `key`. */
static nq_rc
find_in_others(struct merge *m, struct slice key, bool *found)
{
    *found = false;
    for (unsigned i = 1; i < m->n && !*found; i++) {
        struct source *s = &m->sources[i];
        nq_rc rc = advance(s, key);

        if (rc != NQ_OK) {
            stand(m, key, false);
            return rc;
        }
        *found = s->cursor.valid && slice_eq(s->cursor.key, key);
    }
    return NQ_OK;
}

static nq_rc
next_of_diff(struct merge *m, struct slice *member)
{
    struct source *first = &m->sources[0];
    nq_rc rc = step_past(m, first);
    bool found;

    for (unsigned n = 0; n < LOOKS_AT_ONCE && rc == NQ_OK; n++) {
        if (!first->cursor.valid)
            return is_over(m);
        if ((rc = find_in_others(m, first->cursor.key, &found)) != NQ_OK)
            return rc;
        if (!found)
            return give(m, first->cursor.key, member);
        stand(m, first->cursor.key, true);
        rc = coll_next(&first->cursor);
    }
    return rc == NQ_OK ? NQ_AGAIN : rc;
}

nq_rc
merge_next(struct merge *m, struct slice *member)
{
    if (m->is_over)
        return NQ_NOTFOUND;
    switch (m->op) {
    case SET_UNION:
        return next_of_union(m, member);
    case SET_INTER:
        return next_of_inter(m, member);
    default:
        return next_of_diff(m, member);
    }
}
