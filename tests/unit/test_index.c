/* Indexes: what clients see of NQ.INDEX, spellings in order, readers beside
 * writers, building that goes on after a restart, keys that wait for pages,
 * damage and its repair. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../lib/two_clients.h"
#include "base/check.h"
#include "base/mem.h"
#include "cmd/cmd_index.h"
#include "cmd/jobs.h"
#include "db/index_int.h"
#include "store/frames.h"
#include "store/store.h"

#define POOL (32u << 20)
#define SMALL_POOL (192u << 10)
#define MANY 6000u /* keys: more than a run of a reader, and a slice */

static int
setup(void **state)
{
    (void)two_clients_begin(state, POOL);
    return 0;
}

static int
setup_small(void **state)
{
    (void)two_clients_begin(state, SMALL_POOL);
    return 0;
}

static struct index *
index_named(struct two_clients *w, const char *name)
{
    struct index *ix = db_index_find(w->env.db, slice_str(name));

    assert_non_null(ix);
    return ix;
}

static struct index_info
info_of(struct two_clients *w, const char *name)
{
    struct index_info info;

    index_get_info(index_named(w, name), &info);
    return info;
}

static void ask_ok(struct two_clients *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
ask_ok(struct two_clients *w, const char *fmt, ...)
{
    const char *reply;
    char line[4096];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    reply = fake_ask(&w->c, line);
    if (reply[0] == '-')
        fail_msg("%s: %s", line, reply);
}

static void
turns(struct two_clients *w, const char *name)
{
    for (unsigned i = 0; i < 100000; i++) {
        index_jobs_cron(w->env.e);
        engine_env_turn(&w->env);
        if (info_of(w, name).state != INDEX_BUILDING)
            return;
    }
    fail();
}

static void
expect_sound(struct two_clients *w)
{
    const char *reply = fake_ask(&w->c, "NQ.CHECK");

    if (strstr(reply, "findings|:0|") == NULL)
        fail_msg("%s", reply);
}

/* The keys of values from lo to hi, joined by spaces, into w->line. */
static const char *
found(struct two_clients *w, const char *name, double lo, double hi,
      bool reverse)
{
    struct value a = {.kind = VALUE_NUMBER, .number = lo};
    struct value b = {.kind = VALUE_NUMBER, .number = hi};
    struct index_end from = {.value = &a}, to = {.value = &b};
    struct index_bounds bounds;
    struct index_read what = {.index = index_named(w, name),
                              .bounds = &bounds,
                              .count = 1,
                              .reverse = reverse};
    struct index_reader *r;
    struct slice key;

    assert_true(index_bounds_between(INDEX_NUMERIC, &from, &to, &bounds));
    r = index_reader_new(w->env.db, &what);
    assert_int_equal(index_reader_collect(r, 1000000), NQ_OK);
    buf_clear(&w->line);
    while (index_reader_next(r, &key)) {
        buf_put_slice(&w->line, key);
        buf_put_u8(&w->line, ' ');
    }
    buf_put_u8(&w->line, 0);
    index_reader_free(r);
    return (const char *)w->line.p;
}

/* --- commands ------------------------------------------------------------- */

static void
names_are_told_apart(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "NQ.INDEX LIST", "*0|");
    fake_expect(c, "NQ.INDEX CREATE t ON s: FIELD temp", "+OK|");
    fake_expect(c, "NQ.INDEX CREATE t ON x: FIELD temp TEXT",
                "-ERR there is an index 't' already|");
    fake_expect(c, "NQ.INDEX DROP u", "-ERR there is no index 'u'|");
    fake_expect(c, "NQ.INDEX REBUILD u", "-ERR there is no index 'u'|");
    fake_expect(c, "NQ.INDEX INFO u", "-ERR there is no index 'u'|");
    fake_expect(c, "NQ.INDEX DROP t", "+OK|");
    fake_expect(c, "NQ.INDEX CREATE t ON s: FIELD temp TEXT", "+OK|");
    assert_int_equal(info_of(w, "t").def.kind, INDEX_TEXT);
}

