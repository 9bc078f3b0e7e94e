/* bench/bench_engine.c - the engine's tree beside LMDB, RocksDB and
 * WiredTiger, in one process, without sockets, logs or syncs.
 *
 *   bench_engine [-n records] [-r rounds] [-k text|binary] [-e names]
 *
 * Every engine gets the same keys of 16 and values of 64 bytes:
 *   seq_insert    in key order into an empty store
 *   rand_insert   in random order into an empty store
 *   rand_batch    the same in batches of 16, looked up ahead
 *   get           each key once, in another random order
 *   get_batch     the same in batches of 16, looked up ahead
 *   scan          all records in order, reading a byte of each key and value
 *   step          the same, one call for each record
 * Engines take turns, the figure is the median of the rounds: nanoseconds of
 * CPU time per record.  Our pool is allocated once, as in a server, so only
 * the first round pays for memory touched for the first time; that of LMDB is
 * a new file each time (put TMPDIR on tmpfs) and takes page faults again.
 * Durability is off everywhere: LMDB writes into its map in one transaction
 * and appends where keys come in order, RocksDB has no log and a block cache
 * for all of it, WiredTiger is in memory.  Lines are
 * `name value unit`, then ratios to ours.  Only engines whose headers were
 * installed are there. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "store/btree_check.h"
#include "store/frames.h"

#if __has_include(<lmdb.h>)
#include <lmdb.h>
#define HAVE_LMDB
#endif
#if __has_include(<rocksdb/c.h>)
#include <rocksdb/c.h>
#define HAVE_ROCKSDB
#endif
#if __has_include(<wiredtiger.h>)
#include <wiredtiger.h>
#define HAVE_WIREDTIGER
#endif

#define KEY_LEN 16
#define VAL_LEN 64
#define BATCH 16
#define ROUNDS_MAX 15

enum test {
    SEQ_INSERT,
    RAND_INSERT,
    RAND_BATCH,
    GET,
    GET_BATCH,
    SCAN,
    STEP,
    TESTS
};
static const char *const test_names[TESTS] = {
    "seq_insert", "rand_insert", "rand_batch", "get",
    "get_batch",  "scan",        "step"};

/* A peer without a way of its own is compared by this one. */
static const enum test stands_for[TESTS] = {
    SEQ_INSERT, RAND_INSERT, RAND_INSERT, GET, GET, SCAN, SCAN};

typedef uint8_t key_bytes[KEY_LEN];

struct load {
    size_t n;
    key_bytes *sorted, *insert, *lookup; /* three orders of the same keys */
    uint8_t val[VAL_LEN];
};

struct engine {
    const char *name;
    void (*open)(const char *dir);
    void (*insert)(const key_bytes *keys, const struct load *l, bool sorted);
    uint64_t (*get)(const struct load *l);
    uint64_t (*scan)(void);
    void (*close)(void);
    /* may be NULL */
    void (*insert_batch)(const key_bytes *keys, const struct load *l);
    uint64_t (*get_batch)(const struct load *l);
    uint64_t (*step)(void);
};

static void
must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench_engine: %s failed\n", what);
    exit(1);
}

/* --- ours ---------------------------------------------------------------- */

static struct frames *nq_frames;
static struct btree nq_tree;

static void
nqdb_open(const char *dir)
{
    struct frames_opts opts = {.page_size = 8192, .pool_bytes = 1ull << 30};

    (void)dir;
    if (nq_frames == NULL)
        must(frames_open(&opts, &nq_frames) == NQ_OK, "frames_open");
    nq_tree = (struct btree){.fr = nq_frames};
}

static void
nqdb_insert(const key_bytes *keys, const struct load *l, bool sorted)
{
    struct record rec = {.val = slice_of(l->val, VAL_LEN)};

    (void)sorted;
    for (size_t i = 0; i < l->n; i++)
        must(btree_put(&nq_tree, slice_of(keys[i], KEY_LEN), &rec, NULL) ==
                 NQ_OK,
             "btree_put");
}

