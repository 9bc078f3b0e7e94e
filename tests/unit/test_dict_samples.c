/* Samples of leaf pages: by prefix, fair, and never more than they may be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/mem.h"
#include "store/dict_samples.h"
#include "store/page.h"

#define SHIFT 12u
#define SIZE (1u << SHIFT)

static _Alignas(8) uint8_t page[SIZE];

static struct slice
page_of(const char *key)
{
    struct page *pg = (struct page *)(void *)page;
    struct page_value v = {slice_lit("value"), 0, 0};
    struct page_key k = page_key_of(SHIFT, slice_str(key));

    memset(page, 0, sizeof page);
    page_init(pg, PAGE_LEAF, SHIFT, 0, slice_lit(""));
    assert_true(page_insert(pg, 0, &k, &v));
    return slice_of(page, SIZE);
}

static void
a_page_has_the_prefix_of_its_keys(void **state)
{
    uint8_t buf[DICT_PREFIX_MAX];
    struct slice prefix;

    (void)state;
    assert_true(dict_samples_prefix(page_of("user:17"), buf, &prefix));
    assert_true(slice_is(prefix, "user:"));
    assert_true(dict_samples_prefix(page_of("17"), buf, &prefix));
    assert_int_equal(prefix.len, 0);
    page_init((struct page *)(void *)page, PAGE_LEAF, SHIFT, 0, slice_lit(""));
    assert_false(dict_samples_prefix(slice_of(page, SIZE), buf, &prefix));
    memset(page, 0xff, SIZE);
    assert_false(dict_samples_prefix(slice_of(page, SIZE), buf, &prefix));
}

static void
memory_is_bounded_whatever_is_offered(void **state)
{
    struct dict_samples *s = dict_samples_new(3);

    (void)state;
    for (unsigned i = 0; i < 5000; i++) {
        char prefix[16];

        snprintf(prefix, sizeof prefix, "p%u:", i % 20);
        dict_samples_offer(s, slice_str(prefix), page_of("p:1"));
    }
    assert_true(dict_samples_memory(s) <
                SAMPLES_PREFIXES * SAMPLES_BYTES + 65536);
    dict_samples_free(s);
}

static void
a_common_prefix_is_due_and_stays_though_rare_ones_come(void **state)
{
    struct dict_samples *s = dict_samples_new(3);
    struct dict_batch *due, taken;

    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        char rare[16];

        assert_true(i > 40 || dict_samples_due(s) == NULL);
        snprintf(rare, sizeof rare, "rare%u:", i);
        dict_samples_offer(s, slice_lit("user:"), page_of("user:1"));
        dict_samples_offer(s, slice_str(rare), page_of("rare:1"));
    }
    due = dict_samples_due(s);
    assert_non_null(due);
    assert_true(slice_is(slice_of(due->prefix, due->prefix_len), "user:"));
    dict_samples_take(s, due, &taken);
    assert_int_equal(taken.seen, 200);
    assert_int_equal(taken.count, SAMPLES_BYTES / SIZE);
    assert_null(dict_samples_due(s));
    dict_batch_fini(&taken);
    for (unsigned i = 0; i < 700; i++)
        dict_samples_offer(s, slice_lit("user:"), page_of("user:1"));
    assert_non_null(dict_samples_due(s));
    dict_samples_forget(s, slice_lit("user:"));
    assert_null(dict_samples_due(s));
    dict_samples_free(s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_has_the_prefix_of_its_keys),
        cmocka_unit_test(memory_is_bounded_whatever_is_offered),
        cmocka_unit_test(
            a_common_prefix_is_due_and_stays_though_rare_ones_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
