#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/rng.h"
#include "store/btree_check.h"
#include "store/btree_compact.h"
#include "store/frames.h"

#define KEYS 20000u

struct tree {
    struct rng rng;
    struct frames *fr;
    struct btree t;
    uint8_t key[16], val[1024];
};

static void
open_tree(struct tree *x, uint32_t page_size)
{
    struct frames_opts o = {.page_size = page_size, .pool_bytes = 256u << 20};

    memset(x, 0, sizeof *x);
    rng_seed(&x->rng, 77);
    assert_int_equal(frames_open(&o, &x->fr), NQ_OK);
    x->t.fr = x->fr;
}

static struct slice
key_of(struct tree *x, unsigned n)
{
    int len = snprintf((char *)x->key, sizeof x->key, "key:%09u", n);

    return slice_of(x->key, (size_t)len);
}

static void
put(struct tree *x, unsigned n, size_t len)
{
    struct record rec = {.val = slice_of(x->val, len)};

    memset(x->val, (int)n, len);
    assert_int_equal(btree_put(&x->t, key_of(x, n), &rec, NULL), NQ_OK);
}

/* Every number below KEYS once, in an order of its own. */
static unsigned
shuffled(unsigned i)
{
    return (unsigned)((uint64_t)i * 7919 % KEYS);
}

static uint64_t
compact(struct tree *x)
{
    struct btree_compact c = {.level = 0};
    uint64_t freed;
    nq_rc rc;

    while ((rc = btree_compact_step(&x->t, &c, NULL, NULL)) == NQ_AGAIN)
        ;
    assert_int_equal(rc, NQ_OK);
    freed = c.freed;
    btree_compact_fini(&c);
    return freed;
}

static struct btree_stats
stats_of(struct tree *x)
{
    struct btree_stats st;

    assert_int_equal(btree_check(&x->t, &st, NULL, NULL), NQ_OK);
    return st;
}

static double
fill_of(const struct btree_stats *st)
{
    return (double)st->used_bytes / (double)st->page_bytes;
}

static void
check_records(struct tree *x, unsigned step, size_t len)
{
    for (unsigned n = 0; n < KEYS; n += step) {
        struct record rec;

        assert_int_equal(btree_get(&x->t, key_of(x, n), &rec, NULL), NQ_OK);
        assert_int_equal(rec.val.len, len);
        assert_int_equal(rec.val.p[len - 1], (uint8_t)n);
    }
}

static void
random_and_sequential_loads_fill_95_percent(void **state)
{
    (void)state;
    for (unsigned random = 0; random < 2; random++) {
        struct btree_stats st;
        struct tree x;
        pgno root;

        open_tree(&x, 8192);
        for (unsigned i = 0; i < KEYS; i++)
            put(&x, random ? shuffled(i) : i, 64);
        root = x.t.root;
        (void)compact(&x);
        st = stats_of(&x);
        assert_true(fill_of(&st) >= 0.95);
        assert_int_equal(x.t.root, root);
        assert_int_equal(st.records, KEYS);
        check_records(&x, 1, 64);
        assert_int_equal(compact(&x), 0); /* nothing is left to do */
        frames_close(x.fr);
    }
}

/* Against the same records put into an empty tree. */
static void
what_is_left_of_many_takes_what_it_would_take_alone(void **state)
{
    struct btree_stats st, fresh;
    struct tree x, y;

    (void)state;
    open_tree(&x, 4096);
    open_tree(&y, 4096);
    for (unsigned i = 0; i < KEYS; i++)
        put(&x, shuffled(i), 50);
    for (unsigned i = 0; i < KEYS; i++) {
        unsigned n = shuffled(i);

        if (n % 20 != 0)
            assert_int_equal(btree_del(&x.t, key_of(&x, n), NULL), NQ_OK);
        else
            put(&y, n, 50);
    }
    (void)compact(&x);
    st = stats_of(&x);
    fresh = stats_of(&y);
    assert_true(st.leaves + st.inners <= fresh.leaves + fresh.inners);
    assert_true(fill_of(&st) >= 0.9);
    check_records(&x, 20, 50);
    frames_close(x.fr);
    frames_close(y.fr);
}

static void
a_root_with_one_child_becomes_it(void **state)
{
    struct btree_stats st;
    struct tree x;
    pgno root;

    (void)state;
    open_tree(&x, 4096);
    for (unsigned i = 0; i < 66; i++)
        put(&x, i, 100);
    root = x.t.root;
    for (unsigned i = 0; i < 66; i++) {
        if (i % 2 != 0)
            assert_int_equal(btree_del(&x.t, key_of(&x, i), NULL), NQ_OK);
    }
    assert_true(stats_of(&x).leaves > 1);
    assert_true(compact(&x) >= 1);
    st = stats_of(&x);
    assert_int_equal(x.t.root, root);
    assert_int_equal(st.leaves, 1);
    assert_int_equal(st.inners, 0);
    frames_close(x.fr);
}

struct owners {
    unsigned told;
    bool seen[KEYS];
};

static void
on_owner(void *arg, struct slice key, const struct record *rec)
{
    struct owners *o = arg;
    unsigned n;

    assert_int_equal(rec->flags & REC_OWNS, REC_OWNS);
    assert_int_equal(sscanf((const char *)key.p, "key:%09u", &n), 1);
    o->seen[n] = true;
    o->told++;
}

static void
records_that_own_something_are_told(void **state)
{
    struct btree_compact c = {.level = 0};
    static struct owners o;
    struct tree x;

    (void)state;
    open_tree(&x, 4096);
    for (unsigned i = 0; i < KEYS / 4; i++) {
        struct record rec = {.val = slice_of(x.val, 24),
                             .flags = i % 7 == 0 ? REC_OWNS : 0};

        assert_int_equal(btree_put(&x.t, key_of(&x, i), &rec, NULL), NQ_OK);
    }
    while (btree_compact_step(&x.t, &c, on_owner, &o) == NQ_AGAIN)
        ;
    btree_compact_fini(&c);
    for (unsigned i = 0; i < KEYS / 4; i += 7)
        assert_true(o.seen[i]);
    frames_close(x.fr);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_and_sequential_loads_fill_95_percent),
        cmocka_unit_test(what_is_left_of_many_takes_what_it_would_take_alone),
        cmocka_unit_test(a_root_with_one_child_becomes_it),
        cmocka_unit_test(records_that_own_something_are_told),
    };

    return cmocka_run_group_tests_name("btree_compact", tests, NULL, NULL);
}
