/* Cursors and streams as clients see them, in RESP2 and RESP3. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#include "../lib/client.h"
#include "base/check.h"
#include "os/clock.h"

static struct live_server srv;

static int
start(void **state)
{
    (void)state;
    return live_begin(&srv, "--maxmemory", "16mb", "--appendfsync", "always",
                      NULL)
               ? 0
               : -1;
}

static int
stop(void **state)
{
    (void)state;
    return live_end(&srv);
}

/* --- helpers ---------------------------------------------------------------
 */

static void
fill(struct client *c, const char *prefix, int n, int value)
{
    char text[128];

    for (int i = 0; i < n; i++) {
        snprintf(text, sizeof text, "SET %s%05d v%d", prefix, i, value);
        client_send(c, text);
    }
    for (int i = 0; i < n; i++)
        client_expect_read(c, "+OK");
}

/* The number that stands behind `name` in the text of a reply. */
static long
number_after(const char *text, const char *name)
{
    const char *at = strstr(text, name);

    assert_non_null(at);
    at += strlen(name);
    while (*at != '\0' && (*at < '0' || *at > '9'))
        at++;
    return strtol(at, NULL, 10);
}

static long
open_cursor(struct client *c, const char *line)
{
    return number_after(client_ask(c, line), "\"id\"");
}

static const char *
ask_id(struct client *c, const char *before, long id, const char *after)
{
    char text[96];

    snprintf(text, sizeof text, "%s %ld%s", before, id, after);
    return client_ask(c, text);
}

static unsigned
count_of(const char *text, const char *what)
{
    unsigned n = 0;

    while ((text = strstr(text, what)) != NULL) {
        n++;
        text += strlen(what);
    }
    return n;
}

static void
open_resp3(struct client *c)
{
    client_open(c, &srv);
    client_expect(c, "HELLO 3", "{...");
}

/* --- cursors ----------------------------------------------------------------
 */

static void
a_cursor_gives_rows_in_both_protocols(void **state)
{
    struct client c;
    long id;

    (void)state;
    client_open(&c, &srv);
    client_expect(&c, "FLUSHALL", "+OK");
    client_expect(&c, "HSET h:1 a 1 b x", ":2");
    client_expect(&c, "HSET h:2 a 2", ":1");
    client_expect(&c, "SET h:3 {\"a\":3}", "+OK");
    client_expect(&c, "RPUSH h:4 z", ":1");
    id = open_cursor(&c, "NQ.CURSOR OPEN PREFIX h: WHERE a >= 1 RETURN a b");
    assert_non_null(strstr(
        ask_id(&c, "NQ.CURSOR READ", id, " 2"),
        "\"done\", :0, \"data\", [\"h:1\", [\"a\", \"1\", \"b\", \"x\"], "
        "\"h:2\", [\"a\", \"2\", \"b\", (nil)]]]"));
    assert_non_null(strstr(ask_id(&c, "NQ.CURSOR READ", id, " 9"),
                           "\"percent\", \"100.0\", \"done\", :1, \"data\", "
                           "[\"h:3\", [\"a\", \"3\", \"b\", (nil)]]]"));
    assert_non_null(
        strstr(ask_id(&c, "NQ.CURSOR READ", id, " 9"), "-NOCURSOR"));
    client_expect(&c, "HELLO 3", "{...");
    id = open_cursor(&c, "NQ.CURSOR OPEN RANGE h:1 h:4 REV SNAPSHOT");
    assert_non_null(strstr(ask_id(&c, "NQ.CURSOR READ", id, " 9"),
                           "\"data\": [\"h:4\", (nil), \"h:3\", "
                           "\"{\\\"a\\\":3}\", \"h:2\", {\"a\": \"2\"}, "
                           "\"h:1\", {\"a\": \"1\", \"b\": \"x\"}]}"));
    client_close(&c);
}

static void
a_snapshot_does_not_see_what_came_later(void **state)
{
    struct client c, writer;
    const char *text;
    unsigned rows = 0;
    long id;

    (void)state;
    client_open(&c, &srv);
    client_open(&writer, &srv);
    client_expect(&c, "FLUSHALL", "+OK");
    fill(&c, "snap:", 3000, 1);
    id = open_cursor(&c, "NQ.CURSOR OPEN PREFIX snap: SNAPSHOT");
    fill(&writer, "snap:", 3000, 2);
    client_expect(&writer, "NQ.DELRANGE snap:01000 snap:02000", ":1001");
    client_expect(&writer, "SAVE", "+OK");
    client_expect(&writer, "FLUSHALL", "+OK");
    client_expect(&writer, "SAVE", "+OK");
    do {
        text = ask_id(&c, "NQ.CURSOR READ", id, " 700");
        rows += count_of(text, "\"v1\"");
        assert_int_equal(count_of(text, "\"v2\""), 0);
    } while (strstr(text, "\"done\", :0") != NULL);
    assert_int_equal(rows, 3000);
    client_expect(&writer, "NQ.CHECK", "[\"findings\", :0, ...");
    client_close(&writer);
    client_close(&c);
}

