/* Connections: who gets in, who is let go, and that no client's manners cost
 * the others anything.  Writes are synced before they are answered, so that
 * replies wait for the log all along. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../lib/client.h"
#include "base/check.h"
#include "base/mem.h"
#include "os/clock.h"

static struct live_server srv;
static char unix_path[80];

static int
start(void **state)
{
    (void)state;
    live_init(&srv);
    snprintf(unix_path, sizeof unix_path, "%s.sock", srv.dir);
    srv.options[0] = "--maxmemory";
    srv.options[1] = "64mb";
    srv.options[2] = "--appendfsync";
    srv.options[3] = "always";
    srv.options[4] = "--unixsocket";
    srv.options[5] = unix_path;
    srv.options[6] = "--unixsocketperm";
    srv.options[7] = "700";
    return live_start(&srv) ? 0 : -1;
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

/* Whether connected_clients becomes `n` within 5 s. */
static bool
clients_become(struct client *c, long long n)
{
    for (int i = 0; i < 100; i++) {
        if (client_info(c, "clients", "connected_clients") == n)
            return true;
        usleep(50000);
    }
    return false;
}

static uint64_t
server_cpu_ms(void)
{
    char path[64], text[512];
    unsigned long user = 0, sys = 0;
    const char *at;
    FILE *f;
    size_t n;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)srv.pid);
    f = fopen(path, "r");
    assert_non_null(f);
    n = fread(text, 1, sizeof text - 1, f);
    text[n] = '\0';
    fclose(f);
    at = strrchr(text, ')');
    assert_non_null(at);
    assert_int_equal(sscanf(at + 2,
                            "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u "
                            "%lu %lu",
                            &user, &sys),
                     2);
    return (user + sys) * 10;
}

/* --- who gets in -----------------------------------------------------------
 */

static void
one_over_maxclients_is_refused(void **state)
{
    struct client c, one, two;

    (void)state;
    client_open(&c, &srv);
    assert_true(clients_become(&c, 1));
    client_expect(&c, "CONFIG SET maxclients 2", "+OK");
    client_open(&one, &srv);
    client_expect(&one, "PING", "+PONG");
    client_open(&two, &srv);
    client_expect_read(&two, "-ERR max number of clients reached");
    client_expect_read(&two, "(closed)");
    client_close(&two);
    client_expect(&c, "CONFIG SET maxclients 10000", "+OK");
    client_open(&two, &srv);
    client_expect(&two, "PING", "+PONG");
    client_close(&one);
    client_close(&two);
    client_close(&c);
}

