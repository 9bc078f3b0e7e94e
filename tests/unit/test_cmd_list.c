/* The commands of lists: exact replies in RESP2 and RESP3, the order of
 * checks, encodings, and long ones in slices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "../lib/two_clients.h"
#include "base/mem.h"
#include "cmd/notify.h"
#include "db/lists.h"

#define POOL (64u << 20)
#define LONG 120000
#define WRONGTYPE                                                              \
    "-WRONGTYPE Operation against a key holding the wrong kind of value|"
#define NOT_INT "-ERR value is not an integer or out of range|"
#define SYNTAX "-ERR syntax error|"

static int
setup(void **state)
{
    struct two_clients *w = two_clients_begin(state, POOL);

    fake_expect(&w->c, "set str v", "+OK|");
    return 0;
}

/* --- what is answered ---------------------------------------------------- */

static void
pushes_and_pops_answer_as_redis(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c, "lpushx k a", ":0|");
    fake_expect(c, "rpush k a b c", ":3|");
    fake_expect(c, "lpush k 1 2", ":5|");
    fake_expect(c, "rpushx k d", ":6|");
    fake_expect(c, "lpushx k e", ":7|");
    fake_expect(c, "lrange k 0 -1", "*7|$1|e|$1|2|$1|1|$1|a|$1|b|$1|c|$1|d|");
    fake_expect(c, "llen k", ":7|");
    fake_expect(c, "lpop k", "$1|e|");
    fake_expect(c, "rpop k 2", "*2|$1|d|$1|c|");
    fake_expect(c, "lpop k 0", "*0|");
    fake_expect(c, "lpop k 100", "*4|$1|2|$1|1|$1|a|$1|b|");
    fake_expect(c, "exists k", ":0|");
    fake_expect(c, "lpop k", "$-1|");
    fake_expect(c, "lpop k 2", "*-1|");
    fake_expect(c, "llen k", ":0|");
    fake_expect(c, "lpop k 1 2",
                "-ERR wrong number of arguments for 'lpop' command|");
    fake_expect(c, "rpop str -1",
                "-ERR value is out of range, must be positive|");
    fake_expect(c, "rpop str x",
                "-ERR value is out of range, must be positive|");
    fake_expect(c, "rpop str 1", WRONGTYPE);
    fake_expect(c, "lpush str x", WRONGTYPE);
    fake_expect(c, "llen str", WRONGTYPE);
}

static void
resp3_has_nulls_of_its_own(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    (void)fake_ask(c, "hello 3");
    fake_expect(c, "lpop none", "_|");
    fake_expect(c, "lpop none 1", "_|");
    fake_expect(c, "lmpop 1 none left", "_|");
    fake_expect(c, "lindex none 0", "_|");
    fake_expect(c, "lmove none k left left", "_|");
    fake_expect(c, "lpos none x", "_|");
    fake_expect(c, "lpos none x count 0", "*0|");
}

static void
indexes_count_from_both_ends(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c, "lset k 0 x", "-ERR no such key|");
    fake_expect(c, "lset none x x", "-ERR no such key|");
    fake_expect(c, "lindex none x", "$-1|");
    fake_expect(c, "rpush k 10 20 30", ":3|");
    fake_expect(c, "lindex k 0", "$2|10|");
    fake_expect(c, "lindex k -1", "$2|30|");
    fake_expect(c, "lindex k 3", "$-1|");
    fake_expect(c, "lindex k -4", "$-1|");
    fake_expect(c, "lindex k x", NOT_INT);
    fake_expect(c, "lset k -1 z", "+OK|");
    fake_expect(c, "lset k 3 z", "-ERR index out of range|");
    fake_expect(c, "lset k 1.5 z", NOT_INT);
    fake_expect(c, "lset str 0 z", WRONGTYPE);
    fake_expect(c, "lrange k -100 100", "*3|$2|10|$2|20|$1|z|");
    fake_expect(c, "lrange k 2 1", "*0|");
    fake_expect(c, "lrange k 5 9", "*0|");
    fake_expect(c, "lrange k -2 -2", "*1|$2|20|");
    fake_expect(c, "lrange none x 1", NOT_INT);
    fake_expect(c, "lrange str 0 1", WRONGTYPE);
    fake_expect(c, "ltrim k 1 -1", "+OK|");
    fake_expect(c, "lrange k 0 -1", "*2|$2|20|$1|z|");
    fake_expect(c, "ltrim k 5 9", "+OK|");
    fake_expect(c, "exists k", ":0|");
    fake_expect(c, "ltrim k 0 0", "+OK|");
}

