/* tests/lib/big.c - see big.h. */
#include "big.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "db/db_int.h"
#include "db/fields.h"

#define AT_ONCE 20
#define VALUE_MAX 20000

static struct slice
field_of(unsigned i, char dst[16])
{
    return slice_of(dst, (size_t)snprintf(dst, 16, "field:%07u", i));
}

static struct slice
value_of(unsigned i, size_t len, uint8_t *dst)
{
    size_t n = i % 50 == 0 ? len + 9000 : len + i % 7;

    for (size_t k = 0; k < n; k++)
        dst[k] = (uint8_t)(i + k * 3);
    return slice_of(dst, n);
}

static nq_rc
set_once(struct env *e, uint32_t dbi, struct slice key,
         const struct slice *pairs, unsigned n)
{
    struct entry old = {0};
    uint64_t added;
    nq_rc rc = db_find_write(e->db, dbi, key, &old);

    if (rc != NQ_OK && rc != NQ_NOTFOUND)
        return rc;
    return fields_set(e->db, dbi, key, &old, rc == NQ_OK, pairs, n, 0, "hset",
                      &added);
}

nq_rc
big_set(struct env *e, uint32_t dbi, struct slice key, unsigned from,
        unsigned to, size_t len)
{
    static uint8_t bytes[AT_ONCE][VALUE_MAX];
    char names[AT_ONCE][16];
    struct slice pairs[2 * AT_ONCE];
    nq_rc rc = NQ_OK;

    while (from < to && rc == NQ_OK) {
        unsigned n = 0;

        for (; from < to && n < AT_ONCE; from++, n++) {
            pairs[2 * n] = field_of(from, names[n]);
            pairs[2 * n + 1] = value_of(from, len, bytes[n]);
        }
        rc = env_run(e, set_once(e, dbi, key, pairs, n));
        env_turn(e);
    }
    return rc;
}

static nq_rc
look_once(struct env *e, struct coll *c, unsigned i, size_t len)
{
    static uint8_t bytes[VALUE_MAX];
    char name[16];
    struct slice field = field_of(i, name), want = value_of(i, len, bytes), val;
    struct item it;
    nq_rc rc = fields_get(c, field, &it);

    if (rc == NQ_OK)
        rc = coll_val(c, &it, &e->arena, &val);
    if (rc == NQ_OK)
        assert_true(slice_eq(val, want));
    return rc;
}

static nq_rc
check_once(struct env *e, uint32_t dbi, struct slice key, unsigned n,
           unsigned i, size_t len)
{
    struct entry found = {0};
    struct coll c;
    uint64_t count;
    nq_rc rc = db_find(e->db, dbi, key, &found);

    arena_reset(&e->arena);
    if (rc != NQ_OK)
        return rc;
    if ((rc = fields_open(e->db, dbi, key, &found, true, &c)) == NQ_OK)
        rc = fields_count(&c, &count);
    if (rc == NQ_OK)
        assert_int_equal(count, n);
    if (rc == NQ_OK)
        rc = look_once(e, &c, i, len);
    coll_close(&c);
    return rc;
}

void
big_check(struct env *e, uint32_t dbi, struct slice key, unsigned n, size_t len)
{
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(env_run(e, check_once(e, dbi, key, n, i, len)), NQ_OK);
}

static nq_rc
sum_once(struct env *e, uint32_t dbi, struct slice key, uint64_t *sum)
{
    struct entry found = {0};
    struct coll_cursor cu;
    struct coll c;
    struct item it;
    struct slice val;
    nq_rc rc = db_find(e->db, dbi, key, &found);

    *sum = 1;
    if (rc != NQ_OK)
        return rc;
    rc = fields_open(e->db, dbi, key, &found, true, &c);
    coll_cursor_init(&cu, &c);
    if (rc == NQ_OK)
        rc = coll_first(&cu);
    while (rc == NQ_OK && cu.valid) {
        arena_reset(&e->arena);
        if ((rc = coll_item(&cu, &it)) == NQ_OK &&
            (rc = coll_val(&c, &it, &e->arena, &val)) == NQ_OK)
            *sum = hash_u64(*sum ^ hash_bytes(it.key)) + hash_bytes(val);
        if (rc == NQ_OK)
            rc = coll_next(&cu);
    }
    coll_cursor_fini(&cu);
    coll_close(&c);
    return rc;
}

uint64_t
big_sum(struct env *e, uint32_t dbi, struct slice key)
{
    uint64_t sum;
    nq_rc rc = env_run(e, sum_once(e, dbi, key, &sum));

    assert_true(rc == NQ_OK || rc == NQ_NOTFOUND);
    return rc == NQ_OK ? sum : 0;
}

pgno
big_root(struct env *e, uint32_t dbi, struct slice key)
{
    struct record rec = env_record(e, dbi, key);
    pgno root = 0;

    if (rec.val.len == 0 || !db_record_root(&rec, &root))
        return 0;
    return root;
}

uint64_t
big_pages(struct env *e)
{
    struct frames_stats st;

    frames_get_stats(store_frames(e->st), &st);
    return st.pages;
}
