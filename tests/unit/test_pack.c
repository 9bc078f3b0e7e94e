/* The choice of codecs: whatever is chosen gives back what it got, is never
 * larger than the plain one, and is told by its number. */
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
#include "codec/block.h"
#include "codec/detect.h"
#include "codec/pack.h"
#include "codec/pieces.h"

#define LEN 65536

static const struct pack_opts usual = {
    .enabled = true,
    .competes = true,
    .dictionaries = true,
    .level = 6,
    .chunk = 16384,
};

static void
fill_random(struct rng *rng, uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)rng_next(rng);
}

static void
fill_bases(struct rng *rng, uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)("ACGT"[rng_below(rng, 4)]);
}

static void
fill_text(struct rng *rng, uint8_t *p, size_t n)
{
    static const char *const words[] = {"the ",  "name ", "of ",   "user",
                                        "\":\"", "id\":", "{\"a ", "state "};
    size_t at = 0;

    while (at < n) {
        const char *w = words[rng_below(rng, nq_countof(words))];
        size_t len = nq_min(strlen(w), n - at);

        memcpy(p + at, w, len);
        at += len;
    }
}

static void
fill_numbers(struct rng *rng, uint8_t *p, size_t n)
{
    uint64_t v = 1000000;
    size_t at = 0;

    while (at < n) {
        char line[32];
        int len = snprintf(line, sizeof line, "%llu\n",
                           (unsigned long long)(v += rng_below(rng, 100)));
        size_t some = nq_min((size_t)len, n - at);

        memcpy(p + at, line, some);
        at += some;
    }
}

static size_t
plain(const uint8_t *src, size_t len, uint8_t *dst)
{
    const struct block_effort effort = {.level = 6};
    size_t n = block_encode(BLOCK_ZSTD, &effort, dst, len - 1, src, len);

    return n == 0 ? len : n;
}

/* Packs and unpacks; returns the codec, and how many bytes in *n. */
static uint8_t
round_trip(const struct pack_opts *o, const struct dicts *dicts,
           const struct dict *dict, const uint8_t *src, size_t len, size_t *n)
{
    uint8_t *dst = nq_malloc(len), *back = nq_malloc(len), codec = 77;

    *n = pack_block(o, dict, src, len, dst, len, &codec);
    if (*n == 0) {
        codec = BLOCK_RAW;
        *n = len;
        memcpy(dst, src, len);
    } else {
        assert_true(*n < len);
    }
    assert_int_equal(unpack_block(codec, dicts, back, len, dst, *n), NQ_OK);
    assert_memory_equal(back, src, len);
    nq_free(dst);
    nq_free(back);
    return codec;
}

static void
every_kind_of_data_comes_back_and_is_no_larger_than_plain(void **state)
{
    static void (*const fills[])(struct rng *, uint8_t *, size_t) = {
        fill_random, fill_bases, fill_text, fill_numbers};
    static const size_t lens[] = {1,    2,    100,   1024,  4096,
                                  8192, 8193, 16384, 40000, LEN};
    static uint8_t src[LEN], dst[LEN];
    struct rng rng;

    (void)state;
    rng_seed(&rng, 7);
    for (unsigned f = 0; f < nq_countof(fills); f++) {
        for (unsigned l = 0; l < nq_countof(lens); l++) {
            struct pack_opts o = usual;
            size_t n;

            fills[f](&rng, src, lens[l]);
            for (unsigned level = 0; level <= 9; level += 3) {
                o.level = (uint8_t)level;
                o.competes = level != 3;
                (void)round_trip(&o, NULL, NULL, src, lens[l], &n);
            }
            (void)round_trip(&usual, NULL, NULL, src, lens[l], &n);
            assert_true(n <= plain(src, lens[l], dst));
        }
    }
}

static void
kinds_are_told_apart(void **state)
{
    static uint8_t src[LEN];
    struct rng rng;

    (void)state;
    rng_seed(&rng, 7);
    fill_random(&rng, src, LEN);
    assert_int_equal(detect_class(src, LEN), DATA_DENSE);
    assert_int_equal(detect_class(src, 8192), DATA_DENSE);
    memcpy(src + LEN / 2, src, 4096); /* once more: that can be packed */
    assert_int_not_equal(detect_class(src, LEN), DATA_DENSE);
    fill_bases(&rng, src, LEN);
    assert_int_equal(detect_class(src, LEN), DATA_BASES);
    fill_text(&rng, src, LEN);
    assert_int_equal(detect_class(src, LEN), DATA_TEXT);
    fill_numbers(&rng, src, LEN);
    assert_int_equal(detect_class(src, LEN), DATA_NUMBERS);
    for (uint64_t i = 0; i < LEN / 8; i++) {
        uint64_t v = 1700000000 + i * 1000 + rng_below(&rng, 900);

        memcpy(src + i * 8, &v, sizeof v);
    }
    assert_int_equal(detect_class(src, LEN), DATA_NUMBERS);
    for (uint32_t i = 0; i < LEN / 4; i++)
        memcpy(src + i * 4, &i, sizeof i);
    assert_int_equal(detect_class(src, LEN), DATA_NUMBERS);
    memset(src, 0, LEN);
    assert_int_equal(detect_class(src, LEN), DATA_BINARY);
    assert_int_equal(detect_class(src, 0), DATA_BINARY);
    assert_string_equal(detect_class_name(DATA_TEXT), "text");
}

static void
random_bytes_are_stored_raw(void **state)
{
    static uint8_t src[LEN];
    struct rng rng;
    size_t n;

    (void)state;
    rng_seed(&rng, 7);
    fill_random(&rng, src, LEN);
    assert_int_equal(round_trip(&usual, NULL, NULL, src, LEN, &n), BLOCK_RAW);
}

