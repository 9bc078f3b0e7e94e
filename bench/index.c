/* What indexes cost a writer, and what they save a reader: the engine without
 * sockets, sixteen commands a batch, processor time of the loop.
 *
 *   index [-n keys] [-r rounds]
 *
 *   set outside     SET of keys that no index covers, with 0, 1 and 64 indexes
 *                   on other prefixes
 *   hset inside     HSET of a field that an index is of, new value each time,
 *                   beside the same without the index
 *   get             GET, for comparison
 *   seek            NQ.RANGE ... WHERE field = value with one row, by the index
 *
 * Engines take turns within each round; figures are medians, ratios are taken
 * round by round. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/cmd_index.h"
#include "cmd/dispatch.h"
#include "cmd/engine.h"
#include "cmd/session.h"
#include "os/dir.h"
#include "os/pool.h"
#include "store/page.h"
#include "store/store.h"

#define BATCH 16u
#define ARGS 8u
#define ROUNDS_MAX 31u
#define COMMANDS 40000u /* of each kind, a round */
#define ENGINES 4u

struct engine_bench {
    const char *name;
    unsigned indexes; /* on other prefixes; 1 of them on "s:" if is_inside */
    bool is_inside;
    char dir[64];
    struct pool *pool;
    struct store *store;
    struct db *db;
    struct engine *e;
    struct session s;
};

static unsigned keys = 100000, rounds = 7;

static double
cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void
must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "index: %s failed\n", what);
    exit(1);
}

/* --- engines -------------------------------------------------------------- */

static void
before_cut(void *arg)
{
    db_write_catalog(((struct engine_bench *)arg)->db);
}

static void
on_session(struct session *s)
{
    nq_unused(s);
}

static const struct session_ops ops = {
    .wake = on_session, .resume = on_session, .close = on_session};

static void
open_engine(struct engine_bench *b)
{
    struct store_opts so = {.dir = b->dir,
                            .page_size = 8192,
                            .pool_bytes = 512u << 20,
                            .is_page = page_verify,
                            .wal = {.segment_size = 16 << 20,
                                    .buffer_size = 16 << 20,
                                    .fsync = WAL_FSYNC_NEVER},
                            .before_cut = before_cut,
                            .arg = b};
    struct db_opts dbo = {.databases = 1,
                          .on_touch = engine_on_touch,
                          .on_event = engine_on_event,
                          .on_release = engine_on_release};
    nq_rc rc;

    snprintf(b->dir, sizeof b->dir, "/tmp/nqdb-bench-XXXXXX");
    must(mkdtemp(b->dir) != NULL, "mkdtemp");
    b->e = engine_new();
    must(pool_open(1, NULL, NULL, &b->pool) == NQ_OK, "pool_open");
    must(store_open(&so, b->pool, &b->store) == NQ_OK, "store_open");
    dbo.store = b->store;
    dbo.arg = b->e;
    must(db_open(&dbo, &b->db) == NQ_OK, "db_open");
    while ((rc = db_replay(b->db, 1000)) == NQ_AGAIN)
        continue;
    must(rc == NQ_OK, "db_replay");
    engine_attach(b->e, b->db, b->store);
    b->s.ops = &ops;
    session_open(b->e, &b->s);
}

static void
remove_file(const char *name, void *arg)
{
    char path[256];

    snprintf(path, sizeof path, "%s/%s", (const char *)arg, name);
    (void)unlink(path);
}

static void
close_engine(struct engine_bench *b)
{
    char wal[80];

    session_close(&b->s);
    engine_detach(b->e);
    while (pool_pending(b->pool) > 0)
        (void)pool_wait(b->pool);
    db_close(b->db);
    store_abandon(b->store);
    pool_close(b->pool);
    engine_free(b->e);
    snprintf(wal, sizeof wal, "%s/wal", b->dir);
    (void)!dir_each(wal, remove_file, wal);
    (void)!dir_each(b->dir, remove_file, b->dir);
    (void)rmdir(wal);
    (void)rmdir(b->dir);
}

/* --- commands ------------------------------------------------------------- */

struct batch {
    char text[BATCH][160];
    struct slice argv[BATCH][ARGS];
    struct call calls[BATCH];
    unsigned n;
};

/* Words of `text`, parted by blanks. */
static void
add(struct engine_bench *b, struct batch *q, const char *text)
{
    struct slice *argv = q->argv[q->n];
    char *p = q->text[q->n], *save;
    uint32_t argc = 0;

    snprintf(p, sizeof q->text[0], "%s", text);
    for (p = strtok_r(p, " ", &save); p != NULL; p = strtok_r(NULL, " ", &save))
        argv[argc++] = slice_str(p);
    q->calls[q->n++] =
        (struct call){.session = &b->s, .argv = argv, .argc = argc};
}

static bool
ended_well(struct engine_bench *b)
{
    struct iovec iov[16];
    bool is_well = true;
    int n;

    while ((n = outq_peek(&b->s.out, UINT64_MAX, iov, 16)) > 0) {
        size_t sum = 0;

        is_well = is_well && *(const char *)iov[0].iov_base != '-';
        for (int i = 0; i < n; i++)
            sum += iov[i].iov_len;
        outq_consume(&b->s.out, sum);
    }
    return is_well;
}

