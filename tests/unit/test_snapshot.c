/* Snapshots against a model: while keys are written, deleted, flushed,
 * swapped and compacted, what a snapshot tells is what the model was when it
 * was asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"
#include "codec/crc32c.h"
#include "codec/seal.h"
#include "db/compact.h"
#include "db/db_check.h"
#include "db/fields.h"
#include "db/snapshot.h"
#include "../lib/db_env.h"
#include "os/clock.h"
#include "os/pool.h"
#include "store/rotate.h"

enum {
    KEYS = 240,
    SNAPS = 3,
    DBS = 2,
    LONG_KEY = 1500,
    FIELDS = 60,
    HISTORY = 2500 /* changes of one test */
};

enum kind { NOTHING, STRING, HASH };

struct made {
    uint8_t kind;
    uint32_t seed;
};

struct image {
    struct made of[DBS][KEYS];
};

/* One reader: a snapshot, and the query that runs on it. */
struct reader {
    struct fixture *x;
    struct snapshot_wait wait;
    struct snapshot *snap; /* NULL: asked for, or nothing */
    bool is_asked;
    lsn asked_at;
    struct image then; /* valid if there is a snapshot */
    struct snapshot_scan *scan;
    struct snapshot_scan_opts o;
    struct buf want, got;
    uint64_t want_rows, last_visited;
    bool is_running, is_over, was_broken;
};

struct fixture {
    struct env env;
    struct rng r;
    struct image now;
    struct {
        lsn at;
        struct image image;
    } history[HISTORY]; /* a ring, by position of the log */
    unsigned changes;
    struct reader readers[SNAPS];
    struct compact *compact;
    uint64_t scans, broken;
};

/* --- keys and values, from numbers ---------------------------------------- */

static struct slice
key_of(unsigned n, uint8_t dst[LONG_KEY])
{
    size_t len = (size_t)snprintf((char *)dst, LONG_KEY, "key:%05u", n);

    if (n % 20 != 7)
        return slice_of(dst, len);
    memset(dst + len, 'x', LONG_KEY - len); /* it has a tail */
    memcpy(dst + LONG_KEY - 5, dst + 4, 5);
    return slice_of(dst, LONG_KEY);
}

static struct slice
bytes_of(uint32_t seed, size_t len, struct arena *a)
{
    uint8_t *p = arena_alloc(a, len + 1);
    struct rng r;

    rng_seed(&r, seed);
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)('a' + rng_below(&r, 20));
    return slice_of(p, len);
}

static size_t
string_length(uint32_t seed)
{
    if (seed % 29 == 0)
        return 1100000; /* two chunks */
    return seed % 7 == 0 ? 3000 + seed % 20000 : seed % 90;
}

static unsigned
field_count(uint32_t seed)
{
    return seed % 3 == 0 ? FIELDS : 1 + seed % 4;
}

static size_t
field_length(uint32_t seed, unsigned i)
{
    return i == 3 && seed % 6 == 0 ? 5000 : 5 + (seed + i) % 30;
}

/* --- what is told ----------------------------------------------------------
 */

static void
tell_bytes(struct buf *out, struct slice s)
{
    buf_put_u64(out, crc32c(0, s.p, s.len));
    buf_put_u32(out, (uint32_t)s.len);
}

static bool
tell_field(void *arg, struct slice name, struct slice value)
{
    tell_bytes(arg, name);
    tell_bytes(arg, value);
    return true;
}

static void
tell_row(const void *arg, const struct row *row, struct row_scratch *s,
         struct buf *out)
{
    (void)arg;
    (void)s;
    tell_bytes(out, row->key);
    buf_put_u64(out, row->len);
    if (row->is_hash)
        row->each_field(row, tell_field, out);
    else
        tell_bytes(out, row->value);
}

static struct slice
field_name(unsigned i, char dst[16])
{
    return slice_of(dst, (size_t)snprintf(dst, 16, "f%02u", i));
}

