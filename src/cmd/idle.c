/* cmd/idle.c - the place of a key in the table of last uses.
 *
 * The hash only has to spread and to be cheap, as every command pays for it;
 * who finds keys that share a place gains nothing but a wrong idle time. */
#include "cmd/idle.h"

#include <string.h>

#include "base/check.h"

#define MULTIPLIER UINT64_C(0x9e3779b97f4a7c15) /* 2^64 / golden ratio */

static uint64_t
load(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    memcpy(&v, p, n);
    return v;
}

/* First and last eight bytes, and the length: where names differ. */
uint32_t
idle_place(uint32_t dbi, struct slice key)
{
    size_t n = nq_min(key.len, (size_t)8);
    uint64_t h = dbi ^ key.len << 32;

    if (n > 0) {
        h = (h ^ load(key.p, n)) * MULTIPLIER;
        h = (h ^ h >> 32 ^ load(key.p + key.len - n, n)) * MULTIPLIER;
    }
    return (uint32_t)(h >> 40) % IDLE_PLACES;
}

uint64_t
idle_seconds(const uint32_t *table, uint32_t dbi, struct slice key,
             uint64_t now_ms, uint64_t start_ms)
{
    uint32_t last = table[idle_place(dbi, key)];
    uint32_t now = (uint32_t)(now_ms >> IDLE_UNIT_SHIFT);

    if (last == 0)
        last = (uint32_t)(start_ms >> IDLE_UNIT_SHIFT);
    return ((uint64_t)(now - last) << IDLE_UNIT_SHIFT) / 1000;
}
