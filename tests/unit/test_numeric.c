/* The codec for numbers: what comes out is what went in, whatever it was; and
 * what is meant for it becomes small. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "codec/numeric.h"
#include "codec/numeric_int.h"
#include "codec/zpack.h"

static struct rng rng;

/* Packs, unpacks into memory of exactly the right size, compares; returns the
 * packed size, 0 if the codec does not take it. */
static size_t
round_trip(struct slice s, int level)
{
    uint8_t *packed = nq_malloc(s.len + 1), *exact, *back;
    size_t len = numeric_encode(packed, s.len, s.p, s.len, level);

    assert_true(len < s.len || len == 0);
    if (len != 0) {
        exact = nq_memdup(packed, len);
        back = nq_malloc(s.len);
        assert_int_equal(numeric_decode(back, s.len, exact, len), NQ_OK);
        assert_memory_equal(back, s.p, s.len);
        assert_int_equal(numeric_decode(back, s.len - 1, exact, len),
                         NQ_ECORRUPT);
        assert_int_equal(numeric_encode(packed, len - 1, s.p, s.len, level), 0);
        nq_free(exact);
        nq_free(back);
    }
    nq_free(packed);
    return len;
}

static size_t
zstd_size(struct slice s, unsigned level)
{
    uint8_t *packed = nq_malloc(s.len);
    size_t len = zpack_encode(level, NULL, packed, s.len, s.p, s.len);

    nq_free(packed);
    return len;
}

static bool
chance(unsigned one_in)
{
    return rng_below(&rng, one_in) == 0;
}

/* --- what is meant for it
 * ----------------------------------------------------------------------- */

static void
integers_that_rise_evenly_take_next_to_nothing(void **state)
{
    struct buf text = BUF_INIT;

    (void)state;
    for (unsigned i = 0; i < 5000; i++)
        buf_printf(&text, "%u\n", 1000000 + 7 * i);
    assert_in_range(round_trip(buf_slice(&text), 1), 1, 40);
    buf_fini(&text);
}

static void
put_time_series(struct buf *text, unsigned rows)
{
    unsigned value = 10000;

    buf_put_str(text, "timestamp,value\r\n");
    for (unsigned i = 0; i < rows; i++) {
        unsigned minutes = 30 * i;

        value += (unsigned)rng_below(&rng, 201) - 100;
        buf_printf(text, "2014-%02u-%02u %02u:%02u:00,%u.%02u\r\n",
                   7 + minutes / 1440 / 31, minutes / 1440 % 31 + 1,
                   minutes / 60 % 24, minutes % 60, value / 100, value % 100);
    }
}

static void
time_series_take_less_than_half_of_what_zstd_makes_of_them(void **state)
{
    struct buf text = BUF_INIT;
    size_t len;

    (void)state;
    put_time_series(&text, 1480); /* to the end of July */
    len = round_trip(buf_slice(&text), 1);
    assert_in_range(len, 1, zstd_size(buf_slice(&text), 9) / 2);
    /* Ten bits and a half for each value: its differences are one of 201. */
    assert_in_range(len, 1, 1480 * 9 / 8 + 200);
    buf_fini(&text);
}

static void
a_slice_from_the_middle_of_a_table_is_taken_too(void **state)
{
    struct buf text = BUF_INIT;

    (void)state;
    put_time_series(&text, 1480);
    for (unsigned round = 0; round < 50; round++) {
        size_t at = rng_below(&rng, text.len / 2);
        size_t len = 2000 + rng_below(&rng, text.len / 2 - 2000);

        len = round_trip(slice_of(text.p + at, len), (int)(round % 10));
        assert_true(len > 0);
    }
    buf_fini(&text);
}

static void
lists_without_lines_are_tables_of_one_column(void **state)
{
    static const char *const between[] = {",", ", ", " ", "; ", "\t"};
    struct buf text = BUF_INIT;

    (void)state;
    for (unsigned k = 0; k < nq_countof(between); k++) {
        buf_clear(&text);
        buf_put_str(&text, "[");
        for (unsigned i = 0; i < 3000; i++)
            buf_printf(&text, "%d%s", (int)rng_below(&rng, 1000) - 500,
                       between[k]);
        buf_put_str(&text, "0]");
        assert_in_range(round_trip(buf_slice(&text), 1), 1, 3000 * 5 / 4 + 200);
    }
    buf_fini(&text);
}

static void
put_integer(struct buf *out, uint64_t v, unsigned bytes)
{
    if (bytes == 8)
        buf_put_u64(out, v);
    else
        buf_put_u32(out, (uint32_t)v);
}

