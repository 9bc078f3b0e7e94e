/* HyperLogLog: bytes and estimates against those of redis-server 7.0.15, the
 * runs of sparse ones, damage, and the commands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../lib/engine_env.h"
#include "base/rng.h"
#include "codec/crc32c.h"
#include "db/hll.h"

#define SPARSE_MAX 3000

static void
add(struct buf *h, unsigned n, uint64_t sparse_max)
{
    char elem[32];
    int len = snprintf(elem, sizeof elem, "elem:%u", n);
    bool changed;

    assert_int_equal(
        hll_add(h, slice_of(elem, (size_t)len), sparse_max, &changed), NQ_OK);
}

static uint64_t
count(const struct buf *h)
{
    uint8_t registers[HLL_REGISTERS] = {0};

    assert_int_equal(hll_merge(buf_slice(h), registers), NQ_OK);
    return hll_count(registers);
}

static struct rng
seeded(void)
{
    const char *text = getenv("SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 10) : 20261121;
    struct rng rng;

    print_message("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&rng, seed);
    return rng;
}

/* --- the bytes ----------------------------------------------------------- */

/* PFADD of elem:0, elem:1 ... and PFCOUNT at some points: what redis-server
 * said, and the CRC-32C of what GET gave. */
static void
bytes_and_estimates_are_those_of_redis(void **state)
{
    static const struct {
        unsigned n;
        uint64_t count;
        uint32_t crc;
        size_t len;
    } points[] = {
        {1, 1, 0x9d1adafa, 21},
        {10, 10, 0x9327924a, 47},
        {100, 100, 0xcdaeefd6, 277},
        {1000, 1005, 0x53336bed, 1913},
        {1500, 1504, 0xda943870, 2739},
        {5000, 4973, 0x47feb11d, 12304},
        {10000, 9922, 0x8f284136, 12304},
        {100000, 99904, 0x8b4fe788, 12304},
        {1000000, 990064, 0x8eaf4442, 12304},
    };
    struct buf h = BUF_INIT;
    unsigned n = 0;

    (void)state;
    hll_init(&h);
    for (size_t i = 0; i < nq_countof(points); i++) {
        while (n < points[i].n)
            add(&h, n++, SPARSE_MAX);
        assert_int_equal(count(&h), points[i].count);
        assert_int_equal(h.len, points[i].len);
        hll_set_cached(&h, points[i].count);
        assert_int_equal(crc32c(0, h.p, h.len), points[i].crc);
    }
    buf_fini(&h);
}

static void
sparse_and_dense_tell_the_same(void **state)
{
    struct rng rng = seeded();
    struct buf sparse = BUF_INIT, dense = BUF_INIT;
    bool changed[2];

    (void)state;
    hll_init(&sparse);
    hll_init(&dense);
    assert_int_equal(hll_make_dense(&dense), NQ_OK);
    for (unsigned i = 0; i < 20000; i++) {
        unsigned at = (unsigned)rng_below(&rng, HLL_REGISTERS);
        uint8_t value = (uint8_t)(1 + rng_below(&rng, i % 3 == 0 ? 32 : 3));

        assert_int_equal(hll_raise(&sparse, at, value, UINT64_MAX, &changed[0]),
                         NQ_OK);
        assert_int_equal(hll_raise(&dense, at, value, UINT64_MAX, &changed[1]),
                         NQ_OK);
        assert_int_equal(changed[0], changed[1]);
        if (i % 500 == 0)
            assert_int_equal(count(&sparse), count(&dense));
    }
    assert_int_equal(hll_encoding(buf_slice(&sparse)), HLL_SPARSE);
    assert_int_equal(hll_make_dense(&sparse), NQ_OK);
    assert_memory_equal(sparse.p, dense.p, dense.len);
    buf_fini(&sparse);
    buf_fini(&dense);
}

static void
a_value_that_no_run_can_tell_makes_it_dense(void **state)
{
    struct buf h = BUF_INIT;
    bool changed;

    (void)state;
    hll_init(&h);
    assert_int_equal(hll_raise(&h, 7, 32, SPARSE_MAX, &changed), NQ_OK);
    assert_int_equal(hll_encoding(buf_slice(&h)), HLL_SPARSE);
    assert_int_equal(hll_raise(&h, 7, 33, SPARSE_MAX, &changed), NQ_OK);
    assert_true(changed);
    assert_int_equal(hll_encoding(buf_slice(&h)), HLL_DENSE);
    assert_int_equal(hll_raise(&h, 7, 33, SPARSE_MAX, &changed), NQ_OK);
    assert_false(changed);
    buf_fini(&h);
}

static void
a_union_counts_what_is_in_either(void **state)
{
    struct buf a = BUF_INIT, b = BUF_INIT, both = BUF_INIT;
    uint8_t registers[HLL_REGISTERS] = {0};

    (void)state;
    hll_init(&a);
    hll_init(&b);
    hll_init(&both);
    for (unsigned i = 0; i < 6000; i++) {
        if (i < 4000)
            add(&a, i, SPARSE_MAX);
        if (i >= 3000)
            add(&b, i, SPARSE_MAX);
        add(&both, i, SPARSE_MAX);
    }
    assert_int_equal(hll_merge(buf_slice(&a), registers), NQ_OK);
    assert_int_equal(hll_merge(buf_slice(&b), registers), NQ_OK);
    assert_int_equal(hll_count(registers), count(&both));
    buf_fini(&a);
    buf_fini(&b);
    buf_fini(&both);
}

