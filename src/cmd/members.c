/* cmd/members.c - members with scores, collected in memory.
 *
 * They stand one behind the other in `items`; sorting moves references only.
 * Those are cut into runs, sorted one by one, then merged in pairs, from
 * `sorted` into `other` and back, until one run is left: every step can stop
 * between two members.
 *
 * Called by the handlers of sorted sets and of geo. */
#include "cmd/members.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/reply.h"

#define MEMBERS_MAX (UINT64_C(1) << 30) /* bytes */
#define RUN 256
#define MEMBERS_PER_LOOK 64 /* between two looks at the clock */

void
members_init(struct members *m, const struct req *rq)
{
    uint64_t hard = rq->engine->limits.output[session_class(rq->s)].hard;

    m->limit_bytes = hard != 0 ? nq_min(hard, MEMBERS_MAX) : MEMBERS_MAX;
}

void
members_fini(struct members *m)
{
    buf_fini(&m->items);
    nq_free(m->sorted);
    nq_free(m->other);
    m->sorted = m->other = NULL;
}

void
members_put(struct members *m, struct slice name, double score)
{
    uint64_t bits;

    memcpy(&bits, &score, sizeof bits);
    buf_put_u64(&m->items, bits);
    buf_put_varint(&m->items, name.len);
    buf_put_slice(&m->items, name);
    m->count++;
}

bool
members_are_too_many(const struct members *m)
{
    return m->items.len > m->limit_bytes;
}

bool
members_refuse(struct req *rq, const struct members *m)
{
    if (!members_are_too_many(m))
        return false;
    reply_error(rq,
                "-ERR the answer is longer than %llu bytes, the most for "
                "this client; ask for parts of it",
                (unsigned long long)m->limit_bytes);
    return true;
}

/* The member at `at`; returns where the next one is. */
static size_t
read_at(const struct members *m, size_t at, struct member *out)
{
    struct cursor c = cursor_of(slice_of(m->items.p + at, m->items.len - at));
    uint64_t bits;
    bool ok;

    cursor_get_u64(&c, &bits);
    ok = cursor_get_slice(&c, &out->name);
    nq_assert(ok);
    memcpy(&out->score, &bits, sizeof bits);
    return m->items.len - cursor_left(&c);
}

/* --- sorting ------------------------------------------------------------- */

struct tie_break {
    const struct members *m;
    enum members_tie tie;
};

static int
compare(const struct members_ref *a, const struct members_ref *b,
        const struct tie_break *t)
{
    struct member ma, mb;
    int c;

    if (a->order != b->order)
        return a->order < b->order ? -1 : 1;
    if (t->tie == TIE_BY_NAME) {
        (void)read_at(t->m, a->at, &ma);
        (void)read_at(t->m, b->at, &mb);
        if ((c = slice_cmp(ma.name, mb.name)) != 0)
            return c;
    }
    return a->at < b->at ? -1 : a->at > b->at;
}

static int
compare_refs(const void *a, const void *b, void *arg)
{
    return compare(a, b, arg);
}

/* The next run: references to members not looked at yet, in order. */
static void
fill_run(struct members *m, const struct tie_break *t)
{
    uint64_t end = nq_min(m->filled + RUN, m->count), from = m->filled;
    struct member one;

    for (; m->filled < end; m->filled++) {
        struct members_ref *ref = &m->sorted[m->filled];

        ref->at = m->at;
        m->at = read_at(m, m->at, &one);
        ref->order = zset_order_of(one.score);
    }
    qsort_r(m->sorted + from, end - from, sizeof *m->sorted, compare_refs,
            (void *)(uintptr_t)t);
}

/* The next reference of the two runs at `low`; false: both are merged. */
static bool
merge_one(struct members *m, const struct tie_break *t)
{
    uint64_t left_end = nq_min(m->low + m->width, m->count);
    uint64_t right_end = nq_min(left_end + m->width, m->count);
    uint64_t left = m->low + m->left, right = left_end + m->right;
    bool take_left;

    if (left == left_end && right == right_end)
        return false;
    take_left = right == right_end ||
                (left < left_end &&
                 compare(&m->sorted[left], &m->sorted[right], t) <= 0);
    m->other[m->low + m->left + m->right] = m->sorted[take_left ? left : right];
    m->left += take_left;
    m->right += !take_left;
    return true;
}

/* A step of merging; false: one run is left. */
static bool
merge_step(struct members *m, const struct tie_break *t)
{
    struct members_ref *was = m->sorted;

    if (m->width >= m->count)
        return false;
    for (unsigned i = 0; i < RUN; i++)
        if (!merge_one(m, t))
            break;
    if (m->low + m->left + m->right < nq_min(m->low + 2 * m->width, m->count))
        return true;
    m->low += 2 * m->width;
    m->left = m->right = 0;
    if (m->low < m->count)
        return true;
    m->sorted = m->other;
    m->other = was;
    m->low = 0;
    m->width *= 2;
    return true;
}

