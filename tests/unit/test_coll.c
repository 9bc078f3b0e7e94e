/* Collections: what a record looks like, when it gets a tree, changes that
 * are given up, damage.  Everything else is held against a model in
 * test_coll_model.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../lib/db_env.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "db/coll.h"
#include "db/coll_packed.h"
#include "db/db_int.h"

#define HEAD 2

static int
setup(void **state)
{
    struct env *e = nq_calloc(1, sizeof *e);

    env_init(e, 1024, 8 << 20);
    *state = e;
    return 0;
}

static int
teardown(void **state)
{
    env_check(*state);
    env_fini(*state);
    nq_free(*state);
    return 0;
}

/* --- one collection, one command ----------------------------------------- */

struct call {
    struct env *env;
    struct entry en;
    struct coll c;
    nq_rc rc; /* of what was done so far */
};

static void
open_call(struct call *k, struct env *e, struct slice key)
{
    *k = (struct call){.env = e};
    env_begin(e);
    k->rc = db_find_write(e->db, 0, key, &k->en);
    assert_true(k->rc == NQ_OK || k->rc == NQ_NOTFOUND);
    k->rc =
        coll_open(e->db, 0, key, DB_SET, &k->en, k->rc == NQ_OK, HEAD, &k->c);
}

static void
begin_call(struct call *k, struct env *e, struct slice key)
{
    open_call(k, e, key);
    assert_int_equal(k->rc, NQ_OK);
    assert_int_equal(coll_begin(&k->c), NQ_OK);
}

static void
close_call(struct call *k)
{
    coll_close(&k->c);
    (void)env_again(k->env, NQ_OK);
}

static bool
commit_call(struct call *k)
{
    bool is_gone;

    assert_int_equal(coll_commit(&k->c, EFFECT_PEXPIREAT, NULL, 0, &is_gone),
                     NQ_OK);
    close_call(k);
    return is_gone;
}

static struct slice
name_of(unsigned i, char dst[32])
{
    return slice_of(dst, (size_t)snprintf(dst, 32, "item:%05u", i));
}

static void
put_some(struct env *e, struct slice key, unsigned from, unsigned to)
{
    struct call k;
    char name[32];

    begin_call(&k, e, key);
    for (unsigned i = from; i < to; i++)
        assert_int_equal(
            coll_put(&k.c, name_of(i, name), slice_lit("value"), 0, NULL),
            NQ_OK);
    assert_false(commit_call(&k));
}

static uint64_t
count_of(struct env *e, struct slice key, bool *is_tree)
{
    struct call k;
    uint64_t count;

    open_call(&k, e, key);
    assert_int_equal(k.rc, NQ_OK);
    count = k.c.count;
    if (is_tree != NULL)
        *is_tree = k.c.is_tree;
    close_call(&k);
    return count;
}

/* --- claims -------------------------------------------------------------- */

static void
a_collection_gets_a_tree_when_its_record_is_full(void **state)
{
    struct env *e = *state;
    uint32_t max = btree_max_inline(db_tree(e->db, 0));
    unsigned fit = (max - 1 - HEAD - 2) / (2 + 10 + 5);
    bool is_tree;
    pgno root;
    struct record rec;

    put_some(e, slice_lit("h"), 0, fit);
    assert_int_equal(count_of(e, slice_lit("h"), &is_tree), fit);
    assert_false(is_tree);
    rec = env_record(e, 0, slice_lit("h"));
    assert_false(coll_record_root(&rec, &root));
    put_some(e, slice_lit("h"), fit, fit + 1);
    assert_int_equal(count_of(e, slice_lit("h"), &is_tree), fit + 1);
    assert_true(is_tree);
    rec = env_record(e, 0, slice_lit("h"));
    assert_true(coll_record_root(&rec, &root));
    assert_true(root != 0);
}

