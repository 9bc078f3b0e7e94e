/* cmd/matching.c - the consumer's side of a matching, and its turn.
 *
 * Rows are taken from the first batch: from what is READY, or from the filled
 * part of one that only RAN.  What COUNT, BITS and FOLD make of a batch goes
 * into the matching's own sums as soon as the batch is READY and the first.
 *
 * The first leaves are looked at on the loop, one by one, as long as the time
 * of this turn allows it: most queries are answered that way, at once.  After
 * that workers go on.
 *
 * Called by the commands that ask for rows; matchings_turn() by the engine. */
#include "cmd/matching.h"

#include "base/check.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/matching_int.h"
#include "cmd/session.h"
#include "os/clock.h"
#include "store/store.h"

#define MEMORY_USUAL (1u << 20)
#define AT_ONCE 4u /* leaves */

/* --- opening -------------------------------------------------------------- */

struct matching *
matching_open(struct engine *e, uint32_t dbi, struct select *sel,
              const struct matching_opts *opts)
{
    struct matching *m = nq_calloc(1, sizeof *m);
    const struct range *r = &m->sel.range;

    m->magic = MATCHING_MAGIC;
    m->shared = e->matchings;
    m->engine = e;
    m->dbi = dbi;
    m->opts = *opts;
    m->sel = *sel;
    *sel = (struct select){0};
    if (opts->what == MATCHING_ROWS && opts->how.tell == NULL)
        m->opts.how = matching_own_how(&m->sel);
    m->where_needs = m->sel.where == NULL ? 0 : program_needs(m->sel.where);
    m->tell_needs = m->opts.how.needs;
    m->memory = opts->memory != 0 ? opts->memory : MEMORY_USUAL;
    m->has_hi = r->has_hi;
    buf_put_slice(&m->lo, r->lo);
    buf_put_slice(&m->hi, r->hi);
    scan_place_init(&m->place, r->lo, r->has_hi ? &r->hi : NULL,
                    m->sel.reverse && opts->what != MATCHING_BITS);
    m->place.is_over |= r->is_empty;
    m->sel.range = (struct range){0}; /* it was borrowed */
    list_init(&m->batches);
    list_init(&m->spare);
    list_init(&m->due);
    list_push_back(&m->shared->all, &m->link);
    return m;
}

struct matching *
matching_open_for(struct req *rq, struct select *sel,
                  const struct matching_opts *opts)
{
    struct matching *m = matching_open(rq->engine, rq->dbi, sel, opts);

    m->opts.is_now |= rq->in_multi;
    m->session_id = rq->s->id;
    return m;
}

/* For NQ.EXPLAIN ANALYZE. */
static void
add_to_profile(const struct matching *m)
{
    struct matching_stats *sum = m->engine->profile;
    const struct matching_stats *s = &m->stats;

    if (sum == NULL)
        return;
    sum->rows += s->rows;
    sum->matched += s->matched;
    sum->estimated += s->estimated;
    sum->far += s->far;
    sum->far_hits += s->far_hits;
    sum->batches += s->batches;
    sum->leaves += s->leaves;
    sum->misses += s->misses;
    sum->bytes += s->bytes;
    sum->take_ns += s->take_ns;
    sum->run_ns += s->run_ns;
    sum->far_ns += s->far_ns;
    sum->is_over = true;
}

void
matching_close(struct matching *m)
{
    if (m == NULL)
        return;
    nq_assert(m->magic == MATCHING_MAGIC && !m->is_closed);
    add_to_profile(m);
    if (!m->is_cancelled)
        matching_cancel(m, NQ_ECLOSED);
    list_remove(&m->due);
    m->is_closed = true;
    if (m->running == 0)
        matching_free(m);
}

void
matching_free_state(void *state)
{
    matching_close(state);
}

/* --- sums ----------------------------------------------------------------- */

static void
put_anchor(struct matching *m, const struct batch *b)
{
    buf_put_varint(&m->anchors, m->bits.count);
    buf_put_varint(&m->anchors, b->anchor.len);
    buf_put_slice(&m->anchors, buf_slice(&b->anchor));
}

