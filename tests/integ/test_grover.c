/* NQ.GROVER and its kin over sockets: what they find, what they say about it,
 * when they do not simulate, and that nobody waits for them in vain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <hiredis/hiredis.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../lib/client.h"
#include "base/check.h"

#define ROWS 65536u /* r:00000 to r:65535, {"n": (i * 7919) % 65536} */
#define STEP 7919u

static struct live_server srv;
static redisContext *ctx;
static redisReply *last; /* of ask() */

/* --- fixtures -------------------------------------------------------------
 */

static void
fill(unsigned from, unsigned to)
{
    redisReply *r;

    for (unsigned i = from; i < to; i++)
        redisAppendCommand(ctx, "SET r:%05u {\"n\":%u}", i, i * STEP % ROWS);
    for (unsigned i = from; i < to; i++) {
        assert_int_equal(redisGetReply(ctx, (void **)&r), REDIS_OK);
        freeReplyObject(r);
    }
}

static int
start(void **state)
{
    (void)state;
    if (!live_begin(&srv, NULL))
        return -1;
    ctx = live_connect(&srv);
    if (ctx == NULL)
        return -1;
    for (unsigned i = 0; i < ROWS; i += 4096)
        fill(i, i + 4096);
    return 0;
}

static int
stop(void **state)
{
    (void)state;
    freeReplyObject(last);
    redisFree(ctx);
    return live_end(&srv);
}

/* The reply stays until the next one. */
static const redisReply *
ask(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    freeReplyObject(last);
    last = redisvCommand(ctx, fmt, ap);
    va_end(ap);
    assert_non_null(last);
    return last;
}

static void
set(const char *name, const char *value)
{
    const redisReply *r = ask("CONFIG SET %s %s", name, value);

    assert_int_equal(r->type, REDIS_REPLY_STATUS);
}

/* The defaults again. */
static void
set_defaults(void)
{
    set("quantum.max_iterations", "100");
    set("quantum.grover_threshold", "10000");
    set("quantum.min_search_space", "1000");
    set("quantum.max_qubits", "20");
    set("quantum.memory.quantum_state_memory_limit", "512");
    set("system.quantum_memory_limit", "1024");
    set("quantum.memory.auto_fallback_to_classical", "yes");
}

static const redisReply *
field(const char *name)
{
    if (last->type == REDIS_REPLY_ERROR)
        fail_msg("%s", last->str);
    assert_int_equal(last->type, REDIS_REPLY_ARRAY);
    for (size_t i = 0; i + 1 < last->elements; i += 2) {
        if (strcmp(last->element[i]->str, name) == 0)
            return last->element[i + 1];
    }
    fail_msg("no field %s", name);
    return NULL;
}

static long long
number(const char *name)
{
    assert_int_equal(field(name)->type, REDIS_REPLY_INTEGER);
    return field(name)->integer;
}

static double
real(const char *name)
{
    return strtod(field(name)->str, NULL);
}

static const char *
text(const char *name)
{
    return field(name)->str;
}

static bool
is_key_of(const char *name, size_t i, unsigned row)
{
    char key[16];

    snprintf(key, sizeof key, "r:%05u", row);
    return strcmp(field(name)->element[i]->str, key) == 0;
}

/* The engine, and what the reason begins with. */
static void
expect_engine(const char *engine, const char *reason)
{
    assert_string_equal(text("engine"), engine);
    if (strncmp(text("reason"), reason, strlen(reason)) != 0)
        fail_msg("the reason is: %s", text("reason"));
}

/* The row with that number. */
static unsigned
row_of(unsigned n)
{
    unsigned i = 0;

    while (i * STEP % ROWS != n)
        i++;
    return i;
}

/* Milliseconds until INFO quantum says that nothing is under way. */
static double
wait_for_quiet(void)
{
    struct timespec from, now;
    double ms;

    clock_gettime(CLOCK_MONOTONIC, &from);
    do {
        ask("INFO quantum");
        clock_gettime(CLOCK_MONOTONIC, &now);
        ms = (double)(now.tv_sec - from.tv_sec) * 1e3 +
             (double)(now.tv_nsec - from.tv_nsec) / 1e6;
    } while (strstr(last->str, "quantum_active:0\r") == NULL && ms < 10000);
    assert_non_null(strstr(last->str, "quantum_memory:0\r"));
    return ms;
}

