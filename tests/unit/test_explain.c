/* NQ.EXPLAIN: what it says will be done, is done, and costs about that. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/engine_env.h"
#include "cmd/grover.h"

#define ROWS 4000u

/* Whether pages stay in memory as long as there is room. */
#ifdef NQ_HARSH
#define PAGES_STAY false
#else
#define PAGES_STAY true
#endif

struct world {
    struct engine_env env;
    struct fake_client c;
};

/* Readings 0 .. ROWS - 1 at temperatures that are spread evenly: hashes, and
 * the same as JSON. */
static int
setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    char line[160];

    engine_env_init(&w->env, 16 << 20);
    fake_open(&w->env, &w->c);
    for (unsigned i = 0; i < ROWS; i++) {
        unsigned temp = i * 7919 % ROWS;

        snprintf(line, sizeof line, "HSET h:%05u temp %u site %s", i, temp,
                 temp % 4 == 0 ? "north" : "south");
        fake_ask(&w->c, line);
        snprintf(line, sizeof line,
                 "SET j:%05u '{\"temp\":%u,\"site\":\"x%u\"}'", i, temp,
                 temp % 10);
        fake_ask(&w->c, line);
    }
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;

    fake_close(&w->c);
    engine_env_fini(&w->env);
    free(w);
    return 0;
}

/* The number behind `name` in the group; -1: there is none. */
static double
number(const char *text, const char *group, const char *name)
{
    char wanted[80];
    const char *at = strstr(text, group);

    snprintf(wanted, sizeof wanted, " %s: ", name);
    at = at == NULL ? NULL : strstr(at, wanted);
    return at == NULL ? -1 : strtod(at + strlen(wanted), NULL);
}

#define ESTIMATED(text, name) number(text, "estimated|", name)
#define ACTUAL(text, name) number(text, "actual|", name)

static void
assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("no %s in %s", part, text);
}

static void
a_plan_is_a_tree_of_lines(void **state)
{
    struct world *w = *state;

    fake_expect(&w->c, "NQ.EXPLAIN GET h:00001",
                "*12|+GET h:00001|+└─ plan|+   ├─ path: seek|"
                "+   ├─ reason: each key is looked up by itself|"
                "+   ├─ key: h:00001|+   └─ estimated|"
                "+      ├─ rows looked at: 1|+      ├─ rows: 1|"
                "+      ├─ pages: 1|+      ├─ bytes: 4096|"
                "+      ├─ predicted cache hits: 1|"
                "+      └─ of pages in memory: 1 of 1|");
    fake_ask(&w->c, "HELLO 3");
    fake_expect(&w->c, "NQ.EXPLAIN GET h:00001",
                "%1|$4|plan|%4|$4|path|$4|seek|$6|reason|"
                "$31|each key is looked up by itself|$3|key|$7|h:00001|"
                "$9|estimated|%6|$14|rows looked at|:1|$4|rows|:1|$5|pages|:1|"
                "$5|bytes|:4096|$20|predicted cache hits|,1|"
                "$18|of pages in memory|$6|1 of 1|");
    fake_ask(&w->c, "HELLO 2");
}

static void
estimates_are_right_within_a_factor_of_two(void **state)
{
    static const struct {
        const char *query;
        double rows;
    } table[] = {
        {"NQ.PREFIX h: WHERE temp >= 3600", 400},
        {"NQ.PREFIX h: WHERE temp < 3600", 3600},
        {"NQ.PREFIX h: WHERE temp >= 2000 AND site = north", 500},
        {"NQ.PREFIX h: WHERE temp >= 2000 OR site = north", 2500},
        {"NQ.RANGE j: k WHERE temp BETWEEN 1000 AND 1999", 1000},
        {"NQ.PREFIX j: WHERE site LIKE x1%", 400},
        {"NQ.PREFIX j: WHERE temp < 0", 0},
        {"NQ.PREFIX h:", ROWS},
        {"NQ.RANGE - +", 2 * ROWS},
        {"NQ.RANGE h:00100 h:00199", 100},
        {"NQ.RANGE h:00100 h:00199 LIMIT 10 50", 50},
        {"NQ.PREFIX h: WHERE temp >= 2000 LIMIT 0 100", 100},
        {"NQ.COUNT h: i WHERE temp >= 2000", 2000},
        {"NQ.COUNT - +", 2 * ROWS},
        {"NQ.RANGE k l", 0},
        {"NQ.RANGE b a", 0},
        {"NQ.RANGE h:00007 h:00007", 1},
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char line[160];
        const char *text;
        double rows;

        snprintf(line, sizeof line, "NQ.EXPLAIN ANALYZE %s", table[i].query);
        text = fake_ask(&w->c, line);
        rows = ESTIMATED(text, "rows");
        if (ACTUAL(text, "rows") != table[i].rows || rows < table[i].rows / 2 ||
            rows > table[i].rows * 2)
            fail_msg("%s", text);
        if (ESTIMATED(text, "rows in range") >= ROWS &&
            strstr(line, "LIMIT") == NULL && strstr(line, "- +") == NULL) {
            double pages = ESTIMATED(text, "pages");

            assert_true(pages <= ACTUAL(text, "pages hit") * 2);
            assert_true(pages * 2 >= ACTUAL(text, "pages hit"));
        }
    }
}

