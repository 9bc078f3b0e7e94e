/* Grover's search, simulated: what the states come to equals the formulas,
 * and an independent simulation that multiplies matrices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <math.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "quantum/amplitudes_int.h"
#include "quantum/search.h"
#include "quantum/theory.h"

static struct rng rng;

/* --- fixtures -------------------------------------------------------------
 */

/* `marked` states of `rows`, drawn by chance. */
static struct oracle
oracle_of(uint64_t rows, uint64_t marked)
{
    struct oracle o = ORACLE_INIT;
    uint64_t left = marked;

    for (uint64_t i = 0; i < rows; i++) {
        bool is_marked = rng_below(&rng, rows - i) < left;

        oracle_add(&o, is_marked);
        left -= is_marked;
    }
    assert_int_equal(o.marked, marked);
    return o;
}

static void
check_after(uint64_t rows, uint64_t marked, uint64_t k, bool is_complex)
{
    struct oracle o = oracle_of(rows, marked);
    struct amplitudes *a = amplitudes_new(rows, is_complex);
    struct amplitudes_sums sums;

    assert_true(amplitudes_iterate(a, &o, k, NULL));
    assert_int_equal(amplitudes_iterations(a), k);
    amplitudes_sum(a, &o, &sums);
    if (fabs(sums.norm - 1) > 1e-12 ||
        fabs(sums.success - theory_success(rows, marked, k)) > 1e-9)
        fail_msg("%llu of %llu after %llu: norm 1%+g, success %.12f",
                 (unsigned long long)marked, (unsigned long long)rows,
                 (unsigned long long)k, sums.norm - 1, sums.success);
    amplitudes_free(a);
    oracle_fini(&o);
}

/* Calls `check` once with each variant that is here. */
static void
with_each_variant(void (*check)(void))
{
    enum amplitudes_variant best = amplitudes_variant();

    for (unsigned v = 0; v < AMPLITUDES_KINDS; v++) {
        if (!amplitudes_has((enum amplitudes_variant)v))
            continue;
        amplitudes_choose((enum amplitudes_variant)v);
        check();
    }
    amplitudes_choose(best);
}

/* --- states ---------------------------------------------------------------
 */

/* Some numbers of matches for each n, with the best number of iterations and
 * with others. */
static void
check_formula(void)
{
    for (unsigned n = 1; n <= 14; n++) {
        uint64_t rows = UINT64_C(1) << n;

        for (uint64_t m = 1; m <= rows; m = m * 3 + rng_below(&rng, 3)) {
            check_after(rows, m, theory_iterations(rows, m), n % 2 == 0);
            check_after(rows, m, rng_below(&rng, 60), false);
        }
        check_after(rows, 0, 5, false);
        check_after(rows, rows, 5, true);
    }
}

static void
success_equals_the_formula(void **state)
{
    (void)state;
    with_each_variant(check_formula);
}

static void
large_states_stay_exact(void **state)
{
    (void)state;
    for (unsigned n = 15; n <= 19; n++) {
        uint64_t rows = UINT64_C(1) << n;

        check_after(rows, 1 + rng_below(&rng, 40), 100, false);
    }
    check_after(UINT64_C(1) << 20, 1, 804, false);
}

static void
rows_need_no_power_of_two(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        uint64_t rows = 1 + rng_below(&rng, 1000);

        check_after(rows, rng_below(&rng, rows + 1), rng_below(&rng, 40),
                    rng_below(&rng, 2) == 0);
    }
}

static void
iterations_are_those_of_the_books(void **state)
{
    (void)state;
    assert_int_equal(theory_iterations(1u << 10, 1), 25);
    assert_int_equal(theory_iterations(1u << 14, 1), 100);
    assert_int_equal(theory_iterations(1u << 17, 1), 284);
    assert_int_equal(theory_iterations(1u << 20, 1), 804);
    assert_int_equal(theory_iterations(1000, 1), 24);
    assert_int_equal(theory_iterations(4, 1), 1);
    assert_int_equal(theory_iterations(4, 4), 0);
    for (uint64_t n = 1000; n < 1 << 20; n = n * 3 / 2) {
        uint64_t least = theory_matches_least(n, 100);

        assert_true(theory_iterations(n, least) <= 100);
        assert_true(least == 1 || theory_iterations(n, least - 1) > 100);
    }
}

