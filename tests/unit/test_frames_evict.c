/* What leaves a full pool and what stays, and that the counters tell it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "../lib/toy.h"
#include "base/log.h"
#include "base/rng.h"
#include "store/flush.h"
#include "store/frames_int.h"

#define PAGE 4096u
#define POOL_PAGES 100u
#define MANY 400u

/* A store with pages of nobody's. */
struct rig {
    struct toy t;
    struct frames *fr;
    pgno id[MANY];
    uint64_t calls, missed; /* of use() */
};

static void
settle(struct rig *g)
{
    do
        toy_turn(&g->t);
    while (pool_wait(g->t.pool) > 0);
    toy_turn(&g->t);
}

static void
rig_open(struct rig *g, enum policy_kind policy,
         const struct frames_tuning *tuning)
{
    *g = (struct rig){.calls = 0};
    log_set_level(LOG_ERROR);
    toy_init(&g->t, 1);
    g->t.opts.pool_bytes = POOL_PAGES * PAGE;
    g->t.opts.policy = policy;
    g->t.opts.pack.enabled = true;
    assert_int_equal(toy_open(&g->t), NQ_OK);
    g->fr = g->t.fr;
    frames_tune(g->fr, tuning);
}

static void
rig_make_pages(struct rig *g, enum page_kind kind, unsigned from, unsigned to)
{
    uint8_t *p;

    for (unsigned i = from; i < to; i++) {
        g->id[i] = frames_new(g->fr, kind, &p);
        p[100] = (uint8_t)i;
        toy_turn(&g->t);
        while (frames_is_throttling(g->fr) && pool_wait(g->t.pool) > 0)
            toy_turn(&g->t);
    }
    assert_int_equal(toy_checkpoint(&g->t), NQ_OK);
    settle(g);
}

static void
rig_close(struct rig *g)
{
    assert_int_equal(toy_close(&g->t, true), NQ_OK);
    toy_fini(&g->t);
}

struct waiter {
    struct frames_wait wait;
    bool is_ready;
};

static void
on_ready(struct frames_wait *w)
{
    nq_container(w, struct waiter, wait)->is_ready = true;
}

/* A command that reads one page, or changes it too; true: it was in memory. */
static bool
use_one(struct rig *g, pgno id, bool changes)
{
    struct waiter w = {.wait = {.ready = on_ready}};
    const uint8_t *p;
    bool was_there = true;
    nq_rc rc;

    while ((rc = frames_page(g->fr, id, &p)) == NQ_MISS) {
        was_there = w.is_ready = false;
        frames_fetch(g->fr, &w.wait);
        toy_turn(&g->t);
        while (!w.is_ready) {
            (void)pool_wait(g->t.pool);
            toy_turn(&g->t);
        }
    }
    assert_int_equal(rc, NQ_OK);
    if (changes)
        frames_mut(g->fr, id)[200]++;
    if (!was_there)
        frames_fetch_end(g->fr, &w.wait);
    g->missed += !was_there;
    g->calls++;
    toy_turn(&g->t);
    return was_there;
}

static bool
use(struct rig *g, pgno id)
{
    return use_one(g, id, false);
}

static bool
is_resident(struct rig *g, pgno id)
{
    return frames_peek(g->fr, id) != NULL;
}

static const struct frames_tuning plain = {.ahead_most = 0};

static void
counters_are_what_the_calls_add_up_to(void **state)
{
    struct frames_stats before, after;
    struct rig g;
    struct rng r;

    (void)state;
    rig_open(&g, POLICY_S3ARC, &plain);
    rig_make_pages(&g, PAGE_LEAF, 0, MANY);
    rng_seed(&r, toy_env_seed());
    frames_get_stats(g.fr, &before);
    for (unsigned n = 0; n < 3000; n++) {
        frames_all(g.fr)->tier_cap = n % 2 == 0 ? 0 : 2 * PAGE;
        (void)use(&g, g.id[rng_below(&r, MANY)]);
    }
    settle(&g);
    frames_get_stats(g.fr, &after);
    assert_int_equal(after.hits - before.hits, g.calls);
    assert_int_equal(after.misses - before.misses, g.missed);
    assert_true(g.missed > 500);
    assert_int_equal(after.misses, after.demand_reads + after.second_tier_hits +
                                       after.blocking_reads + after.ahead_late);
    assert_int_equal(after.reads, after.demand_reads + after.ahead_issued);
    assert_int_equal(after.parked - before.parked,
                     after.demand_reads - before.demand_reads);
    assert_int_equal(after.evictions - before.evictions,
                     g.missed + before.frames_used - after.frames_used);
    assert_int_equal(after.policy.items, after.frames_used);
    policy_check(frames_all(g.fr)->policy);
    rig_close(&g);
}

