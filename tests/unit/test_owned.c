/* What keys own and let go: freed in the background, none of it lost over
 * checkpoints and crashes.  And the staging database. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "../lib/big.h"
#include "base/mem.h"
#include "db/db_int.h"
#include "os/clock.h"

#define N 300
#define LEN 60
#define KEYS 40

static int
setup(void **state)
{
    struct env *e = nq_calloc(1, sizeof *e);

    env_init(e, 4096, 32 << 20);
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

static struct slice
key_of(unsigned i, char dst[16])
{
    return slice_of(dst, (size_t)snprintf(dst, 16, "key%03u", i));
}

static void
fill(struct env *e, uint32_t dbi)
{
    char name[16];

    for (unsigned i = 0; i < KEYS; i++)
        assert_int_equal(big_set(e, dbi, key_of(i, name), 0, N, LEN), NQ_OK);
    assert_true(big_root(e, dbi, key_of(0, name)) != 0);
}

static uint64_t
pending(struct env *e)
{
    struct db_stats st;

    db_get_stats(e->db, &st);
    return st.lazyfree_pending;
}

static void
assert_nothing_left(struct env *e)
{
    env_settle(e);
    assert_int_equal(pending(e), 0);
    assert_int_equal(big_pages(e), 0);
    env_check(e);
}

static nq_rc
del(struct env *e, struct slice key)
{
    return env_run(e, db_del(e->db, 0, key));
}

/* --- letting go ----------------------------------------------------------- */

static void
a_deleted_tree_is_freed_in_the_background(void **state)
{
    struct env *e = *state;
    uint64_t pages;

    assert_int_equal(big_set(e, 0, slice_lit("h"), 0, N, LEN), NQ_OK);
    pages = big_pages(e);
    assert_int_equal(del(e, slice_lit("h")), NQ_OK);
    assert_int_equal(pending(e), 1);
    /* The leaf of the key went, the list got one. */
    assert_int_equal(big_pages(e), pages);
    env_check(e);
    assert_nothing_left(e);
}

static void
a_tree_of_one_leaf_is_freed_at_once(void **state)
{
    struct env *e = *state;

    assert_int_equal(big_set(e, 0, slice_lit("h"), 1, 19, LEN), NQ_OK);
    assert_true(big_root(e, 0, slice_lit("h")) != 0);
    assert_int_equal(del(e, slice_lit("h")), NQ_OK);
    assert_int_equal(pending(e), 0);
    assert_int_equal(big_pages(e), 0);
    env_check(e);
}

static void
a_replaced_tree_is_freed(void **state)
{
    struct env *e = *state;

    assert_int_equal(big_set(e, 0, slice_lit("h"), 0, N, LEN), NQ_OK);
    assert_int_equal(big_set(e, 0, slice_lit("g"), 0, N, LEN), NQ_OK);
    assert_int_equal(env_set(e, 0, slice_lit("h"), slice_lit("v"), 0), NQ_OK);
    assert_int_equal(
        env_run(e, db_rename(e->db, 0, slice_lit("g"), 0, slice_lit("h"))),
        NQ_OK);
    big_check(e, 0, slice_lit("h"), N, LEN);
    env_check(e);
    assert_int_equal(env_expire(e, 0, slice_lit("h"), 1), NQ_OK);
    assert_nothing_left(e);
}

static void
an_expiry_keeps_the_tree(void **state)
{
    struct env *e = *state;

    assert_int_equal(big_set(e, 0, slice_lit("h"), 0, N, LEN), NQ_OK);
    assert_int_equal(env_expire(e, 0, slice_lit("h"), UINT64_C(1) << 44),
                     NQ_OK);
    assert_int_equal(pending(e), 0);
    env_settle(e);
    big_check(e, 0, slice_lit("h"), N, LEN);
    env_check(e);
}

static void
a_flush_of_many_trees_frees_them_all(void **state)
{
    struct env *e = *state;

    fill(e, 0);
    fill(e, 2);
    assert_int_equal(env_run(e, db_flush_all(e->db)), NQ_OK);
    assert_int_equal(pending(e), 2);
    assert_nothing_left(e);
}

static void
a_range_of_trees_is_freed(void **state)
{
    struct env *e = *state;
    uint64_t removed;

    fill(e, 0);
    assert_int_equal(
        env_run(e, db_del_range(e->db, 0, slice_lit(""), NULL, &removed)),
        NQ_OK);
    assert_int_equal(removed, KEYS);
    env_check(e);
    assert_nothing_left(e);
}

static void
free_some(struct env *e, unsigned slices)
{
    for (unsigned i = 0; i < slices; i++) {
        nq_rc rc = env_run(e, db_free_slice(e->db, clock_mono_us() + 30));

        assert_true(rc == NQ_OK || rc == NQ_AGAIN);
    }
}

/* At each point of the freeing a checkpoint, then the end. */
static void
freeing_goes_on_after_a_crash(void **state)
{
    struct env *e = *state;

    for (unsigned turns = 0; turns < 8; turns++) {
        fill(e, 0);
        assert_int_equal(env_run(e, db_flush(e->db, 0)), NQ_OK);
        free_some(e, turns);
        env_checkpoint(e);
        if (turns % 2 == 0)
            free_some(e, 3);
        env_crash(e);
        env_open(e);
        env_check(e);
        assert_nothing_left(e);
    }
}

