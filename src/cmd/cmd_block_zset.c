/* cmd/cmd_block_zset.c - commands that wait for a sorted set: BZPOPMIN,
 * BZPOPMAX, BZMPOP.  Each does what its sister that does not wait does, if
 * there is something; else it waits (cmd/wait_key.h). */
#include "base/check.h"
#include "cmd/args.h"
#include "cmd/cmd_zset.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "cmd/wait_key.h"

/* The first of the keys that is a sorted set, in *e; *at: which.  False:
 * there is none, and the answer is put or will come. */
static bool
find_or_wait(struct req *rq, uint32_t first, uint32_t n, uint32_t timeout,
             uint32_t *at, struct entry *e)
{
    struct wait_for what = {.first = first, .n = n, .type = DB_ZSET};
    nq_rc rc = NQ_NOTFOUND;

    if (!arg_timeout_s(rq, timeout, &what.deadline_ms))
        return false;
    for (*at = first; *at < first + n; ++*at)
        if ((rc = wait_find(rq, *at, DB_ZSET, e)) != NQ_NOTFOUND)
            break;
    if (rc == NQ_OK)
        return true;
    if (rc != NQ_NOTFOUND)
        reply_rc(rq, rc);
    else if (rq->in_multi)
        reply_null_array(rq);
    else
        req_wait_keys(rq, &what);
    return false;
}

static void
tell_member(void *arg, const struct member *m)
{
    struct req *rq = arg;

    reply_bulk(rq, m->name);
    reply_double(rq, m->score);
}

/* BZPOPMIN key ... timeout: key, member, score. */
static void
pop_one(struct req *rq, bool from_max)
{
    uint64_t mark = rq->s->out.put;
    struct entry e;
    uint32_t at;
    nq_rc rc;

    if (!find_or_wait(rq, 1, rq->argc - 2, rq->argc - 1, &at, &e))
        return;
    reply_array(rq, 3);
    reply_bulk(rq, rq->argv[at]);
    rc = zset_pop(rq->db, rq->dbi, rq->argv[at], &e, from_max, 1, tell_member,
                  rq);
    if (rc == NQ_OK)
        return;
    outq_rewind(&rq->s->out, mark);
    reply_rc(rq, rc);
}

void
cmd_bzpopmin(struct req *rq)
{
    pop_one(rq, false);
}

void
cmd_bzpopmax(struct req *rq)
{
    pop_one(rq, true);
}

/* BZMPOP timeout numkeys key ... MIN|MAX [COUNT n]. */
void
cmd_bzmpop(struct req *rq)
{
    struct arg_mpop a;
    struct entry e;
    uint32_t at;

    if (zset_pop_go_on(rq) || !arg_mpop(rq, 2, "min", "max", &a))
        return;
    if (find_or_wait(rq, a.first, a.n, 1, &at, &e))
        zset_pop_many(rq, at, a.is_second, (uint64_t)a.count, &e);
}
