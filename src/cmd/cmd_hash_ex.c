/* cmd/cmd_hash_ex.c - HGETDEL, HGETEX and HSETEX: two things at once.
 *
 * What is to be answered is put before anything changes, so that a value that
 * cannot be read leaves all as it was. */
#include "cmd/cmd_hash.h"

#include "base/check.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"

/* Finds the hash at argv[1] for writing and puts the values of the fields from
 * argv[first] on.  False: answered, or parked. */
static bool
reply_values(struct req *rq, uint32_t first, struct entry *e, bool *found)
{
    uint64_t mark = reply_mark(rq);
    struct coll c;
    nq_rc rc;

    if (!hash_find_write(rq, e, found))
        return false;
    rc = fields_open(rq->db, rq->dbi, rq->argv[1], e, *found, &c);
    if (rc == NQ_OK)
        rc = coll_want(&c, rq->argv + first, rq->argc - first);
    if (rc == NQ_OK)
        reply_array(rq, rq->argc - first);
    for (uint32_t i = first; rc == NQ_OK && i < rq->argc; i++)
        rc = reply_field(rq, &c, rq->argv[i]);
    coll_close(&c);
    if (rc != NQ_OK)
        reply_rc_from(rq, mark, rc);
    return rc == NQ_OK;
}

/* A key of another type is told before mistakes in the words are. */
static bool
is_hash_or_absent(struct req *rq)
{
    struct entry e;
    bool found;

    return hash_find_write(rq, &e, &found);
}

void
cmd_hgetdel(struct req *rq)
{
    uint64_t mark = reply_mark(rq), removed;
    uint32_t first;
    struct entry e;
    bool found;
    nq_rc rc = NQ_OK;

    if (!is_hash_or_absent(rq) ||
        !hash_parse_fields(rq, 2, HASH_NUMBER_ERROR, &first) ||
        !reply_values(rq, first, &e, &found))
        return;
    if (found)
        rc = fields_del(rq->db, rq->dbi, rq->argv[1], &e, rq->argv + first,
                        rq->argc - first, "hdel", &removed);
    if (rc != NQ_OK)
        reply_rc_from(rq, mark, rc);
}

/* --- HGETEX ----------------------------------------------------------------
 */

/* An expiry as the words say it. */
struct expiry {
    bool is_set; /* at_ms 0: none, FIELDS_KEEP_TTL */
    uint64_t at_ms;
};

/* The EX ... words at argv[*i], or `word`, which stands alone and means
 * `alone`; *i moves behind them.  False: answered. */
static bool
parse_expiry(struct req *rq, uint32_t *i, const char *word, uint64_t alone,
             struct expiry *x)
{
    enum expire_unit unit;
    bool is_absolute;

    if (slice_is(rq->argv[*i], word)) {
        *x = (struct expiry){true, alone};
        ++*i;
    } else if (arg_is_expire(rq, *i, &unit, &is_absolute)) {
        x->is_set = true;
        if (*i + 1 == rq->argc) {
            reply_syntax(rq);
            return false;
        }
        if (!hash_parse_time(rq, *i + 1, unit, is_absolute ? 0 : db_now(rq->db),
                             &x->at_ms))
            return false;
        *i += 2;
    }
    return true;
}

void
cmd_hgetex(struct req *rq)
{
    uint64_t mark = reply_mark(rq);
    struct expiry x = {.is_set = false};
    enum fields_result *results;
    uint32_t at = 2, first;
    struct entry e;
    bool found;
    nq_rc rc = NQ_OK;

    if (!is_hash_or_absent(rq) || !parse_expiry(rq, &at, "PERSIST", 0, &x) ||
        !hash_parse_fields(rq, at, HASH_NUMBER_ERROR, &first) ||
        !reply_values(rq, first, &e, &found))
        return;
    results = arena_alloc(rq->arena, rq->argc * sizeof *results);
    if (found && x.is_set)
        rc = fields_expire(rq->db, rq->dbi, rq->argv[1], &e, rq->argv + first,
                           rq->argc - first, x.at_ms, 0, results);
    if (rc != NQ_OK)
        reply_rc_from(rq, mark, rc);
}