/* The first batch is READY, and nobody wants its rows one by one. */
static void
add_up(struct matching *m, struct batch *b)
{
    if (m->opts.what == MATCHING_BITS) {
        put_anchor(m, b);
        buf_put_slice(&m->keys, buf_slice(&b->found));
        bits_copy(&m->bits, &b->bits, 0, b->bits.count);
        if (m->keys.len + m->bits.words.len + m->anchors.len > m->memory)
            b->rc = NQ_ETOOMUCH;
    }
}

/* --- the first batch ------------------------------------------------------ */

static struct batch *
first_batch(struct matching *m)
{
    return list_empty(&m->batches)
               ? NULL
               : nq_container(m->batches.next, struct batch, link);
}

/* What of the batch can be taken. */
static struct buf *
open_part(struct batch *b)
{
    return b->state == BATCH_READY ? &b->found : &b->filled;
}

static bool
has_row(const struct matching *m, struct batch *b)
{
    return m->opts.what == MATCHING_ROWS && b->state != BATCH_RUNNING &&
           b->taken < open_part(b)->len;
}

static bool
has_enough(const struct matching *m)
{
    uint64_t n =
        m->opts.what == MATCHING_ROWS ? m->delivered : m->stats.matched;

    return m->opts.limit != 0 && n >= m->opts.limit;
}

/* All that could be filled was taken: goes on filling. */
static nq_rc
fill(struct matching *m, struct batch *b)
{
    nq_rc rc;

    if (m->is_far_waiting)
        return NQ_AGAIN;
    if (b->taken > 0) {
        buf_clear(&b->filled);
        b->taken = 0;
    }
    rc = batch_fill(b);
    if (rc == NQ_AGAIN) {
        matching_make_due(m);
    } else if (rc == NQ_MISS && !m->opts.is_now) {
        matching_fetch_far(m);
        rc = NQ_AGAIN;
    } else if (rc == NQ_OK) {
        frames_fetch_end(store_frames(m->engine->store), &m->far_wait);
    }
    return has_row(m, b) ? NQ_OK : rc;
}

static void
consume(struct matching *m, struct batch *b)
{
    nq_rc rc;

    if (b->rc == NQ_OK)
        add_up(m, b);
    rc = b->rc;
    batch_retire(b);
    if (rc != NQ_OK)
        matching_cancel(m, rc);
}

/* Until a row can be taken (NQ_OK), or not before something happens (NQ_AGAIN),
 * or all is over. */
static nq_rc
work(struct matching *m)
{
    struct batch *b;
    nq_rc rc = NQ_OK;

    while ((b = first_batch(m)) != NULL) {
        if (has_row(m, b))
            return NQ_OK;
        if (b->state == BATCH_RUNNING)
            return NQ_AGAIN;
        if (b->state == BATCH_READY)
            consume(m, b);
        else if ((rc = fill(m, b)) != NQ_OK)
            return rc;
    }
    if (m->rc != NQ_OK)
        return m->rc;
    return m->is_taken ? NQ_NOTFOUND : NQ_AGAIN;
}

/* --- on the loop ---------------------------------------------------------- */

/* Inside MULTI: all that is missing is noted at once. */
static nq_rc
do_now(struct matching *m)
{
    nq_rc rc = matching_do_next(m, SCAN_LEAVES), all;

    if (rc == NQ_MISS) {
        all = scan_want_all(m->engine->db, m->dbi, &m->place);
        return all == NQ_OK ? NQ_MISS : all;
    }
    if (rc == NQ_NOTFOUND)
        m->is_taken = true;
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}

/* The first leaves, as long as they are in memory. */
static void
begin(struct matching *m)
{
    nq_rc rc = NQ_OK;

    m->has_begun = true;
    if (m->reader != NULL)
        return;
    for (unsigned i = 0; i < AT_ONCE && rc == NQ_OK; i++) {
        if (matching_is_late(m) || m->held >= m->memory)
            return;
        rc = matching_do_next(m, 1);
    }
    if (rc == NQ_MISS)
        frames_forget_wanted(store_frames(m->engine->store));
}

/* Before the first batch.  NQ_AGAIN: it is due later, or waits for pages. */
static nq_rc
prepare(struct matching *m)
{
    nq_rc rc = m->is_planned ? NQ_OK : matching_plan(m);

    m->is_planned = rc == NQ_OK;
    if (rc == NQ_OK)
        rc = matching_collect(m);
    if (rc == NQ_AGAIN) {
        matching_make_due(m);
    } else if (rc == NQ_MISS && !m->opts.is_now) {
        matching_fetch_scan(m);
        rc = NQ_AGAIN;
    } else if (rc != NQ_OK && rc != NQ_MISS) {
        matching_cancel(m, rc);
    }
    return rc;
}

