/* Dies at the n-th write, sync, allocation or directory change of a workload
 * with checkpoints and evictions, for every n; opens again; what is there must
 * be a prefix of the writes that holds all that were acknowledged. */
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

#ifdef NQ_FAULTS

#define WRITES 240u
#define BUDGET_US 9000000u /* for each kind of operation */

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
        if (wal_settled(store_wal(t->st)) > t->last)
            acked = t->writes;
    }
    return acked;
}

/* One life with the fault in it, one after; false: the fault never came. */
static bool
live_and_die(enum fault_point point, uint64_t skip, enum fault_kind kind,
             bool power_cut, uint64_t seed)
{
    uint64_t acked = 0;
    struct toy t;
    bool came;

    toy_init(&t, seed);
    t.opts.pool_bytes = 48 * 4096;
    fault_clear();
    fault_record(power_cut);
    fault_after(point, skip, kind);
    if (toy_open(&t) == NQ_OK) {
        acked = work(&t);
        toy_abandon(&t);
    }
    came = fault_count(point) > skip;
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
    return came;
}

/* Every n, or as many as time allows, evenly spread. */
static void
die_everywhere(enum fault_point point, enum fault_kind kind, bool power_cut)
{
    uint64_t until = clock_mono_us() + BUDGET_US, step = 1, n = 0;
    uint64_t seed = toy_env_seed();

    log_set_level(LOG_ERROR + 1);
    /* Threads make the number of operations vary a little. */
    for (unsigned misses = 0; misses < 3; n += step) {
        misses += !live_and_die(point, n, kind, power_cut, seed);
        if (clock_mono_us() > until) {
            step *= 2;
            until += BUDGET_US / 8;
        }
    }
    printf("%llu points, last step %llu\n", (unsigned long long)n,
           (unsigned long long)step);
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

static void
death_at_each_directory_change_or_allocation_loses_nothing(void **state)
{
    (void)state;
    die_everywhere(FAULT_DIR, FAULT_DIE, true);
    die_everywhere(FAULT_ALLOCATE, FAULT_DIE, false);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(death_at_each_write_loses_nothing),
        cmocka_unit_test(death_at_each_sync_loses_nothing),
        cmocka_unit_test(power_cut_at_each_write_loses_nothing),
        cmocka_unit_test(power_cut_at_each_sync_loses_nothing),
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
