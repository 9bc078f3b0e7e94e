/* A weighted tree against an array: records that stand for several elements,
 * on tiny pages, so that every split, redistribution and merge must carry the
 * weights along. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "store/btree_check.h"
#include "store/frames.h"

#define LABELS 600
#define WEIGHT_MAX 900

struct run {
    struct rng rng;
    struct frames *fr;
    struct btree tree;
    uint64_t weight[LABELS]; /* by label; 0: there is no such record */
    bool owns[LABELS];
    uint8_t key[8], val[4096];
};

static uint64_t
below(struct run *r, uint64_t n)
{
    return rng_below(&r->rng, n);
}

/* Labels have gaps; those asked for lie on either side of one, too. */
static struct slice
key_of(struct run *r, unsigned label, uint8_t last)
{
    memset(r->key, 0, sizeof r->key);
    r->key[5] = (uint8_t)(label >> 8);
    r->key[6] = (uint8_t)label;
    r->key[7] = last;
    return slice_of(r->key, sizeof r->key);
}

static struct slice
exact_key(struct run *r, unsigned label)
{
    return key_of(r, label, 9);
}

static void
put(struct run *r, unsigned label)
{
    uint16_t weight = (uint16_t)(1 + below(r, WEIGHT_MAX));
    size_t max = btree_max_inline(&r->tree);
    size_t len = 2 + below(r, below(r, 6) == 0 ? max - 1 : 30);
    struct record rec = {.flags = below(r, 8) == 0 ? REC_OWNS : 0};

    memset(r->val, (int)label, len);
    memcpy(r->val, &weight, sizeof weight);
    rec.val = slice_of(r->val, len);
    assert_int_equal(btree_put(&r->tree, exact_key(r, label), &rec, NULL),
                     NQ_OK);
    r->owns[label] = rec.flags != 0;
    r->weight[label] = rec.flags != 0 ? 1 : weight;
}

static void
del(struct run *r, unsigned label)
{
    nq_rc want = r->weight[label] > 0 ? NQ_OK : NQ_NOTFOUND;

    assert_int_equal(btree_del(&r->tree, exact_key(r, label), NULL), want);
    r->weight[label] = 0;
}

static void
patch(struct run *r, unsigned label)
{
    nq_rc want = r->weight[label] > 0 ? NQ_OK : NQ_NOTFOUND;
    uint8_t *val;
    size_t len;

    assert_int_equal(
        btree_patch(&r->tree, exact_key(r, label), NULL, &val, &len), want);
    if (want == NQ_OK)
        memset(val + 2, (int)below(r, 256), len - 2);
}

static uint64_t
sum(const struct run *r, unsigned lo, unsigned hi)
{
    uint64_t n = 0;

    for (; lo < hi; lo++)
        n += r->weight[lo];
    return n;
}

static void
del_range(struct run *r)
{
    unsigned lo = (unsigned)below(r, LABELS), hi = lo + (unsigned)below(r, 60);
    uint8_t first[8], last[8];
    struct slice end = slice_of(last, sizeof last);
    uint64_t removed, all = 0;
    bool done = false;

    hi = nq_min(hi, (unsigned)LABELS);
    memcpy(first, key_of(r, lo, 0).p, sizeof first);
    memcpy(last, key_of(r, hi, 0).p, sizeof last);
    while (!done) {
        assert_int_equal(btree_del_range(&r->tree,
                                         slice_of(first, sizeof first), &end, 1,
                                         NULL, NULL, &removed, &done),
                         NQ_OK);
        all += removed;
    }
    assert_int_equal(all, sum(r, lo, hi));
    memset(r->weight + lo, 0, (hi - lo) * sizeof r->weight[0]);
}

static void
check_rank(struct run *r)
{
    unsigned label = (unsigned)below(r, LABELS);
    uint8_t last = (uint8_t)(8 + below(r, 3));
    uint64_t n;

    assert_int_equal(btree_rank(&r->tree, key_of(r, label, last), &n), NQ_OK);
    assert_int_equal(n, sum(r, 0, label) + (last > 9 ? r->weight[label] : 0));
}

