/* server/config_hooks.c - settings in force: copies values from the table to
 * the parts that obey them, at start and after CONFIG SET, and answers the
 * engine's host calls about settings.
 *
 * Each hook may run at any time and any number of times; one that cannot do
 * what it is told changes nothing and says why. */
#include <errno.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/changes.h"
#include "cmd/grover.h"
#include "cmd/jobs.h"
#include "cmd/notify.h"
#include "cmd/result_cache.h"
#include "server/config_int.h"
#include "server/server_int.h"
#include "store/frames.h"
#include "store/store.h"

static uint32_t
seconds(const struct config *c, enum config_id id)
{
    /* What is under a second is still not "never". */
    return (uint32_t)((config_int(c, id) + 999999) / 1000000);
}

static void
set_output_limits(struct engine_limits *limits, const char *text)
{
    struct slice left = slice_str(text);
    int64_t v[3];

    /* The text is canonical: three classes in order, numbers only. */
    for (unsigned class = 0; class < CLASSES; class ++) {
        (void)config_word(&left);
        for (unsigned i = 0; i < 3; i++) {
            if (!slice_to_i64(config_word(&left), &v[i]))
                v[i] = 0;
        }
        limits->output[class].hard = (uint64_t)v[0];
        limits->output[class].soft = (uint64_t)v[1];
        limits->output[class].soft_s = (uint32_t)v[2];
    }
}

static uint64_t
milliseconds(const struct config *c, enum config_id id)
{
    return ((uint64_t)config_int(c, id) + 999) / 1000;
}

static void
apply_push_limits(const struct config *c, struct engine_limits *l)
{
    l->queue = (struct queue_limits){
        .is_on = config_int(c, CONF_BACKPRESSURE) != 0,
        .messages = (uint32_t)config_int(c, CONF_QUEUE_MESSAGES),
        .bytes = (uint64_t)config_int(c, CONF_QUEUE_BYTES),
        .broadcast = (uint32_t)config_int(c, CONF_QUEUE_BROADCAST),
        .drop_policy = (uint8_t)config_int(c, CONF_DROP_POLICY),
    };
    l->history = (struct history_limits){
        .messages = (uint32_t)config_int(c, CONF_HISTORY_MESSAGES),
        .bytes = (uint64_t)config_int(c, CONF_HISTORY_BYTES),
        .memory = (uint64_t)config_int(c, CONF_HISTORY_MEMORY),
        .age_ms = milliseconds(c, CONF_HISTORY_AGE),
    };
    l->push = (struct push_limits){
        .most = (uint32_t)config_int(c, CONF_PUSH_MOST),
        .rate = (uint32_t)config_int(c, CONF_PUSH_RATE),
        .has_heartbeat = config_int(c, CONF_HEARTBEAT) != 0,
        .nodelay = config_int(c, CONF_PUSH_NODELAY) != 0,
        .interval_ms = milliseconds(c, CONF_HEARTBEAT_INTERVAL),
        .timeout_ms = milliseconds(c, CONF_HEARTBEAT_TIMEOUT),
        .idle_ms = milliseconds(c, CONF_PUSH_IDLE),
        .send_buffer = (uint32_t)config_int(c, CONF_PUSH_SEND_BUFFER),
        .recv_buffer = (uint32_t)config_int(c, CONF_PUSH_RECV_BUFFER),
    };
}

static bool
is_bound_to_all(const struct config *c)
{
    struct slice left = slice_str(config_text(c, CONF_HOST)), word;

    while ((word = config_word(&left)).len > 0) {
        if (word.p[0] == '-')
            word = slice_of(word.p + 1, word.len - 1);
        if (slice_is(word, "*") || slice_is(word, "0.0.0.0") ||
            slice_is(word, "::") || slice_is(word, "::*"))
            return true;
    }
    return false;
}

