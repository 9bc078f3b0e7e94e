/* Databases against a plain model: random commands with tiny pages and pools,
 * restarts, crashes and checkpoints in between, everything compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "../lib/db_env.h"
#include "os/clock.h"
#include "store/frames.h"

#define DATABASES 3
#define KEYS 300
#define ROUNDS 25
#define STEPS 160
#define NOW UINT64_C(1700000000000)
#define BIG_MAX (3u << 20)

struct cell {
    bool is_there;
    uint8_t *val;
    size_t len;
    uint64_t expire_ms;
};

struct world {
    struct env env;
    struct rng rng;
    struct cell cells[DATABASES][KEYS]; /* by rising key */
    uint64_t now;
    size_t big_max; /* of values: a command's pages must fit the pool */
    uint8_t *noise;
};

/* --- the model ----------------------------------------------------------- */

static struct slice
key_of(unsigned i, char dst[600])
{
    int n = snprintf(dst, 600, "key:%05u", i);

    if (i % 13 == 0) { /* some are long */
        memset(dst + n, 'x', 500);
        n += 500;
    }
    return slice_of(dst, (size_t)n);
}

static struct cell *
cell_of(struct world *w, uint32_t dbi, unsigned i)
{
    struct cell *c = &w->cells[dbi][i];

    if (c->is_there && c->expire_ms != 0 && c->expire_ms <= w->now)
        c->is_there = false;
    return c;
}

static void
cell_set(struct cell *c, struct slice val, uint64_t expire_ms)
{
    uint8_t *copy = nq_malloc(val.len + 1);

    memcpy(copy, val.p, val.len);
    nq_free(c->val);
    *c = (struct cell){true, copy, val.len, expire_ms};
}

static void
cell_write(struct cell *c, size_t off, struct slice bytes)
{
    size_t old = c->is_there ? c->len : 0;
    size_t len = old > off + bytes.len ? old : off + bytes.len;
    uint8_t *p = nq_calloc(1, len + 1);

    if (old > 0)
        memcpy(p, c->val, old);
    memcpy(p + off, bytes.p, bytes.len);
    nq_free(c->val);
    *c = (struct cell){true, p, len, c->is_there ? c->expire_ms : 0};
}

static void
cells_clear(struct world *w, uint32_t dbi, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++)
        w->cells[dbi][i].is_there = false;
}

/* --- comparing ----------------------------------------------------------- */

static void
compare_key(struct world *w, uint32_t dbi, unsigned i)
{
    struct cell *c = cell_of(w, dbi, i);
    char name[600];
    struct slice key = key_of(i, name), val;
    nq_rc rc = env_get(&w->env, dbi, key, &val);

    assert_int_equal(rc, c->is_there ? NQ_OK : NQ_NOTFOUND);
    if (!c->is_there)
        return;
    assert_int_equal(val.len, c->len);
    assert_memory_equal(val.p, c->val, c->len);
    assert_int_equal(env_record(&w->env, dbi, key).expire_ms, c->expire_ms);
}

static void
compare_all(struct world *w)
{
    for (uint32_t d = 0; d < DATABASES; d++)
        for (unsigned i = 0; i < KEYS; i++)
            compare_key(w, d, i);
}

static nq_rc
walk_once(struct world *w, uint32_t dbi, unsigned *live)
{
    struct btree_cursor c;
    struct record rec;
    nq_rc rc;

    *live = 0;
    btree_cursor_init(&c, db_tree(w->env.db, dbi));
    for (rc = btree_first(&c); rc == NQ_OK && c.valid; rc = btree_next(&c)) {
        if ((rc = btree_record(&c, &rec)) != NQ_OK)
            break;
        *live += rec.expire_ms == 0 || rec.expire_ms > w->now;
    }
    btree_cursor_fini(&c);
    return rc;
}

static void
compare_counts(struct world *w)
{
    for (uint32_t d = 0; d < DATABASES; d++) {
        unsigned live, want = 0;

        for (unsigned i = 0; i < KEYS; i++)
            want += cell_of(w, d, i)->is_there;
        assert_int_equal(env_run(&w->env, walk_once(w, d, &live)), NQ_OK);
        assert_int_equal(live, want);
    }
}

/* --- random commands ----------------------------------------------------- */

