/* cmd/cmd_key_expire.c - how long keys live: the EXPIRE and TTL families. */
#include "cmd/cmd_key.h"

#include "base/check.h"
#include "cmd/args.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"

enum expire_when {
    WHEN_NX = 1 << 0,
    WHEN_XX = 1 << 1,
    WHEN_GT = 1 << 2,
    WHEN_LT = 1 << 3
};

static bool
parse_when(struct req *rq, unsigned *when)
{
    static const struct {
        const char *word;
        unsigned bit;
    } words[] = {
        {"NX", WHEN_NX}, {"XX", WHEN_XX}, {"GT", WHEN_GT}, {"LT", WHEN_LT}};

    *when = 0;
    for (uint32_t i = 3; i < rq->argc; i++) {
        size_t w = 0;

        while (w < nq_countof(words) && !slice_is(rq->argv[i], words[w].word))
            w++;
        if (w == nq_countof(words)) {
            reply_error(rq, "-ERR Unsupported option %.*s",
                        (int)nq_min(rq->argv[i].len, 128u),
                        (const char *)rq->argv[i].p);
            return false;
        }
        *when |= words[w].bit;
    }
    if ((*when & WHEN_NX) != 0 && *when != WHEN_NX) {
        reply_error(rq, "-ERR NX and XX, GT or LT options at the same time "
                        "are not compatible");
        return false;
    }
    if ((*when & WHEN_GT) != 0 && (*when & WHEN_LT) != 0) {
        reply_error(rq, "-ERR GT and LT options at the same time are not "
                        "compatible");
        return false;
    }
    return true;
}

/* argv[2] in `unit` from `base`, as wall ms; in the past it may be
 * negative. */
static bool
parse_time(struct req *rq, enum expire_unit unit, uint64_t base, int64_t *out)
{
    int64_t v;

    if (!arg_int(rq, 2, &v))
        return false;
    if (expire_time(v, unit, base, out))
        return true;
    reply_error(rq, "invalid expire time in '%s' command", rq->cmd->name);
    return false;
}

/* Whether the options let `at` replace the expiry of `e`. */
static bool
is_expiry_wanted(unsigned when, const struct entry *e, int64_t at)
{
    int64_t now = (int64_t)db_expire_of(&e->rec); /* 0: none, the latest */

    if ((when & WHEN_NX) != 0 && now != 0)
        return false;
    if ((when & WHEN_XX) != 0 && now == 0)
        return false;
    if ((when & WHEN_GT) != 0 && (now == 0 || at <= now))
        return false;
    return (when & WHEN_LT) == 0 || now == 0 || at < now;
}

static void
expire_at(struct req *rq, enum expire_unit unit, uint64_t base)
{
    struct entry e;
    unsigned when;
    int64_t at;
    bool found;
    nq_rc rc;

    if (!parse_when(rq, &when) || !parse_time(rq, unit, base, &at) ||
        !key_is_found(rq, req_find_write(rq, 1, &e), &found))
        return;
    if (!found || !is_expiry_wanted(when, &e, at)) {
        reply_int(rq, 0);
        return;
    }
    /* Any moment in the past will do for one that cannot be kept. */
    rc = db_set_expire(rq->db, rq->dbi, rq->argv[1], &e,
                       (uint64_t)nq_max(at, 1));
    if (rc != NQ_OK)
        reply_rc(rq, rc);
    else
        reply_int(rq, 1);
}

void
cmd_expire(struct req *rq)
{
    expire_at(rq, UNIT_S, db_now(rq->db));
}

void
cmd_pexpire(struct req *rq)
{
    expire_at(rq, UNIT_MS, db_now(rq->db));
}

void
cmd_expireat(struct req *rq)
{
    expire_at(rq, UNIT_S, 0);
}

void
cmd_pexpireat(struct req *rq)
{
    expire_at(rq, UNIT_MS, 0);
}

void
cmd_persist(struct req *rq)
{
    struct entry e;
    bool found;
    nq_rc rc;

    if (!key_is_found(rq, req_find_write(rq, 1, &e), &found))
        return;
    if (!found || db_expire_of(&e.rec) == 0) {
        reply_int(rq, 0);
        return;
    }
    rc = db_set_expire(rq->db, rq->dbi, rq->argv[1], &e, 0);
    if (rc != NQ_OK)
        reply_rc(rq, rc);
    else
        reply_int(rq, 1);
}

/* The expiry less `base` in units of `unit` ms, rounded; -1 without one, -2
 * without the key. */
static void
reply_time_left(struct req *rq, int64_t unit, int64_t base)
{
    int64_t at_ms = 0;
    struct entry e;
    bool found;

    if (!key_is_found(rq, req_find(rq, 1, &e), &found))
        return;
    if (found)
        at_ms = (int64_t)db_expire_of(&e.rec);
    if (at_ms == 0)
        reply_int(rq, found ? -1 : -2);
    else
        reply_int(rq, (at_ms - base + unit / 2) / unit);
}

void
cmd_ttl(struct req *rq)
{
    reply_time_left(rq, 1000, (int64_t)db_now(rq->db));
}

void
cmd_pttl(struct req *rq)
{
    reply_time_left(rq, 1, (int64_t)db_now(rq->db));
}

void
cmd_expiretime(struct req *rq)
{
    reply_time_left(rq, 1000, 0);
}

void
cmd_pexpiretime(struct req *rq)
{
    reply_time_left(rq, 1, 0);
}
