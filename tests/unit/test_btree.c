/* The tree's promises one by one: fill, what a change touches, fingers,
 * cursors, long keys, ranges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "store/btree_check.h"
#include "store/btree_int.h"

static struct btree
open_tree(uint32_t page_size)
{
    struct frames_opts opts = {.page_size = page_size, .pool_bytes = 64u << 20};
    struct btree t = {.fr = NULL};

    assert_int_equal(frames_open(&opts, &t.fr), NQ_OK);
    return t;
}

static uint64_t
pages_in_use(const struct btree *t)
{
    struct frames_stats st;

    frames_get_stats(t->fr, &st);
    return st.pages;
}

static struct btree_stats
check(struct btree *t)
{
    struct btree_stats st;

    assert_int_equal(btree_check(t, &st, NULL, NULL), NQ_OK);
    return st;
}

/* Empties the tree; nothing may be left anywhere. */
static void
close_tree(struct btree *t)
{
    uint64_t removed;
    bool done = false;

    check(t);
    while (!done)
        assert_int_equal(btree_del_range(t, slice_of(NULL, 0), NULL, 100, NULL,
                                         NULL, &removed, &done),
                         NQ_OK);
    assert_int_equal(t->root, 0);
    assert_int_equal(pages_in_use(t), 0);
    frames_close(t->fr);
}

static void
put(struct btree *t, struct slice key, struct slice val)
{
    struct record rec = {.val = val};

    assert_int_equal(btree_put(t, key, &rec, NULL), NQ_OK);
}

static struct slice
numbered(char *dst, uint64_t n)
{
    return slice_of(
        dst, (size_t)snprintf(dst, 32, "key:%012llu", (unsigned long long)n));
}

static void
put_number(struct btree *t, uint64_t n)
{
    char key[32];

    put(t, numbered(key, n),
        slice_lit("0123456789012345678901234567890123456789012345678901"));
}

static double
fill_of(struct btree *t)
{
    struct btree_stats st = check(t);

    return (double)st.used_bytes / (double)st.page_bytes;
}

/* --- fill ---------------------------------------------------------------- */

static void
ascending_loads_fill_pages(void **state)
{
    struct btree t = open_tree(4096);

    (void)state;
    for (unsigned i = 0; i < 20000; i++)
        put_number(&t, i);
    assert_true(fill_of(&t) > 0.95);
    close_tree(&t);
}

static void
descending_loads_fill_pages(void **state)
{
    struct btree t = open_tree(4096);

    (void)state;
    for (unsigned i = 20000; i-- > 0;)
        put_number(&t, i);
    assert_true(fill_of(&t) > 0.95);
    close_tree(&t);
}

static void
several_ascending_sequences_fill_pages(void **state)
{
    struct btree t = open_tree(4096);

    (void)state;
    for (unsigned i = 0; i < 4000; i++)
        for (uint64_t s = 1; s < 6; s++)
            put_number(&t, s * 1000000000 + i);
    assert_true(fill_of(&t) > 0.85);
    close_tree(&t);
}

static void
random_loads_fill_pages(void **state)
{
    struct btree t = open_tree(4096);
    struct rng r;

    (void)state;
    rng_seed(&r, 5);
    for (unsigned i = 0; i < 20000; i++)
        put_number(&t, rng_below(&r, 1u << 30));
    assert_true(fill_of(&t) > 0.78);
    close_tree(&t);
}

static void
deletes_give_pages_back(void **state)
{
    struct btree t = open_tree(4096);
    uint64_t before;
    char key[32];

    (void)state;
    for (unsigned i = 0; i < 20000; i++)
        put_number(&t, i * 7919 % 20000);
    before = pages_in_use(&t);
    for (unsigned i = 0; i < 20000; i++)
        if (i % 10 != 0)
            assert_int_equal(
                btree_del(&t, numbered(key, i * 7919 % 20000), NULL), NQ_OK);
    assert_true(pages_in_use(&t) * 3 < before);
    close_tree(&t);
}

/* --- what a change touches ----------------------------------------------- */

struct newest {
    struct btree *t;
    lsn inner, leaf;
};

static void
note_newest(void *arg, pgno id)
{
    struct newest *n = arg;
    const struct page *pg = tree_peek(n->t, id);

    if (pg->kind == PAGE_INNER)
        n->inner = nq_max(n->inner, pg->lsn);
    else
        n->leaf = nq_max(n->leaf, pg->lsn);
}

