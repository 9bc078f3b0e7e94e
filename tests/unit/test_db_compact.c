#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "../lib/big.h"
#include "../lib/db_env.h"
#include "base/check.h"
#include "base/log.h"
#include "base/rng.h"
#include "db/compact.h"
#include "db/db_check.h"
#include "db/hold.h"
#include "os/pool.h"
#include "store/frames.h"

#define KEYS 4000u
#define SMALL_POOL (64u * 4096)

static struct slice
key_of(unsigned n, char dst[16])
{
    return slice_of(dst, (size_t)snprintf(dst, 16, "key:%06u", n));
}

static void
set_key(struct env *e, unsigned n, size_t len)
{
    char key[16], val[1000];

    memset(val, 'a' + (int)(n % 26), len);
    assert_int_equal(env_set(e, 0, key_of(n, key), slice_of(val, len), 0),
                     NQ_OK);
}

static void
check_keys(struct env *e, unsigned step, size_t len)
{
    for (unsigned n = 0; n < KEYS; n += step) {
        char key[16];
        struct slice val;

        assert_int_equal(env_get(e, 0, key_of(n, key), &val), NQ_OK);
        assert_int_equal(val.len, len);
        assert_int_equal(val.p[len - 1], 'a' + (int)(n % 26));
        arena_reset(&e->arena);
    }
}

/* Keys in an order of their own, of which every `keep`-th stays. */
static void
fill(struct env *e, size_t len, unsigned keep)
{
    for (unsigned i = 0; i < KEYS; i++) {
        set_key(e, (unsigned)((uint64_t)i * 1009 % KEYS), len);
        if (i % 64 == 0)
            env_turn(e);
    }
    env_checkpoint(e);
    for (unsigned n = 0; n < KEYS; n++) {
        char key[16];

        if (n % keep != 0)
            assert_int_equal(env_run(e, db_del(e->db, 0, key_of(n, key))),
                             NQ_OK);
        if (n % 64 == 0)
            env_turn(e);
    }
}

static void
turn(struct env *e)
{
    env_turn(e);
    if (pool_pending(e->pool) > 0)
        (void)pool_wait(e->pool);
}

static nq_rc
run(struct env *e, struct compact *c)
{
    nq_rc rc;

    while ((rc = compact_step(c)) == NQ_AGAIN)
        turn(e);
    return rc;
}

static void
compact(struct env *e, bool full)
{
    struct compact_opts o = {.full = full};
    struct compact *c = compact_new(e->db, &o);

    assert_int_equal(run(e, c), NQ_OK);
    compact_free(c, true);
    env_checkpoint(e);
}

static void
nothing(void *arg, const struct db_finding *f)
{
    (void)arg;
    (void)f;
}

static double
fill_of(struct env *e)
{
    struct db_check_opts o = {.report = nothing};
    struct db_check_stats st;

    assert_int_equal(db_check(e->db, &o, &st), NQ_OK);
    return (double)st.trees.used_bytes / (double)st.trees.page_bytes;
}

static uint64_t
file_bytes(struct env *e)
{
    struct store_stats st;

    store_get_stats(e->st, &st);
    return st.file_bytes;
}

static void
data_larger_than_the_pool_is_compacted(void **state)
{
    struct env e;
    uint64_t before;

    (void)state;
    env_init(&e, 4096, SMALL_POOL);
    fill(&e, 300, 4);
    before = file_bytes(&e);
    compact(&e, false);
    assert_true(file_bytes(&e) < before * 3 / 4);
    assert_true(fill_of(&e) >= 0.9);
    check_keys(&e, 4, 300);
    compact(&e, true);
    check_keys(&e, 4, 300);
    env_check(&e);
    assert_true(e.misses > 0);
    env_fini(&e);
}

