/* Dies at the n-th write, sync, allocation or directory change of a workload
 * with checkpoints and evictions, for every n; or has it fail once, whole or
 * in part; opens again; what is there must be a prefix of the writes that
 * holds all that were acknowledged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../lib/toy.h"
#include "base/log.h"
#include "os/clock.h"
#include "os/fault.h"
#include "os/thread.h"
#include "store/store_int.h"

#ifdef NQ_FAULTS

#define WRITES 240u
#define BUDGET_US 3000000u /* for each kind of operation */
#define NEVER UINT64_MAX

static enum wal_fsync fsync_mode = WAL_FSYNC_ALWAYS;

/* Until the log has it all, or never will. */
static void
settle(struct toy *t)
{
    struct wal *w = store_wal(t->st);

    while (wal_settled(w) <= t->last && wal_writable(w) == NQ_OK)
        thread_sleep_us(20);
}

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
            settle(t);
        if (i % 2 == 0 && pool_pending(t->pool) > 0)
            (void)pool_wait(t->pool);
        if (wal_durable(store_wal(t->st)) > t->last)
            acked = t->writes;
    }
    return acked;
}

/* One life with the fault in it, one after; returns how many operations of
 * the kind the first one saw. */
static uint64_t
live_and_die(enum fault_point point, uint64_t skip, enum fault_kind kind,
             bool power_cut, uint64_t seed)
{
    uint64_t acked = 0, count;
    struct toy t;

    toy_init(&t, seed);
    t.opts.pool_bytes = 48 * 4096;
    t.opts.wal.fsync = fsync_mode;
    t.opts.wal.fsync_interval_ms = 5;
    fault_clear();
    fault_record(power_cut);
    if (skip != NEVER)
        fault_after(point, skip, kind);
    if (toy_open(&t) == NQ_OK) {
        t.st->disk.retry_step_us = 1000;
        acked = work(&t);
        toy_abandon(&t);
    }
    count = fault_count(point);
    if (power_cut)
        fault_power_cut(seed + skip);
    fault_record(false);
    fault_clear();

    assert_int_equal(toy_open(&t), NQ_OK);
    assert_true(t.writes >= acked);
    toy_check(&t);
    assert_int_equal(toy_checkpoint(&t), NQ_OK);
    assert_int_equal(toy_close(&t, true), NQ_OK);
    toy_fini(&t);
    return count;
}

/* Every n, or as many as time allows: each seed takes others then. */
static void
die_everywhere(enum fault_point point, enum fault_kind kind, bool power_cut)
{
    uint64_t seed = toy_env_seed(), began = clock_mono_us();
    uint64_t count, step, lives = 0;

    log_set_level(LOG_ERROR + 1);
    count = live_and_die(point, NEVER, kind, power_cut, seed);
    step = 1 + count * (clock_mono_us() - began) / BUDGET_US;
    for (uint64_t n = seed % step; n < count; n += step, lives++)
        (void)live_and_die(point, n, kind, power_cut, seed);
    printf("%llu of %llu points\n", (unsigned long long)lives,
           (unsigned long long)count);
}

static void
death_at_each_write_loses_nothing(void **state)
{
    (void)state;
    die_everywhere(FAULT_WRITE, FAULT_DIE, false);
}

static void
death_at_each_sync_loses_nothing(void **state)
{
    (void)state;
    die_everywhere(FAULT_SYNC, FAULT_DIE, false);
}

static void
power_cut_at_each_write_loses_nothing(void **state)
{
    (void)state;
    die_everywhere(FAULT_WRITE, FAULT_DIE, true);
}

static void
power_cut_at_each_sync_loses_nothing(void **state)
{
    (void)state;
    die_everywhere(FAULT_SYNC, FAULT_DIE, true);
}

/* Only what was durable counts then, but it must be a prefix all the same. */
static void
power_cut_between_syncs_leaves_a_prefix(void **state)
{
    (void)state;
    fsync_mode = WAL_FSYNC_PERIODIC;
    die_everywhere(FAULT_WRITE, FAULT_DIE, true);
    fsync_mode = WAL_FSYNC_NEVER;
    die_everywhere(FAULT_SYNC, FAULT_DIE, true);
    fsync_mode = WAL_FSYNC_ALWAYS;
}

static void
death_at_each_directory_change_or_allocation_loses_nothing(void **state)
{
    (void)state;
    die_everywhere(FAULT_DIR, FAULT_DIE, true);
    die_everywhere(FAULT_ALLOCATE, FAULT_DIE, false);
}

/* The server lives on: pages are written again, or the log takes no more. */
static void
one_failure_at_each_operation_loses_nothing(void **state)
{
    (void)state;
    die_everywhere(FAULT_WRITE, FAULT_EIO, false);
    die_everywhere(FAULT_WRITE, FAULT_SHORT, false);
    die_everywhere(FAULT_WRITE, FAULT_ENOSPC, false);
    die_everywhere(FAULT_SYNC, FAULT_EIO, false);
    die_everywhere(FAULT_ALLOCATE, FAULT_ENOSPC, false);
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
