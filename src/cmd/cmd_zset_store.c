/* cmd/cmd_zset_store.c - ZRANGESTORE.
 *
 * A range that fits a batch is copied in one step.  A longer one goes to a
 * staged set, batch by batch, with the source held; the end is one rename
 * (cmd/members.h, cmd/staging.h). */
#include "base/check.h"
#include "base/mem.h"
#include "cmd/cmd_zset_range.h"
#include "cmd/handlers.h"
#include "cmd/held.h"
#include "cmd/members.h"
#include "cmd/reply.h"

#define COPYING_MAGIC 0x5a435059u

struct copying {
    uint32_t magic;
    struct held held;
    struct span span;
    uint64_t taken; /* members of the span */
    struct members found;
    struct staging staging;
};

static void
copying_free(void *state)
{
    struct copying *s;

    NQ_CAST(s, state, COPYING_MAGIC);
    held_end(&s->held);
    members_fini(&s->found);
    staging_drop(&s->staging);
    nq_free(s);
}

/* Up to a batch, if that may be staged. */
static nq_rc
take_batch(struct req *rq, struct copying *s, struct zset *z)
{
    struct zset_cursor cu;
    nq_rc rc;

    zset_cursor_init(&cu, z);
    rc = zset_nth(&cu, s->span.from + s->taken);
    while (rc == NQ_OK && cu.valid && s->taken < s->span.n &&
           (s->found.count < MEMBERS_BATCH || rq->in_multi)) {
        members_put(&s->found, cu.at.name, cu.at.score);
        s->taken++;
        rc = zset_next(&cu);
    }
    zset_cursor_fini(&cu);
    return rc;
}

/* Reads a batch from the set that is held. */
static nq_rc
take_held(struct req *rq, struct copying *s)
{
    struct entry e;
    struct zset z;
    nq_rc rc;

    held_entry(&s->held, rq, &e);
    rc = zset_open(rq->db, rq->dbi, rq->argv[2], &e, true, &z);
    if (rc != NQ_OK)
        return rc;
    rc = take_batch(rq, s, &z);
    zset_close(&z);
    return rc;
}

/* All is read: it becomes the destination. */
static void
finish(struct req *rq, struct copying *s)
{
    nq_rc rc = members_store(rq, &s->found, s->found.count, &s->staging,
                             rq->argv[1], "zrangestore");

    if (rc == NQ_OK)
        reply_int(rq, (int64_t)s->span.n);
    else if (rc == NQ_AGAIN)
        req_yield(rq);
    else
        reply_rc(rq, rc);
}

static void
go_on(struct req *rq)
{
    struct copying *s;
    nq_rc rc = NQ_OK;

    NQ_CAST(s, rq->state, COPYING_MAGIC);
    if (s->taken < s->span.n && s->found.count < MEMBERS_BATCH)
        rc = take_held(rq, s);
    if (rc == NQ_OK && s->taken == s->span.n) {
        finish(rq, s);
        return;
    }
    if (rc == NQ_OK)
        rc = members_stage(rq, &s->found, &s->staging);
    if (rc == NQ_OK)
        req_yield(rq);
    else
        reply_rc(rq, rc);
}

/* The first slice.  Nothing is kept but on the stack until all that it takes
 * is there. */
static void
copy(struct req *rq, struct span span, const struct entry *e, struct zset *z)
{
    struct copying *s = nq_calloc(1, sizeof *s);
    nq_rc rc = NQ_OK;

    s->magic = COPYING_MAGIC;
    s->span = span;
    members_init(&s->found, rq);
    if (span.n > 0)
        rc = take_batch(rq, s, z);
    zset_close(z);
    if (rc == NQ_OK && s->taken < span.n)
        rc = held_keep(&s->held, rq->db, e);
    if (rc != NQ_OK) {
        copying_free(s);
        reply_rc(rq, rc);
        return;
    }
    rq->state = s;
    rq->free_state = copying_free;
    go_on(rq);
}

void
cmd_zrangestore(struct req *rq)
{
    struct span span = {0, 0};
    struct zset_query q;
    struct entry e;
    struct zset z;
    bool found;
    nq_rc rc;

    if (rq->state != NULL) {
        go_on(rq);
        return;
    }
    if (!zset_query_parse_store(rq, 2, &q) ||
        !zset_look_open(rq, 2, &e, &found, &z))
        return;
    if (!found) {
        rc = staging_delete(rq, rq->argv[1]);
        if (rc == NQ_OK)
            reply_int(rq, 0);
        else
            reply_rc(rq, rc);
        return;
    }
    rc = zset_query_span(&z, &q, &span);
    if (rc == NQ_OK) {
        copy(rq, span, &e, &z);
    } else {
        zset_close(&z);
        reply_rc(rq, rc);
    }
}
