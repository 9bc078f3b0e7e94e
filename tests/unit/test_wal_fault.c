/* The log when the disk fails, is full, is slow, or loses its power. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "../lib/wal_fixture.h"
#include "base/log.h"
#include "base/rng.h"
#include "os/clock.h"
#include "os/fault.h"
#include "os/thread.h"

static int
clear_faults(void **state)
{
    (void)state;
    fault_clear();
    fault_slow_sync(0);
    return 0;
}

static uint64_t
seed_of_run(void)
{
    const char *env = getenv("SEED");
    uint64_t seed = env != NULL ? strtoull(env, NULL, 10) : rng_seed_from_os();

    print_message("SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

/* Until the log thread has nothing to do: faults are set between I/O. */
static void
wait_for_spare(struct wal_fixture *f)
{
    struct wal_stats st;

    do {
        thread_sleep_us(1000);
        wal_get_stats(f->w, &st);
    } while (st.segments < 2 || wal_durable(f->w) < st.written);
    thread_sleep_us(5000);
}

/* --- failures ------------------------------------------------------------- */

static void
fails_for_good(enum fault_point point, enum fault_kind kind)
{
    struct wal_fixture f;
    struct wal_stats st;
    uint64_t acknowledged, writes;
    lsn end;

    wal_fixture_init(&f, WAL_FSYNC_ALWAYS);
    wal_fixture_open(&f, 1);
    wal_fixture_frame(&f, 3, 50);
    assert_true(wal_fixture_settle(&f));
    acknowledged = f.put;
    wait_for_spare(&f);
    fault_after(point, 0, kind);
    wal_fixture_frame(&f, 1, 50);
    assert_true(wal_fixture_state(&f, NQ_EREADONLY));
    assert_false(wal_fixture_settle(&f));
    assert_int_equal(wal_fixture_put(&f, 1), NQ_EREADONLY);
    wal_get_stats(f.w, &st);
    assert_int_equal(st.error, NQ_EREADONLY);
    assert_non_null(strstr(st.error_text, "failed"));
    /* Nothing is tried again, by itself or on demand. */
    writes = fault_count(FAULT_WRITE) + fault_count(FAULT_SYNC);
    wal_sync_soon(f.w);
    wal_commit(f.w);
    thread_sleep_us(50000);
    assert_int_equal(fault_count(FAULT_WRITE) + fault_count(FAULT_SYNC),
                     writes);
    assert_int_equal(wal_close(f.w, &end), NQ_EREADONLY);
    fault_clear();
    wal_fixture_open(&f, 1);
    assert_in_range(f.replayed, acknowledged, acknowledged + 1);
    wal_fixture_close(&f);
    wal_fixture_fini(&f);
}

static void
a_failed_write_is_final(void **state)
{
    (void)state;
    fails_for_good(FAULT_WRITE, FAULT_EIO);
}

static void
a_torn_write_is_final(void **state)
{
    (void)state;
    fails_for_good(FAULT_WRITE, FAULT_SHORT);
}

static void
a_failed_sync_is_final(void **state)
{
    (void)state;
    fails_for_good(FAULT_SYNC, FAULT_EIO);
}

static void
a_failed_sync_of_the_helper_is_final(void **state)
{
    struct wal_fixture f;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_PERIODIC);
    wal_fixture_open(&f, 1);
    wait_for_spare(&f);
    fault_after(FAULT_SYNC, 0, FAULT_EIO);
    wal_fixture_frame(&f, 1, 50);
    assert_true(wal_fixture_state(&f, NQ_EREADONLY));
    assert_true(wal_durable(f.w) < wal_position(f.w));
    wal_fixture_fini(&f);
}

static void
who_waits_is_woken_by_a_failure(void **state)
{
    struct wal_fixture f;
    unsigned before;
    lsn at;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_ALWAYS);
    wal_fixture_open(&f, 1);
    wait_for_spare(&f);
    fault_after(FAULT_SYNC, 0, FAULT_EIO);
    before = atomic_load(&f.wakes);
    at = wal_fixture_frame(&f, 1, 50);
    wal_wake_at(f.w, at);
    assert_true(wal_fixture_state(&f, NQ_EREADONLY));
    for (unsigned i = 0; atomic_load(&f.wakes) == before; i++) {
        assert_true(i < 10000);
        thread_sleep_us(100);
    }
    /* And at once, if the failure is known. */
    before = atomic_load(&f.wakes);
    wal_wake_at(f.w, at);
    assert_int_equal(atomic_load(&f.wakes), before + 1);
    wal_fixture_fini(&f);
}

