/* Stores whose disk fails: a checkpoint given up leaves everything usable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "../lib/toy.h"
#include "base/log.h"
#include "os/clock.h"
#include "os/fault.h"
#include "os/file.h"
#include "os/thread.h"
#include "store/frames_int.h"
#include "store/pagetable.h"
#include "store/space.h"
#include "store/store_int.h"

#ifdef NQ_FAULTS

#define BIG_POOL (8u << 20)
#define SMALL_POOL (24u * 4096)

static void
write_many(struct toy *t, unsigned n)
{
    while (n-- > 0) {
        assert_int_equal(toy_write(t), NQ_OK);
        toy_turn(t);
    }
}

static void
start(struct toy *t, uint64_t pool_bytes, bool is_packed)
{
    log_set_level(LOG_ERROR + 1);
    fault_clear();
    toy_init(t, toy_env_seed());
    t->opts.pool_bytes = pool_bytes;
    t->opts.pack.enabled = is_packed;
    assert_int_equal(toy_open(t), NQ_OK);
    t->st->disk.retry_step_us = 20000;
    write_many(t, 400);
    assert_int_equal(toy_checkpoint(t), NQ_OK);
    write_many(t, 200);
    toy_settle(t);
}

/* The state must have survived here, and survive a crash too. */
static void
finish(struct toy *t)
{
    fault_clear();
    toy_check(t);
    toy_settle(t);
    toy_abandon(t);
    assert_int_equal(toy_open(t), NQ_OK);
    toy_check(t);
    assert_int_equal(toy_checkpoint(t), NQ_OK);
    toy_check(t);
    assert_int_equal(toy_close(t, true), NQ_OK);
    toy_fini(t);
}

static void
failing_once(enum fault_point point, uint64_t skip, enum fault_kind kind,
             nq_rc expected, uint64_t pool_bytes)
{
    struct store_stats s;
    struct toy t;

    start(&t, pool_bytes, true);
    fault_after(point, skip, kind);
    assert_int_equal(toy_checkpoint(&t), expected);
    store_get_stats(t.st, &s);
    assert_int_equal(s.failed, 1);
    assert_int_equal(s.last_rc, expected);
    toy_check(&t);
    thread_sleep_us(50000); /* tries again by itself */
    while (s.checkpoints < 2) {
        toy_turn(&t);
        thread_sleep_us(1000);
        store_get_stats(t.st, &s);
    }
    assert_int_equal(s.last_rc, NQ_OK);
    finish(&t);
}

static void
failed_page_write_gives_the_checkpoint_up(void **state)
{
    (void)state;
    failing_once(FAULT_WRITE, 0, FAULT_EIO, NQ_EIO, BIG_POOL);
}

static void
full_disk_gives_the_checkpoint_up(void **state)
{
    (void)state;
    failing_once(FAULT_WRITE, 0, FAULT_ENOSPC, NQ_ENOSPC, BIG_POOL);
}

static void
failed_sync_has_everything_written_again(void **state)
{
    (void)state;
    failing_once(FAULT_SYNC, 0, FAULT_EIO, NQ_EIO, BIG_POOL);
    failing_once(FAULT_SYNC, 0, FAULT_EIO, NQ_EIO, SMALL_POOL);
}

/* The new superblock may be on the disk or not: it is written until it is. */
static void
failed_publication_is_repeated(void **state)
{
    (void)state;
    failing_once(FAULT_SYNC, 1, FAULT_EIO, NQ_EIO, BIG_POOL);
}

static void
a_full_file_gives_the_checkpoint_up_until_it_may_grow(void **state)
{
    struct store_stats s;
    struct toy t;

    (void)state;
    start(&t, BIG_POOL, false);
    store_get_stats(t.st, &s);
    space_set_max(t.st->disk.space, s.file_bytes, 0);
    write_many(&t, 2000); /* nearly every page: more than is free */
    assert_int_equal(toy_checkpoint(&t), NQ_EFULL);
    toy_check(&t);
    space_set_max(t.st->disk.space, 0, 0);
    thread_sleep_us(50000);
    assert_int_equal(toy_checkpoint(&t), NQ_OK);
    finish(&t);
}

/* --- damage --------------------------------------------------------------- */

