/* Eviction policies: hand-computed sequences, published miss ratios, and the
 * bookkeeping under random calls.
 *
 * The traces with their published ratios (MISS.tsv, from libCacheSim) are not
 * part of the sources: NQDB_TRACES names their folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "store/policy.h"
#include "../lib/trace.h"

/* --- by hand -------------------------------------------------------------- */

#define IDS 64

/* Replays `refs` and writes which ids go, in order. */
static void
evictions(enum policy_kind kind, uint32_t size, const char *refs,
          struct buf *out)
{
    struct policy *p = policy_new(kind, size, 1);
    uint32_t item_of[IDS] = {0}, resident = 0;
    char *end;

    for (; *refs != '\0'; refs = end) {
        uint32_t id = (uint32_t)strtoul(refs, &end, 10);

        if (item_of[id] != 0) {
            policy_touch(p, item_of[id]);
            continue;
        }
        item_of[id] = policy_insert(p, id, id, 1, POLICY_USED);
        if (++resident > size) {
            unsigned steps = 2 * IDS;
            uint32_t victim = policy_victim(p, &steps);

            assert_int_not_equal(victim, 0);
            buf_printf(out, " %u", policy_owner(p, victim));
            item_of[policy_owner(p, victim)] = 0;
            policy_evict(p, victim);
            resident--;
        }
        policy_check(p);
    }
    policy_free(p);
}

static void
assert_evictions(enum policy_kind kind, uint32_t size, const char *refs,
                 const char *expected)
{
    struct buf got = BUF_INIT;

    evictions(kind, size, refs, &got);
    buf_put_u8(&got, 0);
    assert_string_equal((const char *)got.p, expected);
    buf_fini(&got);
}

static void
lru_gives_up_what_was_not_used_for_longest(void **state)
{
    (void)state;
    assert_evictions(POLICY_LRU, 3, "1 2 3 1 4 5 6", " 2 3 1");
}

static void
clock_gives_a_used_page_one_more_round(void **state)
{
    (void)state;
    assert_evictions(POLICY_CLOCK, 3, "1 2 3 1 4 5 6", " 2 3 4");
}

/* A1in may weigh 1 of 4, A1out remembers 2: 1 comes back in time. */
static void
twoq_keeps_what_comes_back_from_its_ghosts(void **state)
{
    (void)state;
    assert_evictions(POLICY_2Q, 4, "1 2 3 4 5 6 1 7 8 9 10 1",
                     " 1 2 3 4 5 6 7");
}

/* 1 and 2 stand in T2; 5 comes back from B1, so T1 may weigh 1 from then. */
static void
arc_lets_a_scan_pass_beside_what_is_used_often(void **state)
{
    (void)state;
    assert_evictions(POLICY_ARC, 4, "1 2 1 2 3 4 5 6 7 5 8 9 1 2 5",
                     " 3 4 5 6 7 8");
}

static void
s3fifo_keeps_what_was_used_twice_or_comes_back(void **state)
{
    (void)state;
    assert_evictions(POLICY_S3FIFO, 10,
                     "1 1 1 2 3 4 5 6 7 8 9 10 11 12 2 13 14 15 16 17 1 2",
                     " 2 3 4 5 6 7 8 9");
}

/* The small queue may weigh 0, 2, 3 and 2 in turn. */
static void
s3arc_moves_its_share_as_ghosts_come_back(void **state)
{
    (void)state;
    assert_evictions(POLICY_S3ARC, 4, "1 2 3 4 5 1 2 1", " 1 2 1 3");
}

/* --- against what others measured ----------------------------------------- */

struct row {
    char trace[64];
    uint32_t size;
    double ratio[POLICY_KINDS]; /* s3arc: none published */
};

static const char *
traces(void)
{
    const char *dir = getenv("NQDB_TRACES");

    return dir != NULL ? dir : "../shared/data/traces";
}

static FILE *
open_published(void)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof path, "%s/MISS.tsv", traces());
    f = fopen(path, "re");
    if (f == NULL) {
        print_message("no %s: set NQDB_TRACES\n", path);
        skip();
    }
    return f;
}

static bool
next_row(FILE *f, struct row *r)
{
    char line[512];

    while (fgets(line, sizeof line, f) != NULL) {
        if (sscanf(line, "%63s %u %lf %lf %lf %lf %*f %lf", r->trace, &r->size,
                   &r->ratio[POLICY_LRU], &r->ratio[POLICY_CLOCK],
                   &r->ratio[POLICY_2Q], &r->ratio[POLICY_ARC],
                   &r->ratio[POLICY_S3FIFO]) == 7)
            return true;
    }
    return false;
}

