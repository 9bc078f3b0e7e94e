/* One page: records in order, prefixes, room, damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "store/page_search.h"

/* A page of its own memory, so that a sanitizer sees its ends. */
static struct page *
new_page(unsigned shift)
{
    struct page *pg = nq_calloc(1, (size_t)1 << shift);

    page_init(pg, PAGE_LEAF, shift, 0, slice_of(NULL, 0));
    return pg;
}

static bool
find(const struct page *pg, const char *key, unsigned *slot)
{
    bool found;

    assert_int_equal(page_find(pg, slice_str(key), NULL, NULL, slot, &found),
                     NQ_OK);
    return found;
}

static bool
put(struct page *pg, const char *key, const char *val)
{
    struct page_key k = page_key_of(pg->shift, slice_str(key));
    struct page_value v = {slice_str(val), 0, 0};
    unsigned slot;

    if (find(pg, key, &slot))
        return page_replace(pg, slot, &v);
    return page_insert(pg, slot, &k, &v);
}

static void
assert_val(const struct page *pg, const char *key, const char *val)
{
    struct page_record r;
    unsigned slot;

    assert_true(find(pg, key, &slot));
    page_record_at(pg, slot, &r);
    assert_true(slice_eq(r.v.val, slice_str(val)));
}

static void
assert_sane(const struct page *pg)
{
    assert_true(page_verify(page_at_const(pg, 0), page_size(pg)));
}

static void
branchless_search_equals_a_linear_one(void **state)
{
    uint32_t heads[300];
    struct rng r;

    (void)state;
    rng_seed(&r, 1);
    for (unsigned n = 0; n < 300; n++) {
        uint32_t h = 0;

        for (unsigned i = 0; i < n; i++)
            heads[i] = h += (uint32_t)rng_below(&r, 3) * 7;
        for (uint32_t want = 0; want < h + 10; want += 1 + n / 20) {
            unsigned i = 0;

            while (i < n && heads[i] < want)
                i++;
            assert_int_equal(page_lower_bound(heads, n, want), i);
        }
    }
}

static void
a_foreign_key_shortens_the_prefix(void **state)
{
    struct page *pg = new_page(12);

    (void)state;
    assert_true(put(pg, "user:1001:name", "a"));
    assert_int_equal(pg->prefix_len, 14);
    assert_true(put(pg, "user:1001:mail", "b"));
    assert_int_equal(pg->prefix_len, 10);
    assert_true(put(pg, "user:1001:n", "c"));
    assert_true(put(pg, "usr", "d"));
    assert_int_equal(pg->prefix_len, 2);
    assert_true(put(pg, "", "e"));
    assert_int_equal(pg->prefix_len, 0);
    assert_val(pg, "user:1001:name", "a");
    assert_val(pg, "user:1001:mail", "b");
    assert_val(pg, "user:1001:n", "c");
    assert_val(pg, "usr", "d");
    assert_val(pg, "", "e");
    assert_sane(pg);
    nq_free(pg);
}

static void
a_long_prefix_stands_among_the_records(void **state)
{
    struct page *pg = new_page(12);
    char key[100];

    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        snprintf(key, sizeof key, "a-prefix-that-is-longer-than-24-bytes:%u",
                 i * 17);
        assert_true(put(pg, key, key + 30));
        assert_sane(pg);
    }
    assert_true(pg->prefix_len > PAGE_INLINE_PREFIX);
    for (unsigned i = 0; i < 50; i++) {
        snprintf(key, sizeof key, "a-prefix-that-is-longer-than-24-bytes:%u",
                 i * 17);
        assert_val(pg, key, key + 30);
    }
    nq_free(pg);
}

static void
a_full_page_refuses_and_stays_as_it_was(void **state)
{
    struct page *pg = new_page(9), *copy = new_page(9);
    char key[40];

    (void)state;
    for (unsigned i = 0;; i++) {
        snprintf(key, sizeof key, "k%05u", i * 7919 % 100000);
        memcpy(copy, pg, page_size(pg));
        if (!put(pg, key, "some value of some length"))
            break;
        assert_sane(pg);
    }
    assert_true(page_used(pg) > 400);
    assert_memory_equal(pg, copy, page_size(pg));
    assert_false(put(pg, "without the prefix", "x"));
    assert_memory_equal(pg, copy, page_size(pg));
    nq_free(pg);
    nq_free(copy);
}

static void
garbage_is_collected_when_room_is_needed(void **state)
{
    struct page *pg = new_page(9);
    char key[20];
    unsigned slot;

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "%04u", i);
        assert_true(put(pg, key, "0123456789012345678901234567890123456789"));
        if (i >= 5) {
            snprintf(key, sizeof key, "%04u", i - 5 + i % 3);
            if (find(pg, key, &slot))
                page_remove(pg, slot);
        }
        assert_sane(pg);
        if (pg->count > 6)
            page_remove(pg, 0);
    }
    nq_free(pg);
}

/* APPEND, EXPIRE and the like hand in the value where it stands. */
static void
a_value_may_come_from_the_page_itself(void **state)
{
    struct page *pg = new_page(9);
    struct page_record r;
    struct page_value v;
    unsigned slot;

    (void)state;
    assert_true(put(pg, "a",
                    "the first value, which is rather long, so that "
                    "pages fill"));
    assert_true(put(pg, "b", "the second value"));
    for (uint64_t i = 0; i < 200; i++) {
        assert_true(find(pg, i % 2 == 0 ? "a" : "b", &slot));
        page_record_at(pg, slot, &r);
        v = r.v;
        v.expire_ms = i % 3 == 0 ? 0 : i;
        if (i % 5 == 0)
            v.val.len -= v.val.len > 8; /* another length, too */
        assert_true(page_replace(pg, slot, &v));
        assert_sane(pg);
    }
    assert_true(find(pg, "b", &slot));
    page_record_at(pg, slot, &r);
    assert_true(slice_has_prefix(slice_lit("the second value"), r.v.val));
    assert_true(find(pg, "a", &slot));
    page_record_at(pg, slot, &r);
    assert_true(slice_has_prefix(r.v.val, slice_lit("the firs")));
    nq_free(pg);
}

