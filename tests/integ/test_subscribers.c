/* Subscribers over sockets: slow ones and those beside them, heartbeats and
 * silence with small times, rates, and subscribers who begin in the past. */
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
#include "os/clock.h"

static struct live_server srv;

static int
start(void **state)
{
    (void)state;
    live_init(&srv);
    srv.options[0] = "--maxmemory";
    srv.options[1] = "16mb";
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
set(struct client *c, const char *name, const char *value)
{
    char line[128];

    snprintf(line, sizeof line, "CONFIG SET %s %s", name, value);
    client_expect(c, line, "+OK");
}

/* The number behind `word` in `text`, or -1. */
static long long
number_after(const char *text, const char *word)
{
    const char *at = strstr(text, word);

    return at == NULL ? -1 : strtoll(at + strlen(word), NULL, 10);
}

/* --- slow subscribers ------------------------------------------------------
 */

/* One reads nothing while 100 MB are published: the server holds no more than
 * its queue, another one gets everything, and at the end the slow one knows
 * exactly how many it lost. */
static void
a_stuck_subscriber_costs_its_queue_and_knows_what_it_lost(void **state)
{
    enum { MESSAGES = 1000, BYTES = 100000 };
    struct client stuck, good, publisher;
    static char text[BYTES + 64];
    long long heap, got = 0, lost = 0, last = -1, number;

    (void)state;
    client_open(&stuck, &srv);
    client_open(&good, &srv);
    client_open(&publisher, &srv);
    set(&publisher, "pubsub.drop_policy", "drop-oldest");
    set(&publisher, "websocket.queues.message_queue_size", "100");
    client_expect(&stuck, "SUBSCRIBE feed", "[...");
    client_expect(&good, "SUBSCRIBE feed", "[...");
    heap = client_info(&publisher, "memory", "used_memory_heap");
    for (int i = 0; i < MESSAGES; i++) {
        memset(text, 'x', sizeof text - 1);
        text[snprintf(text, sizeof text, "PUBLISH feed %d,", i)] = 'x';
        client_expect(&publisher, text, ":2");
        assert_int_equal(
            number_after(client_read(&good), "\"message\", \"feed\", \""), i);
    }
    assert_true(client_info(&publisher, "memory", "used_memory_heap") - heap <
                8 << 20);
    assert_int_equal(
        client_info(&publisher, "subscribers", "subscribers_dropping"), 1);
    while (last < MESSAGES - 1) {
        const char *reply = client_read(&stuck);

        if ((number = number_after(reply, "\"message\", \"feed\", \"")) >= 0) {
            assert_int_equal(number, got++ + lost);
            last = number;
        } else {
            assert_non_null(strstr(reply, "\"__gap__:feed\""));
            lost += number_after(reply, "count\\\":");
        }
    }
    assert_int_equal(got + lost, MESSAGES);
    assert_true(lost > 0 && got >= 40);
    set(&publisher, "pubsub.drop_policy", "none");
    client_close(&stuck);
    client_close(&good);
    client_close(&publisher);
}

/* --- push clients ----------------------------------------------------------
 */

static void
heartbeats_come_and_silence_ends_who_promised_to_speak(void **state)
{
    struct client quiet, strict, c;
    uint64_t began_ms;

    (void)state;
    client_open(&quiet, &srv);
    client_open(&strict, &srv);
    client_open(&c, &srv);
    set(&c, "websocket.heartbeat_interval", "100ms");
    set(&c, "websocket.heartbeat_timeout", "500ms");
    client_expect(&quiet, "NQ.SUBSCRIBE PREFIX beat:", "[...");
    client_expect(&strict, "HELLO 3", "{...");
    client_expect(&strict, "NQ.HEARTBEAT ON", "+OK");
    began_ms = clock_mono_ms();
    for (int i = 0; i < 8; i++) {
        while (strstr(client_read(&quiet), "\"ready\\\"") != NULL)
            ;
        assert_non_null(strstr(quiet.text.p == NULL ? "" : (char *)quiet.text.p,
                               "[\"message\", \"__heartbeat__\", \""));
    }
    assert_true(clock_mono_ms() - began_ms >= 600);
    for (int i = 0; strcmp(client_read(&strict), "(closed)") != 0; i++)
        assert_true(i < 20);
    client_expect(&c, "PING", "+PONG"); /* silent, but no push client */
    set(&c, "websocket.heartbeat_interval", "30s");
    set(&c, "websocket.heartbeat_timeout", "90s");
    client_close(&quiet);
    client_close(&strict);
    client_close(&c);
}

static void
push_clients_have_a_rate_and_a_most(void **state)
{
    struct client a, b, c;
    int refused = 0;

    (void)state;
    client_open(&a, &srv);
    client_open(&b, &srv);
    client_open(&c, &srv);
    set(&c, "websocket.max_connections", "1");
    set(&c, "security.rate_limiting.ws_messages_per_second", "10");
    client_expect(&a, "HELLO 3", "{...");
    client_expect(&a, "NQ.HEARTBEAT ON", "+OK");
    client_expect(&b, "NQ.HEARTBEAT ON",
                  "-ERR max number of push clients reached");
    client_expect(&b, "NQ.SUBSCRIBE PREFIX x:",
                  "-ERR max number of push clients reached");
    for (int i = 0; i < 300; i++) {
        client_send(&a, "GET none");
        client_send(&b, "GET none");
    }
    for (int i = 0; i < 300; i++) {
        refused += strncmp(client_read(&a), "-RATELIMIT ", 11) == 0;
        client_expect_read(&b, "(nil)");
    }
    assert_true(refused > 100 && refused <= 290);
    assert_int_equal(client_info(&c, "subscribers", "commands_over_rate"),
                     refused);
    assert_int_equal(client_info(&c, "subscribers", "push_clients"), 1);
    set(&c, "websocket.max_connections", "10000");
    client_close(&a);
    client_close(&b);
    client_close(&c);
}

/* --- history ---------------------------------------------------------------
 */

/* Publishing goes on while it catches up. */
static void
a_late_subscriber_has_each_message_once_and_in_order(void **state)
{
    enum { BEFORE = 1000, MESSAGES = 3000 };
    struct client late, publisher;
    char text[64];
    long long id;

    (void)state;
    client_open(&late, &srv);
    client_open(&publisher, &srv);
    set(&publisher, "pubsub.history_messages", "100000");
    for (int i = 1; i <= BEFORE; i++) {
        snprintf(text, sizeof text, "PUBLISH past %d", i);
        client_send(&publisher, text);
    }
    for (int i = 1; i <= BEFORE; i++)
        client_expect_read(&publisher, ":0");
    id = number_after(client_ask(&publisher, "NQ.HISTORY past 501"), "[[\"");
    for (int i = BEFORE + 1; i <= MESSAGES; i++) {
        snprintf(text, sizeof text, "PUBLISH past %d", i);
        client_send(&publisher, text);
    }
    snprintf(text, sizeof text, "NQ.REPLAY past FROM %lld", id);
    client_expect(&late, text, "[\"subscribe\", \"past\", :1]");
    assert_int_equal(number_after(client_read(&late), "from\\\":\\\""), id);
    for (int i = 500; i <= MESSAGES; i++) {
        snprintf(text, sizeof text, "[\"message\", \"past\", \"%d\"]", i);
        client_expect_read(&late, text);
    }
    for (int i = BEFORE + 1; i <= MESSAGES; i++)
        (void)client_read(&publisher);
    client_expect(&late, "PING", "[\"pong\", \"\"]");
    set(&publisher, "pubsub.history_messages", "0");
    client_close(&late);
    client_close(&publisher);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            a_stuck_subscriber_costs_its_queue_and_knows_what_it_lost),
        cmocka_unit_test(
            heartbeats_come_and_silence_ends_who_promised_to_speak),
        cmocka_unit_test(push_clients_have_a_rate_and_a_most),
        cmocka_unit_test(a_late_subscriber_has_each_message_once_and_in_order),
    };

    return cmocka_run_group_tests_name("subscribers", tests, start, stop);
}