static void
one_turn_gets_one_answer(void **state)
{
    struct wal_fixture f;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_ALWAYS);
    wal_fixture_open(&f, 1);
    wait_for_spare(&f);
    wal_fixture_frame(&f, 1, 10);
    assert_true(wal_fixture_settle(&f));
    fault_slow_sync(30000);
    fault_after(FAULT_SYNC, 0, FAULT_EIO);
    wal_fixture_frame(&f, 1, 10);
    wal_begin_group(f.w);
    assert_int_equal(wal_fixture_put(&f, 10), NQ_OK);
    thread_sleep_us(100000); /* the sync has failed by now */
    assert_int_equal(wal_writable(f.w), NQ_OK);
    assert_int_equal(wal_fixture_put(&f, 10), NQ_OK);
    wal_end_group(f.w);
    wal_commit(f.w);
    assert_int_equal(wal_writable(f.w), NQ_EREADONLY);
    wal_fixture_fini(&f);
}

/* --- a full disk ---------------------------------------------------------- */

static void
fill_segment(struct wal_fixture *f)
{
    for (unsigned i = 0; i < 14; i++) {
        wal_fixture_frame(f, 1, 4000);
        assert_true(wal_fixture_settle(f));
    }
}

static void
a_full_disk_refuses_before_acknowledging_and_heals(void **state)
{
    struct wal_fixture f;
    struct wal_stats st;
    unsigned room = 0;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_ALWAYS);
    wal_fixture_open(&f, 1);
    wait_for_spare(&f);
    /* The spare becomes the segment; no next spare can be had. */
    fault_after(FAULT_ALLOCATE, 0, FAULT_ENOSPC);
    fill_segment(&f);
    while (wal_writable(f.w) == NQ_OK && room++ < 10) {
        wal_fixture_frame(&f, 1, 4000);
        assert_true(wal_fixture_settle(&f));
        thread_sleep_us(1000);
    }
    assert_int_equal(wal_writable(f.w), NQ_ENOSPC);
    assert_int_equal(wal_fixture_put(&f, 1), NQ_ENOSPC);
    wal_get_stats(f.w, &st);
    assert_int_equal(st.error, NQ_ENOSPC);
    assert_true(wal_settled(f.w) == wal_position(f.w));
    /* A second later it is tried again, and there is space. */
    assert_true(wal_fixture_state(&f, NQ_OK));
    wal_fixture_frame(&f, 1, 4000);
    assert_true(wal_fixture_settle(&f));
    room = (unsigned)f.put;
    wal_fixture_close(&f);
    wal_fixture_open(&f, 1);
    assert_int_equal(f.replayed, room);
    wal_fixture_close(&f);
    wal_fixture_fini(&f);
}

static void
released_segments_end_a_shortage_at_once(void **state)
{
    struct wal_fixture f;
    lsn keep;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_ALWAYS);
    wal_fixture_open(&f, 1);
    wait_for_spare(&f);
    fault_after(FAULT_ALLOCATE, 0, FAULT_ENOSPC);
    fill_segment(&f);
    while (wal_writable(f.w) == NQ_OK)
        wal_fixture_frame(&f, 1, 4000);
    assert_true(wal_fixture_settle(&f));
    fault_after(FAULT_ALLOCATE, 0, FAULT_ENOSPC); /* still none */
    keep = wal_position(f.w);
    wal_release(f.w, keep, 1);
    assert_true(wal_fixture_state(&f, NQ_OK));
    wal_fixture_fini(&f);
}

static void
a_log_opens_on_a_full_disk(void **state)
{
    struct wal_fixture f;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_ALWAYS);
    fault_after(FAULT_ALLOCATE, 0, FAULT_ENOSPC);
    wal_fixture_open(&f, 1);
    assert_int_equal(wal_writable(f.w), NQ_ENOSPC);
    assert_true(wal_fixture_state(&f, NQ_OK));
    wal_fixture_frame(&f, 1, 100);
    wal_fixture_close(&f);
    wal_fixture_open(&f, 1);
    assert_int_equal(f.replayed, 1);
    wal_fixture_close(&f);
    wal_fixture_fini(&f);
}

/* --- a slow disk ---------------------------------------------------------- */

