/* cmd/cmd_string.c - GET, SET and their kin, MGET and MSET, ranges of bytes.
 *
 * Every handler finds all that it needs before it changes anything; a miss
 * on the way parks the command (reply_rc of NQ_MISS) and it runs again. */
#include "cmd/cmd_string.h"

#include "cmd/args.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "db/string.h"

enum set_when { SET_ALWAYS, SET_IF_ABSENT, SET_IF_PRESENT };

struct set_options {
    enum set_when when;
    bool want_old;
    bool has_expire;
    enum expire_unit unit; /* of argv[expire_arg], valid only if has_expire */
    bool is_absolute;
    uint32_t expire_arg;
    uint64_t expire_ms; /* 0: none, STRING_KEEP_TTL */
};

/* Whether `rc` of a find says that the handler may go on: the key is there or
 * absent (*found).  Otherwise the reply is put. */
static bool
is_found_or_absent(struct req *rq, nq_rc rc, bool *found)
{
    *found = rc == NQ_OK;
    if (rc == NQ_OK || rc == NQ_NOTFOUND)
        return true;
    reply_rc(rq, rc);
    return false;
}

/* The string at argv[i]; puts the reply for all but a found or absent one. */
static bool
find_string(struct req *rq, uint32_t i, bool write, struct entry *e,
            bool *found)
{
    return is_found_or_absent(rq, req_find_type(rq, i, DB_STRING, write, e),
                              found);
}

void
cmd_get(struct req *rq)
{
    struct entry e;
    bool found;

    if (!find_string(rq, 1, false, &e, &found))
        return;
    if (found)
        reply_entry(rq, &e);
    else
        reply_null(rq);
}

void
cmd_strlen(struct req *rq)
{
    struct entry e;
    bool found;

    if (find_string(rq, 1, false, &e, &found))
        reply_int(rq, found ? (int64_t)string_len(&e) : 0);
}

void
cmd_mget(struct req *rq)
{
    uint64_t mark = reply_mark(rq);

    reply_array(rq, rq->argc - 1);
    for (uint32_t i = 1; i < rq->argc; i++) {
        struct entry e;
        nq_rc rc = req_find_type(rq, i, DB_STRING, false, &e);

        if (rc == NQ_OK) {
            reply_entry(rq, &e);
        } else if (rc == NQ_NOTFOUND || rc == NQ_EWRONGTYPE) {
            reply_null(rq);
        } else {
            reply_rc_from(rq, mark, rc);
            return;
        }
    }
}

/* --- SET -------------------------------------------------------------------
 */

/* One option at argv[*i]; leaves *i on its last word. */
static bool
parse_set_option(struct req *rq, uint32_t *i, struct set_options *o)
{
    bool has_ttl = o->has_expire || o->expire_ms != 0;
    struct slice word = rq->argv[*i];

    if (slice_is(word, "NX") && o->when != SET_IF_PRESENT) {
        o->when = SET_IF_ABSENT;
    } else if (slice_is(word, "XX") && o->when != SET_IF_ABSENT) {
        o->when = SET_IF_PRESENT;
    } else if (slice_is(word, "GET")) {
        o->want_old = true;
    } else if (slice_is(word, "KEEPTTL") && !o->has_expire) {
        o->expire_ms = STRING_KEEP_TTL;
    } else if (!has_ttl && *i + 1 < rq->argc &&
               arg_is_expire(rq, *i, &o->unit, &o->is_absolute)) {
        /* The number is judged when all words are known to be good. */
        o->has_expire = true;
        o->expire_arg = ++*i;
    } else {
        reply_syntax(rq);
        return false;
    }
    return true;
}

static bool
parse_set_options(struct req *rq, struct set_options *o)
{
    *o = (struct set_options){.when = SET_ALWAYS};
    for (uint32_t i = 3; i < rq->argc; i++)
        if (!parse_set_option(rq, &i, o))
            return false;
    return !o->has_expire || arg_expire(rq, o->expire_arg, o->unit,
                                        o->is_absolute, &o->expire_ms);
}

/* The effect and its events; false: the reply is put. */
static bool
set_value(struct req *rq, struct entry *e, bool found, struct slice val,
          const struct set_options *o)
{
    nq_rc rc = string_set(rq->db, rq->dbi, rq->argv[1], e, found, val,
                          o->expire_ms, "set");

    if (rc != NQ_OK) {
        reply_rc(rq, rc);
        return false;
    }
    if (o->has_expire)
        db_event(rq->db, rq->dbi, EVENT_GENERIC, "expire", rq->argv[1]);
    return true;
}

