/* Commands that wait: for pages, in slices, for the log; and what a GET that
 * does not wait costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "../lib/engine_env.h"
#include "base/mem.h"
#include "store/frames.h"
#include "store/store.h"

#define POOL (16u << 20)
#define KEYS 2000

static void
load(struct engine_env *env, struct fake_client *c, unsigned n)
{
    char line[128];

    for (unsigned i = 0; i < n; i++) {
        snprintf(line, sizeof line, "set key:%06u value-of-key-%u", i, i);
        fake_send(c, line);
        if (i % 64 == 63) {
            engine_env_turn(env);
            (void)fake_read(c);
        }
    }
    engine_env_turn(env);
    (void)fake_read(c);
}

static void
a_miss_parks_the_command_and_answers_in_order(void **state)
{
    struct engine_env env;
    struct fake_client c;
    struct fake_client *three[3] = {&c, &c, &c};

    (void)state;
    engine_env_init(&env, POOL);
    fake_open(&env, &c);
    load(&env, &c, KEYS);
    engine_env_cool(&env);
    fake_batch(
        three,
        (const char *const[]){"get key:000007", "echo after", "get key:001999"},
        3);
    assert_true(c.s.flags & SESSION_BLOCKED);
    assert_string_equal(fake_read(&c), "");
    assert_int_equal(c.nkept, 3);
    assert_string_equal(fake_ask(&c, "echo last"),
                        "$14|value-of-key-7|$5|after|$17|value-of-key-1999|"
                        "$4|last|");
    assert_true(env.e->stats.parked_commands > 0);
    fake_close(&c);
    engine_env_fini(&env);
}

static void
other_clients_overtake_a_parked_one(void **state)
{
    struct engine_env env;
    struct fake_client a, b;

    (void)state;
    engine_env_init(&env, POOL);
    fake_open(&env, &a);
    fake_open(&env, &b);
    load(&env, &a, KEYS);
    engine_env_cool(&env);
    fake_send(&a, "get key:000100");
    fake_expect(&b, "echo b", "$1|b|");
    fake_expect(&a, "ping", "$16|value-of-key-100|+PONG|");
    fake_close(&a);
    fake_close(&b);
    engine_env_fini(&env);
}

static void
a_client_may_leave_while_it_is_parked(void **state)
{
    struct engine_env env;
    struct fake_client a, b;

    (void)state;
    engine_env_init(&env, POOL);
    fake_open(&env, &a);
    fake_open(&env, &b);
    load(&env, &a, KEYS);
    engine_env_cool(&env);
    fake_send(&a, "get key:000100");
    assert_non_null(a.s.parked);
    fake_close(&a);
    fake_expect(&b, "get key:000100", "$16|value-of-key-100|");
    fake_close(&b);
    engine_env_fini(&env);
}

static void
a_parked_write_has_no_effect_until_it_runs(void **state)
{
    struct engine_env env;
    struct fake_client c;

    (void)state;
    engine_env_init(&env, POOL);
    fake_open(&env, &c);
    load(&env, &c, KEYS);
    engine_env_cool(&env);
    fake_expect(&c, "append key:000050 x", ":16|");
    fake_expect(&c, "get key:000050", "$16|value-of-key-50x|");
    engine_env_cool(&env);
    fake_expect(&c, "mset key:000001 a new b key:001500 c", "+OK|");
    fake_expect(&c, "mget key:000001 new key:001500", "*3|$1|a|$1|b|$1|c|");
    fake_close(&c);
    engine_env_fini(&env);
}

static void
exec_parks_before_its_first_effect(void **state)
{
    struct engine_env env;
    struct fake_client c;
    struct frames_stats before, after;

    (void)state;
    engine_env_init(&env, POOL);
    fake_open(&env, &c);
    load(&env, &c, KEYS);
    engine_env_cool(&env);
    frames_get_stats(store_frames(env.store), &before);
    fake_expect(&c, "multi", "+OK|");
    fake_expect(&c, "append key:000001 x", "+QUEUED|");
    fake_expect(&c, "append key:001999 y", "+QUEUED|");
    fake_send(&c, "exec");
    assert_true(c.s.flags & SESSION_BLOCKED);
    assert_string_equal(fake_ask(&c, "get key:000001"),
                        "*2|:15|:18|$15|value-of-key-1x|");
    frames_get_stats(store_frames(env.store), &after);
    assert_int_equal(after.blocking_reads, before.blocking_reads);
    fake_close(&c);
    engine_env_fini(&env);
}

static void
save_answers_when_the_checkpoint_is_done(void **state)
{
    struct engine_env env;
    struct fake_client c, gone;

    (void)state;
    engine_env_init(&env, POOL);
    fake_open(&env, &c);
    fake_open(&env, &gone);
    load(&env, &c, 100);
    fake_send(&gone, "save");
    fake_send(&c, "save");
    assert_string_equal(fake_read(&c), "");
    fake_close(&gone);
    fake_expect(&c, "ping", "+OK|+PONG|");
    fake_expect(&c, "nq.checkpoint", "+OK|");
    fake_close(&c);
    engine_env_fini(&env);
}

static void
waitaof_waits_until_the_log_is_on_disk(void **state)
{
    struct engine_env env;
    struct fake_client c;

    (void)state;
    engine_env_init(&env, POOL);
    fake_open(&env, &c);
    fake_expect(&c, "waitaof 1 0 0", "*2|:1|:0|"); /* it wrote nothing */
    fake_expect(&c, "waitaof 2 0 0",
                "-ERR value is out of range, must be between 0 and 1|");
    fake_send(&c, "set k v");
    (void)fake_read(&c);
    fake_send(&c, "waitaof 1 0 0");
    assert_true(c.s.flags & SESSION_BLOCKED);
    fake_expect(&c, "ping", "*2|:1|:0|+PONG|");
    assert_true(wal_durable(store_wal(env.store)) > c.s.last_write);
    fake_expect(&c, "wait 0 0", ":0|");
    fake_expect(&c, "wait 1 1", ":0|");
    fake_close(&c);
    engine_env_fini(&env);
}

