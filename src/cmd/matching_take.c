/* cmd/matching_take.c - making batches, and the workers that read them.
 *
 *   matching_pump -> scan_take -> a worker: batch_run -> on_ran (the loop)
 *   -> matchings_turn -> matching_pump, and the consumer is woken
 *
 * The next batch is twice the last, up to BATCH_SHARE of the matching's memory,
 * so that a query that stops early has not asked for much.
 *
 * If a leaf is missing, its neighbours are read with it; meanwhile workers go
 * on with what was taken before.
 *
 *   T1  shared->pins is the number of leaves in batches that are RUNNING
 *   T2  a matching whose batches may go on is due, waits for pages, or has a
 *       batch RUNNING: so it comes to its end by itself
 *
 * Called by matching.c. */
#include "base/check.h"
#include "base/mem.h"
#include "cmd/changes.h"
#include "cmd/engine.h"
#include "cmd/matching_int.h"
#include "cmd/offload.h"
#include "db/index.h"
#include "os/clock.h"
#include "store/store.h"

#define LEAVES_FIRST 4u
#define BATCH_SHARE 4u     /* of the memory, a batch may find at most */
#define FLIGHT_MAX 8u      /* batches under way */
#define MERGE_AT_ONCE 256u /* rows of parts that the loop merges itself */

/* --- due ------------------------------------------------------------------ */

void
matching_make_due(struct matching *m)
{
    if (list_empty(&m->due))
        list_push_back(&m->shared->due, &m->due);
}

bool
matching_is_late(struct matching *m)
{
    struct matchings *ms = m->shared;
    uint64_t now;

    if (m->opts.is_now)
        return false;
    now = clock_mono_ns();
    if (ms->until_ns == 0)
        ms->until_ns = now + MATCHING_TURN_NS;
    return now >= ms->until_ns;
}

/* --- pages ---------------------------------------------------------------- */

static void
on_pages(struct matching *m, struct frames_wait *w)
{
    if (w->rc != NQ_OK)
        matching_cancel(m, w->rc);
    matching_make_due(m);
}

static void
on_scan_pages(struct frames_wait *w)
{
    struct matching *m = nq_container(w, struct matching, scan_wait);

    m->is_scan_waiting = false;
    on_pages(m, w);
}

static void
on_far_pages(struct frames_wait *w)
{
    struct matching *m = nq_container(w, struct matching, far_wait);

    m->is_far_waiting = false;
    on_pages(m, w);
}

static void
fetch(struct matching *m, struct frames_wait *w, bool *is_waiting,
      void (*ready)(struct frames_wait *w))
{
    m->stats.misses += frames_wanted(store_frames(m->engine->store));
    *is_waiting = true;
    w->ready = ready;
    frames_fetch(store_frames(m->engine->store), w);
}

void
matching_fetch_scan(struct matching *m)
{
    fetch(m, &m->scan_wait, &m->is_scan_waiting, on_scan_pages);
}

void
matching_fetch_far(struct matching *m)
{
    fetch(m, &m->far_wait, &m->is_far_waiting, on_far_pages);
}

static void
end_waits(struct matching *m)
{
    struct frames *fr = store_frames(m->engine->store);

    frames_fetch_end(fr, &m->scan_wait);
    frames_fetch_end(fr, &m->far_wait);
    m->is_scan_waiting = m->is_far_waiting = false;
}

/* --- batches -------------------------------------------------------------- */

static struct batch *
batch_new(struct matching *m)
{
    struct list *it = list_pop_front(&m->spare);
    struct batch *b;

    if (it != NULL) {
        b = nq_container(it, struct batch, link);
    } else {
        b = nq_calloc(1, sizeof *b);
        b->m = m;
        list_init(&b->link);
    }
    b->into = &b->found;
    b->into_bits = &b->bits;
    b->as_of = changes_head(m->engine->changes);
    return b;
}

/* It may be used again; memory that it kept for rows is not let go. */
static void
batch_reset(struct batch *b)
{
    buf_clear(&b->found);
    buf_clear(&b->filled);
    buf_clear(&b->gaps);
    buf_clear(&b->at);
    buf_clear(&b->anchor);
    buf_clear(&b->bits.words);
    buf_clear(&b->filled_bits.words);
    b->bits.count = b->filled_bits.count = 0;
    b->rows = b->matched = b->bytes = b->run_ns = 0;
    b->gap_count = b->bits_at = 0;
    b->gap_at = b->found_at = b->taken = 0;
    b->held = 0;
    b->has_at = b->is_filled = false;
    b->rc = NQ_OK;
}

/* Many rows of sums take long. */
static void
part_free(struct matching *m, void *part)
{
    const struct matching_how *how = &m->opts.how;

    if (how->weight(part) > MERGE_AT_ONCE)
        offload_free(m->engine, part, how->part_free);
    else
        how->part_free(part);
}

