/* A reader of changes over power cuts: whatever of what was not synced the
 * disk keeps, torn or not, each change that the reader was given is there,
 * under its LSN, and reading on from the last one leaves out and repeats
 * nothing; and what all changes make is the database.
 *
 * A run is recorded with all that it does to its files (tests/lib/disk_trace.h)
 * and how many changes a reader had by then; then images of the disk are made
 * for CUTS points of it, and opened.  SEED repeats a run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "../lib/change_copy.h"
#include "../lib/disk_trace.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "os/clock.h"
#include "os/pool.h"
#include "store/store.h"

#ifdef NQ_FAULTS

#define CUTS 40
#define COMMANDS 150
#define BEGIN UINT64_C(1700000000000)
#define TURNS_MAX 20000
#define SEEN_MAX 4096

/* Changes, one behind the other. */
struct seen {
    lsn at[SEEN_MAX];
    size_t end[SEEN_MAX]; /* in `bytes` */
    unsigned count;
    struct buf bytes;
};

struct fixture {
    struct engine_env env;
    struct fake_client client;
    struct disk_trace trace;
    struct disk_image image;
    struct change_reader *reader;
    struct seen seen;
    lsn first; /* the position of the start */
    struct rng rng;
    uint64_t now;
};

static const struct key_range everything = {.lo = {(const uint8_t *)"", 0}};

static struct fixture f;

static void
on_ready(void *arg)
{
    (void)arg;
}

static bool
remember(void *arg, const struct change *c)
{
    struct seen *s = arg;

    assert_true(s->count < SEEN_MAX);
    change_to_bytes(c, &s->bytes);
    s->at[s->count] = c->at;
    s->end[s->count++] = s->bytes.len;
    return true;
}

static struct change_reader *
open_reader(lsn after)
{
    struct change_reader_opts o = {.after = after, .ready = on_ready};

    return change_reader_open(f.env.e->changes, &o);
}

/* Turns until the reader has all that there is. */
static void
follow(struct change_reader *r, change_fn *fn, void *arg)
{
    struct changes *ch = f.env.e->changes;

    for (unsigned i = 0; i < TURNS_MAX; i++) {
        nq_rc rc = change_reader_next(r, fn, arg);

        if (rc != NQ_OK && rc != NQ_AGAIN)
            fail_msg("the reader was told %s", rc_name(rc));
        if (rc == NQ_OK && changes_settled(ch) >= changes_head(ch) &&
            change_reader_at(r) >= changes_head(ch))
            return;
        engine_env_turn(&f.env);
        usleep(i < 2000 ? 20 : 500);
    }
    fail_msg("the reader does not get there");
}

/* --- the run ----------------------------------------------------------------
 */

static void
run(const char *line)
{
    fake_send(&f.client, line);
    fake_finish(&f.client);
    (void)fake_read(&f.client);
}

