/* The tree against a sorted array: random operations on tiny pages, with
 * checks of the whole tree along the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "store/btree.h"
#include "store/frames.h"

#ifdef NQ_DEBUG
#define STEPS 30000
#define CHECK_EVERY 50
#else
#define STEPS 300000
#define CHECK_EVERY 500
#endif
#define MAX_RECORDS 4000

/* --- the model -------------------------------------------------------------
 */

struct item {
    uint8_t *key, *val;
    size_t key_len, val_len;
    uint64_t expire_ms;
    uint8_t type, flags;
};

struct model {
    struct item items[MAX_RECORDS];
    size_t count;
};

static struct slice
item_key(const struct item *it)
{
    return slice_of(it->key, it->key_len);
}

/* The first item with a key >= `key`. */
static size_t
model_lower(const struct model *m, struct slice key)
{
    size_t lo = 0, hi = m->count;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (slice_cmp(item_key(&m->items[mid]), key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static bool
model_has(const struct model *m, size_t at, struct slice key)
{
    return at < m->count && slice_eq(item_key(&m->items[at]), key);
}

static void
model_drop(struct model *m, size_t at)
{
    nq_free(m->items[at].key);
    nq_free(m->items[at].val);
    memmove(&m->items[at], &m->items[at + 1],
            (m->count - at - 1) * sizeof m->items[0]);
    m->count--;
}

static void
model_put(struct model *m, struct slice key, const struct record *r)
{
    size_t at = model_lower(m, key);

    if (!model_has(m, at, key)) {
        memmove(&m->items[at + 1], &m->items[at],
                (m->count - at) * sizeof m->items[0]);
        m->count++;
        m->items[at].key = nq_memdup(key.p, key.len + 1);
        m->items[at].key_len = key.len;
    } else {
        nq_free(m->items[at].val);
    }
    m->items[at].val = nq_malloc(r->val.len + 1);
    memcpy(m->items[at].val, r->val.p, r->val.len);
    m->items[at].val_len = r->val.len;
    m->items[at].expire_ms = r->expire_ms;
    m->items[at].type = r->type;
    m->items[at].flags = r->flags;
}

/* --- a run -----------------------------------------------------------------
 */

struct run {
    struct rng rng;
    struct frames *fr;
    struct btree tree;
    struct model model;
    size_t key_max; /* lengths of keys are up to this */
    unsigned style;
    uint8_t key_bytes[BTREE_MAX_KEY + 1];
    uint8_t val_bytes[1 << 14];
};

static uint64_t
below(struct run *r, uint64_t n)
{
    return rng_below(&r->rng, n);
}

/* Keys that share prefixes, end in NULs, are each other's prefixes. */
static struct slice
random_key(struct run *r)
{
    static const struct slice prefixes[] = {
        {(const uint8_t *)"", sizeof("") - 1},
        {(const uint8_t *)"k:", sizeof("k:") - 1},
        {(const uint8_t *)"user:00000000:", sizeof("user:00000000:") - 1},
        {(const uint8_t *)"\0\0\0", sizeof("\0\0\0") - 1},
        {(const uint8_t *)"\xff\xff\xff\xff\xff",
         sizeof("\xff\xff\xff\xff\xff") - 1},
        {(const uint8_t *)"a-rather-long-prefix-that-is-shared:",
         sizeof("a-rather-long-prefix-that-is-shared:") - 1}};
    size_t len = below(r, 4) == 0 ? below(r, r->key_max + 1) : below(r, 20);
    struct slice prefix = prefixes[below(r, nq_countof(prefixes))];
    size_t n = prefix.len;
    uint8_t *p = r->key_bytes;

    memcpy(p, prefix.p, n);
    len = nq_max(len, n);
    len = nq_min(len, (size_t)BTREE_MAX_KEY);
    memset(p + n, (int)below(r, 3), len - n);
    for (size_t i = 0; i < 3 && len > n; i++)
        p[n + below(r, len - n)] = (uint8_t)below(r, 4);
    if (len > n)
        p[len - 1] = (uint8_t)below(r, 7);
    return slice_of(p, len);
}

static struct record
random_record(struct run *r)
{
    uint32_t max = btree_max_inline(&r->tree);
    size_t len = below(r, 8) == 0 ? below(r, max + 1) : below(r, max / 4);

    memset(r->val_bytes, (int)below(r, 256), len);
    return (struct record){.val = slice_of(r->val_bytes, len),
                           .expire_ms =
                               below(r, 3) == 0 ? 1 + below(r, 1000000) : 0,
                           .type = (uint8_t)below(r, 16),
                           .flags = (uint8_t)(below(r, 4) * 2)};
}

static void
assert_same(const struct item *it, const struct record *rec)
{
    assert_int_equal(it->val_len, rec->val.len);
    assert_memory_equal(it->val, rec->val.p, it->val_len);
    assert_true(it->expire_ms == rec->expire_ms);
    assert_int_equal(it->type, rec->type);
    assert_int_equal(it->flags, rec->flags);
}

static struct slice
some_key(struct run *r)
{
    struct item *it;

    if (r->model.count == 0 || below(r, 4) == 0)
        return random_key(r);
    it = &r->model.items[below(r, r->model.count)];
    memcpy(r->key_bytes, it->key, it->key_len);
    return slice_of(r->key_bytes, it->key_len);
}

static void
step_put(struct run *r)
{
    struct slice key = below(r, 3) == 0 ? some_key(r) : random_key(r);
    struct record rec = random_record(r);

    if (r->model.count == MAX_RECORDS &&
        !model_has(&r->model, model_lower(&r->model, key), key))
        return;
    assert_int_equal(btree_put(&r->tree, key, &rec, NULL), NQ_OK);
    model_put(&r->model, key, &rec);
}

static void
step_del(struct run *r)
{
    struct slice key = some_key(r);
    size_t at = model_lower(&r->model, key);
    bool has = model_has(&r->model, at, key);

    assert_int_equal(btree_del(&r->tree, key, NULL), has ? NQ_OK : NQ_NOTFOUND);
    if (has)
        model_drop(&r->model, at);
}

static void
step_get(struct run *r)
{
    struct slice key = some_key(r);
    size_t at = model_lower(&r->model, key);
    bool has = model_has(&r->model, at, key);
    struct record rec;

    assert_int_equal(btree_get(&r->tree, key, &rec, NULL),
                     has ? NQ_OK : NQ_NOTFOUND);
    if (has)
        assert_same(&r->model.items[at], &rec);
}

static void
step_rank(struct run *r)
{
    struct slice key = some_key(r);
    struct btree_cursor c;
    uint64_t n;
    size_t at = below(r, r->model.count + 2);

    assert_int_equal(btree_count(&r->tree, &n), NQ_OK);
    assert_int_equal(n, r->model.count);
    assert_int_equal(btree_rank(&r->tree, key, &n), NQ_OK);
    assert_int_equal(n, model_lower(&r->model, key));
    btree_cursor_init(&c, &r->tree);
    assert_int_equal(btree_nth(&c, at), NQ_OK);
    assert_int_equal(c.valid, at < r->model.count);
    if (c.valid)
        assert_true(slice_eq(c.key, item_key(&r->model.items[at])));
    btree_cursor_fini(&c);
}

static void
step_probe(struct run *r)
{
    static uint8_t keys[20][BTREE_MAX_KEY];
    struct finger fingers[20];
    struct probe probes[20];
    struct record rec;

    for (unsigned i = 0; i < 20; i++) {
        struct slice key = some_key(r);

        memcpy(keys[i], key.p, key.len);
        probes[i] = (struct probe){&r->tree, slice_of(keys[i], key.len),
                                   &fingers[i], false};
    }
    assert_int_equal(btree_probe(probes, 20), 0);
    for (unsigned i = 0; i < 20; i++) {
        struct slice key = probes[i].key;
        size_t at = model_lower(&r->model, key);
        bool has = model_has(&r->model, at, key);
        nq_rc want = has ? NQ_OK : NQ_NOTFOUND;

        if (below(r, 3) > 0 || (!has && r->model.count == MAX_RECORDS)) {
            assert_int_equal(btree_get(&r->tree, key, &rec, &fingers[i]), want);
            if (has)
                assert_same(&r->model.items[at], &rec);
        } else if (below(r, 2) == 0) {
            assert_int_equal(btree_del(&r->tree, key, &fingers[i]), want);
            if (has)
                model_drop(&r->model, at);
        } else {
            rec = random_record(r);
            assert_int_equal(btree_put(&r->tree, key, &rec, &fingers[i]),
                             NQ_OK);
            model_put(&r->model, key, &rec);
        }
    }
}

static void
step_del_range(struct run *r)
{
    struct slice lo = some_key(r), hi;
    size_t from = model_lower(&r->model, lo);
    size_t n = below(r, 60), to = nq_min(from + n, r->model.count);
    bool has_end = to < r->model.count, done = false;
    uint64_t removed, sum = 0;

    if (has_end)
        hi = slice_of(
            nq_memdup(r->model.items[to].key, r->model.items[to].key_len + 1),
            r->model.items[to].key_len);
    while (!done) {
        assert_int_equal(btree_del_range(&r->tree, lo, has_end ? &hi : NULL,
                                         1 + (unsigned)below(r, 5), NULL, NULL,
                                         &removed, &done),
                         NQ_OK);
        sum += removed;
    }
    assert_int_equal(sum, to - from);
    while (to-- > from)
        model_drop(&r->model, from);
    if (has_end)
        nq_free((void *)(uintptr_t)hi.p);
}

static void
step_due(struct run *r)
{
    uint64_t now = below(r, 1000000), n, want = 0;
    struct slice lo = some_key(r);
    size_t from = model_lower(&r->model, lo);
    size_t wide = below(r, 200), to = nq_min(from + wide, r->model.count);
    struct btree_cursor c;
    bool any = false;

    for (size_t i = 0; i < r->model.count; i++) {
        uint64_t e = r->model.items[i].expire_ms;
        bool due = e != 0 && e <= now;

        any |= due;
        want += due && i >= from && i < to;
    }
    if (to < r->model.count) {
        struct slice hi = item_key(&r->model.items[to]);

        assert_int_equal(btree_count_due(&r->tree, lo, &hi, now, &n), NQ_OK);
        assert_int_equal(n, want);
    }
    btree_cursor_init(&c, &r->tree);
    assert_int_equal(btree_seek_due(&c, now), NQ_OK);
    assert_int_equal(c.valid, any);
    if (c.valid) {
        size_t at = model_lower(&r->model, c.key);

        assert_true(model_has(&r->model, at, c.key));
        assert_true(r->model.items[at].expire_ms <= now);
        assert_true(r->model.items[at].expire_ms != 0);
    }
    btree_cursor_fini(&c);
}

struct visit {
    struct run *r;
    size_t at, stop; /* where the next call stands, where to end */
};

static bool
on_visit(void *arg, struct slice key, const struct record *rec)
{
    struct visit *v = arg;

    assert_true(v->at < v->r->model.count);
    assert_true(slice_eq(key, item_key(&v->r->model.items[v->at])));
    assert_same(&v->r->model.items[v->at], rec);
    return v->at++ != v->stop;
}

/* From a random place to another, then on with a step. */
static void
step_visit(struct run *r)
{
    struct slice key = some_key(r);
    struct visit v = {r, model_lower(&r->model, key), 0};
    struct btree_cursor c;

    v.stop = v.at + below(r, 100);
    btree_cursor_init(&c, &r->tree);
    assert_int_equal(btree_seek(&c, key, false), NQ_OK);
    assert_int_equal(btree_visit(&c, on_visit, &v), NQ_OK);
    assert_int_equal(c.valid, v.stop < r->model.count);
    assert_int_equal(v.at, nq_min(v.stop + 1, r->model.count));
    if (c.valid) {
        assert_true(slice_eq(c.key, item_key(&r->model.items[v.stop])));
        assert_int_equal(btree_next(&c), NQ_OK);
        assert_int_equal(c.valid, v.at < r->model.count);
        if (c.valid)
            assert_true(slice_eq(c.key, item_key(&r->model.items[v.at])));
    }
    btree_cursor_fini(&c);
}

/* Every record forwards and backwards. */
static void
compare_all(struct run *r)
{
    struct btree_cursor c;
    struct record rec;
    size_t i = 0;

    btree_cursor_init(&c, &r->tree);
    assert_int_equal(btree_first(&c), NQ_OK);
    for (; c.valid; i++) {
        assert_true(i < r->model.count);
        assert_true(slice_eq(c.key, item_key(&r->model.items[i])));
        assert_int_equal(btree_record(&c, &rec), NQ_OK);
        assert_same(&r->model.items[i], &rec);
        assert_int_equal(btree_next(&c), NQ_OK);
    }
    assert_int_equal(i, r->model.count);
    assert_int_equal(btree_last(&c), NQ_OK);
    for (; c.valid; i--) {
        assert_true(slice_eq(c.key, item_key(&r->model.items[i - 1])));
        assert_int_equal(btree_prev(&c), NQ_OK);
    }
    assert_int_equal(i, 0);
    btree_cursor_fini(&c);
}

static void
step_other(struct run *r)
{
    switch (below(r, 8)) {
    case 0:
        step_probe(r);
        break;
    case 1:
        step_due(r);
        break;
    case 3:
        step_visit(r);
        break;
    case 2:
        if (below(r, 10) == 0)
            step_del_range(r);
        break;
    default:
        step_rank(r);
        break;
    }
}

static void
run_model(uint32_t page_size, size_t key_max, uint64_t seed)
{
    struct run *r = nq_calloc(1, sizeof *r);
    struct frames_opts opts = {.page_size = page_size, .pool_bytes = 64u << 20};
    unsigned phase = 0;

    assert_int_equal(frames_open(&opts, &r->fr), NQ_OK);
    r->tree.fr = r->fr;
    r->key_max = key_max;
    rng_seed(&r->rng, seed);
    for (unsigned i = 0; i < STEPS; i++) {
        uint64_t what = below(r, 10);

        if (i % (STEPS / 6) == 0)
            phase = !phase; /* growing, shrinking, ... */
        if (what < (phase ? 6u : 2u))
            step_put(r);
        else if (what < 8)
            step_del(r);
        else if (what == 8)
            step_get(r);
        else
            step_other(r);
        if (i % CHECK_EVERY == 0)
            assert_int_equal(btree_check(&r->tree, NULL, NULL, NULL), NQ_OK);
        if (i % (STEPS / 12) == 0)
            compare_all(r);
    }
    while (r->model.count > 0)
        step_del(r);
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
tree_equals_model_on_small_pages(void **state)
{
    (void)state;
    run_model(512, 30, seed_from_environment());
    run_model(1024, 60, seed_from_environment());
}

static void
tree_equals_model_with_long_keys(void **state)
{
    (void)state;
    run_model(512, 200, seed_from_environment());
}

static void
tree_equals_model_on_usual_pages(void **state)
{
    (void)state;
    run_model(4096, 40, seed_from_environment());
    run_model(8192, 2000, seed_from_environment());
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tree_equals_model_on_small_pages),
        cmocka_unit_test(tree_equals_model_with_long_keys),
        cmocka_unit_test(tree_equals_model_on_usual_pages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
