/* cmd/rdb_packed.c - listpack, ziplist, intset.
 *
 *   listpack  u32 bytes in all | u16 elements, 65535: count them | elements |
 *             0xFF; an element is its code, its data, and the length of both
 *             in 7-bit groups, most significant first, all but the first
 *             with the high bit set, to be read backwards
 *     0xxxxxxx                 an integer of 7 bits
 *     10xxxxxx                 a string of so many bytes
 *     110xxxxx y               a signed integer of 13 bits, big-endian
 *     1110xxxx y               a string, 12 bits of length, big-endian
 *     0xF0 u32                 a string
 *     0xF1 i16, 0xF2 i24, 0xF3 i32, 0xF4 i64
 *
 *   ziplist   u32 bytes in all | u32 offset of the last | u16 elements |
 *             elements | 0xFF; an element is the length of the one before it
 *             (u8, or 0xFE u32), its code, its data
 *     00xxxxxx, 01xxxxxx y, 0x80 u32   a string; lengths are big-endian
 *     0xC0 i16, 0xD0 i32, 0xE0 i64, 0xF0 i24, 0xFE i8
 *     0xF1 to 0xFD             the integers 0 to 12
 *
 *   intset    u32 bytes an integer: 2, 4, 8 | u32 integers | integers
 *
 * Integers are little-endian but where it is said.  Called by the rdb files. */
#include "cmd/rdb_packed.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/cursor.h"

#define LISTPACK_HEADER 6
#define PACKED_END 0xFF
#define INTEGER_TEXT_MAX 20 /* "-9223372036854775808" */

void
slices_put(struct slices *s, struct slice item)
{
    if (s->count == s->max) {
        s->is_overfull = true;
        return;
    }
    if (s->count == s->cap) {
        uint64_t cap = nq_max(16u, 2 * s->cap);
        struct slice *more = arena_alloc(s->arena, cap * sizeof *more);

        if (s->count > 0)
            memcpy(more, s->at, s->count * sizeof *more);
        s->at = more;
        s->cap = cap;
    }
    s->at[s->count++] = item;
}

static void
put_integer(struct slices *s, int64_t v)
{
    char *text;

    if (s->is_overfull)
        return;
    text = arena_alloc(s->arena, INTEGER_TEXT_MAX + 1);
    slices_put(s, slice_of(text, i64_to_text(text, v)));
}

static bool
get_big_endian(struct cursor *c, unsigned bytes, uint64_t *v)
{
    uint8_t b;

    for (*v = 0; bytes > 0 && cursor_get_u8(c, &b); bytes--)
        *v = *v << 8 | b;
    return cursor_ok(c);
}

/* A signed little-endian integer of `bytes` bytes. */
static bool
get_integer(struct cursor *c, unsigned bytes, int64_t *v)
{
    uint64_t u = 0;
    uint8_t b;

    for (unsigned i = 0; i < bytes && cursor_get_u8(c, &b); i++)
        u |= (uint64_t)b << (8 * i);
    *v = (int64_t)(u << (64 - 8 * bytes)) >> (64 - 8 * bytes);
    return cursor_ok(c);
}

static bool
take_integer(struct cursor *c, unsigned bytes, struct slices *out)
{
    int64_t v;

    if (!get_integer(c, bytes, &v))
        return false;
    put_integer(out, v);
    return true;
}

static bool
take_string(struct cursor *c, uint64_t len, struct slices *out)
{
    struct slice s;

    if (!cursor_get_bytes(c, len, &s))
        return false;
    slices_put(out, s);
    return true;
}

/* --- listpack ------------------------------------------------------------ */

/* Bytes of the length that ends an element of `len` bytes. */
static unsigned
back_size(size_t len)
{
    if (len <= 127)
        return 1;
    if (len < 16383)
        return 2;
    if (len < 2097151)
        return 3;
    return len < 268435455 ? 4 : 5;
}

static bool
take_listpack_wide(struct cursor *c, uint8_t code, struct slices *out)
{
    uint32_t len;

    switch (code) {
    case 0xF0:
        return cursor_get_u32(c, &len) && take_string(c, len, out);
    case 0xF1:
        return take_integer(c, 2, out);
    case 0xF2:
        return take_integer(c, 3, out);
    case 0xF3:
        return take_integer(c, 4, out);
    case 0xF4:
        return take_integer(c, 8, out);
    default:
        return false;
    }
}

static bool
take_listpack_data(struct cursor *c, uint8_t code, struct slices *out)
{
    uint8_t low;

    if (code < 0x80) {
        put_integer(out, code);
        return true;
    }
    if (code < 0xC0)
        return take_string(c, code & 0x3f, out);
    if (code >= 0xF0)
        return take_listpack_wide(c, code, out);
    if (!cursor_get_u8(c, &low))
        return false;
    if (code >= 0xE0)
        return take_string(c, (uint64_t)(code & 0x0f) << 8 | low, out);
    put_integer(
        out,
        (int64_t)((uint64_t)(code & 0x1f) << 59 | (uint64_t)low << 51) >> 51);
    return true;
}

bool
listpack_decode(struct slice in, struct slices *out)
{
    struct cursor c = cursor_of(in);
    uint64_t before = out->count;
    uint32_t bytes;
    uint16_t count;
    uint8_t code;

    cursor_get_u32(&c, &bytes);
    cursor_get_u16(&c, &count);
    if (!cursor_ok(&c) || bytes != in.len)
        return false;
    while (cursor_get_u8(&c, &code) && code != PACKED_END) {
        size_t left = cursor_left(&c);

        if (!take_listpack_data(&c, code, out) ||
            !cursor_skip(&c, back_size(1 + left - cursor_left(&c))))
            return false;
    }
    return cursor_ok(&c) && cursor_left(&c) == 0 &&
           (count == UINT16_MAX || count == out->count - before);
}

