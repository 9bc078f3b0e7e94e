/* The command table is sane, found fast and told right; replies in both
 * protocols. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <cmocka.h>

#include "../lib/engine_env.h"
#include "cmd/cmd_command.h"
#include "cmd/errorstats.h"
#include "cmd/latency.h"
#include "cmd/reply.h"
#include "cmd/slowlog.h"

/* --- the table ------------------------------------------------------------ */

static void
check_row(const struct command *cmd)
{
    static const char *const groups[] = {
        "string",       "bitmap",     "generic", "pubsub",      "connection",
        "transactions", "server",     "nq",      "hash",        "list",
        "set",          "sorted-set", "stream",  "hyperloglog", "geo"};
    unsigned group = 0;

    for (const char *p = cmd->name; *p != '\0'; p++)
        assert_true(islower((unsigned char)*p) || strchr("|-._", *p) != NULL);
    while (group < nq_countof(groups) && strcmp(groups[group], cmd->group) != 0)
        group++;
    assert_true(group < nq_countof(groups));
    assert_true(cmd->arity != 0);
    assert_true(cmd->fn != NULL || cmd->subs != NULL);
    assert_true(strlen(cmd->summary) >= 10 && strlen(cmd->summary) <= 60);
    assert_true(isupper((unsigned char)cmd->summary[0]));
    assert_true(cmd->since[0] >= '1' && cmd->since[0] <= '8');
    assert_non_null(cmd->stats);
    assert_false(cmd->flags & CMD_WRITE && cmd->flags & CMD_READONLY);
    assert_true((cmd->first_key == 0) == (cmd->key_step == 0));
    if (cmd->first_key > 0) {
        int least = cmd->arity < 0 ? -cmd->arity : cmd->arity;

        assert_true(cmd->first_key < least || cmd->last_key < 0);
    }
}

static void
every_row_is_documented_and_consistent(void **state)
{
    (void)state;
    for (unsigned i = 0; i < command_count(); i++) {
        const struct command *cmd = command_at(i);
        size_t len = strlen(cmd->name);

        check_row(cmd);
        for (const struct command *sub = cmd->subs;
             sub != NULL && sub->name != NULL; sub++) {
            check_row(sub);
            assert_true(sub->fn != NULL && sub->subs == NULL);
            assert_memory_equal(sub->name, cmd->name, len);
            assert_int_equal(sub->name[len], '|');
            assert_ptr_equal(command_find_full(slice_str(sub->name)), sub);
        }
    }
}

static void
every_command_is_found_in_any_case_and_only_once(void **state)
{
    (void)state;
    for (unsigned i = 0; i < command_count(); i++) {
        const char *name = command_at(i)->name;
        char other[64];
        size_t n = strlen(name);

        for (size_t k = 0; k <= n; k++)
            other[k] =
                (char)(k % 2 == 0 ? toupper((unsigned char)name[k]) : name[k]);
        assert_ptr_equal(command_find(slice_str(name)), command_at(i));
        assert_ptr_equal(command_find(slice_str(other)), command_at(i));
        assert_ptr_not_equal(command_find(slice_of(name, n - 1)),
                             command_at(i));
        other[n] = '~';
        assert_null(command_find(slice_of(other, n + 1)));
    }
    assert_null(command_find(slice_lit("")));
    assert_null(command_find(slice_of("get\0", 4)));
    assert_null(command_find(slice_of("\x07"
                                      "et",
                                      3)));
    assert_null(command_find(slice_lit("a name that is longer than any "
                                       "command there may ever be")));
}

static int
keys_of(const char *const *words, uint32_t n, uint32_t *at)
{
    struct slice argv[8];
    const struct command *container;

    for (uint32_t i = 0; i < n; i++)
        argv[i] = slice_str(words[i]);
    return command_keys(command_find_argv(argv, n, &container), argv, n, at, 8);
}

