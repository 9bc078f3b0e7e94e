/* codec/numeric.c - the codec for blocks that are numbers.
 *
 *   u8 kind: 1 text (numeric_text.c), 2 binary (numeric_binary.c)
 *   the rest as that kind says
 *
 * Text is tried first: its digits are seen at once. */
#include "codec/numeric.h"

#include "base/check.h"
#include "codec/numeric_int.h"

#define BLOCK_MAX UINT32_MAX /* bytes; places in a block are 32 bits */

size_t
numeric_encode(void *dst, size_t cap, const void *src, size_t len, int level)
{
    struct slice block = slice_of(src, len);
    unsigned effort = (unsigned)nq_max(level, 0);
    struct buf out = BUF_INIT;
    size_t packed = 0;
    bool ok;

    if (len > BLOCK_MAX)
        return 0;
    buf_put_u8(&out, NUMERIC_TEXT);
    ok = numeric_text_put(&out, block, effort);
    if (!ok) {
        buf_clear(&out);
        buf_put_u8(&out, NUMERIC_BINARY);
        ok = numeric_binary_put(&out, block, effort);
    }
    if (ok && out.len <= cap && out.len < len) {
        packed = out.len;
        memcpy(dst, out.p, packed);
    }
    buf_fini(&out);
    return packed;
}

nq_rc
numeric_decode(void *dst, size_t raw_len, const void *src, size_t len)
{
    struct cursor in = cursor_of(slice_of(src, len));
    uint8_t kind;
    bool ok = false;

    cursor_get_u8(&in, &kind);
    if (kind == NUMERIC_TEXT)
        ok = numeric_text_get(&in, dst, raw_len);
    else if (kind == NUMERIC_BINARY)
        ok = numeric_binary_get(&in, dst, raw_len);
    return ok ? NQ_OK : NQ_ECORRUPT;
}
