/* Indexes against brute force: after random commands of all kinds, crashes,
 * restarts and evictions, each index says what its rows say (NQ.CHECK), and
 * what a query finds by it is what it finds without.  SEED repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "../lib/engine_env.h"
#include "base/arena.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cmd/cmd_index.h"
#include "cmd/plan.h"
#include "db/rows.h"
#include "store/frames.h"
#include "store/store.h"

#define KEYS 60
#define DATABASES 3
#define QUERIES 8 /* in each verification */
#define LINE 8192

struct world {
    struct engine_env env;
    struct fake_client c;
    struct rng rng;
    struct arena arena;
    uint64_t by_index, all; /* plans */
    char line[LINE];
};

static uint64_t
below(struct world *w, uint64_t n)
{
    return rng_below(&w->rng, n);
}

/* --- commands ------------------------------------------------------------- */

static const char *
any_key(struct world *w, char dst[16])
{
    static const char *const prefixes[] = {"a:", "a:", "b:", "c"};

    snprintf(dst, 16, "%s%u", prefixes[below(w, 4)], (unsigned)below(w, KEYS));
    return dst;
}

static const char *
any_number(struct world *w, char dst[32])
{
    switch (below(w, 6)) {
    case 0:
        snprintf(dst, 32, "-%u.5", (unsigned)below(w, 20));
        break;
    case 1:
        snprintf(dst, 32, "%ue%d", (unsigned)below(w, 9),
                 (int)below(w, 40) - 20);
        break;
    case 2:
        snprintf(dst, 32, "word%u", (unsigned)below(w, 5));
        break;
    default:
        snprintf(dst, 32, "%u", (unsigned)below(w, 40));
    }
    return dst;
}

/* Some are longer than the spelling, and equal up to there. */
static const char *
any_text(struct world *w, char dst[128])
{
    unsigned n = below(w, 3) == 0 ? 58 + (unsigned)below(w, 12)
                                  : 1 + (unsigned)below(w, 3);

    memset(dst, 'x', n);
    dst[n] = 0;
    dst[n - 1] = (char)('a' + below(w, 4));
    return dst;
}

static void
set_json(struct world *w, const char *key)
{
    char number[32], text[128], pad[3000];
    bool is_number;

    any_number(w, number);
    is_number = strncmp(number, "word", 4) != 0;
    memset(pad, 'p', sizeof pad);
    pad[below(w, 10) == 0 ? 2900 : 3] = 0;
    snprintf(w->line, LINE,
             "SET %s '{\"n\":%s%s%s,\"t\":\"%s\",\"o\":{\"x\":[%u]},"
             "\"pad\":\"%s\"}'",
             key, is_number ? "" : "\"", number, is_number ? "" : "\"",
             any_text(w, text), (unsigned)below(w, 10), pad);
}

static void
set_hash(struct world *w, const char *key)
{
    char number[32], text[128];
    int at = snprintf(w->line, LINE, "HSET %s n %s t %s", key,
                      any_number(w, number), any_text(w, text));

    if (below(w, 8) != 0)
        return;
    for (unsigned i = 0; i < 10; i++) /* long ones make it a tree */
        at += snprintf(w->line + at, LINE - (size_t)at, " f%u %0400u", i, i);
}

static void
any_write(struct world *w, const char *key)
{
    char number[32], text[128], other[16];

    switch (below(w, 22)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
        set_json(w, key);
        return;
    case 5:
    case 6:
    case 7:
    case 8:
        set_hash(w, key);
        return;
    case 9:
        snprintf(w->line, LINE, "HINCRBY %s n %u", key, (unsigned)below(w, 9));
        return;
    case 10:
        snprintf(w->line, LINE, "HDEL %s %s", key, below(w, 2) ? "n" : "t");
        return;
    case 11:
        snprintf(w->line, LINE, "HPEXPIRE %s %u FIELDS 1 n", key,
                 1 + (unsigned)below(w, 50));
        return;
    case 12:
        snprintf(w->line, LINE, "%s %s", below(w, 2) ? "DEL" : "UNLINK", key);
        return;
    case 13:
        snprintf(w->line, LINE, "RENAME %s %s", key, any_key(w, other));
        return;
    case 14:
        snprintf(w->line, LINE, "COPY %s %s DB %u REPLACE", key,
                 any_key(w, other), (unsigned)below(w, DATABASES));
        return;
    case 15:
        snprintf(w->line, LINE, "MOVE %s %u", key,
                 (unsigned)below(w, DATABASES));
        return;
    case 16:
        snprintf(w->line, LINE, "PEXPIRE %s %u", key,
                 1 + (unsigned)below(w, 50));
        return;
    case 17:
        snprintf(w->line, LINE, "SET %s %s", key, any_number(w, number));
        return;
    case 18:
        snprintf(w->line, LINE, "INCRBY %s 3", key);
        return;
    case 19:
        snprintf(w->line, LINE, "APPEND %s %s", key, any_text(w, text));
        return;
    case 20:
        snprintf(w->line, LINE, "SETRANGE %s %u 7", key, (unsigned)below(w, 8));
        return;
    default:
        snprintf(w->line, LINE, "LPUSH %s x", key);
    }
}

