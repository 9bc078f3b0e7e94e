/* The commands of sets: exact replies and errors in both protocols, algebra
 * against a model over many slices, draws by chance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../lib/two_clients.h"
#include "base/check.h"
#include "base/rng.h"

#define IDS 4000 /* members of the large sets: a multiple of something */
#define POOL_SMALL (512u << 10)

static int
setup(void **state)
{
    (void)two_clients_begin(state, 16 << 20);
    return 0;
}

static int
setup_small(void **state)
{
    (void)two_clients_begin(state, POOL_SMALL);
    return 0;
}

/* --- one command at a time ----------------------------------------------- */

static void
members_come_and_go(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "SADD s b a c a", ":3|");
    fake_expect(c, "SADD s a d", ":1|");
    fake_expect(c, "SCARD s", ":4|");
    fake_expect(c, "SCARD none", ":0|");
    fake_expect(c, "SISMEMBER s a", ":1|");
    fake_expect(c, "SISMEMBER s x", ":0|");
    fake_expect(c, "SISMEMBER none x", ":0|");
    fake_expect(c, "SMISMEMBER s a x d", "*3|:1|:0|:1|");
    fake_expect(c, "SMISMEMBER none a x", "*2|:0|:0|");
    fake_expect(c, "SMEMBERS s", "*4|$1|a|$1|b|$1|c|$1|d|");
    fake_expect(c, "SMEMBERS none", "*0|");
    fake_expect(c, "SREM s a x b", ":2|");
    fake_expect(c, "SREM none a", ":0|");
    fake_expect(c, "SREM s c d", ":2|");
    fake_expect(c, "EXISTS s", ":0|");
    fake_expect(c, "TYPE s", "+none|");
    fake_expect(c, "SADD s ''", ":1|");
    fake_expect(c, "SMEMBERS s", "*1|$0||");
    fake_expect(c, "TYPE s", "+set|");
}

static void
resp3_has_a_type_for_sets(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    (void)fake_ask(c, "HELLO 3");
    fake_expect(c, "SADD s a b", ":2|");
    fake_expect(c, "SMEMBERS s", "~2|$1|a|$1|b|");
    fake_expect(c, "SMEMBERS none", "~0|");
    fake_expect(c, "SINTER s s", "~2|$1|a|$1|b|");
    fake_expect(c, "SINTER s none", "~0|");
    fake_expect(c, "SUNION s none", "~2|$1|a|$1|b|");
    fake_expect(c, "SDIFF none s", "~0|");
    fake_expect(c, "SRANDMEMBER s 2", "*2|$1|a|$1|b|");
    fake_expect(c, "SRANDMEMBER none 2", "*0|");
    fake_expect(c, "SRANDMEMBER none", "_|");
    fake_expect(c, "SPOP none", "_|");
    fake_expect(c, "SPOP none 3", "~0|");
    fake_expect(c, "SPOP s 0", "~0|");
    fake_expect(c, "SPOP s 9", "~2|$1|a|$1|b|");
    fake_expect(c, "EXISTS s", ":0|");
}

static void
a_member_moves(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "SADD s a b", ":2|");
    fake_expect(c, "SMOVE s t a", ":1|");
    fake_expect(c, "SMOVE s t a", ":0|");
    fake_expect(c, "SMOVE none t a", ":0|");
    fake_expect(c, "SMOVE s s b", ":1|");
    fake_expect(c, "SMOVE s s x", ":0|");
    fake_expect(c, "SADD t b", ":1|");
    fake_expect(c, "SMOVE s t b", ":1|");
    fake_expect(c, "EXISTS s", ":0|");
    fake_expect(c, "SMEMBERS t", "*2|$1|a|$1|b|");
    fake_expect(c, "SET str v", "+OK|");
    fake_expect(c, "SMOVE none str a", ":0|");
    fake_expect(c, "SMOVE t str a",
                "-WRONGTYPE Operation against a key holding the wrong kind of "
                "value|");
    fake_expect(c, "SMOVE str t a",
                "-WRONGTYPE Operation against a key holding the wrong kind of "
                "value|");
}

