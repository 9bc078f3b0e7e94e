/* The codec of nucleotide text: everything comes back, what it is made for
 * takes two bits a base, and no input harms it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/mem.h"
#include "codec/bases.h"
#include "codec/dna.h"
#include "codec/zpack.h"
#include "../lib/dna_text.h"

static const struct dna_opts usual = {.level = 6};
static const struct dna_opts thorough = {.level = 6, .patterns = true};

static uint64_t
seed(void)
{
    const char *env = getenv("SEED");
    uint64_t s = env != NULL ? strtoull(env, NULL, 10) : rng_seed_from_os();

    printf("SEED=%llu\n", (unsigned long long)s);
    return s;
}

/* Packs and unpacks in memory of the exact sizes; returns how many bytes it
 * took, 0: it was not packed. */
static size_t
packed(const struct dna_opts *opts, struct slice src)
{
    size_t cap = src.len + 64;
    uint8_t *room = nq_malloc(cap), *copy = nq_memdup(src.p, src.len), *exact;
    size_t n = dna_encode(opts, room, cap, copy, src.len);

    assert_in_range(n, 0, cap);
    if (n > 0) {
        exact = nq_memdup(room, n);
        memset(copy, 0xaa, src.len);
        assert_int_equal(dna_decode(copy, src.len, exact, n), NQ_OK);
        assert_memory_equal(copy, src.p, src.len);
        nq_free(exact);
    }
    nq_free(room);
    nq_free(copy);
    return n;
}

static size_t
by_zstd(struct slice src)
{
    uint8_t *room = nq_malloc(src.len);
    size_t n = zpack_encode(6, NULL, room, src.len, src.p, src.len);

    nq_free(room);
    return n == 0 ? src.len : n;
}

/* --- what it is made for
 * ------------------------------------------------------------------------ */

static void
plain_bases_take_two_bits(void **state)
{
    struct buf b = BUF_INIT;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 1);
    for (size_t n = 1; n <= DNA_BLOCK_MAX; n += n / 3 + 1) {
        buf_clear(&b);
        dna_text_letters(&b, &rng, "ACGT", n);
        assert_in_range(packed(&usual, buf_slice(&b)), n < 10 ? 0 : 1,
                        n / 4 + 16);
        assert_in_range(packed(&thorough, buf_slice(&b)), n < 10 ? 0 : 1,
                        n / 4 + 16);
    }
    buf_fini(&b);
}

static void
lines_of_any_width_cost_nothing(void **state)
{
    struct buf b = BUF_INIT;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 2);
    for (size_t width = 1; width < 300; width += width / 9 + 1) {
        for (unsigned crlf = 0; crlf < 2; crlf++) {
            size_t n = 2000 + rng_below(&rng, 5000);

            buf_clear(&b);
            dna_text_fasta(&b, &rng, n, width, crlf != 0 ? "\r\n" : "\n");
            if (width >= 10)
                assert_in_range(packed(&usual, buf_slice(&b)), 1, n / 4 + 64);
            else
                (void)packed(&usual, buf_slice(&b));
        }
    }
    buf_fini(&b);
}

static void
lower_case_costs_by_the_interval(void **state)
{
    struct buf b = BUF_INIT;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 3);
    for (unsigned i = 0; i < 40; i++)
        dna_text_letters(&b, &rng, i % 2 == 0 ? "ACGT" : "acgtn", 500);
    assert_in_range(packed(&usual, buf_slice(&b)), 1, b.len / 4 + 7500);
    buf_clear(&b);
    for (unsigned i = 0; i < 40; i++)
        dna_text_letters(&b, &rng, i % 2 == 0 ? "ACGT" : "acgt", 500);
    assert_in_range(packed(&usual, buf_slice(&b)), 1, b.len / 4 + 100);
    buf_fini(&b);
}