static void
a_string_that_is_a_blob_has_no_tree(void **state)
{
    struct env *e = *state;
    uint8_t *bytes = nq_calloc(1, 5000);
    struct record rec;
    pgno root;

    assert_int_equal(env_set(e, 0, slice_lit("s"), slice_of(bytes, 5000), 0),
                     NQ_OK);
    rec = env_record(e, 0, slice_lit("s"));
    assert_true(rec.flags & REC_OWNS);
    assert_false(coll_record_root(&rec, &root));
    nq_free(bytes);
}

static void
the_head_is_kept_in_both_forms(void **state)
{
    struct env *e = *state;
    struct record rec;
    struct slice head;
    struct call k;

    for (unsigned n = 1; n <= 200; n += 199) {
        begin_call(&k, e, slice_lit("h"));
        k.c.head[0] = (uint8_t)n;
        k.c.head[1] = 7;
        assert_int_equal(
            coll_put(&k.c, slice_lit("a"), slice_lit("b"), 0, NULL), NQ_OK);
        (void)commit_call(&k);
        put_some(e, slice_lit("h"), 0, n);
        rec = env_record(e, 0, slice_lit("h"));
        assert_true(coll_record_head(&rec, &head, HEAD));
        assert_int_equal(head.p[0], n);
        assert_int_equal(head.p[1], 7);
        assert_false(coll_record_head(&rec, &head, 127));
    }
}

static void
keys_may_be_as_long_as_those_of_the_database(void **state)
{
    struct env *e = *state;
    uint8_t *key = nq_calloc(1, BTREE_MAX_KEY + 1);
    struct item it;
    struct call k;
    bool is_new;

    begin_call(&k, e, slice_lit("h"));
    assert_int_equal(coll_put(&k.c, slice_of(key, BTREE_MAX_KEY + 1),
                              slice_lit("v"), 0, NULL),
                     NQ_EKEYLEN);
    assert_int_equal(
        coll_put(&k.c, slice_of(key, 0), slice_lit(""), 0, &is_new), NQ_OK);
    assert_true(is_new);
    assert_int_equal(coll_put(&k.c, slice_of(key, BTREE_MAX_KEY),
                              slice_lit("v"), 0, &is_new),
                     NQ_OK);
    assert_true(is_new);
    assert_int_equal(coll_get(&k.c, slice_of(key, 0), &it), NQ_OK);
    assert_int_equal(it.len, 0);
    assert_int_equal(coll_get(&k.c, slice_of(key, BTREE_MAX_KEY), &it), NQ_OK);
    assert_int_equal(it.len, 1);
    assert_false(commit_call(&k));
    nq_free(key);
}

static void
long_values_are_blobs_and_go_with_their_items(void **state)
{
    struct env *e = *state;
    size_t len = 3 << 20;
    uint8_t *bytes = nq_malloc(len);
    struct arena arena = ARENA_INIT;
    struct slice val;
    struct item it;
    struct call k;

    memset(bytes, 'x', len);
    begin_call(&k, e, slice_lit("h"));
    assert_int_equal(
        coll_put(&k.c, slice_lit("a"), slice_of(bytes, len), 0, NULL), NQ_OK);
    assert_false(commit_call(&k));
    env_check(e);
    begin_call(&k, e, slice_lit("h"));
    assert_int_equal(coll_get(&k.c, slice_lit("a"), &it), NQ_OK);
    assert_true(it.is_blob);
    assert_int_equal(it.len, len);
    assert_int_equal(coll_val(&k.c, &it, &arena, &val), NQ_OK);
    assert_true(slice_eq(val, slice_of(bytes, len)));
    assert_int_equal(
        coll_put(&k.c, slice_lit("a"), slice_of(bytes, 7000), 0, NULL), NQ_OK);
    assert_int_equal(coll_put(&k.c, slice_lit("b"), slice_lit("v"), 0, NULL),
                     NQ_OK);
    assert_false(commit_call(&k));
    env_check(e);
    begin_call(&k, e, slice_lit("h"));
    assert_int_equal(coll_del(&k.c, slice_lit("a")), NQ_OK);
    assert_int_equal(coll_del(&k.c, slice_lit("a")), NQ_NOTFOUND);
    assert_int_equal(coll_del(&k.c, slice_lit("b")), NQ_OK);
    assert_true(commit_call(&k));
    arena_fini(&arena);
    nq_free(bytes);
}