static unsigned
probe_batch(struct probe *probes, struct finger *fingers, const key_bytes *keys,
            size_t left)
{
    unsigned n = (unsigned)nq_min(left, (size_t)BATCH);

    for (unsigned j = 0; j < n; j++)
        probes[j] = (struct probe){&nq_tree, slice_of(keys[j], KEY_LEN),
                                   &fingers[j], false};
    must(btree_probe(probes, n) == 0, "btree_probe");
    return n;
}

static void
nqdb_insert_batch(const key_bytes *keys, const struct load *l)
{
    struct record rec = {.val = slice_of(l->val, VAL_LEN)};
    struct finger fingers[BATCH];
    struct probe probes[BATCH];
    unsigned n;

    for (size_t i = 0; i < l->n; i += n) {
        n = probe_batch(probes, fingers, keys + i, l->n - i);
        for (unsigned j = 0; j < n; j++)
            must(btree_put(&nq_tree, probes[j].key, &rec, &fingers[j]) == NQ_OK,
                 "btree_put");
    }
}

static uint64_t
nqdb_get(const struct load *l)
{
    uint64_t sum = 0;
    struct record rec;

    for (size_t i = 0; i < l->n; i++) {
        must(btree_get(&nq_tree, slice_of(l->lookup[i], KEY_LEN), &rec, NULL) ==
                 NQ_OK,
             "btree_get");
        sum += rec.val.p[0];
    }
    return sum;
}

static uint64_t
nqdb_get_batch(const struct load *l)
{
    struct finger fingers[BATCH];
    struct probe probes[BATCH];
    uint64_t sum = 0;
    struct record rec;
    unsigned n;

    for (size_t i = 0; i < l->n; i += n) {
        n = probe_batch(probes, fingers, (const key_bytes *)l->lookup + i,
                        l->n - i);
        for (unsigned j = 0; j < n; j++) {
            must(btree_get(&nq_tree, probes[j].key, &rec, &fingers[j]) == NQ_OK,
                 "btree_get");
            sum += rec.val.p[0];
        }
    }
    return sum;
}

static bool
nqdb_visit(void *arg, struct slice key, const struct record *rec)
{
    uint64_t *sum = arg;

    *sum += key.p[KEY_LEN - 1] + rec->val.p[0];
    return true;
}

static uint64_t
nqdb_scan(void)
{
    struct btree_cursor c;
    uint64_t sum = 0;

    btree_cursor_init(&c, &nq_tree);
    must(btree_first(&c) == NQ_OK, "btree_first");
    must(btree_visit(&c, nqdb_visit, &sum) == NQ_OK, "btree_visit");
    btree_cursor_fini(&c);
    return sum;
}

static uint64_t
nqdb_step(void)
{
    struct btree_cursor c;
    uint64_t sum = 0;
    struct record rec;

    btree_cursor_init(&c, &nq_tree);
    must(btree_first(&c) == NQ_OK, "btree_first");
    while (c.valid) {
        must(btree_record(&c, &rec) == NQ_OK, "btree_record");
        sum += c.key.p[KEY_LEN - 1] + rec.val.p[0];
        must(btree_next(&c) == NQ_OK, "btree_next");
    }
    btree_cursor_fini(&c);
    return sum;
}

/* The pool stays, as it does in a server; its pages are all free again. */
static void
nqdb_close(void)
{
    uint64_t removed;
    bool done = false;

    while (!done)
        must(btree_del_range(&nq_tree, slice_of(NULL, 0), NULL, 1000, NULL,
                             NULL, &removed, &done) == NQ_OK,
             "btree_del_range");
}

/* --- LMDB ---------------------------------------------------------------- */

#ifdef HAVE_LMDB
static MDB_env *lmdb_env;
static MDB_dbi lmdb_dbi;

