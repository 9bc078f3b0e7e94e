/* Lists against a plain model: random changes with tiny pages and pools,
 * checkpoints, restarts and crashes in between, everything compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../lib/list_calls.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "os/clock.h"

#define LISTS 5
#define ROUNDS 5
#define STEPS 150
#define MODEL_MAX 4000 /* elements */
#define NOISE_MAX (1u << 20)
#define NOW UINT64_C(1700000000000)

/* --- the model ----------------------------------------------------------- */

struct elem {
    size_t off, len; /* in the world's noise */
};

struct model {
    struct elem at[MODEL_MAX];
    unsigned n;
};

struct world {
    struct env env;
    struct rng rng;
    struct model lists[LISTS];
    struct model other;       /* scratch */
    size_t big_max, list_max; /* bytes: a command's pages must fit the pool */
    uint8_t *noise;
};

static struct slice
bytes_of(const struct world *w, struct elem e)
{
    return slice_of(w->noise + e.off, e.len);
}

static void
model_insert(struct model *m, unsigned at, struct elem e)
{
    assert_in_range(at, 0, m->n);
    memmove(m->at + at + 1, m->at + at, (m->n - at) * sizeof m->at[0]);
    m->at[at] = e;
    m->n++;
}

static void
model_remove(struct model *m, unsigned at, unsigned n)
{
    assert_in_range(at + n, 0, m->n);
    memmove(m->at + at, m->at + at + n, (m->n - at - n) * sizeof m->at[0]);
    m->n -= n;
}

/* May it take n more? */
static bool
has_room(const struct world *w, const struct model *m, unsigned n)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < m->n; i++)
        bytes += m->at[i].len;
    return m->n + n <= MODEL_MAX && bytes < w->list_max;
}

static unsigned
below(struct world *w, size_t n)
{
    return (unsigned)rng_below(&w->rng, n);
}

/* Short texts, integers, what fills a chunk, what does not fit one. */
static struct elem
random_elem(struct world *w)
{
    unsigned class = below(w, 100);
    struct elem e = {.len = 0};
    size_t max = class < 50   ? 12
                 : class < 80 ? 40
                 : class < 93 ? 300
                 : class < 98 ? 2500
                              : w->big_max;

    if (class % 5 == 0) { /* digits stand at the end of the noise */
        e.off = NOISE_MAX + below(w, 4000);
        e.len = 1 + below(w, 19);
        return e;
    }
    e.len = below(w, max);
    e.off = class % 3 == 0 ? 0 : below(w, NOISE_MAX - max);
    return e;
}

/* --- comparing ----------------------------------------------------------- */

static nq_rc
walk_list(struct world *w, struct slice key, const struct model *m, bool back)
{
    struct entry e = {0};
    struct list_cursor cu;
    struct list_item it;
    struct slice bytes;
    nq_rc rc = db_find(w->env.db, 0, key, &e);
    unsigned seen = 0;

    if (rc != NQ_OK)
        return rc;
    assert_int_equal(list_len(&e), m->n);
    rc = list_cursor_init(&cu, w->env.db, &e);
    if (rc == NQ_OK)
        rc = list_seek(&cu, back ? m->n - 1 : 0);
    while (rc == NQ_OK && cu.valid) {
        unsigned at = back ? m->n - 1 - seen : seen;
        struct slice want = bytes_of(w, m->at[at]);

        assert_int_equal(cu.index, at);
        if ((rc = list_item(&cu, &it)) != NQ_OK ||
            (rc = list_item_bytes(w->env.db, &it, &w->env.arena, &bytes)) !=
                NQ_OK)
            break;
        assert_int_equal(bytes.len, want.len);
        assert_memory_equal(bytes.p, want.p, want.len);
        seen++;
        rc = back ? list_prev(&cu) : list_next(&cu);
    }
    list_cursor_fini(&cu);
    if (rc == NQ_OK)
        assert_int_equal(seen, m->n);
    return rc;
}

static void
compare(struct world *w, unsigned i)
{
    const struct model *m = &w->lists[i];
    nq_rc want = m->n > 0 ? NQ_OK : NQ_NOTFOUND;
    bool back = below(w, 2);
    char name[16];
    struct slice key = list_name(i, name);

    assert_int_equal(env_run(&w->env, list_call_check(&w->env, key)), want);
    assert_int_equal(env_run(&w->env, walk_list(w, key, m, back)), want);
}

/* --- random commands ----------------------------------------------------- */