static void
apply_quantum(struct server *s)
{
    const struct config *c = s->config;

    s->engine->grover->limits = (struct grover_limits){
        .min_search_space = (uint64_t)config_int(c, CONF_MIN_SEARCH_SPACE),
        .threshold = (uint64_t)config_int(c, CONF_GROVER_THRESHOLD),
        .max_iterations = (uint64_t)config_int(c, CONF_MAX_ITERATIONS),
        .max_qubits = (uint32_t)config_int(c, CONF_MAX_QUBITS),
        .state_bytes = (uint64_t)config_int(c, CONF_QUANTUM_STATE),
        .all_bytes = (uint64_t)config_int(c, CONF_QUANTUM_MEMORY),
        .falls_back = config_int(c, CONF_QUANTUM_FALLBACK) != 0,
    };
}

static void
apply_feeds(struct server *s)
{
    const struct config *c = s->config;
    struct changes_opts o = {
        .memory = (uint64_t)config_int(c, CONF_FEEDS_MEMORY),
        .retention = (uint64_t)config_int(c, CONF_FEEDS_RETENTION),
        .named_retention = (uint64_t)config_int(c, CONF_FEEDS_NAMED),
        .linger_ms = (uint64_t)config_int(c, CONF_FEEDS_LINGER) / 1000,
        .max_image = (uint64_t)config_int(c, CONF_FEEDS_IMAGE),
    };

    changes_set(s->engine->changes, &o);
}

static void
apply_limits(struct server *s)
{
    const struct config *c = s->config;
    struct engine_limits *l = &s->engine->limits;
    const char *password = config_text(c, CONF_PASSWORD);

    nq_free(l->requirepass);
    l->requirepass = password[0] == '\0' ? NULL : nq_strdup(password);
    apply_feeds(s);
    jobs_set_rate(s->engine->jobs, (uint64_t)config_int(c, CONF_MAINT_RATE));
    l->maxclients = (uint32_t)config_int(c, CONF_MAXCLIENTS);
    l->maxmemory = (uint64_t)config_int(c, CONF_POOL);
    l->proto_max_bulk = (uint64_t)config_int(c, CONF_MAX_BULK);
    l->query_buffer_limit = (uint64_t)config_int(c, CONF_QUERY_BUFFER);
    set_output_limits(l, config_text(c, CONF_OUTPUT_LIMITS));
    l->timeout_s = seconds(c, CONF_TIMEOUT);
    l->max_transactions = (uint32_t)config_int(c, CONF_MAX_TRANSACTIONS);
    l->cursors = (struct cursor_limits){
        .most = (uint32_t)config_int(c, CONF_MAX_CURSORS),
        .per_client = (uint32_t)config_int(c, CONF_CLIENT_CURSORS),
        .idle_s = seconds(c, CONF_CURSOR_TIMEOUT),
    };
    result_cache_set_bytes(s->engine->results,
                           (uint64_t)config_int(c, CONF_RESULT_CACHE));
    l->transaction_timeout_s = seconds(c, CONF_TRANSACTION_TIMEOUT);
    /* The text was checked when it was set. */
    if (!notify_parse(slice_str(config_text(c, CONF_NOTIFY)), &l->notify))
        l->notify = 0;
    l->slowlog_us =
        config_int(c, CONF_SLOWLOG_ON) ? config_int(c, CONF_SLOWLOG) : -1;
    l->slowlog_max = (uint32_t)config_int(c, CONF_SLOWLOG_LEN);
    l->latency_ms = (uint32_t)(config_int(c, CONF_LATENCY) / 1000);
    l->protected_mode = config_int(c, CONF_PROTECTED) != 0;
    l->enable_debug = config_int(c, CONF_DEBUG_COMMAND) != 0;
    l->bound_to_all = is_bound_to_all(c);
    apply_push_limits(c, l);
}

