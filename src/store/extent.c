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
 *   32  u32  number of the data key; 0: not sealed
 *   36  u32  crc32c of the header up to here, then of the payload
 *   40       payload; sealed: nonce (12), what was encrypted, tag (16)
 *   ..       zeros up to a whole sector, then parity (codec/parity.h) over
 *            all sectors before it, if there is any
 *
 * Written: packed, sealed, summed, parity.  The seal vouches for the header
 * (0..35) too, so a payload fits no other page, generation or codec.
 *
 * An extent is good only if the crc in it, the crc computed, and the crc in
 * the page table are one and the same: a write that was lost leaves an older
 * extent that is good in itself, and only the table can tell.  Page id and
 * generation catch extents that are somebody else's. */
#include "store/extent.h"

#include "base/check.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "codec/block.h"
#include "codec/crc32c.h"
#include "os/clock.h"
#include "store/dict_samples.h"
#include "store/frames.h"
#include "store/keyring.h"
#include "store/page.h"

#define EXTENT_MAGIC 0x3145514eu
#define CRC_AT 36u
#define LEVEL_USUAL 6u /* of compression */
#define SEAL_MORE (SEAL_NONCE + SEAL_TAG)

enum extent_flags { EXTENT_SEALED = 1, EXTENT_PARITY = 2 };

size_t
extent_bound(size_t raw_len)
{
    size_t n = extent_sectors((uint32_t)(EXTENT_HEADER + SEAL_MORE + raw_len));

    return n + parity_size(n);
}

uint32_t
extent_space(const struct extent *x)
{
    uint32_t n = extent_sectors(x->len);

    return n + (x->has_parity ? (uint32_t)parity_size(n) : 0);
}

static uint32_t
crc_of(const uint8_t *header, const uint8_t *payload, size_t len)
{
    return crc32c(crc32c(0, header, CRC_AT), payload, len);
}

static uint16_t
flags_of(const struct extent *x)
{
    return (uint16_t)((x->key != 0 ? EXTENT_SEALED : 0) |
                      (x->has_parity ? EXTENT_PARITY : 0));
}

static void
put_header(uint8_t *p, const struct extent *x)
{
    uint32_t magic = EXTENT_MAGIC, payload = x->len - EXTENT_HEADER;
    uint16_t flags = flags_of(x);

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
    memcpy(p + 32, &x->key, 4);
}

/* --- the three steps ------------------------------------------------------ */

/* Bytes of the payload that are not the packed page. */
static uint32_t
seal_more(const struct extent *x)
{
    return x->key != 0 ? SEAL_MORE : 0;
}

/* The dictionary that `style` names, or that of the keys in a leaf. */
static const struct dict *
find_dict(const struct extent *x, struct slice raw,
          const struct extent_env *env, const struct extent_style *style)
{
    uint8_t buf[DICT_PREFIX_MAX];
    struct slice prefix;

    if (env->dicts == NULL || !style->pack.dictionaries)
        return NULL;
    if (style->dict != NULL || x->kind != PAGE_LEAF ||
        !dict_samples_prefix(raw, buf, &prefix))
        return style->dict;
    return dicts_pick(env->dicts, prefix);
}

static void
move_level(uint8_t *level, int by, unsigned most)
{
    if (*level > 0 && *level <= most)
        *level = (uint8_t)nq_max(*level + by, 1);
}

/* One level faster takes a third less time for pages, and half a percent more
 * bytes; two levels slower save a twentieth.  Who asks for high levels gets
 * them as they are. */
static struct pack_opts
opts_of(const struct extent *x, const struct extent_style *style)
{
    struct pack_opts o = style->pack;
    int by = 0;

    if (style->care == EXTENT_AT_REST)
        by = 2;
    else if (style->care == EXTENT_HURRIED && x->kind != PAGE_CHUNK)
        by = -1;
    move_level(&o.level, by, LEVEL_USUAL);
    move_level(&o.text_level, by, LEVEL_USUAL);
    move_level(&o.integer_level, by, LEVEL_USUAL);
    move_level(&o.blob_level, by, LEVEL_USUAL);
    return o;
}

