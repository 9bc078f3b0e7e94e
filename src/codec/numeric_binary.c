/* codec/numeric_binary.c - arrays of integers as they are in memory: records
 * of a fixed length ("stride") that consist of 32- or 64-bit little-endian
 * integers.
 *
 *   u8 bytes of an integer (4, 8) | u8 stride, in integers
 *   a column for each integer of a record (numeric_column.c)
 *   the bytes behind the last whole record
 *
 * Stride and size are those with which neighbours differ least, by the number
 * of bits that differences (or differences of differences) have, over records
 * at three places of the block.  A record of mixed sizes shows as one of
 * 32-bit integers.
 *
 * Text is declined before that: digits differ in four bits of eight, which
 * seems to pay, but zstd does no worse and is many times as fast. */
#include "codec/numeric_int.h"

#include "base/check.h"
#include "base/mem.h"

#define STRIDE_MAX 16u /* integers in a record */
#define BYTES_MIN 128u /* smaller blocks are left alone */
#define SAMPLE 512u    /* bytes looked at, in each of PLACES */
#define PLACES 3u
#define PAYS_PERCENT 75u /* more of the bits than that do not pay */
#define TEXT_PERCENT 75u /* more printable bytes than that are text */

struct records {
    unsigned bytes, stride;
};

static int64_t
integer_at(const uint8_t *p, unsigned bytes)
{
    int64_t v;
    int32_t v32;

    if (bytes == 8) {
        memcpy(&v, p, 8);
        return v;
    }
    memcpy(&v32, p, 4);
    return v32;
}

static unsigned
bits_of(uint64_t difference)
{
    uint64_t v = zigzag((int64_t)difference);

    return v == 0 ? 0 : 64 - (unsigned)__builtin_clzll(v);
}

/* Bits that the integers of the sample at p take, in percent of what they take
 * now; each column with plain or double differences, whichever is less. */
static unsigned
cost_at(const uint8_t *p, size_t len, struct records r)
{
    size_t step = (size_t)r.bytes * r.stride, n = len / step, bits = 0;

    for (unsigned c = 0; c < r.stride; c++) {
        uint64_t before = 0, difference = 0;
        size_t once = 0, twice = 0;

        for (size_t i = 0; i < n; i++) {
            uint64_t v =
                (uint64_t)integer_at(p + i * step + c * r.bytes, r.bytes);
            uint64_t d = v - before;

            if (i > 1) {
                once += bits_of(d);
                twice += bits_of(d - difference);
            }
            difference = d;
            before = v;
        }
        bits += nq_min(once, twice);
    }
    return (unsigned)(bits * 100 / ((n - 2) * step * 8));
}

static unsigned
cost_of(struct slice src, struct records r)
{
    size_t step = (size_t)r.bytes * r.stride;
    size_t len = nq_min(src.len, SAMPLE), sum = 0;

    if (len < 4 * step)
        return 100;
    for (unsigned i = 0; i < PLACES; i++) {
        size_t at = (src.len - len) * i / (PLACES - 1);

        sum += cost_at(src.p + at / step * step, len, r);
    }
    return (unsigned)(sum / PLACES);
}

static size_t
count_printable(const uint8_t *p, size_t n)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        count += (p[i] >= ' ' && p[i] <= '~') || (p[i] >= '\t' && p[i] <= '\r');
    return count;
}

static bool
is_text(struct slice src)
{
    size_t len = nq_min(src.len, SAMPLE), sum = 0;

    for (unsigned i = 0; i < PLACES; i++)
        sum += count_printable(src.p + (src.len - len) * i / (PLACES - 1), len);
    return sum * 100 > PLACES * len * TEXT_PERCENT;
}

/* False: none pays. */
static bool
find_records(struct slice src, struct records *best)
{
    unsigned least = PAYS_PERCENT + 1;

    for (unsigned bytes = 8; bytes >= 4; bytes -= 4) {
        for (unsigned stride = 1; stride <= STRIDE_MAX; stride++) {
            struct records r = {bytes, stride};
            unsigned cost = cost_of(src, r);

            if (cost < least) {
                least = cost;
                *best = r;
            }
        }
    }
    return least <= PAYS_PERCENT;
}

bool
numeric_binary_put(struct buf *out, struct slice src, unsigned level)
{
    struct records r;
    size_t step, n;
    int64_t *v;

    if (src.len < BYTES_MIN || is_text(src) || !find_records(src, &r))
        return false;
    step = (size_t)r.bytes * r.stride;
    n = src.len / step;
    v = nq_malloc(n * sizeof *v);
    buf_put_u8(out, (uint8_t)r.bytes);
    buf_put_u8(out, (uint8_t)r.stride);
    for (unsigned c = 0; c < r.stride; c++) {
        for (size_t i = 0; i < n; i++)
            v[i] = integer_at(src.p + i * step + c * r.bytes, r.bytes);
        numeric_column_put(out, v, n, level);
    }
    buf_put(out, src.p + n * step, src.len - n * step);
    nq_free(v);
    return true;
}

bool
numeric_binary_get(struct cursor *in, uint8_t *dst, size_t raw_len)
{
    uint8_t bytes, stride;
    size_t step, n;
    struct slice rest;
    int64_t *v;
    bool ok = true;

    cursor_get_u8(in, &bytes);
    if (!cursor_get_u8(in, &stride) || (bytes != 4 && bytes != 8) ||
        stride == 0 || stride > STRIDE_MAX)
        return false;
    step = (size_t)bytes * stride;
    n = raw_len / step;
    v = nq_malloc((n + 1) * sizeof *v);
    for (unsigned c = 0; ok && c < stride; c++) {
        ok = numeric_column_get(in, v, n);
        for (size_t i = 0; ok && i < n; i++)
            memcpy(dst + i * step + (size_t)c * bytes, &v[i], bytes);
    }
    nq_free(v);
    if (!ok || cursor_left(in) != raw_len - n * step ||
        !cursor_get_bytes(in, raw_len - n * step, &rest))
        return false;
    if (rest.len > 0)
        memcpy(dst + n * step, rest.p, rest.len);
    return true;
}
