/* Limits of clients: how many, how silent, how far behind, from where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../lib/client.h"

static struct live_server srv;

/* A server with four more arguments at most. */
static void
start(const char *a, const char *b, const char *c, const char *d)
{
    assert_true(live_begin(&srv, a, b, c, d, NULL));
}

static void
stop(void)
{
    assert_int_equal(live_end(&srv), 0);
}

static void
one_client_more_than_allowed_is_refused(void **state)
{
    struct client c[5], more;

    (void)state;
    start("--maxclients", "5", NULL, NULL);
    for (int i = 0; i < 5; i++) {
        client_open(&c[i], &srv);
        client_expect(&c[i], "PING", "+PONG");
    }
    client_open(&more, &srv);
    client_expect_read(&more, "-ERR max number of clients reached");
    client_expect_read(&more, "(closed)");
    client_close(&more);
    assert_int_equal(client_info(&c[0], "stats", "rejected_connections"), 1);
    client_expect(&c[0], "CONFIG SET maxclients 6", "+OK");
    client_open(&more, &srv);
    client_expect(&more, "PING", "+PONG");
    client_close(&more);
    for (int i = 0; i < 5; i++)
        client_close(&c[i]);
    stop();
}

static void
a_silent_client_is_closed_after_the_timeout(void **state)
{
    struct client idle, subscriber, busy;

    (void)state;
    start("--timeout", "1", NULL, NULL);
    client_open(&idle, &srv);
    client_open(&subscriber, &srv);
    client_open(&busy, &srv);
    client_expect(&subscriber, "SUBSCRIBE c", "[\"subscribe\", ...");
    for (int i = 0; i < 12; i++) {
        client_expect(&busy, "PING", "+PONG");
        usleep(200000);
    }
    client_expect_read(&idle, "(closed)");
    client_expect(&subscriber, "PING", "[\"pong\", \"\"]");
    client_close(&idle);
    client_close(&subscriber);
    client_close(&busy);
    stop();
}

static void
a_subscriber_too_far_behind_is_closed(void **state)
{
    static char text[1 << 16];
    struct client sub, pub;
    struct slice publish[] = {slice_lit("PUBLISH"), slice_lit("c"),
                              slice_of(text, sizeof text)};
    bool was_closed = false;

    (void)state;
    start("--client-output-buffer-limit", "pubsub 1mb 512kb 10", NULL, NULL);
    memset(text, 'x', sizeof text);
    client_open(&sub, &srv);
    client_open(&pub, &srv);
    client_expect(&sub, "SUBSCRIBE c", "[\"subscribe\", ...");
    for (int i = 0; i < 400 && !was_closed; i++) {
        client_send_argv(&pub, publish, 3);
        was_closed = strcmp(client_read(&pub), ":0") == 0;
    }
    assert_true(was_closed);
    assert_int_equal(
        client_info(&pub, "stats", "client_output_buffer_limit_disconnections"),
        1);
    client_close(&sub);
    client_close(&pub);
    stop();
}