static void
set_with_options(struct req *rq, struct set_options *o)
{
    struct entry e;
    bool found, blocked;
    nq_rc rc = req_find_write(rq, 1, &e);

    if (!is_found_or_absent(rq, rc, &found))
        return;
    if (o->want_old && found && e.rec.type != DB_STRING) {
        reply_rc(rq, NQ_EWRONGTYPE);
        return;
    }
    blocked = (o->when == SET_IF_ABSENT && found) ||
              (o->when == SET_IF_PRESENT && !found);
    if (o->want_old) {
        if (found)
            reply_entry(rq, &e);
        else
            reply_null(rq);
    } else if (blocked) {
        reply_null(rq);
    }
    if (blocked || rq->outcome != REQ_DONE)
        return;
    if (set_value(rq, &e, found, rq->argv[2], o) && !o->want_old)
        reply_ok(rq);
}

void
cmd_set(struct req *rq)
{
    struct set_options o;

    if (parse_set_options(rq, &o))
        set_with_options(rq, &o);
}

void
cmd_setnx(struct req *rq)
{
    struct set_options o = {.when = SET_IF_ABSENT};
    struct entry e;
    bool found;

    if (!is_found_or_absent(rq, req_find_write(rq, 1, &e), &found))
        return;
    if (found || set_value(rq, &e, found, rq->argv[2], &o))
        reply_int(rq, found ? 0 : 1);
}

static void
set_expiring(struct req *rq, enum expire_unit unit)
{
    struct set_options o = {.has_expire = true};
    struct entry e;
    bool found;

    if (!arg_expire(rq, 2, unit, false, &o.expire_ms) ||
        !is_found_or_absent(rq, req_find_write(rq, 1, &e), &found))
        return;
    if (set_value(rq, &e, found, rq->argv[3], &o))
        reply_ok(rq);
}

void
cmd_setex(struct req *rq)
{
    set_expiring(rq, UNIT_S);
}

void
cmd_psetex(struct req *rq)
{
    set_expiring(rq, UNIT_MS);
}

void
cmd_getset(struct req *rq)
{
    struct set_options o = {.want_old = true};

    set_with_options(rq, &o);
}

void
cmd_getdel(struct req *rq)
{
    struct entry e;
    bool found;
    nq_rc rc;

    if (!find_string(rq, 1, true, &e, &found))
        return;
    if (!found) {
        reply_null(rq);
        return;
    }
    reply_entry(rq, &e);
    if (rq->outcome != REQ_DONE)
        return;
    rc = db_del(rq->db, rq->dbi, rq->argv[1]);
    if (rc != NQ_OK)
        reply_rc(rq, rc);
}

void
cmd_getex(struct req *rq)
{
    enum expire_unit unit = UNIT_S;
    bool is_absolute = false, persist = false, found;
    uint64_t expire_ms = 0;
    struct entry e;
    nq_rc rc = NQ_OK;

    if (rq->argc == 3 && slice_is(rq->argv[2], "PERSIST")) {
        persist = true;
    } else if (rq->argc != 2 &&
               !(rq->argc == 4 && arg_is_expire(rq, 2, &unit, &is_absolute))) {
        reply_syntax(rq);
        return;
    }
    if (!find_string(rq, 1, true, &e, &found))
        return;
    if (!found) {
        reply_null(rq);
        return;
    }
    if (rq->argc == 4 && !arg_expire(rq, 3, unit, is_absolute, &expire_ms))
        return;
    reply_entry(rq, &e);
    if (rq->outcome != REQ_DONE)
        return;
    if (expire_ms != 0 || (persist && e.rec.expire_ms != 0))
        rc = db_set_expire(rq->db, rq->dbi, rq->argv[1], &e, expire_ms);
    if (rc != NQ_OK)
        reply_rc(rq, rc);
}

/* --- many keys --------------------------------------------------------------
 */

/* Finds the keys of all pairs, so that nothing can miss once the first is
 * set; counts those that exist.  False: the reply is put. */
static bool
find_pairs(struct req *rq, uint32_t *existing)
{
    *existing = 0;
    if (rq->argc % 2 == 0) {
        reply_error(rq, "wrong number of arguments for '%s' command",
                    rq->cmd->name);
        return false;
    }
    for (uint32_t i = 1; i < rq->argc; i += 2) {
        struct entry e;
        bool found;

        if (!is_found_or_absent(rq, req_find_write(rq, i, &e), &found))
            return false;
        *existing += found;
    }
    return true;
}

