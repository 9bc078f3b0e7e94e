/* Nucleotides at two bits: every variant equals the plainest code there is,
 * at all lengths, alignments and bytes. */
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
#include "codec/bases.h"
#include "codec/bases_int.h"

static struct rng rng;

/* --- what is right, one base at a time ------------------------------------ */

static int
code_of(uint8_t c)
{
    const char *at = c == 0 ? NULL : strchr("AaCcGgTt", c);

    return at == NULL ? -1 : (int)(at - "AaCcGgTt") / 2;
}

static bool
bit(const uint64_t *bitmap, size_t i)
{
    return (bitmap[i / 64] >> i % 64 & 1) != 0;
}

/* Bytes in memory of their own size, `align` behind where malloc puts it, so
 * that a look outside of them is noticed. */
static uint8_t *
exact(const void *p, size_t n, size_t align)
{
    uint8_t *copy = (uint8_t *)nq_malloc(n + align) + align;

    if (n > 0 && p != NULL)
        memcpy(copy, p, n);
    return copy;
}

static void
check_pack(const uint8_t *text, size_t n)
{
    size_t align = rng_below(&rng, 33);
    uint8_t *src = exact(text, n, align);
    uint8_t *dst = exact(NULL, BASES_BYTES(n), align);
    uint64_t *other = nq_malloc(8 * BASES_WORDS(n) + 1);
    uint64_t *lower = nq_malloc(8 * BASES_WORDS(n) + 1);
    unsigned found = bases_pack(dst, other, lower, src, n), want = 0;
    char *back = (char *)exact(NULL, n, align);

    for (size_t i = 0; i < n; i++) {
        int code = code_of(text[i]);

        assert_int_equal(bases_get(dst, i), code < 0 ? 0 : code);
        assert_int_equal(bit(other, i), code < 0);
        assert_int_equal(bit(lower, i), text[i] >= 'a' && text[i] <= 'z');
        want |= code < 0 ? BASES_OTHER : 0u;
        want |= text[i] >= 'a' && text[i] <= 'z' ? BASES_LOWER : 0u;
    }
    assert_int_equal(found, want);
    if (n % 4 != 0)
        assert_int_equal(dst[n / 4] >> 2 * (n % 4), 0);
    for (size_t first = 0; first <= n; first += 1 + rng_below(&rng, n + 1)) {
        bases_unpack(back, dst, first, n - first);
        for (size_t i = first; i < n; i++)
            assert_int_equal(back[i - first], "ACGT"[bases_get(dst, i)]);
    }
    nq_free(src - align);
    nq_free(dst - align);
    nq_free((uint8_t *)back - align);
    nq_free(other);
    nq_free(lower);
}

static void
check_count(const uint8_t *text, size_t n)
{
    uint8_t *src = exact(text, n, n % 9);
    size_t want = 0;

    for (size_t i = 0; i < n; i++)
        want += code_of(text[i]) >= 0 || (text[i] & 0xdf) == 'N';
    assert_int_equal(bases_count(src, n), want);
    nq_free(src - n % 9);
}

/* --- texts -------------------------------------------------------------- */

static void
fill(uint8_t *text, size_t n, unsigned kind)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t r = (uint8_t)rng_next(&rng);

        switch (kind) {
        case 0: /* any byte */
            text[i] = r;
            break;
        case 1:
            text[i] = (uint8_t) "ACGT"[r % 4];
            break;
        case 2:
            text[i] = (uint8_t) "ACGTacgtNnRU\n@`{"[r % 16];
            break;
        default: /* bytes that differ from a base in one bit */
            text[i] = (uint8_t)("ACGTacgt"[r % 8] ^ 1 << (r >> 3) % 8);
        }
    }
}

/* Calls `check` once with each variant that is here. */
static void
with_each_variant(void (*check)(void))
{
    char why[200];

    for (unsigned v = BASES_SCALAR; v < BASES_VARIANTS; v++) {
        if (!bases_has(v))
            continue;
        assert_int_equal(bases_choose(v, why, sizeof why), NQ_OK);
        assert_int_equal(bases_variant(), v);
        check();
    }
    assert_int_equal(bases_choose(BASES_AUTO, why, sizeof why), NQ_OK);
}

static void
check_all_lengths(void)
{
    static uint8_t text[5000];

    for (size_t n = 0; n <= 300; n++) {
        for (unsigned kind = 0; kind < 4; kind++) {
            fill(text, n, kind);
            check_pack(text, n);
            check_count(text, n);
        }
    }
    for (unsigned round = 0; round < 10; round++) {
        size_t n = rng_below(&rng, sizeof text);

        fill(text, n, round % 4);
        check_pack(text, n);
        check_count(text, n);
    }
}

static void
every_variant_packs_and_unpacks_any_bytes(void **state)
{
    (void)state;
    with_each_variant(check_all_lengths);
}

