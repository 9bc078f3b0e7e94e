/* store/frames_use.c - which pages are used, and how much: what the eviction
 * policy and the hot pages live on.
 *
 * A use costs one comparison while frame.used says that it is noted already.
 * Else the frame is put into `noted`; frames_make_room() drains that to the
 * policy.  So all uses of a page between two drains, about one turn of the
 * loop, count as one: what a probe, the command and its second try touch is
 * one reference, as in a trace.
 *
 * While the pool is far from full nothing is going to be evicted, and what is
 * used is not noted at all: frames stand in the policy in the order in which
 * they came.
 *
 *   U1  a mapped frame has an item in the policy, any other has none
 *   U2  an item is set aside only while its frame must stay (E2 in
 *       frames_evict.c) */
#include "base/mem.h"
#include "store/frames_hot.h"
#include "store/frames_int.h"

#define NOTED_MAX 16384u

/* --- frames and items ----------------------------------------------------- */

static bool
is_inner(const struct frame *m)
{
    return m->kind == PAGE_INNER;
}

void
frame_enter(struct frames_all *all, uint32_t f, enum policy_origin origin)
{
    struct frame *m = frame_get(all, f);

    if (all->policy == NULL)
        return;
    nq_dassert(m->item == 0);
    m->item = policy_insert(all->policy, m->id, f,
                            (uint32_t)frame_weight(all, f), origin);
    all->inner += is_inner(m);
    if (!frame_is_chunk(f))
        hot_reset(all, f);
}

void
frame_leave(struct frames_all *all, uint32_t f)
{
    struct frame *m = frame_get(all, f);

    if (m->item == 0)
        return;
    if (m->is_hot)
        hot_let_go(all, f);
    policy_remove(all->policy, m->item);
    m->item = 0;
    all->inner -= is_inner(m);
}

void
frame_succeed(struct frames_all *all, uint32_t f, uint32_t g)
{
    struct frame *m = frame_get(all, f), *n = frame_get(all, g);

    n->holds = m->holds;
    m->holds = 0;
    if (m->item == 0)
        return;
    n->item = m->item;
    m->item = 0;
    policy_set_owner(all->policy, n->item, g);
    policy_set_weight(all->policy, n->item, (uint32_t)frame_weight(all, g));
    if (!frame_is_chunk(f))
        hot_succeed(all, f, g);
}

void
frame_may_go(struct frames_all *all, uint32_t f)
{
    struct frame *m = frame_get(all, f);

    if (m->item != 0 && policy_is_aside(all->policy, m->item) &&
        frame_is_evictable(all, f, m))
        policy_put_back(all->policy, m->item);
}

/* --- noting --------------------------------------------------------------- */

static uint8_t *
used_of(struct frames_all *all, uint32_t f)
{
    return frame_is_chunk(f) ? &chunk_get(all, f)->used : &all->pub.used[f];
}

/* The first use of a page that was read ahead. */
static void
count_ahead(struct frames_all *all, const struct frame *m)
{
    if (m->item == 0 || !policy_is_unused(all->policy, m->item))
        return;
    all->ahead_used++;
    policy_touch(all->policy, m->item);
}

void
frames_note_use(struct frames *fr, uint32_t f)
{
    struct frames_all *all = frames_all(fr);
    uint8_t *used = used_of(all, f);

    *used |= USE_FLUSHER;
    if ((*used & USE_NOTED) != 0)
        return;
    if (!all->is_noting) {
        count_ahead(all, frame_get(all, f));
    } else {
        if (all->noted_count == NOTED_MAX)
            return; /* the next use tries again */
        all->noted[all->noted_count++] = f;
    }
    *used |= USE_NOTED;
}

/* From here on what is used is noted, or no more. */
static void
set_noting(struct frames_all *all, bool on)
{
    if (on && all->noted == NULL)
        all->noted = nq_malloc(NOTED_MAX * sizeof *all->noted);
    all->is_noting = on;
    all->noted_count = 0;
    memset(all->pub.used, USE_FLUSHER, all->frames_top);
    for (uint32_t i = 0; i < all->chunks_top; i++)
        all->chunk[i].used = USE_FLUSHER;
}

static void
drain_one(struct frames_all *all, uint32_t f)
{
    struct frame *m;

    if (frame_is_chunk(f) ? f - FRAME_CHUNK0 >= all->chunks_top
                          : f >= all->frames_top)
        return;
    m = frame_get(all, f);
    if (m->id == 0 || m->item == 0)
        return; /* given up since */
    *used_of(all, f) &= (uint8_t)~USE_NOTED;
    all->ahead_used += policy_is_unused(all->policy, m->item);
    policy_touch(all->policy, m->item);
    if (!frame_is_chunk(f))
        hot_count(all, f);
}

void
frames_drain_uses(struct frames_all *all)
{
    uint64_t used = frames_used_bytes(all);

    if (!all->is_noting) {
        if (nq_unlikely(used > all->pool_bytes / 8 * 7))
            set_noting(all, true);
        return;
    }
    for (uint32_t i = 0; i < all->noted_count; i++)
        drain_one(all, all->noted[i]);
    all->noted_count = 0;
    hot_cool_some(all);
    if (used < all->pool_bytes / 4 * 3)
        set_noting(all, false);
}
