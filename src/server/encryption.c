/* server/encryption.c - what the server does about encryption beside commands:
 * goes on with rotations, warns of old keys, fetches the master key. */
#include "base/check.h"
#include "base/log.h"
#include "cmd/cmd_encrypt.h"
#include "os/clock.h"
#include "server/config_int.h"
#include "server/master_key.h"
#include "server/server_int.h"
#include "store/rotate.h"

#define LOOK_US ((uint64_t)3600 * 1000000)
#define DAY_MS ((uint64_t)24 * 3600 * 1000)

/* The settings it reads are those of the start, so a worker may. */
nq_rc
encryption_fetch_master_key(void *arg, uint8_t *key, char *why)
{
    struct master_key_source src;

    nq_unused(arg);
    master_key_source_of(server->config, &src);
    return master_key_read(&src, key, why);
}

static void
warn_of_age(const struct server *s, const struct rotate_stats *st)
{
    uint64_t days = (uint64_t)config_int(s->config, CONF_KEY_DAYS);
    uint64_t now = clock_wall_ms();

    if (days == 0 || st->oldest_ms == 0 || now < st->oldest_ms ||
        now - st->oldest_ms < days * DAY_MS)
        return;
    log_warn("data key %u is %llu days old: NQ.ENCRYPT ROTATE DATA replaces it",
             st->oldest, (unsigned long long)((now - st->oldest_ms) / DAY_MS));
}

void
encryption_cron(struct server *s)
{
    uint64_t now = clock_mono_us(), id = 0;
    struct rotate_stats st;

    if (now < s->keys_look_us)
        return;
    rotate_get_stats(s->store, &st);
    if (s->keys_look_us == 0 && st.is_due &&
        encrypt_rotate_data(s->engine, &id) == NQ_OK)
        log_notice("encryption: going on to seal all data anew, job %llu",
                   (unsigned long long)id);
    warn_of_age(s, &st);
    s->keys_look_us = now + LOOK_US;
}