static void
runs_of_n_take_no_bits(void **state)
{
    struct buf b = BUF_INIT;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 4);
    dna_text_letters(&b, &rng, "N", 30001);
    dna_text_letters(&b, &rng, "ACGT", 10003);
    dna_text_letters(&b, &rng, "N", 100000);
    dna_text_letters(&b, &rng, "ACGT", 10001);
    dna_text_letters(&b, &rng, "-", 33);
    dna_text_letters(&b, &rng, "ACGT", 9998);
    assert_in_range(packed(&usual, buf_slice(&b)), 1, 30002 / 4 + 64);
    buf_fini(&b);
}

static void
every_code_of_iupac_comes_back_in_both_cases(void **state)
{
    struct buf b = BUF_INIT;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 5);
    for (const char *code = "ACGTURYSWKMBDHVN-acgturyswkmbdhvn"; *code != '\0';
         code++) {
        for (size_t run = 1; run < 25; run++) {
            buf_clear(&b);
            dna_text_letters(&b, &rng, "ACGT", 100);
            memset(buf_reserve(&b, run), *code, run);
            b.len += run;
            dna_text_letters(&b, &rng, "ACGT", 100);
            assert_in_range(packed(&usual, buf_slice(&b)), 1,
                            (200 + run) / 4 + 24);
        }
    }
    buf_fini(&b);
}

static void
a_few_odd_letters_cost_a_few_bytes(void **state)
{
    struct buf b = BUF_INIT;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 6);
    dna_text_letters(&b, &rng, "ACGT", 100000);
    for (unsigned i = 0; i < 100; i++)
        b.p[rng_below(&rng, b.len)] = (uint8_t) "RYKMNX*"[rng_below(&rng, 7)];
    assert_in_range(packed(&usual, buf_slice(&b)), 1, 100000 / 4 + 500);
    buf_fini(&b);
}

static void
rna_is_as_small_as_dna(void **state)
{
    struct buf b = BUF_INIT;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 7);
    dna_text_letters(&b, &rng, "ACGU", 40000);
    b.p[77] = 'T';
    b.p[78] = 't';
    assert_in_range(packed(&usual, buf_slice(&b)), 1, 10000 + 32);
    buf_clear(&b);
    dna_text_letters(&b, &rng, "ACGT", 40000);
    b.p[77] = 'U';
    b.p[78] = 'u';
    assert_in_range(packed(&usual, buf_slice(&b)), 1, 10000 + 32);
    buf_fini(&b);
}

static void
reads_pack_better_than_by_zstd(void **state)
{
    struct buf b = BUF_INIT;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 8);
    for (unsigned i = 0; i < 4; i++) {
        size_t n = 100 + 50 * i;

        buf_clear(&b);
        dna_text_fastq(&b, &rng, 300, n, i % 2 == 0 ? "\n" : "\r\n");
        assert_in_range(packed(&usual, buf_slice(&b)), 1,
                        by_zstd(buf_slice(&b)) * 85 / 100);
    }
    buf_fini(&b);
}

static void
sequences_between_other_things_pack_too(void **state)
{
    struct buf b = BUF_INIT;
    struct rng rng;
    size_t bases = 0;

    (void)state;
    rng_seed(&rng, 9);
    /* As a leaf page has them: keys, binary numbers, values. */
    for (unsigned i = 0; i < 30; i++) {
        size_t n = 100 + rng_below(&rng, 200);

        buf_printf(&b, "gene:%04u", i);
        buf_put_u32(&b, (uint32_t)rng_next(&rng));
        dna_text_letters(&b, &rng, "ACGT", n);
        bases += n;
    }
    assert_in_range(packed(&usual, buf_slice(&b)), 1,
                    bases / 4 + (b.len - bases) + 200);
    /* As GenBank has them. */
    buf_clear(&b);
    for (unsigned i = 0; i < 200; i++) {
        buf_printf(&b, "%9u", i * 60 + 1);
        for (unsigned j = 0; j < 6; j++) {
            buf_put_str(&b, " ");
            dna_text_letters(&b, &rng, "acgt", 10);
        }
        buf_put_str(&b, "\n");
    }
    assert_in_range(packed(&usual, buf_slice(&b)), 1, 200 * 60 / 4 + 700);
    buf_fini(&b);
}

/* --- repeats
 * ------------------------------------------------------------------------ */