/* Until something is simulated. */
static void
wait_for_memory(void)
{
    for (unsigned i = 0; i < 100000; i++) {
        ask("INFO quantum");
        if (strstr(last->str, "quantum_memory:0\r") == NULL)
            return;
    }
    fail_msg("nothing is simulated");
}

/* --- searches -------------------------------------------------------------
 */

static void
the_only_match_is_found(void **state)
{
    (void)state;
    set("quantum.max_iterations", "1000");
    ask("NQ.GROVER PREFIX r: WHERE n = 4711 SEED 1");
    expect_engine("quantum-sim", "grover_threshold: 65536 rows");
    assert_int_equal(field("keys")->elements, 1);
    assert_true(is_key_of("keys", 0, row_of(4711)));
    assert_int_equal(number("rows"), ROWS);
    assert_int_equal(number("qubits"), 16);
    assert_int_equal(number("state-bytes"), 8 * ROWS);
    assert_int_equal(number("matches"), 1);
    assert_int_equal(number("iterations"), 201);
    assert_int_equal(number("oracle-calls-classical"), ROWS);
    assert_true(number("oracle-calls-quantum") >= 201);
    assert_true(real("norm-error") < 1e-12);
    assert_true(fabs(real("success-probability") -
                     pow(sin(403 * asin(1 / sqrt((double)ROWS))), 2)) < 1e-9);
    ask("NQ.GROVER PREFIX r: WHERE n = 4711 COMPLEX UNKNOWN");
    assert_true(is_key_of("keys", 0, row_of(4711)));
    assert_int_equal(number("state-bytes"), 16 * ROWS);
    set_defaults();
}

static void
no_match_is_an_empty_answer(void **state)
{
    (void)state;
    ask("NQ.GROVER PREFIX r: WHERE n = -1");
    expect_engine("classical", "matches: the oracle marks none");
    assert_int_equal(field("keys")->elements, 0);
    ask("NQ.GROVER PREFIX nothing: WHERE n = 1 ENGINE SIM");
    expect_engine("classical", "rows: there are none");
    ask("NQ.GROVER RANGE r:2 r:1 WHERE n = 1");
    expect_engine("classical", "rows: there are none");
}

static void
distinct_keys_are_found_as_many_as_wanted(void **state)
{
    bool seen[ROWS] = {false};

    (void)state;
    ask("NQ.GROVER PREFIX r: WHERE n < 50 COUNT 20");
    expect_engine("quantum-sim", "grover_threshold");
    assert_int_equal(field("keys")->elements, 20);
    for (size_t i = 0; i < 20; i++) {
        unsigned long row =
            strtoul(field("keys")->element[i]->str + 2, NULL, 10);

        assert_true(row * STEP % ROWS < 50);
        assert_false(seen[row]);
        seen[row] = true;
    }
    ask("NQ.GROVER RANGE r:00000 (r:00100 WHERE n < 32000 COUNT 1000 "
        "ENGINE SIM");
    assert_int_equal(field("keys")->elements, number("matches"));
    ask("NQ.GROVER RANGE r:00000 (r:00100 WHERE n < 32000 COUNT 1000");
    expect_engine("classical", "min_search_space: 100 rows, fewer than 1000");
    assert_int_equal(field("keys")->elements, number("matches"));
}

static void
a_seed_repeats_a_search(void **state)
{
    char key[16];
    long long runs, seed;

    (void)state;
    ask("NQ.GROVER PREFIX r: WHERE n < 50 UNKNOWN");
    snprintf(key, sizeof key, "%s", field("keys")->element[0]->str);
    runs = number("runs");
    seed = number("seed");
    for (unsigned i = 0; i < 3; i++) {
        ask("NQ.GROVER PREFIX r: WHERE n < 50 UNKNOWN SEED %lld", seed);
        assert_string_equal(field("keys")->element[0]->str, key);
        assert_int_equal(number("runs"), runs);
    }
}

static void
wrong_numbers_of_iterations_are_told(void **state)
{
    (void)state;
    ask("NQ.GROVER PREFIX r: WHERE n = 4711 ITERATIONS 0 SEED 1");
    expect_engine("quantum-sim", "runs: 64 of 0 iterations found nothing");
    assert_int_equal(field("keys")->elements, 0);
    assert_int_equal(number("runs"), 64);
    ask("NQ.GROVER PREFIX r: WHERE n = 4711 MATCHES 65536");
    expect_engine("classical", "runs: 64 of 0 iterations found nothing");
    assert_true(is_key_of("keys", 0, row_of(4711)));
}

