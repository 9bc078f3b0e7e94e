/* The turn of the reactor, with a dispatch of our own behind it: batches,
 * order, replies that wait for the log, writers held back, calls that are
 * kept.  Clients are ends of socket pairs; each turn is run by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

/* conn.c and turn.c are compiled here once more, against the functions of
 * this file instead of those of cmd/. */
#define dispatch_batch fake_dispatch_batch
#define dispatch_protocol_error fake_protocol_error
#define session_open fake_session_open
#define session_close fake_session_close
#define session_is_authenticated fake_session_is_authenticated

#include "../../src/net/conn.c"
#include "../../src/net/turn.c"
#include "base/buf.h"

#define CLIENTS 8
#define ENOUGH 40 /* turns, though a harsh build reads little in each */

/* What the fake log and server say. */
static struct {
    struct engine engine;
    struct loop *loop;
    int fds[CLIENTS];
    struct conn *conns[CLIENTS];
    lsn settled, next_lsn;
    struct buf wakes; /* lsn of each wake_at() */
    struct buf ran;   /* commands in the order they ran */
    unsigned batches;
    bool is_throttling, is_dead;
    bool keep; /* "keep" blocks */
} t;

static const struct command cmd_write = {.name = "w", .flags = CMD_WRITE};
static const struct command cmd_read = {.name = "r", .flags = CMD_READONLY};

/* --- the commands ----------------------------------------------------------
 */

void
session_open(struct engine *e, struct session *s)
{
    s->magic = SESSION_MAGIC;
    s->engine = e;
    s->resp = 2;
    list_init(&s->room);
    s->id = (uint64_t)(uintptr_t)s;
}

void
session_close(struct session *s)
{
    outq_fini(&s->out);
    s->magic = 0;
}

bool
session_is_authenticated(const struct session *s)
{
    (void)s;
    return true;
}

static void
put(struct session *s, const char *text, struct slice arg)
{
    outq_put(&s->out, text, strlen(text));
    outq_put(&s->out, arg.p, arg.len);
    outq_put(&s->out, "\n", 1);
}

void
dispatch_protocol_error(struct session *s, const char *what)
{
    put(s, "-", slice_str(what));
    s->flags |= SESSION_CLOSE_AFTER_REPLY;
    s->ops->wake(s);
}

/* r X: answers X.  w X: the same, gated by a new LSN.  keep X: blocks while
 * t.keep is set.  quit; kill N: ends client N. */
static enum call_result
run(struct call *c)
{
    struct session *s = c->session;
    struct slice name = c->argv[0], arg = c->argv[c->argc - 1];

    if (s->flags &
        (SESSION_BLOCKED | SESSION_CLOSE_ASAP | SESSION_CLOSE_AFTER_REPLY))
        return CALL_KEPT;
    if (slice_is(name, "keep") && t.keep) {
        s->flags |= SESSION_BLOCKED;
        return CALL_KEPT;
    }
    if (slice_is(name, "w"))
        outq_gate(&s->out, s->out.put, t.next_lsn++);
    if (slice_is(name, "quit")) {
        s->flags |= SESSION_CLOSE_AFTER_REPLY;
        s->ops->close(s);
    }
    if (slice_is(name, "kill")) {
        struct session *victim = &t.conns[arg.p[0] - '0']->session;

        victim->flags |= SESSION_CLOSE_ASAP;
        victim->ops->close(victim);
    }
    s->last_cmd = slice_is(name, "w") ? &cmd_write : &cmd_read;
    buf_put_slice(&t.ran, arg);
    put(s, "+", arg);
    return CALL_DONE;
}

void
dispatch_batch(struct engine *e, struct call *calls, unsigned n)
{
    (void)e;
    assert_true(n > 0 && n <= BATCH_MAX);
    t.batches++;
    for (unsigned i = 0; i < n; i++)
        calls[i].result = run(&calls[i]);
}

/* --- the server ------------------------------------------------------------
 */

static lsn
on_settled(void *arg)
{
    (void)arg;
    return t.settled;
}

