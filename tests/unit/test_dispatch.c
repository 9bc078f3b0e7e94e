/* Gates, transactions, parking and what a GET costs, without sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "../lib/engine_env.h"
#include "base/mem.h"
#include "os/clock.h"
#include "store/frames.h"
#include "store/store.h"

#define POOL (4u << 20)

static void
unknown_commands_are_named_with_their_arguments(void **state)
{
    struct engine_env env;
    struct fake_client c;

    (void)state;
    engine_env_init(&env, POOL);
    fake_open(&env, &c);
    fake_expect(&c, "foo a b",
                "-ERR unknown command 'foo', with args beginning with: "
                "'a' 'b' |");
    fake_expect(&c, "foo",
                "-ERR unknown command 'foo', with args beginning "
                "with: |");
    fake_expect(&c, "memory foo",
                "-ERR unknown subcommand 'foo'. Try MEMORY HELP.|");
    fake_expect(&c, "memory",
                "-ERR wrong number of arguments for 'memory' command|");
    fake_expect(&c, "memory usage",
                "-ERR wrong number of arguments for 'memory|usage' command|");
    fake_expect(&c, "ECHO",
                "-ERR wrong number of arguments for 'echo' "
                "command|");
    fake_expect(&c, "eChO a", "$1|a|");
    fake_close(&c);
    engine_env_fini(&env);
}

static void
a_password_shuts_out_all_but_a_few_commands(void **state)
{
    struct engine_env env;
    struct fake_client c;

    (void)state;
    engine_env_init(&env, POOL);
    env.e->limits.requirepass = nq_strdup("secret");
    fake_open(&env, &c);
    fake_expect(&c, "ping", "-NOAUTH Authentication required.|");
    fake_expect(&c, "auth wrong",
                "-WRONGPASS invalid username-password pair "
                "or user is disabled.|");
    fake_expect(&c, "auth secretsecret",
                "-WRONGPASS invalid username-password pair or user is "
                "disabled.|");
    fake_expect(&c, "auth nobody secret",
                "-WRONGPASS invalid username-password pair or user is "
                "disabled.|");
    assert_non_null(strstr(fake_ask(&c, "hello 3"), "-NOAUTH HELLO must be"));
    fake_expect(&c, "auth default secret", "+OK|");
    fake_expect(&c, "ping", "+PONG|");
    fake_expect(&c, "reset", "+RESET|");
    fake_expect(&c, "ping", "-NOAUTH Authentication required.|");
    assert_non_null(strstr(fake_ask(&c, "hello 3 auth default secret"), "%7|"));
    assert_int_equal(c.s.resp, 3);
    fake_close(&c);
    engine_env_fini(&env);
}

static void
loading_lets_only_marked_commands_through(void **state)
{
    struct engine_env env;
    struct fake_client c;

    (void)state;
    engine_env_init(&env, POOL);
    env.e->is_loading = true;
    fake_open(&env, &c);
    fake_expect(&c, "exists a",
                "-LOADING nqdb is loading the dataset in memory|");
    fake_expect(&c, "echo a", "$1|a|");
    env.e->is_loading = false;
    fake_expect(&c, "exists a", ":0|");
    fake_close(&c);
    engine_env_fini(&env);
}

static void
quit_answers_and_closes(void **state)
{
    struct engine_env env;
    struct fake_client c;
    struct fake_client *both[2] = {&c, &c};

    (void)state;
    engine_env_init(&env, POOL);
    fake_open(&env, &c);
    fake_batch(both, (const char *const[]){"quit", "echo no"}, 2);
    assert_string_equal(fake_read(&c), "+OK|");
    assert_true(c.is_closed);
    assert_int_equal(c.nkept, 1);
    fake_close(&c);
    engine_env_fini(&env);
}

static void
a_pause_keeps_commands_and_loses_none(void **state)
{
    struct engine_env env;
    struct fake_client a, b;
    struct fake_client *both[3] = {&a, &a, &b};

    (void)state;
    engine_env_init(&env, POOL);
    fake_open(&env, &a);
    fake_open(&env, &b);
    engine_pause(env.e, 60000, false);
    fake_batch(both, (const char *const[]){"echo 1", "echo 2", "echo 3"}, 3);
    engine_env_turn(&env);
    assert_string_equal(fake_read(&a), "");
    engine_unpause(env.e);
    engine_env_turn(&env);
    assert_string_equal(fake_read(&a), "$1|1|$1|2|");
    assert_string_equal(fake_read(&b), "$1|3|");

    engine_pause(env.e, 60000, true);
    fake_expect(&a, "exists k", ":0|");
    fake_send(&b, "del k");
    fake_close(&b); /* while it waits */
    engine_unpause(env.e);
    fake_close(&a);
    engine_env_fini(&env);
}

