/* Sorted sets against a plain model: random changes with tiny pages and
 * pools, restarts, crashes and checkpoints in between, everything compared;
 * and a few claims of their own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "../lib/db_env.h"
#include "db/db_check.h"
#include "db/zset.h"
#include "os/clock.h"

#define KEYS 3 /* small sets, long ones, those of one score */
#define NAMES 2500
#define ROUNDS 14
#define STEPS 40
#define BATCH 400
#define NOW UINT64_C(1700000000000)

struct model {
    bool has[NAMES];
    double score[NAMES];
    unsigned order[NAMES]; /* of those there are, valid after model_sort() */
    unsigned card;
};

struct world {
    struct env env;
    struct rng rng;
    struct model sets[KEYS];
    char names[NAMES][320];
    struct slice name[NAMES];
};

static struct world *sorting; /* qsort has no argument */
static struct model *sorting_set;

/* --- the model ----------------------------------------------------------- */

static struct slice
key_of(unsigned k)
{
    static const char *const keys[KEYS] = {"small", "long", "flat"};

    return slice_str(keys[k]);
}

static int
compare(const void *pa, const void *pb)
{
    unsigned a = *(const unsigned *)pa, b = *(const unsigned *)pb;
    double sa = sorting_set->score[a], sb = sorting_set->score[b];

    if (sa != sb)
        return sa < sb ? -1 : 1;
    return slice_cmp(sorting->name[a], sorting->name[b]);
}

static void
model_sort(struct world *w, struct model *m)
{
    m->card = 0;
    for (unsigned i = 0; i < NAMES; i++)
        if (m->has[i])
            m->order[m->card++] = i;
    sorting = w;
    sorting_set = m;
    qsort(m->order, m->card, sizeof m->order[0], compare);
}

static double
random_score(struct world *w, unsigned k)
{
    static const double odd[] = {INFINITY, -INFINITY, 0.0,    -0.0,
                                 1e300,    -1e-300,   5e-324, -17};

    if (k == 2)
        return 3.5;
    switch (rng_below(&w->rng, 4)) {
    case 0:
        return odd[rng_below(&w->rng, nq_countof(odd))];
    case 1:
        return (double)rng_below(&w->rng, 10) - 5;
    default:
        return rng_double(&w->rng) * 2000 - 1000;
    }
}

static unsigned
random_name(struct world *w, unsigned k)
{
    return (unsigned)rng_below(&w->rng, k == 0 ? 40 : NAMES);
}

/* --- opening ------------------------------------------------------------- */

/* Finds and opens key k; NQ_NOTFOUND leaves an empty set open. */
static nq_rc
open_set(struct world *w, unsigned k, struct entry *e, struct zset *z)
{
    nq_rc rc;

    *e = (struct entry){0};
    rc = db_find(w->env.db, 0, key_of(k), e);
    if (rc != NQ_OK && rc != NQ_NOTFOUND)
        return rc;
    return zset_open(w->env.db, 0, key_of(k), e, rc == NQ_OK, z);
}

#define with_set(w, k, z, call)                                                \
    ({                                                                         \
        struct entry with_entry;                                               \
        nq_rc with_rc = open_set(w, k, &with_entry, z);                        \
        if (with_rc == NQ_OK) {                                                \
            with_rc = (call);                                                  \
            zset_close(z);                                                     \
        }                                                                      \
        with_rc;                                                               \
    })

/* --- comparing ----------------------------------------------------------- */

static nq_rc
walk(struct zset *z, struct world *w, const struct model *m, bool back)
{
    struct zset_cursor cu;
    unsigned n = 0;
    nq_rc rc;

    zset_cursor_init(&cu, z);
    rc = zset_nth(&cu, back && z->card > 0 ? z->card - 1 : 0);
    for (; rc == NQ_OK && cu.valid; n++) {
        unsigned i = m->order[back ? m->card - 1 - n : n];

        assert_true(n < m->card);
        assert_true(slice_eq(cu.at.name, w->name[i]));
        assert_true(cu.at.score == m->score[i]);
        rc = back ? zset_prev(&cu) : zset_next(&cu);
    }
    zset_cursor_fini(&cu);
    if (rc == NQ_OK)
        assert_int_equal(n, m->card);
    return rc;
}

static void
compare_set(struct world *w, unsigned k)
{
    struct model *m = &w->sets[k];
    struct env *e = &w->env;
    struct zset z;

    model_sort(w, m);
    assert_int_equal(env_run(e, with_set(w, k, &z, zset_check(&z))), NQ_OK);
    assert_int_equal(env_run(e, with_set(w, k, &z, walk(&z, w, m, false))),
                     NQ_OK);
    assert_int_equal(env_run(e, with_set(w, k, &z, walk(&z, w, m, true))),
                     NQ_OK);
}

