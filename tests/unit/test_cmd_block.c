/* Commands that wait for lists, sorted sets and streams: exact replies,
 * fairness, what else changes with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#include "../lib/engine_env.h"
#include "base/mem.h"
#include "cmd/wait_key.h"
#include "db/hold.h"
#include "db/lists.h"

#define CLIENTS 4

struct bench {
    struct engine_env env;
    struct fake_client c[CLIENTS]; /* who wait */
    struct fake_client w;          /* who writes */
};

static int
setup(void **state)
{
    struct bench *b = nq_calloc(1, sizeof *b);

    engine_env_init(&b->env, 16u << 20);
    for (int i = 0; i < CLIENTS; i++)
        fake_open(&b->env, &b->c[i]);
    fake_open(&b->env, &b->w);
    *state = b;
    return 0;
}

static int
teardown(void **state)
{
    struct bench *b = *state;

    for (int i = 0; i < CLIENTS; i++)
        fake_close(&b->c[i]);
    fake_close(&b->w);
    assert_int_equal(wait_count_keys(b->env.e), 0);
    engine_env_fini(&b->env);
    nq_free(b);
    return 0;
}

/* Client `i` begins to wait. */
static void
begin(struct bench *b, int i, const char *line)
{
    fake_send(&b->c[i], line);
    assert_string_equal(fake_read(&b->c[i]), "");
    assert_true(wait_is_waiting(&b->c[i].s));
}

static void
got(struct bench *b, int i, const char *want)
{
    assert_string_equal(fake_read(&b->c[i]), want);
    if (want[0] != '\0')
        engine_env_turn(&b->env); /* it may send commands again */
}

static void
transaction(struct bench *b, const char *const *lines, unsigned n)
{
    fake_expect(&b->w, "multi", "+OK|");
    for (unsigned i = 0; i < n; i++)
        fake_expect(&b->w, lines[i], "+QUEUED|");
    (void)fake_ask(&b->w, "exec");
}

/* --- what is there is taken at once -------------------------------------- */

static void
what_is_there_is_taken_without_waiting(void **state)
{
    static const char *const asked[][2] = {
        {"rpush l a b c d e f", ":6|"},
        {"blpop none l 0", "*2|$1|l|$1|a|"},
        {"brpop l none 0", "*2|$1|l|$1|f|"},
        {"blmpop 0 2 none l left count 2", "*2|$1|l|*2|$1|b|$1|c|"},
        {"blmpop 0 1 l right", "*2|$1|l|*1|$1|e|"},
        {"blmove l m left right 0", "$1|d|"},
        {"exists l", ":0|"},
        {"brpoplpush m m 0", "$1|d|"},
        {"zadd z 1 a 2 b 3 c 4.5 d", ":4|"},
        {"bzpopmin none z 0", "*3|$1|z|$1|a|$1|1|"},
        {"bzpopmax z 0", "*3|$1|z|$1|d|$3|4.5|"},
        {"bzmpop 0 1 z max count 5", "*2|$1|z|*2|*2|$1|c|$1|3|*2|$1|b|$1|2|"},
        {"exists z", ":0|"},
    };
    struct bench *b = *state;

    for (size_t i = 0; i < nq_countof(asked); i++)
        assert_string_equal(fake_ask(&b->w, asked[i][0]), asked[i][1]);
}

static void
a_first_look_refuses_a_wrong_type(void **state)
{
    static const char wrong[] = "-WRONGTYPE Operation against a key holding "
                                "the wrong kind of value|";
    static const char *const lines[] = {
        "blpop none s 0",        "bzpopmin s 0",     "blmpop 0 1 s left",
        "bzmpop 0 1 s min",      "brpoplpush s l 0", "brpoplpush l s 0",
        "blmove s l left left 0"};
    struct bench *b = *state;

    fake_expect(&b->w, "set s x", "+OK|");
    fake_expect(&b->w, "rpush l a", ":1|");
    for (size_t i = 0; i < nq_countof(lines); i++)
        assert_string_equal(fake_ask(&b->w, lines[i]), wrong);
    fake_expect(&b->w, "llen l", ":1|");
}