static void
keys_are_found_by_the_specification(void **state)
{
    uint32_t at[8];

    (void)state;
    assert_int_equal(keys_of((const char *[]){"get", "a"}, 2, at), 1);
    assert_int_equal(at[0], 1);
    assert_int_equal(
        keys_of((const char *[]){"mset", "a", "1", "b", "2"}, 5, at), 2);
    assert_int_equal(at[1], 3);
    assert_int_equal(keys_of((const char *[]){"ping", "a"}, 2, at), 0);
    assert_int_equal(keys_of((const char *[]){"memory", "usage", "k"}, 3, at),
                     1);
    assert_int_equal(at[0], 2);
    assert_int_equal(keys_of((const char *[]){"del", "a", "b", "c"}, 4, at), 3);
}

static void
keys_are_found_behind_their_number(void **state)
{
    uint32_t at[8];

    (void)state;
    assert_int_equal(
        keys_of((const char *[]){"sintercard", "2", "a", "b", "limit", "1"}, 6,
                at),
        2);
    assert_int_equal(at[0], 2);
    assert_int_equal(at[1], 3);
    assert_int_equal(
        keys_of((const char *[]){"sintercard", "3", "a", "b"}, 4, at), -1);
    assert_int_equal(keys_of((const char *[]){"sintercard", "x", "a"}, 3, at),
                     -1);
}

/* --- replies -------------------------------------------------------------- */

struct replies {
    struct engine_env env;
    struct fake_client c;
    struct req rq;
};

static void
begin(struct replies *t, unsigned resp)
{
    engine_env_init(&t->env, 1 << 20);
    fake_open(&t->env, &t->c);
    t->c.s.resp = (uint8_t)resp;
    t->rq = (struct req){.s = &t->c.s,
                         .engine = t->env.e,
                         .arena = &t->env.e->arena,
                         .cmd = command_find(slice_lit("memory")),
                         .argv = &(struct slice){NULL, 0},
                         .argc = 1};
}

static void
end(struct replies *t)
{
    fake_close(&t->c);
    engine_env_fini(&t->env);
}

static void
put_one_of_each(struct req *rq)
{
    reply_ok(rq);
    reply_status(rq, "QUEUED");
    reply_bulk_str(rq, "");
    reply_bulk_printf(rq, "%d%%", 7);
    reply_int(rq, INT64_MIN);
    reply_null(rq);
    reply_null_array(rq);
    reply_double(rq, 0.1);
    reply_double(rq, 3);
    reply_double(rq, -INFINITY);
    reply_bool(rq, true);
    reply_bignum(rq, "123");
    reply_verbatim(rq, "txt", slice_lit("some"));
    reply_array(rq, 12);
    reply_map(rq, 2);
    reply_set(rq, 3);
    reply_push(rq, 4);
}

static void
resp2_knows_five_types(void **state)
{
    struct replies t;

    (void)state;
    begin(&t, 2);
    put_one_of_each(&t.rq);
    assert_string_equal(fake_read(&t.c),
                        "+OK|+QUEUED|$0||$2|7%|:-9223372036854775808|$-1|*-1|"
                        "$19|0.10000000000000001|$1|3|$4|-inf|:1|$3|123|"
                        "$4|some|*12|*4|*3|*4|");
    end(&t);
}

static void
resp3_has_a_type_for_each(void **state)
{
    struct replies t;

    (void)state;
    begin(&t, 3);
    put_one_of_each(&t.rq);
    assert_string_equal(fake_read(&t.c),
                        "+OK|+QUEUED|$0||$2|7%|:-9223372036854775808|_|_|"
                        ",0.10000000000000001|,3|,-inf|#t|(123|"
                        "=8|txt:some|*12|%2|~3|>4|");
    end(&t);
}

static void
deferred_arrays_nest(void **state)
{
    struct reply_deferred outer, inner;
    struct replies t;

    (void)state;
    begin(&t, 3);
    outer = reply_array_begin(&t.rq);
    inner = reply_array_begin(&t.rq);
    reply_array_end(&t.rq, inner, 0);
    reply_int(&t.rq, 1);
    inner = reply_array_begin(&t.rq);
    reply_int(&t.rq, 2);
    reply_int(&t.rq, 3);
    reply_map_end(&t.rq, inner, 1);
    inner = reply_array_begin(&t.rq);
    reply_int(&t.rq, 4);
    reply_set_end(&t.rq, inner, 1);
    reply_int(&t.rq, 5);
    reply_array_end(&t.rq, outer, 5);
    assert_string_equal(fake_read(&t.c), "*5|*0|:1|%1|:2|:3|~1|:4|:5|");
    end(&t);
}