/* --- amplitudes ------------------------------------------------------------
 */

/* Grover's steps as the books have them, on what the test itself knows. */
static void
check_state(unsigned rows, unsigned below, unsigned k)
{
    long double *a = test_malloc(rows * sizeof *a), mean;

    ask("NQ.GROVER RANGE r:00000 (r:%05u WHERE n < %u ENGINE SIM STATE "
        "ITERATIONS %u",
        rows, below, k);
    assert_int_equal(number("rows"), rows);
    for (unsigned i = 0; i < rows; i++)
        a[i] = 1 / sqrtl(rows);
    for (; k > 0; k--) {
        mean = 0;
        for (unsigned i = 0; i < rows; i++) {
            a[i] = i * STEP % ROWS < below ? -a[i] : a[i];
            mean += a[i] / rows;
        }
        for (unsigned i = 0; i < rows; i++)
            a[i] = 2 * mean - a[i];
    }
    assert_int_equal(field("state")->elements, rows);
    for (unsigned i = 0; i < rows; i++) {
        double got = strtod(field("state")->element[i]->str, NULL);

        assert_true(fabsl(got - a[i]) < 1e-9L);
    }
    test_free(a);
}

static void
amplitudes_equal_an_independent_simulation(void **state)
{
    (void)state;
    check_state(8, 9000, 2);
    check_state(100, 2000, 5);
    check_state(1000, 500, 8);
    check_state(1024, 30000, 3);
    ask("NQ.GROVER RANGE r:00000 (r:00010 WHERE n < 9000 ENGINE SIM STATE "
        "COMPLEX");
    assert_int_equal(field("state")->element[3]->elements, 2);
    ask("NQ.GROVER PREFIX r: WHERE n < 9000 STATE");
    assert_int_equal(last->type, REDIS_REPLY_ERROR);
}

static void
spectra_follow_the_sine(void **state)
{
    double theta = asin(sqrt(3 / 1000.0));

    (void)state;
    ask("NQ.GROVER.SPECTRUM RANGE r:00000 (r:01000 WHERE n IN (0, 7919, 15838) "
        "ITERATIONS 60 AMPLITUDES");
    assert_int_equal(number("matches"), 3);
    assert_int_equal(number("best-iterations"), 14);
    assert_int_equal(field("success")->elements, 61);
    for (unsigned k = 0; k <= 60; k++) {
        double p = strtod(field("success")->element[k]->str, NULL);
        double f = strtod(field("formula")->element[k]->str, NULL);

        assert_true(fabs(p - pow(sin((2 * k + 1) * theta), 2)) < 1e-9);
        assert_true(fabs(p - f) < 1e-9);
    }
    assert_int_equal(field("amplitudes")->elements, 1000);
    ask("NQ.GROVER.SPECTRUM RANGE r:00000 (r:01000 WHERE n = 0 PLOT");
    assert_non_null(strstr(text("success"), "\n    24  0.999"));
}

/* --- the least number ------------------------------------------------------
 */

static void
least_and_greatest_are_those_of_a_scan(void **state)
{
    unsigned most = 0;

    (void)state;
    for (unsigned i = 0; i < 3000; i++)
        most = nq_max(most, i * STEP % ROWS);
    ask("NQ.GROVER.MAX RANGE r:00000 (r:03000 PATH n ENGINE SIM");
    expect_engine("quantum-sim", "engine: SIM was asked for");
    assert_true(real("number") == most);
    assert_true(is_key_of("keys", 0, row_of(most)));
    assert_true(number("thresholds") > 0);
    ask("NQ.GROVER.MIN PREFIX r: PATH n WHERE n > 100 ENGINE CLASSICAL");
    expect_engine("classical", "engine: CLASSICAL was asked for");
    assert_true(real("number") == 101);
    assert_int_equal(number("rows"), ROWS - 101);
    set("quantum.max_iterations", "1000");
    ask("NQ.GROVER.MIN PREFIX r: PATH n WHERE n > 100");
    expect_engine("quantum-sim", "grover_threshold");
    assert_true(is_key_of("keys", 0, row_of(101)));
    set_defaults();
    ask("NQ.GROVER.MIN PREFIX r: PATH other");
    assert_int_equal(field("number")->type, REDIS_REPLY_NIL);
    assert_int_equal(field("keys")->elements, 0);
}

