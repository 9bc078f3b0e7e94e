/* cmd/cmd_counter.c - INCR, DECR, INCRBY, DECRBY, INCRBYFLOAT.
 *
 * INCRBYFLOAT computes in long double and prints with 17 digits after the
 * point, trailing zeroes cut, as Redis does; the log carries the result. */
#include "cmd/handlers.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cmd/args.h"
#include "cmd/reply.h"
#include "db/string.h"

#define FLOAT_TEXT_MAX 5200 /* the longest %.17Lf of an x87 long double */

static void
add(struct req *rq, int64_t delta)
{
    struct entry e;
    int64_t v = 0;
    nq_rc rc = req_find_type(rq, 1, DB_STRING, true, &e);
    bool found = rc == NQ_OK;

    if (found)
        rc = string_int(rq->db, &e, &v);
    else if (rc == NQ_NOTFOUND)
        rc = NQ_OK;
    if (rc == NQ_OK && __builtin_add_overflow(v, delta, &v))
        rc = NQ_EOVERFLOW;
    if (rc == NQ_OK)
        rc = string_set_int(rq->db, rq->dbi, rq->argv[1], &e, found, v,
                            "incrby");
    if (rc == NQ_OK)
        reply_int(rq, v);
    else
        reply_rc(rq, rc);
}

void
cmd_incr(struct req *rq)
{
    add(rq, 1);
}

void
cmd_decr(struct req *rq)
{
    add(rq, -1);
}

void
cmd_incrby(struct req *rq)
{
    int64_t delta;

    if (arg_int(rq, 2, &delta))
        add(rq, delta);
}

void
cmd_decrby(struct req *rq)
{
    int64_t delta;

    if (!arg_int(rq, 2, &delta))
        return;
    if (delta == INT64_MIN)
        reply_error(rq, "decrement would overflow");
    else
        add(rq, -delta);
}

/* The whole slice as a number, without leading spaces; NaN is none, and
 * neither is what is too great or too small to be told. */
static bool
parse_float(struct slice s, long double *out)
{
    char text[FLOAT_TEXT_MAX], *end;

    if (s.len == 0 || s.len >= sizeof text || isspace(s.p[0]))
        return false;
    memcpy(text, s.p, s.len);
    text[s.len] = '\0';
    errno = 0;
    *out = strtold(text, &end);
    return end == text + s.len && !isnan(*out) &&
           !(errno == ERANGE && (isinf(*out) || *out == 0));
}

static size_t
print_float(char *dst, size_t cap, long double v)
{
    size_t n = (size_t)snprintf(dst, cap, "%.17Lf", v);

    while (dst[n - 1] == '0')
        n--;
    if (dst[n - 1] == '.')
        n--;
    if (n == 2 && dst[0] == '-' && dst[1] == '0') {
        dst[0] = '0';
        n = 1;
    }
    return n;
}

void
cmd_incrbyfloat(struct req *rq)
{
    char text[FLOAT_TEXT_MAX];
    long double v = 0, delta;
    struct slice bytes, result;
    struct entry e;
    nq_rc rc = req_find_type(rq, 1, DB_STRING, true, &e);
    bool found = rc == NQ_OK;

    if (found && (rc = string_bytes(rq->db, &e, rq->arena, &bytes)) == NQ_OK &&
        !parse_float(bytes, &v))
        rc = NQ_ENOTFLOAT;
    if (rc == NQ_NOTFOUND)
        rc = NQ_OK;
    if (rc == NQ_OK && !parse_float(rq->argv[2], &delta))
        rc = NQ_ENOTFLOAT;
    if (rc != NQ_OK) {
        reply_rc(rq, rc);
        return;
    }
    v += delta;
    if (isnan(v) || isinf(v)) {
        reply_error(rq, "increment would produce NaN or Infinity");
        return;
    }
    result = slice_of(text, print_float(text, sizeof text, v));
    rc = string_set(rq->db, rq->dbi, rq->argv[1], &e, found, result,
                    STRING_KEEP_TTL, "incrbyfloat");
    if (rc == NQ_OK)
        reply_bulk(rq, result);
    else
        reply_rc(rq, rc);
}
