/* Dies at the n-th write, sync, allocation or directory change of a workload
 * with checkpoints and evictions, for every n; or has it fail once, whole or
 * in part; opens again; what is there must be a prefix of the writes that
 * holds all that were acknowledged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "../lib/toy_lives.h"
#include "os/pool.h"

#ifdef NQ_FAULTS

#define WRITES 240u

/* Returns how many writes were acknowledged before the end came. */
static uint64_t
work(struct toy *t)
{
    uint64_t acked = t->writes;

    for (unsigned i = 0; i < WRITES; i++) {
        if (i % 60 == 20)
            store_checkpoint(t->st, NULL, NULL);
        if (toy_write(t) != NQ_OK)
            break;
        toy_turn(t);
        if (i % 4 == 3)
            toy_lives_settle(t);
        if (i % 2 == 0 && pool_pending(t->pool) > 0)
            (void)pool_wait(t->pool);
        if (wal_durable(store_wal(t->st)) > t->last)
            acked = t->writes;
    }
    return acked;
}

static const struct toy_lives lives = {.work = work, .fsync = WAL_FSYNC_ALWAYS};

static void
death_at_each_write_loses_nothing(void **state)
{
    (void)state;
    toy_lives_everywhere(&lives, FAULT_WRITE, FAULT_DIE, false);
}

static void
death_at_each_sync_loses_nothing(void **state)
{
    (void)state;
    toy_lives_everywhere(&lives, FAULT_SYNC, FAULT_DIE, false);
}

static void
power_cut_at_each_write_loses_nothing(void **state)
{
    (void)state;
    toy_lives_everywhere(&lives, FAULT_WRITE, FAULT_DIE, true);
}

static void
power_cut_at_each_sync_loses_nothing(void **state)
{
    (void)state;
    toy_lives_everywhere(&lives, FAULT_SYNC, FAULT_DIE, true);
}

/* Only what was durable counts then, but it must be a prefix all the same. */
static void
power_cut_between_syncs_leaves_a_prefix(void **state)
{
    struct toy_lives l = {.work = work, .fsync = WAL_FSYNC_PERIODIC};

    (void)state;
    toy_lives_everywhere(&l, FAULT_WRITE, FAULT_DIE, true);
    l.fsync = WAL_FSYNC_NEVER;
    toy_lives_everywhere(&l, FAULT_SYNC, FAULT_DIE, true);
}

static void
death_at_each_directory_change_or_allocation_loses_nothing(void **state)
{
    (void)state;
    toy_lives_everywhere(&lives, FAULT_DIR, FAULT_DIE, true);
    toy_lives_everywhere(&lives, FAULT_ALLOCATE, FAULT_DIE, false);
}

/* The server lives on: pages are written again, or the log takes no more. */
static void
one_failure_at_each_operation_loses_nothing(void **state)
{
    (void)state;
    toy_lives_everywhere(&lives, FAULT_WRITE, FAULT_EIO, false);
    toy_lives_everywhere(&lives, FAULT_WRITE, FAULT_SHORT, false);
    toy_lives_everywhere(&lives, FAULT_WRITE, FAULT_ENOSPC, false);
    toy_lives_everywhere(&lives, FAULT_SYNC, FAULT_EIO, false);
    toy_lives_everywhere(&lives, FAULT_ALLOCATE, FAULT_ENOSPC, false);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_failure_at_each_operation_loses_nothing),
        cmocka_unit_test(death_at_each_write_loses_nothing),
        cmocka_unit_test(death_at_each_sync_loses_nothing),
        cmocka_unit_test(power_cut_at_each_write_loses_nothing),
        cmocka_unit_test(power_cut_at_each_sync_loses_nothing),
        cmocka_unit_test(power_cut_between_syncs_leaves_a_prefix),
        cmocka_unit_test(
            death_at_each_directory_change_or_allocation_loses_nothing),
    };

    return cmocka_run_group_tests_name("crash_store", tests, NULL, NULL);
}

#else

int
main(void)
{
    printf("SKIP crash_store: this build has no fault points\n");
    return 0;
}

#endif
