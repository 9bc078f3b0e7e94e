/* cmd/cmd_hash_number.c - HINCRBY and HINCRBYFLOAT.  A field keeps its expiry;
 * the log carries the result. */
#include "cmd/cmd_hash.h"

#include <math.h>

#include "base/check.h"
#include "cmd/args.h"
#include "cmd/float_text.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"

/* The value of argv[2], in the arena; *has: there is such a field. */
static nq_rc
read_number(struct req *rq, struct entry *e, bool found, bool *has,
            struct slice *val)
{
    struct item it;
    struct coll c;
    nq_rc rc = fields_open(rq->db, rq->dbi, rq->argv[1], e, found, &c);

    if (rc == NQ_OK)
        rc = fields_get(&c, rq->argv[2], &it);
    *has = rc == NQ_OK;
    if (rc == NQ_OK && it.is_blob)
        *val = slice_lit(""); /* no number is as long */
    else if (rc == NQ_OK)
        *val =
            slice_of(arena_memdup(rq->arena, it.val.p, it.val.len), it.val.len);
    coll_close(&c);
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}

static nq_rc
put_number(struct req *rq, struct entry *e, bool found, struct slice val)
{
    struct slice pair[2] = {rq->argv[2], val};
    uint64_t added;

    return fields_set(rq->db, rq->dbi, rq->argv[1], e, found, pair, 1,
                      FIELDS_KEEP_TTL, rq->cmd->name, &added);
}

void
cmd_hincrby(struct req *rq)
{
    int64_t delta, v = 0;
    struct slice val;
    struct entry e;
    bool found, has;
    char text[24];
    nq_rc rc;

    if (!arg_int(rq, 3, &delta) || !hash_find_write(rq, &e, &found))
        return;
    rc = read_number(rq, &e, found, &has, &val);
    if (rc == NQ_OK && has && !slice_to_i64(val, &v)) {
        reply_error(rq, "hash value is not an integer");
        return;
    }
    if (rc == NQ_OK && __builtin_add_overflow(v, delta, &v))
        rc = NQ_EOVERFLOW;
    if (rc == NQ_OK)
        rc = put_number(rq, &e, found, slice_of(text, i64_to_text(text, v)));
    if (rc == NQ_OK)
        reply_int(rq, v);
    else
        reply_rc(rq, rc);
}

void
cmd_hincrbyfloat(struct req *rq)
{
    char text[FLOAT_TEXT_MAX];
    long double v = 0, delta;
    struct slice val, result;
    struct entry e;
    bool found, has;
    nq_rc rc;

    if (!float_parse(rq->argv[3], &delta)) {
        reply_rc(rq, NQ_ENOTFLOAT);
        return;
    }
    if (isinf(delta)) {
        reply_error(rq, "value is NaN or Infinity");
        return;
    }
    if (!hash_find_write(rq, &e, &found))
        return;
    rc = read_number(rq, &e, found, &has, &val);
    if (rc == NQ_OK && has && !float_parse(val, &v)) {
        reply_error(rq, "hash value is not a float");
        return;
    }
    v += delta;
    if (rc == NQ_OK && (isnan(v) || isinf(v))) {
        reply_error(rq, "increment would produce NaN or Infinity");
        return;
    }
    result = slice_of(text, float_print(text, v));
    if (rc == NQ_OK)
        rc = put_number(rq, &e, found, result);
    if (rc == NQ_OK)
        reply_bulk(rq, result);
    else
        reply_rc(rq, rc);
}
