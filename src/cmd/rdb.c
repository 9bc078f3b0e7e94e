/* cmd/rdb.c - the frame of a payload, its lengths and its strings.
 *
 *   payload   u8 type | value | u16 version | u64 CRC-64 of all that stands
 *             before it                               (little-endian both)
 *
 *   string    by its first byte:
 *     00xxxxxx                 that many bytes follow
 *     01xxxxxx y               14 bits of length, big-endian
 *     0x80 u32, 0x81 u64       length, big-endian
 *     0xC0 i8, 0xC1 i16, 0xC2 i32   an integer, little-endian
 *     0xC3 length length bytes      LZF: length of the bytes, of the string
 *
 *   LZF       000nnnnn                  n + 1 literal bytes follow
 *             lllooooo [l] o            copy l + 2 bytes from o + 1 back; if l
 *                                       is 7, the next byte adds to it
 *
 * We never compress, write the oldest version that has the type, and use the
 * plain forms of lists, sets, hashes and sorted sets, which every version
 * reads.  Called by cmd_dump.c; the types stand in rdb_value.c. */
#include "cmd/rdb.h"

#include "base/arena.h"
#include "base/check.h"
#include "cmd/rdb_int.h"

#define RDB_VERSION 10      /* Redis 7.0 */
#define RDB_VERSION_HASH 12 /* 7.4, for fields that expire */
#define RDB_VERSION_MAX 12  /* the newest whose types are known */
#define RDB_FOOTER 10
#define BYTES_AN_ITEM 16 /* so that all take a few times the longest string */
#define SMALL_ITEMS 16
#define RDB_INT_TEXT_MAX 11 /* "-2147483648" */

enum { ENC_INT8 = 0xC0, ENC_INT16 = 0xC1, ENC_INT32 = 0xC2, ENC_LZF = 0xC3 };

/* --- checksum ------------------------------------------------------------ */

/* Of the reflected polynomial 0x95ac9329ac4bc9b5, one entry a nibble: small,
 * and DUMP is not a hot path. */
static const uint64_t crc64_table[16] = {
    UINT64_C(0x0000000000000000), UINT64_C(0x7d08ff3b88be6f81),
    UINT64_C(0xfa11fe77117cdf02), UINT64_C(0x8719014c99c2b083),
    UINT64_C(0xdf7adabd7a6e2d6f), UINT64_C(0xa2722586f2d042ee),
    UINT64_C(0x256b24ca6b12f26d), UINT64_C(0x5863dbf1e3ac9dec),
    UINT64_C(0x95ac9329ac4bc9b5), UINT64_C(0xe8a46c1224f5a634),
    UINT64_C(0x6fbd6d5ebd3716b7), UINT64_C(0x12b5926535897936),
    UINT64_C(0x4ad64994d625e4da), UINT64_C(0x37deb6af5e9b8b5b),
    UINT64_C(0xb0c7b7e3c7593bd8), UINT64_C(0xcdcf48d84fe75459),
};

uint64_t
rdb_crc64(uint64_t crc, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        crc ^= s.p[i];
        crc = (crc >> 4) ^ crc64_table[crc & 15];
        crc = (crc >> 4) ^ crc64_table[crc & 15];
    }
    return crc;
}

/* --- writing ------------------------------------------------------------- */

static void
put_big_endian(struct buf *out, uint64_t v, unsigned bytes)
{
    while (bytes-- > 0)
        buf_put_u8(out, (uint8_t)(v >> (8 * bytes)));
}

void
rdb_put_length(struct buf *out, uint64_t len)
{
    if (len < 1u << 6) {
        buf_put_u8(out, (uint8_t)len);
    } else if (len < 1u << 14) {
        put_big_endian(out, 0x4000 | len, 2);
    } else if (len <= UINT32_MAX) {
        buf_put_u8(out, 0x80);
        put_big_endian(out, len, 4);
    } else {
        buf_put_u8(out, 0x81);
        put_big_endian(out, len, 8);
    }
}