static void
what_makes_no_index_is_refused(void **state)
{
    struct two_clients *w = *state;
    struct fake_client *c = &w->c;

    fake_expect(c, "NQ.INDEX CREATE t ON s: FIELD temp BLOB",
                "-ERR syntax error|");
    fake_expect(c, "NQ.INDEX CREATE t AT s: FIELD temp", "-ERR syntax error|");
    fake_expect(c, "NQ.INDEX CREATE t ON s: FIELD $ttl",
                "-ERR an index is of a field, a path in JSON, or $value|");
    fake_expect(c, "NQ.INDEX CREATE '' ON s: FIELD temp",
                "-ERR an index has a name of 1 to 128 bytes and a prefix of at "
                "most 512|");
    fake_expect(c, "NQ.INDEX CREATE t ON s: FIELD $.",
                "-ERR path: expected a name, found the end at 2|");
    fake_expect(c, "NQ.INDEX LIST", "*0|");
}

static void
there_are_not_more_than_the_limit(void **state)
{
    struct two_clients *w = *state;

    for (unsigned i = 0; i < INDEX_MAX; i++)
        ask_ok(w, "NQ.INDEX CREATE i%u ON p%u: FIELD x", i, i);
    fake_expect(&w->c, "NQ.INDEX CREATE more ON p FIELD x",
                "-ERR there are 64 indexes already, the most that there may "
                "be|");
    ask_ok(w, "HSET p7:a x 1");
    ask_ok(w, "HSET p63:a x 1");
    assert_string_equal(found(w, "i7", 1, 1, false), "p7:a ");
    assert_string_equal(found(w, "i63", 1, 1, false), "p63:a ");
}

static void
only_rows_with_a_value_of_the_kind_are_in_it(void **state)
{
    struct two_clients *w = *state;
    struct index_info i;

    ask_ok(w, "NQ.INDEX CREATE t ON s: FIELD temp");
    ask_ok(w, "HSET s:1 temp 20 site north");
    ask_ok(w, "HSET s:2 temp warm");
    ask_ok(w, "HSET s:3 site south");
    ask_ok(w, "SET s:4 '{\"temp\":21.5}'");
    ask_ok(w, "SET s:5 '{\"temp\":\"21\"}'");
    ask_ok(w, "SET s:6 '{\"temp\":null}'");
    ask_ok(w, "SET s:7 'no json'");
    ask_ok(w, "LPUSH s:8 temp");
    ask_ok(w, "HSET other:1 temp 20");
    engine_env_turn(&w->env);
    assert_string_equal(found(w, "t", -1e9, 1e9, false), "s:1 s:4 ");
    i = info_of(w, "t");
    assert_int_equal(i.rows, 2);
    assert_int_equal(i.mismatched, 2);
    assert_int_equal(i.seeks, 1);
    assert_int_equal(i.found, 2);
    ask_ok(w, "HSET s:2 temp 3");
    engine_env_turn(&w->env);
    assert_int_equal(info_of(w, "t").mismatched, 1);
    expect_sound(w);
}

static void
an_index_goes_with_its_data(void **state)
{
    struct two_clients *w = *state;

    ask_ok(w, "NQ.INDEX CREATE t ON s: FIELD temp");
    ask_ok(w, "HSET s:1 temp 20");
    ask_ok(w, "SWAPDB 0 2");
    assert_int_equal(info_of(w, "t").def.dbi, 2);
    ask_ok(w, "HSET s:2 temp 20");
    assert_string_equal(found(w, "t", 20, 20, false), "s:1 ");
    ask_ok(w, "SELECT 2");
    ask_ok(w, "HSET s:2 temp 20");
    assert_string_equal(found(w, "t", 20, 20, false), "s:1 s:2 ");
    ask_ok(w, "FLUSHALL");
    assert_int_equal(info_of(w, "t").state, INDEX_READY);
    assert_string_equal(found(w, "t", 20, 20, false), "");
    expect_sound(w);
}

