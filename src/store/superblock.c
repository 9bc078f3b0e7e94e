/* store/superblock.c - encoding, checking and choosing superblocks.
 *
 *   offset          what (little-endian)
 *   0               "NQDBDATA"
 *   8   u32         version
 *   12  u32         page size
 *   16  u32         codecs
 *   20  u8[16]      uuid
 *   36  u64         sequence
 *   44  u64         lsn
 *   52  u64         log salt
 *   60  u8          clean mark
 *   61  u64         length of the log, if clean
 *   69  u64         wall clock, us
 *   77  u64         file length
 *   85  u32         next page id
 *   89  part        catalog   { u64 offset, u64 length, u32 crc }
 *   109 part        page table base
 *   129 u32         deltas, 0 .. 64
 *   133 part[64]    their places, oldest first; unused ones are zero
 *   1413 u32        number of the newest data key; 0: not encrypted
 *   ..              zero
 *   4092 u32        crc32c of all before it
 *
 * Each copy stands in a 4 KiB block of its own; copy A carries the even
 * sequence numbers, copy B the odd ones. */
#include "store/superblock.h"

#include "base/check.h"
#include "base/cursor.h"
#include "base/log.h"
#include "codec/crc32c.h"
#include "os/file.h"
#include "store/corrupt.h"

static const uint8_t magic[8] = "NQDBDATA";

#define CRC_AT (SUPERBLOCK_SIZE - 4)
#define PART_SIZE 20u

#define KEY_AT (133 + PART_SIZE * SUPERBLOCK_DELTAS)

_Static_assert(KEY_AT == 1413 && KEY_AT + 4 <= CRC_AT,
               "all deltas have their place");

static uint8_t *
put(uint8_t *p, const void *v, size_t n)
{
    memcpy(p, v, n);
    return p + n;
}

static uint8_t *
put_part(uint8_t *p, const struct part *part)
{
    p = put(p, &part->off, 8);
    p = put(p, &part->len, 8);
    return put(p, &part->crc, 4);
}

void
superblock_encode(uint8_t dst[SUPERBLOCK_SIZE], const struct superblock *sb)
{
    uint32_t version = SUPERBLOCK_VERSION, crc;
    uint8_t clean = sb->is_clean, *p = dst;

    nq_assert(sb->deltas_count <= SUPERBLOCK_DELTAS);
    memset(dst, 0, SUPERBLOCK_SIZE);
    p = put(p, magic, sizeof magic);
    p = put(p, &version, 4);
    p = put(p, &sb->page_size, 4);
    p = put(p, &sb->codecs, 4);
    p = put(p, sb->uuid, sizeof sb->uuid);
    p = put(p, &sb->sequence, 8);
    p = put(p, &sb->lsn, 8);
    p = put(p, &sb->log_salt, 8);
    p = put(p, &clean, 1);
    p = put(p, &sb->log_end, 8);
    p = put(p, &sb->wall_us, 8);
    p = put(p, &sb->file_bytes, 8);
    p = put(p, &sb->next_id, 4);
    p = put_part(p, &sb->catalog);
    p = put_part(p, &sb->base);
    p = put(p, &sb->deltas_count, 4);
    for (uint32_t i = 0; i < sb->deltas_count; i++)
        p = put_part(p, &sb->deltas[i]);
    memcpy(dst + KEY_AT, &sb->key, 4);
    crc = crc32c(0, dst, CRC_AT);
    memcpy(dst + CRC_AT, &crc, 4);
}

/* --- decoding ------------------------------------------------------------- */

static void
get_part(struct cursor *c, struct part *out)
{
    cursor_get_u64(c, &out->off);
    cursor_get_u64(c, &out->len);
    cursor_get_u32(c, &out->crc);
}

static bool
part_fits(const struct part *p, uint64_t file_bytes)
{
    return p->len == 0 ||
           (p->off >= SUPERBLOCK_AREA && p->off % 512 == 0 &&
            p->len <= file_bytes && p->off <= file_bytes - p->len);
}

/* The checksum holds, so a field out of range is our own mistake or malice;
 * it is refused like damage all the same. */
static bool
is_sane(const struct superblock *sb, uint8_t clean)
{
    bool good = sb->page_size >= 512 && sb->page_size <= 65536 &&
                (sb->page_size & (sb->page_size - 1)) == 0 && clean <= 1 &&
                sb->next_id > 0 && sb->deltas_count <= SUPERBLOCK_DELTAS &&
                part_fits(&sb->catalog, sb->file_bytes) &&
                part_fits(&sb->base, sb->file_bytes);

    for (uint32_t i = 0; good && i < sb->deltas_count; i++)
        good = part_fits(&sb->deltas[i], sb->file_bytes);
    return good;
}

