/* Subscriptions and messages, by commands over clients without sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../lib/engine_env.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cmd/notify.h"
#include "cmd/patterns.h"
#include "cmd/pubsub.h"
#include "os/clock.h"

static struct engine_env env;

static int
set_up(void **state)
{
    (void)state;
    engine_env_init(&env, 8 << 20);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    engine_env_fini(&env);
    return 0;
}

static void
subscriptions_are_counted_and_answered_one_by_one(void **state)
{
    struct fake_client c;

    (void)state;
    fake_open(&env, &c);
    fake_expect(&c, "subscribe a b",
                "*3|$9|subscribe|$1|a|:1|*3|$9|subscribe|$1|b|:2|");
    fake_expect(&c, "subscribe a", "*3|$9|subscribe|$1|a|:2|");
    fake_expect(&c, "psubscribe a*", "*3|$10|psubscribe|$2|a*|:3|");
    fake_expect(&c, "ssubscribe s", "*3|$10|ssubscribe|$1|s|:1|");
    fake_expect(&c, "unsubscribe a", "*3|$11|unsubscribe|$1|a|:2|");
    fake_expect(&c, "unsubscribe x", "*3|$11|unsubscribe|$1|x|:2|");
    fake_expect(&c, "unsubscribe", "*3|$11|unsubscribe|$1|b|:1|");
    fake_expect(&c, "unsubscribe", "*3|$11|unsubscribe|$-1|:1|");
    fake_expect(&c, "punsubscribe", "*3|$12|punsubscribe|$2|a*|:0|");
    assert_non_null(c.s.subs);
    fake_expect(&c, "sunsubscribe", "*3|$12|sunsubscribe|$1|s|:0|");
    assert_null(c.s.subs);
    fake_close(&c);
}

static void
a_subscribed_client_may_do_little_in_resp2(void **state)
{
    struct fake_client c;

    (void)state;
    fake_open(&env, &c);
    fake_ask(&c, "subscribe a");
    fake_expect(&c, "get a",
                "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / "
                "(P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this "
                "context|");
    fake_expect(&c, "ping", "*2|$4|pong|$0||");
    fake_expect(&c, "reset", "+RESET|");
    assert_null(c.s.subs);
    fake_expect(&c, "ping", "+PONG|");
    fake_close(&c);
}

static void
messages_reach_channels_and_patterns(void **state)
{
    struct fake_client a, b, p;

    (void)state;
    fake_open(&env, &a);
    fake_open(&env, &b);
    fake_open(&env, &p);
    fake_ask(&a, "subscribe news");
    fake_ask(&b, "psubscribe n*s other");
    fake_expect(&p, "publish news hello", ":2|");
    fake_expect(&p, "publish nothing hello", ":0|");
    fake_expect(&p, "spublish news hello", ":0|");
    assert_string_equal(fake_read(&a), "*3|$7|message|$4|news|$5|hello|");
    assert_string_equal(fake_read(&b),
                        "*4|$8|pmessage|$3|n*s|$4|news|$5|hello|");
    fake_ask(&a, "ssubscribe news");
    fake_expect(&p, "spublish news x", ":1|");
    assert_string_equal(fake_read(&a), "*3|$8|smessage|$4|news|$1|x|");
    fake_close(&a);
    fake_close(&b);
    fake_expect(&p, "publish news hello", ":0|");
    fake_close(&p);
}

static void
resp3_gets_pushes_behind_its_own_reply(void **state)
{
    struct fake_client c;

    (void)state;
    fake_open(&env, &c);
    fake_ask(&c, "hello 3");
    fake_expect(&c, "subscribe a", ">3|$9|subscribe|$1|a|:1|");
    fake_expect(&c, "publish a 1", ":1|>3|$7|message|$1|a|$1|1|");
    fake_ask(&c, "multi");
    fake_ask(&c, "publish a 2");
    fake_ask(&c, "ping");
    fake_expect(&c, "exec", "*2|:1|+PONG|>3|$7|message|$1|a|$1|2|");
    fake_close(&c);
}

/* A listing in slices is one reply, though it takes many turns. */
static void
messages_wait_for_the_end_of_a_reply_in_slices(void **state)
{
    enum { KEYS = 8000 };
    const char *message = ">3|$7|message|$1|a|$1|x|", *text, *at;
    struct fake_client c, p;
    char line[64];

    (void)state;
    fake_open(&env, &c);
    fake_open(&env, &p);
    for (int i = 0; i < KEYS; i++) {
        snprintf(line, sizeof line, "set key:%06d value", i);
        fake_ask(&p, line);
    }
    fake_ask(&c, "hello 3");
    fake_ask(&c, "subscribe a");
    fake_send(&c, "nq.range - +");
    while (outq_is_empty(&c.s.out) && c.nkept > 0)
        engine_env_turn(&env);
    fake_expect(&p, "publish a x", ":1|");
    while (c.nkept > 0)
        engine_env_turn(&env);
    text = fake_read(&c);
    at = strstr(text, message);
    assert_non_null(at);
    assert_string_equal(at, message);
    fake_ask(&p, "flushall");
    fake_close(&c);
    fake_close(&p);
}

