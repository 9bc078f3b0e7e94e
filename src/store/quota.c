/* store/quota.c - room, counted as if everything dirty were written right now
 * and shrank by nothing, beside all that the last checkpoint still needs. */
#include "store/quota.h"

#include "base/check.h"
#include "os/clock.h"
#include "store/frames_int.h"
#include "store/pagetable.h"
#include "store/space.h"
#include "store/store_int.h"

#define RESERVE_SHARE 16u
#define RESERVE_MIN (256ull << 10)
#define RESERVE_MAX (256ull << 20)
#define TABLE_SHARE 64u /* kept for the checkpoint's own table and catalog */
#define TABLE_MIN (64ull << 10)
#define TABLE_MAX (64ull << 20)
#define AGAIN_US 100000u /* between checkpoints for the quota's sake */
#define STALE_MIN 65536u /* bytes that a checkpoint would free */

static uint64_t
share_of(uint64_t max, uint64_t share, uint64_t least, uint64_t most)
{
    return nq_min(nq_max(max / share, least), most);
}

static uint64_t
reserve(const struct store *st)
{
    return share_of(st->quota.max, RESERVE_SHARE, RESERVE_MIN, RESERVE_MAX);
}

static uint64_t
table_reserve(const struct store *st)
{
    return share_of(st->quota.max, TABLE_SHARE, TABLE_MIN, TABLE_MAX);
}

/* Bytes that are left; 0: none, or less. */
static uint64_t
room(const struct store *st)
{
    const struct frames_all *all = st->disk.frames;
    uint64_t taken = space_used_bytes(st->disk.space) + all->dirty_bytes +
                     all->flushing_bytes + table_reserve(st);

    return st->quota.max - nq_min(taken, st->quota.max);
}

void
quota_published(struct store *st)
{
    uint64_t max = st->quota.max;

    st->quota.published = space_used_bytes(st->disk.space);
    if (max != 0)
        max = nq_max(max, space_used_bytes(st->disk.space) + reserve(st) +
                              table_reserve(st));
    space_set_max(st->disk.space, max, max == 0 ? 0 : table_reserve(st));
}

void
quota_set(struct store *st, uint64_t max_bytes)
{
    st->quota.max = max_bytes;
    quota_published(st);
}

/* The last checkpoint found the file full: another will not make much room. */
static bool
is_nearly_full(const struct store *st)
{
    return st->quota.published + table_reserve(st) + 3 * reserve(st) >
               st->quota.max ||
           st->ckpt.stats.last_rc != NQ_OK;
}

static bool
is_tight(const struct store *st)
{
    return room(st) < (is_nearly_full(st) ? reserve(st) / 2 : reserve(st));
}

nq_rc
quota_may_grow(const struct store *st)
{
    uint64_t left;

    if (nq_likely(st->quota.max == 0) || (left = room(st)) >= reserve(st))
        return NQ_OK;
    return is_nearly_full(st) || left < reserve(st) / 2 ? NQ_EFULL : NQ_OK;
}

bool
quota_is_short(const struct store *st)
{
    return st->quota.max != 0 && room(st) < 2 * reserve(st);
}

bool
quota_is_tight(const struct store *st)
{
    return st->quota.max != 0 && is_tight(st) &&
           (checkpoint_is_running(&st->ckpt) ||
            (st->ckpt.is_asked && st->ckpt.stats.last_rc == NQ_OK));
}

uint64_t
quota_slack(const struct store *st)
{
    if (st->quota.max == 0)
        return UINT64_MAX;
    return nq_max(room(st) / 2, reserve(st) / 4);
}

/* Extents that only the last checkpoint needs. */
static uint64_t
stale_bytes(const struct store *st)
{
    const struct superblock *sb = &st->sb;
    uint64_t needed = SUPERBLOCK_AREA + pagetable_bytes(st->disk.table) +
                      pagetable_view_bytes(st->disk.table) + sb->base.len +
                      sb->catalog.len;
    uint64_t used = space_used_bytes(st->disk.space);

    for (uint32_t i = 0; i < sb->deltas_count; i++)
        needed += sb->deltas[i].len;
    return used - nq_min(used, needed);
}

/* Deleting comes before the limit: what a checkpoint did not find room for, it
 * finds behind that. */
static void
make_way(struct store *st)
{
    uint64_t needed = space_used_bytes(st->disk.space) +
                      st->disk.frames->dirty_bytes +
                      st->disk.frames->flushing_bytes + 2 * table_reserve(st);

    space_set_max(st->disk.space, nq_max(st->quota.max, needed),
                  table_reserve(st));
}

void
quota_turn(struct store *st)
{
    uint64_t now;

    if (nq_likely(st->quota.max == 0) || checkpoint_is_running(&st->ckpt))
        return;
    if (st->ckpt.stats.last_rc == NQ_EFULL)
        make_way(st);
    if (room(st) >= 2 * reserve(st) || st->ckpt.is_asked ||
        (st->disk.frames->dirty_bytes == 0 && stale_bytes(st) < STALE_MIN))
        return;
    now = clock_mono_us();
    if (now < st->quota.next_us && !is_tight(st))
        return;
    st->quota.next_us = now + AGAIN_US;
    store_checkpoint(st, NULL, NULL);
}