static void
pinned_pages_stay_and_cost_one_look_each(void **state)
{
    struct frames_stats s;
    struct rig g;
    uint32_t pin[POOL_PAGES / 2];

    (void)state;
    rig_open(&g, POLICY_LRU, &plain);
    rig_make_pages(&g, PAGE_LEAF, 0, MANY);
    for (unsigned i = 0; i < POOL_PAGES / 2; i++) {
        (void)use(&g, g.id[i]);
        pin[i] = frames_pin(g.fr, g.id[i]);
    }
    for (unsigned i = 0; i < MANY; i++)
        (void)use(&g, g.id[i]);
    frames_get_stats(g.fr, &s);
    assert_int_equal(s.policy.aside, POOL_PAGES / 2);
    for (unsigned i = 0; i < POOL_PAGES / 2; i++) {
        assert_true(is_resident(&g, g.id[i]));
        frames_unpin(g.fr, pin[i]);
    }
    frames_get_stats(g.fr, &s);
    assert_int_equal(s.policy.aside, 0);
    for (unsigned i = MANY / 2; i < MANY; i++)
        (void)use(&g, g.id[i]);
    assert_false(is_resident(&g, g.id[0]));
    rig_close(&g);
}

#ifndef NQ_HARSH
static void
hot_pages_stay_within_their_cap_until_they_cool(void **state)
{
    const struct frames_tuning hot = {.hot_threshold = 20, .hot_share = 0.1};
    struct frames_stats s;
    struct rig g;

    (void)state;
    rig_open(&g, POLICY_LRU, &hot);
    rig_make_pages(&g, PAGE_LEAF, 0, MANY);
    for (unsigned n = 0; n < 30; n++) {
        for (unsigned i = 0; i < 15; i++)
            (void)use(&g, g.id[i]);
    }
    frames_get_stats(g.fr, &s);
    assert_int_equal(s.hot_pinned, POOL_PAGES / 10);
    for (unsigned i = 20; i < MANY; i++)
        (void)use(&g, g.id[i]);
    assert_true(is_resident(&g, g.id[0]));
    assert_true(is_resident(&g, g.id[9]));
    assert_false(is_resident(&g, g.id[14]));
    for (unsigned n = 0; n < 2 * 33 * POOL_PAGES; n++)
        (void)use(&g, g.id[20 + n % (MANY - 20)]);
    frames_get_stats(g.fr, &s);
    assert_int_equal(s.hot_pinned, 0);
    assert_false(is_resident(&g, g.id[0]));
    rig_close(&g);
}

#endif

static void
inner_pages_stay_up_to_the_number_that_is_set(void **state)
{
    const struct frames_tuning inner = {.inner_least = 10};
    struct frames_stats s;
    struct rig g;

    (void)state;
    rig_open(&g, POLICY_LRU, &inner);
    rig_make_pages(&g, PAGE_INNER, 0, 20);
    rig_make_pages(&g, PAGE_LEAF, 20, MANY);
    for (unsigned i = 0; i < 20; i++)
        (void)use(&g, g.id[i]);
    for (unsigned i = 20; i < MANY; i++)
        (void)use(&g, g.id[i]);
    frames_get_stats(g.fr, &s);
    assert_int_equal(s.inner_resident, 10);
    rig_close(&g);
}

/* A root that is lowered. */
static void
page_that_becomes_a_leaf_is_no_inner_page(void **state)
{
    struct frames_stats s;
    struct rig g;
    uint8_t *p;
    pgno id;

    (void)state;
    rig_open(&g, POLICY_S3ARC, &plain);
    id = frames_new(g.fr, PAGE_INNER, &p);
    frames_set_kind(g.fr, id, PAGE_LEAF);
    frames_get_stats(g.fr, &s);
    assert_int_equal(s.inner_resident, 0);
    frames_set_kind(g.fr, id, PAGE_INNER);
    frames_free(g.fr, id);
    frames_get_stats(g.fr, &s);
    assert_int_equal(s.inner_resident, 0);
    rig_close(&g);
}

#ifndef NQ_HARSH
static void
unpacked_chunks_have_a_bound_of_their_own(void **state)
{
    const struct frames_tuning few = {.unpacked_bytes = 1 << 20,
                                      .unpacked_chunks = 3};
    struct frames_stats s;
    struct slice bytes;
    struct rig g;
    uint8_t *p;

    (void)state;
    rig_open(&g, POLICY_S3ARC, &few);
    for (unsigned i = 0; i < 10; i++) {
        g.id[i] = frames_chunk_new(g.fr, 10000, &p);
        memset(p, 'a' + (int)i, 10000);
    }
    frames_get_stats(g.fr, &s);
    assert_int_equal(s.unpacked_chunks, 0); /* dirty ones are no copies */
    assert_int_equal(toy_checkpoint(&g.t), NQ_OK);
    settle(&g);
    frames_get_stats(g.fr, &s);
    assert_int_equal(s.unpacked_chunks, 3);
    assert_int_equal(s.unpacked_bytes, s.chunk_bytes);
    (void)frames_set_blocking(g.fr, true);
    for (unsigned n = 0; n < 4; n++)
        assert_int_equal(frames_chunk(g.fr, g.id[0], &bytes), NQ_OK);
    assert_int_equal(bytes.p[9999], 'a');
    (void)frames_set_blocking(g.fr, false);
    frames_get_stats(g.fr, &s);
    assert_int_equal(s.unpacked_hits + s.unpacked_misses, 5);
    assert_int_equal(s.unpacked_misses, 1);
    rig_close(&g);
}

