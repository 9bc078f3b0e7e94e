/* store/policy.h - which page to give up.
 *
 * Pure functions of one byte a frame and its reference bit, so that another
 * policy, or one that learns, can take this place.  The hand that goes round
 * is the evictor's (frames_evict.c). */
#ifndef NQ_STORE_POLICY_H
#define NQ_STORE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

enum policy_origin {
    POLICY_NEW,     /* a page just made */
    POLICY_FETCHED, /* read because a command asked for it */
    POLICY_AHEAD,   /* read before anybody asked */
};

/* What a frame's byte starts with. */
uint8_t policy_first(enum policy_origin origin);
/* The hand passes a frame: true if its page is to go.  Clears the bit. */
bool policy_visit(uint8_t *heat, uint8_t *referenced);

#endif