static void
bad_arguments_are_told_as_redis_tells_them(void **state)
{
    static const char *const asked[][2] = {
        {"blpop k x", "-ERR timeout is not a float or out of range|"},
        {"blpop k nan", "-ERR timeout is not a float or out of range|"},
        {"blpop k -1", "-ERR timeout is negative|"},
        {"blpop k 1e300", "-ERR timeout is out of range|"},
        {"blpop k 9223372036854775807", "-ERR timeout is out of range|"},
        {"blmpop x 0 k left", "-ERR numkeys should be greater than 0|"},
        {"blmpop x 1 k up", "-ERR syntax error|"},
        {"blmpop x 2 k left", "-ERR syntax error|"},
        {"blmpop x 1 k left count 0", "-ERR count should be greater than 0|"},
        {"blmpop x 1 k left count 1 count 2", "-ERR syntax error|"},
        {"blmpop x 1 k left", "-ERR timeout is not a float or out of range|"},
        {"bzmpop x 1 k left", "-ERR syntax error|"},
        {"bzmpop -1 1 k min", "-ERR timeout is negative|"},
        {"blmove a b up left x", "-ERR syntax error|"},
        {"blmove a b left left x",
         "-ERR timeout is not a float or out of range|"},
        {"brpoplpush a b x", "-ERR timeout is not a float or out of range|"},
    };
    struct bench *b = *state;

    for (size_t i = 0; i < nq_countof(asked); i++)
        assert_string_equal(fake_ask(&b->w, asked[i][0]), asked[i][1]);
}

static void
inside_multi_nobody_waits(void **state)
{
    static const char *const lines[] = {"blpop k 0", "blmove k j left left 0",
                                        "blmpop 0 1 k left", "bzpopmin k 0",
                                        "bzmpop 0 1 k min"};
    struct bench *b = *state;

    fake_expect(&b->w, "multi", "+OK|");
    for (size_t i = 0; i < nq_countof(lines); i++)
        fake_expect(&b->w, lines[i], "+QUEUED|");
    fake_expect(&b->w, "exec", "*5|*-1|$-1|*-1|*-1|*-1|");
}

/* --- waiting ------------------------------------------------------------- */

static void
two_wait_and_one_push_of_two_serves_both(void **state)
{
    struct bench *b = *state;

    begin(b, 0, "blpop l 0");
    begin(b, 1, "brpop l 0");
    begin(b, 2, "blpop l 0");
    fake_expect(&b->w, "rpush l a b", ":2|");
    got(b, 0, "*2|$1|l|$1|a|");
    got(b, 1, "*2|$1|l|$1|b|");
    got(b, 2, "");
    fake_expect(&b->w, "exists l", ":0|");
    fake_expect(&b->w, "lpush l x y", ":2|");
    got(b, 2, "*2|$1|l|$1|y|");
}

static void
moves_go_on_from_list_to_list(void **state)
{
    struct bench *b = *state;

    begin(b, 0, "blmove b c left right 0");
    begin(b, 1, "blmove a b right left 0");
    begin(b, 2, "blpop c 0");
    fake_expect(&b->w, "rpush a x", ":1|");
    got(b, 1, "$1|x|");
    got(b, 0, "$1|x|");
    got(b, 2, "*2|$1|c|$1|x|");
    fake_expect(&b->w, "exists a b c", ":0|");
}

static void
moves_in_a_circle_end(void **state)
{
    struct bench *b = *state;

    begin(b, 0, "brpoplpush a b 0");
    begin(b, 1, "brpoplpush b a 0");
    begin(b, 2, "brpoplpush d d 0");
    fake_expect(&b->w, "rpush a x", ":1|");
    got(b, 0, "$1|x|");
    got(b, 1, "$1|x|");
    fake_expect(&b->w, "lrange a 0 -1", "*1|$1|x|");
    fake_expect(&b->w, "rpush d y", ":1|");
    got(b, 2, "$1|y|");
    fake_expect(&b->w, "lrange d 0 -1", "*1|$1|y|");
}

static void
a_move_that_fails_leaves_the_element_to_the_next(void **state)
{
    struct bench *b = *state;

    fake_expect(&b->w, "set s x", "+OK|");
    begin(b, 0, "blmove l s left left 0");
    begin(b, 1, "blmove l m left left 0");
    fake_expect(&b->w, "rpush l e", ":1|");
    got(b, 0,
        "-WRONGTYPE Operation against a key holding the wrong kind of value|");
    got(b, 1, "$1|e|");
    fake_expect(&b->w, "lrange m 0 -1", "*1|$1|e|");
}