/* The trace of the row, kept for the rows that follow. */
static const struct trace *
trace_of(const struct row *r, struct trace *kept, char name[64])
{
    char path[640];

    if (strcmp(name, r->trace) == 0)
        return kept;
    trace_free(kept);
    snprintf(name, 64, "%s", r->trace);
    snprintf(path, sizeof path, "%s/%s.txt.zst", traces(), name);
    assert_true(trace_load(path, kept));
    return kept;
}

/* ARC and the rest here let a page in before another one goes, libCacheSim
 * the other way round; on caches of some dozen pages that is visible. */
static double
tolerance(uint32_t size)
{
    return size < 100 ? 0.015 : 0.005;
}

static void
miss_ratios_are_as_published(void **state)
{
    struct trace kept = {0};
    char name[64] = "";
    FILE *f = open_published();
    struct row r;

    (void)state;
    while (next_row(f, &r)) {
        const struct trace *t;

        if (r.size < 15 || strncmp(r.trace, "cp_", 3) == 0 ||
            strncmp(r.trace, "o", 1) == 0)
            continue; /* too small to compare, too long for a unit test */
        t = trace_of(&r, &kept, name);
        for (unsigned k = POLICY_LRU; k < POLICY_KINDS; k++) {
            double got = trace_replay(t, (enum policy_kind)k, r.size);
            double off = got - r.ratio[k];

            if (off > tolerance(r.size) || off < -tolerance(r.size))
                fail_msg("%s of %u pages, %s: %.4f, published %.4f", r.trace,
                         r.size, policy_name((enum policy_kind)k), got,
                         r.ratio[k]);
        }
    }
    trace_free(&kept);
    fclose(f);
}

static void
default_misses_no_more_than_lru_and_arc_and_a_hundredth(void **state)
{
    struct trace kept = {0};
    char name[64] = "";
    FILE *f = open_published();
    struct row r;

    (void)state;
    while (next_row(f, &r)) {
        const struct trace *t = trace_of(&r, &kept, name);
        double least = nq_min(r.ratio[POLICY_LRU], r.ratio[POLICY_ARC]), got;

        if (r.size < t->unique / 100)
            continue;
        got = trace_replay(t, POLICY_S3ARC, r.size);
        if (got > least + 0.01)
            fail_msg("%s of %u pages: %.4f, lru or arc %.4f", r.trace, r.size,
                     got, least);
    }
    trace_free(&kept);
    fclose(f);
}

/* --- the bookkeeping ------------------------------------------------------ */