static struct slice
random_value(struct world *w)
{
    const size_t maxs[] = {8, 60, 900, 5000, 90000, w->big_max};
    unsigned class = (unsigned)rng_below(&w->rng, 100);
    size_t max = maxs[class < 40   ? 0
                      : class < 75 ? 1
                      : class < 90 ? 2
                      : class < 96 ? 3
                      : class < 99 ? 4
                                   : 5];
    size_t len = rng_below(&w->rng, max);

    return slice_of(w->noise + rng_below(&w->rng, BIG_MAX), len);
}

static uint64_t
random_expiry(struct world *w)
{
    return rng_below(&w->rng, 3) > 0 ? 0
                                     : w->now + 1 + rng_below(&w->rng, 2000);
}

static void
do_set(struct world *w, uint32_t d, unsigned i, struct slice key)
{
    struct slice val = random_value(w);
    uint64_t expire_ms = random_expiry(w);

    assert_int_equal(env_set(&w->env, d, key, val, expire_ms), NQ_OK);
    cell_set(cell_of(w, d, i), val, expire_ms);
}

static void
do_write(struct world *w, uint32_t d, unsigned i, struct slice key)
{
    struct cell *c = cell_of(w, d, i);
    size_t len = c->is_there ? c->len : 0;
    struct slice val = random_value(w);
    size_t off = rng_below(&w->rng, 2) ? len : rng_below(&w->rng, len + 100);

    if (val.len == 0 || off + val.len > w->big_max)
        return;
    assert_int_equal(env_write(&w->env, d, key, off, val), NQ_OK);
    cell_write(c, off, val);
}

static void
do_int(struct world *w, uint32_t d, unsigned i, struct slice key)
{
    struct cell *c = cell_of(w, d, i);
    int64_t v = (int64_t)rng_next(&w->rng) >> rng_below(&w->rng, 60);
    char text[24];

    assert_int_equal(env_set_int(&w->env, d, key, v), NQ_OK);
    cell_set(c, slice_of(text, i64_to_text(text, v)),
             c->is_there ? c->expire_ms : 0);
}

static void
do_expire(struct world *w, uint32_t d, unsigned i, struct slice key)
{
    struct cell *c = cell_of(w, d, i);
    uint64_t at = random_expiry(w);

    if (rng_below(&w->rng, 10) == 0)
        at = w->now - 1;
    assert_int_equal(env_expire(&w->env, d, key, at),
                     c->is_there ? NQ_OK : NQ_NOTFOUND);
    c->expire_ms = at;
    if (at != 0 && at <= w->now)
        c->is_there = false;
}

static void
do_rename_or_copy(struct world *w, uint32_t d, unsigned i, struct slice key)
{
    uint32_t to_d = (uint32_t)rng_below(&w->rng, DATABASES);
    unsigned to_i = (unsigned)rng_below(&w->rng, KEYS);
    struct cell *from = cell_of(w, d, i), *to = cell_of(w, to_d, to_i);
    struct env *e = &w->env;
    bool copy = rng_below(&w->rng, 2);
    char name[600];
    struct slice to_key = key_of(to_i, name);
    nq_rc rc;

    if (from == to)
        return;
    rc = copy ? env_run(e, db_copy(e->db, d, key, to_d, to_key))
              : env_run(e, db_rename(e->db, d, key, to_d, to_key));
    assert_int_equal(rc, from->is_there ? NQ_OK : NQ_NOTFOUND);
    if (!from->is_there)
        return;
    cell_set(to, slice_of(from->val, from->len), from->expire_ms);
    from->is_there = copy;
}

static void
do_del(struct world *w, uint32_t d, unsigned i, struct slice key)
{
    struct cell *c = cell_of(w, d, i);

    assert_int_equal(env_run(&w->env, db_del(w->env.db, d, key)),
                     c->is_there ? NQ_OK : NQ_NOTFOUND);
    c->is_there = false;
}

static void
do_del_range(struct world *w, uint32_t d, unsigned i, struct slice key)
{
    unsigned to = i + (unsigned)rng_below(&w->rng, 40);
    struct env *e = &w->env;
    char name[600];
    struct slice hi = key_of(to, name);
    uint64_t removed;

    assert_int_equal(env_run(e, db_del_range(e->db, d, key,
                                             to < KEYS ? &hi : NULL, &removed)),
                     NQ_OK);
    cells_clear(w, d, i, to < KEYS ? to : KEYS);
}

