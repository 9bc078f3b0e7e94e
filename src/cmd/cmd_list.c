/* cmd/cmd_list.c - lists: LPUSH, RPUSH, LPUSHX, RPUSHX, LLEN, LINDEX, LSET,
 * LTRIM, LMOVE, RPOPLPUSH. */
#include "cmd/cmd_list.h"

#include "base/check.h"
#include "cmd/args.h"
#include "cmd/cmd_key.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "db/coll.h"

/* --- what they share ----------------------------------------------------- */

bool
list_look(struct req *rq, uint32_t i, bool write, struct entry *e, bool *found)
{
    return key_is_found(rq, req_find_type(rq, i, DB_LIST, write, e), found);
}

/* A blob goes by reference, as a string's does. */
static nq_rc
reply_blob(struct req *rq, const struct list_item *it)
{
    uint8_t ref[BLOB_REF_SIZE];
    struct item item = {.val = {ref, sizeof ref}, .is_blob = true};

    blob_ref_encode(ref, &it->blob);
    return reply_item_val(rq, &item);
}

nq_rc
reply_list_item(struct req *rq, const struct list_item *it)
{
    if (nq_unlikely(it->is_blob))
        return reply_blob(rq, it);
    reply_bulk(rq, it->bytes);
    return NQ_OK;
}

bool
arg_list_end(struct req *rq, uint32_t i, enum list_end *end)
{
    *end = slice_is(rq->argv[i], "LEFT") ? LIST_HEAD : LIST_TAIL;
    if (*end == LIST_HEAD || slice_is(rq->argv[i], "RIGHT"))
        return true;
    reply_syntax(rq);
    return false;
}

bool
list_clip(int64_t start, int64_t end, uint64_t len, uint64_t *from, uint64_t *n)
{
    int64_t ilen = (int64_t)len;

    if (start < 0)
        start = start < -ilen ? 0 : start + ilen;
    if (end < 0)
        end = end < -ilen ? -1 : end + ilen;
    if (start > end || start >= ilen)
        return false;
    *from = (uint64_t)start;
    *n = (uint64_t)(nq_min(end, ilen - 1) - start) + 1;
    return true;
}

/* The index that argv[i] means; *in_range: it is one of an element. */
static bool
arg_index(struct req *rq, uint32_t i, uint64_t len, uint64_t *out,
          bool *in_range)
{
    int64_t index;

    if (!arg_int(rq, i, &index))
        return false;
    if (index < 0)
        index += (int64_t)len;
    *in_range = index >= 0 && (uint64_t)index < len;
    *out = (uint64_t)index;
    return true;
}

/* --- LPUSH, RPUSH -------------------------------------------------------- */

static void
push(struct req *rq, enum list_end end, bool only_existing)
{
    struct entry e;
    uint64_t len;
    bool found;
    nq_rc rc;

    if (!list_look(rq, 1, true, &e, &found))
        return;
    if (!found && only_existing) {
        reply_int(rq, 0);
        return;
    }
    rc = list_push(rq->db, rq->dbi, rq->argv[1], &e, found, end, rq->argv + 2,
                   rq->argc - 2, end == LIST_HEAD ? "lpush" : "rpush", &len);
    if (rc != NQ_OK)
        reply_rc(rq, rc);
    else
        reply_int(rq, (int64_t)len);
}

void
cmd_lpush(struct req *rq)
{
    push(rq, LIST_HEAD, false);
}

void
cmd_rpush(struct req *rq)
{
    push(rq, LIST_TAIL, false);
}

void
cmd_lpushx(struct req *rq)
{
    push(rq, LIST_HEAD, true);
}

void
cmd_rpushx(struct req *rq)
{
    push(rq, LIST_TAIL, true);
}

/* --- LLEN, LINDEX -------------------------------------------------------- */

void
cmd_llen(struct req *rq)
{
    struct entry e;
    bool found;

    if (list_look(rq, 1, false, &e, &found))
        reply_int(rq, found ? (int64_t)list_len(&e) : 0);
}

void
cmd_lindex(struct req *rq)
{
    struct list_item it;
    bool found, in_range;
    struct entry e;
    uint64_t index;
    nq_rc rc;

    if (!list_look(rq, 1, false, &e, &found))
        return;
    if (!found) {
        reply_null(rq);
        return;
    }
    if (!arg_index(rq, 2, list_len(&e), &index, &in_range))
        return;
    if (!in_range) {
        reply_null(rq);
        return;
    }
    rc = list_at(rq->db, &e, index, &it);
    if (rc == NQ_OK)
        rc = reply_list_item(rq, &it);
    reply_rc(rq, rc);
}

/* --- LSET, LTRIM --------------------------------------------------------- */

void
cmd_lset(struct req *rq)
{
    bool found, in_range;
    struct entry e;
    uint64_t index;
    nq_rc rc;

    if (!list_look(rq, 1, true, &e, &found))
        return;
    if (!found) {
        reply_rc(rq, NQ_NOTFOUND);
        return;
    }
    if (!arg_index(rq, 2, list_len(&e), &index, &in_range))
        return;
    if (!in_range) {
        reply_error(rq, "index out of range");
        return;
    }
    rc = list_set(rq->db, rq->dbi, rq->argv[1], &e, index, rq->argv[3]);
    if (rc != NQ_OK)
        reply_rc(rq, rc);
    else
        reply_ok(rq);
}

void
cmd_ltrim(struct req *rq)
{
    uint64_t from = 0, n = 0;
    int64_t start, end;
    struct entry e;
    bool found;
    nq_rc rc = NQ_OK;

    if (!arg_int(rq, 2, &start) || !arg_int(rq, 3, &end) ||
        !list_look(rq, 1, true, &e, &found))
        return;
    if (found) {
        if (!list_clip(start, end, list_len(&e), &from, &n))
            from = n = 0;
        rc = list_trim(rq->db, rq->dbi, rq->argv[1], &e, from, n);
    }
    if (rc != NQ_OK)
        reply_rc(rq, rc);
    else
        reply_ok(rq);
}

/* --- LMOVE, RPOPLPUSH ---------------------------------------------------- */

static void
move(struct req *rq, enum list_end from_end, enum list_end to_end)
{
    struct entry from, to;
    struct slice elem;
    bool found;
    nq_rc to_rc, rc;

    /* The source second: what is borrowed from it must be good. */
    to_rc = req_find_type(rq, 2, DB_LIST, true, &to);
    if (to_rc != NQ_OK && to_rc != NQ_NOTFOUND && to_rc != NQ_EWRONGTYPE) {
        reply_rc(rq, to_rc);
        return;
    }
    if (!list_look(rq, 1, true, &from, &found))
        return;
    if (!found) {
        reply_null(rq);
        return;
    }
    if (to_rc == NQ_EWRONGTYPE) {
        reply_rc(rq, to_rc);
        return;
    }
    rc = list_move(rq->db, rq->dbi, rq->argv[1], &from, from_end, rq->argv[2],
                   &to, to_rc == NQ_OK, to_end, rq->arena, &elem);
    if (rc != NQ_OK)
        reply_rc(rq, rc);
    else
        reply_bulk(rq, elem);
}

void
cmd_lmove(struct req *rq)
{
    enum list_end from_end, to_end;

    if (arg_list_end(rq, 3, &from_end) && arg_list_end(rq, 4, &to_end))
        move(rq, from_end, to_end);
}

void
cmd_rpoplpush(struct req *rq)
{
    move(rq, LIST_TAIL, LIST_HEAD);
}