static void
an_index_changes_the_plan(void **state)
{
    static const char query[] =
        "NQ.EXPLAIN ANALYZE NQ.PREFIX h: WHERE temp >= 3980";
    struct world *w = *state;
    const char *text = fake_ask(&w->c, query);

    assert_has(text, "path: range");
    assert_true(ACTUAL(text, "rows") == 20);
    fake_expect(&w->c, "NQ.INDEX CREATE warm ON h: FIELD temp NUMERIC", "+OK|");
    for (unsigned i = 0; i < 1000; i++)
        engine_env_turn(&w->env);
    text = fake_ask(&w->c, query);
    assert_has(text, "path: index");
    assert_has(text, "index: warm");
    assert_true(ESTIMATED(text, "rows looked at") == 20);
    assert_true(ESTIMATED(text, "rows") == 20);
    assert_true(ACTUAL(text, "rows") == 20);
    fake_expect(&w->c, "NQ.INDEX DROP warm", "+OK|");
    assert_has(fake_ask(&w->c, query), "path: range");
}

/* The prediction is what is in memory, and what it was is what is met. */
static void
predicted_hits_are_what_is_in_memory(void **state)
{
    static const char query[] =
        "NQ.EXPLAIN ANALYZE NQ.PREFIX h: WHERE temp >= 2000";
    struct world *w = *state;
    const char *text;
    double half;

    engine_env_cool(&w->env);
    text = fake_ask(&w->c, "NQ.EXPLAIN NQ.PREFIX h: WHERE temp >= 2000");
    /* The ends of the range were read, for its rows to be counted. */
    assert_true(ESTIMATED(text, "predicted cache hits") < 0.1);
    fake_ask(&w->c, "NQ.RANGE h:00000 h:01999");
    text = fake_ask(&w->c, "NQ.EXPLAIN NQ.PREFIX h: WHERE temp >= 2000");
    half = ESTIMATED(text, "predicted cache hits");
    if (PAGES_STAY)
        assert_true(half > 0.4 && half < 0.6);
    text = fake_ask(&w->c, query);
    assert_true(ACTUAL(text, "rows") == 2000);
    assert_true(ACTUAL(text, "pages read") > 0);
    half -= ACTUAL(text, "cache hits");
    if (!PAGES_STAY)
        return;
    assert_true(half > -0.1 && half < 0.1);
    text = fake_ask(&w->c, query);
    assert_true(ESTIMATED(text, "predicted cache hits") == 1);
    assert_true(ACTUAL(text, "pages read") == 0);
    assert_true(ACTUAL(text, "cache hits") == 1);
}

/* Keys that are not in memory are read by the run, not by the plan. */
static void
a_command_with_keys_is_a_seek(void **state)
{
    struct world *w = *state;
    const char *text;

    engine_env_cool(&w->env);
    text = fake_ask(&w->c, "NQ.EXPLAIN MGET j:00001 j:03999");
    assert_true(ESTIMATED(text, "predicted cache hits") == 0);
    assert_true(ESTIMATED(text, "rows") == 2);
    text = fake_ask(&w->c, "NQ.EXPLAIN ANALYZE MGET j:00001 j:03999");
    assert_true(ACTUAL(text, "reply elements") == 2);
    if (PAGES_STAY)
        assert_true(ACTUAL(text, "pages read") == 2);
    text = fake_ask(&w->c, "NQ.EXPLAIN ANALYZE MGET j:00001 j:03999");
    if (PAGES_STAY)
        assert_true(ACTUAL(text, "pages read") == 0);
    text = fake_ask(&w->c, "NQ.EXPLAIN KEYS h:000*");
    assert_has(text, "from: h:000");
    assert_true(ESTIMATED(text, "rows") == 100);
    assert_has(fake_ask(&w->c, "NQ.EXPLAIN DBSIZE"), "path: none");
}