static void
check_every_byte_everywhere(void)
{
    uint8_t text[70];

    for (unsigned c = 0; c < 256; c++) {
        for (size_t at = 0; at < sizeof text; at += 1 + c % 3) {
            fill(text, sizeof text, 1);
            text[at] = (uint8_t)c;
            check_pack(text, sizeof text);
        }
    }
}

static void
every_variant_tells_each_byte_in_each_place(void **state)
{
    (void)state;
    with_each_variant(check_every_byte_everywhere);
}

/* --- searching ------------------------------------------------------------ */

static const char codes[] = "ACGTURYSWKMBDHVN";
static const char *const meanings[] = {"A",   "C",   "G",   "T",   "T",  "AG",
                                       "CT",  "CG",  "AT",  "GT",  "AC", "CGT",
                                       "AGT", "ACT", "ACG", "ACGT"};

static size_t
find_slowly(const uint8_t *packed, size_t n, const char *pattern, size_t len,
            size_t from)
{
    for (size_t at = from; at + len <= n; at++) {
        size_t j = 0;

        while (j < len &&
               strchr(meanings[strchr(codes, pattern[j] & 0xdf) - codes],
                      "ACGT"[bases_get(packed, at + j)]) != NULL)
            j++;
        if (j == len)
            return at;
    }
    return BASES_NONE;
}

static void
check_find(const uint8_t *packed, size_t n, const char *pattern, size_t len)
{
    struct bases_pattern p;
    size_t at = 0, want;

    assert_true(bases_pattern_parse(&p, slice_of(pattern, len)));
    do {
        want = find_slowly(packed, n, pattern, len, at);
        assert_int_equal(bases_find(packed, n, &p, at), want);
        at = want + 1;
    } while (want != BASES_NONE);
    assert_int_equal(bases_find(packed, n, &p, n + 1), BASES_NONE);
}

static void
check_searches(void)
{
    static uint8_t text[2000];
    char pattern[80];

    for (unsigned round = 0; round < 400; round++) {
        size_t n = rng_below(&rng, round % 20 == 0 ? sizeof text : 300);
        size_t len = 1 + rng_below(&rng, round % 3 == 0 ? 79 : 6);
        uint8_t *packed = exact(NULL, BASES_BYTES(n), 0);
        uint64_t maps[2][BASES_WORDS(sizeof text)];

        fill(text, n, 1);
        bases_pack(packed, maps[0], maps[1], text, n);
        for (size_t i = 0; i < len; i++)
            pattern[i] = codes[rng_below(&rng, round % 2 == 0 ? 4 : 16)];
        if (round % 3 == 0 && len <= n) /* something that is there */
            memcpy(pattern, text + rng_below(&rng, n - len + 1), len);
        for (size_t i = 0; i < len && round % 6 == 0; i++)
            pattern[i] = (char)(pattern[i] | (int)(round & 8) << 2);
        check_find(packed, n, pattern, len);
        nq_free(packed);
    }
}

static void
every_variant_finds_what_a_plain_search_finds(void **state)
{
    (void)state;
    with_each_variant(check_searches);
}

static void
patterns_are_iupac_codes_only(void **state)
{
    struct bases_pattern p;
    char text[BASES_PATTERN_MAX + 1];

    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        char one = (char)c;
        bool is_code =
            c != 0 && strchr("ACGTURYSWKMBDHVNacgturyswkmbdhvn", one) != NULL;

        assert_int_equal(bases_pattern_parse(&p, slice_of(&one, 1)), is_code);
    }
    memset(text, 'n', sizeof text);
    assert_false(bases_pattern_parse(&p, slice_of(text, 0)));
    assert_true(bases_pattern_parse(&p, slice_of(text, BASES_PATTERN_MAX)));
    assert_false(bases_pattern_parse(&p, slice_of(text, sizeof text)));
}

/* --- comparing, turning round, runs ----------------------------------------
 */

static void
distances_count_places_that_differ(void **state)
{
    uint8_t a[100], b[100];

    (void)state;
    for (unsigned round = 0; round < 2000; round++) {
        size_t n = rng_below(&rng, 4 * sizeof a + 1), want = 0;
        uint8_t *x, *y;

        for (size_t i = 0; i < sizeof a; i++) {
            a[i] = (uint8_t)rng_next(&rng);
            b[i] = round % 2 == 0 ? (uint8_t)rng_next(&rng) : a[i];
        }
        b[rng_below(&rng, sizeof b)] ^= 1;
        x = exact(a, BASES_BYTES(n), 0);
        y = exact(b, BASES_BYTES(n), 0);
        for (size_t i = 0; i < n; i++)
            want += bases_get(x, i) != bases_get(y, i);
        assert_int_equal(bases_hamming(x, y, n), want);
        nq_free(x);
        nq_free(y);
    }
}