static void
do_push(struct world *w, struct model *m, struct slice key)
{
    enum list_end end = below(w, 2) ? LIST_HEAD : LIST_TAIL;
    unsigned n = below(w, 10) == 0 ? 1 + below(w, 300) : 1 + below(w, 5);
    struct slice elems[300];
    uint64_t len;

    if (!has_room(w, m, n))
        return;
    for (unsigned i = 0; i < n; i++) {
        struct elem e = random_elem(w);

        if (n > 10 && e.len > 300)
            e.len = 300;
        elems[i] = bytes_of(w, e);
        model_insert(m, end == LIST_HEAD ? 0 : m->n, e);
    }
    assert_int_equal(
        env_run(&w->env, list_call_push(&w->env, key, end, elems, n, &len)),
        NQ_OK);
    assert_int_equal(len, m->n);
}

static void
do_pop(struct world *w, struct model *m, struct slice key)
{
    bool head = below(w, 2), values = below(w, 2);
    unsigned n = 1 + below(w, below(w, 10) == 0 ? m->n + 10 : 4);
    enum list_end end = head ? LIST_HEAD : LIST_TAIL;
    static struct slice out[MODEL_MAX];
    nq_rc rc;

    if (values)
        n = nq_min(n, m->n);
    if (n == 0)
        return;
    rc = env_run(&w->env,
                 list_call_pop(&w->env, key, end, n, values ? out : NULL));
    assert_int_equal(rc, m->n > 0 ? NQ_OK : NQ_NOTFOUND);
    n = nq_min(n, m->n);
    for (unsigned i = 0; values && i < n; i++) {
        struct slice want = bytes_of(w, m->at[head ? i : m->n - 1 - i]);

        assert_true(slice_eq(out[i], want));
    }
    model_remove(m, head ? 0 : m->n - n, n);
}

static void
do_set(struct world *w, struct model *m, struct slice key)
{
    unsigned at = below(w, m->n + !m->n);
    struct elem e = random_elem(w);

    if (m->n == 0)
        return;
    assert_int_equal(
        env_run(&w->env, list_call_set(&w->env, key, at, bytes_of(w, e))),
        NQ_OK);
    m->at[at] = e;
}

static void
insert_at(struct world *w, struct model *m, struct slice key, unsigned at,
          struct elem e)
{
    uint64_t len;

    assert_int_equal(env_run(&w->env, list_call_insert(&w->env, key, at,
                                                       bytes_of(w, e), &len)),
                     NQ_OK);
    model_insert(m, at, e);
    assert_int_equal(len, m->n);
}

/* Sometimes many in one place, which uses up the labels there. */
static void
do_insert(struct world *w, struct model *m, struct slice key)
{
    unsigned at = below(w, m->n + 1);
    unsigned n = below(w, 10) == 0 ? below(w, 200) : 1;

    for (unsigned i = 0; i < n && m->n > 0 && has_room(w, m, 1); i++)
        insert_at(w, m, key, at, random_elem(w));
}

static void
do_trim(struct world *w, struct model *m, struct slice key)
{
    unsigned start = below(w, m->n + 1), n = below(w, m->n - start + 1);

    if (below(w, 2)) { /* a little, on both sides */
        unsigned before = below(w, 10), behind = below(w, 10);

        start = nq_min(before, m->n);
        n = m->n - start - nq_min(behind, m->n - start);
    }
    assert_int_equal(env_run(&w->env, list_call_trim(&w->env, key, start, n)),
                     m->n > 0 ? NQ_OK : NQ_NOTFOUND);
    model_remove(m, 0, start);
    model_remove(m, n, m->n - n);
}

static unsigned
model_lrem(struct world *w, struct model *m, struct slice elem, unsigned count,
           bool last)
{
    unsigned removed = 0, i = last ? m->n : 0;

    while (removed < count && (last ? i > 0 : i < m->n)) {
        unsigned at = last ? i - 1 : i;

        if (slice_eq(bytes_of(w, m->at[at]), elem)) {
            model_remove(m, at, 1);
            removed++;
            i -= last;
        } else {
            i = last ? i - 1 : i + 1;
        }
    }
    return removed;
}

static void
do_lrem(struct world *w, struct model *m, struct slice key)
{
    struct elem e =
        m->n > 0 && below(w, 5) > 0 ? m->at[below(w, m->n)] : random_elem(w);
    unsigned count = below(w, 3) == 0 ? MODEL_MAX : 1 + below(w, 3);
    bool last = below(w, 2);
    uint64_t removed;
    nq_rc rc = env_run(&w->env, list_call_remove(&w->env, key, bytes_of(w, e),
                                                 count, last, &removed));

    assert_int_equal(rc, m->n > 0 ? NQ_OK : NQ_NOTFOUND);
    assert_int_equal(removed, model_lrem(w, m, bytes_of(w, e), count, last));
}