static bool
put_as_integer(struct buf *out, struct slice val)
{
    int64_t v;

    if (val.len > RDB_INT_TEXT_MAX || !slice_to_i64(val, &v) || v < INT32_MIN ||
        v > INT32_MAX)
        return false;
    if (v >= INT8_MIN && v <= INT8_MAX) {
        buf_put_u8(out, ENC_INT8);
        buf_put_u8(out, (uint8_t)v);
    } else if (v >= INT16_MIN && v <= INT16_MAX) {
        buf_put_u8(out, ENC_INT16);
        buf_put_u16(out, (uint16_t)v);
    } else {
        buf_put_u8(out, ENC_INT32);
        buf_put_u32(out, (uint32_t)v);
    }
    return true;
}

void
rdb_put_string(struct buf *out, struct slice s)
{
    if (put_as_integer(out, s))
        return;
    rdb_put_length(out, s.len);
    buf_put_slice(out, s);
}

static void
put_double(struct buf *out, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    buf_put_u64(out, bits);
}

static void
put_items(struct buf *out, enum rdb_type type, const struct rdb_value *v)
{
    buf_put_u8(out, (uint8_t)type);
    rdb_put_length(out, type == RDB_HASH ? v->count / 2 : v->count);
    for (uint64_t i = 0; i < v->count; i++) {
        rdb_put_string(out, v->items[i]);
        if (type == RDB_ZSET)
            put_double(out, v->scores[i]);
    }
}

/* The earliest expiry first, the others relative to it, from 1. */
static void
put_expiring_hash(struct buf *out, const struct rdb_value *v)
{
    uint64_t fields = v->count / 2, earliest = UINT64_MAX;

    for (uint64_t i = 0; i < fields; i++)
        if (v->expire_ms[i] != 0)
            earliest = nq_min(earliest, v->expire_ms[i]);
    buf_put_u8(out, RDB_HASH_EXPIRES);
    buf_put_u64(out, earliest);
    rdb_put_length(out, fields);
    for (uint64_t i = 0; i < fields; i++) {
        rdb_put_length(
            out, v->expire_ms[i] == 0 ? 0 : v->expire_ms[i] - earliest + 1);
        rdb_put_string(out, v->items[2 * i]);
        rdb_put_string(out, v->items[2 * i + 1]);
    }
}

static void
put_value(struct buf *out, const struct rdb_value *v)
{
    switch (v->type) {
    case DB_STRING:
        buf_put_u8(out, RDB_STRING);
        rdb_put_string(out, v->items[0]);
        break;
    case DB_LIST:
        put_items(out, RDB_LIST, v);
        break;
    case DB_SET:
        put_items(out, RDB_SET, v);
        break;
    case DB_ZSET:
        put_items(out, RDB_ZSET, v);
        break;
    case DB_HASH:
        if (v->expire_ms != NULL)
            put_expiring_hash(out, v);
        else
            put_items(out, RDB_HASH, v);
        break;
    case DB_STREAM:
        buf_put_u8(out, RDB_STREAM_2);
        rdb_put_stream(out, v->stream);
        break;
    default:
        check_failed("a type without a serialized form", __FILE__, __LINE__);
    }
}

void
rdb_encode(struct buf *out, const struct rdb_value *v)
{
    size_t start = out->len;
    bool is_new = v->type == DB_HASH && v->expire_ms != NULL;

    put_value(out, v);
    buf_put_u16(out, is_new ? RDB_VERSION_HASH : RDB_VERSION);
    buf_put_u64(out, rdb_crc64(0, slice_of(out->p + start, out->len - start)));
}

/* --- reading ------------------------------------------------------------- */

static uint64_t
get_big_endian(struct cursor *c, unsigned bytes)
{
    uint64_t v = 0;
    uint8_t b;

    while (bytes-- > 0 && cursor_get_u8(c, &b))
        v = v << 8 | b;
    return v;
}

/* A plain length whose first byte is `first`; an encoding is not one. */
static bool
get_length(struct cursor *c, uint8_t first, uint64_t *len)
{
    switch (first >> 6) {
    case 0:
        *len = first;
        break;
    case 1:
        *len = (uint64_t)(first & 0x3f) << 8 | get_big_endian(c, 1);
        break;
    case 2:
        if (first != 0x80 && first != 0x81)
            return false;
        *len = get_big_endian(c, first == 0x80 ? 4 : 8);
        break;
    default:
        return false;
    }
    return cursor_ok(c);
}

bool
rdb_get_length(struct rdb_reader *r, uint64_t *len)
{
    uint8_t first;

    return cursor_get_u8(&r->c, &first) && get_length(&r->c, first, len);
}