static void
a_request_over_the_query_limit_closes_its_client(void **state)
{
    static char text[1 << 20];
    struct client c, other;

    (void)state;
    start("--client-query-buffer-limit", "1mb", NULL, NULL);
    client_open(&c, &srv);
    client_open(&other, &srv);
    client_send_raw(&c, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$400000000\r\n", 34);
    for (int i = 0; i < 8; i++)
        client_send_raw(&c, text, sizeof text);
    client_expect_read(&c, "(closed)");
    client_expect(&other, "PING", "+PONG");
    client_close(&c);
    client_close(&other);
    stop();
}

static void
an_argument_over_the_bulk_limit_is_refused(void **state)
{
    struct client c;

    (void)state;
    start("--proto-max-bulk-len", "1mb", NULL, NULL);
    client_open(&c, &srv);
    client_expect(&c, "SETRANGE k 1048576 x",
                  "-ERR string exceeds maximum allowed size "
                  "(proto-max-bulk-len)");
    client_send_raw(&c, "*2\r\n$3\r\nGET\r\n$1048577\r\n", 24);
    client_expect_read(&c, "-ERR Protocol error: invalid bulk length");
    client_close(&c);
    stop();
}

static void
the_unix_socket_serves_with_its_permissions(void **state)
{
    struct client c;
    char path[100];
    struct stat st;

    (void)state;
    snprintf(path, sizeof path, "/tmp/nqdb-test-%d.sock", (int)getpid());
    start("--unixsocket", path, "--unixsocketperm", "700");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    client_open_unix(&c, path);
    client_expect(&c, "SET k v", "+OK");
    client_expect(&c, "GET k", "\"v\"");
    client_expect(&c, "CLIENT INFO", "\"id=...");
    client_close(&c);
    stop();
    assert_int_not_equal(stat(path, &st), 0);
}

static void
without_the_password_nothing_is_answered(void **state)
{
    struct client c;
    struct live_server probe;

    (void)state;
    /* live_start() pings without a password: set it afterwards. */
    start(NULL, NULL, NULL, NULL);
    probe = srv;
    client_open(&c, &srv);
    client_expect(&c, "CONFIG SET requirepass secret", "+OK");
    client_close(&c);
    client_open(&c, &probe);
    client_expect(&c, "GET k", "-NOAUTH Authentication required.");
    client_expect(&c, "HELLO 3",
                  "-NOAUTH HELLO must be called with the client already "
                  "authenticated...");
    client_expect(&c, "AUTH x",
                  "-WRONGPASS invalid username-password pair or "
                  "user is disabled.");
    client_expect(&c, "AUTH default secret", "+OK");
    client_expect(&c, "GET k", "(nil)");
    client_expect(&c, "HELLO 3 AUTH default secret", "{\"server\"...");
    client_close(&c);
    client_open(&c, &srv);
    client_send_raw(&c, "*100\r\n", 6);
    client_expect_read(&c,
                       "-ERR Protocol error: unauthenticated multibulk length");
    client_close(&c);
    stop();
}

/* An address of this machine that is not loopback; 0: there is none. */
static uint32_t
outer_address(void)
{
    struct ifaddrs *list, *i;
    uint32_t found = 0;

    if (getifaddrs(&list) != 0)
        return 0;
    for (i = list; i != NULL; i = i->ifa_next) {
        struct sockaddr_in a;

        if (i->ifa_addr == NULL || i->ifa_addr->sa_family != AF_INET)
            continue;
        memcpy(&a, i->ifa_addr, sizeof a);
        if (ntohl(a.sin_addr.s_addr) >> 24 != 127)
            found = a.sin_addr.s_addr;
    }
    freeifaddrs(list);
    return found;
}

static void
protected_mode_answers_this_machine_only(void **state)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    struct client c, local;

    (void)state;
    a.sin_addr.s_addr = outer_address();
    if (a.sin_addr.s_addr == 0) {
        puts("SKIP protected mode: no address but loopback here");
        return;
    }
    start("--bind", "0.0.0.0", NULL, NULL);
    a.sin_port = htons((uint16_t)srv.port);
    assert_true(client_try_open(&c, srv.port)); /* for its buffers */
    close(c.fd);
    c.fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(c.fd, (struct sockaddr *)&a, sizeof a), 0);
    client_expect_read(&c, "-DENIED ...");
    client_expect_read(&c, "(closed)");
    client_close(&c);
    client_open(&local, &srv);
    client_expect(&local, "CONFIG SET protected-mode no", "+OK");
    client_close(&local);
    stop();
}

/* 500 idle clients; the bar of 20 KB for each leaves room. */
static void
idle_clients_cost_little_memory(void **state)
{
    static struct client many[500];
    struct client c;
    long long before, after;

    (void)state;
    start(NULL, NULL, NULL, NULL);
    client_open(&c, &srv);
    before = client_info(&c, "memory", "used_memory_rss");
    for (int i = 0; i < 500; i++) {
        client_open(&many[i], &srv);
        client_expect(&many[i], "PING", "+PONG");
    }
    after = client_info(&c, "memory", "used_memory_rss");
    assert_int_equal(client_info(&c, "clients", "connected_clients"), 501);
    print_message("%lld bytes for an idle client\n", (after - before) / 500);
    assert_true((after - before) / 500 < 20000);
    for (int i = 0; i < 500; i++)
        client_close(&many[i]);
    client_close(&c);
    stop();
}

/* A hash of 60 values of 1 MB. */
static void
put_big_hash(struct client *c)
{
    static char value[1 << 20], field[16];

    memset(value, 'x', sizeof value);
    for (int i = 0; i < 60; i++) {
        int n = snprintf(field, sizeof field, "f%02d", i);
        struct slice argv[] = {slice_lit("HSET"), slice_lit("h"),
                               slice_of(field, (size_t)n),
                               slice_of(value, sizeof value)};

        client_send_argv(c, argv, 4);
        client_expect_read(c, ":1");
    }
}

/* Its answer is as of one moment, so it stands in the way of a writer; then
 * its output may grow. */
static void
a_client_that_does_not_read_holds_no_writer_up(void **state)
{
    struct client c, slow;

    (void)state;
    start(NULL, NULL, NULL, NULL);
    client_open(&c, &srv);
    client_open(&slow, &srv);
    put_big_hash(&c);
    client_send(&slow, "HGETALL h");
    usleep(300000);
    client_expect(&c, "HSET h f00 new", ":0");
    client_expect(&c, "HGET h f00", "\"new\"");
    assert_memory_equal(client_read(&slow), "[\"f00\", \"xxx", 12);
    client_expect(&slow, "HGET h f00", "\"new\"");
    client_close(&slow);
    client_close(&c);
    stop();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_client_more_than_allowed_is_refused),
        cmocka_unit_test(a_silent_client_is_closed_after_the_timeout),
        cmocka_unit_test(a_subscriber_too_far_behind_is_closed),
        cmocka_unit_test(a_request_over_the_query_limit_closes_its_client),
        cmocka_unit_test(an_argument_over_the_bulk_limit_is_refused),
        cmocka_unit_test(the_unix_socket_serves_with_its_permissions),
        cmocka_unit_test(without_the_password_nothing_is_answered),
        cmocka_unit_test(protected_mode_answers_this_machine_only),
        cmocka_unit_test(idle_clients_cost_little_memory),
        cmocka_unit_test(a_client_that_does_not_read_holds_no_writer_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
