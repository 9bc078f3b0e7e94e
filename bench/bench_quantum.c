/* The inner loop of Grover's simulation, variant by variant: processor time
 * for an amplitude and an iteration, and the traffic that makes (each is read
 * and written once), for 2^8 to 2^20 states in steps; then a whole search for
 * one match among 2^20.
 *
 *   bench_quantum [rounds]
 *
 * Each line is: variant, qubits, ns an amplitude, GB/s, iterations of a
 * search for one match, its milliseconds.  The best of some rounds: what
 * disturbs only makes slower. */
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "os/clock.h"
#include "quantum/amplitudes.h"
#include "quantum/theory.h"

#define QUBITS_LEAST 8u
#define QUBITS_MOST 20u
#define STEP 2u
#define WORK (UINT64_C(1) << 27) /* amplitudes changed in a round */

static struct oracle
oracle_of(uint64_t rows)
{
    struct oracle o = ORACLE_INIT;

    for (uint64_t i = 0; i < rows; i++)
        oracle_add(&o, i == rows / 3);
    return o;
}

/* Microseconds for `k` iterations, the best of `rounds`. */
static double
measure(struct amplitudes *a, const struct oracle *o, uint64_t k,
        unsigned rounds)
{
    double best = 0;

    for (unsigned r = 0; r < rounds; r++) {
        uint64_t began = clock_thread_cpu_us(), took;
        bool ok = amplitudes_iterate(a, o, k, NULL);

        nq_assert(ok);
        took = clock_thread_cpu_us() - began;
        if (r == 0 || (double)took < best)
            best = (double)took;
    }
    return best;
}

static void
run(enum amplitudes_variant v, unsigned qubits, unsigned rounds)
{
    uint64_t rows = UINT64_C(1) << qubits, k = WORK / rows;
    uint64_t search = theory_iterations(rows, 1);
    struct oracle o = oracle_of(rows);
    struct amplitudes *a = amplitudes_new(rows, false);
    double ns;

    amplitudes_choose(v);
    ns = measure(a, &o, k, rounds) * 1e3 / (double)(k * rows);
    printf("%-6s %2u %7.3f ns %6.1f GB/s %4llu iterations %9.3f ms\n",
           amplitudes_variant_name(v), qubits, ns, 16 / ns,
           (unsigned long long)search, ns * (double)(search * rows) / 1e6);
    amplitudes_free(a);
    oracle_fini(&o);
}

static void
run_whole(unsigned rounds)
{
    uint64_t rows = UINT64_C(1) << QUBITS_MOST;
    struct oracle o = oracle_of(rows);
    double best = 0;

    for (unsigned r = 0; r < rounds; r++) {
        uint64_t began = clock_thread_cpu_us();
        struct amplitudes *a = amplitudes_new(rows, false);
        double took;
        bool ok = amplitudes_iterate(a, &o, theory_iterations(rows, 1), NULL);

        nq_assert(ok && amplitudes_measure(a, 0.5) == rows / 3);
        amplitudes_free(a);
        took = (double)(clock_thread_cpu_us() - began);
        if (r == 0 || took < best)
            best = took;
    }
    printf("search %2u: %.3f s\n", QUBITS_MOST, best / 1e6);
    oracle_fini(&o);
}

int
main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 3;
    enum amplitudes_variant best = amplitudes_variant();

    for (unsigned v = 0; v < AMPLITUDES_KINDS; v++) {
        for (unsigned q = QUBITS_LEAST; q <= QUBITS_MOST; q += STEP) {
            if (amplitudes_has((enum amplitudes_variant)v))
                run((enum amplitudes_variant)v, q, rounds);
        }
    }
    amplitudes_choose(best);
    run_whole(rounds);
    return EXIT_SUCCESS;
}
