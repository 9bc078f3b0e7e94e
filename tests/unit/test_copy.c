/* COPY of big values: in slices, with checkpoints, crashes, writers and
 * departures in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "../lib/big.h"
#include "../lib/engine_env.h"
#include "base/mem.h"
#include "db/db_int.h"
#include "db/hold.h"

#define N 2500
#define LEN 60
#define SRC slice_lit("source")
#define DST slice_lit("copy")

static int
setup(void **state)
{
    struct env *e = nq_calloc(1, sizeof *e);

    env_init(e, 4096, 32 << 20);
    assert_int_equal(big_set(e, 0, SRC, 0, N, LEN), NQ_OK);
    *state = e;
    return 0;
}

static int
teardown(void **state)
{
    env_fini(*state);
    nq_free(*state);
    return 0;
}

/* One slice, as short as can be; a command with a state that misses comes
 * again as any other. */
static nq_rc
slice(struct env *e, struct copying **c)
{
    nq_rc rc = env_run(e, db_copy_some(e->db, 0, SRC, 1, DST, 0, c));

    env_turn(e);
    return rc;
}

static unsigned
finish(struct env *e, struct copying **c)
{
    unsigned slices = 1;
    nq_rc rc;

    while ((rc = slice(e, c)) == NQ_AGAIN)
        slices++;
    assert_int_equal(rc, NQ_OK);
    db_copy_end(*c);
    *c = NULL;
    return slices;
}

static void
a_copy_in_slices_is_one_effect_at_the_end(void **state)
{
    struct env *e = *state;
    struct copying *c = NULL;
    struct buf events = BUF_INIT;

    e->events = &events;
    assert_int_equal(slice(e, &c), NQ_AGAIN);
    assert_int_equal(big_root(e, 1, DST), 0);
    assert_int_equal(events.len, 0);
    assert_true(finish(e, &c) > 3);
    buf_put_u8(&events, 0);
    assert_string_equal((char *)events.p, "n new 1 copy\ng copy_to 1 copy\n");
    e->events = NULL;
    buf_fini(&events);
    assert_false(hold_is_any(e->db));
    assert_true(big_root(e, 1, DST) != big_root(e, 0, SRC));
    env_settle(e);
    env_check(e);
    assert_int_equal(big_set(e, 0, SRC, N, N + 10, LEN), NQ_OK);
    big_check(e, 1, DST, N, LEN);
    env_crash(e);
    env_open(e);
    big_check(e, 1, DST, N, LEN);
    big_check(e, 0, SRC, N + 10, LEN);
    env_check(e);
}

static void
writers_of_the_source_wait_for_it(void **state)
{
    struct env *e = *state;
    struct copying *c = NULL;

    assert_int_equal(slice(e, &c), NQ_AGAIN);
    assert_int_equal(big_set(e, 0, SRC, 1, 2, LEN), NQ_EHELD);
    (void)finish(e, &c);
    assert_int_equal(e->releases, 1);
    assert_int_equal(big_set(e, 0, SRC, 1, 2, LEN), NQ_OK);
}

static void
a_copy_that_meets_a_waiting_writer_steps_back(void **state)
{
    struct env *e = *state;
    uint64_t pages = big_pages(e);
    struct hold other = {.root = 0};
    struct copying *c = NULL;

    assert_int_equal(hold_take(&other, e->db, big_root(e, 0, SRC)), NQ_OK);
    assert_int_equal(big_set(e, 0, SRC, 1, 2, LEN), NQ_EHELD);
    assert_int_equal(slice(e, &c), NQ_EHELD);
    assert_null(c);
    env_settle(e);
    assert_int_equal(big_pages(e), pages);
    hold_end(&other);
    (void)finish(e, &c);
}

static void
a_copy_given_up_leaves_nothing(void **state)
{
    struct env *e = *state;
    uint64_t pages = big_pages(e);

    for (unsigned slices = 1; slices < 12; slices++) {
        struct copying *c = NULL;

        for (unsigned i = 0; i < slices; i++)
            assert_int_equal(slice(e, &c), NQ_AGAIN);
        env_check(e);
        db_copy_end(c);
        env_settle(e);
        assert_int_equal(big_pages(e), pages);
    }
    env_check(e);
}

static void
a_crash_in_the_middle_leaves_nothing(void **state)
{
    struct env *e = *state;
    uint64_t pages = big_pages(e);
    struct copying *c = NULL;

    for (int i = 0; i < 4; i++)
        assert_int_equal(slice(e, &c), NQ_AGAIN);
    env_checkpoint(e);
    assert_int_equal(slice(e, &c), NQ_AGAIN);
    db_copy_end(c);
    env_crash(e);
    env_open(e);
    env_check(e);
    env_settle(e);
    env_check(e);
    assert_int_equal(big_pages(e), pages);
    assert_int_equal(big_root(e, 1, DST), 0);
    big_check(e, 0, SRC, N, LEN);
}

