/* Misses: parking, sharing, holding, giving up; and what eviction spares. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "../lib/toy.h"
#include "base/log.h"
#include "os/fault.h"
#include "store/frames_int.h"

struct parked {
    struct frames_wait wait;
    unsigned ready;
};

static void
on_ready(struct frames_wait *w)
{
    nq_container(w, struct parked, wait)->ready++;
}

/* A closed and reopened toy, nothing in memory, every read a worker's. */
static void
start(struct toy *t, uint64_t pool_pages)
{
    log_set_level(LOG_ERROR);
    toy_init(t, toy_env_seed());
    assert_int_equal(toy_open(t), NQ_OK);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(toy_write(t), NQ_OK);
        toy_turn(t);
    }
    assert_int_equal(toy_close(t, true), NQ_OK);
    t->opts.pool_bytes = pool_pages * 4096;
    assert_int_equal(toy_open(t), NQ_OK);

    frames_all(t->fr)->tier_cap = 0;
}

static void
finish(struct toy *t)
{
    toy_check(t);
    assert_int_equal(toy_close(t, true), NQ_OK);
    toy_fini(t);
}

/* The n-th slot with a tree page. */
static pgno
page_at(struct toy *t, unsigned n)
{
    for (unsigned i = 0; i < TOY_SLOTS; i++) {
        if (i % 10 != 0 && t->id[i] != 0 && n-- == 0)
            return t->id[i];
    }
    fail();
    return 0;
}

static void
miss(struct toy *t, pgno id)
{
    const uint8_t *p;

    assert_int_equal(frames_page(t->fr, id, &p), NQ_MISS);
}

static void
park(struct toy *t, struct parked *p)
{
    p->wait.ready = on_ready;
    frames_fetch(t->fr, &p->wait);
    assert_int_equal(p->ready, 0);
}

static void
wait_for(struct toy *t, struct parked *p)
{
    while (p->ready == 0) {
        frames_run_ready(t->fr);
        frames_make_room(t->fr);
        if (p->ready == 0)
            (void)pool_wait(t->pool);
    }
    assert_int_equal(p->ready, 1);
}

static void
misses_of_one_page_share_one_read(void **state)
{
    struct parked a = {.ready = 0}, b = {.ready = 0};
    struct frames_stats s;
    struct toy t;

    (void)state;
    start(&t, 500);
    miss(&t, page_at(&t, 0));
    park(&t, &a);
    miss(&t, page_at(&t, 0));
    miss(&t, page_at(&t, 0)); /* named twice */
    miss(&t, page_at(&t, 1));
    assert_int_equal(frames_wanted(t.fr), 3);
    park(&t, &b);
    assert_int_equal(frames_wanted(t.fr), 0);
    wait_for(&t, &a);
    wait_for(&t, &b);
    frames_get_stats(t.fr, &s);
    assert_int_equal(s.reads, 2);
    assert_non_null(frames_peek(t.fr, page_at(&t, 0)));
    frames_fetch_end(t.fr, &a.wait);
    frames_fetch_end(t.fr, &b.wait);
    finish(&t);
}

static void
page_that_came_meanwhile_makes_ready_at_the_next_turn(void **state)
{
    struct parked a = {.ready = 0};
    struct toy t;
    bool was;
    const uint8_t *p;

    (void)state;
    start(&t, 500);
    miss(&t, page_at(&t, 0));
    was = frames_set_blocking(t.fr, true);
    assert_int_equal(frames_page(t.fr, page_at(&t, 0), &p), NQ_OK);
    (void)frames_set_blocking(t.fr, was);
    park(&t, &a);
    toy_turn(&t);
    assert_int_equal(a.ready, 1);
    frames_fetch_end(t.fr, &a.wait);
    finish(&t);
}

/* The job's bytes may be older than what a blocking command made of them. */
static void
blocking_read_overtakes_the_worker(void **state)
{
    struct parked a = {.ready = 0};
    const uint8_t *p;
    struct toy t;
    pgno id;

    (void)state;
    start(&t, 500);
    id = page_at(&t, 0);
    miss(&t, id);
    park(&t, &a);
    (void)frames_set_blocking(t.fr, true);
    assert_int_equal(frames_page(t.fr, id, &p), NQ_OK);
    (void)frames_set_blocking(t.fr, false);
    frames_mut(t.fr, id)[100] ^= 1;
    p = frames_peek(t.fr, id);
    wait_for(&t, &a);
    assert_ptr_equal(frames_peek(t.fr, id), p);
    frames_mut(t.fr, id)[100] ^= 1;
    frames_fetch_end(t.fr, &a.wait);
    finish(&t);
}

