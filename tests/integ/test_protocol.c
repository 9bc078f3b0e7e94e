/* What a client may send that is no command, and how it may misbehave: it gets
 * Redis' protocol error and a closed connection, and nobody else notices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../lib/client.h"
#include "base/check.h"
#include "base/rng.h"

static struct live_server srv;

static int
start(void **state)
{
    (void)state;
    return live_begin(&srv, "--maxmemory", "64mb", NULL) ? 0 : -1;
}

static int
stop(void **state)
{
    (void)state;
    return live_end(&srv);
}

static void
send_text(struct client *c, const char *text)
{
    client_send_raw(c, text, strlen(text));
}

static void
others_are_served(void)
{
    struct client c;

    client_open(&c, &srv);
    client_expect(&c, "PING", "+PONG");
    client_close(&c);
}

static void
malformed_requests_get_an_error_and_a_closed_connection(void **state)
{
    static const struct {
        const char *sent, *want;
    } rows[] = {
        {"*a\r\n", "-ERR Protocol error: invalid multibulk length"},
        {"*2147483648\r\n", "-ERR Protocol error: invalid multibulk length"},
        {"*99999999999999999999\r\n",
         "-ERR Protocol error: invalid multibulk length"},
        {"*1\r\n:1\r\n", "-ERR Protocol error: expected '$', got ':'"},
        {"*1\r\n$a\r\n", "-ERR Protocol error: invalid bulk length"},
        {"*1\r\n$-1\r\n", "-ERR Protocol error: invalid bulk length"},
        {"*1\r\n$9999999999\r\n", "-ERR Protocol error: invalid bulk length"},
        {"GET \"a\r\n", "-ERR Protocol error: unbalanced quotes in request"},
        {"GET 'a'b\r\n", "-ERR Protocol error: unbalanced quotes in request"},
    };

    (void)state;
    for (size_t i = 0; i < nq_countof(rows); i++) {
        struct client c;

        client_open(&c, &srv);
        send_text(&c, rows[i].sent);
        client_expect_read(&c, rows[i].want);
        client_expect_read(&c, "(closed)");
        client_close(&c);
    }
    others_are_served();
}

static void
requests_before_a_malformed_one_are_answered(void **state)
{
    struct client c;

    (void)state;
    client_open(&c, &srv);
    send_text(&c, "*1\r\n$4\r\nPING\r\nPING x\r\n*1\r\n!\r\n");
    client_expect_read(&c, "+PONG");
    client_expect_read(&c, "\"x\"");
    client_expect_read(&c, "-ERR Protocol error: expected '$', got '!'");
    client_expect_read(&c, "(closed)");
    client_close(&c);
}

static void
lines_and_empty_requests_are_commands_too(void **state)
{
    struct client c;

    (void)state;
    client_open(&c, &srv);
    send_text(&c, "\r\n\r\nPING\r\n*0\r\nping  \"a\\x41 b\"\nECHO 'it''s'\r\n");
    client_expect_read(&c, "+PONG");
    client_expect_read(&c, "\"aA b\"");
    client_expect_read(&c, "-ERR Protocol error: unbalanced quotes in request");
    client_close(&c);
}

static void
an_endless_line_is_cut_off(void **state)
{
    static char line[80 * 1024];
    struct client c;

    (void)state;
    memset(line, 'a', sizeof line);
    client_open(&c, &srv);
    client_send_raw(&c, line, sizeof line);
    client_expect_read(&c, "-ERR Protocol error: too big inline request");
    client_expect_read(&c, "(closed)");
    client_close(&c);
    others_are_served();
}

static void
a_sender_of_single_bytes_is_understood(void **state)
{
    static const char text[] = "*2\r\n$4\r\nECHO\r\n$6\r\nhe\r\no!\r\n"
                               "*1\r\n$4\r\nPING\r\n";
    struct client c;

    (void)state;
    client_open(&c, &srv);
    for (size_t i = 0; i + 1 < sizeof text; i++) {
        client_send_raw(&c, text + i, 1);
        if (i % 8 == 0)
            usleep(1000);
        if (i == 20)
            others_are_served();
    }
    client_expect_read(&c, "\"he\\r\\no!\"");
    client_expect_read(&c, "+PONG");
    client_close(&c);
}

static void
claimed_lengths_cost_no_memory(void **state)
{
    struct client watcher, many[50];
    long long before, after;

    (void)state;
    client_open(&watcher, &srv);
    before = client_info(&watcher, "memory", "used_memory_rss");
    for (size_t i = 0; i < nq_countof(many); i++) {
        client_open(&many[i], &srv);
        send_text(&many[i], "*2\r\n$3\r\nGET\r\n$500000000\r\nabc");
    }
    client_expect(&watcher, "PING", "+PONG");
    usleep(50000);
    after = client_info(&watcher, "memory", "used_memory_rss");
    assert_true(after - before < 50 << 20);
    for (size_t i = 0; i < nq_countof(many); i++)
        client_close(&many[i]);
    client_close(&watcher);
}

/* It is not read from any more, so its requests wait with it. */
static void
a_client_that_never_reads_harms_nobody(void **state)
{
    static char value[64 * 1024];
    struct client lazy, c;
    struct slice set[] = {slice_lit("SET"), slice_lit("big"),
                          slice_of(value, sizeof value)};
    long long before;

    (void)state;
    memset(value, 'v', sizeof value);
    client_open(&c, &srv);
    client_send_argv(&c, set, 3);
    client_expect_read(&c, "+OK");
    before = client_info(&c, "memory", "used_memory_rss");
    client_open(&lazy, &srv);
    for (int i = 0; i < 4000; i++)
        send_text(&lazy, "GET big\r\n"); /* 256 MB of replies */
    for (int i = 0; i < 100; i++)
        client_expect(&c, "PING", "+PONG");
    assert_true(client_info(&c, "memory", "used_memory_rss") - before <
                100 << 20);
    client_close(&lazy);
    client_expect(&c, "DEL big", ":1");
    client_close(&c);
}

