/* bench/bench_cold.c - random reads of data larger than memory, beside RocksDB
 * and WiredTiger: the engines' own calls, one process, one thread asking.
 *
 *   bench_cold [-n records] [-l gets] [-r rounds] [-p percent] [-z] [-c]
 *              [-s page size] [-e names]
 *
 * Every engine holds the same records, keys of 16 and values of 100 bytes, in
 * files, and gets a cache of `percent` of their size (10).  Ours has pages of
 * -s bytes (8192); RocksDB's blocks are of 4096, WiredTiger's leaves of 8192.
 * -z: packed by zstd (Debian's WiredTiger has no zstd, it stays as it is). Each
 * then looks up `gets` keys drawn uniformly.  Ours asks for 16 at a time, as a
 * server does with what came in one turn, and its page reads go by the store's
 * workers unless the kernel has them at hand.  With -c the kernel's page cache
 * of the files is dropped before each round, so that reads go to the disk; else
 * it is warm.
 *
 * Engines take turns; the figures are medians over the rounds: microseconds a
 * get of wall time and of CPU time of the whole process, and the ratio of
 * wall times to ours. */
#include <dirent.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "os/pool.h"
#include "store/btree.h"
#include "store/frames.h"
#include "store/store.h"

#if __has_include(<rocksdb/c.h>)
#include <rocksdb/c.h>
#define HAVE_ROCKSDB
#endif
#if __has_include(<wiredtiger.h>)
#include <wiredtiger.h>
#define HAVE_WIREDTIGER
#endif

#define KEY_LEN 16
#define VAL_LEN 100
#define BATCH 16
#define ROUNDS_MAX 15
#define LOAD_POOL (256ull << 20)

static struct {
    uint64_t records, gets;
    unsigned rounds, percent;
    uint32_t page_size;
    bool packs, drops;
    const char *names;
} opt = {2000000, 200000, 3, 10, 8192, false, false, "nqdb,rocksdb,wiredtiger"};

static void
must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench_cold: %s failed\n", what);
    exit(1);
}

static uint64_t
cache_bytes(void)
{
    return opt.records * (KEY_LEN + VAL_LEN) * opt.percent / 100;
}

static void
key_of(uint64_t n, char key[KEY_LEN + 1])
{
    memcpy(key, "key:", 5);
    for (unsigned i = KEY_LEN; i-- > 4; n /= 10)
        key[i] = (char)('0' + n % 10);
    key[KEY_LEN] = 0;
}

/* Half of a value is the same in all, half is its own. */
static void
value_of(uint64_t n, char val[VAL_LEN])
{
    struct rng r;

    memset(val, 'v', VAL_LEN);
    rng_seed(&r, n);
    for (unsigned i = 0; i + 8 <= VAL_LEN / 2; i += 8) {
        uint64_t word = rng_next(&r);

        memcpy(val + i, &word, 8);
    }
}

struct engine {
    const char *name;
    void (*open)(const char *dir); /* an empty store */
    void (*put)(uint64_t n, const char *key, const char *val);
    void (*settle)(void); /* all of it is in files, the cache is small */
    uint64_t (*get)(const uint64_t *which, uint64_t count);
    void (*close)(void);
};

/* --- ours ----------------------------------------------------------------- */

static struct store *nq_store;
static struct pool *nq_pool;
static struct btree nq_tree;
static bool nq_flag; /* a checkpoint is done, or pages have come */

static void
nqdb_open(const char *dir)
{
    struct store_opts opts = {
        .dir = dir,
        .page_size = opt.page_size,
        .pool_bytes = LOAD_POOL,
        .pack.enabled = opt.packs,
        .wal = {.segment_size = 16 << 20,
                .buffer_size = 16 << 20,
                .fsync = WAL_FSYNC_NEVER,
                .fsync_interval_ms = 1000},
    };
    struct wal_record none;

    log_set_level(LOG_ERROR);
    must(pool_open(2, NULL, NULL, &nq_pool) == NQ_OK, "pool_open");
    must(store_open(&opts, nq_pool, &nq_store) == NQ_OK, "store_open");
    must(store_replay(nq_store, &none) == NQ_NOTFOUND, "store_replay");
    must(store_ready(nq_store) == NQ_OK, "store_ready");
    nq_tree = (struct btree){.fr = store_frames(nq_store)};
}

static void
nqdb_turn(void)
{
    (void)pool_drain(nq_pool);
    store_turn(nq_store);
}

static void
come(struct frames_wait *w)
{
    nq_flag = true;
    must(w->rc == NQ_OK, "page read");
}

