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
    s->state = amplitudes_new(o->rows, opts->is_complex);
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
    s->opts.matches = nq_max(matches, (uint64_t)1);
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

/* Brings the state to where a run of `k` iterations ends.  False: cancelled. */
static bool
reach(struct search *s, uint64_t k)
{
    if (s->is_stale || amplitudes_iterations(s->state) > k)
        amplitudes_start(s->state);
    s->is_stale = true; /* unless it gets there */
    if (!amplitudes_iterate(s->state, s->oracle,
                            k - amplitudes_iterations(s->state), s->cancel))
        return false;
    s->is_stale = false;
    return true;
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

enum search_end
search_find(struct search *s, uint64_t *row)
{
    unsigned longest = 0;
    bool is_longest;

    for (unsigned run = 0; longest < SEARCH_RUNS_MOST; run++) {
        uint64_t k = length(s, run, &is_longest);

        if (k > s->opts.max_iterations)
            return SEARCH_TOO_LONG;
        if (!reach(s, k))
            return SEARCH_CANCELLED;
        *row = amplitudes_measure(s->state, rng_double(&s->rng));
        s->counts.runs++;
        s->counts.calls += k;
        s->counts.iterations = k;
        if (oracle_has(s->oracle, *row)) {
            sum_up(s);
            return SEARCH_FOUND;
        }
        longest += is_longest;
        if (s->cancel != NULL && atomic_load(s->cancel))
            return SEARCH_CANCELLED;
    }
    sum_up(s);
    return SEARCH_GAVE_UP;
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

enum search_end
search_least(struct search_least *l)
{
    struct oracle better = ORACLE_INIT;
    enum search_end end = SEARCH_FOUND;
    struct search *s;
    struct rng rng;

    rng_seed(&rng, l->seed);
    l->opts.way = SEARCH_UNKNOWN;
    l->row = rng_below(&rng, l->rows);
    l->thresholds = 1;
    mark_better(l, &better);
    s = search_new(&better, &l->opts, rng_next(&rng), l->cancel);
    while (better.marked > 0 && end == SEARCH_FOUND) {
        if ((end = search_find(s, &l->row)) != SEARCH_FOUND)
            break;
        l->thresholds++;
        mark_better(l, &better);
        search_forget(s, better.marked);
    }
    l->counts = s->counts;
    search_free(s);
    oracle_fini(&better);
    return end;
}
