/* base/rng.h - xoshiro256** (Blackman and Vigna, 2018), seeded explicitly so
 * that runs repeat.  Not for secrets.  One thread a generator. */
#ifndef NQ_BASE_RNG_H
#define NQ_BASE_RNG_H

#include <stdint.h>

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_seed_from_os(void);
uint64_t rng_next(struct rng *r);
/* Uniform in [0, n), n > 0, without bias (Lemire, 2019). */
uint64_t rng_below(struct rng *r, uint64_t n);
double rng_double(struct rng *r); /* [0, 1) */

#endif