static void
elements_are_found_removed_and_put_beside(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c, "linsert k sideways a b", SYNTAX);
    fake_expect(c, "linsert k before a b", ":0|");
    fake_expect(c, "rpush k a b a c a", ":5|");
    fake_expect(c, "linsert k BEFORE b x", ":6|");
    fake_expect(c, "linsert k after c y", ":7|");
    fake_expect(c, "linsert k after nope y", ":-1|");
    fake_expect(c, "lrange k 0 -1", "*7|$1|a|$1|x|$1|b|$1|a|$1|c|$1|y|$1|a|");
    fake_expect(c, "lpos k a", ":0|");
    fake_expect(c, "lpos k a rank 2", ":3|");
    fake_expect(c, "lpos k a rank -1", ":6|");
    fake_expect(c, "lpos k a rank 4", "$-1|");
    fake_expect(c, "lpos k a count 0", "*3|:0|:3|:6|");
    fake_expect(c, "lpos k a count 2 rank -1", "*2|:6|:3|");
    fake_expect(c, "lpos k a count 0 maxlen 4", "*2|:0|:3|");
    fake_expect(c, "lpos k nope count 1", "*0|");
    fake_expect(c, "lrem k 1 a", ":1|");
    fake_expect(c, "lrem k -1 a", ":1|");
    fake_expect(c, "lrange k 0 -1", "*5|$1|x|$1|b|$1|a|$1|c|$1|y|");
    fake_expect(c, "lrem k 0 nope", ":0|");
    fake_expect(c, "lrem none x a", NOT_INT);
    fake_expect(c, "lrem none 0 a", ":0|");
}

static void
lpos_judges_its_options_first(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c, "lpos str a rank 0",
                "-ERR RANK can't be zero: use 1 to start from the first match, "
                "2 from the second ... or use negative to start from the end "
                "of the list|");
    fake_expect(c, "lpos str a rank x", NOT_INT);
    fake_expect(c, "lpos str a rank -9223372036854775808",
                "-ERR value is out of range, value must between "
                "-9223372036854775807 and 9223372036854775807|");
    fake_expect(c, "lpos str a count -1", "-ERR COUNT can't be negative|");
    fake_expect(c, "lpos str a maxlen x", "-ERR MAXLEN can't be negative|");
    fake_expect(c, "lpos str a rank", SYNTAX);
    fake_expect(c, "lpos str a foo 1", SYNTAX);
    fake_expect(c, "lpos str a", WRONGTYPE);
}

static void
elements_move_between_lists(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c, "rpush k a b c", ":3|");
    fake_expect(c, "lmove k j left right", "$1|a|");
    fake_expect(c, "rpoplpush k j", "$1|c|");
    fake_expect(c, "lrange j 0 -1", "*2|$1|c|$1|a|");
    fake_expect(c, "lmove j j right left", "$1|a|");
    fake_expect(c, "lrange j 0 -1", "*2|$1|a|$1|c|");
    fake_expect(c, "lmove k str left left", WRONGTYPE);
    fake_expect(c, "lmove none str left left", "$-1|");
    fake_expect(c, "lmove k j up left", SYNTAX);
    fake_expect(c, "expire k 1000", ":1|");
    fake_expect(c, "rpoplpush k k", "$1|b|");
    fake_expect(c, "persist k", ":1|"); /* the key was there all the time */
    fake_expect(c, "lmove k j left left", "$1|b|");
    fake_expect(c, "exists k", ":0|");
}

static void
lmpop_takes_from_the_first_list_that_is_there(void **state)
{
    struct fake_client *c = &((struct two_clients *)*state)->c;

    fake_expect(c, "rpush k a b c", ":3|");
    fake_expect(c, "lmpop 2 none k left", "*2|$1|k|*1|$1|a|");
    fake_expect(c, "lmpop 2 none k right count 9", "*2|$1|k|*2|$1|c|$1|b|");
    fake_expect(c, "lmpop 1 k left", "*-1|");
    fake_expect(c, "lmpop 1 str left", WRONGTYPE);
    fake_expect(c, "lmpop 0 k left", "-ERR numkeys should be greater than 0|");
    fake_expect(c, "lmpop 1 k left count 0",
                "-ERR count should be greater than 0|");
    fake_expect(c, "lmpop 1 k up", SYNTAX);
    fake_expect(c, "lmpop 2 k left", SYNTAX);
}

/* --- events -------------------------------------------------------------- */

