/* Copies of trees, made in slices on tiny pages: at any time a tree of their
 * own, in the end the same as the source, with other pages.
 *
 * Between steps pages vanish (the linker wraps two functions of frames.h);
 * a step that misses one is taken again once it is back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../lib/kv_model.h"
#include "base/mem.h"
#include "base/rng.h"
#include "store/blob.h"
#include "store/btree_check.h"
#include "store/frames_int.h"

#define IDS_MAX (1u << 15)
#define HIDDEN (UINT32_MAX - 12) /* a mark, as frames_int.h has them */
#define KEY_MAX 1500
#define BIG ((2u << 20) + 77) /* a value of three chunks */

struct run {
    struct rng rng;
    struct frames *fr;
    struct btree tree;
    struct kv_model model;
    bool hides;
    unsigned misses;
    uint32_t hidden[IDS_MAX]; /* by id: where the page really stands */
    uint8_t seen[IDS_MAX];    /* pages of the source: 1; of the copy: 2 */
    uint8_t mark;
    uint8_t key[KEY_MAX];
    uint8_t noise[BIG];
};

static struct run *hiding;

/* --- pages that vanish --------------------------------------------------- */

static void
show(struct run *r, pgno id)
{
    if (r->fr->frame_of[id] == HIDDEN)
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
    assert_true(frames_all(r->fr)->next_id < IDS_MAX);
    for (pgno id = 1; id < frames_all(r->fr)->next_id; id++) {
        uint32_t f = r->fr->frame_of[id];

        if (frame_is_mark(f) || rng_below(&r->rng, 8) > 0)
            continue;
        r->hidden[id] = f;
        r->fr->frame_of[id] = HIDDEN;
    }
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
    show(hiding, id);
    hiding->misses++;
    return NQ_MISS;
}

void
__wrap_frames_free(struct frames *fr, pgno id)
{
    if (hiding != NULL)
        show(hiding, id);
    __real_frames_free(fr, id);
}

/* --- a source ------------------------------------------------------------- */

static struct record
random_record(struct run *r, bool owns)
{
    struct record rec = {.type = (uint8_t)rng_below(&r->rng, 16)};
    uint32_t max = btree_max_inline(&r->tree);
    uint16_t weight = (uint16_t)(1 + rng_below(&r->rng, 500));
    size_t len = 2 + rng_below(&r->rng, max - 1);

    memcpy(r->noise, &weight, sizeof weight);
    rec.expire_ms = rng_below(&r->rng, 3) == 0 ? rng_below(&r->rng, 9999) : 0;
    rec.val = slice_of(r->noise, len);
    if (owns && rng_below(&r->rng, 9) == 0) {
        struct blob_ref ref;

        len = rng_below(&r->rng, 40) == 0 ? BIG : len + 100;
        blob_new(r->fr, slice_of(r->noise, len), &ref);
        blob_ref_encode(r->noise, &ref);
        rec.val = slice_of(r->noise, BLOB_REF_SIZE);
        rec.flags = REC_OWNS;
    }
    return rec;
}

static void
put_one(struct run *r, size_t key_max, bool owns)
{
    size_t len = 4 + rng_below(&r->rng, key_max - 3);
    uint32_t n = (uint32_t)rng_below(&r->rng, 100000);
    struct slice key = slice_of(r->key, len);
    struct record rec;

    memset(r->key, 'k', len);
    memcpy(r->key + len - 4, &n, 4);
    if (kv_has(&r->model, kv_lower(&r->model, key), key))
        return;
    rec = random_record(r, owns);
    assert_int_equal(btree_put(&r->tree, key, &rec, NULL), NQ_OK);
    kv_put(&r->model, key, &rec);
}

