/* codec/crc32c.c - tables, the software variant, and the choice.
 *
 * The register is bit-reflected: bit 31 is the coefficient of x^0, and the
 * polynomial 0x1EDC6F41 reads 0x82F63B78.  Software goes eight bytes a step
 * ("slicing by 8", Kounavis and Berry, 2005): bytes[k][v] is the register
 * after byte v and k zero bytes.
 *
 * All tables are filled, and the variant is chosen, before main() begins;
 * from then on they are only read. */
#include "codec/crc32c.h"

#include <stdbool.h>
#include <string.h>

#include "codec/crc32c_int.h"

#define POLYNOMIAL 0x82f63b78u

static struct {
    uint32_t bytes[8][256];
    struct crc32c_shift by_long, by_short;
    bool has_sse42;
} tables;

static void
fill_bytes(void)
{
    for (uint32_t v = 0; v < 256; v++) {
        uint32_t crc = v;

        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? POLYNOMIAL : 0);
        tables.bytes[0][v] = crc;
    }
    for (unsigned k = 1; k < 8; k++) {
        for (uint32_t v = 0; v < 256; v++) {
            uint32_t crc = tables.bytes[k - 1][v];

            tables.bytes[k][v] = crc >> 8 ^ tables.bytes[0][crc & 0xff];
        }
    }
}

/* Shifting is linear: the image of a register is the sum of the images of
 * its bits. */
static void
fill_shift(struct crc32c_shift *s, size_t zeros)
{
    for (unsigned byte = 0; byte < 4; byte++) {
        s->table[byte][0] = 0;
        for (unsigned bit = 0; bit < 8; bit++) {
            uint32_t crc = 1u << (8 * byte + bit);

            for (size_t i = 0; i < zeros; i++)
                crc = crc >> 8 ^ tables.bytes[0][crc & 0xff];
            for (unsigned v = 0; v < 1u << bit; v++)
                s->table[byte][v | 1u << bit] = s->table[byte][v] ^ crc;
        }
    }
}

__attribute__((constructor)) static void
fill_tables(void)
{
    fill_bytes();
    fill_shift(&tables.by_long, CRC32C_LONG);
    fill_shift(&tables.by_short, CRC32C_SHORT);
#ifdef __x86_64__
    __builtin_cpu_init();
    tables.has_sse42 = __builtin_cpu_supports("sse4.2");
#endif
}

uint32_t
crc32c_update_software(uint32_t crc, const uint8_t *p, size_t n)
{
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t w;

        memcpy(&w, p, 8);
        w ^= crc;
        crc =
            tables.bytes[7][w & 0xff] ^ tables.bytes[6][w >> 8 & 0xff] ^
            tables.bytes[5][w >> 16 & 0xff] ^ tables.bytes[4][w >> 24 & 0xff] ^
            tables.bytes[3][w >> 32 & 0xff] ^ tables.bytes[2][w >> 40 & 0xff] ^
            tables.bytes[1][w >> 48 & 0xff] ^ tables.bytes[0][w >> 56];
    }
    for (; n > 0; p++, n--)
        crc = crc >> 8 ^ tables.bytes[0][(crc ^ *p) & 0xff];
    return crc;
}

uint32_t
crc32c(uint32_t crc, const void *p, size_t n)
{
#ifdef __x86_64__
    if (tables.has_sse42)
        return ~crc32c_update_sse42(~crc, p, n, &tables.by_long,
                                    &tables.by_short);
#endif
    return ~crc32c_update_software(~crc, p, n);
}

const char *
crc32c_variant(void)
{
    return tables.has_sse42 ? "sse4.2" : "software";
}