static void
on_wake_at(void *arg, lsn at)
{
    (void)arg;
    buf_printf(&t.wakes, "%llu ", (unsigned long long)at);
}

static bool
on_is_throttling(void *arg)
{
    (void)arg;
    return t.is_throttling;
}

static bool
on_is_log_dead(void *arg)
{
    (void)arg;
    return t.is_dead;
}

static int
set_up(void **state)
{
    struct loop_opts opts = {.engine = &t.engine,
                             .settled = on_settled,
                             .wake_at = on_wake_at,
                             .is_throttling = on_is_throttling,
                             .is_log_dead = on_is_log_dead};

    (void)state;
    memset(&t, 0, sizeof t);
    t.engine.magic = ENGINE_MAGIC;
    t.engine.limits.proto_max_bulk = 1 << 20;
    t.engine.limits.query_buffer_limit = 1 << 20;
    t.next_lsn = 100;
    t.settled = 50;
    assert_int_equal(loop_new(&opts, &t.loop), NQ_OK);
    for (int i = 0; i < CLIENTS; i++) {
        int fds[2];

        assert_int_equal(
            socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
        conn_open(t.loop, fds[0], nq_memdup("a\0b", 4), true);
        t.fds[i] = fds[1];
        t.conns[i] = nq_container(t.loop->conns.prev, struct conn, link);
    }
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    loop_free(t.loop);
    for (int i = 0; i < CLIENTS; i++)
        close(t.fds[i]);
    buf_fini(&t.wakes);
    buf_fini(&t.ran);
    return 0;
}

/* --- helpers ---------------------------------------------------------------
 */

static void
turn(void)
{
    ev_run(t.loop->ev, EVRUN_NOWAIT);
}

static void
turns(unsigned n)
{
    while (n-- > 0)
        turn();
}

static void
say(int client, const char *text)
{
    assert_int_equal(send(t.fds[client], text, strlen(text), MSG_NOSIGNAL),
                     strlen(text));
}

/* What `client` has been sent since, lines ended by blanks; "(closed)". */
static void
expect_heard(int client, const char *want)
{
    char got[4096];
    size_t n = 0;
    ssize_t r;

    while ((r = recv(t.fds[client], got + n, sizeof got - 16 - n, 0)) > 0)
        n += (size_t)r;
    for (size_t i = 0; i < n; i++)
        if (got[i] == '\n')
            got[i] = ' ';
    got[n] = '\0';
    if (r == 0)
        memcpy(got + n, "(closed)", sizeof "(closed)");
    assert_string_equal(got, want);
}

static void
expect_ran(const char *want)
{
    buf_put_u8(&t.ran, 0);
    assert_string_equal((char *)t.ran.p, want);
    buf_clear(&t.ran);
}

static void
expect_wakes(const char *want)
{
    buf_put_u8(&t.wakes, 0);
    assert_string_equal((char *)t.wakes.p, want);
    buf_clear(&t.wakes);
}

/* --- batches ---------------------------------------------------------------
 */

static void
requests_of_all_clients_share_a_batch(void **state)
{
    (void)state;
    for (int i = 0; i < CLIENTS; i++)
        say(i, "r 1\r\nr 2\r\n");
    turn();
    assert_int_equal(t.batches, 1);
    for (int i = 0; i < CLIENTS; i++)
        expect_heard(i, "+1 +2 ");
}

static void
clients_take_turns_within_a_batch(void **state)
{
    struct buf many = BUF_INIT;

    (void)state;
    for (int i = 0; i < 100; i++)
        buf_put_str(&many, "r a\n");
    buf_put_u8(&many, 0);
    say(0, (char *)many.p);
    turns(ENOUGH);
    buf_clear(&t.ran);
    say(0, (char *)many.p);
    say(1, "r b\nr b\n");
    turns(ENOUGH);
    buf_put_u8(&t.ran, 0);
    /* Whichever was read first: b is behind one share of a at most. */
    assert_true(strcspn((char *)t.ran.p, "b") <= 16);
    assert_int_equal(t.ran.len, 103);
    buf_fini(&many);
}

static void
parts_of_requests_wait_for_their_rest(void **state)
{
    static const char text[] = "*2\r\n$1\r\nr\r\n$3\r\nabc\r\nr d\r\n";

    (void)state;
    for (size_t i = 0; i + 1 < sizeof text; i++) {
        char byte[2] = {text[i], '\0'};

        say(0, byte);
        turn();
    }
    expect_heard(0, "+abc +d ");
    assert_null(t.conns[0]->in.own);
}

/* --- the log ---------------------------------------------------------------
 */

static void
replies_wait_for_what_they_depend_on(void **state)
{
    (void)state;
    say(0, "r a\nw b\nr c\n");
    turn();
    say(1, "w d\n");
    say(2, "r e\n");
    turn();
    expect_heard(0, "+a ");
    expect_heard(1, "");
    expect_heard(2, "+e ");
    expect_wakes("100 ");
    turns(2);
    expect_wakes("");
    t.settled = 101; /* past 100 */
    turn();
    expect_heard(0, "+b +c ");
    expect_heard(1, "");
    expect_wakes("101 ");
    t.settled = 200;
    turn();
    expect_heard(1, "+d ");
    expect_wakes("");
}

static void
a_dead_log_ends_those_who_wait_for_it(void **state)
{
    (void)state;
    say(0, "w a\n");
    turn();
    t.is_dead = true;
    turn();
    expect_heard(0, "(closed)");
    say(1, "r b\n");
    turn();
    expect_heard(1, "+b ");
}

static void
writers_are_held_back_and_readers_are_not(void **state)
{
    (void)state;
    t.settled = 1000;
    say(0, "w a\n");
    say(1, "r b\n");
    turn();
    expect_ran(t.ran.p[0] == 'a' ? "ab" : "ba");
    t.is_throttling = true;
    say(0, "w c\nr d\n");
    say(1, "r e\n");
    turn();
    expect_ran("e");
    say(0, "w f\n");
    turns(3);
    expect_ran("");
    assert_false(ev_is_active(&t.conns[0]->reader));
    t.is_throttling = false;
    turns(2);
    expect_ran("cdf");
    expect_heard(0, "+a +c +d +f ");
}

/* --- calls that are kept ---------------------------------------------------
 */

static void
resume(int client)
{
    struct session *s = &t.conns[client]->session;

    s->flags &= ~(uint32_t)SESSION_BLOCKED;
    s->ops->resume(s);
}

static void
kept_requests_run_again_in_order(void **state)
{
    (void)state;
    t.keep = true;
    say(0, "r a\nkeep b\nr c\n");
    say(1, "r d\n");
    turn();
    expect_heard(0, "+a ");
    expect_heard(1, "+d ");
    say(0, "r e\n");
    turns(2);
    expect_heard(0, "");
    t.keep = false;
    resume(0);
    turn();
    expect_heard(0, "+b +c +e ");
    assert_int_equal(t.conns[0]->in.len, 0);
}

static void
kept_long_and_quoted_requests_keep_their_arguments(void **state)
{
    struct buf text = BUF_INIT;

    (void)state;
    t.keep = true;
    buf_put_str(&text, "r 0\n*100\r\n$4\r\nkeep\r\n");
    for (int i = 1; i < 100; i++)
        buf_printf(&text, "$4\r\n%04d\r\n", i);
    buf_put_str(&text, "keep \"a \\x62\"\nr z\n");
    buf_put_u8(&text, 0);
    say(0, (char *)text.p);
    turns(ENOUGH);
    expect_heard(0, "+0 ");
    resume(0);
    turn(); /* is kept once more */
    t.keep = false;
    resume(0);
    turns(ENOUGH);
    expect_heard(0, "+0099 +a b +z ");
    buf_fini(&text);
}

static void
a_blocked_client_fills_one_buffer_at_most(void **state)
{
    char junk[4096];
    size_t held;

    (void)state;
    t.keep = true;
    say(0, "keep a\n");
    turn();
    memset(junk, ' ', sizeof junk);
    for (int i = 0; i < 50; i++) {
        (void)!send(t.fds[0], junk, sizeof junk, MSG_NOSIGNAL);
        turn();
    }
    held = t.conns[0]->in.len;
    assert_true(held < 3 * 16384);
    assert_false(ev_is_active(&t.conns[0]->reader));
    t.keep = false;
    resume(0);
    turns(2);
    assert_true(ev_is_active(&t.conns[0]->reader));
    expect_heard(0, "+a ");
}

/* A message to many is spread over turns; who has a command goes first. */
static void
replies_overtake_messages_of_others(void **state)
{
    int more[300][2];
    unsigned written = 0;

    (void)state;
    for (size_t i = 0; i < nq_countof(more); i++) {
        struct session *s;

        assert_int_equal(
            socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, more[i]), 0);
        conn_open(t.loop, more[i][0], nq_memdup("a\0b", 4), true);
        s = &nq_container(t.loop->conns.prev, struct conn, link)->session;
        put(s, "message", slice_lit(""));
        s->ops->wake(s);
    }
    say(0, "r a\n");
    turn();
    expect_heard(0, "+a ");
    for (size_t i = 0; i < nq_countof(more); i++)
        written += recv(more[i][1], &(char){0}, 1, 0) == 1;
    assert_int_equal(written, 200);
    turn();
    for (size_t i = 0; i < nq_countof(more); i++) {
        written += i >= 200 && recv(more[i][1], &(char){0}, 1, 0) == 1;
        close(more[i][1]);
    }
    assert_int_equal(written, 300);
}

