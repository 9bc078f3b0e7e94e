/* Changes of covered keys: a copy made of them is what the database is,
 * whatever is done to it; and any reader gets just what is behind its
 * position, be it from memory or from the log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "../lib/change_copy.h"
#include "../lib/type_grammar.h"
#include "base/mem.h"
#include "base/rng.h"
#include "os/clock.h"
#include "os/pool.h"
#include "store/store.h"

#define COMMANDS 1500
#define BEGIN UINT64_C(1700000000000)
#define TURNS_MAX 20000
#define SEEN_MAX 100000

/* All that a reader gave, one after the other. */
struct seen {
    lsn at[SEEN_MAX];
    size_t end[SEEN_MAX]; /* in bytes */
    unsigned count;
    struct buf bytes;
};

struct fixture {
    struct engine_env env;
    struct fake_client client;
    struct cover *covers[COPY_RANGES];
    struct change_copy copy;
    struct change_reader *reader;
    struct seen seen;
    bool is_ready;
    struct rng rng;
    struct type_grammar grammar;
    uint64_t now;
};

static struct fixture f;

static struct key_range
range(uint32_t db, const char *lo, const char *hi)
{
    return (struct key_range){.db = db,
                              .lo = slice_str(lo),
                              .hi = slice_str(hi == NULL ? "" : hi),
                              .has_hi = hi != NULL};
}

static void
on_ready(void *arg)
{
    *(bool *)arg = true;
}

static void
remember(struct seen *s, const struct change *c)
{
    assert_true(s->count < SEEN_MAX);
    change_to_bytes(c, &s->bytes);
    s->at[s->count] = c->at;
    s->end[s->count++] = s->bytes.len;
}

static bool
on_change(void *arg, const struct change *c)
{
    struct fixture *x = arg;

    copy_apply(&x->copy, c);
    remember(&x->seen, c);
    return true;
}

static bool
on_seen(void *arg, const struct change *c)
{
    remember(arg, c);
    return true;
}

static void
set_memory(uint64_t bytes)
{
    struct changes_opts o = {.memory = bytes,
                             .retention = 64 << 20,
                             .named_retention = 64 << 20,
                             .linger_ms = 1000,
                             .max_image = 2000};

    changes_set(f.env.e->changes, &o);
}

/* --- life ------------------------------------------------------------------
 */

static void
open_reader(lsn after)
{
    struct change_reader_opts o = {
        .after = after, .ready = on_ready, .arg = &f.is_ready};

    f.reader = change_reader_open(f.env.e->changes, &o);
    f.is_ready = true;
}

static void
settle(void)
{
    struct changes *ch = f.env.e->changes;

    for (unsigned i = 0; changes_settled(ch) < changes_head(ch); i++) {
        assert_true(i < TURNS_MAX);
        engine_env_turn(&f.env);
        usleep(i < 2000 ? 20 : 500);
    }
}

