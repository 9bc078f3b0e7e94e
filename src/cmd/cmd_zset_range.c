/* cmd/cmd_zset_range.c - ZRANGE and what it has replaced: members in order,
 * by rank, score or name.
 *
 * Whatever bounds a range has, it is a run of ranks, known in O(log n) before
 * the first member is told; LIMIT is arithmetic on it. */
#include "cmd/cmd_zset_range.h"

#include "base/check.h"
#include "cmd/args.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "cmd/walk.h"

struct fixed { /* what the name of a command says already */
    enum zset_order by;
    bool has_by, backwards, has_direction;
};

/* One option at argv[*i]; leaves *i on its last word. */
static bool
parse_option(struct req *rq, uint32_t *i, const struct fixed *f, bool is_store,
             struct zset_query *q)
{
    struct slice word = rq->argv[*i];

    if (!is_store && slice_is(word, "WITHSCORES")) {
        q->with_scores = true;
    } else if (slice_is(word, "LIMIT") && rq->argc - *i > 2) {
        *i += 2;
        return arg_int(rq, *i - 1, &q->offset) && arg_int(rq, *i, &q->limit);
    } else if (!f->has_direction && !q->backwards && slice_is(word, "REV")) {
        q->backwards = true;
    } else if (!f->has_by && q->range.by == BY_RANK &&
               slice_is(word, "BYLEX")) {
        q->range.by = BY_LEX;
    } else if (!f->has_by && q->range.by == BY_RANK &&
               slice_is(word, "BYSCORE")) {
        q->range.by = BY_SCORE;
    } else {
        reply_syntax(rq);
        return false;
    }
    return true;
}

static bool
parse_query(struct req *rq, uint32_t key, const struct fixed *f, bool is_store,
            struct zset_query *q)
{
    uint32_t min = key + 1, max = key + 2;

    *q =
        (struct zset_query){.key = key, .limit = -1, .backwards = f->backwards};
    q->range.by = f->by;
    for (uint32_t i = key + 3; i < rq->argc; i++)
        if (!parse_option(rq, &i, f, is_store, q))
            return false;
    if (q->limit != -1 && q->range.by == BY_RANK) {
        reply_error(rq, "syntax error, LIMIT is only supported in combination "
                        "with either BYSCORE or BYLEX");
        return false;
    }
    if (q->with_scores && q->range.by == BY_LEX) {
        reply_error(rq, "syntax error, WITHSCORES not supported in "
                        "combination with BYLEX");
        return false;
    }
    if (q->backwards && q->range.by != BY_RANK) {
        min = key + 2;
        max = key + 1;
    }
    return zset_range_parse(rq, q->range.by, min, max, &q->range);
}

bool
zset_query_parse_store(struct req *rq, uint32_t key, struct zset_query *q)
{
    return parse_query(rq, key, &(struct fixed){.by = BY_RANK}, true, q);
}

/* A negative offset leaves nothing, a negative limit all. */
nq_rc
zset_query_span(struct zset *z, const struct zset_query *q, struct span *out)
{
    uint64_t skip = (uint64_t)q->offset, n;
    nq_rc rc = zset_range_span(z, &q->range, q->backwards, out);

    if (rc != NQ_OK || q->range.by == BY_RANK)
        return rc;
    if (q->offset < 0 || skip >= out->n) {
        out->n = 0;
        return NQ_OK;
    }
    n = out->n - skip;
    if (q->limit >= 0)
        n = nq_min(n, (uint64_t)q->limit);
    out->from += q->backwards ? out->n - skip - n : skip;
    out->n = n;
    return NQ_OK;
}

static void
tell_range(struct req *rq, const struct fixed *f)
{
    struct zset_query q;
    struct span span;
    struct entry e;
    struct zset z;
    bool found;
    nq_rc rc;

    if (walk_go_on(rq) || !parse_query(rq, 1, f, false, &q) ||
        !zset_look_open(rq, 1, &e, &found, &z))
        return;
    if (!found) {
        reply_array(rq, 0);
        return;
    }
    rc = zset_query_span(&z, &q, &span);
    if (rc == NQ_OK)
        zset_tell(rq, &z, span, q.backwards, q.with_scores);
    else
        reply_rc(rq, rc);
    zset_close(&z);
}

void
cmd_zrange(struct req *rq)
{
    tell_range(rq, &(struct fixed){.by = BY_RANK});
}

void
cmd_zrevrange(struct req *rq)
{
    tell_range(rq, &(struct fixed){BY_RANK, true, true, true});
}

void
cmd_zrangebyscore(struct req *rq)
{
    tell_range(rq, &(struct fixed){BY_SCORE, true, false, true});
}

void
cmd_zrevrangebyscore(struct req *rq)
{
    tell_range(rq, &(struct fixed){BY_SCORE, true, true, true});
}

void
cmd_zrangebylex(struct req *rq)
{
    tell_range(rq, &(struct fixed){BY_LEX, true, false, true});
}

void
cmd_zrevrangebylex(struct req *rq)
{
    tell_range(rq, &(struct fixed){BY_LEX, true, true, true});
}
