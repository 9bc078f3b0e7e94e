/* The log when nothing goes wrong: appending, settling, growing, recycling,
 * reading back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "os/thread.h"
#include "store/wal_int.h"
#include "../lib/wal_fixture.h"

static const enum wal_fsync strategies[] = {
    WAL_FSYNC_ALWAYS, WAL_FSYNC_PERIODIC, WAL_FSYNC_NEVER};

static void
effects_come_back_in_order_under_each_strategy(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct wal_fixture f;

        wal_fixture_init(&f, strategies[i]);
        wal_fixture_open(&f, 1);
        for (unsigned n = 0; n < 200; n++)
            wal_fixture_frame(&f, 1 + n % 5, n * 3);
        assert_true(wal_fixture_settle(&f));
        wal_fixture_close(&f);
        wal_fixture_open(&f, 1);
        assert_int_equal(f.replayed, 600);
        wal_fixture_close(&f);
        wal_fixture_fini(&f);
    }
}

/* As kill -9: whatever is settled is with the kernel. */
static void
settled_effects_survive_an_abandoned_log(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct wal_fixture f;

        wal_fixture_init(&f, strategies[i]);
        wal_fixture_open(&f, 1);
        wal_fixture_frame(&f, 7, 100);
        assert_true(wal_fixture_settle(&f));
        wal_abandon(f.w);
        wal_fixture_open(&f, 1);
        assert_int_equal(f.replayed, 7);
        wal_fixture_close(&f);
        wal_fixture_fini(&f);
    }
}

static void
always_settles_only_what_is_durable(void **state)
{
    struct wal_fixture f;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_ALWAYS);
    wal_fixture_open(&f, 1);
    for (unsigned n = 0; n < 50; n++) {
        lsn at = wal_fixture_frame(&f, 1, 10);

        if (wal_settled(f.w) > at)
            assert_true(wal_durable(f.w) > at);
        assert_true(wal_fixture_settle(&f));
        assert_true(wal_durable(f.w) == wal_position(f.w));
    }
    wal_fixture_close(&f);
    wal_fixture_fini(&f);
}

static void
never_syncs_only_when_asked(void **state)
{
    struct wal_fixture f;
    struct wal_stats st;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_NEVER);
    wal_fixture_open(&f, 1);
    wal_fixture_frame(&f, 1, 10);
    assert_true(wal_fixture_settle(&f));
    wal_get_stats(f.w, &st);
    assert_int_equal(st.syncs, 0);
    assert_true(wal_durable(f.w) < wal_position(f.w));
    assert_true(wal_fixture_durable(&f));
    wal_get_stats(f.w, &st);
    assert_int_equal(st.syncs, 1);
    assert_true(st.sync_us.count == 1 && st.sync_us_max >= st.sync_us_last);
    wal_fixture_close(&f);
    wal_fixture_fini(&f);
}

static void
a_sync_asked_for_within_a_turn_covers_its_frame(void **state)
{
    struct wal_fixture f;
    unsigned before;
    lsn at;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_NEVER);
    wal_fixture_open(&f, 1);
    before = atomic_load(&f.wakes);
    at = wal_position(f.w);
    assert_int_equal(wal_fixture_put(&f, 10), NQ_OK);
    wal_sync_soon(f.w);
    wal_commit(f.w);
    for (unsigned i = 0;
         wal_durable(f.w) <= at || atomic_load(&f.wakes) == before; i++) {
        assert_true(i < 100000);
        thread_sleep_us(100);
    }
    wal_fixture_close(&f);
    wal_fixture_fini(&f);
}

static void
periodic_syncs_by_itself(void **state)
{
    struct wal_fixture f;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_PERIODIC);
    wal_fixture_open(&f, 1);
    wal_fixture_frame(&f, 1, 10);
    for (unsigned i = 0; wal_durable(f.w) < wal_position(f.w); i++) {
        assert_true(i < 100000);
        thread_sleep_us(100);
    }
    wal_fixture_close(&f);
    wal_fixture_fini(&f);
}

static void
the_strategy_can_change_while_frames_wait(void **state)
{
    struct wal_fixture f;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_NEVER);
    wal_fixture_open(&f, 1);
    for (unsigned n = 0; n < 300; n++) {
        wal_fixture_frame(&f, 1, 10);
        wal_set_fsync(f.w, strategies[n % 3], 10000);
        assert_true(wal_fixture_settle(&f));
    }
    wal_fixture_close(&f);
    wal_fixture_fini(&f);
}

