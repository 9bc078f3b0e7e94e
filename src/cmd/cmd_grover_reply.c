/* cmd/cmd_grover_reply.c - what quantum searches answer: maps in RESP3, flat
 * pairs in RESP2.
 *
 * There is no field that compares the times of simulation and scan: both are
 * told, and the reader has eyes. */
#include <inttypes.h>
#include <math.h>

#include "base/check.h"
#include "base/cursor.h"
#include "cmd/cmd_grover.h"
#include "cmd/engine.h"
#include "cmd/reply.h"
#include "quantum/theory.h"

#define PLOT_COLUMNS 50
#define PLOT_LINES 64u

/* --- fields ----------------------------------------------------------------
 */

/* A map of so many pairs as were put. */
struct fields {
    struct req *rq;
    struct reply_deferred map;
    uint64_t count;
};

static struct fields
begin_fields(struct req *rq)
{
    return (struct fields){.rq = rq, .map = reply_array_begin(rq)};
}

static void
end_fields(struct fields *f)
{
    reply_map_end(f->rq, f->map, f->count);
}

/* Its value comes next. */
static void
put_name(struct fields *f, const char *name)
{
    f->count++;
    reply_bulk_str(f->rq, name);
}

static void
put_number(struct fields *f, const char *name, uint64_t v)
{
    put_name(f, name);
    reply_int(f->rq, (int64_t)v);
}

static void
put_text(struct fields *f, const char *name, const char *v)
{
    put_name(f, name);
    reply_bulk_str(f->rq, v);
}

static void
put_real(struct fields *f, const char *name, double v)
{
    put_name(f, name);
    reply_double(f->rq, v);
}

static void
put_reals(struct fields *f, const char *name, const double *v, uint64_t n)
{
    put_name(f, name);
    reply_array(f->rq, n);
    for (uint64_t i = 0; i < n; i++)
        reply_double(f->rq, v[i]);
}

static void
put_keys(struct fields *f, const struct grover_result *res)
{
    struct cursor c = cursor_of(buf_slice(&res->keys));
    struct slice key;

    put_name(f, "keys");
    reply_array(f->rq, res->key_count);
    for (uint64_t i = 0; i < res->key_count; i++) {
        bool ok = cursor_get_slice(&c, &key);

        nq_assert(ok);
        reply_bulk(f->rq, key);
    }
}

/* One number a row, or with complex amplitudes two. */
static void
put_amplitudes(struct fields *f, const char *name, const struct grover_run *r)
{
    const struct grover_result *res = grover_run_result(r);
    bool is_complex = grover_run_query(r)->is_complex;

    put_name(f, name);
    if (res->state == NULL) {
        reply_null(f->rq);
        return;
    }
    reply_array(f->rq, res->rows);
    for (uint64_t i = 0; i < res->rows; i++) {
        if (is_complex)
            reply_array(f->rq, 2);
        reply_double(f->rq, res->state[2 * i]);
        if (is_complex)
            reply_double(f->rq, res->state[2 * i + 1]);
    }
}

static void
put_simd(struct fields *f)
{
    put_text(f, "simd", amplitudes_variant_name(amplitudes_variant()));
}

static const char *
engine_name(bool simulates)
{
    return simulates ? "quantum-sim" : "classical";
}

/* --- searches --------------------------------------------------------------
 */

static bool
reply_failure(struct req *rq, const struct grover_result *res)
{
    if (res->rc == NQ_OK)
        return false;
    if (res->rc == NQ_ELIMIT)
        reply_error(rq, "-QUANTUMLIMIT %s", res->reason);
    else
        reply_rc(rq, res->rc);
    return true;
}

static void
put_least(struct fields *f, const struct grover_result *res)
{
    put_name(f, "number");
    if (res->key_count > 0)
        reply_double(f->rq, res->number);
    else
        reply_null(f->rq);
    put_number(f, "thresholds", res->thresholds);
    put_real(f, "oracle-calls-bound", theory_least(res->rows));
}

void
grover_reply(struct req *rq, const struct grover_run *r)
{
    const struct grover_result *res = grover_run_result(r);
    const struct grover_query *q = grover_run_query(r);
    struct fields f;

    if (reply_failure(rq, res))
        return;
    f = begin_fields(rq);
    put_keys(&f, res);
    put_text(&f, "engine", engine_name(res->simulated));
    put_text(&f, "reason", res->reason);
    put_number(&f, "rows", res->rows);
    put_number(&f, "qubits", res->qubits);
    put_number(&f, "state-bytes", res->bytes);
    if (q->kind == GROVER_FIND)
        put_number(&f, "matches", res->matches);
    else
        put_least(&f, res);
    put_number(&f, "iterations", res->counts.iterations);
    put_real(&f, "success-probability", res->counts.success);
    put_real(&f, "norm-error", res->counts.norm_error);
    put_number(&f, "runs", res->counts.runs);
    put_number(&f, "oracle-calls-quantum", res->counts.calls);
    put_number(&f, "oracle-calls-classical", res->looked_at);
    put_number(&f, "rejected", res->rejected);
    put_number(&f, "seed", q->seed);
    put_simd(&f);
    put_number(&f, "simulation-us", res->simulation_us);
    put_number(&f, "scan-us", res->scan_us);
    if (q->wants_state)
        put_amplitudes(&f, "state", r);
    end_fields(&f);
}

