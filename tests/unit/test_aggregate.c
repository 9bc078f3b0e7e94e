/* Exact sums, groups, and NQ.AGG against plain evaluation. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../lib/engine_env.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cmd/exact_sum.h"
#include "cmd/result_cache.h"
#include "os/clock.h"

#define NOW UINT64_C(1700000000000)

struct world {
    struct engine_env env;
    struct fake_client c;
    struct rng rng;
};

static void
seed_rng(struct rng *rng)
{
    const char *text = getenv("SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : rng_seed_from_os();

    print_message("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(rng, seed);
}

static int
setup(void **state)
{
    struct world *w = nq_calloc(1, sizeof *w);

    seed_rng(&w->rng);
    clock_freeze_wall(NOW);
    log_set_level(LOG_ERROR);
    engine_env_init(&w->env, 4 << 20);
    db_set_active_expire(w->env.db, false);
    fake_open(&w->env, &w->c);
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;

    fake_close(&w->c);
    engine_env_fini(&w->env);
    clock_freeze_wall(0);
    nq_free(w);
    return 0;
}

static const char *ask(struct world *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static const char *
ask(struct world *w, const char *fmt, ...)
{
    char line[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    return fake_ask(&w->c, line);
}

/* --- sums ----------------------------------------------------------------- */

static double
draw(struct rng *rng)
{
    double v = (double)(int64_t)rng_next(rng);

    return ldexp(v, (int)rng_below(rng, 120) - 100);
}

static void
sums_do_not_depend_on_the_order(void **state)
{
    struct rng rng;
    double values[200];

    nq_unused(state);
    seed_rng(&rng);
    for (int round = 0; round < 50; round++) {
        struct exact_sum a = {.whole = 0}, b[3] = {{.whole = 0}};

        for (unsigned i = 0; i < nq_countof(values); i++) {
            values[i] = draw(&rng);
            exact_sum_add(&a, values[i]);
        }
        for (unsigned i = nq_countof(values); i-- > 0;)
            exact_sum_add(&b[rng_below(&rng, 3)], values[i]);
        exact_sum_join(&b[2], &b[0]);
        exact_sum_join(&b[1], &b[2]);
        assert_true(exact_sum_value(&a) == exact_sum_value(&b[1]));
        exact_sum_fini(&a);
        for (unsigned i = 0; i < nq_countof(b); i++)
            exact_sum_fini(&b[i]);
    }
}

static double
sum_of(const double *values, unsigned n)
{
    struct exact_sum s = {.whole = 0};
    double v;

    for (unsigned i = 0; i < n; i++)
        exact_sum_add(&s, values[i]);
    v = exact_sum_value(&s);
    exact_sum_fini(&s);
    return v;
}

static void
sums_are_rounded_once(void **state)
{
    static const double lost[] = {1e100, 0.5, -1e100, 0.25};
    static const double tenths[] = {0.1, 0.1, 0.1, 0.1, 0.1,
                                    0.1, 0.1, 0.1, 0.1, 0.1};
    /* A tie that the last part decides. */
    static const double tie[] = {1e16, 1, 1e-16};

    nq_unused(state);
    assert_true(sum_of(lost, 4) == 0.75);
    assert_true(sum_of(tenths, 10) == 1.0);
    assert_true(sum_of(tie, 3) == 10000000000000002.0);
    assert_true(isinf(sum_of((double[]){INFINITY, 1}, 2)));
    assert_true(isnan(sum_of((double[]){INFINITY, -INFINITY}, 2)));
}

static void
sums_of_integers_are_integers(void **state)
{
    struct exact_sum s = {.whole = 0};
    char text[EXACT_SUM_TEXT];

    nq_unused(state);
    for (int i = 0; i < 4; i++)
        exact_sum_add_int(&s, INT64_MIN);
    exact_sum_add(&s, 7);
    assert_true(exact_sum_is_whole(&s));
    exact_sum_text(&s, text);
    assert_string_equal(text, "-36893488147419103225");
    exact_sum_add(&s, 0.5);
    assert_false(exact_sum_is_whole(&s));
    exact_sum_fini(&s);
}

