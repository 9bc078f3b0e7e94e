/* Messages to many: every subscriber gets every message, once and in order,
 * and keyspace notifications tell of writes in their order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../lib/client.h"
#include "base/check.h"

static struct live_server srv;

static int
start(void **state)
{
    (void)state;
    return live_begin(&srv, "--maxmemory", "64mb", "--appendfsync", "always",
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

static void
every_subscriber_gets_every_message_in_order(void **state)
{
    enum { SUBSCRIBERS = 300, MESSAGES = 100 };
    static struct client c[SUBSCRIBERS];
    struct client publisher;
    char text[128];

    (void)state;
    client_open(&publisher, &srv);
    for (int i = 0; i < SUBSCRIBERS; i++) {
        client_open(&c[i], &srv);
        client_expect(&c[i], i % 2 == 0 ? "SUBSCRIBE feed" : "PSUBSCRIBE fe*",
                      "[...");
    }
    for (int n = 0; n < MESSAGES; n++) {
        snprintf(text, sizeof text, "PUBLISH feed %d", n);
        client_send(&publisher, text);
    }
    snprintf(text, sizeof text, ":%d", SUBSCRIBERS);
    for (int n = 0; n < MESSAGES; n++)
        client_expect_read(&publisher, text);
    for (int i = 0; i < SUBSCRIBERS; i++) {
        for (int n = 0; n < MESSAGES; n++) {
            snprintf(text, sizeof text,
                     i % 2 == 0 ? "[\"message\", \"feed\", \"%d\"]"
                                : "[\"pmessage\", \"fe*\", \"feed\", \"%d\"]",
                     n);
            client_expect_read(&c[i], text);
        }
        client_close(&c[i]);
    }
    client_close(&publisher);
}

/* Written before they are told: who hears of a key can read it. */
static void
notifications_tell_of_writes_in_their_order(void **state)
{
    enum { WRITES = 200 };
    struct client listener, writer, reader;
    char text[128];

    (void)state;
    client_open(&listener, &srv);
    client_open(&writer, &srv);
    client_open(&reader, &srv);
    client_expect(&writer, "CONFIG SET notify-keyspace-events E$gx", "+OK");
    client_expect(&listener, "HELLO 3", "{...");
    client_expect(&listener, "PSUBSCRIBE __keyevent@0__:*",
                  ">[\"psubscribe\", \"__keyevent@0__:*\", :1]");
    for (int i = 0; i < WRITES; i++) {
        snprintf(text, sizeof text, "SET note:%d %d", i, i);
        client_send(&writer, text);
    }
    for (int i = 0; i < WRITES; i++) {
        snprintf(text, sizeof text,
                 ">[\"pmessage\", \"__keyevent@0__:*\", "
                 "\"__keyevent@0__:set\", \"note:%d\"]",
                 i);
        client_expect_read(&listener, text);
        snprintf(text, sizeof text, "EXISTS note:%d", i);
        client_expect(&reader, text, ":1");
    }
    for (int i = 0; i < WRITES; i++)
        client_expect_read(&writer, "+OK");
    client_expect(&writer, "SET soon gone PX 20", "+OK");
    client_expect_read(&listener, ">[\"pmessage\", \"__keyevent@0__:*\", "
                                  "\"__keyevent@0__:set\", \"soon\"]");
    client_expect_read(&listener, ">[\"pmessage\", \"__keyevent@0__:*\", "
                                  "\"__keyevent@0__:expire\", \"soon\"]");
    client_expect_read(&listener, ">[\"pmessage\", \"__keyevent@0__:*\", "
                                  "\"__keyevent@0__:expired\", \"soon\"]");
    client_close(&reader);
    client_close(&writer);
    client_close(&listener);
}

/* A RESP3 client goes on with other commands while it is subscribed. */
static void
pushes_stand_between_replies_never_inside(void **state)
{
    struct client c, publisher;

    (void)state;
    client_open(&c, &srv);
    client_open(&publisher, &srv);
    client_expect(&c, "HELLO 3", "{...");
    client_expect(&c, "SUBSCRIBE own", ">[\"subscribe\", \"own\", :1]");
    client_expect(&c, "SET k v", "+OK");
    client_send(&c, "MULTI");
    client_send(&c, "PUBLISH own 1");
    client_send(&c, "SET k w");
    client_send(&c, "GET k");
    client_send(&c, "EXEC");
    client_expect_read(&c, "+OK");
    client_expect_read(&c, "+QUEUED");
    client_expect_read(&c, "+QUEUED");
    client_expect_read(&c, "+QUEUED");
    client_expect_read(&c, "[:1, +OK, \"w\"]");
    client_expect_read(&c, ">[\"message\", \"own\", \"1\"]");
    client_expect(&publisher, "PUBLISH own 2", ":1");
    client_expect_read(&c, ">[\"message\", \"own\", \"2\"]");
    client_close(&publisher);
    client_close(&c);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_subscriber_gets_every_message_in_order),
        cmocka_unit_test(notifications_tell_of_writes_in_their_order),
        cmocka_unit_test(pushes_stand_between_replies_never_inside),
    };

    return cmocka_run_group_tests_name("fanout", tests, start, stop);
}
