/* Live feeds: what NQ.SUBSCRIBE tells, so that a copy made of it equals the
 * store: under writers, transactions, expiry and FLUSHDB; across ends of the
 * client and of the server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../lib/client.h"
#include "../lib/feed_client.h"
#include "base/check.h"
#include "base/rng.h"

static struct live_server srv;

static int
start(void **state)
{
    (void)state;
    live_init(&srv);
    srv.options[0] = "--maxmemory";
    srv.options[1] = "64mb";
    return live_start(&srv) ? 0 : -1;
}

static int
stop(void **state)
{
    int code = live_stop(&srv);

    (void)state;
    if (code != 0)
        live_print_log(&srv);
    live_fini(&srv);
    return code;
}

static int
clear(void **state)
{
    struct client c;

    (void)state;
    client_open(&c, &srv);
    client_expect(&c, "FLUSHALL", "+OK");
    client_close(&c);
    return 0;
}

static void
pause_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};

    nanosleep(&t, NULL);
}

static struct rng
seeded(const char *name)
{
    const char *text = getenv("SEED");
    struct rng rng;

    rng_seed(&rng, text != NULL ? strtoull(text, NULL, 10) : 7);
    printf("%s SEED=%s\n", name, text != NULL ? text : "7");
    return rng;
}

/* --- what is told ----------------------------------------------------------
 */

static void
expect_message(struct feed_client *f, const char *event, const char *key,
               bool was, bool is, const char *value)
{
    struct feed_message m;

    assert_true(feed_next(f, 5000, &m));
    assert_string_equal(m.event, event);
    assert_string_equal(m.key, key);
    assert_int_equal(m.was, was);
    assert_int_equal(m.is, is);
    assert_string_equal(m.value, value);
}

static void
a_feed_tells_rows_then_changes(void **state)
{
    static struct feed_client f;
    struct client c;

    (void)state;
    client_open(&c, &srv);
    client_expect(&c, "SET k:1 \"{\\\"t\\\":1}\"", "+OK");
    client_expect(&c, "SET k:5 \"{\\\"t\\\":5}\"", "+OK");
    client_expect(&c, "SET j:5 \"{\\\"t\\\":5}\"", "+OK");
    for (int resp = 2; resp <= 3; resp++) {
        memset(&f, 0, sizeof f);
        feed_open(&f, &srv, resp);
        feed_subscribe(&f, "NQ.SUBSCRIBE PREFIX k: WHERE t > 3 RETURN $key "
                           "SNAPSHOT");
        expect_message(&f, "row", "k:5", false, true, "");
        expect_message(&f, "ready", "", false, false, "");
        client_expect(&c, "SET k:1 \"{\\\"t\\\":4}\"", "+OK");
        expect_message(&f, "set", "k:1", false, true, "");
        client_expect(&c, "SET k:1 \"{\\\"t\\\":2}\"", "+OK");
        expect_message(&f, "set", "k:1", true, false, "");
        client_expect(&c, "SET j:1 \"{\\\"t\\\":9}\"", "+OK");
        client_expect(&c, "HSET k:h t 8", ":1");
        expect_message(&f, "set", "k:h", false, true, "");
        client_expect(&c, "DEL k:h k:1", ":2");
        expect_message(&f, "del", "k:h", true, false, "");
        feed_close(&f);
    }
    client_close(&c);
}

static void
keys_that_expire_are_told(void **state)
{
    static struct feed_client f;
    struct client c;

    (void)state;
    memset(&f, 0, sizeof f);
    client_open(&c, &srv);
    feed_open(&f, &srv, 2);
    feed_subscribe(&f, "NQ.SUBSCRIBE PREFIX k: EVENTS expire del");
    expect_message(&f, "ready", "", false, false, "");
    f.is_lossy = true; /* it does not hear of what is set */
    client_expect(&c, "SET k:1 a PX 30", "+OK");
    client_expect(&c, "SET k:2 a", "+OK");
    expect_message(&f, "expire", "k:1", true, false, "");
    client_expect(&c, "DEL k:2", ":1");
    expect_message(&f, "del", "k:2", true, false, "");
    feed_close(&f);
    client_close(&c);
}

