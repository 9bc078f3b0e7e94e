/* Stores as a whole: checkpoints, reopening, small pools. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "../lib/toy.h"

static void
write_many(struct toy *t, unsigned n)
{
    while (n-- > 0) {
        assert_int_equal(toy_write(t), NQ_OK);
        toy_turn(t);
    }
}

static void
checkpoint_and_log_survive_reopening(void **state)
{
    struct toy t;

    (void)state;
    toy_init(&t, toy_env_seed());
    assert_int_equal(toy_open(&t), NQ_OK);
    write_many(&t, 500);
    assert_int_equal(toy_checkpoint(&t), NQ_OK);
    write_many(&t, 300);
    toy_check(&t);
    assert_int_equal(toy_close(&t, false), NQ_OK);
    assert_int_equal(toy_open(&t), NQ_OK);
    assert_int_equal(t.writes, 800);
    toy_check(&t);
    assert_int_equal(toy_close(&t, true), NQ_OK);
    assert_int_equal(toy_open(&t), NQ_OK);
    assert_int_equal(t.writes, 800);
    toy_check(&t);
    assert_int_equal(toy_close(&t, true), NQ_OK);
    toy_fini(&t);
}

static void
pool_of_16_frames_holds_all_the_data_in_turn(void **state)
{
    struct toy t;
    struct frames_stats s;

    (void)state;
    toy_init(&t, toy_env_seed());
    t.opts.pool_bytes = 16 * 4096;
    assert_int_equal(toy_open(&t), NQ_OK);
    for (unsigned i = 0; i < 10; i++) {
        write_many(&t, 150);
        if (i % 3 == 2)
            assert_int_equal(toy_checkpoint(&t), NQ_OK);
        toy_check(&t);
    }
    frames_get_stats(t.fr, &s);
    assert_true(s.evictions > 1000 && t.misses > 1000);
    assert_true(s.used_bytes < 40 * 4096);
    toy_settle(&t);
    toy_abandon(&t);
    assert_int_equal(toy_open(&t), NQ_OK);
    assert_int_equal(t.writes, 1500);
    toy_check(&t);
    assert_int_equal(toy_close(&t, true), NQ_OK);
    toy_fini(&t);
}

/* I3: what is written while a checkpoint runs is not part of it, whatever is
 * flushed and evicted meanwhile. */
static void
writes_during_a_checkpoint_are_not_in_it(void **state)
{
    struct toy t;

    (void)state;
    toy_init(&t, toy_env_seed());
    t.opts.pool_bytes = 32 * 4096;
    assert_int_equal(toy_open(&t), NQ_OK);
    for (unsigned round = 0; round < 30; round++) {
        write_many(&t, 20);
        store_checkpoint(t.st, NULL, NULL);
        write_many(&t, 60);
        if (round % 5 == 4) {
            toy_settle(&t);
            toy_abandon(&t);
            assert_int_equal(toy_open(&t), NQ_OK);
        }
        toy_check(&t);
    }
    assert_int_equal(t.writes, 30 * 80);
    assert_int_equal(toy_close(&t, true), NQ_OK);
    toy_fini(&t);
}

static void
other_page_size_is_refused(void **state)
{
    struct toy t;

    (void)state;
    toy_init(&t, 1);
    assert_int_equal(toy_open(&t), NQ_OK);
    assert_int_equal(toy_close(&t, true), NQ_OK);
    t.opts.page_size = 8192;
    assert_int_equal(toy_open(&t), NQ_EMISMATCH);
    t.opts.page_size = 0;
    assert_int_equal(toy_open(&t), NQ_OK);
    assert_int_equal(store_page_size(t.st), 4096);
    assert_int_equal(toy_close(&t, true), NQ_OK);
    toy_fini(&t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checkpoint_and_log_survive_reopening),
        cmocka_unit_test(pool_of_16_frames_holds_all_the_data_in_turn),
        cmocka_unit_test(writes_during_a_checkpoint_are_not_in_it),
        cmocka_unit_test(other_page_size_is_refused),
    };

    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
