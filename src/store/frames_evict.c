/* store/frames_evict.c - keeping frames free: eviction of clean pages, early
 * flushes of dirty ones, memory for chunks.
 *
 *   E1  only clean pages go: their bytes are in the extent that the page
 *       table names
 *   E2  pages that are pinned, dirty, flushing, part of the cut, hot, or held
 *       for a parked command stay
 *   E3  all of it happens in frames_make_room(), between commands
 *
 * Who goes is the policy's choice (policy.h).  A page that must stay when its
 * turn comes is set aside, and is back in the game as soon as it may go: so
 * each costs one look, however many there are. */
#include "base/mem.h"
#include "os/clock.h"
#include "os/pool.h"
#include "store/flush.h"
#include "store/frames_int.h"

#include <sys/mman.h>
#include <unistd.h>

#define STEPS_MAX 4096u   /* by one call: bounds its time */
#define CHUNK_STEPS 256u  /* the same, for chunks */
#define INNER_SHARE 4u    /* of the pool may be kept for inner pages */
#define RETURNS_MAX 256u  /* frames given back to the kernel by one call */
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

/* All that the policy has to offer was looked at since something changed, and
 * is to stay.  Looking again would cost each turn its time for nothing. */
static bool
is_stuck(const struct frames_all *all)
{
    return all->spared > all->inner;
}

/* Inner pages are on every way down: so many of them stay. */
static bool
is_kept(const struct frames_all *all, const struct frame *m)
{
    return m->kind == PAGE_INNER &&
           all->inner <=
               nq_min(all->tuning.inner_least, all->used / INNER_SHARE);
}

static void
give_up(struct frames_all *all, uint32_t f)
{
    struct frame *m = frame_get(all, f);

    all->ahead_wasted += policy_is_unused(all->policy, m->item);
    all->inner -= m->kind == PAGE_INNER;
    policy_evict(all->policy, m->item);
    m->item = 0;
    all->pub.frame_of[m->id] = 0;
    frame_drop_if_unused(all, f);
    all->evictions++;
}

/* One page goes, or is out of the way; false: there is none, or no time. */
static bool
evict_one(struct frames_all *all, unsigned *steps)
{
    uint32_t item = policy_victim(all->policy, steps), f;
    const struct frame *m;

    if (item == 0)
        return false;
    f = policy_owner(all->policy, item);
    m = frame_get(all, f);
    nq_dassert(m->item == item); /* U1 */
    if (!frame_is_evictable(all, f, m)) {
        policy_set_aside(all->policy, item);
    } else if (is_kept(all, m)) {
        policy_spare(all->policy, item);
        all->spared++;
    } else {
        give_up(all, f);
        all->spared = 0;
    }
    return true;
}

static void
evict(struct frames_all *all)
{
    unsigned steps = STEPS_MAX;

    while (needs_room(all) && !is_stuck(all) && evict_one(all, &steps))
        continue;
}

/* Chunks in the form that they do not have on disk: second chance among
 * themselves, as far as they exceed what is meant for them. */
static void
evict_unpacked(struct frames_all *all)
{
    const struct frames_tuning *t = &all->tuning;

    for (unsigned n = 0; n < CHUNK_STEPS; n++) {
        struct chunk *c;
        uint32_t f;

        if ((t->unpacked_bytes == 0 && t->unpacked_chunks == 0) ||
            (all->unpacked_bytes <= t->unpacked_bytes &&
             all->unpacked_chunks <= t->unpacked_chunks))
            return;
        all->unpacked_hand = (all->unpacked_hand + 1) % all->chunks_top;
        f = FRAME_CHUNK0 + all->unpacked_hand;
        c = chunk_get(all, f);
        if (!c->is_unpacked || !frame_is_evictable(all, f, &c->frame))
            continue;
        if ((c->used & USE_FLUSHER) != 0)
            c->used &= (uint8_t)~USE_FLUSHER;
        else
            give_up(all, f);
    }
}

/* Frames without a page keep their memory for the next one, as far as the
 * pool allows. */