static void
lmdb_open(const char *dir)
{
    MDB_txn *txn;

    must(mdb_env_create(&lmdb_env) == 0, "mdb_env_create");
    must(mdb_env_set_mapsize(lmdb_env, (size_t)4 << 30) == 0, "map size");
    must(mdb_env_open(lmdb_env, dir,
                      MDB_WRITEMAP | MDB_NOSYNC | MDB_NOMETASYNC | MDB_NOLOCK,
                      0600) == 0,
         "mdb_env_open");
    must(mdb_txn_begin(lmdb_env, NULL, 0, &txn) == 0, "mdb_txn_begin");
    must(mdb_dbi_open(txn, NULL, 0, &lmdb_dbi) == 0, "mdb_dbi_open");
    must(mdb_txn_commit(txn) == 0, "mdb_txn_commit");
}

static void
lmdb_insert(const key_bytes *keys, const struct load *l, bool sorted)
{
    MDB_txn *txn;
    MDB_val k, v;

    must(mdb_txn_begin(lmdb_env, NULL, 0, &txn) == 0, "mdb_txn_begin");
    for (size_t i = 0; i < l->n; i++) {
        k = (MDB_val){KEY_LEN, (void *)(uintptr_t)keys[i]};
        v = (MDB_val){VAL_LEN, (void *)(uintptr_t)l->val};
        must(mdb_put(txn, lmdb_dbi, &k, &v, sorted ? MDB_APPEND : 0) == 0,
             "mdb_put");
    }
    must(mdb_txn_commit(txn) == 0, "mdb_txn_commit");
}

static uint64_t
lmdb_get(const struct load *l)
{
    uint64_t sum = 0;
    MDB_txn *txn;
    MDB_val k, v;

    must(mdb_txn_begin(lmdb_env, NULL, MDB_RDONLY, &txn) == 0, "mdb_txn_begin");
    for (size_t i = 0; i < l->n; i++) {
        k = (MDB_val){KEY_LEN, l->lookup[i]};
        must(mdb_get(txn, lmdb_dbi, &k, &v) == 0, "mdb_get");
        sum += *(uint8_t *)v.mv_data;
    }
    mdb_txn_abort(txn);
    return sum;
}

static uint64_t
lmdb_scan(void)
{
    uint64_t sum = 0;
    MDB_cursor *c;
    MDB_txn *txn;
    MDB_val k, v;

    must(mdb_txn_begin(lmdb_env, NULL, MDB_RDONLY, &txn) == 0, "mdb_txn_begin");
    must(mdb_cursor_open(txn, lmdb_dbi, &c) == 0, "mdb_cursor_open");
    while (mdb_cursor_get(c, &k, &v, MDB_NEXT) == 0)
        sum += ((uint8_t *)k.mv_data)[KEY_LEN - 1] + *(uint8_t *)v.mv_data;
    mdb_cursor_close(c);
    mdb_txn_abort(txn);
    return sum;
}

static void
lmdb_close(void)
{
    mdb_env_close(lmdb_env);
}
#endif

/* --- RocksDB ------------------------------------------------------------- */

#ifdef HAVE_ROCKSDB
static rocksdb_t *rocks;
static rocksdb_options_t *rocks_opts;
static rocksdb_block_based_table_options_t *rocks_table;
static rocksdb_cache_t *rocks_cache;

static void
rocks_open(const char *dir)
{
    char *err = NULL;

    rocks_opts = rocksdb_options_create();
    rocks_table = rocksdb_block_based_options_create();
    rocks_cache = rocksdb_cache_create_lru((size_t)1 << 30);
    rocksdb_block_based_options_set_block_cache(rocks_table, rocks_cache);
    rocksdb_block_based_options_set_filter_policy(
        rocks_table, rocksdb_filterpolicy_create_bloom(10));
    rocksdb_options_set_block_based_table_factory(rocks_opts, rocks_table);
    rocksdb_options_set_create_if_missing(rocks_opts, 1);
    rocksdb_options_set_compression(rocks_opts, rocksdb_no_compression);
    rocks = rocksdb_open(rocks_opts, dir, &err);
    must(err == NULL, "rocksdb_open");
}

