/* cmd/cmd_zset_random.c - ZRANDMEMBER.
 *
 * Members are chosen by rank.  With repetition each rank is drawn by itself.
 * Without, either every rank is looked at and taken with the chance that makes
 * all samples equally likely (Knuth, 3.4.2, algorithm S), or, if few are
 * wanted of many, the first ones of a pseudo-random permutation of all ranks
 * are taken: a Feistel network over the next power of four, walked until it
 * hits a rank.  No way needs memory, so all can stop after any member.
 *
 * What was drawn is remembered while its page is read: drawing anew would miss
 * another one. */
#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "cmd/args.h"
#include "cmd/cmd_zset.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/held.h"
#include "cmd/reply.h"
#include "cmd/walk.h"

#define PICKING_MAGIC 0x5a504943u
#define PICKS_PER_LOOK 16 /* between two looks at the clock */
#define ROUNDS 6          /* of the network */
#define SELECT_SHARE 4    /* from one in so many on all ranks are looked at */

enum way { WITH_REPETITION, BY_SELECTION, BY_PERMUTATION };

struct picking {
    uint32_t magic;
    struct held held;
    enum way way;
    bool with_scores, is_single; /* single: no array around it */
    bool has_header, has_rank;   /* rank was drawn, but not told yet */
    uint64_t n, told, card;
    uint64_t rank;
    uint64_t next; /* rank to look at, or number to permute */
    unsigned half_bits;
    uint64_t keys[ROUNDS];
};

static void
picking_free(void *state)
{
    struct picking *p;

    NQ_CAST(p, state, PICKING_MAGIC);
    held_end(&p->held);
    nq_free(p);
}

/* --- drawing ------------------------------------------------------------- */

static uint64_t
mix(uint64_t v)
{
    v = (v ^ v >> 31) * UINT64_C(0x7fb5d329728ea185);
    v = (v ^ v >> 27) * UINT64_C(0x81dadef4bc2dd44d);
    return v ^ v >> 33;
}

static uint64_t
permute(const struct picking *p, uint64_t v)
{
    uint64_t mask = (UINT64_C(1) << p->half_bits) - 1;
    uint64_t left = v >> p->half_bits, right = v & mask;

    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t was = left;

        left = right;
        right = was ^ (mix(right ^ p->keys[i]) & mask);
    }
    return left << p->half_bits | right;
}

static void
draw(struct picking *p, struct rng *rng)
{
    switch (p->way) {
    case WITH_REPETITION:
        p->rank = rng_below(rng, p->card);
        break;
    case BY_SELECTION:
        while (rng_below(rng, p->card - p->next) >= p->n - p->told)
            p->next++;
        p->rank = p->next++;
        break;
    case BY_PERMUTATION:
        do
            p->rank = permute(p, p->next++);
        while (p->rank >= p->card);
        break;
    }
    p->has_rank = true;
}

static void
choose_way(struct picking *p, bool repeats, struct rng *rng)
{
    if (repeats) {
        p->way = WITH_REPETITION;
    } else if (p->n > p->card / SELECT_SHARE) {
        p->way = BY_SELECTION;
    } else {
        p->way = BY_PERMUTATION;
        while (UINT64_C(1) << (2 * p->half_bits) < p->card)
            p->half_bits++;
        for (unsigned i = 0; i < ROUNDS; i++)
            p->keys[i] = rng_next(rng);
    }
}

/* --- telling ------------------------------------------------------------- */

static void
tell(struct req *rq, struct picking *p, const struct member *m)
{
    if (!p->has_header && !p->is_single)
        reply_array(rq, reply_members_header(rq, p->n, p->with_scores));
    p->has_header = true;
    reply_member(rq, m, p->with_scores);
    p->told++;
    p->has_rank = false;
}

/* NQ_AGAIN: the slice is used up. */
static nq_rc
tell_some(struct req *rq, struct picking *p, struct zset *z)
{
    uint64_t before = p->told;
    struct zset_cursor cu;
    nq_rc rc = NQ_OK;

    zset_cursor_init(&cu, z);
    while (rc == NQ_OK && p->told < p->n) {
        if (!p->has_rank)
            draw(p, &rq->engine->rng);
        rc = zset_nth(&cu, p->rank);
        if (rc == NQ_OK && !cu.valid)
            rc = NQ_ECORRUPT;
        if (rc == NQ_OK)
            tell(rq, p, &cu.at);
        if (rc == NQ_OK && p->told % PICKS_PER_LOOK == 0 && p->told < p->n &&
            req_should_yield(rq))
            rc = NQ_AGAIN;
    }
    zset_cursor_fini(&cu);
    /* What was told stays told, as in cmd/walk. */
    if (rc == NQ_MISS && p->told > before && !rq->in_multi)
        rc = NQ_AGAIN;
    return rc;
}