static void
apply_types(struct server *s)
{
    const struct config *c = s->config;
    struct db_limits *l = db_limits(s->db);

    l->hash_max_listpack_entries = (uint32_t)config_int(c, CONF_HASH_ENTRIES);
    l->hash_max_listpack_value = (uint32_t)config_int(c, CONF_HASH_VALUE);
    l->set_max_intset_entries = (uint32_t)config_int(c, CONF_SET_INTSET);
    l->set_max_listpack_entries = (uint32_t)config_int(c, CONF_SET_ENTRIES);
    l->set_max_listpack_value = (uint32_t)config_int(c, CONF_SET_VALUE);
    l->zset_max_listpack_entries = (uint32_t)config_int(c, CONF_ZSET_ENTRIES);
    l->zset_max_listpack_value = (uint32_t)config_int(c, CONF_ZSET_VALUE);
    l->list_max_listpack_size = config_int(c, CONF_LIST_SIZE);
    l->stream_node_max_bytes = (uint64_t)config_int(c, CONF_STREAM_BYTES);
    l->stream_node_max_entries = (uint64_t)config_int(c, CONF_STREAM_ENTRIES);
    l->hll_sparse_max_bytes = (uint64_t)config_int(c, CONF_HLL_SPARSE);
}

static nq_rc
apply_log(struct server *s, char err[CONFIG_ERR])
{
    const struct config *c = s->config;
    const char *path = config_text(c, CONF_LOG_FILE);

    log_set_level((enum log_level)config_int(c, CONF_LOG_LEVEL));
    log_set_format((enum log_format)config_int(c, CONF_LOG_FORMAT));
    if (log_set_file(path, (unsigned long long)config_int(c, CONF_LOG_SIZE),
                     (unsigned)config_int(c, CONF_LOG_FILES)) == 0)
        return NQ_OK;
    snprintf(err, CONFIG_ERR, "the log file '%.300s' cannot be opened: %s",
             path, strerror(errno));
    return NQ_EINVAL;
}

static void
tune_pool(struct server *s)
{
    const struct config *c = s->config;
    bool pins = config_int(c, CONF_PIN_HOT) != 0;
    struct frames_tuning t = {
        .hot_threshold = pins ? (uint32_t)config_int(c, CONF_HOT_THRESHOLD) : 0,
        .hot_share = config_real(c, CONF_HOT_SHARE),
        .inner_least = (uint32_t)config_int(c, CONF_INNER_PAGES),
        .ahead_most = (uint32_t)config_int(c, CONF_READ_AHEAD),
        .unpacked_bytes = (uint64_t)config_int(c, CONF_CHUNK_CACHE),
        .unpacked_chunks = (uint32_t)config_int(c, CONF_CHUNK_ENTRIES),
        .flush_jobs = (uint32_t)config_int(c, CONF_FLUSH_JOBS),
        .flush_age_s = seconds(c, CONF_FLUSH_AGE),
    };

    frames_tune(store_frames(s->store), &t);
}

static nq_rc
apply_pool(struct server *s, char err[CONFIG_ERR])
{
    uint64_t least = (uint64_t)store_page_size(s->store) * 128, bytes;

    server_resolve_pool(s->config);
    bytes = (uint64_t)config_int(s->config, CONF_POOL);
    if (bytes < least) {
        snprintf(err, CONFIG_ERR,
                 "the buffer pool needs at least %llu bytes: 128 pages of %u",
                 (unsigned long long)least, store_page_size(s->store));
        return NQ_EINVAL;
    }
    store_set_pool(s->store, bytes);
    tune_pool(s);
    s->engine->limits.maxmemory = bytes;
    return NQ_OK;
}

static void
apply_save_points(struct server *s)
{
    struct slice left = slice_str(config_text(s->config, CONF_SAVE));
    int64_t seconds_, changes;

    s->nsaves = 0;
    while (s->nsaves < SAVE_POINTS &&
           slice_to_i64(config_word(&left), &seconds_) &&
           slice_to_i64(config_word(&left), &changes)) {
        s->saves[s->nsaves].seconds = (uint32_t)seconds_;
        s->saves[s->nsaves].changes = (uint32_t)changes;
        s->nsaves++;
    }
}

