/* Codecs of blocks: every one gives back what it got, and trusts nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "codec/block.h"

#define LEN 8192

static const struct block_effort effort = {.level = 6};

/* Compressible, with a random part of `noise` in 256 bytes. */
static void
fill(struct rng *rng, uint8_t *p, size_t n, unsigned noise)
{
    for (size_t i = 0; i < n; i++)
        p[i] = rng_below(rng, 256) < noise ? (uint8_t)rng_next(rng)
                                           : (uint8_t)("key:0000"[i % 8]);
}

static void
every_codec_gives_back_what_it_got(void **state)
{
    static uint8_t src[LEN], dst[LEN + 1024], back[LEN];
    struct rng rng;

    (void)state;
    rng_seed(&rng, 3);
    for (unsigned c = 0; c < BLOCK_CODECS; c++) {
        for (size_t len = 0; len <= LEN; len += len < 20 ? 1 : 509) {
            size_t n;

            fill(&rng, src, len, (unsigned)rng_below(&rng, 257));
            n = block_encode(c, &effort, dst, sizeof dst, src, len);
            if (n == 0) /* refused: this is not for that codec */
                continue;
            memset(back, 0xaa, sizeof back);
            assert_int_equal(block_decode(c, back, len, dst, n), NQ_OK);
            assert_memory_equal(back, src, len);
        }
    }
}

static void
what_does_not_fit_is_refused(void **state)
{
    static uint8_t src[LEN], dst[LEN];
    struct rng rng;

    (void)state;
    rng_seed(&rng, 5);
    fill(&rng, src, LEN, 256);
    for (unsigned c = 0; c < BLOCK_CODECS; c++)
        assert_int_equal(block_encode(c, &effort, dst, LEN - 64, src, LEN), 0);
}

static void
zstd_shrinks_records(void **state)
{
    static uint8_t src[LEN], dst[LEN];
    struct rng rng;

    (void)state;
    rng_seed(&rng, 5);
    fill(&rng, src, LEN, 16);
    assert_in_range(block_encode(BLOCK_ZSTD, &effort, dst, LEN, src, LEN), 1,
                    LEN / 2);
}

static void
a_wrong_length_is_damage(void **state)
{
    static uint8_t src[LEN], dst[LEN + 1024], back[LEN + 1];
    struct rng rng;

    (void)state;
    rng_seed(&rng, 9);
    fill(&rng, src, LEN, 64);
    for (unsigned c = 0; c < BLOCK_CODECS; c++) {
        size_t n = block_encode(c, &effort, dst, sizeof dst, src, LEN);

        if (n == 0)
            continue;
        assert_int_equal(block_decode(c, back, LEN - 1, dst, n), NQ_ECORRUPT);
        assert_int_equal(block_decode(c, back, LEN + 1, dst, n), NQ_ECORRUPT);
        assert_int_equal(block_decode(c, back, LEN, dst, n - 1), NQ_ECORRUPT);
    }
}

/* Exact allocations, so that asan sees a byte read or written too far. */
static void
damaged_input_harms_nobody(void **state)
{
    static uint8_t src[LEN], dst[LEN + 1024];
    uint8_t *back = nq_malloc(LEN);
    struct rng rng;

    (void)state;
    rng_seed(&rng, 13);
    fill(&rng, src, LEN, 64);
    for (unsigned c = BLOCK_ZSTD; c < BLOCK_CODECS; c++) {
        for (int round = 0; round < 300; round++) {
            size_t n = block_encode(c, &effort, dst, sizeof dst, src, LEN);
            uint8_t *copy;

            if (n == 0)
                n = 1 + rng_below(&rng, LEN);
            n -= rng_below(&rng, 3);
            n += n == 0;
            copy = nq_memdup(dst, n);
            for (int flips = 0; flips < 3; flips++)
                copy[rng_below(&rng, n)] ^= (uint8_t)(1 + rng_below(&rng, 255));
            (void)!block_decode(c, back, LEN, copy, n);
            nq_free(copy);
        }
    }
    nq_free(back);
}

static void
names_are_found_and_unknown_codecs_refused(void **state)
{
    enum block_codec c;
    uint8_t byte = 0;

    (void)state;
    assert_true(block_codec_find(slice_lit("zstd"), &c));
    assert_int_equal(c, BLOCK_ZSTD);
    assert_true(block_codec_find(slice_lit("raw"), &c));
    assert_int_equal(c, BLOCK_RAW);
    assert_false(block_codec_find(slice_lit("lzma"), &c));
    assert_string_equal(block_codec_name(BLOCK_ZSTD), "zstd");
    assert_string_equal(block_codec_name(BLOCK_PIECES), "pieces");
    assert_null(block_codec_name(BLOCK_CODECS));
    assert_int_equal(block_decode(BLOCK_CODECS, &byte, 1, &byte, 1),
                     NQ_EFORMAT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_codec_gives_back_what_it_got),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(zstd_shrinks_records),
        cmocka_unit_test(a_wrong_length_is_damage),
        cmocka_unit_test(damaged_input_harms_nobody),
        cmocka_unit_test(names_are_found_and_unknown_codecs_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
