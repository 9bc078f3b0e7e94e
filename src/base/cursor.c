/* base/cursor.c - bounded decoding. */
#include "base/cursor.h"

static bool
take(struct cursor *c, size_t n)
{
    if (c->bad || (size_t)(c->end - c->p) < n) {
        c->bad = true;
        return false;
    }
    c->p += n;
    return true;
}

static uint64_t
get_le(struct cursor *c, unsigned bytes, bool *ok)
{
    uint64_t v = 0;

    *ok = take(c, bytes);
    if (!*ok)
        return 0;
    for (unsigned i = 0; i < bytes; i++)
        v |= (uint64_t)c->p[(int)i - (int)bytes] << (8 * i);
    return v;
}

bool
cursor_get_u8(struct cursor *c, uint8_t *v)
{
    *v = 0;
    if (!take(c, 1))
        return false;
    *v = c->p[-1];
    return true;
}

bool
cursor_get_u16(struct cursor *c, uint16_t *v)
{
    bool ok;

    *v = (uint16_t)get_le(c, 2, &ok);
    return ok;
}

bool
cursor_get_u32(struct cursor *c, uint32_t *v)
{
    bool ok;

    *v = (uint32_t)get_le(c, 4, &ok);
    return ok;
}

bool
cursor_get_u64(struct cursor *c, uint64_t *v)
{
    bool ok;

    *v = get_le(c, 8, &ok);
    return ok;
}

bool
cursor_get_varint(struct cursor *c, uint64_t *v)
{
    uint64_t x = 0;

    *v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte;

        if (!cursor_get_u8(c, &byte))
            return false;
        if (shift == 63 && byte > 1)
            break;
        x |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *v = x;
            return true;
        }
    }
    c->bad = true;
    return false;
}

bool
cursor_get_bytes(struct cursor *c, size_t n, struct slice *out)
{
    *out = (struct slice){NULL, 0};
    if (!take(c, n))
        return false;
    *out = (struct slice){c->p - n, n};
    return true;
}

bool
cursor_get_slice(struct cursor *c, struct slice *out)
{
    uint64_t n;

    *out = (struct slice){NULL, 0};
    if (!cursor_get_varint(c, &n))
        return false;
    if (n > cursor_left(c)) {
        c->bad = true;
        return false;
    }
    return cursor_get_bytes(c, (size_t)n, out);
}

bool
cursor_skip(struct cursor *c, size_t n)
{
    return take(c, n);
}