static void
arrays_of_integers_take_less_than_zstd_makes_of_them(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    for (unsigned bytes = 4; bytes <= 8; bytes += 4) {
        for (unsigned stride = 1; stride <= 5; stride += 2) {
            buf_clear(&b);
            for (unsigned i = 0; i < 6000; i++)
                put_integer(&b,
                            UINT64_C(1700000000) * (i % stride + 1) + 10 * i +
                                rng_below(&rng, 8),
                            bytes);
            buf_put(&b, "abc", rng_below(&rng, 4));
            assert_in_range(round_trip(buf_slice(&b), 1), 1,
                            zstd_size(buf_slice(&b), 9) * 2 / 3);
        }
    }
    buf_fini(&b);
}

static void
records_of_mixed_sizes_are_found(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    for (unsigned i = 0; i < 2000; i++) {
        buf_put_u64(&b, UINT64_C(1700000000000) + 250 * i);
        buf_put_u32(&b, i % 7);
        buf_put_u32(&b, (uint32_t)rng_below(&rng, 1000));
        buf_put_u32(&b, 0x3f800000);
    }
    assert_in_range(round_trip(buf_slice(&b), 1), 1, b.len / 8);
    buf_fini(&b);
}

/* --- what is not
 * ----------------------------------------------------------------------- */

static void
other_blocks_are_declined(void **state)
{
    static const char prose[] =
        "The quick brown fox jumps over the lazy dog, 12 times a day.\n";
    struct buf b = BUF_INIT;

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        buf_put_str(&b, prose);
    assert_int_equal(round_trip(buf_slice(&b), 4), 0);
    buf_clear(&b);
    for (unsigned i = 0; i < 1000; i++)
        buf_put_u64(&b, rng_next(&rng));
    assert_int_equal(round_trip(buf_slice(&b), 4), 0);
    buf_clear(&b);
    for (unsigned i = 0; i < 1000; i++)
        buf_printf(&b, "%0*u\n", (int)(1 + i % 9), i); /* widths jump about */
    (void)round_trip(buf_slice(&b), 4);
    for (size_t len = 0; len < 40; len++)
        (void)round_trip(slice_of(b.p, len), 4);
    buf_fini(&b);
}

/* --- any numbers
 * ----------------------------------------------------------------------- */

static int64_t
any_number(unsigned kind)
{
    switch (kind % 4) {
    case 0:
        return (int64_t)rng_next(&rng);
    case 1:
        return (int64_t)(rng_next(&rng) >> rng_below(&rng, 64));
    case 2:
        return chance(20) ? INT64_MIN + (int64_t)rng_below(&rng, 3)
                          : (int64_t)rng_below(&rng, 100);
    default:
        return (int64_t)rng_below(&rng, 4) - 2;
    }
}

static void
columns_keep_any_integers(void **state)
{
    int64_t v[700], back[700];

    (void)state;
    for (unsigned round = 0; round < 400; round++) {
        size_t n = rng_below(&rng, round % 2 == 0 ? 10 : nq_countof(v) + 1);
        int64_t slope = any_number(round / 4);
        struct buf b = BUF_INIT;
        struct cursor in;

        for (size_t i = 0; i < n; i++)
            v[i] = (int64_t)((uint64_t)any_number(round) +
                             (uint64_t)slope * (i * (round % 3)));
        numeric_column_put(&b, v, n, round % 10);
        in = cursor_of(buf_slice(&b));
        assert_true(numeric_column_get(&in, back, n));
        assert_int_equal(cursor_left(&in), 0);
        assert_memory_equal(back, v, n * sizeof *v);
        buf_fini(&b);
    }
}

/* Numbers in all the ways that programs write them, and in some they never
 * do. */
static void
put_number(struct buf *text, unsigned kind)
{
    int64_t v = any_number(1 + kind);
    double real = (double)(v % 100000) / 64;

    switch (kind % 7) {
    case 0:
        buf_printf(text, "%lld", (long long)v);
        break;
    case 1:
        buf_printf(text, "%.3f", real);
        break;
    case 2:
        buf_printf(text, "%g", real);
        break;
    case 3:
        buf_printf(text, "%04lld", (long long)(v % 10000));
        break;
    case 4:
        buf_printf(text, "%.*f", (int)rng_below(&rng, 4), real);
        break;
    case 5:
        buf_printf(text, "%llu%llu", (unsigned long long)rng_next(&rng),
                   (unsigned long long)v);
        break;
    default:
        buf_put_str(text, chance(2) ? "-0" : "-0.00");
    }
}

static void
put_row(struct buf *text, const unsigned *kinds, unsigned columns,
        const char *between, unsigned odd)
{
    if (chance(odd)) {
        buf_put_str(text, chance(2) ? "" : "NaN,1e5,-,.,-.5,5.,--3");
    } else {
        for (unsigned c = 0; c < columns; c++) {
            buf_put_str(text, c > 0 ? between : "");
            put_number(text, chance(odd) ? kinds[0] : kinds[c]);
        }
    }
    buf_put_str(text, "\n");
}