static void
batch_free(struct batch *b)
{
    if (b->part != NULL)
        part_free(b->m, b->part);
    buf_fini(&b->found);
    buf_fini(&b->filled);
    buf_fini(&b->gaps);
    buf_fini(&b->at);
    buf_fini(&b->anchor);
    buf_fini(&b->told);
    buf_fini(&b->carried_bytes);
    buf_fini(&b->bits.words);
    buf_fini(&b->filled_bits.words);
    row_scratch_free(b->scratch);
    nq_free(b);
}

void
batch_retire(struct batch *b)
{
    struct matching *m = b->m;

    m->stats.rows += b->rows;
    m->stats.matched += b->matched;
    m->held -= b->held;
    scan_drop(&b->scan);
    list_remove(&b->link);
    batch_reset(b);
    list_push_front(&m->spare, &b->link);
}

/* A worker, or the loop in its place, is done with it. */
static void
ran(struct batch *b)
{
    struct matching *m = b->m;
    bool is_far = b->scan.is_far;

    m->stats.run_ns += b->run_ns;
    m->stats.bytes += b->bytes;
    b->held = b->found.len;
    m->held += b->held;
    b->state = b->gap_count > 0 || is_far ? BATCH_RAN : BATCH_READY;
    if (!is_far)
        scan_drop(&b->scan);
}

/* --- workers -------------------------------------------------------------- */

static void
run_job(struct job *j)
{
    batch_run(nq_container(j, struct batch, job));
}

/* Others may have waited for its pins. */
static void
tell_others(struct matchings *ms)
{
    list_each(it, &ms->all)
    {
        struct matching *m = nq_container(it, struct matching, link);

        if (!m->is_taken)
            matching_make_due(m);
    }
}

static void
end_running(struct matching *m)
{
    if (!m->is_closed)
        matching_make_due(m);
    else if (m->running == 0)
        matching_free(m);
}

static void
on_ran(struct job *j)
{
    struct batch *b = nq_container(j, struct batch, job);
    struct matching *m = b->m;
    struct matchings *ms = m->shared;

    nq_assert(m->magic == MATCHING_MAGIC && m->running > 0);
    if (ms->pins + SCAN_LEAVES > ms->pins_max)
        tell_others(ms);
    ms->pins -= b->scan.count;
    m->running--;
    ran(b);
    if (m->is_cancelled)
        batch_retire(b);
    end_running(m);
}

static void
start(struct matching *m, struct batch *b)
{
    b->state = BATCH_RUNNING;
    m->running++;
    m->shared->pins += b->scan.count;
    b->job = (struct job){.run = run_job, .done = on_ran};
    pool_submit(store_workers(m->engine->store), &b->job, POOL_LONG);
}

static void
run_carried(struct job *j)
{
    batch_run_carried(nq_container(j, struct batch, job));
}

static void
on_carried(struct job *j)
{
    struct batch *b = nq_container(j, struct batch, job);
    struct matching *m = b->m;

    m->running--;
    b->carried_count = 0;
    buf_clear(&b->carried_bytes);
    b->state = BATCH_RAN;
    if (m->is_cancelled)
        batch_retire(b);
    end_running(m);
}

void
batch_carry(struct batch *b)
{
    b->state = BATCH_RUNNING;
    b->m->running++;
    b->job = (struct job){.run = run_carried, .done = on_carried};
    pool_submit(store_workers(b->m->engine->store), &b->job, POOL_LONG);
}

/* --- merging -------------------------------------------------------------- */

/* Parts are in the batches that were used. */
static void
merge_all(struct matching *m)
{
    const struct matching_how *how = &m->opts.how;

    m->merge_rc = NQ_OK;
    list_each(it, &m->spare)
    {
        struct batch *b = nq_container(it, struct batch, link);
        void *part = b->part;

        b->part = NULL;
        if (part == NULL)
            continue;
        if (m->sum == NULL)
            m->sum = part;
        else if (m->merge_rc == NQ_OK)
            m->merge_rc = how->merge(how->arg, m->sum, part);
        else
            how->part_free(part);
    }
    if (m->sum != NULL && how->seal != NULL)
        how->seal(how->arg, m->sum);
}

static void
run_merge(struct job *j)
{
    merge_all(nq_container(j, struct matching, merge_job));
}

static void
on_merged(struct job *j)
{
    struct matching *m = nq_container(j, struct matching, merge_job);

    m->running--;
    m->merge = MERGED;
    end_running(m);
}

static size_t
parts_weight(struct matching *m)
{
    size_t sum = 0;

    list_each(it, &m->spare)
    {
        struct batch *b = nq_container(it, struct batch, link);

        if (b->part != NULL)
            sum += m->opts.how.weight(b->part);
    }
    return sum;
}