static void
compare_member(struct world *w, unsigned k)
{
    struct model *m = &w->sets[k];
    unsigned i = random_name(w, k), at = 0;
    uint64_t rank = 0;
    double score = 0;
    struct zset z;
    nq_rc rc;

    model_sort(w, m);
    rc = env_run(&w->env,
                 with_set(w, k, &z, zset_rank(&z, w->name[i], &rank, &score)));
    assert_int_equal(rc, m->has[i] ? NQ_OK : NQ_NOTFOUND);
    if (!m->has[i])
        return;
    while (m->order[at] != i)
        at++;
    assert_int_equal(rank, at);
    assert_true(score == m->score[i]);
}

static void
compare_score_range(struct world *w, unsigned k)
{
    struct score_range r = {random_score(w, k), random_score(w, k),
                            rng_below(&w->rng, 2), rng_below(&w->rng, 2)};
    struct model *m = &w->sets[k];
    unsigned from = 0, n = 0;
    struct span span;
    struct zset z;

    model_sort(w, m);
    for (unsigned i = 0; i < m->card; i++) {
        double s = m->score[m->order[i]];
        bool above = r.min_open ? s > r.min : s >= r.min;
        bool below = r.max_open ? s < r.max : s <= r.max;

        from += !above;
        n += above && below;
    }
    assert_int_equal(
        env_run(&w->env, with_set(w, k, &z, zset_by_score(&z, &r, &span))),
        NQ_OK);
    assert_int_equal(span.n, n);
    if (n > 0)
        assert_int_equal(span.from, from);
}

static void
compare_lex_range(struct world *w)
{
    struct lex_range r = {w->name[random_name(w, 2)],
                          w->name[random_name(w, 2)],
                          (enum lex_end)rng_below(&w->rng, 4),
                          (enum lex_end)rng_below(&w->rng, 4)};
    struct model *m = &w->sets[2];
    unsigned from = 0, n = 0;
    struct span span;
    struct zset z;

    model_sort(w, m);
    for (unsigned i = 0; i < m->card; i++) {
        struct slice name = w->name[m->order[i]];
        int lo = slice_cmp(name, r.min), hi = slice_cmp(name, r.max);
        bool above = r.min_end == LEX_FIRST ||
                     (r.min_end == LEX_INCLUDED && lo >= 0) ||
                     (r.min_end == LEX_EXCLUDED && lo > 0);
        bool below = r.max_end == LEX_LAST ||
                     (r.max_end == LEX_INCLUDED && hi <= 0) ||
                     (r.max_end == LEX_EXCLUDED && hi < 0);

        from += !above;
        n += above && below;
    }
    assert_int_equal(
        env_run(&w->env, with_set(w, 2, &z, zset_by_lex(&z, &r, &span))),
        NQ_OK);
    assert_int_equal(span.n, n);
    if (n > 0)
        assert_int_equal(span.from, from);
}

/* --- random changes ------------------------------------------------------ */

static nq_rc
add(struct world *w, unsigned k, const struct member *members, uint32_t n,
    unsigned flags, struct zset_added *out)
{
    struct entry e = {0};
    nq_rc rc = db_find_write(w->env.db, 0, key_of(k), &e);

    if (rc != NQ_OK && rc != NQ_NOTFOUND)
        return rc;
    return zset_add(w->env.db, 0, key_of(k), &e, rc == NQ_OK, members, n, flags,
                    "zadd", out);
}

static void
model_add(struct model *m, unsigned i, double score, unsigned flags,
          struct zset_added *out)
{
    if (m->has[i] ? flags & ZSET_NX : flags & ZSET_XX)
        return;
    if (m->has[i] && flags & ZSET_INCR)
        score += m->score[i];
    if (m->has[i] && ((flags & ZSET_GT && score <= m->score[i]) ||
                      (flags & ZSET_LT && score >= m->score[i])))
        return;
    out->added += !m->has[i];
    out->updated += m->has[i] && score != m->score[i];
    if (!m->has[i] || score != m->score[i])
        m->score[i] = score;
    m->has[i] = true;
}

