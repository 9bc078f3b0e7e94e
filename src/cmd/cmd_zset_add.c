/* cmd/cmd_zset_add.c - ZADD, ZINCRBY, ZREM. */
#include "cmd/args.h"
#include "cmd/cmd_zset.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"

struct add_options {
    unsigned flags; /* enum zset_add_flags */
    bool count_changes;
    uint32_t first; /* of the scores and members in argv */
};

static bool
parse_add_option(struct slice word, struct add_options *o)
{
    if (slice_is(word, "NX"))
        o->flags |= ZSET_NX;
    else if (slice_is(word, "XX"))
        o->flags |= ZSET_XX;
    else if (slice_is(word, "GT"))
        o->flags |= ZSET_GT;
    else if (slice_is(word, "LT"))
        o->flags |= ZSET_LT;
    else if (slice_is(word, "INCR"))
        o->flags |= ZSET_INCR;
    else if (slice_is(word, "CH"))
        o->count_changes = true;
    else
        return false;
    return true;
}

static bool
check_add_options(struct req *rq, const struct add_options *o)
{
    uint32_t words = rq->argc - o->first;
    bool nx = o->flags & ZSET_NX, gt = o->flags & ZSET_GT;
    bool lt = o->flags & ZSET_LT;

    if (words == 0 || words % 2 != 0)
        reply_syntax(rq);
    else if (nx && o->flags & ZSET_XX)
        reply_error(rq, "XX and NX options at the same time are not "
                        "compatible");
    else if ((gt && nx) || (lt && nx) || (gt && lt))
        reply_error(rq, "GT, LT, and/or NX options at the same time are not "
                        "compatible");
    else if (o->flags & ZSET_INCR && words > 2)
        reply_error(rq, "INCR option supports a single increment-element pair");
    else
        return true;
    return false;
}

/* The members; NULL: the error is answered. */
static struct member *
parse_members(struct req *rq, uint32_t first, struct member *one)
{
    uint32_t n = (rq->argc - first) / 2;
    struct member *members = one;

    if (n > 1)
        members = arena_alloc(rq->arena, n * sizeof *members);
    for (uint32_t i = 0; i < n; i++) {
        if (!arg_double(rq, first + 2 * i, NULL, &members[i].score))
            return NULL;
        members[i].name = rq->argv[first + 2 * i + 1];
    }
    return members;
}

static void
add(struct req *rq, const struct add_options *o)
{
    bool incr = o->flags & ZSET_INCR, found;
    const char *event = incr ? "zincr" : "zadd";
    struct zset_added out;
    struct member one, *members = parse_members(rq, o->first, &one);
    struct entry e;
    nq_rc rc;

    if (members == NULL)
        return;
    rc = req_find_type(rq, 1, DB_ZSET, true, &e);
    found = rc == NQ_OK;
    if (found || rc == NQ_NOTFOUND)
        rc = zset_add(rq->db, rq->dbi, rq->argv[1], &e, found, members,
                      (rq->argc - o->first) / 2, o->flags, event, &out);
    if (rc != NQ_OK)
        reply_rc(rq, rc);
    else if (!incr)
        reply_int(rq,
                  (int64_t)(out.added + (o->count_changes ? out.updated : 0)));
    else if (out.is_done)
        reply_double(rq, out.score);
    else
        reply_null(rq);
}

void
cmd_zadd(struct req *rq)
{
    struct add_options o = {.first = 2};

    while (o.first < rq->argc && parse_add_option(rq->argv[o.first], &o))
        o.first++;
    if (check_add_options(rq, &o))
        add(rq, &o);
}

/* ZADD with INCR, whose options may stand in the place of the increment. */
void
cmd_zincrby(struct req *rq)
{
    struct add_options o = {.first = 2, .flags = ZSET_INCR};

    while (o.first < rq->argc && parse_add_option(rq->argv[o.first], &o))
        o.first++;
    if (check_add_options(rq, &o))
        add(rq, &o);
}

void
cmd_zrem(struct req *rq)
{
    uint64_t removed = 0;
    struct entry e;
    bool found;
    nq_rc rc = NQ_OK;

    if (!zset_look(rq, 1, true, &e, &found))
        return;
    if (found)
        rc = zset_rem(rq->db, rq->dbi, rq->argv[1], &e, rq->argv + 2,
                      rq->argc - 2, "zrem", &removed);
    if (rc == NQ_OK)
        reply_int(rq, (int64_t)removed);
    else
        reply_rc(rq, rc);
}
