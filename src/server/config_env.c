/* server/config_env.c - settings from the environment.
 *
 * NQDB_STORAGE_WAL_FSYNC_STRATEGY=always is storage.wal.fsync_strategy; names
 * that other deployments of this database use are known, too.  What begins
 * with NQDB_ and is no setting gets a line in the log, not an error: the
 * environment is shared with other programs. */
#include "server/config_int.h"

#include <ctype.h>

#include "base/check.h"

static const struct {
    const char *variable, *key;
} known[] = {
    {"NEUROQUANTUM_MEMORY_LIMIT", "system.memory_limit"},
    {"NEUROQUANTUM_BUFFER_POOL", "storage.buffer_pool_size"},
    {"NEUROQUANTUM_MAX_CONNECTIONS", "system.max_connections"},
    {"NEUROQUANTUM_HOST", "server.host"},
    {"NEUROQUANTUM_PORT", "server.port"},
    {"NEUROQUANTUM_LOG_LEVEL", "logging.log_level"},
    {"NQDB_LOG_LEVEL", "logging.log_level"},
    {"DB_PATH", "storage.data_path"},
};

/* Ours, but read elsewhere. */
static const char *const others[] = {"NQDB_CONFIG", "NQDB_SERVER", "NQDB_CLI",
                                     "NQDB_MASTER_KEY"};

/* Whether `variable` is "NQDB_" and `key` in capitals, dots as _. */
static bool
spells(struct slice variable, const char *key)
{
    size_t n = key == NULL ? 0 : strlen(key);

    if (n == 0 || variable.len != n + 5 ||
        !slice_has_prefix(variable, slice_lit("NQDB_")))
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = key[i] == '.' || key[i] == '-'
                     ? '_'
                     : (char)toupper((unsigned char)key[i]);

        if ((char)variable.p[i + 5] != c)
            return false;
    }
    return true;
}

static const char *
key_of(struct slice variable)
{
    for (size_t i = 0; i < nq_countof(known); i++) {
        if (slice_eq(variable, slice_str(known[i].variable)))
            return known[i].key;
    }
    for (unsigned i = 0; i < config_row_count; i++) {
        if (spells(variable, config_rows[i].key) ||
            spells(variable, config_rows[i].also))
            return config_rows[i].key;
    }
    return NULL;
}

static bool
is_other(struct slice variable)
{
    for (size_t i = 0; i < nq_countof(others); i++) {
        if (slice_eq(variable, slice_str(others[i])))
            return true;
    }
    return !slice_has_prefix(variable, slice_lit("NQDB_"));
}

nq_rc
config_env(struct config *c, char *const *env, char err[CONFIG_ERR])
{
    for (unsigned i = 0; env[i] != NULL; i++) {
        const char *equals = strchr(env[i], '=');
        struct slice variable;
        const char *key;
        char why[CONFIG_ERR];
        nq_rc rc;

        if (equals == NULL)
            continue;
        variable = slice_of(env[i], (size_t)(equals - env[i]));
        key = key_of(variable);
        if (key == NULL) {
            if (!is_other(variable) && variable.len < 100)
                buf_printf(
                    &c->notes,
                    "environment: %.*s names no setting; the nearest "
                    "is %s\n",
                    (int)variable.len, env[i],
                    config_nearest(slice_of(variable.p + 5, variable.len - 5)));
            continue;
        }
        rc = config_put(c, slice_str(key), slice_str(equals + 1), FROM_ENV, 0,
                        why);
        if (rc != NQ_OK) {
            snprintf(err, CONFIG_ERR, "environment: %.*s: %.400s",
                     (int)variable.len, env[i], why);
            return rc;
        }
    }
    return NQ_OK;
}