static void
what_the_log_lets_go_is_freed_after_replay(void **state)
{
    struct env *e = *state;
    char name[16];

    fill(e, 0);
    env_checkpoint(e);
    for (unsigned i = 0; i < KEYS; i++)
        assert_int_equal(del(e, key_of(i, name)), NQ_OK);
    env_crash(e);
    env_open(e);
    env_check(e);
    assert_nothing_left(e);
}

static void
a_tree_that_is_not_in_memory_is_freed(void **state)
{
    struct env *e = *state;

    env_fini(e);
    env_init(e, 4096, 1 << 20);
    fill(e, 0);
    env_checkpoint(e);
    assert_int_equal(env_run(e, db_flush(e->db, 0)), NQ_OK);
    assert_nothing_left(e);
}

static void
a_big_string_is_freed_in_slices(void **state)
{
    struct env *e = *state;
    size_t len = (30u << 20) + 1;
    uint8_t *bytes = nq_calloc(1, len);

    env_fini(e);
    env_init(e, 4096, 128 << 20);
    assert_int_equal(env_set(e, 0, slice_lit("s"), slice_of(bytes, len), 0),
                     NQ_OK);
    assert_int_equal(del(e, slice_lit("s")), NQ_OK);
    assert_int_equal(pending(e), 1);
    assert_int_equal(db_free_slice(e->db, clock_mono_us() + 1), NQ_AGAIN);
    env_check(e);
    env_checkpoint(e);
    env_crash(e);
    env_open(e);
    env_check(e);
    assert_nothing_left(e);
    nq_free(bytes);
}

/* --- staging -------------------------------------------------------------- */

static void
the_staging_database_is_hidden(void **state)
{
    struct env *e = *state;
    struct buf events = BUF_INIT;
    uint64_t keys;

    e->events = &events;
    assert_int_equal(big_set(e, DB_STAGING, slice_lit("s"), 0, N, LEN), NQ_OK);
    assert_int_equal(e->touches, 0);
    assert_int_equal(db_count(e->db), e->databases);
    assert_int_equal(env_run(e, db_flush_all(e->db)), NQ_OK);
    big_check(e, DB_STAGING, slice_lit("s"), N, LEN);
    for (uint32_t i = 0; i < e->databases; i++) {
        assert_int_equal(env_run(e, db_size(e->db, i, &keys)), NQ_OK);
        assert_int_equal(keys, 0);
    }
    assert_int_equal(env_run(e, db_rename(e->db, DB_STAGING, slice_lit("s"), 2,
                                          slice_lit("to"))),
                     NQ_OK);
    buf_put_u8(&events, 0);
    assert_string_equal((char *)events.p, "n new 2 to\n");
    e->events = NULL;
    buf_fini(&events);
    assert_true(e->touches > 0);
    big_check(e, 2, slice_lit("to"), N, LEN);
    env_check(e);
    env_crash(e);
    env_open(e);
    big_check(e, 2, slice_lit("to"), N, LEN);
    env_check(e);
}

static void
every_start_empties_the_staging_database(void **state)
{
    struct env *e = *state;
    bool with_checkpoint = false;

    do {
        assert_int_equal(big_set(e, DB_STAGING, slice_lit("s"), 0, N, LEN),
                         NQ_OK);
        if (with_checkpoint)
            env_checkpoint(e);
        env_crash(e);
        env_open(e);
        assert_int_equal(big_root(e, DB_STAGING, slice_lit("s")), 0);
        env_check(e);
        assert_nothing_left(e);
        with_checkpoint = !with_checkpoint;
    } while (with_checkpoint);
}

/* The name is used again by the next life: replay of both must not mix them. */
static void
two_lives_do_not_mix_in_staging(void **state)
{
    struct env *e = *state;

    assert_int_equal(big_set(e, DB_STAGING, slice_lit("s"), 0, 2 * N, LEN),
                     NQ_OK);
    env_crash(e);
    env_open(e);
    assert_int_equal(big_set(e, DB_STAGING, slice_lit("s"), 0, N, LEN), NQ_OK);
    assert_int_equal(env_run(e, db_rename(e->db, DB_STAGING, slice_lit("s"), 0,
                                          slice_lit("to"))),
                     NQ_OK);
    env_crash(e);
    env_open(e);
    big_check(e, 0, slice_lit("to"), N, LEN);
    env_settle(e);
    env_check(e);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_deleted_tree_is_freed_in_the_background),
        T(a_tree_of_one_leaf_is_freed_at_once),
        T(a_replaced_tree_is_freed),
        T(an_expiry_keeps_the_tree),
        T(a_flush_of_many_trees_frees_them_all),
        T(a_range_of_trees_is_freed),
        T(freeing_goes_on_after_a_crash),
        T(what_the_log_lets_go_is_freed_after_replay),
        T(a_tree_that_is_not_in_memory_is_freed),
        T(a_big_string_is_freed_in_slices),
        T(the_staging_database_is_hidden),
        T(every_start_empties_the_staging_database),
        T(two_lives_do_not_mix_in_staging),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
