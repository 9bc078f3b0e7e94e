/* Sectors rebuilt from their stripes: what is healed is healed exactly, what
 * is not is left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "codec/crc32c.h"
#include "codec/parity.h"

#include <string.h>

struct sample {
    uint8_t *data, *parity, *was;
    size_t len;
    uint32_t crc;
};

static struct rng rng;

static uint64_t
seed(void)
{
    const char *text = getenv("SEED");
    uint64_t v = text != NULL ? strtoull(text, NULL, 0) : rng_seed_from_os();

    printf("SEED=%llu\n", (unsigned long long)v);
    return v;
}

static void
sample_make(struct sample *s, size_t sectors)
{
    s->len = sectors * PARITY_SECTOR;
    s->data = nq_malloc(s->len);
    for (size_t i = 0; i < s->len; i++)
        s->data[i] = (uint8_t)rng_next(&rng);
    s->was = nq_memdup(s->data, s->len);
    s->crc = crc32c(0, s->data, s->len);
    s->parity = nq_malloc(parity_size(s->len));
    parity_encode(s->data, s->len, s->parity);
}

static void
sample_free(struct sample *s)
{
    nq_free(s->data);
    nq_free(s->was);
    nq_free(s->parity);
}

static bool
is_good(void *arg)
{
    const struct sample *s = arg;

    return crc32c(0, s->data, s->len) == s->crc;
}

static unsigned
repair(struct sample *s)
{
    return parity_repair(s->data, s->len, s->parity, is_good, s);
}

/* In one of three ways, and never as it was. */
static void
damage(struct sample *s, size_t sector)
{
    uint8_t *p = s->data + sector * PARITY_SECTOR;

    switch (rng_below(&rng, 3)) {
    case 0:
        p[rng_below(&rng, PARITY_SECTOR)] ^= 0x40;
        break;
    case 1:
        memset(p, 0, PARITY_SECTOR);
        break;
    default:
        memset(p, 0xff, PARITY_SECTOR);
    }
}

static void
each_sector_of_any_length_is_rebuilt(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 40; n++) {
        struct sample s;

        sample_make(&s, n);
        for (size_t i = 0; i < n; i++) {
            damage(&s, i);
            assert_int_equal(repair(&s), 1);
            assert_memory_equal(s.data, s.was, s.len);
        }
        sample_free(&s);
    }
}

static void
a_run_as_long_as_there_are_stripes_is_rebuilt(void **state)
{
    struct sample s;

    (void)state;
    sample_make(&s, 2048);
    for (unsigned round = 0; round < 4; round++) {
        size_t from = rng_below(&rng, 2048 - 128);

        for (size_t i = 0; i < 128; i++)
            damage(&s, from + i);
        assert_int_equal(repair(&s), 128);
        assert_memory_equal(s.data, s.was, s.len);
    }
    sample_free(&s);
}

static void
two_sectors_of_a_stripe_are_not_and_stay_as_they_are(void **state)
{
    (void)state;
    for (size_t n = 2; n <= 40; n++) {
        size_t stripes = (n + PARITY_STRIPE - 1) / PARITY_STRIPE;
        struct sample s;
        uint8_t *copy;

        if (n <= stripes)
            continue;
        sample_make(&s, n);
        damage(&s, 0);
        damage(&s, stripes);
        copy = nq_memdup(s.data, s.len);
        assert_int_equal(repair(&s), 0);
        assert_memory_equal(s.data, copy, s.len);
        nq_free(copy);
        sample_free(&s);
    }
}

static void
a_damaged_table_does_not_hinder(void **state)
{
    struct sample s;

    (void)state;
    sample_make(&s, 40);
    memset(s.parity + 3 * PARITY_SECTOR, 0, PARITY_SECTOR);
    damage(&s, 17);
    assert_int_equal(repair(&s), 1);
    assert_memory_equal(s.data, s.was, s.len);
    sample_free(&s);
}

static void
damaged_parity_never_makes_wrong_data(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 300; round++) {
        struct sample s;
        uint8_t *copy;
        unsigned n;

        sample_make(&s, 1 + rng_below(&rng, 60));
        for (uint64_t i = rng_below(&rng, 4) + 1; i > 0; i--)
            damage(&s, rng_below(&rng, s.len / PARITY_SECTOR));
        s.parity[rng_below(&rng, parity_size(s.len))] ^= 1;
        copy = nq_memdup(s.data, s.len);
        if ((n = repair(&s)) > 0)
            assert_memory_equal(s.data, s.was, s.len);
        else
            assert_memory_equal(s.data, copy, s.len);
        nq_free(copy);
        sample_free(&s);
    }
}

static void
it_costs_a_sector_in_sixteen_and_a_table(void **state)
{
    (void)state;
    assert_int_equal(parity_size(512), 512);
    assert_int_equal(parity_size(16 * 512), 512);
    assert_int_equal(parity_size(17 * 512), 3 * 512);
    assert_int_equal(parity_size(1 << 20), (128 + 17) * 512);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_sector_of_any_length_is_rebuilt),
        cmocka_unit_test(a_run_as_long_as_there_are_stripes_is_rebuilt),
        cmocka_unit_test(two_sectors_of_a_stripe_are_not_and_stay_as_they_are),
        cmocka_unit_test(a_damaged_table_does_not_hinder),
        cmocka_unit_test(damaged_parity_never_makes_wrong_data),
        cmocka_unit_test(it_costs_a_sector_in_sixteen_and_a_table),
    };

    rng_seed(&rng, seed());
    return cmocka_run_group_tests(tests, NULL, NULL);
}
