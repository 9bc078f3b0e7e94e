/* What encryption costs: processor time of the whole process for a checkpoint
 * of so many pages, and for frames of the log, with and without, side by side
 * in each round.
 *
 *   seal [-m megabytes of pages] [-f frames] [-r rounds] [-d directory]
 *
 * Each line is: what, plain, sealed (microseconds a page, or a frame; medians
 * over the rounds), and how much more that is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "os/dir.h"
#include "os/pool.h"
#include "os/thread.h"
#include "store/frames.h"
#include "store/store.h"

#define PAGE 8192u
#define ROUNDS_MAX 31
#define FRAME_BYTES 100u

struct bench {
    unsigned megabytes, frames, rounds;
    const char *parent;
    char dir[400];
    struct pool *pool;
    struct store *st;
};

static const uint8_t master[] = "32 bytes that nobody should know";

static double
cpu_us(void)
{
    struct rusage r;

    nq_assert(getrusage(RUSAGE_SELF, &r) == 0);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

/* --- a store -------------------------------------------------------------- */

static void
remove_name(const char *name, void *arg)
{
    char path[800];

    snprintf(path, sizeof path, "%s/%s", (const char *)arg, name);
    (void)!dir_remove_file(path);
}

static void
remove_all(struct bench *b)
{
    char wal[420];

    snprintf(wal, sizeof wal, "%s/wal", b->dir);
    (void)!dir_each(wal, remove_name, wal);
    (void)rmdir(wal);
    (void)!dir_each(b->dir, remove_name, b->dir);
    (void)rmdir(b->dir);
}

static void
open_store(struct bench *b, bool seals, bool packs)
{
    struct store_opts o = {
        .dir = b->dir,
        .page_size = PAGE,
        .pool_bytes = ((uint64_t)b->megabytes + 64) << 20,
        .pack = {.enabled = packs, .level = 1},
        .master_key = seals ? master : NULL,
        .dirty_soft = 2,
        .dirty_hard = 2,
        .wal = {.segment_size = 16 << 20,
                .buffer_size = 16 << 20,
                .fsync = WAL_FSYNC_NEVER,
                .fsync_interval_ms = 1000},
    };
    struct wal_record rec;

    snprintf(b->dir, sizeof b->dir, "%s/nqdb-bench-XXXXXX", b->parent);
    nq_assert(mkdtemp(b->dir) != NULL &&
              pool_open(2, NULL, NULL, &b->pool) == NQ_OK &&
              store_open(&o, b->pool, &b->st) == NQ_OK &&
              store_replay(b->st, &rec) == NQ_NOTFOUND &&
              store_ready(b->st) == NQ_OK);
}

static void
close_store(struct bench *b)
{
    store_abandon(b->st);
    pool_close(b->pool);
    remove_all(b);
}

static void
on_done(void *arg, nq_rc rc)
{
    nq_assert(rc == NQ_OK);
    *(bool *)arg = true;
}

static void
turn(struct bench *b)
{
    (void)pool_drain(b->pool);
    store_turn(b->st);
    if (pool_pending(b->pool) > 0)
        (void)pool_wait(b->pool);
    else
        thread_sleep_us(100);
}

/* --- what is measured ----------------------------------------------------- */

/* Records of a kind: about three times smaller when packed. */
static void
fill(uint8_t *p, struct rng *r)
{
    size_t at = 64;

    while (at + 100 < PAGE)
        at += (size_t)snprintf(
            (char *)p + at, 100,
            "user:%06u{\"id\":%u,\"mail\":\"u%u@example.org\",\"n\":%u}",
            (unsigned)rng_below(r, 1000000), (unsigned)rng_below(r, 1u << 31),
            (unsigned)rng_below(r, 1000000), (unsigned)rng_below(r, 100));
}

static double
checkpoint_us(struct bench *b, bool seals, bool packs)
{
    unsigned pages = b->megabytes * (1u << 20) / PAGE;
    bool is_done = false;
    struct rng r;
    double began;
    uint8_t *p;

    rng_seed(&r, 1);
    open_store(b, seals, packs);
    for (unsigned i = 0; i < pages; i++) {
        (void)frames_new(store_frames(b->st), PAGE_LEAF, &p);
        fill(p, &r);
    }
    began = cpu_us();
    store_checkpoint(b->st, on_done, &is_done);
    while (!is_done)
        turn(b);
    began = cpu_us() - began;
    close_store(b);
    return began / pages;
}

static double
raw_us(struct bench *b, bool seals)
{
    return checkpoint_us(b, seals, false);
}

static double
packed_us(struct bench *b, bool seals)
{
    return checkpoint_us(b, seals, true);
}

/* Frames of one record, written by the log thread as they come. */
static double
log_us(struct bench *b, bool seals)
{
    uint8_t bytes[FRAME_BYTES] = {0};
    struct slice text = slice_of(bytes, sizeof bytes);
    struct wal *w;
    double began;

    open_store(b, seals, false);
    w = store_wal(b->st);
    began = cpu_us();
    for (unsigned i = 0; i < b->frames; i++) {
        while (wal_is_full(w))
            thread_sleep_us(50);
        nq_assert(wal_append(w, 1, 0, text, &text, 1) == NQ_OK);
        wal_commit(w);
    }
    wal_sync_soon(w);
    while (wal_durable(w) < wal_position(w))
        thread_sleep_us(100);
    began = cpu_us() - began;
    close_store(b);
    return began / b->frames;
}

/* --- side by side --------------------------------------------------------- */

static int
double_cmp(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double
median(double *v, unsigned n)
{
    qsort(v, n, sizeof *v, double_cmp);
    return v[n / 2];
}

static void
compare(struct bench *b, const char *what,
        double (*measure)(struct bench *b, bool seals))
{
    double plain[ROUNDS_MAX], sealed[ROUNDS_MAX], p, s;

    for (unsigned i = 0; i < b->rounds; i++) {
        plain[i] = measure(b, false);
        sealed[i] = measure(b, true);
    }
    p = median(plain, b->rounds);
    s = median(sealed, b->rounds);
    printf("%-28s %8.2f %8.2f us  %+6.1f %%\n", what, p, s, (s / p - 1) * 100);
    fflush(stdout);
}

int
main(int argc, char **argv)
{
    struct bench b = {
        .megabytes = 128, .frames = 100000, .rounds = 5, .parent = "/tmp"};
    int c;

    while ((c = getopt(argc, argv, "m:f:r:d:")) != -1) {
        unsigned v = (unsigned)strtoul(optarg, NULL, 10);

        if (c == 'd')
            b.parent = optarg;
        else if (c == 'm')
            b.megabytes = nq_max(v, 1u);
        else if (c == 'f')
            b.frames = nq_max(v, 1u);
        else if (c == 'r')
            b.rounds = nq_min(nq_max(v, 1u), ROUNDS_MAX);
        else
            return 1;
    }
    log_set_level(LOG_ERROR);
    printf("%-28s %8s %8s\n", "processor time", "plain", "sealed");
    compare(&b, "checkpoint, a page, zstd", packed_us);
    compare(&b, "checkpoint, a page, raw", raw_us);
    compare(&b, "log, a frame of 200 bytes", log_us);
    return 0;
}