/* --- rules ----------------------------------------------------------------
 */

static void
small_ranges_are_scanned(void **state)
{
    (void)state;
    ask("NQ.GROVER RANGE r:00000 (r:00999 WHERE n = 0");
    expect_engine("classical", "min_search_space: 999 rows");
    ask("NQ.GROVER RANGE r:00000 (r:10000 WHERE n < 100");
    expect_engine("classical", "grover_threshold: 10000 rows");
    ask("NQ.GROVER RANGE r:00000 (r:10001 WHERE n < 100");
    expect_engine("quantum-sim", "grover_threshold: 10001 rows");
    set("quantum.grover_threshold", "10001");
    ask("NQ.GROVER RANGE r:00000 (r:10001 WHERE n < 100");
    expect_engine("classical", "grover_threshold: 10001 rows");
    set("quantum.grover_threshold", "0");
    set("quantum.min_search_space", "0");
    ask("NQ.GROVER RANGE r:00000 (r:00004 WHERE n = 0");
    expect_engine("quantum-sim", "grover_threshold: 4 rows");
    set_defaults();
}

/* Falls back with that reason, or is refused; and the plan says so. */
static void
check_limit(const char *name, const char *value, const char *reason)
{
    set(name, value);
    ask("NQ.GROVER PREFIX r: WHERE n = 4711 MATCHES 1");
    expect_engine("classical", reason);
    assert_true(is_key_of("keys", 0, row_of(4711)));
    assert_int_equal(number("state-bytes"), 0);
    ask("NQ.GROVER.PLAN PREFIX r: WHERE n = 4711 MATCHES 1");
    expect_engine("classical", reason);
    assert_int_equal(number("refused"), 0);
    set("quantum.memory.auto_fallback_to_classical", "no");
    ask("NQ.GROVER PREFIX r: WHERE n = 4711 MATCHES 1");
    assert_int_equal(last->type, REDIS_REPLY_ERROR);
    assert_memory_equal(last->str, "QUANTUMLIMIT ", 13);
    assert_memory_equal(last->str + 13, reason, strlen(reason));
    ask("NQ.GROVER.PLAN PREFIX r: WHERE n = 4711 MATCHES 1");
    assert_int_equal(number("refused"), 1);
    set_defaults();
    set("quantum.max_iterations", "1000");
}

static void
limits_are_kept_and_named(void **state)
{
    (void)state;
    set("quantum.max_iterations", "1000");
    check_limit("quantum.max_iterations", "100",
                "max_iterations: a run of 201 iterations, more than 100");
    check_limit("quantum.max_qubits", "15",
                "max_qubits: 65536 rows need 16 qubits, more than 15");
    check_limit("quantum.memory.quantum_state_memory_limit", "0",
                "quantum_state_memory_limit: a state of 524288 bytes");
    check_limit("system.quantum_memory_limit", "0",
                "quantum_memory_limit: a state of 524288 bytes");
    set_defaults();
    ask("NQ.GROVER PREFIX r: WHERE n = 4711");
    expect_engine("classical", "max_iterations: a run of 201 iterations");
    ask("NQ.GROVER PREFIX r: WHERE n = 4711 UNKNOWN ENGINE SIM SEED 5");
    assert_true(is_key_of("keys", 0, row_of(4711)));
    ask("NQ.GROVER.SPECTRUM PREFIX r: WHERE n = 1 ITERATIONS 101");
    assert_memory_equal(last->str, "QUANTUMLIMIT max_iterations", 27);
}

static void
plans_run_nothing(void **state)
{
    long long before, after;
    struct client c;

    (void)state;
    client_open(&c, &srv);
    before = client_info(&c, "quantum", "grover_simulated");
    ask("NQ.GROVER.PLAN PREFIX r: WHERE n = 4711");
    expect_engine("quantum-sim", "grover_threshold: 65536 rows");
    assert_int_equal(number("iterations"), 201);
    assert_int_equal(number("fewest-matches"), 4);
    ask("NQ.GROVER.PLAN PREFIX r: WHERE n = 4711 UNKNOWN");
    assert_true(real("oracle-calls-quantum") > 201);
    after = client_info(&c, "quantum", "grover_simulated");
    assert_int_equal(before, after);
    client_close(&c);
}

