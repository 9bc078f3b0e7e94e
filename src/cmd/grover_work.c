/* cmd/grover_work.c - the part of a quantum search that a worker does.
 *
 * It reads the bits, keys and numbers that were gathered, which stand still
 * (I1 of grover_run_int.h), and puts the keys of what it measured aside; the
 * loop asks the store about them.
 *
 * It works for some milliseconds at a time, so that queries which need workers
 * for less have theirs in between; and it frees states itself, because giving
 * large memory back to the system takes longer than the loop has. */
#include <math.h>

#include "base/check.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "cmd/grover_run_int.h"
#include "os/clock.h"

#define PACE (UINT64_C(1) << 24) /* amplitudes changed at a time */

/* --- keys by number --------------------------------------------------------
 */

static struct slice
keys_of(const struct grover_run *r)
{
    return r->path != NULL ? buf_slice(&r->keys) : matching_keys(r->rows);
}

/* Where every so many keys begin. */
static void
index_keys(struct grover_run *r)
{
    struct slice keys = keys_of(r), key;
    struct cursor c = cursor_of(keys);
    uint64_t n = r->path != NULL ? r->result.rows : r->all.marked;

    r->starts = nq_calloc(n / GROVER_STRIDE + 1, sizeof *r->starts);
    for (uint64_t i = 0; i < n; i++) {
        bool ok;

        if (i % GROVER_STRIDE == 0)
            r->starts[i / GROVER_STRIDE] = keys.len - cursor_left(&c);
        ok = cursor_get_slice(&c, &key);
        nq_assert(ok);
    }
}

static void
put_measured(struct grover_run *r, uint64_t number)
{
    struct slice keys = keys_of(r), key;
    uint64_t start = r->starts[number / GROVER_STRIDE];
    struct cursor c = cursor_of(slice_of(keys.p + start, keys.len - start));
    bool ok = true;

    for (uint64_t i = 0; i <= number % GROVER_STRIDE; i++)
        ok &= cursor_get_slice(&c, &key);
    nq_assert(ok);
    buf_put_varint(&r->measured, key.len);
    buf_put_slice(&r->measured, key);
    r->measured_count++;
}

/* --- keys that match -------------------------------------------------------
 */

static void
keep_state(struct grover_run *r, const struct amplitudes *a)
{
    double *pair;

    if (!r->query.wants_state || r->result.state != NULL ||
        r->all.rows > GROVER_STATE_ROWS_MAX)
        return;
    pair = r->result.state = nq_calloc(r->all.rows, 2 * sizeof *pair);
    for (uint64_t i = 0; i < r->all.rows; i++, pair += 2)
        amplitudes_get(a, i, &pair[0], &pair[1]);
}

static void
take_out(struct grover_run *r, uint64_t row)
{
    put_measured(r, oracle_rank(&r->all, row));
    oracle_set(&r->left, row, false);
}

/* How many matches the searcher believes in. */
static uint64_t
believed(const struct grover_run *r)
{
    uint64_t told = r->query.matches;

    if (told == 0)
        return r->left.marked;
    return told > r->measured_count ? told - r->measured_count : 1;
}

static void
find(struct grover_run *r)
{
    uint64_t row, until = r->measured_before + r->wanted;

    if (r->end != SEARCH_PAUSED)
        search_forget(r->search, believed(r));
    r->end = search_find(r->search, &row);
    if (r->end == SEARCH_FOUND || r->end == SEARCH_GAVE_UP)
        keep_state(r, search_amplitudes(r->search));
    if (r->end != SEARCH_FOUND)
        return;
    take_out(r, row);
    search_forget(r->search, believed(r));
    if (r->measured_count < until && r->left.marked > 0)
        r->end = SEARCH_PAUSED;
}

/* The first ones that are left. */
static void
scan(struct grover_run *r)
{
    uint64_t taken = 0;

    for (uint64_t w = 0; w * ORACLE_BITS < r->left.rows; w++) {
        while (r->left.words[w] != 0 && taken < r->wanted) {
            unsigned bit = (unsigned)__builtin_ctzll(r->left.words[w]);

            take_out(r, w * ORACLE_BITS + bit);
            taken++;
        }
    }
}

/* --- the least number ------------------------------------------------------
 */

/* One that did not hold before the store can not be the answer again. */
static void
exclude(struct grover_run *r)
{
    r->numbers[r->measured_row] =
        r->query.kind == GROVER_GREATEST ? -INFINITY : INFINITY;
}

