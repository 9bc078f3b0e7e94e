/* Any 4 KiB as a superblock.  Odd sizes say: with its checksum put right, so
 * that what stands behind the check is reached. */
#include "codec/crc32c.h"
#include "store/superblock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t b[SUPERBLOCK_SIZE] = {0}, again[SUPERBLOCK_SIZE];
    size_t n = size < sizeof b ? size : sizeof b;
    struct superblock sb;

    if (n > 0)
        memcpy(b, data, n);
    if (size % 2 == 1) {
        uint32_t crc = crc32c(0, b, SUPERBLOCK_SIZE - 4);

        memcpy(b + SUPERBLOCK_SIZE - 4, &crc, 4);
    }
    if (superblock_decode(slice_of(b, sizeof b), &sb) == NQ_OK)
        superblock_encode(again, &sb);
    return 0;
}