/* All candidates so far are done with, and as no worker has them nobody comes
 * back to take the next ones. */
static bool
wants_more_keys(const struct matching *m)
{
    return m->reader != NULL && list_empty(&m->batches) && !m->is_taken &&
           !m->is_cancelled;
}

/* work(), with whatever brings it on. */
static nq_rc
go_on(struct matching *m)
{
    nq_rc rc;

    if (m->is_cancelled)
        return m->rc;
    if (m->is_scan_waiting && list_empty(&m->batches))
        return NQ_AGAIN;
    if ((rc = prepare(m)) != NQ_OK)
        return rc;
    if (m->opts.is_now) {
        while ((rc = work(m)) == NQ_AGAIN)
            if ((rc = do_now(m)) != NQ_OK)
                return rc;
        return rc;
    }
    if (!m->has_begun)
        begin(m);
    for (;;) {
        rc = work(m);
        matching_pump(m);
        if (rc == NQ_AGAIN)
            rc = work(m);
        if (rc != NQ_AGAIN || !wants_more_keys(m))
            return rc;
        if (matching_is_late(m)) {
            matching_make_due(m);
            return rc;
        }
    }
}

static nq_rc
wait_if_again(struct matching *m, nq_rc rc)
{
    m->is_waiting = rc == NQ_AGAIN;
    return rc;
}

/* --- taking --------------------------------------------------------------- */

static void
take_row(struct matching *m, struct batch *b, struct matched *out)
{
    const struct buf *from = open_part(b);
    struct cursor c =
        cursor_of(slice_of(from->p + b->taken, from->len - b->taken));
    uint64_t later = 0;
    bool ok = cursor_get_varint(&c, &later) &&
              cursor_get_slice(&c, &out->key) &&
              cursor_get_slice(&c, &out->told);

    nq_assert(ok);
    out->as_of = b->as_of + later;
    b->taken = from->len - cursor_left(&c);
    m->delivered++;
}

nq_rc
matching_next(struct matching *m, struct matched *out)
{
    struct batch *b = first_batch(m);
    nq_rc rc = NQ_OK;

    nq_assert(m->magic == MATCHING_MAGIC && m->opts.what == MATCHING_ROWS);
    if (has_enough(m)) {
        matching_cancel(m, NQ_NOTFOUND);
        return NQ_NOTFOUND;
    }
    if (b == NULL || !has_row(m, b))
        rc = go_on(m);
    if (rc == NQ_OK)
        take_row(m, first_batch(m), out);
    return wait_if_again(m, rc);
}

nq_rc
matching_finish(struct matching *m)
{
    nq_rc rc;

    nq_assert(m->magic == MATCHING_MAGIC && m->opts.what != MATCHING_ROWS);
    rc = go_on(m);
    if (rc == NQ_AGAIN && has_enough(m)) {
        matching_cancel(m, NQ_NOTFOUND);
        rc = NQ_NOTFOUND;
    }
    if (rc == NQ_NOTFOUND)
        rc = m->opts.what == MATCHING_FOLD ? matching_merge(m) : NQ_OK;
    return wait_if_again(m, rc);
}

/* --- what there is at the end --------------------------------------------- */

const uint64_t *
matching_bits(const struct matching *m, uint64_t *rows)
{
    *rows = m->bits.count;
    return (const uint64_t *)(const void *)m->bits.words.p;
}

struct slice
matching_keys(const struct matching *m)
{
    return buf_slice(&m->keys);
}

/* The last anchor that is not behind row `i`. */
static struct slice
find_anchor(const struct matching *m, uint64_t i, uint64_t *row)
{
    struct cursor c = cursor_of(buf_slice(&m->anchors));
    struct slice found = slice_lit(""), key;
    uint64_t at;

    *row = 0;
    while (cursor_get_varint(&c, &at) && at <= i &&
           cursor_get_slice(&c, &key)) {
        found = key;
        *row = at;
    }
    return found;
}

