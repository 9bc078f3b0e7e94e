/* quantum/search.c - runs and measurements until something is found. */
#include "quantum/search.h"

#include <math.h>

#include "base/check.h"
#include "base/mem.h"
#include "quantum/theory.h"

struct search {
    const struct oracle *oracle;
    struct search_opts opts;
    const atomic_bool *cancel;
    struct amplitudes *state;
    bool is_stale; /* the state is that of another oracle */
    struct rng rng;
    uint64_t left; /* of opts.pace */
    /* The run. */
    unsigned run, longest; /* its number; those before it that were as long */
    uint64_t length;       /* valid only if is_under_way */
    bool is_longest, is_under_way;
    struct search_counts counts;
};

struct search *
search_new(const struct oracle *o, const struct search_opts *opts,
           uint64_t seed, const atomic_bool *cancel)
{
    struct search *s = nq_calloc(1, sizeof *s);

    s->oracle = o;
    s->opts = *opts;
    s->cancel = cancel;
    rng_seed(&s->rng, seed);
    return s;
}

void
search_free(struct search *s)
{
    if (s == NULL)
        return;
    amplitudes_free(s->state);
    nq_free(s);
}

void
search_forget(struct search *s, uint64_t matches)
{
    s->is_stale = true;
    s->is_under_way = false;
    s->opts.matches = nq_max(matches, (uint64_t)1);
}

void
search_rest(struct search *s)
{
    amplitudes_free(s->state);
    s->state = NULL;
}

const struct search_counts *
search_counts(const struct search *s)
{
    return &s->counts;
}

const struct amplitudes *
search_amplitudes(const struct search *s)
{
    return s->state;
}

/* Brings the state to where a run of `k` iterations ends: FOUND, CANCELLED or
 * PAUSED. */
static enum search_end
reach(struct search *s, uint64_t k)
{
    uint64_t each = s->oracle->rows << s->opts.is_complex;

    if (s->state == NULL)
        s->state = amplitudes_new(s->oracle->rows, s->opts.is_complex);
    else if (s->is_stale || amplitudes_iterations(s->state) > k)
        amplitudes_start(s->state);
    s->is_stale = false;
    while (amplitudes_iterations(s->state) < k) {
        uint64_t left = k - amplitudes_iterations(s->state);
        uint64_t n = nq_min(left, nq_max(s->left / each, (uint64_t)1));

        if (s->left == 0)
            return SEARCH_PAUSED;
        if (!amplitudes_iterate(s->state, s->oracle, n, s->cancel)) {
            s->is_stale = true;
            return SEARCH_CANCELLED;
        }
        s->left -= nq_min(s->left, n * each);
    }
    return SEARCH_FOUND;
}

/* How many iterations run number `run` has; *is_longest: runs get no longer. */
static uint64_t
length(struct search *s, unsigned run, bool *is_longest)
{
    uint64_t rows = s->oracle->rows;
    double bound;

    *is_longest = true;
    switch (s->opts.way) {
    case SEARCH_KNOWN:
        return theory_iterations(rows, nq_min(s->opts.matches, rows));
    case SEARCH_UNKNOWN:
        bound = theory_bound(rows, run);
        *is_longest = bound >= sqrt((double)rows);
        return rng_below(&s->rng, (uint64_t)ceil(bound));
    default:
        return s->opts.iterations;
    }
}

static void
sum_up(struct search *s)
{
    struct amplitudes_sums sums;

    amplitudes_sum(s->state, s->oracle, &sums);
    s->counts.success = sums.success;
    s->counts.norm_error = fabs(sums.norm - 1);
}

/* The end of a run: true, something was found. */
static bool
measure(struct search *s, uint64_t *row)
{
    *row = amplitudes_measure(s->state, rng_double(&s->rng));
    s->is_under_way = false;
    s->left -= nq_min(s->left, s->oracle->rows);
    s->counts.runs++;
    s->counts.calls += s->length;
    s->counts.iterations = s->length;
    s->run++;
    s->longest += s->is_longest;
    return oracle_has(s->oracle, *row);
}

/* One run, or the rest of it: CANCELLED, TOO_LONG, PAUSED, FOUND, or GAVE_UP:
 * nothing was found. */
static enum search_end
run(struct search *s, uint64_t *row)
{
    enum search_end end;

    if (s->cancel != NULL && atomic_load(s->cancel))
        return SEARCH_CANCELLED;
    if (!s->is_under_way)
        s->length = length(s, s->run, &s->is_longest);
    s->is_under_way = true;
    if (s->length > s->opts.max_iterations)
        return SEARCH_TOO_LONG;
    if ((end = reach(s, s->length)) != SEARCH_FOUND)
        return end;
    return measure(s, row) ? SEARCH_FOUND : SEARCH_GAVE_UP;
}

enum search_end
search_find(struct search *s, uint64_t *row)
{
    enum search_end end = SEARCH_GAVE_UP;

    s->left = s->opts.pace != 0 ? s->opts.pace : UINT64_MAX;
    while (end == SEARCH_GAVE_UP && s->longest < SEARCH_RUNS_MOST) {
        if (s->left == 0)
            return SEARCH_PAUSED;
        end = run(s, row);
    }
    if (end == SEARCH_FOUND || end == SEARCH_GAVE_UP)
        sum_up(s);
    if (end != SEARCH_PAUSED)
        s->run = s->longest = 0;
    return end;
}

/* --- the least number ------------------------------------------------------
 */

/* Marks what is better than the number in hand. */
static void
mark_better(const struct search_least *l, struct oracle *o)
{
    double held = l->numbers[l->row];

    oracle_clear(o);
    for (uint64_t i = 0; i < l->rows; i++)
        oracle_add(o, l->wants_greatest ? l->numbers[i] > held
                                        : l->numbers[i] < held);
}

static void
begin_least(struct search_least *l)
{
    struct rng rng;

    rng_seed(&rng, l->seed);
    l->opts.way = SEARCH_UNKNOWN;
    l->row = rng_below(&rng, l->rows);
    l->thresholds = 1;
    l->better = ORACLE_INIT;
    mark_better(l, &l->better);
    l->search = search_new(&l->better, &l->opts, rng_next(&rng), l->cancel);
}

void
search_least_drop(struct search_least *l)
{
    if (l->search == NULL)
        return;
    l->counts = l->search->counts;
    search_free(l->search);
    l->search = NULL;
    oracle_fini(&l->better);
}

enum search_end
search_least(struct search_least *l)
{
    enum search_end end = SEARCH_FOUND;
    uint64_t row;

    if (l->search == NULL)
        begin_least(l);
    while (l->better.marked > 0 && end == SEARCH_FOUND) {
        if ((end = search_find(l->search, &row)) != SEARCH_FOUND)
            break;
        l->row = row;
        l->thresholds++;
        mark_better(l, &l->better);
        search_forget(l->search, l->better.marked);
        if (l->opts.pace != 0 && l->better.marked > 0)
            end = SEARCH_PAUSED;
    }
    if (end != SEARCH_PAUSED)
        search_least_drop(l);
    return end;
}
