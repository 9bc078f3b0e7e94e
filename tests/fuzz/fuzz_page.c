/* Any bytes as an extent: 16 bytes of table entry, 4 of page id, the extent.
 * An odd page id says: with checksums and entry put right, so that the fields
 * behind the check are reached. */
#include "base/mem.h"
#include "codec/crc32c.h"
#include "store/extent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PREFIX 20u

/* Makes extent and entry agree as far as the extent's own fields go. */
static void
put_right(uint8_t *p, size_t len, pgno id, struct entry *e)
{
    uint32_t payload, generation, crc;
    uint64_t units;

    memcpy(p + 8, &id, 4);
    memcpy(&payload, p + 20, 4);
    if (payload > len - EXTENT_HEADER)
        payload = (uint32_t)(len - EXTENT_HEADER);
    memcpy(p + 20, &payload, 4);
    memcpy(&generation, p + 12, 4);
    crc = crc32c(crc32c(0, p, 36), p + EXTENT_HEADER, payload);
    memcpy(p + 36, &crc, 4);
    units = (EXTENT_HEADER + payload + 63) / 64;
    e->place = 8 | units << 48;
    e->crc = crc;
    e->codec_generation = p[4] | generation << 8;
}

static const struct extent_env plain;

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct extent_fault why;
    struct extent x;
    struct entry e;
    uint8_t *copy;
    pgno id;

    if (size <= PREFIX)
        return 0;
    memcpy(&e, data, sizeof e);
    memcpy(&id, data + 16, sizeof id);
    size -= PREFIX;
    copy = nq_memdup(data + PREFIX, size);
    if (id % 2 == 1 && size >= EXTENT_HEADER)
        put_right(copy, size, id, &e);
    if (extent_verify(slice_of(copy, size), id, e, &x, &why) == NQ_OK) {
        uint8_t *raw = nq_malloc(x.raw_len);

        (void)!extent_decode(slice_of(copy, size), &x, &plain, raw, &why);
        nq_free(raw);
    }
    nq_free(copy);
    return 0;
}