static void
any_index(struct world *w)
{
    static const char *const defs[] = {
        "n0 ON a: FIELD n NUMERIC", "t0 ON a: FIELD t TEXT",
        "n1 ON '' FIELD n",         "x0 ON a: FIELD $.o.x[0] NUMERIC",
        "v0 ON b: FIELD $value",    "w0 ON c FIELD $value TEXT",
        "l0 ON a:1 FIELD t TEXT",
    };
    const char *def = defs[below(w, nq_countof(defs))];
    char name[3] = {def[0], def[1], 0};

    if (below(w, 3) == 0)
        snprintf(w->line, LINE, "NQ.INDEX %s %s",
                 below(w, 2) ? "DROP" : "REBUILD", name);
    else
        snprintf(w->line, LINE, "NQ.INDEX CREATE %s", def);
}

static void
any_bulk(struct world *w)
{
    switch (below(w, 6)) {
    case 0:
        snprintf(w->line, LINE, "FLUSHDB");
        break;
    case 5:
        snprintf(w->line, LINE, "NQ.COMPACT ASYNC");
        break;
    case 1:
        snprintf(w->line, LINE, "SWAPDB %u %u", (unsigned)below(w, DATABASES),
                 (unsigned)below(w, DATABASES));
        break;
    case 2:
        snprintf(w->line, LINE, "NQ.DELRANGE a:1 a:3");
        break;
    case 3:
        snprintf(w->line, LINE, "NQ.DELRANGE a b");
        break;
    default:
        snprintf(w->line, LINE, "NQ.DELRANGE (a:2 +");
    }
}

static void
any_command(struct world *w)
{
    uint64_t dice = below(w, 200);
    char key[16];

    if (dice < 3)
        any_index(w);
    else if (dice < 5)
        any_bulk(w);
    else if (dice < 10)
        snprintf(w->line, LINE, "SELECT %u", (unsigned)below(w, DATABASES));
    else
        any_write(w, any_key(w, key));
    (void)fake_ask(&w->c, w->line);
}

static void
any_transaction(struct world *w)
{
    char key[16];

    (void)fake_ask(&w->c, "MULTI");
    for (unsigned n = 1 + (unsigned)below(w, 5); n > 0; n--) {
        any_write(w, any_key(w, key));
        (void)fake_ask(&w->c, w->line);
    }
    (void)fake_ask(&w->c, "EXEC");
}

/* --- queries -------------------------------------------------------------- */

static void
any_where(struct world *w, char dst[400])
{
    char a[32], b[32], text[128];

    switch (below(w, 9)) {
    case 0:
        snprintf(dst, 400, "n > %u", (unsigned)below(w, 40));
        break;
    case 1:
        snprintf(dst, 400, "n >= -3 AND n < %u", (unsigned)below(w, 40));
        break;
    case 2:
        snprintf(dst, 400, "n = %u AND t > 'a'", (unsigned)below(w, 40));
        break;
    case 3:
        snprintf(dst, 400, "n IN (1, 2, %u, 7)", (unsigned)below(w, 40));
        break;
    case 4:
        snprintf(dst, 400, "t = '%s'", any_text(w, text));
        break;
    case 5:
        snprintf(dst, 400, "t LIKE '%.60s%%'", any_text(w, text));
        break;
    case 6:
        snprintf(dst, 400, "t > '%s' AND o.x[0] BETWEEN 2 AND 5",
                 any_text(w, text));
        break;
    case 7:
        snprintf(dst, 400, "$value < %u OR n = 3", (unsigned)below(w, 40));
        break;
    default:
        snprintf(dst, 400, "$value > %s AND n <> '%s'", any_number(w, a),
                 any_number(w, b));
        if (strchr(a, 'w') != NULL)
            snprintf(dst, 400, "$value >= '%s'", a);
    }
}