/* Until what the calls before noted as missing is in memory. */
static void
fetch(struct frames_wait *w)
{
    frames_fetch_end(nq_tree.fr, w);
    *w = (struct frames_wait){.ready = come};
    nq_flag = false;
    frames_fetch(nq_tree.fr, w);
    frames_run_ready(nq_tree.fr);
    while (!nq_flag) {
        (void)pool_wait(nq_pool);
        frames_run_ready(nq_tree.fr);
    }
}

static void
nqdb_put(uint64_t n, const char *key, const char *val)
{
    struct record rec = {.val = slice_of(val, VAL_LEN)};
    struct frames_wait w = {.ready = come};
    nq_rc rc;

    while ((rc = btree_put(&nq_tree, slice_of(key, KEY_LEN), &rec, NULL)) ==
           NQ_MISS)
        fetch(&w);
    must(rc == NQ_OK, "btree_put");
    frames_fetch_end(nq_tree.fr, &w);
    if (n % 64 != 0)
        return;
    nqdb_turn();
    while (frames_is_throttling(nq_tree.fr) && pool_wait(nq_pool) > 0)
        nqdb_turn();
}

static void
done(void *arg, nq_rc rc)
{
    (void)arg;
    must(rc == NQ_OK, "checkpoint");
    nq_flag = true;
}

static void
nqdb_settle(void)
{
    nq_flag = false;
    store_checkpoint(nq_store, done, NULL);
    while (!nq_flag) {
        store_turn(nq_store);
        (void)pool_wait(nq_pool);
    }
    store_set_pool(nq_store, cache_bytes());
    for (unsigned i = 0; i < 1000; i++)
        nqdb_turn();
}

static uint64_t
get_batch(const uint64_t *which, unsigned n)
{
    char keys[BATCH][KEY_LEN + 1];
    struct frames_wait w = {.ready = come};
    struct finger fingers[BATCH];
    struct probe probes[BATCH];
    struct record rec;
    uint64_t sum = 0;

    for (unsigned i = 0; i < n; i++) {
        key_of(which[i], keys[i]);
        probes[i] = (struct probe){&nq_tree, slice_of(keys[i], KEY_LEN),
                                   &fingers[i], false};
    }
    while (btree_probe(probes, n) > 0)
        fetch(&w);
    for (unsigned i = 0; i < n; i++) {
        must(btree_get(&nq_tree, probes[i].key, &rec, &fingers[i]) == NQ_OK,
             "btree_get");
        sum += rec.val.p[0];
    }
    frames_fetch_end(nq_tree.fr, &w);
    nqdb_turn();
    return sum;
}

static uint64_t
nqdb_get(const uint64_t *which, uint64_t count)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < count; i += BATCH)
        sum += get_batch(which + i, (unsigned)nq_min(BATCH, count - i));
    return sum;
}

static void
nqdb_close(void)
{
    store_abandon(nq_store);
    pool_close(nq_pool);
}

/* --- RocksDB -------------------------------------------------------------- */

#ifdef HAVE_ROCKSDB
static rocksdb_t *rocks;
static rocksdb_options_t *rocks_opts;
static rocksdb_cache_t *rocks_cache;
static rocksdb_writeoptions_t *rocks_write;
static rocksdb_readoptions_t *rocks_read;

static void
rocks_open(const char *dir)
{
    rocksdb_block_based_table_options_t *table =
        rocksdb_block_based_options_create();
    char *err = NULL;

    rocks_opts = rocksdb_options_create();
    rocks_cache = rocksdb_cache_create_lru(cache_bytes());
    rocksdb_block_based_options_set_block_cache(table, rocks_cache);
    rocksdb_block_based_options_set_filter_policy(
        table, rocksdb_filterpolicy_create_bloom(10));
    rocksdb_options_set_block_based_table_factory(rocks_opts, table);
    rocksdb_options_set_create_if_missing(rocks_opts, 1);
    rocksdb_options_set_compression(rocks_opts, opt.packs
                                                    ? rocksdb_zstd_compression
                                                    : rocksdb_no_compression);
    rocks = rocksdb_open(rocks_opts, dir, &err);
    must(err == NULL, "rocksdb_open");
    rocks_write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_disable_WAL(rocks_write, 1);
    rocks_read = rocksdb_readoptions_create();
}

static void
rocks_put(uint64_t n, const char *key, const char *val)
{
    char *err = NULL;

    (void)n;
    rocksdb_put(rocks, rocks_write, key, KEY_LEN, val, VAL_LEN, &err);
    must(err == NULL, "rocksdb_put");
}

static void
rocks_settle(void)
{
    rocksdb_flushoptions_t *f = rocksdb_flushoptions_create();
    char *err = NULL;

    rocksdb_flush(rocks, f, &err);
    must(err == NULL, "rocksdb_flush");
    rocksdb_compact_range(rocks, NULL, 0, NULL, 0);
    rocksdb_flushoptions_destroy(f);
}