static void
ranges_that_go_are_one_message(void **state)
{
    static struct feed_client f;
    struct client c;
    struct feed_message m;

    (void)state;
    memset(&f, 0, sizeof f);
    client_open(&c, &srv);
    for (int i = 0; i < 20; i++) {
        char text[64];

        snprintf(text, sizeof text, "SET k:%02d v", i);
        client_expect(&c, text, "+OK");
    }
    feed_open(&f, &srv, 2);
    feed_subscribe(&f, "NQ.SUBSCRIBE PREFIX k: SNAPSHOT");
    while (!f.is_ready)
        assert_true(feed_next(&f, 5000, &m));
    assert_int_equal(f.rows, 20);
    client_expect(&c, "FLUSHDB", "+OK");
    assert_true(feed_next(&f, 5000, &m));
    assert_string_equal(m.event, "gone");
    assert_string_equal(m.first, "k:");
    assert_string_equal(m.last, "k;");
    assert_int_equal(f.keys, 0);
    feed_close(&f);
    client_close(&c);
}

/* --- copies ----------------------------------------------------------------
 */

#define WRITERS 3

/* A random change, or some in a transaction; replies are not read. */
static void
write_some(redisContext *c, struct rng *rng, unsigned depth)
{
    unsigned a = (unsigned)rng_below(rng, 200);
    unsigned b = (unsigned)rng_below(rng, 200);
    unsigned v = (unsigned)rng_below(rng, 100000);

    switch (rng_below(rng, depth == 0 ? 12 : 8)) {
    default:
        redisAppendCommand(c, "SET k:%u v%u", a, v);
        break;
    case 1:
        redisAppendCommand(c, "DEL k:%u k:%u", a, b);
        break;
    case 2:
        redisAppendCommand(c, "SET k:%u v%u PX %u", a, v, 1 + v % 40);
        break;
    case 3:
        redisAppendCommand(c, "APPEND k:%u x", a);
        break;
    case 4:
        redisAppendCommand(c, "RENAME k:%u k:%u", a, b);
        break;
    case 5:
        redisAppendCommand(c, "MSET k:%u v%u k:%u w%u", a, v, b, v);
        break;
    case 6:
        redisAppendCommand(c, "SET other:%u v%u", a, v);
        break;
    case 8:
        if (v % 20 == 0)
            redisAppendCommand(c, v % 40 == 0 ? "FLUSHDB"
                                              : "NQ.DELRANGE k:1 (k:12");
        break;
    case 9:
        redisAppendCommand(c, "MULTI");
        for (unsigned i = 0; i < 3; i++)
            write_some(c, rng, 1);
        redisAppendCommand(c, "EXEC");
    }
}

/* Sends `n` changes of each writer, and has them answered. */
static void
write_many(redisContext **w, struct rng *rng, unsigned n)
{
    redisReply *r;

    for (unsigned i = 0; i < n; i++)
        write_some(w[i % WRITERS], rng, 0);
    for (unsigned i = 0; i < WRITERS; i++) {
        redisAppendCommand(w[i], "ECHO end");
        for (bool is_end = false; !is_end;) {
            if (redisGetReply(w[i], (void **)&r) != REDIS_OK)
                return; /* the server was killed */
            is_end =
                r->type == REDIS_REPLY_STRING && strcmp(r->str, "end") == 0;
            freeReplyObject(r);
        }
    }
}

static void
open_writers(redisContext **w)
{
    for (unsigned i = 0; i < WRITERS; i++)
        assert_non_null(w[i] = live_connect(&srv));
}

static void
close_writers(redisContext **w)
{
    for (unsigned i = 0; i < WRITERS; i++)
        redisFree(w[i]);
}

static void
copies_equal_the_store_under_writers(void **state)
{
    static struct feed_client f[4];
    redisContext *w[WRITERS];
    struct rng rng = seeded("writers");

    (void)state;
    memset(f, 0, sizeof f);
    open_writers(w);
    write_many(w, &rng, 300);
    for (unsigned i = 0; i < nq_countof(f); i++) {
        feed_open(&f[i], &srv, i % 2 == 0 ? 2 : 3);
        feed_subscribe(&f[i], "NQ.SUBSCRIBE PREFIX k: SNAPSHOT");
        write_many(w, &rng, 300);
    }
    write_many(w, &rng, 1500);
    pause_ms(100); /* what expires is gone */
    for (unsigned i = 0; i < nq_countof(f); i++) {
        feed_drain(&f[i], 200);
        assert_true(f[i].is_ready);
        feed_check_copy(&f[i], &srv, "k:");
        feed_close(&f[i]);
    }
    close_writers(w);
}