static struct run *
open_run(uint64_t seed)
{
    struct frames_opts opts = {.page_size = 512, .pool_bytes = 64u << 20};
    struct run *r = nq_calloc(1, sizeof *r);

    assert_int_equal(frames_open(&opts, &r->fr), NQ_OK);
    r->tree.fr = r->fr;
    rng_seed(&r->rng, seed);
    for (size_t i = 0; i < BIG; i++)
        r->noise[i] = (uint8_t)(i * 7 + (i >> 9));
    return r;
}

static void free_all(struct run *r, struct btree *t);

static void
close_run(struct run *r)
{
    struct frames_stats st;

    show_all(r);
    hiding = NULL;
    free_all(r, &r->tree);
    frames_get_stats(r->fr, &st);
    assert_int_equal(st.pages, 0);
    while (r->model.count > 0)
        kv_drop(&r->model, r->model.count - 1);
    frames_close(r->fr);
    nq_free(r);
}

/* --- comparing ------------------------------------------------------------ */

static void
free_blob(void *arg, const struct record *rec)
{
    struct run *r = arg;
    struct blob_ref ref;

    assert_int_equal(blob_ref_decode(rec->val, &ref), NQ_OK);
    blob_free(r->fr, &ref);
}

static void
free_all(struct run *r, struct btree *t)
{
    uint64_t removed;
    bool done = false;

    while (!done)
        assert_int_equal(btree_del_range(t, slice_lit(""), NULL, 3, free_blob,
                                         r, &removed, &done),
                         NQ_OK);
    assert_int_equal(t->root, 0);
}

static void
on_page(void *arg, pgno id)
{
    struct run *r = arg;

    assert_int_equal(r->seen[id], 0);
    r->seen[id] = r->mark;
}

static void
on_record(void *arg, const struct record *rec)
{
    struct run *r = arg;
    struct blob_ref ref;

    if ((rec->flags & REC_OWNS) == 0)
        return;
    assert_int_equal(blob_ref_decode(rec->val, &ref), NQ_OK);
    assert_int_equal(blob_each_page(r->fr, &ref, on_page, r), NQ_OK);
}

static void
see_pages(struct run *r, struct btree *t, uint8_t mark)
{
    struct btree_walk_opts opts = {
        .on_page = on_page, .on_record = on_record, .arg = r};
    struct btree_walk *w = btree_walk_new(t, &opts);

    r->mark = mark;
    assert_int_equal(btree_walk_step(w, UINT32_MAX), NQ_OK);
    btree_walk_free(w, NULL);
}

/* Both are trees, and no page is in both, or in none. */
static void
check_both(struct run *r, struct btree *copy)
{
    struct frames_stats st;
    uint64_t pages = 0;

    memset(r->seen, 0, sizeof r->seen);
    see_pages(r, &r->tree, 1);
    see_pages(r, copy, 2);
    for (pgno id = 0; id < IDS_MAX; id++)
        pages += r->seen[id] != 0;
    frames_get_stats(r->fr, &st);
    assert_int_equal(pages, st.pages);
}

static void
compare_blobs(struct run *r, const struct record *a, const struct record *b)
{
    struct blob_ref x, y;
    uint8_t *p, *q;

    assert_int_equal(blob_ref_decode(a->val, &x), NQ_OK);
    assert_int_equal(blob_ref_decode(b->val, &y), NQ_OK);
    assert_int_equal(x.len, y.len);
    p = nq_malloc(x.len);
    q = nq_malloc(x.len);
    assert_int_equal(blob_read(r->fr, &x, 0, x.len, p), NQ_OK);
    assert_int_equal(blob_read(r->fr, &y, 0, x.len, q), NQ_OK);
    assert_memory_equal(p, q, x.len);
    nq_free(p);
    nq_free(q);
}