static void
deleted_ranges_are_worked_off(void **state)
{
    struct two_clients *w = *state;

    ask_ok(w, "NQ.INDEX CREATE t ON s: FIELD temp");
    for (unsigned i = 0; i < 500; i++)
        ask_ok(w, "HSET s:%03u temp %u", i, i % 7);
    ask_ok(w, "NQ.DELRANGE s:100 (s:400");
    ask_ok(w, "HSET s:200 temp 5");
    assert_true(db_index_has_work(w->env.db));
    for (unsigned i = 0; i < 1000 && db_index_has_work(w->env.db); i++)
        engine_env_turn(&w->env);
    assert_false(db_index_has_work(w->env.db));
    assert_int_equal(info_of(w, "t").rows, 201);
    expect_sound(w);
    ask_ok(w, "NQ.DELRANGE s: (s;");
    assert_int_equal(info_of(w, "t").rows, 0);
    expect_sound(w);
}

/* --- spellings ------------------------------------------------------------ */

static double
any_double(struct rng *rng)
{
    static const double some[] = {0, -0.0, 1, -1, 1e308, -1e308, 5e-324, 0.1};
    double d;
    uint64_t bits;

    if (rng_below(rng, 2) == 0)
        return some[rng_below(rng, nq_countof(some))];
    if (rng_below(rng, 2) == 0)
        return (double)(int64_t)rng_below(rng, 200) - 100;
    bits = rng_next(rng);
    memcpy(&d, &bits, sizeof d);
    return d == d ? d : 0;
}

static struct slice
any_text(struct rng *rng, uint8_t dst[80])
{
    static const uint8_t bytes[] = {0, 1, 'a', 0xff};
    size_t len =
        rng_below(rng, 3) == 0 ? 60 + rng_below(rng, 20) : rng_below(rng, 4);

    for (size_t i = 0; i < len; i++)
        dst[i] = i < 60 && len > 60 ? 0 : bytes[rng_below(rng, 4)];
    return slice_of(dst, len);
}

static int
compare_spellings(enum index_kind kind, const struct value *a,
                  const struct value *b)
{
    struct index_value x, y;

    index_spell(kind, a, &x);
    index_spell(kind, b, &y);
    assert_int_equal(index_spelling_len(kind, slice_of(x.bytes, x.len)), x.len);
    return slice_cmp(slice_of(x.bytes, x.len), slice_of(y.bytes, y.len));
}

static void
spellings_stand_in_the_order_of_values(void **state)
{
    struct two_clients *w = *state;
    uint8_t one[80], two[80];

    rng_seed(&w->rng, 7);
    for (unsigned i = 0; i < 20000; i++) {
        struct value a = {.kind = VALUE_NUMBER}, b = a;
        int want, is;

        a.number = any_double(&w->rng);
        b.number = any_double(&w->rng);
        want = (a.number > b.number) - (a.number < b.number);
        is = compare_spellings(INDEX_NUMERIC, &a, &b);
        assert_int_equal((is > 0) - (is < 0), want);
        a = (struct value){.kind = VALUE_TEXT, .text = any_text(&w->rng, one)};
        b = (struct value){.kind = VALUE_BYTES, .text = any_text(&w->rng, two)};
        want = slice_cmp(a.text, b.text);
        is = compare_spellings(INDEX_TEXT, &a, &b);
        if (is != 0 || (a.text.len <= 64 && b.text.len <= 64))
            assert_int_equal((is > 0) - (is < 0), (want > 0) - (want < 0));
    }
}

