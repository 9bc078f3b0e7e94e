/* Reading the log while it is written: each record once, in order, from any
 * place, over segments, crashes and recycled files, sealed or not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../lib/wal_fixture.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "os/thread.h"
#include "store/keyring.h"
#include "store/wal_tail.h"

#define FRAMES 400
#define RECORDS_MAX 8000

static const uint8_t master[] = "32 bytes that nobody should know";

/* What a tail gave; number n has the key "n". */
struct got {
    lsn at[RECORDS_MAX];
    uint64_t numbers[RECORDS_MAX];
    unsigned count, stop_after; /* 0: never */
};

static bool
on_record(void *arg, const struct wal_record *r)
{
    struct got *g = arg;
    int64_t n;

    assert_true(slice_to_i64(r->key, &n));
    assert_true(g->count < RECORDS_MAX);
    if (g->stop_after > 0 && g->count == g->stop_after)
        return false;
    if (g->count > 0)
        assert_true(r->at > g->at[g->count - 1]);
    assert_true(r->at > r->frame);
    g->at[g->count] = r->at;
    g->numbers[g->count++] = (uint64_t)n;
    return true;
}

static lsn
write_frames(struct wal_fixture *f, struct rng *r, unsigned frames)
{
    for (unsigned i = 0; i < frames; i++)
        (void)wal_fixture_frame(f, 1 + (unsigned)rng_below(r, 12),
                                rng_below(r, 300));
    assert_true(wal_fixture_settle(f));
    return wal_settled(f->w);
}

/* All behind `after`, in batches. */
static nq_rc
read_all(struct wal_tail *t, lsn after, lsn end, size_t batch, struct got *g)
{
    lsn oldest = 0;

    while (after + 1 < end) {
        lsn next;
        nq_rc rc =
            wal_tail_read(t, after, end, batch, on_record, g, &next, &oldest);

        if (rc != NQ_OK)
            return rc;
        assert_true(next > after && next < end);
        after = next;
    }
    return NQ_OK;
}

static void
assert_follow_each_other(const struct got *g, uint64_t first, uint64_t last)
{
    assert_int_equal(g->count, last - first + 1);
    for (unsigned i = 0; i < g->count; i++)
        assert_int_equal(g->numbers[i], first + i);
}

static struct rng
draw(void)
{
    const char *given = getenv("SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 10)
                                  : rng_seed_from_os() % 1000000;
    struct rng r;

    printf("SEED=%llu\n", (unsigned long long)seed);
    rng_seed(&r, seed);
    return r;
}

/* From the start, then from places within. */
static void
read_everywhere(struct wal_fixture *f, struct rng *r)
{
    struct got *all = nq_calloc(1, sizeof *all);
    struct got *part = nq_calloc(1, sizeof *part);
    lsn end = write_frames(f, r, FRAMES);
    struct wal_tail *t = wal_tail_new(f->w);

    assert_int_equal(read_all(t, 63, end, 1 << 20, all), NQ_OK);
    assert_follow_each_other(all, 1, f->put);
    for (unsigned i = 0; i < 30; i++) {
        unsigned from = (unsigned)rng_below(r, all->count);
        lsn after = all->at[from] - rng_below(r, 2);

        part->count = 0;
        assert_int_equal(read_all(t, after, end, 1 + rng_below(r, 5000), part),
                         NQ_OK);
        assert_follow_each_other(part, from + (after == all->at[from] ? 2 : 1),
                                 f->put);
    }
    wal_tail_free(t);
    nq_free(all);
    nq_free(part);
}

static void
every_record_is_given_once_from_any_place(void **state)
{
    struct wal_fixture f;
    struct rng r = draw();

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_NEVER);
    wal_fixture_open(&f, 1);
    read_everywhere(&f, &r);
    wal_fixture_fini(&f);
}