static void
pubsub_tells_what_there_is(void **state)
{
    struct fake_client a, b;

    (void)state;
    fake_open(&env, &a);
    fake_open(&env, &b);
    fake_expect(&b, "pubsub channels", "*0|");
    fake_ask(&a, "subscribe news");
    fake_ask(&a, "psubscribe x* y*");
    fake_ask(&a, "ssubscribe shard");
    fake_expect(&b, "pubsub channels", "*1|$4|news|");
    fake_expect(&b, "pubsub channels x*", "*0|");
    fake_expect(&b, "pubsub numsub news none", "*4|$4|news|:1|$4|none|:0|");
    fake_expect(&b, "pubsub numsub", "*0|");
    fake_expect(&b, "pubsub numpat", ":2|");
    fake_expect(&b, "pubsub shardchannels", "*1|$5|shard|");
    fake_expect(&b, "pubsub shardnumsub shard", "*2|$5|shard|:1|");
    fake_close(&a);
    fake_expect(&b, "pubsub numpat", ":0|");
    fake_close(&b);
}

static void
long_messages_are_shared_not_copied(void **state)
{
    static uint8_t text[100000];
    struct fake_client c[10];
    uint64_t used;

    (void)state;
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < nq_countof(c); i++) {
        fake_open(&env, &c[i]);
        fake_ask(&c[i], "subscribe a");
    }
    used = mem_used();
    assert_int_equal(pubsub_publish(env.e, PUBSUB_CHANNEL, slice_lit("a"),
                                    slice_of(text, sizeof text), 0),
                     nq_countof(c));
    assert_true(mem_used() - used < 400000);
    for (size_t i = 0; i < nq_countof(c); i++) {
        assert_int_equal(strlen(fake_read(&c[i])),
                         strlen("*3|$7|message|$1|a|$100000||") + sizeof text);
        fake_close(&c[i]);
    }
}

/* --- keyspace notifications ------------------------------------------------
 */

static void
letters_are_read_and_told_as_redis_does(void **state)
{
    static const struct {
        const char *text, *told;
    } rows[] = {{"", ""},
                {"KEA", "AKE"},
                {"Ex", "xE"},
                {"g$lshzxetd", "A"},
                {"gKEmn$", "g$nKEm"},
                {"Am", "Am"},
                {"KEg$", "g$KE"}};
    uint32_t classes;

    (void)state;
    for (size_t i = 0; i < nq_countof(rows); i++) {
        char told[NOTIFY_TEXT_MAX];

        assert_true(notify_parse(slice_str(rows[i].text), &classes));
        notify_format(classes, told);
        assert_string_equal(told, rows[i].told);
    }
    assert_false(notify_parse(slice_lit("KEq"), &classes));
    assert_false(notify_parse(slice_of("K", 2), &classes));
}

static void
events_of_chosen_classes_are_told(void **state)
{
    struct fake_client c;

    (void)state;
    fake_open(&env, &c);
    fake_ask(&c, "psubscribe __key*");
    notify_on_event(env.e, 3, EVENT_STRING, "set", slice_lit("k"));
    assert_string_equal(fake_read(&c), "");
    assert_true(notify_parse(slice_lit("K$"), &env.e->limits.notify));
    notify_on_event(env.e, 3, EVENT_STRING, "set", slice_lit("k"));
    notify_on_event(env.e, 3, EVENT_GENERIC, "del", slice_lit("k"));
    assert_string_equal(fake_read(&c), "*4|$8|pmessage|$6|__key*|$16|"
                                       "__keyspace@3__:k|$3|set|");
    assert_true(notify_parse(slice_lit("Eg"), &env.e->limits.notify));
    notify_on_event(env.e, 0, EVENT_GENERIC, "del", slice_lit("k"));
    assert_string_equal(fake_read(&c), "*4|$8|pmessage|$6|__key*|$18|"
                                       "__keyevent@0__:del|$1|k|");
    env.e->limits.notify = 0;
    fake_close(&c);
}

