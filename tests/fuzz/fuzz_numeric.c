/* Any bytes to the codec for numbers.  The first says what to do: to unpack
 * what follows, to a length that the next two bytes tell, or to pack it and
 * unpack that again. */
#include "base/check.h"
#include "base/mem.h"
#include "codec/numeric.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PREFIX 3u
#define LEVELS 10

static void
unpack(const uint8_t *data, size_t size)
{
    size_t raw_len = data[1] | (size_t)data[2] << 8;
    uint8_t *src = nq_malloc(size - PREFIX), *dst = nq_malloc(raw_len);

    for (size_t i = PREFIX; i < size; i++)
        src[i - PREFIX] = data[i];
    (void)!numeric_decode(dst, raw_len, src, size - PREFIX);
    nq_free(src);
    nq_free(dst);
}

static void
pack(const uint8_t *src, size_t len, int level)
{
    uint8_t *packed = nq_malloc(len), *back = nq_malloc(len);
    size_t n = numeric_encode(packed, len, src, len, level);

    if (n != 0) {
        nq_assert(numeric_decode(back, len, packed, n) == NQ_OK);
        for (size_t i = 0; i < len; i++)
            nq_assert(back[i] == src[i]);
    }
    nq_free(packed);
    nq_free(back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size <= PREFIX)
        return 0;
    if (data[0] >= LEVELS)
        unpack(data, size);
    else
        pack(data + PREFIX, size - PREFIX, data[0]);
    return 0;
}