static void
change_something(void)
{
    static const char *const formats[] = {
        "SET k%u %u",          "SET k%u %01500u",
        "SET k%u %u PX 500",   "APPEND k%u x%u",
        "DEL k%u k%u",         "RENAME k%u k%u",
        "HSET h%u f%u value",  "HSET h%u f%u %0200u",
        "HDEL h%u f%u",        "HPEXPIRE h%u 900 FIELDS 1 f%u",
        "RPUSH l%u e%u",       "LPOP l%u",
        "NQ.DELRANGE k%u k%u", "FLUSHDB",
    };
    char line[1700];
    unsigned a = (unsigned)rng_below(&f.rng, 9), b;
    unsigned which = (unsigned)rng_below(&f.rng, nq_countof(formats));

    b = (unsigned)rng_below(&f.rng, 9);
    if (rng_below(&f.rng, 10) == 0) {
        run("MULTI");
        run("SET k1 first");
        run("SET k2 second");
        run("APPEND k1 third");
        run("EXEC");
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(line, sizeof line, formats[which], a, b, b);
#pragma GCC diagnostic pop
    run(line);
    f.now += rng_below(&f.rng, 100);
    clock_freeze_wall(f.now);
}

static void
note(void)
{
    nq_rc rc = change_reader_next(f.reader, remember, &f.seen);

    assert_true(rc == NQ_OK || rc == NQ_AGAIN);
    disk_trace_note(&f.trace, f.seen.count, f.seen.count, f.seen.count);
}

static void
record(void)
{
    struct cover *c;

    disk_trace_begin(&f.trace, f.env.dir);
    assert_int_equal(engine_env_try_open(&f.env), NQ_OK);
    fake_open(&f.env, &f.client);
    assert_int_equal(db_cover_take(f.env.db, &everything, &c), NQ_OK);
    f.first = changes_head(f.env.e->changes);
    f.reader = open_reader(f.first);
    follow(f.reader, remember, &f.seen);
    for (unsigned i = 0; i < COMMANDS; i++) {
        change_something();
        if (rng_below(&f.rng, 3) != 0)
            engine_env_turn(&f.env);
        if (rng_below(&f.rng, 40) == 0)
            store_checkpoint(f.env.store, NULL, NULL);
        if (i % 50 == 10) /* however slow the disk is */
            follow(f.reader, remember, &f.seen);
        note();
    }
    change_reader_close(f.reader);
    fake_close(&f.client);
    engine_env_crash(&f.env);
    disk_trace_end(&f.trace);
}

/* --- what is left ------------------------------------------------------------
 */

static bool
on_change(void *arg, const struct change *c)
{
    copy_apply(arg, c);
    return true;
}

/* What the reader was given before is at the start of what there is now. */
static void
assert_is_kept(const struct seen *now, unsigned given)
{
    size_t n = given == 0 ? 0 : f.seen.end[given - 1];

    assert_true(now->count >= given);
    assert_true(
        slice_eq(slice_of(now->bytes.p, n), slice_of(f.seen.bytes.p, n)));
}

static void
read_again(unsigned given)
{
    struct seen *all = nq_calloc(1, sizeof *all);
    struct seen *rest = nq_calloc(1, sizeof *rest);
    lsn last = given == 0 ? f.first : f.seen.at[given - 1];
    struct change_reader *r = open_reader(f.first);
    size_t from = given == 0 ? 0 : f.seen.end[given - 1];

    follow(r, remember, all);
    assert_is_kept(all, given);
    change_reader_seek(r, last);
    follow(r, remember, rest);
    assert_int_equal(rest->count, all->count - given);
    assert_true(slice_eq(buf_slice(&rest->bytes),
                         slice_of(all->bytes.p + from, all->bytes.len - from)));
    change_reader_close(r);
    buf_fini(&all->bytes);
    buf_fini(&rest->bytes);
    nq_free(all);
    nq_free(rest);
}

/* Changes of both lives make the database. */
static void
compare(void)
{
    struct change_copy *copy = nq_calloc(1, sizeof *copy);
    struct change_reader *r = open_reader(f.first);

    copy_init(copy, &f.env, &everything, 1);
    for (unsigned i = 0; i < 2; i++) {
        follow(r, on_change, copy);
        copy_assert_same(copy);
        for (unsigned k = 0; i == 0 && k < 5; k++)
            change_something();
    }
    change_reader_close(r);
    copy_fini(copy);
    nq_free(copy);
}

static void
cut_at(size_t event, enum image_cut cut, uint64_t seed)
{
    struct image_opts o = {.upto = event + 1,
                           .without = DISK_TRACE_NONE,
                           .cut = cut,
                           .seed = seed};
    unsigned given = f.trace.events[event].durable;

    image_build(&f.trace, &o, &f.image);
    image_write(&f.image, f.env.dir);
    clock_freeze_wall(f.now);
    assert_int_equal(engine_env_try_open(&f.env), NQ_OK);
    fake_open(&f.env, &f.client);
    copy_let_expire(&f.env);
    read_again(given);
    compare();
    fake_close(&f.client);
    engine_env_crash(&f.env);
}

/* The first event after which the reader had been opened. */
static size_t
first_cut(void)
{
    size_t i = 0;

    while (f.trace.events[i].durable == 0)
        assert_true(++i < f.trace.count);
    return i;
}

static void
a_reader_goes_on_after_power_cuts_where_it_was(void **state)
{
    const char *given = getenv("SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10)
                                  : rng_seed_from_os() % 1000000;
    size_t first;

    (void)state;
    printf("SEED=%llu\n", (unsigned long long)seed);
    log_set_level(LOG_ERROR);
    rng_seed(&f.rng, seed);
    f.now = BEGIN;
    clock_freeze_wall(f.now);
    engine_env_init_closed(&f.env, 4 << 20);
    f.env.fsync = WAL_FSYNC_ALWAYS;
    f.env.segment_size = 32 << 10;
    record();
    first = first_cut();
    for (unsigned i = 0; i < CUTS; i++) {
        static const enum image_cut cuts[] = {CUT_NONE, CUT_WRITES, CUT_SECTORS,
                                              CUT_ORDER};

        cut_at(first + rng_below(&f.rng, f.trace.count - first), cuts[i % 4],
               rng_next(&f.rng));
    }
    image_clear_dir(f.env.dir);
    image_fini(&f.image);
    disk_trace_fini(&f.trace);
    buf_fini(&f.seen.bytes);
    engine_env_fini(&f.env);
    clock_freeze_wall(0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_goes_on_after_power_cuts_where_it_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int
main(void)
{
    return 0;
}

#endif