static void
keys_pushed_in_one_transaction_serve_by_their_order(void **state)
{
    struct bench *b = *state;

    begin(b, 0, "blmpop 0 2 a b left count 1");
    begin(b, 1, "blmpop 0 2 a b right count 10");
    begin(b, 2, "blmpop 0 2 a b left count 10");
    begin(b, 3, "blmpop 0 2 a b left count 10");
    transaction(b, (const char *const[]){"rpush b 4 5", "rpush a 1 2 3"}, 2);
    got(b, 0, "*2|$1|b|*1|$1|4|");
    got(b, 1, "*2|$1|b|*1|$1|5|");
    got(b, 2, "*2|$1|a|*3|$1|1|$1|2|$1|3|");
    got(b, 3, "");
}

static void
another_type_does_not_end_a_wait(void **state)
{
    struct bench *b = *state;

    begin(b, 0, "blpop k 0");
    begin(b, 1, "bzpopmin k 0");
    fake_expect(&b->w, "set k x", "+OK|");
    fake_expect(&b->w, "del k", ":1|");
    fake_expect(&b->w, "zadd k 1 m", ":1|");
    got(b, 0, "");
    got(b, 1, "*3|$1|k|$1|m|$1|1|");
    fake_expect(&b->w, "rpush k e", ":1|");
    got(b, 0, "*2|$1|k|$1|e|");
}

static void
what_is_gone_by_the_end_of_exec_serves_nobody(void **state)
{
    struct bench *b = *state;

    begin(b, 0, "blpop k 0");
    transaction(b, (const char *const[]){"lpush k a", "del k"}, 2);
    got(b, 0, "");
    transaction(b, (const char *const[]){"lpush k a", "pexpireat k 1"}, 2);
    got(b, 0, "");
    transaction(b, (const char *const[]){"lpush k a", "lpush k b"}, 2);
    got(b, 0, "*2|$1|k|$1|b|");
}

static void
resp3_tells_nulls_and_scores_in_its_own_way(void **state)
{
    struct bench *b = *state;

    (void)fake_ask(&b->c[0], "hello 3");
    begin(b, 0, "bzpopmax z 0");
    fake_expect(&b->w, "zadd z 1.5 m", ":1|");
    got(b, 0, "*3|$1|z|$1|m|,1.5|");
    begin(b, 0, "blpop l 0.001");
    usleep(3000);
    engine_env_turn(&b->env);
    got(b, 0, "_|");
}

/* --- what else happens --------------------------------------------------- */

static void
a_served_move_conflicts_with_watch(void **state)
{
    struct bench *b = *state;

    begin(b, 0, "brpoplpush src dst 0");
    fake_expect(&b->c[1], "watch dst", "+OK|");
    fake_expect(&b->c[1], "multi", "+OK|");
    fake_expect(&b->c[1], "ping", "+QUEUED|");
    fake_expect(&b->w, "lpush src x", ":1|");
    fake_expect(&b->c[1], "exec", "*-1|");
    got(b, 0, "$1|x|");
}

static void
a_command_counts_when_it_was_answered(void **state)
{
    struct bench *b = *state;
    const struct command *cmd = command_find(slice_lit("brpop"));
    uint64_t calls = cmd->stats->calls, failed = cmd->stats->failed;
    char line[64];

    begin(b, 0, "brpop k 0");
    assert_int_equal(cmd->stats->calls, calls);
    fake_expect(&b->w, "rpush k x", ":1|");
    got(b, 0, "*2|$1|k|$1|x|");
    assert_int_equal(cmd->stats->calls, calls + 1);
    begin(b, 0, "brpop k 0");
    snprintf(line, sizeof line, "client unblock %u error",
             (unsigned)b->c[0].s.id);
    fake_expect(&b->w, line, ":1|");
    got(b, 0, "-UNBLOCKED client unblocked via CLIENT UNBLOCK|");
    assert_int_equal(cmd->stats->calls, calls + 2);
    assert_int_equal(cmd->stats->failed, failed + 1);
}