/* --- HSETEX ----------------------------------------------------------------
 */

struct setting {
    enum { IF_ANY, IF_ABSENT, IF_THERE } when;
    struct expiry expiry;
    uint32_t first; /* place of the first field */
};

static bool
parse_pairs(struct req *rq, uint32_t i, struct setting *s)
{
    int64_t n;

    if (i == rq->argc || !slice_is(rq->argv[i], "FIELDS")) {
        reply_error(rq, "Mandatory argument FIELDS is missing or not at the "
                        "right position");
        return false;
    }
    if (i + 1 == rq->argc) {
        reply_wrong_arity(rq);
        return false;
    }
    if (!arg_int_within(rq, i + 1, 1, INT32_MAX, "invalid number of fields",
                        &n))
        return false;
    s->first = i + 2;
    if (2 * (uint64_t)n == rq->argc - s->first)
        return true;
    reply_wrong_arity(rq);
    return false;
}

static bool
parse_setting(struct req *rq, struct setting *s)
{
    uint32_t i = 2, before = 0;

    *s = (struct setting){.when = IF_ANY};
    while (i < rq->argc && i != before) {
        before = i;
        if (s->when == IF_ANY && slice_is(rq->argv[i], "FNX")) {
            s->when = IF_ABSENT;
            i++;
        } else if (s->when == IF_ANY && slice_is(rq->argv[i], "FXX")) {
            s->when = IF_THERE;
            i++;
        } else if (!s->expiry.is_set &&
                   !parse_expiry(rq, &i, "KEEPTTL", FIELDS_KEEP_TTL,
                                 &s->expiry)) {
            return false;
        }
    }
    return parse_pairs(rq, i, s);
}

/* Whether FNX or FXX let it happen. */
static nq_rc
is_setting_wanted(struct req *rq, struct entry *e, bool found,
                  const struct setting *s, bool *wanted)
{
    struct item it;
    struct coll c;
    nq_rc rc = fields_open(rq->db, rq->dbi, rq->argv[1], e, found, &c);

    *wanted = true;
    for (uint32_t i = s->first;
         rc == NQ_OK && *wanted && s->when != IF_ANY && i < rq->argc; i += 2) {
        rc = fields_get(&c, rq->argv[i], &it);
        *wanted = (rc == NQ_OK) == (s->when == IF_THERE);
        if (rc == NQ_NOTFOUND)
            rc = NQ_OK;
    }
    coll_close(&c);
    return rc;
}

/* Fields that would be due at once are deleted instead. */
static nq_rc
set_or_delete(struct req *rq, struct entry *e, bool found,
              const struct setting *s)
{
    uint64_t at_ms = s->expiry.at_ms, changed;
    uint32_t n = (rq->argc - s->first) / 2;
    const struct slice *pairs = rq->argv + s->first;
    struct slice *fields;
    nq_rc rc;

    if (at_ms == 0 || at_ms > db_now(rq->db)) {
        rc = fields_set(rq->db, rq->dbi, rq->argv[1], e, found, pairs, n, at_ms,
                        "hset", &changed);
        if (rc == NQ_OK && at_ms != 0 && at_ms != FIELDS_KEEP_TTL)
            db_event(rq->db, rq->dbi, EVENT_HASH, "hexpire", rq->argv[1]);
        return rc;
    }
    if (!found)
        return NQ_OK;
    fields = arena_alloc(rq->arena, n * sizeof *fields);
    for (uint32_t i = 0; i < n; i++)
        fields[i] = pairs[2 * i];
    return fields_del(rq->db, rq->dbi, rq->argv[1], e, fields, n, "hdel",
                      &changed);
}

void
cmd_hsetex(struct req *rq)
{
    struct setting s;
    struct entry e;
    bool found, wanted;
    nq_rc rc;

    if (!parse_setting(rq, &s) || !hash_find_write(rq, &e, &found))
        return;
    rc = is_setting_wanted(rq, &e, found, &s, &wanted);
    if (rc == NQ_OK && wanted)
        rc = set_or_delete(rq, &e, found, &s);
    if (rc == NQ_OK)
        reply_int(rq, wanted);
    else
        reply_rc(rq, rc);
}
