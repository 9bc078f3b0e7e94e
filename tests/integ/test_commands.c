/* Commands over sockets, in both protocols: what random comparison with Redis
 * does not cover - our own commands, answers that differ by protocol, big
 * values, expiry in real time, other client libraries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/client.h"
#include "base/check.h"

static struct live_server srv;
static struct client c;

static int
start(void **state)
{
    (void)state;
    return live_begin(&srv, "--maxmemory", "32mb", NULL) ? 0 : -1;
}

static int
stop(void **state)
{
    (void)state;
    return live_end(&srv);
}

static int
open_client(void **state)
{
    (void)state;
    client_open(&c, &srv);
    client_expect(&c, "FLUSHALL", "+OK");
    return 0;
}

static int
close_client(void **state)
{
    (void)state;
    client_close(&c);
    return 0;
}

static void
ordered_reads_answer_in_order(void **state)
{
    (void)state;
    client_expect(&c, "MSET a:1 x a:2 y a:3 z b:1 u", "+OK");
    client_expect(&c, "NQ.RANGE - + KEYSONLY",
                  "[\"a:1\", \"a:2\", \"a:3\", \"b:1\"]");
    client_expect(&c, "NQ.RANGE [a:2 (b:1", "[\"a:2\", \"y\", \"a:3\", \"z\"]");
    client_expect(&c, "NQ.RANGE - + VALUESONLY REV LIMIT 1 2",
                  "[\"z\", \"y\"]");
    client_expect(&c, "NQ.PREFIX a: KEYSONLY", "[\"a:1\", \"a:2\", \"a:3\"]");
    client_expect(&c, "NQ.COUNT [a:2 +", ":3");
    client_expect(&c, "NQ.RANK a:3", ":2");
    client_expect(&c, "NQ.RANK nothing", "(nil)");
    client_expect(&c, "NQ.NTH 1", "\"a:2\"");
    client_expect(&c, "NQ.CAS a:1 x new", ":1");
    client_expect(&c, "NQ.CAS a:1 x new", ":0");
    client_expect(&c, "NQ.GET a:1", "\"new\"");
    client_expect(&c, "NQ.DELRANGE [a (b", ":3");
    client_expect(&c, "DBSIZE", ":1");
}

static void
answers_take_the_form_of_the_protocol(void **state)
{
    static const struct {
        const char *command, *resp2, *resp3;
    } rows[] = {
        {"GET nothing", "(nil)", "(nil)"},
        {"MGET nothing", "[(nil)]", "[(nil)]"},
        {"EXEC", "-ERR EXEC without MULTI", "-ERR EXEC without MULTI"},
        {"CONFIG GET maxclients", "[\"maxclients\", \"10000\"]",
         "{\"maxclients\": \"10000\"}"},
        {"INCRBYFLOAT f 1.5", "\"1.5\"", "\"3\""},
        {"OBJECT HELP", "[+OBJECT <sub...", "[+OBJECT <sub..."},
    };

    (void)state;
    for (size_t i = 0; i < nq_countof(rows); i++)
        client_expect(&c, rows[i].command, rows[i].resp2);
    client_expect(&c, "HELLO 3", "{...");
    for (size_t i = 0; i < nq_countof(rows); i++)
        client_expect(&c, rows[i].command, rows[i].resp3);
}

static void
big_values_come_back_as_they_went(void **state)
{
    static const size_t sizes[] = {1,       2047,   2048,    2049,
                                   8192,    100000, 1 << 20, (1 << 20) + 1,
                                   3 << 20, 5 << 20};

    (void)state;
    for (size_t i = 0; i < nq_countof(sizes); i++) {
        struct buf b = BUF_INIT, want = BUF_INIT;
        struct slice set[] = {slice_lit("SET"), slice_lit("big"), {0}};
        char line[64];

        for (size_t k = 0; k < sizes[i]; k++)
            buf_put_u8(&b, (uint8_t)('a' + (k / 3 + k / 1000) % 26));
        set[2] = buf_slice(&b);
        client_send_argv(&c, set, 3);
        client_expect_read(&c, "+OK");
        buf_printf(&want, "\"%.*s\"", (int)b.len, (const char *)b.p);
        buf_put_u8(&want, 0);
        assert_string_equal(client_ask(&c, "GET big"), (const char *)want.p);
        snprintf(line, sizeof line, ":%zu", sizes[i]);
        client_expect(&c, "STRLEN big", line);
        client_expect(&c, "SETRANGE big 0 Z", line);
        b.p[0] = 'Z';
        snprintf(line, sizeof line, "\"Z%.*s\"",
                 (int)nq_min(sizes[i] - 1, (size_t)9), (const char *)b.p + 1);
        client_expect(&c, "GETRANGE big 0 9", line);
        buf_fini(&b);
        buf_fini(&want);
    }
    client_expect(&c, "DEL big", ":1");
}

static void
more_data_than_the_pool_is_served(void **state)
{
    enum { KEYS = 60000 };
    static char value[1000];
    char key[32];

    (void)state;
    memset(value, 'v', sizeof value);
    for (int i = 0; i < KEYS; i++) {
        struct slice set[] = {
            slice_lit("SET"), {0}, slice_of(value, sizeof value)};

        snprintf(key, sizeof key, "key:%07d", i * 7919 % KEYS);
        set[1] = slice_str(key);
        client_send_argv(&c, set, 3);
        if (i % 100 == 99) {
            for (int k = 0; k < 100; k++)
                client_expect_read(&c, "+OK");
        }
    }
    client_expect(&c, "DBSIZE", ":60000");
    for (int i = 0; i < 300; i++) {
        char line[64], want[64];

        snprintf(line, sizeof line, "STRLEN key:%07d", i * 104729 % KEYS);
        snprintf(want, sizeof want, ":%zu", sizeof value);
        client_expect(&c, line, want);
    }
    assert_true(client_info(&c, "pool", "pool_evictions") > 0);
    assert_true(client_info(&c, "memory", "used_memory") < 64 << 20);
}

static void
keys_end_when_they_are_due(void **state)
{
    (void)state;
    client_expect(&c, "SET a 1 PX 60", "+OK");
    client_expect(&c, "SET b 1 PX 60", "+OK");
    client_expect(&c, "SET d 1", "+OK");
    client_expect(&c, "GET a", "\"1\"");
    usleep(90000);
    client_expect(&c, "GET a", "(nil)");
    client_expect(&c, "NQ.RANGE - + KEYSONLY", "[\"d\"]");
    for (int i = 0; i < 100; i++) {
        if (strcmp(client_ask(&c, "DBSIZE"), ":1") == 0)
            break;
        usleep(10000);
    }
    client_expect(&c, "DBSIZE", ":1");
    assert_true(client_info(&c, "stats", "expired_keys") >= 2);
}

static void
a_long_pipeline_is_answered_in_order(void **state)
{
    struct client other;
    char line[64];

    (void)state;
    client_open(&other, &srv);
    for (int i = 0; i < 20000; i++) {
        snprintf(line, sizeof line, "INCR counter");
        client_send(&c, line);
        if (i % 1000 == 0)
            client_expect(&other, "PING", "+PONG");
    }
    for (int i = 1; i <= 20000; i++) {
        snprintf(line, sizeof line, ":%d", i);
        client_expect_read(&c, line);
    }
    client_close(&other);
}

static void
hiredis_talks_to_it(void **state)
{
    redisContext *h = live_connect(&srv);
    redisReply *r;

    (void)state;
    assert_non_null(h);
    r = redisCommand(h, "SET %s %b", "k", "a\0b", (size_t)3);
    assert_non_null(r);
    assert_string_equal(r->str, "OK");
    freeReplyObject(r);
    for (int i = 0; i < 100; i++)
        redisAppendCommand(h, "GET k");
    for (int i = 0; i < 100; i++) {
        void *reply;

        assert_int_equal(redisGetReply(h, &reply), REDIS_OK);
        r = reply;
        assert_int_equal(r->len, 3);
        assert_memory_equal(r->str, "a\0b", 3);
        freeReplyObject(r);
    }
    redisFree(h);
}

static void
waits_answer_for_the_local_log(void **state)
{
    (void)state;
    client_expect(&c, "SET k v", "+OK");
    client_expect(&c, "WAITAOF 1 0 0", "[:1, :0]");
    client_expect(&c, "WAIT 0 100", ":0");
}

int
main(void)
{
#define WITH_CLIENT(test)                                                      \
    cmocka_unit_test_setup_teardown(test, open_client, close_client)
    const struct CMUnitTest tests[] = {
        WITH_CLIENT(ordered_reads_answer_in_order),
        WITH_CLIENT(answers_take_the_form_of_the_protocol),
        WITH_CLIENT(big_values_come_back_as_they_went),
        WITH_CLIENT(more_data_than_the_pool_is_served),
        WITH_CLIENT(keys_end_when_they_are_due),
        WITH_CLIENT(a_long_pipeline_is_answered_in_order),
        WITH_CLIENT(hiredis_talks_to_it),
        WITH_CLIENT(waits_answer_for_the_local_log),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
