/* codec/pieces.c - a block as pieces.
 *
 *   0   u8   log2 of the size of a piece; the last one may be shorter
 *   1        for each piece: u8 codec, u24 bytes, little-endian; then these
 *
 * The codec of a piece is none that needs a dictionary, nor pieces. */
#include "codec/pieces.h"

#include "base/check.h"
#include "base/cursor.h"
#include "codec/block.h"

#define PIECE_HEADER 4u

static unsigned
shift_of(size_t piece)
{
    size_t at_least = nq_max(nq_min(piece, PIECES_MAX), PIECES_MIN);

    return 63u - (unsigned)__builtin_clzll(at_least);
}

size_t
pieces_encode(size_t piece, pieces_fn *fn, void *arg, void *dst, size_t cap,
              const void *src, size_t len)
{
    unsigned shift = shift_of(piece);
    uint8_t *out = dst, *end = out + cap;
    const uint8_t *p = src;

    if (cap < 1)
        return 0;
    *out++ = (uint8_t)shift;
    while (len > 0) {
        size_t some = nq_min(len, (size_t)1 << shift), n;
        uint8_t codec = BLOCK_RAW;
        uint32_t header;

        if ((size_t)(end - out) < PIECE_HEADER)
            return 0;
        n = fn(arg, p, some, out + PIECE_HEADER,
               nq_min(some - 1, (size_t)(end - out) - PIECE_HEADER), &codec);
        if (n == 0) {
            if ((size_t)(end - out) - PIECE_HEADER < some)
                return 0;
            codec = BLOCK_RAW;
            memcpy(out + PIECE_HEADER, p, n = some);
        }
        header = codec | (uint32_t)n << 8;
        memcpy(out, &header, sizeof header);
        out += PIECE_HEADER + n;
        p += some;
        len -= some;
    }
    return (size_t)(out - (uint8_t *)dst);
}

nq_rc
pieces_decode(void *dst, size_t raw_len, const void *src, size_t len)
{
    struct cursor c = cursor_of(slice_of(src, len));
    uint8_t shift = 0, *out = dst;

    cursor_get_u8(&c, &shift);
    if (!cursor_ok(&c) || shift < shift_of(PIECES_MIN) ||
        shift > shift_of(PIECES_MAX))
        return NQ_ECORRUPT;
    while (raw_len > 0) {
        size_t some = nq_min(raw_len, (size_t)1 << shift);
        uint32_t header = 0;
        struct slice packed;
        nq_rc rc;

        cursor_get_u32(&c, &header);
        cursor_get_bytes(&c, header >> 8, &packed);
        if (!cursor_ok(&c) || (header & 0xff) >= BLOCK_PIECES)
            return NQ_ECORRUPT;
        rc = block_decode((enum block_codec)(header & 0xff), out, some,
                          packed.p, packed.len);
        if (rc != NQ_OK)
            return rc;
        out += some;
        raw_len -= some;
    }
    return cursor_left(&c) == 0 ? NQ_OK : NQ_ECORRUPT;
}
