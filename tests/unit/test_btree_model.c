/* The tree against a sorted array: random operations on tiny pages, with
 * checks of the whole tree along the way.
 *
 * Runs that hide: before each operation some pages vanish, so that the tree
 * misses them (the linker wraps two functions of frames.h for that).  After a
 * miss nothing may have changed; the pages that were asked for come back, and
 * the operation is tried again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../lib/kv_model.h"
#include "base/mem.h"
#include "base/rng.h"
#include "store/btree_check.h"
#include "store/btree_compact.h"
#include "base/hash.h"
#include "store/frames_int.h"

#ifdef NQ_DEBUG
#define STEPS 30000
#define CHECK_EVERY 50
#else
#define STEPS 200000
#define CHECK_EVERY 2000
#endif

#define IDS_MAX (1u << 16)
#define HIDDEN (UINT32_MAX - 12) /* a mark, as frames_int.h has them */

/* --- a run --------------------------------------------------------------- */

struct run {
    struct rng rng;
    struct frames *fr;
    struct btree tree;
    struct kv_model model;
    struct btree_compact packing; /* between the steps */
    size_t key_max;               /* lengths of keys are up to this */
    uint8_t key_bytes[BTREE_MAX_KEY + 1];
    uint8_t val_bytes[1 << 14];
    nq_rc rc;                 /* of the last RUN */
    bool hides;               /* pages vanish */
    uint64_t misses;          /* in all */
    uint64_t before;          /* what all pages were when the operation began */
    pgno wanted;              /* the page of the last miss */
    uint32_t hidden[IDS_MAX]; /* by id: where the page really stands */
};

static struct run *hiding; /* the run whose pages vanish */

static bool
is_hidden(const struct run *r, pgno id)
{
    return r->fr->frame_of[id] == HIDDEN;
}

static void
show(struct run *r, pgno id)
{
    if (is_hidden(r, id))
        r->fr->frame_of[id] = r->hidden[id];
}

static void
show_all(struct run *r)
{
    for (pgno id = 1; id < frames_all(r->fr)->next_id; id++)
        show(r, id);
}

static void
hide_some(struct run *r)
{
    uint64_t share = 1 + rng_below(&r->rng, 30);

    for (pgno id = 1; id < frames_all(r->fr)->next_id; id++) {
        uint32_t f = r->fr->frame_of[id];

        if (frame_is_mark(f) || rng_below(&r->rng, share) > 0)
            continue;
        r->hidden[id] = f;
        r->fr->frame_of[id] = HIDDEN;
    }
}

/* All that the pages say, by id. */
static uint64_t
hash_pages(struct run *r)
{
    struct frames_all *all = frames_all(r->fr);
    uint64_t sum = 0;

    assert_true(all->next_id < IDS_MAX);
    for (pgno id = 1; id < all->next_id; id++) {
        uint32_t f = is_hidden(r, id) ? r->hidden[id] : r->fr->frame_of[id];
        struct slice s;

        if (frame_is_mark(f))
            continue;
        if (frame_is_chunk(f))
            s = slice_of(all->chunk[f - FRAME_CHUNK0].bytes,
                         all->chunk[f - FRAME_CHUNK0].len);
        else
            s = slice_of(frame_bytes(all, f), r->fr->page_size);
        sum += hash_u64(hash_bytes(s) ^ id);
    }
    return sum ^ r->tree.root ^ r->tree.version << 32;
}

nq_rc __wrap_frames_missed(struct frames *fr, pgno id, const uint8_t **out);
nq_rc __real_frames_missed(struct frames *fr, pgno id, const uint8_t **out);
void __wrap_frames_free(struct frames *fr, pgno id);
void __real_frames_free(struct frames *fr, pgno id);

nq_rc
__wrap_frames_missed(struct frames *fr, pgno id, const uint8_t **out)
{
    if (hiding == NULL || fr->frame_of[id] != HIDDEN)
        return __real_frames_missed(fr, id, out);
    hiding->wanted = id;
    return NQ_MISS;
}

void
__wrap_frames_free(struct frames *fr, pgno id)
{
    if (hiding != NULL)
        show(hiding, id);
    __real_frames_free(fr, id);
}

static void
begin(struct run *r)
{
    if (!r->hides)
        return;
    hide_some(r);
    r->before = hash_pages(r);
}