static void
do_add(struct world *w, unsigned k)
{
    static const unsigned modes[] = {
        0, 0, 0, ZSET_NX, ZSET_XX, ZSET_GT, ZSET_LT, ZSET_XX | ZSET_GT};
    unsigned flags = modes[rng_below(&w->rng, nq_countof(modes))];
    uint32_t n = 1 + (uint32_t)rng_below(&w->rng, k == 0 ? 5 : BATCH);
    struct zset_added got, want = {0};
    struct member members[BATCH];

    n = rng_below(&w->rng, 2) ? n : 1;
    for (uint32_t i = 0; i < n; i++) {
        unsigned at = random_name(w, k);

        members[i] = (struct member){w->name[at], random_score(w, k)};
        model_add(&w->sets[k], at, members[i].score, flags, &want);
    }
    assert_int_equal(env_run(&w->env, add(w, k, members, n, flags, &got)),
                     NQ_OK);
    assert_int_equal(got.added, want.added);
    assert_int_equal(got.updated, want.updated);
}

static void
do_increment(struct world *w, unsigned k)
{
    unsigned i = random_name(w, k);
    struct model *m = &w->sets[k];
    double delta = k == 2 ? 0 : random_score(w, k);
    struct member one = {w->name[i], delta};
    struct zset_added got, want = {0};
    nq_rc rc;

    if (k == 2 && !m->has[i])
        return;
    rc = env_run(&w->env, add(w, k, &one, 1, ZSET_INCR, &got));
    if (m->has[i] && isnan(m->score[i] + delta)) {
        assert_int_equal(rc, NQ_ENAN);
        return;
    }
    assert_int_equal(rc, NQ_OK);
    model_add(m, i, delta, ZSET_INCR, &want);
    assert_true(got.score == m->score[i]);
}

static nq_rc
remove_names(struct world *w, unsigned k, const struct slice *names, uint32_t n,
             uint64_t *removed)
{
    struct entry e = {0};
    nq_rc rc = db_find_write(w->env.db, 0, key_of(k), &e);

    *removed = 0;
    if (rc != NQ_OK)
        return rc == NQ_NOTFOUND ? NQ_OK : rc;
    return zset_rem(w->env.db, 0, key_of(k), &e, names, n, "zrem", removed);
}

static void
do_remove(struct world *w, unsigned k)
{
    struct model *m = &w->sets[k];
    uint32_t n = 1 + (uint32_t)rng_below(&w->rng, 8);
    uint64_t removed, want = 0;
    struct slice names[8];

    for (uint32_t i = 0; i < n; i++) {
        unsigned at = random_name(w, k);

        names[i] = w->name[at];
        want += m->has[at];
        m->has[at] = false;
    }
    assert_int_equal(env_run(&w->env, remove_names(w, k, names, n, &removed)),
                     NQ_OK);
    assert_int_equal(removed, want);
}

static nq_rc
remove_span(struct world *w, unsigned k, struct span span)
{
    struct entry e = {0};
    nq_rc rc = db_find_write(w->env.db, 0, key_of(k), &e);

    return rc != NQ_OK ? rc
                       : zset_rem_span(w->env.db, 0, key_of(k), &e, span,
                                       "zremrangebyrank");
}

static void
do_remove_span(struct world *w, unsigned k)
{
    struct model *m = &w->sets[k];
    struct span span;

    model_sort(w, m);
    if (m->card == 0)
        return;
    span.from = rng_below(&w->rng, m->card);
    span.n = 1 + rng_below(&w->rng, m->card - span.from);
    if (rng_below(&w->rng, 2))
        span.n = nq_min(span.n, 20u);
    assert_int_equal(env_run(&w->env, remove_span(w, k, span)), NQ_OK);
    for (uint64_t i = 0; i < span.n; i++)
        m->has[m->order[span.from + i]] = false;
}

struct popped {
    struct world *w;
    struct model *m;
    unsigned n;
    bool from_max;
};

static void
on_pop(void *arg, const struct member *got)
{
    struct popped *p = arg;
    unsigned at = p->from_max ? p->m->card - 1 - p->n : p->n;
    unsigned i = p->m->order[at];

    assert_true(slice_eq(got->name, p->w->name[i]));
    assert_true(got->score == p->m->score[i]);
    p->n++;
}

static nq_rc
pop(struct world *w, unsigned k, uint64_t n, struct popped *p)
{
    struct entry e = {0};
    nq_rc rc = db_find_write(w->env.db, 0, key_of(k), &e);

    p->n = 0;
    if (rc != NQ_OK)
        return rc == NQ_NOTFOUND ? NQ_OK : rc;
    return zset_pop(w->env.db, 0, key_of(k), &e, p->from_max, n, on_pop, p);
}