static void
tables_of_any_numbers_come_back_as_they_were(void **state)
{
    static const char *const between[] = {",", " ", "-", ".", ", x=", ":"};
    unsigned kinds[6], taken = 0;

    (void)state;
    for (unsigned round = 0; round < 400; round++) {
        unsigned columns = 1 + (unsigned)rng_below(&rng, 6);
        unsigned rows = (unsigned)rng_below(&rng, 200);
        unsigned odd = round % 3 == 0 ? 1000000 : 1u << round % 6;
        struct buf text = BUF_INIT;

        for (unsigned c = 0; c < columns; c++)
            kinds[c] = (unsigned)rng_below(&rng, round % 2 == 0 ? 5 : 7);
        for (unsigned r = 0; r < rows; r++)
            put_row(&text, kinds, columns, between[round % 6], odd);
        buf_put_str(&text, round % 4 == 0 ? "12,3" : "");
        taken += round_trip(buf_slice(&text), (int)(round % 10)) != 0;
        buf_fini(&text);
    }
    assert_true(taken > 50);
}

/* --- dates
 * ----------------------------------------------------------------------- */

static bool
is_leap(int64_t y)
{
    return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
}

/* The day behind it. */
static void
next_day(int64_t date[3])
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30,
                                   31, 31, 30, 31, 30, 31};
    int64_t last = days[date[1] - 1] + (date[1] == 2 && is_leap(date[0]));

    if (++date[2] <= last)
        return;
    date[2] = 1;
    if (++date[1] <= 12)
        return;
    date[1] = 1;
    date[0]++;
}

static void
days_of_a_thousand_years_are_consecutive_numbers(void **state)
{
    int64_t date[3] = {1600, 1, 1}, before = 0;

    (void)state;
    for (unsigned i = 0; date[0] <= 2600; i++, next_day(date)) {
        int64_t copy[3] = {date[0], date[1], date[2]};
        int64_t *columns[3] = {&copy[0], &copy[1], &copy[2]};

        numeric_date_join(columns, 1, 3, 0);
        if (i > 0)
            assert_int_equal(copy[0], before + 1);
        if (date[0] == 1970 && date[1] == 1 && date[2] == 1)
            assert_int_equal(copy[0], 0);
        before = copy[0];
        copy[1] = copy[2] = 0;
        numeric_date_split(columns, 1, 3, 0);
        assert_memory_equal(copy, date, sizeof date);
    }
}

static void
what_looks_like_a_date_but_is_none_comes_back(void **state)
{
    struct buf text = BUF_INIT;

    (void)state;
    for (unsigned i = 0; i < 400; i++)
        buf_printf(&text, "%u-%02u-%02uT%02u:%02u:%02u.%03uZ\n", 2023 + i / 300,
                   i % 13 + (i < 200), 28 + i % 4, i % 25, i % 60, i % 61, i);
    (void)round_trip(buf_slice(&text), 1);
    buf_clear(&text);
    for (unsigned i = 0; i < 400; i++)
        buf_printf(&text, "2023-02-%02uT%02u:%02u:%02u.%03uZ\n",
                   i / 24 % 28 + 1, i % 24, i % 60, i % 60, i % 1000);
    assert_in_range(round_trip(buf_slice(&text), 1), 1, text.len / 8);
    buf_fini(&text);
}

/* --- what is on disks already
 * ----------------------------------------------------------------------- */

static const char old_text[] =
    "t,v\n2024-02-28 23:59:58,1.50\n2024-02-28 23:59:59,1.52\n"
    "2024-02-29 00:00:00,1.54\n2024-02-29 00:00:01,-0.02\n"
    "2024-02-29 00:00:02,1.58\n2024-02-29 00:00:03,1.57\n"
    "2024-02-29 00:00:04,1.59\n2024-02-29 00:00:05,1.50\n2024-02-29 00:";

static const uint8_t old_text_packed[] = {
    0x01, 0x0a, 0x07, 0x00, 0x01, 0x2d, 0x01, 0x2d, 0x01, 0x20, 0x01,
    0x3a, 0x01, 0x3a, 0x01, 0x2c, 0x00, 0x01, 0x00, 0x00, 0x02, 0x00,
    0x00, 0x01, 0x00, 0x00, 0x02, 0x00, 0x00, 0x02, 0x00, 0x00, 0x02,
    0x00, 0x00, 0x01, 0x02, 0x02, 0x09, 0x01, 0x00, 0x05, 0x05, 0x00,
    0x03, 0x74, 0x2c, 0x76, 0x06, 0x01, 0xfc, 0xa3, 0xfe, 0xdd, 0x0c,
    0x02, 0x00, 0x06, 0xac, 0x02, 0x04, 0x09, 0x00, 0xc1, 0x02, 0xa1,
    0x06, 0x74, 0x07, 0x40, 0xca, 0x12, 0x0e, 0x32, 0x30, 0x32, 0x34,
    0x2d, 0x30, 0x32, 0x2d, 0x32, 0x39, 0x20, 0x30, 0x30, 0x3a};