static void
expect_row(const struct made *v, struct slice key, struct buf *out)
{
    struct arena a = ARENA_INIT;
    char name[16];

    tell_bytes(out, key);
    if (v->kind == STRING) {
        buf_put_u64(out, string_length(v->seed));
        tell_bytes(out, bytes_of(v->seed, string_length(v->seed), &a));
    } else {
        buf_put_u64(out, field_count(v->seed));
        for (unsigned i = 0; i < field_count(v->seed); i++)
            tell_field(out, field_name(i, name),
                       bytes_of(v->seed + i, field_length(v->seed, i), &a));
    }
    arena_fini(&a);
}

/* All rows of [lo, hi) that the query wants. */
static void
expect(struct reader *rd, unsigned lo, unsigned hi)
{
    uint64_t skip = rd->o.offset;

    for (unsigned i = lo; i < hi; i++) {
        unsigned n = rd->o.reverse ? hi - 1 - (i - lo) : i;
        const struct made *v = &rd->then.of[rd->o.dbi][n];
        uint8_t room[LONG_KEY];

        if (v->kind == NOTHING || (rd->o.where != NULL && v->kind != HASH))
            continue;
        if (skip > 0) {
            skip--;
            continue;
        }
        if (rd->want_rows == rd->o.limit)
            return;
        expect_row(v, key_of(n, room), &rd->want);
        rd->want_rows++;
    }
}

/* --- changes ----------------------------------------------------------------
 */

static nq_rc
set_hash(struct fixture *x, unsigned dbi, struct slice key, uint32_t seed)
{
    struct slice pairs[2 * FIELDS];
    char names[FIELDS][16];
    struct entry e = {0};
    uint64_t added;
    nq_rc rc = db_find_write(x->env.db, dbi, key, &e);

    if (rc == NQ_OK) {
        if ((rc = db_del_replaced(x->env.db, dbi, key, &e)) != NQ_OK)
            return rc;
        rc = db_find_write(x->env.db, dbi, key, &e);
    }
    if (rc != NQ_NOTFOUND)
        return rc;
    for (unsigned i = 0; i < field_count(seed); i++) {
        pairs[2 * i] = field_name(i, names[i]);
        pairs[2 * i + 1] =
            bytes_of(seed + i, field_length(seed, i), &x->env.arena);
    }
    return fields_set(x->env.db, dbi, key, &e, false, pairs, field_count(seed),
                      0, "hset", &added);
}

static void
set_one(struct fixture *x, unsigned dbi, unsigned n)
{
    uint8_t room[LONG_KEY];
    struct slice key = key_of(n, room);
    struct made *v = &x->now.of[dbi][n];

    v->seed = (uint32_t)rng_below(&x->r, 1u << 30);
    v->kind = rng_below(&x->r, 3) == 0 ? HASH : STRING;
    if (v->kind == HASH)
        assert_int_equal(env_run(&x->env, set_hash(x, dbi, key, v->seed)),
                         NQ_OK);
    else
        assert_int_equal(
            env_set(&x->env, dbi, key,
                    bytes_of(v->seed, string_length(v->seed), &x->env.arena),
                    0),
            NQ_OK);
    arena_reset(&x->env.arena);
}

static void
delete_one(struct fixture *x, unsigned dbi, unsigned n)
{
    uint8_t room[LONG_KEY];
    nq_rc rc = env_run(&x->env, db_del(x->env.db, dbi, key_of(n, room)));

    assert_int_equal(rc,
                     x->now.of[dbi][n].kind == NOTHING ? NQ_NOTFOUND : NQ_OK);
    x->now.of[dbi][n].kind = NOTHING;
}

static void
swap(struct fixture *x)
{
    struct made was[KEYS];

    assert_int_equal(env_run(&x->env, db_swap(x->env.db, 0, 1)), NQ_OK);
    memcpy(was, x->now.of[0], sizeof was);
    memcpy(x->now.of[0], x->now.of[1], sizeof was);
    memcpy(x->now.of[1], was, sizeof was);
}