nq_rc
matching_key_of(struct matching *m, uint64_t i, struct buf *out)
{
    struct btree *t = db_tree(m->engine->db, m->dbi);
    struct slice anchor;
    struct btree_cursor c;
    uint64_t row, rank;
    nq_rc rc;

    buf_clear(out);
    anchor = find_anchor(m, i, &row);
    if ((rc = btree_rank(t, anchor, &rank)) != NQ_OK)
        return rc;
    btree_cursor_init(&c, t);
    rc = btree_nth(&c, rank + (i - row));
    if (rc == NQ_OK && c.valid)
        buf_put_slice(out, c.key);
    else if (rc == NQ_OK)
        rc = NQ_NOTFOUND;
    btree_cursor_fini(&c);
    return rc;
}

void *
matching_take_sum(struct matching *m)
{
    void *sum = m->sum;

    m->sum = NULL;
    return sum;
}

void
matching_get_stats(const struct matching *m, struct matching_stats *out)
{
    *out = m->stats;
    out->is_over = m->is_taken && list_empty(&m->batches);
}

nq_rc
matching_progress(struct matching *m, uint64_t *done, uint64_t *total)
{
    struct btree *t = db_tree(m->engine->db, m->dbi);
    struct slice hi = buf_slice(&m->hi);
    uint64_t from = 0, to = 0;
    nq_rc rc = btree_rank(t, buf_slice(&m->lo), &from);

    if (rc == NQ_OK)
        rc = m->has_hi ? btree_rank(t, hi, &to) : btree_count(t, &to);
    *done = m->stats.rows;
    *total = nq_max(to > from ? to - from : 0, m->stats.rows);
    return rc;
}

/* --- all of them ---------------------------------------------------------- */

struct matchings *
matchings_new(struct engine *e)
{
    struct matchings *ms = nq_calloc(1, sizeof *ms);

    ms->engine = e;
    list_init(&ms->all);
    list_init(&ms->due);
    return ms;
}

static void
stop(struct matching *m)
{
    if (m->is_closed)
        return;
    matching_cancel(m, NQ_ECLOSED);
    list_remove(&m->due);
}

static bool
is_any_running(struct matchings *ms)
{
    list_each(it, &ms->all)
    {
        if (nq_container(it, struct matching, link)->running > 0)
            return true;
    }
    return false;
}

void
matchings_stop(struct matchings *ms)
{
    list_each(it, &ms->all)
    {
        stop(nq_container(it, struct matching, link));
    }
    while (is_any_running(ms))
        (void)pool_wait(store_workers(ms->engine->store));
    while (list_pop_front(&ms->due) != NULL)
        continue;
    ms->pins_max = 0; /* another store may come */
}

void
matchings_free(struct matchings *ms)
{
    if (ms == NULL)
        return;
    nq_assert(list_empty(&ms->all));
    nq_free(ms);
}

static void
wake(struct matching *m)
{
    struct session *s;

    m->is_waiting = false;
    if (m->session_id != 0) {
        if ((s = session_by_id(m->engine, m->session_id)) != NULL)
            session_unblock(s);
    } else if (m->opts.wake != NULL) {
        m->opts.wake(m->opts.wake_arg); /* may close it, or others */
    }
}

static void
serve(struct matching *m)
{
    nq_rc rc = go_on(m);

    if (m->is_waiting && rc != NQ_AGAIN)
        wake(m);
}

/* Who becomes due meanwhile has its turn in the next one. */
bool
matchings_turn(struct matchings *ms)
{
    struct list now, *it;

    ms->until_ns = 0;
    if (list_empty(&ms->due))
        return false;
    ms->until_ns = clock_mono_ns() + MATCHING_TURN_NS;
    db_set_now(ms->engine->db, clock_wall_ms());
    list_init(&now);
    while ((it = list_pop_front(&ms->due)) != NULL)
        list_push_back(&now, it);
    while ((it = list_pop_front(&now)) != NULL) {
        serve(nq_container(it, struct matching, due));
        if (clock_mono_ns() >= ms->until_ns)
            break;
    }
    while (!list_empty(&now)) {
        it = now.prev;
        list_remove(it);
        list_push_front(&ms->due, it);
    }
    return !list_empty(&ms->due);
}

bool
matchings_are_due(const struct matchings *ms)
{
    return !list_empty(&ms->due);
}
