/* store/policy.c - second chance with a memory of four rounds.
 *
 * A page that was used since the hand passed last is spared, and gains heat
 * unless it is fresh: the uses right after its reading are the reading's own.
 * So a page must be used in two different rounds to count as warm, and a scan
 * that touches everything once pushes out only itself.  Heat is what keeps a
 * page that was not used: one round for each degree. */
#include "store/policy.h"

#define FRESH 0x80u
#define HEAT_MAX 3u

uint8_t
policy_first(enum policy_origin origin)
{
    return origin == POLICY_NEW ? FRESH | 1u : FRESH;
}

bool
policy_visit(uint8_t *heat, uint8_t *referenced)
{
    uint8_t degrees = *heat & HEAT_MAX;
    bool was_used = *referenced != 0;

    *referenced = 0;
    if (was_used && (*heat & FRESH) == 0 && degrees < HEAT_MAX)
        degrees++;
    if (!was_used && degrees == 0)
        return true;
    if (!was_used)
        degrees--;
    *heat = degrees;
    return false;
}