/* --- ends ------------------------------------------------------------------
 */

static void
quit_drops_what_is_behind_it(void **state)
{
    (void)state;
    say(0, "w a\nquit b\nr c\n");
    turn();
    expect_heard(0, "");
    t.settled = 1000;
    turn();
    expect_heard(0, "+a +b (closed)");
    expect_ran("ab");
}

static void
a_client_killed_within_a_batch_runs_no_more(void **state)
{
    (void)state;
    say(0, "kill 1\n");
    turn();
    expect_heard(0, "+1 ");
    expect_heard(1, "(closed)");
    say(2, "r a\nkill 2\nr b\n");
    turn();
    expect_heard(2, "(closed)");
    expect_ran("1a2");
}

static void
what_was_asked_before_the_end_is_answered(void **state)
{
    (void)state;
    say(0, "r a\nw b\nr c");
    shutdown(t.fds[0], SHUT_WR);
    turns(3);
    expect_heard(0, "+a ");
    t.settled = 1000;
    turns(2);
    expect_heard(0, "+b (closed)");
}

static void
a_malformed_request_is_answered_in_its_place(void **state)
{
    (void)state;
    say(0, "r a\nw b\n*1\r\n!\r\n");
    turns(2);
    expect_heard(0, "+a ");
    t.settled = 1000;
    turns(2);
    expect_heard(0, "+b -Protocol error: expected '$', got '!' (closed)");
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(requests_of_all_clients_share_a_batch),
        TEST(clients_take_turns_within_a_batch),
        TEST(parts_of_requests_wait_for_their_rest),
        TEST(replies_wait_for_what_they_depend_on),
        TEST(a_dead_log_ends_those_who_wait_for_it),
        TEST(writers_are_held_back_and_readers_are_not),
        TEST(kept_requests_run_again_in_order),
        TEST(kept_long_and_quoted_requests_keep_their_arguments),
        TEST(a_blocked_client_fills_one_buffer_at_most),
        TEST(replies_overtake_messages_of_others),
        TEST(quit_drops_what_is_behind_it),
        TEST(a_client_killed_within_a_batch_runs_no_more),
        TEST(what_was_asked_before_the_end_is_answered),
        TEST(a_malformed_request_is_answered_in_its_place),
    };

    return cmocka_run_group_tests_name("turn", tests, NULL, NULL);
}
