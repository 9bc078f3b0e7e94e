/* store/policy_s3.c - S3-FIFO, and the same with a small queue that adapts.
 *
 * What is new enters SMALL; what was used twice by the time it gets to the
 * old end of it moves on to MAIN, the rest goes and is remembered.  A page
 * that comes back while it is remembered enters MAIN at once.  MAIN goes
 * round: each use, of at most three that are counted, is one more round.  So
 * a scan passes through SMALL without touching MAIN, and nothing is moved
 * when a page is used.
 *
 * s3fifo gives SMALL a tenth of the capacity.  s3arc remembers also what goes
 * from MAIN, and moves the share of SMALL by ARC's rule: a page that comes
 * back from SMALL says that it was too small, one from MAIN that it was too
 * big. */
#include "store/policy_int.h"

enum { SMALL = 1, MAIN = 2, SMALL_GHOSTS = 3, MAIN_GHOSTS = 4 };

#define USES_MAX 3u
#define USES_TO_STAY 2u
#define SHARE_LEAST 64u /* the small queue has at least one 64th */

static void
s3_touch(struct policy *p, uint32_t item)
{
    struct item *it = item_get(p, item);

    it->uses = (uint8_t)nq_min(it->uses + 1u, USES_MAX);
}

/* One step from the old end of SMALL; 0: the item stays, in MAIN. */
static uint32_t
visit_small(struct policy *p)
{
    uint32_t item = p->lists[SMALL].oldest;

    if (item_get(p, item)->uses < USES_TO_STAY)
        return item;
    item_get(p, item)->uses = 0;
    item_move(p, item, MAIN);
    return 0;
}

static uint32_t
visit_main(struct policy *p)
{
    uint32_t item = p->lists[MAIN].oldest;

    if (item_get(p, item)->uses == 0)
        return item;
    item_get(p, item)->uses--;
    item_move(p, item, MAIN);
    return 0;
}

static uint32_t
s3_victim(struct policy *p, unsigned *steps)
{
    const struct item_list *small = &p->lists[SMALL], *main = &p->lists[MAIN];

    while (*steps > 0) {
        bool is_small = main->count == 0 ||
                        (small->count > 0 && list_weight(small) > p->target);
        uint32_t item = is_small ? visit_small(p) : visit_main(p);

        --*steps;
        if (item != 0)
            return item;
    }
    return 0;
}

/* --- s3fifo --------------------------------------------------------------- */

static void
fifo_insert(struct policy *p, uint32_t item, unsigned was)
{
    item_push(p, item, was == SMALL_GHOSTS ? MAIN : SMALL);
}

static unsigned
fifo_ghosts_of(unsigned list)
{
    return list == SMALL ? SMALL_GHOSTS : 0;
}

static void
fifo_trim(struct policy *p)
{
    ghosts_trim(p, SMALL_GHOSTS, p->capacity - p->capacity / 10);
}

const struct policy_ops policy_s3fifo_ops = {
    .insert = fifo_insert,
    .touch = s3_touch,
    .victim = s3_victim,
    .ghosts_of = fifo_ghosts_of,
    .trim = fifo_trim,
};

/* --- s3arc ---------------------------------------------------------------- */

static void
adaptive_insert(struct policy *p, uint32_t item, unsigned was)
{
    uint64_t least = nq_max(p->capacity / SHARE_LEAST, 2ull * p->unit);

    if (was != 0)
        policy_adapt(p, item_get(p, item)->weight, was, SMALL_GHOSTS,
                     MAIN_GHOSTS, nq_min(least, p->capacity / 2),
                     p->capacity - p->capacity / 10);
    item_push(p, item, was == 0 ? SMALL : MAIN);
}

static unsigned
adaptive_ghosts_of(unsigned list)
{
    return list == SMALL ? SMALL_GHOSTS : MAIN_GHOSTS;
}

static void
adaptive_trim(struct policy *p)
{
    ghosts_trim(p, SMALL_GHOSTS, p->capacity);
    ghosts_trim(p, MAIN_GHOSTS, p->capacity);
}

const struct policy_ops policy_s3arc_ops = {
    .insert = adaptive_insert,
    .touch = s3_touch,
    .victim = s3_victim,
    .ghosts_of = adaptive_ghosts_of,
    .trim = adaptive_trim,
};