static void
checkpoints_in_between_do_no_harm(void **state)
{
    struct env *e = *state;
    struct copying *c = NULL;

    while (slice(e, &c) == NQ_AGAIN)
        env_checkpoint(e);
    db_copy_end(c);
    env_settle(e);
    env_check(e);
    env_crash(e);
    env_open(e);
    big_check(e, 1, DST, N, LEN);
    env_check(e);
}

static void
a_source_that_goes_ends_the_copy(void **state)
{
    struct env *e = *state;
    struct copying *c = NULL;

    assert_int_equal(slice(e, &c), NQ_AGAIN);
    assert_int_equal(env_run(e, db_del(e->db, 0, SRC)), NQ_OK);
    assert_int_equal(slice(e, &c), NQ_NOTFOUND);
    db_copy_end(c);
    env_settle(e);
    assert_true(big_pages(e) < 5);
    env_check(e);
}

static void
a_source_that_is_another_one_is_copied_from_its_start(void **state)
{
    struct env *e = *state;
    struct copying *c = NULL;

    assert_int_equal(big_set(e, 0, slice_lit("x"), 0, N / 2, LEN + 1), NQ_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(slice(e, &c), NQ_AGAIN);
    assert_int_equal(env_run(e, db_rename(e->db, 0, slice_lit("x"), 0, SRC)),
                     NQ_OK);
    (void)finish(e, &c);
    big_check(e, 1, DST, N / 2, LEN + 1);
    env_settle(e);
    env_check(e);
}

static void
its_expiry_at_the_end_is_that_of_the_copy(void **state)
{
    struct env *e = *state;
    struct copying *c = NULL;

    assert_int_equal(slice(e, &c), NQ_AGAIN);
    assert_int_equal(env_expire(e, 0, SRC, UINT64_C(3000000000000)), NQ_OK);
    (void)finish(e, &c);
    assert_int_equal(env_record(e, 1, DST).expire_ms, UINT64_C(3000000000000));
    env_crash(e);
    env_open(e);
    assert_int_equal(env_record(e, 1, DST).expire_ms, UINT64_C(3000000000000));
}

static void
a_big_string_is_held_and_copied_too(void **state)
{
    struct env *e = *state;
    size_t len = (9u << 20) + 5;
    uint8_t *bytes = nq_malloc(len);
    struct copying *c = NULL;
    struct slice val;

    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i ^ i >> 11);
    assert_int_equal(env_set(e, 0, SRC, slice_of(bytes, len), 0), NQ_OK);
    assert_int_equal(slice(e, &c), NQ_AGAIN);
    assert_int_equal(env_write(e, 0, SRC, 3, slice_lit("abc")), NQ_EHELD);
    assert_int_equal(slice(e, &c), NQ_AGAIN);
    env_check(e);
    env_checkpoint(e);
    (void)finish(e, &c);
    assert_int_equal(env_write(e, 0, SRC, 3, slice_lit("abc")), NQ_OK);
    assert_int_equal(env_get(e, 1, DST, &val), NQ_OK);
    assert_int_equal(val.len, len);
    assert_memory_equal(val.p, bytes, len);
    assert_int_equal(slice(e, &c), NQ_AGAIN);
    db_copy_end(c);
    env_settle(e);
    env_check(e);
    env_crash(e);
    env_open(e);
    env_check(e);
    nq_free(bytes);
}

/* The copy is larger than all memory, and so is its replay. */
static void
a_copy_larger_than_the_pool_is_replayed(void **state)
{
    struct env *e = *state;
    struct copying *c = NULL;

    env_fini(e);
    env_init(e, 4096, 1 << 20);
    assert_int_equal(big_set(e, 0, SRC, 0, 3 * N, LEN), NQ_OK);
    (void)finish(e, &c);
    assert_true(e->misses > 0);
    env_crash(e);
    env_open(e);
    env_settle(e);
    env_check(e);
    big_check(e, 1, DST, 3 * N, LEN);
}

/* --- the command ---------------------------------------------------------- */

static void
fill(struct fake_client *c, unsigned n)
{
    char line[300];

    for (unsigned i = 0; i < n; i += 4) {
        snprintf(line, sizeof line,
                 "sadd big member-of-a-big-set-%u member-of-a-big-set-%u "
                 "member-of-a-big-set-%u member-of-a-big-set-%u",
                 i, i + 1, i + 2, i + 3);
        fake_expect(c, line, ":4|");
    }
}

static void
the_command_answers_as_if_in_one_piece(void **state)
{
    struct engine_env env;
    struct fake_client c;

    (void)state;
    engine_env_init(&env, 32 << 20);
    fake_open(&env, &c);
    fill(&c, 12000);
    fake_expect(&c, "copy big to", ":1|");
    fake_expect(&c, "copy big to", ":0|");
    fake_expect(&c, "copy big to replace", ":1|");
    fake_expect(&c, "scard to", ":12000|");
    fake_expect(&c, "copy big to db 3", ":1|");
    engine_env_cool(&env);
    fake_expect(&c, "copy big cold", ":1|");
    fake_expect(&c, "scard cold", ":12000|");
    engine_env_cool(&env);
    fake_batch((struct fake_client *[]){&c, &c, &c},
               (const char *const[]){"multi", "copy big in", "exec"}, 3);
    assert_string_equal(fake_ask(&c, "scard in"), "+OK|+QUEUED|*1|:1|:12000|");
    fake_close(&c);
    engine_env_fini(&env);
}

