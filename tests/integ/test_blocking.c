/* Commands that wait, over sockets: order, time, clients that leave, and what
 * a kill may not take back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../lib/client.h"
#include "os/clock.h"

#define WAITING 300

static struct live_server srv;
static struct client a, b, c;
static struct client many[WAITING];

static int
start(void **state)
{
    (void)state;
    return live_begin(&srv, "--appendfsync", "always", NULL) ? 0 : -1;
}

static int
stop(void **state)
{
    (void)state;
    return live_end(&srv);
}

static int
open_all(void **state)
{
    (void)state;
    client_open(&a, &srv);
    client_open(&b, &srv);
    client_open(&c, &srv);
    client_expect(&a, "FLUSHALL", "+OK");
    return 0;
}

static int
close_all(void **state)
{
    (void)state;
    client_close(&a);
    client_close(&b);
    client_close(&c);
    return 0;
}

static void
wait_for_blocked(long long n)
{
    for (int i = 0; i < 5000; i++) {
        if (client_info(&a, "clients", "blocked_clients") == n)
            return;
        usleep(1000);
    }
    assert_int_equal(client_info(&a, "clients", "blocked_clients"), n);
}

/* Several lines in one packet. */
static void
send_text(struct client *to, const char *text)
{
    client_send_raw(to, text, strlen(text));
}

/* --- order --------------------------------------------------------------- */

static void
many_are_served_once_each_in_their_order(void **state)
{
    char line[64];

    (void)state;
    for (int i = 0; i < WAITING; i++) {
        client_open(&many[i], &srv);
        client_send(&many[i], "BLPOP q 0");
        wait_for_blocked(i + 1);
    }
    for (int i = 0; i < WAITING / 2; i++) {
        snprintf(line, sizeof line, "RPUSH q %d %d", 2 * i, 2 * i + 1);
        client_expect(&a, line, ":2");
    }
    for (int i = 0; i < WAITING; i++) {
        snprintf(line, sizeof line, "[\"q\", \"%d\"]", i);
        client_expect_read(&many[i], line);
        client_close(&many[i]);
    }
    client_expect(&a, "EXISTS q", ":0");
    wait_for_blocked(0);
}

static void
readers_of_a_stream_all_get_what_is_added(void **state)
{
    (void)state;
    client_send(&b, "XREAD BLOCK 0 STREAMS s $");
    client_send(&c, "XREAD BLOCK 0 STREAMS s $");
    wait_for_blocked(2);
    client_expect(&a, "XADD s 5-1 f v", "\"5-1\"");
    client_expect_read(&b, "[[\"s\", [[\"5-1\", [\"f\", \"v\"]]]]]");
    client_expect_read(&c, "[[\"s\", [[\"5-1\", [\"f\", \"v\"]]]]]");
}

static void
what_follows_in_the_pipeline_waits(void **state)
{
    (void)state;
    send_text(&b, "BLPOP q 0\r\nRPUSH r 1\r\nBLPOP r 0\r\nPING\r\n");
    wait_for_blocked(1);
    client_expect(&a, "EXISTS r", ":0");
    client_expect(&a, "RPUSH q x", ":1");
    client_expect_read(&b, "[\"q\", \"x\"]");
    client_expect_read(&b, ":1");
    client_expect_read(&b, "[\"r\", \"1\"]");
    client_expect_read(&b, "+PONG");
}

/* --- time ---------------------------------------------------------------- */

static void
a_timeout_ends_when_it_was_asked_to(void **state)
{
    uint64_t begin = clock_mono_ms(), took;

    (void)state;
    client_send(&c, "BRPOPLPUSH q r 0.25");
    client_expect(&b, "BZPOPMIN q 0.1", "(nil array)");
    took = clock_mono_ms() - begin;
    assert_in_range(took, 100, 240);
    client_expect_read(&c, "(nil array)");
    took = clock_mono_ms() - begin;
    assert_in_range(took, 250, 600);
}

