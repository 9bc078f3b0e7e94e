/* Push clients: heartbeats, silence, the rate of their commands, how many
 * there may be; by a clock of the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../lib/engine_env.h"
#include "base/check.h"
#include "cmd/push.h"
#include "os/clock.h"

static struct engine_env env;
static uint64_t now_ms;

static int
set_up(void **state)
{
    (void)state;
    engine_env_init(&env, 8 << 20);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    engine_env_fini(&env);
    return 0;
}

/* --- a client whose side takes what the test says --------------------------
 */

static uint64_t untaken_bytes;

static uint64_t
on_untaken(const struct session *s)
{
    (void)s;
    return untaken_bytes;
}

static struct session_ops ops;

static void
open_client(struct fake_client *c)
{
    env.e->limits.push = (struct push_limits){
        .has_heartbeat = true, .interval_ms = 1000, .timeout_ms = 3000};
    fake_open(&env, c);
    ops = *c->s.ops;
    ops.untaken = on_untaken;
    c->s.ops = &ops;
    untaken_bytes = 0;
    now_ms = env.e->now_ms = clock_wall_ms();
}

static void
pass(uint64_t ms)
{
    for (; ms > 0; ms -= 100) {
        now_ms += 100;
        env.e->now_ms = now_ms;
        push_cron(env.e);
    }
}

static unsigned
heartbeats_in(const char *text)
{
    unsigned n = 0;

    for (; (text = strstr(text, "|$7|message|$13|__heartbeat__|")) != NULL;
         text++)
        n++;
    return n;
}

/* --- heartbeats ------------------------------------------------------------
 */

static void
only_push_clients_get_heartbeats(void **state)
{
    struct fake_client c, subscriber;

    (void)state;
    open_client(&c);
    fake_open(&env, &subscriber);
    fake_ask(&subscriber, "subscribe a");
    assert_true(push_enter(&c.s));
    now_ms = env.e->now_ms;
    pass(5000);
    assert_int_equal(heartbeats_in(fake_read(&c)), 1); /* then it owes */
    pass(5000);
    assert_int_equal(heartbeats_in(fake_read(&c)), 1);
    assert_string_equal(fake_read(&subscriber), "");
    push_leave(&c.s);
    assert_null(c.s.push);
    pass(5000);
    assert_string_equal(fake_read(&c), "");
    assert_false(c.is_closed || subscriber.is_closed);
    fake_close(&subscriber);
    fake_close(&c);
}

static void
other_messages_serve_as_heartbeats(void **state)
{
    struct fake_client c, p;

    (void)state;
    open_client(&c);
    fake_open(&env, &p);
    fake_ask(&c, "subscribe a");
    assert_true(push_enter(&c.s));
    for (int i = 0; i < 10; i++) {
        fake_ask(&p, "publish a x");
        pass(900);
        assert_int_equal(heartbeats_in(fake_read(&c)), 0);
    }
    push_leave(&c.s);
    fake_close(&p);
    fake_close(&c);
}

static void
taking_what_is_sent_is_life_enough(void **state)
{
    struct fake_client c;

    (void)state;
    open_client(&c);
    assert_true(push_enter(&c.s));
    for (int i = 0; i < 20; i++) {
        pass(1000);
        fake_read(&c);
    }
    assert_false(c.is_closed);
    pass(1000);
    fake_read(&c);
    untaken_bytes = 10; /* the other side is gone */
    pass(2500);
    assert_false(c.is_closed);
    pass(1000);
    assert_true(c.is_closed);
    push_leave(&c.s);
    fake_close(&c);
}

static void
who_promised_to_answer_has_to(void **state)
{
    struct fake_client c;

    (void)state;
    open_client(&c);
    fake_ask(&c, "hello 3");
    fake_expect(&c, "nq.heartbeat on", "+OK|");
    fake_expect(&c, "nq.heartbeat", "$2|on|");
    now_ms = env.e->now_ms;
    for (int i = 0; i < 5; i++) {
        pass(1000);
        assert_int_equal(heartbeats_in(fake_read(&c)), 1);
        c.s.active_ms = now_ms; /* PING */
    }
    pass(2500);
    fake_read(&c);
    assert_false(c.is_closed);
    pass(1000);
    assert_true(c.is_closed);
    fake_close(&c);
    assert_int_equal(env.e->push_clients, 0);
}

