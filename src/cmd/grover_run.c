/* cmd/grover_run.c - the course of a quantum search.
 *
 *   scan          the rows of the range are gathered (grover_gather.c), for
 *                 there is no oracle without asking the WHERE about each row
 *   simulation    a worker measures (grover_work.c), after a decision with
 *                 the true numbers of rows and matches
 *   verification  the store is asked about each measured key; if too few
 *                 agree, the simulation goes on without those measured
 *
 * What passes a limit, before or within the simulation, falls back to what
 * the scan found, or is refused if quantum.memory.auto_fallback_to_classical
 * says so.  A search that was classical from the start has its keys from the
 * scan, which read them from the store just then. */
#include "cmd/grover_run.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "cmd/grover_run_int.h"
#include "cmd/session.h"
#include "os/clock.h"
#include "quantum/theory.h"
#include "store/store.h"

#define ATTEMPTS_MAX 16u /* for a least number that the store agrees to */
#define SPECTRUM_USUAL 200u

enum run_state { RUN_SCAN, RUN_WORK, RUN_VERIFY, RUN_DONE };

static const struct sm_def course[] = {
    [RUN_SCAN] = {"scan", SM(RUN_WORK) | SM(RUN_DONE)},
    [RUN_WORK] = {"simulation", SM(RUN_VERIFY) | SM(RUN_DONE)},
    [RUN_VERIFY] = {"verification", SM(RUN_WORK) | SM(RUN_DONE)},
    [RUN_DONE] = {"done", 0},
};

typedef unsigned long long number; /* for printf */

static bool
is_of_path(const struct grover_run *r)
{
    return r->query.kind == GROVER_LEAST || r->query.kind == GROVER_GREATEST;
}

/* --- the end ---------------------------------------------------------------
 */

/* Gives back everything but the result. */
static void
let_go(struct grover_run *r)
{
    struct grover *g = r->engine->grover;

    nq_assert(!r->is_working);
    if (list_empty(&r->link))
        return;
    list_remove(&r->link);
    g->active--;
    grover_release(g, r->bytes);
    r->bytes = 0;
    grover_work_end(r);
    grover_gather_end(r);
}

static void
count(struct grover_run *r)
{
    struct grover_stats *st = &r->engine->grover->stats;
    const struct grover_result *res = &r->result;

    st->refused += res->rc == NQ_ELIMIT;
    if (res->rc == NQ_OK) {
        st->simulated += res->simulated;
        st->classical += !res->simulated;
        st->fell_back += r->plan.is_limit;
    }
    st->runs += res->counts.runs;
    st->calls += res->counts.calls;
    st->rejected += res->rejected;
    st->simulation_us += res->simulation_us;
    st->scan_us += res->scan_us;
}

static enum grover_step
done(struct grover_run *r, nq_rc rc)
{
    struct grover_result *res = &r->result;

    sm_move(&r->sm, RUN_DONE);
    res->rc = rc;
    res->simulated = r->plan.simulates;
    res->qubits = theory_qubits(res->rows);
    snprintf(res->reason, sizeof res->reason, "%s", r->plan.reason);
    count(r);
    let_go(r);
    return GROVER_DONE;
}

static void
destroy(struct grover_run *r)
{
    let_go(r);
    buf_fini(&r->result.keys);
    nq_free(r->result.state);
    nq_free(r->result.spectrum);
    r->magic = 0;
    nq_free(r);
}

void
grover_run_free(struct grover_run *r)
{
    if (r == NULL)
        return;
    nq_assert(r->magic == GROVER_RUN_MAGIC && !r->is_orphan);
    if (r->sm.state != RUN_DONE)
        r->engine->grover->stats.cancelled++;
    atomic_store(&r->cancel, true);
    r->session_id = 0;
    if (r->is_working)
        r->is_orphan = true;
    else
        destroy(r);
}

void
grover_cancel_all(struct grover *g)
{
    list_each(it, &g->runs)
    {
        struct grover_run *r = nq_container(it, struct grover_run, link);

        atomic_store(&r->cancel, true);
    }
}

