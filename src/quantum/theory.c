/* quantum/theory.c - the formulas of Grover's search.
 *
 *   sin^2(theta) = matches / rows
 *   after k iterations: sin^2((2k + 1) theta)
 *   after a number of iterations drawn evenly from 0 .. c-1, on average:
 *                       1/2 - sin(4 c theta) / (4 c sin(2 theta))
 *
 * The angle is taken from atan2, so that few and nearly all matches are
 * equally exact. */
#include "quantum/theory.h"

#include <math.h>

#include "base/check.h"

#define GROWTH 1.2         /* of the bound, from run to run */
#define NEGLIGIBLE 1e-15   /* chance that there is another run */
#define RUNS_MOST 1000000u /* each has a chance of at least 1/4 in the end */

unsigned
theory_qubits(uint64_t rows)
{
    return rows <= 1 ? 0 : 64 - (unsigned)__builtin_clzll(rows - 1);
}

static double
angle(uint64_t rows, uint64_t matches)
{
    return atan2(sqrt((double)matches), sqrt((double)(rows - matches)));
}

uint64_t
theory_iterations(uint64_t rows, uint64_t matches)
{
    nq_assert(matches > 0 && matches <= rows);
    return (uint64_t)(M_PI / 4 * sqrt((double)rows / (double)matches));
}

uint64_t
theory_matches_least(uint64_t rows, uint64_t iterations)
{
    double share = M_PI / 4 / ((double)iterations + 1);

    return (uint64_t)((double)rows * share * share) + 1;
}

double
theory_success(uint64_t rows, uint64_t matches, uint64_t k)
{
    double s = sin((2 * (double)k + 1) * angle(rows, matches));

    return s * s;
}

double
theory_bound(uint64_t rows, unsigned run)
{
    return fmin(pow(GROWTH, run), fmax(1, sqrt((double)rows)));
}

/* The mean chance of a run whose iterations are drawn evenly below `c`. */
static double
mean_success(double theta, double c)
{
    double s = sin(2 * theta);

    /* All of them match: each outcome does. */
    if (fabs(s) < 1e-9)
        return 1;
    return 0.5 - sin(4 * c * theta) / (4 * c * s);
}

double
theory_unknown(uint64_t rows, uint64_t matches)
{
    double theta = angle(rows, matches), runs_on = 1, sum = 0;

    nq_assert(matches > 0 && matches <= rows);
    for (unsigned run = 0; runs_on > NEGLIGIBLE && run < RUNS_MOST; run++) {
        double c = ceil(theory_bound(rows, run));

        sum += runs_on * (c - 1) / 2;
        runs_on *= 1 - mean_success(theta, c);
    }
    return sum;
}

double
theory_least(uint64_t rows)
{
    double lg = rows > 1 ? log2((double)rows) : 0;

    return 45.0 / 4 * sqrt((double)rows) + 0.7 * lg * lg;
}
