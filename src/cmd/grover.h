/* cmd/grover.h - the rules of NQ.GROVER and its kin: whether a search is
 * simulated or done by a plain scan, and why; the memory that all states
 * together may take; what all searches came to.
 *
 * Loop thread only. */
#ifndef NQ_CMD_GROVER_H
#define NQ_CMD_GROVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

/* The settings quantum.* and system.quantum_memory_limit; written by the
 * server's config. */
struct grover_limits {
    uint64_t min_search_space, threshold; /* rows */
    uint64_t max_iterations;              /* of one run */
    uint32_t max_qubits;
    uint64_t state_bytes; /* of one search */
    uint64_t all_bytes;   /* of all */
    bool falls_back;      /* else what passes a limit is an error */
};

struct grover_stats {
    uint64_t simulated, classical; /* searches answered */
    uint64_t fell_back;            /* of the classical ones, by a limit */
    uint64_t refused;              /* -QUANTUMLIMIT */
    uint64_t cancelled;
    uint64_t runs, calls; /* measurements; oracle calls by iterations */
    uint64_t rejected;    /* measured keys that the store no longer agreed to */
    uint64_t simulation_us, scan_us;
};

struct grover {
    struct grover_limits limits;
    struct grover_stats stats;
    struct list runs;     /* under way: cmd/grover_run */
    uint32_t active;      /* of them */
    struct list searches; /* ASYNC, also those over: cmd/grover_async */
    uint64_t bytes;       /* of states, now; grover_reserve() */
    uint64_t bytes_peak;
};

struct grover *grover_new(void);
void grover_free(struct grover *g);
/* Before the end: workers shall not go on for nothing. */
void grover_cancel_all(struct grover *g);
/* Results kept for later. */
void grover_forget_all(struct grover *g);

enum grover_engine { GROVER_AUTO, GROVER_SIM, GROVER_CLASSICAL };

struct grover_ask {
    uint64_t rows;
    uint64_t matches; /* 0: not known */
    bool has_iterations;
    uint64_t iterations; /* wanted; valid only if has_iterations */
    enum grover_engine engine;
    bool is_complex;
};

/* What was decided.  AUTO simulates what is neither too small for it
 * (min_search_space, grover_threshold) nor too large (the limits); SIM goes
 * below, but never beyond the limits. */
struct grover_plan {
    bool simulates;
    bool is_limit;       /* a limit said no: without falls_back, an error */
    char reason[160];    /* "max_qubits: 3000000 rows need 22 qubits, ..." */
    unsigned qubits;     /* that so many rows take */
    uint64_t bytes;      /* of their state */
    uint64_t iterations; /* of a run; with matches unknown: if there is one */
    double success;      /* of such a run; 0: not known */
};

void grover_plan(const struct grover *g, const struct grover_ask *ask,
                 struct grover_plan *out);

/* Takes memory from what all searches share; false: there is not so much. */
bool grover_reserve(struct grover *g, uint64_t bytes);
void grover_release(struct grover *g, uint64_t bytes);

#endif
