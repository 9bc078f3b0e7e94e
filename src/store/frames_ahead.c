/* store/frames_ahead.c - reading pages before anybody asks for them.
 *
 * Pages are read in batches, one job each: first the kernel is told of all of
 * them, so that the disk works on them side by side, then they are read and
 * unpacked one after the other.  Batches are small, so a read that a command
 * waits for never stands long behind them.
 *
 * What the kernel has in memory is left alone: whoever needs it reads it in
 * less time than a worker takes to be woken. */
#include "base/mem.h"
#include "os/file.h"
#include "store/flush.h"
#include "store/frames_int.h"
#include "store/pagetable.h"

#define BATCH_PAGES 16u

bool
frames_may_read_ahead(const struct frames_all *all)
{
    return all->disk != NULL && all->tuning.ahead_most > 0 &&
           !all->is_blocking && all->pages > all->used + all->chunks_used;
}

/* Does the kernel have all of it?  Its ends may be in memory as parts of its
 * neighbours. */
static bool
is_in_second_tier(struct frames_all *all, struct entry e)
{
    return entry_len(e) <= all->tier_cap &&
           file_try_read(all->disk->file, all->tier_buf, entry_len(e),
                         entry_off(e)) == NQ_OK;
}

void
frames_ahead(struct frames_all *all, const pgno *ids, unsigned n)
{
    struct page_want wants[BATCH_PAGES];
    unsigned count = 0;

    for (unsigned i = 0; i < n && !frames_is_crowded(all); i++) {
        struct entry e;

        if (all->pub.frame_of[ids[i]] != 0)
            continue;
        e = pagetable_get(all->disk->table, ids[i]);
        if (entry_is_none(e) || is_in_second_tier(all, e))
            continue;
        wants[count++] = (struct page_want){ids[i], e};
        if (count == BATCH_PAGES) {
            frames_read_batch(all, wants, count);
            count = 0;
        }
    }
    if (count > 0)
        frames_read_batch(all, wants, count);
}

void
frames_prefetch(struct frames *fr, pgno id)
{
    struct frames_all *all = frames_all(fr);

    if (all->disk != NULL)
        frames_ahead(all, &id, 1);
}
