/* Plans: which way a query takes, what it expects there, and the reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../lib/two_clients.h"
#include "cmd/plan.h"

#define ROWS 4000u

struct planned {
    struct two_clients *w;
    struct arena arena;
    struct plan plan;
    char reason[PLAN_REASON_MAX];
};

static int
setup(void **state)
{
    struct two_clients *w = two_clients_begin(state, 32 << 20);
    char line[80];

    fake_expect(&w->c, "NQ.INDEX CREATE temps ON s: FIELD temp", "+OK|");
    fake_expect(&w->c, "NQ.INDEX CREATE sites ON s: FIELD site TEXT", "+OK|");
    for (unsigned i = 0; i < ROWS; i++) {
        snprintf(line, sizeof line, "HSET s:%04u temp %u site site%u", i, i,
                 i % 50);
        fake_expect(&w->c, line, ":2|");
    }
    fake_expect(&w->c, "SET t:1 x", "+OK|");
    engine_env_turn(&w->env);
    return 0;
}

static void
plan_for(struct planned *p, const char *lo, const char *hi, const char *where,
         uint64_t wanted)
{
    struct slice end = slice_str(hi == NULL ? "" : hi), text = slice_str(where);
    struct plan_query q = {.lo = slice_str(lo),
                           .hi = hi == NULL ? NULL : &end,
                           .wanted = wanted,
                           .needs_counts = true};
    struct query_error err;
    struct program *program = NULL;

    arena_reset(&p->arena);
    if (where[0] != 0)
        assert_int_equal(program_compile(&text, 1, &program, &err), NQ_OK);
    q.where = program;
    assert_int_equal(plan_choose(p->w->env.db, 0, &q, &p->arena, &p->plan),
                     NQ_OK);
    program_unref(program);
}

static void
expect(struct planned *p, const char *kind, uint64_t rows, const char *reason)
{
    assert_string_equal(plan_kind_name(p->plan.kind), kind);
    assert_int_equal(p->plan.rows, rows);
    assert_string_equal(plan_reason(&p->plan, p->reason), reason);
}

static void
a_range_is_read_if_nothing_tells_more(void **state)
{
    struct planned p = {.w = *state};

    plan_for(&p, "", NULL, "", UINT64_MAX);
    expect(&p, "scan", ROWS + 1, "all rows of the range are wanted");
    plan_for(&p, "s:", "s;", "", UINT64_MAX);
    expect(&p, "range", ROWS, "all rows of the range are wanted");
    plan_for(&p, "s:", "s;", "other = 3", UINT64_MAX);
    expect(&p, "range", ROWS,
           "no index of a covering prefix on what is compared");
    plan_for(&p, "", NULL, "temp = 3", UINT64_MAX);
    expect(&p, "scan", ROWS + 1,
           "no index of a covering prefix on what is compared");
    plan_for(&p, "s:", "s;", "temp > 3 OR site = 'x'", UINT64_MAX);
    expect(&p, "range", ROWS,
           "no index of a covering prefix on what is compared");
    arena_fini(&p.arena);
}

static void
an_index_is_taken_if_it_tells_few_rows(void **state)
{
    struct planned p = {.w = *state};

    plan_for(&p, "s:", "s;", "temp = 3", UINT64_MAX);
    expect(&p, "index", 1, "index temps tells 1 of 4000 rows");
    plan_for(&p, "s:", "s;", "temp >= 10 AND temp < 15", UINT64_MAX);
    expect(&p, "index", 5, "index temps tells 5 of 4000 rows");
    plan_for(&p, "s:", "s;", "temp IN (1, 2, 2, 5000)", UINT64_MAX);
    expect(&p, "index", 2, "index temps tells 2 of 4000 rows");
    plan_for(&p, "s:", "s;", "site = 'site7' AND temp > 100", UINT64_MAX);
    expect(&p, "index", 80, "index sites tells 80 of 4000 rows");
    plan_for(&p, "s:", "s;", "site LIKE 'site11%'", UINT64_MAX);
    expect(&p, "index", 80, "index sites tells 80 of 4000 rows");
    plan_for(&p, "s:1", "s:2", "temp = 3", UINT64_MAX);
    expect(&p, "index", 1, "index temps tells 1 of 1000 rows");
    arena_fini(&p.arena);
}

static void
a_range_is_read_if_the_index_tells_many(void **state)
{
    struct planned p = {.w = *state};

    plan_for(&p, "s:", "s;", "temp > 10", UINT64_MAX);
    expect(&p, "range", ROWS,
           "index temps tells 3989 of 4000 rows; reading the range costs "
           "less");
    plan_for(&p, "s:", "s;", "temp >= 3000", 10);
    assert_string_equal(plan_kind_name(p.plan.kind), "range");
    assert_true(p.plan.rows < 100);
    arena_fini(&p.arena);
}

static void
what_is_said_of_keys_narrows_the_range(void **state)
{
    struct planned p = {.w = *state};

    plan_for(&p, "s:", "s;", "$key = 's:0007' AND temp > 3", UINT64_MAX);
    expect(&p, "seek", 1, "one key can match");
    plan_for(&p, "s:", "s;", "$key > 's:0099' AND $key <= 's:0110'",
             UINT64_MAX);
    expect(&p, "range", 11,
           "no index of a covering prefix on what is compared");
    plan_for(&p, "", NULL, "$key LIKE 's:00%' AND temp = 5", UINT64_MAX);
    expect(&p, "index", 1, "index temps tells 1 of 100 rows");
    plan_for(&p, "s:", "s;", "$key = 't:1'", UINT64_MAX);
    expect(&p, "empty", 0, "no key can be in the range");
    arena_fini(&p.arena);
}

static void
what_no_value_can_be_is_seen_at_once(void **state)
{
    struct planned p = {.w = *state};

    plan_for(&p, "s:", "s;", "temp > 20 AND temp < 10", UINT64_MAX);
    expect(&p, "empty", 0, "no value can be as the conditions want it");
    plan_for(&p, "s:", "s;", "temp = 5 AND temp IN (6, 7)", UINT64_MAX);
    expect(&p, "empty", 0, "no value can be as the conditions want it");
    /* A text beside a numeric index: that one cannot tell. */
    plan_for(&p, "s:", "s;", "temp = '3'", UINT64_MAX);
    assert_string_equal(plan_kind_name(p.plan.kind), "range");
    arena_fini(&p.arena);
}

#define plan_test(name)                                                        \
    cmocka_unit_test_setup_teardown(name, setup, two_clients_end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        plan_test(a_range_is_read_if_nothing_tells_more),
        plan_test(an_index_is_taken_if_it_tells_few_rows),
        plan_test(a_range_is_read_if_the_index_tells_many),
        plan_test(what_is_said_of_keys_narrows_the_range),
        plan_test(what_no_value_can_be_is_seen_at_once),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    program_cache_clear();
    return failed;
}