/* --- spectra ---------------------------------------------------------------
 */

/* "   7  0.981234  ######" */
static void
plot_chances(struct buf *out, const struct grover_result *res)
{
    uint64_t n = res->spectrum_count, step = (n + PLOT_LINES - 1) / PLOT_LINES;

    for (uint64_t k = 0; k < n; k += step) {
        double p = res->spectrum[k];
        int bar = (int)lround(fmin(fmax(p, 0), 1) * PLOT_COLUMNS);

        buf_printf(out, "%6" PRIu64 "  %.6f  ", k, p);
        for (int i = 0; i < bar; i++)
            buf_put_u8(out, '#');
        buf_put_u8(out, '\n');
    }
}

/* The amplitude that is farthest from 0 among rows [from, to). */
static double
farthest(const double *state, uint64_t from, uint64_t to)
{
    double best = 0;

    for (uint64_t i = from; i < to; i++) {
        if (fabs(state[2 * i]) > fabs(best))
            best = state[2 * i];
    }
    return best;
}

/* "   512  -0.031250  ----|": to both sides of zero; some rows a line. */
static void
plot_amplitudes(struct buf *out, const struct grover_result *res)
{
    uint64_t n = res->rows, step = (n + PLOT_LINES - 1) / PLOT_LINES;

    for (uint64_t i = 0; i < n; i += step) {
        double a = farthest(res->state, i, nq_min(i + step, n));
        int bar = (int)lround(fmin(fabs(a), 1) * PLOT_COLUMNS / 2);

        buf_printf(out, "%6" PRIu64 "  %+.6f  ", i, a);
        for (int c = -PLOT_COLUMNS / 2; c <= PLOT_COLUMNS / 2; c++) {
            bool is_bar = a < 0 ? c < 0 && c >= -bar : c > 0 && c <= bar;

            buf_put_u8(out, c == 0 ? '|' : is_bar ? '#' : ' ');
        }
        buf_put_u8(out, '\n');
    }
}

static void
put_plot(struct fields *f, const char *name, const struct grover_result *res,
         void (*plot)(struct buf *out, const struct grover_result *res))
{
    struct buf text = BUF_INIT;

    plot(&text, res);
    put_name(f, name);
    reply_verbatim(f->rq, "txt", buf_slice(&text));
    buf_fini(&text);
}

/* What the formula says beside what the simulation came to. */
static void
put_formula(struct fields *f, const struct grover_result *res)
{
    put_name(f, "formula");
    reply_array(f->rq, res->spectrum_count);
    for (uint64_t k = 0; k < res->spectrum_count; k++)
        reply_double(f->rq, theory_success(res->rows, res->matches, k));
}

void
grover_reply_spectrum(struct req *rq, const struct grover_run *r, bool as_plot)
{
    const struct grover_result *res = grover_run_result(r);
    struct fields f;

    if (reply_failure(rq, res))
        return;
    f = begin_fields(rq);
    put_number(&f, "rows", res->rows);
    put_number(&f, "qubits", res->qubits);
    put_number(&f, "state-bytes", res->bytes);
    put_number(&f, "matches", res->matches);
    put_number(&f, "best-iterations",
               res->matches == 0 ? 0
                                 : theory_iterations(res->rows, res->matches));
    put_real(&f, "norm-error", res->counts.norm_error);
    put_simd(&f);
    put_number(&f, "simulation-us", res->simulation_us);
    put_number(&f, "scan-us", res->scan_us);
    if (as_plot) {
        put_plot(&f, "success", res, plot_chances);
    } else {
        put_reals(&f, "success", res->spectrum, res->spectrum_count);
        put_formula(&f, res);
    }
    if (as_plot && res->state != NULL)
        put_plot(&f, "amplitudes", res, plot_amplitudes);
    else if (grover_run_query(r)->wants_state)
        put_amplitudes(&f, "amplitudes", r);
    end_fields(&f);
}

/* --- plans -----------------------------------------------------------------
 */

static void
put_expected(struct fields *f, const struct grover_query *q,
             const struct grover_plan *p)
{
    uint64_t matches = nq_min(nq_max(q->matches, (uint64_t)1), q->rows);
    double calls = 0;

    if (q->rows > 0 && q->way == SEARCH_UNKNOWN)
        calls = theory_unknown(q->rows, matches);
    else if (p->success > 0)
        calls = (double)p->iterations / p->success;
    else
        calls = (double)p->iterations;
    put_real(f, "oracle-calls-quantum", calls);
    put_number(f, "oracle-calls-classical", q->rows);
}

void
grover_reply_plan(struct req *rq, const struct grover *g,
                  const struct grover_query *q)
{
    struct grover_plan p;
    struct fields f = begin_fields(rq);

    grover_plan_query(g, q, &p);
    put_text(&f, "engine", engine_name(p.simulates));
    put_text(&f, "reason", p.reason);
    put_name(&f, "refused");
    reply_bool(rq, p.is_limit && !g->limits.falls_back);
    put_number(&f, "rows", q->rows);
    put_number(&f, "qubits", p.qubits);
    put_number(&f, "state-bytes", p.bytes);
    put_number(&f, "iterations", p.iterations);
    put_real(&f, "success-probability", p.success);
    put_expected(&f, q, &p);
    put_number(&f, "fewest-matches",
               theory_matches_least(q->rows, g->limits.max_iterations));
    put_simd(&f);
    end_fields(&f);
}