static void
begin_least(struct grover_run *r)
{
    if (r->measured_count > 0)
        exclude(r);
    r->least = (struct search_least){
        .numbers = r->numbers,
        .rows = r->result.rows,
        .wants_greatest = r->query.kind == GROVER_GREATEST,
        .opts = {.max_iterations = r->max_iterations,
                 .pace = PACE,
                 .is_complex = r->query.is_complex},
        .seed = r->query.seed + r->measured_count,
        .cancel = &r->cancel,
    };
}

static void
least(struct grover_run *r)
{
    struct search_least *l = &r->least;
    struct search_counts *sum = &r->result.counts;

    if (r->end != SEARCH_PAUSED)
        begin_least(r);
    if ((r->end = search_least(l)) == SEARCH_PAUSED)
        return;
    l->counts.runs += sum->runs;
    l->counts.calls += sum->calls;
    *sum = l->counts;
    r->result.thresholds += l->thresholds;
    if (r->end != SEARCH_FOUND || !isfinite(r->numbers[l->row]))
        return;
    r->measured_row = l->row;
    r->result.number = r->numbers[l->row];
    put_measured(r, l->row);
}

/* --- the spectrum ----------------------------------------------------------
 */

static void
note_chance(struct grover_run *r, uint64_t k)
{
    struct search_counts *counts = &r->result.counts;
    struct amplitudes_sums sums;

    amplitudes_sum(r->spectrum, &r->all, &sums);
    r->result.spectrum[k] = sums.success;
    counts->norm_error = fmax(counts->norm_error, fabs(sums.norm - 1));
    counts->success = sums.success;
    counts->iterations = counts->calls = k;
}

static void
spectrum(struct grover_run *r)
{
    uint64_t k, done = 0, n = r->result.spectrum_count;

    if (r->spectrum == NULL) {
        r->spectrum = amplitudes_new(r->all.rows, r->query.is_complex);
        r->result.spectrum = nq_calloc(n, sizeof *r->result.spectrum);
        note_chance(r, 0);
    }
    r->end = SEARCH_FOUND;
    while ((k = amplitudes_iterations(r->spectrum) + 1) < n) {
        if (done > PACE) {
            r->end = SEARCH_PAUSED;
            return;
        }
        if (!amplitudes_iterate(r->spectrum, &r->all, 1, &r->cancel)) {
            r->end = SEARCH_CANCELLED;
            return;
        }
        note_chance(r, k);
        done += 4 * r->all.rows; /* sums take longer than steps */
    }
    keep_state(r, r->spectrum);
}

static void
drop_spectrum(struct grover_run *r)
{
    amplitudes_free(r->spectrum);
    r->spectrum = NULL;
}

/* --- the job ---------------------------------------------------------------
 */

static void
begin(struct grover_run *r)
{
    struct search_opts opts = {
        .way = r->query.way,
        .matches = believed(r),
        .iterations = r->query.iterations,
        .max_iterations = r->max_iterations,
        .pace = PACE,
        .is_complex = r->query.is_complex,
    };

    if (r->starts == NULL)
        index_keys(r);
    if (r->query.kind == GROVER_FIND && r->plan.simulates && r->search == NULL)
        r->search = search_new(&r->left, &opts, r->query.seed, &r->cancel);
}

void
grover_work(struct grover_run *r)
{
    uint64_t began = clock_mono_ns();

    begin(r);
    if (!r->plan.simulates) {
        scan(r);
        r->end = SEARCH_FOUND;
        return;
    }
    switch (r->query.kind) {
    case GROVER_FIND:
        find(r);
        if (r->end != SEARCH_PAUSED)
            search_rest(r->search);
        r->result.counts = *search_counts(r->search);
        break;
    case GROVER_SPECTRUM:
        spectrum(r);
        if (r->end != SEARCH_PAUSED)
            drop_spectrum(r);
        break;
    default:
        least(r);
    }
    r->result.simulation_us += (clock_mono_ns() - began) / 1000;
}

void
grover_work_end(struct grover_run *r)
{
    search_free(r->search);
    search_least_drop(&r->least);
    drop_spectrum(r);
    oracle_fini(&r->all);
    oracle_fini(&r->left);
    buf_fini(&r->measured);
    nq_free(r->starts);
    r->search = NULL;
    r->starts = NULL;
}