/* Whether the row matches; the key may be gone. */
static bool
matches(struct world *w, struct slice key, const struct program *p,
        struct row_scratch *scratch)
{
    bool was = frames_set_blocking(store_frames(w->env.store), true);
    struct row_fields fields;
    enum truth t = TRUTH_FALSE;
    struct row row;
    nq_rc rc = db_row_far(w->env.db, w->c.s.dbi, key, program_needs(p), 1 << 20,
                          &w->arena, &fields, &row);

    assert_true(rc == NQ_OK || rc == NQ_NOTFOUND);
    row_scratch_next(scratch);
    if (rc == NQ_OK)
        t = program_run(p, &row, scratch);
    assert_int_equal(db_row_check(&fields), NQ_OK);
    db_row_end(&fields);
    (void)frames_set_blocking(store_frames(w->env.store), was);
    return t == TRUTH_TRUE;
}

/* Keys of the range that match, each with a space behind it. */
static void
by_scan(struct world *w, const struct plan_query *q, struct buf *out)
{
    struct row_scratch *scratch = row_scratch_new();
    struct btree_cursor c;
    bool was = frames_set_blocking(store_frames(w->env.store), true);

    btree_cursor_init(&c, db_tree(w->env.db, w->c.s.dbi));
    assert_int_equal(btree_seek(&c, q->lo, false), NQ_OK);
    while (c.valid && (q->hi == NULL || slice_cmp(c.key, *q->hi) < 0)) {
        if (matches(w, c.key, q->where, scratch)) {
            buf_put_slice(out, c.key);
            buf_put_u8(out, ' ');
        }
        assert_int_equal(btree_next(&c), NQ_OK);
    }
    btree_cursor_fini(&c);
    (void)frames_set_blocking(store_frames(w->env.store), was);
    row_scratch_free(scratch);
}

static void
by_index(struct world *w, const struct plan_query *q, const struct plan *p,
         struct buf *out)
{
    struct row_scratch *scratch = row_scratch_new();
    bool was = frames_set_blocking(store_frames(w->env.store), true);
    struct index_reader *r = plan_reader(w->env.db, p, false);
    struct slice key;
    nq_rc rc;

    while ((rc = index_reader_collect(r, 1)) == NQ_AGAIN)
        continue;
    (void)frames_set_blocking(store_frames(w->env.store), was);
    assert_int_equal(rc, NQ_OK);
    while (index_reader_next(r, &key)) {
        if (matches(w, key, q->where, scratch)) {
            buf_put_slice(out, key);
            buf_put_u8(out, ' ');
        }
    }
    index_reader_free(r);
    row_scratch_free(scratch);
}

static void
compare(struct world *w, const struct plan_query *q, const char *where)
{
    struct buf want = BUF_INIT, found = BUF_INIT;
    bool was = frames_set_blocking(store_frames(w->env.store), true);
    struct plan p;

    assert_int_equal(plan_choose(w->env.db, w->c.s.dbi, q, &w->arena, &p),
                     NQ_OK);
    (void)frames_set_blocking(store_frames(w->env.store), was);
    w->all++;
    by_scan(w, q, &want);
    if (p.kind == PLAN_INDEX) {
        w->by_index++;
        by_index(w, q, &p, &found);
    } else if (p.kind != PLAN_EMPTY) {
        struct plan_query narrow = *q;

        narrow.lo = p.lo;
        narrow.hi = p.has_hi ? &p.hi : NULL;
        by_scan(w, &narrow, &found);
    }
    buf_put_u8(&want, 0);
    buf_put_u8(&found, 0);
    if (strcmp((char *)want.p, (char *)found.p) != 0)
        print_message("%s: WHERE %s\n", plan_kind_name(p.kind), where);
    assert_string_equal(want.p, found.p);
    buf_fini(&want);
    buf_fini(&found);
}