struct listpack
listpack_begin(struct buf *b)
{
    struct listpack lp = {.b = b, .start = b->len};

    memset(buf_reserve(b, LISTPACK_HEADER), 0, LISTPACK_HEADER);
    b->len += LISTPACK_HEADER;
    return lp;
}

static void
put_back(struct listpack *lp, size_t element)
{
    size_t len = lp->b->len - element;

    for (unsigned i = back_size(len); i-- > 0;) {
        uint8_t group = (uint8_t)(len >> (7 * i) & 0x7f);

        buf_put_u8(lp->b, i + 1 == back_size(len) ? group : group | 0x80);
    }
    lp->count++;
}

static void
put_little_endian(struct buf *b, int64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        buf_put_u8(b, (uint8_t)((uint64_t)v >> (8 * i)));
}

void
listpack_put_int(struct listpack *lp, int64_t v)
{
    struct buf *b = lp->b;
    size_t element = b->len;

    if (v >= 0 && v <= 127) {
        buf_put_u8(b, (uint8_t)v);
    } else if (v >= -4096 && v <= 4095) {
        buf_put_u8(b, (uint8_t)(0xC0 | ((uint64_t)v >> 8 & 0x1f)));
        buf_put_u8(b, (uint8_t)v);
    } else {
        unsigned bytes = 8;

        if (v >= INT16_MIN && v <= INT16_MAX)
            bytes = 2;
        else if (v >= -8388608 && v <= 8388607)
            bytes = 3;
        else if (v >= INT32_MIN && v <= INT32_MAX)
            bytes = 4;
        buf_put_u8(b, bytes == 8 ? 0xF4 : (uint8_t)(0xF1 + bytes - 2));
        put_little_endian(b, v, bytes);
    }
    put_back(lp, element);
}

void
listpack_put(struct listpack *lp, struct slice item)
{
    struct buf *b = lp->b;
    size_t element = b->len;
    int64_t v;

    if (item.len <= INTEGER_TEXT_MAX && slice_to_i64(item, &v)) {
        listpack_put_int(lp, v);
        return;
    }
    if (item.len < 64) {
        buf_put_u8(b, (uint8_t)(0x80 | item.len));
    } else if (item.len < 4096) {
        buf_put_u8(b, (uint8_t)(0xE0 | item.len >> 8));
        buf_put_u8(b, (uint8_t)item.len);
    } else {
        buf_put_u8(b, 0xF0);
        buf_put_u32(b, (uint32_t)item.len);
    }
    buf_put_slice(b, item);
    put_back(lp, element);
}

void
listpack_end(struct listpack *lp)
{
    uint32_t bytes;
    uint16_t count = (uint16_t)nq_min(lp->count, (uint32_t)UINT16_MAX);

    buf_put_u8(lp->b, PACKED_END);
    bytes = (uint32_t)(lp->b->len - lp->start);
    memcpy(lp->b->p + lp->start, &bytes, sizeof bytes);
    memcpy(lp->b->p + lp->start + 4, &count, sizeof count);
}

/* --- ziplist, intset ----------------------------------------------------- */

static bool
take_ziplist_string(struct cursor *c, uint8_t code, struct slices *out)
{
    uint64_t len = code & 0x3f, low;

    if (code >= 0x80)
        return code == 0x80 && get_big_endian(c, 4, &len) &&
               take_string(c, len, out);
    if (code >= 0x40) {
        if (!get_big_endian(c, 1, &low))
            return false;
        len = len << 8 | low;
    }
    return take_string(c, len, out);
}

static bool
take_ziplist_data(struct cursor *c, uint8_t code, struct slices *out)
{
    if (code < 0xC0)
        return take_ziplist_string(c, code, out);
    switch (code) {
    case 0xC0:
        return take_integer(c, 2, out);
    case 0xD0:
        return take_integer(c, 4, out);
    case 0xE0:
        return take_integer(c, 8, out);
    case 0xF0:
        return take_integer(c, 3, out);
    case 0xFE:
        return take_integer(c, 1, out);
    default:
        if (code < 0xF1 || code > 0xFD)
            return false;
        put_integer(out, code - 0xF1);
        return true;
    }
}

bool
ziplist_decode(struct slice in, struct slices *out)
{
    struct cursor c = cursor_of(in);
    uint64_t before = out->count;
    uint32_t bytes, tail;
    uint16_t count;
    uint8_t first, code;

    cursor_get_u32(&c, &bytes);
    cursor_get_u32(&c, &tail);
    cursor_get_u16(&c, &count);
    if (!cursor_ok(&c) || bytes != in.len)
        return false;
    while (cursor_get_u8(&c, &first) && first != PACKED_END) {
        if (first == 0xFE && !cursor_skip(&c, 4))
            return false;
        if (!cursor_get_u8(&c, &code) || !take_ziplist_data(&c, code, out))
            return false;
    }
    return cursor_ok(&c) && cursor_left(&c) == 0 &&
           (count == UINT16_MAX || count == out->count - before);
}

bool
intset_decode(struct slice in, struct slices *out)
{
    struct cursor c = cursor_of(in);
    uint32_t bytes, count;

    cursor_get_u32(&c, &bytes);
    cursor_get_u32(&c, &count);
    if (!cursor_ok(&c) || (bytes != 2 && bytes != 4 && bytes != 8) ||
        cursor_left(&c) != (uint64_t)bytes * count)
        return false;
    while (count-- > 0)
        if (!take_integer(&c, bytes, out))
            return false;
    return true;
}
