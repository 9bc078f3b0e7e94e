/* os/ticks.h - a stopwatch cheap enough for every command: the counter of the
 * CPU where it runs at one rate, else the monotonic clock.
 *
 * Only differences mean anything, and only on one thread.  Any thread, once
 * ticks_calibrate() has run. */
#ifndef NQ_OS_TICKS_H
#define NQ_OS_TICKS_H

#include <stdint.h>

#include "os/clock.h"

struct ticks_rate {
    uint64_t scale; /* ns of a tick, times 2^TICKS_SHIFT; 0: ticks are ns */
};

#define TICKS_SHIFT 24

/* Finds out what a tick is, in about a millisecond.  At start. */
struct ticks_rate ticks_calibrate(void);

static inline uint64_t
ticks_now(struct ticks_rate rate)
{
#ifdef __x86_64__
    if (rate.scale != 0)
        return __builtin_ia32_rdtsc();
#else
    (void)rate;
#endif
    return clock_mono_ns();
}

static inline uint64_t
ticks_to_ns(struct ticks_rate rate, uint64_t ticks)
{
    if (rate.scale == 0)
        return ticks;
    return (uint64_t)(((unsigned __int128)ticks * rate.scale) >> TICKS_SHIFT);
}

#endif