#endif

static void
old_dirty_pages_are_written_by_age(void **state)
{
    const struct frames_tuning aged = {.flush_age_s = 60};
    struct frames_stats s;
    struct rig g;
    uint8_t *p;
    pgno old, young;

    (void)state;
    rig_open(&g, POLICY_S3ARC, &aged);
    old = frames_new(g.fr, PAGE_LEAF, &p);
    young = frames_new(g.fr, PAGE_LEAF, &p);
    toy_turn(&g.t); /* so that they are not "in use" when the flusher looks */
    settle(&g);
    frames_get_stats(g.fr, &s);
    assert_int_equal(s.frames_dirty, 2);
    frames_all(g.fr)->frame[g.fr->frame_of[old]].dirty_s -= 61;
    settle(&g);
    frames_get_stats(g.fr, &s);
    assert_int_equal(s.frames_dirty, 1);
    assert_int_equal(frames_all(g.fr)->frame[g.fr->frame_of[young]].list ==
                         FRAME_ON_NONE,
                     0);
    rig_close(&g);
}

/* Resident bytes of the frames, as the kernel sees it. */
static uint64_t
frames_held(struct rig *g)
{
    const struct frames_all *all = frames_all(g->fr);

    return frames_used_bytes(all) +
           ((uint64_t)all->warm_count << all->pub.page_shift);
}

static void
pool_shrinks_and_grows_while_it_is_used(void **state)
{
    struct rig g;

    (void)state;
    rig_open(&g, POLICY_S3ARC, &plain);
    rig_make_pages(&g, PAGE_LEAF, 0, MANY);
    for (unsigned round = 0; round < 4; round++) {
        uint64_t bytes = round % 2 == 0 ? 30 * PAGE : 200 * PAGE;

        store_set_pool(g.t.st, bytes);
        for (unsigned i = 0; i < MANY; i++) {
            (void)use_one(&g, g.id[i], true);
            while (frames_is_throttling(g.fr) && pool_wait(g.t.pool) > 0)
                toy_turn(&g.t);
        }
        settle(&g);
        assert_true(frames_held(&g) <= bytes);
        assert_true(frames_held(&g) >= bytes / 2);
        assert_false(frames_wants_turn(g.fr));
        policy_check(frames_all(g.fr)->policy);
    }
    rig_close(&g);
}

#ifndef NQ_HARSH
/* Inner pages that are kept, dirty pages, and nobody who may write them: more
 * turns would not help, until a page comes or may go. */
static void
pool_with_nothing_to_give_up_rests(void **state)
{
    struct frames_tuning t = {.inner_least = 1000};
    struct frames_all *all;
    struct rig g;

    (void)state;
    rig_open(&g, POLICY_S3ARC, &t);
    all = frames_all(g.fr);
    rig_make_pages(&g, PAGE_INNER, 0, POOL_PAGES / 5);
    all->disk->still++;
    for (unsigned i = 0; i < 2 * POOL_PAGES; i++) {
        uint8_t *p;

        (void)frames_new(g.fr, PAGE_LEAF, &p);
    }
    for (unsigned i = 0; i < 10 && frames_wants_turn(g.fr); i++)
        frames_make_room(g.fr);
    assert_false(frames_wants_turn(g.fr));
    for (unsigned i = 0; i < POOL_PAGES / 5; i++)
        assert_true(is_resident(&g, g.id[i]));
    all->disk->still--;
    settle(&g);
    assert_true(frames_used_bytes(all) <= POOL_PAGES * PAGE);
    rig_close(&g);
}
#endif

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_are_what_the_calls_add_up_to),
        cmocka_unit_test(pinned_pages_stay_and_cost_one_look_each),
#ifndef NQ_HARSH /* where pages go though there is room for them */
        cmocka_unit_test(hot_pages_stay_within_their_cap_until_they_cool),
        cmocka_unit_test(unpacked_chunks_have_a_bound_of_their_own),
        cmocka_unit_test(pool_with_nothing_to_give_up_rests),
#endif
        cmocka_unit_test(inner_pages_stay_up_to_the_number_that_is_set),
        cmocka_unit_test(page_that_becomes_a_leaf_is_no_inner_page),
        cmocka_unit_test(old_dirty_pages_are_written_by_age),
        cmocka_unit_test(pool_shrinks_and_grows_while_it_is_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