static void
reverse_complements_are_right_and_turn_back(void **state)
{
    uint8_t bytes[100];

    (void)state;
    for (size_t n = 0; n <= 4 * sizeof bytes; n++) {
        uint8_t *src, *turned, *back;

        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)rng_next(&rng);
        if (n % 4 != 0)
            bytes[n / 4] &= (uint8_t)((1u << 2 * (n % 4)) - 1);
        src = exact(bytes, BASES_BYTES(n), 0);
        turned = exact(NULL, BASES_BYTES(n), 0);
        back = exact(NULL, BASES_BYTES(n), 0);
        bases_revcomp(turned, src, n);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(bases_get(turned, i),
                             3 - bases_get(src, n - 1 - i));
        if (n % 4 != 0)
            assert_int_equal(turned[n / 4] >> 2 * (n % 4), 0);
        bases_revcomp(back, turned, n);
        assert_memory_equal(back, src, BASES_BYTES(n));
        nq_free(src);
        nq_free(turned);
        nq_free(back);
    }
}

static void
runs_are_the_maximal_ones(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3000; round++) {
        uint64_t bitmap[5];
        size_t n = rng_below(&rng, 5 * 64 + 1), at = 0, end = 0, seen = 0;

        for (unsigned i = 0; i < 5; i++) {
            bitmap[i] = rng_next(&rng);
            for (unsigned k = 0; k < round % 4; k++)
                bitmap[i] = round % 8 < 4 ? bitmap[i] & rng_next(&rng)
                                          : bitmap[i] | rng_next(&rng);
            if (rng_below(&rng, 4) == 0)
                bitmap[i] = round % 2 == 0 ? 0 : UINT64_MAX;
        }
        for (; bases_run(bitmap, n, &at, &end); at = seen = end) {
            assert_true(at >= seen && at < end && end <= n);
            for (size_t i = seen; i < at; i++)
                assert_false(bit(bitmap, i));
            for (size_t i = at; i < end; i++)
                assert_true(bit(bitmap, i));
        }
        for (size_t i = seen; i < n; i++)
            assert_false(bit(bitmap, i));
    }
}

static void
lower_changes_letters_of_the_stretch_only(void **state)
{
    (void)state;
    for (size_t n = 0; n < 50; n++) {
        char text[52];

        memset(text, 'G', sizeof text);
        bases_lower(text + 1, n);
        for (size_t i = 0; i < sizeof text; i++)
            assert_int_equal(text[i], i >= 1 && i <= n ? 'g' : 'G');
    }
}

/* --- variants ------------------------------------------------------------- */

static void
what_the_processor_lacks_is_refused_by_name(void **state)
{
    enum bases_variant before = bases_variant();
    char why[200] = "";

    (void)state;
    for (unsigned v = BASES_SCALAR; v < BASES_VARIANTS; v++) {
        if (bases_has(v))
            continue;
        assert_int_equal(bases_choose(v, why, sizeof why), NQ_EINVAL);
        assert_non_null(strstr(why, bases_variant_name(v)));
        assert_non_null(strstr(why, "it has: scalar"));
    }
    assert_int_equal(bases_variant(), before);
}

static unsigned
pack_badly(uint8_t *dst, uint64_t *other, uint64_t *lower, const uint8_t *src,
           size_t blocks)
{
    unsigned found = bases_scalar.pack(dst, other, lower, src, blocks);

    dst[77] ^= 1;
    return found;
}

static void
the_check_at_start_sees_one_wrong_bit(void **state)
{
    struct bases_kernels bad = bases_scalar;

    (void)state;
    assert_true(bases_agree(&bad));
    bad.pack = pack_badly;
    assert_false(bases_agree(&bad));
}

static int
seed(void **state)
{
    const char *text = getenv("SEED");
    uint64_t s = text != NULL ? strtoull(text, NULL, 10) : rng_seed_from_os();

    (void)state;
    printf("SEED=%llu\n", (unsigned long long)s);
    rng_seed(&rng, s);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_variant_packs_and_unpacks_any_bytes),
        cmocka_unit_test(every_variant_tells_each_byte_in_each_place),
        cmocka_unit_test(every_variant_finds_what_a_plain_search_finds),
        cmocka_unit_test(patterns_are_iupac_codes_only),
        cmocka_unit_test(distances_count_places_that_differ),
        cmocka_unit_test(reverse_complements_are_right_and_turn_back),
        cmocka_unit_test(runs_are_the_maximal_ones),
        cmocka_unit_test(lower_changes_letters_of_the_stretch_only),
        cmocka_unit_test(what_the_processor_lacks_is_refused_by_name),
        cmocka_unit_test(the_check_at_start_sees_one_wrong_bit),
    };

    return cmocka_run_group_tests(tests, seed, NULL);
}
