/* server/server.c - the life of the server.
 *
 *   starting   limits, data directory, sockets
 *   loading    clients are answered LOADING while the log is replayed
 *   serving
 *   ending     no new clients; a last checkpoint beside those still here
 *   ended      log synced, replies written, store closed
 *
 * Parts are opened bottom up and closed top down:
 *
 *   engine -> loop -> pool -> store -> db -> sockets
 *
 * the loop before the pool and the store, because both wake it. */
#include "server/server.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/bases.h"
#include "db/db.h"
#include "net/loop.h"
#include "os/clock.h"
#include "os/dir.h"
#include "os/pool.h"
#include "os/process.h"
#include "os/thread.h"
#include "server/config_int.h"
#include "server/master_key.h"
#include "server/server_int.h"
#include "server/version.h"
#include "store/page.h"
#include "store/frames.h"
#include "store/store.h"

#define FILES_BESIDE_CLIENTS 64

#ifdef NQ_DEBUG
#define BUILD_NAME "debug"
#else
#define BUILD_NAME "release"
#endif

struct server *server;

static const struct sm_def life_sm[] = {
    [LIFE_STARTING] = {"starting", SM(LIFE_LOADING) | SM(LIFE_ENDED)},
    [LIFE_LOADING] = {"loading",
                      SM(LIFE_SERVING) | SM(LIFE_ENDING) | SM(LIFE_ENDED)},
    [LIFE_SERVING] = {"serving", SM(LIFE_ENDING) | SM(LIFE_ENDED)},
    [LIFE_ENDING] = {"ending", SM(LIFE_ENDED)},
    [LIFE_ENDED] = {"ended", 0},
};

/* --- starting
 * ------------------------------------------------------------------ */

void
server_resolve_pool(struct config *c)
{
    uint64_t half = (uint64_t)config_int(c, CONF_MEMORY_LIMIT) / 2;

    if (config_int(c, CONF_POOL) != 0)
        return;
    half = nq_max(half, (uint64_t)16 << 20);
    /* Whole megabytes read better. */
    config_resolve_int(c, CONF_POOL, (int64_t)(half >> 20 << 20));
}

/* Memory that pages take is missing for all else: clients, the log, the
 * kernel's own cache. */
static void
warn_of_big_pool(const struct config *c)
{
    uint64_t limit = process_memory_limit();
    uint64_t pool = (uint64_t)config_int(c, CONF_POOL);

    if (limit > 0 && pool > limit / 5 * 4)
        log_warn("storage.buffer_pool_size is %llu MiB, more than 80 %% of the "
                 "%llu MiB that this process may use; 40 to 60 %% leave room "
                 "for clients and the system",
                 (unsigned long long)(pool >> 20),
                 (unsigned long long)(limit >> 20));
}

/* What "auto" comes to on this machine. */
static void
resolve_settings(struct config *c)
{
    unsigned cores = process_cores();

    if (config_int(c, CONF_MEMORY_LIMIT) == 0)
        config_resolve_int(c, CONF_MEMORY_LIMIT,
                           (int64_t)process_memory_limit());
    server_resolve_pool(c);
    if (config_int(c, CONF_WORKERS) == 0)
        config_resolve_int(c, CONF_WORKERS, nq_max(2, (int)cores - 1));
}

static void
resolve_paths(struct config *c)
{
    char absolute[PATH_MAX];

    if (realpath(config_text(c, CONF_DIR), absolute) != NULL)
        config_resolve_text(c, CONF_DIR, absolute);
}

/* Fewer clients are better than failing when the last one comes. */
static void
raise_files(struct config *c)
{
    uint64_t clients = (uint64_t)config_int(c, CONF_MAXCLIENTS);
    uint64_t want = clients + FILES_BESIDE_CLIENTS;
    uint64_t got = process_raise_files(want);

    if (got >= want)
        return;
    clients = got > 2 * FILES_BESIDE_CLIENTS ? got - FILES_BESIDE_CLIENTS
                                             : FILES_BESIDE_CLIENTS;
    config_resolve_int(c, CONF_MAXCLIENTS, (int64_t)clients);
    log_warn("the system allows %llu open files: system.max_connections is "
             "%llu now (ulimit -n)",
             (unsigned long long)got, (unsigned long long)clients);
}

static uint64_t
power_of_two(uint64_t v)
{
    uint64_t p = 1 << 20;

    while (p < v)
        p *= 2;
    return p;
}