static void
check_nth(struct run *r)
{
    uint64_t all = sum(r, 0, LABELS), n = below(r, all + 3), within, left = n;
    struct btree_cursor c;
    unsigned label = 0;

    btree_cursor_init(&c, &r->tree);
    assert_int_equal(btree_nth_within(&c, n, &within), NQ_OK);
    assert_int_equal(c.valid, n < all);
    if (c.valid) {
        while (left >= r->weight[label])
            left -= r->weight[label++];
        assert_true(slice_eq(c.key, exact_key(r, label)));
        assert_int_equal(within, left);
    }
    btree_cursor_fini(&c);
}

static void
step(struct run *r, bool grows)
{
    unsigned label = (unsigned)below(r, LABELS);
    uint64_t what = below(r, 20), n;

    if (what < (grows ? 11u : 5u))
        put(r, label);
    else if (what < 14)
        del(r, label);
    else if (what == 14)
        patch(r, label);
    else if (what == 15 && below(r, 10) == 0)
        del_range(r);
    else if (what < 18)
        check_rank(r);
    else
        check_nth(r);
    assert_int_equal(btree_count(&r->tree, &n), NQ_OK);
    assert_int_equal(n, sum(r, 0, LABELS));
}

static void
open_run(struct run *r, uint32_t page_size, uint64_t seed)
{
    struct frames_opts opts = {.page_size = page_size, .pool_bytes = 16u << 20};

    memset(r, 0, sizeof *r);
    assert_int_equal(frames_open(&opts, &r->fr), NQ_OK);
    r->tree.fr = r->fr;
    r->tree.weighted = true;
    rng_seed(&r->rng, seed);
}

static void
run_model(uint32_t page_size, unsigned steps, uint64_t seed)
{
    struct run *r = nq_malloc(sizeof *r);

    open_run(r, page_size, seed);
    for (unsigned i = 0; i < steps; i++) {
        step(r, i / (steps / 6) % 2 == 0);
        if (i % 50 == 0)
            assert_int_equal(btree_check(&r->tree, NULL, NULL, NULL), NQ_OK);
    }
    for (unsigned i = 0; i < LABELS; i++)
        del(r, i);
    assert_int_equal(r->tree.root, 0);
    frames_close(r->fr);
    nq_free(r);
}

static uint64_t
seed_from_environment(void)
{
    const char *text = getenv("SEED");
    uint64_t seed =
        text != NULL ? strtoull(text, NULL, 10) : rng_seed_from_os();

    printf("SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static void
counts_follow_weights_on_small_pages(void **state)
{
    (void)state;
    run_model(512, 60000, seed_from_environment());
}

static void
counts_follow_weights_on_usual_pages(void **state)
{
    (void)state;
    run_model(4096, 60000, seed_from_environment());
}

static void
a_check_finds_a_weight_that_was_patched(void **state)
{
    struct run *r = nq_malloc(sizeof *r);
    uint16_t other = WEIGHT_MAX + 1;
    uint8_t *val;
    size_t len;

    (void)state;
    open_run(r, 512, 1);
    for (unsigned i = 0; i < LABELS; i++)
        put(r, i);
    assert_int_equal(btree_check(&r->tree, NULL, NULL, NULL), NQ_OK);
    for (unsigned i = 0;; i++) {
        if (r->owns[i])
            continue;
        assert_int_equal(
            btree_patch(&r->tree, exact_key(r, i), NULL, &val, &len), NQ_OK);
        memcpy(val, &other, sizeof other);
        break;
    }
    assert_int_equal(btree_check(&r->tree, NULL, NULL, NULL), NQ_ECORRUPT);
    frames_close(r->fr);
    nq_free(r);
}

static void
all_of_a_tree_is_freed_without_the_mark(void **state)
{
    struct run *r = nq_malloc(sizeof *r);
    uint64_t removed;
    bool done = false;

    (void)state;
    open_run(r, 512, 2);
    for (unsigned i = 0; i < LABELS; i++)
        put(r, i);
    r->tree.weighted = false;
    while (!done)
        assert_int_equal(btree_del_range(&r->tree, slice_lit(""), NULL, 3, NULL,
                                         NULL, &removed, &done),
                         NQ_OK);
    assert_int_equal(r->tree.root, 0);
    frames_close(r->fr);
    nq_free(r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_follow_weights_on_small_pages),
        cmocka_unit_test(counts_follow_weights_on_usual_pages),
        cmocka_unit_test(a_check_finds_a_weight_that_was_patched),
        cmocka_unit_test(all_of_a_tree_is_freed_without_the_mark),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
