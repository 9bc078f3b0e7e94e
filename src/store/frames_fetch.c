/* store/frames_fetch.c - pages that are not in memory. */
#include "store/frames_int.h"

nq_rc
frames_missed(struct frames *fr, pgno id, const uint8_t **out)
{
    (void)fr;
    (void)id;
    *out = NULL;
    return NQ_ECORRUPT;
}

uint32_t
frames_wanted(const struct frames *fr)
{
    (void)fr;
    return 0;
}

void
frames_forget_wanted(struct frames *fr)
{
    (void)fr;
}

void
frames_prefetch(struct frames *fr, pgno id)
{
    (void)fr;
    (void)id;
}

bool
frames_set_blocking(struct frames *fr, bool on)
{
    (void)fr;
    return on;
}

void
frames_make_room(struct frames *fr)
{
    (void)fr;
}

bool
frames_is_throttling(const struct frames *fr)
{
    (void)fr;
    return false;
}