static void
the_largest_page_uses_all_its_offsets(void **state)
{
    struct page *pg = new_page(16);
    char key[20];
    unsigned n = 0;

    (void)state;
    do
        snprintf(key, sizeof key, "%x", n * 2654435761u);
    while (put(pg, key, "v") && ++n < 100000);
    assert_true(n > 3000);
    assert_true(pg->data_off < 60000);
    assert_sane(pg);
    for (unsigned i = 0; i < n; i++) {
        snprintf(key, sizeof key, "%x", i * 2654435761u);
        assert_val(pg, key, "v");
    }
    nq_free(pg);
}

static void
expiries_and_owners_are_noted(void **state)
{
    struct page *pg = new_page(12);
    struct page_key k = page_key_of(12, slice_lit("k"));
    struct page_value v = {slice_lit("v"), 1234567890123, PAGE_META(3, 0)};
    struct page_record r;

    (void)state;
    assert_true(page_insert(pg, 0, &k, &v));
    assert_true(pg->earliest == 1234567890123);
    assert_int_equal(pg->flags, 0);
    v.expire_ms = 0;
    v.meta = PAGE_META(15, 7);
    assert_true(page_replace(pg, 0, &v));
    assert_int_equal(pg->flags, PAGE_OWNS);
    assert_true(page_find_earliest(pg) == PAGE_NEVER);
    page_record_at(pg, 0, &r);
    assert_int_equal(PAGE_META_TYPE(r.v.meta), 15);
    assert_int_equal(PAGE_META_FLAGS(r.v.meta), 7);
    nq_free(pg);
}

static void
a_tidy_copy_has_the_records_and_zeros_where_nothing_is(void **state)
{
    struct page *pg = new_page(12);
    struct page *copy = nq_malloc(4096);
    size_t junk = 0, slots;

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        char key[8];

        snprintf(key, sizeof key, "k%02u", i);
        assert_true(put(pg, key, "some value"));
    }
    slots = PAGE_HEADER + (size_t)pg->capacity * 6;
    memset((uint8_t *)pg + slots, 0xaa, pg->data_off - slots);
    assert_true(page_tidy((uint8_t *)pg, 4096, (uint8_t *)copy));
    assert_sane(copy);
    assert_val(copy, "k07", "some value");
    for (size_t i = slots; i < copy->data_off; i++)
        junk += ((uint8_t *)copy)[i] != 0;
    assert_int_equal(junk, 0);
    pg->kind = 77;
    assert_false(page_tidy((uint8_t *)pg, 4096, (uint8_t *)copy));
    nq_free(copy);
    nq_free(pg);
}

/* Reads everything that a page says it has. */
static void
read_all(const struct page *pg)
{
    uint8_t *key = nq_malloc(page_size(pg));
    struct page_record r;
    struct page_key k;
    unsigned sum = 0;

    for (unsigned i = 0; i < pg->count; i++) {
        page_key_at(pg, i, key, &k);
        for (size_t j = 0; j < k.in.len; j++)
            sum += k.in.p[j];
        if (pg->kind != PAGE_LEAF)
            continue;
        page_record_at(pg, i, &r);
        for (size_t j = 0; j < r.v.val.len; j++)
            sum += r.v.val.p[j];
    }
    nq_free(key);
    assert_true(sum != 1);
}

static void
damage_is_refused_or_harmless(void **state)
{
    struct page *pg = new_page(10), *bad = new_page(10);
    struct rng r;
    char key[40];
    unsigned refused = 0;

    (void)state;
    rng_seed(&r, 3);
    for (unsigned i = 0; i < 16; i++) {
        snprintf(key, sizeof key, "key:%u", i * 37);
        assert_true(put(pg, key, "value value value"));
    }
    assert_sane(pg);
    for (unsigned i = 0; i < 20000; i++) {
        size_t at = rng_below(&r, i % 2 == 0 ? 200 : page_size(pg));

        memcpy(bad, pg, page_size(pg));
        page_at(bad, 0)[at] ^= (uint8_t)(1 + rng_below(&r, 255));
        if (page_verify(page_at(bad, 0), page_size(pg)))
            read_all(bad);
        else
            refused++;
    }
    assert_true(refused > 1000);
    assert_false(page_verify(page_at(pg, 0), 512));
    nq_free(pg);
    nq_free(bad);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(branchless_search_equals_a_linear_one),
        cmocka_unit_test(a_foreign_key_shortens_the_prefix),
        cmocka_unit_test(a_long_prefix_stands_among_the_records),
        cmocka_unit_test(a_full_page_refuses_and_stays_as_it_was),
        cmocka_unit_test(garbage_is_collected_when_room_is_needed),
        cmocka_unit_test(a_value_may_come_from_the_page_itself),
        cmocka_unit_test(the_largest_page_uses_all_its_offsets),
        cmocka_unit_test(expiries_and_owners_are_noted),
        cmocka_unit_test(
            a_tidy_copy_has_the_records_and_zeros_where_nothing_is),
        cmocka_unit_test(damage_is_refused_or_harmless),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
