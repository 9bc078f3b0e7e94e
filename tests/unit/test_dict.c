/* Dictionaries: what they save, and how the registry hands them out. */
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
#include "codec/dict_train.h"
#include "codec/pack.h"

#define VALUE 1024u
#define VALUES 400u

static uint8_t values[VALUES * VALUE];
static size_t lens[VALUES];

/* Records as programs write them: many names, few of them in one record. */
static void
fill_values(uint64_t seed)
{
    struct rng rng;

    rng_seed(&rng, seed);
    for (unsigned i = 0; i < VALUES; i++) {
        char *p = (char *)values + (size_t)i * VALUE;
        size_t at = 0;

        while (at < VALUE) {
            char word[64];
            unsigned w = (unsigned)rng_below(&rng, 60);
            int n = snprintf(word, sizeof word, "\"field_%u_of_kind_%u\":%u,",
                             w * 7919 % 1000, w * 104729 % 1000,
                             (unsigned)rng_below(&rng, 100));
            size_t some = nq_min((size_t)n, VALUE - at);

            memcpy(p + at, word, some);
            at += some;
        }
        lens[i] = VALUE;
    }
}

static struct dict_trained
train(const struct dict *old)
{
    struct slice blocks[VALUES / 4];
    struct dict_corpus c = {
        .samples = values,
        .lens = lens,
        .count = VALUES * 3 / 4,
        .blocks = blocks,
        .blocks_count = VALUES / 4,
        .stand_for = 10000,
        .level = 6,
        .max_bytes = 16384,
        .old = old,
    };
    struct dict_trained out;

    for (unsigned i = 0; i < VALUES / 4; i++)
        blocks[i] =
            slice_of(values + (size_t)(VALUES * 3 / 4 + i) * VALUE, VALUE);
    dict_train(&c, &out);
    return out;
}

static const struct dict *
enter(struct dicts *d, unsigned slot, const char *prefix,
      const struct dict_trained *t)
{
    struct dict_info info = {.slot = slot,
                             .version = 1,
                             .prefix = slice_str(prefix),
                             .bytes = slice_of(t->bytes, t->len)};

    assert_int_equal(dicts_put(d, &info), NQ_OK);
    return dicts_get(d, slot);
}

static void
small_values_take_six_tenths_and_less(void **state)
{
    struct dicts *d = dicts_new();
    struct pack_opts o = PACK_OPTS_USUAL;
    struct dict_trained t;
    const struct dict *dict;
    uint64_t sum = 0;

    (void)state;
    fill_values(3);
    t = train(NULL);
    assert_non_null(t.bytes);
    assert_in_range(t.len, DICT_BYTES_MIN, 16384);
    assert_int_equal(t.raw, VALUES / 4 * VALUE);
    assert_true(t.after * 10 <= t.before * 6);
    dict = enter(d, 7, "user:", &t);
    for (unsigned i = VALUES * 3 / 4; i < VALUES; i++) {
        uint8_t dst[VALUE], back[VALUE], codec = 0;
        const uint8_t *src = values + (size_t)i * VALUE;
        size_t n = pack_block(&o, dict, src, VALUE, dst, VALUE, &codec);

        assert_int_equal(codec, BLOCK_DICT0 + 7);
        assert_int_equal(unpack_block(codec, d, back, VALUE, dst, n), NQ_OK);
        assert_memory_equal(back, src, VALUE);
        assert_int_not_equal(unpack_block(BLOCK_ZSTD, d, back, VALUE, dst, n),
                             NQ_OK);
        sum += n;
    }
    assert_int_equal(sum, t.after);
    nq_free(t.bytes);
    dicts_delete(d);
}

static void
a_dictionary_is_judged_against_the_one_in_use(void **state)
{
    struct dicts *d = dicts_new();
    struct dict_trained first, again;

    (void)state;
    fill_values(3);
    first = train(NULL);
    again = train(enter(d, 1, "user:", &first));
    assert_int_equal(again.before, first.after);
    nq_free(first.bytes);
    nq_free(again.bytes);
    dicts_delete(d);
}