/* Packs `raw` to where a payload goes; returns how many bytes. */
static size_t
pack_payload(struct extent *x, struct slice raw, const struct extent_env *env,
             const struct extent_style *style, uint8_t *dst)
{
    struct pack_stats *stats = style->pack.stats;
    uint64_t began = stats == NULL ? 0 : clock_thread_cpu_us();
    struct pack_opts o = opts_of(x, style);
    _Alignas(8) uint8_t tidy[FRAMES_PAGE_MAX];
    size_t n;

    /* What is left of old records would cost a tenth of the packed page. */
    if (style->has_trees && x->kind != PAGE_CHUNK && o.enabled &&
        raw.len <= sizeof tidy && page_tidy(raw.p, raw.len, tidy))
        raw.p = tidy;
    n = pack_block(&o, find_dict(x, raw, env, style), raw.p, raw.len, dst,
                   raw.len - 1, &x->codec);

    if (stats != NULL)
        pack_stats_add(&stats->pack_us, clock_thread_cpu_us() - began);
    if (n > 0)
        return n;
    x->codec = BLOCK_RAW;
    memcpy(dst, raw.p, raw.len);
    return raw.len;
}

/* Seals a packed payload, in an extent whose header is complete but for the
 * checksum. */
static nq_rc
seal_payload(const struct extent *x, const struct keyring_use *use,
             uint8_t *extent)
{
    uint8_t *p = extent + EXTENT_HEADER;
    size_t n = x->len - EXTENT_HEADER - SEAL_MORE;

    memcpy(p, use->nonce, SEAL_NONCE);
    p += SEAL_NONCE;
    return seal_bytes(use->key, use->nonce, slice_of(extent, CRC_AT), p, n,
                      p + n);
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

nq_rc
extent_encode(struct extent *x, struct slice raw, const struct extent_env *env,
              const struct extent_style *style, uint8_t *dst, size_t cap)
{
    struct keyring_use use = {.number = 0};
    nq_rc rc = NQ_OK;

    nq_assert(raw.len > 0 && raw.len <= EXTENT_RAW_MAX &&
              cap >= extent_bound(raw.len) && x->id != 0 &&
              x->generation <= EXTENT_GENERATION_MAX);
    if (env->keys != NULL)
        keyring_next(env->keys, KEYRING_EXTENT, &use);
    x->key = use.number;
    x->has_parity = style->parity;
    x->raw_len = (uint32_t)raw.len;
    x->len = EXTENT_HEADER + seal_more(x);
    x->len += (uint32_t)pack_payload(x, raw, env, style,
                                     dst + EXTENT_HEADER +
                                         (x->key != 0 ? SEAL_NONCE : 0));
    put_header(dst, x);
    if (x->key != 0)
        rc = seal_payload(x, &use, dst);
    x->crc = crc_of(dst, dst + EXTENT_HEADER, x->len - EXTENT_HEADER);
    memcpy(dst + CRC_AT, &x->crc, 4);
    put_tail(x, dst);
    return rc;
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
           is_equal(fault, "payload at least", seal_more(x) + 1,
                    nq_min(x->len - EXTENT_HEADER, seal_more(x) + 1)) &&
           (x->codec != BLOCK_RAW ||
            is_equal(fault, "raw length", x->len - EXTENT_HEADER - seal_more(x),
                     x->raw_len));
}

/* The header's fields as they stand there; false: it is none. */
static bool
get_header(struct slice bytes, struct extent *out, uint16_t *flags,
           uint64_t *payload)
{
    struct cursor c = cursor_of(bytes);
    uint32_t magic, len;

    cursor_get_u32(&c, &magic);
    cursor_get_u8(&c, &out->codec);
    cursor_get_u8(&c, &out->kind);
    cursor_get_u16(&c, flags);
    cursor_get_u32(&c, &out->id);
    cursor_get_u32(&c, &out->generation);
    cursor_get_u32(&c, &out->raw_len);
    cursor_get_u32(&c, &len);
    cursor_get_u64(&c, &out->lsn);
    cursor_get_u32(&c, &out->key);
    cursor_get_u32(&c, &out->crc);
    *payload = len;
    out->len = EXTENT_HEADER + len;
    out->has_parity = (*flags & EXTENT_PARITY) != 0;
    return cursor_ok(&c) && magic == EXTENT_MAGIC;
}

bool
extent_peek(struct slice bytes, struct extent *out)
{
    struct extent_fault fault;
    uint64_t payload;
    uint16_t flags;

    return get_header(bytes, out, &flags, &payload) && out->id != 0 &&
           out->generation <= EXTENT_GENERATION_MAX && payload > 0 &&
           payload <= EXTENT_RAW_MAX + SEAL_MORE && is_sane(out, &fault);
}

nq_rc
extent_verify_parts(struct slice header, struct slice rest, pgno id,
                    struct entry e, struct extent *out,
                    struct extent_fault *fault)
{
    uint64_t payload;
    uint16_t flags;
    uint32_t crc;

    *fault = (struct extent_fault){"bytes", EXTENT_HEADER, header.len};
    if (header.len < EXTENT_HEADER)
        return NQ_ECORRUPT;
    *fault = (struct extent_fault){"magic", EXTENT_MAGIC, 0};
    memcpy(&fault->found, header.p, 4);
    if (!get_header(header, out, &flags, &payload) ||
        !is_equal(fault, "payload at most", rest.len,
                  nq_max(payload, (uint64_t)rest.len)) ||
        !fits_entry(out, id, e, fault))
        return NQ_ECORRUPT;
    crc = crc_of(header.p, rest.p, out->len - EXTENT_HEADER);
    if (!is_equal(fault, "checksum computed", e.crc, crc) ||
        !is_equal(fault, "flags", flags_of(out), flags) || !is_sane(out, fault))
        return NQ_ECORRUPT;
    return NQ_OK;
}

nq_rc
extent_verify(struct slice bytes, pgno id, struct entry e, struct extent *out,
              struct extent_fault *fault)
{
    size_t n = nq_min(bytes.len, (size_t)EXTENT_HEADER);

    return extent_verify_parts(slice_of(bytes.p, n),
                               slice_of(bytes.p + n, bytes.len - n), id, e, out,
                               fault);
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

/* Opens the sealed payload of a verified extent into dst. */
static nq_rc
open_payload(struct slice bytes, const struct extent *x,
             const struct extent_env *env, uint8_t *dst,
             struct extent_fault *fault)
{
    const uint8_t *p = bytes.p + EXTENT_HEADER;
    size_t n = x->len - EXTENT_HEADER - SEAL_MORE;
    struct seal_key *key =
        env->keys == NULL ? NULL : keyring_find(env->keys, x->key);

    *fault = (struct extent_fault){"data key in " KEYRING_FILE, x->key, 0};
    if (key == NULL)
        return NQ_ECORRUPT;
    *fault = (struct extent_fault){"seal that holds", 1, 0};
    return unseal_bytes(key, p, slice_of(bytes.p, CRC_AT), dst, p + SEAL_NONCE,
                        n, p + SEAL_NONCE + n);
}

/* The packed payload as it was before it was sealed; *owned is to be freed. */
static nq_rc
plain_payload(struct slice bytes, const struct extent *x,
              const struct extent_env *env, struct slice *out, uint8_t **owned,
              struct extent_fault *fault)
{
    size_t n = x->len - EXTENT_HEADER - seal_more(x);

    *owned = NULL;
    if (x->key == 0) {
        *fault = (struct extent_fault){"sealed", 1, 0};
        *out = slice_of(bytes.p + EXTENT_HEADER, n);
        return env->keys != NULL && keyring_is_complete(env->keys) ? NQ_ECORRUPT
                                                                   : NQ_OK;
    }
    *owned = nq_malloc(n);
    *out = slice_of(*owned, n);
    return open_payload(bytes, x, env, *owned, fault);
}

nq_rc
extent_decode(struct slice bytes, const struct extent *x,
              const struct extent_env *env, uint8_t *dst,
              struct extent_fault *fault)
{
    struct slice payload;
    uint8_t *owned;
    nq_rc rc;

    if (x->codec == BLOCK_RAW && x->key != 0)
        return open_payload(bytes, x, env, dst, fault);
    rc = plain_payload(bytes, x, env, &payload, &owned, fault);
    if (rc == NQ_OK && unpack_block(x->codec, env->dicts, dst, x->raw_len,
                                    payload.p, payload.len) != NQ_OK) {
        *fault = (struct extent_fault){"payload decodes to", x->raw_len, 0};
        if (x->codec > BLOCK_DICT0 &&
            dicts_get(env->dicts, x->codec - BLOCK_DICT0) == NULL)
            *fault = (struct extent_fault){"dictionary number",
                                           x->codec - BLOCK_DICT0, 0};
        rc = NQ_ECORRUPT;
    }
    nq_free(owned);
    return rc;
}