static void
compact_some(struct fixture *x)
{
    struct compact_opts o = {.full = rng_below(&x->r, 2) == 0};

    if (x->compact == NULL)
        x->compact = compact_new(x->env.db, &o);
    for (unsigned i = 0; i < 5 && x->compact != NULL; i++) {
        if (compact_step(x->compact) != NQ_AGAIN) {
            compact_free(x->compact, true);
            x->compact = NULL;
        }
        env_turn(&x->env);
    }
}

/* The end of a turn, as far as the log knows. */
static lsn
note(struct fixture *x)
{
    unsigned i = x->changes++ % HISTORY;

    wal_commit(store_wal(x->env.st));
    x->history[i].at = wal_position(store_wal(x->env.st));
    x->history[i].image = x->now;
    return x->history[i].at;
}

static const struct image *
image_at(const struct fixture *x, lsn at)
{
    for (unsigned i = 0; i < HISTORY && i < x->changes; i++) {
        if (x->history[i].at == at)
            return &x->history[i].image;
    }
    fail_msg("nobody ended a turn there");
    return NULL;
}

static void
change(struct fixture *x)
{
    unsigned dbi = (unsigned)rng_below(&x->r, DBS);
    unsigned n = (unsigned)rng_below(&x->r, KEYS);

    switch (rng_below(&x->r, 100)) {
    case 0:
        assert_int_equal(env_run(&x->env, db_flush(x->env.db, dbi)), NQ_OK);
        memset(x->now.of[dbi], 0, sizeof x->now.of[dbi]);
        break;
    case 1:
        swap(x);
        break;
    case 2:
        store_checkpoint(x->env.st, NULL, NULL);
        break;
    case 3:
    case 4:
    case 5:
        compact_some(x);
        break;
    default:
        if (rng_below(&x->r, 4) == 0)
            delete_one(x, dbi, n);
        else
            set_one(x, dbi, n);
    }
}

/* --- readers ----------------------------------------------------------------
 */

static void
on_snapshot(struct snapshot_wait *w, struct snapshot *s, nq_rc rc)
{
    struct reader *rd = nq_container(w, struct reader, wait);

    assert_int_equal(rc, NQ_OK);
    assert_true(snapshot_lsn(s) >= rd->asked_at);
    rd->then = *image_at(rd->x, snapshot_lsn(s));
    rd->snap = s;
}

static void
start_scan(struct fixture *x, struct reader *rd)
{
    static const char *const text = "$type = 'hash'";
    unsigned lo = (unsigned)rng_below(&x->r, KEYS), hi;
    uint8_t a[LONG_KEY], b[LONG_KEY];
    struct query_error err;
    struct slice arg = slice_str(text);

    hi = lo + (unsigned)rng_below(&x->r, KEYS - lo + 1);
    rd->o = (struct snapshot_scan_opts){
        .dbi = (uint32_t)rng_below(&x->r, DBS),
        .lo = key_of(lo, a),
        .hi = key_of(hi, b),
        .has_hi = hi < KEYS,
        .reverse = rng_below(&x->r, 2) == 0,
        .offset = rng_below(&x->r, 3) == 0 ? rng_below(&x->r, 9) : 0,
        .limit = rng_below(&x->r, 3) == 0 ? rng_below(&x->r, 50) : UINT64_MAX,
        .value_max = 8 << 20,
        .needs = ROW_LEN | ROW_VALUE | ROW_FIELDS,
        .tell = tell_row,
    };
    if (rng_below(&x->r, 3) == 0)
        assert_int_equal(program_compile(&arg, 1, &rd->o.where, &err), NQ_OK);
    buf_clear(&rd->want);
    buf_clear(&rd->got);
    rd->want_rows = rd->last_visited = 0;
    expect(rd, lo, hi);
    rd->scan = snapshot_scan_new(rd->snap, &rd->o);
    program_unref(rd->o.where);
    rd->is_over = false;
}