static void
other_types_and_bad_arguments_are_refused(void **state)
{
    static const char *const wrong[] = {
        "SADD str a",
        "SREM str a",
        "SCARD str",
        "SISMEMBER str a",
        "SMISMEMBER str a",
        "SMEMBERS str",
        "SPOP str",
        "SPOP str 0",
        "SRANDMEMBER str",
        "SRANDMEMBER str 1",
        "SSCAN str 0",
        "SINTER s str",
        "SINTER none str",
        "SUNION s str",
        "SDIFF s str",
        "SINTERSTORE s s str",
        "SUNIONSTORE s s str",
        "SDIFFSTORE s none str",
        "SINTERCARD 2 none str",
    };
    static const char *const bad[][2] = {
        {"SPOP s -1", "value is out of range, must be positive"},
        {"SPOP s x", "value is out of range, must be positive"},
        {"SPOP s 1 2", "syntax error"},
        {"SRANDMEMBER s 1 2", "syntax error"},
        {"SRANDMEMBER s x", "value is not an integer or out of range"},
        {"SRANDMEMBER s -9223372036854775808",
         "value is out of range, value must between -9223372036854775807 and "
         "9223372036854775807"},
        {"SINTERCARD 0 s", "numkeys should be greater than 0"},
        {"SINTERCARD x s", "numkeys should be greater than 0"},
        {"SINTERCARD 2 s",
         "Number of keys can't be greater than number of args"},
        {"SINTERCARD 1 s LIMIT -1", "LIMIT can't be negative"},
        {"SINTERCARD 1 s LIMIT", "syntax error"},
        {"SINTERCARD 1 s t", "syntax error"},
    };
    struct two_clients *w = *state;
    char want[200];

    fake_expect(&w->c, "SADD s a b", ":2|");
    fake_expect(&w->c, "SET str v", "+OK|");
    for (unsigned i = 0; i < nq_countof(wrong); i++)
        fake_expect(&w->c, wrong[i],
                    "-WRONGTYPE Operation against a key holding the wrong "
                    "kind of value|");
    for (unsigned i = 0; i < nq_countof(bad); i++) {
        snprintf(want, sizeof want, "-ERR %s|", bad[i][1]);
        fake_expect(&w->c, bad[i][0], want);
    }
    fake_expect(&w->c, "SMEMBERS s", "*2|$1|a|$1|b|");
}

static void
small_algebra(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "SADD s a b c", ":3|");
    fake_expect(c, "SADD t b c d", ":3|");
    fake_expect(c, "SINTER s t", "*2|$1|b|$1|c|");
    fake_expect(c, "SINTER s t s", "*2|$1|b|$1|c|");
    fake_expect(c, "SUNION s t none", "*4|$1|a|$1|b|$1|c|$1|d|");
    fake_expect(c, "SDIFF s t", "*1|$1|a|");
    fake_expect(c, "SDIFF s none", "*3|$1|a|$1|b|$1|c|");
    fake_expect(c, "SDIFF s t s", "*0|");
    fake_expect(c, "SINTERCARD 2 s t", ":2|");
    fake_expect(c, "SINTERCARD 2 s t LIMIT 1", ":1|");
    fake_expect(c, "SINTERCARD 2 s t LIMIT 0", ":2|");
    fake_expect(c, "SINTERCARD 2 s none", ":0|");
    fake_expect(c, "SET dst v", "+OK|");
    fake_expect(c, "SUNIONSTORE dst s t", ":4|");
    fake_expect(c, "SINTERSTORE dst dst t", ":3|");
    fake_expect(c, "SDIFFSTORE t s t", ":1|");
    fake_expect(c, "SMEMBERS t", "*1|$1|a|");
    fake_expect(c, "SINTERSTORE dst s none", ":0|");
    fake_expect(c, "EXISTS dst", ":0|");
    fake_expect(c, "SDIFFSTORE dst none", ":0|");
}

static void
encodings_are_told(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "SADD s 1 2", ":2|");
    fake_expect(c, "OBJECT ENCODING s", "$6|intset|");
    fake_expect(c, "SADD s x", ":1|");
    fake_expect(c, "OBJECT ENCODING s", "$8|listpack|");
    fake_expect(c, "SUNIONSTORE t s", ":3|");
    fake_expect(c, "OBJECT ENCODING t", "$8|listpack|");
    fake_expect(c, "SREM s x", ":1|");
    fake_expect(c, "SUNIONSTORE t s", ":2|");
    fake_expect(c, "OBJECT ENCODING t", "$6|intset|");
}

/* --- large sets ----------------------------------------------------------- */