static void
wake_loop(void *arg)
{
    struct server *s = arg;

    loop_wake(s->loop);
}

static void
before_cut(void *arg)
{
    struct server *s = arg;

    if (s->db == NULL)
        return; /* written already, see finish() */
    db_write_catalog(s->db);
    checkpoints_cut(s);
}

/* *key is NULL if data is not to be encrypted, else SEAL_KEY secret bytes. */
static nq_rc
read_master_key(const struct config *c, uint8_t **key)
{
    struct master_key_source src;
    char why[MASTER_KEY_WHY];
    nq_rc rc;

    *key = NULL;
    master_key_source_of(c, &src);
    if (!config_int(c, CONF_ENCRYPT)) {
        if (master_key_is_named(&src))
            log_warn("a master key is named, but security.encryption.enabled "
                     "is no: nothing is encrypted");
        return NQ_OK;
    }
    *key = seal_secret_new(SEAL_KEY);
    rc = master_key_read(&src, *key, why);
    if (rc != NQ_OK)
        log_error("security.encryption: %s", why);
    return rc;
}

static nq_rc
open_store(struct server *s)
{
    const struct config *c = s->config;
    uint8_t *master;
    nq_rc rc;
    const char *wal_dir = config_text(c, CONF_WAL_DIR);
    double dirty = config_real(c, CONF_DIRTY);
    struct store_opts o = {
        .is_page = page_verify,
        .dir = config_text(c, CONF_DIR),
        .wal_dir = wal_dir[0] == '\0' ? NULL : wal_dir,
        .pool_bytes = (uint64_t)config_int(c, CONF_POOL),
        .pack = hooks_pack_opts(c),
        .force_log = s->cut_log,
        .max_bytes = (uint64_t)config_int(c, CONF_MAX_SIZE),
        .dirty_soft = dirty * 0.75,
        .dirty_hard = dirty,
        .policy = (enum policy_kind)config_int(c, CONF_POLICY),
        .before_cut = before_cut,
        .arg = s,
        .wal = {.segment_size = 16 << 20,
                .buffer_size =
                    power_of_two((uint64_t)config_int(c, CONF_WAL_BUFFER)),
                .fsync = (enum wal_fsync)config_int(c, CONF_FSYNC),
                .fsync_interval_ms =
                    (uint64_t)config_int(c, CONF_FSYNC_INTERVAL) / 1000,
                .group_delay_us = (uint64_t)config_int(c, CONF_GROUP_DELAY),
                .wake = wake_loop,
                .arg = s},
    };

    /* A size that nobody asked for does not contradict an old database. */
    if (!config_is_default(c, CONF_PAGE_SIZE))
        o.page_size = (uint32_t)config_int(c, CONF_PAGE_SIZE);
    rc = read_master_key(c, &master);
    o.master_key = master;
    if (rc == NQ_OK)
        rc = store_open(&o, s->pool, &s->store);
    seal_secret_free(master, SEAL_KEY);
    return rc;
}

static nq_rc
open_data(struct server *s)
{
    const char *dir = config_text(s->config, CONF_DIR);
    struct db_opts o = {
        .databases = (uint32_t)config_int(s->config, CONF_DATABASES),
        .on_touch = engine_on_touch,
        .on_event = engine_on_event,
        .on_change = engine_on_change,
        .on_release = engine_on_release,
        .arg = s->engine,
    };
    nq_rc rc = dir_create(dir);

    if (rc != NQ_OK)
        goto fail;
    resolve_paths(s->config);
    warn_of_big_pool(s->config);
    dir = config_text(s->config, CONF_DIR);
    if ((rc = open_store(s)) != NQ_OK)
        goto fail;
    o.store = s->store;
    if ((rc = db_open(&o, &s->db)) != NQ_OK)
        goto fail;
    engine_attach(s->engine, s->db, s->store);
    config_resolve_int(s->config, CONF_PAGE_SIZE, store_page_size(s->store));
    return NQ_OK;

fail:
    log_error("data directory %s: %s", dir, rc_text(rc));
    return rc;
}