static void
on_batch(void *arg, struct snapshot_batch *b)
{
    struct reader *rd = arg;

    rd->is_running = false;
    rd->is_over = b->is_over;
    if (b->rc == NQ_ECLOSED) {
        assert_non_null(snapshot_broken(rd->snap));
        rd->was_broken = true;
        return;
    }
    assert_int_equal(b->rc, NQ_OK);
    assert_true(b->visited >= rd->last_visited && b->visited <= b->total);
    rd->last_visited = b->visited;
    buf_put(&rd->got, b->out->p, b->out->len);
    if (!b->is_over)
        return;
    assert_int_equal(b->rows_sum, rd->want_rows);
    assert_int_equal(rd->got.len, rd->want.len);
    assert_memory_equal(rd->got.p, rd->want.p, rd->got.len);
    assert_true(rd->o.limit != UINT64_MAX || b->visited == b->total);
}

static void
end_reader(struct reader *rd)
{
    snapshot_scan_free(rd->scan);
    rd->scan = NULL;
    snapshot_unref(rd->snap);
    rd->snap = NULL;
    rd->is_asked = rd->is_running = rd->was_broken = false;
}

static void
turn_reader(struct fixture *x, struct reader *rd)
{
    if (rd->snap == NULL) {
        if (!rd->is_asked && rng_below(&x->r, 20) == 0) {
            rd->is_asked = true;
            rd->asked_at = note(x);
            rd->wait = (struct snapshot_wait){.ready = on_snapshot};
            snapshot_take(x->env.db, &rd->wait);
        }
        return;
    }
    if (rd->is_running)
        return;
    if (rd->scan != NULL && rd->is_over) {
        x->scans++;
        x->broken += rd->was_broken;
        snapshot_scan_free(rd->scan);
        rd->scan = NULL;
    }
    if (rd->was_broken || rng_below(&x->r, 60) == 0) {
        end_reader(rd);
        return;
    }
    if (rd->scan == NULL)
        start_scan(x, rd);
    rd->is_running = true;
    snapshot_scan_more(rd->scan, 1 + rng_below(&x->r, 40),
                       1 + rng_below(&x->r, 100000), on_batch, rd);
}

static void
end_all(struct fixture *x)
{
    for (unsigned i = 0; i < SNAPS; i++) {
        struct reader *rd = &x->readers[i];

        snapshot_take_end(&rd->wait);
        end_reader(rd);
        buf_fini(&rd->want);
        buf_fini(&rd->got);
    }
    compact_free(x->compact, true);
    x->compact = NULL;
}

static void
run(struct fixture *x, unsigned rounds)
{
    for (unsigned n = 0; n < rounds; n++) {
        change(x);
        note(x);
        for (unsigned i = 0; i < SNAPS; i++)
            turn_reader(x, &x->readers[i]);
        if (rng_below(&x->r, 3) == 0)
            env_turn(&x->env);
        if (rng_below(&x->r, 8) == 0 && pool_pending(x->env.pool) > 0)
            (void)pool_wait(x->env.pool);
    }
}

/* Nothing is kept when nobody reads: the store's own check finds each sector
 * named. */
static void
nothing_is_left(struct fixture *x)
{
    struct store_pin_stats st;

    end_all(x);
    env_settle(&x->env);
    env_checkpoint(&x->env);
    for (unsigned i = 0; i < 50; i++) {
        env_turn(&x->env);
        if (pool_pending(x->env.pool) > 0)
            (void)pool_wait(x->env.pool);
    }
    store_get_pin_stats(x->env.st, &st);
    assert_int_equal(st.bytes, 0);
    assert_int_equal(st.pins, 0);
    env_check(&x->env);
}