/* A range that is too long to be read at once comes from a snapshot. */
static void
a_long_answer_joins_the_changes_behind_it(void **state)
{
    static struct feed_client f;
    redisContext *w[WRITERS];
    struct rng rng = seeded("long");
    struct feed_message m;

    (void)state;
    memset(&f, 0, sizeof f);
    open_writers(w);
    for (unsigned i = 0; i < 3000; i++)
        redisAppendCommand(w[0], "SET k:z%u v%u", i, i);
    write_many(w, &rng, 300);
    feed_open(&f, &srv, 2);
    feed_subscribe(&f, "NQ.SUBSCRIBE PREFIX k: SNAPSHOT");
    while (!f.is_ready) {
        write_many(w, &rng, 30);
        assert_true(feed_next(&f, 5000, &m));
    }
    assert_true(f.rows > 2000 || f.keys < 2000);
    write_many(w, &rng, 300);
    pause_ms(100);
    feed_drain(&f, 200);
    feed_check_copy(&f, &srv, "k:");
    feed_close(&f);
    close_writers(w);
}

static void
a_feed_goes_on_behind_the_last_message(void **state)
{
    static struct feed_client f;
    redisContext *w[WRITERS];
    struct rng rng = seeded("from");
    struct feed_message m;

    (void)state;
    memset(&f, 0, sizeof f);
    open_writers(w);
    feed_open(&f, &srv, 3);
    feed_subscribe(&f, "NQ.SUBSCRIBE PREFIX k: SNAPSHOT");
    for (unsigned round = 0; round < 10; round++) {
        unsigned take = (unsigned)rng_below(&rng, 200);

        write_many(w, &rng, 150);
        while (take-- > 0 && feed_next(&f, 50, &m))
            continue;
        feed_close(&f);
        write_many(w, &rng, 50);
        feed_open(&f, &srv, 2 + (int)(round % 2));
        feed_subscribe(&f, "NQ.SUBSCRIBE PREFIX k: FROM %llu",
                       (unsigned long long)f.lsn);
    }
    pause_ms(100);
    feed_drain(&f, 200);
    feed_check_copy(&f, &srv, "k:");
    feed_close(&f);
    close_writers(w);
}

static void
a_feed_goes_on_after_the_server_was_killed(void **state)
{
    static struct feed_client f;
    redisContext *w[WRITERS];
    struct rng rng = seeded("kill");
    struct feed_message m;

    (void)state;
    memset(&f, 0, sizeof f);
    feed_open(&f, &srv, 2);
    feed_subscribe(&f, "NQ.SUBSCRIBE PREFIX k: SNAPSHOT");
    for (unsigned round = 0; round < 3; round++) {
        unsigned take = 20 + (unsigned)rng_below(&rng, 200);

        open_writers(w);
        write_many(w, &rng, 300);
        while (take-- > 0 && feed_next(&f, 50, &m))
            continue;
        live_kill(&srv);
        close_writers(w);
        feed_close(&f);
        assert_true(live_start(&srv));
        feed_open(&f, &srv, 2);
        feed_subscribe(&f, "NQ.SUBSCRIBE PREFIX k: FROM %llu",
                       (unsigned long long)f.lsn);
    }
    pause_ms(100);
    feed_drain(&f, 300);
    feed_check_copy(&f, &srv, "k:");
    feed_close(&f);
}

static void
any_client_follows_a_query_with_subscribe(void **state)
{
    struct client c, writer;

    (void)state;
    client_open(&c, &srv);
    client_open(&writer, &srv);
    client_expect(&writer, "SET k:1 5", "+OK");
    client_expect(&c, "SUBSCRIBE plain \"nq.subscribe PREFIX k: SNAPSHOT\"",
                  "[\"subscribe\", \"plain\", :1]");
    client_expect_read(&c, "[\"subscribe\", \"nq.subscribe PREFIX k: "
                           "SNAPSHOT\", :2]");
    client_expect_read(&c, "[\"message\", \"nq.subscribe PREFIX k: "
                           "SNAPSHOT\", \"{...");
    client_expect_read(&c, "[\"message\", ...");
    client_expect(&c, "UNSUBSCRIBE \"nq.subscribe PREFIX k: SNAPSHOT\"",
                  "[\"unsubscribe\", \"nq.subscribe PREFIX k: "
                  "SNAPSHOT\", :1]");
    client_expect(&writer, "SET k:1 6", "+OK");
    client_expect(&c, "SUBSCRIBE \"NQ.SUBSCRIBE PREFIX\"", "-ERR the ...");
    client_expect(&c, "UNSUBSCRIBE", "[\"unsubscribe\", \"plain\", :0]");
    client_expect(&c, "GET k:1", "\"6\"");
    client_close(&writer);
    client_close(&c);
}