static void
bounds_that_hold_nothing_are_told(void **state)
{
    struct value one = {.kind = VALUE_NUMBER, .number = 1};
    struct value two = {.kind = VALUE_NUMBER, .number = 2};
    struct value text = {.kind = VALUE_TEXT, .text = slice_lit("x")};
    struct index_end a = {.value = &one}, b = {.value = &two},
                     t = {.value = &text}, none = {.value = NULL},
                     open = {.value = &one, .is_open = true};
    struct index_bounds out;

    nq_unused(state);
    assert_true(index_bounds_between(INDEX_NUMERIC, &a, &b, &out));
    assert_true(index_bounds_between(INDEX_NUMERIC, &a, &a, &out));
    assert_false(index_bounds_between(INDEX_NUMERIC, &b, &a, &out));
    assert_false(index_bounds_between(INDEX_NUMERIC, &a, &open, &out));
    assert_false(index_bounds_between(INDEX_NUMERIC, &t, &none, &out));
    assert_false(index_bounds_between(INDEX_TEXT, &a, &none, &out));
    assert_true(index_bounds_between(INDEX_TEXT, &none, &t, &out));
    assert_false(index_bounds_prefix(INDEX_NUMERIC, &text, &out));
    assert_true(index_bounds_prefix(INDEX_TEXT, &text, &out));
}

/* --- reading -------------------------------------------------------------- */

static struct index_reader *
reader_of(struct two_clients *w, const char *name, size_t limit)
{
    struct index_end none = {.value = NULL};
    struct index_bounds bounds;
    struct index_read what = {.index = index_named(w, name),
                              .bounds = &bounds,
                              .count = 1,
                              .limit = limit};

    assert_true(index_bounds_between(what.index->kind, &none, &none, &bounds));
    return index_reader_new(w->env.db, &what);
}

static void
fill(struct two_clients *w, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        ask_ok(w, "HSET s:%05u temp %u", i, (i * 7919) % n);
}

static void
keys_are_told_in_order_both_ways(void **state)
{
    struct two_clients *w = *state;
    struct index_reader *r;
    struct slice key;
    char want[16];
    unsigned n = 0;

    ask_ok(w, "NQ.INDEX CREATE t ON s: FIELD temp");
    fill(w, MANY);
    r = reader_of(w, "t", 0);
    while (index_reader_collect(r, 1) == NQ_AGAIN)
        continue;
    assert_int_equal(index_reader_count(r), MANY);
    for (; index_reader_next(r, &key); n++) {
        snprintf(want, sizeof want, "s:%05u", n);
        assert_true(slice_eq(key, slice_str(want)));
    }
    assert_int_equal(n, MANY);
    index_reader_free(r);
    assert_string_equal(found(w, "t", 10, 12, true),
                        "s:04790 s:02148 s:00469 ");
}

static void
a_row_that_moves_behind_the_cursor_is_told(void **state)
{
    struct two_clients *w = *state;
    struct index_reader *r;
    struct slice key;
    unsigned n = 0, moved = 0;

    ask_ok(w, "NQ.INDEX CREATE t ON s: FIELD temp");
    fill(w, MANY);
    ask_ok(w, "HSET s:moves temp 999999");
    r = reader_of(w, "t", 0);
    assert_int_equal(index_reader_collect(r, 0), NQ_AGAIN);
    ask_ok(w, "HSET s:moves temp -5");
    engine_env_turn(&w->env);
    while (index_reader_collect(r, 1000) == NQ_AGAIN)
        continue;
    while (index_reader_next(r, &key)) {
        n++;
        moved += slice_eq(key, slice_lit("s:moves"));
    }
    assert_int_equal(n, MANY + 1);
    assert_int_equal(moved, 1);
    index_reader_free(r);
}

