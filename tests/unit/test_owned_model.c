/* Hashes with trees against a model: random changes of whole values, a copy
 * in slices and holds going on meanwhile, checkpoints, crashes; everything
 * compared, and in the end no page lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../lib/big.h"
#include "base/mem.h"
#include "base/rng.h"
#include "db/db_int.h"
#include "db/hold.h"

#define DATABASES 3
#define KEYS 6
#define HOLDS 3
#define ROUNDS 12
#define STEPS 60
#define LEN 40

struct world {
    struct env env;
    struct rng rng;
    unsigned fields[DATABASES][KEYS]; /* 0: the key is not there */
    struct hold holds[HOLDS];
    struct copying *copying;
    uint32_t from_db, to_db; /* of the copy that is under way */
    unsigned from, to;
    unsigned copies, refused; /* seen */
};

static uint64_t
below(struct world *w, uint64_t n)
{
    return rng_below(&w->rng, n);
}

static struct slice
key_of(unsigned i)
{
    static char names[2][16];
    static unsigned next;

    next = !next;
    return slice_of(names[next], (size_t)snprintf(names[next], 16, "k%u", i));
}

static bool
is_held(struct world *w, uint32_t d, unsigned i)
{
    pgno root = big_root(&w->env, d, key_of(i));

    return root != 0 && hold_is_held(w->env.db, root);
}

/* --- changes -------------------------------------------------------------- */

static void
do_grow(struct world *w, uint32_t d, unsigned i)
{
    unsigned *n = &w->fields[d][i];
    unsigned to = *n + 1 + (unsigned)below(w, below(w, 4) == 0 ? 300 : 15);
    bool held = is_held(w, d, i);
    nq_rc rc;

    if (to > 700)
        return;
    rc = big_set(&w->env, d, key_of(i), *n, to, LEN);
    assert_int_equal(rc, held ? NQ_EHELD : NQ_OK);
    w->refused += held;
    if (!held)
        *n = to;
}

static void
do_del(struct world *w, uint32_t d, unsigned i)
{
    unsigned *n = &w->fields[d][i];

    assert_int_equal(env_run(&w->env, db_del(w->env.db, d, key_of(i))),
                     *n > 0 ? NQ_OK : NQ_NOTFOUND);
    *n = 0;
}

static void
do_set_string(struct world *w, uint32_t d, unsigned i)
{
    assert_int_equal(env_set(&w->env, d, key_of(i), slice_lit("v"), 0), NQ_OK);
    w->fields[d][i] = 1; /* for do_del() */
    do_del(w, d, i);
}

static void
do_rename(struct world *w, uint32_t d, unsigned i)
{
    uint32_t to_d = (uint32_t)below(w, DATABASES);
    unsigned to_i = (unsigned)below(w, KEYS), n = w->fields[d][i];
    struct env *e = &w->env;

    if (d == to_d && i == to_i)
        return;
    assert_int_equal(
        env_run(e, db_rename(e->db, d, key_of(i), to_d, key_of(to_i))),
        n > 0 ? NQ_OK : NQ_NOTFOUND);
    if (n > 0)
        w->fields[to_d][to_i] = n;
    w->fields[d][i] = 0;
}

static void
do_whole(struct world *w, uint32_t d)
{
    uint32_t other = (uint32_t)below(w, DATABASES);
    unsigned was[KEYS];
    struct env *e = &w->env;
    uint64_t removed;

    switch (below(w, 4)) {
    case 0:
        assert_int_equal(env_run(e, db_flush(e->db, d)), NQ_OK);
        memset(w->fields[d], 0, sizeof was);
        break;
    case 1:
        assert_int_equal(
            env_run(e, db_del_range(e->db, d, key_of(2), NULL, &removed)),
            NQ_OK);
        memset(w->fields[d] + 2, 0, (KEYS - 2) * sizeof was[0]);
        break;
    default:
        assert_int_equal(env_run(e, db_swap(e->db, d, other)), NQ_OK);
        memcpy(was, w->fields[d], sizeof was);
        memmove(w->fields[d], w->fields[other], sizeof was);
        memcpy(w->fields[other], was, sizeof was);
    }
}

/* --- what goes on meanwhile ----------------------------------------------- */

static void
do_hold(struct world *w, uint32_t d, unsigned i)
{
    struct hold *h = &w->holds[below(w, HOLDS)];
    pgno root = big_root(&w->env, d, key_of(i));
    nq_rc rc;

    hold_end(h);
    if (root == 0 || below(w, 2) == 0)
        return;
    rc = hold_take(h, w->env.db, root);
    assert_true(rc == NQ_OK || rc == NQ_EHELD);
}