/* Appends the reverse complement of some bases in `b`. */
static void
turn_back(struct buf *b, size_t from, size_t n)
{
    uint8_t *to = buf_reserve(b, n);

    dna_text_turn(to, b->p + from, n);
    b->len += n;
}

static void
reverse_complements_are_told_as_copies(void **state)
{
    struct buf b = BUF_INIT;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 10);
    dna_text_letters(&b, &rng, "ACGT", 20000);
    for (unsigned i = 0; i < 20; i++) {
        size_t from = rng_below(&rng, 19000);

        turn_back(&b, from, 1000);
    }
    assert_in_range(packed(&usual, buf_slice(&b)), 10000, 10064);
    assert_in_range(packed(&thorough, buf_slice(&b)), 5000, 5300);
    buf_fini(&b);
}

static void
tandem_repeats_cost_one_unit(void **state)
{
    struct buf b = BUF_INIT;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 11);
    for (size_t unit = 1; unit < 60; unit++) {
        dna_text_letters(&b, &rng, "ACGT", 200 + unit);
        for (size_t i = 0; i < 500; i++)
            buf_put_u8(&b, b.p[b.len - unit]);
    }
    assert_in_range(packed(&thorough, buf_slice(&b)), 1, 59 * (230 / 4 + 16));
    buf_fini(&b);
}

static void
copies_with_mistakes_go_on_along_their_line(void **state)
{
    struct buf b = BUF_INIT;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 12);
    dna_text_letters(&b, &rng, "ACGT", 20000);
    turn_back(&b, 0, 20000);
    for (size_t i = 20000; i < 40000; i += 100)
        b.p[i] = (uint8_t)(b.p[i] == 'A' ? 'C' : 'A');
    assert_in_range(packed(&thorough, buf_slice(&b)), 1, 5000 + 200 * 4 + 100);
    buf_fini(&b);
}

static void
repeats_are_kept_only_where_they_save(void **state)
{
    struct buf b = BUF_INIT;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 13);
    for (unsigned i = 0; i < 30; i++) {
        size_t with, without;

        buf_clear(&b);
        dna_text_letters(&b, &rng, "ACGT", 100 + rng_below(&rng, 100000));
        with = packed(&thorough, buf_slice(&b));
        without = packed(&usual, buf_slice(&b));
        assert_in_range(with, 1, without);
    }
    buf_fini(&b);
}

/* --- any input
 * ------------------------------------------------------------------------ */

static void
a_block_may_begin_and_end_anywhere(void **state)
{
    struct buf b = BUF_INIT;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 14);
    dna_text_fasta(&b, &rng, 150, 60, "\r\n");
    dna_text_fastq(&b, &rng, 3, 30, "\n");
    dna_text_fasta(&b, &rng, 150, 60, "\n");
    for (size_t from = 0; from < b.len; from++) {
        for (size_t to = from + 1; to <= b.len; to += 1 + to % 7)
            (void)packed(&usual, slice_of(b.p + from, to - from));
    }
    buf_fini(&b);
}

/* ROUNDS in the environment, or fewer in builds that check everything. */
static uint64_t
rounds(uint64_t usually)
{
    const char *env = getenv("ROUNDS");

#ifdef NQ_DEBUG
    usually /= 20;
#endif
    return env != NULL ? strtoull(env, NULL, 10) : usually;
}

static void
anything_comes_back(void **state)
{
    struct buf b = BUF_INIT;
    struct rng rng;
    uint64_t was_packed = 0, n = rounds(100000);

    (void)state;
    rng_seed(&rng, seed());
    for (uint64_t i = 0; i < n; i++) {
        struct dna_opts opts = {.patterns = rng_below(&rng, 4) == 0,
                                .level = (uint8_t)rng_below(&rng, 6),
                                .chunk = (uint32_t)rng_below(&rng, 3) * 1500};

        buf_clear(&b);
        dna_text_any(&b, &rng, 1 + rng_below(&rng, i % 100 == 0 ? 9000 : 250));
        was_packed += packed(&opts, buf_slice(&b)) > 0;
    }
    printf("%llu of %llu were packed\n", (unsigned long long)was_packed,
           (unsigned long long)n);
    assert_true(was_packed > n / 3);
    buf_fini(&b);
}