static void
cursors_belong_to_their_connection_and_end_with_it(void **state)
{
    struct client c, other;
    long id;

    (void)state;
    client_open(&c, &srv);
    client_open(&other, &srv);
    client_expect(&c, "SET own:1 x", "+OK");
    id = open_cursor(&c, "NQ.CURSOR OPEN PREFIX own: SNAPSHOT");
    assert_non_null(
        strstr(ask_id(&other, "NQ.CURSOR READ", id, " 1"), "-NOCURSOR"));
    assert_int_equal(
        count_of(client_ask(&other, "NQ.CURSOR LIST"), "\"cursor\""), 1);
    client_close(&c);
    for (int i = 0; i < 100; i++) {
        if (strcmp(client_ask(&other, "NQ.CURSOR LIST"), "[]") == 0)
            break;
        usleep(10000);
    }
    client_expect(&other, "NQ.CURSOR LIST", "[]");
    id = open_cursor(&other, "NQ.CURSOR OPEN PREFIX own:");
    assert_string_equal(ask_id(&other, "NQ.CURSOR CLOSE", id, ""), "+OK");
    assert_non_null(
        strstr(ask_id(&other, "NQ.CURSOR CLOSE", id, ""), "-NOCURSOR"));
    id = open_cursor(&other, "NQ.CURSOR OPEN PREFIX own:");
    client_expect(&other, "RESET", "+RESET");
    assert_non_null(
        strstr(ask_id(&other, "NQ.CURSOR READ", id, " 1"), "-NOCURSOR"));
    client_close(&other);
}

static void
limits_hold(void **state)
{
    struct client c;
    long id;

    (void)state;
    client_open(&c, &srv);
    client_expect(&c, "CONFIG SET query.max_cursors_per_client 2", "+OK");
    (void)open_cursor(&c, "NQ.CURSOR OPEN PREFIX a");
    (void)open_cursor(&c, "NQ.CURSOR OPEN PREFIX a");
    assert_non_null(strstr(client_ask(&c, "NQ.CURSOR OPEN PREFIX a"),
                           "query.max_cursors_per_client"));
    client_expect(&c, "CONFIG SET query.max_cursors_per_client 100", "+OK");
    client_expect(&c, "RESET", "+RESET");
    client_expect(&c, "CONFIG SET query.cursor_timeout 1", "+OK");
    id = open_cursor(&c, "NQ.CURSOR OPEN PREFIX a SNAPSHOT");
    usleep(1300000);
    assert_non_null(
        strstr(ask_id(&c, "NQ.CURSOR READ", id, " 1"), "-NOCURSOR"));
    client_expect(&c, "CONFIG SET query.cursor_timeout 300", "+OK");
    client_expect(&c, "NQ.CURSOR LIST", "[]");
    client_close(&c);
}

static void
a_snapshot_that_keeps_too_much_is_given_up_with_a_reason(void **state)
{
    struct client c;
    const char *text;
    long id;

    (void)state;
    client_open(&c, &srv);
    client_expect(&c, "CONFIG SET storage.pin_limit 64kb", "+OK");
    fill(&c, "gone:", 20000, 1);
    id = open_cursor(&c, "NQ.CURSOR OPEN PREFIX gone: SNAPSHOT");
    client_expect(&c, "FLUSHALL", "+OK");
    for (int i = 0; i < 3; i++) {
        fill(&c, "gone:", 100, 2);
        client_expect(&c, "SAVE", "+OK");
        usleep(50000);
    }
    do {
        text = ask_id(&c, "NQ.CURSOR READ", id, " 500");
    } while (strstr(text, "\"done\", :0") != NULL);
    assert_non_null(strstr(text, "-SNAPSHOTGONE the snapshot of LSN "));
    assert_non_null(strstr(text, "storage.pin_limit"));
    client_expect(&c, "CONFIG SET storage.pin_limit 0", "+OK");
    client_expect(&c, "NQ.CURSOR LIST", "[]");
    client_close(&c);
}

