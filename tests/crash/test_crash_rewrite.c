/* Dies, or fails once, at each write, sync and allocation of a workload in
 * which extents are rewritten all the time, between writes, evictions and
 * checkpoints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "../lib/toy_lives.h"
#include "base/rng.h"
#include "os/pool.h"
#include "store/rewrite.h"
#include "store/store_int.h"

#ifdef NQ_FAULTS

#define WRITES 200u

static struct rewrite *
start(struct toy *t, struct rng *r)
{
    struct rewrite_opts o = {
        .from = (pgno)rng_below(r, 200),
        .place = (enum rewrite_place)rng_below(r, 3),
    };

    return rewrite_new(t->st, &o);
}

/* Moves the rewriting on; one that ended is followed by another. */
static void
rewrite_some(struct toy *t, struct rewrite **r, struct rng *rng)
{
    if (*r == NULL)
        *r = start(t, rng);
    if (rewrite_turn(*r) != NQ_OK && rng_below(rng, 40) != 0)
        return;
    rewrite_free(*r);
    *r = NULL;
}

static uint64_t
work(struct toy *t)
{
    uint64_t acked = t->writes;
    struct rewrite *r = NULL;
    struct rng rng;

    rng_seed(&rng, t->seed);
    t->st->trim.punches = true;
    t->st->trim.mode = TRIM_ALL;
    for (unsigned i = 0; i < WRITES; i++) {
        if (i % 40 == 20)
            store_checkpoint(t->st, NULL, NULL);
        if (toy_write(t) != NQ_OK)
            break;
        toy_turn(t);
        rewrite_some(t, &r, &rng);
        if (i % 4 == 3)
            toy_lives_settle(t);
        if (rng_below(&rng, 2) == 0 && pool_pending(t->pool) > 0)
            (void)pool_wait(t->pool);
        if (wal_durable(store_wal(t->st)) > t->last)
            acked = t->writes;
    }
    rewrite_free(r);
    return acked;
}

static const struct toy_lives lives = {.work = work, .fsync = WAL_FSYNC_ALWAYS};

static void
death_while_rewriting_loses_nothing(void **state)
{
    (void)state;
    toy_lives_everywhere(&lives, FAULT_WRITE, FAULT_DIE, false);
}

static void
a_power_cut_while_rewriting_loses_nothing(void **state)
{
    (void)state;
    toy_lives_everywhere(&lives, FAULT_WRITE, FAULT_DIE, true);
    toy_lives_everywhere(&lives, FAULT_SYNC, FAULT_DIE, true);
    toy_lives_everywhere(&lives, FAULT_ALLOCATE, FAULT_DIE, true);
}

static void
one_failure_while_rewriting_loses_nothing(void **state)
{
    (void)state;
    toy_lives_everywhere(&lives, FAULT_WRITE, FAULT_EIO, false);
    toy_lives_everywhere(&lives, FAULT_WRITE, FAULT_ENOSPC, false);
    toy_lives_everywhere(&lives, FAULT_SYNC, FAULT_EIO, true);
    toy_lives_everywhere(&lives, FAULT_ALLOCATE, FAULT_ENOSPC, false);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(death_while_rewriting_loses_nothing),
        cmocka_unit_test(a_power_cut_while_rewriting_loses_nothing),
        cmocka_unit_test(one_failure_while_rewriting_loses_nothing),
    };

    return cmocka_run_group_tests_name("crash_rewrite", tests, NULL, NULL);
}

#else

int
main(void)
{
    printf("SKIP crash_rewrite: this build has no fault points\n");
    return 0;
}

#endif