static uint64_t
seed_of_run(void)
{
    const char *given = getenv("SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 4711;

    print_message("SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

enum { PAGES = 200, CAPACITY = 500 };

struct game {
    struct policy *p;
    struct rng rng;
    uint32_t item[PAGES];
    bool is_aside[PAGES];
    uint32_t weight[PAGES];
    uint64_t total;
};

static void
forget(struct game *g, uint32_t i)
{
    g->total -= g->weight[i];
    g->item[i] = 0;
    g->is_aside[i] = false;
}

static void
make_room(struct game *g)
{
    unsigned steps = 1000;
    uint32_t victim;

    while (g->total > CAPACITY && (victim = policy_victim(g->p, &steps))) {
        uint32_t i = policy_owner(g->p, victim) - 1;

        assert_int_equal(g->item[i], victim);
        assert_false(g->is_aside[i]);
        switch (rng_below(&g->rng, 8)) {
        case 0:
            policy_set_aside(g->p, victim);
            g->is_aside[i] = true;
            break;
        case 1:
            policy_spare(g->p, victim);
            break;
        default:
            policy_evict(g->p, victim);
            forget(g, i);
        }
    }
}

static void
step(struct game *g)
{
    uint32_t i = (uint32_t)rng_below(&g->rng, PAGES);
    uint32_t weight = 1 + (uint32_t)rng_below(&g->rng, 20);
    unsigned what = (unsigned)rng_below(&g->rng, 16);

    if (g->item[i] == 0) {
        g->item[i] = policy_insert(g->p, i + 1, i + 1, weight,
                                   (enum policy_origin)(what % 4));
        g->weight[i] = weight;
        g->total += weight;
    } else if (what == 0) {
        policy_remove(g->p, g->item[i]);
        forget(g, i);
    } else if (what == 1) {
        policy_set_weight(g->p, g->item[i], weight);
        g->total += weight;
        g->total -= g->weight[i];
        g->weight[i] = weight;
    } else if (what < 5 && g->is_aside[i]) {
        policy_put_back(g->p, g->item[i]);
        g->is_aside[i] = false;
    } else {
        policy_touch(g->p, g->item[i]);
    }
    make_room(g);
}

static void
lists_and_ghosts_stay_right_under_random_calls(void **state)
{
    uint64_t seed = seed_of_run();

    (void)state;
    for (unsigned k = 0; k < POLICY_KINDS; k++) {
        struct game g = {.p = policy_new((enum policy_kind)k, CAPACITY, 10)};
        struct policy_stats st;

        rng_seed(&g.rng, seed + k);
        for (unsigned n = 0; n < 5000; n++) {
            step(&g);
            if (n % 16 == 0)
                policy_check(g.p);
        }
        policy_get_stats(g.p, &st);
        assert_int_equal(st.weight, g.total);
        policy_set_capacity(g.p, CAPACITY / 2);
        policy_check(g.p);
        policy_free(g.p);
    }
}

static void
nobody_is_left_when_all_are_set_aside(void **state)
{
    (void)state;
    for (unsigned k = 0; k < POLICY_KINDS; k++) {
        struct policy *p = policy_new((enum policy_kind)k, 10, 1);
        uint32_t item[10], victim;
        unsigned steps = 1000;

        for (uint32_t i = 0; i < 10; i++)
            item[i] = policy_insert(p, i + 1, i + 1, 1, POLICY_USED);
        while ((victim = policy_victim(p, &steps)) != 0)
            policy_set_aside(p, victim);
        assert_int_equal(steps, 990);
        policy_put_back(p, item[7]);
        assert_int_equal(policy_victim(p, &steps), item[7]);
        policy_check(p);
        policy_free(p);
    }
}

static void
looking_for_a_victim_ends_when_its_steps_are_used_up(void **state)
{
    (void)state;
    for (unsigned k = 0; k < POLICY_KINDS; k++) {
        struct policy *p = policy_new((enum policy_kind)k, 1000, 1);
        unsigned steps = 100;

        for (uint32_t i = 1; i <= 1000; i++) {
            uint32_t item = policy_insert(p, i, i, 1, POLICY_USED);

            for (unsigned n = 0; n < 3; n++)
                policy_touch(p, item);
        }
        while (policy_victim(p, &steps) == 0 && steps > 0)
            continue;
        assert_true(steps <= 100);
        policy_free(p);
    }
}

/* What is read ahead, or for a command, is touched once by who wanted it. */
static void
first_touch_of_a_fetched_page_is_its_fetching(void **state)
{
    struct policy *p = policy_new(POLICY_LRU, 10, 1);
    uint32_t a = policy_insert(p, 1, 1, 1, POLICY_AHEAD);
    uint32_t b = policy_insert(p, 2, 2, 1, POLICY_FETCHED);
    unsigned steps = 10;

    (void)state;
    assert_true(policy_is_unused(p, a));
    assert_false(policy_is_unused(p, b));
    policy_touch(p, a);
    assert_false(policy_is_unused(p, a));
    assert_int_equal(policy_victim(p, &steps), a);
    policy_touch(p, a);
    assert_int_equal(policy_victim(p, &steps), b);
    policy_free(p);
}

static void
belady_is_right_on_a_sequence_done_by_hand(void **state)
{
    uint32_t ids[] = {1, 2, 3, 1, 4, 1, 2, 5, 3, 1};
    struct trace t = {ids, nq_countof(ids), 5};

    (void)state;
    /* 1 2 3 come in; 4 for 3, which is used last; 5 for 4; 3 for 2 or 5. */
    assert_true(trace_belady(&t, 3) == 0.6);
    assert_true(trace_belady(&t, 5) == 0.5);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lru_gives_up_what_was_not_used_for_longest),
        cmocka_unit_test(clock_gives_a_used_page_one_more_round),
        cmocka_unit_test(twoq_keeps_what_comes_back_from_its_ghosts),
        cmocka_unit_test(arc_lets_a_scan_pass_beside_what_is_used_often),
        cmocka_unit_test(s3fifo_keeps_what_was_used_twice_or_comes_back),
        cmocka_unit_test(s3arc_moves_its_share_as_ghosts_come_back),
        cmocka_unit_test(miss_ratios_are_as_published),
        cmocka_unit_test(
            default_misses_no_more_than_lru_and_arc_and_a_hundredth),
        cmocka_unit_test(lists_and_ghosts_stay_right_under_random_calls),
        cmocka_unit_test(nobody_is_left_when_all_are_set_aside),
        cmocka_unit_test(looking_for_a_victim_ends_when_its_steps_are_used_up),
        cmocka_unit_test(first_touch_of_a_fetched_page_is_its_fetching),
        cmocka_unit_test(belady_is_right_on_a_sequence_done_by_hand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