static void
bad_input_is_told(void **state)
{
    static const char *const lines[] = {
        "NQ.CURSOR OPEN PREFIX",
        "NQ.CURSOR OPEN a b",
        "NQ.CURSOR OPEN PREFIX a WHERE",
        "NQ.CURSOR OPEN PREFIX a WHERE )",
        "NQ.CURSOR OPEN PREFIX a SNAPSHOT SNAPSHOT",
        "NQ.CURSOR OPEN PREFIX a LIMIT -1 5",
        "NQ.CURSOR OPEN PREFIX a BATCH 5",
        "NQ.CURSOR READ x 5",
        "NQ.CURSOR READ 99999999999 5",
        "NQ.CURSOR READ -1 0",
        "NQ.STREAM PREFIX a",
        "NQ.CREDIT 5 0",
        "NQ.CREDIT 5 x",
    };
    struct client c;

    (void)state;
    client_open(&c, &srv);
    for (size_t i = 0; i < nq_countof(lines); i++)
        assert_int_equal(client_ask(&c, lines[i])[0], '-');
    client_expect(&c, "NQ.CREDIT 5 1", ":0");
    client_expect(&c, "NQ.CANCEL 5", "(nil)");
    client_expect(&c, "HELLO 3", "{...");
    assert_int_equal(client_ask(&c, "NQ.STREAM PREFIX a BATCH 0")[0], '-');
    assert_int_equal(client_ask(&c, "NQ.STREAM PREFIX a CREDITS")[0], '-');
    client_expect(&c, "NQ.CURSOR LIST", "[]");
    client_close(&c);
}

/* The same through a client library, with binary keys. */
static void
hiredis_reads_a_cursor(void **state)
{
    redisContext *c = live_connect(&srv);
    redisReply *r;
    long long id;

    (void)state;
    assert_non_null(c);
    freeReplyObject(redisCommand(c, "SET %b %b", "bin:\0\r\n1", (size_t)8,
                                 "a\0b", (size_t)3));
    r = redisCommand(c, "NQ.CURSOR OPEN PREFIX bin: SNAPSHOT");
    assert_int_equal(r->type, REDIS_REPLY_ARRAY);
    id = r->element[1]->integer;
    freeReplyObject(r);
    r = redisCommand(c, "NQ.CURSOR READ %lld 10", id);
    assert_int_equal(r->type, REDIS_REPLY_ARRAY);
    assert_int_equal(r->elements, 10);
    assert_int_equal(r->element[7]->integer, 1);
    assert_int_equal(r->element[9]->elements, 2);
    assert_int_equal(r->element[9]->element[0]->len, 8);
    assert_memory_equal(r->element[9]->element[0]->str, "bin:\0\r\n1", 8);
    assert_memory_equal(r->element[9]->element[1]->str, "a\0b", 3);
    freeReplyObject(r);
    redisFree(c);
}

/* --- streams ----------------------------------------------------------------
 */

static void
a_stream_pushes_as_long_as_there_are_credits(void **state)
{
    struct client c;
    char want[256];
    long id;

    (void)state;
    open_resp3(&c);
    client_expect(&c, "FLUSHALL", "+OK");
    fill(&c, "s:", 10, 1);
    id = strtol(client_ask(&c, "NQ.STREAM PREFIX s: BATCH 4 CREDITS 1") + 1,
                NULL, 10);
    assert_true(id > 0);
    snprintf(want, sizeof want,
             ">[\"nq.stream\", :%ld, \"rows\", [\"s:00000\", \"v1\", ...", id);
    client_expect_read(&c, want);
    client_expect(&c, "PING", "+PONG"); /* nothing more without a credit */
    assert_string_equal(ask_id(&c, "NQ.CREDIT", id, " 1"), ":1");
    snprintf(want, sizeof want,
             ">[\"nq.stream\", :%ld, \"rows\", [\"s:00004\", \"v1\", ...", id);
    client_expect_read(&c, want);
    assert_string_equal(ask_id(&c, "NQ.CREDIT", id, " 5"), ":5");
    snprintf(want, sizeof want,
             ">[\"nq.stream\", :%ld, \"rows\", [\"s:00008\", \"v1\", "
             "\"s:00009\", \"v1\"]]",
             id);
    client_expect_read(&c, want);
    snprintf(want, sizeof want,
             ">[\"nq.stream\", :%ld, \"end\", {\"rows\": :10, \"percent\": "
             "\"100.0\", \"lsn\": (nil), \"batches\": :3, ...",
             id);
    client_expect_read(&c, want);
    client_expect(&c, "NQ.CURSOR LIST", "[]");
    client_close(&c);
}

/* A snapshot of more than one client can take at once: all rows, once each,
 * while they are overwritten. */
static void
a_stream_of_a_snapshot_is_exact(void **state)
{
    enum { ROWS = 20000 };
    struct client c, writer;
    const char *text;
    unsigned rows = 0;
    char key[32];

    (void)state;
    open_resp3(&c);
    client_open(&writer, &srv);
    fill(&writer, "x:", ROWS, 1);
    client_expect(&c, "NQ.STREAM PREFIX x: SNAPSHOT BATCH 1000 CREDITS 1000",
                  ":...");
    for (;;) {
        text = client_read(&c);
        assert_int_equal(text[0], '>');
        if (strstr(text, "\"end\"") != NULL)
            break;
        if (strstr(text, "\"progress\"") != NULL)
            continue;
        snprintf(key, sizeof key, "[\"x:%05u\"", rows);
        assert_non_null(strstr(text, key)); /* in order, without a gap */
        rows += count_of(text, "\"v1\"");
        assert_int_equal(count_of(text, "\"v2\""), 0);
        fill(&writer, "x:", 50, 2);
    }
    assert_int_equal(rows, ROWS);
    client_close(&writer);
    client_close(&c);
}

