/* base/cursor.h - bounded reading of bytes that came from outside.
 *
 * Every get and skip fails (returns false and poisons the cursor) instead of
 * reading past the end, so a decoder may call a whole row of them and test
 * cursor_ok() once.  Integers are little-endian.  Never asserts. */
#ifndef NQ_BASE_CURSOR_H
#define NQ_BASE_CURSOR_H

#include "base/slice.h"

struct cursor {
    const uint8_t *p, *end;
    bool bad;
};

static inline struct cursor
cursor_of(struct slice s)
{
    return (struct cursor){s.p, s.p + s.len, false};
}

static inline bool
cursor_ok(const struct cursor *c)
{
    return !c->bad;
}

static inline size_t
cursor_left(const struct cursor *c)
{
    return c->bad ? 0 : (size_t)(c->end - c->p);
}

/* On failure *v is 0. */
bool cursor_get_u8(struct cursor *c, uint8_t *v);
bool cursor_get_u16(struct cursor *c, uint16_t *v);
bool cursor_get_u32(struct cursor *c, uint32_t *v);
bool cursor_get_u64(struct cursor *c, uint64_t *v);
bool cursor_get_varint(struct cursor *c, uint64_t *v);
/* The next `n` bytes, borrowed from the input. */
bool cursor_get_bytes(struct cursor *c, size_t n, struct slice *out);
/* A varint length and that many bytes. */
bool cursor_get_slice(struct cursor *c, struct slice *out);
bool cursor_skip(struct cursor *c, size_t n);

#endif