static bool
holds_too_much(const struct frames_all *all)
{
    return all->warm_count > 0 &&
           all->pub.page_size >= (uint64_t)sysconf(_SC_PAGESIZE) &&
           frames_used_bytes(all) +
                   ((uint64_t)all->warm_count << all->pub.page_shift) >
               all->pool_bytes;
}

static void
return_memory(struct frames_all *all)
{
    for (unsigned n = 0; n < RETURNS_MAX && holds_too_much(all); n++) {
        uint32_t f = all->free_warm;

        all->free_warm = all->frame[f].next;
        all->warm_count--;
        (void)madvise(frame_bytes(all, f), all->pub.page_size, MADV_DONTNEED);
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

/* Those that have been dirty for long, if that is wished. */
static void
start_old_flushes(struct frames_all *all)
{
    while (all->tuning.flush_age_s != 0 && flush_start_old(all->disk))
        continue;
}

#ifdef NQ_HARSH
/* Clean pages go now and then though there is room, so that every command
 * sees misses. */
static void
evict_for_nothing(struct frames_all *all)
{
    unsigned steps = 4;

    if (++all->harsh % 16 == 0)
        (void)evict_one(all, &steps);
}
#else
static void
evict_for_nothing(struct frames_all *all)
{
    (void)all;
}
#endif

static uint32_t
now_s(void)
{
    return (uint32_t)(clock_mono_us() / 1000000);
}

void
frames_make_room(struct frames *fr)
{
    struct frames_all *all = frames_all(fr);

    if (all->disk == NULL)
        return;
    all->now_s = now_s();
    frames_drain_uses(all);
    evict_for_nothing(all);
    evict_unpacked(all);
    if (needs_room(all))
        evict(all);
    return_memory(all);
    if (!all->disk->is_read_only) {
        if (needs_room(all) || all->dirty_bytes > all->soft_bytes)
            start_flushes(all);
        start_old_flushes(all);
    }
    if (all->waiting.head != NULL)
        frames_start_waiting(all);
}

bool
frames_wants_turn(const struct frames *fr)
{
    const struct frames_all *all = frames_all((struct frames *)(uintptr_t)fr);

    return all->disk != NULL &&
           (holds_too_much(all) || (needs_room(all) && !is_stuck(all) &&
                                    policy_has_items(all->policy)));
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

/* A pool that is smaller than it was returns frames one by one.  The kernel
 * must not join what is left to huge pages again: they would be resident
 * whole. */
static void
forbid_huge_pages(struct frames_all *all)
{
    size_t bytes = (size_t)all->frames_max << all->pub.page_shift;

    (void)madvise(all->pub.base, bytes, MADV_NOHUGEPAGE);
}

void
frames_tune(struct frames *fr, const struct frames_tuning *tuning)
{
    struct frames_all *all = frames_all(fr);

    all->tuning = *tuning;
    all->spared = 0;
    all->hot.threshold = tuning->hot_threshold;
    all->hot.cap = (uint64_t)((double)all->pool_bytes * tuning->hot_share);
}

void
frames_set_limits(struct frames_all *all, uint64_t pool_bytes,
                  double dirty_soft, double dirty_hard)
{
    double soft = dirty_soft > 0 ? dirty_soft : 0.6;
    double hard = dirty_hard > 0 ? dirty_hard : 0.8;
    uint64_t most = (uint64_t)all->frames_max << all->pub.page_shift;

    if (pool_bytes < all->pool_bytes)
        forbid_huge_pages(all);
    all->pool_bytes = nq_min(pool_bytes, most / 2);
    all->soft_bytes = (uint64_t)((double)all->pool_bytes * soft);
    all->hard_bytes = (uint64_t)((double)all->pool_bytes * hard);
    if (all->policy != NULL)
        policy_set_capacity(all->policy, target_bytes(all));
    frames_tune(&all->pub, &all->tuning);
}

void
frames_evict_init(struct frames_all *all, enum policy_kind kind)
{
    all->policy = policy_new(kind, target_bytes(all), all->pub.page_size);
    all->now_s = now_s();
    frames_use_init(all);
    hot_init(all);
}

void
frames_evict_fini(struct frames_all *all)
{
    policy_free(all->policy);
    hot_fini(all);
    nq_free(all->noted);
}
