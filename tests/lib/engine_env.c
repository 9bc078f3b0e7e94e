/* tests/lib/engine_env.c - see engine_env.h. */
#include "engine_env.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/mem.h"
#include "os/dir.h"
#include "os/pool.h"
#include "store/page.h"
#include "store/frames.h"
#include "store/store.h"

#define TURNS_MAX 500000 /* many of them only wait for a worker */

/* --- the engine ------------------------------------------------------------
 */

static void
before_cut(void *arg)
{
    struct engine_env *env = arg;

    if (env->db != NULL)
        db_write_catalog(env->db);
}

nq_rc
engine_env_try_open(struct engine_env *env)
{
    struct store_opts so = {
        .is_page = page_verify,
        .dir = env->dir,
        .page_size = env->page_size != 0 ? env->page_size : 4096,
        .pool_bytes = env->pool_bytes,
        .wal = {.segment_size =
                    env->segment_size != 0 ? env->segment_size : 1 << 20,
                .buffer_size = 1 << 20,
                .fsync = env->fsync,
                .fsync_interval_ms = 20},
        .dirty_soft = 0.6,
        .dirty_hard = 0.8,
        .before_cut = before_cut,
        .arg = env};
    struct db_opts dbo = {.databases = 16,
                          .on_touch = engine_on_touch,
                          .on_event = engine_on_event,
                          .on_change = engine_on_change,
                          .on_release = engine_on_release,
                          .arg = env->e};
    nq_rc rc;

    if (env->tune != NULL)
        env->tune(env->arg, &so);
    assert_int_equal(pool_open(2, NULL, NULL, &env->pool), NQ_OK);
    if ((rc = store_open(&so, env->pool, &env->store)) != NQ_OK) {
        pool_close(env->pool);
        return rc;
    }
    dbo.store = env->store;
    if ((rc = db_open(&dbo, &env->db)) == NQ_OK)
        while ((rc = db_replay(env->db, 500)) == NQ_AGAIN)
            (void)pool_drain(env->pool);
    if (rc != NQ_OK) {
        engine_env_crash(env);
        return rc;
    }
    engine_attach(env->e, env->db, env->store);
    if (env->on_open != NULL)
        env->on_open(env->arg, env);
    return NQ_OK;
}

static void
open_all(struct engine_env *env)
{
    assert_int_equal(engine_env_try_open(env), NQ_OK);
}

void
engine_env_crash(struct engine_env *env)
{
    engine_detach(env->e);
    while (pool_pending(env->pool) > 0)
        (void)pool_wait(env->pool);
    db_close(env->db);
    env->db = NULL;
    store_abandon(env->store);
    pool_close(env->pool);
}

nq_rc
engine_env_close(struct engine_env *env)
{
    nq_rc rc;

    engine_detach(env->e);
    store_turn(env->store);
    while (pool_pending(env->pool) > 0)
        (void)pool_wait(env->pool);
    db_write_catalog(env->db); /* for the last checkpoint */
    db_close(env->db);
    env->db = NULL;
    rc = store_close(env->store, true);
    pool_close(env->pool);
    return rc;
}

static void
close_all(struct engine_env *env)
{
    assert_int_equal(engine_env_close(env), NQ_OK);
}

void
engine_env_init_closed(struct engine_env *env, uint64_t pool_bytes)
{
    const char *tmp = getenv("TMPDIR");

    *env = (struct engine_env){.pool_bytes = pool_bytes,
                               .fsync = WAL_FSYNC_PERIODIC};
    snprintf(env->dir, sizeof env->dir, "%.40s/nqdb-test-XXXXXX",
             tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(env->dir));
    env->e = engine_new();
}

void
engine_env_init(struct engine_env *env, uint64_t pool_bytes)
{
    engine_env_init_closed(env, pool_bytes);
    open_all(env);
}

static void
remove_file(const char *name, void *arg)
{
    char path[512];

    snprintf(path, sizeof path, "%s/%s", (const char *)arg, name);
    assert_int_equal(unlink(path), 0);
}

static void
remove_dir(const char *path)
{
    char copy[256];

    snprintf(copy, sizeof copy, "%s", path);
    assert_int_equal(dir_each(copy, remove_file, copy), NQ_OK);
    assert_int_equal(rmdir(copy), 0);
}

void
engine_env_fini(struct engine_env *env)
{
    char wal[80];

    if (env->db != NULL)
        close_all(env);
    engine_free(env->e);
    snprintf(wal, sizeof wal, "%s/wal", env->dir);
    remove_dir(wal);
    remove_dir(env->dir);
}

void
engine_env_turn(struct engine_env *env)
{
    (void)pool_drain(env->pool);
    (void)engine_turn(env->e);
    store_turn(env->store);
}

void
engine_env_cool(struct engine_env *env)
{
    close_all(env);
    open_all(env);
}

/* --- clients ---------------------------------------------------------------
 */

static void
on_wake(struct session *s)
{
    nq_assert(s->magic == SESSION_MAGIC);
}

