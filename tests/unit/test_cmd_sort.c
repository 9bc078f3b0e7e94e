/* SORT and SORT_RO: exact replies and errors, large inputs in slices; the
 * merge sort that pauses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../lib/two_clients.h"
#include "base/check.h"
#include "base/rng.h"
#include "cmd/sort_merge.h"

#define IDS 3000 /* elements of the large inputs */

static int
setup(void **state)
{
    (void)two_clients_begin(state, 16 << 20);
    return 0;
}

static int
setup_small(void **state)
{
    (void)two_clients_begin(state, 512u << 10);
    return 0;
}

/* --- small inputs --------------------------------------------------------- */

static void
numbers_and_texts_are_sorted(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "RPUSH l 10 9 -1 2.5 1e1 ''", ":6|");
    fake_expect(c, "SORT l", "*6|$2|-1|$0||$3|2.5|$1|9|$2|10|$3|1e1|");
    fake_expect(c, "SORT l DESC", "*6|$3|1e1|$2|10|$1|9|$3|2.5|$0||$2|-1|");
    fake_expect(c, "SORT l ALPHA", "*6|$0||$2|-1|$2|10|$3|1e1|$3|2.5|$1|9|");
    fake_expect(c, "SORT l ALPHA DESC LIMIT 1 2", "*2|$3|2.5|$3|1e1|");
    fake_expect(c, "SORT l LIMIT -5 2", "*2|$2|-1|$0||");
    fake_expect(c, "SORT l LIMIT 4 -1", "*2|$2|10|$3|1e1|");
    fake_expect(c, "SORT l LIMIT 9 2", "*0|");
    fake_expect(c, "SORT none", "*0|");
    fake_expect(c, "SADD s 3 1 2", ":3|");
    fake_expect(c, "SORT s DESC", "*3|$1|3|$1|2|$1|1|");
    fake_expect(c, "SORT_RO s", "*3|$1|1|$1|2|$1|3|");
}

static void
weights_and_values_come_from_patterns(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "RPUSH l a b c", ":3|");
    fake_expect(c, "MSET w_a 3 w_c 1 v_a_ A v_b_ B", "+OK|");
    fake_expect(c, "HSET h_a f x", ":1|");
    fake_expect(c, "HSET h_c f u", ":1|");
    fake_expect(c, "SORT l BY w_*", "*3|$1|b|$1|c|$1|a|");
    fake_expect(c, "SORT l BY w_* DESC GET v_*_ GET #",
                "*6|$1|A|$1|a|$-1|$1|c|$1|B|$1|b|");
    fake_expect(c, "SORT l BY h_*->f ALPHA", "*3|$1|b|$1|c|$1|a|");
    fake_expect(c, "SORT l BY nosort GET h_*->f", "*3|$1|x|$-1|$1|u|");
    fake_expect(c, "SORT l BY nosort GET h_*-> GET w_*->f GET nostar",
                "*9|$-1|$-1|$-1|$-1|$-1|$-1|$-1|$-1|$-1|");
    fake_expect(c, "SORT l BY nosort DESC LIMIT 1 5", "*2|$1|b|$1|a|");
}

static void
without_sorting_a_sorted_set_keeps_its_order(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "ZADD z 3 a 1 b 2 c", ":3|");
    fake_expect(c, "SORT z BY nosort", "*3|$1|b|$1|c|$1|a|");
    fake_expect(c, "SORT z BY nosort DESC LIMIT 0 2", "*2|$1|a|$1|c|");
    fake_expect(c, "SORT z BY nosort LIMIT 2 9", "*1|$1|a|");
    fake_expect(c, "SORT z ALPHA", "*3|$1|a|$1|b|$1|c|");
}