static void
check_finds_nothing_wrong_in_a_sound_database(void **state)
{
    struct engine_env env;
    struct fake_client c;

    (void)state;
    engine_env_init(&env, POOL);
    fake_open(&env, &c);
    load(&env, &c, KEYS);
    engine_env_cool(&env);
    assert_non_null(
        strstr(fake_ask(&c, "nq.check extents"), "$8|findings|:0|"));
    assert_non_null(strstr(fake_ask(&c, "nq.check"), "$4|keys|:2000|"));
    fake_expect(&c, "nq.check all", "-ERR syntax error|");
    fake_close(&c);
    engine_env_fini(&env);
}

static void
keys_works_in_slices_and_answers_once(void **state)
{
    struct engine_env env;
    struct fake_client c;

    (void)state;
    engine_env_init(&env, POOL);
    fake_open(&env, &c);
    load(&env, &c, KEYS);
    engine_env_cool(&env);
    assert_string_equal(fake_ask(&c, "keys key:00010[3-4]"),
                        "*2|$10|key:000103|$10|key:000104|");
    fake_expect(&c, "dbsize", ":2000|");
    fake_close(&c);
    engine_env_fini(&env);
}

#define BIG (3u << 20)

/* The value of `big`, and whether a reply holds it where it is said to be. */
static bool
is_big_at(const char *reply, const char *before, const char *behind)
{
    size_t n = strlen(before);

    if (strncmp(reply, before, n) != 0)
        return false;
    for (size_t i = 0; i < BIG; i++)
        if (reply[n + i] != (char)('a' + i % 23))
            return false;
    return strcmp(reply + n + BIG, behind) == 0;
}

