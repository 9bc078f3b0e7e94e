/* cmd/cmd_dump.c - DUMP and RESTORE, in Redis' format (rdb.h). */
#include "cmd/cmd_dump.h"

#include "base/check.h"
#include "cmd/cmd_key.h"
#include "cmd/engine.h"
#include "cmd/args.h"
#include "cmd/handlers.h"
#include "cmd/idle.h"
#include "cmd/reply.h"
#include "cmd/staging.h"
#include "db/string.h"

void
cmd_dump(struct req *rq)
{
    struct buf payload = BUF_INIT;
    struct rdb_value v;
    struct entry e;
    bool found;
    nq_rc rc = req_find(rq, 1, &e);

    if (!key_is_found(rq, rc, &found))
        return;
    if (!found) {
        reply_null(rq);
        return;
    }
    if ((rc = dump_collect(rq, rq->argv[1], &e, &v)) != NQ_OK) {
        reply_rc(rq, rc);
        return;
    }
    rdb_encode(&payload, &v);
    reply_bulk(rq, buf_slice(&payload));
    buf_fini(&payload);
}

struct restore_args {
    bool replace, is_absolute;
    uint64_t expire_ms; /* 0: none */
    uint64_t idle_s;
};

/* FREQ is checked and of no effect: uses are not counted. */
static bool
parse_age(struct req *rq, uint32_t i, bool is_freq, struct restore_args *a)
{
    int64_t v;

    if (!slice_to_i64(rq->argv[i], &v)) {
        reply_rc(rq, NQ_ENOTINT);
        return false;
    }
    if (v >= 0 && (!is_freq || v <= 255)) {
        a->idle_s = is_freq ? a->idle_s : (uint64_t)v;
        return true;
    }
    reply_error(rq, "-ERR Invalid %s value, must be >= 0%s",
                is_freq ? "FREQ" : "IDLETIME", is_freq ? " and <= 255" : "");
    return false;
}

static bool
parse_restore(struct req *rq, struct restore_args *a)
{
    *a = (struct restore_args){.replace = false};
    for (uint32_t i = 4; i < rq->argc; i++) {
        bool has_value = i + 1 < rq->argc;
        bool is_freq = slice_is(rq->argv[i], "FREQ");

        if (slice_is(rq->argv[i], "REPLACE")) {
            a->replace = true;
        } else if (slice_is(rq->argv[i], "ABSTTL")) {
            a->is_absolute = true;
        } else if (has_value &&
                   (is_freq || slice_is(rq->argv[i], "IDLETIME"))) {
            if (!parse_age(rq, ++i, is_freq, a))
                return false;
        } else {
            reply_syntax(rq);
            return false;
        }
    }
    return true;
}

static bool
parse_restore_ttl(struct req *rq, struct restore_args *a)
{
    int64_t ttl, at;

    if (!arg_int(rq, 2, &ttl))
        return false;
    if (ttl < 0 ||
        !expire_time(ttl, UNIT_MS, a->is_absolute ? 0 : db_now(rq->db), &at)) {
        reply_error(rq, "Invalid TTL value, must be >= 0");
        return false;
    }
    a->expire_ms = ttl > 0 ? (uint64_t)at : 0;
    return true;
}

static bool
decode_payload(struct req *rq, struct rdb_value *v)
{
    nq_rc rc = rdb_decode(rq->argv[3], rq->engine->limits.proto_max_bulk,
                          rq->arena, v);

    if (rc == NQ_ECORRUPT)
        reply_error(rq, "-ERR DUMP payload version or checksum are wrong");
    else if (rc != NQ_OK)
        reply_error(rq, "-ERR Bad data format");
    return rc == NQ_OK;
}

/* Built out of sight, so that a payload that turns out to be bad leaves what
 * there was. */
static nq_rc
restore_collection(struct req *rq, const struct rdb_value *v,
                   uint64_t expire_ms)
{
    struct staging st = {.db = NULL};
    struct entry e;
    nq_rc rc = staging_begin(rq, &st);

    if (rc == NQ_OK)
        rc = dump_build(rq, DB_STAGING, staging_key(&st), v);
    if (rc == NQ_OK && expire_ms != 0 && (rc = staging_find(&st, &e)) == NQ_OK)
        rc = db_set_expire(rq->db, DB_STAGING, staging_key(&st), &e, expire_ms);
    if (rc == NQ_OK)
        rc = staging_publish(rq, &st, rq->argv[1]);
    staging_drop(&st);
    return rc;
}

static nq_rc
restore(struct req *rq, struct entry *e, bool found, const struct rdb_value *v,
        uint64_t expire_ms)
{
    struct slice key = rq->argv[1];
    nq_rc rc;

    if (expire_ms != 0 && expire_ms <= db_now(rq->db))
        return found ? db_del_found(rq->db, rq->dbi, key, e) : NQ_OK;
    if (v->type == DB_STRING)
        rc = string_set(rq->db, rq->dbi, key, e, found, v->items[0], expire_ms,
                        NULL);
    else
        rc = restore_collection(rq, v, expire_ms);
    if (rc == NQ_OK)
        db_event(rq->db, rq->dbi, EVENT_GENERIC, "restore", key);
    return rc;
}

/* RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME s] [FREQ n] */
void
cmd_restore(struct req *rq)
{
    struct restore_args a;
    struct rdb_value v;
    struct entry e;
    nq_rc rc;

    if (!parse_restore(rq, &a))
        return;
    rc = req_find_write(rq, 1, &e);
    if (rc == NQ_OK && !a.replace)
        rc = NQ_EEXISTS;
    if (rc != NQ_OK && rc != NQ_NOTFOUND) {
        reply_rc(rq, rc);
        return;
    }
    if (!parse_restore_ttl(rq, &a) || !decode_payload(rq, &v))
        return;
    rc = restore(rq, &e, rc == NQ_OK, &v, a.expire_ms);
    if (rc == NQ_EFORMAT)
        reply_error(rq, "-ERR Bad data format");
    else if (rc != NQ_OK)
        reply_rc(rq, rc);
    else {
        idle_set(rq->engine->idle, rq->dbi, rq->argv[1], rq->engine->now_ms,
                 a.idle_s);
        reply_ok(rq);
    }
}
