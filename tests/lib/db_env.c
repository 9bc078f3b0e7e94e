/* tests/lib/db_env.c - see db_env.h. */
#include "db_env.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "db/db_check.h"
#include "db/db_int.h"
#include "os/clock.h"
#include "os/dir.h"
#include "os/pool.h"
#include "store/page.h"
#include "store/frames.h"

#define WORKERS 2
#define SLICE_US 500

static void
before_cut(void *arg)
{
    struct env *e = arg;

    if (e->db != NULL)
        db_write_catalog(e->db);
}

static void
on_event(void *arg, uint32_t dbi, enum db_event_class class, const char *event,
         struct slice key)
{
    struct env *e = arg;

    if (e->events != NULL)
        buf_printf(e->events, "%c %s %u %.*s\n", (char)class, event, dbi,
                   (int)key.len, (const char *)key.p);
}

static void
on_touch(void *arg, uint32_t dbi, struct slice key)
{
    struct env *e = arg;

    nq_unused(dbi);
    nq_unused(key);
    e->touches++;
}

static void
on_release(void *arg)
{
    struct env *e = arg;

    e->releases++;
}

/* --- life ---------------------------------------------------------------- */

nq_rc
env_try_open(struct env *e)
{
    struct store_opts so = {
        .is_page = page_verify,
        .dir = e->dir,
        .page_size = e->page_size,
        .pool_bytes = e->pool_bytes,
        .pack.enabled = true,
        .master_key = e->master_key,
        .wal = {.segment_size = 1 << 20,
                .buffer_size = 1 << 20,
                .fsync = e->fsync,
                .fsync_interval_ms = 1000},
        .dirty_soft = 0.6,
        .dirty_hard = 0.8,
        .before_cut = before_cut,
        .arg = e,
    };
    struct db_opts dbo = {.databases = e->databases,
                          .on_event = on_event,
                          .on_touch = on_touch,
                          .on_release = on_release,
                          .arg = e};
    nq_rc rc;

    assert_int_equal(pool_open(WORKERS, NULL, NULL, &e->pool), NQ_OK);
    if ((rc = store_open(&so, e->pool, &e->st)) != NQ_OK) {
        pool_close(e->pool);
        return rc;
    }
    dbo.store = e->st;
    if ((rc = db_open(&dbo, &e->db)) == NQ_OK)
        while ((rc = db_replay(e->db, SLICE_US)) == NQ_AGAIN)
            (void)pool_drain(e->pool);
    if (rc != NQ_OK)
        env_crash_dead(e);
    return rc;
}

void
env_open(struct env *e)
{
    assert_int_equal(env_try_open(e), NQ_OK);
}

void
env_init_closed(struct env *e, uint32_t page_size, uint64_t pool_bytes)
{
    log_set_level(LOG_ERROR);
    *e = (struct env){.page_size = page_size,
                      .pool_bytes = pool_bytes,
                      .databases = 4,
                      .fsync = WAL_FSYNC_NEVER};
    snprintf(e->dir, sizeof e->dir, "/tmp/nqdb-test-XXXXXX");
    assert_non_null(mkdtemp(e->dir));
}

void
env_init(struct env *e, uint32_t page_size, uint64_t pool_bytes)
{
    env_init_closed(e, page_size, pool_bytes);
    env_open(e);
}

static void
drop_handles(struct env *e)
{
    pool_close(e->pool);
    e->pool = NULL;
    e->st = NULL;
    e->db = NULL;
}

void
env_close(struct env *e, bool checkpoint)
{
    env_turn(e);
    while (pool_pending(e->pool) > 0)
        (void)pool_wait(e->pool);
    db_write_catalog(e->db); /* for the last checkpoint, as the server does */
    db_close(e->db);
    e->db = NULL;
    assert_int_equal(store_close(e->st, checkpoint), NQ_OK);
    drop_handles(e);
}

void
env_crash(struct env *e)
{
    struct wal *w = store_wal(e->st);
    lsn end;

    store_turn(e->st);
    end = wal_position(w);
    while (wal_settled(w) < end)
        usleep(50);
    env_crash_dead(e);
}

void
env_crash_dead(struct env *e)
{
    while (pool_pending(e->pool) > 0)
        (void)pool_wait(e->pool);
    db_close(e->db);
    store_abandon(e->st);
    drop_handles(e);
}

static void
remove_file(const char *name, void *arg)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", (const char *)arg, name);
    (void)unlink(path);
}

void
env_fini(struct env *e)
{
    char wal[128];

    if (e->db != NULL)
        env_close(e, false);
    snprintf(wal, sizeof wal, "%s/wal", e->dir);
    (void)!dir_each(wal, remove_file, wal);
    (void)!dir_each(e->dir, remove_file, e->dir);
    (void)rmdir(wal);
    (void)rmdir(e->dir);
    arena_fini(&e->arena);
}

/* --- turns --------------------------------------------------------------- */

void
env_turn(struct env *e)
{
    (void)db_background(e->db, SLICE_US);
    store_turn(e->st);
    (void)pool_drain(e->pool);
}

static void
on_checkpoint(void *arg, nq_rc rc)
{
    assert_int_equal(rc, NQ_OK);
    *(bool *)arg = true;
}

void
env_checkpoint(struct env *e)
{
    bool done = false;

    store_checkpoint(e->st, on_checkpoint, &done);
    while (!done) {
        store_turn(e->st);
        if (!done && pool_pending(e->pool) > 0)
            (void)pool_wait(e->pool);
    }
}

