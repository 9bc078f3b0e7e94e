/* Messages between clients, in both protocols, and events of keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "../lib/client.h"

static struct live_server srv;
static struct client sub, pub;

static int
start(void **state)
{
    (void)state;
    return live_begin(&srv, NULL) ? 0 : -1;
}

static int
stop(void **state)
{
    (void)state;
    return live_end(&srv);
}

static int
open_both(void **state)
{
    (void)state;
    client_open(&sub, &srv);
    client_open(&pub, &srv);
    return 0;
}

static int
close_both(void **state)
{
    (void)state;
    client_close(&sub);
    client_close(&pub);
    return 0;
}

static void
messages_reach_channels_and_patterns(void **state)
{
    (void)state;
    client_expect(&sub, "SUBSCRIBE news other",
                  "[\"subscribe\", \"news\", :1]");
    client_expect_read(&sub, "[\"subscribe\", \"other\", :2]");
    client_expect(&sub, "PSUBSCRIBE n*", "[\"psubscribe\", \"n*\", :3]");
    client_expect(&pub, "PUBLISH news hello", ":2");
    client_expect_read(&sub, "[\"message\", \"news\", \"hello\"]");
    client_expect_read(&sub, "[\"pmessage\", \"n*\", \"news\", \"hello\"]");
    client_expect(&pub, "PUBLISH nobody hello", ":1");
    client_expect_read(&sub, "[\"pmessage\", \"n*\", \"nobody\", \"hello\"]");
    client_expect(&pub, "PUBLISH elsewhere hello", ":0");
    client_expect(&pub, "PUBSUB CHANNELS n*", "[\"news\"]");
    client_expect(&pub, "PUBSUB NUMSUB news x", "[\"news\", :1, \"x\", :0]");
    client_expect(&pub, "PUBSUB NUMPAT", ":1");
    assert_int_equal(client_info(&pub, "stats", "pubsub_channels"), 2);
    assert_int_equal(client_info(&pub, "clients", "pubsub_clients"), 1);
    client_expect(&sub, "UNSUBSCRIBE", "[\"unsubscribe\", ...");
    (void)client_read(&sub);
    client_expect(&sub, "PUNSUBSCRIBE", "[\"punsubscribe\", \"n*\", :0]");
    client_expect(&sub, "PING", "+PONG");
    client_expect(&pub, "PUBLISH news hello", ":0");
}

static void
a_subscriber_of_resp2_may_do_little_else(void **state)
{
    (void)state;
    client_expect(&sub, "SUBSCRIBE c", "[\"subscribe\", \"c\", :1]");
    client_expect(&sub, "GET k",
                  "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / "
                  "(P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this "
                  "context");
    client_expect(&sub, "PING", "[\"pong\", \"\"]");
    client_expect(&sub, "PING x", "[\"pong\", \"x\"]");
    client_expect(&sub, "RESET", "+RESET");
    client_expect(&sub, "GET k", "(nil)");
}

static void
a_subscriber_of_resp3_may_do_everything(void **state)
{
    (void)state;
    (void)client_ask(&sub, "HELLO 3");
    client_expect(&sub, "SUBSCRIBE c", ">[\"subscribe\", \"c\", :1]");
    client_expect(&sub, "SET k 1", "+OK");
    client_expect(&pub, "PUBLISH c hello", ":1");
    client_expect(&sub, "GET k", ">[\"message\", \"c\", \"hello\"]");
    client_expect_read(&sub, "\"1\"");
    /* Its own message comes behind the reply. */
    client_expect(&sub, "PUBLISH c self", ":1");
    client_expect_read(&sub, ">[\"message\", \"c\", \"self\"]");
}

static void
shard_channels_have_names_of_their_own(void **state)
{
    (void)state;
    client_expect(&sub, "SSUBSCRIBE c", "[\"ssubscribe\", \"c\", :1]");
    client_expect(&pub, "PUBLISH c x", ":0");
    client_expect(&pub, "SPUBLISH c x", ":1");
    client_expect_read(&sub, "[\"smessage\", \"c\", \"x\"]");
    client_expect(&pub, "PUBSUB SHARDCHANNELS", "[\"c\"]");
    client_expect(&sub, "SUNSUBSCRIBE c", "[\"sunsubscribe\", \"c\", :0]");
}

static void
a_client_that_goes_is_no_subscriber_any_more(void **state)
{
    (void)state;
    client_expect(&sub, "SUBSCRIBE c", "[\"subscribe\", \"c\", :1]");
    client_close(&sub);
    for (int i = 0; i < 100; i++) {
        if (client_info(&pub, "stats", "pubsub_channels") == 0)
            break;
        usleep(10000);
    }
    client_expect(&pub, "PUBLISH c x", ":0");
    client_open(&sub, &srv);
}

static void
events_of_keys_are_told_when_asked_for(void **state)
{
    (void)state;
    client_expect(&pub, "CONFIG SET notify-keyspace-events KEA", "+OK");
    client_expect(&pub, "CONFIG GET notify-keyspace-events",
                  "[\"notify-keyspace-events\", \"AKE\"]");
    client_expect(&sub, "PSUBSCRIBE __key*__:*", "[\"psubscribe\"...");
    client_expect(&pub, "SET k v EX 100", "+OK");
    client_expect_read(&sub, "[\"pmessage\", \"__key*__:*\", "
                             "\"__keyspace@0__:k\", \"set\"]");
    client_expect_read(&sub, "[\"pmessage\", \"__key*__:*\", "
                             "\"__keyevent@0__:set\", \"k\"]");
    client_expect_read(&sub, "[\"pmessage\", \"__key*__:*\", "
                             "\"__keyspace@0__:k\", \"expire\"]");
    client_expect_read(&sub, "[\"pmessage\", \"__key*__:*\", "
                             "\"__keyevent@0__:expire\", \"k\"]");
    client_expect(&pub, "CONFIG SET notify-keyspace-events Ex", "+OK");
    client_expect(&pub, "PEXPIRE k 20", ":1");
    client_expect_read(&sub, "[\"pmessage\", \"__key*__:*\", "
                             "\"__keyevent@0__:expired\", \"k\"]");
    client_expect(&pub, "CONFIG SET notify-keyspace-events \"\"", "+OK");
    client_expect(&pub, "SET k v", "+OK");
    sub.timeout_ms = 50;
    client_expect_read(&sub, "(timeout)");
}

int
main(void)
{
#define WITH_CLIENTS(test)                                                     \
    cmocka_unit_test_setup_teardown(test, open_both, close_both)
    const struct CMUnitTest tests[] = {
        WITH_CLIENTS(messages_reach_channels_and_patterns),
        WITH_CLIENTS(a_subscriber_of_resp2_may_do_little_else),
        WITH_CLIENTS(a_subscriber_of_resp3_may_do_everything),
        WITH_CLIENTS(shard_channels_have_names_of_their_own),
        WITH_CLIENTS(a_client_that_goes_is_no_subscriber_any_more),
        WITH_CLIENTS(events_of_keys_are_told_when_asked_for),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
