/* cmd/walk.c - telling a collection in slices.
 *
 *   walk_tell -> tell_some ... -> the end
 *                     |-> the slice is used up, or a page is missing behind
 *                         what was told: hold the tree, keep the output,
 *                         yield -> walk_go_on -> tell_some ...
 *
 * A packed collection needs no hold: the copy of its record is all of it.  It
 * is told in one piece unless chance tells it again and again.
 *
 *   I1  until the first yield nothing is kept but on the stack, so a command
 *       that is parked runs again from its start
 *   I2  from then on the state has a copy of the record and a hold on the tree
 *       that it names: the key itself may go or be renamed
 *   I3  `at` is the key of the last item that was told
 *   I4  an item is told wholly or not at all
 *   I5  chance is drawn from the request's own generator, so a command that is
 *       parked and runs again picks the same items
 *
 * A sample of few items is drawn beforehand, as ranks (Floyd, in Bentley,
 * 1987).  A greater one is decided on the way: each item is told with the
 * probability that as many of those left are wanted.
 *
 * What fails after the header has left cannot be taken back: the client gets
 * the error in the place of an item and the connection ends.  Called by the
 * handlers of hashes, sets, sorted sets and streams. */
#include "cmd/walk.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/held.h"
#include "cmd/park.h"
#include "cmd/reply.h"
#include "os/clock.h"

#define WALK_MAGIC 0x57414c4bu
#define ITEMS_PER_LOOK 32               /* between two looks at the clock */
#define BYTES_PER_LOOK (256u << 10)     /* the same */
#define UNSENT_MAX (UINT64_C(32) << 20) /* bytes; more wait for the client */
#define FEW_PICKED 256                  /* ranks drawn beforehand */
#define SKIPS_PER_LOOK 4096
#define PIECE_MAX (UINT64_C(1) << 30) /* bytes told inside MULTI */
#define DRAIN_MS 5                    /* between two looks at them */

/* What chance has decided so far. */
struct picking {
    struct rng rng;
    uint64_t rank;   /* of the next item not decided on */
    uint64_t passed; /* living ones that were */
};

struct walk {
    uint32_t magic;
    struct walk_plan plan;
    uint64_t told;
    uint64_t now_ms; /* of the moment that the answer is of */
    struct buf at;   /* valid only if has_at */
    bool has_at;
    struct picking pick; /* valid only if plan.pick */
    uint64_t *ranks;     /* WALK_SAMPLE of few: where they are, owned */
    /* Valid only in the request's state. */
    struct held held;
    enum db_type type;
    uint8_t head_len;
};

static void
walk_free(void *state)
{
    struct walk *w;

    NQ_CAST(w, state, WALK_MAGIC);
    held_end(&w->held);
    buf_fini(&w->at);
    nq_free(w->ranks);
    w->magic = 0;
    nq_free(w);
}

/* --- picking by chance --------------------------------------------------- */