static void
a_reader_whose_index_goes_is_told(void **state)
{
    struct two_clients *w = *state;
    struct index_reader *r;

    ask_ok(w, "NQ.INDEX CREATE t ON s: FIELD temp");
    fill(w, 300);
    r = reader_of(w, "t", 0);
    assert_int_equal(index_reader_collect(r, 0), NQ_AGAIN);
    ask_ok(w, "NQ.INDEX DROP t");
    assert_int_equal(index_reader_collect(r, 1000), NQ_ECLOSED);
    index_reader_free(r);
    ask_ok(w, "NQ.INDEX CREATE t ON s: FIELD temp");
    turns(w, "t");
    r = reader_of(w, "t", 1000);
    assert_int_equal(index_reader_collect(r, 1000000), NQ_ETOOLONG);
    index_reader_free(r);
}

static void
long_values_are_always_candidates(void **state)
{
    struct two_clients *w = *state;
    struct index_info i;

    ask_ok(w, "NQ.INDEX CREATE v ON s: FIELD $value TEXT");
    ask_ok(w, "SETRANGE s:long %u x", INDEX_LONG + 10);
    ask_ok(w, "SET s:short a");
    engine_env_turn(&w->env);
    i = info_of(w, "v");
    assert_int_equal(i.long_values, 1);
    assert_int_equal(i.rows, 1);
    ask_ok(w, "NQ.INDEX CREATE n ON s: FIELD $value");
    turns(w, "n");
    assert_string_equal(found(w, "n", 1, 2, false), "s:long ");
    ask_ok(w, "SET s:long 1");
    assert_string_equal(found(w, "n", 1, 2, false), "s:long ");
    assert_int_equal(info_of(w, "n").long_values, 0);
    expect_sound(w);
}

static void
one_long_key_keeps_it_from_use(void **state)
{
    struct two_clients *w = *state;
    char *line = nq_malloc(INDEX_KEY_MAX + 100);

    ask_ok(w, "NQ.INDEX CREATE t ON s: FIELD temp");
    memset(line, 'k', INDEX_KEY_MAX + 100);
    memcpy(line, "HSET s:", 7);
    memcpy(line + INDEX_KEY_MAX + 20, " temp 1", 8);
    fake_expect(&w->c, line, ":1|");
    engine_env_turn(&w->env);
    assert_int_equal(info_of(w, "t").long_keys, 1);
    assert_false(index_is_usable(index_named(w, "t")));
    expect_sound(w);
    memcpy(line, "DEL  s:", 7);
    line[INDEX_KEY_MAX + 20] = 0;
    fake_expect(&w->c, line, ":1|");
    engine_env_turn(&w->env);
    assert_true(index_is_usable(index_named(w, "t")));
    nq_free(line);
}

/* --- building ------------------------------------------------------------- */

static void
building_goes_on_beside_writers_and_after_a_restart(void **state)
{
    struct two_clients *w = *state;
    unsigned turned = 0;

    fill(w, MANY);
    ask_ok(w, "NQ.INDEX CREATE t ON s: FIELD temp");
    assert_int_equal(info_of(w, "t").state, INDEX_BUILDING);
    engine_env_turn(&w->env);
    assert_false(index_is_usable(index_named(w, "t")));
    for (; info_of(w, "t").state == INDEX_BUILDING; turned++) {
        ask_ok(w, "HSET s:%05u temp %u", (turned * 31) % MANY, turned);
        ask_ok(w, "DEL s:%05u", (turned * 17) % MANY);
        ask_ok(w, "HSET s:x%u temp 1", turned);
        if (turned == 2) {
            uint64_t built = info_of(w, "t").built;

            fake_close(&w->c);
            fake_close(&w->other);
            engine_env_cool(&w->env);
            fake_open(&w->env, &w->c);
            fake_open(&w->env, &w->other);
            assert_true(built > 0 && index_named(w, "t")->has_built_to);
        }
        index_jobs_cron(w->env.e);
        engine_env_turn(&w->env);
    }
    assert_true(turned > 3);
    expect_sound(w);
}

