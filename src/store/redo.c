/* store/redo.c - makes pages in doubt dirty, a few a turn. */
#include "store/redo.h"

#include "base/log.h"
#include "base/mem.h"
#include "store/flush.h"
#include "store/frames_int.h"
#include "store/pagetable.h"

#define REDO_AT_ONCE 32u

static void
add(void *arg, pgno id)
{
    struct redo *r = arg;

    if (r->count == r->cap) {
        r->cap = r->cap == 0 ? 64 : r->cap * 2;
        r->ids = nq_realloc(r->ids, r->cap * sizeof *r->ids);
    }
    r->ids[r->count++] = id;
}

void
redo_collect(struct redo *r, struct disk *d)
{
    pagetable_each_changed(d->table, add, r);
    log_warn("the sync of the data file failed; %u pages written since the "
             "last one are written again",
             r->count);
}

/* True if there is nothing more to do for it: it is in memory and dirty, or
 * gone, or damaged. */
static bool
make_dirty(struct frames_all *all, pgno id)
{
    uint32_t f = all->pub.frame_of[id];
    struct frame *m;

    if (f == FRAME_DAMAGED ||
        entry_is_none(pagetable_get(all->disk->table, id)))
        return true;
    if (frame_is_mark(f))
        return false;
    m = frame_get(all, f);
    if (m->list == FRAME_ON_NONE && !m->is_flushing)
        frame_set_dirty(all, f);
    return true;
}

static void
on_ready(struct frames_wait *w)
{
    struct redo *r = nq_container(w, struct redo, wait);
    struct frames_all *all = r->disk->frames;
    uint32_t kept = r->count - r->fetched;

    for (uint32_t i = kept; i < r->count; i++) {
        if (!make_dirty(all, r->ids[i]))
            r->ids[kept++] = r->ids[i];
    }
    r->count = kept;
    r->fetched = 0;
    frames_fetch_end(&all->pub, w);
}

void
redo_turn(struct redo *r, struct disk *d)
{
    struct frames *fr = &d->frames->pub;
    const uint8_t *page;
    uint32_t n;

    if (r->count == 0 || r->fetched > 0)
        return;
    r->disk = d;
    r->wait.ready = on_ready;
    frames_forget_wanted(fr);
    n = nq_min(r->count, REDO_AT_ONCE);
    for (uint32_t i = r->count - n; i < r->count; i++) {
        pgno id = r->ids[i];

        /* One that was freed since has no extent, and needs nothing. */
        if ((fr->frame_of[id] == 0 || fr->frame_of[id] == FRAME_LOADING) &&
            !entry_is_none(pagetable_get(d->table, id)))
            (void)!frames_missed(fr, id, &page);
    }
    r->fetched = n;
    frames_fetch(fr, &r->wait);
}

bool
redo_is_done(const struct redo *r)
{
    return r->count == 0;
}

void
redo_fini(struct redo *r)
{
    if (r->disk != NULL)
        frames_fetch_end(&r->disk->frames->pub, &r->wait);
    nq_free(r->ids);
}
