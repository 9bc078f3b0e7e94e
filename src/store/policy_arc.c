/* store/policy_arc.c - ARC, the adaptive replacement cache.
 *
 * T1 holds what was used once lately, T2 what was used more often; B1 and B2
 * remember what went from them.  A page that comes back from B1 says that T1
 * is too small, one from B2 that it is too big: `target` is the weight T1
 * should have.  Here a page comes in before another one goes, so T1 goes
 * first when it exceeds the target with the newcomer in it. */
#include "store/policy_int.h"

enum { T1 = 1, T2 = 2, B1 = 3, B2 = 4 };

static void
arc_insert(struct policy *p, uint32_t item, unsigned was)
{
    if (was != 0)
        policy_adapt(p, item_get(p, item)->weight, was, B1, B2, 0, p->capacity);
    item_push(p, item, was == 0 ? T1 : T2);
}

static void
arc_touch(struct policy *p, uint32_t item)
{
    item_move(p, item, T2);
}

static uint32_t
arc_victim(struct policy *p, unsigned *steps)
{
    const struct item_list *t1 = &p->lists[T1], *t2 = &p->lists[T2];

    --*steps;
    if (t2->count == 0 || (t1->count > 0 && list_weight(t1) > p->target))
        return t1->oldest;
    return t2->oldest;
}

static unsigned
arc_ghosts_of(unsigned list)
{
    return list == T1 ? B1 : B2;
}

/* T1 and B1 together remember one capacity, all four lists two. */
static void
arc_trim(struct policy *p)
{
    uint64_t t1 = nq_min(list_weight(&p->lists[T1]), p->capacity);
    uint64_t in = list_weight(&p->lists[T1]) + list_weight(&p->lists[T2]);
    uint64_t most;

    ghosts_trim(p, B1, p->capacity - t1);
    most = 2 * p->capacity - nq_min(in + p->lists[B1].weight, 2 * p->capacity);
    ghosts_trim(p, B2, most);
}

const struct policy_ops policy_arc_ops = {
    .insert = arc_insert,
    .touch = arc_touch,
    .victim = arc_victim,
    .ghosts_of = arc_ghosts_of,
    .trim = arc_trim,
};
