/* db/list_piece.c - runs of list elements as bytes.
 *
 * An element begins with a byte that tells what it is:
 *
 *   00 .. bf   a string of so many bytes, which follow
 *   c0 .. f7   a string of 192 + (byte - c0) * 256 + next byte bytes
 *   f8 .. ff   an integer of byte - f7 bytes, little-endian two's complement
 *
 * What a client sends as a canonical integer is kept as such if that is
 * shorter; so equal elements have equal bytes.  In a record, but not in a
 * chunk of the tree, an element is followed by its size, for walks from the
 * tail:
 *
 *   00 .. 7f          the size itself
 *   any, 80 .. ff     the second has the low 7 bits, the first those above
 *
 * Called by the list_*.c files. */
#include "db/list_piece.h"

#include "base/check.h"

#define LONG_STRING 0xc0
#define INTEGER 0xf8
#define LONG_MIN_LEN 192
#define INT_MIN_TEXT 2 /* digits from which on an integer is shorter */
#define INT_MAX_TEXT 20

/* --- writing ------------------------------------------------------------- */

static unsigned
int_bytes(int64_t v)
{
    unsigned n = 1;

    while (n < 8 && v >> (8 * n - 1) != 0 && v >> (8 * n - 1) != -1)
        n++;
    return n;
}

static bool
is_integer(struct slice s, int64_t *v)
{
    if (s.len < INT_MIN_TEXT || s.len > INT_MAX_TEXT || s.p[0] > '9')
        return false;
    return slice_to_i64(s, v);
}

size_t
piece_size(struct slice elem)
{
    int64_t v;

    if (nq_unlikely(is_integer(elem, &v)))
        return 1 + int_bytes(v);
    return elem.len + (elem.len < LONG_MIN_LEN ? 1 : 2);
}

static size_t
put_int(uint8_t *dst, int64_t v)
{
    unsigned n = int_bytes(v);

    dst[0] = (uint8_t)(INTEGER - 1 + n);
    for (unsigned i = 0; i < n; i++)
        dst[1 + i] = (uint8_t)((uint64_t)v >> (8 * i));
    return 1 + n;
}

size_t
piece_put(uint8_t *dst, struct slice elem)
{
    size_t over = elem.len - LONG_MIN_LEN;
    int64_t v;

    if (nq_unlikely(is_integer(elem, &v)))
        return put_int(dst, v);
    if (nq_likely(elem.len < LONG_MIN_LEN)) {
        *dst++ = (uint8_t)elem.len;
        if (elem.len > 0)
            memcpy(dst, elem.p, elem.len);
        return 1 + elem.len;
    }
    nq_assert(over >> 8 < INTEGER - LONG_STRING);
    dst[0] = (uint8_t)(LONG_STRING + (over >> 8));
    dst[1] = (uint8_t)over;
    memcpy(dst + 2, elem.p, elem.len);
    return 2 + elem.len;
}

size_t
piece_put_back(uint8_t *dst, size_t size)
{
    if (nq_likely(size < 0x80)) {
        dst[0] = (uint8_t)size;
        return 1;
    }
    nq_assert(size >> 7 < 0x100);
    dst[0] = (uint8_t)(size >> 7);
    dst[1] = (uint8_t)(0x80 | size);
    return 2;
}

void
piece_of(struct slice elem, struct piece *out)
{
    out->is_int = is_integer(elem, &out->value);
    out->bytes = elem;
    out->size = out->is_int ? 1 + int_bytes(out->value)
                            : elem.len + (elem.len < LONG_MIN_LEN ? 1 : 2);
}

/* --- reading ------------------------------------------------------------- */

static int64_t
get_int(const uint8_t *p, unsigned n)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    /* The sign is that of the highest byte given. */
    return (int64_t)(v << (64 - 8 * n)) >> (64 - 8 * n);
}

bool
piece_at(struct slice run, size_t off, struct piece *out)
{
    size_t left = off < run.len ? run.len - off : 0;
    const uint8_t *p = run.p + off;
    size_t head = 1, len;

    if (left == 0)
        return false;
    len = p[0];
    out->is_int = p[0] >= INTEGER;
    if (nq_unlikely(out->is_int)) {
        len = p[0] - INTEGER + 1u;
    } else if (nq_unlikely(p[0] >= LONG_STRING)) {
        head = 2;
        if (left < head)
            return false;
        len = LONG_MIN_LEN + ((size_t)(p[0] - LONG_STRING) << 8 | p[1]);
    }
    if (len > left - head)
        return false;
    out->size = head + len;
    out->bytes = slice_of(p + head, len);
    out->value = out->is_int ? get_int(p + 1, (unsigned)len) : 0;
    return true;
}

bool
piece_before(struct slice run, size_t end, size_t *off)
{
    size_t size, back = 1;

    if (end == 0 || end > run.len)
        return false;
    size = run.p[end - 1];
    if (nq_unlikely(size >= 0x80)) {
        back = 2;
        if (end < back)
            return false;
        size = (size & 0x7f) | (size_t)run.p[end - 2] << 7;
    }
    if (size == 0 || size + back > end)
        return false;
    *off = end - back - size;
    return true;
}

struct slice
piece_text(const struct piece *p, char text[PIECE_TEXT])
{
    if (nq_likely(!p->is_int))
        return p->bytes;
    return slice_of(text, i64_to_text(text, p->value));
}

/* --- what Redis would take ----------------------------------------------- */

static size_t
listpack_int_size(int64_t v)
{
    if (v >= 0 && v <= 127)
        return 1;
    if (v >= -4096 && v <= 4095)
        return 2;
    if (v >= INT16_MIN && v <= INT16_MAX)
        return 3;
    if (v >= -(1 << 23) && v < 1 << 23)
        return 4;
    return v >= INT32_MIN && v <= INT32_MAX ? 5 : 9;
}

size_t
piece_listpack_size(const struct piece *p)
{
    size_t len = p->bytes.len, size;

    if (p->is_int)
        size = listpack_int_size(p->value);
    else if (len == 1 && p->bytes.p[0] >= '0' && p->bytes.p[0] <= '9')
        size = 1;
    else
        size = len + (len < 64 ? 1 : len < 4096 ? 2 : 5);
    return size + (size < 128 ? 1 : size < 16384 ? 2 : size < 2097152 ? 3 : 4);
}