static void
sealed_frames_are_opened(void **state)
{
    char dir[] = "/tmp/nq-keys-XXXXXX", path[64];
    struct keyring *keys;
    struct wal_fixture f;
    struct rng r = draw();

    (void)state;
    assert_non_null(mkdtemp(dir));
    wal_fixture_init(&f, WAL_FSYNC_NEVER);
    assert_int_equal(keyring_open(&(struct keyring_opts){.dir = dir,
                                                         .uuid = f.opts.uuid,
                                                         .master = master,
                                                         .is_empty = true},
                                  &keys),
                     NQ_OK);
    f.opts.keys = keys;
    wal_fixture_open(&f, 1);
    read_everywhere(&f, &r);
    wal_fixture_fini(&f);
    keyring_close(keys);
    snprintf(path, sizeof path, "%s/" KEYRING_FILE, dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void
a_record_that_was_refused_comes_again(void **state)
{
    struct got *g = nq_calloc(1, sizeof *g);
    struct wal_fixture f;
    struct rng r = draw();
    struct wal_tail *t;
    lsn end, after = 63;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_NEVER);
    wal_fixture_open(&f, 1);
    end = write_frames(&f, &r, 50);
    t = wal_tail_new(f.w);
    while (after + 1 < end) {
        lsn oldest;

        g->stop_after = g->count + 1 + (unsigned)rng_below(&r, 9);
        assert_int_equal(wal_tail_read(t, after, end, 1 << 20, on_record, g,
                                       &after, &oldest),
                         NQ_OK);
    }
    assert_follow_each_other(g, 1, f.put);
    wal_tail_free(t);
    wal_fixture_fini(&f);
    nq_free(g);
}

/* What was behind the end before a crash is not taken for what comes. */
static void
a_cut_tail_is_not_read(void **state)
{
    struct got *g = nq_calloc(1, sizeof *g);
    struct wal_fixture f;
    struct rng r = draw();
    struct wal_tail *t;
    lsn end, cut;

    (void)state;
    log_set_level(LOG_ERROR + 1);
    wal_fixture_init(&f, WAL_FSYNC_NEVER);
    wal_fixture_open(&f, 1);
    (void)write_frames(&f, &r, 10);
    cut = wal_fixture_frame(&f, 3, 100);
    (void)write_frames(&f, &r, 10);
    wal_abandon(f.w);
    f.w = NULL;
    /* A frame that never reached the disk, whole ones behind it. */
    wal_fixture_poke(wal_fixture_path(&f, 1), 8192 + cut - 64, "torn", 4);
    wal_fixture_open(&f, 1);
    f.put = f.replayed;
    end = write_frames(&f, &r, 100);
    t = wal_tail_new(f.w);
    assert_int_equal(read_all(t, 63, end, 1000, g), NQ_OK);
    assert_follow_each_other(g, 1, f.put);
    wal_tail_free(t);
    wal_fixture_fini(&f);
    nq_free(g);
    log_set_level(LOG_INFO);
}

static void
what_was_let_go_is_told_precisely(void **state)
{
    struct got *g = nq_calloc(1, sizeof *g);
    struct wal_fixture f;
    struct rng r = draw();
    struct wal_tail *t;
    struct wal_stats st;
    lsn end, next, oldest = 0;

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_NEVER);
    wal_fixture_open(&f, 1);
    end = write_frames(&f, &r, FRAMES);
    t = wal_tail_new(f.w);
    assert_int_equal(
        wal_tail_read(t, 63, end, 20000, on_record, g, &next, &oldest), NQ_OK);
    assert_true(wal_fixture_durable(&f));
    wal_hold(f.w, end / 2);
    wal_release(f.w, end, 1);
    do {
        usleep(100);
        wal_get_stats(f.w, &st);
    } while (st.recycled == 0 || st.oldest < end / 2 - 65536);
    end = write_frames(&f, &r, FRAMES); /* into recycled files */
    assert_int_equal(
        wal_tail_read(t, next, end, 1 << 20, on_record, g, &next, &oldest),
        NQ_NOTFOUND);
    assert_int_equal(oldest, st.oldest - 1);
    assert_true(st.oldest <= end / 2);
    g->count = 0;
    assert_int_equal(read_all(t, oldest, end, 1 << 20, g), NQ_OK);
    assert_int_equal(g->numbers[g->count - 1], f.put);
    wal_tail_free(t);
    wal_fixture_fini(&f);
    nq_free(g);
}

/* --- two threads ------------------------------------------------------------
 */

struct follower {
    struct wal_fixture *f;
    struct wal_tail *tail;
    struct got *got;
    _Atomic uint64_t wanted; /* numbers; 0: not known yet */
};

static void
follow(void *arg)
{
    struct follower *x = arg;
    lsn after = 63, oldest;

    for (;;) {
        uint64_t wanted = atomic_load(&x->wanted);

        nq_assert(wal_tail_read(x->tail, after, wal_settled(x->f->w), 3000,
                                on_record, x->got, &after, &oldest) == NQ_OK);
        if (wanted != 0 && x->got->count == wanted)
            return;
    }
}

static void
a_follower_keeps_up_with_the_writer(void **state)
{
    struct follower x = {.got = nq_calloc(1, sizeof *x.got)};
    struct thread *thread;
    struct wal_fixture f;
    struct rng r = draw();

    (void)state;
    wal_fixture_init(&f, WAL_FSYNC_PERIODIC);
    wal_fixture_open(&f, 1);
    x.f = &f;
    x.tail = wal_tail_new(f.w);
    assert_int_equal(thread_start("follower", follow, &x, &thread), NQ_OK);
    for (unsigned i = 0; i < 40; i++) {
        (void)write_frames(&f, &r, 10);
        wal_release(f.w, WAL_HOLD_NONE - 1, 100);
    }
    atomic_store(&x.wanted, f.put);
    thread_join(thread);
    assert_follow_each_other(x.got, 1, f.put);
    wal_tail_free(x.tail);
    wal_fixture_fini(&f);
    nq_free(x.got);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_record_is_given_once_from_any_place),
        cmocka_unit_test(sealed_frames_are_opened),
        cmocka_unit_test(a_record_that_was_refused_comes_again),
        cmocka_unit_test(a_cut_tail_is_not_read),
        cmocka_unit_test(what_was_let_go_is_told_precisely),
        cmocka_unit_test(a_follower_keeps_up_with_the_writer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
