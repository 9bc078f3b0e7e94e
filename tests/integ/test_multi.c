/* Transactions over sockets: all or nothing, between clients and over a
 * kill. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "../lib/client.h"

static struct live_server srv;
static struct client a, b;

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
open_both(void **state)
{
    (void)state;
    client_open(&a, &srv);
    client_open(&b, &srv);
    client_expect(&a, "FLUSHALL", "+OK");
    return 0;
}

static int
close_both(void **state)
{
    (void)state;
    client_close(&a);
    client_close(&b);
    return 0;
}

static void
queued_commands_run_as_one(void **state)
{
    (void)state;
    client_expect(&a, "MULTI", "+OK");
    client_expect(&a, "SET k 1", "+QUEUED");
    client_expect(&a, "INCR k", "+QUEUED");
    client_expect(&b, "GET k", "(nil)");
    client_expect(&a, "GET k", "+QUEUED");
    client_expect(&a, "EXEC", "[+OK, :2, \"2\"]");
    client_expect(&b, "GET k", "\"2\"");
}

static void
discard_forgets_what_was_queued(void **state)
{
    (void)state;
    client_expect(&a, "MULTI", "+OK");
    client_expect(&a, "SET k 1", "+QUEUED");
    client_expect(&a, "DISCARD", "+OK");
    client_expect(&a, "GET k", "(nil)");
    client_expect(&a, "DISCARD", "-ERR DISCARD without MULTI");
    client_expect(&a, "EXEC", "-ERR EXEC without MULTI");
}

static void
a_command_that_cannot_be_queued_spoils_the_whole(void **state)
{
    (void)state;
    client_expect(&a, "MULTI", "+OK");
    client_expect(&a, "SET k 1", "+QUEUED");
    client_expect(&a, "SET k",
                  "-ERR wrong number of arguments for 'set' command");
    client_expect(&a, "EXEC",
                  "-EXECABORT Transaction discarded because of previous "
                  "errors.");
    client_expect(&a, "GET k", "(nil)");
}

static void
a_command_that_fails_does_not_stop_the_rest(void **state)
{
    (void)state;
    client_expect(&a, "SET k text", "+OK");
    client_expect(&a, "MULTI", "+OK");
    client_expect(&a, "INCR k", "+QUEUED");
    client_expect(&a, "SET j 1", "+QUEUED");
    client_expect(&a, "EXEC",
                  "[-ERR value is not an integer or out of range, +OK]");
    client_expect(&a, "GET j", "\"1\"");
}

static void
a_watched_key_that_changed_refuses_exec(void **state)
{
    static const char *const changes[] = {
        "SET k 2",    "DEL k",    "EXPIRE k 100", "RENAME k j",
        "FLUSHDB",    "FLUSHALL", "APPEND k x",   "NQ.DELRANGE - +",
        "SWAPDB 0 1", "MOVE k 1", "GETDEL k",     "PEXPIRE k 0",
    };

    (void)state;
    for (unsigned i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        client_expect(&a, "FLUSHALL", "+OK");
        client_expect(&a, "SET k 1", "+OK");
        client_expect(&a, "WATCH k other", "+OK");
        (void)client_ask(&b, changes[i]);
        client_expect(&a, "MULTI", "+OK");
        client_expect(&a, "SET done 1", "+QUEUED");
        client_expect(&a, "EXEC", "(nil array)");
        client_expect(&a, "GET done", "(nil)");
    }
    client_expect(&a, "SET k 1", "+OK");
    client_expect(&a, "WATCH k", "+OK");
    client_expect(&b, "GET k", "\"1\"");
    client_expect(&b, "SET j 1", "+OK");
    client_expect(&b, "COPY k l", ":1");
    client_expect(&a, "MULTI", "+OK");
    client_expect(&a, "SET done 1", "+QUEUED");
    client_expect(&a, "EXEC", "[+OK]");
    client_expect(&a, "WATCH k", "+OK");
    client_expect(&b, "SET k 5", "+OK");
    client_expect(&a, "UNWATCH", "+OK");
    client_expect(&a, "MULTI", "+OK");
    client_expect(&a, "PING", "+QUEUED");
    client_expect(&a, "EXEC", "[+PONG]");
}

static void
a_client_that_goes_takes_its_queue_along(void **state)
{
    (void)state;
    client_expect(&a, "MULTI", "+OK");
    client_expect(&a, "SET k 1", "+QUEUED");
    client_close(&a);
    client_open(&a, &srv);
    client_expect(&a, "GET k", "(nil)");
    client_expect(&a, "DBSIZE", ":0");
}

static void
the_limit_of_transactions_is_kept(void **state)
{
    (void)state;
    client_expect(&b, "CONFIG SET transactions.max_active 1", "+OK");
    client_expect(&a, "MULTI", "+OK");
    client_expect(&b, "MULTI", "-ERR max active transactions...");
    client_expect(&a, "DISCARD", "+OK");
    client_expect(&b, "MULTI", "+OK");
    client_expect(&b, "DISCARD", "+OK");
    client_expect(&b, "CONFIG SET transactions.max_active 0", "+OK");
}

/* Two keys that every transaction keeps equal stay equal over kill -9. */
static void
a_kill_leaves_all_or_nothing(void **state)
{
    long long sent = 0, x;
    char line[64] = "";

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 50; i++) {
            sent++;
            client_send(&a, "MULTI");
            snprintf(line, sizeof line, "SET x %lld", sent);
            client_send(&a, line);
            snprintf(line, sizeof line, "SET y %lld", sent);
            client_send(&a, line);
            client_send(&a, "EXEC");
        }
        usleep((useconds_t)round * 1500);
        live_kill(&srv);
        close_both(NULL);
        assert_true(live_start(&srv));
        client_open(&a, &srv);
        client_open(&b, &srv);
        x = 0;
        (void)sscanf(client_ask(&a, "GET x"), "\"%lld\"", &x);
        if (x > 0)
            snprintf(line, sizeof line, "\"%lld\"", x);
        client_expect(&a, "GET y", x > 0 ? line : "(nil)");
    }
}

int
main(void)
{
#define WITH_CLIENTS(test)                                                     \
    cmocka_unit_test_setup_teardown(test, open_both, close_both)
    const struct CMUnitTest tests[] = {
        WITH_CLIENTS(queued_commands_run_as_one),
        WITH_CLIENTS(discard_forgets_what_was_queued),
        WITH_CLIENTS(a_command_that_cannot_be_queued_spoils_the_whole),
        WITH_CLIENTS(a_command_that_fails_does_not_stop_the_rest),
        WITH_CLIENTS(a_watched_key_that_changed_refuses_exec),
        WITH_CLIENTS(a_client_that_goes_takes_its_queue_along),
        WITH_CLIENTS(the_limit_of_transactions_is_kept),
        WITH_CLIENTS(a_kill_leaves_all_or_nothing),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