static void
changes_are_told_in_redis_order(void **state)
{
    struct two_clients *w = *state;
    struct buf told = BUF_INIT;
    const char *at;

    assert_true(notify_parse(slice_lit("EA"), &w->env.e->limits.notify));
    (void)fake_ask(&w->other, "psubscribe __key*");
    (void)fake_ask(&w->c, "rpush k a");
    (void)fake_ask(&w->c, "lpush k b");
    (void)fake_ask(&w->c, "lset k 0 x");
    (void)fake_ask(&w->c, "linsert k after x y");
    (void)fake_ask(&w->c, "lrem k 0 y");
    (void)fake_ask(&w->c, "ltrim k 0 0");
    (void)fake_ask(&w->c, "lmove k j left left");
    (void)fake_ask(&w->c, "rpop j");
    at = fake_read(&w->other);
    while ((at = strstr(at, "__:")) != NULL) {
        const char *end = strchr(at, '|');

        at += 3;
        buf_put(&told, at, (size_t)(end - at));
        buf_put_u8(&told, ' ');
    }
    buf_put_u8(&told, 0);
    assert_string_equal((char *)told.p, "rpush lpush lset linsert lrem ltrim "
                                        "lpush lpop del rpop del ");
    buf_fini(&told);
}

/* --- encodings ----------------------------------------------------------- */

static void
encodings_follow_the_limit_and_come_back_at_half_of_it(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    db_limits(w->env.db)->list_max_listpack_size = 4;
    fake_expect(c, "rpush k a b c d", ":4|");
    fake_expect(c, "object encoding k", "$8|listpack|");
    fake_expect(c, "rpush k e", ":5|");
    fake_expect(c, "object encoding k", "$9|quicklist|");
    fake_expect(c, "lpop k 2", "*2|$1|a|$1|b|");
    fake_expect(c, "object encoding k", "$9|quicklist|");
    fake_expect(c, "lpop k", "$1|c|");
    fake_expect(c, "object encoding k", "$8|listpack|");
    db_limits(w->env.db)->list_max_listpack_size = -2;
}

static struct slice
big(size_t len)
{
    static uint8_t bytes[20000];

    memset(bytes, 'x', sizeof bytes);
    return slice_of(bytes, len);
}

/* One push from outside of the commands. */
static void
push_raw(struct two_clients *w, struct slice key, const struct slice *elems,
         uint32_t n)
{
    struct entry e = {0};
    nq_rc rc;

    db_gate_reset(w->env.db);
    rc = db_find_write(w->env.db, 0, key, &e);
    assert_true(rc == NQ_OK || rc == NQ_NOTFOUND);
    assert_int_equal(list_push(w->env.db, 0, key, &e, rc == NQ_OK, LIST_TAIL,
                               elems, n, NULL, NULL),
                     NQ_OK);
}

static void
a_long_element_makes_a_quicklist_until_it_goes(void **state)
{
    struct two_clients *w = *state;
    struct slice elem = big(9000);

    fake_expect(&w->c, "rpush k a b", ":2|");
    push_raw(w, slice_lit("k"), &elem, 1);
    fake_expect(&w->c, "object encoding k", "$9|quicklist|");
    fake_expect(&w->c, "lset k 2 c", "+OK|");
    fake_expect(&w->c, "object encoding k", "$8|listpack|");
    fake_expect(&w->c, "lrange k 0 -1", "*3|$1|a|$1|b|$1|c|");
}

/* --- long lists ---------------------------------------------------------- */

/* 0, 1, 2 ... as a list. */
static void
push_numbers(struct two_clients *w, const char *key, unsigned n)
{
    struct slice *elems = nq_calloc(n, sizeof *elems);
    char(*texts)[8] = nq_calloc(n, sizeof *texts);

    for (unsigned i = 0; i < n; i++)
        elems[i] = slice_of(texts[i], (size_t)snprintf(texts[i], 8, "%u", i));
    push_raw(w, slice_str(key), elems, n);
    nq_free(texts);
    nq_free(elems);
}

/* An array of from, from + by ... to, exclusive. */
static void
expect_numbers(const char *text, int from, int to, int by)
{
    char want[32];
    int n = snprintf(want, sizeof want, "*%d|", (to - from) / by);

    assert_memory_equal(text, want, (size_t)n);
    text += n;
    for (int i = from; i != to; i += by) {
        char number[16];
        int len = snprintf(number, sizeof number, "%d", i);

        n = snprintf(want, sizeof want, "$%d|%s|", len, number);
        assert_memory_equal(text, want, (size_t)n);
        text += n;
    }
    assert_string_equal(text, "");
}

static uint64_t
yields(const struct two_clients *w)
{
    return w->env.e->stats.sliced_yields;
}

/* Sends without waiting for the end of it: runs one turn. */
static void
begin(struct two_clients *w, struct fake_client *c, const char *line)
{
    uint64_t was = yields(w);

    fake_send(c, line);
    assert_true(yields(w) > was);
}

/* Turns until all is answered. */
static const char *
end(struct two_clients *w, struct fake_client *c)
{
    while (c->nkept > 0)
        engine_env_turn(&w->env);
    return fake_read(c);
}

