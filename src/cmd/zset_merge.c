/* cmd/zset_merge.c - union, intersection and difference of sorted sets.
 *
 * All inputs can be walked in order of their names: sets and large sorted
 * sets stand so, small sorted sets are sorted in memory.  A union merges them
 * with a heap; the others walk the smallest or the first one and look its
 * members up in the others.
 *
 * Scores are added up in the order of rising size of the inputs, as Redis
 * does, because sums of doubles depend on it.
 *
 *   M1  `at` of an input is the key of the last item that was used up, and
 *       small.next counts those; a slice begins behind
 *   M2  a member is used up when zmerge_next() gives it, or knows that it is
 *       not in the result: what ended with NQ_MISS is done once more
 *
 * Called by cmd_zset_algebra.c. */
#include "cmd/zset_merge.h"

#include <math.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "cmd/held.h"
#include "db/set.h"

#define LOOKS 32 /* members looked at before zmerge_next() says NQ_AGAIN */

/* A small sorted set in order of its names. */
struct by_name {
    struct buf items; /* u64 score | varint length | name, each */
    struct member *sorted;
    uint32_t n, next;
};

struct input {
    struct slice key;
    enum db_type type;
    double weight;
    uint64_t card;
    struct entry entry; /* of this slice; before it is kept, the command's */
    struct held held;
    uint32_t place; /* in the command */
    bool is_open;
    struct zset z; /* of a set only z.coll */
    struct coll_cursor cu;
    struct by_name small; /* valid only if it is walked and packed */
    struct buf at;        /* M1; valid only if has_at */
    bool has_at;
    bool is_at_end;
    struct member now; /* where the walk stands; valid unless is_at_end */
};

struct zmerge {
    enum zmerge_op op;
    enum zmerge_sum sum;
    struct input **inputs; /* those that are there; by rising size unless it is
                              a difference */
    uint32_t n;
    bool is_empty, is_ordered; /* empty: there is no result */
    /* Inputs whose `now` was given, and which have to go on from there. */
    uint32_t *given;
    uint32_t ngiven;
    uint32_t *heap; /* of a union: other inputs, by name, then place */
    uint32_t nheap;
};

/* --- one input ----------------------------------------------------------- */

static nq_rc
open_input(struct req *rq, struct input *in)
{
    nq_rc rc;

    if (in->held.is_kept)
        held_entry(&in->held, rq, &in->entry);
    if (in->type == DB_SET)
        rc = set_open(rq->db, rq->dbi, in->key, &in->entry, true, &in->z.coll);
    else
        rc = zset_open(rq->db, rq->dbi, in->key, &in->entry, true, &in->z);
    if (rc != NQ_OK)
        return rc;
    in->card = in->type == DB_SET ? in->z.coll.count : in->z.card;
    coll_cursor_init(&in->cu, &in->z.coll);
    in->is_open = true;
    return NQ_OK;
}

static void
close_input(struct input *in)
{
    if (!in->is_open)
        return;
    coll_cursor_fini(&in->cu);
    coll_close(&in->z.coll);
    in->is_open = false;
}

static int
compare_names(const void *a, const void *b)
{
    const struct member *ma = a, *mb = b;

    return slice_cmp(ma->name, mb->name);
}

static void
sort_small(struct by_name *s)
{
    struct cursor c = cursor_of(buf_slice(&s->items));
    uint64_t bits;

    s->sorted = nq_malloc((s->n + 1) * sizeof *s->sorted);
    for (uint32_t i = 0; i < s->n; i++) {
        cursor_get_u64(&c, &bits);
        memcpy(&s->sorted[i].score, &bits, sizeof bits);
        cursor_get_slice(&c, &s->sorted[i].name);
    }
    nq_assert(cursor_ok(&c));
    qsort(s->sorted, s->n, sizeof *s->sorted, compare_names);
}

static nq_rc
load_small(struct input *in)
{
    struct by_name *s = &in->small;
    struct zset_cursor cu;
    uint64_t bits;
    nq_rc rc;

    zset_cursor_init(&cu, &in->z);
    for (rc = zset_nth(&cu, 0); rc == NQ_OK && cu.valid; rc = zset_next(&cu)) {
        memcpy(&bits, &cu.at.score, sizeof bits);
        buf_put_u64(&s->items, bits);
        buf_put_varint(&s->items, cu.at.name.len);
        buf_put_slice(&s->items, cu.at.name);
        s->n++;
    }
    zset_cursor_fini(&cu);
    if (rc == NQ_OK)
        sort_small(s);
    return rc;
}

static bool
is_small(const struct input *in)
{
    return in->type == DB_ZSET && !in->z.coll.is_tree;
}

static bool
is_member_key(const struct input *in, struct slice key)
{
    return in->type == DB_SET || slice_has_prefix(key, ZSET_NAMES);
}