static void
do_pop(struct world *w, unsigned k)
{
    struct popped p = {w, &w->sets[k], 0, rng_below(&w->rng, 2)};
    uint64_t n = rng_below(&w->rng, 3) ? 1 : rng_below(&w->rng, 700);
    struct model *m = p.m;

    model_sort(w, m);
    assert_int_equal(env_run(&w->env, pop(w, k, n, &p)), NQ_OK);
    assert_int_equal(p.n, nq_min(n, m->card));
    for (unsigned i = 0; i < p.n; i++)
        m->has[m->order[p.from_max ? m->card - 1 - i : i]] = false;
}

static nq_rc
sweep(struct world *w, unsigned k, uint64_t *left)
{
    struct entry e = {0};
    nq_rc rc = db_find_write(w->env.db, 0, key_of(k), &e);

    *left = 0;
    if (rc != NQ_OK)
        return rc == NQ_NOTFOUND ? NQ_OK : rc;
    return zset_sweep(w->env.db, 0, key_of(k), &e, 100, left);
}

static void
do_sweep(struct world *w, unsigned k)
{
    uint64_t left;

    assert_int_equal(env_run(&w->env, sweep(w, k, &left)), NQ_OK);
}

static void
do_copy(struct world *w, unsigned k)
{
    struct env *e = &w->env;
    nq_rc rc = env_run(e, db_copy(e->db, 0, key_of(k), 1, slice_lit("copy")));

    model_sort(w, &w->sets[k]);
    assert_int_equal(rc, w->sets[k].card > 0 ? NQ_OK : NQ_NOTFOUND);
    if (rc == NQ_OK && rng_below(&w->rng, 2))
        assert_int_equal(
            env_run(e, db_rename(e->db, 1, slice_lit("copy"), 0, key_of(k))),
            NQ_OK);
}

static void
step(struct world *w)
{
    unsigned k = (unsigned)rng_below(&w->rng, KEYS);
    unsigned what = (unsigned)rng_below(&w->rng, 100);

    if (what < 40)
        do_add(w, k);
    else if (what < 48)
        do_increment(w, k);
    else if (what < 56)
        do_remove(w, k);
    else if (what < 62)
        do_remove_span(w, k);
    else if (what < 68)
        do_pop(w, k);
    else if (what < 74)
        do_sweep(w, k);
    else if (what < 76)
        do_copy(w, k);
    else if (what < 84)
        compare_member(w, k);
    else if (what < 92)
        compare_score_range(w, k);
    else
        compare_lex_range(w);
}

static void
end_round(struct world *w)
{
    struct env *e = &w->env;

    switch (rng_below(&w->rng, 4)) {
    case 0:
        env_close(e, rng_below(&w->rng, 2));
        env_open(e);
        break;
    case 1:
        env_crash(e);
        env_open(e);
        break;
    case 2:
        env_settle(e);
        break;
    default:
        env_checkpoint(e);
    }
    for (unsigned k = 0; k < KEYS; k++)
        compare_set(w, k);
    env_check(e);
}

static void
run(struct world *w, uint32_t page_size, uint64_t pool_bytes)
{
    env_init(&w->env, page_size, pool_bytes);
    for (int round = 0; round < ROUNDS; round++) {
        for (int n = 0; n < STEPS; n++) {
            step(w);
            if (rng_below(&w->rng, 4) == 0)
                env_turn(&w->env);
        }
        end_round(w);
    }
    env_fini(&w->env);
}

static void
sorted_sets_equal_the_model(void **state)
{
    run(*state, 4096, 64 << 20);
}

static void
sorted_sets_equal_the_model_with_pages_out_of_memory(void **state)
{
    run(*state, 4096, 1 << 20);
}

/* --- claims -------------------------------------------------------------- */

static void
add_many(struct world *w, unsigned k, unsigned n)
{
    struct zset_added added;

    for (unsigned i = 0; i < n; i++) {
        struct member m = {w->name[i], i};

        assert_int_equal(env_run(&w->env, add(w, k, &m, 1, 0, &added)), NQ_OK);
    }
}

static void
a_long_range_leaves_nothing_behind_in_the_end(void **state)
{
    struct world *w = *state;
    uint64_t left = 1, turns = 0;
    struct zset z;

    env_init(&w->env, 4096, 64 << 20);
    add_many(w, 1, 2000);
    assert_int_equal(
        env_run(&w->env, remove_span(w, 1, (struct span){10, 1500})), NQ_OK);
    while (left > 0 && turns++ < 1000)
        assert_int_equal(env_run(&w->env, sweep(w, 1, &left)), NQ_OK);
    assert_int_equal(left, 0);
    assert_int_equal(env_run(&w->env, with_set(w, 1, &z, zset_check(&z))),
                     NQ_OK);
    assert_int_equal(env_run(&w->env, with_set(w, 1, &z, NQ_OK)), NQ_OK);
    assert_int_equal(z.card, 500);
    assert_int_equal(z.coll.count, 1000);
    env_fini(&w->env);
}

