/* The commands of streams where they wait, and where their answers are so long
 * that they go in slices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "../lib/two_clients.h"
#include "base/buf.h"

#define POOL (64u << 20)
#define LONG 20000

static int
setup(void **state)
{
    (void)two_clients_begin(state, POOL);
    return 0;
}

/* --- waiting ------------------------------------------------------------- */

static void
wait_turns(struct two_clients *w)
{
    for (int i = 0; i < 4; i++)
        engine_env_turn(&w->env);
}

static void
a_reader_waits_for_what_comes(void **state)
{
    struct two_clients *w = *state;

    fake_ask(&w->other, "xadd s 1-0 a 1");
    fake_send(&w->c, "xread block 0 streams s t $ 0");
    assert_string_equal(fake_read(&w->c), "");
    fake_ask(&w->other, "xadd s 2-0 b 2");
    wait_turns(w);
    assert_string_equal(fake_read(&w->c),
                        "*1|*2|$1|s|*1|*2|$3|2-0|*2|$1|b|$1|2|");
    fake_send(&w->c, "xread block 0 streams s t $ $");
    fake_ask(&w->other, "multi");
    fake_ask(&w->other, "xadd s 3-0 c 3");
    fake_ask(&w->other, "xadd t 1-0 d 4");
    fake_ask(&w->other, "exec");
    wait_turns(w);
    assert_string_equal(fake_read(&w->c),
                        "*2|*2|$1|s|*1|*2|$3|3-0|*2|$1|c|$1|3|"
                        "*2|$1|t|*1|*2|$3|1-0|*2|$1|d|$1|4|");
}

static void
what_is_gone_when_it_comes_wakes_nobody(void **state)
{
    struct two_clients *w = *state;

    fake_send(&w->c, "xread block 0 streams s 0");
    fake_ask(&w->other, "xadd s maxlen 0 1-0 a 1");
    fake_ask(&w->other, "del s");
    fake_ask(&w->other, "set s v");
    fake_ask(&w->other, "del s");
    wait_turns(w);
    assert_string_equal(fake_read(&w->c), "");
    fake_ask(&w->other, "xadd s 1-0 a 1");
    wait_turns(w);
    assert_string_equal(fake_read(&w->c),
                        "*1|*2|$1|s|*1|*2|$3|1-0|*2|$1|a|$1|1|");
}

static void
consumers_are_served_in_turn(void **state)
{
    struct two_clients *w = *state;
    struct fake_client c = {.env = NULL};

    fake_ask(&w->c, "xgroup create s g $ mkstream");
    fake_send(&w->c, "xreadgroup group g ann block 0 count 1 streams s >");
    fake_send(&w->other, "xreadgroup group g bob block 0 count 1 streams s >");
    fake_open(&w->env, &c);
    fake_ask(&c, "xadd s 1-0 a 1");
    wait_turns(w);
    assert_string_equal(fake_read(&w->c),
                        "*1|*2|$1|s|*1|*2|$3|1-0|*2|$1|a|$1|1|");
    assert_string_equal(fake_read(&w->other), "");
    fake_ask(&c, "xadd s 2-0 a 1");
    wait_turns(w);
    assert_string_equal(fake_read(&w->other),
                        "*1|*2|$1|s|*1|*2|$3|2-0|*2|$1|a|$1|1|");
    fake_close(&c);
}

static void
a_group_that_goes_ends_the_wait(void **state)
{
    static const char *const ends[] = {"xgroup destroy s g", "del s",
                                       "flushall"};
    struct two_clients *w = *state;

    for (int i = 0; i < 3; i++) {
        fake_ask(&w->other, "xgroup create s g $ mkstream");
        fake_send(&w->c, "xreadgroup group g ann block 0 streams s >");
        fake_ask(&w->other, ends[i]);
        wait_turns(w);
        assert_string_equal(fake_read(&w->c),
                            "-NOGROUP No such key 's' or consumer group 'g' "
                            "in XREADGROUP with GROUP option|");
    }
}

