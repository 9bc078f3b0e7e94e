/* Random questions to random rows: what a program answers is what an
 * evaluation of the tree that its text was made from answers, in the plainest
 * way, over the tree that the row was made from.
 *
 * SEED repeats a run, QUERY_ROUNDS sets its length. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "../lib/asked_row.h"
#include "base/mem.h"
#include "base/rng.h"
#include "query/program.h"

#define ROWS 6

static struct rng rng;
static uint64_t seed;

/* --- both
 * ---------------------------------------------------------------------- */

static struct program *
compile(const struct slice *args, uint32_t n, const struct question_text *t)
{
    struct query_error err;
    struct program *p;

    if (program_compile(args, n, &p, &err) != NQ_OK)
        fail_msg("SEED=%" PRIu64 ": %.*s: %s", seed, (int)t->all.len,
                 (const char *)t->all.p, err.text);
    return p;
}

/* Compiled from one argument, from its tokens, and from its own text. */
static void
compile_thrice(const struct question_text *t, struct program *out[3])
{
    struct slice *args = nq_calloc(t->count, sizeof *args);
    struct slice all = buf_slice(&t->all), canonical;
    uint32_t begin = 0;

    for (uint32_t i = 0; i < t->count; i++) {
        args[i] = slice_of(all.p + begin, t->ends[i] - begin);
        begin = t->ends[i] + 1;
    }
    out[0] = compile(&all, 1, t);
    out[1] = compile(args, t->count, t);
    canonical = program_text(out[0]);
    out[2] = compile(&canonical, 1, t);
    for (unsigned i = 1; i < 3; i++)
        if (!slice_eq(program_text(out[i]), canonical))
            fail_msg("SEED=%" PRIu64 ": %.*s\n%.*s\n%.*s", seed,
                     (int)t->all.len, (const char *)t->all.p,
                     (int)canonical.len, (const char *)canonical.p,
                     (int)program_text(out[i]).len,
                     (const char *)program_text(out[i]).p);
    nq_free(args);
}

static void
ask(struct asked_row *s, const struct question *q, struct program *const p[3],
    struct row_scratch *scratch)
{
    int want = question_answer(s, q);

    for (unsigned i = 0; i < 3; i++) {
        bool is_match;

        row_scratch_next(scratch);
        is_match = program_run(p[i], &s->row, scratch) == TRUTH_TRUE;
        if (is_match != (want == YES))
            fail_msg("SEED=%" PRIu64 ": %.*s\n%s %.*s: %d, expected %d", seed,
                     (int)program_text(p[0]).len,
                     (const char *)program_text(p[0]).p, s->key,
                     (int)s->row.value.len, (const char *)s->row.value.p,
                     is_match, want);
    }
}

static void
programs_answer_as_their_trees_do(void **state)
{
    const char *text = getenv("QUERY_ROUNDS");
    unsigned rounds = text == NULL ? 3000 : (unsigned)strtoul(text, NULL, 10);
    struct row_scratch *scratch = row_scratch_new();
    unsigned asked = 0, matched = 0;

    (void)state;
    for (unsigned round = 0; round < rounds; round++) {
        struct question_text t;
        struct program *p[3];
        struct question *q;

        q = question_make(&rng);
        question_put(q, &t);
        compile_thrice(&t, p);
        for (unsigned i = 0; i < ROWS; i++) {
            struct asked_row s;

            asked_row_make(&s, &rng);
            ask(&s, q, p, scratch);
            asked++;
            matched += question_answer(&s, q) == YES;
            asked_row_free(&s);
        }
        for (unsigned i = 0; i < 3; i++)
            program_unref(p[i]);
        buf_fini(&t.all);
    }
    assert_in_range(matched, asked / 20, asked - asked / 20);
    row_scratch_free(scratch);
    program_cache_clear();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_answer_as_their_trees_do),
    };
    const char *text = getenv("SEED");

    seed = text == NULL ? rng_seed_from_os() : strtoull(text, NULL, 10);
    rng_seed(&rng, seed);
    printf("SEED=%" PRIu64 "\n", seed);
    return cmocka_run_group_tests_name("query_model", tests, NULL, NULL);
}