/* What the cursor stands on, or the next member behind. */
static nq_rc
settle(struct input *in, nq_rc rc)
{
    struct item it;
    bool is_there = true;

    for (; rc == NQ_OK; rc = coll_next(&in->cu)) {
        in->is_at_end = !in->cu.valid || !is_member_key(in, in->cu.key);
        if (in->is_at_end)
            return NQ_OK;
        if (in->type == DB_SET) {
            in->now = (struct member){in->cu.key, 1};
            return NQ_OK;
        }
        if ((rc = coll_item(&in->cu, &it)) != NQ_OK ||
            (rc = zset_item_is_there(&in->z.coll, &it, &is_there)) != NQ_OK)
            return rc;
        if (is_there)
            return zset_member_of(&it, &in->now) ? NQ_OK : NQ_ECORRUPT;
    }
    return rc;
}

static nq_rc
stand_small(struct input *in)
{
    struct by_name *s = &in->small;

    in->is_at_end = s->next == s->n;
    if (!in->is_at_end)
        in->now = s->sorted[s->next];
    return NQ_OK;
}

/* At the begin of a slice: on the first member that is not used up. */
static nq_rc
stand(struct input *in)
{
    nq_rc rc;

    if (is_small(in)) {
        if (in->small.sorted == NULL && (rc = load_small(in)) != NQ_OK)
            return rc;
        return stand_small(in);
    }
    if (in->has_at)
        rc = coll_seek(&in->cu, buf_slice(&in->at), true);
    else
        rc = coll_seek(&in->cu, in->type == DB_SET ? slice_lit("") : ZSET_NAMES,
                       false);
    return settle(in, rc);
}

/* The member it stands on is used up; it still stands there. */
static void
use_up(struct input *in)
{
    if (is_small(in)) {
        in->small.next++;
        return;
    }
    buf_clear(&in->at);
    buf_put_slice(&in->at, in->cu.key);
    in->has_at = true;
}

static nq_rc
go_on(struct input *in)
{
    return is_small(in) ? stand_small(in) : settle(in, coll_next(&in->cu));
}

/* NQ_NOTFOUND. */
static nq_rc
look_up(struct input *in, struct slice name, double *score)
{
    struct item it;

    if (in->type == DB_ZSET)
        return zset_score(&in->z, name, score);
    *score = 1;
    return coll_get(&in->z.coll, name, &it);
}

static void
free_input(struct input *in)
{
    close_input(in);
    held_end(&in->held);
    buf_fini(&in->at);
    buf_fini(&in->small.items);
    nq_free(in->small.sorted);
    nq_free(in);
}

/* --- scores -------------------------------------------------------------- */

static double
add_up(enum zmerge_sum sum, double a, double b)
{
    if (sum == ZMERGE_MIN)
        return b < a ? b : a;
    if (sum == ZMERGE_MAX)
        return b > a ? b : a;
    return isnan(a + b) ? 0 : a + b; /* of inf and -inf */
}

static double
weighted(const struct input *in, double score)
{
    double v = in->weight * score;

    return isnan(v) ? 0 : v; /* of inf and 0 */
}

/* --- the heap of a union ------------------------------------------------- */

static bool
is_before(const struct zmerge *m, uint32_t a, uint32_t b)
{
    int c = slice_cmp(m->inputs[a]->now.name, m->inputs[b]->now.name);

    return c != 0 ? c < 0 : a < b;
}

static void
heap_swap(struct zmerge *m, uint32_t a, uint32_t b)
{
    uint32_t was = m->heap[a];

    m->heap[a] = m->heap[b];
    m->heap[b] = was;
}

static void
heap_push(struct zmerge *m, uint32_t input)
{
    uint32_t i = m->nheap++;

    m->heap[i] = input;
    for (; i > 0 && is_before(m, m->heap[i], m->heap[(i - 1) / 2]);
         i = (i - 1) / 2)
        heap_swap(m, i, (i - 1) / 2);
}

static uint32_t
heap_pop(struct zmerge *m)
{
    uint32_t top = m->heap[0], i = 0, child;

    m->heap[0] = m->heap[--m->nheap];
    while ((child = 2 * i + 1) < m->nheap) {
        if (child + 1 < m->nheap &&
            is_before(m, m->heap[child + 1], m->heap[child]))
            child++;
        if (!is_before(m, m->heap[child], m->heap[i]))
            break;
        heap_swap(m, i, child);
        i = child;
    }
    return top;
}

/* --- members of the result ----------------------------------------------- */

static void
give(struct zmerge *m, uint32_t i)
{
    use_up(m->inputs[i]);
    m->given[m->ngiven++] = i;
}

static nq_rc
next_of_union(struct zmerge *m, struct member *out)
{
    struct input *in;
    nq_rc rc;

    while (m->ngiven > 0) {
        in = m->inputs[m->given[m->ngiven - 1]];
        if ((rc = go_on(in)) != NQ_OK)
            return rc;
        m->ngiven--;
        if (!in->is_at_end)
            heap_push(m, m->given[m->ngiven]);
    }
    if (m->nheap == 0)
        return NQ_NOTFOUND;
    do {
        uint32_t i = heap_pop(m);
        double v;

        in = m->inputs[i];
        v = weighted(in, in->now.score);
        out->score = m->ngiven > 0 ? add_up(m->sum, out->score, v) : v;
        out->name = in->now.name;
        give(m, i);
    } while (m->nheap > 0 &&
             slice_eq(m->inputs[m->heap[0]]->now.name, out->name));
    return NQ_OK;
}