static void
what_is_no_nucleotide_text_is_left_alone(void **state)
{
    static uint8_t p[65536];
    const char *json = "{\"id\":4711,\"name\":\"attack\",\"tags\":[\"cat\"]}";
    struct rng rng;

    (void)state;
    rng_seed(&rng, 15);
    for (size_t n = 1; n <= sizeof p; n = n * 2 + 1) {
        struct slice s = slice_of(p, n);

        memset(p, 0xff, n);
        assert_false(dna_sniff(s));
        assert_int_equal(packed(&usual, s), 0);
        for (size_t i = 0; i < n; i++)
            p[i] = (uint8_t)json[i % strlen(json)];
        assert_false(dna_sniff(s));
        assert_int_equal(packed(&usual, s), 0);
        for (size_t i = 0; i < n; i++)
            p[i] = (uint8_t)rng_next(&rng);
        assert_false(dna_sniff(s));
        (void)packed(&usual, s);
    }
}

static void
what_is_packed_already_stays_as_it_is(void **state)
{
    struct buf b = BUF_INIT;
    struct rng rng;
    uint8_t *twice;
    size_t n;

    (void)state;
    rng_seed(&rng, 21);
    dna_text_letters(&b, &rng, "ACGT", 100000);
    twice = nq_malloc(b.len);
    n = dna_encode(&usual, twice, b.len, b.p, b.len);
    assert_false(dna_sniff(slice_of(twice, n)));
    assert_int_equal(packed(&thorough, slice_of(twice, n)), 0);
    n = zpack_encode(6, NULL, twice, b.len, b.p, b.len);
    assert_false(dna_sniff(slice_of(twice, n)));
    assert_int_equal(packed(&thorough, slice_of(twice, n)), 0);
    nq_free(twice);
    buf_fini(&b);
}

static void
what_says_it_is_dna_and_is_not_comes_back(void **state)
{
    struct buf b = BUF_INIT;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 16);
    buf_put_str(&b, ">chromosome 1, complete sequence\n");
    dna_text_letters(&b, &rng, "ACDEFGHIKLMNPQRSTVWY", 5000);
    assert_false(dna_sniff(buf_slice(&b)));
    (void)packed(&thorough, buf_slice(&b));
    buf_clear(&b);
    buf_put_str(&b, "@read/1\nACGTACGTACGTACGT\n+\nshort\n@read/2\n\n+\n\n");
    buf_put_str(&b, "@\nACGTACGTACGTACGT\n+\nACGTACGTACGTACGT\n");
    buf_put_str(&b, "@x\nACGTACGTACGTACGT\n+y\nACGTACGTACGTACGT\n");
    buf_put_str(&b, "@x\nACGTACGTACGTACGT\n+x\nACGTACGTACGTACGT\r\n");
    (void)packed(&thorough, buf_slice(&b));
    buf_fini(&b);
}

static void
nucleotide_text_is_recognized(void **state)
{
    struct buf b = BUF_INIT;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 17);
    for (size_t n = 50; n < 100000; n *= 3) {
        buf_clear(&b);
        dna_text_letters(&b, &rng, "ACGT", n);
        assert_true(dna_sniff(buf_slice(&b)));
        buf_clear(&b);
        dna_text_fasta(&b, &rng, n, 60, "\r\n");
        assert_true(dna_sniff(buf_slice(&b)));
        buf_clear(&b);
        dna_text_fastq(&b, &rng, (unsigned)n / 50, 151, "\n");
        assert_true(dna_sniff(buf_slice(&b)));
    }
    assert_false(dna_sniff(slice_of(b.p, 0)));
    buf_fini(&b);
}

