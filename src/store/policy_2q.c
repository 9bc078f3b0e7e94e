/* store/policy_2q.c - full 2Q.
 *
 * A new page waits in A1in, first in first out, whatever it is used for
 * meanwhile: uses close together count as one.  From there it goes, and is
 * remembered in A1out; if it comes back while it is, it is hot, and enters
 * Am, which is least recently used. */
#include "store/policy_int.h"

enum { A1IN = 1, AM = 2, A1OUT = 3 };

static void
twoq_insert(struct policy *p, uint32_t item, unsigned was)
{
    item_push(p, item, was == A1OUT ? AM : A1IN);
}

static void
twoq_touch(struct policy *p, uint32_t item)
{
    if (item_get(p, item)->list == AM)
        item_move(p, item, AM);
}

static uint32_t
twoq_victim(struct policy *p, unsigned *steps)
{
    const struct item_list *in = &p->lists[A1IN], *am = &p->lists[AM];

    --*steps;
    if (am->count == 0 || (in->count > 0 && list_weight(in) > p->capacity / 4))
        return in->oldest;
    return am->oldest;
}

static unsigned
twoq_ghosts_of(unsigned list)
{
    return list == A1IN ? A1OUT : 0;
}

static void
twoq_trim(struct policy *p)
{
    ghosts_trim(p, A1OUT, p->capacity / 2);
}

const struct policy_ops policy_2q_ops = {
    .insert = twoq_insert,
    .touch = twoq_touch,
    .victim = twoq_victim,
    .ghosts_of = twoq_ghosts_of,
    .trim = twoq_trim,
};
