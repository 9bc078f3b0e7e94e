/* os/clock.c - clock_gettime, and a wall clock that tests can stop. */
#include "os/clock.h"

#include <time.h>

static uint64_t frozen_ms; /* 0: running; any thread reads it */

static uint64_t
now_ns(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t
clock_wall_us(void)
{
    uint64_t ms = __atomic_load_n(&frozen_ms, __ATOMIC_RELAXED);

    return ms != 0 ? ms * 1000 : now_ns(CLOCK_REALTIME) / 1000;
}

uint64_t
clock_wall_ms(void)
{
    return clock_wall_us() / 1000;
}

uint64_t
clock_mono_us(void)
{
    return now_ns(CLOCK_MONOTONIC) / 1000;
}

uint64_t
clock_mono_ms(void)
{
    return now_ns(CLOCK_MONOTONIC) / 1000000;
}

uint64_t
clock_mono_ns(void)
{
    return now_ns(CLOCK_MONOTONIC);
}

uint64_t
clock_thread_cpu_us(void)
{
    return now_ns(CLOCK_THREAD_CPUTIME_ID) / 1000;
}

void
clock_freeze_wall(uint64_t ms)
{
    __atomic_store_n(&frozen_ms, ms, __ATOMIC_RELAXED);
}