/* The members m00000, m0000k, m0002k ... */
static void
fill(struct two_clients *w, const char *key, unsigned k)
{
    for (unsigned i = 0; i < IDS;) {
        buf_clear(&w->line);
        buf_printf(&w->line, "SADD %s", key);
        for (unsigned n = 0; n < FAKE_ARGS - 2 && i < IDS; n++, i += k)
            buf_printf(&w->line, " m%05u", i);
        buf_put_u8(&w->line, 0);
        (void)fake_ask(&w->c, (const char *)w->line.p);
    }
}

enum op { UNION, INTER, DIFF };
static const char *const op_names[] = {"SUNION", "SINTER", "SDIFF"};

static bool
is_in(enum op op, unsigned i, unsigned a, unsigned b)
{
    bool in_a = i % a == 0, in_b = i % b == 0;

    return op == UNION   ? in_a || in_b
           : op == INTER ? in_a && in_b
                         : in_a && !in_b;
}

/* What the operation on multiples of a and of b is, as a reply; its count. */
static unsigned
want_result(struct two_clients *w, enum op op, unsigned a, unsigned b)
{
    unsigned n = 0;

    for (unsigned i = 0; i < IDS; i++)
        n += is_in(op, i, a, b);
    buf_clear(&w->want);
    buf_printf(&w->want, "*%u|", n);
    for (unsigned i = 0; i < IDS; i++)
        if (is_in(op, i, a, b))
            buf_printf(&w->want, "$6|m%05u|", i);
    buf_put_u8(&w->want, 0);
    return n;
}

static void
assert_nothing_is_staged(struct two_clients *w)
{
    uint64_t keys;

    assert_int_equal(db_size(w->env.db, DB_STAGING, &keys), NQ_OK);
    assert_int_equal(keys, 0);
}

static void
check_large_algebra(struct two_clients *w)
{
    char line[80], want[40];

    fill(w, "a", 2);
    fill(w, "b", 3);
    for (enum op op = UNION; op <= DIFF; op++) {
        unsigned n = want_result(w, op, 2, 3);

        engine_env_cool(&w->env);
        snprintf(line, sizeof line, "%s a b", op_names[op]);
        fake_expect(&w->c, line, (const char *)w->want.p);
        snprintf(line, sizeof line, "%sSTORE c a b", op_names[op]);
        snprintf(want, sizeof want, ":%u|", n);
        engine_env_cool(&w->env);
        fake_expect(&w->c, line, want);
        fake_expect(&w->c, "SMEMBERS c", (const char *)w->want.p);
        assert_nothing_is_staged(w);
    }
    fake_expect(&w->c, "SINTERCARD 2 a b LIMIT 100", ":100|");
    fake_expect(&w->c, "SINTERCARD 2 a b", ":667|");
}

static void
large_algebra_equals_the_model(void **state)
{
    check_large_algebra(*state);
}

static void
large_algebra_equals_the_model_with_few_pages(void **state)
{
    check_large_algebra(*state);
}

static void
a_source_may_be_the_destination(void **state)
{
    struct two_clients *w = *state;
    unsigned n = want_result(w, UNION, 2, 3);
    char want[40];

    fill(w, "a", 2);
    fill(w, "b", 3);
    snprintf(want, sizeof want, ":%u|", n);
    fake_expect(&w->c, "SUNIONSTORE b a b", want);
    fake_expect(&w->c, "SMEMBERS b", (const char *)w->want.p);
    fake_expect(&w->c, "OBJECT ENCODING b", "$9|hashtable|");
}

/* A writer waits for the readers of a set; who deletes it does not. */
static void
a_result_is_as_of_one_moment(void **state)
{
    struct two_clients *w = *state;
    unsigned n = want_result(w, UNION, 2, 3);
    char want[40];

    fill(w, "a", 2);
    fill(w, "b", 3);
    snprintf(want, sizeof want, ":%u|", n);
    fake_send(&w->c, "SUNIONSTORE c a b");
    assert_int_equal(w->c.nkept, 1); /* more than a batch */
    fake_send(&w->other, "SADD a m99999 m00000x");
    assert_int_equal(w->other.nkept, 1);
    while (w->c.nkept > 0)
        engine_env_turn(&w->env);
    assert_string_equal(fake_read(&w->c), want);
    fake_expect(&w->c, "SMEMBERS c", (const char *)w->want.p);
    while (w->other.nkept > 0)
        engine_env_turn(&w->env);
    assert_string_equal(fake_read(&w->other), ":2|");

    fake_send(&w->c, "SUNIONSTORE c a b");
    fake_expect(&w->other, "FLUSHALL", "+OK|");
    snprintf(want, sizeof want, ":%u|", n + 2);
    while (w->c.nkept > 0)
        engine_env_turn(&w->env);
    assert_string_equal(fake_read(&w->c), want);
    fake_expect(&w->c, "DBSIZE", ":1|");
    assert_nothing_is_staged(w);
}