static void
client_list_and_unblock_see_who_waits(void **state)
{
    const char *text;
    char line[64];
    long long id;

    (void)state;
    assert_int_equal(sscanf(client_ask(&b, "CLIENT ID"), ":%lld", &id), 1);
    client_send(&b, "BLMOVE q r LEFT LEFT 0");
    wait_for_blocked(1);
    snprintf(line, sizeof line, "CLIENT LIST ID %lld", id);
    text = client_ask(&a, line);
    assert_non_null(strstr(text, "flags=b "));
    assert_non_null(strstr(text, "cmd=blmove "));
    snprintf(line, sizeof line, "CLIENT UNBLOCK %lld ERROR", id);
    client_expect(&a, line, ":1");
    client_expect_read(&b, "-UNBLOCKED client unblocked via CLIENT UNBLOCK");
    wait_for_blocked(0);
}

/* --- who leaves ---------------------------------------------------------- */

static void
who_left_takes_nothing(void **state)
{
    struct client gone;

    (void)state;
    client_open(&gone, &srv);
    client_send(&gone, "BLPOP q 0");
    wait_for_blocked(1);
    client_close(&gone);
    wait_for_blocked(0);
    client_expect(&a, "RPUSH q x", ":1");
    client_expect(&a, "LLEN q", ":1");
}

static void
who_sends_no_more_takes_nothing(void **state)
{
    struct client gone;

    (void)state;
    client_open(&gone, &srv);
    send_text(&gone, "PING\r\nBLPOP q 0\r\nPING\r\n");
    assert_int_equal(shutdown(gone.fd, SHUT_WR), 0);
    client_expect_read(&gone, "+PONG");
    client_expect_read(&gone, "(closed)");
    client_expect(&a, "RPUSH q x", ":1");
    client_expect(&a, "LLEN q", ":1");
    client_close(&gone);
}

static void
who_is_killed_takes_nothing(void **state)
{
    char line[64];
    long long id;

    (void)state;
    assert_int_equal(sscanf(client_ask(&b, "CLIENT ID"), ":%lld", &id), 1);
    client_send(&b, "BLPOP q 0");
    wait_for_blocked(1);
    snprintf(line, sizeof line, "CLIENT KILL ID %lld", id);
    client_send(&a, line); /* in one go */
    client_send(&a, "RPUSH q x");
    client_expect_read(&a, ":1");
    client_expect_read(&a, ":1");
    client_expect(&a, "LLEN q", ":1");
    client_expect_read(&b, "(closed)");
}

/* --- a kill -------------------------------------------------------------- */

static void
what_was_served_stays_taken_after_a_kill(void **state)
{
    (void)state;
    client_send(&b, "BLPOP q 0");
    client_send(&c, "BLMOVE src dst LEFT LEFT 0");
    wait_for_blocked(2);
    client_expect(&a, "RPUSH q x y", ":2");
    client_expect(&a, "RPUSH src z", ":1");
    client_expect_read(&b, "[\"q\", \"x\"]");
    client_expect_read(&c, "\"z\"");
    live_kill(&srv);
    assert_true(live_start(&srv));
    client_close(&a);
    client_open(&a, &srv);
    client_expect(&a, "LRANGE q 0 -1", "[\"y\"]");
    client_expect(&a, "EXISTS src", ":0");
    client_expect(&a, "LRANGE dst 0 -1", "[\"z\"]");
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_all, close_all)
    const struct CMUnitTest tests[] = {
        TEST(many_are_served_once_each_in_their_order),
        TEST(readers_of_a_stream_all_get_what_is_added),
        TEST(what_follows_in_the_pipeline_waits),
        TEST(a_timeout_ends_when_it_was_asked_to),
        TEST(client_list_and_unblock_see_who_waits),
        TEST(who_left_takes_nothing),
        TEST(who_sends_no_more_takes_nothing),
        TEST(who_is_killed_takes_nothing),
        TEST(what_was_served_stays_taken_after_a_kill),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
