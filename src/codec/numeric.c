/* codec/numeric.c - the codec for blocks that are numbers.
 *
 * No block is taken yet. */
#include "codec/numeric.h"

#include "base/check.h"

size_t
numeric_encode(void *dst, size_t cap, const void *src, size_t len, int level)
{
    nq_unused(dst);
    nq_unused(cap);
    nq_unused(src);
    nq_unused(len);
    nq_unused(level);
    return 0;
}

nq_rc
numeric_decode(void *dst, size_t raw_len, const void *src, size_t len)
{
    nq_unused(dst);
    nq_unused(raw_len);
    nq_unused(src);
    nq_unused(len);
    return NQ_ECORRUPT;
}
