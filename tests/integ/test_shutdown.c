/* The end of the server: nothing acknowledged is lost, the next start has
 * nothing to replay, and it comes soon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../lib/client.h"

#define CLIENTS 8

static struct live_server srv;

static int
prepare(void **state)
{
    (void)state;
    live_init(&srv);
    return live_start(&srv) ? 0 : -1;
}

static int
clean_up(void **state)
{
    (void)state;
    live_fini(&srv);
    return 0;
}

static int
wait_for_end(void)
{
    int status;

    for (int i = 0; i < 3000; i++) {
        if (waitpid(srv.pid, &status, WNOHANG) == srv.pid) {
            srv.pid = 0;
            return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        }
        usleep(10000);
    }
    return -2;
}

/* Clients that write until the server goes; how many writes of each were
 * acknowledged. */
static void
write_until_the_end(long acked[CLIENTS], void (*end)(void))
{
    struct client c[CLIENTS];
    long sent[CLIENTS] = {0};
    bool is_open[CLIENTS];
    int open = CLIENTS, turns = 0;

    for (int i = 0; i < CLIENTS; i++) {
        client_open(&c[i], &srv);
        is_open[i] = true;
        acked[i] = 0;
    }
    while (open > 0) {
        if (++turns == 200)
            end();
        for (int i = 0; i < CLIENTS; i++) {
            char line[64];

            if (!is_open[i])
                continue;
            snprintf(line, sizeof line, "SET client:%d:%ld x", i, ++sent[i]);
            if (strcmp(client_ask(&c[i], line), "+OK") == 0) {
                acked[i] = sent[i];
            } else {
                is_open[i] = false;
                open--;
            }
        }
    }
    for (int i = 0; i < CLIENTS; i++)
        client_close(&c[i]);
}

static void
send_sigterm(void)
{
    kill(srv.pid, SIGTERM);
}

static void
send_shutdown(void)
{
    struct client c;

    client_open(&c, &srv);
    client_send(&c, "SHUTDOWN");
    client_expect_read(&c, "(closed)");
    client_close(&c);
}

static void
all_acknowledged_are_there(const long acked[CLIENTS])
{
    struct client c;
    char line[64];

    client_open(&c, &srv);
    for (int i = 0; i < CLIENTS; i++) {
        assert_true(acked[i] > 100);
        for (long k = 1; k <= acked[i]; k++) {
            snprintf(line, sizeof line, "EXISTS client:%d:%ld", i, k);
            client_expect(&c, line, ":1");
        }
    }
    client_close(&c);
}

static void
nothing_was_replayed(void)
{
    struct client c;

    client_open(&c, &srv);
    assert_int_equal(client_info(&c, "log", "log_replayed_bytes"), 0);
    client_close(&c);
}

static void
sigterm_under_load_loses_nothing(void **state)
{
    long acked[CLIENTS];

    (void)state;
    write_until_the_end(acked, send_sigterm);
    assert_int_equal(wait_for_end(), 0);
    assert_true(live_start(&srv));
    nothing_was_replayed();
    all_acknowledged_are_there(acked);
    assert_int_equal(live_stop(&srv), 0);
}

static void
shutdown_under_load_loses_nothing(void **state)
{
    long acked[CLIENTS];

    (void)state;
    write_until_the_end(acked, send_shutdown);
    assert_int_equal(wait_for_end(), 0);
    assert_true(live_start(&srv));
    nothing_was_replayed();
    all_acknowledged_are_there(acked);
    assert_int_equal(live_stop(&srv), 0);
}

static void
shutdown_nosave_leaves_it_to_the_log(void **state)
{
    struct client c;

    (void)state;
    client_open(&c, &srv);
    client_expect(&c, "SET k v", "+OK");
    client_expect(&c, "SHUTDOWN NOSAVE", "(closed)");
    client_close(&c);
    assert_int_equal(wait_for_end(), 0);
    assert_true(live_start(&srv));
    client_open(&c, &srv);
    client_expect(&c, "GET k", "\"v\"");
    assert_true(client_info(&c, "log", "log_replayed_bytes") > 0);
    client_close(&c);
    assert_int_equal(live_stop(&srv), 0);
}