static void
query(struct world *w)
{
    static const char *const ranges[][2] = {
        {"", ""}, {"a:", "a;"}, {"a:1", "a:2"}, {"b:", "b;"}, {"c", "d"}};
    const char *const *range = ranges[below(w, nq_countof(ranges))];
    struct slice hi = slice_str(range[1]), text;
    struct plan_query q = {.lo = slice_str(range[0]),
                           .hi = hi.len > 0 ? &hi : NULL,
                           .wanted = UINT64_MAX};
    struct query_error err;
    struct program *p;
    char where[400];

    any_where(w, where);
    text = slice_str(where);
    if (program_compile(&text, 1, &p, &err) != NQ_OK)
        fail_msg("%s: %s", where, err.text);
    q.where = p;
    compare(w, &q, where);
    program_unref(p);
    arena_reset(&w->arena);
}

/* --- the test ------------------------------------------------------------- */

static void
turn(struct world *w)
{
    index_jobs_cron(w->env.e);
    engine_env_turn(&w->env);
}

static bool
are_built(struct world *w)
{
    struct index *ix;

    for (unsigned i = 0; (ix = db_index_at(w->env.db, i)) != NULL; i++) {
        struct index_info info;

        index_get_info(ix, &info);
        assert_int_not_equal(info.state, INDEX_DAMAGED);
        if (info.state == INDEX_BUILDING)
            return false;
    }
    return true;
}

static void
verify(struct world *w)
{
    const char *reply;

    for (unsigned i = 0; i < QUERIES; i++)
        query(w);
    for (unsigned i = 0; i < 20000 && !are_built(w); i++)
        turn(w);
    assert_true(are_built(w));
    for (unsigned i = 0; i < QUERIES; i++)
        query(w);
    reply = fake_ask(&w->c, "NQ.CHECK");
    if (strncmp(reply, "*36|$8|findings|:0|", 19) != 0)
        fail_msg("%s", reply);
}

static void
start(struct world *w)
{
    char line[16];
    uint32_t dbi = w->c.s.dbi;

    fake_open(&w->env, &w->c);
    snprintf(line, sizeof line, "SELECT %u", dbi);
    fake_expect(&w->c, line, "+OK|");
}

static void
crash(struct world *w)
{
    lsn end = wal_position(store_wal(w->env.store));

    store_turn(w->env.store);
    while (wal_settled(store_wal(w->env.store)) < end)
        usleep(100);
    fake_close(&w->c);
    engine_env_crash(&w->env);
    assert_int_equal(engine_env_try_open(&w->env), NQ_OK);
    start(w);
}

static void
cool(struct world *w)
{
    fake_close(&w->c);
    engine_env_cool(&w->env);
    start(w);
}

static void
run(uint64_t pool_bytes, unsigned steps)
{
    struct world *w = nq_calloc(1, sizeof *w);
    const char *env = getenv("SEED");
    uint64_t seed = env != NULL ? strtoull(env, NULL, 10) : rng_seed_from_os();

    log_set_level(LOG_ERROR);
    print_message("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&w->rng, seed);
    engine_env_init(&w->env, pool_bytes);
    fake_open(&w->env, &w->c);
    for (unsigned i = 0; i < 7; i++) {
        any_index(w);
        (void)fake_ask(&w->c, w->line);
    }
    for (unsigned i = 1; i <= steps; i++) {
        if (below(w, 20) == 0)
            any_transaction(w);
        else
            any_command(w);
        if (below(w, 3) == 0)
            turn(w);
        if (below(w, 100) == 0)
            store_checkpoint(w->env.store, NULL, NULL);
        if (i % 150 == 0)
            verify(w);
        if (below(w, 300) == 0)
            crash(w);
        else if (below(w, 300) == 0)
            cool(w);
    }
    verify(w);
    print_message("%llu of %llu plans by index\n",
                  (unsigned long long)w->by_index, (unsigned long long)w->all);
    fake_close(&w->c);
    engine_env_fini(&w->env);
    arena_fini(&w->arena);
    nq_free(w);
    program_cache_clear();
}

static void
indexes_say_what_rows_say_whatever_was_written(void **state)
{
    nq_unused(state);
    run(16 << 20, 1500);
}

static void
the_same_with_a_pool_that_is_too_small(void **state)
{
    nq_unused(state);
    run(160 << 10, 1000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(indexes_say_what_rows_say_whatever_was_written),
        cmocka_unit_test(the_same_with_a_pool_that_is_too_small),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
