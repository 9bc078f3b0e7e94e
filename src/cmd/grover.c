/* cmd/grover.c - to simulate or not.
 *
 * The rules are asked in order, the first that applies decides and gives the
 * reason, which begins with the name of the setting or argument behind it.
 * Nothing is allocated before they all agree. */
#include "cmd/grover.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "quantum/amplitudes.h"
#include "quantum/theory.h"

#define MB (1ull << 20)
#define ROWS_MOST (1ull << 40) /* beyond, bytes of a state are not computed */

struct grover *
grover_new(void)
{
    struct grover *g = nq_calloc(1, sizeof *g);

    list_init(&g->runs);
    list_init(&g->searches);
    g->limits = (struct grover_limits){
        .min_search_space = 1000,
        .threshold = 10000,
        .max_iterations = 100,
        .max_qubits = 20,
        .state_bytes = 512 * MB,
        .all_bytes = 1024 * MB,
        .falls_back = true,
    };
    return g;
}

void
grover_free(struct grover *g)
{
    if (g == NULL)
        return;
    grover_forget_all(g);
    nq_assert(g->bytes == 0 && g->active == 0);
    nq_free(g);
}

/* --- the decision ----------------------------------------------------------
 */

typedef unsigned long long number; /* for printf */

static void say(struct grover_plan *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
say(struct grover_plan *p, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(p->reason, sizeof p->reason, fmt, ap);
    va_end(ap);
}

/* True: a scan is all that is wanted, or worth it. */
static bool
is_small(const struct grover_limits *l, const struct grover_ask *ask,
         struct grover_plan *p)
{
    if (ask->engine == GROVER_CLASSICAL)
        say(p, "engine: CLASSICAL was asked for");
    else if (ask->rows == 0)
        say(p, "rows: there are none");
    else if (ask->engine == GROVER_SIM)
        return false;
    else if (ask->rows < l->min_search_space)
        say(p, "min_search_space: %llu rows, fewer than %llu",
            (number)ask->rows, (number)l->min_search_space);
    else if (ask->rows <= l->threshold)
        say(p, "grover_threshold: %llu rows, not more than %llu",
            (number)ask->rows, (number)l->threshold);
    else
        return false;
    return true;
}

static bool
passes_limit(const struct grover *g, const struct grover_ask *ask,
             struct grover_plan *p)
{
    const struct grover_limits *l = &g->limits;

    if (p->qubits > l->max_qubits)
        say(p, "max_qubits: %llu rows need %u qubits, more than %u",
            (number)ask->rows, p->qubits, l->max_qubits);
    else if (p->bytes > l->state_bytes)
        say(p,
            "quantum_state_memory_limit: a state of %llu bytes, more than %llu",
            (number)p->bytes, (number)l->state_bytes);
    else if (p->bytes > l->all_bytes || g->bytes > l->all_bytes - p->bytes)
        say(p,
            "quantum_memory_limit: a state of %llu bytes beside %llu in use, "
            "more than %llu",
            (number)p->bytes, (number)g->bytes, (number)l->all_bytes);
    else if ((ask->matches > 0 || ask->has_iterations) &&
             p->iterations > l->max_iterations)
        say(p, "max_iterations: a run of %llu iterations, more than %llu",
            (number)p->iterations, (number)l->max_iterations);
    else
        return false;
    return true;
}

static void
measure(const struct grover_ask *ask, struct grover_plan *p)
{
    uint64_t matches = nq_min(nq_max(ask->matches, 1u), ask->rows);

    p->qubits = theory_qubits(ask->rows);
    p->bytes = amplitudes_bytes(nq_min(ask->rows, (uint64_t)ROWS_MOST),
                                ask->is_complex);
    if (ask->rows == 0)
        return;
    p->iterations = ask->has_iterations ? ask->iterations
                                        : theory_iterations(ask->rows, matches);
    if (ask->matches > 0)
        p->success = theory_success(ask->rows, matches, p->iterations);
}

void
grover_plan(const struct grover *g, const struct grover_ask *ask,
            struct grover_plan *out)
{
    *out = (struct grover_plan){.simulates = false};
    measure(ask, out);
    if (is_small(&g->limits, ask, out))
        return;
    if (passes_limit(g, ask, out)) {
        out->is_limit = true;
        return;
    }
    out->simulates = true;
    if (ask->engine == GROVER_SIM)
        say(out, "engine: SIM was asked for");
    else
        say(out, "grover_threshold: %llu rows, more than %llu",
            (number)ask->rows, (number)g->limits.threshold);
}

/* --- memory ----------------------------------------------------------------
 */

bool
grover_reserve(struct grover *g, uint64_t bytes)
{
    if (bytes > g->limits.all_bytes || g->bytes > g->limits.all_bytes - bytes)
        return false;
    g->bytes += bytes;
    g->bytes_peak = nq_max(g->bytes_peak, g->bytes);
    return true;
}

void
grover_release(struct grover *g, uint64_t bytes)
{
    nq_assert(bytes <= g->bytes);
    g->bytes -= bytes;
}
