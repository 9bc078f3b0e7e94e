/* os/ticks.c - whether the CPU's counter can be trusted, and its rate.
 *
 * It can if the CPU says that it never stops nor changes its rate; reading it
 * takes a third of what clock_gettime() takes.  Called by cmd/engine. */
#include "os/ticks.h"

#ifdef __x86_64__
#include <cpuid.h>
#endif

#define CALIBRATE_NS 1000000
#define LEAF_POWER 0x80000007
#define INVARIANT_TSC (1u << 8) /* edx */

#ifdef __x86_64__
static int
is_counter_invariant(void)
{
    unsigned a, b, c, d;

    return __get_cpuid(LEAF_POWER, &a, &b, &c, &d) && d & INVARIANT_TSC;
}

struct ticks_rate
ticks_calibrate(void)
{
    uint64_t ns, ticks, first_ns, first;

    if (!is_counter_invariant())
        return (struct ticks_rate){0};
    first_ns = clock_mono_ns();
    first = __builtin_ia32_rdtsc();
    do {
        ns = clock_mono_ns() - first_ns;
        ticks = __builtin_ia32_rdtsc() - first;
    } while (ns < CALIBRATE_NS);
    if (ticks == 0)
        return (struct ticks_rate){0};
    return (struct ticks_rate){(ns << TICKS_SHIFT) / ticks};
}
#else
struct ticks_rate
ticks_calibrate(void)
{
    return (struct ticks_rate){0};
}
#endif
