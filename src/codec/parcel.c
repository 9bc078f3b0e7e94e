/* codec/parcel.c - parcels of packed bytes.
 *
 *   0  4   "NQP1"
 *   4  u32 crc32c of what is packed
 *   8      varint how many bytes that is
 *   ..     blocks: u8 codec (codec/block.h, none that needs a dictionary) |
 *          varint stored length | bytes.  Each is of PARCEL_BLOCK bytes, the
 *          last one of what is left
 *
 * Whoever unpacks a parcel does so block by block, so what a wrong length in
 * it makes him take is never much more than what it really holds.
 *
 * Called by NQ.DNA ENCODE, DECODE, COMPRESS and DECOMPRESS. */
#include "codec/parcel.h"

#include "base/check.h"
#include "base/cursor.h"
#include "codec/block.h"
#include "codec/crc32c.h"

#define CRC_AT 4u
#define HEAD 8u /* bytes before the length */

static const uint8_t magic[4] = {'N', 'Q', 'P', '1'};

static uint32_t
get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
           (uint32_t)p[3] << 24;
}

static void
put_u32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

void
parcel_begin(struct buf *out, uint64_t len)
{
    nq_assert(out->len == 0);
    buf_put(out, magic, sizeof magic);
    buf_put_u32(out, 0);
    buf_put_varint(out, len);
}

/* Packs to `dst`, where there is room for one byte less than the block. */
static size_t
pack(const struct pack_opts *o, bool as_bases, struct slice block, uint8_t *dst,
     uint8_t *codec)
{
    struct block_effort effort = {
        .level = o->level, .patterns = o->patterns, .chunk = o->chunk};
    struct pack_opts opts = *o;

    if (as_bases) {
        *codec = BLOCK_DNA;
        return block_encode(BLOCK_DNA, &effort, dst, block.len - 1, block.p,
                            block.len);
    }
    opts.enabled = true;
    opts.min_size = 0;
    opts.stats = NULL;
    return pack_block(&opts, NULL, block.p, block.len, dst, block.len - 1,
                      codec);
}

void
parcel_add(struct buf *out, const struct pack_opts *o, bool as_bases,
           struct slice block)
{
    struct buf packed = BUF_INIT;
    uint8_t codec = BLOCK_RAW;
    size_t n;

    nq_assert(out->len >= HEAD && block.len <= PARCEL_BLOCK);
    if (block.len == 0)
        return;
    put_u32(out->p + CRC_AT,
            crc32c(get_u32(out->p + CRC_AT), block.p, block.len));
    n = pack(o, as_bases, block, buf_reserve(&packed, block.len), &codec);
    packed.len = n;
    buf_put_u8(out, n == 0 ? BLOCK_RAW : codec);
    buf_put_varint(out, n == 0 ? block.len : n);
    buf_put_slice(out, n == 0 ? block : buf_slice(&packed));
    buf_fini(&packed);
}

nq_rc
parcel_open(struct slice parcel, struct parcel_place *p)
{
    struct cursor c = cursor_of(parcel);
    struct slice found;

    *p = (struct parcel_place){0};
    if (!cursor_get_bytes(&c, sizeof magic, &found) ||
        memcmp(found.p, magic, sizeof magic) != 0)
        return NQ_EFORMAT;
    if (!cursor_get_u32(&c, &p->crc_want) || !cursor_get_varint(&c, &p->len))
        return NQ_ECORRUPT;
    p->left = p->len;
    p->at = parcel.len - cursor_left(&c);
    return NQ_OK;
}

nq_rc
parcel_next(struct slice parcel, struct parcel_place *p, struct parcel_block *b)
{
    struct cursor c = cursor_of(slice_of(parcel.p + p->at, parcel.len - p->at));

    if (p->left == 0)
        return cursor_left(&c) == 0 && p->crc == p->crc_want ? NQ_NOTFOUND
                                                             : NQ_ECORRUPT;
    if (!cursor_get_u8(&c, &b->codec) || !cursor_get_slice(&c, &b->stored) ||
        b->codec >= BLOCK_CODECS)
        return NQ_ECORRUPT;
    b->len = (size_t)nq_min(p->left, PARCEL_BLOCK);
    p->left -= b->len;
    p->at = parcel.len - cursor_left(&c);
    return NQ_OK;
}

nq_rc
parcel_unpack(struct parcel_place *p, const struct parcel_block *b,
              uint8_t *dst)
{
    nq_rc rc =
        unpack_block(b->codec, NULL, dst, b->len, b->stored.p, b->stored.len);

    if (rc == NQ_OK)
        p->crc = crc32c(p->crc, dst, b->len);
    return rc == NQ_OK ? NQ_OK : NQ_ECORRUPT;
}