static void
whoever_gives_up_is_not_called(void **state)
{
    struct parked a = {.ready = 0}, b = {.ready = 0};
    struct toy t;

    (void)state;
    start(&t, 500);
    miss(&t, page_at(&t, 0));
    park(&t, &a);
    miss(&t, page_at(&t, 0));
    park(&t, &b);
    frames_fetch_end(t.fr, &a.wait);
    wait_for(&t, &b);
    assert_int_equal(a.ready, 0);
    frames_fetch_end(t.fr, &b.wait);
    finish(&t);
}

static void
page_freed_while_it_is_read_stays_gone(void **state)
{
    struct parked a = {.ready = 0}, b = {.ready = 0};
    struct toy t;
    unsigned slot = 1;
    pgno id, again;
    uint8_t *p;

    (void)state;
    start(&t, 500);
    while (t.id[slot] == 0 || slot % 10 == 0)
        slot++;
    id = t.id[slot];
    miss(&t, id);
    park(&t, &a);
    miss(&t, id);
    park(&t, &b);
    frames_free(t.fr, id);
    frames_fetch_end(t.fr, &b.wait); /* must be found in the dead read too */
    again = frames_new(t.fr, PAGE_LEAF, &p);
    assert_int_equal(again, id);
    p[100] = 42;
    wait_for(&t, &a);
    assert_int_equal(frames_peek(t.fr, id)[100], 42);
    assert_int_equal(b.ready, 0);
    frames_fetch_end(t.fr, &a.wait);
    assert_int_equal(toy_close(&t, false), NQ_OK);
    toy_fini(&t);
}

/* I8: what was fetched stays until the command ran, however small the pool. */
static void
held_pages_are_not_evicted(void **state)
{
    struct parked a = {.ready = 0}, others[40] = {{.ready = 0}};
    struct toy t;

    (void)state;
    start(&t, 8);
    for (unsigned i = 0; i < 4; i++)
        miss(&t, page_at(&t, i));
    park(&t, &a);
    wait_for(&t, &a);
    for (unsigned i = 0; i < 40; i++) {
        miss(&t, page_at(&t, 10 + i));
        park(&t, &others[i]);
        wait_for(&t, &others[i]);
        frames_fetch_end(t.fr, &others[i].wait);
        frames_make_room(t.fr);
    }
    for (unsigned i = 0; i < 4; i++)
        assert_non_null(frames_peek(t.fr, page_at(&t, i)));
    assert_null(frames_peek(t.fr, page_at(&t, 10)));
    /* A writer moves the page; the hold goes with it. */
    (void)frames_mut(t.fr, page_at(&t, 0));
    frames_fetch_end(t.fr, &a.wait);
    assert_int_equal(toy_close(&t, false), NQ_OK);
    toy_fini(&t);
}

/* More parked commands than the pool can hold at once: all of them run. */
static void
commands_queue_for_room_and_all_get_it(void **state)
{
    static struct parked many[150];
    unsigned left = 150;
    struct toy t;

    (void)state;
    memset(many, 0, sizeof many);
    start(&t, 4);
    for (unsigned i = 0; i < 150; i++) {
        miss(&t, page_at(&t, i));
        park(&t, &many[i]);
    }
    while (left > 0) {
        toy_turn(&t);
        for (unsigned i = 0; i < 150; i++) {
            const uint8_t *p;

            if (many[i].ready == 0)
                continue;
            many[i].ready = 0;
            if (frames_page(t.fr, page_at(&t, i), &p) == NQ_MISS) {
                park(&t, &many[i]); /* was let in only now */
                continue;
            }
            frames_fetch_end(t.fr, &many[i].wait);
            left--;
        }
        assert_true(frames_all(t.fr)->used < 4 + 64 + 40);
    }
    finish(&t);
}

static void
smaller_pool_gives_memory_back(void **state)
{
    struct frames_stats s;
    struct toy t;

    (void)state;
    start(&t, 2000);
    toy_check(&t);
    frames_get_stats(t.fr, &s);
    assert_true(s.used_bytes > 200 * 4096);
    store_set_pool(t.st, 64 * 4096);
    for (unsigned i = 0; i < 20; i++)
        toy_turn(&t);
    frames_get_stats(t.fr, &s);
    assert_true(s.used_bytes <= 64 * 4096);
    finish(&t);
}

/* Pages used again and again stay when everything else is read once. */
static void
scan_does_not_push_out_the_hot_pages(void **state)
{
    struct frames_stats before, after;
    uint64_t value;
    struct toy t;

    (void)state;
    start(&t, 100);
    for (unsigned round = 0; round < 30; round++) {
        for (unsigned i = 1; i < 40; i++)
            assert_int_not_equal(toy_read(&t, i, &value), NQ_ECORRUPT);
        (void)!toy_read(&t, 41 + round, &value);
        frames_make_room(t.fr);
    }
    for (unsigned i = 60; i < TOY_SLOTS; i++) { /* the scan */
        (void)!toy_read(&t, i, &value);
        (void)!toy_read(&t, 1 + i % 39, &value); /* life goes on */
        frames_make_room(t.fr);
    }
    frames_get_stats(t.fr, &before);
    for (unsigned i = 1; i < 40; i++)
        (void)!toy_read(&t, i, &value);
    frames_get_stats(t.fr, &after);
    assert_true(after.misses - before.misses < 10);
    finish(&t);
}