static void
compare(struct run *r, struct btree *copy)
{
    struct btree_cursor a, b;
    struct record x, y;
    uint64_t n, m;

    assert_int_equal(btree_count(&r->tree, &n), NQ_OK);
    assert_int_equal(btree_count(copy, &m), NQ_OK);
    assert_int_equal(n, m);
    btree_cursor_init(&a, &r->tree);
    btree_cursor_init(&b, copy);
    assert_int_equal(btree_first(&a), NQ_OK);
    assert_int_equal(btree_first(&b), NQ_OK);
    while (a.valid) {
        assert_true(b.valid && slice_eq(a.key, b.key));
        assert_int_equal(btree_record(&a, &x), NQ_OK);
        assert_int_equal(btree_record(&b, &y), NQ_OK);
        assert_int_equal(x.expire_ms, y.expire_ms);
        assert_int_equal(x.type, y.type);
        assert_int_equal(x.flags, y.flags);
        if (x.flags & REC_OWNS)
            compare_blobs(r, &x, &y);
        else
            assert_true(slice_eq(x.val, y.val));
        assert_int_equal(btree_next(&a), NQ_OK);
        assert_int_equal(btree_next(&b), NQ_OK);
    }
    assert_false(b.valid);
    btree_cursor_fini(&a);
    btree_cursor_fini(&b);
}

/* Up to `steps` steps; what there is then. */
static struct btree
clone_some(struct run *r, unsigned steps, bool *is_done)
{
    struct btree_clone *c = btree_clone_new(&r->tree);
    struct btree copy = {.fr = r->fr, .weighted = r->tree.weighted};
    nq_rc rc = NQ_AGAIN;

    while (steps-- > 0 && rc != NQ_OK) {
        if (r->hides)
            hide_some(r);
        rc = btree_clone_step(c, (unsigned)rng_below(&r->rng, 4));
        assert_true(rc == NQ_OK || rc == NQ_AGAIN || rc == NQ_MISS);
        if (copy.root != 0)
            assert_int_equal(copy.root, btree_clone_root(c));
        btree_set_root(&copy, btree_clone_root(c));
        if (rng_below(&r->rng, 20) > 0)
            continue;
        show_all(r);
        check_both(r, &copy);
    }
    show_all(r);
    *is_done = rc == NQ_OK;
    btree_clone_free(c);
    return copy;
}

static void
run_clones(unsigned records, size_t key_max, bool owns, bool weighted,
           bool hides)
{
    const char *text = getenv("SEED");
    uint64_t seed =
        text != NULL ? strtoull(text, NULL, 10) : rng_seed_from_os();
    struct run *r = open_run(seed);
    struct btree copy;
    bool is_done;

    printf("SEED=%llu\n", (unsigned long long)seed);
    r->tree.weighted = weighted;
    r->hides = hides;
    for (unsigned i = 0; i < records; i++)
        put_one(r, key_max, owns);
    hiding = hides ? r : NULL;
    copy = clone_some(r, UINT32_MAX, &is_done);
    assert_true(is_done);
    check_both(r, &copy);
    compare(r, &copy);
    free_all(r, &copy);
    for (unsigned i = 0; i < 10; i++) { /* given up on the way */
        copy = clone_some(r, (unsigned)rng_below(&r->rng, records), &is_done);
        check_both(r, &copy);
        free_all(r, &copy);
    }
    assert_true(!hides || r->misses > 0);
    close_run(r);
}

static void
a_copy_equals_its_source(void **state)
{
    (void)state;
    run_clones(1500, 20, false, false, false);
    run_clones(3, 20, false, false, false);
    run_clones(0, 20, false, false, false);
}

static void
blobs_and_long_keys_are_copied_too(void **state)
{
    (void)state;
    run_clones(600, 30, true, false, false);
    run_clones(300, 700, true, false, false);
}

static void
weights_are_copied_too(void **state)
{
    (void)state;
    run_clones(800, 12, true, true, false);
}

static void
a_copy_survives_misses(void **state)
{
    (void)state;
    run_clones(500, 20, false, false, true);
    run_clones(250, 700, true, false, true);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_equals_its_source),
        cmocka_unit_test(blobs_and_long_keys_are_copied_too),
        cmocka_unit_test(weights_are_copied_too),
        cmocka_unit_test(a_copy_survives_misses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