static void
do_move(struct world *w, struct model *m, struct slice key)
{
    unsigned i = below(w, LISTS);
    struct model *to = &w->lists[i];
    bool from_head = below(w, 2), to_head = below(w, 2);
    struct slice elem;
    struct elem e;
    char name[16];
    nq_rc rc = env_run(
        &w->env, list_call_move(&w->env, key, from_head ? LIST_HEAD : LIST_TAIL,
                                list_name(i, name),
                                to_head ? LIST_HEAD : LIST_TAIL, &elem));

    assert_int_equal(rc, m->n > 0 ? NQ_OK : NQ_NOTFOUND);
    if (m->n == 0)
        return;
    e = m->at[from_head ? 0 : m->n - 1];
    assert_true(slice_eq(elem, bytes_of(w, e)));
    model_remove(m, from_head ? 0 : m->n - 1, 1);
    model_insert(to, to_head ? 0 : to->n, e);
}

static void
do_at(struct world *w, struct model *m, struct slice key)
{
    unsigned i = below(w, m->n + 3);
    struct slice got;
    nq_rc rc = env_run(&w->env, list_call_at(&w->env, key, i, &got));

    assert_int_equal(rc, i < m->n ? NQ_OK : NQ_NOTFOUND);
    if (rc == NQ_OK)
        assert_true(slice_eq(got, bytes_of(w, m->at[i])));
}

static void
do_key(struct world *w, struct model *m, struct slice key)
{
    unsigned i = below(w, LISTS);
    struct model *to = &w->lists[i];
    struct env *e = &w->env;
    char name[16];
    struct slice to_key = list_name(i, name);
    nq_rc want = m->n > 0 ? NQ_OK : NQ_NOTFOUND;

    if (to == m || below(w, 3) == 0) {
        assert_int_equal(env_run(e, db_del(e->db, 0, key)), want);
        m->n = 0;
        return;
    }
    if (below(w, 2)) {
        assert_int_equal(env_run(e, db_rename(e->db, 0, key, 0, to_key)), want);
        if (m->n > 0)
            *to = *m;
        m->n = 0;
    }
}

static void
step(struct world *w)
{
    unsigned i = below(w, LISTS), what = below(w, 100);
    struct model *m = &w->lists[i];
    char name[16];
    struct slice key = list_name(i, name);

    if (what < 35)
        do_push(w, m, key);
    else if (what < 50)
        do_pop(w, m, key);
    else if (what < 58)
        do_set(w, m, key);
    else if (what < 68)
        do_insert(w, m, key);
    else if (what < 72)
        do_trim(w, m, key);
    else if (what < 79)
        do_lrem(w, m, key);
    else if (what < 87)
        do_move(w, m, key);
    else if (what < 97)
        do_at(w, m, key);
    else
        do_key(w, m, key);
    if (below(w, 20) == 0)
        compare(w, i);
}

static void
end_round(struct world *w)
{
    struct env *e = &w->env;

    switch (below(w, 4)) {
    case 0:
        env_close(e, below(w, 2));
        env_open(e);
        break;
    case 1:
    case 2:
        env_crash(e);
        env_open(e);
        break;
    default:
        env_settle(e);
        break;
    }
    for (unsigned i = 0; i < LISTS; i++)
        compare(w, i);
    env_check(e);
}

static void
run(struct world *w, uint32_t page_size, uint64_t pool_bytes)
{
    w->big_max = nq_min(pool_bytes / 32, 100000u);
    w->list_max = pool_bytes / 4;
    env_init(&w->env, page_size, pool_bytes);
    for (int round = 0; round < ROUNDS; round++) {
        for (int n = 0; n < STEPS; n++) {
            step(w);
            if (below(w, 4) == 0)
                env_turn(&w->env);
            if (below(w, 100) == 0)
                env_checkpoint(&w->env);
        }
        end_round(w);
    }
    env_fini(&w->env);
}

static int
setup(void **state)
{
    const char *text = getenv("SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : rng_seed_from_os();
    struct world *w = nq_calloc(1, sizeof *w);

    print_message("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&w->rng, seed);
    w->noise = nq_malloc(NOISE_MAX + 8192);
    for (size_t i = 0; i < NOISE_MAX + 8192; i++)
        w->noise[i] = (uint8_t)(i < NOISE_MAX ? rng_next(&w->rng) % 97 + 20
                                              : '0' + rng_next(&w->rng) % 10);
    clock_freeze_wall(NOW);
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    struct world *w = *state;

    clock_freeze_wall(0);
    nq_free(w->noise);
    nq_free(w);
    return 0;
}

static void
tiny_pages_and_a_tiny_pool_agree_with_the_model(void **state)
{
    run(*state, 512, 256 << 10);
}

static void
small_pages_agree_with_the_model(void **state)
{
    run(*state, 1024, 1 << 20);
}

static void
pages_of_a_product_agree_with_the_model(void **state)
{
    run(*state, 8192, 16 << 20);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(tiny_pages_and_a_tiny_pool_agree_with_the_model),
        TEST(small_pages_agree_with_the_model),
        TEST(pages_of_a_product_agree_with_the_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
