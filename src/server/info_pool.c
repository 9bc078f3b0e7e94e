/* server/info_pool.c - INFO about pages in memory. */
#include "server/info_int.h"

#include "base/check.h"
#include "store/frames.h"
#include "store/store.h"

static void
ratio(struct buf *out, const char *name, uint64_t part, uint64_t whole)
{
    buf_printf(out, "%s:%.4f\r\n", name,
               whole == 0 ? 1.0 : (double)part / (double)whole);
}

static void
size_fields(const struct frames_stats *fs, struct buf *out)
{
    info_bytes(out, "pool_size", fs->pool_bytes);
    info_bytes(out, "pool_used", fs->used_bytes);
    info_u64(out, "pool_frames", fs->frames);
    info_u64(out, "pool_frames_used", fs->frames_used);
    info_u64(out, "pool_frames_dirty", fs->frames_dirty);
    info_u64(out, "pool_frames_pinned", fs->frames_pinned);
    buf_printf(out, "dirty_ratio:%.4f\r\n", fs->dirty_ratio);
    info_u64(out, "pool_chunk_bytes", fs->chunk_bytes);
    info_u64(out, "pool_pages", fs->pages);
    info_u64(out, "pool_inner_pages", fs->inner_resident);
    info_u64(out, "pinned_hot_pages", fs->hot_pinned);
    info_u64(out, "pool_policy_items", fs->policy.items);
    info_u64(out, "pool_policy_ghosts", fs->policy.ghosts);
    info_u64(out, "pool_policy_bytes", fs->policy.bytes);
}

/* Exact: see struct frames_stats for what adds up to what. */
static void
access_fields(const struct server *s, const struct frames_stats *fs,
              struct buf *out)
{
    uint64_t hits, misses;

    info_u64(out, "pool_hits", fs->hits);
    info_u64(out, "pool_misses", fs->misses);
    ratio(out, "buffer_pool_hit_rate", fs->hits, fs->hits + fs->misses);
    sampler_pool_window(s, &hits, &misses);
    ratio(out, "buffer_pool_hit_rate_1min", hits, hits + misses);
    info_u64(out, "pool_demand_reads", fs->demand_reads);
    info_u64(out, "pool_second_tier_hits", fs->second_tier_hits);
    info_u64(out, "pool_blocking_reads", fs->blocking_reads);
    info_u64(out, "pool_reads", fs->reads);
    info_u64(out, "pool_reads_parked", fs->parked);
    info_u64(out, "read_ahead_issued", fs->ahead_issued);
    info_u64(out, "read_ahead_used", fs->ahead_used);
    info_u64(out, "read_ahead_late", fs->ahead_late);
    info_u64(out, "read_ahead_wasted", fs->ahead_wasted);
    info_u64(out, "read_ahead_distance", fs->ahead_distance);
    info_u64(out, "pool_evictions", fs->evictions);
}

void
info_pool(struct server *s, struct buf *out)
{
    struct frames_stats fs;

    frames_get_stats(store_frames(s->store), &fs);
    info_text(
        out, "pool_policy",
        policy_name((enum policy_kind)config_int(s->config, CONF_POLICY)));
    size_fields(&fs, out);
    access_fields(s, &fs, out);
    info_u64(out, "pool_flushes", fs.flushes);
    info_u64(out, "flush_inflight", fs.flush_jobs);
    info_u64(out, "pool_copies", fs.copies);
    info_u64(out, "block_cache_entries", fs.unpacked_chunks);
    info_u64(out, "block_cache_bytes", fs.unpacked_bytes);
    info_u64(out, "block_cache_hits", fs.unpacked_hits);
    info_u64(out, "block_cache_misses", fs.unpacked_misses);
}