/* --- the command ---------------------------------------------------------- */

static void
aggregates_are_told_by_name(void **state)
{
    struct world *w = *state;

    (void)ask(w, "HSET s:1 temp 20 site north");
    (void)ask(w, "HSET s:2 temp 23 site north");
    (void)ask(w, "HSET s:3 temp 1.5 site south");
    (void)ask(w, "HSET s:4 other 1");
    (void)ask(w, "SET s:5 '{\"temp\": 4, \"site\": \"east\"}'");
    (void)ask(w, "SET t:1 30");
    assert_string_equal(
        ask(w, "NQ.AGG PREFIX s: COUNT SUM temp MIN temp MAX temp AVG temp"),
        "*10|$5|count|:5|$8|sum temp|$4|48.5|$8|min temp|$3|1.5|"
        "$8|max temp|$2|23|$8|avg temp|$6|12.125|");
    assert_string_equal(
        ask(w, "NQ.AGG - + WHERE temp > 3 COUNT SUM temp GROUP BY site"),
        "*4|$4|east|*4|$5|count|:1|$8|sum temp|:4|"
        "$5|north|*4|$5|count|:2|$8|sum temp|:43|");
    assert_string_equal(ask(w, "NQ.AGG PREFIX s: COUNT GROUP BY site"),
                        "*8|$-1|*2|$5|count|:1|$4|east|*2|$5|count|:1|"
                        "$5|north|*2|$5|count|:2|$5|south|*2|$5|count|:1|");
    assert_string_equal(ask(w, "NQ.AGG - + COUNT GROUP BY KEY : 1"),
                        "*4|$1|s|*2|$5|count|:5|$1|t|*2|$5|count|:1|");
    assert_string_equal(ask(w, "NQ.AGG PREFIX none COUNT SUM a AVG a MIN a"),
                        "*8|$5|count|:0|$5|sum a|:0|$5|avg a|$-1|"
                        "$5|min a|$-1|");
}

static void
bad_arguments_are_refused(void **state)
{
    struct world *w = *state;

    assert_string_equal(ask(w, "NQ.AGG - + WHERE a = 1"), "-ERR syntax error|");
    assert_string_equal(ask(w, "NQ.AGG - + NONSENSE"), "-ERR syntax error|");
    assert_string_equal(ask(w, "NQ.AGG - + SUM"), "-ERR syntax error|");
    assert_string_equal(ask(w, "NQ.AGG - + COUNT GROUP BY"),
                        "-ERR syntax error|");
    assert_string_equal(ask(w, "NQ.AGG - + COUNT GROUP BY KEY : 0"),
                        "-ERR value is not an integer or out of range|");
    assert_non_null(strstr(ask(w, "NQ.AGG - + WHERE a = COUNT"), "-ERR query"));
    assert_non_null(strstr(ask(w, "NQ.AGG - + SUM 'a..b'"), "-ERR query"));
}

static void
too_many_groups_are_refused(void **state)
{
    struct world *w = *state;

    for (int i = 0; i <= 65536 / 8; i++)
        (void)ask(w,
                  "MSET %d:a 1 %d:b 1 %d:c 1 %d:d 1 %d:e 1 %d:f 1 %d:g 1 "
                  "%d:h 1",
                  i, i, i, i, i, i, i, i);
    assert_string_equal(ask(w, "NQ.AGG - + COUNT GROUP BY $key"),
                        "-ERR GROUP BY makes more than 65536 groups|");
    assert_non_null(
        strstr(ask(w, "NQ.AGG - + COUNT GROUP BY KEY : 1"), "*16386|"));
}

/* --- equal to plain evaluation -------------------------------------------- */

#define SITES 7
#define ROWS 6000