struct pack_opts
hooks_pack_opts(const struct config *c)
{
    return (struct pack_opts){
        .enabled = config_int(c, CONF_COMPRESS) != 0,
        .competes = config_int(c, CONF_COMPETES) != 0,
        .patterns = config_int(c, CONF_PATTERNS) != 0,
        .dictionaries = config_int(c, CONF_DICTIONARIES) != 0,
        .level = (uint8_t)config_int(c, CONF_LEVEL),
        .text_level = (uint8_t)config_int(c, CONF_TEXT_LEVEL),
        .integer_level = (uint8_t)config_int(c, CONF_INTEGER_LEVEL),
        .blob_level = (uint8_t)config_int(c, CONF_BLOB_LEVEL),
        .dict_bytes = (uint32_t)config_int(c, CONF_DICT_SIZE) * DICT_ENTRY,
        .min_size = (uint32_t)config_int(c, CONF_PACK_MIN),
        .chunk = (uint32_t)config_int(c, CONF_PACK_CHUNK),
    };
}

nq_rc
hooks_apply(void *arg, unsigned hooks, char err[CONFIG_ERR])
{
    struct server *s = arg;
    const struct config *c = s->config;
    nq_rc rc = NQ_OK;

    if ((hooks & HOOK_LOG) != 0)
        rc = apply_log(s, err);
    if (rc == NQ_OK && (hooks & HOOK_POOL) != 0)
        rc = apply_pool(s, err);
    if (rc != NQ_OK)
        return rc;
    if ((hooks & HOOK_TYPES) != 0)
        apply_types(s);
    if ((hooks & HOOK_LIMITS) != 0) {
        apply_limits(s);
        apply_quantum(s);
    }
    if ((hooks & HOOK_WAL) != 0)
        wal_set_fsync(store_wal(s->store),
                      (enum wal_fsync)config_int(c, CONF_FSYNC),
                      (uint64_t)config_int(c, CONF_FSYNC_INTERVAL) / 1000);
    if ((hooks & HOOK_STORE) != 0) {
        struct pack_opts pack = hooks_pack_opts(c);

        store_set_pack(s->store, &pack);
        store_set_parity(s->store, config_int(c, CONF_ECC) != 0);
        store_set_punch(s->store, config_int(c, CONF_PUNCH) != 0);
        store_set_max_bytes(s->store, (uint64_t)config_int(c, CONF_MAX_SIZE));
        store_set_max_log(s->store, (uint64_t)config_int(c, CONF_WAL_MAX));
        store_set_pin_limit(s->store, (uint64_t)config_int(c, CONF_PIN_LIMIT));
    }
    if ((hooks & HOOK_SAVE) != 0)
        apply_save_points(s);
    return NQ_OK;
}

/* --- what the engine asks
 * ------------------------------------------------------ */

static void
host_config_get(const struct slice *patterns, unsigned n,
                void (*pair)(void *arg, const char *name, const char *value),
                void *arg)
{
    config_get(server->config, patterns, n, pair, arg);
}

static void
copy_error(const char from[CONFIG_ERR], char *err, size_t err_size)
{
    snprintf(err, err_size, "%s", from);
}

static nq_rc
host_config_set(const struct slice *names, const struct slice *values,
                unsigned n, char *err, size_t err_size)
{
    char why[CONFIG_ERR] = "";
    nq_rc rc =
        config_set(server->config, names, values, n, hooks_apply, server, why);

    copy_error(why, err, err_size);
    return rc;
}

static nq_rc
host_config_rewrite(char *err, size_t err_size)
{
    char why[CONFIG_ERR] = "";
    nq_rc rc = config_rewrite(server->config, why);

    if (rc != NQ_OK)
        log_warn("%s", why);
    copy_error(why, err, err_size);
    return rc;
}

static void
host_resetstat(void)
{
    engine_reset_stats(server->engine);
    sampler_reset(server);
    store_reset_pack(server->store);
}

static void
host_shutdown(bool save, bool now)
{
    server_end(server, save, now);
}

static bool
host_shutdown_abort(void)
{
    /* The sockets are closed by then: there is no way back. */
    return false;
}

void
hooks_fill_host(struct engine_host *host)
{
    *host = (struct engine_host){
        .info = info_write,
        .config_get = host_config_get,
        .config_set = host_config_set,
        .config_rewrite = host_config_rewrite,
        .config_resetstat = host_resetstat,
        .shutdown = host_shutdown,
        .fetch_master_key = encryption_fetch_master_key,
        .shutdown_abort = host_shutdown_abort,
    };
}