static uint64_t
rocks_get(const uint64_t *which, uint64_t count)
{
    char key[KEY_LEN + 1], *err = NULL;
    uint64_t sum = 0;

    for (uint64_t i = 0; i < count; i++) {
        rocksdb_pinnableslice_t *v;
        size_t len;

        key_of(which[i], key);
        v = rocksdb_get_pinned(rocks, rocks_read, key, KEY_LEN, &err);
        must(v != NULL, "rocksdb_get");
        sum += (uint8_t)rocksdb_pinnableslice_value(v, &len)[0];
        rocksdb_pinnableslice_destroy(v);
    }
    return sum;
}

static void
rocks_close(void)
{
    rocksdb_close(rocks);
    rocksdb_readoptions_destroy(rocks_read);
    rocksdb_writeoptions_destroy(rocks_write);
    rocksdb_options_destroy(rocks_opts);
    rocksdb_cache_destroy(rocks_cache);
}
#endif

/* --- WiredTiger ----------------------------------------------------------- */

#ifdef HAVE_WIREDTIGER
static WT_CONNECTION *wt_conn;
static WT_CURSOR *wt_cursor;

static void
wt_open(const char *dir)
{
    char config[200];
    WT_SESSION *s;

    snprintf(config, sizeof config, "create,cache_size=%lluMB,log=(enabled=0)",
             (unsigned long long)nq_max(cache_bytes() >> 20, 1u));
    must(wiredtiger_open(dir, NULL, config, &wt_conn) == 0, "wiredtiger_open");
    must(wt_conn->open_session(wt_conn, NULL, NULL, &s) == 0, "open_session");
    snprintf(config, sizeof config,
             "key_format=u,value_format=u,leaf_page_max=8KB%s", "");
    must(s->create(s, "table:t", config) == 0, "create");
    must(s->open_cursor(s, "table:t", NULL, "overwrite", &wt_cursor) == 0,
         "open_cursor");
}

static void
wt_put(uint64_t n, const char *key, const char *val)
{
    WT_ITEM k = {.data = key, .size = KEY_LEN};
    WT_ITEM v = {.data = val, .size = VAL_LEN};

    (void)n;
    wt_cursor->set_key(wt_cursor, &k);
    wt_cursor->set_value(wt_cursor, &v);
    must(wt_cursor->insert(wt_cursor) == 0, "insert");
}

static void
wt_settle(void)
{
    WT_SESSION *s = wt_cursor->session;

    must(s->checkpoint(s, NULL) == 0, "checkpoint");
}

static uint64_t
wt_get(const uint64_t *which, uint64_t count)
{
    char key[KEY_LEN + 1];
    WT_ITEM k = {.data = key, .size = KEY_LEN}, v;
    uint64_t sum = 0;

    for (uint64_t i = 0; i < count; i++) {
        key_of(which[i], key);
        wt_cursor->set_key(wt_cursor, &k);
        must(wt_cursor->search(wt_cursor) == 0, "search");
        must(wt_cursor->get_value(wt_cursor, &v) == 0, "get_value");
        sum += *(const uint8_t *)v.data;
    }
    return sum;
}

static void
wt_close(void)
{
    must(wt_conn->close(wt_conn, NULL) == 0, "close");
}
#endif

static const struct engine engines[] = {
    {"nqdb", nqdb_open, nqdb_put, nqdb_settle, nqdb_get, nqdb_close},
#ifdef HAVE_ROCKSDB
    {"rocksdb", rocks_open, rocks_put, rocks_settle, rocks_get, rocks_close},
#endif
#ifdef HAVE_WIREDTIGER
    {"wiredtiger", wt_open, wt_put, wt_settle, wt_get, wt_close},
#endif
};
#define ENGINES (sizeof engines / sizeof engines[0])

/* --- files ---------------------------------------------------------------- */

/* Calls fn for each file below `dir`. */
static void
each_file(const char *dir, void (*fn)(const char *path))
{
    DIR *d = opendir(dir);
    const struct dirent *e;

    must(d != NULL, "opendir");
    while ((e = readdir(d)) != NULL) {
        char path[600];
        struct stat st;

        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        must(lstat(path, &st) == 0, "lstat");
        if (S_ISDIR(st.st_mode))
            each_file(path, fn);
        fn(path);
    }
    closedir(d);
}

static void
drop_cache(const char *path)
{
    int fd = open(path, O_RDONLY);

    if (fd < 0)
        return;
    (void)fdatasync(fd);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
}

static void
remove_file(const char *path)
{
    (void)remove(path);
}

/* --- running -------------------------------------------------------------- */

