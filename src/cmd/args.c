/* cmd/args.c - shared argument readers. */
#include "cmd/args.h"

#include "base/check.h"
#include "cmd/reply.h"

#define EXPIRE_MAX ((INT64_C(1) << 48) - 1) /* what a record can hold */

bool
arg_int(struct req *rq, uint32_t i, int64_t *out)
{
    if (slice_to_i64(rq->argv[i], out))
        return true;
    reply_rc(rq, NQ_ENOTINT);
    return false;
}

bool
arg_int_within(struct req *rq, uint32_t i, int64_t lo, int64_t hi,
               const char *error, int64_t *out)
{
    if (slice_to_i64(rq->argv[i], out) && *out >= lo && *out <= hi)
        return true;
    reply_error(rq, "%s", error);
    return false;
}

bool
expire_time(int64_t v, enum expire_unit unit, uint64_t base, int64_t *out)
{
    if (__builtin_mul_overflow(v, (int64_t)unit, out) ||
        __builtin_add_overflow(*out, (int64_t)base, out))
        return false;
    *out = nq_min(*out, EXPIRE_MAX);
    return true;
}

bool
arg_expire(struct req *rq, uint32_t i, enum expire_unit unit, bool is_absolute,
           uint64_t *out)
{
    int64_t v, at;

    if (!arg_int(rq, i, &v))
        return false;
    if (v <= 0 ||
        !expire_time(v, unit, is_absolute ? 0 : db_now(rq->db), &at)) {
        reply_error(rq, "invalid expire time in '%s' command", rq->cmd->name);
        return false;
    }
    *out = (uint64_t)at;
    return true;
}

bool
arg_is_expire(const struct req *rq, uint32_t i, enum expire_unit *unit,
              bool *is_absolute)
{
    static const struct {
        const char *word;
        enum expire_unit unit;
        bool is_absolute;
    } words[] = {{"EX", UNIT_S, false},
                 {"PX", UNIT_MS, false},
                 {"EXAT", UNIT_S, true},
                 {"PXAT", UNIT_MS, true}};

    for (size_t w = 0; w < nq_countof(words); w++) {
        if (slice_is(rq->argv[i], words[w].word)) {
            *unit = words[w].unit;
            *is_absolute = words[w].is_absolute;
            return true;
        }
    }
    return false;
}