nq_rc
members_sort(struct req *rq, struct members *m, enum members_tie tie)
{
    struct tie_break t = {m, tie};

    if (m->is_sorted)
        return NQ_OK;
    if (m->sorted == NULL) {
        m->sorted = nq_malloc((m->count + 1) * sizeof *m->sorted);
        m->at = 0;
        m->width = RUN;
        if (m->count > RUN)
            m->other = nq_malloc(m->count * sizeof *m->other);
    }
    for (;;) {
        if (m->filled < m->count)
            fill_run(m, &t);
        else if (!merge_step(m, &t))
            break;
        if (req_should_yield(rq))
            return NQ_AGAIN;
    }
    m->is_sorted = true;
    m->at = 0;
    return NQ_OK;
}

bool
members_next(struct members *m, struct member *out)
{
    if (m->told == m->count)
        return false;
    if (m->is_sorted)
        (void)read_at(m, m->sorted[m->told].at, out);
    else
        m->at = read_at(m, m->at, out);
    m->told++;
    return true;
}

/* --- telling ------------------------------------------------------------- */

bool
members_tell(struct req *rq, struct members *m, uint64_t n, uint64_t header,
             members_emit *emit, void *arg)
{
    struct member one;

    if (!m->has_header) {
        m->has_header = true;
        reply_array(rq, header);
    }
    while (m->told < n && members_next(m, &one)) {
        emit(rq, &one, arg);
        if (m->told % MEMBERS_PER_LOOK == 0 && req_should_yield(rq)) {
            rq->keep_output = true;
            req_yield(rq);
            return false;
        }
    }
    return true;
}

/* --- storing ------------------------------------------------------------- */

static void
forget(struct members *m)
{
    buf_clear(&m->items);
    m->count = m->told = 0;
    m->at = 0;
}

/* The next batch, in the arena; `n` is how many may be taken in all. */
static uint32_t
take_batch(struct req *rq, struct members *m, uint64_t n, struct member **out)
{
    uint32_t got = 0;

    *out = arena_alloc(rq->arena, MEMBERS_BATCH * sizeof **out);
    while (got < MEMBERS_BATCH && m->told < n && members_next(m, *out + got))
        got++;
    return got;
}

/* One batch to the staged set; *more: there may be others. */
static nq_rc
stage_batch(struct req *rq, struct members *m, uint64_t n, struct staging *s,
            bool *more)
{
    uint64_t told = m->told;
    struct zset_added added;
    struct member *batch;
    size_t at = m->at;
    struct entry e;
    uint32_t got;
    nq_rc rc = NQ_OK;

    if (!staging_is_begun(s) && (rc = staging_begin(rq, s)) != NQ_OK)
        return rc;
    got = take_batch(rq, m, n, &batch);
    *more = got > 0;
    if (got > 0)
        rc = staging_find(s, &e);
    if (got > 0 && (rc == NQ_OK || rc == NQ_NOTFOUND))
        rc = zset_add(rq->db, DB_STAGING, staging_key(s), &e, rc == NQ_OK,
                      batch, got, ZSET_RESULT, NULL, &added);
    if (rc != NQ_OK) {
        m->told = told;
        m->at = at;
    }
    return rc;
}

nq_rc
members_stage(struct req *rq, struct members *m, struct staging *s)
{
    bool more = true;
    nq_rc rc = NQ_OK;

    while (rc == NQ_OK && more)
        rc = stage_batch(rq, m, m->count, s, &more);
    if (rc == NQ_OK)
        forget(m);
    return rc;
}

/* Few enough for one step: in place of what is at `to`. */
static nq_rc
put_directly(struct req *rq, struct members *m, uint64_t n, struct slice to)
{
    struct zset_added added;
    struct member *batch;
    struct entry e;
    uint32_t got;
    nq_rc rc = staging_replace(rq, to, &e);

    while (rc == NQ_OK && (got = take_batch(rq, m, n, &batch)) > 0) {
        rc = zset_add(rq->db, rq->dbi, to, &e, e.finger.found, batch, got,
                      ZSET_RESULT, NULL, &added);
        if (rc == NQ_OK && m->told < n)
            rc = db_find_write(rq->db, rq->dbi, to, &e);
    }
    if (rc != NQ_OK) { /* a miss: once more from the start */
        m->told = 0;
        m->at = 0;
    }
    return rc;
}

static nq_rc
publish(struct req *rq, struct members *m, uint64_t n, struct staging *s,
        struct slice to)
{
    bool more = true;
    nq_rc rc;

    while (more) {
        if ((rc = stage_batch(rq, m, n, s, &more)) != NQ_OK)
            return rc;
        if (more && req_should_yield(rq))
            return NQ_AGAIN;
    }
    return staging_publish(rq, s, to);
}

nq_rc
members_store(struct req *rq, struct members *m, uint64_t n, struct staging *s,
              struct slice to, const char *event)
{
    bool is_empty = n == 0 && !staging_is_begun(s);
    nq_rc rc;

    if (is_empty)
        rc = staging_delete(rq, to);
    else if (!staging_is_begun(s) && (n <= MEMBERS_BATCH || rq->in_multi))
        rc = put_directly(rq, m, n, to);
    else
        rc = publish(rq, m, n, s, to);
    if (rc == NQ_OK && !is_empty)
        db_event(rq->db, rq->dbi, EVENT_ZSET, event, to);
    return rc;
}