static void
random_samples_make_no_useful_dictionary(void **state)
{
    struct dict_trained t;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 5);
    for (size_t i = 0; i < sizeof values; i++)
        values[i] = (uint8_t)rng_next(&rng);
    t = train(NULL);
    assert_true(t.bytes == NULL || t.after * 20 > t.before * 19);
    nq_free(t.bytes);
}

static void
the_one_in_use_is_picked_by_its_prefix(void **state)
{
    struct dicts *d = dicts_new();
    struct dict_trained t;
    const struct dict *dict;
    struct dict_info info;

    (void)state;
    fill_values(3);
    t = train(NULL);
    assert_null(dicts_pick(d, slice_lit("user:")));
    assert_null(dicts_pick(NULL, slice_lit("user:")));
    dict = enter(d, DICT_SLOTS, "user:", &t);
    (void)enter(d, 1, "", &t);
    assert_null(dicts_pick(d, slice_lit("user:")));
    dicts_use(d, DICT_SLOTS, true);
    assert_ptr_equal(dicts_pick(d, slice_lit("user:")), dict);
    assert_null(dicts_pick(d, slice_lit("user")));
    assert_null(dicts_pick(d, slice_lit("")));
    dict_get_info(dict, &info);
    assert_int_equal(info.slot, DICT_SLOTS);
    assert_true(info.is_used && slice_is(info.prefix, "user:"));
    assert_true(dict_memory(dict) > info.bytes.len);
    dicts_remove(d, DICT_SLOTS);
    assert_null(dicts_get(d, DICT_SLOTS));
    assert_null(dicts_get(d, 0));
    assert_null(dicts_get(d, DICT_SLOTS + 1));
    nq_free(t.bytes);
    dicts_delete(d);
}

static void
what_is_no_dictionary_is_refused(void **state)
{
    static uint8_t bytes[4096];
    struct dicts *d = dicts_new();
    struct dict_info info = {.slot = 1, .bytes = {bytes, sizeof bytes}};

    (void)state;
    assert_int_equal(dicts_put(d, &info), NQ_ECORRUPT);
    info.bytes.len = 8;
    assert_int_equal(dicts_put(d, &info), NQ_ECORRUPT);
    assert_null(dicts_get(d, 1));
    dicts_delete(d);
}

static void
prefixes_end_at_the_first_separator(void **state)
{
    static const struct {
        const char *key, *prefix;
    } rows[] = {
        {"user:1:name", "user:"},
        {"a/b:c", "a/"},
        {"plain", ""},
        {"", ""},
        {":x", ":"},
        {"x#1", "x#"},
        {"a|b", "a|"},
    };
    char key[200];

    (void)state;
    for (unsigned i = 0; i < nq_countof(rows); i++)
        assert_true(slice_eq(dict_prefix_of(slice_str(rows[i].key)),
                             slice_str(rows[i].prefix)));
    memset(key, 'a', sizeof key);
    key[DICT_PREFIX_MAX - 1] = ':';
    assert_int_equal(dict_prefix_of(slice_of(key, sizeof key)).len,
                     DICT_PREFIX_MAX);
    key[DICT_PREFIX_MAX - 1] = 'a';
    key[DICT_PREFIX_MAX] = ':';
    assert_int_equal(dict_prefix_of(slice_of(key, sizeof key)).len, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_values_take_six_tenths_and_less),
        cmocka_unit_test(a_dictionary_is_judged_against_the_one_in_use),
        cmocka_unit_test(random_samples_make_no_useful_dictionary),
        cmocka_unit_test(the_one_in_use_is_picked_by_its_prefix),
        cmocka_unit_test(what_is_no_dictionary_is_refused),
        cmocka_unit_test(prefixes_end_at_the_first_separator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