static void
a_second_signal_hurries(void **state)
{
    struct client c;

    (void)state;
    client_open(&c, &srv);
    client_expect(&c, "SET k v", "+OK");
    kill(srv.pid, SIGTERM);
    kill(srv.pid, SIGINT);
    assert_int_equal(wait_for_end(), 0);
    client_close(&c);
    assert_true(live_start(&srv));
    client_open(&c, &srv);
    client_expect(&c, "GET k", "\"v\"");
    client_close(&c);
    assert_int_equal(live_stop(&srv), 0);
}

/* Whoever never reads gets its time, and no more. */
static void
a_client_that_never_reads_does_not_hold_up_the_end(void **state)
{
    static char value[1 << 20];
    struct slice set[] = {slice_lit("SET"), slice_lit("big"),
                          slice_of(value, sizeof value)};
    struct client c;
    time_t before;

    (void)state;
    client_open(&c, &srv);
    client_expect(&c, "CONFIG SET shutdown-timeout 1", "+OK");
    client_send_argv(&c, set, 3);
    client_expect_read(&c, "+OK");
    for (int i = 0; i < 20; i++)
        client_send(&c, "GET big");
    usleep(100000);
    before = time(NULL);
    kill(srv.pid, SIGTERM);
    assert_int_equal(wait_for_end(), 0);
    assert_true(time(NULL) - before < 6);
    client_close(&c);
}

/* While the log is replayed, clients hear how far it is. */
static void
a_long_replay_is_told_to_clients(void **state)
{
    enum { KEYS = 300000 };
    struct client c;
    char line[400];
    unsigned loading = 0, told = 0;

    (void)state;
    client_open(&c, &srv);
    for (int i = 0; i < KEYS; i++) {
        snprintf(line, sizeof line, "SET key:%07lld x", i * 7919LL % KEYS);
        client_send(&c, line);
        if (i % 500 == 499) {
            for (int k = 0; k < 500; k++)
                client_expect_read(&c, "+OK");
        }
    }
    client_close(&c);
    live_kill(&srv);
    snprintf(line, sizeof line,
             "%s --daemonize yes --port %d --dir %s --logfile %s",
             getenv("NQDB_SERVER"), srv.port, srv.dir, srv.log);
    assert_int_equal(system(line), 0);
    for (int i = 0; i < 20000; i++) {
        const char *answer;

        if (!client_try_open(&c, srv.port)) {
            usleep(500);
            continue;
        }
        answer = client_ask(&c, "GET key:0000001");
        if (strcmp(answer, "\"x\"") == 0)
            break;
        if (strncmp(answer, "-LOADING ", 9) != 0)
            fail_msg("%s", answer);
        loading++;
        told += client_info(&c, "persistence", "loading_total_bytes") > 0;
        client_close(&c);
    }
    client_expect(&c, "DBSIZE", ":300000");
    print_message("LOADING was answered %u times\n", loading);
    assert_true(told > 0 || loading == 0);
    client_expect(&c, "SHUTDOWN", "(closed)");
    client_close(&c);
    for (int i = 0; i < 1000 && client_try_open(&c, srv.port); i++) {
        client_close(&c);
        usleep(10000);
    }
}

static void
an_empty_start_and_stop_is_quick(void **state)
{
    struct timespec a, b;
    double ms;

    (void)state;
    assert_int_equal(live_stop(&srv), 0);
    clock_gettime(CLOCK_MONOTONIC, &a);
    assert_true(live_start(&srv));
    clock_gettime(CLOCK_MONOTONIC, &b);
    ms = (double)(b.tv_sec - a.tv_sec) * 1e3 +
         (double)(b.tv_nsec - a.tv_nsec) / 1e6;
    print_message("first answer after %.0f ms\n", ms);
    assert_true(ms < 2000); /* 200 is meant; the machine may be busy */
    assert_int_equal(live_stop(&srv), 0);
}

int
main(void)
{
#define WITH_SERVER(test)                                                      \
    cmocka_unit_test_setup_teardown(test, prepare, clean_up)
    const struct CMUnitTest tests[] = {
        WITH_SERVER(sigterm_under_load_loses_nothing),
        WITH_SERVER(shutdown_under_load_loses_nothing),
        WITH_SERVER(shutdown_nosave_leaves_it_to_the_log),
        WITH_SERVER(a_second_signal_hurries),
        WITH_SERVER(a_client_that_never_reads_does_not_hold_up_the_end),
        WITH_SERVER(a_long_replay_is_told_to_clients),
        WITH_SERVER(an_empty_start_and_stop_is_quick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
