#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "../lib/toy.h"
#include "base/log.h"
#include "base/rng.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/thread.h"
#include "store/frames_int.h"
#include "store/pagetable.h"
#include "store/rewrite.h"
#include "store/space.h"
#include "store/store_int.h"

/* Until it says something else than NQ_AGAIN. */
static nq_rc
run(struct toy *t, struct rewrite *r)
{
    nq_rc rc;

    while ((rc = rewrite_turn(r)) == NQ_AGAIN) {
        toy_turn(t);
        if (pool_pending(t->pool) > 0)
            (void)pool_wait(t->pool);
    }
    return rc;
}

/* `n` writes and a checkpoint. */
static void
fill(struct toy *t, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(toy_write(t), NQ_OK);
        toy_turn(t);
    }
    toy_settle(t);
    assert_int_equal(toy_checkpoint(t), NQ_OK);
}

static void
open_filled(struct toy *t, unsigned writes)
{
    toy_init(t, toy_env_seed());
    t->opts.pool_bytes = 40 * 4096;
    t->opts.wal.fsync = WAL_FSYNC_NEVER;
    assert_int_equal(toy_open(t), NQ_OK);
    fill(t, writes);
}

static void
close_checked(struct toy *t)
{
    toy_check(t);
    assert_int_equal(toy_close(t, true), NQ_OK);
    assert_int_equal(toy_open(t), NQ_OK);
    toy_check(t);
    assert_int_equal(toy_close(t, false), NQ_OK);
    toy_fini(t);
}

static void
every_page_gets_an_extent_in_the_style_of_now(void **state)
{
    struct rewrite_progress p;
    struct rewrite_opts o = {.pick = NULL};
    struct rewrite *r;
    struct toy t;
    unsigned raw = 0;

    (void)state;
    open_filled(&t, 900);
    store_set_pack(t.st, &(struct pack_opts){.enabled = false});
    r = rewrite_new(t.st, &o);
    assert_int_equal(run(&t, r), NQ_OK);
    rewrite_get_progress(r, &p);
    rewrite_free(r);
    assert_int_equal(toy_checkpoint(&t), NQ_OK);
    for (pgno id = 1; id < t.st->disk.frames->next_id; id++) {
        struct entry e = pagetable_get(t.st->disk.table, id);

        if (entry_is_none(e))
            continue;
        assert_int_equal(entry_codec(e), 0);
        raw++;
    }
    assert_int_equal(p.next, p.end);
    assert_int_equal(p.pages, raw);
    assert_true(p.bytes > p.old_bytes);
    close_checked(&t);
}

static bool
is_odd(void *arg, pgno id, struct entry e)
{
    (void)arg;
    (void)e;
    return id % 2 == 1;
}

static void
only_picked_pages_are_written_and_the_cursor_goes_on(void **state)
{
    struct rewrite_opts o = {.pick = is_odd, .from = 60};
    struct entry before[400];
    struct rewrite *r;
    struct toy t;
    pgno end;

    (void)state;
    open_filled(&t, 900);
    end = t.st->disk.frames->next_id;
    for (pgno id = 1; id < end; id++)
        before[id] = pagetable_get(t.st->disk.table, id);
    r = rewrite_new(t.st, &o);
    assert_int_equal(run(&t, r), NQ_OK);
    rewrite_free(r);
    for (pgno id = 1; id < end; id++) {
        struct entry e = pagetable_get(t.st->disk.table, id);
        bool is_moved = id >= 60 && id % 2 == 1 && !entry_is_none(e);

        assert_int_equal(e.place != before[id].place, is_moved);
    }
    close_checked(&t);
}

static void
pages_move_only_down(void **state)
{
    struct rewrite_opts o = {.place = REWRITE_DOWN};
    struct rewrite_progress p;
    struct rewrite *r;
    struct toy t;

    (void)state;
    open_filled(&t, 900);
    r = rewrite_new(t.st, &o);
    assert_int_equal(run(&t, r), NQ_OK);
    rewrite_get_progress(r, &p);
    rewrite_free(r);
    assert_true(p.stayed > 0 && p.pages > 0);
    for (pgno id = 1; id < t.st->disk.frames->next_id; id++) {
        struct entry e = pagetable_get(t.st->disk.table, id);
        struct entry old = pagetable_get_kept(t.st->disk.table, id);

        assert_true(entry_off(e) <= entry_off(old));
    }
    close_checked(&t);
}

static void
the_rate_holds_it_back(void **state)
{
    struct rewrite_opts o = {.pick = NULL};
    struct rewrite_progress p;
    struct rewrite *r;
    uint64_t began;
    struct toy t;

    (void)state;
    open_filled(&t, 900);
    o.bytes_per_s = 1 << 20;
    r = rewrite_new(t.st, &o);
    began = clock_mono_us();
    while (rewrite_turn(r) == NQ_AGAIN && clock_mono_us() < began + 30000) {
        toy_turn(&t);
        thread_sleep_us(200);
    }
    rewrite_get_progress(r, &p);
    assert_true(p.next < p.end);
    assert_in_range(rewrite_wait_ms(r), 1, 60000);
    rewrite_set_rate(r, 0);
    assert_int_equal(run(&t, r), NQ_OK);
    rewrite_free(r);
    close_checked(&t);
}