static void
qubits_and_bytes_are_those_of_the_power_of_two(void **state)
{
    (void)state;
    assert_int_equal(theory_qubits(1), 0);
    assert_int_equal(theory_qubits(2), 1);
    assert_int_equal(theory_qubits(1000), 10);
    assert_int_equal(theory_qubits(1024), 10);
    assert_int_equal(theory_qubits(1025), 11);
    assert_int_equal(amplitudes_bytes(1000, false), 8192);
    assert_int_equal(amplitudes_bytes(1 << 10, true), 16 << 10);
    assert_int_equal(amplitudes_bytes(1 << 15, true), 512 << 10);
    assert_int_equal(amplitudes_bytes(1 << 20, true), 16 << 20);
    assert_int_equal(amplitudes_bytes(1 << 25, true), 512 << 20);
}

/* Grover's operator as a matrix, multiplied in long double. */
static void
check_against_matrix(uint64_t rows, uint64_t marked, unsigned k)
{
    struct oracle o = oracle_of(rows, marked);
    struct amplitudes *a = amplitudes_new(rows, true);
    long double *v = nq_calloc(rows, sizeof *v),
                *w = nq_calloc(rows, sizeof *w);
    double re, im;

    for (uint64_t i = 0; i < rows; i++)
        v[i] = 1 / sqrtl((long double)rows);
    for (unsigned step = 0; step < k; step++) {
        for (uint64_t i = 0; i < rows; i++) {
            w[i] = 0;
            for (uint64_t j = 0; j < rows; j++) {
                long double d = 2 / (long double)rows - (i == j);

                w[i] += (oracle_has(&o, j) ? -d : d) * v[j];
            }
        }
        for (uint64_t i = 0; i < rows; i++)
            v[i] = w[i];
    }
    assert_true(amplitudes_iterate(a, &o, k, NULL));
    for (uint64_t i = 0; i < rows; i++) {
        amplitudes_get(a, i, &re, &im);
        assert_true(fabsl(re - v[i]) < 1e-12L);
        assert_true(im == 0);
    }
    nq_free(v);
    nq_free(w);
    amplitudes_free(a);
    oracle_fini(&o);
}

static void
amplitudes_equal_a_product_of_matrices(void **state)
{
    (void)state;
    check_against_matrix(1, 1, 3);
    check_against_matrix(64, 1, 6);
    check_against_matrix(100, 3, 9);
    check_against_matrix(200, 90, 7);
}

/* The same bits, whatever the marks. */
static void
variants_give_the_same_bits(void **state)
{
    enum amplitudes_variant best = amplitudes_variant();
    uint64_t rows = 64 * 40 + 17;
    struct oracle o = oracle_of(rows, 300);
    struct amplitudes *want = amplitudes_new(rows, false), *got;
    double x, y, im;

    (void)state;
    amplitudes_choose(AMPLITUDES_SCALAR);
    assert_true(amplitudes_iterate(want, &o, 33, NULL));
    for (unsigned v = 0; v < AMPLITUDES_KINDS; v++) {
        if (!amplitudes_has((enum amplitudes_variant)v))
            continue;
        amplitudes_choose((enum amplitudes_variant)v);
        got = amplitudes_new(rows, false);
        assert_true(amplitudes_iterate(got, &o, 33, NULL));
        for (uint64_t i = 0; i < rows; i++) {
            amplitudes_get(want, i, &x, &im);
            amplitudes_get(got, i, &y, &im);
            assert_memory_equal(&x, &y, sizeof x);
        }
        amplitudes_free(got);
    }
    amplitudes_choose(best);
    amplitudes_free(want);
    oracle_fini(&o);
}

static void
measurements_follow_the_squares(void **state)
{
    struct oracle o = oracle_of(10, 2);
    struct amplitudes *a = amplitudes_new(10, false);
    unsigned seen[10] = {0}, draws = 20000;
    double re, im;

    (void)state;
    assert_true(amplitudes_iterate(a, &o, 3, NULL));
    for (unsigned i = 0; i < draws; i++)
        seen[amplitudes_measure(a, rng_double(&rng))]++;
    for (unsigned i = 0; i < 10; i++) {
        double p, sigma;

        amplitudes_get(a, i, &re, &im);
        p = re * re;
        sigma = sqrt(draws * p * (1 - p));
        assert_true(fabs(seen[i] - draws * p) < 5 * sigma + 1);
    }
    assert_true(amplitudes_measure(a, 0.9999999999999999) < 10);
    amplitudes_free(a);
    oracle_fini(&o);
}

