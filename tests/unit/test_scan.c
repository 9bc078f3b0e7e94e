/* Scans beside other commands: what they leave of the hot pages, and that
 * their pages are read ahead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../lib/engine_env.h"
#include "../lib/tier.h"
#include "base/log.h"
#include "base/rng.h"
#include "store/frames.h"
#include "store/store.h"

#define KEYS 3000u /* of 600 bytes: some 500 leaves */
#define HOT 60u
#define POOL (160u * 4096)

struct setting {
    enum policy_kind policy;
    uint32_t ahead_most;
};

static void
tune(void *arg, struct store_opts *opts)
{
    const struct setting *s = arg;

    opts->policy = s->policy;
}

/* Every read is a worker's: what the kernel has in memory does not count. */
static void
on_open(void *arg, struct engine_env *env)
{
    const struct setting *s = arg;
    const struct frames_tuning t = {.ahead_most = s->ahead_most,
                                    .inner_least = 1000};

    frames_tune(store_frames(env->store), &t);
    tier_forget(store_frames(env->store));
}

static void
start(struct engine_env *env, struct fake_client *c, struct setting *s)
{
    char line[700], value[601];

    log_set_level(LOG_ERROR);
    engine_env_init_closed(env, POOL);
    env->tune = tune;
    env->on_open = on_open;
    env->arg = s;
    assert_int_equal(engine_env_try_open(env), NQ_OK);
    fake_open(env, c);
    memset(value, 'v', 600);
    value[600] = '\0';
    for (unsigned i = 0; i < KEYS; i++) {
        snprintf(line, sizeof line, "SET k%05u %s", i * 7919u % KEYS, value);
        fake_expect(c, line, "+OK|");
    }
    fake_close(c);
    engine_env_cool(env);
    fake_open(env, c);
}

static void
finish(struct engine_env *env, struct fake_client *c)
{
    fake_close(c);
    engine_env_fini(env);
}

static struct frames_stats
stats(struct engine_env *env)
{
    struct frames_stats s;

    frames_get_stats(store_frames(env->store), &s);
    return s;
}

/* --- scan resistance ------------------------------------------------------ */

/* Hot keys by Zipf's law, about; the share of them that missed nothing. */
static double
get_hot(struct engine_env *env, struct fake_client *c, struct rng *r,
        unsigned n)
{
    unsigned hits = 0;
    char line[32];

    for (unsigned i = 0; i < n; i++) {
        uint64_t rank = rng_below(r, 1 + rng_below(r, HOT));
        uint64_t before = stats(env).misses;

        snprintf(line, sizeof line, "GET k%05u",
                 (unsigned)(rank * (KEYS / HOT)));
        (void)fake_ask(c, line);
        hits += stats(env).misses == before;
    }
    return (double)hits / n;
}

/* By how much a full scan lowers the hit rate. */
static double
drop_by_scan(enum policy_kind policy)
{
    struct setting s = {policy, 0};
    struct engine_env env;
    struct fake_client c;
    struct rng r;
    double before, after;

    start(&env, &c, &s);
    rng_seed(&r, 5);
    (void)get_hot(&env, &c, &r, 3000);
    before = get_hot(&env, &c, &r, 300);
    (void)fake_ask(&c, "NQ.RANGE - +");
    after = get_hot(&env, &c, &r, 60);
    finish(&env, &c);
    print_message("%s: %.2f before, %.2f after\n", policy_name(policy), before,
                  after);
    return before - after;
}

static void
full_scan_leaves_the_hot_set_in_memory(void **state)
{
    (void)state;
    assert_true(drop_by_scan(POLICY_S3ARC) <= 0.05);
    assert_true(drop_by_scan(POLICY_S3FIFO) <= 0.05);
}

static void
full_scan_flushes_the_hot_set_under_lru(void **state)
{
    (void)state;
    assert_true(drop_by_scan(POLICY_LRU) >= 0.2);
}