static void
a_packed_collection_forgets_what_is_not_committed(void **state)
{
    struct env *e = *state;
    struct call k;
    char name[32];

    put_some(e, slice_lit("h"), 0, 3);
    for (unsigned n = 10; n <= 500; n += 490) { /* stays packed; a new tree */
        begin_call(&k, e, slice_lit("h"));
        for (unsigned i = 0; i < n; i++)
            assert_int_equal(
                coll_put(&k.c, name_of(i, name), slice_lit("other"), 0, NULL),
                NQ_OK);
        close_call(&k);
        assert_int_equal(count_of(e, slice_lit("h"), NULL), 3);
        env_settle(e);
        env_check(e);
    }
}

static void
a_tree_stays_whole_when_its_change_is_not_committed(void **state)
{
    struct env *e = *state;
    uint64_t removed;
    struct call k;
    bool is_tree;

    put_some(e, slice_lit("h"), 0, 500);
    begin_call(&k, e, slice_lit("h"));
    assert_int_equal(
        coll_del_range(&k.c, slice_lit("item:00100"), NULL, &removed), NQ_OK);
    assert_int_equal(removed, 400);
    close_call(&k);
    assert_int_equal(count_of(e, slice_lit("h"), &is_tree), 100);
    assert_true(is_tree);
    env_check(e);
    begin_call(&k, e, slice_lit("h"));
    assert_int_equal(coll_del_range(&k.c, slice_lit(""), NULL, &removed),
                     NQ_OK);
    assert_int_equal(removed, 100);
    close_call(&k);
    assert_int_equal(count_of(e, slice_lit("h"), &is_tree), 0);
    assert_false(is_tree);
}

static void
an_empty_collection_goes_unless_it_is_to_stay(void **state)
{
    struct env *e = *state;
    struct call k;

    begin_call(&k, e, slice_lit("h"));
    assert_false(commit_call(&k)); /* never was */
    assert_int_equal(env_record(e, 0, slice_lit("h")).val.len, 0);
    begin_call(&k, e, slice_lit("h"));
    k.c.keep_empty = true;
    assert_false(commit_call(&k));
    assert_int_equal(env_record(e, 0, slice_lit("h")).type, DB_SET);
    begin_call(&k, e, slice_lit("h"));
    assert_true(commit_call(&k));
    assert_int_equal(env_record(e, 0, slice_lit("h")).val.len, 0);
}

static void
expiring_keys_are_counted(void **state)
{
    const uint64_t far = UINT64_C(9999999999999);
    const uint64_t at[] = {far, far + 1, 0, far};
    struct env *e = *state;
    uint64_t expires;
    struct call k;

    for (unsigned n = 1; n <= 200; n += 199) {
        put_some(e, slice_lit("h"), 0, n);
        for (unsigned i = 0; i < nq_countof(at); i++) {
            begin_call(&k, e, slice_lit("h"));
            k.c.expire_ms = at[i];
            (void)commit_call(&k);
            assert_int_equal(db_expires(e->db, 0, &expires), NQ_OK);
            assert_int_equal(expires, at[i] != 0);
            assert_int_equal(env_record(e, 0, slice_lit("h")).expire_ms, at[i]);
        }
    }
}

static void
a_new_collection_is_told_as_such(void **state)
{
    struct env *e = *state;
    struct buf events = BUF_INIT;
    unsigned touches = e->touches;

    e->events = &events;
    put_some(e, slice_lit("h"), 0, 1);
    put_some(e, slice_lit("h"), 1, 2);
    e->events = NULL;
    assert_int_equal(e->touches, touches + 2);
    assert_true(slice_eq(buf_slice(&events), slice_lit("n new 0 h\n")));
    buf_fini(&events);
}