static void
a_cancelled_build_rests_until_a_rebuild(void **state)
{
    struct two_clients *w = *state;

    fill(w, MANY);
    ask_ok(w, "NQ.INDEX CREATE t ON s: FIELD temp");
    fake_expect(&w->c, "NQ.JOBS CANCEL 1", "+OK|");
    for (unsigned i = 0; i < 100; i++) {
        index_jobs_cron(w->env.e);
        engine_env_turn(&w->env);
    }
    assert_true(info_of(w, "t").is_stopped);
    assert_non_null(strstr(fake_ask(&w->c, "NQ.INDEX LIST"), "stopped"));
    fake_expect(&w->c, "NQ.INDEX REBUILD t", "+OK|");
    turns(w, "t");
    assert_int_equal(info_of(w, "t").rows, MANY);
}

static void
an_index_that_is_dropped_while_built_is_gone(void **state)
{
    struct two_clients *w = *state;

    fill(w, MANY);
    ask_ok(w, "NQ.INDEX CREATE t ON s: FIELD temp");
    ask_ok(w, "NQ.INDEX DROP t");
    for (unsigned i = 0; i < 50; i++)
        engine_env_turn(&w->env);
    fake_expect(&w->c, "NQ.INDEX LIST", "*0|");
    expect_sound(w);
}

/* --- pages that are not in memory ----------------------------------------- */

static void
writers_do_not_wait_for_pages_of_an_index(void **state)
{
    struct two_clients *w = *state;
    struct frames_stats before, after;
    uint64_t most = 0;

    ask_ok(w, "NQ.INDEX CREATE t ON s: FIELD temp");
    fill(w, 4 * MANY);
    turns(w, "t");
    fake_close(&w->c);
    fake_close(&w->other);
    engine_env_cool(&w->env);
    fake_open(&w->env, &w->c);
    fake_open(&w->env, &w->other);
    frames_get_stats(store_frames(w->env.store), &before);
    for (unsigned i = 0; i < 1000; i++) {
        ask_ok(w, "HSET s:%05u temp %u", (i * 6007) % (4 * MANY), i);
        most = nq_max(most, info_of(w, "t").pending);
        engine_env_turn(&w->env);
        most = nq_max(most, info_of(w, "t").pending);
    }
    frames_get_stats(store_frames(w->env.store), &after);
    assert_true(most > 0);
    assert_int_equal(after.blocking_reads, before.blocking_reads);
    for (unsigned i = 0; i < 100000 && info_of(w, "t").pending > 0; i++)
        engine_env_turn(&w->env);
    assert_int_equal(info_of(w, "t").pending, 0);
    expect_sound(w);
}

static void
keys_that_wait_survive_a_checkpoint_and_are_told(void **state)
{
    struct two_clients *w = *state;
    struct indexes *x;

    ask_ok(w, "NQ.INDEX CREATE t ON s: FIELD temp");
    ask_ok(w, "HSET s:1 temp 20");
    x = w->env.db->indexes;
    engine_env_turn(&w->env);
    ask_ok(w, "HSET s:1 temp 30");
    /* As if its pages were not in memory. */
    index_drop_keys(x);
    index_add_waiting(x, 0, slice_lit("s:1"));
    assert_string_equal(found(w, "t", 30, 30, false), "s:1 ");
    fake_close(&w->c);
    fake_close(&w->other);
    engine_env_cool(&w->env);
    fake_open(&w->env, &w->c);
    fake_open(&w->env, &w->other);
    assert_int_equal(info_of(w, "t").pending, 1);
    for (unsigned i = 0; i < 1000 && info_of(w, "t").pending > 0; i++)
        engine_env_turn(&w->env);
    expect_sound(w);
    fake_close(&w->c);
    fake_close(&w->other);
    engine_env_cool(&w->env);
    fake_open(&w->env, &w->c);
    fake_open(&w->env, &w->other);
    assert_int_equal(info_of(w, "t").pending, 0);
}

