/* server/checkpoints.c - when to take a checkpoint by itself:
 *
 *   interval     storage.flush.checkpoint_interval since the last one
 *   log          storage.flush.checkpoint_log_size of log, or half of
 *                storage.wal.wal_max_size: the replay after a crash is short
 *   dirty        three quarters of dirty_page_threshold of the pool is dirty
 *   save points  so many seconds and so many changes (Redis' save)
 *
 * Only if something changed; after a failure not for RETRY_US.  Commands and
 * the end of the server ask the store themselves. */
#include "base/check.h"
#include "base/log.h"
#include "os/clock.h"
#include "server/server_int.h"
#include "store/frames.h"
#include "store/store.h"

#define RETRY_US ((uint64_t)5 * 1000 * 1000)
#define SECOND_US ((uint64_t)1000 * 1000)

static uint64_t
log_records(const struct server *s)
{
    struct wal_stats ws;

    wal_get_stats(store_wal(s->store), &ws);
    return ws.records;
}

void
checkpoints_cut(struct server *s)
{
    s->records_at_cut = log_records(s);
}

/* Notices checkpoints that ended since the last look, whoever asked. */
static void
look_at_results(struct server *s, const struct store_stats *st)
{
    uint64_t now = clock_mono_us();

    if (st->checkpoints != s->ckpt_count) {
        s->ckpt_count = st->checkpoints;
        s->ckpt_done_us = now;
        s->records_at_ckpt = s->records_at_cut;
    }
    if (st->failed != s->ckpt_failed) {
        s->ckpt_failed = st->failed;
        s->ckpt_tried_us = now;
    }
}

uint64_t
checkpoints_changes(struct server *s)
{
    struct store_stats st;

    store_get_stats(s->store, &st);
    look_at_results(s, &st);
    return log_records(s) - s->records_at_ckpt;
}

bool
checkpoints_log_is_full(const struct server *s)
{
    return s->log_bytes >= (uint64_t)config_int(s->config, CONF_WAL_MAX) &&
           s->ckpt_works;
}

/* Why one is due now, or NULL. */
static const char *
reason(struct server *s, const struct store_stats *st, uint64_t now)
{
    const struct config *c = s->config;
    uint64_t interval = (uint64_t)config_int(c, CONF_CHECKPOINT);
    uint64_t log_max = (uint64_t)config_int(c, CONF_WAL_MAX) / 2;
    uint64_t log_size = (uint64_t)config_int(c, CONF_CHECKPOINT_LOG);
    uint64_t passed = now - s->ckpt_done_us;
    struct frames_stats fs;

    if (st->log_since_ckpt == 0)
        return NULL;
    if (st->log_since_ckpt >= nq_min(log_size, log_max))
        return "log size";
    if (interval > 0 && passed >= interval)
        return "interval";
    for (unsigned i = 0; i < s->nsaves; i++) {
        if (passed >= s->saves[i].seconds * SECOND_US &&
            checkpoints_changes(s) >= s->saves[i].changes)
            return "save point";
    }
    frames_get_stats(store_frames(s->store), &fs);
    if ((double)fs.frames_dirty >
        0.75 * config_real(c, CONF_DIRTY) * (double)fs.frames)
        return "dirty share";
    return NULL;
}

void
checkpoints_cron(struct server *s)
{
    struct store_stats st;
    struct wal_stats ws;
    const char *why;
    uint64_t now;

    store_get_stats(s->store, &st);
    wal_get_stats(store_wal(s->store), &ws);
    s->log_bytes = ws.position - ws.oldest;
    s->ckpt_works = st.last_rc == NQ_OK;
    look_at_results(s, &st);
    now = clock_mono_us(); /* not before the end that was just noted */
    if (store_checkpoint_running(s->store) ||
        (s->ckpt_failed > 0 && st.last_rc != NQ_OK &&
         now - s->ckpt_tried_us < RETRY_US))
        return;
    why = reason(s, &st, now);
    if (why == NULL)
        return;
    log_info("checkpoint begins: %s (%llu bytes of log since the last one)",
             why, (unsigned long long)st.log_since_ckpt);
    s->ckpt_tried_us = now;
    store_checkpoint(s->store, NULL, NULL);
}