/* --- the beginning ---------------------------------------------------------
 */

static void
plan(const struct grover *g, const struct grover_query *q, uint64_t rows,
     uint64_t matches, struct grover_plan *out)
{
    struct grover_ask ask = {
        .rows = rows,
        .matches = q->way == SEARCH_KNOWN ? matches : 0,
        .has_iterations = q->way == SEARCH_FIXED,
        .iterations = q->iterations,
        .engine = q->engine,
        .is_complex = q->is_complex,
    };

    grover_plan(g, &ask, out);
}

void
grover_plan_query(const struct grover *g, const struct grover_query *q,
                  struct grover_plan *out)
{
    plan(g, q, q->rows, q->matches, out);
}

static void
take_select(struct grover_run *r, struct select *sel)
{
    const struct range *range = &sel->range;

    /* Nothing is below the empty key. */
    r->has_hi = range->has_hi || range->is_empty;
    if (!range->is_empty) {
        buf_put_slice(&r->lo, range->lo);
        buf_put_slice(&r->hi, range->hi);
    }
    r->where = sel->where;
    sel->where = NULL;
    select_fini(sel);
}

struct grover_run *
grover_run_new(struct engine *e, uint32_t dbi, struct select *sel,
               const struct grover_query *q, uint64_t session_id)
{
    struct grover_run *r = nq_calloc(1, sizeof *r);

    r->magic = GROVER_RUN_MAGIC;
    r->engine = e;
    r->dbi = dbi;
    r->query = *q;
    r->session_id = session_id;
    sm_init(&r->sm, "grover", course, RUN_SCAN);
    take_select(r, sel);
    if (q->path != NULL) {
        r->path = nq_calloc(1, sizeof *r->path);
        *r->path = (struct grover_path){.path = q->path, .refs = 1};
    }
    list_push_back(&e->grover->runs, &r->link);
    e->grover->active++;
    grover_plan_query(e->grover, q, &r->plan);
    return r;
}

void
grover_run_wake(void *arg)
{
    struct grover_run *r;
    struct session *s = NULL;

    NQ_CAST(r, arg, GROVER_RUN_MAGIC);
    if (r->session_id != 0)
        s = session_by_id(r->engine, r->session_id);
    if (s != NULL)
        session_unblock(s);
}

/* --- the worker ------------------------------------------------------------
 */

static void submit(struct grover_run *r);

static void
run_job(struct job *j)
{
    grover_work(nq_container(j, struct grover_run, job));
}

static void
on_worked(struct job *j)
{
    struct grover_run *r = nq_container(j, struct grover_run, job);

    r->is_working = false;
    /* Once more also if it was cancelled: it then frees its state. */
    if (r->end == SEARCH_PAUSED && r->engine->store != NULL)
        submit(r);
    else if (r->is_orphan)
        destroy(r);
    else
        grover_run_wake(r);
}

static void
submit(struct grover_run *r)
{
    r->is_working = true;
    r->job = (struct job){.run = run_job, .done = on_worked};
    pool_submit(store_workers(r->engine->store), &r->job, POOL_LONG);
}

static enum grover_step
begin_work(struct grover_run *r)
{
    sm_move(&r->sm, RUN_WORK);
    r->wanted = r->query.count - r->result.key_count;
    r->measured_before = r->measured_count;
    submit(r);
    return GROVER_WAITS;
}

/* --- decisions -------------------------------------------------------------
 */

/* A scan can not tell a spectrum. */
static bool
is_refused(const struct grover_run *r)
{
    return r->plan.is_limit && (!r->engine->grover->limits.falls_back ||
                                r->query.kind == GROVER_SPECTRUM);
}

/* What the scan says is answered. */
static enum grover_step
answer_classically(struct grover_run *r)
{
    struct grover_result *res = &r->result;

    if (is_refused(r))
        return done(r, NQ_ELIMIT);
    if (is_of_path(r) && r->best.len > 0) {
        res->key_count = 1;
        res->number = r->best_number;
        buf_put_slice(&res->keys, buf_slice(&r->best));
    }
    if (r->what == MATCHING_BITS && res->matches > 0)
        return begin_work(r);
    return done(r, NQ_OK);
}