static void
nobody_waits_inside_multi(void **state)
{
    struct two_clients *w = *state;

    fake_ask(&w->c, "xgroup create s g $ mkstream");
    fake_ask(&w->c, "multi");
    fake_ask(&w->c, "xread block 0 streams s $");
    fake_ask(&w->c, "xreadgroup group g ann block 0 streams s >");
    fake_expect(&w->c, "exec", "*2|*-1|*-1|");
}

/* --- slices -------------------------------------------------------------- */

/* LONG entries i-0, i from 1 on. */
static void
fill(struct two_clients *w, const char *key)
{
    char line[64];

    for (int i = 1; i <= LONG; i++) {
        snprintf(line, sizeof line, "xadd %s %d-0 f v%d", key, i, i);
        fake_ask(&w->c, line);
    }
}

static void
put_entry(struct buf *out, int i)
{
    char id[16], val[16];

    snprintf(id, sizeof id, "%d-0", i);
    snprintf(val, sizeof val, "v%d", i);
    buf_printf(out, "*2|$%zu|%s|*2|$1|f|$%zu|%s|", strlen(id), id, strlen(val),
               val);
}

/* The entries from..to as an array between `prefix` and `suffix`. */
static void
expect_between(struct two_clients *w, const char *line, const char *prefix,
               int from, int to, const char *suffix)
{
    struct buf want = BUF_INIT;
    int step = from <= to ? 1 : -1;

    buf_printf(&want, "%s*%d|", prefix, (to - from) * step + 1);
    for (int i = from; i != to + step; i += step)
        put_entry(&want, i);
    buf_put_str(&want, suffix);
    buf_put_u8(&want, 0);
    engine_env_cool(&w->env);
    assert_string_equal(fake_ask(&w->c, line), (const char *)want.p);
    buf_fini(&want);
}

static void
expect_entries(struct two_clients *w, const char *line, const char *prefix,
               int from, int to)
{
    expect_between(w, line, prefix, from, to, "");
}

static void
long_answers_go_in_slices(void **state)
{
    struct two_clients *w = *state;

    fill(w, "s");
    expect_entries(w, "xrange s - +", "", 1, LONG);
    expect_entries(w, "xrevrange s + -", "", LONG, 1);
    expect_entries(w, "xread streams s none 0 0", "*1|*2|$1|s|", 1, LONG);
    fake_ask(&w->c, "xgroup create s g 0");
    expect_entries(w, "xreadgroup group g ann streams s >", "*1|*2|$1|s|", 1,
                   LONG);
    expect_entries(w, "xreadgroup group g ann streams s 5-0", "*1|*2|$1|s|", 6,
                   LONG);
    expect_between(w, "xautoclaim s g bob 0 0 count 5000", "*3|$6|5001-0|", 1,
                   5000, "*0|");
}

static void
long_reads_of_two_streams_go_in_slices(void **state)
{
    struct two_clients *w = *state;

    fill(w, "s");
    fake_ask(&w->c, "xadd z 1-0 f v1");
    fake_ask(&w->c, "xadd a 1-0 f v1");
    expect_entries(w, "xread streams a s 0 0",
                   "*2|*2|$1|a|*1|*2|$3|1-0|*2|$1|f|$2|v1|*2|$1|s|", 1, LONG);
    fake_ask(&w->c, "xgroup create s g 0");
    fake_ask(&w->c, "xgroup create a g 0");
    expect_entries(w, "xreadgroup group g ann streams a s > >",
                   "*2|*2|$1|a|*1|*2|$3|1-0|*2|$1|f|$2|v1|*2|$1|s|", 1, LONG);
    assert_true(w->env.e->stats.sliced_yields > 0);
}

static void
count_pending(struct two_clients *w, const char *line, uint64_t want)
{
    char begin[32];
    const char *got;

    snprintf(begin, sizeof begin, "*%llu|", (unsigned long long)want);
    engine_env_cool(&w->env);
    got = fake_ask(&w->c, line);
    assert_memory_equal(got, begin, strlen(begin));
}

