/* quantum/theory.h - what Grover's search does according to the books: how
 * many iterations, with which chance, at what cost.
 *
 * Pure functions; any thread.  `rows` states, of which `matches` are marked;
 * one turn of the state is by twice the angle whose sine is the square root
 * of their quotient. */
#ifndef NQ_QUANTUM_THEORY_H
#define NQ_QUANTUM_THEORY_H

#include <stdint.h>

/* The least n with 2^n >= rows. */
unsigned theory_qubits(uint64_t rows);
/* floor(pi / 4 sqrt(rows / matches)); 0 < matches <= rows. */
uint64_t theory_iterations(uint64_t rows, uint64_t matches);
/* The fewest matches for which those are not more than `iterations`. */
uint64_t theory_matches_least(uint64_t rows, uint64_t iterations);
/* The chance to measure a marked state after `k` iterations. */
double theory_success(uint64_t rows, uint64_t matches, uint64_t k);

/* When the number of matches is not known (Boyer, Brassard, Hoyer, Tapp,
 * 1998): each run takes a random number of iterations below a bound that
 * begins at one, grows by a fifth with each failure, and ends at sqrt(rows).
 * The bound of run `run`, counted from 0. */
double theory_bound(uint64_t rows, unsigned run);
/* The mean of all iterations until a marked state is measured. */
double theory_unknown(uint64_t rows, uint64_t matches);
/* The mean cost of finding the least of `rows` numbers, as Durr and Hoyer
 * (1996) bound it: 45/4 sqrt(rows) + 7/10 lg(rows)^2. */
double theory_least(uint64_t rows);

#endif