static nq_rc
open_sockets(struct server *s)
{
    const struct config *c = s->config;
    const char *unix_path = config_text(c, CONF_UNIX_SOCKET);
    struct slice left = slice_str(config_text(c, CONF_HOST)), word;
    char names[16][256];
    const char *binds[16];
    struct listen_opts o = {
        .binds = binds,
        .port = (uint16_t)config_int(c, CONF_PORT),
        .unix_path = unix_path[0] == '\0' ? NULL : unix_path,
        .unix_perm = (unsigned)config_int(c, CONF_UNIX_PERM),
        .backlog = (int)config_int(c, CONF_BACKLOG),
        .keepalive_s = (uint32_t)(config_int(c, CONF_KEEPALIVE) / 1000000),
        .nodelay = true,
    };

    while (o.nbinds < 16 && (word = config_word(&left)).len > 0) {
        snprintf(names[o.nbinds], sizeof names[0], "%.*s", (int)word.len,
                 (const char *)word.p);
        binds[o.nbinds] = names[o.nbinds];
        o.nbinds++;
    }
    return loop_listen(s->loop, &o, &s->port);
}

static void
write_pidfile(const struct config *c)
{
    const char *path = config_text(c, CONF_PIDFILE);
    FILE *f;

    if (path[0] == '\0')
        return;
    f = fopen(path, "we");
    if (f == NULL || fprintf(f, "%d\n", (int)getpid()) < 0)
        log_warn("process id cannot be written to %s", path);
    if (f != NULL)
        fclose(f);
}

static void
log_banner(const struct server *s)
{
    const struct config *c = s->config;

    log_notice("nqdb-server %s (%s build), process %d", NQDB_VERSION,
               BUILD_NAME, (int)getpid());
    log_notice(
        "data in %s: pages of %u bytes, pool of %lld MiB, log synced %s",
        config_text(c, CONF_DIR), store_page_size(s->store),
        (long long)(config_int(c, CONF_POOL) >> 20),
        config_int(c, CONF_FSYNC) == WAL_FSYNC_ALWAYS     ? "before each reply"
        : config_int(c, CONF_FSYNC) == WAL_FSYNC_PERIODIC ? "periodically"
                                                          : "never");
}

/* Everything up to the loop; on failure what is open is closed by finish(). */
static nq_rc
choose_simd(const struct config *c, char err[CONFIG_ERR])
{
    /* The choices of the setting are in the order of the enum. */
    enum bases_variant v = (enum bases_variant)config_int(c, CONF_SIMD);
    nq_rc rc;

    if (v == BASES_AUTO && config_int(c, CONF_SIMD_DETECT) == 0)
        v = BASES_SCALAR;
    rc = bases_choose(v, err, CONFIG_ERR);
    if (rc == NQ_OK)
        log_debug("nucleotides are packed by %s code",
                  bases_variant_name(bases_variant()));
    return rc;
}

static int
start(struct server *s)
{
    struct loop_opts lo;
    char err[CONFIG_ERR] = "";

    if (hooks_apply(s, HOOK_LOG, err) != NQ_OK) {
        fprintf(stderr, "nqdb-server: %s\n", err);
        return EXIT_CONFIG;
    }
    config_log_notes(s->config);
    if (choose_simd(s->config, err) != NQ_OK) {
        log_error("compression.simd.simd_implementation: %s", err);
        return EXIT_CONFIG;
    }
    resolve_settings(s->config);
    raise_files(s->config);
    s->engine = engine_new();
    maintenance_init(s);
    s->engine->version = NQDB_VERSION;
    s->engine->is_loading = true;
    hooks_fill_host(&s->engine->host);
    lo = server_loop_opts(s);
    if (loop_new(&lo, &s->loop) != NQ_OK ||
        pool_open((unsigned)config_int(s->config, CONF_WORKERS), wake_loop, s,
                  &s->pool) != NQ_OK)
        return EXIT_CONFIG;
    if (open_data(s) != NQ_OK)
        return EXIT_DATA;
    if (hooks_apply(s, HOOK_ALL & ~(unsigned)HOOK_LOG, err) != NQ_OK) {
        log_error("settings: %s", err);
        return EXIT_CONFIG;
    }
    if (open_sockets(s) != NQ_OK)
        return EXIT_CONFIG;
    write_pidfile(s->config);
    log_banner(s);
    return EXIT_OK;
}