static void
a_client_that_goes_leaves_nothing_behind(void **state)
{
    struct two_clients *w = *state;
    struct fake_client gone;

    fill(w, "a", 1);
    fake_open(&w->env, &gone);
    fake_send(&gone, "SUNIONSTORE c a a");
    engine_env_turn(&w->env);
    assert_int_equal(gone.nkept, 1);
    fake_close(&gone);
    assert_nothing_is_staged(w);
    fake_expect(&w->c, "EXISTS c", ":0|");
    fake_expect(&w->c, "SADD a more", ":1|");
}

static void
inside_multi_all_is_done_at_once(void **state)
{
    struct two_clients *w = *state;
    unsigned n = want_result(w, UNION, 2, 3);
    char want[80];

    fill(w, "a", 2);
    fill(w, "b", 3);
    engine_env_cool(&w->env);
    fake_expect(&w->c, "MULTI", "+OK|");
    fake_expect(&w->c, "SUNIONSTORE c a b", "+QUEUED|");
    fake_expect(&w->c, "SPOP c 4000000", "+QUEUED|");
    fake_expect(&w->c, "SUNIONSTORE c a b", "+QUEUED|");
    fake_expect(&w->c, "SCARD c", "+QUEUED|");
    buf_clear(&w->line);
    buf_printf(&w->line, "*4|:%u|%s:%u|:%u|", n, (const char *)w->want.p, n, n);
    buf_put_u8(&w->line, 0);
    fake_expect(&w->c, "EXEC", (const char *)w->line.p);
    snprintf(want, sizeof want, ":%u|", n);
    fake_expect(&w->c, "SCARD c", want);
}

/* --- by chance ----------------------------------------------------------- */

/* Marks the members of a reply; how many there are, each once. */
static unsigned
mark_members(const char *text, uint8_t seen[IDS])
{
    unsigned n = 0;

    for (const char *p = text; (p = strstr(p, "$6|m")) != NULL; p += 4, n++)
        seen[strtoul(p + 4, NULL, 10)]++;
    return n;
}

static unsigned
count_ones(const uint8_t seen[IDS])
{
    unsigned n = 0;

    for (unsigned i = 0; i < IDS; i++)
        n += seen[i] == 1;
    return n;
}

static void
check_counts(struct two_clients *w)
{
    static const unsigned counts[] = {1, 3, 100, 500, 501, 2500, IDS - 1, IDS};
    char line[80], want[40];

    for (unsigned i = 0; i < nq_countof(counts); i++) {
        uint8_t drawn[IDS] = {0}, popped[IDS] = {0};

        fill(w, "a", 1);
        engine_env_cool(&w->env);
        snprintf(line, sizeof line, "SRANDMEMBER a %u", counts[i]);
        assert_int_equal(mark_members(fake_ask(&w->c, line), drawn), counts[i]);
        assert_int_equal(count_ones(drawn), counts[i]);
        engine_env_cool(&w->env);
        snprintf(line, sizeof line, "SPOP a %u", counts[i]);
        assert_int_equal(mark_members(fake_ask(&w->c, line), popped),
                         counts[i]);
        assert_int_equal(count_ones(popped), counts[i]);
        snprintf(want, sizeof want, ":%u|", IDS - counts[i]);
        fake_expect(&w->c, "SCARD a", want);
        mark_members(fake_ask(&w->c, "SMEMBERS a"), popped);
        assert_int_equal(count_ones(popped), IDS);
    }
}

static void
any_number_of_members_is_drawn(void **state)
{
    check_counts(*state);
}

static void
any_number_of_members_is_drawn_with_few_pages(void **state)
{
    check_counts(*state);
}