static void
replies_can_be_switched_off(void **state)
{
    struct engine_env env;
    struct fake_client c;

    (void)state;
    engine_env_init(&env, POOL);
    fake_open(&env, &c);
    c.s.flags |= SESSION_REPLY_OFF;
    fake_expect(&c, "echo a", "");
    fake_expect(&c, "nonsense", "");
    c.s.flags &= ~(uint32_t)SESSION_REPLY_OFF;
    c.s.flags |= SESSION_REPLY_SKIP_NEXT; /* as CLIENT REPLY SKIP does */
    fake_expect(&c, "echo shown", "$5|shown|");
    fake_expect(&c, "echo skipped", "");
    fake_expect(&c, "echo a", "$1|a|");
    fake_close(&c);
    engine_env_fini(&env);
}

static void
slow_commands_are_logged_with_cut_arguments(void **state)
{
    struct engine_env env;
    struct fake_client c;
    char line[400];

    (void)state;
    engine_env_init(&env, POOL);
    fake_open(&env, &c);
    env.e->limits.slowlog_us = 0;
    snprintf(line, sizeof line, "echo %0300d", 7);
    (void)fake_ask(&c, line);
    assert_non_null(
        strstr(fake_ask(&c, "slowlog get 1"), "... (172 more bytes)|"));
    fake_expect(&c, "slowlog get -2",
                "-ERR count should be greater than or equal to -1|");
    fake_expect(&c, "slowlog len", ":3|");
    env.e->limits.slowlog_us = -1;
    fake_expect(&c, "slowlog reset", "+OK|");
    fake_expect(&c, "slowlog len", ":0|");
    fake_close(&c);
    engine_env_fini(&env);
}

static void
debug_sleep_holds_only_its_own_client(void **state)
{
    struct engine_env env;
    struct fake_client a, b;
    uint64_t begin;

    (void)state;
    engine_env_init(&env, POOL);
    env.e->limits.enable_debug = true;
    fake_open(&env, &a);
    fake_open(&env, &b);
    begin = clock_mono_us();
    fake_send(&a, "debug sleep 0.2");
    fake_expect(&b, "ping", "+PONG|");
    assert_true(a.s.flags & SESSION_BLOCKED);
    assert_true(engine_next_due_ms(env.e) >= 0);
    fake_expect(&a, "echo after", "+OK|$5|after|");
    assert_true(clock_mono_us() - begin >= 200000);
    fake_close(&a);
    fake_close(&b);
    engine_env_fini(&env);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_commands_are_named_with_their_arguments),
        cmocka_unit_test(a_password_shuts_out_all_but_a_few_commands),
        cmocka_unit_test(loading_lets_only_marked_commands_through),
        cmocka_unit_test(quit_answers_and_closes),
        cmocka_unit_test(a_pause_keeps_commands_and_loses_none),
        cmocka_unit_test(replies_can_be_switched_off),
        cmocka_unit_test(slow_commands_are_logged_with_cut_arguments),
        cmocka_unit_test(debug_sleep_holds_only_its_own_client),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