static void
mistakes_are_named(void **state)
{
    static const char *const wrong[][2] = {
        {"NQ.GROVER PREFIX r: COUNT 3", "ERR WHERE is missing"},
        {"NQ.GROVER PREFIX r: WHERE n = = 1", "ERR query: expected a value"},
        {"NQ.GROVER SUFFIX r: WHERE n = 1", "ERR syntax error"},
        {"NQ.GROVER PREFIX r: WHERE n = 1 COUNT 0", "ERR COUNT is at least 1"},
        {"NQ.GROVER PREFIX r: WHERE n = 1 COUNT", "ERR syntax error"},
        {"NQ.GROVER PREFIX r: WHERE n = 1 COUNT x", "ERR value is not an int"},
        {"NQ.GROVER PREFIX r: WHERE n = 1 MATCHES 0", "ERR MATCHES is at leas"},
        {"NQ.GROVER PREFIX r: WHERE n = 1 ENGINE IBM", "ERR syntax error"},
        {"NQ.GROVER PREFIX r: WHERE n = 1 PATH n", "ERR syntax error"},
        {"NQ.GROVER.MIN PREFIX r: WHERE n = 1", "ERR PATH is missing"},
        {"NQ.GROVER.MIN PREFIX r: PATH a..b", "ERR query: "},
        {"NQ.GROVER.RESULT 0", "ERR the id of a job"},
        {"NQ.GROVER.RESULT 12345", "ERR no result of a job 12345"},
    };

    (void)state;
    for (size_t i = 0; i < nq_countof(wrong); i++) {
        ask(wrong[i][0]);
        if (last->type != REDIS_REPLY_ERROR ||
            strncmp(last->str, wrong[i][1], strlen(wrong[i][1])) != 0)
            fail_msg("%s: %s", wrong[i][0], last->str);
    }
}

/* --- long ones ------------------------------------------------------------
 */

/* A search that would take minutes, by a client of its own. */
static redisContext *
begin_long(void)
{
    redisContext *c = live_connect(&srv);
    redisReply *r;
    int done = 0;

    set("quantum.max_iterations", "1000000000");
    assert_non_null(c);
    /* Nothing is left unread, or closing would reset the connection. */
    r = redisCommand(c, "CLIENT SETNAME long");
    assert_non_null(r);
    freeReplyObject(r);
    redisAppendCommand(c,
                       "NQ.GROVER PREFIX r: WHERE n = 1 ITERATIONS 1000000000");
    while (!done)
        assert_int_equal(redisBufferWrite(c, &done), REDIS_OK);
    wait_for_memory();
    return c;
}

static void
a_client_that_goes_ends_its_search(void **state)
{
    redisContext *c = begin_long();
    double ms;

    (void)state;
    redisFree(c);
    ms = wait_for_quiet();
    assert_true(ms < 1000); /* 100 on a machine that is not busy */
    set_defaults();
}

static void
a_client_that_is_killed_ends_its_search(void **state)
{
    redisContext *c = begin_long();
    char *at, id[24] = "";

    (void)state;
    ask("CLIENT LIST");
    at = strstr(last->str, "name=long");
    assert_non_null(at);
    while (at > last->str && at[-1] != '\n')
        at--;
    snprintf(id, sizeof id, "%llu", strtoull(at + 3, NULL, 10));
    ask("CLIENT KILL ID %s", id);
    assert_int_equal(last->integer, 1);
    assert_true(wait_for_quiet() < 1000);
    redisFree(c);
    set_defaults();
}

static void
jobs_are_shown_cancelled_and_kept(void **state)
{
    long long id;

    (void)state;
    id = ask("NQ.GROVER.MAX PREFIX r: PATH n ASYNC")->integer;
    wait_for_quiet();
    ask("NQ.GROVER.RESULT %lld", id);
    assert_true(real("number") == ROWS - 1);
    set("quantum.max_iterations", "1000000000");
    id = ask("NQ.GROVER PREFIX r: WHERE n = 1 ITERATIONS 1000000000 ASYNC")
             ->integer;
    wait_for_memory();
    ask("NQ.GROVER.RESULT %lld", id);
    assert_string_equal(last->str + last->len - 10, "simulation");
    ask("NQ.JOBS CANCEL %lld", id);
    assert_true(wait_for_quiet() < 1000);
    ask("NQ.GROVER.RESULT %lld", id);
    assert_memory_equal(last->str, "ERR no result of", 16);
    set_defaults();
}