static void
do_whole_database(struct world *w, uint32_t d)
{
    uint32_t other = (uint32_t)rng_below(&w->rng, DATABASES);
    struct env *e = &w->env;
    struct cell was[KEYS];

    switch (rng_below(&w->rng, 6)) {
    case 0:
        assert_int_equal(env_run(e, db_flush(e->db, d)), NQ_OK);
        cells_clear(w, d, 0, KEYS);
        break;
    case 1:
        if (rng_below(&w->rng, 4) > 0)
            break;
        assert_int_equal(env_run(e, db_flush_all(e->db)), NQ_OK);
        for (uint32_t i = 0; i < DATABASES; i++)
            cells_clear(w, i, 0, KEYS);
        break;
    default:
        assert_int_equal(env_run(e, db_swap(e->db, d, other)), NQ_OK);
        memcpy(was, w->cells[d], sizeof was);
        memmove(w->cells[d], w->cells[other], sizeof was);
        memcpy(w->cells[other], was, sizeof was);
    }
}

static void
step(struct world *w)
{
    uint32_t d = (uint32_t)rng_below(&w->rng, DATABASES);
    unsigned i = (unsigned)rng_below(&w->rng, KEYS);
    unsigned what = (unsigned)rng_below(&w->rng, 100);
    char name[600];
    struct slice key = key_of(i, name);

    if (what < 35)
        do_set(w, d, i, key);
    else if (what < 50)
        do_write(w, d, i, key);
    else if (what < 58)
        do_int(w, d, i, key);
    else if (what < 66)
        do_expire(w, d, i, key);
    else if (what < 78)
        do_rename_or_copy(w, d, i, key);
    else if (what < 86)
        do_del(w, d, i, key);
    else if (what < 88)
        do_del_range(w, d, i, key);
    else if (what < 89)
        do_whole_database(w, d);
    else
        compare_key(w, d, i);
}

static void
pass_time(struct world *w)
{
    w->now += rng_below(&w->rng, 50);
    clock_freeze_wall(w->now);
}

static void
end_round(struct world *w)
{
    struct env *e = &w->env;

    switch (rng_below(&w->rng, 5)) {
    case 0:
        env_close(e, rng_below(&w->rng, 2));
        env_open(e);
        break;
    case 1:
    case 2:
        env_crash(e);
        pass_time(w);
        env_open(e);
        break;
    case 3:
        env_settle(e);
        break;
    default:
        break;
    }
    compare_counts(w);
    env_check(e);
}

static void
run(struct world *w, uint32_t page_size, uint64_t pool_bytes)
{
    w->big_max = nq_min(pool_bytes / 8, BIG_MAX);
    env_init(&w->env, page_size, pool_bytes);
    for (int round = 0; round < ROUNDS; round++) {
        for (int n = 0; n < STEPS; n++) {
            step(w);
            if (rng_below(&w->rng, 4) == 0)
                env_turn(&w->env);
            if (rng_below(&w->rng, 10) == 0)
                pass_time(w);
            if (rng_below(&w->rng, 150) == 0)
                env_checkpoint(&w->env);
        }
        end_round(w);
    }
    compare_all(w);
    env_fini(&w->env);
}

static int
setup(void **state)
{
    const char *text = getenv("SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : rng_seed_from_os();
    struct world *w = nq_calloc(1, sizeof *w);

    print_message("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&w->rng, seed);
    w->noise = nq_malloc(2 * BIG_MAX);
    for (size_t i = 0; i < 2 * BIG_MAX; i++)
        w->noise[i] = (uint8_t)(rng_next(&w->rng) % 97 + 20);
    w->now = NOW;
    clock_freeze_wall(NOW);
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;

    for (uint32_t d = 0; d < DATABASES; d++)
        for (unsigned i = 0; i < KEYS; i++)
            nq_free(w->cells[d][i].val);
    nq_free(w->noise);
    nq_free(w);
    clock_freeze_wall(0);
    return 0;
}

static void
databases_equal_the_model_in_memory(void **state)
{
    run(*state, 4096, 64 << 20);
}

static void
databases_equal_the_model_when_larger_than_the_pool(void **state)
{
    struct world *w = *state;

    run(w, 4096, 2 << 20);
    assert_true(w->env.misses > 0);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(databases_equal_the_model_in_memory),
        T(databases_equal_the_model_when_larger_than_the_pool),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
