/* Stores as a whole: checkpoints, reopening, small pools. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "../lib/toy.h"
#include "os/file.h"
#include "store/superblock.h"

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
    toy_settle(&t);
    while (pool_wait(t.pool) > 0)
        toy_turn(&t); /* what is being flushed may be more than the pool */
    frames_get_stats(t.fr, &s);
    assert_true(s.evictions > 1000 && t.misses > 1000);
    assert_true(s.used_bytes < 40 * 4096);
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
flip(struct toy *t, uint64_t at)
{
    char path[100];
    struct file *f;
    uint8_t c;

    snprintf(path, sizeof path, "%s/data.nq", t->dir);
    assert_int_equal(file_open(path, FILE_WRITE, &f), NQ_OK);
    assert_int_equal(file_read(f, &c, 1, at), NQ_OK);
    c ^= 1;
    assert_int_equal(file_write(f, &c, 1, at), NQ_OK);
    file_close(f);
}

/* At rest, long after the older checkpoint's extents were used again, and
 * with a log that goes on behind the clean mark of an earlier shutdown. */
static void
either_superblock_may_rot(void **state)
{
    static const uint64_t at[] = {SUPERBLOCK_AT_A, SUPERBLOCK_AT_B};
    struct toy t;

    (void)state;
    toy_init(&t, toy_env_seed());
    assert_int_equal(toy_open(&t), NQ_OK);
    for (unsigned round = 0; round < 8; round++) {
        write_many(&t, 200);
        if (round % 4 < 2)
            assert_int_equal(toy_checkpoint(&t), NQ_OK);
        write_many(&t, 100);
        if (round % 4 == 3) {
            assert_int_equal(toy_close(&t, true), NQ_OK);
        } else {
            toy_settle(&t);
            toy_abandon(&t);
        }
        flip(&t, at[round % 2] + 100);
        assert_int_equal(toy_open(&t), NQ_OK);
        assert_int_equal(t.writes, (round + 1) * 300);
        toy_check(&t);
    }
    assert_int_equal(toy_close(&t, true), NQ_OK);
    toy_fini(&t);
}

/* A database that was large once does not keep the disk for ever. */
static void
free_end_of_the_file_is_given_back(void **state)
{
    struct store_stats before, after;
    struct frames *fr;
    pgno ids[40];
    uint8_t *p;
    struct toy t;

    (void)state;
    toy_init(&t, toy_env_seed());
    t.opts.pool_bytes = 256 << 20;
    t.opts.pack.enabled = false;
    assert_int_equal(toy_open(&t), NQ_OK);
    write_many(&t, 50);
    fr = store_frames(t.st);
    for (unsigned i = 0; i < 40; i++)
        ids[i] = frames_chunk_new(fr, BLOB_CHUNK, &p);
    assert_int_equal(toy_checkpoint(&t), NQ_OK);
    store_get_stats(t.st, &before);
    for (unsigned i = 0; i < 40; i++)
        frames_free(fr, ids[i]);
    for (unsigned n = 0; n < 8; n++) { /* the rest moves to the beginning */
        write_many(&t, 2000);
        assert_int_equal(toy_checkpoint(&t), NQ_OK);
    }
    while (pool_pending(t.pool) > 0)
        (void)pool_wait(t.pool);
    store_get_stats(t.st, &after);
    assert_true(before.file_bytes > 40 << 20);
    assert_true(after.file_bytes < 30 << 20);
    write_many(&t, 500); /* and grows again */
    toy_check(&t);
    assert_int_equal(toy_close(&t, true), NQ_OK);
    assert_int_equal(toy_open(&t), NQ_OK);
    toy_check(&t);
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
        cmocka_unit_test(either_superblock_may_rot),
        cmocka_unit_test(free_end_of_the_file_is_given_back),
        cmocka_unit_test(other_page_size_is_refused),
    };

    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