nq_rc
matching_merge(struct matching *m)
{
    if (m->merge == MERGE_NOT_YET && !m->opts.is_now &&
        parts_weight(m) > MERGE_AT_ONCE) {
        m->merge = MERGE_RUNNING;
        m->running++;
        m->merge_job = (struct job){.run = run_merge, .done = on_merged};
        pool_submit(store_workers(m->engine->store), &m->merge_job, POOL_LONG);
    } else if (m->merge == MERGE_NOT_YET) {
        m->merge = MERGED;
        merge_all(m);
    }
    return m->merge == MERGED ? m->merge_rc : NQ_AGAIN;
}

/* --- taking --------------------------------------------------------------- */

/* The next leaves, in the list, not yet looked at. */
static nq_rc
take(struct matching *m, unsigned leaves, struct batch **out)
{
    uint64_t began = clock_mono_ns();
    struct batch *b = batch_new(m);
    nq_rc rc;

    if (m->opts.what == MATCHING_BITS)
        buf_put_slice(&b->anchor, buf_slice(&m->place.lo));
    rc = m->reader != NULL
             ? matching_take_keys(m, b)
             : scan_take(m->engine->db, m->dbi, &m->place, leaves, &b->scan);
    m->stats.take_ns += clock_mono_ns() - began;
    if (rc != NQ_OK) {
        batch_reset(b);
        list_push_front(&m->spare, &b->link);
        return rc;
    }
    m->stats.batches++;
    m->stats.leaves += b->scan.count;
    list_push_back(&m->batches, &b->link);
    *out = b;
    frames_fetch_end(store_frames(m->engine->store), &m->scan_wait);
    return NQ_OK;
}

nq_rc
matching_do_next(struct matching *m, unsigned leaves)
{
    struct batch *b;
    nq_rc rc = m->is_taken ? NQ_NOTFOUND : take(m, leaves, &b);

    if (rc == NQ_OK) {
        batch_run(b);
        ran(b);
    }
    return rc;
}

/* How many leaves the next batch has; 0: none now. */
static unsigned
leaves_allowed(struct matching *m)
{
    struct matchings *ms = m->shared;
    struct frames *fr = store_frames(m->engine->store);
    unsigned flight = nq_min(
        2 * pool_long_workers(store_workers(m->engine->store)), FLIGHT_MAX);
    unsigned most = (unsigned)nq_min(
        (m->memory / BATCH_SHARE) >> fr->page_shift, (uint64_t)SCAN_LEAVES);

    if (m->reader != NULL)
        return list_empty(&m->batches) ? 1 : 0;
    if (ms->pins_max == 0)
        ms->pins_max = scan_pins_max(m->engine->db);
    if (m->running >= flight || m->held >= m->memory ||
        ms->pins >= ms->pins_max)
        return 0;
    most = nq_max(nq_min(m->leaves, most), 1u);
    return nq_min(most, ms->pins_max - ms->pins);
}

void
matching_pump(struct matching *m)
{
    nq_rc rc = NQ_OK;
    struct batch *b;

    while (rc == NQ_OK && !m->is_taken && !m->is_scan_waiting) {
        unsigned leaves = leaves_allowed(m);

        if (leaves == 0)
            return;
        if ((rc = take(m, leaves, &b)) != NQ_OK)
            break;
        m->leaves = nq_min(2 * nq_max(m->leaves, LEAVES_FIRST), SCAN_LEAVES);
        if (b->scan.count == 0)
            ran(b);
        else
            start(m, b);
    }
    if (rc == NQ_MISS) {
        matching_fetch_scan(m);
    } else if (rc != NQ_OK) {
        m->is_taken = true;
        m->rc = rc == NQ_NOTFOUND ? NQ_OK : rc;
    }
}

/* --- the end -------------------------------------------------------------- */

void
matching_cancel(struct matching *m, nq_rc why)
{
    m->is_taken = true;
    m->rc = why;
    __atomic_store_n(&m->is_cancelled, true, __ATOMIC_RELAXED);
    end_waits(m);
    list_each(it, &m->batches)
    {
        struct batch *b = nq_container(it, struct batch, link);

        if (b->state != BATCH_RUNNING)
            batch_retire(b);
    }
}

void
matching_free(struct matching *m)
{
    struct list *it;

    nq_assert(m->running == 0 && list_empty(&m->batches));
    list_remove(&m->link);
    list_remove(&m->due);
    while ((it = list_pop_front(&m->spare)) != NULL)
        batch_free(nq_container(it, struct batch, link));
    if (m->sum != NULL)
        part_free(m, m->sum);
    if (m->opts.how.free != NULL)
        m->opts.how.free((void *)(uintptr_t)m->opts.how.arg);
    index_reader_free(m->reader);
    select_fini(&m->sel);
    scan_place_fini(&m->place);
    buf_fini(&m->lo);
    buf_fini(&m->hi);
    buf_fini(&m->bits.words);
    buf_fini(&m->keys);
    buf_fini(&m->anchors);
    arena_fini(&m->arena);
    m->magic = 0;
    nq_free(m);
}