/* --- damage -------------------------------------------------------------- */

static void
runs_that_do_not_make_all_registers_are_damage(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {{"", 0},
               {"\x7f\xfe", 2},     /* one too few */
               {"\x7f\xff\x00", 3}, /* one too many */
               {"\x7f\xfe\x40", 3}, /* cut off */
               {"\x7f\xfe\x83", 3}, /* values behind the end */
               {"\x7f\xff\x7f\xff", 4}};

    (void)state;
    for (size_t i = 0; i < nq_countof(bad); i++) {
        uint8_t registers[HLL_REGISTERS] = {0};
        struct buf h = BUF_INIT;

        hll_init(&h);
        h.len = 16;
        buf_put(&h, bad[i].bytes, bad[i].len);
        assert_true(hll_is(buf_slice(&h)));
        assert_int_equal(hll_merge(buf_slice(&h), registers), NQ_EBADHLL);
        assert_int_equal(hll_make_dense(&h), NQ_EBADHLL);
        assert_int_equal(h.len, 16 + bad[i].len);
        buf_fini(&h);
    }
}

static void
registers_beyond_reason_still_give_a_number(void **state)
{
    uint8_t registers[HLL_REGISTERS];

    (void)state;
    memset(registers, 63, sizeof registers);
    assert_true(hll_count(registers) > 0);
    memset(registers, 51, sizeof registers);
    assert_true(hll_count(registers) > 0);
    memset(registers, 0, sizeof registers);
    assert_int_equal(hll_count(registers), 0);
}

/* --- the commands -------------------------------------------------------- */

static void
commands_answer_as_redis_does(void **state)
{
    static const char *const asked[][2] = {
        {"pfadd h", ":1|"},
        {"pfadd h", ":0|"},
        {"pfadd h a b c", ":1|"},
        {"pfadd h c b a", ":0|"},
        {"pfcount h", ":3|"},
        {"pfcount h nothere", ":3|"},
        {"pfcount nothere", ":0|"},
        {"pfadd g c d", ":1|"},
        {"pfcount h g", ":4|"},
        {"pfmerge u h g", "+OK|"},
        {"pfcount u", ":4|"},
        {"object encoding u", "$3|raw|"},
        {"pfmerge new", "+OK|"},
        {"pfcount new", ":0|"},
        {"pfdebug encoding u", "+sparse|"},
        {"pfdebug todense u", ":1|"},
        {"pfdebug todense u", ":0|"},
        {"pfdebug encoding u", "+dense|"},
        {"pfdebug decode u", "-ERR HLL encoding is not sparse|"},
        {"pfdebug decode new", "$7|Z:16384|"},
        {"pfdebug what new", "-ERR Unknown PFDEBUG subcommand 'what'|"},
        {"pfdebug encoding nothere", "-ERR The specified key does not exist|"},
        {"pfcount u", ":4|"},
        {"set s text", "+OK|"},
        {"pfadd s a",
         "-WRONGTYPE Key is not a valid HyperLogLog string value.|"},
        {"pfcount h s",
         "-WRONGTYPE Key is not a valid HyperLogLog string value.|"},
        {"append h xxxxxxxxxxxxxxxxxxxx", ":47|"},
        {"pfmerge g h", "-INVALIDOBJ Corrupted HLL object detected|"},
        {"pfcount g", ":2|"},
    };
    struct engine_env env;
    struct fake_client c;

    (void)state;
    engine_env_init(&env, 16u << 20);
    fake_open(&env, &c);
    for (size_t i = 0; i < nq_countof(asked); i++)
        assert_string_equal(fake_ask(&c, asked[i][0]), asked[i][1]);
    fake_close(&c);
    engine_env_fini(&env);
}

static void
an_estimate_is_kept_until_the_next_change(void **state)
{
    struct engine_env env;
    struct fake_client c;
    uint8_t top;

    (void)state;
    engine_env_init(&env, 16u << 20);
    fake_open(&env, &c);
    fake_expect(&c, "pfadd h a", ":1|");
    fake_send(&c, "getrange h 15 15");
    memcpy(&top, fake_read_raw(&c).p + 4, 1);
    assert_int_equal(top, 0x80);
    fake_expect(&c, "expire h 1000", ":1|");
    fake_expect(&c, "pfcount h", ":1|");
    fake_send(&c, "getrange h 15 15");
    memcpy(&top, fake_read_raw(&c).p + 4, 1);
    assert_int_equal(top, 0);
    fake_expect(&c, "setrange h 8 \7", ":21|"); /* it is believed */
    fake_expect(&c, "pfcount h", ":7|");
    fake_expect(&c, "pfadd h b", ":1|");
    fake_expect(&c, "pfcount h", ":2|");
    fake_expect(&c, "ttl h", ":1000|");
    fake_close(&c);
    engine_env_fini(&env);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_and_estimates_are_those_of_redis),
        cmocka_unit_test(sparse_and_dense_tell_the_same),
        cmocka_unit_test(a_value_that_no_run_can_tell_makes_it_dense),
        cmocka_unit_test(a_union_counts_what_is_in_either),
        cmocka_unit_test(runs_that_do_not_make_all_registers_are_damage),
        cmocka_unit_test(registers_beyond_reason_still_give_a_number),
        cmocka_unit_test(commands_answer_as_redis_does),
        cmocka_unit_test(an_estimate_is_kept_until_the_next_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
