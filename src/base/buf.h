/* base/buf.h - a growing byte buffer that owns its memory.  One thread. */
#ifndef NQ_BASE_BUF_H
#define NQ_BASE_BUF_H

#include "base/slice.h"

struct buf {
    uint8_t *p;
    size_t len, cap;
};

#define BUF_INIT ((struct buf){NULL, 0, 0})

void buf_fini(struct buf *b);
void buf_clear(struct buf *b); /* keeps the memory */

/* Makes room for `n` more bytes and returns where they go; len unchanged. */
uint8_t *buf_reserve(struct buf *b, size_t n);

void buf_put(struct buf *b, const void *p, size_t n);
void buf_put_slice(struct buf *b, struct slice s);
void buf_put_str(struct buf *b, const char *s);
void buf_put_u8(struct buf *b, uint8_t v);
void buf_put_u16(struct buf *b, uint16_t v); /* little-endian, as all below */
void buf_put_u32(struct buf *b, uint32_t v);
void buf_put_u64(struct buf *b, uint64_t v);
void buf_put_varint(struct buf *b, uint64_t v); /* LEB128 */
void buf_printf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static inline struct slice
buf_slice(const struct buf *b)
{
    return (struct slice){b->p, b->len};
}

/* LEB128 into `dst` (at most 10 bytes); returns the bytes written. */
size_t varint_encode(uint8_t *dst, uint64_t v);
size_t varint_size(uint64_t v);

#endif