/* --- what is refused, and what ends ----------------------------------------
 */

static void
positions_that_are_not_there_are_told(void **state)
{
    struct client c;

    (void)state;
    client_open(&c, &srv);
    client_expect(&c, "NQ.SUBSCRIBE PREFIX new: FROM 1",
                  "-POSITION changes behind 1 are not all there: the oldest "
                  "position is ...");
    client_expect(&c, "NQ.SUBSCRIBE PREFIX new: FROM 99999999999",
                  "-POSITION changes behind 99999999999 ...");
    client_expect(&c, "NQ.SUBSCRIBE PREFIX new: FROM x", "-ERR FROM takes...");
    client_expect(&c, "NQ.SUBSCRIBE PREFIX new: FROM", "-ERR syntax error");
    client_expect(&c, "NQ.SUBSCRIBE PREFIX new: FROM START SNAPSHOT",
                  "-ERR SNAPSHOT goes with...");
    client_expect(&c, "NQ.SUBSCRIBE PREFIX new: EVENTS", "-ERR EVENTS ...");
    client_expect(&c, "NQ.SUBSCRIBE PREFIX new: POLICY none",
                  "-ERR POLICY ...");
    client_expect(&c, "NQ.SUBSCRIBE PREFIX new: WHERE a >", "-ERR ...");
    client_expect(&c, "NQ.SUBSCRIBE RANGE b a", "-ERR no key...");
    client_expect(&c, "NQ.SUBSCRIBE PREFIX new: AS \"\"", "-ERR AS takes...");
    client_expect(&c, "NQ.ACK nobody 1", "-ERR there is no feed...");
    client_expect(&c, "PING", "+PONG");
    client_close(&c);
}

static void
a_follower_is_a_subscriber_until_it_ends(void **state)
{
    struct client c, other;

    (void)state;
    client_open(&c, &srv);
    client_open(&other, &srv);
    client_expect(&c,
                  "NQ.SUBSCRIBE PREFIX k:", "[\"subscribe\", \"nq:feed:...");
    client_expect_read(&c, "[\"message\", ...");
    client_expect(&c, "NQ.SUBSCRIBE PREFIX k:", "-ERR this client follows...");
    client_expect(&c, "GET k:1", "-ERR Can't execute 'get'...");
    client_expect(&c, "PING", "[\"pong\", \"\"]");
    assert_int_equal(client_info(&other, "feeds", "feeds_subscribers"), 1);
    client_expect(&c, "NQ.UNSUBSCRIBE", "[\"unsubscribe\", (nil), :0]");
    client_expect(&c, "GET k:1", "(nil)");
    client_expect(&c, "NQ.SUBSCRIBE PREFIX k:", "[\"subscribe\", ...");
    client_expect_read(&c, "[\"message\", ...");
    client_expect(&c, "RESET", "+RESET");
    client_expect(&c, "GET k:1", "(nil)");
    client_expect(&c, "NQ.SUBSCRIBE PREFIX k:", "[\"subscribe\", ...");
    client_close(&c);
    for (int i = 0; i < 100; i++) {
        if (client_info(&other, "feeds", "feeds_subscribers") == 0)
            break;
        pause_ms(10);
    }
    assert_int_equal(client_info(&other, "feeds", "feeds_subscribers"), 0);
    assert_int_equal(client_info(&other, "feeds", "feeds"), 0);
    client_close(&other);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_feed_tells_rows_then_changes, clear),
        cmocka_unit_test_setup(keys_that_expire_are_told, clear),
        cmocka_unit_test_setup(ranges_that_go_are_one_message, clear),
        cmocka_unit_test_setup(copies_equal_the_store_under_writers, clear),
        cmocka_unit_test_setup(a_long_answer_joins_the_changes_behind_it,
                               clear),
        cmocka_unit_test_setup(a_feed_goes_on_behind_the_last_message, clear),
        cmocka_unit_test_setup(a_feed_goes_on_after_the_server_was_killed,
                               clear),
        cmocka_unit_test_setup(any_client_follows_a_query_with_subscribe,
                               clear),
        cmocka_unit_test_setup(positions_that_are_not_there_are_told, clear),
        cmocka_unit_test_setup(a_follower_is_a_subscriber_until_it_ends, clear),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