static void
what_is_off_or_too_small_is_stored_raw(void **state)
{
    static uint8_t src[LEN];
    struct pack_opts o = usual;
    struct rng rng;
    size_t n;

    (void)state;
    rng_seed(&rng, 7);
    fill_text(&rng, src, LEN);
    o.min_size = 1000;
    assert_int_equal(round_trip(&o, NULL, NULL, src, 999, &n), BLOCK_RAW);
    assert_int_equal(round_trip(&o, NULL, NULL, src, 1000, &n), BLOCK_ZSTD);
    o.enabled = false;
    assert_int_equal(round_trip(&o, NULL, NULL, src, LEN, &n), BLOCK_RAW);
}

static void
mixed_blocks_are_packed_in_pieces(void **state)
{
    static uint8_t src[LEN], dst[LEN];
    struct pack_opts o = usual;
    struct pack_stats stats = {0};
    struct rng rng;
    size_t n;

    (void)state;
    rng_seed(&rng, 7);
    o.stats = &stats;
    fill_random(&rng, src, LEN / 2);
    fill_bases(&rng, src + LEN / 2, LEN / 2);
    (void)round_trip(&o, NULL, NULL, src, LEN, &n);
    assert_true(n <= plain(src, LEN, dst));
    assert_int_equal(stats.tried[BLOCK_PIECES], 1);
    o.competes = false;
    (void)round_trip(&o, NULL, NULL, src, LEN, &n);
    assert_int_equal(stats.tried[BLOCK_PIECES], 1);
    assert_int_equal(
        stats.class[DATA_BASES].blocks + stats.class[DATA_BINARY].blocks +
            stats.class[DATA_TEXT].blocks + stats.class[DATA_DENSE].blocks,
        2);
}

/* Keeps every other piece raw. */
static size_t
pack_some(void *arg, const void *src, size_t len, void *dst, size_t cap,
          uint8_t *codec)
{
    const struct block_effort effort = {.level = 1};
    unsigned *calls = arg;

    *codec = BLOCK_ZSTD;
    return ++*calls % 2 == 0
               ? 0
               : block_encode(BLOCK_ZSTD, &effort, dst, cap, src, len);
}

static void
damaged_pieces_harm_nobody(void **state)
{
    static uint8_t src[LEN];
    uint8_t *dst = nq_malloc(LEN), *back = nq_malloc(LEN);
    unsigned calls = 0;
    struct rng rng;
    size_t n;

    (void)state;
    rng_seed(&rng, 7);
    fill_text(&rng, src, LEN);
    n = pieces_encode(10000, pack_some, &calls, dst, LEN, src, LEN);
    assert_in_range(n, 1, LEN - 1);
    assert_int_equal(calls, 8);
    assert_int_equal(pieces_decode(back, LEN, dst, n), NQ_OK);
    assert_memory_equal(back, src, LEN);
    assert_int_equal(pieces_decode(back, LEN - 1, dst, n), NQ_ECORRUPT);
    assert_int_equal(pieces_decode(back, LEN, dst, n - 1), NQ_ECORRUPT);
    assert_int_equal(pieces_decode(back, LEN, dst, 0), NQ_ECORRUPT);
    for (size_t cap = 0; cap < n; cap += 97)
        assert_int_equal(
            pieces_encode(10000, pack_some, &calls, back, cap, src, LEN), 0);
    for (unsigned i = 0; i < 500; i++) {
        uint8_t *bad = nq_memdup(dst, n);

        bad[i < 16 ? i : rng_below(&rng, n)] ^=
            (uint8_t)(1 + rng_below(&rng, 255));
        (void)!pieces_decode(back, LEN, bad, n - rng_below(&rng, 2));
        nq_free(bad);
    }
    nq_free(dst);
    nq_free(back);
}

static void
levels_follow_the_kind_of_data(void **state)
{
    struct pack_opts o = usual;

    (void)state;
    assert_int_equal(pack_level(&o, DATA_TEXT), 6);
    o.text_level = 9;
    o.integer_level = 1;
    o.blob_level = 2;
    assert_int_equal(pack_level(&o, DATA_TEXT), 9);
    assert_int_equal(pack_level(&o, DATA_NUMBERS), 1);
    assert_int_equal(pack_level(&o, DATA_BINARY), 2);
    assert_int_equal(pack_level(&o, DATA_BASES), 6);
}

static void
unknown_codecs_and_missing_dictionaries_are_refused(void **state)
{
    struct dicts *dicts = dicts_new();
    uint8_t byte = 0;

    (void)state;
    assert_int_equal(unpack_block(9, dicts, &byte, 1, &byte, 1), NQ_EFORMAT);
    assert_int_equal(unpack_block(16, dicts, &byte, 1, &byte, 1), NQ_EFORMAT);
    assert_int_equal(unpack_block(17, dicts, &byte, 1, &byte, 1), NQ_EFORMAT);
    assert_int_equal(unpack_block(255, NULL, &byte, 1, &byte, 1), NQ_EFORMAT);
    assert_string_equal(pack_codec_name(9), "unknown");
    assert_string_equal(pack_codec_name(BLOCK_DICT0 + 5), "dict");
    dicts_delete(dicts);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            every_kind_of_data_comes_back_and_is_no_larger_than_plain),
        cmocka_unit_test(kinds_are_told_apart),
        cmocka_unit_test(random_bytes_are_stored_raw),
        cmocka_unit_test(what_is_off_or_too_small_is_stored_raw),
        cmocka_unit_test(mixed_blocks_are_packed_in_pieces),
        cmocka_unit_test(damaged_pieces_harm_nobody),
        cmocka_unit_test(levels_follow_the_kind_of_data),
        cmocka_unit_test(unknown_codecs_and_missing_dictionaries_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