static void
heartbeats_can_be_declined(void **state)
{
    struct fake_client c;

    (void)state;
    open_client(&c);
    fake_expect(&c, "nq.heartbeat off", "+OK|");
    assert_true(push_enter(&c.s));
    now_ms = env.e->now_ms;
    untaken_bytes = 10;
    pass(20000);
    assert_string_equal(fake_read(&c), "");
    assert_false(c.is_closed);
    fake_expect(&c, "nq.heartbeat maybe", "-ERR syntax error|");
    fake_expect(&c, "nq.heartbeat auto", "+OK|");
    fake_expect(&c, "nq.heartbeat", "$4|auto|");
    push_leave(&c.s);
    assert_null(c.s.push);
    fake_close(&c);
}

static void
a_client_in_resp2_that_expects_replies_gets_none(void **state)
{
    struct fake_client c;

    (void)state;
    open_client(&c);
    fake_expect(&c, "nq.heartbeat on", "+OK|");
    now_ms = env.e->now_ms;
    pass(2500);
    assert_string_equal(fake_read(&c), "");
    fake_expect(&c, "reset", "+RESET|");
    assert_null(c.s.push);
    fake_close(&c);
}

static void
idle_clients_end_when_nothing_moves(void **state)
{
    struct fake_client c;

    (void)state;
    open_client(&c);
    env.e->limits.push.has_heartbeat = false;
    env.e->limits.push.idle_ms = 5000;
    assert_true(push_enter(&c.s));
    pass(4000);
    c.s.active_ms = now_ms;
    pass(4500);
    assert_false(c.is_closed);
    pass(1000);
    assert_true(c.is_closed);
    push_leave(&c.s);
    fake_close(&c);
}

/* --- limits ----------------------------------------------------------------
 */

static void
commands_of_a_push_client_have_a_rate(void **state)
{
    struct fake_client c, plain;
    unsigned refused = 0;

    (void)state;
    open_client(&c);
    fake_open(&env, &plain);
    env.e->limits.push.rate = 10;
    assert_true(push_enter(&c.s));
    for (int i = 0; i < 10; i++)
        fake_expect(&c, "get k", "$-1|");
    for (int i = 0; i < 100; i++) {
        refused += strncmp(fake_ask(&c, "get k"), "-RATELIMIT ", 11) == 0;
        fake_expect(&plain, "get k", "$-1|");
        fake_expect(&c, "ping", "+PONG|");
    }
    assert_true(refused >= 80); /* some milliseconds passed */
    assert_int_equal(env.e->stats.rate_limited, refused);
    env.e->limits.push.rate = 0;
    fake_expect(&c, "get k", "$-1|");
    push_leave(&c.s);
    fake_close(&plain);
    fake_close(&c);
}

static void
a_command_in_slices_counts_once(void **state)
{
    enum { KEYS = 8000 };
    struct fake_client c;
    char line[64];

    (void)state;
    open_client(&c);
    for (int i = 0; i < KEYS; i++) {
        snprintf(line, sizeof line, "set key:%06d value", i);
        fake_ask(&c, line);
    }
    env.e->limits.push.rate = 1;
    assert_true(push_enter(&c.s));
    assert_true(fake_ask(&c, "nq.range - +")[0] == '*');
    env.e->limits.push.rate = 0;
    push_leave(&c.s);
    fake_ask(&c, "flushall");
    fake_close(&c);
}

static void
there_is_a_most_of_push_clients(void **state)
{
    struct fake_client a, b;

    (void)state;
    open_client(&a);
    fake_open(&env, &b);
    env.e->limits.push.most = 1;
    assert_true(push_enter(&a.s));
    assert_true(push_enter(&a.s));
    assert_false(push_enter(&b.s));
    assert_null(b.s.push);
    fake_expect(&b, "nq.heartbeat on",
                "-ERR max number of push clients reached|");
    push_leave(&a.s);
    assert_false(push_enter(&b.s));
    push_leave(&a.s);
    assert_true(push_enter(&b.s));
    push_leave(&b.s);
    env.e->limits.push.most = 0;
    fake_close(&a);
    fake_close(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_push_clients_get_heartbeats),
        cmocka_unit_test(other_messages_serve_as_heartbeats),
        cmocka_unit_test(taking_what_is_sent_is_life_enough),
        cmocka_unit_test(who_promised_to_answer_has_to),
        cmocka_unit_test(heartbeats_can_be_declined),
        cmocka_unit_test(a_client_in_resp2_that_expects_replies_gets_none),
        cmocka_unit_test(idle_clients_end_when_nothing_moves),
        cmocka_unit_test(commands_of_a_push_client_have_a_rate),
        cmocka_unit_test(a_command_in_slices_counts_once),
        cmocka_unit_test(there_is_a_most_of_push_clients),
    };

    return cmocka_run_group_tests_name("push", tests, set_up, tear_down);
}