static void
it_says_how_much_room_it_needs(void **state)
{
    struct buf b = BUF_INIT;
    uint8_t out[4096];
    struct rng rng;
    size_t n;

    (void)state;
    rng_seed(&rng, 18);
    dna_text_fasta(&b, &rng, 5000, 70, "\n");
    n = dna_encode(&usual, out, sizeof out, b.p, b.len);
    assert_in_range(n, 1, 1400);
    assert_int_equal(dna_encode(&usual, out, n, b.p, b.len), n);
    for (size_t cap = 0; cap < n; cap++)
        assert_int_equal(dna_encode(&usual, out, cap, b.p, b.len), 0);
    assert_int_equal(dna_encode(&usual, out, n, b.p, 0), 0);
    assert_int_equal(dna_encode(&usual, out, n, b.p, DNA_BLOCK_MAX + 1), 0);
    buf_fini(&b);
}

/* --- what is on disks already
 * ------------------------------------------------------------------------ */

#define OLD_UNIT "GATTACAGGCTTAACCGGATCTTTACGGCATGCAATCGCTAGGACTTCAGA"

static const char old_text[] =
    "GATTACACATTAGGACCA\r\n>one\r\n" OLD_UNIT "\r\n" OLD_UNIT "\r\n"
    "NNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNNacgtRYRY\r\n>two\r\n"
    "TCTGAAGTCCTAGCGATTGCATGCCGTAAAGATCCGGTTAAGCCTGTAATC\r\n"
    "@r/1\r\nACGTTGCANNACGUXXACGTACGTACGT\r\n+\r\n"
    "IIIIIIIIFFFFFFFF####IIIIFFFF\r\n";

/* It has every stream, and copies of both kinds. */
static const uint8_t old_packed[] = {
    0x02, 0x3f, 0x16, 0x49, 0x20, 0xce, 0x01, 0xd9, 0x04, 0x20, 0xcd, 0x01,
    0x08, 0x73, 0x2c, 0x0d, 0x0a, 0x3e, 0x6f, 0x6e, 0x65, 0x0d, 0x0a, 0x0d,
    0x0a, 0x3e, 0x74, 0x77, 0x6f, 0x0d, 0x0a, 0x0d, 0x0a, 0x72, 0x2f, 0x31,
    0x0a, 0x38, 0x49, 0x49, 0x49, 0x49, 0x49, 0x49, 0x49, 0x49, 0x46, 0x46,
    0x46, 0x46, 0x46, 0x46, 0x46, 0x46, 0x23, 0x23, 0x23, 0x23, 0x49, 0x49,
    0x49, 0x49, 0x46, 0x46, 0x46, 0x46, 0x24, 0x78, 0xff, 0x18, 0x04, 0x05,
    0x00, 0x0a, 0x00, 0x05, 0x00, 0x0a, 0x3b, 0x1f, 0x03, 0x08, 0x00, 0x11,
    0x58, 0x06, 0xa0, 0x01, 0x04, 0x0c, 0x44, 0x28, 0x66, 0x08, 0x27, 0x13,
    0xf2, 0x44, 0x3c, 0x4a, 0x21, 0x4f, 0x68, 0x0f, 0xa5, 0xdc, 0x4f, 0x1a,
    0x1b, 0x9c, 0x8d, 0xd2, 0x87, 0xe4, 0x00, 0xe4, 0x1b, 0x40, 0x02, 0xe4,
    0xe4, 0xe4};

static void
blocks_that_were_packed_earlier_are_understood(void **state)
{
    char text[sizeof old_text - 1];

    (void)state;
    assert_int_equal(
        dna_decode(text, sizeof text, old_packed, sizeof old_packed), NQ_OK);
    assert_memory_equal(text, old_text, sizeof text);
}

/* --- damage
 * ------------------------------------------------------------------------ */

static void
another_length_is_damage(void **state)
{
    struct buf b = BUF_INIT;
    uint8_t out[4096], *back = nq_malloc(8192);
    struct rng rng;

    (void)state;
    rng_seed(&rng, 19);
    for (unsigned i = 0; i < 50; i++) {
        size_t n;

        buf_clear(&b);
        dna_text_fasta(&b, &rng, 1000 + 10 * i, 50 + i, "\n");
        n = dna_encode(&thorough, out, sizeof out, b.p, b.len);
        assert_true(n > 0);
        for (size_t d = 1; d < 9; d++) {
            assert_int_equal(dna_decode(back, b.len - d, out, n), NQ_ECORRUPT);
            assert_int_equal(dna_decode(back, b.len + d, out, n), NQ_ECORRUPT);
            assert_int_equal(dna_decode(back, b.len, out, n - d), NQ_ECORRUPT);
            assert_int_equal(dna_decode(back, b.len, out, n + d), NQ_ECORRUPT);
        }
    }
    nq_free(back);
    buf_fini(&b);
}