static int
compare_ranks(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static bool
has_rank(const uint64_t *ranks, uint64_t n, uint64_t rank)
{
    for (uint64_t i = 0; i < n; i++)
        if (ranks[i] == rank)
            return true;
    return false;
}

/* n different ranks below `count`, in order. */
static uint64_t *
draw_ranks(struct rng *rng, uint64_t n, uint64_t count)
{
    uint64_t *ranks = nq_malloc(n * sizeof *ranks);

    for (uint64_t i = 0; i < n; i++) {
        uint64_t last = count - n + i;

        ranks[i] = rng_below(rng, last + 1);
        if (has_rank(ranks, i, ranks[i]))
            ranks[i] = last;
    }
    qsort(ranks, n, sizeof *ranks, compare_ranks);
    return ranks;
}

static void
begin_pick(struct req *rq, const struct coll *c, struct walk *w)
{
    const struct walk_plan *p = &w->plan;

    if (p->pick == WALK_ALL)
        return;
    w->pick.rng = req_rng(rq);
    if (p->pick == WALK_SAMPLE && p->n <= FEW_PICKED && p->n > 0 &&
        p->living == c->count)
        w->ranks = draw_ranks(&w->pick.rng, p->n, c->count);
}

/* Stands on the next item of the sample; NQ_AGAIN: look at the clock. */
static nq_rc
next_of_sample(struct coll_cursor *cu, struct walk *w)
{
    const struct walk_plan *p = &w->plan;
    bool has_due = p->living != cu->c->count;
    nq_rc rc = NQ_OK;

    for (unsigned i = 0; i < SKIPS_PER_LOOK && rc == NQ_OK; i++) {
        struct item it = {.expire_ms = 0};

        if (has_due && ((rc = coll_nth(cu, w->pick.rank)) != NQ_OK ||
                        (rc = coll_item(cu, &it)) != NQ_OK))
            return rc;
        w->pick.rank++;
        if (it.expire_ms != 0 && it.expire_ms <= w->now_ms)
            continue;
        if (rng_below(&w->pick.rng, p->living - w->pick.passed++) <
            p->n - w->told)
            return coll_nth(cu, w->pick.rank - 1);
    }
    return rc == NQ_OK ? NQ_AGAIN : rc;
}

/* --- telling ------------------------------------------------------------- */

static nq_rc
stand(struct coll_cursor *cu, const struct walk *w)
{
    const struct walk_plan *p = &w->plan;
    struct slice from = w->has_at ? buf_slice(&w->at) : p->from;
    bool is_open = w->has_at || p->is_open;

    if (!w->has_at && p->by_rank)
        return coll_nth(cu, p->rank);
    return p->backwards ? coll_seek_back(cu, from, is_open)
                        : coll_seek(cu, from, is_open);
}

/* To the next item; from nowhere, at the beginning of a slice. */
static nq_rc
go_on(struct coll_cursor *cu, struct walk *w, bool is_first)
{
    switch (w->plan.pick) {
    case WALK_RANDOM:
        return coll_nth(cu, rng_below(&w->pick.rng, nq_max(cu->c->count, 1u)));
    case WALK_SAMPLE:
        return w->ranks != NULL ? coll_nth(cu, w->ranks[w->told])
                                : next_of_sample(cu, w);
    case WALK_ALL:
        break;
    }
    if (is_first)
        return stand(cu, w);
    return w->plan.backwards ? coll_prev(cu) : coll_next(cu);
}

/* The item that the cursor stands on. */
static nq_rc
tell_item(struct req *rq, struct coll_cursor *cu, struct walk *w)
{
    uint64_t mark = reply_mark(rq);
    struct item it;
    nq_rc rc = coll_item(cu, &it);

    if (rc == NQ_OK && (it.expire_ms == 0 || it.expire_ms > w->now_ms)) {
        rc = w->plan.emit(rq, cu->c, &it, w->plan.flags);
        if (rc == NQ_OK)
            w->told++;
        else
            outq_rewind(&rq->s->out, mark);
    }
    if (rc != NQ_OK && rc != NQ_NOTFOUND)
        return rc;
    if (cu->c->is_tree && w->plan.pick == WALK_ALL) {
        buf_clear(&w->at);
        buf_put_slice(&w->at, cu->key);
        w->has_at = true;
    }
    return NQ_OK;
}

/* Whether the slice is used up; NQ_ELIMIT: there are no slices. */
static nq_rc
look(struct req *rq, const struct coll *c, const struct walk *w,
     uint64_t put_before)
{
    if (rq->in_multi && reply_mark(rq) - put_before > PIECE_MAX)
        return NQ_ELIMIT;
    if (!c->is_tree && w->plan.pick == WALK_ALL)
        return NQ_OK;
    return req_should_yield(rq) ? NQ_AGAIN : NQ_OK;
}

/* To an item, and tells it.  What fails will be picked alike again. */
static nq_rc
tell_next(struct req *rq, struct coll_cursor *cu, struct walk *w, bool is_first)
{
    struct picking before = w->pick;
    nq_rc rc = go_on(cu, w, is_first);

    if (rc == NQ_OK && !cu->valid) {
        log_error("a collection has fewer items than were counted");
        return NQ_ECORRUPT;
    }
    if (rc == NQ_OK)
        rc = tell_item(rq, cu, w);
    if (rc != NQ_OK && rc != NQ_AGAIN)
        w->pick = before;
    return rc;
}

/* NQ_AGAIN: the slice is used up. */
static nq_rc
tell_items(struct req *rq, struct coll_cursor *cu, struct walk *w)
{
    uint64_t begun_at = reply_mark(rq), looked_at = begun_at;
    bool is_first = true;
    unsigned n = 0;
    nq_rc rc = NQ_OK;

    while (rc == NQ_OK && w->told < w->plan.n) {
        rc = tell_next(rq, cu, w, is_first);
        n += rc == NQ_OK;
        is_first = false;
        if (rc != NQ_AGAIN && n % ITEMS_PER_LOOK != 0 &&
            reply_mark(rq) - looked_at <= BYTES_PER_LOOK)
            continue;
        looked_at = reply_mark(rq);
        if (rc == NQ_OK || rc == NQ_AGAIN)
            rc = look(rq, cu->c, w, begun_at);
    }
    if (rc == NQ_AGAIN && w->told == w->plan.n)
        return NQ_OK;
    /* What was told stays told: only then does a walk over pages that are not
     * in memory come to an end. */
    if (rc == NQ_MISS && n > 0 && cu->c->is_tree && !rq->in_multi)
        return NQ_AGAIN;
    return rc;
}

static nq_rc
tell_some(struct req *rq, struct coll *c, struct walk *w)
{
    struct coll_cursor cu;
    nq_rc rc;

    coll_cursor_init(&cu, c);
    rc = tell_items(rq, &cu, w);
    coll_cursor_fini(&cu);
    return rc;
}

/* --- between slices ------------------------------------------------------ */

/* From the stack to the request's state; NQ_EHELD. */
static nq_rc
settle_in(struct req *rq, const struct coll *c, const struct walk *first)
{
    struct walk *w = nq_malloc(sizeof *w);
    nq_rc rc;

    *w = *first;
    if ((rc = held_keep(&w->held, rq->db, c->entry)) != NQ_OK) {
        nq_free(w);
        return rc;
    }
    w->type = c->type;
    w->head_len = c->head_len;
    rq->state = w;
    rq->free_state = walk_free;
    return NQ_OK;
}

static bool
is_client_behind(const struct req *rq, const struct walk *w)
{
    const struct outq *out = &rq->s->out;

    return out->put - out->sent > UNSENT_MAX && !hold_is_wanted(&w->held.hold);
}

/* The next slice: at once, or when some of the output has left. */
static void
yield(struct req *rq, const struct walk *w)
{
    rq->keep_output = true;
    rq->s->flags |= SESSION_OWN_PACE;
    session_check_output(rq->s);
    if (is_client_behind(rq, w))
        req_block_until(rq, clock_mono_ms() + DRAIN_MS);
    else
        req_yield(rq);
}

bool
walk_go_on(struct req *rq)
{
    struct entry e;
    struct walk *w;
    struct coll c;
    nq_rc rc;

    if (rq->state == NULL)
        return false;
    NQ_CAST(w, rq->state, WALK_MAGIC);
    if (is_client_behind(rq, w)) {
        yield(rq, w);
        return true;
    }
    held_entry(&w->held, rq, &e);
    rc = coll_open(rq->db, rq->dbi, slice_lit(""), w->type, &e, true,
                   w->head_len, &c);
    if (rc == NQ_OK)
        rc = tell_some(rq, &c, w);
    coll_close(&c);
    if (rc == NQ_AGAIN) {
        yield(rq, w);
    } else if (rc != NQ_OK) {
        reply_rc(rq, rc);
        if (rc != NQ_MISS)
            session_end(rq->s, true);
    }
    return true;
}

/* --- the first slice ----------------------------------------------------- */

static void
put_header(struct req *rq, const struct walk_plan *p)
{
    switch (p->shape) {
    case WALK_ARRAY:
        reply_array(rq, p->header);
        break;
    case WALK_SET:
        reply_set(rq, p->header);
        break;
    case WALK_MAP:
        reply_map(rq, p->header);
        break;
    }
}

void
walk_tell(struct req *rq, struct coll *c, const struct walk_plan *plan)
{
    struct walk w = {
        .magic = WALK_MAGIC, .plan = *plan, .now_ms = db_now(rq->db)};
    uint64_t mark = reply_mark(rq);
    nq_rc rc;

    nq_assert(rq->part == NULL && rq->state == NULL);
    put_header(rq, plan);
    begin_pick(rq, c, &w);
    rc = tell_some(rq, c, &w);
    w.plan.from = slice_lit(""); /* the caller's; `at` is used from now on */
    if (rc == NQ_AGAIN && (rc = settle_in(rq, c, &w)) == NQ_OK) {
        yield(rq, rq->state);
        return;
    }
    buf_fini(&w.at);
    nq_free(w.ranks);
    if (rc != NQ_OK)
        reply_rc_from(rq, mark, rc);
}