/* True: try again. */
static bool
is_miss(struct run *r, bool may_change)
{
    if (r->rc != NQ_MISS)
        return false;
    r->misses++;
    assert_true(r->hides && is_hidden(r, r->wanted));
    if (!may_change)
        assert_true(hash_pages(r) == r->before);
    show(r, r->wanted);
    return true;
}

#define RUN(r, call)                                                           \
    do {                                                                       \
        begin(r);                                                              \
        do                                                                     \
            (r)->rc = (call);                                                  \
        while (is_miss((r), false));                                           \
    } while (0)

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

static struct slice
some_key(struct run *r)
{
    struct kv_item *it;

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

    if (r->model.count == KV_MAX &&
        !kv_has(&r->model, kv_lower(&r->model, key), key))
        return;
    RUN(r, btree_put(&r->tree, key, &rec, NULL));
    assert_int_equal(r->rc, NQ_OK);
    kv_put(&r->model, key, &rec);
}

static void
step_del(struct run *r)
{
    struct slice key = some_key(r);
    size_t at = kv_lower(&r->model, key);
    bool has = kv_has(&r->model, at, key);

    RUN(r, btree_del(&r->tree, key, NULL));
    assert_int_equal(r->rc, has ? NQ_OK : NQ_NOTFOUND);
    if (has)
        kv_drop(&r->model, at);
}

static void
step_get(struct run *r)
{
    struct slice key = some_key(r);
    size_t at = kv_lower(&r->model, key);
    bool has = kv_has(&r->model, at, key);
    struct record rec;

    RUN(r, btree_get(&r->tree, key, &rec, NULL));
    assert_int_equal(r->rc, has ? NQ_OK : NQ_NOTFOUND);
    if (has)
        kv_assert_same(&r->model.items[at], &rec);
}

static void
step_rank(struct run *r)
{
    struct slice key = some_key(r);
    struct btree_cursor c;
    uint64_t n;
    size_t at = below(r, r->model.count + 2);

    RUN(r, btree_count(&r->tree, &n));
    assert_int_equal(r->rc, NQ_OK);
    assert_int_equal(n, r->model.count);
    RUN(r, btree_rank(&r->tree, key, &n));
    assert_int_equal(r->rc, NQ_OK);
    assert_int_equal(n, kv_lower(&r->model, key));
    btree_cursor_init(&c, &r->tree);
    RUN(r, btree_nth(&c, at));
    assert_int_equal(r->rc, NQ_OK);
    assert_int_equal(c.valid, at < r->model.count);
    if (c.valid)
        assert_true(slice_eq(c.key, kv_key(&r->model.items[at])));
    btree_cursor_fini(&c);
}

static void
on_old(void *arg, const struct record *old)
{
    kv_assert_same(arg, old);
}

/* Looks the key up, deletes or puts it through a finger set before. */
static void
use_finger(struct run *r, struct slice key, struct finger *f)
{
    size_t at = kv_lower(&r->model, key);
    bool has = kv_has(&r->model, at, key);
    struct kv_item *old = &r->model.items[at]; /* valid only if it is there */
    nq_rc want = has ? NQ_OK : NQ_NOTFOUND;
    struct record rec;

    if (below(r, 3) > 0 || (!has && r->model.count == KV_MAX)) {
        RUN(r, btree_get(&r->tree, key, &rec, f));
        assert_int_equal(r->rc, want);
        if (has)
            kv_assert_same(old, &rec);
    } else if (below(r, 2) == 0) {
        RUN(r, btree_del_told(&r->tree, key, f, on_old, old));
        assert_int_equal(r->rc, want);
        if (has)
            kv_drop(&r->model, at);
    } else {
        rec = random_record(r);
        RUN(r, btree_put_told(&r->tree, key, &rec, f, on_old, old));
        assert_int_equal(r->rc, NQ_OK);
        kv_put(&r->model, key, &rec);
    }
}

static void
step_probe(struct run *r)
{
    static uint8_t keys[20][BTREE_MAX_KEY];
    struct finger fingers[20];
    struct probe probes[20];

    for (unsigned i = 0; i < 20; i++) {
        struct slice key = some_key(r);

        memcpy(keys[i], key.p, key.len);
        probes[i] = (struct probe){&r->tree, slice_of(keys[i], key.len),
                                   &fingers[i], false};
    }
    begin(r);
    for (unsigned missed = 20; missed > 0;) {
        unsigned n = btree_probe(probes, 20);

        assert_true(n == 0 || r->hides);
        missed = n;
        r->misses += n;
        show_all(r);
    }
    for (unsigned i = 0; i < 20; i++)
        use_finger(r, probes[i].key, &fingers[i]);
}