static const uint8_t old_integers_packed[] = {
    0x02, 0x04, 0x06, 0x01, 0xd0, 0x0f, 0x78, 0x06, 0xe6, 0x0f, 0xb8,
    0x9b, 0x0c, 0x13, 0x00, 0xff, 0xb4, 0x18, 0x00, 0x00, 0x00, 0x9f,
    0x24, 0x50, 0xc3, 0x00, 0x01, 0xfc, 0x0f, 0x78, 0x01, 0x8c, 0x10,
    0x78, 0x01, 0xa2, 0x10, 0x78, 0x01, 0xb8, 0x10, 0x78, 0x14, 0x05,
    0x00, 0x00, 0x1f, 0x05, 0x00, 0x00, 0x2a, 0x05, 0x00, 0x00};

static void
blocks_that_were_packed_earlier_are_understood(void **state)
{
    char text[sizeof old_text - 1];
    int32_t v[33];

    (void)state;
    assert_int_equal(numeric_decode(text, sizeof text, old_text_packed,
                                    sizeof old_text_packed),
                     NQ_OK);
    assert_memory_equal(text, old_text, sizeof text);
    assert_int_equal(numeric_decode(v, sizeof v, old_integers_packed,
                                    sizeof old_integers_packed),
                     NQ_OK);
    for (int i = 0; i < 33; i++)
        assert_int_equal(v[i], 1000 + 10 * i + i % 3 + (i == 7 ? 100000 : 0));
}

/* --- damage
 * ----------------------------------------------------------------------- */

/* Either it is seen, or some bytes come out; memory is never overstepped. */
static void
damage_everywhere(struct slice s, int level)
{
    uint8_t *packed = nq_malloc(s.len), *back = nq_malloc(s.len), *copy;
    size_t len = numeric_encode(packed, s.len, s.p, s.len, level);

    assert_true(len > 0);
    for (size_t at = 0; at < len; at++) {
        copy = nq_memdup(packed, len);
        copy[at] ^= (uint8_t)(1 + rng_below(&rng, 255));
        (void)!numeric_decode(back, s.len, copy, len);
        nq_free(copy);
        copy = nq_memdup(packed, at);
        assert_int_equal(numeric_decode(back, s.len, copy, at), NQ_ECORRUPT);
        nq_free(copy);
    }
    nq_free(packed);
    nq_free(back);
}

static void
damaged_blocks_are_refused_or_decoded_within_bounds(void **state)
{
    struct buf b = BUF_INIT;

    (void)state;
    put_time_series(&b, 300);
    damage_everywhere(buf_slice(&b), 1);
    damage_everywhere(buf_slice(&b), 9);
    buf_clear(&b);
    for (unsigned i = 0; i < 500; i++)
        put_integer(&b, 100 * i + rng_below(&rng, 30), 4);
    damage_everywhere(buf_slice(&b), 1);
    buf_fini(&b);
}

static int
seed(void **state)
{
    const char *text = getenv("SEED");
    uint64_t s = text != NULL ? strtoull(text, NULL, 10) : rng_seed_from_os();

    (void)state;
    printf("SEED=%llu\n", (unsigned long long)s);
    rng_seed(&rng, s);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_that_rise_evenly_take_next_to_nothing),
        cmocka_unit_test(
            time_series_take_less_than_half_of_what_zstd_makes_of_them),
        cmocka_unit_test(a_slice_from_the_middle_of_a_table_is_taken_too),
        cmocka_unit_test(lists_without_lines_are_tables_of_one_column),
        cmocka_unit_test(arrays_of_integers_take_less_than_zstd_makes_of_them),
        cmocka_unit_test(records_of_mixed_sizes_are_found),
        cmocka_unit_test(other_blocks_are_declined),
        cmocka_unit_test(columns_keep_any_integers),
        cmocka_unit_test(tables_of_any_numbers_come_back_as_they_were),
        cmocka_unit_test(days_of_a_thousand_years_are_consecutive_numbers),
        cmocka_unit_test(what_looks_like_a_date_but_is_none_comes_back),
        cmocka_unit_test(blocks_that_were_packed_earlier_are_understood),
        cmocka_unit_test(damaged_blocks_are_refused_or_decoded_within_bounds),
    };

    return cmocka_run_group_tests(tests, seed, NULL);
}