static struct newest
newest_stamps(struct btree *t)
{
    struct newest n = {t, 0, 0};

    assert_int_equal(btree_check(t, NULL, note_newest, &n), NQ_OK);
    return n;
}

static void
overwrites_leave_inner_pages_alone(void **state)
{
    struct btree t = open_tree(4096);
    struct record rec = {.val = slice_lit("of another length, but shorter")};
    char key[32];

    (void)state;
    t.fr->stamp = 1;
    for (unsigned i = 0; i < 5000; i++)
        put_number(&t, i);
    t.fr->stamp = 2;
    for (unsigned i = 0; i < 5000; i += 100)
        assert_int_equal(btree_put(&t, numbered(key, i), &rec, NULL), NQ_OK);
    assert_int_equal(newest_stamps(&t).leaf, 2);
    assert_int_equal(newest_stamps(&t).inner, 1);
    rec.expire_ms = 1000;
    assert_int_equal(btree_put(&t, numbered(key, 7), &rec, NULL), NQ_OK);
    assert_int_equal(newest_stamps(&t).inner, 2);
    assert_int_equal(btree_get(&t, numbered(key, 7), &rec, NULL), NQ_OK);
    assert_int_equal(rec.page_lsn, 2);
    close_tree(&t);
}

static void
the_earliest_expiry_is_known_and_repaired(void **state)
{
    struct btree t = open_tree(512);
    struct btree_cursor c;
    uint64_t at;
    char key[32];

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        struct record rec = {.val = slice_lit("v"), .expire_ms = 1000 + i};

        assert_int_equal(
            btree_put(&t, numbered(key, i * 7919 % 1000), &rec, NULL), NQ_OK);
    }
    assert_int_equal(btree_earliest(&t, &at), NQ_OK);
    assert_int_equal(at, 1000);
    btree_cursor_init(&c, &t);
    for (unsigned i = 0; i < 500; i++) {
        assert_int_equal(btree_seek_due(&c, 1499), NQ_OK);
        assert_true(c.valid);
        assert_int_equal(btree_del(&t, c.key, NULL), NQ_OK);
    }
    assert_int_equal(btree_seek_due(&c, 1499), NQ_OK);
    assert_false(c.valid);
    assert_int_equal(btree_earliest(&t, &at), NQ_OK);
    assert_int_equal(at, 1500);
    btree_cursor_fini(&c);
    close_tree(&t);
}

static void
patches_change_bytes_in_place(void **state)
{
    struct btree t = open_tree(4096);
    struct record rec;
    uint64_t version;
    uint8_t *val;
    size_t len;

    (void)state;
    put(&t, slice_lit("k"), slice_lit("abc"));
    version = t.version;
    assert_int_equal(btree_patch(&t, slice_lit("k"), NULL, &val, &len), NQ_OK);
    assert_int_equal(len, 3);
    val[1] = 'X';
    assert_int_equal(btree_get(&t, slice_lit("k"), &rec, NULL), NQ_OK);
    assert_true(slice_eq(rec.val, slice_lit("aXc")));
    assert_true(t.version == version);
    assert_int_equal(btree_patch(&t, slice_lit("j"), NULL, &val, &len),
                     NQ_NOTFOUND);
    close_tree(&t);
}

/* RENAME and COPY hand in values where they stand, in any leaf. */
static void
values_may_come_from_the_tree_itself(void **state)
{
    struct btree t = open_tree(512);
    struct record rec;
    char key[32];
    uint8_t val[50];

    (void)state;
    for (unsigned i = 0; i < 3000; i++) {
        memset(val, (int)(i % 251), sizeof val);
        put(&t, numbered(key, i * 2), slice_of(val, 10 + i % 40));
        assert_int_equal(
            btree_get(&t, numbered(key, i * 7919 % (i + 1) * 2), &rec, NULL),
            NQ_OK);
        assert_int_equal(btree_put(&t, numbered(key, i * 2 + 1), &rec, NULL),
                         NQ_OK);
    }
    for (unsigned i = 0; i < 3000; i++) {
        unsigned from = i * 7919 % (i + 1);

        memset(val, (int)(from % 251), sizeof val);
        assert_int_equal(btree_get(&t, numbered(key, i * 2 + 1), &rec, NULL),
                         NQ_OK);
        assert_true(slice_eq(rec.val, slice_of(val, 10 + from % 40)));
    }
    close_tree(&t);
}

/* --- fingers and cursors ------------------------------------------------- */

