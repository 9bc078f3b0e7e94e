/* os/clock.h - the only source of time.  Any thread.
 * Wall time drives expiry, as in Redis; everything else is monotonic. */
#ifndef NQ_OS_CLOCK_H
#define NQ_OS_CLOCK_H

#include <stdint.h>

uint64_t clock_wall_us(void); /* since 1970 */
uint64_t clock_wall_ms(void);
uint64_t clock_mono_us(void);
uint64_t clock_mono_ms(void);
uint64_t clock_mono_ns(void);
uint64_t clock_thread_cpu_us(void);

/* Tests freeze wall time at `ms`; 0 lets it run again. */
void clock_freeze_wall(uint64_t ms);

#endif
