/* What lists are made of, claim by claim: labels, long elements, the way back
 * into the record, damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../lib/list_calls.h"
#include "base/check.h"
#include "base/rng.h"

#define ELEMS_MAX 64

static const uint8_t noise[16384];

/* The list, and how long its elements are. */
struct lengths {
    struct env env;
    struct slice key;
    char name[16];
    unsigned n;
    size_t at[ELEMS_MAX];
};

static struct slice
elem_of(size_t len)
{
    assert_in_range(len, 0, sizeof noise);
    return slice_of(noise, len);
}

static void
open_lists(struct lengths *l)
{
    env_init(&l->env, 8192, 16 << 20);
    l->key = list_name(0, l->name);
    l->n = 0;
}

static void
close_lists(struct lengths *l)
{
    env_check(&l->env);
    env_fini(&l->env);
}

static void
insert_length(struct lengths *l, unsigned at, size_t len)
{
    assert_in_range(l->n, 0, ELEMS_MAX - 1);
    memmove(l->at + at + 1, l->at + at, (l->n - at) * sizeof l->at[0]);
    l->at[at] = len;
    l->n++;
}

static void
push(struct lengths *l, enum list_end end, size_t len)
{
    struct slice elem = elem_of(len);
    uint64_t count;

    assert_int_equal(env_run(&l->env, list_call_push(&l->env, l->key, end,
                                                     &elem, 1, &count)),
                     NQ_OK);
    insert_length(l, end == LIST_HEAD ? 0 : l->n, len);
    assert_int_equal(count, l->n);
}

static void
push_some(struct lengths *l, unsigned n, size_t len)
{
    while (n-- > 0)
        push(l, LIST_TAIL, len);
}

static void
compare(struct lengths *l)
{
    struct slice got;

    assert_int_equal(env_run(&l->env, list_call_check(&l->env, l->key)), NQ_OK);
    for (unsigned i = 0; i < l->n; i++) {
        assert_int_equal(
            env_run(&l->env, list_call_at(&l->env, l->key, i, &got)), NQ_OK);
        assert_int_equal(got.len, l->at[i]);
    }
}

static bool
has_tree(struct lengths *l)
{
    return (env_record(&l->env, 0, l->key).flags & REC_OWNS) != 0;
}

/* --- labels -------------------------------------------------------------- */

