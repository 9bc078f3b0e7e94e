/* quantum/search.h - Grover's search as a quantum computer would go about it:
 * runs of some iterations and a measurement each, until one finds a marked
 * state.
 *
 * What a run comes to depends on the oracle and the number of iterations
 * alone, so the simulation goes on from the state of the last run where it
 * can; what is counted is what the runs would have cost.
 *
 * One thread at a time. */
#ifndef NQ_QUANTUM_SEARCH_H
#define NQ_QUANTUM_SEARCH_H

#include "base/rng.h"
#include "quantum/amplitudes.h"

/* Runs without a find, once they are as long as they get, before a search
 * gives up: with a chance of a half each, that happens once in 10^19. */
#define SEARCH_RUNS_MOST 64u

enum search_end {
    SEARCH_FOUND,
    SEARCH_CANCELLED,
    SEARCH_TOO_LONG, /* a run needs more iterations than `max_iterations` */
    SEARCH_GAVE_UP,  /* SEARCH_RUNS_MOST */
    SEARCH_PAUSED    /* what it may do at a time is done: to be called again */
};

enum search_way {
    SEARCH_KNOWN,   /* as many iterations as `matches` want */
    SEARCH_UNKNOWN, /* numbers drawn below a bound that grows (theory.h) */
    SEARCH_FIXED    /* `iterations` */
};

struct search_opts {
    enum search_way way;
    uint64_t matches;    /* KNOWN: what the searcher believes; not 0 */
    uint64_t iterations; /* FIXED */
    uint64_t max_iterations;
    uint64_t pace; /* amplitudes to be changed in one call, about; 0: as many
                      as it takes */
    bool is_complex;
};

/* What all runs of a search came to. */
struct search_counts {
    uint64_t runs;       /* and measurements, each checked with one classical
                            call of the oracle */
    uint64_t calls;      /* of the oracle, by iterations */
    uint64_t iterations; /* of the last run */
    double success;      /* the chance of the last run to find something */
    double norm_error;   /* of the last run's state */
};

struct search;

/* `cancel` is looked at while it runs; both are borrowed until search_free().
 * The oracle has at least one state. */
struct search *search_new(const struct oracle *o,
                          const struct search_opts *opts, uint64_t seed,
                          const atomic_bool *cancel);
void search_free(struct search *s); /* of NULL: does nothing */
/* Runs until a marked state is measured: *row. */
enum search_end search_find(struct search *s, uint64_t *row);
/* The oracle was changed, and not while a search is paused; KNOWN: so many
 * matches are believed to be left. */
void search_forget(struct search *s, uint64_t matches);
/* Gives back the memory of the state; the next run makes it again. */
void search_rest(struct search *s);
const struct search_counts *search_counts(const struct search *s);
/* The state of the last run; NULL: it rests. */
const struct amplitudes *search_amplitudes(const struct search *s);

/* --- the least number (Durr and Hoyer, 1996) ------------------------------ */

/* A number drawn by chance; then again and again a search, of unknown matches,
 * for one that is less, until there is none: which the simulation sees in the
 * oracle, and a quantum computer would trust after so many calls.  `opts.way`
 * is not looked at. */
struct search_least {
    const double *numbers; /* borrowed */
    uint64_t rows;         /* at least 1 */
    bool wants_greatest;
    struct search_opts opts;
    uint64_t seed;
    const atomic_bool *cancel;
    /* The answer. */
    uint64_t row;
    uint64_t thresholds; /* numbers held on the way, the answer among them */
    struct search_counts counts;
    /* Private. */
    struct search *search;
    struct oracle better;
};
/* SEARCH_FOUND: row is that of a number that no other is below (of several,
 * any).  After whatever but SEARCH_PAUSED, nothing is left to be freed. */
enum search_end search_least(struct search_least *l);
/* Gives up while it is paused. */
void search_least_drop(struct search_least *l);

#endif