static void
flip(struct toy *t, pgno id, uint32_t at)
{
    struct entry e = pagetable_get(t->st->disk.table, id);
    uint8_t c;

    assert_false(entry_is_none(e));
    assert_int_equal(file_read(t->st->disk.file, &c, 1, entry_off(e) + at),
                     NQ_OK);
    c ^= 1;
    assert_int_equal(file_write(t->st->disk.file, &c, 1, entry_off(e) + at),
                     NQ_OK);
}

/* I12: an error for what the damage covers, and nothing else; no loop. */
static void
damaged_page_answers_an_error_and_the_rest_serves(void **state)
{
    unsigned bad = 0;
    uint64_t value;
    struct toy t;

    (void)state;
    start(&t, BIG_POOL, true);
    assert_int_equal(toy_close(&t, true), NQ_OK);
    assert_int_equal(toy_open(&t), NQ_OK);
    for (unsigned i = 1; i < TOY_SLOTS; i += 50) {
        if (t.id[i] != 0)
            flip(&t, t.id[i], 30 + i % 10);
    }
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < TOY_SLOTS; i++) {
            nq_rc rc = toy_read(&t, i, &value);

            assert_int_equal(rc, t.id[i] == 0  ? NQ_NOTFOUND
                                 : i % 50 == 1 ? NQ_ECORRUPT
                                               : NQ_OK);
            bad += rc == NQ_ECORRUPT;
        }
    }
    assert_true(bad >= 2);
    assert_int_equal(toy_close(&t, true), NQ_OK);
    toy_fini(&t);
}

/* The checkpoint on disk and the log still have the page: a checkpoint now
 * would throw both away. */
static void
damage_newer_than_the_checkpoint_is_healed_by_a_restart(void **state)
{
    struct entry live, kept;
    unsigned slot = 1;
    uint64_t value;
    struct toy t;

    (void)state;
    start(&t, SMALL_POOL, false);
    for (;; slot++) { /* flushed since the checkpoint, and evicted */
        pgno id = t.id[slot];

        assert_true(slot < TOY_SLOTS);
        live = pagetable_get(t.st->disk.table, id);
        kept = pagetable_get_kept(t.st->disk.table, id);
        if (id != 0 && !entry_is_none(live) && live.place != kept.place &&
            t.fr->frame_of[id] == 0)
            break;
    }
    flip(&t, t.id[slot], 100);
    assert_int_equal(toy_read(&t, slot, &value), NQ_ECORRUPT);
    assert_int_equal(toy_checkpoint(&t), NQ_ECORRUPT);
    assert_int_equal(toy_close(&t, true), NQ_ECORRUPT);
    assert_int_equal(toy_open(&t), NQ_OK);
    finish(&t);
}

static void
unreadable_page_is_reported_and_can_be_read_later(void **state)
{
    uint64_t value;
    unsigned slot = 1;
    struct toy t;

    (void)state;
    start(&t, BIG_POOL, true);
    assert_int_equal(toy_close(&t, true), NQ_OK);
    assert_int_equal(toy_open(&t), NQ_OK);
    while (t.id[slot] == 0)
        slot++;
    /* The first read asks the kernel's cache, the second is the worker's. */
    t.st->disk.frames->tier_cap = 0;
    fault_after(FAULT_READ, 0, FAULT_EIO);
    assert_int_equal(toy_read(&t, slot, &value), NQ_EIO);
    assert_int_equal(toy_read(&t, slot, &value), NQ_OK);
    finish(&t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failed_page_write_gives_the_checkpoint_up),
        cmocka_unit_test(full_disk_gives_the_checkpoint_up),
        cmocka_unit_test(failed_sync_has_everything_written_again),
        cmocka_unit_test(failed_publication_is_repeated),
        cmocka_unit_test(a_full_file_gives_the_checkpoint_up_until_it_may_grow),
        cmocka_unit_test(damaged_page_answers_an_error_and_the_rest_serves),
        cmocka_unit_test(
            damage_newer_than_the_checkpoint_is_healed_by_a_restart),
        cmocka_unit_test(unreadable_page_is_reported_and_can_be_read_later),
    };

    return cmocka_run_group_tests_name("store_fault", tests, NULL, NULL);
}

#else

int
main(void)
{
    printf("SKIP store_fault: this build has no fault points\n");
    return 0;
}

#endif
