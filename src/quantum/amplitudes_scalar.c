/* quantum/amplitudes_scalar.c - the inner loop in plain C, which says what
 * the others must do.
 *
 * No step multiplies, so no compiler can merge a multiplication with an
 * addition and round once in place of twice. */
#include "quantum/amplitudes_int.h"

static void
scalar_step(double *amps, const uint64_t *marks, uint64_t words,
            double twice_mean, struct amplitudes_lanes *lanes)
{
    double next[ORACLE_BITS];

    for (uint64_t w = 0; w < words; w++, amps += ORACLE_BITS) {
        for (unsigned i = 0; i < ORACLE_BITS; i++) {
            uint64_t mark = marks[w] >> i & 1;

            amps[i] = twice_mean - amplitudes_turned(amps[i], mark);
            next[i] = amplitudes_turned(amps[i], mark);
        }
        amplitudes_add_word(next, lanes);
    }
}

const struct amplitudes_kernels amplitudes_scalar = {scalar_step};
