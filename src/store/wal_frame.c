/* store/wal_frame.c - the bytes of a frame and of its records.
 *
 *   frame   0  u32 crc32c   of the segment's salt (8 bytes), then 4..length
 *           4  u32 count    records
 *           8  u64 length   48 bits: bytes with header and padding, a
 *                           multiple of 8; 16 bits: flags, 1 sealed
 *          16  u64 lsn      byte position of the frame in the log
 *          24  u64 durable  all below this was durable when it was written
 *          32  u64 time     wall clock, microseconds
 *          40  records, then zeros up to a multiple of 8
 *
 *   sealed 40  u32 number of the data key
 *          44  u8[12] nonce
 *          56  u8[16] tag   of the segment's salt, 4..55 and what follows
 *          72  records and zeros, encrypted
 *
 *   record  effect u8, db varint, key length varint, key,
 *           arguments' length varint, arguments
 *
 * I1  A frame is good only at its own LSN and under the salt of its segment:
 *     what a recycled file still holds never checks.
 * I2  Frames begin at multiples of 8, so that a search for good frames
 *     behind a bad one has few places to look at. */
#include "store/wal_int.h"

#include <string.h>

#include "base/check.h"
#include "codec/crc32c.h"

static uint32_t
frame_crc(const uint8_t *p, uint64_t length, uint64_t salt)
{
    uint32_t crc = crc32c(0, &salt, sizeof salt);

    return crc32c(crc, p + sizeof(uint32_t), length - sizeof(uint32_t));
}

void
wal_frame_finish(uint8_t *p, uint64_t length, uint64_t salt)
{
    uint32_t crc = frame_crc(p, length, salt);

    memcpy(p, &crc, sizeof crc);
}

const char *
wal_frame_header(struct slice bytes, lsn want, uint64_t room,
                 struct wal_frame *out)
{
    uint64_t length, head;

    if (bytes.len < WAL_FRAME_HEADER || room < WAL_FRAME_HEADER)
        return "a frame header";
    memcpy(out, bytes.p, sizeof *out);
    length = wal_frame_length(out);
    head = wal_frame_is_sealed(out) ? WAL_SEALED_HEADER : WAL_FRAME_HEADER;
    if (out->lsn != want)
        return "a frame with the LSN of this place";
    if (length <= head || length % WAL_ALIGN != 0 || length > room)
        return "a frame whose length fits";
    if ((out->length & ~WAL_SEALED) != length || out->count == 0 ||
        out->durable > want)
        return "a frame of this version";
    return NULL;
}

bool
wal_frame_checks(struct slice frame, uint64_t salt)
{
    uint32_t crc;

    nq_assert(frame.len > WAL_FRAME_HEADER);
    memcpy(&crc, frame.p, sizeof crc);
    return crc == frame_crc(frame.p, frame.len, salt);
}

bool
wal_record_get(struct cursor *c, struct wal_record *out)
{
    uint64_t db;

    cursor_get_u8(c, &out->effect);
    cursor_get_varint(c, &db);
    cursor_get_slice(c, &out->key);
    cursor_get_slice(c, &out->args);
    out->db = (uint32_t)db;
    return cursor_ok(c) && db <= UINT32_MAX;
}
