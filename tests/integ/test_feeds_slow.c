/* Followers of feeds that do not keep up: what each policy costs and what it
 * tells; and durable feeds, whose messages are shared and given again. */
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

#define QUEUE 100    /* messages */
#define WRITES 12000 /* more than any socket holds */
#define KEYS 500
#define OUTPUT_MAX (64 * 1024 + 96 * 1024) /* the window, and one run */

static struct live_server srv;

static int
start(void **state)
{
    (void)state;
    live_init(&srv);
    srv.options[0] = "--maxmemory";
    srv.options[1] = "64mb";
    srv.options[2] = "--websocket.queues.message_queue_size";
    srv.options[3] = "100";
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

static void
pause_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};

    nanosleep(&t, NULL);
}

/* Sets keys with values of 100 bytes, `n` times, in their order. */
static void
write_many(unsigned n)
{
    redisContext *c = live_connect(&srv);
    redisReply *r;
    char value[FEED_TEXT], pad[90];

    assert_non_null(c);
    memset(pad, 'x', sizeof pad - 1);
    pad[sizeof pad - 1] = '\0';
    for (unsigned i = 0; i < n; i++) {
        snprintf(value, sizeof value, "%u%s", i, pad);
        redisAppendCommand(c, "SET k:%u %s", i % KEYS, value);
        if (i % 1000 != 999 && i + 1 < n)
            continue;
        for (unsigned k = 0; k <= i % 1000; k++) {
            assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
            freeReplyObject(r);
        }
    }
    redisFree(c);
}

/* The value of name= in the line of the only follower; -1: there is none. */
static long long
client_field(struct client *c, const char *name)
{
    const char *line = strstr(client_ask(c, "CLIENT LIST"), "feeds=1");
    const char *start = line;

    if (line == NULL)
        return -1;
    while (strncmp(start, "id=", 3) != 0)
        start--;
    line = strstr(start, name);
    return line == NULL ? -1 : strtoll(line + strlen(name), NULL, 10);
}

static void
expect_state(struct client *c, const char *state)
{
    char want[64];

    snprintf(want, sizeof want, "push=%s", state);
    for (int i = 0; strstr(client_ask(c, "CLIENT LIST"), want) == NULL; i++) {
        if (i == 200)
            fail_msg("not %s: %s", want, client_ask(c, "CLIENT LIST"));
        pause_ms(10);
    }
}

/* --- policies --------------------------------------------------------------
 */

/* A follower with the policy, which brings it to the state (NULL: it may have
 * left it by itself, as the socket takes some), reads nothing while WRITES
 * changes are made and another one keeps up; then it reads all there is. */
static void
be_stuck(struct feed_client *f, const char *policy, const char *state)
{
    static struct feed_client good;
    struct feed_message m;
    struct client c;

    memset(f, 0, sizeof *f);
    memset(&good, 0, sizeof good);
    client_open(&c, &srv);
    client_expect(&c, "FLUSHALL", "+OK");
    feed_open(f, &srv, 2);
    f->is_lossy = strncmp(policy, "drop", 4) == 0;
    feed_subscribe(f, "NQ.SUBSCRIBE PREFIX k: POLICY %s", policy);
    assert_true(feed_next(f, 5000, &m));
    write_many(WRITES);
    if (state != NULL)
        expect_state(&c, state);
    assert_true(client_field(&c, " omem=") <= OUTPUT_MAX);
    feed_open(&good, &srv, 2);
    feed_subscribe(&good, "NQ.SUBSCRIBE PREFIX k:");
    assert_true(feed_next(&good, 5000, &m));
    client_expect(&c, "SET k:last v", "+OK");
    assert_true(feed_next(&good, 1000, &m));
    assert_string_equal(m.key, "k:last");
    feed_close(&good);
    feed_drain(f, 500);
    expect_state(&c, "normal");
    client_close(&c);
}

static void
a_paused_feed_loses_nothing_and_costs_its_window(void **state)
{
    static struct feed_client f;

    (void)state;
    be_stuck(&f, "pause", "paused");
    assert_int_equal(f.changes, WRITES + 1);
    assert_int_equal(f.gaps, 0);
    feed_check_copy(&f, &srv, "k:");
    feed_close(&f);
}

static void
drop_oldest_tells_how_many_and_gives_the_newest(void **state)
{
    static struct feed_client f;

    (void)state;
    be_stuck(&f, "drop-oldest", "dropping");
    assert_true(f.gaps >= 1 && f.lost > WRITES / 2);
    assert_int_equal(f.changes + f.lost, WRITES + 1);
    assert_non_null(feed_value(&f, "k:last"));
    feed_close(&f);
}

static void
drop_newest_tells_how_many_and_gives_the_oldest(void **state)
{
    static struct feed_client f;

    (void)state;
    be_stuck(&f, "drop-newest", NULL);
    assert_true(f.gaps >= 1 && f.lost > WRITES / 2);
    assert_int_equal(f.changes + f.lost, WRITES + 1);
    feed_close(&f);
}

