/* Covers against a plain model, in memory, over crashes and checkpoints; names
 * for positions; how much of the log is kept for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "../lib/db_env.h"
#include "../lib/engine_env.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cmd/changes.h"
#include "db/db_int.h"
#include "os/clock.h"
#include "os/pool.h"

#define POOL (4 << 20)
#define STEPS 600
#define ACTIVE_MAX 40
#define LINGER_MS 1000
#define TURNS_MAX 20000

/* --- a model of covers ------------------------------------------------------
 */

/* All texts of up to three of the letters, in order; bounds are drawn from
 * them, so between two of them nothing changes. */
#define LETTERS 4
#define UNIVERSE (1 + LETTERS + LETTERS * LETTERS + LETTERS * LETTERS * LETTERS)

static char universe[UNIVERSE][4];

struct active {
    struct key_range range;
    struct cover *cover;
    unsigned users;
    lsn since;
    uint64_t idle_ms;
};

struct model {
    struct active at[ACTIVE_MAX];
    unsigned count;
    uint64_t now_ms;
};

static int
text_cmp(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void
make_universe(void)
{
    unsigned n = 1;

    memset(universe, 0, sizeof universe);
    for (unsigned i = 0; n < UNIVERSE; i++)
        for (char c = 'a'; c < 'a' + LETTERS; c++) {
            memcpy(universe[n], universe[i], sizeof universe[n]);
            universe[n][strlen(universe[n])] = c;
            n++;
        }
    qsort(universe, UNIVERSE, sizeof universe[0], text_cmp);
}

/* 0: not covered. */
static lsn
since_of(const struct model *m, uint32_t db, struct slice key)
{
    lsn since = 0;

    for (unsigned i = 0; i < m->count; i++)
        if (key_range_has(&m->at[i].range, db, key) &&
            (since == 0 || m->at[i].since < since))
            since = m->at[i].since;
    return since;
}

/* 0: not all of it is covered. */
static lsn
since_of_range(const struct model *m, const struct key_range *r)
{
    lsn since = 0;

    for (unsigned i = 0; i < UNIVERSE; i++) {
        struct slice key = slice_str(universe[i]);
        lsn one = since_of(m, r->db, key);

        if (!key_range_has(r, r->db, key))
            continue;
        if (one == 0)
            return 0;
        since = nq_max(since, one);
    }
    return since;
}

static struct key_range
draw_range(struct rng *r)
{
    uint64_t lo = rng_below(r, UNIVERSE - 1);
    uint64_t hi = lo + 1 + rng_below(r, UNIVERSE - lo - 1);
    struct key_range range = {.db = (uint32_t)rng_below(r, 2),
                              .lo = slice_str(universe[lo]),
                              .hi = slice_str(universe[hi]),
                              .has_hi = rng_below(r, 8) != 0};

    return range;
}

static struct active *
find_active(struct model *m, const struct key_range *r)
{
    for (unsigned i = 0; i < m->count; i++) {
        struct key_range *a = &m->at[i].range;

        if (a->db == r->db && slice_eq(a->lo, r->lo) &&
            a->has_hi == r->has_hi && (!r->has_hi || slice_eq(a->hi, r->hi)))
            return &m->at[i];
    }
    return NULL;
}

static void
take_one(struct env *e, struct model *m, struct rng *r)
{
    struct key_range range = draw_range(r);
    struct active *a = find_active(m, &range);
    struct cover *c;
    lsn since = since_of_range(m, &range);

    if (a == NULL && m->count == ACTIVE_MAX)
        return;
    if (since == 0)
        since = wal_head(store_wal(e->st));
    assert_int_equal(db_cover_take(e->db, &range, &c), NQ_OK);
    if (a == NULL) {
        a = &m->at[m->count++];
        *a = (struct active){.range = range, .since = since};
    }
    a->cover = c;
    a->users++;
}

static void
drop_one(struct env *e, struct model *m, struct rng *r)
{
    struct active *a = m->count == 0 ? NULL : &m->at[rng_below(r, m->count)];

    if (a == NULL || a->users == 0)
        return;
    db_cover_drop(e->db, a->cover, m->now_ms);
    if (--a->users == 0)
        a->idle_ms = m->now_ms;
}

static void
sweep(struct env *e, struct model *m)
{
    db_cover_sweep(e->db, m->now_ms, LINGER_MS);
    for (unsigned i = m->count; i > 0; i--) {
        struct active *a = &m->at[i - 1];

        if (a->users == 0 && a->idle_ms == 0)
            a->idle_ms = m->now_ms;
        if (a->users == 0 && a->idle_ms + LINGER_MS <= m->now_ms)
            *a = m->at[--m->count];
    }
}

/* Users are of the process; what they used is there again. */
static void
restart(struct env *e, struct model *m, struct rng *r)
{
    if (rng_below(r, 2) == 0)
        env_checkpoint(e);
    if (rng_below(r, 2) == 0)
        env_close(e, rng_below(r, 2) == 0);
    else
        env_crash(e);
    env_open(e);
    for (unsigned i = 0; i < m->count; i++) {
        m->at[i].users = 0;
        m->at[i].idle_ms = 0;
    }
}

static void
assert_same(struct env *e, struct model *m, struct rng *r)
{
    struct cover_stats st;
    struct key_range range = draw_range(r);
    lsn since, want = since_of_range(m, &range);

    for (unsigned i = 0; i < UNIVERSE; i++)
        for (uint32_t db = 0; db < 2; db++) {
            struct slice key = slice_str(universe[i]);
            bool has = e->db->covers != NULL && cover_has(e->db, db, key);

            assert_int_equal(has, since_of(m, db, key) != 0);
        }
    if (db_cover_since(e->db, &range, &since) != NQ_OK)
        since = 0;
    assert_int_equal(since, want);
    db_cover_get_stats(e->db, &st);
    assert_int_equal(st.covers, m->count);
    if (e->db->covers != NULL) {
        bool meets = false;

        for (unsigned i = 0; i < UNIVERSE; i++)
            meets |= key_range_has(&range, range.db, slice_str(universe[i])) &&
                     since_of(m, range.db, slice_str(universe[i])) != 0;
        assert_int_equal(cover_meets(e->db, &range), meets);
    }
}

static uint64_t
draw_seed(void)
{
    const char *given = getenv("SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10)
                                  : rng_seed_from_os() % 1000000;

    printf("SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static void
covers_are_what_was_taken_and_not_yet_swept(void **state)
{
    struct model m = {.now_ms = 1000};
    struct rng r;
    struct env e;

    (void)state;
    make_universe();
    rng_seed(&r, draw_seed());
    env_init(&e, 4096, POOL);
    for (unsigned i = 0; i < STEPS; i++) {
        uint64_t what = rng_below(&r, 100);

        if (what < 50)
            take_one(&e, &m, &r);
        else if (what < 88)
            drop_one(&e, &m, &r);
        else if (what < 98)
            sweep(&e, &m);
        else
            restart(&e, &m, &r);
        m.now_ms += rng_below(&r, 400);
        assert_same(&e, &m, &r);
    }
    env_fini(&e);
}

static void
many_covers_go_through_catalog_and_log(void **state)
{
    struct cover_stats st;
    struct env e;
    char lo[32], hi[32];

    (void)state;
    env_init(&e, 4096, POOL);
    for (unsigned i = 0; i < 3000; i++) {
        struct key_range r = {.db = i % 3, .has_hi = true};
        struct cover *c;

        snprintf(lo, sizeof lo, "prefix:%05u:", i);
        snprintf(hi, sizeof hi, "prefix:%05u;", i);
        r.lo = slice_str(lo);
        r.hi = slice_str(hi);
        assert_int_equal(db_cover_take(e.db, &r, &c), NQ_OK);
        if (i == 2000)
            env_checkpoint(&e);
    }
    env_crash(&e);
    env_open(&e);
    db_cover_get_stats(e.db, &st);
    assert_int_equal(st.covers, 3000);
    assert_true(cover_has(e.db, 2, slice_str("prefix:02999:x")));
    assert_false(cover_has(e.db, 1, slice_str("prefix:02999:x")));
    assert_false(cover_has(e.db, 2, slice_str("prefix:02999")));
    assert_false(cover_has(e.db, 2, slice_str("a")));
    assert_false(cover_has(e.db, 2, slice_str("z")));
    db_cover_sweep(e.db, 5, 1);
    db_cover_sweep(e.db, 7, 1);
    assert_null(e.db->covers);
    env_checkpoint(&e);
    env_close(&e, true);
    env_open(&e);
    assert_null(e.db->covers);
    env_fini(&e);
}

static void
an_empty_range_cannot_be_covered(void **state)
{
    struct key_range r = {
        .lo = slice_lit("b"), .hi = slice_lit("b"), .has_hi = true};
    struct cover *c;
    struct env e;

    (void)state;
    env_init(&e, 4096, POOL);
    assert_int_equal(db_cover_take(e.db, &r, &c), NQ_EINVAL);
    env_fini(&e);
}

/* --- marks ------------------------------------------------------------------
 */

static void
expect_mark(struct env *e, const char *name, lsn at, const char *data)
{
    struct mark m;
    nq_rc rc = db_mark_find(e->db, slice_str(name), &m);

    if (data == NULL) {
        assert_int_equal(rc, NQ_NOTFOUND);
        return;
    }
    assert_int_equal(rc, NQ_OK);
    assert_int_equal(m.at, at);
    assert_true(slice_eq(m.data, slice_str(data)));
}

static void
put_mark(struct env *e, const char *name, lsn at, const char *data)
{
    struct mark m = {slice_str(name), at, slice_str(data)};

    assert_int_equal(db_mark_put(e->db, &m), NQ_OK);
}

static void
count_marks(void *arg, const struct mark *m)
{
    (void)m;
    ++*(unsigned *)arg;
}

static void
marks_are_there_after_crashes_and_checkpoints(void **state)
{
    unsigned n = 0;
    struct env e;

    (void)state;
    env_init(&e, 4096, POOL);
    put_mark(&e, "b", 100, "of b");
    put_mark(&e, "a", 200, "of a");
    put_mark(&e, "gone", 1, "");
    env_checkpoint(&e);
    put_mark(&e, "c", 300, "");
    put_mark(&e, "b", 101, "other");
    assert_int_equal(db_mark_move(e.db, slice_lit("a"), 250), NQ_OK);
    assert_int_equal(db_mark_move(e.db, slice_lit("x"), 250), NQ_NOTFOUND);
    assert_int_equal(db_mark_del(e.db, slice_lit("gone")), NQ_OK);
    assert_int_equal(db_mark_del(e.db, slice_lit("gone")), NQ_NOTFOUND);
    for (unsigned i = 0; i < 3; i++) {
        if (i == 1)
            env_crash(&e);
        else if (i == 2)
            env_close(&e, true);
        if (i > 0)
            env_open(&e);
        expect_mark(&e, "a", 250, "of a");
        expect_mark(&e, "b", 101, "other");
        expect_mark(&e, "c", 300, "");
        expect_mark(&e, "gone", 0, NULL);
    }
    db_mark_each(e.db, count_marks, &n);
    assert_int_equal(n, 3);
    env_fini(&e);
}

/* --- retention --------------------------------------------------------------
 */

static const struct key_range everything = {.lo = {(const uint8_t *)"", 0}};

static struct engine_env env;
static struct fake_client client;

static void
begin(uint64_t retention, uint64_t named)
{
    struct changes_opts o = {.memory = 1000,
                             .retention = retention,
                             .named_retention = named,
                             .linger_ms = 3600000,
                             .max_image = 65536};

    engine_env_init_closed(&env, 8 << 20);
    env.segment_size = 64 << 10;
    assert_int_equal(engine_env_try_open(&env), NQ_OK);
    changes_set(env.e->changes, &o);
    fake_open(&env, &client);
}

static void
end(void)
{
    fake_close(&client);
    engine_env_fini(&env);
}

static void
on_done(void *arg, nq_rc rc)
{
    assert_int_equal(rc, NQ_OK);
    *(bool *)arg = true;
}

static void
checkpoint(void)
{
    bool done = false;

    store_checkpoint(env.store, on_done, &done);
    for (unsigned i = 0; i < TURNS_MAX && !done; i++) {
        engine_env_turn(&env);
        usleep(i < 2000 ? 20 : 500);
    }
    assert_true(done);
}

/* The log thread lets go until so many files are left. */
static void
wait_for_segments(uint64_t most)
{
    struct wal_stats st;

    for (unsigned i = 0;; i++) {
        engine_cron(env.e);
        engine_env_turn(&env);
        wal_get_stats(store_wal(env.store), &st);
        if (st.segments <= most)
            return;
        assert_true(i < TURNS_MAX);
        usleep(500);
    }
}

/* About 1 KB of log each, with the images. */
static void
write_some(unsigned n)
{
    char line[400];

    for (unsigned i = 0; i < n; i++) {
        snprintf(line, sizeof line, "SET k%u %0300u", i % 7, i);
        fake_send(&client, line);
        fake_finish(&client);
        (void)fake_read(&client);
        engine_env_turn(&env);
    }
}

static bool
count_changes(void *arg, const struct change *c)
{
    (void)c;
    ++*(unsigned *)arg;
    return true;
}

static void
on_ready(void *arg)
{
    (void)arg;
}

static nq_rc
read_from(lsn after, unsigned *n)
{
    struct change_reader_opts o = {.after = after, .ready = on_ready};
    struct change_reader *r = change_reader_open(env.e->changes, &o);
    nq_rc rc;

    *n = 0;
    for (unsigned i = 0;; i++) {
        rc = change_reader_next(r, count_changes, n);
        if (rc != NQ_AGAIN && (rc != NQ_OK || change_reader_at(r) >=
                                                  changes_head(env.e->changes)))
            break;
        assert_true(i < TURNS_MAX);
        engine_env_turn(&env);
        usleep(i < 2000 ? 20 : 500);
    }
    change_reader_close(r);
    return rc;
}

static void
the_log_is_kept_for_readers_but_not_beyond_what_was_set(void **state)
{
    lsn first, oldest, newest;
    struct cover *c;
    unsigned n;

    (void)state;
    begin(300 << 10, 0);
    assert_int_equal(db_cover_take(env.db, &everything, &c), NQ_OK);
    first = changes_head(env.e->changes);
    write_some(200);
    checkpoint();
    wait_for_segments(UINT64_MAX);
    assert_int_equal(read_from(first, &n), NQ_OK);
    assert_int_equal(n, 200);
    write_some(1000);
    checkpoint();
    wait_for_segments(14);
    changes_bounds(env.e->changes, &everything, &oldest, &newest);
    assert_true(oldest > first && newest - oldest >= (300 << 10));
    assert_int_equal(read_from(first, &n), NQ_NOTFOUND);
    assert_int_equal(n, 0);
    assert_int_equal(read_from(oldest, &n), NQ_OK);
    assert_in_range(n, 250, 900);
    end();
}

static void
a_name_holds_the_log_up_to_its_own_bound(void **state)
{
    struct mark m = {.name = slice_lit("reader"), .data = slice_lit("")};
    struct cover *c;
    unsigned n;

    (void)state;
    begin(50 << 10, 600 << 10);
    assert_int_equal(db_cover_take(env.db, &everything, &c), NQ_OK);
    m.at = changes_head(env.e->changes);
    assert_int_equal(db_mark_put(env.db, &m), NQ_OK);
    write_some(400);
    checkpoint();
    wait_for_segments(UINT64_MAX);
    assert_int_equal(read_from(m.at, &n), NQ_OK);
    assert_int_equal(n, 400);
    write_some(600);
    checkpoint();
    wait_for_segments(17);
    assert_int_equal(read_from(m.at, &n), NQ_NOTFOUND);
    assert_int_equal(db_mark_del(env.db, m.name), NQ_OK);
    checkpoint();
    wait_for_segments(8);
    end();
}

static void
without_covers_nothing_is_kept(void **state)
{
    lsn oldest, newest;

    (void)state;
    begin(64 << 20, 64 << 20);
    write_some(600);
    checkpoint();
    wait_for_segments(6);
    changes_bounds(env.e->changes, &everything, &oldest, &newest);
    assert_int_equal(oldest, newest);
    end();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(covers_are_what_was_taken_and_not_yet_swept),
        cmocka_unit_test(many_covers_go_through_catalog_and_log),
        cmocka_unit_test(an_empty_range_cannot_be_covered),
        cmocka_unit_test(marks_are_there_after_crashes_and_checkpoints),
        cmocka_unit_test(
            the_log_is_kept_for_readers_but_not_beyond_what_was_set),
        cmocka_unit_test(a_name_holds_the_log_up_to_its_own_bound),
        cmocka_unit_test(without_covers_nothing_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
