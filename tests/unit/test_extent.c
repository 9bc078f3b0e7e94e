/* Pages on disk: every flipped bit, every swapped extent is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "codec/block.h"
#include "store/extent.h"
#include "store/frames.h"

#define PAGE 4096u

struct sample {
    uint8_t page[PAGE];
    uint8_t bytes[PAGE + 1024];
    struct extent x;
    struct entry e;
};

static const struct extent_env plain;

static void
encode(struct sample *s, pgno id, uint32_t generation, uint8_t codec,
       unsigned seed)
{
    struct extent_style style = {.pack.enabled = codec != BLOCK_RAW};

    for (unsigned i = 0; i < PAGE; i++)
        s->page[i] = (uint8_t)(i < 200 ? i * seed : seed);
    memset(s->bytes, 0, sizeof s->bytes);
    s->x = (struct extent){
        .id = id, .generation = generation, .kind = PAGE_LEAF, .lsn = 1234567};
    assert_int_equal(extent_encode(&s->x, slice_of(s->page, PAGE), &plain,
                                   &style, s->bytes, sizeof s->bytes),
                     NQ_OK);
    s->e = extent_entry(&s->x, 512 * 99);
}

static nq_rc
decode(const struct sample *s, pgno id, struct entry e, uint8_t *page)
{
    struct extent_fault why;
    struct extent x;
    struct slice bytes = slice_of(s->bytes, entry_len(e));
    nq_rc rc = extent_verify(bytes, id, e, &x, &why);

    return rc != NQ_OK ? rc : extent_decode(bytes, &x, &plain, page, &why);
}

static void
pages_come_back_whatever_the_codec(void **state)
{
    struct sample s;
    uint8_t page[PAGE];

    (void)state;
    for (uint8_t codec = BLOCK_RAW; codec <= BLOCK_ZSTD; codec++) {
        encode(&s, 7, 3, codec, 17);
        assert_int_equal(s.x.codec, codec);
        assert_int_equal(decode(&s, 7, s.e, page), NQ_OK);
        assert_memory_equal(page, s.page, PAGE);
        assert_true(entry_off(s.e) == 512 * 99);
        assert_true(codec == BLOCK_RAW ? s.x.len > PAGE : s.x.len < PAGE / 2);
    }
}

static void
each_flipped_bit_is_found(void **state)
{
    struct sample s;
    uint8_t page[PAGE];

    (void)state;
    encode(&s, 7, 3, BLOCK_ZSTD, 17);
    for (unsigned bit = 0; bit < s.x.len * 8; bit++) {
        s.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(decode(&s, 7, s.e, page), NQ_ECORRUPT);
        s.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(decode(&s, 7, s.e, page), NQ_OK);
}

/* Misdirected and lost writes leave extents that are good in themselves. */
static void
extents_of_other_pages_and_generations_are_refused(void **state)
{
    struct sample s, other, older;
    uint8_t page[PAGE];

    (void)state;
    encode(&s, 7, 3, BLOCK_RAW, 17);
    encode(&other, 8, 3, BLOCK_RAW, 17);
    encode(&older, 7, 2, BLOCK_RAW, 17);
    assert_int_equal(decode(&other, 7, s.e, page), NQ_ECORRUPT);
    assert_int_equal(decode(&older, 7, s.e, page), NQ_ECORRUPT);
    assert_int_equal(decode(&s, 8, s.e, page), NQ_ECORRUPT);
    assert_int_equal(decode(&other, 8, other.e, page), NQ_OK);
}

