/* quantum/amplitudes_int.h - the inner loops behind quantum/amplitudes.h, one
 * table a variant; all give the same bits, by test and by a check at start.
 *
 * They work on words of the oracle: 64 amplitudes each.  The second half of a
 * word is added to the first, of that the second half again, and so on down to
 * four lanes: equal numbers are thus added without rounding, and unmarked
 * amplitudes are equal.  Words are added with what rounding cut off kept
 * beside.  Any thread. */
#ifndef NQ_QUANTUM_AMPLITUDES_INT_H
#define NQ_QUANTUM_AMPLITUDES_INT_H

#include <string.h>

#include "quantum/amplitudes.h"

#define AMPLITUDES_LANES 4u

/* Sums so far, lane by lane. */
struct amplitudes_lanes {
    double sum[AMPLITUDES_LANES], rest[AMPLITUDES_LANES];
};

struct amplitudes_kernels {
    /* One iteration: each amplitude, its sign turned if it is marked, is
     * taken from `twice_mean`.  Adds up what the signs of the next iteration
     * make of the results. */
    void (*step)(double *amps, const uint64_t *marks, uint64_t words,
                 double twice_mean, struct amplitudes_lanes *lanes);
};

/* s and *rest are s + v, and what rounding cut off, more exactly than a
 * double could tell. */
static inline void
amplitudes_add(double *sum, double *rest, double v)
{
    double s = *sum + v, b = s - *sum;

    *rest += (*sum - (s - b)) + (v - b);
    *sum = s;
}

/* Adds 64 numbers, which it destroys. */
static inline void
amplitudes_add_word(double *numbers, struct amplitudes_lanes *lanes)
{
    for (unsigned n = ORACLE_BITS / 2; n >= AMPLITUDES_LANES; n /= 2) {
        for (unsigned i = 0; i < n; i++)
            numbers[i] += numbers[i + n];
    }
    for (unsigned i = 0; i < AMPLITUDES_LANES; i++)
        amplitudes_add(&lanes->sum[i], &lanes->rest[i], numbers[i]);
}

/* The number, its sign turned if bit 0 of `mark` is set. */
static inline double
amplitudes_turned(double v, uint64_t mark)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    bits ^= mark << 63;
    memcpy(&v, &bits, sizeof v);
    return v;
}

extern const struct amplitudes_kernels amplitudes_scalar;
#ifdef __x86_64__
extern const struct amplitudes_kernels amplitudes_avx2;
#endif

#endif