static void
rocks_insert(const key_bytes *keys, const struct load *l, bool sorted)
{
    rocksdb_writeoptions_t *w = rocksdb_writeoptions_create();
    char *err = NULL;

    (void)sorted;
    rocksdb_writeoptions_disable_WAL(w, 1);
    for (size_t i = 0; i < l->n; i++)
        rocksdb_put(rocks, w, (const char *)keys[i], KEY_LEN,
                    (const char *)l->val, VAL_LEN, &err);
    must(err == NULL, "rocksdb_put");
    rocksdb_writeoptions_destroy(w);
}

static uint64_t
rocks_get(const struct load *l)
{
    rocksdb_readoptions_t *r = rocksdb_readoptions_create();
    uint64_t sum = 0;
    char *err = NULL;

    for (size_t i = 0; i < l->n; i++) {
        rocksdb_pinnableslice_t *v = rocksdb_get_pinned(
            rocks, r, (const char *)l->lookup[i], KEY_LEN, &err);
        size_t len;

        must(v != NULL, "rocksdb_get");
        sum += (uint8_t)rocksdb_pinnableslice_value(v, &len)[0];
        rocksdb_pinnableslice_destroy(v);
    }
    rocksdb_readoptions_destroy(r);
    return sum;
}

static uint64_t
rocks_scan(void)
{
    rocksdb_readoptions_t *r = rocksdb_readoptions_create();
    rocksdb_iterator_t *it = rocksdb_create_iterator(rocks, r);
    uint64_t sum = 0;
    size_t len;

    for (rocksdb_iter_seek_to_first(it); rocksdb_iter_valid(it);
         rocksdb_iter_next(it))
        sum += (uint64_t)(uint8_t)rocksdb_iter_key(it, &len)[KEY_LEN - 1] +
               (uint8_t)rocksdb_iter_value(it, &len)[0];
    rocksdb_iter_destroy(it);
    rocksdb_readoptions_destroy(r);
    return sum;
}

static void
rocks_close(void)
{
    rocksdb_close(rocks);
    rocksdb_options_destroy(rocks_opts);
    rocksdb_block_based_options_destroy(rocks_table);
    rocksdb_cache_destroy(rocks_cache);
}
#endif

/* --- WiredTiger ---------------------------------------------------------- */

#ifdef HAVE_WIREDTIGER
static WT_CONNECTION *wt_conn;
static WT_CURSOR *wt_cursor;

static void
wt_open(const char *dir)
{
    WT_SESSION *s;

    must(wiredtiger_open(dir, NULL, "create,in_memory,cache_size=2GB",
                         &wt_conn) == 0,
         "wiredtiger_open");
    must(wt_conn->open_session(wt_conn, NULL, NULL, &s) == 0, "open_session");
    must(s->create(s, "table:t", "key_format=u,value_format=u") == 0, "create");
    must(s->open_cursor(s, "table:t", NULL, "overwrite", &wt_cursor) == 0,
         "open_cursor");
}

static void
wt_insert(const key_bytes *keys, const struct load *l, bool sorted)
{
    WT_ITEM k = {.size = KEY_LEN}, v = {.data = l->val, .size = VAL_LEN};

    (void)sorted;
    for (size_t i = 0; i < l->n; i++) {
        k.data = keys[i];
        wt_cursor->set_key(wt_cursor, &k);
        wt_cursor->set_value(wt_cursor, &v);
        must(wt_cursor->insert(wt_cursor) == 0, "insert");
    }
}

static uint64_t
wt_get(const struct load *l)
{
    WT_ITEM k = {.size = KEY_LEN}, v;
    uint64_t sum = 0;

    for (size_t i = 0; i < l->n; i++) {
        k.data = l->lookup[i];
        wt_cursor->set_key(wt_cursor, &k);
        must(wt_cursor->search(wt_cursor) == 0, "search");
        must(wt_cursor->get_value(wt_cursor, &v) == 0, "get_value");
        sum += *(const uint8_t *)v.data;
    }
    return sum;
}