static void
searches_share_their_memory(void **state)
{
    redisContext *c = begin_long();

    (void)state;
    set("system.quantum_memory_limit", "1mb");
    ask("NQ.GROVER PREFIX r: WHERE n = 4711 COMPLEX");
    expect_engine("classical", "quantum_memory_limit: a state of 1048576 bytes "
                               "beside 524288 in use");
    ask("NQ.GROVER PREFIX r: WHERE n = 4711");
    expect_engine("quantum-sim", "grover_threshold");
    redisFree(c);
    wait_for_quiet();
    set_defaults();
}

/* The rows with numbers below `n` get others. */
static void
change_first(unsigned n, unsigned more)
{
    redisReply *r;

    for (unsigned i = 0; i < n; i++)
        redisAppendCommand(ctx, "SET r:%05u {\"n\":%u}", row_of(i), more + i);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(redisGetReply(ctx, (void **)&r), REDIS_OK);
        freeReplyObject(r);
    }
}

/* Rows that change while the simulation runs are not answered. */
static void
measured_keys_are_asked_about_again(void **state)
{
    long long id;

    (void)state;
    set("quantum.max_iterations", "1000");
    id =
        ask("NQ.GROVER PREFIX r: WHERE n < 80 COUNT 80 COMPLEX ASYNC")->integer;
    wait_for_memory();
    change_first(80, 1000);
    wait_for_quiet();
    ask("NQ.GROVER.RESULT %lld", id);
    assert_int_equal(number("matches"), 80);
    assert_int_equal(field("keys")->elements, 0);
    assert_int_equal(number("rejected"), 80);
    change_first(80, 0);
    set_defaults();
}

static void
replies_are_maps_in_resp3(void **state)
{
    struct client c;

    (void)state;
    client_open(&c, &srv);
    client_ask(&c, "HELLO 3");
    client_expect(&c, "NQ.GROVER RANGE r:00000 r:00000 WHERE \"n = 0\" SEED 1",
                  "{\"keys\": [\"r:00000\"], \"engine\": \"classical\", "
                  "\"reason\": \"min_search_space: 1 rows, fewer than 1000\", "
                  "\"rows\": :1, ...");
    client_close(&c);
}

/* The last one: it ends the server. */
static void
the_server_does_not_wait_for_searches(void **state)
{
    redisContext *c = begin_long();
    struct timespec from, to;

    (void)state;
    ask("NQ.GROVER PREFIX r: WHERE n = 1 ITERATIONS 1000000000 ASYNC");
    clock_gettime(CLOCK_MONOTONIC, &from);
    assert_int_equal(live_stop(&srv), 0);
    clock_gettime(CLOCK_MONOTONIC, &to);
    assert_true(to.tv_sec - from.tv_sec < 15);
    redisFree(c);
    assert_true(live_start(&srv));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_only_match_is_found),
        cmocka_unit_test(no_match_is_an_empty_answer),
        cmocka_unit_test(distinct_keys_are_found_as_many_as_wanted),
        cmocka_unit_test(a_seed_repeats_a_search),
        cmocka_unit_test(wrong_numbers_of_iterations_are_told),
        cmocka_unit_test(amplitudes_equal_an_independent_simulation),
        cmocka_unit_test(spectra_follow_the_sine),
        cmocka_unit_test(least_and_greatest_are_those_of_a_scan),
        cmocka_unit_test(small_ranges_are_scanned),
        cmocka_unit_test(limits_are_kept_and_named),
        cmocka_unit_test(plans_run_nothing),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(a_client_that_goes_ends_its_search),
        cmocka_unit_test(a_client_that_is_killed_ends_its_search),
        cmocka_unit_test(jobs_are_shown_cancelled_and_kept),
        cmocka_unit_test(searches_share_their_memory),
        cmocka_unit_test(measured_keys_are_asked_about_again),
        cmocka_unit_test(replies_are_maps_in_resp3),
        cmocka_unit_test(the_server_does_not_wait_for_searches),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
