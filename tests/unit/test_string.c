/* Strings: shapes, encodings, parts, blobs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/mem.h"
#include "../lib/db_env.h"
#include "os/clock.h"
#include "store/blob.h"
#include "store/frames.h"

#define NOW UINT64_C(1700000000000)
#define KEY slice_lit("key")

static int
setup(void **state)
{
    struct env *e = nq_calloc(1, sizeof *e);

    clock_freeze_wall(NOW);
    env_init(e, 4096, 8 << 20);
    *state = e;
    return 0;
}

static int
teardown(void **state)
{
    env_check(*state);
    env_fini(*state);
    nq_free(*state);
    clock_freeze_wall(0);
    return 0;
}

static void
assert_string(struct env *e, struct slice want)
{
    struct slice val;

    assert_int_equal(env_get(e, 0, KEY, &val), NQ_OK);
    assert_int_equal(val.len, want.len);
    if (want.len > 0)
        assert_memory_equal(val.p, want.p, want.len);
}

static void
set(struct env *e, struct slice val)
{
    assert_int_equal(env_set(e, 0, KEY, val, 0), NQ_OK);
    assert_string(e, val);
}

static uint8_t *
pattern(size_t len, unsigned seed)
{
    uint8_t *p = nq_malloc(len + 1);

    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)(i * 31 + i / 251 + seed);
    return p;
}

static void
encodings_are_those_of_redis(void **state)
{
    static const struct {
        const char *val, *encoding;
    } cases[] = {
        {"0", "int"},
        {"-1", "int"},
        {"9223372036854775807", "int"},
        {"9223372036854775808", "embstr"},
        {"007", "embstr"},
        {"-0", "embstr"},
        {"1.5", "embstr"},
        {"", "embstr"},
        {"12345678901234567890123456789012345678901234", "embstr"},
        {"123456789012345678901234567890123456789012345", "raw"},
    };
    struct env *e = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        set(e, slice_str(cases[i].val));
        assert_string_equal(env_encoding(e, 0, KEY), cases[i].encoding);
    }
}

static void
a_string_changed_in_place_is_raw_until_it_is_set(void **state)
{
    struct env *e = *state;

    set(e, slice_lit("12"));
    assert_int_equal(env_write(e, 0, KEY, 2, slice_lit("3")), NQ_OK);
    assert_string(e, slice_lit("123"));
    assert_string_equal(env_encoding(e, 0, KEY), "raw");
    assert_int_equal(env_set_int(e, 0, KEY, 124), NQ_OK);
    assert_string_equal(env_encoding(e, 0, KEY), "int");
    assert_string(e, slice_lit("124"));
    set(e, slice_lit("x"));
    assert_string_equal(env_encoding(e, 0, KEY), "embstr");
}

static void
writes_beyond_the_end_fill_with_zeros(void **state)
{
    struct env *e = *state;

    assert_int_equal(env_write(e, 0, KEY, 3, slice_lit("x")), NQ_OK);
    assert_string(e, slice_lit("\0\0\0x"));
    assert_int_equal(env_write(e, 0, KEY, 0, slice_lit("a")), NQ_OK);
    assert_int_equal(env_write(e, 0, KEY, 6, slice_lit("yz")), NQ_OK);
    assert_string(e, slice_lit("a\0\0x\0\0yz"));
}

static void
a_string_grows_through_all_shapes(void **state)
{
    struct env *e = *state;
    size_t len = 3u << 20, at = 0, step = 1;
    uint8_t *want = pattern(len, 1);

    while (at < len) {
        size_t n = step < len - at ? step : len - at;

        assert_int_equal(env_write(e, 0, KEY, at, slice_of(want + at, n)),
                         NQ_OK);
        at += n;
        step = step * 3 / 2 + 1;
        if (at < 10000)
            assert_string(e, slice_of(want, at));
        env_turn(e);
    }
    assert_string(e, slice_of(want, len));
    env_crash(e);
    env_open(e);
    assert_string(e, slice_of(want, len));
    nq_free(want);
}

static void
a_write_into_a_blob_touches_one_chunk(void **state)
{
    struct env *e = *state;
    size_t len = 3u << 20;
    uint8_t *want = pattern(len, 2);
    struct frames_stats before, after;

    set(e, slice_of(want, len));
    env_checkpoint(e);
    frames_get_stats(store_frames(e->st), &before);
    memcpy(want + BLOB_CHUNK + 5, "hello", 5);
    assert_int_equal(env_write(e, 0, KEY, BLOB_CHUNK + 5, slice_lit("hello")),
                     NQ_OK);
    frames_get_stats(store_frames(e->st), &after);
    assert_true(after.frames_dirty - before.frames_dirty <= 2);
    assert_string(e, slice_of(want, len));
    nq_free(want);
}

static void
a_reader_of_a_changed_blob_waits_for_the_change(void **state)
{
    struct env *e = *state;
    uint8_t *want = pattern(100000, 3);
    lsn at;

    set(e, slice_of(want, 100000));
    store_turn(e->st);
    at = wal_position(store_wal(e->st));
    assert_int_equal(env_write(e, 0, KEY, 50, slice_lit("!")), NQ_OK);
    store_turn(e->st);
    (void)env_record(e, 0, KEY);
    assert_int_equal(db_gate(e->db), at);
    nq_free(want);
}

static void
replacing_and_deleting_frees_chunks(void **state)
{
    struct env *e = *state;
    uint8_t *big = pattern(2u << 20, 4);

    for (size_t len = 1; len < 2u << 20; len = len * 5 + 1) {
        set(e, slice_of(big, len));
        env_check(e);
        set(e, slice_lit("7"));
        set(e, slice_of(big + 1, len));
        assert_int_equal(env_set_int(e, 0, KEY, 1), NQ_OK);
        set(e, slice_of(big, len));
        assert_int_equal(env_run(e, db_del(e->db, 0, KEY)), NQ_OK);
    }
    nq_free(big);
}

static void
counters_keep_their_expiry(void **state)
{
    struct env *e = *state;

    assert_int_equal(env_set(e, 0, KEY, slice_lit("5"), NOW + 77), NQ_OK);
    assert_int_equal(env_set_int(e, 0, KEY, INT64_MIN), NQ_OK);
    assert_string(e, slice_lit("-9223372036854775808"));
    assert_int_equal(env_record(e, 0, KEY).expire_ms, NOW + 77);
    assert_int_equal(env_write(e, 0, KEY, 0, slice_lit("+")), NQ_OK);
    assert_int_equal(env_record(e, 0, KEY).expire_ms, NOW + 77);
    set(e, slice_lit("5"));
    assert_int_equal(env_record(e, 0, KEY).expire_ms, 0);
}

static nq_rc
range_once(struct env *e, uint64_t off, uint64_t n, struct slice *out)
{
    struct entry en = {0};
    nq_rc rc = db_find(e->db, 0, KEY, &en);

    return rc == NQ_OK ? string_range(e->db, &en, off, n, &e->arena, out) : rc;
}

static void
assert_range(struct env *e, uint64_t off, uint64_t n, struct slice want)
{
    struct slice out;

    arena_reset(&e->arena);
    assert_int_equal(env_run(e, range_once(e, off, n, &out)), NQ_OK);
    assert_int_equal(out.len, want.len);
    if (want.len > 0)
        assert_memory_equal(out.p, want.p, want.len);
}

static void
ranges_are_clipped(void **state)
{
    struct env *e = *state;
    uint8_t *big = pattern(2u << 20, 5);

    set(e, slice_lit("12345"));
    assert_range(e, 1, 2, slice_lit("23"));
    assert_range(e, 4, 100, slice_lit("5"));
    assert_range(e, 5, 1, slice_lit(""));
    set(e, slice_lit("abcde"));
    assert_range(e, 1, 2, slice_lit("bc"));
    assert_range(e, UINT64_MAX, 1, slice_lit(""));
    set(e, slice_of(big, 2u << 20));
    assert_range(e, BLOB_CHUNK - 3, 6, slice_of(big + BLOB_CHUNK - 3, 6));
    assert_range(e, (2u << 20) - 1, 9, slice_of(big + (2u << 20) - 1, 1));
    nq_free(big);
}

static void
only_whole_numbers_are_integers(void **state)
{
    struct env *e = *state;
    struct entry en = {0};
    int64_t v;

    set(e, slice_lit("10"));
    assert_int_equal(env_write(e, 0, KEY, 1, slice_lit("2")), NQ_OK);
    assert_int_equal(env_run(e, db_find(e->db, 0, KEY, &en)), NQ_OK);
    assert_int_equal(string_int(e->db, &en, &v), NQ_OK);
    assert_int_equal(v, 12);
    set(e, slice_lit("1x"));
    assert_int_equal(env_run(e, db_find(e->db, 0, KEY, &en)), NQ_OK);
    assert_int_equal(string_int(e->db, &en, &v), NQ_ENOTINT);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(encodings_are_those_of_redis),
        T(a_string_changed_in_place_is_raw_until_it_is_set),
        T(writes_beyond_the_end_fill_with_zeros),
        T(a_string_grows_through_all_shapes),
        T(a_write_into_a_blob_touches_one_chunk),
        T(a_reader_of_a_changed_blob_waits_for_the_change),
        T(replacing_and_deleting_frees_chunks),
        T(counters_keep_their_expiry),
        T(ranges_are_clipped),
        T(only_whole_numbers_are_integers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