static void
ordinary_changes_sweep_too(void **state)
{
    struct world *w = *state;
    struct zset_added added;
    struct zset z;

    env_init(&w->env, 4096, 64 << 20);
    add_many(w, 1, 2000);
    assert_int_equal(
        env_run(&w->env, remove_span(w, 1, (struct span){0, 1900})), NQ_OK);
    for (unsigned i = 0; i < 200; i++) {
        struct member m = {w->name[1999], -(double)i};

        assert_int_equal(env_run(&w->env, add(w, 1, &m, 1, 0, &added)), NQ_OK);
    }
    assert_int_equal(env_run(&w->env, with_set(w, 1, &z, NQ_OK)), NQ_OK);
    assert_int_equal(z.coll.count, 200);
    env_fini(&w->env);
}

static void
the_last_member_takes_the_key_with_it(void **state)
{
    struct world *w = *state;
    struct buf events = BUF_INIT;
    uint64_t removed;

    env_init(&w->env, 4096, 64 << 20);
    add_many(w, 1, 2000);
    assert_int_equal(
        env_run(&w->env, remove_span(w, 1, (struct span){1, 1999})), NQ_OK);
    w->env.events = &events;
    assert_int_equal(
        env_run(&w->env, remove_names(w, 1, &w->name[0], 1, &removed)), NQ_OK);
    w->env.events = NULL;
    buf_put_u8(&events, 0);
    assert_string_equal((const char *)events.p,
                        "z zrem 0 long\ng del 0 long\n");
    assert_null(env_record(&w->env, 0, key_of(1)).val.p);
    buf_fini(&events);
    env_settle(&w->env);
    env_check(&w->env);
    env_fini(&w->env);
}

static void
encodings_follow_the_limits_and_never_go_back(void **state)
{
    struct world *w = *state;
    struct entry e = {0};
    uint64_t removed;

    env_init(&w->env, 4096, 64 << 20);
    for (unsigned i = 0; i < NAMES; i++)
        w->name[i].len = 7;
    add_many(w, 0, 128);
    assert_int_equal(db_find(w->env.db, 0, key_of(0), &e), NQ_OK);
    assert_string_equal(zset_encoding(&e), "listpack");
    add_many(w, 0, 129);
    for (unsigned i = 0; i < 128; i++)
        assert_int_equal(
            env_run(&w->env, remove_names(w, 0, &w->name[i], 1, &removed)),
            NQ_OK);
    env_crash(&w->env);
    env_open(&w->env);
    e = (struct entry){0};
    assert_int_equal(env_run(&w->env, db_find(w->env.db, 0, key_of(0), &e)),
                     NQ_OK);
    assert_string_equal(zset_encoding(&e), "skiplist");
    env_fini(&w->env);
}

static void
a_name_that_is_too_long_changes_nothing(void **state)
{
    struct world *w = *state;
    uint8_t *big = nq_calloc(1, 70000);
    struct member members[2] = {{slice_lit("a"), 1}, {slice_of(big, 70000), 2}};
    struct zset_added added;

    env_init(&w->env, 4096, 64 << 20);
    assert_int_equal(env_run(&w->env, add(w, 0, members, 2, 0, &added)),
                     NQ_EKEYLEN);
    assert_null(env_record(&w->env, 0, key_of(0)).val.p);
    nq_free(big);
    env_fini(&w->env);
}

/* --- frame --------------------------------------------------------------- */

static void
make_names(struct world *w)
{
    for (unsigned i = 0; i < NAMES; i++) {
        int n = snprintf(w->names[i], sizeof w->names[i], "m:%05u",
                         (i * 7919) % NAMES);

        if (i % 41 == 40) { /* some are long */
            memset(w->names[i] + n, 'x', 300);
            n += 300;
        }
        w->name[i] = slice_of(w->names[i], (size_t)n);
    }
}

static int
setup(void **state)
{
    const char *text = getenv("SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : rng_seed_from_os();
    struct world *w = nq_calloc(1, sizeof *w);

    print_message("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&w->rng, seed);
    make_names(w);
    clock_freeze_wall(NOW);
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    nq_free(*state);
    clock_freeze_wall(0);
    return 0;
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(sorted_sets_equal_the_model),
        T(sorted_sets_equal_the_model_with_pages_out_of_memory),
        T(a_long_range_leaves_nothing_behind_in_the_end),
        T(ordinary_changes_sweep_too),
        T(the_last_member_takes_the_key_with_it),
        T(encodings_follow_the_limits_and_never_go_back),
        T(a_name_that_is_too_long_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
