/* cmd/cmd_hash_expire.c - fields that expire: the HEXPIRE and HTTL families,
 * HPERSIST.
 *
 * The questions are asked in the order in which Redis asks them: the type of
 * the key first, then the words. */
#include "cmd/cmd_hash.h"

#include "base/check.h"
#include "cmd/args.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"

#define EXPIRE_MAX (INT64_C(1) << 46) /* the latest moment Redis takes */

bool
hash_parse_fields(struct req *rq, uint32_t at, const char *range_error,
                  uint32_t *fields)
{
    int64_t n;

    if (at + 1 >= rq->argc || !slice_is(rq->argv[at], "FIELDS")) {
        reply_error(rq, "Mandatory argument FIELDS is missing or not at the "
                        "right position");
        return false;
    }
    if (!arg_int_within(rq, at + 1, 1, INT64_MAX, range_error, &n))
        return false;
    *fields = at + 2;
    if ((uint64_t)n == rq->argc - *fields)
        return true;
    reply_error(rq, "The `numfields` parameter must match the number of "
                    "arguments");
    return false;
}

bool
hash_parse_time(struct req *rq, uint32_t i, enum expire_unit unit,
                uint64_t base, uint64_t *out)
{
    int64_t v, at;

    if (!arg_int(rq, i, &v))
        return false;
    if (v < 0) {
        reply_error(rq, "invalid expire time, must be >= 0");
        return false;
    }
    if (v > EXPIRE_MAX || !expire_time(v, unit, base, &at) || at > EXPIRE_MAX) {
        reply_error(rq, "invalid expire time in '%s' command", rq->cmd->name);
        return false;
    }
    *out = (uint64_t)nq_max(at, 1);
    return true;
}

static void
reply_results(struct req *rq, const enum fields_result *results, uint32_t n)
{
    reply_array(rq, n);
    for (uint32_t i = 0; i < n; i++)
        reply_int(rq, results[i]);
}

/* HEXPIREAT and HPERSIST (at_ms 0) of the fields from argv[first] on. */
static void
expire_fields(struct req *rq, struct entry *e, bool found, uint32_t first,
              uint64_t at_ms, unsigned when)
{
    uint32_t n = rq->argc - first;
    enum fields_result *results = arena_alloc(rq->arena, n * sizeof *results);
    nq_rc rc = NQ_OK;

    for (uint32_t i = 0; i < n; i++)
        results[i] = FIELDS_ABSENT;
    if (found)
        rc = fields_expire(rq->db, rq->dbi, rq->argv[1], e, rq->argv + first, n,
                           at_ms, when, results);
    if (rc == NQ_OK)
        reply_results(rq, results, n);
    else
        reply_rc(rq, rc);
}

/* --- HEXPIRE ---------------------------------------------------------------
 */

static unsigned
parse_when(const struct req *rq, uint32_t at)
{
    static const struct {
        const char *word;
        enum fields_when when;
    } words[] = {{"NX", FIELDS_NX},
                 {"XX", FIELDS_XX},
                 {"GT", FIELDS_GT},
                 {"LT", FIELDS_LT}};

    for (size_t i = 0; i < nq_countof(words); i++)
        if (slice_is(rq->argv[at], words[i].word))
            return words[i].when;
    return 0;
}

static void
hexpire(struct req *rq, enum expire_unit unit, uint64_t base)
{
    uint32_t first;
    uint64_t at_ms;
    struct entry e;
    unsigned when;
    bool found;

    if (!hash_find_write(rq, &e, &found) ||
        !hash_parse_time(rq, 2, unit, base, &at_ms))
        return;
    when = parse_when(rq, 3);
    if (hash_parse_fields(rq, when != 0 ? 4 : 3,
                          "Parameter `numFields` should be greater than 0",
                          &first))
        expire_fields(rq, &e, found, first, at_ms, when);
}

void
cmd_hexpire(struct req *rq)
{
    hexpire(rq, UNIT_S, db_now(rq->db));
}

void
cmd_hpexpire(struct req *rq)
{
    hexpire(rq, UNIT_MS, db_now(rq->db));
}

void
cmd_hexpireat(struct req *rq)
{
    hexpire(rq, UNIT_S, 0);
}

void
cmd_hpexpireat(struct req *rq)
{
    hexpire(rq, UNIT_MS, 0);
}

void
cmd_hpersist(struct req *rq)
{
    uint32_t first;
    struct entry e;
    bool found;

    if (hash_find_write(rq, &e, &found) &&
        hash_parse_fields(rq, 2, HASH_NUMBER_ERROR, &first))
        expire_fields(rq, &e, found, first, 0, 0);
}

/* --- HTTL ------------------------------------------------------------------
 */

/* The expiry less `base` in units of `unit` ms, rounded up. */
static nq_rc
reply_time_left(struct req *rq, struct coll *c, struct slice field,
                int64_t unit, int64_t base)
{
    struct item it;
    nq_rc rc = fields_get(c, field, &it);

    if (rc != NQ_OK && rc != NQ_NOTFOUND)
        return rc;
    if (rc == NQ_NOTFOUND || it.expire_ms == 0)
        reply_int(rq, rc == NQ_NOTFOUND ? FIELDS_ABSENT : FIELDS_NO_TTL);
    else
        reply_int(rq, ((int64_t)it.expire_ms - base + unit - 1) / unit);
    return NQ_OK;
}

static void
httl(struct req *rq, enum expire_unit unit, uint64_t base)
{
    uint64_t mark = reply_mark(rq);
    uint32_t first = 0;
    struct entry e;
    struct coll c;
    nq_rc rc = hash_open(rq, &e, &c);

    if (rc == NQ_OK && !hash_parse_fields(rq, 2, HASH_NUMBER_ERROR, &first)) {
        coll_close(&c);
        return;
    }
    if (rc == NQ_OK)
        rc = coll_want(&c, rq->argv + first, rq->argc - first);
    if (rc == NQ_OK)
        reply_array(rq, rq->argc - first);
    for (uint32_t i = first; rc == NQ_OK && i < rq->argc; i++)
        rc = reply_time_left(rq, &c, rq->argv[i], unit, (int64_t)base);
    coll_close(&c);
    if (rc != NQ_OK)
        reply_rc_from(rq, mark, rc);
}

void
cmd_httl(struct req *rq)
{
    httl(rq, UNIT_S, db_now(rq->db));
}

void
cmd_hpttl(struct req *rq)
{
    httl(rq, UNIT_MS, db_now(rq->db));
}

void
cmd_hexpiretime(struct req *rq)
{
    httl(rq, UNIT_S, 0);
}

void
cmd_hpexpiretime(struct req *rq)
{
    httl(rq, UNIT_MS, 0);
}
