/* Small named values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "store/catalog.h"

static void
assert_value(const struct catalog *c, const char *name, const char *val)
{
    struct slice got;

    assert_int_equal(catalog_get(c, slice_str(name), &got), NQ_OK);
    assert_true(slice_eq(got, slice_str(val)));
}

static void
fill(struct catalog *c)
{
    catalog_put(c, slice_lit("b"), slice_lit("two"));
    catalog_put(c, slice_lit("a"), slice_lit("one"));
    catalog_put(c, slice_lit("ab"), slice_lit(""));
    catalog_put(c, slice_lit("c"), slice_lit("three"));
    catalog_put(c, slice_lit("b"), slice_lit("II"));
    catalog_del(c, slice_lit("c"));
    catalog_del(c, slice_lit("nobody"));
}

static void
last_value_of_a_name_counts(void **state)
{
    struct catalog c = CATALOG_INIT;
    struct slice got;

    (void)state;
    fill(&c);
    assert_value(&c, "a", "one");
    assert_value(&c, "ab", "");
    assert_value(&c, "b", "II");
    assert_int_equal(catalog_get(&c, slice_lit("c"), &got), NQ_NOTFOUND);
    assert_int_equal(catalog_get(&c, slice_lit("b"), &got), NQ_OK);
    catalog_put(&c, slice_lit("b"), got); /* its own value */
    assert_value(&c, "b", "II");
    catalog_fini(&c);
}

static void
values_survive_and_cut_bytes_are_refused(void **state)
{
    struct catalog c = CATALOG_INIT, back = CATALOG_INIT;
    struct buf b = BUF_INIT;

    (void)state;
    fill(&c);
    catalog_encode(&c, &b);
    assert_int_equal(catalog_decode(buf_slice(&b), &back), NQ_OK);
    assert_int_equal(back.count, 3);
    assert_value(&back, "b", "II");
    catalog_fini(&back);
    for (size_t n = 0; n < b.len; n++) {
        assert_int_equal(catalog_decode(slice_of(b.p, n), &back), NQ_ECORRUPT);
        catalog_fini(&back);
    }
    buf_put_u8(&b, 0);
    assert_int_equal(catalog_decode(buf_slice(&b), &back), NQ_ECORRUPT);
    catalog_fini(&back);
    buf_fini(&b);
    catalog_fini(&c);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(last_value_of_a_name_counts),
        cmocka_unit_test(values_survive_and_cut_bytes_are_refused),
    };

    return cmocka_run_group_tests_name("catalog", tests, NULL, NULL);
}