/* Longer than what one slice takes, perhaps; all of it, in any case. */
static void
a_long_pop_is_answered_whole(void **state)
{
    struct bench *b = *state;
    char line[128];
    const char *got_list, *got_set;

    begin(b, 0, "blmpop 0 1 l right count 100000");
    begin(b, 1, "bzmpop 0 1 z min count 100000");
    for (int i = 0; i < 1000; i++) {
        snprintf(line, sizeof line, "rpush big %0100d", i);
        (void)fake_ask(&b->w, line);
        snprintf(line, sizeof line, "zadd zig %d %0100d", i, i);
        (void)fake_ask(&b->w, line);
    }
    fake_expect(&b->w, "rename big l", "+OK|");
    fake_expect(&b->w, "rename zig z", "+OK|");
    for (int i = 0; i < 1000 && (b->c[0].s.wait || b->c[1].s.wait); i++)
        engine_env_turn(&b->env);
    got_list = fake_read(&b->c[0]);
    got_set = fake_read(&b->c[1]);
    assert_memory_equal(got_list, "*2|$1|l|*1000|$100|", 19);
    assert_int_equal(strlen(got_list), 14 + 1000 * (5 + 101));
    assert_memory_equal(got_set, "*2|$1|z|*1000|*2|$100|", 22);
    fake_expect(&b->w, "exists l z", ":0|");
}

/* The list that is moved to is being read in slices: the move waits for that
 * and keeps its place. */
static void
a_held_destination_is_waited_for(void **state)
{
    struct bench *b = *state;
    struct hold hold = {0};
    struct entry e = {0};
    char line[128];

    for (int i = 0; i < 3000; i++) {
        snprintf(line, sizeof line, "rpush big %0100d", i);
        (void)fake_ask(&b->w, line);
    }
    assert_int_equal(db_find(b->env.db, 0, slice_lit("big"), &e), NQ_OK);
    assert_true(list_root(&e) != 0);
    assert_int_equal(hold_take(&hold, b->env.db, list_root(&e)), NQ_OK);
    begin(b, 0, "blmove l big left right 0");
    begin(b, 1, "blpop l 0");
    fake_expect(&b->w, "rpush l x", ":1|");
    for (int i = 0; i < 3; i++)
        engine_env_turn(&b->env);
    got(b, 0, "");
    got(b, 1, "");
    hold_end(&hold);
    for (int i = 0; i < 3; i++)
        engine_env_turn(&b->env);
    got(b, 0, "$1|x|");
    got(b, 1, "");
    fake_expect(&b->w, "lindex big -1", "$1|x|");
}

static void
only_groups_wait_for_the_end_of_a_key(void **state)
{
    struct bench *b = *state;

    fake_expect(&b->w, "XGROUP CREATE q g $ MKSTREAM", "+OK|");
    begin(b, 0, "XREAD BLOCK 0 STREAMS q other $ $");
    assert_int_equal(wait_count_keys(b->env.e), 2);
    assert_int_equal(wait_count_keys_on_nokey(b->env.e), 0);
    begin(b, 1, "XREADGROUP GROUP g c BLOCK 0 STREAMS q >");
    assert_int_equal(wait_count_keys(b->env.e), 2);
    assert_int_equal(wait_count_keys_on_nokey(b->env.e), 1);
    fake_expect(&b->w, "DEL q", ":1|");
    engine_env_turn(&b->env);
    assert_true(wait_is_waiting(&b->c[0].s));
    assert_false(wait_is_waiting(&b->c[1].s));
    assert_int_equal(wait_count_keys_on_nokey(b->env.e), 0);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_there_is_taken_without_waiting),
        TEST(a_first_look_refuses_a_wrong_type),
        TEST(bad_arguments_are_told_as_redis_tells_them),
        TEST(inside_multi_nobody_waits),
        TEST(two_wait_and_one_push_of_two_serves_both),
        TEST(moves_go_on_from_list_to_list),
        TEST(moves_in_a_circle_end),
        TEST(a_move_that_fails_leaves_the_element_to_the_next),
        TEST(keys_pushed_in_one_transaction_serve_by_their_order),
        TEST(another_type_does_not_end_a_wait),
        TEST(what_is_gone_by_the_end_of_exec_serves_nobody),
        TEST(resp3_tells_nulls_and_scores_in_its_own_way),
        TEST(a_served_move_conflicts_with_watch),
        TEST(a_command_counts_when_it_was_answered),
        TEST(a_long_pop_is_answered_whole),
        TEST(a_held_destination_is_waited_for),
        TEST(only_groups_wait_for_the_end_of_a_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