static void
results_are_stored_as_a_list(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "SADD s 3 1 2", ":3|");
    fake_expect(c, "SET w_1 x", "+OK|");
    fake_expect(c, "SORT s DESC STORE l", ":3|");
    fake_expect(c, "LRANGE l 0 -1", "*3|$1|3|$1|2|$1|1|");
    fake_expect(c, "SORT s GET w_* STORE l", ":3|");
    fake_expect(c, "LRANGE l 0 -1", "*3|$1|x|$0||$0||");
    fake_expect(c, "SORT s BY nosort STORE s", ":3|");
    fake_expect(c, "LRANGE s 0 -1", "*3|$1|1|$1|2|$1|3|");
    fake_expect(c, "SORT s LIMIT 5 1 STORE l", ":0|");
    fake_expect(c, "EXISTS l", ":0|");
    fake_expect(c, "SORT none STORE s", ":0|");
    fake_expect(c, "EXISTS s", ":0|");
}

static void
bad_arguments_are_refused(void **state)
{
    static const char *const wrong[] = {
        "SORT s BY",         "SORT s LIMIT 1", "SORT s GET",   "SORT s UP",
        "SORT_RO s STORE l", "SORT s STORE",   "SORT str GET",
    };
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "SADD s 1 x", ":2|");
    fake_expect(c, "SET str v", "+OK|");
    for (unsigned i = 0; i < nq_countof(wrong); i++)
        fake_expect(c, wrong[i], "-ERR syntax error|");
    fake_expect(c, "SORT s LIMIT a 1",
                "-ERR value is not an integer or out of range|");
    fake_expect(c, "SORT str",
                "-WRONGTYPE Operation against a key holding the wrong kind of "
                "value|");
    fake_expect(c, "SORT s",
                "-ERR One or more scores can't be converted into double|");
    fake_expect(c, "SADD t 1 1e999", ":2|");
    fake_expect(c, "SORT t STORE str",
                "-ERR One or more scores can't be converted into double|");
    fake_expect(c, "GET str", "$1|v|");
}

static void
the_destination_is_a_key_of_the_command(void **state)
{
    struct two_clients *w = *state;

    fake_expect(&w->c, "COMMAND GETKEYS SORT a BY b_* STORE c",
                "*2|$1|a|$1|c|");
    fake_expect(&w->c, "COMMAND GETKEYS SORT_RO a BY b_*", "*1|$1|a|");
}

/* --- large inputs --------------------------------------------------------- */

/* A list of all numbers below IDS, in a disorder that is always the same, with
 * weights that turn their order round. */
static void
fill(struct two_clients *w)
{
    for (unsigned i = 0; i < IDS;) {
        buf_clear(&w->line);
        buf_printf(&w->line, "RPUSH l");
        for (unsigned n = 0; n < FAKE_ARGS - 2 && i < IDS; n++, i++)
            buf_printf(&w->line, " %u", i * 1009 % IDS);
        buf_put_u8(&w->line, 0);
        (void)fake_ask(&w->c, (const char *)w->line.p);
    }
    for (unsigned i = 0; i < IDS;) {
        buf_clear(&w->line);
        buf_printf(&w->line, "MSET");
        for (unsigned n = 0; n < (FAKE_ARGS - 1) / 2 && i < IDS; n++, i++)
            buf_printf(&w->line, " w_%u %u", i, IDS - i);
        buf_put_u8(&w->line, 0);
        (void)fake_ask(&w->c, (const char *)w->line.p);
    }
}

static const char *
numbers(struct two_clients *w, bool desc)
{
    buf_clear(&w->want);
    buf_printf(&w->want, "*%u|", IDS);
    for (unsigned i = 0; i < IDS; i++) {
        char text[16];
        int n = snprintf(text, sizeof text, "%u", desc ? IDS - 1 - i : i);

        buf_printf(&w->want, "$%d|%s|", n, text);
    }
    buf_put_u8(&w->want, 0);
    return (const char *)w->want.p;
}