static void
give_up_copy(struct world *w)
{
    db_copy_end(w->copying);
    w->copying = NULL;
}

static void
do_copy(struct world *w, uint32_t d, unsigned i)
{
    struct env *e = &w->env;
    nq_rc rc;

    if (w->copying == NULL) {
        w->from_db = d;
        w->from = i;
        w->to_db = (uint32_t)below(w, DATABASES);
        w->to = (unsigned)below(w, KEYS);
    }
    if (w->from_db == w->to_db && w->from == w->to)
        return;
    rc =
        env_run(e, db_copy_some(e->db, w->from_db, key_of(w->from), w->to_db,
                                key_of(w->to), below(w, 2) * 100, &w->copying));
    if (rc == NQ_AGAIN)
        return;
    give_up_copy(w);
    if (rc == NQ_EHELD)
        return;
    assert_int_equal(rc,
                     w->fields[w->from_db][w->from] > 0 ? NQ_OK : NQ_NOTFOUND);
    if (rc == NQ_OK) {
        w->fields[w->to_db][w->to] = w->fields[w->from_db][w->from];
        w->copies++;
    }
}

static void
step(struct world *w)
{
    uint32_t d = (uint32_t)below(w, DATABASES);
    unsigned i = (unsigned)below(w, KEYS), what = (unsigned)below(w, 100);

    if (what < 40)
        do_grow(w, d, i);
    else if (what < 45)
        do_del(w, d, i);
    else if (what < 47)
        do_set_string(w, d, i);
    else if (what < 57)
        do_rename(w, d, i);
    else if (what < 60)
        do_whole(w, d);
    else if (what < 70)
        do_hold(w, d, i);
    else if (what < 98)
        do_copy(w, d, i);
    else
        give_up_copy(w);
}

/* --- rounds --------------------------------------------------------------- */

static void
compare_all(struct world *w)
{
    for (uint32_t d = 0; d < DATABASES; d++)
        for (unsigned i = 0; i < KEYS; i++) {
            if (w->fields[d][i] > 0)
                big_check(&w->env, d, key_of(i), w->fields[d][i], LEN);
            else
                assert_int_equal(env_record(&w->env, d, key_of(i)).val.len, 0);
        }
}

static void
let_all_go(struct world *w)
{
    for (unsigned i = 0; i < HOLDS; i++)
        hold_end(&w->holds[i]);
    give_up_copy(w);
}

static void
end_round(struct world *w)
{
    struct env *e = &w->env;

    env_check(e);
    switch (below(w, 4)) {
    case 0:
        let_all_go(w);
        env_close(e, below(w, 2));
        env_open(e);
        break;
    case 1:
        let_all_go(w);
        env_crash(e);
        env_open(e);
        break;
    case 2:
        let_all_go(w);
        env_settle(e);
        break;
    default:
        break;
    }
    env_check(e);
    compare_all(w);
}

static void
run(struct world *w, uint64_t pool_bytes)
{
    struct env *e = &w->env;

    env_init(e, 4096, pool_bytes);
    for (int round = 0; round < ROUNDS; round++) {
        for (int n = 0; n < STEPS; n++) {
            step(w);
            if (below(w, 3) == 0)
                env_turn(e);
            if (below(w, 40) == 0)
                env_checkpoint(e);
        }
        end_round(w);
    }
    let_all_go(w);
    assert_true(w->copies + w->refused > 0);
    assert_int_equal(env_run(e, db_flush_all(e->db)), NQ_OK);
    env_settle(e);
    assert_int_equal(big_pages(e), 0);
    env_check(e);
    env_fini(e);
}

static int
setup(void **state)
{
    const char *text = getenv("SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : rng_seed_from_os();
    struct world *w = nq_calloc(1, sizeof *w);

    print_message("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&w->rng, seed);
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    nq_free(*state);
    return 0;
}

static void
values_equal_the_model_in_memory(void **state)
{
    run(*state, 64 << 20);
}

static void
values_equal_the_model_when_larger_than_the_pool(void **state)
{
    struct world *w = *state;

    run(w, 1 << 20);
    assert_true(w->env.misses > 0);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(values_equal_the_model_in_memory),
        T(values_equal_the_model_when_larger_than_the_pool),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
