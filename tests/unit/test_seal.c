/* Sealing bytes: what is known of AES-256-GCM, and what must never pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/log.h"
#include "codec/seal.h"
#include "os/thread.h"

static const uint8_t zeros[64];
static const struct slice nothing;

/* Test cases 13 and 14 of the GCM specification. */
static void
what_is_sealed_is_aes_256_gcm(void **state)
{
    static const uint8_t tag_13[] = {0x53, 0x0f, 0x8a, 0xfb, 0xc7, 0x45,
                                     0x36, 0xb9, 0xa9, 0x63, 0xb4, 0xf1,
                                     0xc4, 0xcb, 0x73, 0x8b};
    static const uint8_t sealed_14[] = {0xce, 0xa7, 0x40, 0x3d, 0x4d, 0x60,
                                        0x6b, 0x6e, 0x07, 0x4e, 0xc5, 0xd3,
                                        0xba, 0xf3, 0x9d, 0x18};
    static const uint8_t tag_14[] = {0xd0, 0xd1, 0xc8, 0xa7, 0x99, 0x99,
                                     0x6b, 0xf0, 0x26, 0x5b, 0x98, 0xb5,
                                     0xd4, 0x8a, 0xb9, 0x19};
    struct seal_key *k = seal_key_new(zeros);
    uint8_t bytes[16] = {0}, tag[SEAL_TAG];

    (void)state;
    assert_int_equal(seal_bytes(k, zeros, nothing, NULL, 0, tag), NQ_OK);
    assert_memory_equal(tag, tag_13, sizeof tag);
    assert_int_equal(seal_bytes(k, zeros, nothing, bytes, 16, tag), NQ_OK);
    assert_memory_equal(bytes, sealed_14, sizeof bytes);
    assert_memory_equal(tag, tag_14, sizeof tag);
    seal_key_delete(k);
}

static void
each_changed_bit_is_found_and_nothing_comes_out(void **state)
{
    struct seal_key *k = seal_key_new(zeros);
    uint8_t all[SEAL_NONCE + 8 + 40 + SEAL_TAG], plain[40], out[40];
    uint8_t *about = all + SEAL_NONCE, *sealed = about + 8, *tag = sealed + 40;

    (void)state;
    memset(all, 7, sizeof all);
    memset(plain, 9, sizeof plain);
    memcpy(sealed, plain, sizeof plain);
    assert_int_equal(
        seal_bytes(k, all, slice_of(about, 8), sealed, sizeof plain, tag),
        NQ_OK);
    for (size_t bit = 0; bit < 8 * sizeof all; bit++) {
        all[bit / 8] ^= (uint8_t)(1u << bit % 8);
        memset(out, 1, sizeof out);
        assert_int_equal(unseal_bytes(k, all, slice_of(about, 8), out, sealed,
                                      sizeof out, tag),
                         NQ_ECORRUPT);
        assert_memory_equal(out, zeros, sizeof out);
        all[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(unseal_bytes(k, all, slice_of(about, 8), sealed, sealed,
                                  sizeof out, tag),
                     NQ_OK);
    assert_memory_equal(sealed, plain, sizeof plain);
    seal_key_delete(k);
}

static void
another_key_opens_nothing(void **state)
{
    uint8_t other[SEAL_KEY] = {1}, bytes[100] = {0}, tag[SEAL_TAG];
    struct seal_key *a = seal_key_new(zeros), *b = seal_key_new(other);

    (void)state;
    assert_int_equal(seal_bytes(a, zeros, nothing, bytes, sizeof bytes, tag),
                     NQ_OK);
    assert_int_equal(
        unseal_bytes(b, zeros, nothing, bytes, bytes, sizeof bytes, tag),
        NQ_ECORRUPT);
    seal_key_delete(a);
    seal_key_delete(b);
    seal_key_delete(NULL);
}

/* --- keys as people write them -------------------------------------------- */

static bool
parses(const char *text, uint8_t first)
{
    uint8_t key[SEAL_KEY];

    return seal_key_parse(slice_str(text), key) && key[0] == first &&
           key[31] == (uint8_t)(first + 31);
}

static void
keys_are_read_in_three_forms(void **state)
{
    static const char hex[] =
        "0102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F20";
    static const char base64[] = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
    char text[100];

    (void)state;
    assert_true(parses(hex, 1));
    assert_true(parses(base64, 1));
    snprintf(text, sizeof text, " \t%s\r\n", hex);
    assert_true(parses(text, 1));
    snprintf(text, sizeof text, "%s\n", base64);
    assert_true(parses(text, 1));
    snprintf(text, sizeof text, "%.43s", base64);
    assert_true(parses(text, 1));
    assert_true(parses("ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`", 'A'));
}

static void
what_is_no_key_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "\n",
        "secret",
        "0102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F2",
        "0102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F200",
        "0102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F2g",
        "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyB=",
        "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHy==",
        "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcY GRobHB0eHyA",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`\n",
    };
    uint8_t key[SEAL_KEY];

    (void)state;
    for (size_t i = 0; i < nq_countof(bad); i++)
        assert_false(seal_key_parse(slice_str(bad[i]), key));
}

/* --- many threads --------------------------------------------------------- */

#define THREADS 12u /* more than a key keeps contexts */

struct worker {
    struct seal_key *key;
    struct thread *thread;
    uint8_t number;
    unsigned failures;
};

static void
work(void *arg)
{
    struct worker *w = arg;

    for (unsigned i = 0; i < 300; i++) {
        uint8_t nonce[SEAL_NONCE] = {w->number, (uint8_t)i, (uint8_t)(i >> 8)};
        uint8_t bytes[500], tag[SEAL_TAG];
        struct slice about = slice_of(&w->number, 1);

        memset(bytes, w->number, sizeof bytes);
        if (seal_bytes(w->key, nonce, about, bytes, sizeof bytes, tag) !=
                NQ_OK ||
            unseal_bytes(w->key, nonce, about, bytes, bytes, sizeof bytes,
                         tag) != NQ_OK)
            w->failures++;
        for (unsigned k = 0; k < sizeof bytes; k++)
            w->failures += bytes[k] != w->number;
    }
}

static void
threads_share_a_key(void **state)
{
    struct seal_key *k = seal_key_new(zeros);
    struct worker workers[THREADS];

    (void)state;
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.key = k, .number = (uint8_t)i};
        assert_int_equal(
            thread_start("seal", work, &workers[i], &workers[i].thread), NQ_OK);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        thread_join(workers[i].thread);
        assert_int_equal(workers[i].failures, 0);
    }
    seal_key_delete(k);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sealed_is_aes_256_gcm),
        cmocka_unit_test(each_changed_bit_is_found_and_nothing_comes_out),
        cmocka_unit_test(another_key_opens_nothing),
        cmocka_unit_test(keys_are_read_in_three_forms),
        cmocka_unit_test(what_is_no_key_is_refused),
        cmocka_unit_test(threads_share_a_key),
    };

    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