static void
a_cancelled_stream_is_silent_at_once(void **state)
{
    struct client c, other;
    uint64_t began;
    long id;

    (void)state;
    open_resp3(&c);
    client_open(&other, &srv);
    client_expect(&c, "FLUSHALL", "+OK");
    fill(&c, "c:", 5000, 1);
    id = strtol(client_ask(&c, "NQ.STREAM PREFIX c: BATCH 10 CREDITS 3") + 1,
                NULL, 10);
    for (int i = 0; i < 3; i++)
        assert_int_equal(client_read(&c)[0], '>');
    began = clock_mono_ms();
    assert_string_equal(ask_id(&c, "NQ.CANCEL", id, ""), ":30");
    assert_true(clock_mono_ms() - began < 100);
    client_expect(&c, "PING", "+PONG");
    client_expect(&other, "NQ.CURSOR LIST", "[]");
    assert_string_equal(ask_id(&c, "NQ.CREDIT", id, " 1"), ":0");
    client_expect(&c, "NQ.STREAM PREFIX c: BATCH 10 CREDITS 1", ":...");
    assert_int_equal(client_read(&c)[0], '>');
    client_expect(&c, "HELLO 2", "[...");
    client_close(&other);
    client_close(&c);
}

static void
many_streams_side_by_side_each_get_all(void **state)
{
    enum { STREAMS = 120, ROWS = 300 };
    static struct client c[STREAMS];
    struct client writer;

    (void)state;
    client_open(&writer, &srv);
    client_expect(&writer, "FLUSHALL", "+OK");
    fill(&writer, "m:", ROWS, 1);
    for (int i = 0; i < STREAMS; i++) {
        open_resp3(&c[i]);
        client_send(&c[i], i % 2 == 0
                               ? "NQ.STREAM PREFIX m: BATCH 100 CREDITS 10"
                               : "NQ.STREAM PREFIX m: SNAPSHOT CREDITS 10");
    }
    client_expect(&writer, "PING", "+PONG");
    for (int i = 0; i < STREAMS; i++) {
        unsigned rows = 0;

        client_expect_read(&c[i], ":...");
        while (rows < ROWS) {
            const char *text = client_read(&c[i]);

            assert_int_equal(text[0], '>');
            rows += count_of(text, "\"v1\"");
        }
        assert_non_null(strstr(client_read(&c[i]), "\"end\""));
        client_close(&c[i]);
    }
    client_close(&writer);
}

static void
a_kill_with_open_snapshots_leaves_nothing(void **state)
{
    struct client c;

    (void)state;
    open_resp3(&c);
    fill(&c, "k:", 5000, 1);
    (void)open_cursor(&c, "NQ.CURSOR OPEN PREFIX k: SNAPSHOT");
    client_expect(&c, "NQ.STREAM PREFIX k: SNAPSHOT CREDITS 1", ":...");
    client_close(&c);
    client_open(&c, &srv);
    fill(&c, "k:", 5000, 2);
    (void)open_cursor(&c, "NQ.CURSOR OPEN PREFIX k: SNAPSHOT");
    fill(&c, "k:", 2500, 3);
    client_expect(&c, "SAVE", "+OK");
    live_kill(&srv);
    client_close(&c);
    assert_true(live_start(&srv));
    client_open(&c, &srv);
    client_expect(&c, "GET k:00000", "\"v3\"");
    client_expect(&c, "GET k:04999", "\"v2\"");
    client_expect(&c, "NQ.CHECK", "[\"findings\", :0, ...");
    client_close(&c);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cursor_gives_rows_in_both_protocols),
        cmocka_unit_test(a_snapshot_does_not_see_what_came_later),
        cmocka_unit_test(cursors_belong_to_their_connection_and_end_with_it),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(
            a_snapshot_that_keeps_too_much_is_given_up_with_a_reason),
        cmocka_unit_test(bad_input_is_told),
        cmocka_unit_test(hiredis_reads_a_cursor),
        cmocka_unit_test(a_stream_pushes_as_long_as_there_are_credits),
        cmocka_unit_test(a_stream_of_a_snapshot_is_exact),
        cmocka_unit_test(a_cancelled_stream_is_silent_at_once),
        cmocka_unit_test(many_streams_side_by_side_each_get_all),
        cmocka_unit_test(a_kill_with_open_snapshots_leaves_nothing),
    };

    return cmocka_run_group_tests_name("cursor", tests, start, stop);
}