/* After a slice that did not end it. */
static void
wait_for_more(struct req *rq, nq_rc rc)
{
    if (rc == NQ_AGAIN) {
        rq->keep_output = true;
        req_yield(rq);
    } else {
        reply_rc(rq, rc);
    }
}

static void
go_on(struct req *rq)
{
    struct picking *p;
    struct entry e;
    struct zset z;
    nq_rc rc;

    NQ_CAST(p, rq->state, PICKING_MAGIC);
    held_entry(&p->held, rq, &e);
    rc = zset_open(rq->db, rq->dbi, rq->argv[1], &e, true, &z);
    if (rc == NQ_OK) {
        rc = tell_some(rq, p, &z);
        zset_close(&z);
    }
    if (rc != NQ_OK)
        wait_for_more(rq, rc);
}

/* From the stack to the request's state. */
static nq_rc
settle_in(struct req *rq, const struct picking *first, const struct entry *e)
{
    struct picking *p = nq_malloc(sizeof *p);
    nq_rc rc;

    *p = *first;
    if ((rc = held_keep(&p->held, rq->db, e)) != NQ_OK) {
        nq_free(p);
        return rc;
    }
    rq->state = p;
    rq->free_state = picking_free;
    return NQ_OK;
}

static void
pick(struct req *rq, struct picking *p, bool repeats, const struct entry *e,
     struct zset *z)
{
    uint64_t mark = rq->s->out.put;
    nq_rc rc, held;

    choose_way(p, repeats, &rq->engine->rng);
    rc = tell_some(rq, p, z);
    if ((rc == NQ_AGAIN || rc == NQ_MISS) && !rq->in_multi &&
        (held = settle_in(rq, p, e)) != NQ_OK)
        rc = held;
    if (rc == NQ_OK)
        return;
    if (rc != NQ_AGAIN)
        outq_rewind(&rq->s->out, mark);
    wait_for_more(rq, rc);
}

/* --- the command --------------------------------------------------------- */

struct random_args {
    bool has_count, repeats, with_scores;
    uint64_t count;
};

static bool
parse(struct req *rq, struct random_args *a)
{
    int64_t count = 1;

    *a = (struct random_args){.has_count = rq->argc > 2};
    if (a->has_count && !arg_int(rq, 2, &count))
        return false;
    if (count == INT64_MIN) {
        reply_error(rq,
                    "value is out of range, value must between %lld and "
                    "%lld",
                    -(long long)INT64_MAX, (long long)INT64_MAX);
        return false;
    }
    if (rq->argc > 4 ||
        (rq->argc == 4 && !slice_is(rq->argv[3], "WITHSCORES"))) {
        reply_syntax(rq);
        return false;
    }
    a->with_scores = rq->argc == 4;
    if (a->with_scores && (count < -INT64_MAX / 2 || count > INT64_MAX / 2)) {
        reply_error(rq, "value is out of range");
        return false;
    }
    a->repeats = count < 0;
    a->count = (uint64_t)(count < 0 ? -count : count);
    return true;
}

static void
answer(struct req *rq, const struct random_args *a, struct entry *e,
       struct zset *z)
{
    struct picking p = {.magic = PICKING_MAGIC,
                        .is_single = !a->has_count,
                        .with_scores = a->with_scores,
                        .card = z->card};

    p.n = a->repeats ? a->count : nq_min(a->count, z->card);
    if (!a->repeats && a->has_count && p.n == z->card)
        zset_tell(rq, z, (struct span){0, p.n}, false, a->with_scores);
    else
        pick(rq, &p, a->repeats, e, z);
}

void
cmd_zrandmember(struct req *rq)
{
    struct random_args a;
    struct entry e;
    struct zset z;
    bool found;

    if (rq->state != NULL && *(uint32_t *)rq->state == PICKING_MAGIC) {
        go_on(rq);
        return;
    }
    if (walk_go_on(rq) || !parse(rq, &a) ||
        !zset_look_open(rq, 1, &e, &found, &z))
        return;
    if (!found && !a.has_count)
        reply_null(rq);
    else if (!found || a.count == 0)
        reply_array(rq, 0);
    else
        answer(rq, &a, &e, &z);
    if (found)
        zset_close(&z);
}
