/* store/extent.c - encoding and checking pages on disk.
 *
 *   0   u32  magic "NQE1"
 *   4   u8   codec
 *   5   u8   kind of page
 *   6   u16  flags: 1 sealed, 2 has parity
 *   8   u32  page id
 *   12  u32  generation
 *   16  u32  raw length
 *   20  u32  length of the payload
 *   24  u64  lsn
 *   32  u32  zero
 *   36  u32  crc32c of the header up to here, then of the payload
 *   40       payload
 *   ..       zeros up to a whole sector, then parity (codec/parity.h) over
 *            all sectors before it, if there is any
 *
 * An extent is good only if the crc in it, the crc computed, and the crc in
 * the page table are one and the same: a write that was lost leaves an older
 * extent that is good in itself, and only the table can tell.  Page id and
 * generation catch extents that are somebody else's. */
#include "store/extent.h"

#include "base/check.h"
#include "base/cursor.h"
#include "codec/block.h"
#include "codec/crc32c.h"
#include "store/frames.h"

#define EXTENT_MAGIC 0x3145514eu
#define CRC_AT 36u

enum extent_flags { EXTENT_PARITY = 2 };

size_t
extent_bound(size_t raw_len)
{
    size_t n = extent_sectors((uint32_t)(EXTENT_HEADER + raw_len));

    return n + parity_size(n);
}

uint32_t
extent_space(const struct extent *x)
{
    uint32_t n = extent_sectors(x->len);

    return n + (x->has_parity ? (uint32_t)parity_size(n) : 0);
}

static uint32_t
crc_of(const uint8_t *p, size_t len)
{
    uint32_t crc = crc32c(0, p, CRC_AT);

    return crc32c(crc, p + EXTENT_HEADER, len - EXTENT_HEADER);
}

static void
put_header(uint8_t *p, const struct extent *x)
{
    uint32_t magic = EXTENT_MAGIC, payload = x->len - EXTENT_HEADER;
    uint16_t flags = x->has_parity ? EXTENT_PARITY : 0;

    memset(p, 0, EXTENT_HEADER);
    memcpy(p, &magic, 4);
    p[4] = x->codec;
    p[5] = x->kind;
    memcpy(p + 6, &flags, 2);
    memcpy(p + 8, &x->id, 4);
    memcpy(p + 12, &x->generation, 4);
    memcpy(p + 16, &x->raw_len, 4);
    memcpy(p + 20, &payload, 4);
    memcpy(p + 24, &x->lsn, 8);
}

/* What follows the payload in the file. */
static void
put_tail(const struct extent *x, uint8_t *dst)
{
    uint32_t n = extent_sectors(x->len);

    memset(dst + x->len, 0, n - x->len);
    if (x->has_parity)
        parity_encode(dst, n, dst + n);
}

void
extent_encode(struct extent *x, struct slice raw, const struct extent_env *env,
              const struct extent_style *style, uint8_t *dst, size_t cap)
{
    size_t n;

    nq_unused(env);
    nq_assert(raw.len > 0 && raw.len <= EXTENT_RAW_MAX &&
              cap >= extent_bound(raw.len) && x->id != 0 &&
              x->generation <= EXTENT_GENERATION_MAX);
    n = pack_block(&style->pack, style->dict, raw.p, raw.len,
                   dst + EXTENT_HEADER, raw.len - 1, &x->codec);
    if (n == 0) {
        x->codec = BLOCK_RAW;
        memcpy(dst + EXTENT_HEADER, raw.p, n = raw.len);
    }
    x->raw_len = (uint32_t)raw.len;
    x->len = EXTENT_HEADER + (uint32_t)n;
    x->has_parity = style->parity;
    put_header(dst, x);
    x->crc = crc_of(dst, x->len);
    memcpy(dst + CRC_AT, &x->crc, 4);
    put_tail(x, dst);
}

struct entry
extent_entry(const struct extent *x, uint64_t off)
{
    uint64_t units = (x->len + EXTENT_UNIT - 1) / EXTENT_UNIT;

    nq_assert(off % EXTENT_ALIGN == 0 && off > 0 &&
              off / EXTENT_UNIT < ENTRY_PARITY && units <= UINT16_MAX);
    return (struct entry){
        .place = off / EXTENT_UNIT | (x->has_parity ? ENTRY_PARITY : 0) |
                 units << 48,
        .crc = x->crc,
        .codec_generation = x->codec | x->generation << 8,
    };
}