void
server_serve(struct server *s)
{
    uint64_t keys = 0, n;
    uint64_t now = clock_mono_us();
    bool was = frames_set_blocking(store_frames(s->store), true);

    sm_move(&s->life, LIFE_SERVING);
    s->engine->is_loading = false;
    s->replay_us = now - s->opened_us;
    s->ckpt_done_us = now;
    for (uint32_t i = 0; i < db_count(s->db); i++)
        keys += db_size(s->db, i, &n) == NQ_OK ? n : 0;
    (void)frames_set_blocking(store_frames(s->store), was);
    log_notice("%llu keys, %llu bytes of log replayed in %.3f s",
               (unsigned long long)keys, (unsigned long long)s->replayed_bytes,
               (double)s->replay_us / 1e6);
    if (s->port != 0)
        log_notice("Ready to accept connections on port %u", s->port);
    else
        log_notice("Ready to accept connections");
    maintenance_resume(s);
}

/* --- ending
 * --------------------------------------------------------------------- */

void
server_fail(struct server *s, int code)
{
    s->exit_code = code;
    s->save_at_end = false;
    loop_stop(s->loop);
}

static void
on_last_checkpoint(void *arg, nq_rc rc)
{
    struct server *s = arg;

    if (rc != NQ_OK)
        log_warn("the last checkpoint failed (%s): the log has all since the "
                 "one before",
                 rc_text(rc));
    loop_stop(s->loop);
}

void
server_end(struct server *s, bool save, bool now)
{
    bool was_serving = s->life.state == LIFE_SERVING;

    if (s->life.state == LIFE_ENDING) {
        log_notice("ending at once: the log has what the checkpoint would "
                   "have had");
        s->save_at_end = false;
        loop_stop(s->loop);
        return;
    }
    log_notice("ending%s", save && was_serving ? ", with a checkpoint" : "");
    sm_move(&s->life, LIFE_ENDING);
    s->save_at_end = save && was_serving;
    s->engine->is_shutting_down = true;
    loop_stop_accepting(s->loop);
    if (s->save_at_end && !now)
        store_checkpoint(s->store, on_last_checkpoint, s);
    else
        loop_stop(s->loop);
}

/* Replies wait for the log: let it get there. */
static void
settle_log(struct server *s, uint64_t timeout_us)
{
    uint64_t until = clock_mono_us() + timeout_us;
    struct wal *w = store_wal(s->store);

    store_turn(s->store);
    wal_sync_soon(w);
    while (wal_durable(w) < wal_position(w) && wal_writable(w) == NQ_OK &&
           clock_mono_us() < until) {
        pool_drain(s->pool);
        thread_sleep_us(500);
    }
}

/* Closes whatever start() opened, top down. */
static void
finish(struct server *s, bool was_ready)
{
    uint64_t timeout_us =
        (uint64_t)config_int(s->config, CONF_SHUTDOWN_TIMEOUT);

    if (was_ready)
        settle_log(s, nq_max(timeout_us, (uint64_t)1000000));
    if (s->loop != NULL)
        loop_drain(s->loop, (unsigned)(timeout_us / 1000));
    if (s->engine != NULL)
        engine_detach(s->engine);
    if (s->db != NULL) {
        before_cut(s); /* for the checkpoint of store_close() */
        db_close(s->db);
        s->db = NULL;
    }
    if (s->store != NULL &&
        store_close(s->store, was_ready && s->save_at_end) != NQ_OK) {
        log_error("the data directory could not be closed cleanly");
        s->exit_code = s->exit_code == EXIT_OK ? EXIT_DATA : s->exit_code;
    }
    if (s->pool != NULL)
        pool_close(s->pool);
    if (s->loop != NULL)
        loop_free(s->loop);
    if (s->engine != NULL)
        engine_free(s->engine);
    if (config_text(s->config, CONF_PIDFILE)[0] != '\0')
        (void)!dir_remove_file(config_text(s->config, CONF_PIDFILE));
}

int
server_run(struct config *c, bool cut_log)
{
    struct server s = {.config = c, .cut_log = cut_log};
    bool was_ready;

    nq_assert(server == NULL);
    server = &s;
    sm_init(&s.life, "server", life_sm, LIFE_STARTING);
    s.opened_us = clock_mono_us();
    s.exit_code = start(&s);
    if (s.exit_code == EXIT_OK) {
        sm_move(&s.life, LIFE_LOADING);
        loop_wake(s.loop); /* the first turn begins the replay */
        loop_run(s.loop);
    }
    was_ready = s.store != NULL && s.db != NULL && !db_is_replaying(s.db);
    finish(&s, was_ready);
    sm_move(&s.life, LIFE_ENDED);
    if (s.exit_code == EXIT_OK)
        log_notice("bye");
    server = NULL;
    return s.exit_code;
}