static void
one_slow_sync_covers_what_came_meanwhile(void **state)
{
    struct wal_fixture f;
    struct wal_stats st;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_ALWAYS);
    wal_fixture_open(&f, 1);
    wait_for_spare(&f);
    fault_slow_sync(10000);
    for (unsigned i = 0; i < 200; i++)
        wal_fixture_frame(&f, 1, 20);
    assert_true(wal_fixture_settle(&f));
    wal_get_stats(f.w, &st);
    assert_in_range(st.syncs, 1, 6);
    assert_true(st.sync_us_max >= 10000);
    wal_fixture_close(&f);
    wal_fixture_fini(&f);
}

/* Periodic: the disk takes its time, those who write do not. */
static void
a_slow_sync_holds_nobody_up_unless_always(void **state)
{
    struct wal_fixture f;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_PERIODIC);
    f.opts.fsync_interval_ms = 1;
    wal_fixture_open(&f, 1);
    wait_for_spare(&f);
    fault_slow_sync(200000);
    for (unsigned i = 0; i < 50; i++) {
        uint64_t began = clock_mono_us();

        wal_fixture_frame(&f, 1, 20);
        assert_true(wal_fixture_settle(&f));
        assert_true(clock_mono_us() - began < 150000);
        thread_sleep_us(2000);
    }
    assert_true(wal_durable(f.w) < wal_position(f.w));
    fault_slow_sync(0);
    wal_set_fsync(f.w, WAL_FSYNC_ALWAYS, 0);
    wal_fixture_frame(&f, 1, 20);
    assert_true(wal_fixture_settle(&f));
    assert_true(wal_durable(f.w) == wal_position(f.w));
    wal_fixture_close(&f);
    wal_fixture_fini(&f);
}

/* --- crashes -------------------------------------------------------------- */

/* Frames of mixed sizes over several segments, with releases, until the
 * disk dies.  Returns the number of the last effect known as settled. */
static uint64_t
work_until_death(struct wal_fixture *f, struct rng *rng, unsigned turns,
                 uint64_t *first)
{
    uint64_t settled = f->put;

    for (unsigned n = 0; n < turns && wal_writable(f->w) == NQ_OK; n++) {
        for (uint64_t k = rng_below(rng, 4) + 1; k > 0; k--)
            assert_int_equal(wal_fixture_put(f, rng_below(rng, 2500)), NQ_OK);
        wal_commit(f->w);
        if (rng_below(rng, 3) == 0) {
            if (!wal_fixture_durable(f))
                break;
            settled = f->put;
        }
        if (rng_below(rng, 20) == 0 && wal_fixture_durable(f)) {
            settled = f->put;
            f->start.from = f->start.durable = wal_position(f->w);
            *first = f->put + 1;
            wal_release(f->w, f->start.from, 1);
        }
    }
    wal_abandon(f->w);
    f->w = NULL;
    return settled;
}

static void
check_after_crash(struct wal_fixture *f, uint64_t first, uint64_t settled)
{
    wal_fixture_open(f, first);
    assert_true(f->replayed >= settled);
    wal_fixture_frame(f, 2, 700);
    wal_fixture_close(f);
    wal_fixture_open(f, first);
    assert_int_equal(f->replayed, f->put);
    wal_fixture_close(f);
}

/* From the n-th operation on nothing reaches the disk, for each n and kind;
 * what was not synced is lost, kept or torn besides. */
static void
dying_at_any_operation_loses_nothing_durable(void **state)
{
    static const enum fault_point points[] = {FAULT_WRITE, FAULT_SYNC,
                                              FAULT_ALLOCATE, FAULT_DIR};
    uint64_t seed = seed_of_run();

    (void)state;
    for (unsigned p = 0; p < 4; p++) {
        bool died = true;

        for (uint64_t n = 0; died && n < 60; n++) {
            struct wal_fixture f;
            uint64_t first = 1, settled;
            struct rng rng;

            rng_seed(&rng, seed + n);
            wal_fixture_init(&f, WAL_FSYNC_NEVER);
            f.opts.segment_size = 16 << 10;
            fault_record(true);
            wal_fixture_open(&f, 1);
            wait_for_spare(&f);
            fault_after(points[p], n, FAULT_DIE);
            settled = work_until_death(&f, &rng, 40, &first);
            died = fault_is_dead();
            fault_clear();
            fault_power_cut(seed + n);
            fault_record(false);
            check_after_crash(&f, first, settled);
            wal_fixture_fini(&f);
        }
    }
}

