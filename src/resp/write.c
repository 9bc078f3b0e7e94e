/* resp/write.c - encoders of replies.  Called by cmd/reply and cmd/pubsub. */
#include "resp/write.h"

#include <math.h>
#include <stdio.h>

#include "base/check.h"

#define WHOLE_MAX 1e15 /* integers below have no exponent with 17 digits */

static size_t
put_text(uint8_t *dst, const char *text, size_t n)
{
    memcpy(dst, text, n);
    return n;
}

size_t
resp_put_header(uint8_t *dst, char type, uint64_t n)
{
    size_t len = 1;

    dst[0] = (uint8_t)type;
    if (nq_likely(n < 10))
        dst[len++] = (uint8_t)('0' + n);
    else
        len += u64_to_text((char *)dst + 1, n);
    dst[len] = '\r';
    dst[len + 1] = '\n';
    return len + 2;
}

size_t
resp_put_int(uint8_t *dst, int64_t v)
{
    size_t len;

    if (v >= 0)
        return resp_put_header(dst, ':', (uint64_t)v);
    dst[0] = ':';
    len = 1 + i64_to_text((char *)dst + 1, v);
    dst[len] = '\r';
    dst[len + 1] = '\n';
    return len + 2;
}

size_t
resp_put_bulk(uint8_t *dst, struct slice s)
{
    size_t len = resp_put_header(dst, '$', s.len);

    if (s.len > 0)
        memcpy(dst + len, s.p, s.len);
    len += s.len;
    dst[len] = '\r';
    dst[len + 1] = '\n';
    return len + 2;
}

size_t
resp_put_null(uint8_t *dst, unsigned resp)
{
    return resp >= 3 ? put_text(dst, "_\r\n", 3) : put_text(dst, "$-1\r\n", 5);
}

size_t
resp_put_null_array(uint8_t *dst, unsigned resp)
{
    return resp >= 3 ? put_text(dst, "_\r\n", 3) : put_text(dst, "*-1\r\n", 5);
}

size_t
resp_put_bool(uint8_t *dst, unsigned resp, bool v)
{
    if (resp >= 3)
        return put_text(dst, v ? "#t\r\n" : "#f\r\n", 4);
    return put_text(dst, v ? ":1\r\n" : ":0\r\n", 4);
}

size_t
resp_put_double(uint8_t *dst, unsigned resp, double v)
{
    char text[32];
    size_t n = resp_double_text(text, v);

    if (resp < 3)
        return resp_put_bulk(dst, slice_of(text, n));
    dst[0] = ',';
    memcpy(dst + 1, text, n);
    dst[n + 1] = '\r';
    dst[n + 2] = '\n';
    return n + 3;
}

size_t
resp_double_text(char *dst, double v)
{
    if (isinf(v))
        return v > 0 ? put_text((uint8_t *)dst, "inf", 3)
                     : put_text((uint8_t *)dst, "-inf", 4);
    if (isnan(v))
        return put_text((uint8_t *)dst, "nan", 3);
    if (v < WHOLE_MAX && v > -WHOLE_MAX && v == (double)(int64_t)v &&
        (v != 0 || !signbit(v)))
        return i64_to_text(dst, (int64_t)v);
    return (size_t)snprintf(dst, 32, "%.17g", v);
}