static uint64_t
wt_scan(void)
{
    uint64_t sum = 0;
    WT_ITEM k, v;

    must(wt_cursor->reset(wt_cursor) == 0, "reset");
    while (wt_cursor->next(wt_cursor) == 0) {
        must(wt_cursor->get_key(wt_cursor, &k) == 0 &&
                 wt_cursor->get_value(wt_cursor, &v) == 0,
             "get");
        sum +=
            ((const uint8_t *)k.data)[KEY_LEN - 1] + *(const uint8_t *)v.data;
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
    {"nqdb", nqdb_open, nqdb_insert, nqdb_get, nqdb_scan, nqdb_close,
     nqdb_insert_batch, nqdb_get_batch, nqdb_step},
#ifdef HAVE_LMDB
    {"lmdb", lmdb_open, lmdb_insert, lmdb_get, lmdb_scan, lmdb_close, NULL,
     NULL, NULL},
#endif
#ifdef HAVE_ROCKSDB
    {"rocksdb", rocks_open, rocks_insert, rocks_get, rocks_scan, rocks_close,
     NULL, NULL, NULL},
#endif
#ifdef HAVE_WIREDTIGER
    {"wiredtiger", wt_open, wt_insert, wt_get, wt_scan, wt_close, NULL, NULL,
     NULL},
#endif
};

#define ENGINES nq_countof(engines)

/* --- the runs ------------------------------------------------------------ */

static int
compare_keys(const void *a, const void *b)
{
    return memcmp(a, b, KEY_LEN);
}

static void
shuffle(struct rng *r, key_bytes *keys, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = rng_below(r, i);
        key_bytes t;

        memcpy(t, keys[i - 1], KEY_LEN);
        memcpy(keys[i - 1], keys[j], KEY_LEN);
        memcpy(keys[j], t, KEY_LEN);
    }
}

static void
make_load(struct load *l, size_t n, bool text)
{
    struct rng r;

    rng_seed(&r, 20);
    l->n = n;
    l->sorted = nq_malloc(n * KEY_LEN);
    for (size_t i = 0; i < n; i++) {
        char key[32];
        uint64_t x[2] = {rng_next(&r), rng_next(&r)};

        snprintf(key, sizeof key, "key:%012zu", i);
        memcpy(l->sorted[i], text ? (void *)key : (void *)x, KEY_LEN);
    }
    qsort(l->sorted, n, KEY_LEN, compare_keys);
    l->insert = nq_memdup(l->sorted, n * KEY_LEN);
    shuffle(&r, l->insert, n);
    l->lookup = nq_memdup(l->sorted, n * KEY_LEN);
    shuffle(&r, l->lookup, n);
    for (size_t i = 0; i < VAL_LEN; i++)
        l->val[i] = (uint8_t)rng_next(&r);
}

static double
cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void
make_dir(char *dir, size_t size)
{
    const char *base = getenv("TMPDIR");

    snprintf(dir, size, "%s/bench_engine.XXXXXX", base != NULL ? base : "/tmp");
    must(mkdtemp(dir) != NULL, "mkdtemp");
}

static void
remove_dir(const char *dir)
{
    char cmd[300];

    snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
    must(system(cmd) == 0, "rm");
}

static void
print_fill(void)
{
    struct btree_stats st;

    must(btree_check(&nq_tree, &st, NULL, NULL) == NQ_OK, "btree_check");
    printf("nqdb.pages_after_rand_insert %.1f MB\n",
           (double)st.page_bytes / 1e6);
    printf("nqdb.fill_after_rand_insert %.3f share\n",
           (double)st.used_bytes / (double)st.page_bytes);
}

/* Opens an empty store, times the insert, keeps it open. */
static double
time_load(const struct engine *e, const struct load *l, enum test t, char *dir,
          size_t dir_size)
{
    double start;

    make_dir(dir, dir_size);
    e->open(dir);
    start = cpu_ns();
    if (t == SEQ_INSERT)
        e->insert((const key_bytes *)l->sorted, l, true);
    else if (t == RAND_BATCH)
        e->insert_batch((const key_bytes *)l->insert, l);
    else
        e->insert((const key_bytes *)l->insert, l, false);
    return (cpu_ns() - start) / (double)l->n;
}

