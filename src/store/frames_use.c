/* store/frames_use.c - which pages are used, and how much: what the eviction
 * policy and the hot pages live on.
 *
 * A use costs one comparison while frame.used says that it is noted already.
 * Else the frame is put into `noted`; frames_make_room() drains that to the
 * policy.  So all uses of a page between two drains, about one turn of the
 * loop, count as one: what a probe, the command and its second try touch is
 * one reference, as in a trace.
 *
 * While the pool is far from full nothing is going to be evicted soon.  Then a
 * page is noted once in many requests only: enough for the policy to know what
 * is hot by the time it matters.
 *
 * A walk in key order comes to each leaf more than once: it is parked, or has
 * used up its slice, and seeks its place again.  That is no sign of a page
 * that will be used again, so the uses of a walk do not count, but for the one
 * that a page was fetched for.
 *
 *   U1  a mapped frame has an item in the policy, any other has none
 *   U2  an item is set aside only while its frame must stay (E2 in
 *       frames_evict.c) */
#include "base/mem.h"
#include "store/frames_hot.h"
#include "store/frames_int.h"

#define NOTED_MAX 16384u
/* Between two notes of a page, far from full. */
#define REQUESTS_LEAST 512u
#define REQUESTS_EACH 8u /* for each frame in use */
#define WALK_LOOKS 8u    /* how far back in `noted` a walk's leaf may be */

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
    all->spared = 0;
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
        frame_is_evictable(all, f, m)) {
        policy_put_back(all->policy, m->item);
        all->spared = 0;
    }
}

/* --- noting --------------------------------------------------------------- */

static uint8_t *
used_of(struct frames_all *all, uint32_t f)
{
    return frame_is_chunk(f) ? &chunk_get(all, f)->used : &all->pub.used[f];
}

void
frames_note_use(struct frames *fr, uint32_t f)
{
    struct frames_all *all = frames_all(fr);
    uint8_t *used = used_of(all, f);

    *used |= USE_FLUSHER;
    if ((*used & USE_NOTED) != 0)
        return;
    if (all->noted != NULL) {
        if (all->noted_count == NOTED_MAX)
            return; /* the next use tries again */
        all->noted[all->noted_count++] = f;
    }
    *used |= USE_NOTED;
}

/* From here on each page is noted again at its next use. */
static void
note_all_again(struct frames_all *all)
{
    all->noted_hits = all->pub.hits;
    memset(all->pub.used, USE_FLUSHER, all->frames_top);
    for (uint32_t i = 0; i < all->chunks_top; i++)
        all->chunk[i].used = USE_FLUSHER;
}

void
frames_note_walk(struct frames_all *all, pgno leaf)
{
    uint32_t f = all->pub.frame_of[leaf];
    uint32_t last = all->noted_count;

    if (frame_is_mark(f) || frame_is_chunk(f))
        return;
    for (unsigned n = 0; n < WALK_LOOKS && last > 0; n++) {
        if (all->noted[--last] == f) {
            all->pub.used[f] |= USE_WALKED;
            return;
        }
    }
}

static void
drain_one(struct frames_all *all, uint32_t f)
{
    bool is_walk;
    uint8_t *used;
    struct frame *m;

    if (frame_is_chunk(f) ? f - FRAME_CHUNK0 >= all->chunks_top
                          : f >= all->frames_top)
        return;
    m = frame_get(all, f);
    if (m->id == 0 || m->item == 0)
        return; /* given up since */
    used = used_of(all, f);
    is_walk = (*used & USE_WALKED) != 0;
    *used &= (uint8_t) ~(all->is_close ? USE_NOTED | USE_WALKED : USE_WALKED);
    all->ahead_used += policy_is_unused(all->policy, m->item);
    if (is_walk && !policy_is_fresh(all->policy, m->item))
        return;
    policy_touch(all->policy, m->item);
    if (!frame_is_chunk(f))
        hot_count(all, f);
}

/* Eviction is near, or no more: pages are noted once in each turn, or once
 * in so many requests that it costs nothing. */
static void
look_how_close(struct frames_all *all)
{
    uint64_t used = frames_used_bytes(all);
    uint64_t requests = all->pub.hits - all->noted_hits;

    if (all->is_close) {
        all->is_close = used >= all->pool_bytes / 4 * 3;
    } else if (nq_unlikely(used > all->pool_bytes / 8 * 7)) {
        all->is_close = true;
        note_all_again(all);
    } else if (requests >
               REQUESTS_LEAST + REQUESTS_EACH * (uint64_t)all->used) {
        note_all_again(all);
    }
}

void
frames_drain_uses(struct frames_all *all)
{
    for (uint32_t i = 0; i < all->noted_count; i++)
        drain_one(all, all->noted[i]);
    all->noted_count = 0;
    hot_cool_some(all);
    look_how_close(all);
}

void
frames_use_init(struct frames_all *all)
{
    all->noted = nq_malloc(NOTED_MAX * sizeof *all->noted);
}
