/* codec/parity.c - XOR over stripes of sectors.
 *
 *   stripes   512 bytes each: the XOR of sectors i, i + n, i + 2n ... of the
 *             data, where n is the number of stripes
 *   table     only if n > 1: u32 crc32c of each data sector, then u32 crc32c
 *             of those; filled up to a whole sector with zeros
 *
 * With one stripe no table is needed: each sector in turn is rebuilt and the
 * whole looked at, which is how it goes, too, if the table is damaged.
 *
 *   I1  nothing rebuilt is kept unless is_good() said so
 *
 * Called by store/extent.c. */
#include "codec/parity.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "codec/crc32c.h"

#define SECTOR PARITY_SECTOR

static size_t
stripes_of(size_t sectors)
{
    return (sectors + PARITY_STRIPE - 1) / PARITY_STRIPE;
}

static size_t
table_size(size_t sectors)
{
    size_t bytes = (sectors + 1) * 4;

    if (stripes_of(sectors) == 1)
        return 0;
    return (bytes + SECTOR - 1) / SECTOR * SECTOR;
}

static void
xor_sector(uint8_t *restrict dst, const uint8_t *restrict src)
{
    for (size_t i = 0; i < SECTOR; i += 8) {
        uint64_t a, b;

        memcpy(&a, dst + i, 8);
        memcpy(&b, src + i, 8);
        a ^= b;
        memcpy(dst + i, &a, 8);
    }
}

size_t
parity_size(size_t len)
{
    size_t sectors = len / SECTOR;

    nq_assert(len > 0 && len % SECTOR == 0);
    return stripes_of(sectors) * SECTOR + table_size(sectors);
}

void
parity_encode(const uint8_t *data, size_t len, uint8_t *dst)
{
    size_t sectors = len / SECTOR, n = stripes_of(sectors);
    uint8_t *table = dst + n * SECTOR;
    uint32_t crc;

    memset(dst, 0, parity_size(len));
    for (size_t i = 0; i < sectors; i++)
        xor_sector(dst + i % n * SECTOR, data + i * SECTOR);
    if (n == 1)
        return;
    for (size_t i = 0; i < sectors; i++) {
        crc = crc32c(0, data + i * SECTOR, SECTOR);
        memcpy(table + i * 4, &crc, 4);
    }
    crc = crc32c(0, table, sectors * 4);
    memcpy(table + sectors * 4, &crc, 4);
}

/* --- repair --------------------------------------------------------------- */

struct repair {
    uint8_t *data;
    size_t sectors, stripes;
    const uint8_t *parity, *table;
};

static void
rebuild(const struct repair *r, size_t bad)
{
    size_t stripe = bad % r->stripes;
    uint8_t *dst = r->data + bad * SECTOR;

    memcpy(dst, r->parity + stripe * SECTOR, SECTOR);
    for (size_t i = stripe; i < r->sectors; i += r->stripes) {
        if (i != bad)
            xor_sector(dst, r->data + i * SECTOR);
    }
}

static bool
is_as_told(const struct repair *r, size_t i)
{
    uint32_t crc = crc32c(0, r->data + i * SECTOR, SECTOR);

    return memcmp(&crc, r->table + i * 4, 4) == 0;
}

static bool
is_table_good(const struct repair *r)
{
    uint32_t crc;

    if (r->stripes == 1)
        return false;
    crc = crc32c(0, r->table, r->sectors * 4);
    return memcmp(&crc, r->table + r->sectors * 4, 4) == 0;
}

/* Rebuilds the one damaged sector of the stripe, if there is one; false: it
 * cannot be. */
static bool
repair_stripe(const struct repair *r, size_t stripe, unsigned *rebuilt)
{
    size_t bad = r->sectors;

    for (size_t i = stripe; i < r->sectors; i += r->stripes) {
        if (is_as_told(r, i))
            continue;
        if (bad < r->sectors)
            return false;
        bad = i;
    }
    if (bad == r->sectors)
        return true;
    rebuild(r, bad);
    ++*rebuilt;
    return is_as_told(r, bad);
}

static unsigned
repair_by_table(const struct repair *r)
{
    unsigned rebuilt = 0;

    for (size_t i = 0; i < r->stripes; i++) {
        if (!repair_stripe(r, i, &rebuilt))
            return 0;
    }
    return rebuilt;
}

static unsigned
repair_by_trial(const struct repair *r, bool (*is_good)(void *arg), void *arg)
{
    uint8_t was[SECTOR];

    for (size_t i = 0; i < r->sectors; i++) {
        memcpy(was, r->data + i * SECTOR, SECTOR);
        rebuild(r, i);
        if (is_good(arg))
            return 1;
        memcpy(r->data + i * SECTOR, was, SECTOR);
    }
    return 0;
}

unsigned
parity_repair(uint8_t *data, size_t len, const uint8_t *parity,
              bool (*is_good)(void *arg), void *arg)
{
    struct repair r = {.data = data,
                       .sectors = len / SECTOR,
                       .stripes = stripes_of(len / SECTOR),
                       .parity = parity};
    unsigned rebuilt;
    uint8_t *was;

    r.table = parity + r.stripes * SECTOR;
    if (!is_table_good(&r))
        return repair_by_trial(&r, is_good, arg);
    was = nq_memdup(data, len);
    rebuilt = repair_by_table(&r);
    if (rebuilt > 0 && !is_good(arg))
        rebuilt = 0;
    if (rebuilt == 0)
        memcpy(data, was, len);
    nq_free(was);
    return rebuilt;
}