static void
a_negative_count_may_repeat(void **state)
{
    struct two_clients *w = *state;
    uint8_t seen[IDS] = {0};

    fake_expect(&w->c, "SADD s m00001 m00002", ":2|");
    assert_int_equal(mark_members(fake_ask(&w->c, "SRANDMEMBER s -100"), seen),
                     100);
    assert_true(seen[1] > 10 && seen[2] > 10);
    fake_expect(&w->c, "SRANDMEMBER s 0", "*0|");
}

/* 3000 draws from 6: each of them 500 times, with a deviation of 20. */
static void
all_members_are_equally_likely(void **state)
{
    static const char *const draws[] = {"SRANDMEMBER s", "SRANDMEMBER s 1",
                                        "SRANDMEMBER s -1", "SPOP s",
                                        "SPOP s 1"};
    struct two_clients *w = *state;

    for (unsigned k = 0; k < nq_countof(draws); k++) {
        unsigned seen[6] = {0};

        fake_expect(&w->c, "DEL s", k == 0 ? ":0|" : ":1|");
        fake_expect(&w->c, "SADD s 0 1 2 3 4 5", ":6|");
        for (unsigned i = 0; i < 3000; i++) {
            const char *digit = strstr(fake_ask(&w->c, draws[k]), "$1|");
            char line[20];

            assert_non_null(digit);
            seen[digit[3] - '0']++;
            snprintf(line, sizeof line, "SADD s %c", digit[3]);
            (void)fake_ask(&w->c, line);
        }
        for (unsigned i = 0; i < 6; i++)
            assert_true(seen[i] > 380 && seen[i] < 620);
    }
}

/* Each pair of 5 members is drawn as often as any other. */
static void
all_subsets_are_equally_likely(void **state)
{
    struct two_clients *w = *state;
    unsigned seen[5][5] = {0};

    fake_expect(&w->c, "SADD s 0 1 2 3 4", ":5|");
    for (unsigned i = 0; i < 3000; i++) {
        const char *a = strstr(fake_ask(&w->c, "SRANDMEMBER s 2"), "$1|");
        const char *b = strstr(a + 1, "$1|");

        seen[nq_min(a[3], b[3]) - '0'][nq_max(a[3], b[3]) - '0']++;
    }
    for (unsigned i = 0; i < 5; i++)
        for (unsigned j = i + 1; j < 5; j++)
            assert_true(seen[i][j] > 200 && seen[i][j] < 400);
}

static void
a_scan_gives_all_members(void **state)
{
    struct two_clients *w = *state;
    uint8_t seen[IDS] = {0};
    unsigned long long cursor = 0;
    char line[60];

    fill(w, "a", 1);
    do {
        const char *text;

        snprintf(line, sizeof line, "SSCAN a %llu COUNT 300", cursor);
        text = fake_ask(&w->c, line);
        assert_int_equal(strncmp(text, "*2|$", 4), 0);
        cursor = strtoull(strchr(text + 4, '|') + 1, NULL, 10);
        (void)mark_members(text, seen);
    } while (cursor != 0);
    assert_int_equal(count_ones(seen), IDS);
    fake_expect(&w->c, "SADD s a b ab", ":3|");
    fake_expect(&w->c, "SSCAN s 0 MATCH a*", "*2|$1|0|*2|$1|a|$2|ab|");
    fake_expect(&w->c, "SSCAN none 0", "*2|$1|0|*0|");
    fake_expect(&w->c, "SSCAN s x", "-ERR invalid cursor|");
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, two_clients_end)
#define SMALL(fn)                                                              \
    cmocka_unit_test_setup_teardown(fn, setup_small, two_clients_end)
    const struct CMUnitTest tests[] = {
        T(members_come_and_go),
        T(resp3_has_a_type_for_sets),
        T(a_member_moves),
        T(other_types_and_bad_arguments_are_refused),
        T(small_algebra),
        T(encodings_are_told),
        T(large_algebra_equals_the_model),
        SMALL(large_algebra_equals_the_model_with_few_pages),
        T(a_source_may_be_the_destination),
        T(a_result_is_as_of_one_moment),
        T(a_client_that_goes_leaves_nothing_behind),
        T(inside_multi_all_is_done_at_once),
        T(any_number_of_members_is_drawn),
        SMALL(any_number_of_members_is_drawn_with_few_pages),
        T(a_negative_count_may_repeat),
        T(all_members_are_equally_likely),
        T(all_subsets_are_equally_likely),
        T(a_scan_gives_all_members),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