/* It holds the pages of where it is, not those of where it was. */
static void
long_scan_stays_within_the_pool(void **state)
{
    struct setting s = {POLICY_S3ARC, 0};
    struct engine_env env;
    struct fake_client c;
    uint64_t most = 0;

    (void)state;
    start(&env, &c, &s);
    fake_send(&c, "KEYS *nothing");
    while (c.nkept > 0) {
        engine_env_turn(&env);
        most = nq_max(most, stats(&env).used_bytes);
    }
    assert_string_equal(fake_read(&c), "*0|");
    assert_true(stats(&env).misses > 300);
    assert_true(most <= POOL);
    finish(&env, &c);
}

/* --- read-ahead ----------------------------------------------------------- */

static struct frames_stats
run_cold(uint32_t ahead_most, const char *line)
{
    struct setting s = {POLICY_S3ARC, ahead_most};
    struct frames_stats before, after;
    struct engine_env env;
    struct fake_client c;

    start(&env, &c, &s);
    before = stats(&env);
    (void)fake_ask(&c, line);
    after = stats(&env);
    after.demand_reads -= before.demand_reads;
    finish(&env, &c);
    return after;
}

static void
assert_most_was_read_ahead(const struct frames_stats *s)
{
    assert_true(s->ahead_issued > 300);
    assert_true(s->ahead_used > s->ahead_issued * 9 / 10);
    assert_true(s->demand_reads < s->ahead_issued / 4);
}

static void
walks_are_read_ahead(void **state)
{
    struct frames_stats s = run_cold(16, "KEYS *");

    (void)state;
    assert_most_was_read_ahead(&s);
}

/* Those that are wanted together, and some behind them, in both directions. */
static void
leaves_of_ranges_are_read_many_at_once(void **state)
{
    static const char *const lines[] = {"NQ.RANGE - +", "NQ.RANGE - + REV"};

    (void)state;
    for (unsigned i = 0; i < nq_countof(lines); i++) {
        struct frames_stats s = run_cold(16, lines[i]);

        assert_true(s.reads > 500);
        assert_true(s.parked < s.reads / 8);
        assert_true(s.ahead_issued > 50);
        assert_true(s.ahead_used > s.ahead_issued * 9 / 10);
    }
}

static void
nothing_is_read_ahead_if_that_is_set(void **state)
{
    struct frames_stats s = run_cold(0, "NQ.RANGE - +");

    (void)state;
    assert_int_equal(s.ahead_issued, 0);
    assert_true(s.demand_reads > 300);
}

static void
scans_in_many_calls_are_read_ahead_like_one_walk(void **state)
{
    struct setting s = {POLICY_S3ARC, 16};
    struct frames_stats end;
    struct engine_env env;
    struct fake_client c;
    unsigned long long cursor = 0;
    char line[64];

    (void)state;
    start(&env, &c, &s);
    do {
        snprintf(line, sizeof line, "SCAN %llu COUNT 20", cursor);
        assert_int_equal(sscanf(fake_ask(&c, line), "*2|$%*u|%llu|", &cursor),
                         1);
    } while (cursor != 0);
    end = stats(&env);
    assert_most_was_read_ahead(&end);
    finish(&env, &c);
}

static void
random_reads_read_nothing_ahead(void **state)
{
    struct setting s = {POLICY_S3ARC, 64};
    struct engine_env env;
    struct fake_client c;
    struct rng r;
    char line[32];

    (void)state;
    start(&env, &c, &s);
    rng_seed(&r, 9);
    for (unsigned i = 0; i < 500; i++) {
        snprintf(line, sizeof line, "GET k%05u", (unsigned)rng_below(&r, KEYS));
        (void)fake_ask(&c, line);
    }
    assert_int_equal(stats(&env).ahead_issued, 0);
    finish(&env, &c);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_scan_leaves_the_hot_set_in_memory),
        cmocka_unit_test(full_scan_flushes_the_hot_set_under_lru),
        cmocka_unit_test(long_scan_stays_within_the_pool),
        cmocka_unit_test(walks_are_read_ahead),
        cmocka_unit_test(leaves_of_ranges_are_read_many_at_once),
        cmocka_unit_test(nothing_is_read_ahead_if_that_is_set),
        cmocka_unit_test(scans_in_many_calls_are_read_ahead_like_one_walk),
        cmocka_unit_test(random_reads_read_nothing_ahead),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