static void
ranks_count_the_marks_below(void **state)
{
    struct oracle o = oracle_of(500, 77), copy = ORACLE_INIT;
    uint64_t want = 0;

    (void)state;
    for (uint64_t i = 0; i <= 500; i++) {
        assert_int_equal(oracle_rank(&o, i), want);
        want += i < 500 && oracle_has(&o, i);
    }
    oracle_set(&o, 3, true);
    oracle_set(&o, 3, false);
    assert_false(oracle_has(&o, 3));
    o.words[7] |= UINT64_C(1) << 63; /* no state's */
    oracle_copy(&copy, o.words, 500);
    assert_int_equal(copy.words[7] >> 52, 0);
    assert_int_equal(copy.marked, oracle_rank(&o, 500));
    oracle_fini(&copy);
    oracle_fini(&o);
}

/* --- searches -------------------------------------------------------------
 */

static void
search_finds_each_match(void **state)
{
    struct search_opts opts = {
        .way = SEARCH_KNOWN, .matches = 5, .max_iterations = 1000};
    struct oracle o = oracle_of(3000, 5);
    struct search *s = search_new(&o, &opts, 1, NULL);
    uint64_t row, last = UINT64_MAX;

    (void)state;
    while (o.marked > 0) {
        assert_int_equal(search_find(s, &row), SEARCH_FOUND);
        assert_true(oracle_has(&o, row));
        assert_int_not_equal(row, last);
        assert_true(search_counts(s)->norm_error < 1e-12);
        last = row;
        oracle_set(&o, row, false);
        search_forget(s, o.marked);
    }
    assert_true(search_counts(s)->runs >= 5);
    search_free(s);
    oracle_fini(&o);
}

static void
seeds_repeat_a_search(void **state)
{
    struct search_opts opts = {.way = SEARCH_UNKNOWN, .max_iterations = 1000};
    struct oracle o = oracle_of(2000, 9);
    uint64_t row[2];
    struct search_counts counts[2];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct search *s = search_new(&o, &opts, 42, NULL);

        assert_int_equal(search_find(s, &row[i]), SEARCH_FOUND);
        counts[i] = *search_counts(s);
        search_free(s);
    }
    assert_int_equal(row[0], row[1]);
    assert_memory_equal(&counts[0], &counts[1], sizeof counts[0]);
    oracle_fini(&o);
}

static void
pauses_change_nothing(void **state)
{
    struct search_opts opts = {
        .way = SEARCH_KNOWN, .matches = 2, .max_iterations = 1000};
    struct oracle o = oracle_of(2000, 2);
    struct search_counts counts[2];
    unsigned pauses = 0;
    uint64_t row[2];

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct search *s;
        enum search_end end;

        opts.pace = i == 0 ? 0 : 7000;
        s = search_new(&o, &opts, 43, NULL);
        while ((end = search_find(s, &row[i])) == SEARCH_PAUSED)
            pauses++;
        assert_int_equal(end, SEARCH_FOUND);
        counts[i] = *search_counts(s);
        search_free(s);
    }
    assert_true(pauses > 0);
    assert_int_equal(row[0], row[1]);
    assert_memory_equal(&counts[0], &counts[1], sizeof counts[0]);
    oracle_fini(&o);
}

/* Enough searches that what is allowed is five standard deviations of the
 * mean. */
static void
check_unknown(uint64_t rows, uint64_t marked)
{
    struct search_opts opts = {.way = SEARCH_UNKNOWN, .max_iterations = 1000};
    struct oracle o = oracle_of(rows, marked);
    uint64_t row, seed = 7, calls = 0, searches = 20000;
    double mean, want = theory_unknown(rows, marked);

    for (uint64_t i = 0; i < searches; i++) {
        struct search *s = search_new(&o, &opts, seed++, NULL);

        assert_int_equal(search_find(s, &row), SEARCH_FOUND);
        calls += search_counts(s)->calls;
        search_free(s);
    }
    mean = (double)calls / (double)searches;
    if (fabs(mean - want) > 0.05 * want)
        fail_msg("%llu of %llu: %.2f calls, %.2f in theory",
                 (unsigned long long)marked, (unsigned long long)rows, mean,
                 want);
    oracle_fini(&o);
}