static void
limits_decide_whether_grover_is_simulated(void **state)
{
    static const char query[] =
        "NQ.EXPLAIN NQ.GROVER PREFIX h: WHERE temp = 7 MATCHES 1";
    struct world *w = *state;
    struct grover_limits *limits = &w->env.e->grover->limits;
    const char *text;

    limits->min_search_space = 10;
    limits->threshold = ROWS - 1;
    text = fake_ask(&w->c, query);
    assert_has(text, "decision: Grover(N=4000), simulated");
    assert_true(number(text, "quantum|", "qubits") == 12);
    assert_true(number(text, "quantum|", "iterations") == 49);
    assert_true(number(text, "quantum|", "success probability") > 0.99);
    limits->threshold = ROWS + 1;
    assert_has(fake_ask(&w->c, query), "decision: classical scan of 4000 rows");
    assert_has(fake_ask(&w->c, query), "reason: grover_threshold");
}

static void
what_changes_something_is_not_analyzed(void **state)
{
    struct world *w = *state;
    struct fake_client *c = &w->c;

    assert_has(fake_ask(c, "NQ.EXPLAIN SET a 1"), "path: seek");
    assert_has(fake_ask(c, "NQ.EXPLAIN NQ.DELRANGE h:00100 (h:00200"),
               "rows: 100");
    fake_expect(c, "NQ.EXPLAIN ANALYZE SET a 1",
                "-ERR ANALYZE runs the command, and 'set' writes|");
    fake_expect(c, "EXISTS a", ":0|");
    fake_expect(c, "NQ.EXPLAIN ANALYZE PING",
                "-ERR ANALYZE runs the command, which 'ping' is not made "
                "for|");
    fake_expect(c, "NQ.EXPLAIN ANALYZE XREAD BLOCK 0 STREAMS s 0",
                "-ERR ANALYZE runs the command, which 'xread' is not made "
                "for|");
}

static void
mistakes_are_answered_as_the_command_would(void **state)
{
    struct world *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "NQ.EXPLAIN NOPE a",
                "-ERR unknown command or subcommand 'NOPE'|");
    fake_expect(c, "NQ.EXPLAIN GET",
                "-ERR wrong number of arguments for 'get' command|");
    fake_expect(c, "NQ.EXPLAIN NQ.RANGE a b WHERE x >",
                "-ERR query: expected a value, found the end at 3|");
    fake_expect(c, "NQ.EXPLAIN ANALYZE GET h:00001",
                "-WRONGTYPE Operation against a key holding the wrong kind of "
                "value|");
    fake_expect(c, "NQ.EXPLAIN NQ.EXPLAIN GET a",
                "-ERR NQ.EXPLAIN does not explain itself|");
    fake_expect(c, "MULTI", "+OK|");
    assert_has(fake_ask(c, "NQ.EXPLAIN GET a"), "-ERR");
    fake_ask(c, "DISCARD");
}

/* The client goes in the middle of an ANALYZE that waits for pages. */
static void
a_client_may_go_meanwhile(void **state)
{
    struct world *w = *state;
    struct fake_client gone;

    engine_env_cool(&w->env);
    fake_open(&w->env, &gone);
    fake_send(&gone, "NQ.EXPLAIN ANALYZE NQ.PREFIX h: WHERE temp >= 2000");
    engine_env_turn(&w->env);
    fake_close(&gone);
    fake_expect(&w->c, "NQ.COUNT h: i", ":4000|");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plan_is_a_tree_of_lines),
        cmocka_unit_test(estimates_are_right_within_a_factor_of_two),
        cmocka_unit_test(an_index_changes_the_plan),
        cmocka_unit_test(predicted_hits_are_what_is_in_memory),
        cmocka_unit_test(a_command_with_keys_is_a_seek),
        cmocka_unit_test(limits_decide_whether_grover_is_simulated),
        cmocka_unit_test(what_changes_something_is_not_analyzed),
        cmocka_unit_test(mistakes_are_answered_as_the_command_would),
        cmocka_unit_test(a_client_may_go_meanwhile),
    };

    return cmocka_run_group_tests_name("explain", tests, setup, teardown);
}