/* Whether the member of inputs[0] is in the result, and its score. */
static nq_rc
judge(struct zmerge *m, struct member *out, bool *is_in)
{
    struct input *first = m->inputs[0];
    double v;
    nq_rc rc;

    *is_in = false;
    *out = first->now;
    if (m->op == ZMERGE_INTER)
        out->score = weighted(first, out->score);
    for (uint32_t i = 1; i < m->n; i++) {
        rc = look_up(m->inputs[i], out->name, &v);
        if (rc != NQ_OK && rc != NQ_NOTFOUND)
            return rc;
        if ((rc == NQ_OK) != (m->op == ZMERGE_INTER))
            return NQ_OK;
        if (rc == NQ_OK)
            out->score = add_up(m->sum, out->score, m->inputs[i]->weight * v);
    }
    *is_in = true;
    return NQ_OK;
}

static nq_rc
next_of_first(struct zmerge *m, struct member *out)
{
    struct input *first = m->inputs[0];
    bool is_in;
    nq_rc rc;

    for (unsigned looks = 0; looks < LOOKS; looks++) {
        if (m->ngiven > 0 && (rc = go_on(first)) != NQ_OK)
            return rc;
        m->ngiven = 0;
        if (first->is_at_end)
            return NQ_NOTFOUND;
        if ((rc = judge(m, out, &is_in)) != NQ_OK)
            return rc;
        give(m, 0);
        if (is_in)
            return NQ_OK;
    }
    return NQ_AGAIN;
}

nq_rc
zmerge_next(struct zmerge *m, struct member *out)
{
    if (m->is_empty)
        return NQ_NOTFOUND;
    return m->op == ZMERGE_UNION ? next_of_union(m, out)
                                 : next_of_first(m, out);
}

/* --- life ---------------------------------------------------------------- */

static struct input *
new_input(const struct zmerge_input *from, uint32_t place)
{
    struct input *in = nq_calloc(1, sizeof *in);

    in->key = from->key;
    in->type = (enum db_type)from->entry.rec.type;
    in->weight = from->weight;
    in->entry = from->entry;
    in->place = place;
    return in;
}

struct zmerge *
zmerge_new(enum zmerge_op op, enum zmerge_sum sum,
           const struct zmerge_input *inputs, uint32_t n)
{
    struct zmerge *m = nq_calloc(1, sizeof *m);

    m->op = op;
    m->sum = sum;
    m->is_ordered = op == ZMERGE_DIFF;
    m->inputs = nq_calloc(n, sizeof *m->inputs);
    m->given = nq_calloc(n, sizeof *m->given);
    m->heap = nq_calloc(n, sizeof *m->heap);
    for (uint32_t i = 0; i < n; i++) {
        if (inputs[i].found)
            m->inputs[m->n++] = new_input(&inputs[i], i);
        else if (op == ZMERGE_INTER || (op == ZMERGE_DIFF && i == 0))
            m->is_empty = true;
    }
    m->is_empty = m->is_empty || m->n == 0;
    return m;
}

void
zmerge_free(struct zmerge *m)
{
    if (m == NULL)
        return;
    for (uint32_t i = 0; i < m->n; i++)
        free_input(m->inputs[i]);
    nq_free(m->inputs);
    nq_free(m->given);
    nq_free(m->heap);
    nq_free(m);
}

static int
compare_sizes(const void *a, const void *b)
{
    const struct input *ia = *(struct input *const *)a;
    const struct input *ib = *(struct input *const *)b;

    if (ia->card != ib->card)
        return ia->card < ib->card ? -1 : 1;
    return ia->place < ib->place ? -1 : 1;
}

nq_rc
zmerge_open(struct req *rq, struct zmerge *m)
{
    nq_rc rc = NQ_OK;

    m->nheap = m->ngiven = 0;
    for (uint32_t i = 0; rc == NQ_OK && !m->is_empty && i < m->n; i++)
        rc = open_input(rq, m->inputs[i]);
    if (rc != NQ_OK || m->is_empty)
        return rc;
    if (!m->is_ordered)
        qsort(m->inputs, m->n, sizeof *m->inputs, compare_sizes);
    m->is_ordered = true;
    if (m->op != ZMERGE_UNION)
        return stand(m->inputs[0]);
    for (uint32_t i = 0; rc == NQ_OK && i < m->n; i++) {
        rc = stand(m->inputs[i]);
        if (rc == NQ_OK && !m->inputs[i]->is_at_end)
            heap_push(m, i);
    }
    return rc;
}

nq_rc
zmerge_close(struct req *rq, struct zmerge *m, bool stay)
{
    nq_rc rc = NQ_OK;

    for (uint32_t i = 0; i < m->n; i++) {
        struct input *in = m->inputs[i];

        close_input(in);
        if (stay && rc == NQ_OK && !in->held.is_kept)
            rc = held_keep(&in->held, rq->db, &in->entry);
    }
    return rc;
}
