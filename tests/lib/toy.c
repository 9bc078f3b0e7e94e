/* tests/lib/toy.c - slots on a store, and their model. */
#include "toy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "os/dir.h"
#include "os/thread.h"

enum { EFFECT_WRITE = 7 };

/* What write number `n` does: sets a slot to a value, as a page (len 0) or a
 * chunk, or empties it (value 0). */
struct write {
    unsigned slot;
    uint64_t value;
    uint32_t len;
};

static struct write
nth_write(uint64_t seed, uint64_t n)
{
    struct rng r;
    struct write w;

    rng_seed(&r, seed + n * 1000003);
    w.slot = (unsigned)rng_below(&r, TOY_SLOTS);
    w.value = rng_below(&r, 8) == 0 ? 0 : rng_next(&r) | 1;
    w.len = w.slot % 10 == 0 ? 1 + (uint32_t)rng_below(&r, 20000) : 0;
    return w;
}

/* --- opening and closing -------------------------------------------------- */

uint64_t
toy_env_seed(void)
{
    const char *env = getenv("SEED");
    uint64_t seed = env != NULL ? strtoull(env, NULL, 0) : rng_seed_from_os();

    printf("SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

void
toy_init(struct toy *t, uint64_t seed)
{
    memset(t, 0, sizeof *t);
    snprintf(t->dir, sizeof t->dir, "/tmp/nq-toy-XXXXXX");
    assert_non_null(mkdtemp(t->dir));
    t->seed = seed;
    t->opts = (struct store_opts){
        .dir = t->dir,
        .page_size = 4096,
        .pool_bytes = 8 << 20,
        .pack.enabled = true,
        .wal = {.segment_size = 1 << 20,
                .buffer_size = 1 << 20,
                .fsync = WAL_FSYNC_ALWAYS,
                .fsync_interval_ms = 1000},
    };
}

static void
remove_name(const char *name, void *arg)
{
    char path[400];

    snprintf(path, sizeof path, "%s/%s", (const char *)arg, name);
    (void)!dir_remove_file(path);
}

void
toy_fini(struct toy *t)
{
    char wal[80];

    snprintf(wal, sizeof wal, "%s/wal", t->dir);
    (void)!dir_each(wal, remove_name, wal);
    (void)rmdir(wal);
    (void)!dir_each(t->dir, remove_name, t->dir);
    (void)rmdir(t->dir);
}

static void
before_cut(void *arg)
{
    struct toy *t = arg;
    uint8_t bytes[sizeof t->id + 8];

    memcpy(bytes, &t->writes, 8);
    memcpy(bytes + 8, t->id, sizeof t->id);
    store_catalog_put(t->st, slice_lit("toy"), slice_of(bytes, sizeof bytes));
}

static void
load(struct toy *t)
{
    uint8_t bytes[sizeof t->id + 8];
    size_t len;

    t->writes = 0;
    memset(t->id, 0, sizeof t->id);
    if (store_catalog_get(t->st, slice_lit("toy"), bytes, sizeof bytes, &len) !=
        NQ_OK)
        return;
    assert_int_equal(len, sizeof bytes);
    memcpy(&t->writes, bytes, 8);
    memcpy(t->id, bytes + 8, sizeof t->id);
}

static nq_rc apply(struct toy *t, struct write w);

static nq_rc
replay(struct toy *t)
{
    struct wal_record r;
    nq_rc rc;

    (void)frames_set_blocking(t->fr, true);
    while ((rc = store_replay(t->st, &r)) == NQ_OK) {
        assert_int_equal(r.effect, EFFECT_WRITE);
        assert_int_equal(r.db, (uint32_t)t->writes);
        if ((rc = apply(t, nth_write(t->seed, t->writes))) != NQ_OK)
            return rc;
        t->writes++;
        frames_make_room(t->fr);
        while (frames_is_throttling(t->fr) && pool_wait(t->pool) > 0)
            frames_make_room(t->fr);
    }
    (void)frames_set_blocking(t->fr, false);
    return rc == NQ_NOTFOUND ? store_ready(t->st) : rc;
}

nq_rc
toy_open(struct toy *t)
{
    nq_rc rc;

    t->opts.before_cut = before_cut;
    t->opts.arg = t;
    assert_int_equal(pool_open(2, NULL, NULL, &t->pool), NQ_OK);
    if ((rc = store_open(&t->opts, t->pool, &t->st)) != NQ_OK) {
        pool_close(t->pool);
        return rc;
    }
    t->fr = store_frames(t->st);
    load(t);
    if ((rc = replay(t)) != NQ_OK)
        toy_abandon(t);
    return rc;
}

nq_rc
toy_close(struct toy *t, bool checkpoint)
{
    nq_rc rc = store_close(t->st, checkpoint);

    pool_close(t->pool);
    return rc;
}

void
toy_abandon(struct toy *t)
{
    store_abandon(t->st);
    pool_close(t->pool);
}

void
toy_turn(struct toy *t)
{
    (void)pool_drain(t->pool);
    store_turn(t->st);
}

void
toy_settle(struct toy *t)
{
    toy_turn(t);
    while (wal_settled(store_wal(t->st)) <= t->last)
        thread_sleep_us(100);
}

static void
on_done(void *arg, nq_rc rc)
{
    *(int *)arg = (int)rc;
}

nq_rc
toy_checkpoint(struct toy *t)
{
    int rc = -1;

    store_checkpoint(t->st, on_done, &rc);
    while (rc < 0) {
        toy_turn(t);
        if (pool_pending(t->pool) > 0)
            (void)pool_wait(t->pool);
        else
            thread_sleep_us(100);
    }
    return (nq_rc)rc;
}

/* --- misses --------------------------------------------------------------- */

struct parked {
    struct frames_wait wait;
    bool is_ready;
};

static void
on_ready(struct frames_wait *w)
{
    nq_container(w, struct parked, wait)->is_ready = true;
}

/* Waits for what was noted; the pages stay held until park_end(). */
static nq_rc
park(struct toy *t, struct parked *p)
{
    t->misses++;
    p->is_ready = false;
    p->wait.ready = on_ready;
    frames_fetch(t->fr, &p->wait);
    assert_false(p->is_ready);
    while (!p->is_ready) {
        frames_run_ready(t->fr);
        frames_make_room(t->fr);
        if (!p->is_ready && pool_pending(t->pool) > 0)
            (void)pool_wait(t->pool);
    }
    return p->wait.rc;
}

/* Until `id` is in memory, or an error. */
static nq_rc
bring(struct toy *t, struct parked *p, pgno id, bool is_chunk,
      struct slice *out)
{
    nq_rc rc;

    do {
        const uint8_t *page;

        if (is_chunk) {
            rc = frames_chunk(t->fr, id, out);
        } else {
            rc = frames_page(t->fr, id, &page);
            *out = slice_of(page, t->fr->page_size);
        }
        if (rc != NQ_MISS)
            return rc;
    } while ((rc = park(t, p)) == NQ_OK);
    return rc;
}

/* --- slots ---------------------------------------------------------------- */

static void
fill(uint8_t *p, size_t len, uint64_t value)
{
    uint64_t v = value;

    for (size_t i = 0; i < len; i++) {
        if (i % 64 == 0)
            v = v * 6364136223846793005u + 1442695040888963407u;
        p[i] = (uint8_t)(v >> (i % 8 * 8));
    }
}

static bool
is_chunk_slot(unsigned slot)
{
    return slot % 10 == 0;
}

static void
put_chunk(struct toy *t, struct write w)
{
    uint8_t *p;

    if (t->id[w.slot] == 0)
        t->id[w.slot] = frames_chunk_new(t->fr, w.len + 8, &p);
    else
        p = frames_chunk_mut(t->fr, t->id[w.slot], w.len + 8, 0);
    memcpy(p, &w.value, 8);
    fill(p + 8, w.len, w.value);
}

static void
put_page(struct toy *t, struct write w)
{
    uint8_t *p;

    if (t->id[w.slot] == 0)
        t->id[w.slot] = frames_new(t->fr, PAGE_LEAF, &p);
    else
        p = frames_mut(t->fr, t->id[w.slot]);
    memcpy(p, &w.value, 8);
    fill(p + 64, t->fr->page_size - 64, w.value);
}

static nq_rc
apply(struct toy *t, struct write w)
{
    struct parked p = {.is_ready = false};
    struct slice old;
    nq_rc rc = NQ_OK;

    if (w.value == 0) {
        if (t->id[w.slot] != 0)
            frames_free(t->fr, t->id[w.slot]);
        t->id[w.slot] = 0;
        return NQ_OK;
    }
    if (t->id[w.slot] != 0)
        rc = bring(t, &p, t->id[w.slot], is_chunk_slot(w.slot), &old);
    if (rc == NQ_OK && is_chunk_slot(w.slot))
        put_chunk(t, w);
    else if (rc == NQ_OK)
        put_page(t, w);
    frames_fetch_end(t->fr, &p.wait);
    return rc;
}

nq_rc
toy_write(struct toy *t)
{
    struct write w = nth_write(t->seed, t->writes);
    lsn at = wal_position(store_wal(t->st));
    nq_rc rc;

    if ((rc = wal_writable(store_wal(t->st))) != NQ_OK)
        return rc;
    /* Effects and log record belong together: nothing may come between. */
    if ((rc = apply(t, w)) != NQ_OK)
        return rc;
    rc = wal_append(store_wal(t->st), EFFECT_WRITE, (uint32_t)t->writes,
                    slice_lit("k"), NULL, 0);
    if (rc != NQ_OK)
        return rc;
    t->last = at;
    t->writes++;
    return NQ_OK;
}

nq_rc
toy_read(struct toy *t, unsigned slot, uint64_t *value)
{
    size_t skip = is_chunk_slot(slot) ? 8 : 64;
    struct parked p = {.is_ready = false};
    struct slice s;
    uint8_t *want;
    nq_rc rc;

    *value = 0;
    if (t->id[slot] == 0)
        return NQ_NOTFOUND;
    rc = bring(t, &p, t->id[slot], is_chunk_slot(slot), &s);
    if (rc == NQ_OK) {
        memcpy(value, s.p, 8);
        want = nq_malloc(s.len);
        fill(want, s.len - skip, *value);
        assert_memory_equal(s.p + skip, want, s.len - skip);
        nq_free(want);
    }
    frames_fetch_end(t->fr, &p.wait);
    return rc;
}

static void
on_finding(void *arg, const char *text)
{
    (void)arg;
    print_error("finding: %s\n", text);
}

/* Every page in use is a slot's, every sector is accounted for. */
static void
check_space(struct toy *t, bool read_extents)
{
    uint32_t n = t->fr->ids;
    uint8_t *seen = nq_calloc(1, n / 8 + 1);
    struct store_check_opts opts = {.seen = seen,
                                    .seen_ids = n,
                                    .read_extents = read_extents,
                                    .report = on_finding};

    for (unsigned i = 0; i < TOY_SLOTS; i++)
        seen[t->id[i] / 8] |= (uint8_t)(1u << (t->id[i] % 8));
    assert_int_equal(store_check(t->st, &opts), NQ_OK);
    nq_free(seen);
}

void
toy_check(struct toy *t)
{
    uint64_t model[TOY_SLOTS] = {0}, value;

    for (uint64_t n = 0; n < t->writes; n++) {
        struct write w = nth_write(t->seed, n);

        model[w.slot] = w.value;
    }
    for (unsigned i = 0; i < TOY_SLOTS; i++) {
        nq_rc rc = toy_read(t, i, &value);

        assert_int_equal(rc, model[i] == 0 ? NQ_NOTFOUND : NQ_OK);
        assert_true(value == model[i]);
        frames_make_room(t->fr);
    }
    check_space(t, true);
}