static void
random_bytes_never_harm_the_server(void **state)
{
    static const char *const pieces[] = {
        "*1\r\n",   "*3\r\n",    "$3\r\n", "SET", "GET", "\r\n",
        "$-1",      "*-1",       "PING",   "\"",  "'",   "$10000000\r\n",
        "EXEC\r\n", "MULTI\r\n", " ",      "\n",
    };
    const char *env = getenv("SEED");
    uint64_t seed = env != NULL ? strtoull(env, NULL, 10) : rng_seed_from_os();
    struct rng rng;

    (void)state;
    printf("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&rng, seed);
    for (int round = 0; round < 300; round++) {
        struct client c;

        client_open(&c, &srv);
        for (uint64_t n = rng_below(&rng, 30); n > 0; n--) {
            uint64_t noise = rng_next(&rng);

            if (rng_below(&rng, 4) == 0)
                client_send_raw(&c, &noise, 1 + rng_below(&rng, 8));
            else
                send_text(&c, pieces[rng_below(&rng, nq_countof(pieces))]);
        }
        client_close(&c);
    }
    others_are_served();
}

static void
hello_switches_the_protocol_and_back(void **state)
{
    struct client c;

    (void)state;
    client_open(&c, &srv);
    client_expect(&c, "HELLO 4", "-NOPROTO unsupported protocol version");
    client_expect(&c, "HELLO 3", "{\"server\": \"redis\", ...");
    client_expect(&c, "GET nothing", "(nil)");
    client_expect(&c, "CONFIG GET port", "{\"port\": ...");
    client_expect(&c, "HELLO 2", "[\"server\", \"redis\", ...");
    client_expect(&c, "CONFIG GET port", "[\"port\", ...");
    client_expect(&c, "HELLO 3 SETNAME me", "{\"server\"...");
    client_expect(&c, "CLIENT GETNAME", "\"me\"");
    client_close(&c);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            malformed_requests_get_an_error_and_a_closed_connection),
        cmocka_unit_test(requests_before_a_malformed_one_are_answered),
        cmocka_unit_test(lines_and_empty_requests_are_commands_too),
        cmocka_unit_test(an_endless_line_is_cut_off),
        cmocka_unit_test(a_sender_of_single_bytes_is_understood),
        cmocka_unit_test(claimed_lengths_cost_no_memory),
        cmocka_unit_test(a_client_that_never_reads_harms_nobody),
        cmocka_unit_test(random_bytes_never_harm_the_server),
        cmocka_unit_test(hello_switches_the_protocol_and_back),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