/* What NQ.AGG answers must be what adding up here comes to. */
static void
sums_by_groups_equal_plain_ones(void **state)
{
    struct world *w = *state;
    int64_t sums[SITES] = {0};
    unsigned counts[SITES] = {0};
    struct buf want = BUF_INIT;

    for (int i = 0; i < ROWS; i++) {
        unsigned site = (unsigned)rng_below(&w->rng, SITES);
        int64_t v = (int64_t)rng_below(&w->rng, 2001) - 1000;

        (void)ask(w, "HSET row:%d site s%u v %lld", i, site, (long long)v);
        if (v <= 0)
            continue;
        sums[site] += v;
        counts[site]++;
    }
    buf_printf(&want, "*%d|", 2 * SITES);
    for (unsigned s = 0; s < SITES; s++)
        buf_printf(&want, "$2|s%u|*4|$5|count|:%u|$5|sum v|:%lld|", s,
                   counts[s], (long long)sums[s]);
    buf_put_u8(&want, 0);
    assert_string_equal(
        ask(w, "NQ.AGG - + WHERE v > 0 COUNT SUM v GROUP BY site"),
        (const char *)want.p);
    engine_env_cool(&w->env);
    result_cache_clear(w->env.e->results);
    assert_string_equal(
        ask(w, "NQ.AGG - + WHERE v > 0 COUNT SUM v GROUP BY site"),
        (const char *)want.p);
    buf_fini(&want);
}

/* --- the cache ------------------------------------------------------------ */

static uint64_t
hits(struct world *w)
{
    struct result_cache_stats st;

    result_cache_get_stats(w->env.e->results, &st);
    return st.hits;
}

static void
a_result_is_kept_until_its_range_is_written(void **state)
{
    struct world *w = *state;
    const char *line = "NQ.AGG PREFIX s: COUNT SUM v";

    (void)ask(w, "HSET s:1 v 1");
    assert_string_equal(ask(w, "%s", line), "*4|$5|count|:1|$5|sum v|:1|");
    assert_string_equal(ask(w, "%s", line), "*4|$5|count|:1|$5|sum v|:1|");
    assert_int_equal(hits(w), 1);
    (void)ask(w, "SET r:1 x");
    (void)ask(w, "SET t:1 x");
    (void)ask(w, "%s", line);
    assert_int_equal(hits(w), 2);
    (void)ask(w, "HINCRBY s:1 v 4");
    assert_string_equal(ask(w, "%s", line), "*4|$5|count|:1|$5|sum v|:5|");
    assert_int_equal(hits(w), 2);
    (void)ask(w, "FLUSHDB");
    assert_string_equal(ask(w, "%s", line), "*4|$5|count|:0|$5|sum v|:0|");
}

static void
a_result_ends_with_the_first_key_that_expires(void **state)
{
    struct world *w = *state;

    (void)ask(w, "SET a 1");
    (void)ask(w, "SET b 2 PX 1000");
    assert_string_equal(ask(w, "NQ.AGG - + COUNT"), "*2|$5|count|:2|");
    (void)ask(w, "NQ.AGG - + COUNT");
    assert_int_equal(hits(w), 1);
    clock_freeze_wall(NOW + 1001);
    assert_string_equal(ask(w, "NQ.AGG - + COUNT"), "*2|$5|count|:1|");
    assert_int_equal(hits(w), 1);
}

static void
what_depends_on_time_is_not_kept(void **state)
{
    struct world *w = *state;

    (void)ask(w, "SET a 1");
    (void)ask(w, "NQ.AGG - + WHERE $ttl < 0 COUNT");
    assert_string_equal(ask(w, "NQ.AGG - + WHERE $ttl < 0 COUNT"),
                        "*2|$5|count|:1|");
    assert_int_equal(hits(w), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_do_not_depend_on_the_order),
        cmocka_unit_test(sums_are_rounded_once),
        cmocka_unit_test(sums_of_integers_are_integers),
        cmocka_unit_test_setup_teardown(aggregates_are_told_by_name, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(bad_arguments_are_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(too_many_groups_are_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(sums_by_groups_equal_plain_ones, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            a_result_is_kept_until_its_range_is_written, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_result_ends_with_the_first_key_that_expires, setup, teardown),
        cmocka_unit_test_setup_teardown(what_depends_on_time_is_not_kept, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