static double
seconds(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct result {
    char dir[100];
    double wall[ROUNDS_MAX], cpu[ROUNDS_MAX]; /* us a get */
};

static void
fill(const struct engine *e)
{
    char key[KEY_LEN + 1], val[VAL_LEN];

    for (uint64_t n = 0; n < opt.records; n++) {
        key_of(n, key);
        value_of(n, val);
        e->put(n, key, val);
    }
    e->settle();
}

static void
run_round(const struct engine *e, struct result *r, unsigned round)
{
    uint64_t *which = nq_malloc(opt.gets * sizeof *which);
    double wall, cpu;
    struct rng rng;

    rng_seed(&rng, round + 1);
    for (uint64_t i = 0; i < opt.gets; i++)
        which[i] = rng_below(&rng, opt.records);
    if (opt.drops)
        each_file(r->dir, drop_cache);
    wall = seconds(CLOCK_MONOTONIC);
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    (void)e->get(which, opt.gets);
    wall = seconds(CLOCK_MONOTONIC) - wall;
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    r->wall[round] = 1e6 * wall / (double)opt.gets;
    r->cpu[round] = 1e6 * cpu / (double)opt.gets;
    nq_free(which);
}

static int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double
median(double *v)
{
    qsort(v, opt.rounds, sizeof *v, by_value);
    return v[opt.rounds / 2];
}

static void
report(struct result *results, const bool *chosen)
{
    double ours = 0;

    for (unsigned i = 0; i < ENGINES; i++) {
        double wall, cpu;

        if (!chosen[i])
            continue;
        wall = median(results[i].wall);
        cpu = median(results[i].cpu);
        if (i == 0)
            ours = wall;
        printf("%-11s %8.2f us/get wall (%.2f-%.2f) %8.2f cpu", engines[i].name,
               wall, results[i].wall[0], results[i].wall[opt.rounds - 1], cpu);
        if (i > 0 && ours > 0)
            printf("  %.2fx of ours", wall / ours);
        printf("\n");
    }
}

static void
parse(int argc, char **argv)
{
    int c;

    while ((c = getopt(argc, argv, "n:l:r:p:s:zce:")) != -1) {
        switch (c) {
        case 'n':
            opt.records = strtoull(optarg, NULL, 10);
            break;
        case 'l':
            opt.gets = strtoull(optarg, NULL, 10);
            break;
        case 'r':
            opt.rounds = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'p':
            opt.percent = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 's':
            opt.page_size = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'z':
            opt.packs = true;
            break;
        case 'c':
            opt.drops = true;
            break;
        case 'e':
            opt.names = optarg;
            break;
        default:
            fprintf(stderr, "usage: bench_cold [-n records] [-l gets] "
                            "[-r rounds] [-p percent] [-s page size] "
                            "[-z] [-c] [-e names]\n");
            exit(2);
        }
    }
    must(opt.records > 0 && opt.gets > 0 && opt.rounds > 0 &&
             opt.rounds <= ROUNDS_MAX && opt.percent > 0 &&
             opt.page_size >= 4096 && opt.page_size <= 65536 &&
             (opt.page_size & (opt.page_size - 1)) == 0,
         "arguments");
}

int
main(int argc, char **argv)
{
    struct result results[ENGINES];
    bool chosen[ENGINES];

    parse(argc, argv);
    printf("%llu records of %u + %u bytes, cache %llu MB (%u %%), %s, page "
           "cache %s\n",
           (unsigned long long)opt.records, KEY_LEN, VAL_LEN,
           (unsigned long long)(cache_bytes() >> 20), opt.percent,
           opt.packs ? "zstd" : "not compressed",
           opt.drops ? "dropped" : "warm");
    for (unsigned i = 0; i < ENGINES; i++) {
        const char *tmp = getenv("TMPDIR");

        if (!(chosen[i] = strstr(opt.names, engines[i].name) != NULL))
            continue;
        snprintf(results[i].dir, sizeof results[i].dir, "%s/nqdb-cold-XXXXXX",
                 tmp != NULL ? tmp : "/tmp");
        must(mkdtemp(results[i].dir) != NULL, "mkdtemp");
        engines[i].open(results[i].dir);
        fill(&engines[i]);
    }
    for (unsigned round = 0; round < opt.rounds; round++) {
        for (unsigned i = 0; i < ENGINES; i++) {
            if (chosen[i])
                run_round(&engines[i], &results[i], round);
        }
    }
    report(results, chosen);
    for (unsigned i = 0; i < ENGINES; i++) {
        if (!chosen[i])
            continue;
        engines[i].close();
        each_file(results[i].dir, remove_file);
        (void)remove(results[i].dir);
    }
    return 0;
}
