/* codec/crc32c_int.h - the variants behind crc32c(), equal by test.  They
 * work on the bare register: no inversion before or after.  Any thread. */
#ifndef NQ_CODEC_CRC32C_INT_H
#define NQ_CODEC_CRC32C_INT_H

#include <stddef.h>
#include <stdint.h>

/* Lengths of the three streams that the hardware variant runs abreast. */
#define CRC32C_LONG 1024u
#define CRC32C_SHORT 128u

/* table[b][v]: the register holding v in byte b (from the lowest), after
 * some fixed number of zero bytes went through. */
struct crc32c_shift {
    uint32_t table[4][256];
};

static inline uint32_t
crc32c_shift(const struct crc32c_shift *s, uint32_t crc)
{
    return s->table[0][crc & 0xff] ^ s->table[1][crc >> 8 & 0xff] ^
           s->table[2][crc >> 16 & 0xff] ^ s->table[3][crc >> 24];
}

uint32_t crc32c_update_software(uint32_t crc, const uint8_t *p, size_t n);

/* Only where the processor has SSE 4.2.  The tables shift by CRC32C_LONG and
 * CRC32C_SHORT bytes. */
uint32_t crc32c_update_sse42(uint32_t crc, const uint8_t *p, size_t n,
                             const struct crc32c_shift *by_long,
                             const struct crc32c_shift *by_short);

#endif
