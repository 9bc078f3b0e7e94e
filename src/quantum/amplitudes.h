/* quantum/amplitudes.h - the state of n qubits, amplitude by amplitude, and
 * what Grover's search does with it.
 *
 * A true simulation: 2^n amplitudes in memory, each of them touched by every
 * iteration.  Of 2^n states the first `rows` are in use.  The start is even
 * over those alone (the preparation that Grover's diffusion reflects about),
 * so the rest keep amplitude 0 and no index from `rows` on is ever measured.
 *
 * Grover's operators are real, so real amplitudes tell all: 8 bytes a state.
 * Complex ones, 16 bytes, carry a second part through the same steps.
 *
 * One thread at a time. */
#ifndef NQ_QUANTUM_AMPLITUDES_H
#define NQ_QUANTUM_AMPLITUDES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "quantum/oracle.h"

struct amplitudes;

enum amplitudes_variant {
    AMPLITUDES_SCALAR,
    AMPLITUDES_AVX2,
    AMPLITUDES_KINDS
};

/* Memory for the state of `rows` (1 to 2^40): to be checked against limits
 * before it is made. */
uint64_t amplitudes_bytes(uint64_t rows, bool is_complex);
struct amplitudes *amplitudes_new(uint64_t rows, bool is_complex);
void amplitudes_free(struct amplitudes *a); /* of NULL: does nothing */

/* Back to the even start, without iterations. */
void amplitudes_start(struct amplitudes *a);
/* `k` times: turns the sign of what the oracle (of as many rows) marks, then
 * reflects about the start.  The marks stay the same until the next start().
 * False: *cancel became true, within some milliseconds; then only start()
 * helps.  `cancel` may be NULL. */
bool amplitudes_iterate(struct amplitudes *a, const struct oracle *o,
                        uint64_t k, const atomic_bool *cancel);
uint64_t amplitudes_iterations(const struct amplitudes *a);

struct amplitudes_sums {
    double norm;    /* of all squares, 1 but for rounding */
    double success; /* of those of marked states: the chance to measure one */
};
void amplitudes_sum(const struct amplitudes *a, const struct oracle *o,
                    struct amplitudes_sums *out);
/* The state that a measurement finds when chance is `u`, in [0, 1).  The
 * amplitudes stay, for another run that would come to the same. */
uint64_t amplitudes_measure(const struct amplitudes *a, double u);
void amplitudes_get(const struct amplitudes *a, uint64_t row, double *re,
                    double *im);

/* --- inner loops ---------------------------------------------------------- */

const char *amplitudes_variant_name(enum amplitudes_variant v);
bool amplitudes_has(enum amplitudes_variant v);
/* What is in use: the best one that is here and agrees with the scalar one. */
enum amplitudes_variant amplitudes_variant(void);
/* For tests and measurements, while nothing runs; amplitudes_has(v). */
void amplitudes_choose(enum amplitudes_variant v);

#endif