bool
rdb_get_count(struct rdb_reader *r, uint64_t bytes, uint64_t *n)
{
    return rdb_get_length(r, n) && *n <= cursor_left(&r->c) / bytes;
}

/* Exactly `len` bytes must come out. */
static bool
lzf_decode(struct slice in, uint8_t *dst, uint64_t len)
{
    struct cursor c = cursor_of(in);
    struct slice literal;
    uint64_t at = 0;
    uint8_t control, more = 0, low;

    while (cursor_left(&c) > 0) {
        uint64_t n, back;

        cursor_get_u8(&c, &control);
        if (control < 32) {
            n = control + 1u;
            if (n > len - at || !cursor_get_bytes(&c, n, &literal))
                return false;
            memcpy(dst + at, literal.p, n);
            at += n;
            continue;
        }
        more = 0;
        if (control >> 5 == 7)
            cursor_get_u8(&c, &more);
        cursor_get_u8(&c, &low);
        n = (control >> 5) + 2u + more;
        back = ((uint64_t)(control & 31) << 8 | low) + 1;
        if (!cursor_ok(&c) || n > len - at || back > at)
            return false;
        for (; n > 0; n--, at++) /* may overlap itself: byte by byte */
            dst[at] = dst[at - back];
    }
    return at == len;
}

static bool
get_lzf(struct rdb_reader *r, struct slice *val)
{
    uint64_t packed, len;
    struct slice in;
    uint8_t *dst;

    if (!rdb_get_length(r, &packed) || !rdb_get_length(r, &len) ||
        !cursor_get_bytes(&r->c, packed, &in))
        return false;
    /* A byte of LZF makes at most 264 / 3 bytes of output. */
    if (len > r->max_len || len > r->unpack || len > packed * 264)
        return false;
    r->unpack -= len;
    dst = arena_alloc(r->arena, len + 1);
    *val = slice_of(dst, len);
    return lzf_decode(in, dst, len);
}

static bool
get_integer(struct cursor *c, uint8_t first, struct arena *arena,
            struct slice *val)
{
    char *text = arena_alloc(arena, 24);
    uint8_t v8;
    uint16_t v16;
    uint32_t v32;
    int64_t v;

    if (first == ENC_INT8) {
        cursor_get_u8(c, &v8);
        v = (int8_t)v8;
    } else if (first == ENC_INT16) {
        cursor_get_u16(c, &v16);
        v = (int16_t)v16;
    } else {
        cursor_get_u32(c, &v32);
        v = (int32_t)v32;
    }
    *val = slice_of(text, i64_to_text(text, v));
    return cursor_ok(c);
}

bool
rdb_get_string(struct rdb_reader *r, struct slice *s)
{
    uint64_t len;
    uint8_t first;

    if (!cursor_get_u8(&r->c, &first))
        return false;
    if (first == ENC_INT8 || first == ENC_INT16 || first == ENC_INT32)
        return get_integer(&r->c, first, r->arena, s);
    if (first == ENC_LZF)
        return get_lzf(r, s);
    return get_length(&r->c, first, &len) && len <= r->max_len &&
           cursor_get_bytes(&r->c, len, s);
}

nq_rc
rdb_decode(struct slice payload, uint64_t max_len, struct arena *arena,
           struct rdb_value *out)
{
    struct rdb_reader r = {.arena = arena,
                           .max_len = max_len,
                           .unpack = max_len,
                           .items = max_len / BYTES_AN_ITEM + SMALL_ITEMS};
    struct cursor foot;
    uint16_t version;
    uint64_t crc;
    uint8_t type;

    *out = (struct rdb_value){.count = 0};
    if (payload.len < RDB_FOOTER)
        return NQ_ECORRUPT;
    r.c = cursor_of(slice_of(payload.p, payload.len - RDB_FOOTER));
    foot =
        cursor_of(slice_of(payload.p + payload.len - RDB_FOOTER, RDB_FOOTER));
    cursor_get_u16(&foot, &version);
    cursor_get_u64(&foot, &crc);
    if (version > RDB_VERSION_MAX ||
        crc != rdb_crc64(0, slice_of(payload.p, payload.len - 8)))
        return NQ_ECORRUPT;
    if (!cursor_get_u8(&r.c, &type) || !rdb_get_value(&r, type, out) ||
        cursor_left(&r.c) != 0)
        return NQ_EFORMAT;
    return NQ_OK;
}
