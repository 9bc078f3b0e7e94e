/* base/buf.c - growing buffers and variable-length integers. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"

void
buf_fini(struct buf *b)
{
    nq_free(b->p);
    *b = BUF_INIT;
}

void
buf_clear(struct buf *b)
{
    b->len = 0;
}

uint8_t *
buf_reserve(struct buf *b, size_t n)
{
    if (b->cap - b->len < n) {
        size_t cap = b->cap < 64 ? 64 : b->cap * 2;

        if (cap < b->len + n)
            cap = b->len + n;
        b->p = nq_realloc(b->p, cap);
        b->cap = cap;
    }
    return b->p + b->len;
}

void
buf_put(struct buf *b, const void *p, size_t n)
{
    if (n == 0)
        return;
    memcpy(buf_reserve(b, n), p, n);
    b->len += n;
}

void
buf_put_slice(struct buf *b, struct slice s)
{
    buf_put(b, s.p, s.len);
}

void
buf_put_str(struct buf *b, const char *s)
{
    buf_put(b, s, strlen(s));
}

void
buf_put_u8(struct buf *b, uint8_t v)
{
    buf_put(b, &v, 1);
}

static void
put_le(struct buf *b, uint64_t v, unsigned bytes)
{
    uint8_t *p = buf_reserve(b, bytes);

    for (unsigned i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> (8 * i));
    b->len += bytes;
}

void
buf_put_u16(struct buf *b, uint16_t v)
{
    put_le(b, v, 2);
}

void
buf_put_u32(struct buf *b, uint32_t v)
{
    put_le(b, v, 4);
}

void
buf_put_u64(struct buf *b, uint64_t v)
{
    put_le(b, v, 8);
}

void
buf_put_varint(struct buf *b, uint64_t v)
{
    b->len += varint_encode(buf_reserve(b, 10), v);
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    buf_reserve(b, (size_t)n + 1);
    va_start(ap, fmt);
    vsnprintf((char *)b->p + b->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
}

size_t
varint_encode(uint8_t *dst, uint64_t v)
{
    size_t n = 0;

    while (v >= 0x80) {
        dst[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    dst[n++] = (uint8_t)v;
    return n;
}

size_t
varint_size(uint64_t v)
{
    size_t n = 1;

    while (v >= 0x80) {
        v >>= 7;
        n++;
    }
    return n;
}