/* Of what is at the end of the batch and the turn, too. */
static double
run(struct engine_bench *b, struct batch *q)
{
    double began = cpu_seconds();

    dispatch_batch(b->e, q->calls, q->n);
    (void)engine_turn(b->e);
    store_turn(b->store);
    began = cpu_seconds() - began;
    (void)pool_drain(b->pool);
    for (unsigned i = 0; i < q->n; i++)
        while (q->calls[i].result == CALL_KEPT) {
            must(false, "a command that is done at once");
        }
    must(ended_well(b), "a command");
    q->n = 0;
    return began;
}

static void
ask(struct engine_bench *b, const char *text)
{
    struct batch q = {.n = 0};

    add(b, &q, text);
    (void)run(b, &q);
}

typedef void command_text(unsigned n, char *dst, size_t size);

static void
set_outside(unsigned n, char *dst, size_t size)
{
    snprintf(dst, size, "SET other:%010u value-of-some-length-%u", n % keys, n);
}

static void
hset_inside(unsigned n, char *dst, size_t size)
{
    snprintf(dst, size, "HSET s:%010u temp %u site north", n % keys, n);
}

static void
get(unsigned n, char *dst, size_t size)
{
    snprintf(dst, size, "GET other:%010u", n % keys);
}

static void
seek(unsigned n, char *dst, size_t size)
{
    snprintf(dst, size, "NQ.RANGE s: (s; WHERE temp=%u", n % keys);
}

/* Microseconds a command. */
static double
measure(struct engine_bench *b, command_text *text, unsigned commands)
{
    static unsigned next;
    struct batch q = {.n = 0};
    double sum = 0;
    char line[160];

    for (unsigned i = 0; i < commands; i++) {
        next += 7919;
        text(next, line, sizeof line);
        add(b, &q, line);
        if (q.n == BATCH || i + 1 == commands)
            sum += run(b, &q);
    }
    return sum * 1e6 / commands;
}

/* --- figures -------------------------------------------------------------- */

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double
median(const double *v, unsigned n)
{
    double copy[ROUNDS_MAX];

    memcpy(copy, v, n * sizeof *v);
    qsort(copy, n, sizeof *copy, compare);
    return copy[n / 2];
}

struct figure {
    const char *name;
    double us[ROUNDS_MAX], ratio[ROUNDS_MAX];
};

static void
tell(const struct figure *f, const char *beside)
{
    printf("%-28s %8.3f us", f->name, median(f->us, rounds));
    if (beside != NULL)
        printf("   %.3f of %s", median(f->ratio, rounds), beside);
    printf("\n");
}

static void
prepare(struct engine_bench *b)
{
    char line[160];

    for (unsigned i = 0; i < b->indexes; i++) {
        snprintf(line, sizeof line, "NQ.INDEX CREATE i%u ON p%u: FIELD x", i,
                 i);
        ask(b, line);
    }
    if (b->is_inside)
        ask(b, "NQ.INDEX CREATE temps ON s: FIELD temp");
    for (unsigned i = 0; i < keys; i++) {
        struct batch q = {.n = 0};

        set_outside(i, line, sizeof line);
        add(b, &q, line);
        hset_inside(i, line, sizeof line);
        add(b, &q, line);
        (void)run(b, &q);
    }
}

int
main(int argc, char **argv)
{
    static struct engine_bench engines[ENGINES] = {
        {.name = "none"},
        {.name = "one", .is_inside = true},
        {.name = "all", .indexes = 63, .is_inside = true},
        {.name = "read", .is_inside = true}, /* one row for each value */
    };
    static struct figure outside[ENGINES] = {
        {.name = "set outside, 0 indexes"},
        {.name = "set outside, 1 index"},
        {.name = "set outside, 64 indexes"}};
    static struct figure inside[ENGINES] = {{.name = "hset, no index"},
                                            {.name = "hset inside, 1 index"},
                                            {.name = ""}};
    static struct figure reads[2] = {{.name = "get"}, {.name = "seek"}};
    int opt;

    while ((opt = getopt(argc, argv, "n:r:")) != -1) {
        if (opt == 'n')
            keys = (unsigned)strtoul(optarg, NULL, 10);
        else if (opt == 'r')
            rounds = (unsigned)strtoul(optarg, NULL, 10);
        else
            return 2;
    }
    must(keys > 0 && rounds > 0 && rounds <= ROUNDS_MAX, "reading options");
    log_set_level(LOG_ERROR);
    for (unsigned i = 0; i < ENGINES; i++) {
        open_engine(&engines[i]);
        prepare(&engines[i]);
    }
    for (unsigned r = 0; r < rounds; r++) {
        for (unsigned i = 0; i < ENGINES - 1; i++) {
            outside[i].us[r] = measure(&engines[i], set_outside, COMMANDS);
            outside[i].ratio[r] = outside[i].us[r] / outside[0].us[r];
        }
        for (unsigned i = 0; i < 2; i++) {
            inside[i].us[r] = measure(&engines[i], hset_inside, COMMANDS);
            inside[i].ratio[r] = inside[i].us[r] / inside[0].us[r];
        }
        reads[0].us[r] = measure(&engines[3], get, COMMANDS);
        reads[1].us[r] = measure(&engines[3], seek, COMMANDS / 4);
        reads[1].ratio[r] = reads[1].us[r] / reads[0].us[r];
    }
    for (unsigned i = 0; i < ENGINES - 1; i++)
        tell(&outside[i], i == 0 ? NULL : "0 indexes");
    tell(&inside[0], NULL);
    tell(&inside[1], "no index");
    tell(&reads[0], NULL);
    tell(&reads[1], "get");
    for (unsigned i = 0; i < ENGINES; i++)
        close_engine(&engines[i]);
    return 0;
}
