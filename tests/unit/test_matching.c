/* Queries of ranges against a plain model of the rows: strings, JSON, hashes
 * packed and as trees, values in chunks, other types, expired keys, keys so
 * long that they have a tail; in memory and larger than it, while others
 * write.  SEED repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../lib/engine_env.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cmd/matching.h"
#include "cmd/result_cache.h"
#include "db/index.h"
#include "os/clock.h"
#include "os/pool.h"
#include "store/frames.h"
#include "store/store.h"

#define NOW UINT64_C(1700000000000)
#define ROWS 2400
#define LONG_KEYS 40  /* of them, the last ones: longer than a page keeps */
#define LONG_KEY 900u /* bytes that these share */
#define SITES 5
#define TREE_FIELDS 150
#define BLOB_PAD 3000

enum kind {
    ABSENT,
    JSON,      /* {"v": 12, "site": "s3"} */
    JSON_LONG, /* the same and padding: in a chunk of its own */
    HASH,
    HASH_TREE, /* the same and many more fields */
    LIST,
    ZSET,
    INTEGER,
    KINDS
};

/* What is known of a row. */
struct model_row {
    enum kind kind;
    bool is_due;
    int v, site;
};

struct world {
    struct engine_env env;
    struct fake_client c, writer;
    struct rng rng;
    struct model_row rows[ROWS];
    struct buf line;
};

