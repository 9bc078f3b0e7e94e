/* NQ.DNA: what is found is what a plain search finds, across seams and lines,
 * on both strands; parcels come back or are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../lib/dna_text.h"
#include "../lib/engine_env.h"
#include "base/check.h"
#include "base/mem.h"

struct world {
    struct engine_env env;
    struct fake_client c, other;
    struct buf value, residues, line, want;
    struct rng rng;
};

static int
setup(void **state)
{
    struct world *w = nq_calloc(1, sizeof *w);

    engine_env_init(&w->env, 16 << 20);
    fake_open(&w->env, &w->c);
    fake_open(&w->env, &w->other);
    rng_seed(&w->rng, 7);
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;

    fake_close(&w->c);
    fake_close(&w->other);
    engine_env_fini(&w->env);
    buf_fini(&w->value);
    buf_fini(&w->residues);
    buf_fini(&w->line);
    buf_fini(&w->want);
    nq_free(w);
    return 0;
}

/* --- a plain search, to compare with -------------------------------------- */

static unsigned
bases_of(uint8_t code)
{
    static const char codes[] = "ACGTURYSWKMBDHVN";
    static const uint8_t sets[] = {1, 2,  4, 8,  8,  5,  10, 6,
                                   9, 12, 3, 14, 13, 11, 7,  15};
    const char *found = strchr(codes, code & 0xdf);

    return found == NULL || *found == '\0' ? 0 : sets[found - codes];
}

static bool
is_base(uint8_t c)
{
    return strchr("ACGTUacgtu", c) != NULL;
}

static bool
matches(const uint8_t *text, const uint8_t *pattern, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned set = bases_of(pattern[i]);

        if (set != 15 && (!is_base(text[i]) || (bases_of(text[i]) & set) == 0))
            return false;
    }
    return true;
}

static void
turn(uint8_t *dst, const char *pattern, size_t n)
{
    static const char codes[] = "ACGTURYSWKMBDHVN";
    static const char others[] = "TGCAAYRSWMKVHDBN";

    for (size_t i = 0; i < n; i++)
        dst[i] =
            (uint8_t)others[strchr(codes, pattern[n - 1 - i] & 0xdf) - codes];
}

/* What FIND should answer for w->residues, without header. */
static unsigned
search(struct world *w, const char *pattern, size_t from, size_t most,
       bool both)
{
    size_t n = strlen(pattern), found = 0;
    uint8_t *back = nq_malloc(n);
    struct slice text = buf_slice(&w->residues);
    bool same;

    turn(back, pattern, n);
    same = true;
    for (size_t i = 0; i < n; i++)
        same = same && bases_of(back[i]) == bases_of((uint8_t)pattern[i]);
    buf_clear(&w->want);
    for (size_t at = from; at + n <= text.len && found < most; at++) {
        for (unsigned s = 0; s < (both && !same ? 2 : 1) && found < most; s++) {
            if (!matches(text.p + at, s == 0 ? (const uint8_t *)pattern : back,
                         n))
                continue;
            if (both)
                buf_printf(&w->want, "*2|:%zu|$1|%c|", at, "+-"[s]);
            else
                buf_printf(&w->want, ":%zu|", at);
            found++;
        }
    }
    nq_free(back);
    return (unsigned)found;
}

static void
set(struct world *w, const char *key)
{
    buf_clear(&w->line);
    buf_printf(&w->line, "SET %s '", key);
    buf_put_slice(&w->line, buf_slice(&w->value));
    buf_put(&w->line, "'", 2);
    fake_expect(&w->c, (const char *)w->line.p, "+OK|");
}

static void
expect_find(struct world *w, const char *pattern, size_t from, size_t most,
            bool both)
{
    unsigned n = search(w, pattern, from, most, both);
    char line[2048], head[32];
    const char *got;

    snprintf(line, sizeof line, "NQ.DNA FIND k %s FROM %zu COUNT %zu%s",
             pattern, from, most, both ? " BOTH" : "");
    snprintf(head, sizeof head, "*%u|", n);
    got = fake_ask(&w->c, line);
    buf_put_u8(&w->want, '\0');
    assert_memory_equal(got, head, strlen(head));
    assert_string_equal(got + strlen(head), (const char *)w->want.p);
}

/* --- FIND ----------------------------------------------------------------- */