static void
flip_a_byte(struct toy *t, struct entry e)
{
    uint8_t byte;

    assert_int_equal(file_read(t->st->disk.file, &byte, 1, entry_off(e) + 50),
                     NQ_OK);
    byte ^= 1;
    assert_int_equal(file_write(t->st->disk.file, &byte, 1, entry_off(e) + 50),
                     NQ_OK);
}

/* A page in memory is better than its extent. */
static void
damage_is_counted_or_healed_from_memory(void **state)
{
    struct rewrite_opts o = {.pick = NULL};
    struct rewrite_progress p;
    struct store_damage d;
    struct rewrite *r;
    struct toy t;
    pgno cold = 0, warm = 0;

    (void)state;
    open_filled(&t, 900);
    for (pgno id = 1; id < t.st->disk.frames->next_id; id++) {
        if (entry_is_none(pagetable_get(t.st->disk.table, id)))
            continue;
        if (t.fr->frame_of[id] == 0)
            cold = id;
        else
            warm = id;
    }
    assert_true(cold != 0 && warm != 0);
    flip_a_byte(&t, pagetable_get(t.st->disk.table, cold));
    flip_a_byte(&t, pagetable_get(t.st->disk.table, warm));
    log_set_level(LOG_ERROR + 1);
    r = rewrite_new(t.st, &o);
    assert_int_equal(run(&t, r), NQ_OK);
    rewrite_get_progress(r, &p);
    rewrite_free(r);
    log_set_level(LOG_WARN);
    assert_int_equal(p.damaged, 1);
    assert_true(store_find_damage(t.st, cold, &d));
    assert_int_equal(d.off, entry_off(pagetable_get(t.st->disk.table, cold)));
    flip_a_byte(&t, pagetable_get(t.st->disk.table, cold));
    assert_int_equal(toy_checkpoint(&t), NQ_OK);
    close_checked(&t);
}

static void
it_may_be_given_up_at_any_time(void **state)
{
    struct rewrite_opts o = {.pick = NULL};
    struct rewrite *r;
    struct toy t;

    (void)state;
    open_filled(&t, 600);
    for (unsigned n = 0; n < 40; n++) {
        r = rewrite_new(t.st, &o);
        for (unsigned i = 0; i < n; i++) {
            assert_int_equal(rewrite_turn(r), NQ_AGAIN);
            if (i % 3 == 0)
                toy_turn(&t);
        }
        rewrite_free(r);
    }
    close_checked(&t);
}

static void
turn_at_random(struct toy *t, struct rng *rng)
{
    switch (rng_below(rng, 4)) {
    case 0:
        toy_turn(t);
        break;
    case 1:
        if (pool_pending(t->pool) > 0)
            (void)pool_wait(t->pool);
        break;
    case 2:
        frames_make_room(t->fr);
        break;
    default:
        break;
    }
}

/* Writes, evictions, checkpoints and rewriting in any order; what was read in
 * between, and after it all, is what was written. */
static void
nothing_else_notices_it(void **state)
{
    struct rewrite_opts o = {.pick = NULL};
    struct rewrite *r = NULL;
    uint64_t value;
    struct rng rng;
    struct toy t;

    (void)state;
    open_filled(&t, 200);
    rng_seed(&rng, t.seed);
    for (unsigned i = 0; i < 3000; i++) {
        if (r == NULL)
            r = rewrite_new(t.st, &o);
        if (rewrite_turn(r) == NQ_OK || rng_below(&rng, 200) == 0) {
            rewrite_free(r);
            r = NULL;
            o.place = (enum rewrite_place)rng_below(&rng, 3);
        }
        if (rng_below(&rng, 3) == 0)
            assert_int_equal(toy_write(&t), NQ_OK);
        else
            (void)!toy_read(&t, (unsigned)rng_below(&rng, TOY_SLOTS), &value);
        if (rng_below(&rng, 50) == 0)
            store_checkpoint(t.st, NULL, NULL);
        turn_at_random(&t, &rng);
        if (i % 500 == 499)
            toy_check(&t);
    }
    rewrite_free(r);
    toy_settle(&t);
    close_checked(&t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_page_gets_an_extent_in_the_style_of_now),
        cmocka_unit_test(only_picked_pages_are_written_and_the_cursor_goes_on),
        cmocka_unit_test(pages_move_only_down),
        cmocka_unit_test(the_rate_holds_it_back),
        cmocka_unit_test(damage_is_counted_or_healed_from_memory),
        cmocka_unit_test(it_may_be_given_up_at_any_time),
        cmocka_unit_test(nothing_else_notices_it),
    };

    log_set_level(LOG_WARN);
    return cmocka_run_group_tests_name("rewrite", tests, NULL, NULL);
}