static int
setup_sized(void **state, uint64_t pool_bytes)
{
    const char *text = getenv("SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : rng_seed_from_os();
    struct world *w = nq_calloc(1, sizeof *w);

    print_message("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&w->rng, seed);
    clock_freeze_wall(NOW);
    log_set_level(LOG_ERROR);
    engine_env_init(&w->env, pool_bytes);
    db_set_active_expire(w->env.db, false);
    fake_open(&w->env, &w->c);
    fake_open(&w->env, &w->writer);
    *state = w;
    return 0;
}

static int
setup(void **state)
{
    return setup_sized(state, 16 << 20);
}

static int
setup_small(void **state)
{
    return setup_sized(state, 120 * 4096);
}

static int
teardown(void **state)
{
    struct world *w = *state;

    fake_close(&w->c);
    fake_close(&w->writer);
    engine_env_fini(&w->env);
    buf_fini(&w->line);
    nq_free(w);
    clock_freeze_wall(0);
    return 0;
}

/* --- rows ----------------------------------------------------------------- */

/* Keys of rising numbers are in order; the last ones share more bytes than a
 * page keeps of a key. */
static void
put_key(struct buf *b, unsigned i)
{
    if (i >= ROWS - LONG_KEYS) {
        buf_put_str(b, "z");
        for (unsigned n = 0; n < LONG_KEY; n++)
            buf_put_u8(b, 'x');
    } else {
        buf_put_str(b, "k");
    }
    buf_printf(b, "%05u", i);
}

static void
put_pad(struct buf *b, unsigned n)
{
    while (n-- > 0)
        buf_put_u8(b, 'p');
}

static void
put_write(struct buf *b, unsigned i, const struct model_row *r)
{
    static const char *const commands[] = {
        [ABSENT] = "DEL ", [JSON] = "SET ",   [JSON_LONG] = "SET ",
        [HASH] = "HSET ",  [HASH_TREE] = "",  [LIST] = "RPUSH ",
        [ZSET] = "ZADD ",  [INTEGER] = "SET "};

    buf_put_str(b, commands[r->kind]);
    put_key(b, i);
    switch (r->kind) {
    case JSON:
    case JSON_LONG:
        buf_printf(b, " '{\"v\": %d, \"site\": \"s%d\", \"pad\": \"", r->v,
                   r->site);
        put_pad(b, r->kind == JSON ? 10 : i % 2 * BLOB_PAD + BLOB_PAD);
        buf_put_str(b, "\"}'");
        break;
    case HASH:
        buf_printf(b, " site s%d v %d", r->site, r->v);
        break;
    case LIST:
        buf_put_str(b, " a b c");
        break;
    case ZSET:
        buf_put_str(b, " 1 a 2 b");
        break;
    case INTEGER:
        buf_printf(b, " %d", r->v);
        break;
    case ABSENT:
    case HASH_TREE:
    case KINDS:
        break;
    }
}

static void
run_line(struct world *w)
{
    buf_put_u8(&w->line, 0);
    (void)fake_ask(&w->writer, (const char *)w->line.p);
    buf_clear(&w->line);
}

static void
make_tree(struct world *w, unsigned i, const struct model_row *r)
{
    for (unsigned f = 0; f < TREE_FIELDS; f += 10) {
        buf_put_str(&w->line, "HSET ");
        put_key(&w->line, i);
        for (unsigned k = f; k < f + 10; k++) {
            buf_printf(&w->line, " pad%03u ", k);
            put_pad(&w->line, 30);
        }
        run_line(w);
    }
    buf_put_str(&w->line, "HSET ");
    put_key(&w->line, i);
    buf_printf(&w->line, " v %d site s%d", r->v, r->site);
    run_line(w);
}

static void
write_row(struct world *w, unsigned i, const struct model_row *r)
{
    buf_put_str(&w->line, "DEL ");
    put_key(&w->line, i);
    run_line(w);
    if (r->kind == HASH_TREE) {
        make_tree(w, i, r);
    } else if (r->kind != ABSENT) {
        put_write(&w->line, i, r);
        run_line(w);
    }
    if (r->kind != ABSENT && r->is_due) {
        buf_put_str(&w->line, "PEXPIRE ");
        put_key(&w->line, i);
        buf_put_str(&w->line, " 5");
        run_line(w);
    }
}

static struct model_row
draw_row(struct world *w)
{
    unsigned dice = (unsigned)rng_below(&w->rng, 100);

    return (struct model_row){.kind = dice < 10   ? ABSENT
                                      : dice < 40 ? JSON
                                      : dice < 45 ? JSON_LONG
                                      : dice < 85 ? HASH
                                      : dice < 86 ? HASH_TREE
                                      : dice < 90 ? LIST
                                      : dice < 95 ? ZSET
                                                  : INTEGER,
                              .is_due = rng_below(&w->rng, 20) == 0,
                              .v = (int)rng_below(&w->rng, 200) - 100,
                              .site = (int)rng_below(&w->rng, SITES)};
}

static void
fill(struct world *w)
{
    for (unsigned i = 0; i < ROWS; i++) {
        w->rows[i] = draw_row(w);
        write_row(w, i, &w->rows[i]);
    }
    clock_freeze_wall(NOW + 10);
}

/* --- questions ------------------------------------------------------------ */

struct question {
    unsigned lo, hi; /* rows */
    int least;       /* v > least */
    int site;        /* -1: any */
    bool is_json;    /* only strings */
    bool reverse;
    int offset, count; /* -1: all */
};

static bool
has_fields(enum kind kind)
{
    return kind == JSON || kind == JSON_LONG || kind == HASH ||
           kind == HASH_TREE;
}

static bool
is_match(const struct question *q, unsigned i, const struct model_row *r)
{
    if (r->kind == ABSENT || r->is_due || i < q->lo || i >= q->hi)
        return false;
    if (q->is_json && r->kind != JSON && r->kind != JSON_LONG)
        return false;
    return has_fields(r->kind) && r->v > q->least &&
           (q->site < 0 || r->site == q->site);
}

static struct question
draw_question(struct world *w)
{
    struct question q = {.lo = (unsigned)rng_below(&w->rng, ROWS),
                         .hi = (unsigned)rng_below(&w->rng, ROWS + 1),
                         .least = (int)rng_below(&w->rng, 220) - 110,
                         .site = (int)rng_below(&w->rng, 2 * SITES) - SITES,
                         .is_json = rng_below(&w->rng, 4) == 0,
                         .reverse = rng_below(&w->rng, 3) == 0,
                         .count = -1};

    if (q.lo > q.hi || rng_below(&w->rng, 2) == 0) {
        q.lo = 0;
        q.hi = ROWS;
    }
    if (rng_below(&w->rng, 3) == 0) {
        q.offset = (int)rng_below(&w->rng, 50);
        q.count = (int)rng_below(&w->rng, 60) + 1;
    }
    if (q.site < 0)
        q.site = -1;
    return q;
}

static void
put_range(struct buf *b, const struct question *q)
{
    if (q->lo == 0)
        buf_put_str(b, "- ");
    else
        put_key(b, q->lo);
    buf_put_str(b, " ");
    if (q->hi == ROWS) {
        buf_put_str(b, "+");
    } else {
        buf_put_str(b, "(");
        put_key(b, q->hi);
    }
}

static void
put_where(struct buf *b, const struct question *q)
{
    buf_printf(b, " WHERE v > %d", q->least);
    if (q->site >= 0)
        buf_printf(b, " AND site = s%d", q->site);
    if (q->is_json)
        buf_put_str(b, " AND $type = string");
}

/* --- answers -------------------------------------------------------------- */

static void
want_bulk(struct buf *b, struct slice s)
{
    buf_printf(b, "$%zu|", s.len);
    buf_put_slice(b, s);
    buf_put_str(b, "|");
}

static void
want_row(struct buf *b, unsigned i, const struct model_row *r)
{
    struct buf key = BUF_INIT;
    char v[16];

    put_key(&key, i);
    want_bulk(b, buf_slice(&key));
    buf_put_str(b, "*2|$1|v|");
    snprintf(v, sizeof v, "%d", r->v);
    want_bulk(b, slice_str(v));
    buf_fini(&key);
}

/* The answer to ... RETURN v. */
static void
want_rows(struct world *w, const struct question *q, struct buf *out)
{
    struct buf rows = BUF_INIT;
    int skip = q->offset, n = 0;

    for (unsigned k = 0; k < ROWS; k++) {
        unsigned i = q->reverse ? ROWS - 1 - k : k;

        if (!is_match(q, i, &w->rows[i]) || n == q->count || skip-- > 0)
            continue;
        want_row(&rows, i, &w->rows[i]);
        n++;
    }
    buf_printf(out, "*%d|", 2 * n);
    buf_put_slice(out, buf_slice(&rows));
    buf_put_u8(out, 0);
    buf_fini(&rows);
}

static const char *
ask_line(struct world *w)
{
    const char *text;

    buf_put_u8(&w->line, 0);
    text = fake_ask(&w->c, (const char *)w->line.p);
    buf_clear(&w->line);
    return text;
}

static void
ask_rows(struct world *w, const struct question *q)
{
    struct buf want = BUF_INIT;

    buf_put_str(&w->line, "NQ.RANGE ");
    put_range(&w->line, q);
    put_where(&w->line, q);
    buf_put_str(&w->line, " RETURN v");
    if (q->reverse)
        buf_put_str(&w->line, " REV");
    if (q->count >= 0)
        buf_printf(&w->line, " LIMIT %d %d", q->offset, q->count);
    want_rows(w, q, &want);
    assert_string_equal(ask_line(w), (const char *)want.p);
    buf_fini(&want);
}

static void
ask_sums(struct world *w, const struct question *q)
{
    struct buf want = BUF_INIT;
    int64_t sum = 0;
    int n = 0;

    for (unsigned i = 0; i < ROWS; i++)
        if (is_match(q, i, &w->rows[i])) {
            sum += w->rows[i].v;
            n++;
        }
    buf_printf(&want, ":%d|", n);
    buf_put_u8(&want, 0);
    buf_put_str(&w->line, "NQ.COUNT ");
    put_range(&w->line, q);
    put_where(&w->line, q);
    assert_string_equal(ask_line(w), (const char *)want.p);
    buf_clear(&want);
    buf_printf(&want, "*4|$5|count|:%d|$5|sum v|:%lld|", n, (long long)sum);
    buf_put_u8(&want, 0);
    buf_put_str(&w->line, "NQ.AGG ");
    put_range(&w->line, q);
    put_where(&w->line, q);
    buf_put_str(&w->line, " COUNT SUM v");
    assert_string_equal(ask_line(w), (const char *)want.p);
    buf_fini(&want);
}

static void
ask_many(struct world *w, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        struct question q = draw_question(w);

        ask_rows(w, &q);
        ask_sums(w, &q);
    }
}

/* Odd rows change all the time, even ones stay. */
static void
disturb(struct world *w)
{
    for (unsigned n = 0; n < 3; n++) {
        unsigned i = (unsigned)rng_below(&w->rng, ROWS / 2) * 2 + 1;
        struct model_row r = draw_row(w);

        if (r.kind == HASH_TREE)
            continue;
        r.is_due = false;
        w->rows[i] = r;
        write_row(w, i, &r);
    }
}

/* --- claims --------------------------------------------------------------- */

static void
answers_equal_the_model(void **state)
{
    struct world *w = *state;

    fill(w);
    ask_many(w, 60);
}

static void
cool(struct world *w)
{
    engine_env_cool(&w->env);
    db_set_active_expire(w->env.db, false);
}

static void
answers_equal_the_model_beyond_the_pool(void **state)
{
    struct frames_stats st;
    struct world *w = *state;

    fill(w);
    cool(w);
    ask_many(w, 25);
    frames_get_stats(store_frames(w->env.store), &st);
    assert_true(st.evictions > 0);
    assert_int_equal(st.frames_pinned, 0);
}

static bool
is_index_ready(struct world *w)
{
    struct index_info info;
    struct index *ix = db_index_find(w->env.db, slice_lit("by_v"));

    assert_non_null(ix);
    index_get_info(ix, &info);
    return info.state == INDEX_READY;
}

static uint64_t
index_seeks(struct world *w)
{
    struct index_info info;

    index_get_info(db_index_find(w->env.db, slice_lit("by_v")), &info);
    return info.seeks;
}

/* Within the prefix of the index, and few rows. */
static void
ask_by_index(struct world *w)
{
    struct question q = draw_question(w);

    q.lo = 1 + (unsigned)rng_below(&w->rng, 100);
    q.hi = ROWS - LONG_KEYS - (unsigned)rng_below(&w->rng, 100);
    q.least = 97 + (int)rng_below(&w->rng, 3);
    q.site = -1;
    ask_rows(w, &q);
    ask_sums(w, &q);
}

static void
by_an_index_answers_are_the_same(void **state)
{
    struct world *w = *state;

    fill(w);
    fake_expect(&w->c, "NQ.INDEX CREATE by_v ON k FIELD v NUMERIC", "+OK|");
    while (!is_index_ready(w))
        engine_env_turn(&w->env);
    for (unsigned i = 0; i < 40; i++) {
        if (i == 20)
            cool(w);
        ask_by_index(w);
        disturb(w);
    }
    assert_true(index_seeks(w) > 0);
}

static void
inside_multi_answers_are_the_same(void **state)
{
    struct world *w = *state;
    struct question all = {.hi = ROWS, .least = 50, .site = -1, .count = -1};
    struct buf want = BUF_INIT;

    fill(w);
    cool(w);
    buf_put_str(&want, "*1|");
    want_rows(w, &all, &want);
    fake_expect(&w->c, "MULTI", "+OK|");
    fake_expect(&w->c, "NQ.RANGE - + WHERE v > 50 RETURN v", "+QUEUED|");
    assert_string_equal(fake_ask(&w->c, "EXEC"), (const char *)want.p);
    buf_fini(&want);
}

/* --- while others write --------------------------------------------------- */

static unsigned
row_of_key(struct slice key)
{
    assert_true(key.len >= 6);
    return (unsigned)strtoul((const char *)key.p + key.len - 5, NULL, 10);
}

/* The rows of an array of keys. */
static unsigned
read_keys(const char *text, unsigned *ids)
{
    unsigned n = 0;

    for (const char *p = strchr(text, '|') + 1; *p != '\0'; n++) {
        size_t len = strtoul(p + 1, NULL, 10);

        assert_true(n < ROWS);
        p = strchr(p, '|') + 1;
        ids[n] = row_of_key(slice_of(p, len));
        p += len + 1;
    }
    return n;
}

/* Each behind the one before; even ones are just those that match. */
static void
check_keys(struct world *w, const struct question *q, const char *text)
{
    unsigned ids[ROWS], n = read_keys(text, ids), next = 0;

    for (unsigned k = 0; k < n; k++) {
        unsigned i = ids[q->reverse ? n - 1 - k : k];

        assert_true(i >= next);
        for (; next < i; next++)
            assert_false(next % 2 == 0 && is_match(q, next, &w->rows[next]));
        assert_true(i % 2 == 1 || is_match(q, i, &w->rows[i]));
        next = i + 1;
    }
    for (; next < ROWS; next++)
        assert_false(next % 2 == 0 && is_match(q, next, &w->rows[next]));
}

static void
ask_disturbed(struct world *w, bool reverse)
{
    struct question q = {
        .hi = ROWS, .least = -20, .site = -1, .reverse = reverse, .count = -1};

    fake_send(&w->c, reverse ? "NQ.RANGE - + WHERE v > -20 KEYSONLY REV"
                             : "NQ.RANGE - + WHERE v > -20 KEYSONLY");
    while (w->c.nkept > 0) {
        disturb(w);
        engine_env_turn(&w->env);
    }
    check_keys(w, &q, fake_read(&w->c));
}

static void
what_stays_is_met_once_while_others_write(void **state)
{
    struct world *w = *state;

    fill(w);
    for (unsigned round = 0; round < 4; round++) {
        ask_disturbed(w, round % 2 == 1);
        if (round == 1)
            cool(w);
    }
}

/* --- ends ----------------------------------------------------------------- */

static uint64_t
pinned(struct world *w)
{
    struct frames_stats st;

    frames_get_stats(store_frames(w->env.store), &st);
    return st.frames_pinned;
}

static void
a_query_ends_with_its_client(void **state)
{
    struct world *w = *state;
    struct fake_client gone;

    fill(w);
    cool(w);
    for (unsigned turns = 0; turns < 12; turns++) {
        fake_open(&w->env, &gone);
        fake_send(&gone, "NQ.AGG - + WHERE v > 3 COUNT GROUP BY site");
        for (unsigned i = 0; i < turns; i++)
            engine_env_turn(&w->env);
        fake_close(&gone);
    }
    while (pool_pending(w->env.pool) > 0)
        engine_env_turn(&w->env);
    assert_int_equal(pinned(w), 0);
}

/* Its consumer takes nothing: it comes to rest. */
static void
unread_rows_are_bounded(void **state)
{
    struct world *w = *state;
    struct matching_opts opts = {.what = MATCHING_ROWS, .memory = 8192};
    struct select sel = {.range = {.lo = slice_lit("")},
                         .want_keys = true,
                         .want_values = true,
                         .count = -1};
    struct matching_stats st;
    struct matching *m;
    struct matched row;
    uint64_t rows = 0;
    nq_rc rc;

    fill(w);
    m = matching_open(w->env.e, 0, &sel, &opts);
    while ((rc = matching_next(m, &row)) == NQ_AGAIN)
        engine_env_turn(&w->env);
    assert_int_equal(rc, NQ_OK);
    for (unsigned i = 0; i < 200; i++)
        engine_env_turn(&w->env);
    matching_get_stats(m, &st);
    assert_true(st.leaves < 40);
    assert_false(st.is_over);
    do {
        rows += rc == NQ_OK;
        if (rc == NQ_AGAIN)
            engine_env_turn(&w->env);
        rc = matching_next(m, &row);
    } while (rc != NQ_NOTFOUND);
    matching_get_stats(m, &st);
    assert_int_equal(rows, st.rows);
    assert_true(st.is_over);
    matching_close(m);
    assert_int_equal(pinned(w), 0);
}

/* Pages that the kernel has come in without a worker: nothing else would make
 * the loop turn again. */
static void
the_loop_comes_at_once_to_what_is_due(void **state)
{
    struct world *w = *state;
    unsigned times = 0;

    fill(w);
    cool(w);
    fake_send(&w->c, "NQ.COUNT - + WHERE v > 10");
    while (w->c.nkept > 0) {
        if (matchings_are_due(w->env.e->matchings)) {
            assert_int_equal(engine_next_due_ms(w->env.e), 0);
            times++;
        }
        engine_env_turn(&w->env);
    }
    (void)fake_read(&w->c);
    assert_true(times > 0);
}

/* --- bits ----------------------------------------------------------------- */

static void
bits_tell_of_each_row_whether_it_matches(void **state)
{
    struct world *w = *state;
    struct question q = {.hi = ROWS, .least = 20, .site = -1, .count = -1};
    struct matching_opts opts = {.what = MATCHING_BITS, .memory = 1 << 22};
    struct select sel = {.range = {.lo = slice_lit("")}, .count = -1};
    struct slice where = slice_lit("v > 20");
    struct buf key = BUF_INIT, got = BUF_INIT;
    struct query_error err;
    const uint64_t *words;
    struct matching *m;
    uint64_t rows, at = 0;
    nq_rc rc;

    fill(w);
    cool(w);
    assert_int_equal(program_compile(&where, 1, &sel.where, &err), NQ_OK);
    m = matching_open(w->env.e, 0, &sel, &opts);
    while ((rc = matching_finish(m)) == NQ_AGAIN)
        engine_env_turn(&w->env);
    assert_int_equal(rc, NQ_OK);
    words = matching_bits(m, &rows);
    for (unsigned i = 0; i < ROWS; i++) {
        bool bit;

        if (w->rows[i].kind == ABSENT || w->rows[i].is_due)
            continue;
        assert_true(at < rows);
        bit = (words[at / 64] >> at % 64 & 1) != 0;
        assert_int_equal(bit, is_match(&q, i, &w->rows[i]));
        at++;
    }
    assert_int_equal(at, rows);
    matching_close(m);
    buf_fini(&key);
    buf_fini(&got);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_equal_the_model, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(answers_equal_the_model_beyond_the_pool,
                                        setup_small, teardown),
        cmocka_unit_test_setup_teardown(by_an_index_answers_are_the_same, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(inside_multi_answers_are_the_same,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_stays_is_met_once_while_others_write, setup, teardown),
        cmocka_unit_test_setup_teardown(a_query_ends_with_its_client, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(unread_rows_are_bounded, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_loop_comes_at_once_to_what_is_due,
                                        setup_small, teardown),
        cmocka_unit_test_setup_teardown(
            bits_tell_of_each_row_whether_it_matches, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