static void
the_loop_is_woken_when_it_asked(void **state)
{
    struct wal_fixture f;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_ALWAYS);
    wal_fixture_open(&f, 1);
    for (unsigned n = 0; n < 200; n++) {
        unsigned before = atomic_load(&f.wakes);
        lsn at = wal_fixture_frame(&f, 1, 10);

        wal_wake_at(f.w, at);
        for (unsigned i = 0; atomic_load(&f.wakes) == before; i++) {
            assert_true(i < 100000);
            thread_sleep_us(50);
        }
        assert_true(wal_settled(f.w) > at);
    }
    wal_fixture_close(&f);
    wal_fixture_fini(&f);
}

static void
a_group_is_never_split_between_frames(void **state)
{
    struct wal_fixture f;
    struct wal_record rec;
    lsn at;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_NEVER);
    wal_fixture_open(&f, 1);
    wal_begin_group(f.w);
    at = wal_position(f.w);
    for (unsigned n = 0; n < 100; n++) {
        assert_int_equal(wal_fixture_put(&f, 3000), NQ_OK);
        wal_commit(f.w); /* held back by the group */
        assert_int_equal(wal_position(f.w), at);
    }
    wal_end_group(f.w);
    wal_commit(f.w);
    wal_fixture_close(&f);

    assert_int_equal(wal_open(&f.opts, &f.start, &f.w), NQ_OK);
    for (unsigned n = 1; n <= 100; n++) {
        assert_int_equal(wal_replay_next(f.w, &rec), NQ_OK);
        assert_int_equal(rec.frame, at);
        assert_int_equal(rec.is_last, n == 100);
    }
    assert_int_equal(wal_replay_next(f.w, &rec), NQ_NOTFOUND);
    wal_fixture_fini(&f);
}

/* The disk is held up; the loop appends far more than the buffer holds. */
static void
appending_never_waits_and_the_buffer_grows(void **state)
{
    struct wal_fixture f;
    bool was_full = false;
    uint64_t put;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_NEVER);
    wal_fixture_open(&f, 1);
    for (unsigned n = 0; n < 300; n++) {
        for (unsigned k = 0; k < 1 + n % 7; k++)
            assert_int_equal(wal_fixture_put(&f, (n * 997) % 9000), NQ_OK);
        was_full |= wal_is_full(f.w);
        if (n % 3 == 0)
            wal_commit(f.w);
    }
    assert_true(was_full);
    wal_commit(f.w);
    assert_true(wal_fixture_settle(&f));
    assert_false(wal_is_full(f.w));
    put = f.put;
    wal_fixture_close(&f);
    wal_fixture_open(&f, 1);
    assert_int_equal(f.replayed, put);
    wal_fixture_close(&f);
    wal_fixture_fini(&f);
}

static void
a_value_larger_than_buffer_and_segment_fits(void **state)
{
    struct wal_fixture f;
    uint64_t used;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_ALWAYS);
    wal_fixture_open(&f, 1);
    wal_fixture_frame(&f, 1, 100);
    wal_fixture_frame(&f, 2, 5 << 20);
    wal_fixture_frame(&f, 1, 100);
    assert_true(wal_fixture_settle(&f));
    /* Its memory and, once released, its file are given back. */
    wal_commit(f.w);
    used = mem_used();
    assert_true(used < (4 << 20));
    wal_release(f.w, wal_position(f.w), 0);
    wal_fixture_frame(&f, 1, 60 << 10);
    wal_fixture_close(&f);
    f.start.from = 0;
    wal_fixture_fini(&f);
}

static void
a_lightly_loaded_log_touches_little_memory(void **state)
{
    struct wal_fixture f;
    uint64_t before;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_NEVER);
    f.opts.segment_size = f.opts.buffer_size = 16 << 20;
    wal_fixture_open(&f, 1);
    before = mem_used();
    for (unsigned n = 0; n < 5000; n++) {
        wal_fixture_frame(&f, 1, 100);
        if (n % 50 == 0)
            assert_true(wal_fixture_settle(&f));
    }
    assert_true(wal_fixture_settle(&f));
    assert_true(mem_used() < before + 65536);
    wal_fixture_close(&f);
    wal_fixture_fini(&f);
}