static void
patterns_are_found_where_they_are(void **state)
{
    struct world *w = *state;

    buf_put_str(&w->value, "ACGTNRacgtGATTACAUUU");
    set(w, "k");
    fake_expect(&w->c, "NQ.DNA FIND k ACGT", "*2|:0|:6|");
    fake_expect(&w->c, "nq.dna find k acgu", "*2|:0|:6|");
    fake_expect(&w->c, "NQ.DNA FIND k TNN", "*5|:3|:9|:12|:13|:17|");
    fake_expect(&w->c, "NQ.DNA FIND k R COUNT 3", "*3|:0|:2|:6|");
    fake_expect(&w->c, "NQ.DNA FIND k ATT FROM 17", "*0|");
    fake_expect(&w->c, "NQ.DNA FIND k AAA BOTH", "*1|*2|:17|$1|-|");
    fake_expect(&w->c, "NQ.DNA FIND k ACGT BOTH FROM 1", "*1|*2|:6|$1|+|");
    fake_expect(&w->c, "NQ.DNA FIND nothing ACGT", "*0|");
}

static void
lines_and_headers_are_not_part_of_a_sequence(void **state)
{
    struct world *w = *state;

    buf_put_str(&w->value, ">GATTACA\r\nAAGAT\r\nTACAG\r\n;GATTACA\nATTACA\n");
    set(w, "k");
    fake_expect(&w->c, "NQ.DNA FIND k GATTACA", "*2|:2|:9|");
    buf_clear(&w->value);
    buf_put_str(&w->value, "@GATTACA\nCCGAT\n+GATTACA\nGATTACA\n@x\nTACA\n");
    set(w, "k");
    fake_expect(&w->c, "NQ.DNA FIND k GATTACA", "*1|:2|");
}

static void
options_of_find_are_checked(void **state)
{
    struct world *w = *state;
    struct fake_client *c = &w->c;
    const char *bad = "-ERR FROM is not below 0, COUNT not below 1|";

    fake_expect(c, "NQ.DNA FIND k ACGT FROM", "-ERR syntax error|");
    fake_expect(c, "NQ.DNA FIND k ACGT WHERE 1", "-ERR syntax error|");
    fake_expect(c, "NQ.DNA FIND k ACGT FROM -1", bad);
    fake_expect(c, "NQ.DNA FIND k ACGT COUNT 0", bad);
    fake_expect(c, "NQ.DNA FIND k ''",
                "-ERR a pattern is 1 to 1024 letters out of "
                "ACGTURYSWKMBDHVN|");
    fake_expect(c, "NQ.DNA FIND k AC-GT",
                "-ERR a pattern is 1 to 1024 letters out of "
                "ACGTURYSWKMBDHVN|");
    fake_expect(c, "RPUSH l a", ":1|");
    fake_expect(c, "NQ.DNA FIND l ACGT",
                "-WRONGTYPE Operation against a key holding the wrong kind "
                "of value|");
    fake_expect(c, "NQ.DNA HAMMING k l",
                "-WRONGTYPE Operation against a key holding the wrong kind "
                "of value|");
}

/* A pattern that occurs: codes for some letters of the text. */
static void
draw_pattern(struct world *w, char *pattern, size_t n)
{
    static const char *const codes[] = {"AARRWMDHVN", "CCYSMBHVNN",
                                        "GGRSKBDVNN", "TTYWKBDHNU"};
    size_t at = rng_below(&w->rng, w->residues.len - n);

    for (size_t i = 0; i < n; i++) {
        uint8_t c = w->residues.p[at + i] & 0xdf;
        const char *set = c == 'A'   ? codes[0]
                          : c == 'C' ? codes[1]
                          : c == 'G' ? codes[2]
                          : c == 'T' ? codes[3]
                                     : "NNNNNNNNNN";

        pattern[i] = set[rng_below(&w->rng, 10)];
    }
    pattern[n] = '\0';
}

static void
a_plain_search_finds_the_same(void **state)
{
    struct world *w = *state;

    for (unsigned round = 0; round < 12; round++) {
        size_t n = 1000 + rng_below(&w->rng, 60000);
        char pattern[1025];

        buf_clear(&w->value);
        buf_clear(&w->residues);
        dna_text_letters(&w->residues, &w->rng,
                         round % 2 == 0 ? "ACGT" : "ACGTacgtNRU-", n);
        for (size_t at = 0; at < n; at += 61) {
            buf_put(&w->value, w->residues.p + at, nq_min(n - at, 61u));
            buf_put_str(&w->value, "\n");
        }
        set(w, "k");
        for (unsigned i = 0; i < 8; i++) {
            size_t length = 1 + rng_below(&w->rng, i == 0 ? 900 : 12);

            draw_pattern(w, pattern, length);
            expect_find(w, pattern, rng_below(&w->rng, n), 500, i % 2 == 0);
            expect_find(w, pattern, 0, 3, i % 2 == 1);
        }
    }
}