static void
each_flipped_bit_of_the_table_entry_is_found(void **state)
{
    struct sample s;
    uint8_t page[PAGE], *e = (uint8_t *)&s.e;

    (void)state;
    encode(&s, 7, 3, BLOCK_ZSTD, 17);
    for (unsigned bit = 48; bit < sizeof s.e * 8; bit++) { /* 48: location */
        e[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (entry_len(s.e) <= sizeof s.bytes)
            assert_int_equal(decode(&s, 7, s.e, page), NQ_ECORRUPT);
        e[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* Each sector in turn, rebuilt from its parity; then two, which cannot be. */
static void
a_damaged_sector_is_rebuilt_from_parity(void **state)
{
    struct extent_style style = {.parity = true};
    uint8_t page[PAGE], *last;
    struct sample s;

    (void)state;
    encode(&s, 7, 3, BLOCK_RAW, 17);
    assert_int_equal(extent_encode(&s.x, slice_of(s.page, PAGE), &plain, &style,
                                   s.bytes, sizeof s.bytes),
                     NQ_OK);
    s.e = extent_entry(&s.x, 512 * 99);
    assert_true(entry_has_parity(s.e) && entry_off(s.e) == 512 * 99);
    assert_int_equal(entry_space(s.e), 10 * 512);
    assert_int_equal(extent_space(&s.x), 10 * 512);
    for (unsigned i = 0; i < 9; i++) {
        memset(s.bytes + i * 512u, 0x5a, i % 2 == 0 ? 512 : 40);
        assert_int_equal(decode(&s, 7, s.e, page), NQ_ECORRUPT);
        assert_int_equal(extent_repair(s.bytes, 7, s.e), 1);
        assert_int_equal(decode(&s, 7, s.e, page), NQ_OK);
        assert_memory_equal(page, s.page, PAGE);
    }
    last = s.bytes + 8 * 512;
    memset(s.bytes, 0, 512);
    memset(last, 0x33, 40);
    assert_int_equal(extent_repair(s.bytes, 7, s.e), 0);
    assert_int_equal(decode(&s, 7, s.e, page), NQ_ECORRUPT);
}

static void
bytes_that_do_not_shrink_are_stored_raw(void **state)
{
    struct extent_style style = {.pack.enabled = true};
    struct sample s;
    uint8_t page[PAGE];
    uint32_t v = 1;

    (void)state;
    for (unsigned i = 0; i < PAGE; i++) {
        v = v * 1664525 + 1013904223;
        s.page[i] = (uint8_t)(v >> 24);
    }
    s.x = (struct extent){.id = 1, .generation = 1, .kind = PAGE_LEAF};
    assert_int_equal(extent_encode(&s.x, slice_of(s.page, PAGE), &plain, &style,
                                   s.bytes, sizeof s.bytes),
                     NQ_OK);
    s.e = extent_entry(&s.x, 512);
    assert_int_equal(s.x.codec, BLOCK_RAW);
    assert_int_equal(s.x.len, EXTENT_HEADER + PAGE);
    assert_int_equal(decode(&s, 1, s.e, page), NQ_OK);
    assert_memory_equal(page, s.page, PAGE);
}

static void
extent_in_two_parts_is_judged_as_in_one(void **state)
{
    struct extent_fault why;
    struct sample s;
    struct extent x;

    (void)state;
    encode(&s, 7, 3, BLOCK_RAW, 17);
    for (size_t rest = 0; rest <= PAGE; rest += PAGE / 4) {
        nq_rc rc = extent_verify_parts(slice_of(s.bytes, EXTENT_HEADER),
                                       slice_of(s.bytes + EXTENT_HEADER, rest),
                                       7, s.e, &x, &why);

        assert_int_equal(rc, rest == PAGE ? NQ_OK : NQ_ECORRUPT);
    }
    s.bytes[EXTENT_HEADER + 5]++;
    assert_int_equal(
        extent_verify_parts(slice_of(s.bytes, EXTENT_HEADER),
                            slice_of(s.bytes + EXTENT_HEADER, PAGE), 7, s.e, &x,
                            &why),
        NQ_ECORRUPT);
    assert_string_equal(why.what, "checksum computed");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_come_back_whatever_the_codec),
        cmocka_unit_test(each_flipped_bit_is_found),
        cmocka_unit_test(extents_of_other_pages_and_generations_are_refused),
        cmocka_unit_test(each_flipped_bit_of_the_table_entry_is_found),
        cmocka_unit_test(a_damaged_sector_is_rebuilt_from_parity),
        cmocka_unit_test(bytes_that_do_not_shrink_are_stored_raw),
        cmocka_unit_test(extent_in_two_parts_is_judged_as_in_one),
    };

    return cmocka_run_group_tests_name("extent", tests, NULL, NULL);
}
