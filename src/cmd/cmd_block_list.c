/* cmd/cmd_block_list.c - commands that wait for a list: BLPOP, BRPOP, BLMPOP,
 * BLMOVE, BRPOPLPUSH.
 *
 * Each does what its sister that does not wait does, if there is something;
 * else it waits (cmd/wait_key.h).  The log is told of the pop or the move. */
#include "base/check.h"
#include "cmd/args.h"
#include "cmd/cmd_list.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "cmd/wait_key.h"

/* Nothing was there: inside MULTI that is the answer. */
static void
wait_for_lists(struct req *rq, uint32_t first, uint32_t n, uint64_t deadline_ms)
{
    struct wait_for what = {
        .first = first, .n = n, .type = DB_LIST, .deadline_ms = deadline_ms};

    if (rq->in_multi)
        reply_null_array(rq);
    else
        req_wait_keys(rq, &what);
}

/* The first of the keys that is a list, in *e; *at: which.  NQ_NOTFOUND: none
 * is. */
static nq_rc
find_first(struct req *rq, uint32_t first, uint32_t n, uint32_t *at,
           struct entry *e)
{
    for (uint32_t i = first; i < first + n; i++) {
        nq_rc rc = wait_find(rq, i, DB_LIST, e);

        *at = i;
        if (rc != NQ_NOTFOUND)
            return rc;
    }
    return NQ_NOTFOUND;
}

/* --- BLPOP, BRPOP -------------------------------------------------------- */

static void
pop_one(struct req *rq, enum list_end end)
{
    uint64_t deadline_ms;
    uint32_t at;
    struct slice elem;
    struct entry e;
    nq_rc rc;

    if (!arg_timeout_s(rq, rq->argc - 1, &deadline_ms))
        return;
    rc = find_first(rq, 1, rq->argc - 2, &at, &e);
    if (rc == NQ_NOTFOUND) {
        wait_for_lists(rq, 1, rq->argc - 2, deadline_ms);
        return;
    }
    if (rc == NQ_OK)
        rc = list_pop(rq->db, rq->dbi, rq->argv[at], &e, end, 1, rq->arena,
                      &elem);
    if (rc != NQ_OK) {
        reply_rc(rq, rc);
        return;
    }
    reply_array(rq, 2);
    reply_bulk(rq, rq->argv[at]);
    reply_bulk(rq, elem);
}

/* BLPOP key ... timeout. */
void
cmd_blpop(struct req *rq)
{
    pop_one(rq, LIST_HEAD);
}

void
cmd_brpop(struct req *rq)
{
    pop_one(rq, LIST_TAIL);
}

/* --- BLMPOP -------------------------------------------------------------- */

/* BLMPOP timeout numkeys key ... LEFT|RIGHT [COUNT n]. */
void
cmd_blmpop(struct req *rq)
{
    struct arg_mpop a;
    enum list_end end;
    uint64_t deadline_ms;
    uint32_t at;
    struct entry e;
    nq_rc rc;

    if (!arg_mpop(rq, 2, "left", "right", &a) ||
        !arg_timeout_s(rq, 1, &deadline_ms))
        return;
    end = a.is_second ? LIST_TAIL : LIST_HEAD;
    if (list_pop_go_on(rq, end))
        return;
    rc = find_first(rq, a.first, a.n, &at, &e);
    if (rc == NQ_NOTFOUND)
        wait_for_lists(rq, a.first, a.n, deadline_ms);
    else if (rc == NQ_OK)
        list_pop_many(rq, at, end, (uint64_t)a.count, &e);
    else
        reply_rc(rq, rc);
}

/* --- BLMOVE, BRPOPLPUSH -------------------------------------------------- */

/* An element of argv[1] to argv[2].  Finding the second may delete an expired
 * key, so the first is found again behind that. */
static void
move_or_wait(struct req *rq, enum list_end from_end, enum list_end to_end,
             uint64_t deadline_ms)
{
    struct slice elem;
    struct entry from, to;
    bool is_there;
    nq_rc rc = wait_find(rq, 1, DB_LIST, &from);

    if (rc == NQ_NOTFOUND) {
        if (rq->in_multi)
            reply_null(rq);
        else
            wait_for_lists(rq, 1, 1, deadline_ms);
        return;
    }
    if (rc == NQ_OK)
        rc = req_find_type(rq, 2, DB_LIST, true, &to);
    is_there = rc == NQ_OK;
    if (rc == NQ_OK || rc == NQ_NOTFOUND)
        rc = req_find_write(rq, 1, &from);
    if (rc == NQ_OK)
        rc = list_move(rq->db, rq->dbi, rq->argv[1], &from, from_end,
                       rq->argv[2], &to, is_there, to_end, rq->arena, &elem);
    if (rc == NQ_OK)
        reply_bulk(rq, elem);
    else
        reply_rc(rq, rc);
}

/* BLMOVE source destination LEFT|RIGHT LEFT|RIGHT timeout. */
void
cmd_blmove(struct req *rq)
{
    enum list_end from, to;
    uint64_t deadline_ms;

    if (arg_list_end(rq, 3, &from) && arg_list_end(rq, 4, &to) &&
        arg_timeout_s(rq, 5, &deadline_ms))
        move_or_wait(rq, from, to, deadline_ms);
}

/* BRPOPLPUSH source destination timeout. */
void
cmd_brpoplpush(struct req *rq)
{
    uint64_t deadline_ms;

    if (arg_timeout_s(rq, 3, &deadline_ms))
        move_or_wait(rq, LIST_TAIL, LIST_HEAD, deadline_ms);
}