static void
power_cuts_lose_nothing_durable(void **state)
{
    uint64_t seed = seed_of_run();

    (void)state;
    for (uint64_t n = 0; n < 200; n++) {
        struct wal_fixture f;
        uint64_t first = 1, settled;
        struct rng rng;

        rng_seed(&rng, seed + n);
        wal_fixture_init(&f, (enum wal_fsync)(n % 3));
        f.opts.segment_size = 16 << 10;
        fault_record(true);
        wal_fixture_open(&f, 1);
        settled = work_until_death(&f, &rng, 30, &first);
        fault_power_cut(seed + n);
        check_after_crash(&f, first, settled);
        fault_record(false);
        wal_fixture_fini(&f);
    }
}

/* A kill leaves frames in the kernel's memory only; the next life must not
 * build on them before they are on the disk. */
static void
what_a_kill_left_is_made_durable_by_the_next_life(void **state)
{
    uint64_t seed = seed_of_run();

    (void)state;
    for (uint64_t n = 0; n < 20; n++) {
        struct wal_fixture f;

        wal_fixture_init(&f, WAL_FSYNC_NEVER);
        fault_record(true);
        wal_fixture_open(&f, 1);
        wal_fixture_frame(&f, 5, 900);
        assert_true(wal_fixture_settle(&f));
        wal_abandon(f.w);
        wal_fixture_open(&f, 1);
        wal_fixture_frame(&f, 1, 900);
        assert_true(wal_fixture_durable(&f));
        wal_abandon(f.w);
        fault_power_cut(seed + n);
        check_after_crash(&f, 1, 6);
        fault_record(false);
        wal_fixture_fini(&f);
    }
}

/* Recovery begins where one segment ends and the next one begins, but the
 * header of the next is not synced: the old one has to stay. */
static void
a_segment_stays_until_the_next_header_is_synced(void **state)
{
    uint64_t seed = seed_of_run();

    (void)state;
    for (uint64_t n = 0; n < 10; n++) {
        struct wal_fixture f;
        uint64_t first;

        wal_fixture_init(&f, WAL_FSYNC_NEVER);
        f.opts.segment_size = 16 << 10;
        fault_record(true);
        wal_fixture_open(&f, 1);
        wal_fixture_frame(&f, 1, 12000);
        assert_true(wal_fixture_durable(&f));
        f.start.from = f.start.durable = wal_position(f.w);
        first = f.put + 1;
        wal_fixture_frame(&f, 1, 5000); /* in the next segment, not synced */
        assert_true(wal_fixture_settle(&f));
        wal_release(f.w, f.start.from, 1);
        thread_sleep_us(20000);
        wal_abandon(f.w);
        fault_power_cut(seed + n);
        fault_record(false);
        check_after_crash(&f, first, first - 1);
        wal_fixture_fini(&f);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_failed_write_is_final, clear_faults),
        cmocka_unit_test_teardown(a_torn_write_is_final, clear_faults),
        cmocka_unit_test_teardown(a_failed_sync_is_final, clear_faults),
        cmocka_unit_test_teardown(a_failed_sync_of_the_helper_is_final,
                                  clear_faults),
        cmocka_unit_test_teardown(who_waits_is_woken_by_a_failure,
                                  clear_faults),
        cmocka_unit_test_teardown(one_turn_gets_one_answer, clear_faults),
        cmocka_unit_test_teardown(
            a_full_disk_refuses_before_acknowledging_and_heals, clear_faults),
        cmocka_unit_test_teardown(released_segments_end_a_shortage_at_once,
                                  clear_faults),
        cmocka_unit_test_teardown(a_log_opens_on_a_full_disk, clear_faults),
        cmocka_unit_test_teardown(one_slow_sync_covers_what_came_meanwhile,
                                  clear_faults),
        cmocka_unit_test_teardown(a_slow_sync_holds_nobody_up_unless_always,
                                  clear_faults),
        cmocka_unit_test_teardown(dying_at_any_operation_loses_nothing_durable,
                                  clear_faults),
        cmocka_unit_test_teardown(power_cuts_lose_nothing_durable,
                                  clear_faults),
        cmocka_unit_test_teardown(
            a_segment_stays_until_the_next_header_is_synced, clear_faults),
        cmocka_unit_test_teardown(
            what_a_kill_left_is_made_durable_by_the_next_life, clear_faults),
    };

    /* Faults are on purpose here. */
    (void)log_set_file(getenv("LOG") != NULL ? getenv("LOG") : "/dev/null", 0,
                       0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