static void
command_that_wants_more_than_the_pool_is_refused(void **state)
{
    const uint8_t *p;
    nq_rc rc = NQ_MISS;
    unsigned n = 0;
    struct toy t;

    (void)state;
    start(&t, 4);
    while (rc == NQ_MISS)
        rc = frames_page(t.fr, page_at(&t, n++), &p);
    assert_int_equal(rc, NQ_EPOOL);
    assert_true(n > 32);
    frames_forget_wanted(t.fr);
    finish(&t);
}

static uint64_t
frames_used(struct toy *t)
{
    struct frames_stats s;

    frames_get_stats(t->fr, &s);
    return s.frames_used;
}

/* More than one job takes, in the order of the slots, not of their places. */
static void
many_pages_come_by_one_fetch(void **state)
{
    struct parked a = {.ready = 0};
    struct frames_stats s;
    uint64_t before;
    struct toy t;

    (void)state;
    start(&t, 500);
    before = frames_used(&t);
    for (unsigned i = 0; i < 200; i++)
        miss(&t, page_at(&t, i));
    park(&t, &a);
    assert_int_equal(frames_used(&t), before + 200); /* R4 */
    wait_for(&t, &a);
    frames_get_stats(t.fr, &s);
    assert_int_equal(s.reads, 200);
    assert_int_equal(s.parked, 1);
    for (unsigned i = 0; i < 200; i++)
        assert_non_null(frames_peek(t.fr, page_at(&t, i)));
    frames_fetch_end(t.fr, &a.wait);
    finish(&t);
}

static void
frames_of_reads_in_vain_are_given_back(void **state)
{
    struct parked a = {.ready = 0};
    uint64_t before;
    struct toy t;

    (void)state;
    start(&t, 500);
    before = frames_used(&t);
    for (unsigned i = 0; i < 20; i++)
        miss(&t, page_at(&t, i));
    park(&t, &a);
    for (unsigned i = 0; i < 20; i++)
        frames_free(t.fr, page_at(&t, i));
    wait_for(&t, &a);
    assert_int_equal(frames_used(&t), before);
    frames_fetch_end(t.fr, &a.wait);
    assert_int_equal(toy_close(&t, false), NQ_OK);
    toy_fini(&t);
}

#ifdef NQ_FAULTS
static void
failed_read_gives_its_frame_back_and_may_be_tried_again(void **state)
{
    struct parked a = {.ready = 0}, b = {.ready = 0};
    uint64_t before;
    struct toy t;

    (void)state;
    start(&t, 500);
    before = frames_used(&t);
    log_set_level(LOG_ERROR + 1);
    fault_after(FAULT_READ, 0, FAULT_EIO);
    miss(&t, page_at(&t, 0));
    park(&t, &a);
    wait_for(&t, &a);
    fault_clear();
    assert_int_equal(a.wait.rc, NQ_EIO);
    assert_int_equal(frames_used(&t), before);
    frames_fetch_end(t.fr, &a.wait);
    miss(&t, page_at(&t, 0));
    park(&t, &b);
    wait_for(&t, &b);
    assert_int_equal(b.wait.rc, NQ_OK);
    frames_fetch_end(t.fr, &b.wait);
    finish(&t);
}
#endif

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(misses_of_one_page_share_one_read),
        cmocka_unit_test(page_that_came_meanwhile_makes_ready_at_the_next_turn),
        cmocka_unit_test(blocking_read_overtakes_the_worker),
        cmocka_unit_test(whoever_gives_up_is_not_called),
        cmocka_unit_test(page_freed_while_it_is_read_stays_gone),
        cmocka_unit_test(held_pages_are_not_evicted),
        cmocka_unit_test(commands_queue_for_room_and_all_get_it),
        cmocka_unit_test(smaller_pool_gives_memory_back),
        cmocka_unit_test(scan_does_not_push_out_the_hot_pages),
        cmocka_unit_test(command_that_wants_more_than_the_pool_is_refused),
        cmocka_unit_test(many_pages_come_by_one_fetch),
        cmocka_unit_test(frames_of_reads_in_vain_are_given_back),
#ifdef NQ_FAULTS
        cmocka_unit_test(
            failed_read_gives_its_frame_back_and_may_be_tried_again),
#endif
    };

    return cmocka_run_group_tests_name("fetch", tests, NULL, NULL);
}