static void
get_fields(struct cursor *c, struct superblock *out, uint8_t *clean)
{
    struct slice uuid;

    cursor_get_u32(c, &out->page_size);
    cursor_get_u32(c, &out->codecs);
    if (cursor_get_bytes(c, sizeof out->uuid, &uuid))
        memcpy(out->uuid, uuid.p, uuid.len);
    cursor_get_u64(c, &out->sequence);
    cursor_get_u64(c, &out->lsn);
    cursor_get_u64(c, &out->log_salt);
    cursor_get_u8(c, clean);
    cursor_get_u64(c, &out->log_end);
    cursor_get_u64(c, &out->wall_us);
    cursor_get_u64(c, &out->file_bytes);
    cursor_get_u32(c, &out->next_id);
    get_part(c, &out->catalog);
    get_part(c, &out->base);
    cursor_get_u32(c, &out->deltas_count);
    for (uint32_t i = 0; i < SUPERBLOCK_DELTAS; i++)
        get_part(c, &out->deltas[i]);
    cursor_get_u32(c, &out->key);
    out->is_clean = *clean == 1;
}

nq_rc
superblock_decode(struct slice src, struct superblock *out)
{
    struct cursor c = cursor_of(src);
    struct slice got;
    uint32_t version, crc;
    uint8_t clean;

    memset(out, 0, sizeof *out);
    if (src.len != SUPERBLOCK_SIZE ||
        !cursor_get_bytes(&c, sizeof magic, &got) ||
        memcmp(got.p, magic, sizeof magic) != 0)
        return NQ_EFORMAT;
    memcpy(&crc, src.p + CRC_AT, 4);
    if (crc != crc32c(0, src.p, CRC_AT))
        return NQ_ECORRUPT;
    cursor_get_u32(&c, &version);
    if (version != SUPERBLOCK_VERSION)
        return NQ_EFORMAT;
    get_fields(&c, out, &clean);
    return cursor_ok(&c) && is_sane(out, clean) ? NQ_OK : NQ_ECORRUPT;
}

/* --- the two copies ------------------------------------------------------- */

static nq_rc
read_copy(struct file *f, uint64_t at, struct superblock *out)
{
    uint8_t b[SUPERBLOCK_SIZE];
    nq_rc rc = file_read(f, b, sizeof b, at);

    if (rc == NQ_OK)
        rc = superblock_decode(slice_of(b, sizeof b), out);
    if (rc == NQ_OK && (out->sequence % 2 == 0) != (at == SUPERBLOCK_AT_A))
        rc = NQ_ECORRUPT;
    return rc;
}

nq_rc
superblock_read(struct file *f, struct superblock *out)
{
    struct superblock b;
    nq_rc rc_a = read_copy(f, SUPERBLOCK_AT_A, out);
    nq_rc rc_b = read_copy(f, SUPERBLOCK_AT_B, &b);

    if (rc_a == NQ_EIO || rc_b == NQ_EIO)
        return NQ_EIO;
    if (rc_a != NQ_OK && rc_b != NQ_OK) {
        log_error("%s: no valid superblock: copy A at 0: %s; copy B at %u: %s",
                  file_path(f), rc_name(rc_a), SUPERBLOCK_AT_B, rc_name(rc_b));
        return rc_a == NQ_EFORMAT && rc_b == NQ_EFORMAT ? NQ_EFORMAT
                                                        : NQ_ECORRUPT;
    }
    if (rc_a != NQ_OK || rc_b != NQ_OK)
        (void)NQ_CORRUPT(
            "%s: superblock copy %c at %u is damaged (%s); going "
            "on with the other, sequence %llu",
            file_path(f), rc_a != NQ_OK ? 'A' : 'B',
            rc_a != NQ_OK ? SUPERBLOCK_AT_A : SUPERBLOCK_AT_B,
            rc_name(rc_a != NQ_OK ? rc_a : rc_b),
            (unsigned long long)(rc_a != NQ_OK ? b.sequence : out->sequence));
    if (rc_a != NQ_OK || (rc_b == NQ_OK && b.sequence > out->sequence))
        *out = b;
    return NQ_OK;
}

void
superblock_check_copies(struct file *f, nq_rc rc[2])
{
    struct superblock sb;

    rc[0] = read_copy(f, SUPERBLOCK_AT_A, &sb);
    rc[1] = read_copy(f, SUPERBLOCK_AT_B, &sb);
}

nq_rc
superblock_write(struct file *f, const struct superblock *sb)
{
    uint8_t b[SUPERBLOCK_SIZE];

    superblock_encode(b, sb);
    return file_write(f, b, sizeof b,
                      sb->sequence % 2 == 0 ? SUPERBLOCK_AT_A
                                            : SUPERBLOCK_AT_B);
}

static nq_rc
publish_one(struct file *f, struct superblock *sb)
{
    struct superblock next = *sb;
    nq_rc rc;

    next.sequence++;
    if ((rc = superblock_write(f, &next)) == NQ_OK)
        rc = file_sync(f);
    if (rc == NQ_OK)
        sb->sequence = next.sequence;
    return rc;
}

nq_rc
superblock_publish(struct file *f, struct superblock *sb)
{
    nq_rc rc = publish_one(f, sb);

    if (rc == NQ_OK && publish_one(f, sb) != NQ_OK)
        log_warn("%s: the second superblock could not be written; the first "
                 "is good",
                 file_path(f));
    return rc;
}
