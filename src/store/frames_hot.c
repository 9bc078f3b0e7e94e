/* store/frames_hot.c - which pages are hot: counts that fade, and a list.
 *
 *   H1  hot.frames[heat[f].at] == f for every frame f with is_hot, and the
 *       list holds no others
 *
 * Nothing is halved when a round ends: each count knows its round, and what
 * has passed since is taken off when it is read. */
#include "store/frames_hot.h"

#include <sys/mman.h>

#include "base/mem.h"
#include "store/frames_int.h"

#define ROUND_USES 32u /* for each frame of the pool */
#define COOL_STEPS 4u  /* hot pages looked at by one call */

struct frame_heat {
    uint16_t uses;
    uint16_t round;
    uint32_t at; /* in hot.frames, valid if the frame is_hot */
};

void
hot_init(struct frames_all *all)
{
    void *p = mmap(NULL, all->frames_max * sizeof(struct frame_heat),
                   PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    nq_assert(p != MAP_FAILED);
    all->hot.heat = p;
}

void
hot_fini(struct frames_all *all)
{
    if (all->hot.heat != NULL)
        (void)munmap(all->hot.heat,
                     all->frames_max * sizeof(struct frame_heat));
    nq_free(all->hot.frames);
}

void
hot_reset(struct frames_all *all, uint32_t f)
{
    nq_dassert(!all->frame[f].is_hot);
    all->hot.heat[f] = (struct frame_heat){.round = all->hot.round};
}

static uint32_t
uses_now(const struct hot_pages *hot, const struct frame_heat *h)
{
    uint16_t passed = (uint16_t)(hot->round - h->round);

    return passed > 15 ? 0 : (uint32_t)h->uses >> passed;
}

static bool
is_beyond_cap(const struct frames_all *all, uint32_t count)
{
    return (uint64_t)count << all->pub.page_shift > all->hot.cap;
}

static void
add(struct frames_all *all, uint32_t f)
{
    struct hot_pages *hot = &all->hot;

    if (is_beyond_cap(all, hot->count + 1))
        return;
    if (hot->count == hot->room) {
        hot->room = hot->room == 0 ? 64 : hot->room * 2;
        hot->frames = nq_realloc(hot->frames, hot->room * sizeof *hot->frames);
    }
    hot->heat[f].at = hot->count;
    hot->frames[hot->count++] = f;
    all->frame[f].is_hot = true;
}

void
hot_let_go(struct frames_all *all, uint32_t f)
{
    struct hot_pages *hot = &all->hot;
    uint32_t at = hot->heat[f].at, last;

    nq_dassert(all->frame[f].is_hot && hot->frames[at] == f); /* H1 */
    last = hot->frames[--hot->count];
    hot->frames[at] = last;
    hot->heat[last].at = at;
    all->frame[f].is_hot = false;
}

void
hot_succeed(struct frames_all *all, uint32_t f, uint32_t g)
{
    struct hot_pages *hot = &all->hot;

    hot->heat[g] = hot->heat[f];
    all->frame[g].is_hot = all->frame[f].is_hot;
    all->frame[f].is_hot = false;
    if (all->frame[g].is_hot)
        hot->frames[hot->heat[g].at] = g;
}

void
hot_count(struct frames_all *all, uint32_t f)
{
    struct hot_pages *hot = &all->hot;
    struct frame_heat *h = &hot->heat[f];
    uint32_t uses;

    if (hot->threshold == 0)
        return;
    if (++hot->uses > ROUND_USES * (all->pool_bytes >> all->pub.page_shift)) {
        hot->uses = 0;
        hot->round++;
    }
    uses = nq_min(uses_now(hot, h) + 1, (uint32_t)UINT16_MAX);
    h->uses = (uint16_t)uses;
    h->round = hot->round;
    if (uses >= hot->threshold && !all->frame[f].is_hot)
        add(all, f);
}

/* The next hot page in turn. */
static void
cool_one(struct frames_all *all)
{
    struct hot_pages *hot = &all->hot;
    uint32_t f;

    hot->hand = (hot->hand + 1) % hot->count;
    f = hot->frames[hot->hand];
    if (hot->threshold > 0 && !is_beyond_cap(all, hot->count) &&
        uses_now(hot, &hot->heat[f]) >= hot->threshold / 2)
        return;
    hot_let_go(all, f);
    frame_may_go(all, f);
}

void
hot_cool_some(struct frames_all *all)
{
    for (unsigned n = 0; n < COOL_STEPS && all->hot.count > 0; n++)
        cool_one(all);
}