static bool
set_pairs(struct req *rq)
{
    for (uint32_t i = 1; i < rq->argc; i += 2) {
        struct entry e;
        bool found;
        nq_rc rc;

        /* Found again: setting the one before may have moved its page. */
        if (!is_found_or_absent(rq, req_find_write(rq, i, &e), &found))
            return false;
        rc = string_set(rq->db, rq->dbi, rq->argv[i], &e, found,
                        rq->argv[i + 1], 0, "set");
        if (rc != NQ_OK) {
            reply_rc(rq, rc);
            return false;
        }
    }
    return true;
}

void
cmd_mset(struct req *rq)
{
    uint32_t existing;

    if (find_pairs(rq, &existing) && set_pairs(rq))
        reply_ok(rq);
}

void
cmd_msetnx(struct req *rq)
{
    uint32_t existing;

    if (!find_pairs(rq, &existing))
        return;
    if (existing > 0)
        reply_int(rq, 0);
    else if (set_pairs(rq))
        reply_int(rq, 1);
}

/* --- parts of a value --------------------------------------------------------
 */

/* Whether a string may grow to `off + n` bytes. */
static bool
is_length_allowed(struct req *rq, uint64_t off, uint64_t n)
{
    uint64_t max = rq->engine->limits.proto_max_bulk;

    if (off <= max && n <= max - off)
        return true;
    reply_rc(rq, NQ_ETOOLONG);
    return false;
}

void
cmd_append(struct req *rq)
{
    struct slice tail = rq->argv[2];
    uint64_t len = tail.len;
    struct entry e;
    bool found;
    nq_rc rc;

    if (!find_string(rq, 1, true, &e, &found))
        return;
    if (!is_length_allowed(rq, found ? string_len(&e) : 0, tail.len))
        return;
    if (found)
        rc = string_write(rq->db, rq->dbi, rq->argv[1], &e, true,
                          string_len(&e), tail, "append", &len);
    else
        rc = string_set(rq->db, rq->dbi, rq->argv[1], &e, false, tail, 0,
                        "append");
    if (rc != NQ_OK)
        reply_rc(rq, rc);
    else
        reply_int(rq, (int64_t)len);
}

void
cmd_setrange(struct req *rq)
{
    struct slice bytes = rq->argv[3];
    int64_t off;
    uint64_t len = 0;
    struct entry e;
    bool found;
    nq_rc rc;

    if (!arg_int(rq, 2, &off))
        return;
    if (off < 0) {
        reply_error(rq, "offset is out of range");
        return;
    }
    if (!find_string(rq, 1, true, &e, &found))
        return;
    if (bytes.len == 0) {
        reply_int(rq, found ? (int64_t)string_len(&e) : 0);
        return;
    }
    if (!is_length_allowed(rq, (uint64_t)off, bytes.len))
        return;
    rc = string_write(rq->db, rq->dbi, rq->argv[1], &e, found, (uint64_t)off,
                      bytes, "setrange", &len);
    if (rc != NQ_OK)
        reply_rc(rq, rc);
    else
        reply_int(rq, (int64_t)len);
}

/* Redis' inclusive [start, end] with negative positions, clipped to `len`:
 * false if nothing is left. */
bool
clip_range(int64_t start, int64_t end, uint64_t len, uint64_t *off, uint64_t *n)
{
    int64_t ilen = (int64_t)len;

    if (start < 0 && end < 0 && start > end)
        return false;
    if (start < 0)
        start = start < -ilen ? 0 : start + ilen;
    if (end < 0)
        end = end < -ilen ? 0 : end + ilen;
    if (end >= ilen)
        end = ilen - 1;
    if (start > end || len == 0)
        return false;
    *off = (uint64_t)start;
    *n = (uint64_t)(end - start) + 1;
    return true;
}

void
cmd_getrange(struct req *rq)
{
    int64_t start, end;
    uint64_t off, n;
    struct slice part;
    struct entry e;
    bool found;
    nq_rc rc;

    if (!arg_int(rq, 2, &start) || !arg_int(rq, 3, &end) ||
        !find_string(rq, 1, false, &e, &found))
        return;
    if (!found || !clip_range(start, end, string_len(&e), &off, &n)) {
        reply_bulk(rq, slice_lit(""));
        return;
    }
    rc = string_range(rq->db, &e, off, n, rq->arena, &part);
    if (rc != NQ_OK)
        reply_rc(rq, rc);
    else
        reply_bulk(rq, part);
}