/* --- damage -------------------------------------------------------------- */

/* Puts a hash with these bytes for a value into the tree, and takes it out
 * again. */
static nq_rc
open_bytes(struct env *e, struct slice bytes, uint8_t flags)
{
    struct record rec = {.val = bytes, .type = DB_SET, .flags = flags};
    struct slice key = slice_lit("bad");
    struct call k;
    nq_rc rc;

    assert_int_equal(btree_put(db_tree(e->db, 0), key, &rec, NULL), NQ_OK);
    open_call(&k, e, key);
    rc = k.rc;
    close_call(&k);
    assert_int_equal(btree_del(db_tree(e->db, 0), key, NULL), NQ_OK);
    return rc;
}

static void
a_value_that_makes_no_sense_is_damage(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        uint8_t flags;
    } bad[] = {
        {"", 0, 0},
        {"\x02", 1, 0},                   /* no head */
        {"\x02hh", 3, 0},                 /* no count */
        {"\x02hh\1\0", 5, 0},             /* one item in no bytes */
        {"\x02hh\0\0\1a\0", 8, 0},        /* no item in some */
        {"\x02hh\7\0\1a\0", 8, 0},        /* more items than bytes */
        {"\x02hh\1\0\1a\0", 8, REC_OWNS}, /* owns what? */
        {"\x01h\1\0\1a\0", 7, 0},         /* the head of another type */
        {"\x82hh\1\0\0\0\0\0\0\0\0\0\0\0", 15, REC_OWNS}, /* no root */
        {"\x82hh\1\0\0\0\0\0\0\0\xff\xff\xff\x7f", 15, REC_OWNS},
        {"\x82hh\0\0\0\0\0\0\0\0\2\0\0\0", 15, REC_OWNS}, /* no items */
        {"\x82hh\1\0\0\0\0\0\0\0\2\0\0\0", 15, 0},        /* not owned */
        {"\x82hh\1\0\0\0\0\0\0\0\2\0\0\0x", 16, REC_OWNS},
    };
    struct env *e = *state;

    (void)!log_set_file("/dev/null", 0, 0);
    for (unsigned i = 0; i < nq_countof(bad); i++)
        assert_int_equal(
            open_bytes(e, slice_of(bad[i].bytes, bad[i].len), bad[i].flags),
            NQ_ECORRUPT);
    (void)!log_set_file(NULL, 0, 0);
    assert_int_equal(open_bytes(e, slice_of("\x02hh\1\0\1a\0", 8), 0), NQ_OK);
}

/* A descriptor may name any page: what is no page of a tree is damage. */
static void
a_root_that_is_no_page_of_a_tree_is_damage(void **state)
{
    uint8_t val[] = "\x82hh\1\0\0\0\0\0\0\0root";
    struct env *e = *state;
    uint8_t *bytes = nq_calloc(1, 5000);
    struct record bad = {.type = DB_SET, .flags = REC_OWNS};
    struct record rec;
    struct blob_ref ref;
    struct item it;
    struct call k;

    assert_int_equal(env_set(e, 0, slice_lit("s"), slice_of(bytes, 5000), 0),
                     NQ_OK);
    rec = env_record(e, 0, slice_lit("s"));
    assert_int_equal(blob_ref_decode(rec.val, &ref), NQ_OK);
    memcpy(val + 11, &ref.root, sizeof ref.root);
    bad.val = slice_of(val, 15);
    assert_int_equal(btree_put(db_tree(e->db, 0), slice_lit("h"), &bad, NULL),
                     NQ_OK);
    (void)!log_set_file("/dev/null", 0, 0);
    open_call(&k, e, slice_lit("h"));
    assert_int_equal(k.rc, NQ_OK);
    assert_int_equal(coll_get(&k.c, slice_lit("a"), &it), NQ_ECORRUPT);
    assert_int_equal(coll_begin(&k.c), NQ_OK);
    assert_int_equal(coll_put(&k.c, slice_lit("a"), slice_lit("b"), 0, NULL),
                     NQ_ECORRUPT);
    close_call(&k);
    (void)!log_set_file(NULL, 0, 0);
    assert_int_equal(btree_del(db_tree(e->db, 0), slice_lit("h"), NULL), NQ_OK);
    nq_free(bytes);
}

