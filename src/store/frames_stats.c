/* store/frames_stats.c - what the frame pool has to tell about itself. */
#include "store/flush.h"
#include "store/frames_int.h"

void
frames_get_stats(const struct frames *fr, struct frames_stats *out)
{
    const struct frames_all *all = frames_all((struct frames *)(uintptr_t)fr);
    uint64_t dirty = all->dirty_bytes + all->flushing_bytes;

    *out = (struct frames_stats){
        .hits = fr->hits,
        .misses = all->demand_reads + all->tier_hits + all->blocking_reads +
                  all->ahead_late,
        .demand_reads = all->demand_reads,
        .second_tier_hits = all->tier_hits,
        .blocking_reads = all->blocking_reads,
        .reads = all->demand_reads + all->ahead_issued,
        .parked = all->parked,
        .ahead_issued = all->ahead_issued,
        .ahead_used = all->ahead_used,
        .ahead_wasted = all->ahead_wasted,
        .ahead_late = all->ahead_late,
        .ahead_distance = all->ahead.limit,
        .evictions = all->evictions,
        .flushes = all->flushes,
        .copies = all->copies,
        .inner_resident = all->inner,
        .hot_pinned = all->hot.count,
        .unpacked_chunks = all->unpacked_chunks,
        .unpacked_bytes = all->unpacked_bytes,
        .unpacked_hits = all->unpacked_hits,
        .unpacked_misses = all->unpacked_misses,
        .dirty_ratio =
            (double)dirty / (double)nq_max(all->pool_bytes, (uint64_t)1),
        .frames = all->pool_bytes >> fr->page_shift,
        .frames_used = all->used,
        .frames_dirty = all->lists[0].count + all->lists[1].count,
        .frames_pinned = all->pinned,
        .chunk_bytes = all->chunk_bytes,
        .pages = all->pages,
        .damaged_pages = damages_count(&all->damages),
        .repaired_pages = all->repaired_pages,
        .pool_bytes = all->pool_bytes,
        .used_bytes = frames_used_bytes(all),
    };
    if (all->disk != NULL) {
        out->flush_jobs = all->disk->jobs_count;
        policy_get_stats(all->policy, &out->policy);
    }
}