static void
damaged_input_harms_nobody(void **state)
{
    static uint8_t out[8192];
    struct buf b = BUF_INIT;
    struct rng rng;

    (void)state;
    rng_seed(&rng, seed());
    for (uint64_t i = rounds(20000); i > 0; i--) {
        struct dna_opts opts = {.patterns = i % 2 == 0};
        uint8_t *back, *exact;
        size_t n;

        buf_clear(&b);
        dna_text_any(&b, &rng, 1 + rng_below(&rng, 600));
        n = dna_encode(&opts, out, sizeof out, b.p, b.len);
        n = n == 0 ? 40 : n - rng_below(&rng, 2);
        exact = nq_memdup(out, n + 1);
        back = nq_malloc(b.len);
        for (uint64_t flips = rng_below(&rng, 4); n > 0 && flips > 0; flips--)
            exact[rng_below(&rng, nq_min(n, 60))] = (uint8_t)rng_next(&rng);
        (void)!dna_decode(back, b.len, exact, n);
        nq_free(exact);
        nq_free(back);
    }
    buf_fini(&b);
}

static void
all_variants_pack_to_the_same_bytes(void **state)
{
    static uint8_t out[8192], first[8192];
    enum bases_variant best = bases_variant();
    struct buf b = BUF_INIT;
    struct rng rng;
    char why[200];

    (void)state;
    rng_seed(&rng, 20);
    for (unsigned i = 0; i < 30; i++) {
        size_t want = 0, n;

        buf_clear(&b);
        dna_text_any(&b, &rng, 4000);
        for (unsigned v = 0; v < BASES_VARIANTS; v++) {
            if (!bases_has(v))
                continue;
            assert_int_equal(bases_choose(v, why, sizeof why), NQ_OK);
            n = dna_encode(&thorough, out, sizeof out, b.p, b.len);
            if (v == BASES_SCALAR) {
                memcpy(first, out, n);
                want = n;
            }
            assert_int_equal(n, want);
            assert_memory_equal(out, first, n);
        }
    }
    assert_int_equal(bases_choose(best, why, sizeof why), NQ_OK);
    buf_fini(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_bases_take_two_bits),
        cmocka_unit_test(lines_of_any_width_cost_nothing),
        cmocka_unit_test(lower_case_costs_by_the_interval),
        cmocka_unit_test(runs_of_n_take_no_bits),
        cmocka_unit_test(every_code_of_iupac_comes_back_in_both_cases),
        cmocka_unit_test(a_few_odd_letters_cost_a_few_bytes),
        cmocka_unit_test(rna_is_as_small_as_dna),
        cmocka_unit_test(reads_pack_better_than_by_zstd),
        cmocka_unit_test(sequences_between_other_things_pack_too),
        cmocka_unit_test(reverse_complements_are_told_as_copies),
        cmocka_unit_test(tandem_repeats_cost_one_unit),
        cmocka_unit_test(copies_with_mistakes_go_on_along_their_line),
        cmocka_unit_test(repeats_are_kept_only_where_they_save),
        cmocka_unit_test(a_block_may_begin_and_end_anywhere),
        cmocka_unit_test(anything_comes_back),
        cmocka_unit_test(what_is_no_nucleotide_text_is_left_alone),
        cmocka_unit_test(what_is_packed_already_stays_as_it_is),
        cmocka_unit_test(what_says_it_is_dna_and_is_not_comes_back),
        cmocka_unit_test(nucleotide_text_is_recognized),
        cmocka_unit_test(it_says_how_much_room_it_needs),
        cmocka_unit_test(blocks_that_were_packed_earlier_are_understood),
        cmocka_unit_test(another_length_is_damage),
        cmocka_unit_test(damaged_input_harms_nobody),
        cmocka_unit_test(all_variants_pack_to_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