static void
seams_of_pieces_and_chunks_hide_nothing(void **state)
{
    struct world *w = *state;
    const char *pattern = "GATTACAGATTACAGATTACA";
    size_t n = (2u << 20) + 40000;

    dna_text_letters(&w->residues, &w->rng, "ACGT", n);
    for (size_t at = 100; at + 32 < n; at += 8191)
        memcpy(w->residues.p + at, pattern, strlen(pattern));
    for (size_t at = 16384; at + 32 < n; at += 16384)
        memcpy(w->residues.p + at - 1 - at / 16384 % 20, pattern,
               strlen(pattern));
    for (size_t at = 1u << 20; at + 32 < n; at += 1u << 20)
        memcpy(w->residues.p + at - 7, pattern, strlen(pattern));
    buf_put_slice(&w->value, buf_slice(&w->residues));
    set(w, "k");
    expect_find(w, pattern, 0, 10000, false);
    expect_find(w, pattern, 1000000, 10000, true);
}

/* --- HAMMING -------------------------------------------------------------- */

static uint64_t
differences(const struct buf *a, const struct buf *b)
{
    uint64_t n = 0;

    for (size_t i = 0; i < a->len; i++) {
        uint8_t x = a->p[i] & 0xdf, y = b->p[i] & 0xdf;

        x = x == 'U' ? 'T' : x;
        y = y == 'U' ? 'T' : y;
        n += x != y;
    }
    return n;
}

static void
differences_are_counted_letter_by_letter(void **state)
{
    struct world *w = *state;
    struct buf a = BUF_INIT, b = BUF_INIT;
    char want[64];

    for (unsigned round = 0; round < 6; round++) {
        size_t n = 100 + rng_below(&w->rng, 50000);

        buf_clear(&a);
        buf_clear(&b);
        dna_text_letters(&a, &w->rng, "ACGTNacgtnURy", n);
        buf_put_slice(&b, buf_slice(&a));
        for (size_t i = 0; i < n; i += 1 + rng_below(&w->rng, 30))
            b.p[i] = (uint8_t) "ACGTNYacgtu"[rng_below(&w->rng, 11)];
        buf_clear(&w->value);
        buf_put_slice(&w->value, buf_slice(&a));
        set(w, "a");
        buf_clear(&w->value);
        buf_put_str(&w->value, ">the same, in lines\n");
        for (size_t at = 0; at < n; at += 70) {
            buf_put(&w->value, b.p + at, nq_min(n - at, 70u));
            buf_put_str(&w->value, "\n");
        }
        set(w, "b");
        snprintf(want, sizeof want, ":%llu|",
                 (unsigned long long)differences(&a, &b));
        fake_expect(&w->c, "NQ.DNA HAMMING a b", want);
        fake_expect(&w->c, "NQ.DNA HAMMING b a", want);
        fake_expect(&w->c, "NQ.DNA HAMMING a a", ":0|");
    }
    buf_fini(&a);
    buf_fini(&b);
}

static void
sequences_of_other_lengths_are_not_compared(void **state)
{
    struct world *w = *state;
    const char *error = "-ERR the two sequences are not of the same length|";

    fake_expect(&w->c, "MSET a ACGT b 'ACGT\n' c ACGTA", "+OK|");
    fake_expect(&w->c, "NQ.DNA HAMMING a b", ":0|");
    fake_expect(&w->c, "NQ.DNA HAMMING a c", error);
    fake_expect(&w->c, "NQ.DNA HAMMING c b", error);
    fake_expect(&w->c, "NQ.DNA HAMMING a nothing", error);
    fake_expect(&w->c, "NQ.DNA HAMMING nothing nowhere", ":0|");
    dna_text_letters(&w->value, &w->rng, "A", 100000);
    set(w, "long");
    fake_expect(&w->c, "NQ.DNA HAMMING a long", error);
    fake_expect(&w->c, "NQ.DNA HAMMING long nothing", error);
}

/* --- the rest ------------------------------------------------------------- */

static void
text_of_no_parcel_is_refused(void **state)
{
    struct world *w = *state;
    const char *error =
        "-ERR that was not packed by NQ.DNA ENCODE or COMPRESS|";

    fake_expect(&w->c, "NQ.DNA DECODE ACGT", error);
    fake_expect(&w->c, "NQ.DNA DECODE ''", error);
    fake_expect(&w->c, "NQ.DNA DECOMPRESS NQP0aaaaaaaaaaaa", error);
    fake_expect(&w->c, "NQ.DNA DECODE NQP1",
                "-ERR what NQ.DNA packed there is damaged: it does not give "
                "back the bytes that were packed|");
}