static void
a_client_may_leave_in_the_middle(void **state)
{
    struct engine_env env;
    struct fake_client a, b;

    (void)state;
    engine_env_init(&env, 32 << 20);
    fake_open(&env, &a);
    fake_open(&env, &b);
    fill(&a, 12000);
    engine_env_cool(&env); /* so that it cannot end in its first slice */
    fake_send(&a, "copy big to");
    engine_env_turn(&env);
    assert_non_null(a.s.parked);
    fake_close(&a);
    fake_expect(&b, "sadd big x", ":1|");
    fake_expect(&b, "exists to", ":0|");
    fake_close(&b);
    engine_env_fini(&env);
}

/* One value of each type, too big for a record. */
static void
fill_types(struct fake_client *c)
{
    static const char *const commands[] = {
        "rpush list element-%u a-rather-long-element-%u %u",
        "sadd set member-%u another-member-of-the-set-%u %u",
        "zadd zset %u member-%u 7 other-%u",
        "hset hash field-%u value-%u short-%u x",
        "xadd stream %u-1 field-%u value-%u",
    };
    char line[200];

    for (unsigned i = 1; i < 400; i++)
        for (unsigned t = 0; t < nq_countof(commands); t++) {
            snprintf(line, sizeof line, commands[t], i, i, i);
            assert_true(fake_ask(c, line)[0] != '-');
        }
}

/* What DUMP answers, in memory of the caller. */
static struct slice
dump(struct fake_client *c, const char *key)
{
    char line[64];
    struct slice raw;

    snprintf(line, sizeof line, "dump %s", key);
    fake_send(c, line);
    while (c->nkept > 0)
        engine_env_turn(c->env);
    raw = fake_read_raw(c);
    return slice_of(nq_memdup(raw.p, raw.len), raw.len);
}

static void
assert_same(struct fake_client *c, const char *a, const char *b)
{
    struct slice x = dump(c, a), y = dump(c, b);

    assert_true(x.len > 1000 && slice_eq(x, y));
    nq_free((void *)(uintptr_t)x.p);
    nq_free((void *)(uintptr_t)y.p);
}

static void
values_of_every_type_are_copied_renamed_and_moved(void **state)
{
    static const char *const names[] = {"list", "set", "zset", "hash",
                                        "stream"};
    struct engine_env env;
    struct fake_client c;
    char line[64];

    (void)state;
    engine_env_init(&env, 32 << 20);
    fake_open(&env, &c);
    fill_types(&c);
    for (unsigned t = 0; t < nq_countof(names); t++) {
        snprintf(line, sizeof line, "copy %s keep", names[t]);
        fake_expect(&c, line, ":1|");
        assert_same(&c, names[t], "keep");
        snprintf(line, sizeof line, "rename %s other", names[t]);
        fake_expect(&c, line, "+OK|");
        assert_same(&c, "keep", "other");
        fake_expect(&c, "move other 5", ":1|");
        fake_expect(&c, "copy keep other", ":1|");
        fake_expect(&c, "del keep", ":1|");
        fake_expect(&c, "select 5", "+OK|");
        fake_expect(&c, "copy other back db 0", ":1|");
        fake_expect(&c, "del other", ":1|");
        fake_expect(&c, "select 0", "+OK|");
        assert_same(&c, "back", "other");
        fake_expect(&c, "del back other", ":2|");
        assert_non_null(strstr(fake_ask(&c, "nq.check"), "findings|:0|"));
    }
    fake_expect(&c, "dbsize", ":0|");
    fake_close(&c);
    engine_env_fini(&env);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_copy_in_slices_is_one_effect_at_the_end),
        T(writers_of_the_source_wait_for_it),
        T(a_copy_that_meets_a_waiting_writer_steps_back),
        T(a_copy_given_up_leaves_nothing),
        T(a_crash_in_the_middle_leaves_nothing),
        T(checkpoints_in_between_do_no_harm),
        T(a_source_that_goes_ends_the_copy),
        T(a_source_that_is_another_one_is_copied_from_its_start),
        T(its_expiry_at_the_end_is_that_of_the_copy),
        T(a_big_string_is_held_and_copied_too),
        T(a_copy_larger_than_the_pool_is_replayed),
        cmocka_unit_test(the_command_answers_as_if_in_one_piece),
        cmocka_unit_test(a_client_may_leave_in_the_middle),
        cmocka_unit_test(values_of_every_type_are_copied_renamed_and_moved),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
