/* CRC-32C: known answers, and the hardware variant equal to the tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "codec/crc32c.h"
#include "codec/crc32c_int.h"

static void
known_answers_hold(void **state)
{
    uint8_t block[32] = {0};

    (void)state;
    /* The catalogue's check value, and RFC 3720, appendix B.4. */
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(0, block, 32), 0x8a9136aa);
    memset(block, 0xff, 32);
    assert_int_equal(crc32c(0, block, 32), 0x62a8ab43);
    for (unsigned i = 0; i < 32; i++)
        block[i] = (uint8_t)i;
    assert_int_equal(crc32c(0, block, 32), 0x46dd794e);
    assert_int_equal(crc32c(0, block, 0), 0);
}

static void
hardware_equals_software_at_every_length_and_offset(void **state)
{
    static uint8_t bytes[8 * 1024];
    struct rng rng;

    (void)state;
    rng_seed(&rng, 7);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)rng_next(&rng);
    for (size_t n = 0; n < sizeof bytes - 8; n += n < 500 ? 1 : 37) {
        const uint8_t *p = bytes + n % 8;

        assert_int_equal(crc32c(0, p, n), ~crc32c_update_software(~0u, p, n));
    }
}

static void
pieces_make_the_same_sum_as_the_whole(void **state)
{
    static uint8_t bytes[20000];
    struct rng rng;
    uint32_t whole;

    (void)state;
    rng_seed(&rng, 11);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)rng_next(&rng);
    whole = crc32c(0, bytes, sizeof bytes);
    for (int round = 0; round < 50; round++) {
        size_t at = rng_below(&rng, sizeof bytes);
        uint32_t crc = crc32c(0, bytes, at);

        assert_int_equal(crc32c(crc, bytes + at, sizeof bytes - at), whole);
    }
}

static void
every_flipped_bit_is_seen(void **state)
{
    static uint8_t page[4096];
    uint32_t good;

    (void)state;
    good = crc32c(0, page, sizeof page);
    for (size_t bit = 0; bit < sizeof page * 8; bit += 61) {
        page[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(crc32c(0, page, sizeof page), good);
        page[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers_hold),
        cmocka_unit_test(hardware_equals_software_at_every_length_and_offset),
        cmocka_unit_test(pieces_make_the_same_sum_as_the_whole),
        cmocka_unit_test(every_flipped_bit_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