static void
on_close(struct session *s)
{
    struct fake_client *c = s->conn;

    c->is_closed = true;
}

/* Runs what is kept, in order, one call a batch. */
static void
on_resume(struct session *s)
{
    struct fake_client *c = s->conn;
    unsigned n = 0;

    c->env->resumes++;
    while (n < c->nkept) {
        struct call call = {
            .session = s, .argv = c->kept[n].argv, .argc = c->kept[n].argc};

        dispatch_batch(c->env->e, &call, 1);
        if (call.result == CALL_KEPT)
            break;
        nq_free(c->kept[n++].bytes);
    }
    c->nkept -= n;
    memmove(c->kept, c->kept + n, c->nkept * sizeof c->kept[0]);
}

static void
on_input_info(const struct session *s, size_t *used, size_t *alloc, int *fd)
{
    (void)s;
    *used = *alloc = 0;
    *fd = -1;
}

static const struct session_ops fake_ops = {.wake = on_wake,
                                            .resume = on_resume,
                                            .close = on_close,
                                            .input_info = on_input_info};

void
fake_open(struct engine_env *env, struct fake_client *c)
{
    *c = (struct fake_client){.env = env};
    c->s.conn = c;
    c->s.ops = &fake_ops;
    c->s.addr = "127.0.0.1:1";
    c->s.laddr = "127.0.0.1:2";
    session_open(env->e, &c->s);
}

void
fake_close(struct fake_client *c)
{
    session_close(&c->s);
    while (c->nkept > 0)
        nq_free(c->kept[--c->nkept].bytes);
    buf_fini(&c->text);
}

static void
parse(const char *line, struct fake_request *rq)
{
    char *p = rq->bytes = nq_strdup(line);

    rq->argc = 0;
    for (;;) {
        char stop = ' ', *begin;

        while (*p == ' ')
            p++;
        if (*p == '\0')
            return;
        if (*p == '\'') {
            stop = '\'';
            p++;
        }
        begin = p;
        while (*p != '\0' && *p != stop)
            p++;
        nq_assert(rq->argc < FAKE_ARGS);
        rq->argv[rq->argc++] = slice_of(begin, (size_t)(p - begin));
        if (*p != '\0')
            p++;
    }
}

static void
keep(struct fake_client *c, const struct fake_request *rq)
{
    nq_assert(c->nkept < FAKE_KEPT);
    c->kept[c->nkept++] = *rq;
}

void
fake_batch(struct fake_client **clients, const char *const *lines, unsigned n)
{
    struct fake_request rqs[BATCH_MAX];
    struct call calls[BATCH_MAX];

    for (unsigned i = 0; i < n; i++) {
        parse(lines[i], &rqs[i]);
        calls[i] = (struct call){.session = &clients[i]->s,
                                 .argv = rqs[i].argv,
                                 .argc = rqs[i].argc};
    }
    dispatch_batch(clients[0]->env->e, calls, n);
    for (unsigned i = 0; i < n; i++)
        if (calls[i].result == CALL_KEPT)
            keep(clients[i], &rqs[i]);
        else
            nq_free(rqs[i].bytes);
}

void
fake_send(struct fake_client *c, const char *line)
{
    if (c->nkept > 0) {
        struct fake_request rq;

        parse(line, &rq);
        keep(c, &rq);
        return;
    }
    fake_batch(&c, &line, 1);
}

static struct slice
read_up_to(struct fake_client *c, lsn settled)
{
    struct iovec iov[16];
    int n;

    buf_clear(&c->text);
    pressure_room(&c->s);
    while ((n = outq_peek(&c->s.out, settled, iov, 16)) > 0) {
        size_t sum = 0;

        for (int i = 0; i < n; i++) {
            buf_put(&c->text, iov[i].iov_base, iov[i].iov_len);
            sum += iov[i].iov_len;
        }
        outq_consume(&c->s.out, sum);
        pressure_room(&c->s);
    }
    return buf_slice(&c->text);
}

struct slice
fake_read_raw(struct fake_client *c)
{
    return read_up_to(c, UINT64_MAX);
}

struct slice
fake_read_settled(struct fake_client *c)
{
    return read_up_to(c, wal_settled(store_wal(c->env->store)));
}

const char *
fake_read(struct fake_client *c)
{
    size_t to = 0;

    (void)fake_read_raw(c);
    for (size_t i = 0; i < c->text.len; i++) {
        uint8_t byte = c->text.p[i];

        if (byte != '\n')
            c->text.p[to++] = byte == '\r' ? '|' : byte;
    }
    c->text.len = to;
    buf_put_u8(&c->text, 0);
    return (const char *)c->text.p;
}

void
fake_finish(struct fake_client *c)
{
    for (unsigned i = 0; c->nkept > 0 && !c->is_closed; i++) {
        assert_true(i < TURNS_MAX);
        engine_env_turn(c->env);
        usleep(20);
    }
}

const char *
fake_ask(struct fake_client *c, const char *line)
{
    fake_send(c, line);
    fake_finish(c);
    return fake_read(c);
}
