/* store/policy_lru.c - one list: lru and clock.
 *
 * lru moves what is used to the new end.  clock only notes the use, and lets
 * what was used since it last came by go round once more. */
#include "store/policy_int.h"

enum { QUEUE = 1 };

static void
insert(struct policy *p, uint32_t item, unsigned was)
{
    (void)was;
    item_push(p, item, QUEUE);
}

static unsigned
no_ghosts(unsigned list)
{
    (void)list;
    return 0;
}

static void
nothing_to_trim(struct policy *p)
{
    (void)p;
}

/* --- lru ------------------------------------------------------------------ */

static void
lru_touch(struct policy *p, uint32_t item)
{
    item_move(p, item, QUEUE);
}

static uint32_t
lru_victim(struct policy *p, unsigned *steps)
{
    --*steps;
    return p->lists[QUEUE].oldest;
}

const struct policy_ops policy_lru_ops = {
    .insert = insert,
    .touch = lru_touch,
    .victim = lru_victim,
    .ghosts_of = no_ghosts,
    .trim = nothing_to_trim,
};

/* --- clock ---------------------------------------------------------------- */

static void
clock_touch(struct policy *p, uint32_t item)
{
    item_get(p, item)->uses = 1;
}

static uint32_t
clock_victim(struct policy *p, unsigned *steps)
{
    while (*steps > 0) {
        uint32_t item = p->lists[QUEUE].oldest;

        --*steps;
        if (item_get(p, item)->uses == 0)
            return item;
        item_get(p, item)->uses = 0;
        item_move(p, item, QUEUE);
    }
    return 0;
}

const struct policy_ops policy_clock_ops = {
    .insert = insert,
    .touch = clock_touch,
    .victim = clock_victim,
    .ghosts_of = no_ghosts,
    .trim = nothing_to_trim,
};
