/* tests/faults/settings.c - the matrix of settings.
 *
 * A choice has a number: its digits, one for each row of the table below,
 * say what is chosen. */
#include "faults.h"

#ifdef NQ_FAULTS

#include <string.h>

#include "base/check.h"
#include "codec/seal.h"
#include "store/store.h"

#define TINY_POOL (24u * 4096) /* less than there is in the end */
#define BIG_POOL (16u << 20)

static const struct {
    const char *what;
    const char *choices[4];
} rows[] = {
    {"page size", {"4K", "8K"}},
    {"pool", {"big", "tiny"}},
    {"codec", {"raw", "packed", "dictionaries"}},
    {"parity", {"bare", "parity"}},
    {"sealing", {"plain", "sealed"}},
    {"fsync", {"always", "periodic", "never"}},
};
enum { PAGES, POOL, CODEC, PARITY, SEALING, FSYNC };

static unsigned
choices_of(size_t row)
{
    unsigned n = 0;

    while (n < nq_countof(rows[row].choices) && rows[row].choices[n] != NULL)
        n++;
    return n;
}

unsigned
settings_count(void)
{
    unsigned n = 1;

    for (size_t i = 0; i < nq_countof(rows); i++)
        n *= choices_of(i);
    return n;
}

void
settings_choose(struct settings *set, unsigned number)
{
    static const enum wal_fsync fsyncs[] = {
        WAL_FSYNC_ALWAYS, WAL_FSYNC_PERIODIC, WAL_FSYNC_NEVER};
    unsigned chosen[nq_countof(rows)], rest = number;

    memset(set, 0, sizeof *set);
    for (size_t i = 0; i < nq_countof(rows); i++) {
        size_t len = strlen(set->text);

        chosen[i] = rest % choices_of(i);
        rest /= choices_of(i);
        snprintf(set->text + len, sizeof set->text - len, "%s%s",
                 i == 0 ? "" : " ", rows[i].choices[chosen[i]]);
    }
    set->number = number;
    set->page_size = chosen[PAGES] == 0 ? 4096 : 8192;
    set->pool_bytes =
        chosen[POOL] == 0 ? BIG_POOL : TINY_POOL / 4096 * set->page_size;
    set->segment_size = 64 << 10;
    set->fsync = fsyncs[chosen[FSYNC]];
    set->is_packed = chosen[CODEC] >= 1;
    set->has_dictionaries = chosen[CODEC] == 2;
    set->has_parity = chosen[PARITY] == 1;
    set->is_sealed = chosen[SEALING] == 1;
}

/* NQ.ENCRYPT ROTATE MASTER goes to and fro between these. */
static const uint8_t master_keys[2][SEAL_KEY] = {"a key of faults",
                                                 "and another one"};

static void
tune(void *arg, struct store_opts *opts)
{
    const struct settings *set = arg;

    opts->pack = (struct pack_opts){.enabled = set->is_packed,
                                    .competes = true,
                                    .patterns = true,
                                    .dictionaries = set->has_dictionaries,
                                    .level = 3,
                                    .dict_bytes = 4 << 10,
                                    .chunk = 64 << 10};
    opts->master_key = set->is_sealed ? master_keys[set->key] : NULL;
}

/* On a worker; whether the rotation is durable is seen at the next open. */
static nq_rc
fetch_master_key(void *arg, uint8_t *key, char *why)
{
    nq_unused(arg);
    nq_unused(why);
    memcpy(key, master_keys[1], SEAL_KEY);
    return NQ_OK;
}

static void
on_open(void *arg, struct engine_env *env)
{
    const struct settings *set = arg;

    store_set_parity(env->store, set->has_parity);
    env->e->host.fetch_master_key = fetch_master_key;
}

nq_rc
settings_open(struct settings *set, struct engine_env *env)
{
    nq_rc rc = engine_env_try_open(env);

    if (rc != NQ_EKEY || !set->is_sealed)
        return rc;
    set->key = 1 - set->key;
    return engine_env_try_open(env);
}

void
settings_apply(struct settings *set, struct engine_env *env)
{
    env->page_size = set->page_size;
    env->pool_bytes = set->pool_bytes;
    env->segment_size = set->segment_size;
    env->fsync = set->fsync;
    env->tune = tune;
    env->on_open = on_open;
    env->arg = set;
}

#endif
