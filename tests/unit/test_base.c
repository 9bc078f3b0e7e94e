/* The bottom layer: numbers, globs, cursors, histograms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/cursor.h"
#include "base/histogram.h"
#include "base/slice.h"

static void
integers_are_canonical_decimals_only(void **state)
{
    int64_t v;

    (void)state;
    assert_true(slice_to_i64(slice_lit("-9223372036854775808"), &v));
    assert_true(v == INT64_MIN);
    assert_true(slice_to_i64(slice_lit("9223372036854775807"), &v));
    assert_true(v == INT64_MAX);
    assert_false(slice_to_i64(slice_lit("9223372036854775808"), &v));
    assert_false(slice_to_i64(slice_lit("01"), &v));
    assert_false(slice_to_i64(slice_lit("-0"), &v));
    assert_false(slice_to_i64(slice_lit("+1"), &v));
    assert_false(slice_to_i64(slice_lit(""), &v));
    assert_false(slice_to_i64(slice_lit("1 "), &v));
}

static bool
glob(const char *pat, const char *s)
{
    return slice_glob(slice_str(pat), slice_str(s), false);
}

static void
globs_match_as_redis_does(void **state)
{
    (void)state;
    assert_true(glob("h?llo", "hello"));
    assert_true(glob("h*llo", "heeeello"));
    assert_true(glob("h[ae]llo", "hallo"));
    assert_false(glob("h[ae]llo", "hillo"));
    assert_true(glob("h[^e]llo", "hallo"));
    assert_false(glob("h[^e]llo", "hello"));
    assert_true(glob("h[a-c]llo", "hbllo"));
    assert_true(glob("h\\*llo", "h*llo"));
    assert_false(glob("h\\*llo", "hxllo"));
    assert_true(glob("*", ""));
    assert_false(glob("a*b*c", "abd"));
    assert_true(glob("a*b*c", "aXbbYc"));
}

static void
varints_survive_and_overlong_ones_are_refused(void **state)
{
    static const uint64_t values[] = {0, 1, 127, 128, 16384, UINT64_MAX};
    static const uint8_t overlong[] = {0xff, 0xff, 0xff, 0xff, 0xff,
                                       0xff, 0xff, 0xff, 0xff, 0x7f};
    struct buf b = BUF_INIT;
    struct cursor c;
    uint64_t v;

    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        buf_put_varint(&b, values[i]);
    c = cursor_of(buf_slice(&b));
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        assert_true(cursor_get_varint(&c, &v));
        assert_true(v == values[i]);
    }
    assert_false(cursor_get_varint(&c, &v));
    c = cursor_of(slice_of(overlong, sizeof overlong));
    assert_false(cursor_get_varint(&c, &v));
    buf_fini(&b);
}

static void
quantiles_are_within_one_sixteenth(void **state)
{
    static struct histogram h;

    (void)state;
    for (uint64_t i = 1; i <= 100000; i++)
        histogram_add(&h, i);
    assert_in_range(histogram_quantile(&h, 0.5), 50000, 53200);
    assert_in_range(histogram_quantile(&h, 0.99), 99000, 100000);
    assert_int_equal(histogram_quantile(&h, 1.0), 100000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_canonical_decimals_only),
        cmocka_unit_test(globs_match_as_redis_does),
        cmocka_unit_test(varints_survive_and_overlong_ones_are_refused),
        cmocka_unit_test(quantiles_are_within_one_sixteenth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