static void
private_trees_are_packed_unless_they_are_held(void **state)
{
    struct slice key = slice_lit("big");
    struct hold h = {.root = 0};
    struct env e;
    uint64_t sum;
    double held;

    (void)state;
    env_init(&e, 4096, 8 << 20);
    for (unsigned n = 0; n < 3000; n++) {
        unsigned m = n * 1009 % 3000;

        assert_int_equal(big_set(&e, 0, key, m, m + 1, 30), NQ_OK);
    }
    sum = big_sum(&e, 0, key);
    assert_int_equal(hold_take(&h, e.db, big_root(&e, 0, key)), NQ_OK);
    compact(&e, false);
    held = fill_of(&e);
    hold_end(&h);
    compact(&e, false);
    assert_true(fill_of(&e) > held && fill_of(&e) >= 0.92);
    assert_true(big_sum(&e, 0, key) == sum);
    assert_int_equal(big_set(&e, 0, key, 0, 3000, 31), NQ_OK);
    env_check(&e);
    env_fini(&e);
}

/* Changes between the slices, evictions, checkpoints, giving up. */
static void
commands_between_its_slices_find_what_they_left(void **state)
{
    struct compact *c = NULL;
    struct compact_opts o = {.full = false};
    size_t len[KEYS / 4];
    struct env e;
    struct rng r;

    (void)state;
    env_init(&e, 4096, SMALL_POOL);
    rng_seed(&r, rng_seed_from_os());
    for (unsigned n = 0; n < KEYS / 4; n++)
        set_key(&e, n, len[n] = 1 + rng_below(&r, 900));
    for (unsigned i = 0; i < 6000; i++) {
        unsigned n = (unsigned)rng_below(&r, KEYS / 4);
        struct slice val;
        char key[16];

        if (c == NULL)
            c = compact_new(e.db, &o);
        if (compact_step(c) != NQ_AGAIN || rng_below(&r, 300) == 0) {
            compact_free(c, true);
            c = NULL;
            o.full = !o.full;
        }
        if (rng_below(&r, 3) == 0)
            set_key(&e, n, len[n] = 1 + rng_below(&r, 900));
        assert_int_equal(env_get(&e, 0, key_of(n, key), &val), NQ_OK);
        assert_int_equal(val.len, len[n]);
        arena_reset(&e.arena);
        if (rng_below(&r, 3) == 0)
            turn(&e);
    }
    compact_free(c, false);
    for (unsigned n = 0; n < KEYS / 4; n++) {
        struct slice val;
        char key[16];

        assert_int_equal(env_get(&e, 0, key_of(n, key), &val), NQ_OK);
        assert_int_equal(val.len, len[n]);
        arena_reset(&e.arena);
    }
    env_checkpoint(&e);
    env_check(&e);
    env_fini(&e);
}

static void
the_catalog_tells_of_an_unfinished_one(void **state)
{
    struct compact_opts o = {.full = true, .bytes_per_s = 12345}, found;
    struct compact *c;
    struct env e;

    (void)state;
    env_init(&e, 4096, 8 << 20);
    fill(&e, 100, 2);
    assert_false(compact_is_unfinished(e.db, &found));
    c = compact_new(e.db, &o);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(compact_step(c), NQ_AGAIN);
        turn(&e);
    }
    env_checkpoint(&e);
    compact_free(c, false);
    env_crash(&e);
    env_open(&e);
    assert_true(compact_is_unfinished(e.db, &found));
    assert_true(found.full && found.bytes_per_s == 12345);
    compact(&e, true);
    assert_false(compact_is_unfinished(e.db, &found));
    env_crash(&e);
    env_open(&e);
    assert_false(compact_is_unfinished(e.db, &found));
    check_keys(&e, 2, 100);
    env_fini(&e);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_larger_than_the_pool_is_compacted),
        cmocka_unit_test(private_trees_are_packed_unless_they_are_held),
        cmocka_unit_test(commands_between_its_slices_find_what_they_left),
        cmocka_unit_test(the_catalog_tells_of_an_unfinished_one),
    };

    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests_name("db_compact", tests, NULL, NULL);
}