/* --- patterns --------------------------------------------------------------
 */

struct tally {
    unsigned calls;
    uint64_t sum;
};

static void
count_match(struct pattern *p, void *arg)
{
    struct tally *t = arg;

    t->calls++;
    t->sum += (uint64_t)(uintptr_t)p;
}

static size_t
random_text(struct rng *rng, uint8_t *dst, const char *alphabet)
{
    size_t n = rng_next(rng) % 7;

    for (size_t i = 0; i < n; i++)
        dst[i] = (uint8_t)alphabet[rng_next(rng) % strlen(alphabet)];
    return n;
}

/* Every pattern is found that a comparison with all of them finds. */
static void
the_index_equals_comparing_all(void **state)
{
    struct patterns *ps = patterns_new();
    struct pattern at[500];
    static uint8_t texts[500][8];
    const char *env_seed = getenv("SEED");
    uint64_t seed =
        env_seed == NULL ? rng_seed_from_os() : strtoull(env_seed, NULL, 10);
    struct rng rng;

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&rng, seed);
    for (size_t i = 0; i < nq_countof(at); i++) {
        at[i].text =
            slice_of(texts[i], random_text(&rng, texts[i], "abab*?[]\\^-"));
        patterns_add(ps, &at[i]);
    }
    for (int round = 0; round < 2000; round++) {
        uint8_t bytes[8];
        struct slice name = slice_of(bytes, random_text(&rng, bytes, "ab[\\"));
        struct tally got = {0, 0}, want = {0, 0};

        patterns_match(ps, name, count_match, &got);
        for (size_t i = 0; i < nq_countof(at); i++)
            if (slice_glob(at[i].text, name, false))
                count_match(&at[i], &want);
        assert_int_equal(got.calls, want.calls);
        assert_int_equal(got.sum, want.sum);
    }
    for (size_t i = 0; i < nq_countof(at); i++)
        patterns_remove(ps, &at[i]);
    patterns_free(ps);
}

static void
many_patterns_cost_a_name_little(void **state)
{
    enum { PATTERNS = 100000, NAMES = 1000 };
    struct patterns *ps = patterns_new();
    struct pattern *at = nq_calloc(PATTERNS, sizeof *at);
    char(*texts)[24] = nq_calloc(PATTERNS, sizeof *texts);
    struct tally tally = {0, 0};
    uint64_t start_us, us;

    (void)state;
    for (int i = 0; i < PATTERNS; i++) {
        snprintf(texts[i], sizeof *texts, i % 2 == 0 ? "user:%d:*" : "*:tag%d",
                 i);
        at[i].text = slice_str(texts[i]);
        patterns_add(ps, &at[i]);
    }
    start_us = clock_mono_us();
    for (int i = 0; i < NAMES; i++)
        patterns_match(ps, slice_lit("user:500:tag501"), count_match, &tally);
    us = clock_mono_us() - start_us;
    assert_int_equal(tally.calls, 2 * NAMES);
    assert_true(us < 100 * NAMES); /* comparing all takes milliseconds */
    for (int i = 0; i < PATTERNS; i++)
        patterns_remove(ps, &at[i]);
    patterns_free(ps);
    nq_free(texts);
    nq_free(at);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subscriptions_are_counted_and_answered_one_by_one),
        cmocka_unit_test(a_subscribed_client_may_do_little_in_resp2),
        cmocka_unit_test(messages_reach_channels_and_patterns),
        cmocka_unit_test(resp3_gets_pushes_behind_its_own_reply),
        cmocka_unit_test(messages_wait_for_the_end_of_a_reply_in_slices),
        cmocka_unit_test(pubsub_tells_what_there_is),
        cmocka_unit_test(long_messages_are_shared_not_copied),
        cmocka_unit_test(letters_are_read_and_told_as_redis_does),
        cmocka_unit_test(events_of_chosen_classes_are_told),
        cmocka_unit_test(the_index_equals_comparing_all),
        cmocka_unit_test(many_patterns_cost_a_name_little),
    };

    return cmocka_run_group_tests_name("pubsub", tests, set_up, tear_down);
}
