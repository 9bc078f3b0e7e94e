/* cmd/cmd_counter.c - INCR, DECR, INCRBY, DECRBY, INCRBYFLOAT.
 *
 * INCRBYFLOAT logs its result. */
#include "cmd/handlers.h"

#include <math.h>

#include "cmd/args.h"
#include "cmd/float_text.h"
#include "cmd/reply.h"
#include "db/string.h"

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
        !float_parse(bytes, &v))
        rc = NQ_ENOTFLOAT;
    if (rc == NQ_NOTFOUND)
        rc = NQ_OK;
    if (rc == NQ_OK && !float_parse(rq->argv[2], &delta))
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
    result = slice_of(text, float_print(text, v));
    rc = string_set(rq->db, rq->dbi, rq->argv[1], &e, found, result,
                    STRING_KEEP_TTL, "incrbyfloat");
    if (rc == NQ_OK)
        reply_bulk(rq, result);
    else
        reply_rc(rq, rc);
}
