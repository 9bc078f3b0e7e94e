/* MULTI, EXEC, DISCARD and WATCH, without sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "../lib/engine_env.h"
#include "cmd/multi.h"
#include "os/clock.h"

#define POOL (4u << 20)
#define ABORTED "-EXECABORT Transaction discarded because of previous errors.|"

struct two {
    struct engine_env env;
    struct fake_client a, b;
};

static void
open_two(struct two *t)
{
    engine_env_init(&t->env, POOL);
    fake_open(&t->env, &t->a);
    fake_open(&t->env, &t->b);
}

static void
close_two(struct two *t)
{
    fake_close(&t->a);
    fake_close(&t->b);
    assert_int_equal(t->env.e->transactions, 0);
    engine_env_fini(&t->env);
}

static void
queued_commands_run_at_exec_in_order(void **state)
{
    struct two t;

    (void)state;
    open_two(&t);
    fake_expect(&t.a, "multi", "+OK|");
    fake_expect(&t.a, "set k 1", "+QUEUED|");
    fake_expect(&t.a, "incr k", "+QUEUED|");
    fake_expect(&t.b, "get k", "$-1|");
    fake_expect(&t.a, "get k", "+QUEUED|");
    fake_expect(&t.a, "exec", "*3|+OK|:2|$1|2|");
    fake_expect(&t.a, "exec", "-ERR EXEC without MULTI|");
    fake_expect(&t.a, "discard", "-ERR DISCARD without MULTI|");
    close_two(&t);
}

static void
an_error_while_queueing_aborts_exec(void **state)
{
    struct two t;

    (void)state;
    open_two(&t);
    fake_expect(&t.a, "multi", "+OK|");
    fake_expect(&t.a, "set k",
                "-ERR wrong number of arguments for 'set' "
                "command|");
    fake_expect(&t.a, "set k 1", "+QUEUED|");
    fake_expect(&t.a, "exec", ABORTED);
    fake_expect(&t.a, "get k", "$-1|");
    close_two(&t);
}

static void
an_error_while_running_stops_nothing(void **state)
{
    struct two t;

    (void)state;
    open_two(&t);
    fake_expect(&t.a, "set k abc", "+OK|");
    fake_expect(&t.a, "multi", "+OK|");
    fake_expect(&t.a, "incr k", "+QUEUED|");
    fake_expect(&t.a, "set j 1", "+QUEUED|");
    fake_expect(&t.a, "exec",
                "*2|-ERR value is not an integer or out of range|+OK|");
    fake_expect(&t.a, "get j", "$1|1|");
    close_two(&t);
}

static void
nested_multi_and_watch_inside_are_errors_that_abort_nothing(void **state)
{
    struct two t;

    (void)state;
    open_two(&t);
    fake_expect(&t.a, "multi", "+OK|");
    fake_expect(&t.a, "multi", "-ERR MULTI calls can not be nested|");
    fake_expect(&t.a, "watch k", "-ERR WATCH inside MULTI is not allowed|");
    fake_expect(&t.a, "exec", "*0|");
    close_two(&t);
}

/* Watches `key` of t.a, lets t.b do `line`, and tells what EXEC answers. */
static const char *
exec_after(struct two *t, const char *watch, const char *line)
{
    fake_expect(&t->a, watch, "+OK|");
    (void)fake_ask(&t->b, line);
    fake_expect(&t->a, "multi", "+OK|");
    fake_expect(&t->a, "ping", "+QUEUED|");
    return fake_ask(&t->a, "exec");
}

static void
watch_sees_every_change_of_its_key(void **state)
{
    static const char ran[] = "*1|+PONG|", conflict[] = "*-1|";
    struct two t;

    (void)state;
    open_two(&t);
    fake_expect(&t.b, "mset k 1 other 1", "+OK|");
    assert_string_equal(exec_after(&t, "watch k", "get k"), ran);
    assert_string_equal(exec_after(&t, "watch k", "set other 2"), ran);
    assert_string_equal(exec_after(&t, "watch k", "set k 2"), conflict);
    assert_string_equal(exec_after(&t, "watch k other", "append other x"),
                        conflict);
    assert_string_equal(exec_after(&t, "watch k", "expire k 100"), conflict);
    assert_string_equal(exec_after(&t, "watch k", "del k"), conflict);
    assert_string_equal(exec_after(&t, "watch k", "del k"), ran);
    assert_string_equal(exec_after(&t, "watch k", "rename other k"), conflict);
    assert_int_equal(t.env.e->stats.watch_conflicts, 5);
    close_two(&t);
}

static void
watch_and_whole_databases(void **state)
{
    static const char ran[] = "*1|+PONG|", conflict[] = "*-1|";
    struct two t;

    (void)state;
    open_two(&t);
    (void)fake_ask(&t.b, "set k 1");
    assert_string_equal(exec_after(&t, "watch k", "flushdb"), conflict);
    assert_string_equal(exec_after(&t, "watch k", "flushdb"), ran);
    assert_string_equal(exec_after(&t, "watch k", "swapdb 0 1"), ran);
    (void)fake_ask(&t.b, "select 1");
    (void)fake_ask(&t.b, "set k 1");
    assert_string_equal(exec_after(&t, "watch k", "set k 2"), ran);
    assert_string_equal(exec_after(&t, "watch k", "swapdb 0 1"), conflict);
    assert_string_equal(exec_after(&t, "watch k", "flushall"), conflict);
    close_two(&t);
}

