/* store/frames_evict.c - keeping frames free: eviction of clean pages, early
 * flushes of dirty ones, memory for chunks.
 *
 *   E1  only clean pages go: their bytes are in the extent that the page
 *       table names
 *   E2  pages that are pinned, flushing, part of the cut, or held for a
 *       parked command stay
 *   E3  all of it happens in frames_make_room(), between commands
 *
 * Two hands go round, one over frames and one over chunks, in proportion. */
#include "os/pool.h"
#include "store/flush.h"
#include "store/frames_int.h"
#include "store/policy.h"

#include <sys/mman.h>
#include <unistd.h>

#define VISITS_MAX 4096u  /* by one call: bounds its time */
#define RETURNS_MAX 64u   /* frames given back to the kernel by one call */
#define RESERVE_SHARE 50u /* 2 % of the pool is kept free */

static uint64_t
target_bytes(const struct frames_all *all)
{
    uint64_t reserve =
        nq_max(all->pool_bytes / RESERVE_SHARE, (uint64_t)all->pub.page_size);

    return all->pool_bytes - nq_min(reserve, all->pool_bytes);
}

/* Above target even when all that is being flushed will have gone. */
static bool
needs_room(const struct frames_all *all)
{
    return frames_used_bytes(all) > target_bytes(all);
}

/* --- eviction ------------------------------------------------------------- */

static bool
is_evictable(const struct frames_all *all, uint32_t f, const struct frame *m)
{
    return m->id != 0 && m->list == FRAME_ON_NONE && m->pins == 0 &&
           m->holds == 0 && !m->is_flushing && frame_is_mapped(all, f, m);
}

static void
visit(struct frames_all *all, uint32_t f, uint8_t *referenced)
{
    struct frame *m = frame_get(all, f);

    if (!is_evictable(all, f, m))
        return;
    all->references += *referenced;
    if (!policy_visit(&m->heat, referenced))
        return;
    all->pub.frame_of[m->id] = 0;
    frame_drop_if_unused(all, f);
    all->evictions++;
}

static void
visit_frame(struct frames_all *all)
{
    if (++all->hand >= all->frames_top)
        all->hand = 1;
    if (all->hand < all->frames_top)
        visit(all, all->hand, &all->pub.referenced[all->hand]);
}

static void
visit_chunk(struct frames_all *all)
{
    if (++all->chunk_hand >= all->chunks_top)
        all->chunk_hand = 1;
    if (all->chunk_hand < all->chunks_top)
        visit(all, FRAME_CHUNK0 + all->chunk_hand,
              &all->chunk[all->chunk_hand].referenced);
}

static void
evict(struct frames_all *all)
{
    for (unsigned n = 0; n < VISITS_MAX && needs_room(all); n++) {
        visit_frame(all);
        all->chunk_share += all->chunks_used;
        if (all->chunk_share >= nq_max(all->used, 1u)) {
            all->chunk_share -= nq_min(all->chunk_share, nq_max(all->used, 1u));
            if (all->chunks_used > 0)
                visit_chunk(all);
        }
    }
}

/* Frames without a page keep their memory for the next one, unless chunks
 * need it. */
static void
return_memory(struct frames_all *all)
{
    uint64_t size = all->pub.page_size;

    if (size < (uint64_t)sysconf(_SC_PAGESIZE))
        return; /* several frames a kernel page: tests only */
    for (unsigned n = 0; n < RETURNS_MAX && all->warm_count > 0; n++) {
        uint32_t f = all->free_warm;

        if (frames_used_bytes(all) + all->warm_count * size <= all->pool_bytes)
            break;
        all->free_warm = all->frame[f].next;
        all->warm_count--;
        (void)madvise(frame_bytes(all, f), size, MADV_DONTNEED);
        all->frame[f].next = all->free_cold;
        all->free_cold = f;
        all->cold_count++;
    }
}

/* --- early flushes -------------------------------------------------------- */

/* So much that what is above the soft limit, or in the way, is on its way to
 * the disk.  The cut's pages go first: they hold up the checkpoint, and the
 * old versions among them only take room. */
static void
start_flushes(struct frames_all *all)
{
    uint64_t used = frames_used_bytes(all), target = target_bytes(all);
    uint64_t excess = used > target ? used - target : 0;

    while (all->dirty_bytes > all->soft_bytes ||
           (all->dirty_bytes > 0 && all->flushing_bytes < excess)) {
        if (!(all->cut_running && flush_start(all->disk, true)) &&
            !flush_start(all->disk, false))
            break;
    }
}

#ifdef NQ_HARSH
/* Clean pages go now and then though there is room, so that every command
 * sees misses. */
static void
evict_for_nothing(struct frames_all *all)
{
    if (++all->harsh % 7 == 0) {
        visit_frame(all);
        visit_chunk(all);
    }
}
#else
static void
evict_for_nothing(struct frames_all *all)
{
    (void)all;
}
#endif

void
frames_make_room(struct frames *fr)
{
    struct frames_all *all = frames_all(fr);

    if (all->disk == NULL)
        return;
    evict_for_nothing(all);
    if (needs_room(all)) {
        evict(all);
        if (all->warm_count > 0 && all->chunks_used > 0)
            return_memory(all);
    }
    if (!all->disk->is_read_only &&
        (needs_room(all) || all->dirty_bytes > all->soft_bytes))
        start_flushes(all);
    if (all->waiting.head != NULL)
        frames_start_waiting(all);
}

double
frames_dirty_share(const struct frames_all *all)
{
    uint64_t dirty = all->dirty_bytes + all->flushing_bytes;

    return (double)dirty / (double)nq_max(all->hard_bytes, 1u);
}

bool
frames_is_throttling(const struct frames *fr)
{
    struct frames_all *all = frames_all((struct frames *)(uintptr_t)fr);

    return all->disk != NULL && !all->disk->is_read_only &&
           all->disk->last_rc == NQ_OK && frames_dirty_share(all) > 1.0;
}

void
frames_wait_for_room(struct frames_all *all)
{
    for (;;) {
        frames_make_room(&all->pub);
        if (!(needs_room(all) ||
              all->dirty_bytes + all->flushing_bytes > all->hard_bytes) ||
            pool_pending(all->disk->pool) == 0)
            return;
        (void)pool_wait(all->disk->pool);
    }
}

void
frames_set_limits(struct frames_all *all, uint64_t pool_bytes,
                  double dirty_soft, double dirty_hard)
{
    double soft = dirty_soft > 0 ? dirty_soft : 0.6;
    double hard = dirty_hard > 0 ? dirty_hard : 0.8;
    uint64_t most = (uint64_t)all->frames_max << all->pub.page_shift;

    all->pool_bytes = nq_min(pool_bytes, most / 2);
    all->soft_bytes = (uint64_t)((double)all->pool_bytes * soft);
    all->hard_bytes = (uint64_t)((double)all->pool_bytes * hard);
}
