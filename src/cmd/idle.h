/* cmd/idle.h - how long ago a key was used last, for OBJECT IDLETIME.
 *
 * Loop thread only.  A table of fixed size, indexed by a hash of the key,
 * holds the time of the last use: keys that share a place share the younger
 * time, so an answer may be too small, never too large.  Times wrap after
 * eight years. */
#ifndef NQ_CMD_IDLE_H
#define NQ_CMD_IDLE_H

#include <stdint.h>

#include "base/slice.h"

#define IDLE_PLACES 262144u /* of 4 bytes */
#define IDLE_UNIT_SHIFT 6   /* times are in 64 ms */

/* Which place is a key's. */
uint32_t idle_place(uint32_t dbi, struct slice key);

static inline void
idle_touch(uint32_t *table, uint32_t dbi, struct slice key, uint64_t now_ms)
{
    table[idle_place(dbi, key)] = (uint32_t)(now_ms >> IDLE_UNIT_SHIFT);
}

/* As if it had been used `seconds` ago. */
static inline void
idle_set(uint32_t *table, uint32_t dbi, struct slice key, uint64_t now_ms,
         uint64_t seconds)
{
    uint64_t ago_ms = seconds < now_ms / 1000 ? seconds * 1000 : now_ms;

    idle_touch(table, dbi, key, now_ms - ago_ms);
}

/* In seconds; since `start_ms` if it was not used at all. */
uint64_t idle_seconds(const uint32_t *table, uint32_t dbi, struct slice key,
                      uint64_t now_ms, uint64_t start_ms);

#endif
