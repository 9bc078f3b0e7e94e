/* store/frames_ahead.c - reading pages before anybody asks for them.
 *
 * They are read like others, some by each job (frames_read.c).  A job's share
 * is small, so a read that a command waits for never stands long behind it.
 *
 * What the kernel has in memory is left alone: whoever needs it reads it in
 * less time than a worker takes to be woken. */
#include "base/mem.h"
#include "os/file.h"
#include "store/flush.h"
#include "store/frames_int.h"
#include "store/pagetable.h"

bool
frames_are_all_resident(const struct frames_all *all)
{
    return all->disk == NULL || all->pages <= all->used + all->chunks_used;
}

bool
frames_may_read_ahead(const struct frames_all *all)
{
    return all->tuning.ahead_most > 0 && !all->is_blocking;
}

/* Does the kernel have all of it?  Its ends may be in memory as parts of its
 * neighbours. */
static bool
is_in_second_tier(struct frames_all *all, struct entry e)
{
    return entry_len(e) <= all->tier_cap &&
           extent_is_at_hand(all->disk->file, e, &all->into);
}

void
frames_ahead(struct frames_all *all, const pgno *ids, unsigned n)
{
    for (unsigned i = 0; i < n && !frames_is_crowded(all); i++) {
        struct entry e;

        if (all->pub.frame_of[ids[i]] != 0)
            continue;
        e = pagetable_get(all->disk->table, ids[i]);
        if (!entry_is_none(e) && !is_in_second_tier(all, e))
            frames_read_begin(all, ids[i], e, POLICY_AHEAD);
    }
    frames_read_send(all);
}

void
frames_prefetch(struct frames *fr, pgno id)
{
    struct frames_all *all = frames_all(fr);

    if (all->disk != NULL)
        frames_ahead(all, &id, 1);
}
