/* Redis' serialization of strings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cmd/rdb.h"

static void
assert_round_trip(struct slice val)
{
    struct arena arena = ARENA_INIT;
    struct buf b = BUF_INIT;
    struct slice out;

    rdb_encode(&b, val);
    assert_int_equal(rdb_decode(buf_slice(&b), 1 << 30, &arena, &out), NQ_OK);
    assert_true(slice_eq(out, val));
    /* One byte more is too much for it. */
    if (val.len > 0 && b.p[1] < 0xC0)
        assert_int_equal(rdb_decode(buf_slice(&b), val.len - 1, &arena, &out),
                         NQ_EFORMAT);
    buf_fini(&b);
    arena_fini(&arena);
}

static void
crc64_is_that_of_redis(void **state)
{
    (void)state;
    assert_int_equal(rdb_crc64(0, slice_lit("123456789")),
                     UINT64_C(0xe9c6d914c4b8d9ca));
}

/* What DUMP of redis-server 7.0.15 answers. */
static const struct {
    const char *val;
    const char *hex;
    bool is_packed;
} golden[] = {
    {"10", "00c00a0a006e9f57450eae63bb", false},
    {"hello world", "000b68656c6c6f20776f726c640a000bfc49b9a6c7a034", false},
    {"70000", "00c2701101000a0001a408fe953095a5", false},
    {"abcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabc"
     "abcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabc"
     "tail",
     "00c30d407c0361626361e06b02037461696c0a001e79a48dae01602e", true},
};

static size_t
from_hex(uint8_t *dst, const char *hex)
{
    size_t n = strlen(hex) / 2;

    for (size_t i = 0; i < n; i++) {
        char two[3] = {hex[2 * i], hex[2 * i + 1], 0};

        dst[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    return n;
}

static void
payloads_are_those_of_redis(void **state)
{
    struct arena arena = ARENA_INIT;
    struct buf b = BUF_INIT;
    struct slice out;
    uint8_t bytes[128];

    (void)state;
    for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++) {
        size_t n = from_hex(bytes, golden[i].hex);

        assert_int_equal(rdb_decode(slice_of(bytes, n), 1000, &arena, &out),
                         NQ_OK);
        assert_true(slice_eq(out, slice_str(golden[i].val)));
        if (golden[i].is_packed)
            continue;
        buf_clear(&b);
        rdb_encode(&b, slice_str(golden[i].val));
        assert_true(slice_eq(buf_slice(&b), slice_of(bytes, n)));
    }
    buf_fini(&b);
    arena_fini(&arena);
}

static void
every_length_comes_back(void **state)
{
    static const size_t lens[] = {0, 1, 63, 64, 16383, 16384, 70000};
    uint8_t *p = nq_malloc(70000);

    (void)state;
    memset(p, 'x', 70000);
    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; i++)
        assert_round_trip(slice_of(p, lens[i]));
    nq_free(p);
}

static void
every_integer_form_comes_back(void **state)
{
    static const char *const texts[] = {
        "0",     "127",   "-128",       "128",         "-129",
        "32767", "32768", "2147483647", "-2147483648", "2147483648",
        "007",   "-0",    "+1",         "1.0"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_round_trip(slice_str(texts[i]));
}

/* A payload around `body`, with a good footer. */
static struct slice
seal(struct buf *b, struct slice body, uint16_t version)
{
    buf_clear(b);
    buf_put_u8(b, 0);
    buf_put_slice(b, body);
    buf_put_u16(b, version);
    buf_put_u64(b, rdb_crc64(0, buf_slice(b)));
    return buf_slice(b);
}

static void
compressed_strings_are_read(void **state)
{
    /* "ab", then 10 bytes from 2 back, overlapping: 7 more by an extra byte. */
    static const char body[] = "\xc3\x06\x0c\x01"
                               "ab\xe0\x01\x01";
    struct arena arena = ARENA_INIT;
    struct buf b = BUF_INIT;
    struct slice out;

    (void)state;
    assert_int_equal(rdb_decode(seal(&b, slice_of(body, sizeof body - 1), 10),
                                100, &arena, &out),
                     NQ_OK);
    assert_true(slice_eq(out, slice_lit("abababababab")));
    buf_fini(&b);
    arena_fini(&arena);
}

static void
bad_payloads_are_told_apart(void **state)
{
    static const struct {
        const char *body;
        size_t len;
    } bad[] = {
        {"\x05hell", 5},             /* ends early */
        {"\x05hello!", 7},           /* goes on */
        {"\xc4", 1},                 /* no such form */
        {"\x82\0\0\0\1x", 6},        /* no such length */
        {"\xc3\x03\x0c\x20\x00", 5}, /* refers before the start */
        {"\xc3\x02\x40\x00"
         "a",
         5},                         /* comes out too short */
        {"\xc3\x01\xff\xff\xff", 5}, /* lengths out of hand */
        {"", 0},
    };
    struct arena arena = ARENA_INIT;
    struct buf b = BUF_INIT;
    struct slice out, s;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(
            rdb_decode(seal(&b, slice_of(bad[i].body, bad[i].len), 10), 1000,
                       &arena, &out),
            NQ_EFORMAT);
    s = seal(&b, slice_lit("\x01x"), 99);
    assert_int_equal(rdb_decode(s, 1000, &arena, &out), NQ_ECORRUPT);
    s = seal(&b, slice_lit("\x01x"), 10);
    b.p[1] ^= 1;
    assert_int_equal(rdb_decode(s, 1000, &arena, &out), NQ_ECORRUPT);
    assert_int_equal(rdb_decode(slice_lit("x"), 1000, &arena, &out),
                     NQ_ECORRUPT);
    buf_fini(&b);
    arena_fini(&arena);
}

static void
random_bodies_harm_nobody(void **state)
{
    const char *env = getenv("SEED");
    uint64_t seed = env != NULL ? strtoull(env, NULL, 0) : 7;
    struct arena arena = ARENA_INIT;
    struct buf b = BUF_INIT;
    struct slice out;
    struct rng r;
    uint8_t body[64];

    (void)state;
    print_message("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&r, seed);
    for (int i = 0; i < 20000; i++) {
        size_t len = rng_below(&r, sizeof body);

        for (size_t k = 0; k < len; k++)
            body[k] = (uint8_t)rng_next(&r);
        if (len > 0 && i % 2 == 0)
            body[0] = 0xC3;
        if (rdb_decode(seal(&b, slice_of(body, len), 10), 4096, &arena, &out) ==
            NQ_OK)
            assert_true(out.len <= 4096);
        arena_reset(&arena);
    }
    buf_fini(&b);
    arena_fini(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc64_is_that_of_redis),
        cmocka_unit_test(payloads_are_those_of_redis),
        cmocka_unit_test(every_length_comes_back),
        cmocka_unit_test(every_integer_form_comes_back),
        cmocka_unit_test(compressed_strings_are_read),
        cmocka_unit_test(bad_payloads_are_told_apart),
        cmocka_unit_test(random_bodies_harm_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
