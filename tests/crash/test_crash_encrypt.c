/* Dies at the n-th write, sync or directory change of an encrypted store that
 * replaces its data keys; or has one fail.  What was acknowledged is there
 * afterwards, the rotation goes on to its end, and all that is on disk has the
 * new key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "../lib/toy_lives.h"
#include "os/pool.h"
#include "os/thread.h"
#include "store/rotate.h"

#ifdef NQ_FAULTS

#define WRITES 60u

static const uint8_t master[] = "32 bytes that nobody should know";

/* Some writes; returns how many of all were acknowledged. */
static uint64_t
write_some(struct toy *t, uint64_t acked)
{
    for (unsigned i = 0; i < WRITES; i++) {
        if (toy_write(t) != NQ_OK)
            break;
        toy_turn(t);
        if (i % 8 == 7)
            toy_lives_settle(t);
        if (wal_durable(store_wal(t->st)) > t->last)
            acked = t->writes;
    }
    return acked;
}

static nq_rc
rotate(struct toy *t)
{
    struct rotate *r;
    nq_rc rc = rotate_new(t->st, &r);

    for (unsigned n = 0; rc == NQ_OK || rc == NQ_AGAIN; n++) {
        if ((rc = rotate_turn(r)) == NQ_OK)
            break;
        if (n % 3 == 0 && toy_write(t) != NQ_OK)
            break;
        toy_turn(t);
        if (pool_pending(t->pool) > 0)
            (void)pool_wait(t->pool);
        else
            thread_sleep_us(20);
    }
    rotate_free(r);
    return rc;
}

static uint64_t
work(struct toy *t)
{
    uint64_t acked = write_some(t, t->writes);

    if (rotate(t) == NQ_OK)
        acked = write_some(t, acked);
    return acked;
}

static void
on_finding(void *arg, const char *text)
{
    (void)arg;
    fail_msg("%s", text);
}

/* The opening before had a key of its own, and is through with it. */
static void
finish_rotation(struct toy *t)
{
    struct store_check_opts o = {
        .has_gaps = true, .read_extents = true, .report = on_finding};
    struct rotate_stats before, after;

    rotate_get_stats(t->st, &before);
    assert_true(before.is_on);
    assert_int_equal(rotate(t), NQ_OK);
    rotate_get_stats(t->st, &after);
    assert_false(after.is_due);
    assert_true(after.is_complete);
    assert_true(after.oldest > 1 && after.oldest >= before.oldest);
    toy_check(t);
    assert_int_equal(store_check(t->st, &o), NQ_OK);
}

/* A database in the clear, with a checkpoint and log behind it. */
static void
live_in_the_clear(struct toy *t)
{
    assert_int_equal(toy_open(t), NQ_OK);
    (void)write_some(t, 0);
    assert_int_equal(toy_checkpoint(t), NQ_OK);
    (void)write_some(t, 0);
    toy_settle(t);
    toy_abandon(t);
}

static const struct toy_lives lives = {
    .work = work,
    .after = finish_rotation,
    .master_key = master,
    .fsync = WAL_FSYNC_ALWAYS,
};

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

static void
power_cut_at_each_directory_change_loses_nothing(void **state)
{
    (void)state;
    toy_lives_everywhere(&lives, FAULT_DIR, FAULT_DIE, true);
}

static void
one_failure_at_each_operation_loses_nothing(void **state)
{
    (void)state;
    toy_lives_everywhere(&lives, FAULT_WRITE, FAULT_EIO, false);
    toy_lives_everywhere(&lives, FAULT_SYNC, FAULT_EIO, false);
    toy_lives_everywhere(&lives, FAULT_DIR, FAULT_EIO, false);
}

static void
power_cut_in_the_switch_from_the_clear_loses_nothing(void **state)
{
    struct toy_lives switching = lives;

    (void)state;
    switching.before = live_in_the_clear;
    toy_lives_everywhere(&switching, FAULT_WRITE, FAULT_DIE, true);
    toy_lives_everywhere(&switching, FAULT_SYNC, FAULT_DIE, true);
    toy_lives_everywhere(&switching, FAULT_DIR, FAULT_DIE, true);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(power_cut_in_the_switch_from_the_clear_loses_nothing),
        cmocka_unit_test(power_cut_at_each_write_loses_nothing),
        cmocka_unit_test(power_cut_at_each_sync_loses_nothing),
        cmocka_unit_test(power_cut_at_each_directory_change_loses_nothing),
        cmocka_unit_test(one_failure_at_each_operation_loses_nothing),
    };

    return cmocka_run_group_tests_name("crash_encrypt", tests, NULL, NULL);
}

#else

int
main(void)
{
    printf("SKIP crash_encrypt: this build has no fault points\n");
    return 0;
}

#endif
