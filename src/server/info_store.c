/* server/info_store.c - INFO about what is on disk and on its way there. */
#include "server/info_int.h"

#include "base/check.h"
#include "os/clock.h"
#include "os/dir.h"
#include "store/frames.h"
#include "store/rotate.h"
#include "store/store.h"

static void
loading_fields(const struct server *s, struct buf *out)
{
    const struct engine *e = s->engine;
    double share = e->loading_total == 0
                       ? 0
                       : (double)e->loading_done / (double)e->loading_total;
    uint64_t passed_us = clock_mono_us() - s->opened_us;

    info_u64(out, "loading_start_time", e->start_wall_ms / 1000);
    info_u64(out, "loading_total_bytes", e->loading_total);
    info_u64(out, "loading_loaded_bytes", e->loading_done);
    buf_printf(out, "loading_loaded_perc:%.2f\r\n", 100 * share);
    if (share > 0)
        buf_printf(out, "loading_eta_seconds:%.0f\r\n",
                   (double)passed_us / 1e6 * (1 - share) / share);
}

void
info_persistence(struct server *s, struct buf *out)
{
    struct store_stats st;
    struct wal_stats ws;

    store_get_stats(s->store, &st);
    wal_get_stats(store_wal(s->store), &ws);
    info_u64(out, "loading", s->engine->is_loading);
    info_u64(out, "async_loading", 0);
    if (s->engine->is_loading)
        loading_fields(s, out);
    info_u64(out, "rdb_changes_since_last_save", checkpoints_changes(s));
    info_u64(out, "rdb_bgsave_in_progress", store_checkpoint_running(s->store));
    info_u64(out, "rdb_last_save_time",
             st.last_wall_s != 0 ? st.last_wall_s
                                 : s->engine->start_wall_ms / 1000);
    info_text(out, "rdb_last_bgsave_status",
              st.last_rc == NQ_OK ? "ok" : "err");
    if (st.checkpoints > 0)
        info_u64(out, "rdb_last_bgsave_time_sec", st.last_ms / 1000);
    else
        info_text(out, "rdb_last_bgsave_time_sec", "-1");
    info_u64(out, "rdb_saves", st.checkpoints);
    info_u64(out, "aof_enabled", 1);
    info_u64(out, "aof_rewrite_in_progress", 0);
    info_text(out, "aof_last_write_status", ws.error == NQ_OK ? "ok" : "err");
    info_u64(out, "aof_current_size", ws.position - ws.oldest);
}

void
info_storage(struct server *s, struct buf *out)
{
    const char *dir = config_text(s->config, CONF_DIR);
    struct frames_stats fs;
    struct store_stats st;

    store_get_stats(s->store, &st);
    info_text(out, "data_path", dir);
    info_u64(out, "page_size", store_page_size(s->store));
    info_u64(out, "pages_stored", st.table_entries);
    info_bytes(out, "data_file", st.file_bytes);
    info_u64(out, "extent_bytes", st.extent_bytes);
    info_u64(out, "free_bytes", st.free_bytes);
    info_u64(out, "hole_bytes", st.hole_bytes);
    info_u64(out, "disk_free_bytes", dir_free_bytes(dir));
    info_u64(out, "checksum_errors", st.checksum_errors);
    frames_get_stats(store_frames(s->store), &fs);
    info_u64(out, "damaged_pages", fs.damaged_pages);
    info_u64(out, "repaired_pages", fs.repaired_pages);
    info_scrub(s, out);
}

void
info_encryption(struct server *s, struct buf *out)
{
    struct rotate_stats st;

    rotate_get_stats(s->store, &st);
    info_u64(out, "encryption_enabled", st.is_on);
    info_u64(out, "encryption_complete", st.is_complete);
    info_u64(out, "encryption_keys", st.keys);
    info_u64(out, "encryption_key_current", st.current);
    info_u64(out, "encryption_key_oldest", st.oldest);
    info_u64(out, "encryption_key_oldest_time", st.oldest_ms / 1000);
    info_u64(out, "encryption_pages", st.extents);
    info_u64(out, "encryption_frames", st.frames);
    info_u64(out, "encryption_rotation_due", st.is_due);
}

void
info_log(struct server *s, struct buf *out)
{
    static const char *const strategies[] = {"always", "periodic", "never"};
    struct wal_stats ws;

    wal_get_stats(store_wal(s->store), &ws);
    info_text(out, "log_fsync_strategy",
              strategies[config_int(s->config, CONF_FSYNC)]);
    info_text(out, "log_status",
              ws.error == NQ_OK       ? "ok"
              : ws.error == NQ_ENOSPC ? "disk full, writes refused"
                                      : "failed, read-only until restart");
    if (ws.error != NQ_OK)
        info_text(out, "log_error", ws.error_text);
    info_u64(out, "log_position", ws.position);
    info_u64(out, "log_written", ws.written);
    info_u64(out, "log_durable", ws.durable);
    info_u64(out, "log_oldest", ws.oldest);
    info_u64(out, "log_segments", ws.segments);
    info_u64(out, "log_segments_recycled", ws.recycled);
    info_u64(out, "log_frames", ws.frames);
    info_u64(out, "log_records", ws.records);
    info_u64(out, "log_bytes", ws.bytes);
    info_u64(out, "log_syncs", ws.syncs);
    buf_printf(out, "log_sync_usec_mean:%.0f\r\n",
               (double)ws.sync_us_total /
                   (double)nq_max(ws.syncs, (uint64_t)1));
    info_u64(out, "log_sync_usec_max", ws.sync_us_max);
    info_u64(out, "log_sync_usec_last", ws.sync_us_last);
    info_u64(out, "log_ring_used", ws.ring_used);
    info_u64(out, "log_ring_size", ws.ring_size);
    info_u64(out, "log_replayed_bytes", s->replayed_bytes);
    info_u64(out, "log_replay_usec", s->replay_us);
}

void
info_checkpoint(struct server *s, struct buf *out)
{
    static const char *const states[] = {
        [CKPT_IDLE] = "idle",       [CKPT_COPY] = "copy", [CKPT_SYNC] = "sync",
        [CKPT_PUBLISH] = "publish", [CKPT_TRIM] = "trim",
    };
    struct store_stats st;

    store_get_stats(s->store, &st);
    info_text(out, "checkpoint_state", states[st.state]);
    if (st.state != CKPT_IDLE) {
        info_u64(out, "checkpoint_pages_done", st.progress_pages);
        info_u64(out, "checkpoint_pages_total", st.progress_total);
    }
    info_u64(out, "checkpoints", st.checkpoints);
    info_u64(out, "checkpoints_failed", st.failed);
    info_text(out, "checkpoint_last_status", rc_text(st.last_rc));
    info_u64(out, "checkpoint_last_time", st.last_wall_s);
    info_u64(out, "checkpoint_last_msec", st.last_ms);
    info_u64(out, "checkpoint_last_pages", st.last_pages);
    info_u64(out, "checkpoint_last_bytes", st.last_bytes);
    info_u64(out, "checkpoint_last_cut_usec", st.last_cut_us);
    info_u64(out, "checkpoint_max_cut_usec", st.max_cut_us);
    info_u64(out, "checkpoint_position", st.ckpt_lsn);
    info_u64(out, "log_since_checkpoint", st.log_since_ckpt);
}