static void
deferred_arrays_take_many_and_long_values(void **state)
{
    static uint8_t big[100000];
    struct reply_deferred d;
    struct replies t;
    uint64_t want = 0;

    (void)state;
    begin(&t, 2);
    d = reply_array_begin(&t.rq);
    for (unsigned i = 0; i < 5000; i++)
        reply_bulk_str(&t.rq, "0123456789");
    reply_bulk(&t.rq, slice_of(big, sizeof big));
    reply_array_end(&t.rq, d, 5001);
    want = 7 + 5000 * 17 + 9 + sizeof big + 2;
    assert_int_equal(t.c.s.out.put, want);
    end(&t);
}

static void
errors_stay_one_line_and_are_counted(void **state)
{
    struct replies t;

    (void)state;
    begin(&t, 2);
    reply_error(&t.rq, "bad %s", "x\r\n+OK");
    reply_error(&t.rq, "-NOAUTH Authentication required.");
    reply_rc(&t.rq, NQ_EWRONGTYPE);
    reply_rc(&t.rq, NQ_NOTFOUND);
    assert_string_equal(fake_read(&t.c),
                        "-ERR bad x  +OK|-NOAUTH Authentication required.|"
                        "-WRONGTYPE Operation against a key holding the wrong "
                        "kind of value|-ERR no such key|");
    assert_true(t.rq.is_error);
    assert_int_equal(t.env.e->stats.total_error_replies, 4);
    reply_rc(&t.rq, NQ_MISS);
    assert_int_equal(t.rq.outcome, REQ_PARK);
    assert_string_equal(fake_read(&t.c), "");
    end(&t);
}

static void
count_kinds(void *arg, const char *word, uint64_t count)
{
    unsigned *kinds = arg;

    if (strcmp(word, "ERR") == 0)
        assert_int_equal(count, 2);
    ++*kinds;
}

static void
error_kinds_are_counted_by_first_word_up_to_a_limit(void **state)
{
    struct errorstats *es = errorstats_new();
    unsigned kinds = 0;

    (void)state;
    errorstats_count(es, slice_lit("ERR one"));
    errorstats_count(es, slice_lit("ERR two"));
    errorstats_count(es, slice_lit("ERROR"));
    for (int i = 0; i < 1000; i++) {
        char word[16];
        int n = snprintf(word, sizeof word, "E%d x", i);

        errorstats_count(es, slice_of(word, (size_t)n));
    }
    errorstats_each(es, count_kinds, &kinds);
    assert_int_equal(kinds, 128);
    errorstats_free(es);
}

static void
latency_keeps_the_worst_of_each_second(void **state)
{
    struct latency *l = latency_new();
    const struct latency_event *ev;

    (void)state;
    latency_add(l, "command", 5);
    latency_add(l, "command", 9);
    latency_add(l, "command", 7);
    ev = latency_find(l, slice_lit("COMMAND"));
    assert_non_null(ev);
    assert_int_equal(ev->max_ms, 9);
    assert_int_equal(ev->count, 3);
    assert_non_null(latency_sample_at(ev, 0));
    assert_null(latency_find(l, slice_lit("other")));
    assert_true(latency_reset(l, slice_lit("command")));
    assert_false(latency_reset(l, slice_lit("command")));
    assert_int_equal(latency_count(l), 0);
    latency_free(l);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_documented_and_consistent),
        cmocka_unit_test(every_command_is_found_in_any_case_and_only_once),
        cmocka_unit_test(keys_are_found_by_the_specification),
        cmocka_unit_test(keys_are_found_behind_their_number),
        cmocka_unit_test(resp2_knows_five_types),
        cmocka_unit_test(resp3_has_a_type_for_each),
        cmocka_unit_test(deferred_arrays_nest),
        cmocka_unit_test(deferred_arrays_take_many_and_long_values),
        cmocka_unit_test(errors_stay_one_line_and_are_counted),
        cmocka_unit_test(error_kinds_are_counted_by_first_word_up_to_a_limit),
        cmocka_unit_test(latency_keeps_the_worst_of_each_second),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
