/* codec/crc32c_sse42.c - CRC-32C with the processor's instruction.
 *
 * The instruction takes three cycles and one can begin each cycle, so long
 * inputs go as three streams abreast: the register of the first starts at
 * `crc`, the others at 0, and a shift table moves each over the length of
 * what follows it before they are added. */
#include "codec/crc32c_int.h"

#ifdef __x86_64__

#include <nmmintrin.h>
#include <string.h>

static inline uint64_t
word_at(const uint8_t *p)
{
    uint64_t w;

    memcpy(&w, p, 8);
    return w;
}

static inline uint32_t
three_streams(uint32_t crc, const uint8_t *p, size_t len,
              const struct crc32c_shift *by_len)
{
    uint64_t a = crc, b = 0, c = 0;

    for (size_t i = 0; i < len; i += 8) {
        a = _mm_crc32_u64(a, word_at(p + i));
        b = _mm_crc32_u64(b, word_at(p + len + i));
        c = _mm_crc32_u64(c, word_at(p + 2 * len + i));
    }
    crc = crc32c_shift(by_len, (uint32_t)a) ^ (uint32_t)b;
    return crc32c_shift(by_len, crc) ^ (uint32_t)c;
}

uint32_t
crc32c_update_sse42(uint32_t crc, const uint8_t *p, size_t n,
                    const struct crc32c_shift *by_long,
                    const struct crc32c_shift *by_short)
{
    for (; n >= 3 * CRC32C_LONG; p += 3 * CRC32C_LONG, n -= 3 * CRC32C_LONG)
        crc = three_streams(crc, p, CRC32C_LONG, by_long);
    for (; n >= 3 * CRC32C_SHORT; p += 3 * CRC32C_SHORT, n -= 3 * CRC32C_SHORT)
        crc = three_streams(crc, p, CRC32C_SHORT, by_short);
    for (; n >= 8; p += 8, n -= 8)
        crc = (uint32_t)_mm_crc32_u64(crc, word_at(p));
    for (; n > 0; p++, n--)
        crc = _mm_crc32_u8(crc, *p);
    return crc;
}

#endif