static struct fixture *
new_fixture(uint64_t pool_bytes, const uint8_t *key)
{
    struct fixture *x = nq_calloc(1, sizeof *x);
    const char *text = getenv("SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : rng_seed_from_os();

    printf("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&x->r, seed);
    for (unsigned i = 0; i < SNAPS; i++)
        x->readers[i].x = x;
    env_init_closed(&x->env, 4096, pool_bytes);
    x->env.master_key = key;
    env_open(&x->env);
    return x;
}

static void
free_fixture(struct fixture *x)
{
    env_fini(&x->env);
    nq_free(x);
}

/* --- the tests ---------------------------------------------------------------
 */

static void
snapshots_are_what_was_there_when_they_were_asked_for(void **state)
{
    struct fixture *x = new_fixture(16 << 20, NULL);

    (void)state;
    run(x, 900);
    nothing_is_left(x);
    assert_true(x->scans > 0);
    free_fixture(x);
}

static void
so_they_are_when_data_is_larger_than_memory_and_encrypted(void **state)
{
    static const uint8_t key[SEAL_KEY] = {7, 7, 7};
    struct fixture *x = new_fixture(1 << 20, key);

    (void)state;
    run(x, 900);
    nothing_is_left(x);
    assert_true(x->scans > 0);
    free_fixture(x);
}

static void
wait_for(struct fixture *x, struct reader *rd)
{
    rd->asked_at = note(x);
    rd->wait = (struct snapshot_wait){.ready = on_snapshot};
    snapshot_take(x->env.db, &rd->wait);
    assert_null(rd->snap);
    while (rd->snap == NULL) {
        env_turn(&x->env);
        if (pool_pending(x->env.pool) > 0)
            (void)pool_wait(x->env.pool);
    }
}

static nq_rc
first_batch(struct fixture *x, struct reader *rd)
{
    start_scan(x, rd);
    snapshot_scan_more(rd->scan, 10, 10000, on_batch, rd);
    rd->is_running = true;
    while (rd->is_running)
        (void)pool_wait(x->env.pool);
    return rd->was_broken ? NQ_ECLOSED : NQ_OK;
}

static void
is_broken_by(const struct reader *rd, const char *why)
{
    const char *text = snapshot_broken(rd->snap);

    assert_non_null(text);
    assert_non_null(strstr(text, why));
}

static void
one_that_keeps_too_much_is_broken_and_gives_its_space_back(void **state)
{
    struct fixture *x = new_fixture(16 << 20, NULL);
    struct reader *old = &x->readers[0], *young = &x->readers[1];
    struct store_pin_stats st;

    (void)state;
    store_set_pin_limit(x->env.st, 64 << 10);
    for (unsigned n = 0; n < KEYS; n++)
        set_one(x, 0, n);
    wait_for(x, old);
    set_one(x, 1, 0);
    env_checkpoint(&x->env);
    wait_for(x, young);
    assert_true(snapshot_lsn(young->snap) > snapshot_lsn(old->snap));
    assert_int_equal(first_batch(x, old), NQ_OK);
    assert_null(snapshot_broken(old->snap));
    for (unsigned n = 0; n < KEYS; n++)
        delete_one(x, 0, n);
    env_settle(&x->env);
    env_checkpoint(&x->env);
    env_settle(&x->env);
    is_broken_by(old, "storage.pin_limit");
    snapshot_scan_free(old->scan);
    assert_int_equal(first_batch(x, old), NQ_ECLOSED);
    nothing_is_left(x);
    store_get_pin_stats(x->env.st, &st);
    assert_in_range(st.broken, 1, 2);
    free_fixture(x);
}

static nq_rc
overwrite(struct fixture *x, unsigned round)
{
    nq_rc rc = NQ_OK;

    for (unsigned n = 0; n < KEYS && rc == NQ_OK; n++) {
        uint8_t room[LONG_KEY];

        rc = env_set(&x->env, 0, key_of(n, room),
                     bytes_of(round * KEYS + n, 8000, &x->env.arena), 0);
        arena_reset(&x->env.arena);
        env_turn(&x->env);
        while (store_is_tight(x->env.st)) /* writers wait, as at a socket */
            env_settle(&x->env);
    }
    return rc;
}

static void
a_quota_is_for_what_is_written_not_for_snapshots(void **state)
{
    struct fixture *x = new_fixture(16 << 20, NULL);
    struct store_stats st;

    (void)state;
    assert_int_equal(overwrite(x, 0), NQ_OK);
    env_checkpoint(&x->env);
    store_get_stats(x->env.st, &st);
    store_set_max_bytes(x->env.st, 3 * st.extent_bytes);
    wait_for(x, &x->readers[0]);
    for (unsigned round = 1; round < 4; round++) {
        assert_int_equal(overwrite(x, round), NQ_OK);
        env_checkpoint(&x->env);
    }
    assert_non_null(
        strstr(snapshot_broken(x->readers[0].snap), "its space was needed"));
    nothing_is_left(x);
    free_fixture(x);
}

static void
those_who_ask_at_the_same_position_share_one(void **state)
{
    struct fixture *x = new_fixture(16 << 20, NULL);
    struct store_stats before, after;
    struct store_pin_stats st;

    (void)state;
    set_one(x, 0, 1);
    wait_for(x, &x->readers[0]);
    store_get_stats(x->env.st, &before);
    wait_for(x, &x->readers[1]);
    store_get_stats(x->env.st, &after);
    store_get_pin_stats(x->env.st, &st);
    assert_int_equal(st.pins, 1);
    assert_int_equal(before.checkpoints, after.checkpoints);
    assert_true(snapshot_lsn(x->readers[0].snap) ==
                snapshot_lsn(x->readers[1].snap));
    set_one(x, 0, 2);
    wait_for(x, &x->readers[2]);
    store_get_pin_stats(x->env.st, &st);
    assert_int_equal(st.pins, 2);
    nothing_is_left(x);
    free_fixture(x);
}

static void
a_rotation_of_keys_breaks_those_that_need_the_old_ones(void **state)
{
    static const uint8_t key[SEAL_KEY] = {1, 2, 3};
    struct fixture *x = new_fixture(16 << 20, key);
    struct rotate *ro;
    nq_rc rc;

    (void)state;
    for (unsigned n = 0; n < KEYS; n++)
        set_one(x, 0, n);
    wait_for(x, &x->readers[0]);
    assert_int_equal(rotate_new(x->env.st, &ro), NQ_OK);
    while ((rc = rotate_turn(ro)) == NQ_AGAIN) {
        env_turn(&x->env);
        if (pool_pending(x->env.pool) > 0)
            (void)pool_wait(x->env.pool);
    }
    assert_int_equal(rc, NQ_OK);
    rotate_free(ro);
    is_broken_by(&x->readers[0], "keys were replaced");
    assert_int_equal(first_batch(x, &x->readers[0]), NQ_ECLOSED);
    wait_for(x, &x->readers[1]);
    assert_int_equal(first_batch(x, &x->readers[1]), NQ_OK);
    nothing_is_left(x);
    free_fixture(x);
}

static void
a_crash_with_snapshots_leaves_nothing(void **state)
{
    struct fixture *x = new_fixture(16 << 20, NULL);

    (void)state;
    run(x, 300);
    end_all(x);
    wait_for(x, &x->readers[0]);
    for (unsigned n = 0; n < KEYS; n++)
        set_one(x, 0, n);
    env_checkpoint(&x->env);
    end_all(x); /* their memory is that of this process */
    env_crash(&x->env);
    env_open(&x->env);
    env_settle(&x->env);
    env_check(&x->env);
    for (unsigned n = 0; n < KEYS; n++) {
        uint8_t room[LONG_KEY];
        struct record rec = env_record(&x->env, 0, key_of(n, room));

        assert_int_equal(rec.type == DB_HASH, x->now.of[0][n].kind == HASH);
    }
    free_fixture(x);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshots_are_what_was_there_when_they_were_asked_for),
        cmocka_unit_test(
            so_they_are_when_data_is_larger_than_memory_and_encrypted),
        cmocka_unit_test(
            one_that_keeps_too_much_is_broken_and_gives_its_space_back),
        cmocka_unit_test(a_quota_is_for_what_is_written_not_for_snapshots),
        cmocka_unit_test(those_who_ask_at_the_same_position_share_one),
        cmocka_unit_test(
            a_rotation_of_keys_breaks_those_that_need_the_old_ones),
        cmocka_unit_test(a_crash_with_snapshots_leaves_nothing),
    };

    return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