static void
old_segments_are_recycled_and_stay_few(void **state)
{
    struct wal_fixture f;
    struct wal_stats st;
    uint64_t first = 1;
    lsn keep = 0;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_NEVER);
    wal_fixture_open(&f, 1);
    for (unsigned n = 0; n < 40; n++) {
        keep = wal_position(f.w);
        first = f.put + 1;
        for (unsigned k = 0; k < 10; k++)
            wal_fixture_frame(&f, 2, 4000);
        assert_true(wal_fixture_durable(&f));
        wal_release(f.w, keep, 2);
    }
    wal_fixture_frame(&f, 1, 10);
    assert_true(wal_fixture_durable(&f));
    wal_get_stats(f.w, &st);
    assert_true(st.recycled > 10);
    assert_true(st.segments <= 2 + 3 + WAL_SPARES_MAX);
    assert_true(st.oldest <= keep);
    wal_fixture_close(&f);

    f.start = (struct wal_start){.from = keep, .durable = keep};
    wal_fixture_open(&f, first);
    assert_int_equal(f.replayed, 801);
    wal_fixture_close(&f);
    wal_fixture_fini(&f);
}

static void
segments_asked_to_be_kept_are_kept(void **state)
{
    struct wal_fixture f;
    struct wal_stats st;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_NEVER);
    wal_fixture_open(&f, 1);
    for (unsigned n = 0; n < 100; n++)
        wal_fixture_frame(&f, 1, 6000);
    assert_true(wal_fixture_durable(&f));
    wal_release(f.w, wal_position(f.w), 100);
    wal_fixture_frame(&f, 1, 10);
    assert_true(wal_fixture_durable(&f));
    wal_get_stats(f.w, &st);
    assert_true(st.oldest == WAL_FIRST_LSN && st.recycled == 0);
    wal_fixture_close(&f);
    wal_fixture_open(&f, 1);
    assert_int_equal(f.replayed, 101);
    wal_fixture_close(&f);
    wal_fixture_fini(&f);
}

static void
lsns_only_grow_over_many_restarts(void **state)
{
    struct wal_fixture f;
    lsn last = 0;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_ALWAYS);
    for (unsigned n = 0; n < 20; n++) {
        wal_fixture_open(&f, 1);
        assert_int_equal(f.replayed, 3 * n);
        assert_true(wal_position(f.w) > last);
        last = wal_position(f.w);
        assert_true(wal_settled(f.w) == last);
        wal_fixture_frame(&f, 3, 1000);
        if (n % 2 == 0) {
            wal_fixture_close(&f);
        } else {
            assert_true(wal_fixture_settle(&f));
            wal_abandon(f.w);
        }
    }
    f.w = NULL;
    wal_fixture_fini(&f);
}

static void
opening_again_without_writing_leaves_no_files_behind(void **state)
{
    struct wal_fixture f;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_ALWAYS);
    for (unsigned n = 0; n < 10; n++) {
        wal_fixture_open(&f, 1);
        wal_fixture_close(&f);
    }
    assert_int_equal(wal_fixture_size(&f, 6), 0);
    wal_fixture_fini(&f);
}

static void
tools_read_without_changing_anything(void **state)
{
    struct wal_fixture f, copy;
    size_t len, len2;
    uint8_t *a, *b;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_ALWAYS);
    wal_fixture_init(&copy, WAL_FSYNC_ALWAYS);
    wal_fixture_open(&f, 1);
    wal_fixture_frame(&f, 3, 1000);
    wal_fixture_close(&f);
    wal_fixture_copy(&copy, &f);
    f.start.read_only = true;
    assert_int_equal(wal_fixture_replay(&f, 1), NQ_OK);
    assert_int_equal(f.replayed, 3);
    wal_fixture_close(&f);
    a = wal_fixture_load(wal_fixture_path(&f, 1), &len);
    b = wal_fixture_load(wal_fixture_path(&copy, 1), &len2);
    assert_int_equal(len, len2);
    assert_memory_equal(a, b, len);
    nq_free(a);
    nq_free(b);
    wal_fixture_fini(&copy);
    wal_fixture_fini(&f);
}

static const char *
name_of(uint8_t effect)
{
    return effect == 2 ? "TWO" : NULL;
}