static void
unknown_matches_cost_what_theory_says(void **state)
{
    (void)state;
    check_unknown(256, 1);
    check_unknown(250, 4);
    check_unknown(100, 10);
}

/* Boyer and others prove 9/2 sqrt(rows / matches) for up to 3/4 of them. */
static void
theory_of_unknown_matches_keeps_its_bound(void **state)
{
    (void)state;
    for (uint64_t m = 1; m <= 768; m++)
        assert_true(theory_unknown(1024, m) <= 4.5 * sqrt(1024.0 / (double)m));
    assert_true(theory_unknown(1024, 1024) == 0);
}

static void
searches_end_at_their_limits(void **state)
{
    struct search_opts opts = {
        .way = SEARCH_KNOWN, .matches = 1, .max_iterations = 24};
    struct oracle o = oracle_of(1024, 1);
    atomic_bool cancel = true;
    struct search *s = search_new(&o, &opts, 1, NULL);
    uint64_t row;

    (void)state;
    assert_int_equal(search_find(s, &row), SEARCH_TOO_LONG);
    search_free(s);
    opts.max_iterations = 25;
    s = search_new(&o, &opts, 1, &cancel);
    assert_int_equal(search_find(s, &row), SEARCH_CANCELLED);
    atomic_store(&cancel, false);
    assert_int_equal(search_find(s, &row), SEARCH_FOUND);
    search_free(s);
    oracle_set(&o, row, false);
    s = search_new(&o, &opts, 1, NULL);
    assert_int_equal(search_find(s, &row), SEARCH_GAVE_UP);
    assert_int_equal(search_counts(s)->runs, SEARCH_RUNS_MOST);
    search_free(s);
    oracle_fini(&o);
}

/* Within their bound on average, and never wrong. */
static void
least_numbers_are_found(void **state)
{
    double numbers[500];
    uint64_t calls = 0;

    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        struct search_least l = {.numbers = numbers,
                                 .rows = 1 + rng_below(&rng, 500),
                                 .wants_greatest = i % 2 == 1,
                                 .opts.max_iterations = 1000,
                                 .opts.pace = i % 3 * 1000,
                                 .seed = i};
        enum search_end end;

        for (unsigned j = 0; j < l.rows; j++)
            numbers[j] = (double)rng_below(&rng, 1000) - 500;
        do
            end = search_least(&l);
        while (end == SEARCH_PAUSED);
        assert_int_equal(end, SEARCH_FOUND);
        for (unsigned j = 0; j < l.rows; j++)
            assert_true(l.wants_greatest ? numbers[j] <= numbers[l.row]
                                         : numbers[j] >= numbers[l.row]);
        calls += l.counts.calls;
    }
    assert_true((double)calls / 200 < theory_least(500));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(success_equals_the_formula),
        cmocka_unit_test(large_states_stay_exact),
        cmocka_unit_test(rows_need_no_power_of_two),
        cmocka_unit_test(iterations_are_those_of_the_books),
        cmocka_unit_test(qubits_and_bytes_are_those_of_the_power_of_two),
        cmocka_unit_test(amplitudes_equal_a_product_of_matrices),
        cmocka_unit_test(variants_give_the_same_bits),
        cmocka_unit_test(measurements_follow_the_squares),
        cmocka_unit_test(ranks_count_the_marks_below),
        cmocka_unit_test(search_finds_each_match),
        cmocka_unit_test(seeds_repeat_a_search),
        cmocka_unit_test(pauses_change_nothing),
        cmocka_unit_test(unknown_matches_cost_what_theory_says),
        cmocka_unit_test(theory_of_unknown_matches_keeps_its_bound),
        cmocka_unit_test(searches_end_at_their_limits),
        cmocka_unit_test(least_numbers_are_found),
    };
    const char *seed = getenv("SEED");
    uint64_t s = seed != NULL ? strtoull(seed, NULL, 10) : rng_seed_from_os();

    printf("SEED=%llu\n", (unsigned long long)s);
    rng_seed(&rng, s);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