static void
watch_and_expiry(void **state)
{
    static const char ran[] = "*1|+PONG|", conflict[] = "*-1|";
    uint64_t now = clock_wall_ms();
    struct two t;

    (void)state;
    open_two(&t);
    db_set_active_expire(t.env.db, false);
    clock_freeze_wall(now);
    (void)fake_ask(&t.b, "set k 1 px 10");
    fake_expect(&t.a, "watch k", "+OK|");
    clock_freeze_wall(now + 20); /* nobody has looked at k since */
    fake_expect(&t.a, "multi", "+OK|");
    fake_expect(&t.a, "exec", conflict);

    (void)fake_ask(&t.b, "set k 1 px 10");
    clock_freeze_wall(now + 40);
    /* Expired when watched, deleted later: no change. */
    assert_string_equal(exec_after(&t, "watch k", "del k"), ran);
    (void)fake_ask(&t.b, "set k 1 px 10");
    clock_freeze_wall(now + 60);
    assert_string_equal(exec_after(&t, "watch k", "set k 2"), conflict);
    clock_freeze_wall(0);
    close_two(&t);
}

static void
watch_ends_with_unwatch_discard_exec_and_reset(void **state)
{
    static const char *const ends[] = {"unwatch", "reset"};
    struct two t;

    (void)state;
    open_two(&t);
    for (unsigned i = 0; i < 2; i++) {
        fake_expect(&t.a, "watch k", "+OK|");
        (void)fake_ask(&t.a, ends[i]);
        assert_null(t.a.s.multi);
        assert_string_equal(exec_after(&t, "watch j", "set k 1"), "*1|+PONG|");
    }
    fake_expect(&t.a, "watch k", "+OK|");
    fake_expect(&t.a, "multi", "+OK|");
    fake_expect(&t.a, "discard", "+OK|");
    assert_null(t.a.s.multi);
    fake_expect(&t.a, "watch k", "+OK|");
    fake_close(&t.b); /* watchers that leave are forgotten */
    fake_open(&t.env, &t.b);
    close_two(&t);
}

static void
own_changes_before_exec_conflict_too(void **state)
{
    struct two t;

    (void)state;
    open_two(&t);
    fake_expect(&t.a, "watch k", "+OK|");
    fake_expect(&t.a, "set k 1", "+OK|");
    fake_expect(&t.a, "multi", "+OK|");
    fake_expect(&t.a, "set k 2", "+QUEUED|");
    fake_expect(&t.a, "exec", "*-1|");
    fake_expect(&t.a, "get k", "$1|1|");
    close_two(&t);
}

static void
open_transactions_are_limited_in_number_time_and_size(void **state)
{
    uint64_t now = clock_wall_ms();
    struct two t;

    (void)state;
    open_two(&t);
    t.env.e->limits.max_transactions = 1;
    t.env.e->limits.transaction_timeout_s = 30;
    t.env.e->limits.query_buffer_limit = 200;
    clock_freeze_wall(now);
    fake_expect(&t.a, "multi", "+OK|");
    fake_expect(&t.b, "multi", "-ERR max active transactions reached (1)|");
    fake_expect(&t.b, "watch k", "-ERR max active transactions reached (1)|");
    fake_expect(&t.a, "set k 1", "+QUEUED|");
    clock_freeze_wall(now + 30001);
    engine_cron(t.env.e);
    fake_expect(&t.a, "get k", "+QUEUED|");
    fake_expect(&t.a, "exec",
                "-EXECABORT Transaction discarded because it "
                "was open for too long.|");
    clock_freeze_wall(0);
    fake_expect(&t.a, "get k", "$-1|");
    fake_expect(&t.a, "multi", "+OK|");
    fake_expect(&t.a, "mset a 1 b 2 c 3", "+QUEUED|");
    assert_non_null(strstr(fake_ask(&t.a, "mset a 1 b 2 c 3"), "is larger"));
    fake_expect(&t.a, "exec", ABORTED);
    close_two(&t);
}

static void
select_inside_a_transaction_counts_for_what_follows(void **state)
{
    struct two t;

    (void)state;
    open_two(&t);
    fake_expect(&t.a, "multi", "+OK|");
    fake_expect(&t.a, "set k 0", "+QUEUED|");
    fake_expect(&t.a, "select 5", "+QUEUED|");
    fake_expect(&t.a, "set k 5", "+QUEUED|");
    fake_expect(&t.a, "exec", "*3|+OK|+OK|+OK|");
    fake_expect(&t.a, "get k", "$1|5|");
    fake_expect(&t.b, "get k", "$1|0|");
    close_two(&t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queued_commands_run_at_exec_in_order),
        cmocka_unit_test(an_error_while_queueing_aborts_exec),
        cmocka_unit_test(an_error_while_running_stops_nothing),
        cmocka_unit_test(
            nested_multi_and_watch_inside_are_errors_that_abort_nothing),
        cmocka_unit_test(watch_sees_every_change_of_its_key),
        cmocka_unit_test(watch_and_whole_databases),
        cmocka_unit_test(watch_and_expiry),
        cmocka_unit_test(watch_ends_with_unwatch_discard_exec_and_reset),
        cmocka_unit_test(own_changes_before_exec_conflict_too),
        cmocka_unit_test(open_transactions_are_limited_in_number_time_and_size),
        cmocka_unit_test(select_inside_a_transaction_counts_for_what_follows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