/* Fingers that keep the way to their leaves. */
static void
step_paths(struct run *r)
{
    static uint8_t rooms[6][BTREE_MAX_KEY];
    struct btree_path paths[6];
    struct finger fingers[6];
    struct slice keys[6];
    struct record rec;

    for (unsigned i = 0; i < 6; i++) {
        struct slice key = some_key(r);

        memcpy(rooms[i], key.p, key.len);
        keys[i] = slice_of(rooms[i], key.len);
        paths[i].depth = 0;
        fingers[i] = (struct finger){.path = &paths[i]};
        RUN(r, btree_get(&r->tree, keys[i], &rec, &fingers[i]));
    }
    for (unsigned n = 0; n < 12; n++) {
        unsigned i = (unsigned)below(r, 6);

        use_finger(r, keys[i], &fingers[i]);
    }
}

static void
step_del_range(struct run *r)
{
    struct slice lo = some_key(r), hi;
    size_t from = kv_lower(&r->model, lo);
    size_t n = below(r, 60), to = nq_min(from + n, r->model.count);
    bool has_end = to < r->model.count, done = false;
    uint64_t removed, sum = 0;

    if (has_end)
        hi = slice_of(
            nq_memdup(r->model.items[to].key, r->model.items[to].key_len + 1),
            r->model.items[to].key_len);
    while (!done) {
        begin(r);
        r->rc = btree_del_range(&r->tree, lo, has_end ? &hi : NULL,
                                1 + (unsigned)below(r, 5), NULL, NULL, &removed,
                                &done);
        sum += removed;
        if (!is_miss(r, true))
            assert_int_equal(r->rc, NQ_OK);
    }
    assert_int_equal(sum, to - from);
    while (to-- > from)
        kv_drop(&r->model, from);
    if (has_end)
        nq_free((void *)(uintptr_t)hi.p);
}

static void
step_due(struct run *r)
{
    uint64_t now = below(r, 1000000), n, want = 0;
    struct slice lo = some_key(r);
    size_t from = kv_lower(&r->model, lo);
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
        struct slice hi = kv_key(&r->model.items[to]);

        RUN(r, btree_count_due(&r->tree, lo, &hi, now, &n));
        assert_int_equal(r->rc, NQ_OK);
        assert_int_equal(n, want);
    }
    btree_cursor_init(&c, &r->tree);
    begin(r);
    do
        r->rc = btree_seek_due(&c, now);
    while (is_miss(r, true));
    assert_int_equal(r->rc, NQ_OK);
    assert_int_equal(c.valid, any);
    if (c.valid) {
        size_t at = kv_lower(&r->model, c.key);

        assert_true(kv_has(&r->model, at, c.key));
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
    assert_true(slice_eq(key, kv_key(&v->r->model.items[v->at])));
    kv_assert_same(&v->r->model.items[v->at], rec);
    return v->at++ != v->stop;
}

/* From a random place to another, then on with a step. */
static void
step_visit(struct run *r)
{
    struct slice key = some_key(r);
    struct visit v = {r, kv_lower(&r->model, key), 0};
    size_t from = v.at;
    struct btree_cursor c;

    v.stop = v.at + below(r, 100);
    btree_cursor_init(&c, &r->tree);
    RUN(r, btree_seek(&c, key, false));
    assert_int_equal(r->rc, NQ_OK);
    begin(r);
    while ((r->rc = btree_visit(&c, on_visit, &v)), is_miss(r, false))
        if (v.at > from) {
            from = v.at;
            RUN(r, btree_next(&c)); /* past the last one seen */
        }
    assert_int_equal(r->rc, NQ_OK);
    assert_int_equal(c.valid, v.stop < r->model.count);
    assert_int_equal(v.at, nq_min(v.stop + 1, r->model.count));
    if (c.valid) {
        assert_true(slice_eq(c.key, kv_key(&r->model.items[v.stop])));
        RUN(r, btree_next(&c));
        assert_int_equal(r->rc, NQ_OK);
        assert_int_equal(c.valid, v.at < r->model.count);
        if (c.valid)
            assert_true(slice_eq(c.key, kv_key(&r->model.items[v.at])));
    }
    btree_cursor_fini(&c);
}