/* The record at that end of the tree gets another label. */
static nq_rc
relabel_end(struct lengths *l, bool first, uint64_t label)
{
    struct btree tree = {.fr = store_frames(l->env.st), .weighted = true};
    struct entry e = {0};
    struct btree_cursor c;
    struct record rec;
    uint8_t bytes[8], val[64];
    nq_rc rc = db_find(l->env.db, 0, l->key, &e);

    if (rc != NQ_OK)
        return rc;
    btree_set_root(&tree, list_root(&e));
    for (unsigned i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(label >> (56 - 8 * i));
    btree_cursor_init(&c, &tree);
    rc = first ? btree_first(&c) : btree_last(&c);
    if (rc == NQ_OK && (rc = btree_record(&c, &rec)) == NQ_OK) {
        assert_in_range(rec.val.len, 1, sizeof val);
        memcpy(val, rec.val.p, rec.val.len);
        rec.val.p = val;
        rc = btree_del(&tree, c.key, NULL);
    }
    if (rc == NQ_OK)
        rc = btree_put(&tree, slice_of(bytes, 8), &rec, NULL);
    btree_cursor_fini(&c);
    assert_int_equal(tree.root, list_root(&e));
    return rc;
}

static void
labels_that_run_out_at_an_end_are_spread(void **state)
{
    struct lengths l;

    (void)state;
    open_lists(&l);
    push_some(&l, 20, 3000); /* a record each */
    assert_int_equal(env_run(&l.env, relabel_end(&l, true, 3)), NQ_OK);
    assert_int_equal(env_run(&l.env, relabel_end(&l, false, UINT64_MAX - 3)),
                     NQ_OK);
    for (unsigned i = 0; i < 40; i++) {
        push(&l, i % 2 ? LIST_HEAD : LIST_TAIL, 3000 + i);
        compare(&l);
    }
    close_lists(&l);
}

/* --- long elements, short lists ------------------------------------------ */

static void
long_elements_find_their_place_in_short_lists(void **state)
{
    struct lengths l;
    uint64_t len;

    (void)state;
    open_lists(&l);
    for (unsigned at = 0; at <= 4; at++) {
        for (unsigned i = 0; i < 4; i++)
            push(&l, at % 2 ? LIST_HEAD : LIST_TAIL, 10 + i);
        assert_int_equal(env_run(&l.env, list_call_insert(&l.env, l.key, at,
                                                          elem_of(9000), &len)),
                         NQ_OK);
        insert_length(&l, at, 9000);
        compare(&l);
        assert_int_equal(env_run(&l.env, db_del(l.env.db, 0, l.key)), NQ_OK);
        l.n = 0;
    }
    close_lists(&l);
}

static void
a_long_element_that_gets_short_frees_its_tree(void **state)
{
    struct lengths l;

    (void)state;
    open_lists(&l);
    push(&l, LIST_TAIL, 9000);
    assert_true(has_tree(&l));
    assert_int_equal(
        env_run(&l.env, list_call_set(&l.env, l.key, 0, elem_of(5))), NQ_OK);
    assert_false(has_tree(&l));
    l.at[0] = 5;
    compare(&l);
    close_lists(&l);
}

static void
a_list_that_shrank_is_in_its_record_again(void **state)
{
    struct slice elem = elem_of(10), elems[1000];
    struct lengths l;
    uint64_t len;

    (void)state;
    open_lists(&l);
    for (unsigned i = 0; i < 1000; i++)
        elems[i] = elem;
    assert_int_equal(env_run(&l.env, list_call_push(&l.env, l.key, LIST_HEAD,
                                                    elems, 1000, &len)),
                     NQ_OK);
    assert_true(has_tree(&l));
    assert_int_equal(env_run(&l.env, list_call_trim(&l.env, l.key, 500, 20)),
                     NQ_OK);
    assert_false(has_tree(&l));
    assert_in_range(env_record(&l.env, 0, l.key).val.len, 1, 400);
    for (unsigned i = 0; i < 20; i++)
        insert_length(&l, i, 10);
    compare(&l);
    close_lists(&l);
}

/* --- damage -------------------------------------------------------------- */

static nq_rc
spoil(struct lengths *l, uint64_t at, uint64_t byte)
{
    struct entry e = {0};
    uint8_t *val;
    size_t len;
    nq_rc rc = db_find_write(l->env.db, 0, l->key, &e);

    if (rc == NQ_OK)
        rc = btree_patch(db_tree(l->env.db, 0), l->key, &e.finger, &val, &len);
    if (rc == NQ_OK)
        val[at % len] ^= (uint8_t)byte;
    return rc;
}

static nq_rc
read_all(struct lengths *l)
{
    struct entry e = {0};
    struct list_cursor cu;
    struct list_item it;
    nq_rc rc = db_find(l->env.db, 0, l->key, &e);

    if (rc != NQ_OK)
        return rc;
    if ((rc = list_cursor_init(&cu, l->env.db, &e)) == NQ_OK)
        rc = list_seek(&cu, 0);
    while (rc == NQ_OK && cu.valid)
        if ((rc = list_item(&cu, &it)) == NQ_OK)
            rc = list_next(&cu);
    list_cursor_fini(&cu);
    return rc;
}

static void
try_all(struct lengths *l)
{
    struct env *e = &l->env;
    struct slice elem = elem_of(3);
    uint64_t len;

    (void)env_run(e, read_all(l));
    (void)env_run(e, list_call_check(e, l->key));
    (void)env_run(e, list_call_pop(e, l->key, LIST_HEAD, 3, NULL));
    (void)env_run(e, list_call_push(e, l->key, LIST_HEAD, &elem, 1, &len));
    (void)env_run(e, list_call_pop(e, l->key, LIST_TAIL, 3, NULL));
    (void)env_run(e, db_del(e->db, 0, l->key));
}

/* Whatever a record says: an error or some answer, and nothing outside of it
 * is touched. */
static void
damaged_records_are_survived(void **state)
{
    const char *text = getenv("SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : rng_seed_from_os();
    struct lengths l;
    struct rng rng;

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&rng, seed);
    open_lists(&l);
    for (unsigned i = 0; i < 300; i++) {
        push_some(&l, 20, rng_below(&rng, 20));
        assert_int_equal(env_run(&l.env, spoil(&l, rng_below(&rng, 60),
                                               1 + rng_below(&rng, 255))),
                         NQ_OK);
        try_all(&l);
        l.n = 0;
    }
    env_fini(&l.env);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_that_run_out_at_an_end_are_spread),
        cmocka_unit_test(long_elements_find_their_place_in_short_lists),
        cmocka_unit_test(a_long_element_that_gets_short_frees_its_tree),
        cmocka_unit_test(a_list_that_shrank_is_in_its_record_again),
        cmocka_unit_test(damaged_records_are_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