static void
big_values_are_sent_from_where_they_are(void **state)
{
    static char line[BIG + 16];
    struct engine_env env;
    struct fake_client c;
    struct frames_stats st;

    (void)state;
    engine_env_init(&env, POOL);
    fake_open(&env, &c);
    memcpy(line, "set big ", 8);
    for (size_t i = 0; i < BIG; i++)
        line[8 + i] = (char)('a' + i % 23);
    fake_expect(&c, line, "+OK|");
    fake_send(&c, "get big");
    frames_get_stats(store_frames(env.store), &st);
    assert_true(st.frames_pinned > 0);
    /* What is on its way stays as it was. */
    fake_send(&c, "setrange big 0 XXXX");
    assert_true(is_big_at(fake_read(&c), "$3145728|", "|:3145728|"));
    frames_get_stats(store_frames(env.store), &st);
    assert_int_equal(st.frames_pinned, 0);

    fake_expect(&c, "setrange big 0 abcd", ":3145728|");
    engine_env_cool(&env);
    assert_true(is_big_at(fake_ask(&c, "get big"), "$3145728|", "|"));
    assert_true(is_big_at(fake_ask(&c, "nq.range big big"),
                          "*2|$3|big|$3145728|", "|"));
    fake_expect(&c, "multi", "+OK|");
    fake_expect(&c, "get big", "+QUEUED|");
    engine_env_cool(&env);
    assert_true(is_big_at(fake_ask(&c, "exec"), "*1|$3145728|", "|"));
    fake_send(&c, "get big");
    fake_close(&c); /* with the value still in its queue */
    frames_get_stats(store_frames(env.store), &st);
    assert_int_equal(st.frames_pinned, 0);
    engine_env_fini(&env);
}

static void
a_get_allocates_nothing(void **state)
{
    struct engine_env env;
    struct fake_client c;
    uint64_t before = 0;

    (void)state;
    engine_env_init(&env, POOL);
    fake_open(&env, &c);
    load(&env, &c, KEYS);
    for (unsigned round = 0; round < 4; round++) {
        struct slice argv[16][2];
        struct call calls[16];

        if (round == 2)
            before = mem_allocations();
        for (unsigned i = 0; i < 16; i++) {
            argv[i][0] = slice_lit("GET");
            argv[i][1] = slice_lit("key:000123");
            calls[i] =
                (struct call){.session = &c.s, .argv = argv[i], .argc = 2};
        }
        dispatch_batch(env.e, calls, 16);
        assert_int_equal(calls[15].result, CALL_DONE);
        while (!outq_is_empty(&c.s.out)) {
            struct iovec iov[4];
            int n = outq_peek(&c.s.out, UINT64_MAX, iov, 4);

            for (int k = 0; k < n; k++)
                outq_consume(&c.s.out, iov[k].iov_len);
        }
    }
    assert_int_equal(mem_allocations() - before, 0);
    fake_close(&c);
    engine_env_fini(&env);
}

/* A batch in which trees change places between the probe and the command. */
static void
fingers_do_not_outlive_their_tree(void **state)
{
    struct engine_env env;
    struct fake_client c;
    struct fake_client *five[6] = {&c, &c, &c, &c, &c, &c};

    (void)state;
    engine_env_init(&env, POOL);
    fake_open(&env, &c);
    (void)fake_ask(&c, "set k zero");
    (void)fake_ask(&c, "select 1");
    (void)fake_ask(&c, "set k one");
    (void)fake_ask(&c, "select 0");
    fake_batch(five,
               (const char *const[]){"get k", "swapdb 0 1", "get k", "select 1",
                                     "get k", "flushall"},
               6);
    assert_string_equal(fake_read(&c), "$4|zero|+OK|$3|one|+OK|$4|zero|+OK|");
    fake_batch(five,
               (const char *const[]){"get k", "set k 1", "incr k", "flushdb",
                                     "incr k", "get k"},
               6);
    assert_string_equal(fake_read(&c), "$-1|+OK|:2|+OK|:1|$1|1|");
    fake_close(&c);
    engine_env_fini(&env);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_miss_parks_the_command_and_answers_in_order),
        cmocka_unit_test(other_clients_overtake_a_parked_one),
        cmocka_unit_test(a_client_may_leave_while_it_is_parked),
        cmocka_unit_test(a_parked_write_has_no_effect_until_it_runs),
        cmocka_unit_test(exec_parks_before_its_first_effect),
        cmocka_unit_test(save_answers_when_the_checkpoint_is_done),
        cmocka_unit_test(waitaof_waits_until_the_log_is_on_disk),
        cmocka_unit_test(check_finds_nothing_wrong_in_a_sound_database),
        cmocka_unit_test(keys_works_in_slices_and_answers_once),
        cmocka_unit_test(big_values_are_sent_from_where_they_are),
        cmocka_unit_test(a_get_allocates_nothing),
        cmocka_unit_test(fingers_do_not_outlive_their_tree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