/* The work of a worker ends, and there is nobody left to tell. */
static void
a_client_may_go_while_a_worker_is_at_it(void **state)
{
    struct world *w = *state;

    dna_text_letters(&w->value, &w->rng, "ACGT", 2500000);
    buf_put_str(&w->line, "NQ.DNA ENCODE ");
    buf_put_slice(&w->line, buf_slice(&w->value));
    buf_put_u8(&w->line, '\0');
    fake_send(&w->other, (const char *)w->line.p);
    fake_send(&w->c, "NQ.DNA BENCH 0.01");
    fake_close(&w->other);
    fake_finish(&w->c);
    assert_memory_equal(fake_read(&w->c), "*", 1);
    fake_open(&w->env, &w->other);
}

static void
inside_multi_all_is_done_at_once(void **state)
{
    struct world *w = *state;
    const char *got;

    dna_text_letters(&w->value, &w->rng, "ACGT", 100000);
    set(w, "k");
    fake_expect(&w->c, "MULTI", "+OK|");
    buf_clear(&w->line);
    buf_put_str(&w->line, "NQ.DNA COMPRESS ");
    buf_put_slice(&w->line, buf_slice(&w->value));
    buf_put_u8(&w->line, '\0');
    fake_expect(&w->c, (const char *)w->line.p, "+QUEUED|");
    fake_expect(&w->c, "NQ.DNA FIND k GGGGGGGGGGGGGGGGGGGG", "+QUEUED|");
    fake_expect(&w->c, "NQ.DNA HAMMING k k", "+QUEUED|");
    fake_expect(&w->c, "NQ.DNA BENCH",
                "-ERR Command not allowed inside a transaction|");
    fake_expect(&w->c, "DISCARD", "+OK|");
    fake_expect(&w->c, "MULTI", "+OK|");
    fake_expect(&w->c, (const char *)w->line.p, "+QUEUED|");
    fake_expect(&w->c, "NQ.DNA FIND k GGGGGGGGGGGGGGGGGGGG", "+QUEUED|");
    fake_expect(&w->c, "NQ.DNA HAMMING k k", "+QUEUED|");
    got = fake_ask(&w->c, "EXEC");
    assert_memory_equal(got, "*3|$25", 6);
}

static void
the_bench_has_a_row_for_each_variant(void **state)
{
    struct world *w = *state;
    const char *limit = "-ERR it may take more than 0 and at most 1 seconds|";
    const char *got = fake_ask(&w->c, "NQ.DNA BENCH 0.02");

    assert_non_null(strstr(got, "|$7|variant|$6|scalar|$6|in-use|"));
    assert_non_null(strstr(got, "|$6|memcpy|"));
    fake_expect(&w->c, "NQ.DNA BENCH 0", limit);
    fake_expect(&w->c, "NQ.DNA BENCH 1.5", limit);
    fake_expect(&w->c, "NQ.DNA BENCH x", "-ERR value is not a valid float|");
    fake_expect(&w->c, "NQ.DNA BENCH 1 2", "-ERR syntax error|");
}

static void
statistics_name_codecs_and_kinds_of_data(void **state)
{
    struct world *w = *state;
    const char *got = fake_ask(&w->c, "NQ.DNA STATS");

    assert_non_null(strstr(got, "|$3|dna|*10|$5|tried|:"));
    assert_non_null(strstr(got, "|$5|bases|*8|$6|blocks|:"));
    assert_non_null(strstr(got, "|$5|ratio|$6|1.0000|"));
    assert_non_null(strstr(fake_ask(&w->c, "NQ.DNA HELP"), "HAMMING <key>"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(patterns_are_found_where_they_are),
        TEST(lines_and_headers_are_not_part_of_a_sequence),
        TEST(options_of_find_are_checked),
        TEST(a_plain_search_finds_the_same),
        TEST(seams_of_pieces_and_chunks_hide_nothing),
        TEST(differences_are_counted_letter_by_letter),
        TEST(sequences_of_other_lengths_are_not_compared),
        TEST(text_of_no_parcel_is_refused),
        TEST(a_client_may_go_while_a_worker_is_at_it),
        TEST(inside_multi_all_is_done_at_once),
        TEST(the_bench_has_a_row_for_each_variant),
        TEST(statistics_name_codecs_and_kinds_of_data),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