void
env_settle(struct env *e)
{
    struct db_stats stats;
    bool more;

    do {
        more = db_background(e->db, SLICE_US);
        store_turn(e->st);
        if (pool_pending(e->pool) > 0)
            (void)pool_wait(e->pool);
        db_get_stats(e->db, &stats);
    } while (more || stats.lazyfree_pending > 0);
}

static void
on_ready(struct frames_wait *w)
{
    nq_container(w, struct env, wait)->is_ready = true;
}

void
env_begin(struct env *e)
{
    db_set_now(e->db, clock_wall_ms());
    db_gate_reset(e->db);
}

bool
env_again(struct env *e, nq_rc rc)
{
    struct frames *fr = store_frames(e->st);

    if (rc == NQ_MISS) {
        e->misses++;
        assert_false(e->db->has_effects);
        if (frames_wanted(fr) > 0) {
            e->is_ready = false;
            e->wait.ready = on_ready;
            frames_fetch(fr, &e->wait);
            while (!e->is_ready) {
                (void)pool_wait(e->pool);
                store_turn(e->st);
            }
            assert_int_equal(e->wait.rc, NQ_OK);
        }
        env_begin(e);
        return true;
    }
    frames_fetch_end(fr, &e->wait);
    frames_forget_wanted(fr);
    frames_make_room(fr);
    return false;
}

/* --- commands ------------------------------------------------------------ */

static nq_rc
set_once(struct env *e, uint32_t dbi, struct slice key, struct slice val,
         uint64_t expire_ms)
{
    struct entry old = {0};
    nq_rc rc = db_find_write(e->db, dbi, key, &old);

    if (rc != NQ_OK && rc != NQ_NOTFOUND)
        return rc;
    return string_set(e->db, dbi, key, &old, rc == NQ_OK, val, expire_ms,
                      "set");
}

nq_rc
env_set(struct env *e, uint32_t dbi, struct slice key, struct slice val,
        uint64_t expire_ms)
{
    return env_run(e, set_once(e, dbi, key, val, expire_ms));
}

static nq_rc
get_once(struct env *e, uint32_t dbi, struct slice key, struct slice *val)
{
    struct entry en = {0};
    nq_rc rc = db_find(e->db, dbi, key, &en);

    arena_reset(&e->arena);
    if (rc == NQ_OK)
        rc = string_bytes(e->db, &en, &e->arena, val);
    if (rc == NQ_OK) /* the page may be evicted at the end of the command */
        *val = slice_of(arena_memdup(&e->arena, val->p, val->len), val->len);
    return rc;
}

nq_rc
env_get(struct env *e, uint32_t dbi, struct slice key, struct slice *val)
{
    return env_run(e, get_once(e, dbi, key, val));
}

static nq_rc
write_once(struct env *e, uint32_t dbi, struct slice key, uint64_t off,
           struct slice bytes)
{
    struct entry old = {0};
    uint64_t len;
    nq_rc rc = db_find_write(e->db, dbi, key, &old);

    if (rc != NQ_OK && rc != NQ_NOTFOUND)
        return rc;
    return string_write(e->db, dbi, key, &old, rc == NQ_OK, off, bytes,
                        "setrange", &len);
}

nq_rc
env_write(struct env *e, uint32_t dbi, struct slice key, uint64_t off,
          struct slice bytes)
{
    return env_run(e, write_once(e, dbi, key, off, bytes));
}

static nq_rc
set_int_once(struct env *e, uint32_t dbi, struct slice key, int64_t v)
{
    struct entry old = {0};
    nq_rc rc = db_find_write(e->db, dbi, key, &old);

    if (rc != NQ_OK && rc != NQ_NOTFOUND)
        return rc;
    return string_set_int(e->db, dbi, key, &old, rc == NQ_OK, v, "incrby");
}

nq_rc
env_set_int(struct env *e, uint32_t dbi, struct slice key, int64_t v)
{
    return env_run(e, set_int_once(e, dbi, key, v));
}

static nq_rc
expire_once(struct env *e, uint32_t dbi, struct slice key, uint64_t expire_ms)
{
    struct entry en = {0};
    nq_rc rc = db_find_write(e->db, dbi, key, &en);

    return rc == NQ_OK ? db_set_expire(e->db, dbi, key, &en, expire_ms) : rc;
}

nq_rc
env_expire(struct env *e, uint32_t dbi, struct slice key, uint64_t expire_ms)
{
    return env_run(e, expire_once(e, dbi, key, expire_ms));
}

static nq_rc
find_once(struct env *e, uint32_t dbi, struct slice key, struct entry *en)
{
    *en = (struct entry){0};
    return db_find(e->db, dbi, key, en);
}

struct record
env_record(struct env *e, uint32_t dbi, struct slice key)
{
    struct entry en;
    nq_rc rc = env_run(e, find_once(e, dbi, key, &en));

    return rc == NQ_OK ? en.rec : (struct record){.page_lsn = 0};
}

const char *
env_encoding(struct env *e, uint32_t dbi, struct slice key)
{
    struct entry en;

    assert_int_equal(env_run(e, find_once(e, dbi, key, &en)), NQ_OK);
    return string_encoding(&en);
}

/* --- checks -------------------------------------------------------------- */

static void
print_finding(void *arg, const struct db_finding *f)
{
    nq_unused(arg);
    print_error("%s\n", f->text);
}

void
env_check(struct env *e)
{
    struct db_check_opts opts = {.report = print_finding};
    struct db_check_stats stats;

    assert_int_equal(db_check(e->db, &opts, &stats), NQ_OK);
}