/* Some slices of packing; the rest may come after any number of changes. */
static void
step_compact(struct run *r)
{
    uint64_t slices = 1 + below(r, 40);

    while (slices-- > 0) {
        begin(r);
        do
            r->rc = btree_compact_step(&r->tree, &r->packing, NULL, NULL);
        while (is_miss(r, true));
        if (r->rc == NQ_AGAIN)
            continue;
        assert_int_equal(r->rc, NQ_OK);
        btree_compact_fini(&r->packing);
        r->packing = (struct btree_compact){.level = 0};
        return;
    }
}

/* Every record forwards and backwards. */
static void
compare_all(struct run *r)
{
    struct btree_cursor c;
    struct record rec;
    size_t i = 0;

    btree_cursor_init(&c, &r->tree);
    RUN(r, btree_first(&c));
    assert_int_equal(r->rc, NQ_OK);
    for (; c.valid; i++) {
        assert_true(i < r->model.count);
        assert_true(slice_eq(c.key, kv_key(&r->model.items[i])));
        RUN(r, btree_record(&c, &rec));
        assert_int_equal(r->rc, NQ_OK);
        kv_assert_same(&r->model.items[i], &rec);
        RUN(r, btree_next(&c));
        assert_int_equal(r->rc, NQ_OK);
    }
    assert_int_equal(i, r->model.count);
    RUN(r, btree_last(&c));
    assert_int_equal(r->rc, NQ_OK);
    for (; c.valid; i--) {
        assert_true(slice_eq(c.key, kv_key(&r->model.items[i - 1])));
        RUN(r, btree_prev(&c));
        assert_int_equal(r->rc, NQ_OK);
    }
    assert_int_equal(i, 0);
    btree_cursor_fini(&c);
}

static void
step_other(struct run *r)
{
    switch (below(r, 9)) {
    case 0:
        step_probe(r);
        break;
    case 8:
        step_paths(r);
        break;
    case 1:
        step_due(r);
        break;
    case 3:
        step_visit(r);
        break;
    case 4:
        step_compact(r);
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
run_model(uint32_t page_size, size_t key_max, bool hides, uint64_t seed)
{
    struct run *r = nq_calloc(1, sizeof *r);
    struct frames_opts opts = {.page_size = page_size, .pool_bytes = 64u << 20};
    unsigned phase = 0, steps = hides ? STEPS / 10 : STEPS;

    assert_int_equal(frames_open(&opts, &r->fr), NQ_OK);
    r->tree.fr = r->fr;
    r->key_max = key_max;
    r->hides = hides;
    hiding = hides ? r : NULL;
    rng_seed(&r->rng, seed);
    for (unsigned i = 0; i < steps; i++) {
        uint64_t what = below(r, 10);

        if (i % (steps / 6) == 0)
            phase = !phase; /* growing, shrinking, ... */
        if (what < (phase ? 6u : 2u))
            step_put(r);
        else if (what < 8)
            step_del(r);
        else if (what == 8)
            step_get(r);
        else
            step_other(r);
        if (i % CHECK_EVERY == 0) {
            show_all(r);
            assert_int_equal(btree_check(&r->tree, NULL, NULL, NULL), NQ_OK);
        }
        if (i % (steps / 12) == 0)
            compare_all(r);
    }
    while (r->model.count > 0)
        step_del(r);
    btree_compact_fini(&r->packing);
    assert_int_equal(r->tree.root, 0);
    assert_true(r->misses > 0 || !hides);
    show_all(r);
    hiding = NULL;
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
    run_model(512, 30, false, seed_from_environment());
    run_model(1024, 60, false, seed_from_environment());
}

static void
tree_equals_model_with_long_keys(void **state)
{
    (void)state;
    run_model(512, 200, false, seed_from_environment());
}

static void
tree_equals_model_on_usual_pages(void **state)
{
    (void)state;
    run_model(4096, 40, false, seed_from_environment());
    run_model(8192, 2000, false, seed_from_environment());
}

static void
a_miss_changes_nothing_and_the_second_try_succeeds(void **state)
{
    (void)state;
    run_model(512, 30, true, seed_from_environment());
    run_model(512, 200, true, seed_from_environment());
    run_model(4096, 3000, true, seed_from_environment());
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tree_equals_model_on_small_pages),
        cmocka_unit_test(tree_equals_model_with_long_keys),
        cmocka_unit_test(tree_equals_model_on_usual_pages),
        cmocka_unit_test(a_miss_changes_nothing_and_the_second_try_succeeds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