static void
disconnect_ends_the_client_and_nobody_else(void **state)
{
    static struct feed_client f;
    struct feed_message m;
    struct client c;

    (void)state;
    memset(&f, 0, sizeof f);
    client_open(&c, &srv);
    feed_open(&f, &srv, 2);
    feed_subscribe(&f, "NQ.SUBSCRIBE PREFIX k: POLICY disconnect");
    assert_true(feed_next(&f, 5000, &m));
    f.is_lossy = true; /* it begins with no rows */
    write_many(WRITES);
    for (int i = 0; client_field(&c, " omem=") >= 0; i++) {
        assert_true(i < 200);
        pause_ms(10);
    }
    feed_drain(&f, 200);
    assert_true(f.changes < WRITES);
    assert_int_equal(client_info(&c, "feeds", "feeds_subscribers"), 0);
    feed_close(&f);
    client_close(&c);
}

/* --- durable feeds ---------------------------------------------------------
 */

static struct feed_client worker[2];

static void
open_workers(void)
{
    for (int i = 0; i < 2; i++) {
        memset(&worker[i], 0, sizeof worker[i]);
        worker[i].is_lossy = true; /* each gets a part */
        feed_open(&worker[i], &srv, 2 + i);
        feed_subscribe(&worker[i], "NQ.SUBSCRIBE PREFIX w: AS work");
        assert_string_equal(worker[i].channel, "nq:feed:work");
    }
}

static void
write_work(struct client *c, unsigned from, unsigned to)
{
    char line[64];

    for (unsigned i = from; i < to; i++) {
        snprintf(line, sizeof line, "SET w:%u v", i);
        client_expect(c, line, "+OK");
    }
}

static void
consumers_share_a_durable_feed(void **state)
{
    struct client c;
    char line[64];

    (void)state;
    client_open(&c, &srv);
    open_workers();
    write_work(&c, 0, 20);
    assert_int_equal(feed_drain(&worker[0], 200), 10);
    assert_int_equal(feed_drain(&worker[1], 200), 10);
    /* Acknowledged over another connection: what anybody was given. */
    snprintf(line, sizeof line, "NQ.ACK work %llu",
             (unsigned long long)nq_max(worker[0].lsn, worker[1].lsn));
    client_expect(&c, line, ":20");
    write_work(&c, 20, 30);
    assert_int_equal(feed_drain(&worker[0], 200), 5);
    /* What the one that goes was given comes to the other. */
    feed_close(&worker[1]);
    for (int i = 0; i < 2; i++)
        worker[i].lsn = 0;
    assert_int_equal(feed_drain(&worker[0], 300), 5);
    feed_close(&worker[0]);
    client_close(&c);
}

static void
what_was_not_acknowledged_comes_again_after_a_crash(void **state)
{
    struct client c;
    char line[64];
    uint64_t seen;

    (void)state;
    open_workers(); /* ten wait from before, of which nobody has any */
    seen = feed_drain(&worker[0], 300) + feed_drain(&worker[1], 100);
    assert_int_equal(seen, 10);
    client_open(&c, &srv);
    snprintf(line, sizeof line, "NQ.ACK work %llu",
             (unsigned long long)nq_max(worker[0].lsn, worker[1].lsn));
    client_expect(&c, line, ":10");
    write_work(&c, 30, 40);
    client_close(&c);
    for (int i = 0; i < 2; i++)
        feed_close(&worker[i]);
    live_kill(&srv);
    assert_true(live_start(&srv));
    open_workers();
    seen = feed_drain(&worker[0], 300) + feed_drain(&worker[1], 100);
    assert_int_equal(seen, 10);
    client_open(&c, &srv);
    client_expect(&c, "NQ.SUBSCRIBE PREFIX other: AS work",
                  "-ERR the feed of this name has another query...");
    client_expect(&c, "NQ.SUBSCRIBE PREFIX w: FROM START AS work",
                  "-ERR the feed of this name has a position...");
    assert_int_equal(client_info(&c, "feeds", "feeds_named"), 1);
    client_expect(&c, "NQ.FEEDS DROP work", ":1");
    client_expect(&c, "NQ.FEEDS DROP work", ":0");
    assert_int_equal(client_info(&c, "feeds", "feeds_subscribers"), 0);
    client_close(&c);
    for (int i = 0; i < 2; i++)
        feed_close(&worker[i]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_paused_feed_loses_nothing_and_costs_its_window),
        cmocka_unit_test(drop_oldest_tells_how_many_and_gives_the_newest),
        cmocka_unit_test(drop_newest_tells_how_many_and_gives_the_oldest),
        cmocka_unit_test(disconnect_ends_the_client_and_nobody_else),
        cmocka_unit_test(consumers_share_a_durable_feed),
        cmocka_unit_test(what_was_not_acknowledged_comes_again_after_a_crash),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
