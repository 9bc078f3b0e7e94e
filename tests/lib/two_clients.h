/* tests/lib/two_clients.h - what tests of commands happen in: an engine, one
 * client that is tested and one that comes between.  Made by a setup of
 * cmocka, which may do more, and ended by two_clients_end(), as a teardown. */
#ifndef NQ_TESTS_LIB_TWO_CLIENTS_H
#define NQ_TESTS_LIB_TWO_CLIENTS_H

#include "base/rng.h"
#include "engine_env.h"

struct two_clients {
    struct engine_env env;
    struct fake_client c, other;
    struct rng rng;        /* seeded by the test that wants it */
    struct buf line, want; /* a command to come, its answer; freed at the end */
};

/* Opens all of it; borrowed until the end. */
struct two_clients *two_clients_begin(void **state, uint64_t pool_bytes);
/* The wall clock goes again, too.  Returns 0. */
int two_clients_end(void **state);

#endif
