/* Ordered reads, scans and listings against a plain model, without sockets:
 * with expired keys in between, pages out of memory, changes between slices. */
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
#include "cmd/scan_cursor.h"
#include "os/clock.h"

#define NOW UINT64_C(1700000000000)
#define IDS 30000

struct world {
    struct engine_env env;
    struct fake_client c, other;
    struct rng rng;
    bool has[IDS];
    bool due[IDS]; /* expired, still in the tree */
    struct buf want;
};

static int
setup(void **state)
{
    const char *text = getenv("SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : rng_seed_from_os();
    struct world *w = nq_calloc(1, sizeof *w);

    print_message("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&w->rng, seed);
    clock_freeze_wall(NOW);
    log_set_level(LOG_ERROR);
    engine_env_init(&w->env, 1 << 20);
    db_set_active_expire(w->env.db, false);
    fake_open(&w->env, &w->c);
    fake_open(&w->env, &w->other);
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
    buf_fini(&w->want);
    nq_free(w);
    clock_freeze_wall(0);
    return 0;
}

static const char *ask(struct world *w, struct fake_client *c, const char *fmt,
                       ...) __attribute__((format(printf, 3, 4)));

static const char *
ask(struct world *w, struct fake_client *c, const char *fmt, ...)
{
    char line[256];
    va_list ap;

    nq_unused(w);
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    return fake_ask(c, line);
}

/* About `share` of all ids in 1000; every tenth of them due. */
static void
fill(struct world *w, unsigned share)
{
    for (unsigned i = 0; i < IDS; i++) {
        if (rng_below(&w->rng, 1000) >= share)
            continue;
        w->due[i] = rng_below(&w->rng, 10) == 0;
        w->has[i] = !w->due[i];
        assert_string_equal(
            ask(w, &w->c, "SET k%05u v%u%s", i, i, w->due[i] ? " PX 5" : ""),
            "+OK|");
    }
    clock_freeze_wall(NOW + 10);
}

/* The answer in full; `text` is what fake_read() gave. */
static void
expect(struct world *w, const char *text)
{
    buf_put_u8(&w->want, 0);
    assert_string_equal(text, (const char *)w->want.p);
    buf_clear(&w->want);
}

static void
want_bulk(struct world *w, const char *fmt, unsigned i)
{
    char item[32];
    int n = snprintf(item, sizeof item, fmt, i);

    buf_printf(&w->want, "$%d|%s|", n, item);
}

/* --- ranges -------------------------------------------------------------- */

struct query {
    unsigned lo, hi; /* keys k with lo <= k < hi */
    bool reverse, keys, values;
    int offset, count;
};

static void
want_range(struct world *w, const struct query *q)
{
    unsigned picked[IDS], n = 0, total = 0;

    for (unsigned k = 0; k < IDS; k++) {
        unsigned i = q->reverse ? IDS - 1 - k : k;

        if (i < q->lo || i >= q->hi || !w->has[i])
            continue;
        total++;
        if (total > (unsigned)q->offset &&
            (q->count < 0 || n < (unsigned)q->count))
            picked[n++] = i;
    }
    buf_printf(&w->want, "*%u|", n * ((unsigned)q->keys + q->values));
    for (unsigned k = 0; k < n; k++) {
        if (q->keys)
            want_bulk(w, "k%05u", picked[k]);
        if (q->values)
            want_bulk(w, "v%u", picked[k]);
    }
}

/* A bound as one of its spellings. */
static void
spell(struct world *w, char *dst, size_t size, unsigned *id, bool is_hi)
{
    bool open = rng_below(&w->rng, 2), all = rng_below(&w->rng, 8) == 0;

    *id = (unsigned)rng_below(&w->rng, IDS);
    if (all) {
        snprintf(dst, size, "%s", is_hi ? "+" : "-");
        *id = is_hi ? IDS : 0;
        return;
    }
    snprintf(dst, size, "%sk%05u",
             open                    ? "("
             : rng_below(&w->rng, 2) ? "["
                                     : "",
             *id);
    *id += is_hi ? !open : open;
}

static void
ask_range(struct world *w)
{
    struct query q = {.reverse = rng_below(&w->rng, 2), .count = -1};
    unsigned form = (unsigned)rng_below(&w->rng, 3);
    char lo[16], hi[16], limit[40] = "";

    spell(w, lo, sizeof lo, &q.lo, false);
    spell(w, hi, sizeof hi, &q.hi, true);
    if (q.lo >= q.hi)
        q.reverse = false; /* else it would mean the other way round */
    q.keys = form != 1;
    q.values = form != 2;
    if (rng_below(&w->rng, 3) > 0) {
        q.offset = (int)rng_below(&w->rng, 300);
        q.count = (int)rng_below(&w->rng, 40) - 5;
        snprintf(limit, sizeof limit, " LIMIT %d %d", q.offset, q.count);
    }
    want_range(w, &q);
    expect(w, ask(w, &w->c, "NQ.RANGE %s %s%s%s%s", lo, hi, limit,
                  q.reverse ? " REV" : "",
                  form == 1   ? " VALUESONLY"
                  : form == 2 ? " KEYSONLY"
                              : ""));
}

static void
ranges_equal_the_model(void **state)
{
    struct world *w = *state;

    fill(w, 700);
    for (int i = 0; i < 60; i++)
        ask_range(w);
    engine_env_cool(&w->env);
    db_set_active_expire(w->env.db, false);
    for (int i = 0; i < 60; i++)
        ask_range(w);
    assert_true(w->env.resumes > 0);
}

static void
counts_ranks_and_places_leave_out_what_is_due(void **state)
{
    struct world *w = *state;
    unsigned ids[IDS], n = 0;

    fill(w, 300);
    for (unsigned i = 0; i < IDS; i++)
        if (w->has[i])
            ids[n++] = i;
    buf_printf(&w->want, ":%u|", n);
    expect(w, ask(w, &w->c, "NQ.COUNT - +"));
    for (int t = 0; t < 200; t++) {
        unsigned place = (unsigned)rng_below(&w->rng, n);
        unsigned to = place + (unsigned)rng_below(&w->rng, n - place);

        buf_printf(&w->want, ":%u|", place);
        expect(w, ask(w, &w->c, "NQ.RANK k%05u", ids[place]));
        want_bulk(w, "k%05u", ids[place]);
        expect(w, ask(w, &w->c, "NQ.NTH %u", place));
        want_bulk(w, "k%05u", ids[place]);
        expect(w, ask(w, &w->c, "NQ.NTH -%u", n - place));
        buf_printf(&w->want, ":%u|", to - place);
        expect(w, ask(w, &w->c, "NQ.COUNT k%05u (k%05u", ids[place], ids[to]));
    }
    fake_expect(&w->c, "NQ.NTH 100000", "$-1|");
    fake_expect(&w->c, "NQ.RANK nothing", "$-1|");
}

static void
prefixes_end_where_they_should(void **state)
{
    struct world *w = *state;

    fake_expect(&w->c, "MSET a 1 ab 2 ab\xff 3 ab\xff\xff 4 ac 5 b 6", "+OK|");
    fake_expect(&w->c, "NQ.PREFIX ab KEYSONLY",
                "*3|$2|ab|$3|ab\xff|$4|ab\xff\xff|");
    fake_expect(&w->c, "NQ.PREFIX ab\xff VALUESONLY", "*2|$1|3|$1|4|");
    fake_expect(&w->c, "NQ.PREFIX '' LIMIT 5 1", "*2|$1|b|$1|6|");
    fake_expect(&w->c, "NQ.PREFIX \xff", "*0|");
    fake_expect(&w->c, "KEYS ab\xff*", "*2|$3|ab\xff|$4|ab\xff\xff|");
    fake_expect(&w->c, "KEYS ab", "*1|$2|ab|");
    fake_expect(&w->c, "KEYS a[bc]", "*2|$2|ab|$2|ac|");
    fake_expect(&w->c, "KEYS a\\b", "*1|$2|ab|");
    fake_expect(&w->c, "KEYS ?", "*2|$1|a|$1|b|");
}

static void
bad_arguments_are_refused(void **state)
{
    struct world *w = *state;

    fake_expect(&w->c, "NQ.RANGE - + LIMIT 1", "-ERR syntax error|");
    fake_expect(&w->c, "NQ.RANGE - + LIMIT a 1",
                "-ERR value is not an integer or out of range|");
    fake_expect(&w->c, "NQ.RANGE - + KEYSONLY VALUESONLY",
                "-ERR syntax error|");
    fake_expect(&w->c, "NQ.RANGE - + NONSENSE", "-ERR syntax error|");
    fake_expect(&w->c, "NQ.RANGE + -", "*0|");
    fake_expect(&w->c, "NQ.RANGE b a", "*0|");
    fake_expect(&w->c, "NQ.NTH x",
                "-ERR value is not an integer or out of range|");
    fake_expect(&w->c, "SCAN -1", "-ERR invalid cursor|");
    fake_expect(&w->c, "SCAN 0 COUNT 0", "-ERR syntax error|");
    fake_expect(&w->c, "SCAN 0 COUNT x",
                "-ERR value is not an integer or out of range|");
    fake_expect(&w->c, "SCAN 0 MATCH", "-ERR syntax error|");
}

static void
a_range_is_deleted_and_counted(void **state)
{
    struct world *w = *state;
    unsigned n = 0;

    fill(w, 900);
    for (unsigned i = 100; i < 5000; i++) {
        n += w->has[i] + w->due[i];
        w->has[i] = w->due[i] = false;
    }
    buf_printf(&w->want, ":%u|", n);
    expect(w, ask(w, &w->c, "NQ.DELRANGE k00100 (k05000"));
    want_range(w, &(struct query){0, IDS, false, true, true, 0, -1});
    expect(w, ask(w, &w->c, "NQ.RANGE - +"));
    fake_expect(&w->c, "NQ.DELRANGE k00100 (k05000", ":0|");
}

/* --- what stays while other things change -------------------------------- */

/* One change of a key with an odd id. */
static void
disturb(struct world *w)
{
    unsigned i = (unsigned)rng_below(&w->rng, IDS / 2) * 2 + 1;

    if (rng_below(&w->rng, 2))
        (void)ask(w, &w->other, "SET k%05u new", i);
    else
        (void)ask(w, &w->other, "DEL k%05u", i);
}

static void
fill_even(struct world *w)
{
    for (unsigned i = 0; i < IDS; i += 2)
        assert_string_equal(ask(w, &w->c, "SET k%05u v", i), "+OK|");
}

/* Counts the keys of "...$6|k00012|..." by id. */
static void
count_keys(const char *text, unsigned seen[IDS])
{
    for (const char *p = text; (p = strstr(p, "$6|k")) != NULL; p += 4)
        seen[strtoul(p + 4, NULL, 10)]++;
}

static void
assert_even_seen_once(const unsigned seen[IDS])
{
    for (unsigned i = 0; i < IDS; i++) {
        if (i % 2 == 0 && seen[i] != 1)
            print_error("key %u was seen %u times\n", i, seen[i]);
        if (i % 2 == 0)
            assert_int_equal(seen[i], 1);
        else
            assert_true(seen[i] <= 1);
    }
}

static void
a_scan_gives_what_stays_exactly_once(void **state)
{
    struct world *w = *state;
    unsigned seen[IDS] = {0};
    unsigned long long cursor = 0;

    fill_even(w);
    do {
        unsigned count = 1 + (unsigned)rng_below(&w->rng, 60);
        const char *text = ask(w, &w->c, "SCAN %llu COUNT %u", cursor, count);

        assert_int_equal(strncmp(text, "*2|$", 4), 0);
        cursor = strtoull(strchr(text + 4, '|') + 1, NULL, 10);
        assert_true(cursor < UINT64_C(1) << 53);
        count_keys(text, seen);
        disturb(w);
        disturb(w);
    } while (cursor != 0);
    assert_even_seen_once(seen);
}

static void
a_lost_reply_of_a_scan_can_be_asked_for_again(void **state)
{
    struct world *w = *state;
    unsigned long long cursor = 0;
    char *first;

    fill_even(w);
    for (int i = 0; i < 3; i++) {
        const char *text = ask(w, &w->c, "SCAN %llu COUNT 5", cursor);

        cursor = strtoull(strchr(text + 4, '|') + 1, NULL, 10);
    }
    first = nq_strdup(ask(w, &w->c, "SCAN %llu COUNT 1", cursor));
    assert_string_equal(
        strstr(first, "*1|"),
        strstr(ask(w, &w->c, "SCAN %llu COUNT 1", cursor), "*1|"));
    nq_free(first);
}

static void
an_unknown_cursor_begins_anew(void **state)
{
    struct world *w = *state;

    fake_expect(&w->c, "MSET a 1 b 2", "+OK|");
    fake_expect(&w->c, "SCAN 12345", "*2|$1|0|*2|$1|a|$1|b|");
}

static void
a_scan_filters_by_pattern_and_type(void **state)
{
    struct world *w = *state;

    fake_expect(&w->c, "MSET a1 1 a2 2 b1 3", "+OK|");
    fake_expect(&w->c, "SCAN 0 MATCH *1", "*2|$1|0|*2|$2|a1|$2|b1|");
    fake_expect(&w->c, "SCAN 0 MATCH a* TYPE string",
                "*2|$1|0|*2|$2|a1|$2|a2|");
    fake_expect(&w->c, "SCAN 0 TYPE list", "*2|$1|0|*0|");
}

/* Sends, then takes turns with changes in between until it is answered. */
static void
ask_disturbed(struct world *w, const char *line, unsigned seen[IDS])
{
    fake_send(&w->c, line);
    while (w->c.nkept > 0) {
        disturb(w);
        engine_env_turn(&w->env);
    }
    count_keys(fake_read(&w->c), seen);
}

static void
long_answers_give_what_stays_exactly_once(void **state)
{
    static const char *const lines[] = {"NQ.RANGE - + KEYSONLY",
                                        "NQ.RANGE - + KEYSONLY REV", "KEYS k*",
                                        "SCAN 0 COUNT 100000", "NQ.PREFIX k"};
    struct world *w = *state;

    fill_even(w);
    for (unsigned i = 0; i < 2 * nq_countof(lines); i++) {
        unsigned seen[IDS] = {0};

        if (i == nq_countof(lines))
            engine_env_cool(&w->env);
        ask_disturbed(w, lines[i % nq_countof(lines)], seen);
        assert_even_seen_once(seen);
    }
    assert_true(w->env.e->stats.sliced_yields > 0);
}

static void
inside_multi_a_long_answer_comes_in_one_piece(void **state)
{
    struct world *w = *state;
    unsigned seen[IDS] = {0};

    fill_even(w);
    fake_expect(&w->c, "MULTI", "+OK|");
    fake_expect(&w->c, "NQ.RANGE - + KEYSONLY", "+QUEUED|");
    count_keys(fake_ask(&w->c, "EXEC"), seen);
    assert_even_seen_once(seen);
}

static void
an_answer_too_long_for_its_client_is_refused(void **state)
{
    struct world *w = *state;
    const char *text;

    fill_even(w);
    w->env.e->limits.output[CLASS_NORMAL].hard = 4000;
    text = fake_ask(&w->c, "NQ.RANGE - +");
    assert_non_null(strstr(text, "-ERR the answer is longer than 4000 bytes"));
    w->env.e->limits.output[CLASS_NORMAL].hard = 0;
}

/* --- positions of scans
 * ------------------------------------------------------- */

static void
the_table_of_scans_is_bounded(void **state)
{
    struct scan_cursors *sc = scan_cursors_new();
    uint64_t first, last = 0;
    struct slice key;

    nq_unused(state);
    first = scan_cursor_put(sc, 0, slice_lit("first"));
    for (int i = 0; i < 70000; i++) {
        last = scan_cursor_put(sc, 0, slice_lit("key"));
        if (i == 1000)
            assert_true(scan_cursor_find(sc, first, &key)); /* used again */
    }
    assert_false(scan_cursor_find(sc, first, &key));
    assert_true(scan_cursor_find(sc, last, &key));
    assert_true(slice_eq(key, slice_lit("key")));
    scan_cursors_free(sc);
}

static void
a_scan_keeps_its_last_two_positions(void **state)
{
    struct scan_cursors *sc = scan_cursors_new();
    uint64_t a = scan_cursor_put(sc, 0, slice_lit("a"));
    uint64_t b = scan_cursor_put(sc, a, slice_lit("b"));
    uint64_t c = scan_cursor_put(sc, b, slice_lit("c"));
    struct slice key;

    nq_unused(state);
    assert_false(scan_cursor_find(sc, a, &key));
    assert_true(scan_cursor_find(sc, b, &key));
    assert_true(scan_cursor_find(sc, c, &key));
    scan_cursor_end(sc, c);
    assert_false(scan_cursor_find(sc, b, &key));
    assert_true(scan_cursor_find(sc, c, &key));
    scan_cursors_free(sc);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(ranges_equal_the_model),
        T(counts_ranks_and_places_leave_out_what_is_due),
        T(prefixes_end_where_they_should),
        T(bad_arguments_are_refused),
        T(a_range_is_deleted_and_counted),
        T(a_scan_gives_what_stays_exactly_once),
        T(a_lost_reply_of_a_scan_can_be_asked_for_again),
        T(an_unknown_cursor_begins_anew),
        T(a_scan_filters_by_pattern_and_type),
        T(long_answers_give_what_stays_exactly_once),
        T(inside_multi_a_long_answer_comes_in_one_piece),
        T(an_answer_too_long_for_its_client_is_refused),
        cmocka_unit_test(the_table_of_scans_is_bounded),
        cmocka_unit_test(a_scan_keeps_its_last_two_positions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
