/* cmd/cmd_zset_remove.c - ZREMRANGEBYRANK, ZREMRANGEBYSCORE, ZREMRANGEBYLEX.
 *
 * A range goes in one step, however long it is; what a long one leaves behind
 * in its set is swept in slices before the answer (zset_sweep in db/zset.h).
 * Nobody sees that, so nothing is held for it, and it ends early if the key
 * becomes something else. */
#include "base/check.h"
#include "base/mem.h"
#include "cmd/cmd_zset.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"

#define SWEEPING_MAGIC 0x5a53574bu
#define SWEEP_ITEMS 128 /* between two looks at the clock */

struct sweeping {
    uint32_t magic;
    uint64_t removed;
};

static void
sweeping_free(void *state)
{
    struct sweeping *s;

    NQ_CAST(s, state, SWEEPING_MAGIC);
    nq_free(s);
}

static nq_rc
sweep_some(struct req *rq, uint64_t *left)
{
    struct entry e;
    nq_rc rc;

    do {
        *left = 0;
        rc = req_find_type(rq, 1, DB_ZSET, true, &e);
        if (rc == NQ_OK)
            rc =
                zset_sweep(rq->db, rq->dbi, rq->argv[1], &e, SWEEP_ITEMS, left);
    } while (rc == NQ_OK && *left > 0 && !req_should_yield(rq));
    return rc;
}

/* After the range has gone nothing can fail for the client any more: what
 * cannot be swept now, later changes of the set will. */
static void
sweep(struct req *rq, struct sweeping *s)
{
    uint64_t left;
    nq_rc rc = sweep_some(rq, &left);

    if (rc == NQ_MISS || rc == NQ_EHELD)
        reply_rc(rq, rc);
    else if (rc == NQ_OK && left > 0)
        req_yield(rq);
    else
        reply_int(rq, (int64_t)s->removed);
}

/* Answers how many went, now or when the set is swept. */
static void
finish(struct req *rq, uint64_t removed)
{
    struct sweeping *s;

    if (rq->in_multi || removed <= ZSET_REMOVED_WHOLE) {
        reply_int(rq, (int64_t)removed);
        return;
    }
    s = nq_calloc(1, sizeof *s);
    s->magic = SWEEPING_MAGIC;
    s->removed = removed;
    rq->state = s;
    rq->free_state = sweeping_free;
    req_yield(rq);
}

static nq_rc
remove_span(struct req *rq, const struct zset_range *range, const char *event,
            struct span *span)
{
    struct entry e;
    struct zset z;
    nq_rc rc = req_find_type(rq, 1, DB_ZSET, true, &e);

    *span = (struct span){0, 0};
    if (rc != NQ_OK)
        return rc == NQ_NOTFOUND || rc == NQ_EKEYLEN ? NQ_OK : rc;
    if ((rc = zset_open(rq->db, rq->dbi, rq->argv[1], &e, true, &z)) != NQ_OK)
        return rc;
    rc = zset_range_span(&z, range, false, span);
    zset_close(&z);
    if (rc != NQ_OK || span->n == 0)
        return rc;
    return zset_rem_span(rq->db, rq->dbi, rq->argv[1], &e, *span, event);
}

static void
remove_range(struct req *rq, enum zset_order by, const char *event)
{
    struct sweeping *s;
    struct zset_range range;
    struct span span;
    nq_rc rc;

    if (rq->state != NULL) {
        NQ_CAST(s, rq->state, SWEEPING_MAGIC);
        sweep(rq, s);
        return;
    }
    if (!zset_range_parse(rq, by, 2, 3, &range))
        return;
    if ((rc = remove_span(rq, &range, event, &span)) == NQ_OK)
        finish(rq, span.n);
    else
        reply_rc(rq, rc);
}

void
cmd_zremrangebyrank(struct req *rq)
{
    remove_range(rq, BY_RANK, "zremrangebyrank");
}

void
cmd_zremrangebyscore(struct req *rq)
{
    remove_range(rq, BY_SCORE, "zremrangebyscore");
}

void
cmd_zremrangebylex(struct req *rq)
{
    remove_range(rq, BY_LEX, "zremrangebylex");
}