static void
fingers_outlive_changes_of_their_leaf(void **state)
{
    struct btree t = open_tree(4096);
    struct finger f[3];
    struct probe p[3];
    struct record rec;
    uint64_t shape;

    (void)state;
    put(&t, slice_lit("b"), slice_lit("1"));
    put(&t, slice_lit("d"), slice_lit("2"));
    p[0] = (struct probe){&t, slice_lit("b"), &f[0], false};
    p[1] = (struct probe){&t, slice_lit("c"), &f[1], false};
    p[2] = (struct probe){&t, slice_lit("d"), &f[2], false};
    assert_int_equal(btree_probe(p, 3), 0);
    assert_true(f[0].found && !f[1].found && f[2].found);
    shape = t.shape;
    put(&t, slice_lit("a"), slice_lit("0")); /* moves all slots */
    assert_true(t.shape == shape);
    assert_int_equal(btree_get(&t, slice_lit("b"), &rec, &f[0]), NQ_OK);
    assert_true(slice_eq(rec.val, slice_lit("1")));
    rec.val = slice_lit("1.5");
    assert_int_equal(btree_put(&t, slice_lit("c"), &rec, &f[1]), NQ_OK);
    assert_int_equal(btree_del(&t, slice_lit("d"), &f[2]), NQ_OK);
    assert_int_equal(btree_get(&t, slice_lit("d"), &rec, &f[2]), NQ_NOTFOUND);
    assert_int_equal(btree_get(&t, slice_lit("c"), &rec, &f[1]), NQ_OK);
    close_tree(&t);
}

static void
a_finger_of_another_tree_is_not_taken(void **state)
{
    struct btree t = open_tree(4096), other = {.fr = t.fr};
    struct finger f = {0};
    struct record rec;

    (void)state;
    put(&t, slice_lit("k"), slice_lit("mine"));
    put(&other, slice_lit("k"), slice_lit("other"));
    assert_int_equal(btree_get(&t, slice_lit("k"), &rec, &f), NQ_OK);
    assert_int_equal(t.shape, other.shape);
    assert_int_equal(btree_get(&other, slice_lit("k"), &rec, &f), NQ_OK);
    assert_true(slice_eq(rec.val, slice_lit("other")));
    assert_int_equal(btree_del(&other, slice_lit("k"), NULL), NQ_OK);
    close_tree(&t);
}

/* Keys put behind all others are not searched for; the leaf that splits under
 * the last of them is not where it went. */
static void
a_finger_of_an_append_that_splits_is_not_taken(void **state)
{
    struct btree t = open_tree(512);
    struct record rec = {.val = slice_lit("some bytes to fill the page")};
    char key[32];

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        int n = snprintf(key, sizeof key, "key:%05u", i);
        struct slice k = slice_of(key, (size_t)n);
        struct record got;
        struct finger f = {0};

        assert_int_equal(btree_put(&t, k, &rec, &f), NQ_OK);
        assert_int_equal(btree_get(&t, k, &got, &f), NQ_OK);
        assert_true(slice_eq(got.val, rec.val));
    }
    close_tree(&t);
}

static void
a_cursor_goes_on_where_its_key_was(void **state)
{
    struct btree t = open_tree(512);
    struct btree_cursor c;
    unsigned seen = 0;
    char key[32];

    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        put_number(&t, i);
    btree_cursor_init(&c, &t);
    assert_int_equal(btree_first(&c), NQ_OK);
    while (c.valid) { /* each record deletes itself and adds one before */
        assert_true(slice_eq(c.key, numbered(key, seen++)));
        assert_int_equal(btree_del(&t, c.key, NULL), NQ_OK);
        put(&t, slice_of(key, 3), slice_lit("x"));
        assert_int_equal(btree_next(&c), NQ_OK);
    }
    assert_int_equal(seen, 1000);
    for (unsigned i = 0; i < 1000; i++)
        put_number(&t, i);
    assert_int_equal(btree_last(&c), NQ_OK);
    while (seen > 0) {
        assert_true(slice_eq(c.key, numbered(key, --seen)));
        assert_int_equal(btree_del(&t, c.key, NULL), NQ_OK);
        assert_int_equal(btree_prev(&c), NQ_OK);
    }
    btree_cursor_fini(&c);
    close_tree(&t);
}

/* --- long keys ----------------------------------------------------------- */

/* Every length around the limit of a page and the longest, with prefixes
 * shared over more than a page. */
