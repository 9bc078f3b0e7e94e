/* tests/lib/toy.h - the smallest database on a store: an array of slots, each
 * nothing, one tree page, or one chunk.
 *
 * Every write is logged as one effect and numbered, so after a crash the state
 * says which prefix of the writes it is, and toy_check() compares it with what
 * that prefix makes.  Writes are chosen by a seed and their number alone. */
#ifndef NQ_TESTS_LIB_TOY_H
#define NQ_TESTS_LIB_TOY_H

#include "os/pool.h"
#include "store/frames.h"
#include "store/store.h"

#define TOY_SLOTS 300u

struct toy {
    char dir[64];
    uint64_t seed;
    struct store_opts opts;
    struct pool *pool;
    struct store *st;
    struct frames *fr;
    pgno id[TOY_SLOTS];
    uint64_t writes; /* done: their numbers are 0 .. writes-1 */
    lsn last;        /* where the last one was appended */
    unsigned misses; /* commands that were parked */
};

/* A fresh directory and usual options; nothing is opened. */
void toy_init(struct toy *t, uint64_t seed);
/* Opens (creates), replays, makes ready. */
nq_rc toy_open(struct toy *t);
/* The next write of the seed; NQ_EREADONLY ... as the log says. */
nq_rc toy_write(struct toy *t);
/* One loop turn. */
void toy_turn(struct toy *t);
/* Waits until all writes are settled in the log. */
void toy_settle(struct toy *t);
/* A checkpoint from start to end. */
nq_rc toy_checkpoint(struct toy *t);
/* Everything equals the model after t->writes writes. */
void toy_check(struct toy *t);
/* Reads one slot: NQ_NOTFOUND, or its value (after checking each byte). */
nq_rc toy_read(struct toy *t, unsigned slot, uint64_t *value);
nq_rc toy_close(struct toy *t, bool checkpoint);
void toy_abandon(struct toy *t);
/* Removes the directory. */
void toy_fini(struct toy *t);

uint64_t toy_env_seed(void); /* SEED, or the system's; printed */

#endif