static enum grover_step fall_back(struct grover_run *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static enum grover_step
fall_back(struct grover_run *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(r->plan.reason, sizeof r->plan.reason, fmt, ap);
    va_end(ap);
    r->plan.simulates = false;
    r->plan.is_limit = true;
    return answer_classically(r);
}

static uint64_t
spectrum_length(const struct grover_run *r)
{
    const struct grover_result *res = &r->result;
    uint64_t most = nq_min(r->max_iterations, (uint64_t)SPECTRUM_USUAL), best;

    if (r->query.way == SEARCH_FIXED)
        return r->query.iterations + 1;
    best = theory_iterations(res->rows, nq_max(res->matches, (uint64_t)1));
    return nq_min(2 * best + 1, most) + 1;
}

static enum grover_step
simulate(struct grover_run *r)
{
    struct grover_result *res = &r->result;

    bool ok = grover_reserve(r->engine->grover, r->plan.bytes);

    nq_assert(ok); /* the plan was made just now */
    r->bytes = res->bytes = r->plan.bytes;
    r->max_iterations = r->engine->grover->limits.max_iterations;
    res->spectrum_count = spectrum_length(r);
    return begin_work(r);
}

/* The rows are known. */
static enum grover_step
decide(struct grover_run *r)
{
    struct grover_result *res = &r->result;
    uint64_t told = r->query.matches;

    oracle_copy(&r->left, r->all.words, r->all.rows);
    if (r->is_crowded && res->rows >> r->engine->grover->limits.max_qubits == 0)
        return fall_back(r,
                         "quantum_state_memory_limit: the keys of %llu rows "
                         "take more than %llu bytes",
                         (number)(is_of_path(r) ? res->rows : res->matches),
                         (number)r->engine->grover->limits.state_bytes);
    if (!r->plan.simulates)
        return answer_classically(r);
    plan(r->engine->grover, &r->query, res->rows,
         told != 0 ? told : res->matches, &r->plan);
    if (r->plan.simulates && res->matches == 0 &&
        r->query.kind != GROVER_SPECTRUM) {
        r->plan.simulates = false;
        snprintf(r->plan.reason, sizeof r->plan.reason,
                 "matches: the oracle marks none of %llu rows",
                 (number)res->rows);
    }
    return r->plan.simulates ? simulate(r) : answer_classically(r);
}

/* The worker is done. */
static enum grover_step
weigh(struct grover_run *r)
{
    if (r->plan.simulates &&
        (r->end == SEARCH_CANCELLED || r->end == SEARCH_PAUSED))
        return done(r, NQ_ECLOSED);
    if (r->query.kind == GROVER_SPECTRUM)
        return done(r, NQ_OK);
    sm_move(&r->sm, RUN_VERIFY);
    return GROVER_MORE;
}

/* All that was measured is verified, and it is not enough. */
static enum grover_step
go_on(struct grover_run *r)
{
    const struct search_counts *c = &r->result.counts;

    if (is_of_path(r) && r->end == SEARCH_FOUND &&
        r->measured_count == ATTEMPTS_MAX)
        return fall_back(r,
                         "rows: %u numbers had changed when they were "
                         "measured",
                         ATTEMPTS_MAX);
    if (!r->plan.simulates || r->end == SEARCH_FOUND)
        return begin_work(r);
    if (r->end == SEARCH_TOO_LONG)
        return fall_back(r, "max_iterations: the next run takes more than %llu",
                         (number)r->max_iterations);
    if (r->query.way != SEARCH_FIXED)
        return fall_back(r,
                         "runs: %u of %llu iterations found nothing, at a "
                         "chance of %.3g each",
                         SEARCH_RUNS_MOST, (number)c->iterations, c->success);
    snprintf(r->plan.reason, sizeof r->plan.reason,
             "runs: %u of %llu iterations found nothing, at a chance of %.3g "
             "each",
             SEARCH_RUNS_MOST, (number)c->iterations, c->success);
    return done(r, NQ_OK);
}

/* --- verification ----------------------------------------------------------
 */

static bool
is_confirmed(const struct grover_run *r, const struct matched *row)
{
    double now;

    if (r->path == NULL)
        return true;
    if (row->told.len != sizeof now)
        return false;
    memcpy(&now, row->told.p, sizeof now);
    return now == r->result.number;
}

static void
put_verdict(struct grover_run *r, bool is_good)
{
    if (!is_good) {
        r->result.rejected++;
        return;
    }
    buf_put_varint(&r->result.keys, r->checked.len);
    buf_put_slice(&r->result.keys, buf_slice(&r->checked));
    r->result.key_count++;
}

/* The next measured key; false: there is none. */
static bool
begin_check(struct grover_run *r)
{
    struct cursor c = cursor_of(
        slice_of(r->measured.p + r->verified, r->measured.len - r->verified));
    struct slice key;

    if (r->check != NULL)
        return true;
    if (!cursor_get_slice(&c, &key))
        return false;
    r->verified = r->measured.len - cursor_left(&c);
    buf_clear(&r->checked);
    buf_put_slice(&r->checked, key);
    r->check = grover_gather_one(r, key);
    return true;
}

/* Whether anything can still be found. */
static bool
has_more(const struct grover_run *r)
{
    const struct grover_result *res = &r->result;

    if (res->key_count >= r->query.count)
        return false;
    if (!is_of_path(r))
        return r->left.marked > 0;
    /* What the last attempt measured was rejected; if it measured nothing,
     * all numbers were. */
    return r->end != SEARCH_FOUND || r->measured_count > r->measured_before;
}

static enum grover_step
verify(struct grover_run *r)
{
    uint64_t until = clock_mono_ns() + REQ_SLICE_NS;
    struct matched row;
    nq_rc rc;

    while (begin_check(r)) {
        rc = matching_next(r->check, &row);
        if (rc == NQ_AGAIN)
            return GROVER_WAITS;
        if (rc != NQ_OK && rc != NQ_NOTFOUND)
            return done(r, rc);
        put_verdict(r, rc == NQ_OK && is_confirmed(r, &row));
        matching_close(r->check);
        r->check = NULL;
        if (clock_mono_ns() > until)
            return GROVER_MORE;
    }
    return has_more(r) ? go_on(r) : done(r, NQ_OK);
}

/* --- steps -----------------------------------------------------------------
 */

static enum grover_step
scan(struct grover_run *r)
{
    nq_rc rc;

    if (r->rows == NULL) {
        if (is_refused(r)) {
            r->result.rows = r->query.rows;
            return done(r, NQ_ELIMIT);
        }
        grover_gather_begin(r);
    }
    rc = grover_gather(r);
    if (rc == NQ_OK)
        return decide(r);
    if (rc == NQ_AGAIN)
        return GROVER_WAITS;
    return rc == NQ_EHELD ? GROVER_MORE : done(r, rc);
}

enum grover_step
grover_run_step(struct grover_run *r)
{
    nq_assert(r->magic == GROVER_RUN_MAGIC);
    if (r->is_working)
        return GROVER_WAITS;
    switch (r->sm.state) {
    case RUN_SCAN:
        return scan(r);
    case RUN_WORK:
        return weigh(r);
    case RUN_VERIFY:
        return verify(r);
    default:
        return GROVER_DONE;
    }
}

bool
grover_run_is_over(const struct grover_run *r)
{
    return r->sm.state == RUN_DONE;
}

const char *
grover_run_phase(const struct grover_run *r)
{
    return sm_name(&r->sm);
}

const struct grover_query *
grover_run_query(const struct grover_run *r)
{
    return &r->query;
}

const struct grover_result *
grover_run_result(const struct grover_run *r)
{
    return &r->result;
}