static void
a_dump_shows_segments_frames_and_records(void **state)
{
    struct wal_fixture f;
    char *text = NULL;
    size_t len = 0;
    FILE *out;
    lsn at;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_ALWAYS);
    wal_fixture_open(&f, 1);
    wal_fixture_frame(&f, 2, 10);
    at = wal_fixture_frame(&f, 1, 10);
    wal_fixture_close(&f);
    out = open_memstream(&text, &len);
    assert_int_equal(wal_dump(f.dir, 0, NULL, name_of, out), NQ_OK);
    fclose(out);
    assert_non_null(strstr(text, "segment 00000001 first-lsn 64 "));
    assert_non_null(strstr(text, "effect 1 db 1 key \"1\" args "));
    assert_non_null(strstr(text, "TWO db 2 key \"2\""));
    assert_non_null(strstr(text, "key \"3\""));
    free(text);
    out = open_memstream(&text, &len);
    assert_int_equal(wal_dump(f.dir, at, NULL, NULL, out), NQ_OK);
    fclose(out);
    assert_null(strstr(text, "key \"2\""));
    assert_non_null(strstr(text, "key \"3\""));
    free(text);
    wal_fixture_fini(&f);
}

static void
the_log_of_another_database_is_refused(void **state)
{
    struct wal_fixture f;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_ALWAYS);
    wal_fixture_open(&f, 1);
    wal_fixture_close(&f);
    f.opts.uuid[0] ^= 1;
    assert_int_equal(wal_fixture_replay(&f, 1), NQ_EMISMATCH);
    wal_fixture_fini(&f);
}

/* Any pattern of frames, sizes, commits, restarts and releases. */
static void
random_use_loses_nothing(void **state)
{
    const char *env = getenv("SEED");
    uint64_t seed = env != NULL ? strtoull(env, NULL, 10) : rng_seed_from_os();
    struct wal_fixture f;
    struct rng rng;
    uint64_t first = 1;

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&rng, seed);
    wal_fixture_init(&f, WAL_FSYNC_NEVER);
    f.opts.segment_size = 16 << 10;
    wal_fixture_open(&f, 1);
    for (unsigned n = 0; n < 3000; n++) {
        uint64_t dice = rng_below(&rng, 1000);

        if (dice < 700)
            assert_int_equal(wal_fixture_put(&f, rng_below(&rng, 300)), NQ_OK);
        else if (dice < 710)
            assert_int_equal(wal_fixture_put(&f, rng_below(&rng, 99999)),
                             NQ_OK);
        else if (dice < 990)
            wal_commit(f.w);
        else if (dice < 993) {
            wal_commit(f.w);
            f.start.from = f.start.durable = wal_position(f.w);
            first = f.put + 1;
            assert_true(wal_fixture_durable(&f));
            wal_release(f.w, f.start.from, (unsigned)rng_below(&rng, 3));
        } else {
            uint64_t put = f.put;

            wal_fixture_close(&f);
            wal_fixture_open(&f, first);
            assert_int_equal(f.replayed, put);
        }
    }
    wal_fixture_close(&f);
    wal_fixture_fini(&f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(effects_come_back_in_order_under_each_strategy),
        cmocka_unit_test(settled_effects_survive_an_abandoned_log),
        cmocka_unit_test(always_settles_only_what_is_durable),
        cmocka_unit_test(never_syncs_only_when_asked),
        cmocka_unit_test(a_sync_asked_for_within_a_turn_covers_its_frame),
        cmocka_unit_test(periodic_syncs_by_itself),
        cmocka_unit_test(the_strategy_can_change_while_frames_wait),
        cmocka_unit_test(the_loop_is_woken_when_it_asked),
        cmocka_unit_test(a_group_is_never_split_between_frames),
        cmocka_unit_test(appending_never_waits_and_the_buffer_grows),
        cmocka_unit_test(a_value_larger_than_buffer_and_segment_fits),
        cmocka_unit_test(a_lightly_loaded_log_touches_little_memory),
        cmocka_unit_test(old_segments_are_recycled_and_stay_few),
        cmocka_unit_test(segments_asked_to_be_kept_are_kept),
        cmocka_unit_test(lsns_only_grow_over_many_restarts),
        cmocka_unit_test(opening_again_without_writing_leaves_no_files_behind),
        cmocka_unit_test(tools_read_without_changing_anything),
        cmocka_unit_test(a_dump_shows_segments_frames_and_records),
        cmocka_unit_test(the_log_of_another_database_is_refused),
        cmocka_unit_test(random_use_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