static void
long_lists_of_pending_entries_go_in_slices(void **state)
{
    struct two_clients *w = *state;
    char line[64];

    fill(w, "s");
    fake_ask(&w->c, "xgroup create s g 0");
    fake_ask(&w->c, "xreadgroup group g ann streams s >");
    count_pending(w, "xpending s g - + 100000", LONG);
    count_pending(w, "xpending s g - + 10000 ann", 10000);
    count_pending(w, "xpending s g idle 100000 - + 10000 ann", 0);
    count_pending(w, "xinfo groups s", 1);
    snprintf(line, sizeof line, ":%d|", LONG);
    fake_expect(&w->c, "xgroup delconsumer s g ann", line);
    fake_expect(&w->c, "xpending s g", "*4|:0|$-1|$-1|*-1|");
}

static void
a_client_may_leave_between_slices(void **state)
{
    static const char *const lines[] = {
        "xrange s - +",
        "xread streams s z 0 0",
        "xreadgroup group g ann streams s >",
        "xreadgroup group g ann streams s 0",
        "xpending s g - + 100000",
        "xautoclaim s g bob 0 0 count 10000 justid",
        "xgroup delconsumer s g ann"};
    struct two_clients *w = *state;

    fill(w, "s");
    fake_ask(&w->c, "xadd z 1-0 f v");
    fake_ask(&w->c, "xgroup create s g 0");
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct fake_client c = {.env = NULL};

        engine_env_cool(&w->env);
        fake_open(&w->env, &c);
        fake_send(&c, lines[i]);
        engine_env_turn(&w->env);
        fake_close(&c);
    }
    fake_ask(&w->c, "xtrim s maxlen 10");
    fake_expect(&w->c, "xlen s", ":10|");
}

static void
multi_has_long_answers_in_one_piece(void **state)
{
    struct two_clients *w = *state;

    fill(w, "s");
    fake_ask(&w->c, "xgroup create s g 0");
    fake_ask(&w->c, "multi");
    fake_ask(&w->c, "xreadgroup group g ann count 1000 streams s >");
    fake_ask(&w->c, "xautoclaim s g bob 0 0 count 1000 justid");
    fake_ask(&w->c, "xgroup delconsumer s g bob");
    assert_non_null(strstr(fake_ask(&w->c, "exec"), "|:1000|"));
    fake_expect(&w->c, "xpending s g", "*4|:0|$-1|$-1|*-1|");
}

/* --- long names ---------------------------------------------------------- */

static void
names_are_kept_up_to_a_length(void **state)
{
    struct two_clients *w = *state;
    static char line[150000], name[70001];

    memset(name, 'n', sizeof name - 1);
    snprintf(line, sizeof line, "xgroup create s %s 0 mkstream", name);
    fake_expect(&w->c, line,
                "-ERR key is longer than 65536 bytes, the most this server "
                "keeps|");
    fake_expect(&w->c, "exists s", ":0|");
    name[60000] = '\0';
    snprintf(line, sizeof line, "xgroup create s %s 0 mkstream", name);
    fake_expect(&w->c, line, "+OK|");
    snprintf(line, sizeof line, "xgroup createconsumer s %s %s", name, name);
    fake_expect(&w->c, line, ":1|");
    fake_expect(&w->c, line, ":0|");
    snprintf(line, sizeof line, "xgroup delconsumer s %s %s", name, name);
    fake_expect(&w->c, line, ":0|");
    snprintf(line, sizeof line, "xgroup destroy s %s", name);
    fake_expect(&w->c, line, ":1|");
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, two_clients_end)
    const struct CMUnitTest tests[] = {
        T(a_reader_waits_for_what_comes),
        T(what_is_gone_when_it_comes_wakes_nobody),
        T(consumers_are_served_in_turn),
        T(a_group_that_goes_ends_the_wait),
        T(nobody_waits_inside_multi),
        T(long_answers_go_in_slices),
        T(long_reads_of_two_streams_go_in_slices),
        T(long_lists_of_pending_entries_go_in_slices),
        T(a_client_may_leave_between_slices),
        T(multi_has_long_answers_in_one_piece),
        T(names_are_kept_up_to_a_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
