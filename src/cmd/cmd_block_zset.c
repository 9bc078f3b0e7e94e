/* cmd/cmd_block_zset.c - commands that wait for a sorted set: BZPOPMIN,
 * BZPOPMAX, BZMPOP.  Each does what its sister that does not wait does, if
 * there is something; else it waits (cmd/wait_key.h). */
#include "base/check.h"
#include "cmd/args.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "cmd/session.h"
#include "cmd/wait_key.h"
#include "db/zset.h"

/* What is popped, and how it is told. */
struct pop {
    uint32_t first, n; /* keys */
    uint32_t timeout;  /* its place in argv */
    uint64_t count;
    bool from_max;
    bool is_nested; /* [key, [[member, score] ...]], not [key, member, score] */
};

static void
tell_member(void *arg, const struct member *m)
{
    struct req *rq = arg;

    reply_bulk(rq, m->name);
    reply_double(rq, m->score);
}

static void
tell_pair(void *arg, const struct member *m)
{
    struct req *rq = arg;

    reply_array(rq, 2);
    tell_member(rq, m);
}

/* From the sorted set at argv[at], which is there. */
static nq_rc
pop_from(struct req *rq, const struct pop *p, uint32_t at, struct entry *e)
{
    uint64_t n, mark = rq->s->out.put;
    struct zset z;
    nq_rc rc = zset_open(rq->db, rq->dbi, rq->argv[at], e, true, &z);

    if (rc != NQ_OK)
        return rc;
    n = nq_min(p->count, z.card);
    zset_close(&z);
    reply_array(rq, p->is_nested ? 2 : 3);
    reply_bulk(rq, rq->argv[at]);
    if (p->is_nested)
        reply_array(rq, n);
    rc = zset_pop(rq->db, rq->dbi, rq->argv[at], e, p->from_max, n,
                  p->is_nested ? tell_pair : tell_member, rq);
    if (rc != NQ_OK)
        outq_rewind(&rq->s->out, mark);
    return rc;
}

static void
pop_or_wait(struct req *rq, const struct pop *p)
{
    struct wait_for what = {.first = p->first, .n = p->n, .type = DB_ZSET};
    nq_rc rc = NQ_NOTFOUND;

    if (!arg_timeout_s(rq, p->timeout, &what.deadline_ms))
        return;
    for (uint32_t i = p->first; i < p->first + p->n; i++) {
        struct entry e;

        rc = wait_find(rq, i, DB_ZSET, &e);
        if (rc == NQ_NOTFOUND)
            continue;
        if (rc == NQ_OK)
            rc = pop_from(rq, p, i, &e);
        break;
    }
    if (rc != NQ_NOTFOUND)
        reply_rc(rq, rc);
    else if (rq->in_multi)
        reply_null_array(rq);
    else
        req_wait_keys(rq, &what);
}

/* BZPOPMIN key ... timeout. */
static void
pop_one(struct req *rq, bool from_max)
{
    pop_or_wait(rq, &(struct pop){.first = 1,
                                  .n = rq->argc - 2,
                                  .timeout = rq->argc - 1,
                                  .count = 1,
                                  .from_max = from_max});
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

    if (arg_mpop(rq, 2, "min", "max", &a))
        pop_or_wait(rq, &(struct pop){.first = a.first,
                                      .n = a.n,
                                      .timeout = 1,
                                      .count = (uint64_t)a.count,
                                      .from_max = a.is_second,
                                      .is_nested = true});
}
