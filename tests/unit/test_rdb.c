/* Redis' serialization of values; tests/golden/dump.txt has payloads that
 * redis-server 7.0.15 made. */
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
encode_string(struct buf *b, struct slice val)
{
    struct rdb_value v = {.type = DB_STRING, .items = &val, .count = 1};

    rdb_encode(b, &v);
}

static nq_rc
decode_string(struct slice payload, uint64_t max_len, struct arena *arena,
              struct slice *out)
{
    struct rdb_value v;
    nq_rc rc = rdb_decode(payload, max_len, arena, &v);

    if (rc != NQ_OK)
        return rc;
    assert_int_equal(v.type, DB_STRING);
    assert_int_equal(v.count, 1);
    *out = v.items[0];
    return NQ_OK;
}

static void
assert_round_trip(struct slice val)
{
    struct arena arena = ARENA_INIT;
    struct buf b = BUF_INIT;
    struct slice out;

    encode_string(&b, val);
    assert_int_equal(decode_string(buf_slice(&b), 1 << 30, &arena, &out),
                     NQ_OK);
    assert_true(slice_eq(out, val));
    /* One byte more is too much for it. */
    if (val.len > 0 && b.p[1] < 0xC0)
        assert_int_equal(
            decode_string(buf_slice(&b), val.len - 1, &arena, &out),
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

        assert_int_equal(decode_string(slice_of(bytes, n), 1000, &arena, &out),
                         NQ_OK);
        assert_true(slice_eq(out, slice_str(golden[i].val)));
        if (golden[i].is_packed)
            continue;
        buf_clear(&b);
        encode_string(&b, slice_str(golden[i].val));
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

/* --- every type ---------------------------------------------------------- */

static void
describe_entry(struct buf *b, const struct rdb_entry *e)
{
    buf_printf(b, " %llu-%llu[", (unsigned long long)e->id.ms,
               (unsigned long long)e->id.seq);
    for (uint64_t i = 0; i < e->count; i++) {
        buf_put_str(b, i > 0 ? " " : "");
        buf_put_slice(b, e->fields[i]);
    }
    buf_put_str(b, "]");
}

static void
describe_group(struct buf *b, const struct rdb_group *g)
{
    buf_put_str(b, " ");
    buf_put_slice(b, g->name);
    buf_printf(b, "(last=%llu-%llu read=?", (unsigned long long)g->last.ms,
               (unsigned long long)g->last.seq);
    for (uint64_t i = 0; i < g->consumer_count; i++) {
        buf_put_str(b, " ");
        buf_put_slice(b, g->consumers[i].name);
        for (uint64_t k = 0; k < g->pending_count; k++)
            if (g->pending[k].consumer == i)
                buf_printf(b, ":%llu-%llu@%llu*%llu",
                           (unsigned long long)g->pending[k].id.ms,
                           (unsigned long long)g->pending[k].id.seq,
                           (unsigned long long)g->pending[k].delivered_ms,
                           (unsigned long long)g->pending[k].deliveries);
    }
    buf_put_str(b, ")");
}

static void
describe_stream(struct buf *b, const struct rdb_stream *s)
{
    buf_printf(b, "last=%llu-%llu first=%llu-%llu deleted=%llu-%llu added=%llu",
               (unsigned long long)s->last.ms, (unsigned long long)s->last.seq,
               (unsigned long long)s->first.ms,
               (unsigned long long)s->first.seq,
               (unsigned long long)s->max_deleted.ms,
               (unsigned long long)s->max_deleted.seq,
               (unsigned long long)s->entries_added);
    for (uint64_t i = 0; i < s->count; i++)
        describe_entry(b, &s->entries[i]);
    for (uint64_t i = 0; i < s->group_count; i++)
        describe_group(b, &s->groups[i]);
}

/* As the golden file has it. */
static void
describe(struct buf *b, const struct rdb_value *v)
{
    buf_clear(b);
    if (v->type == DB_STREAM)
        describe_stream(b, v->stream);
    for (uint64_t i = 0; i < v->count; i++) {
        buf_put_str(b, i > 0 ? " " : "");
        if (v->items[i].len > 0)
            buf_put_slice(b, v->items[i]);
        else
            buf_put_str(b, "''");
        if (v->scores != NULL)
            buf_printf(b, ":%.17g", v->scores[i]);
        if (v->expire_ms != NULL && i % 2 == 1)
            buf_printf(b, "@%llu", (unsigned long long)v->expire_ms[i / 2]);
    }
    buf_put_u8(b, 0);
}

static void
assert_describes(struct slice payload, const char *want)
{
    struct arena arena = ARENA_INIT;
    struct buf text = BUF_INIT, again = BUF_INIT;
    struct rdb_value v;

    assert_int_equal(rdb_decode(payload, 1 << 20, &arena, &v), NQ_OK);
    describe(&text, &v);
    assert_string_equal((char *)text.p, want);
    rdb_encode(&again, &v);
    assert_int_equal(rdb_decode(buf_slice(&again), 1 << 20, &arena, &v), NQ_OK);
    describe(&text, &v);
    assert_string_equal((char *)text.p, want);
    buf_fini(&again);
    buf_fini(&text);
    arena_fini(&arena);
}

/* Calls fn(name, payload, description) for each line of the golden file. */
static void
each_golden(void (*fn)(const char *name, struct slice payload,
                       const char *want))
{
    FILE *f = fopen("tests/golden/dump.txt", "r");
    char *line = NULL, *hex, *want;
    size_t cap = 0;
    unsigned n = 0;

    assert_non_null(f);
    for (; getline(&line, &cap, f) > 0; n++) {
        uint8_t *bytes;

        line[strcspn(line, "\n")] = '\0';
        hex = strchr(line, ' ');
        assert_non_null(hex);
        *hex++ = '\0';
        want = strchr(hex, ' ');
        assert_non_null(want);
        *want++ = '\0';
        bytes = nq_malloc(strlen(hex));
        fn(line, slice_of(bytes, from_hex(bytes, hex)), want);
        nq_free(bytes);
    }
    assert_true(n > 10);
    free(line);
    fclose(f);
}

static void
check_golden(const char *name, struct slice payload, const char *want)
{
    print_message("%s\n", name);
    assert_describes(payload, want);
}

static void
values_of_all_types_come_over_from_redis_and_back(void **state)
{
    (void)state;
    each_golden(check_golden);
}

/* Footer and all, of bytes with or without it. */
static struct slice
sealed_value(struct buf *b, const void *body, size_t len)
{
    buf_clear(b);
    buf_put(b, body, len);
    buf_put_u16(b, 10);
    buf_put_u64(b, rdb_crc64(0, buf_slice(b)));
    return buf_slice(b);
}

/* Every cut and a thousand changed bytes, the checksum put right: whatever is
 * accepted must be whole enough to be written again. */
static void
damage_golden(const char *name, struct slice payload, const char *want)
{
    struct arena arena = ARENA_INIT;
    struct buf b = BUF_INIT, again = BUF_INIT;
    struct rdb_value v;
    struct rng r;

    (void)name;
    (void)want;
    rng_seed(&r, 11);
    for (size_t i = 0; i < 1000; i++) {
        size_t len = payload.len - 10;

        (void)sealed_value(&b, payload.p, i < len ? i : len);
        if (i >= len)
            b.p[rng_below(&r, len)] ^= (uint8_t)(1u << rng_below(&r, 8));
        b.len -= 10;
        buf_put_u16(&b, 10);
        buf_put_u64(&b, rdb_crc64(0, buf_slice(&b)));
        if (rdb_decode(buf_slice(&b), 1 << 20, &arena, &v) == NQ_OK) {
            assert_true(i >= len);
            buf_clear(&again);
            rdb_encode(&again, &v);
        }
        arena_reset(&arena);
    }
    buf_fini(&again);
    buf_fini(&b);
    arena_fini(&arena);
}

static void
damaged_values_are_refused_or_whole(void **state)
{
    (void)state;
    each_golden(damage_golden);
}

static void
fields_with_expiry_come_back(void **state)
{
    struct slice items[] = {slice_lit("a"), slice_lit("1"), slice_lit("b"),
                            slice_lit("2"), slice_lit("c"), slice_lit("3")};
    uint64_t expire_ms[] = {5000, 0, 4000};
    struct rdb_value v = {
        .type = DB_HASH, .items = items, .count = 6, .expire_ms = expire_ms};
    struct buf b = BUF_INIT;

    (void)state;
    rdb_encode(&b, &v);
    assert_describes(buf_slice(&b), "a 1@5000 b 2@0 c 3@4000");
    buf_fini(&b);
}

/* What older versions wrote: type 13, a ziplist, and 10, one with all forms
 * of numbers. */
static void
ziplists_are_read(void **state)
{
    static const uint8_t hash[] = "\x0d\x12\x12\0\0\0\x0e\0\0\0\x02\0"
                                  "\0\x01"
                                  "f"
                                  "\x03\xc0\x39\x30\xff";
    static const uint8_t list[] = "\x0a\x1d\x1d\0\0\0\x1c\0\0\0\x05\0"
                                  "\0\xf1\x02\xfd\x02\xfe\xff\x03\xf0\1\0\x80"
                                  "\x05\xd0\x00\x00\x00\x80\xff";
    struct buf b = BUF_INIT;

    (void)state;
    assert_describes(sealed_value(&b, hash, sizeof hash - 1), "f 12345");
    assert_describes(sealed_value(&b, list, sizeof list - 1),
                     "0 12 -1 -8388607 -2147483648");
    buf_fini(&b);
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
    assert_int_equal(
        decode_string(seal(&b, slice_of(body, sizeof body - 1), 10), 100,
                      &arena, &out),
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
            decode_string(seal(&b, slice_of(bad[i].body, bad[i].len), 10), 1000,
                          &arena, &out),
            NQ_EFORMAT);
    s = seal(&b, slice_lit("\x01x"), 99);
    assert_int_equal(decode_string(s, 1000, &arena, &out), NQ_ECORRUPT);
    s = seal(&b, slice_lit("\x01x"), 10);
    b.p[1] ^= 1;
    assert_int_equal(decode_string(s, 1000, &arena, &out), NQ_ECORRUPT);
    assert_int_equal(decode_string(slice_lit("x"), 1000, &arena, &out),
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
        if (decode_string(seal(&b, slice_of(body, len), 10), 4096, &arena,
                          &out) == NQ_OK)
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
        cmocka_unit_test(values_of_all_types_come_over_from_redis_and_back),
        cmocka_unit_test(damaged_values_are_refused_or_whole),
        cmocka_unit_test(fields_with_expiry_come_back),
        cmocka_unit_test(ziplists_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