/* --- damage --------------------------------------------------------------- */

static void
what_differs_from_the_data_is_found_and_mended(void **state)
{
    struct two_clients *w = *state;
    struct record rec = {.type = INDEX_RECORD, .val = slice_lit("\3")};
    struct index *ix;
    const char *reply;

    ask_ok(w, "NQ.INDEX CREATE t ON s: FIELD temp");
    ask_ok(w, "HSET s:1 temp 20");
    ask_ok(w, "HSET s:2 temp 20");
    engine_env_turn(&w->env);
    ix = index_named(w, "t");
    assert_int_equal(btree_put(&ix->keys, slice_lit("s:2"), &rec, NULL), NQ_OK);
    assert_int_equal(btree_put(&ix->keys, slice_lit("s:9"), &rec, NULL), NQ_OK);
    reply = fake_ask(&w->c, "NQ.CHECK");
    assert_non_null(strstr(reply, "index \"t\": database 0, key \"s:2\": its "
                                  "entry is of another value"));
    assert_non_null(strstr(reply, "key \"s:9\": it has an entry, but there is "
                                  "no such key"));
    assert_non_null(strstr(reply, "can be repaired"));
    reply = fake_ask(&w->c, "NQ.CHECK REPAIR");
    assert_non_null(strstr(reply, "repaired by a rebuild"));
    turns(w, "t");
    expect_sound(w);
    assert_string_equal(found(w, "t", 20, 20, false), "s:1 s:2 ");
}

static void
a_damaged_index_is_put_aside(void **state)
{
    struct two_clients *w = *state;
    struct record rec = {.type = INDEX_RECORD, .val = slice_lit("\7")};
    struct index *ix;

    ask_ok(w, "NQ.INDEX CREATE t ON s: FIELD temp");
    ask_ok(w, "HSET s:1 temp 20");
    engine_env_turn(&w->env);
    ix = index_named(w, "t");
    assert_int_equal(btree_put(&ix->keys, slice_lit("s:1"), &rec, NULL), NQ_OK);
    ask_ok(w, "HSET s:1 temp 21");
    engine_env_turn(&w->env);
    assert_int_equal(info_of(w, "t").state, INDEX_DAMAGED);
    ask_ok(w, "HSET s:1 temp 22");
    engine_env_turn(&w->env);
    fake_expect(&w->c, "NQ.INDEX REBUILD t", "+OK|");
    turns(w, "t");
    assert_string_equal(found(w, "t", 22, 22, false), "s:1 ");
    expect_sound(w);
}

#define index_test(name)                                                       \
    cmocka_unit_test_setup_teardown(name, setup, two_clients_end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        index_test(names_are_told_apart),
        index_test(what_makes_no_index_is_refused),
        index_test(there_are_not_more_than_the_limit),
        index_test(only_rows_with_a_value_of_the_kind_are_in_it),
        index_test(an_index_goes_with_its_data),
        index_test(deleted_ranges_are_worked_off),
        index_test(spellings_stand_in_the_order_of_values),
        index_test(bounds_that_hold_nothing_are_told),
        index_test(keys_are_told_in_order_both_ways),
        index_test(a_row_that_moves_behind_the_cursor_is_told),
        index_test(a_reader_whose_index_goes_is_told),
        index_test(long_values_are_always_candidates),
        index_test(one_long_key_keeps_it_from_use),
        index_test(building_goes_on_beside_writers_and_after_a_restart),
        index_test(a_cancelled_build_rests_until_a_rebuild),
        index_test(an_index_that_is_dropped_while_built_is_gone),
        cmocka_unit_test_setup_teardown(
            writers_do_not_wait_for_pages_of_an_index, setup_small,
            two_clients_end),
        index_test(keys_that_wait_survive_a_checkpoint_and_are_told),
        index_test(what_differs_from_the_data_is_found_and_mended),
        index_test(a_damaged_index_is_put_aside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