/* --- the packed form ----------------------------------------------------- */

static void
packed_keys_of_any_length_are_found(void **state)
{
    uint8_t key[300];
    struct buf run = BUF_INIT;
    struct packed_place at;
    struct packed_item it;
    uint64_t items;
    size_t n;

    nq_unused(state);
    memset(key, 'k', sizeof key);
    for (unsigned len = 0; len < sizeof key; len++) {
        struct slice k = slice_of(key, len);

        n = packed_size(k, k, len);
        packed_write(buf_reserve(&run, n), k, k, len);
        run.len += n;
    }
    assert_int_equal(packed_check(buf_slice(&run), false, &items), NQ_OK);
    assert_int_equal(items, sizeof key);
    for (unsigned len = 0; len < sizeof key; len++) {
        struct slice k = slice_of(key, len);

        assert_int_equal(packed_get(buf_slice(&run), k, &it), NQ_OK);
        assert_true(slice_eq(it.key, k) && slice_eq(it.val, k));
        assert_int_equal(it.expire_ms, len);
        assert_int_equal(packed_find(buf_slice(&run), k, &at), NQ_OK);
        assert_true(at.found);
        assert_int_equal(at.off, it.off);
        assert_int_equal(at.end, it.end);
        assert_int_equal(at.rank, len);
        if (len == 0)
            continue;
        key[len - 1]--; /* differs in its last byte, and is lower */
        assert_int_equal(packed_get(buf_slice(&run), k, &it), NQ_NOTFOUND);
        assert_int_equal(packed_find(buf_slice(&run), k, &at), NQ_OK);
        assert_false(at.found);
        assert_int_equal(at.rank, len);
        key[len - 1]++;
    }
    buf_fini(&run);
}

static void
packed_items_out_of_order_are_damage(void **state)
{
    uint64_t items;

    nq_unused(state);
    (void)!log_set_file("/dev/null", 0, 0);
    assert_int_equal(packed_check(slice_lit("\1b\0\1a\0"), false, &items),
                     NQ_ECORRUPT);
    assert_int_equal(packed_check(slice_lit("\1a\0\1a\0"), false, &items),
                     NQ_ECORRUPT);
    assert_int_equal(packed_check(slice_lit("\1a\0\1b"), false, &items),
                     NQ_ECORRUPT);
    (void)!log_set_file(NULL, 0, 0);
    assert_int_equal(packed_check(slice_lit("\1a\0\1b\0"), false, &items),
                     NQ_OK);
    assert_int_equal(items, 2);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_collection_gets_a_tree_when_its_record_is_full),
        T(a_string_that_is_a_blob_has_no_tree),
        T(the_head_is_kept_in_both_forms),
        T(keys_may_be_as_long_as_those_of_the_database),
        T(long_values_are_blobs_and_go_with_their_items),
        T(a_packed_collection_forgets_what_is_not_committed),
        T(a_tree_stays_whole_when_its_change_is_not_committed),
        T(an_empty_collection_goes_unless_it_is_to_stay),
        T(expiring_keys_are_counted),
        T(a_new_collection_is_told_as_such),
        T(a_value_that_makes_no_sense_is_damage),
        T(a_root_that_is_no_page_of_a_tree_is_damage),
        cmocka_unit_test(packed_keys_of_any_length_are_found),
        cmocka_unit_test(packed_items_out_of_order_are_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