static void
long_keys_work_on_page_size(uint32_t page_size)
{
    struct btree t = open_tree(page_size);
    uint32_t max = page_max_key((unsigned)__builtin_ctz(page_size));
    size_t lengths[] = {max - 1,       max,          max + 1,
                        max + 2,       2 * max,      BTREE_MAX_KEY - 1,
                        BTREE_MAX_KEY, BTREE_MAX_KEY};
    uint8_t *key = nq_malloc(BTREE_MAX_KEY + 1);
    struct btree_cursor c;
    struct record rec;
    unsigned n = 0;

    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < 12; i++)
            for (unsigned l = 0; l < nq_countof(lengths); l++) {
                memset(key, 'p', lengths[l]);
                key[lengths[l] - 1] = (uint8_t)(i * 5 + l);
                if (round == 0)
                    put(&t, slice_of(key, lengths[l]), slice_of(&i, 4));
                assert_int_equal(
                    btree_get(&t, slice_of(key, lengths[l]), &rec, NULL),
                    NQ_OK);
                assert_memory_equal(rec.val.p, &i, 4);
            }
    check(&t);
    btree_cursor_init(&c, &t);
    assert_int_equal(btree_first(&c), NQ_OK);
    for (; c.valid; n++) {
        assert_true(c.key.len >= max - 1 && c.key.p[0] == 'p');
        if (n % 2 == 0)
            assert_int_equal(btree_del(&t, c.key, NULL), NQ_OK);
        if (n % 16 == 0)
            check(&t);
        assert_int_equal(btree_next(&c), NQ_OK);
    }
    assert_int_equal(n, 12 * nq_countof(lengths));
    rec.val = slice_lit("v");
    assert_int_equal(
        btree_put(&t, slice_of(key, BTREE_MAX_KEY + 1), &rec, NULL),
        NQ_EKEYLEN);
    btree_cursor_fini(&c);
    nq_free(key);
    close_tree(&t);
}

static void
long_keys_work_on_every_page_size(void **state)
{
    (void)state;
    for (uint32_t size = 512; size <= 65536; size *= 2)
        long_keys_work_on_page_size(size);
}

/* --- ranges -------------------------------------------------------------- */

struct owners {
    unsigned count;
};

static void
on_owner(void *arg, const struct record *r)
{
    struct owners *o = arg;

    assert_true(r->flags & REC_OWNS);
    assert_true(slice_eq(r->val, slice_lit("owner")));
    o->count++;
}

static void
deleting_a_range_tells_of_owners_only(void **state)
{
    struct btree t = open_tree(512);
    struct owners o = {0};
    uint64_t removed, sum = 0;
    struct slice hi;
    bool done = false;
    char lo[32], end[32];

    (void)state;
    for (unsigned i = 0; i < 3000; i++) {
        struct record rec = {.val = slice_lit("plain")};
        char key[32];

        if (i % 50 == 0)
            rec = (struct record){.val = slice_lit("owner"), .flags = REC_OWNS};
        assert_int_equal(btree_put(&t, numbered(key, i), &rec, NULL), NQ_OK);
    }
    hi = numbered(end, 2501);
    for (unsigned turns = 0; !done; turns++) {
        assert_int_equal(btree_del_range(&t, numbered(lo, 499), &hi, 10,
                                         on_owner, &o, &removed, &done),
                         NQ_OK);
        assert_true(removed < 500 && turns < 100);
        sum += removed;
        check(&t);
    }
    assert_int_equal(sum, 2002);
    assert_int_equal(o.count, 41);
    assert_int_equal(btree_count(&t, &sum), NQ_OK);
    assert_int_equal(sum, 998);
    close_tree(&t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ascending_loads_fill_pages),
        cmocka_unit_test(descending_loads_fill_pages),
        cmocka_unit_test(several_ascending_sequences_fill_pages),
        cmocka_unit_test(random_loads_fill_pages),
        cmocka_unit_test(deletes_give_pages_back),
        cmocka_unit_test(overwrites_leave_inner_pages_alone),
        cmocka_unit_test(the_earliest_expiry_is_known_and_repaired),
        cmocka_unit_test(patches_change_bytes_in_place),
        cmocka_unit_test(values_may_come_from_the_tree_itself),
        cmocka_unit_test(fingers_outlive_changes_of_their_leaf),
        cmocka_unit_test(a_finger_of_another_tree_is_not_taken),
        cmocka_unit_test(a_finger_of_an_append_that_splits_is_not_taken),
        cmocka_unit_test(a_cursor_goes_on_where_its_key_was),
        cmocka_unit_test(long_keys_work_on_every_page_size),
        cmocka_unit_test(deleting_a_range_tells_of_owners_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
