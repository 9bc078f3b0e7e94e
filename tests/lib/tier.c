/* tests/lib/tier.c - the second tier, switched off. */
#include "tier.h"

#include "store/frames_int.h"

void
tier_forget(struct frames *fr)
{
    frames_all(fr)->tier_cap = 0;
}