static void
check_large(struct two_clients *w)
{
    uint64_t keys;
    char stored[20];

    fill(w);
    snprintf(stored, sizeof stored, ":%u|", IDS);
    engine_env_cool(&w->env);
    fake_expect(&w->c, "SORT l", numbers(w, false));
    engine_env_cool(&w->env);
    fake_expect(&w->c, "SORT l BY w_*", numbers(w, true));
    engine_env_cool(&w->env);
    fake_expect(&w->c, "SORT l DESC GET # STORE m", stored);
    fake_expect(&w->c, "LRANGE m 0 -1", numbers(w, true));
    engine_env_cool(&w->env);
    fake_expect(&w->c, "SORT l STORE l", stored);
    fake_expect(&w->c, "SORT l BY nosort GET #", numbers(w, false));
    assert_int_equal(db_size(w->env.db, DB_STAGING, &keys), NQ_OK);
    assert_int_equal(keys, 0);
}

static void
large_inputs_are_sorted_in_slices(void **state)
{
    struct two_clients *w = *state;

    check_large(w);
    assert_true(w->env.e->stats.sliced_yields > 0);
}

static void
large_inputs_are_sorted_with_few_pages(void **state)
{
    check_large(*state);
}

static void
the_elements_are_of_one_moment(void **state)
{
    struct two_clients *w = *state;

    fill(w);
    engine_env_cool(&w->env);
    fake_send(&w->c, "SORT l");
    fake_expect(&w->other, "DEL l", ":1|");
    while (w->c.nkept > 0)
        engine_env_turn(&w->env);
    assert_int_equal(strncmp(fake_read(&w->c), "*", 1), 0);
    fake_expect(&w->c, "EXISTS l", ":0|");
}

static void
inside_multi_it_is_done_at_once(void **state)
{
    struct two_clients *w = *state;

    fill(w);
    fake_expect(&w->c, "MULTI", "+OK|");
    fake_expect(&w->c, "SORT l DESC STORE l", "+QUEUED|");
    fake_expect(&w->c, "LLEN l", "+QUEUED|");
    fake_expect(&w->c, "EXEC", "*2|:3000|:3000|");
    fake_expect(&w->c, "LRANGE l 0 -1", numbers(w, true));
}

/* --- the merge sort ------------------------------------------------------- */

static int
compare_lens(const void *arg, const struct sort_item *a,
             const struct sort_item *b)
{
    ++*(uint64_t *)(uintptr_t)arg;
    return (a->len > b->len) - (a->len < b->len);
}

static void
the_merge_sort_is_stable_and_pauses(void **state)
{
    struct sort_item items[300];
    struct rng rng;

    nq_unused(state);
    rng_seed(&rng, 1);
    for (size_t n = 0; n < nq_countof(items); n++) {
        struct sorter s;
        uint64_t compared = 0, before = 0;
        bool more;

        for (size_t i = 0; i < n; i++)
            items[i] = (struct sort_item){.text = i,
                                          .len = (uint32_t)rng_below(&rng, 20)};
        sorter_init(&s, items, n, compare_lens, &compared);
        do {
            more = sorter_run(&s, 7);
            assert_true(compared - before <= 2 * 7);
            before = compared;
        } while (more);
        for (size_t i = 1; i < n; i++)
            assert_true(items[i - 1].len < items[i].len ||
                        (items[i - 1].len == items[i].len &&
                         items[i - 1].text < items[i].text));
        sorter_fini(&s);
    }
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, two_clients_end)
#define SMALL(fn)                                                              \
    cmocka_unit_test_setup_teardown(fn, setup_small, two_clients_end)
    const struct CMUnitTest tests[] = {
        T(numbers_and_texts_are_sorted),
        T(weights_and_values_come_from_patterns),
        T(without_sorting_a_sorted_set_keeps_its_order),
        T(results_are_stored_as_a_list),
        T(bad_arguments_are_refused),
        T(the_destination_is_a_key_of_the_command),
        T(large_inputs_are_sorted_in_slices),
        SMALL(large_inputs_are_sorted_with_few_pages),
        T(the_elements_are_of_one_moment),
        T(inside_multi_it_is_done_at_once),
        cmocka_unit_test(the_merge_sort_is_stable_and_pauses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