static void
a_long_range_is_of_one_moment(void **state)
{
    struct two_clients *w = *state;

    push_numbers(w, "k", LONG);
    begin(w, &w->c, "lrange k 0 -1");
    fake_send(&w->other, "rpop k");
    assert_int_equal(w->other.nkept, 1);
    expect_numbers(end(w, &w->c), 0, LONG, 1);
    assert_string_equal(end(w, &w->other), "$6|119999|");
}

static void
a_long_range_goes_on_when_its_key_goes(void **state)
{
    struct two_clients *w = *state;

    push_numbers(w, "k", LONG);
    begin(w, &w->c, "lrange k 0 -1");
    fake_expect(&w->other, "del k", ":1|");
    expect_numbers(end(w, &w->c), 0, LONG, 1);
}

static void
a_long_pop_takes_all_or_nothing(void **state)
{
    struct two_clients *w = *state;

    push_numbers(w, "k", LONG);
    begin(w, &w->c, "rpop k 110000");
    fake_expect(&w->other, "llen k", ":120000|");
    expect_numbers(end(w, &w->c), LONG - 1, LONG - 110001, -1);
    fake_expect(&w->other, "llen k", ":10000|");
    push_numbers(w, "j", LONG);
    begin(w, &w->c, "lmpop 1 j left count 110000");
    fake_expect(&w->other, "rename j i", "+OK|");
    assert_string_equal(end(w, &w->c), "*-1|");
    fake_expect(&w->other, "llen i", ":120000|");
}

static void
long_searches_go_in_slices(void **state)
{
    struct two_clients *w = *state;

    push_numbers(w, "k", LONG);
    begin(w, &w->c, "lpos k 119999");
    assert_string_equal(end(w, &w->c), ":119999|");
    begin(w, &w->c, "linsert k before 119999 x");
    assert_string_equal(end(w, &w->c), ":120001|");
    fake_expect(&w->c, "lindex k 119999", "$1|x|");
    begin(w, &w->c, "lrem k 0 119999");
    assert_string_equal(end(w, &w->c), ":1|");
    begin(w, &w->c, "lrem k -1 5");
    assert_string_equal(end(w, &w->c), ":1|");
    fake_expect(&w->c, "lindex k 5", "$1|6|");
    begin(w, &w->c, "lrem k 0 x");
    fake_expect(&w->other, "del k", ":1|");
    assert_string_equal(end(w, &w->c), ":0|");
}

static void
long_lists_out_of_memory_are_read_again(void **state)
{
    struct two_clients *w = *state;

    push_numbers(w, "k", 20000);
    engine_env_cool(&w->env);
    expect_numbers(fake_ask(&w->c, "lrange k 0 -1"), 0, 20000, 1);
    engine_env_cool(&w->env);
    fake_expect(&w->c, "lindex k 12345", "$5|12345|");
    engine_env_cool(&w->env);
    fake_expect(&w->c, "lset k 12345 x", "+OK|");
    engine_env_cool(&w->env);
    fake_expect(&w->c, "ltrim k 12345 12346", "+OK|");
    fake_expect(&w->c, "lrange k 0 -1", "*2|$1|x|$5|12346|");
}

static void
inside_multi_all_is_in_one_piece(void **state)
{
    struct two_clients *w = *state;
    uint64_t was;

    push_numbers(w, "k", LONG);
    fake_expect(&w->c, "multi", "+OK|");
    fake_expect(&w->c, "lpos k 119999", "+QUEUED|");
    fake_expect(&w->c, "lrem k 0 119998", "+QUEUED|");
    fake_expect(&w->c, "lpop k 2", "+QUEUED|");
    was = yields(w);
    fake_expect(&w->c, "exec", "*3|:119999|:1|*2|$1|0|$1|1|");
    assert_int_equal(yields(w), was);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, two_clients_end)
    const struct CMUnitTest tests[] = {
        TEST(pushes_and_pops_answer_as_redis),
        TEST(resp3_has_nulls_of_its_own),
        TEST(indexes_count_from_both_ends),
        TEST(elements_are_found_removed_and_put_beside),
        TEST(lpos_judges_its_options_first),
        TEST(elements_move_between_lists),
        TEST(lmpop_takes_from_the_first_list_that_is_there),
        TEST(changes_are_told_in_redis_order),
        TEST(encodings_follow_the_limit_and_come_back_at_half_of_it),
        TEST(a_long_element_makes_a_quicklist_until_it_goes),
        TEST(a_long_range_is_of_one_moment),
        TEST(a_long_range_goes_on_when_its_key_goes),
        TEST(a_long_pop_takes_all_or_nothing),
        TEST(long_searches_go_in_slices),
        TEST(long_lists_out_of_memory_are_read_again),
        TEST(inside_multi_all_is_in_one_piece),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