static void
the_unix_socket_has_its_permission(void **state)
{
    struct client c;
    struct stat st;

    (void)state;
    assert_int_equal(stat(unix_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    client_open_unix(&c, unix_path);
    client_expect(&c, "PING", "+PONG");
    assert_non_null(strstr(client_ask(&c, "CLIENT INFO"), " flags=U "));
    client_close(&c);
}

/* New clients wait until there are descriptors again; nothing spins. */
static void
without_descriptors_new_clients_wait(void **state)
{
    struct rlimit few = {64, 0}, was;
    struct client watcher, c[80];
    uint64_t cpu_ms;

    (void)state;
    client_open(&watcher, &srv);
    assert_int_equal(prlimit(srv.pid, RLIMIT_NOFILE, NULL, &was), 0);
    few.rlim_max = was.rlim_max;
    assert_int_equal(prlimit(srv.pid, RLIMIT_NOFILE, &few, NULL), 0);
    for (size_t i = 0; i < nq_countof(c); i++)
        client_open(&c[i], &srv);
    client_expect(&watcher, "PING", "+PONG");
    cpu_ms = server_cpu_ms();
    usleep(500000);
    assert_true(server_cpu_ms() - cpu_ms < 200);
    assert_int_equal(prlimit(srv.pid, RLIMIT_NOFILE, &was, NULL), 0);
    client_expect(&c[nq_countof(c) - 1], "PING", "+PONG");
    for (size_t i = 0; i < nq_countof(c); i++)
        client_close(&c[i]);
    assert_true(clients_become(&watcher, 1));
    client_close(&watcher);
}

/* --- what comes back -------------------------------------------------------
 */

static void
pipelines_of_many_clients_keep_their_order(void **state)
{
    enum { CLIENTS = 30, REQUESTS = 300 };
    struct client c[CLIENTS];
    char line[128], want[64];

    (void)state;
    for (int i = 0; i < CLIENTS; i++)
        client_open(&c[i], &srv);
    for (int i = 0; i < CLIENTS; i++) {
        for (int n = 0; n < REQUESTS; n++) {
            snprintf(line, sizeof line, "SET o:%d:%d %d\r\nGET o:%d:%d\r\n", i,
                     n, n, i, n);
            send_text(&c[i], line);
        }
    }
    for (int i = 0; i < CLIENTS; i++) {
        for (int n = 0; n < REQUESTS; n++) {
            snprintf(want, sizeof want, "\"%d\"", n);
            client_expect_read(&c[i], "+OK");
            client_expect_read(&c[i], want);
        }
        client_close(&c[i]);
    }
}

static void
a_client_that_ended_its_side_is_still_answered(void **state)
{
    struct client c;

    (void)state;
    client_open(&c, &srv);
    send_text(&c, "SET half closed\r\nGET half\r\nPI");
    shutdown(c.fd, SHUT_WR);
    client_expect_read(&c, "+OK");
    client_expect_read(&c, "\"closed\"");
    client_expect_read(&c, "(closed)");
    client_close(&c);
}

static void
quit_is_answered_then_closed(void **state)
{
    struct client c;

    (void)state;
    client_open(&c, &srv);
    send_text(&c, "SET k v\r\nQUIT\r\nSET k not\r\n");
    client_expect_read(&c, "+OK");
    client_expect_read(&c, "+OK");
    client_expect_read(&c, "(closed)");
    client_close(&c);
    client_open(&c, &srv);
    client_expect(&c, "GET k", "\"v\"");
    client_close(&c);
}

static void
a_big_value_arrives_in_parts(void **state)
{
    enum { BYTES = 8 << 20, PART = 60000 };
    uint8_t *value = nq_malloc(BYTES);
    struct client c;

    (void)state;
    for (size_t i = 0; i < BYTES; i++)
        value[i] = (uint8_t)(i * 7 + i / 1000);
    client_open(&c, &srv);
    send_text(&c, "*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$8388608\r\n");
    for (size_t at = 0; at < BYTES; at += PART)
        client_send_raw(&c, value + at, nq_min(PART, BYTES - at));
    send_text(&c, "\r\nSTRLEN big\r\n");
    client_expect_read(&c, "+OK");
    client_expect_read(&c, ":8388608");
    send_text(&c, "GETRANGE big 7000000 7000000\r\n");
    assert_true(strlen(client_read(&c)) >= 3);
    client_close(&c);
    nq_free(value);
}

/* Many arguments in one request, which keep their place between reads. */
static void
a_request_of_many_arguments_arrives_in_parts(void **state)
{
    enum { PAIRS = 5000 };
    struct buf text = BUF_INIT;
    struct client c;

    (void)state;
    buf_printf(&text, "*%d\r\n$4\r\nMSET\r\n", 2 * PAIRS + 1);
    for (int i = 0; i < PAIRS; i++)
        buf_printf(&text, "$8\r\nm:%06d\r\n$6\r\n%06d\r\n", i, i);
    client_open(&c, &srv);
    for (size_t at = 0; at < text.len; at += 7777)
        client_send_raw(&c, text.p + at, nq_min((size_t)7777, text.len - at));
    client_expect_read(&c, "+OK");
    client_expect(&c, "GET m:004999", "\"004999\"");
    client_close(&c);
    buf_fini(&text);
}

/* --- who is let go ---------------------------------------------------------
 */

static void
a_client_that_hangs_up_while_it_waits_is_noticed(void **state)
{
    struct client watcher, c;

    (void)state;
    client_open(&watcher, &srv);
    client_open(&c, &srv);
    send_text(&c, "WAIT 1 0\r\nPING\r\n");
    assert_true(clients_become(&watcher, 2));
    client_close(&c);
    assert_true(clients_become(&watcher, 1));
    client_close(&watcher);
}

static void
idle_clients_are_closed_but_not_subscribers(void **state)
{
    struct client watcher, idle, subscriber;

    (void)state;
    client_open(&watcher, &srv);
    client_open(&idle, &srv);
    client_open(&subscriber, &srv);
    client_expect(&subscriber, "SUBSCRIBE x", "[\"subscribe\", \"x\", :1]");
    client_expect(&watcher, "CONFIG SET timeout 1", "+OK");
    assert_true(clients_become(&watcher, 2));
    client_expect_read(&idle, "(closed)");
    client_expect(&watcher, "CONFIG SET timeout 0", "+OK");
    client_expect(&watcher, "PUBLISH x y", ":1");
    client_close(&idle);
    client_close(&subscriber);
    client_close(&watcher);
}

static void
a_subscriber_that_never_reads_is_closed_at_its_limit(void **state)
{
    enum { BYTES = 200000, MOST = 2000 };
    struct client publisher, reader, sleeper;
    uint8_t *message = nq_malloc(BYTES);
    struct slice argv[] = {slice_lit("PUBLISH"), slice_lit("flood"),
                           slice_of(message, BYTES)};
    int sent = 0;

    (void)state;
    memset(message, 'm', BYTES);
    client_open(&publisher, &srv);
    client_open(&reader, &srv);
    client_open(&sleeper, &srv);
    client_expect(&publisher,
                  "CONFIG SET client-output-buffer-limit \"pubsub 2mb 0 0\"",
                  "+OK");
    client_expect(&sleeper, "SUBSCRIBE flood", "[...");
    client_expect(&reader, "SUBSCRIBE flood", "[...");
    do {
        client_send_argv(&publisher, argv, nq_countof(argv));
        assert_true(strlen(client_read(&reader)) > BYTES);
        sent++;
    } while (strcmp(client_read(&publisher), ":2") == 0 && sent < MOST);
    assert_true(sent < MOST);
    client_expect(&publisher, "PUBLISH flood x", ":1");
    client_expect_read(&reader, "[\"message\", \"flood\", \"x\"]");
    client_close(&sleeper);
    client_close(&reader);
    client_close(&publisher);
    nq_free(message);
}

static void
a_request_over_the_query_limit_ends_its_client(void **state)
{
    enum { BYTES = 2 << 20 };
    uint8_t *junk = nq_malloc(BYTES);
    struct client c, other;
    struct pollfd p;

    (void)state;
    memset(junk, 'q', BYTES);
    client_open(&other, &srv);
    client_expect(&other, "CONFIG SET client-query-buffer-limit 1mb", "+OK");
    client_open(&c, &srv);
    send_text(&c, "*2\r\n$4\r\nECHO\r\n$2097152\r\n");
    send(c.fd, junk, BYTES, MSG_NOSIGNAL | MSG_DONTWAIT);
    p = (struct pollfd){.fd = c.fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 5000), 1);
    client_expect(&other, "CONFIG SET client-query-buffer-limit 1gb", "+OK");
    client_close(&c);
    client_close(&other);
    nq_free(junk);
}

/* --- what it costs ---------------------------------------------------------
 */

static void
an_idle_connection_costs_little(void **state)
{
    enum { CLIENTS = 500 };
    static struct client c[CLIENTS];
    struct client watcher;
    long long before, after;
    uint64_t cpu_ms;

    (void)state;
    client_open(&watcher, &srv);
    for (int i = 0; i < CLIENTS; i++)
        client_open(&c[i], &srv);
    for (int i = 0; i < CLIENTS; i++)
        client_expect(&c[i], "PING", "+PONG");
    after = client_info(&watcher, "memory", "used_memory");
    cpu_ms = server_cpu_ms();
    usleep(500000);
    assert_true(server_cpu_ms() - cpu_ms < 100);
    for (int i = 0; i < CLIENTS; i++)
        client_close(&c[i]);
    assert_true(clients_become(&watcher, 1));
    before = client_info(&watcher, "memory", "used_memory");
    assert_true((after - before) / CLIENTS < 2048);
    client_close(&watcher);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_over_maxclients_is_refused),
        cmocka_unit_test(the_unix_socket_has_its_permission),
        cmocka_unit_test(without_descriptors_new_clients_wait),
        cmocka_unit_test(pipelines_of_many_clients_keep_their_order),
        cmocka_unit_test(a_client_that_ended_its_side_is_still_answered),
        cmocka_unit_test(quit_is_answered_then_closed),
        cmocka_unit_test(a_big_value_arrives_in_parts),
        cmocka_unit_test(a_request_of_many_arguments_arrives_in_parts),
        cmocka_unit_test(a_client_that_hangs_up_while_it_waits_is_noticed),
        cmocka_unit_test(idle_clients_are_closed_but_not_subscribers),
        cmocka_unit_test(a_subscriber_that_never_reads_is_closed_at_its_limit),
        cmocka_unit_test(a_request_over_the_query_limit_ends_its_client),
        cmocka_unit_test(an_idle_connection_costs_little),
    };

    return cmocka_run_group_tests_name("net", tests, start, stop);
}