static double
time_reads(const struct engine *e, const struct load *l, enum test t,
           uint64_t *sum)
{
    double start = cpu_ns();

    if (t == GET)
        *sum = e->get(l);
    else if (t == GET_BATCH)
        *sum = e->get_batch(l);
    else if (t == SCAN)
        *sum = e->scan();
    else
        *sum = e->step();
    return (cpu_ns() - start) / (double)l->n;
}

static bool
has_test(const struct engine *e, enum test t)
{
    return stands_for[t] == t || (t == RAND_BATCH && e->insert_batch != NULL) ||
           (t == GET_BATCH && e->get_batch != NULL) ||
           (t == STEP && e->step != NULL);
}

/* One engine's round: ns per record of each test. */
static void
run_round(const struct engine *e, const struct load *l, bool first,
          double ns[TESTS])
{
    static const enum test loads[] = {SEQ_INSERT, RAND_BATCH, RAND_INSERT};
    uint64_t sum[TESTS];
    char dir[256];

    for (size_t i = 0; i < nq_countof(loads); i++) {
        if (!has_test(e, loads[i]))
            continue;
        ns[loads[i]] = time_load(e, l, loads[i], dir, sizeof dir);
        if (loads[i] == RAND_INSERT)
            break; /* the reads want it open */
        e->close();
        remove_dir(dir);
    }
    for (int t = GET; t < TESTS; t++)
        if (has_test(e, (enum test)t)) {
            ns[t] = time_reads(e, l, (enum test)t, &sum[t]);
            must(sum[t] == sum[stands_for[t]], "the same sum");
        }
    if (first && e->open == nqdb_open)
        print_fill();
    e->close();
    remove_dir(dir);
}

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void
report(double ns[ENGINES][TESTS][ROUNDS_MAX], size_t rounds, const bool *is_on)
{
    double median[ENGINES][TESTS];

    for (size_t e = 0; e < ENGINES; e++)
        for (int t = 0; t < TESTS && is_on[e]; t++) {
            if (!has_test(&engines[e], (enum test)t))
                continue;
            qsort(ns[e][t], rounds, sizeof(double), compare_doubles);
            median[e][t] = ns[e][t][rounds / 2];
            printf("%s.%s %.1f ns\n", engines[e].name, test_names[t],
                   median[e][t]);
        }
    for (size_t e = 1; e < ENGINES; e++)
        for (int t = 0; t < TESTS && is_on[e]; t++)
            printf("%s/nqdb.%s %.2f ratio\n", engines[e].name, test_names[t],
                   median[e][stands_for[t]] / median[0][t]);
}

int
main(int argc, char **argv)
{
    static double ns[ENGINES][TESTS][ROUNDS_MAX];
    size_t n = 1000000, rounds = 3;
    const char *names = NULL;
    bool is_on[ENGINES], text = true;
    struct load l;
    int opt;

    while ((opt = getopt(argc, argv, "n:r:k:e:")) != -1) {
        if (opt == 'n')
            n = strtoul(optarg, NULL, 10);
        else if (opt == 'r')
            rounds = strtoul(optarg, NULL, 10);
        else if (opt == 'k')
            text = strcmp(optarg, "text") == 0;
        else if (opt == 'e')
            names = optarg;
        else
            return 2;
    }
    rounds = nq_min(nq_max(rounds, (size_t)1), (size_t)ROUNDS_MAX);
    make_load(&l, n, text);
    for (size_t e = 0; e < ENGINES; e++)
        is_on[e] =
            e == 0 || names == NULL || strstr(names, engines[e].name) != NULL;
    for (size_t r = 0; r < rounds; r++)
        for (size_t e = 0; e < ENGINES; e++) {
            double one[TESTS];

            if (!is_on[e])
                continue;
            run_round(&engines[e], &l, r == 0, one);
            for (int t = 0; t < TESTS; t++)
                ns[e][t][r] = one[t];
        }
    report(ns, rounds, is_on);
    return 0;
}
