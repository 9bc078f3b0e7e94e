/* Collections, packed and as trees, against a plain model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../lib/db_env.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "db/coll.h"
#include "db/db_int.h"
#include "os/clock.h"

static int
setup(void **state)
{
    struct env *e = nq_calloc(1, sizeof *e);

    env_init(e, 1024, 1 << 20);
    *state = e;
    return 0;
}

static int
teardown(void **state)
{
    env_fini(*state);
    nq_free(*state);
    return 0;
}

static nq_rc
put_once(struct env *e, struct slice key, struct slice item, struct slice val)
{
    struct entry en = {0};
    struct coll c;
    nq_rc rc = db_find_write(e->db, 0, key, &en);

    if (rc != NQ_OK && rc != NQ_NOTFOUND)
        return rc;
    rc = coll_open(e->db, 0, key, DB_HASH, &en, rc == NQ_OK, 2, &c);
    if (rc == NQ_OK)
        rc = coll_want(&c, &item, 1);
    if (rc == NQ_OK)
        rc = coll_begin(&c);
    if (rc == NQ_OK)
        rc = coll_put(&c, item, val, 0, NULL);
    if (rc == NQ_OK)
        rc = coll_commit(&c, EFFECT_PEXPIREAT, NULL, 0, NULL);
    coll_close(&c);
    return rc;
}

static void
put(struct env *e, const char *key, const char *item, size_t len)
{
    uint8_t *val = nq_calloc(1, len + 1);

    memset(val, 'v', len);
    assert_int_equal(env_run(e, put_once(e, slice_str(key), slice_str(item),
                                         slice_of(val, len))),
                     NQ_OK);
    nq_free(val);
}

static nq_rc
count_once(struct env *e, struct slice key, uint64_t *count, bool *is_tree)
{
    struct entry en = {0};
    struct coll_cursor cu;
    struct coll c;
    nq_rc rc = db_find(e->db, 0, key, &en);

    *count = 0;
    if (rc != NQ_OK)
        return rc;
    rc = coll_open(e->db, 0, key, DB_HASH, &en, true, 2, &c);
    coll_cursor_init(&cu, &c);
    if (rc == NQ_OK)
        rc = coll_first(&cu);
    while (rc == NQ_OK && cu.valid) {
        ++*count;
        rc = coll_next(&cu);
    }
    if (rc == NQ_OK)
        assert_int_equal(*count, c.count);
    *is_tree = c.is_tree;
    coll_cursor_fini(&cu);
    coll_close(&c);
    return rc;
}

static void
a_collection_grows_from_packed_to_tree(void **state)
{
    struct env *e = *state;
    bool is_tree = false;
    uint64_t count;
    char name[32];

    for (unsigned i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "item:%u", i * 7919 % 200);
        put(e, "h", name, i % 10);
        assert_int_equal(
            env_run(e, count_once(e, slice_lit("h"), &count, &is_tree)), NQ_OK);
        assert_int_equal(count, i + 1);
        assert_int_equal(is_tree, i > 13);
        if (i % 10 == 0)
            env_turn(e);
    }
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_collection_grows_from_packed_to_tree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