static bool
is_equal(struct extent_fault *fault, const char *what, uint64_t expected,
         uint64_t found)
{
    if (expected != found)
        *fault = (struct extent_fault){what, expected, found};
    return expected == found;
}

/* Fields that the table knows. */
static bool
fits_entry(const struct extent *x, pgno id, struct entry e,
           struct extent_fault *fault)
{
    uint32_t units = (x->len + EXTENT_UNIT - 1) / EXTENT_UNIT;

    return is_equal(fault, "page id", id, x->id) &&
           is_equal(fault, "generation", entry_generation(e), x->generation) &&
           is_equal(fault, "codec", entry_codec(e), x->codec) &&
           is_equal(fault, "length", entry_len(e) / EXTENT_UNIT, units) &&
           is_equal(fault, "parity", entry_has_parity(e), x->has_parity) &&
           is_equal(fault, "checksum in the header", e.crc, x->crc);
}

static bool
is_sane(const struct extent *x, struct extent_fault *fault)
{
    bool good_kind = x->kind >= PAGE_LEAF && x->kind <= PAGE_CHUNK;

    return is_equal(fault, "kind", good_kind ? x->kind : PAGE_CHUNK, x->kind) &&
           is_equal(fault, "raw length at most", EXTENT_RAW_MAX,
                    nq_max(x->raw_len, EXTENT_RAW_MAX)) &&
           is_equal(fault, "raw length at least", 1, nq_min(x->raw_len, 1u)) &&
           (x->codec != BLOCK_RAW ||
            is_equal(fault, "raw length", x->len - EXTENT_HEADER, x->raw_len));
}

nq_rc
extent_verify(struct slice bytes, pgno id, struct entry e, struct extent *out,
              struct extent_fault *fault)
{
    struct cursor c = cursor_of(bytes);
    uint32_t magic, payload, zero32, crc;
    uint16_t flags;

    *fault = (struct extent_fault){"bytes", EXTENT_HEADER, bytes.len};
    cursor_get_u32(&c, &magic);
    cursor_get_u8(&c, &out->codec);
    cursor_get_u8(&c, &out->kind);
    cursor_get_u16(&c, &flags);
    cursor_get_u32(&c, &out->id);
    cursor_get_u32(&c, &out->generation);
    cursor_get_u32(&c, &out->raw_len);
    cursor_get_u32(&c, &payload);
    cursor_get_u64(&c, &out->lsn);
    cursor_get_u32(&c, &zero32);
    cursor_get_u32(&c, &out->crc);
    if (!cursor_ok(&c))
        return NQ_ECORRUPT;
    if (!is_equal(fault, "magic", EXTENT_MAGIC, magic) ||
        !is_equal(fault, "payload at most", cursor_left(&c),
                  nq_max(payload, cursor_left(&c))))
        return NQ_ECORRUPT;
    out->len = EXTENT_HEADER + payload;
    out->has_parity = (flags & EXTENT_PARITY) != 0;
    if (!fits_entry(out, id, e, fault))
        return NQ_ECORRUPT;
    crc = crc_of(bytes.p, out->len);
    if (!is_equal(fault, "checksum computed", e.crc, crc) ||
        !is_equal(fault, "reserved bytes", 0, (flags & 0xfffdu) | zero32) ||
        !is_sane(out, fault))
        return NQ_ECORRUPT;
    return NQ_OK;
}

struct suspect {
    uint8_t *bytes;
    pgno id;
    struct entry entry;
};

static bool
is_verified(void *arg)
{
    const struct suspect *s = arg;
    struct extent_fault fault;
    struct extent x;

    return extent_verify(slice_of(s->bytes, entry_len(s->entry)), s->id,
                         s->entry, &x, &fault) == NQ_OK;
}

unsigned
extent_repair(uint8_t *bytes, pgno id, struct entry e)
{
    struct suspect s = {bytes, id, e};
    uint32_t n = extent_sectors(entry_len(e));

    nq_assert(entry_has_parity(e));
    return parity_repair(bytes, n, bytes + n, is_verified, &s);
}

nq_rc
extent_decode(struct slice bytes, const struct extent *x,
              const struct extent_env *env, uint8_t *dst,
              struct extent_fault *fault)
{
    struct slice payload =
        slice_of(bytes.p + EXTENT_HEADER, x->len - EXTENT_HEADER);

    if (unpack_block(x->codec, env->dicts, dst, x->raw_len, payload.p,
                     payload.len) == NQ_OK)
        return NQ_OK;
    *fault = (struct extent_fault){"payload decodes to", x->raw_len, 0};
    return NQ_ECORRUPT;
}