static void
set_up(const struct key_range *ranges, unsigned n)
{
    const char *given = getenv("SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10)
                                  : rng_seed_from_os() % 1000000;

    memset(&f, 0, sizeof f);
    printf("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&f.rng, seed);
    rng_seed(&f.grammar.rng, seed + 1);
    f.grammar.next_id = 1;
    f.now = BEGIN;
    clock_freeze_wall(f.now);
    engine_env_init_closed(&f.env, 4 << 20);
    f.env.segment_size = 64 << 10;
    assert_int_equal(engine_env_try_open(&f.env), NQ_OK);
    set_memory(1 << 20);
    fake_open(&f.env, &f.client);
    copy_init(&f.copy, &f.env, ranges, n);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(db_cover_take(f.env.db, &ranges[i], &f.covers[i]),
                         NQ_OK);
    open_reader(changes_head(f.env.e->changes));
    settle();
}

static void
tear_down(void)
{
    change_reader_close(f.reader);
    for (unsigned i = 0; i < f.copy.nranges; i++)
        if (f.covers[i] != NULL)
            db_cover_drop(f.env.db, f.covers[i], f.now);
    copy_fini(&f.copy);
    buf_fini(&f.seen.bytes);
    fake_close(&f.client);
    engine_env_fini(&f.env);
    clock_freeze_wall(0);
}

/* Turns until a reader has all that there is. */
static void
follow(struct change_reader *r, change_fn *fn, void *arg)
{
    struct changes *ch = f.env.e->changes;

    for (unsigned i = 0; i < TURNS_MAX; i++) {
        nq_rc rc = change_reader_next(r, fn, arg);

        if (rc != NQ_OK && rc != NQ_AGAIN)
            fail_msg("the reader was told %s", rc_name(rc));
        if (rc == NQ_OK && change_reader_at(r) >= changes_head(ch))
            return;
        engine_env_turn(&f.env);
        usleep(i < 4 ? 0 : i < 2000 ? 20 : 500);
    }
    fail_msg("the reader does not get there");
}

static void
compare(void)
{
    follow(f.reader, on_change, &f);
    if (f.copy.is_reset)
        copy_read(&f.copy);
    copy_assert_same(&f.copy);
}

static void
run(const char *line)
{
    fake_send(&f.client, line);
    fake_finish(&f.client);
    (void)fake_read(&f.client);
}

/* --- random writes ---------------------------------------------------------
 */

/* What the grammar of types has not. */
static const char *const more[] = {
    "FLUSHDB",
    "FLUSHALL",
    "NQ.DELRANGE l:1 l:9",
    "NQ.DELRANGE a q",
    "SET l:2 'some words to be longer' PX 3000",
    "SET h:1 1 EX 100",
    "GETDEL l:2",
    "GETEX l:2 PX 10",
    "SETRANGE s:0 5000 tail",
    "SETRANGE l:1 300 tail",
    "MSET l:1 a l:2 b s:1 c zz d",
    "INCR h:2",
    "HSET h:0 a 1 b 2 c 3",
    "HPEXPIRE h:0 500 FIELDS 2 a b",
    "HPEXPIRE h:1 500 FIELDS 2 a b",
    "HPERSIST h:0 FIELDS 1 a",
    "HEXPIRE h:0 1 FIELDS 3 a b c",
    "EVALUATE nothing",
    "DEL l:0 l:1 l:2 h:0 h:1 zz",
    "RESTORE h:3 0 nothing",
    "RENAME l:2 m:2",
    "RENAME m:2 l:2",
};

/* A hash that has a tree of its own, or loses it. */
static void
change_big_hash(void)
{
    char line[400];
    unsigned n = (unsigned)rng_below(&f.rng, 120);

    if (rng_below(&f.rng, 3) == 0)
        snprintf(line, sizeof line, "HDEL h:4 f%u f%u f%u", n, n + 1, n + 2);
    else
        snprintf(line, sizeof line, "HSET h:4 f%u %0100u f%u %0100u f%u short",
                 n, n, n + 1, n, n + 2);
    run(line);
}

static void
change_something(void)
{
    struct buf line = BUF_INIT;

    switch (rng_below(&f.rng, 16)) {
    case 3: /* the grammar leaves a MULTI open for long */
        run("EXEC");
        break;
    case 0:
        run(more[rng_below(&f.rng, nq_countof(more))]);
        break;
    case 1:
        change_big_hash();
        break;
    case 2:
        f.now += rng_below(&f.rng, 4) * 400;
        clock_freeze_wall(f.now);
        break;
    default:
        type_command(&f.grammar, &line);
        run((const char *)line.p);
    }
    buf_fini(&line);
}

static void
a_copy_made_of_changes_is_the_database(void **state)
{
    struct key_range ranges[] = {range(0, "", "l:3"), range(0, "n", NULL),
                                 range(1, "", NULL)};

    (void)state;
    set_up(ranges, 3);
    for (unsigned i = 0; i < COMMANDS; i++) {
        change_something();
        if (rng_below(&f.rng, 4) != 0)
            compare();
    }
    compare();
    assert_true(f.copy.changes > COMMANDS / 30);
    tear_down();
}

/* --- readers ---------------------------------------------------------------
 */

/* What the reader of everything saw behind `after`, of the range. */
static void
assert_is_rest(const struct seen *got, lsn after)
{
    unsigned i = 0;
    size_t from;

    while (i < f.seen.count && f.seen.at[i] <= after)
        i++;
    from = i == 0 ? 0 : f.seen.end[i - 1];
    assert_int_equal(got->count, f.seen.count - i);
    assert_true(
        slice_eq(buf_slice(&got->bytes),
                 slice_of(f.seen.bytes.p + from, f.seen.bytes.len - from)));
}

static void
read_from(lsn after)
{
    struct change_reader_opts o = {.after = after};
    struct seen *got = nq_calloc(1, sizeof *got);
    struct change_reader *r;
    bool is_ready;

    o.ready = on_ready;
    o.arg = &is_ready;
    r = change_reader_open(f.env.e->changes, &o);
    follow(r, on_seen, got);
    assert_is_rest(got, after);
    change_reader_close(r);
    buf_fini(&got->bytes);
    nq_free(got);
}

static void
a_reader_gets_what_is_behind_its_position_from_memory_or_log(void **state)
{
    struct key_range all[] = {range(0, "", NULL), range(1, "", NULL)};
    struct changes_stats st;
    lsn first;

    (void)state;
    set_up(all, 2);
    first = changes_head(f.env.e->changes);
    set_memory(20000);
    for (unsigned i = 0; i < COMMANDS; i++)
        change_something();
    copy_let_expire(&f.env);
    compare();
    for (unsigned i = 0; i < 30; i++) {
        lsn at = f.seen.at[rng_below(&f.rng, f.seen.count)];

        read_from(at - rng_below(&f.rng, 2));
    }
    read_from(first);
    read_from(changes_head(f.env.e->changes));
    changes_get_stats(f.env.e->changes, &st);
    assert_true(st.from_log > 0 && st.ring_bytes <= 20000);
    tear_down();
}

static bool
count_l(void *arg, const struct change *c)
{
    if (c->event < CHANGE_GONE) {
        assert_int_equal(c->db, 0);
        assert_int_equal(c->key.p[0], 'l');
    }
    ++*(unsigned *)arg;
    return true;
}

static void
a_reader_of_a_range_gets_just_what_concerns_it(void **state)
{
    struct key_range all = range(0, "", NULL), l = range(0, "l", "m");
    bool is_ready;
    struct change_reader_opts o = {
        .range = &l, .ready = on_ready, .arg = &is_ready};
    unsigned n[2] = {0, 0};

    (void)state;
    set_up(&all, 1);
    o.after = changes_head(f.env.e->changes);
    for (unsigned from_log = 0; from_log < 2; from_log++) {
        struct change_reader *r;

        if (from_log)
            set_memory(0);
        for (unsigned i = 0; from_log == 0 && i < 30; i++) {
            run("SET l:1 a");
            run("SET k:1 a");
            run("SET m:1 a");
        }
        run("SET zz a");
        r = change_reader_open(f.env.e->changes, &o);
        follow(r, count_l, &n[from_log]);
        change_reader_close(r);
    }
    assert_int_equal(n[0], 30);
    assert_int_equal(n[1], 30);
    tear_down();
}

static bool
stop_at_third(void *arg, const struct change *c)
{
    (void)c;
    return ++*(unsigned *)arg % 3 != 0;
}

static void
a_change_that_was_not_taken_comes_again(void **state)
{
    struct key_range all = range(0, "", NULL);
    bool is_ready;
    struct change_reader_opts o = {.ready = on_ready, .arg = &is_ready};
    unsigned asked = 0;

    (void)state;
    set_up(&all, 1);
    o.after = changes_head(f.env.e->changes);
    for (unsigned i = 0; i < 20; i++)
        run("SET a b");
    follow(f.reader, on_change, &f);
    for (unsigned from_log = 0; from_log < 2; from_log++) {
        struct change_reader *r = change_reader_open(f.env.e->changes, &o);

        asked = 0;
        follow(r, stop_at_third, &asked);
        assert_int_equal(asked, from_log ? 22 + 10 : 20 + 9);
        change_reader_close(r);
        set_memory(0);
        run("DEL nothing");
        run("SET other b");
        run("SET other b");
    }
    tear_down();
}

static bool
count(void *arg, const struct change *c)
{
    (void)c;
    ++*(unsigned *)arg;
    return true;
}

static void
nothing_is_given_before_it_is_settled_and_ready_tells_when(void **state)
{
    struct key_range all = range(0, "", NULL);
    unsigned n = 0;

    (void)state;
    set_up(&all, 1);
    compare();
    f.is_ready = false;
    fake_send(&f.client, "SET a b");
    assert_int_equal(change_reader_next(f.reader, count, &n), NQ_OK);
    assert_int_equal(n, 0);
    for (unsigned i = 0; !f.is_ready && i < TURNS_MAX; i++) {
        engine_env_turn(&f.env);
        usleep(i < 2000 ? 20 : 500);
    }
    assert_true(f.is_ready);
    assert_int_equal(change_reader_next(f.reader, count, &n), NQ_OK);
    assert_int_equal(n, 1);
    tear_down();
}

/* --- what a change says -----------------------------------------------------
 */

static bool
tell(void *arg, const struct change *c)
{
    struct buf *b = arg;

    buf_printf(b, "%s %.*s", change_event_name(c->event), (int)c->key.len,
               (const char *)c->key.p);
    if (c->was.exists && c->was.has_value && c->was.type == DB_STRING)
        buf_printf(b, " was %.*s", (int)c->was.rec.val.len,
                   (const char *)c->was.rec.val.p);
    if (c->is.exists && c->is.has_value && c->is.type == DB_STRING)
        buf_printf(b, " is %.*s", (int)c->is.rec.val.len,
                   (const char *)c->is.rec.val.p);
    if (c->event >= CHANGE_GONE)
        buf_printf(b, "-%.*s", (int)c->hi.len, (const char *)c->hi.p);
    buf_put_str(b, ";");
    return true;
}

static void
expect(const char *const *lines, const char *want)
{
    struct buf b = BUF_INIT;

    for (; *lines != NULL; lines++)
        run(*lines);
    engine_env_turn(&f.env); /* what is due expires */
    follow(f.reader, tell, &b);
    buf_put_u8(&b, 0);
    assert_string_equal((const char *)b.p, want);
    buf_fini(&b);
}

#define EXPECT(want, ...) expect((const char *const[]){__VA_ARGS__, NULL}, want)

static void
each_command_tells_one_change_of_each_key(void **state)
{
    struct key_range some = range(0, "k", "l");

    (void)state;
    set_up(&some, 1);
    EXPECT("set k1 is a;", "SET k1 a", "SET other a", "GET k1");
    EXPECT("set k1 was a is c;set k2 is d;", "MSET k1 b k2 d k1 c");
    EXPECT("", "SETNX k1 x", "DEL k3", "APPEND j x");
    EXPECT("set k1 was c is 1x;set k1 was 1x is 1xy;", "MULTI", "SET k1 1x",
           "APPEND k1 y", "EXEC");
    EXPECT("del k2 was d;", "RENAME k2 other");
    EXPECT("set k2 is d;", "COPY other k2");
    EXPECT("set k3 is d;del k2 was d;", "RENAME k2 k3");
    EXPECT("set k1 was 1xy is 1xy;", "EXPIRE k1 100");
    EXPECT("del k1 was 1xy;", "MOVE k1 1");
    EXPECT("set k4 is x;del k4 was x;", "SET k4 x", "GETDEL k4");
    EXPECT("gone k-kz;", "NQ.DELRANGE k kz");
    EXPECT("set k1 is a;gone -;", "SET k1 a", "FLUSHDB");
    EXPECT("gone -;", "FLUSHALL");
    EXPECT("reset -;", "SWAPDB 0 1");
    EXPECT("set kl;set kl;del kl;", "RPUSH kl a b", "LPOP kl", "LPOP kl");
    tear_down();
}

static void
what_expires_is_told_once_whoever_finds_it(void **state)
{
    struct key_range some = range(0, "k", "l");

    (void)state;
    set_up(&some, 1);
    EXPECT("set k1 is a;set k2 is b;", "SET k1 a PX 50", "SET k2 b PX 500");
    f.now += 100;
    clock_freeze_wall(f.now);
    EXPECT("expire k1 was a;", "PING");
    db_set_active_expire(f.env.db, false);
    f.now += 1000;
    clock_freeze_wall(f.now);
    EXPECT("expire k2 was b;set k2 is c;", "SET k2 c");
    tear_down();
}

static void
values_that_are_not_in_memory_are_brought_in_before_the_command(void **state)
{
    struct key_range some = range(0, "k", "l");
    char line[1600];
    unsigned before;

    (void)state;
    set_up(&some, 1);
    snprintf(line, sizeof line, "SET k1 %01500u", 7);
    run(line);
    run("SETRANGE k1 1900 end");
    for (unsigned i = 0; i < 12; i++) {
        snprintf(line, sizeof line, "HSET k2 f%u %0120u", i, i);
        run(line);
    }
    compare();
    fake_close(&f.client);
    change_reader_close(f.reader);
    engine_env_cool(&f.env);
    fake_open(&f.env, &f.client);
    f.covers[0] = NULL;
    open_reader(f.copy.at);
    before = f.env.resumes;
    run("SET k1 short");
    run("HSET k2 f1 other");
    assert_true(f.env.resumes > before);
    compare();
    tear_down();
}

/* --- crashes ----------------------------------------------------------------
 */

/* The process ends, with changes in any state; then goes on. */
static void
crash(void)
{
    lsn at = change_reader_at(f.reader);

    fake_close(&f.client);
    change_reader_close(f.reader);
    engine_env_crash(&f.env);
    assert_int_equal(engine_env_try_open(&f.env), NQ_OK);
    set_memory(20000);
    fake_open(&f.env, &f.client);
    for (unsigned i = 0; i < f.copy.nranges; i++)
        f.covers[i] = NULL;
    open_reader(at);
}

static void
a_reader_goes_on_after_crashes_without_gaps_or_repetitions(void **state)
{
    struct key_range ranges[] = {range(0, "", "p"), range(1, "", NULL)};

    (void)state;
    set_up(ranges, 2);
    for (unsigned life = 0; life < 12; life++) {
        unsigned n = (unsigned)rng_below(&f.rng, 120);

        for (unsigned i = 0; i < n; i++) {
            change_something();
            if (rng_below(&f.rng, 10) == 0) {
                nq_rc rc = change_reader_next(f.reader, on_change, &f);

                assert_true(rc == NQ_OK || rc == NQ_AGAIN);
            }
        }
        if (rng_below(&f.rng, 3) == 0)
            store_checkpoint(f.env.store, NULL, NULL);
        crash();
        compare();
    }
    tear_down();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_command_tells_one_change_of_each_key),
        cmocka_unit_test(what_expires_is_told_once_whoever_finds_it),
        cmocka_unit_test(
            values_that_are_not_in_memory_are_brought_in_before_the_command),
        cmocka_unit_test(
            nothing_is_given_before_it_is_settled_and_ready_tells_when),
        cmocka_unit_test(a_change_that_was_not_taken_comes_again),
        cmocka_unit_test(a_reader_of_a_range_gets_just_what_concerns_it),
        cmocka_unit_test(a_copy_made_of_changes_is_the_database),
        cmocka_unit_test(
            a_reader_gets_what_is_behind_its_position_from_memory_or_log),
        cmocka_unit_test(
            a_reader_goes_on_after_crashes_without_gaps_or_repetitions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
