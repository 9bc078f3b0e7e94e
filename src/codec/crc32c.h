/* codec/crc32c.h - CRC-32C (Castagnoli), the checksum of all that is on disk.
 * Any thread. */
#ifndef NQ_CODEC_CRC32C_H
#define NQ_CODEC_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of what `crc` covers followed by the `n` bytes at `p`; `crc`
 * is 0 to begin with.  crc32c(0, "123456789", 9) is 0xe3069283. */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);

/* "sse4.2" or "software": what crc32c() uses on this machine. */
const char *crc32c_variant(void);

#endif
