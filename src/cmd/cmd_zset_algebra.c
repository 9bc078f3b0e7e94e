/* cmd/cmd_zset_algebra.c - ZUNION, ZINTER, ZDIFF, their STORE variants, and
 * ZINTERCARD.
 *
 * zset_merge.c gives the members of the result.  To be told they are collected
 * and sorted; to be stored, what is more than a batch goes to a staged set,
 * batch by batch, which gets its name at the end (staging.h).  A batch is
 * first read and then written, so that a page missing from an input never
 * comes after an effect. */
#include "base/check.h"
#include "base/mem.h"
#include "cmd/args.h"
#include "cmd/cmd_key.h"
#include "cmd/cmd_zset.h"
#include "cmd/handlers.h"
#include "cmd/members.h"
#include "cmd/reply.h"
#include "cmd/zset_merge.h"

#define ALGEBRA_MAGIC 0x5a414c47u
#define MEMBERS_PER_LOOK 16 /* between two looks at the clock */

enum goal { GOAL_REPLY, GOAL_COUNT, GOAL_STORE };

struct plan {
    enum zmerge_op op;
    enum goal goal;
    const char *event; /* of a result that is stored at argv[1] */
    bool with_scores;
    enum zmerge_sum sum;
    uint64_t limit; /* of the count; 0: none */
};

struct algebra {
    uint32_t magic;
    struct plan plan;
    struct zmerge *merge; /* NULL: all members were found */
    uint64_t count;
    struct members found; /* those not staged yet */
    struct staging staging;
};

static void
algebra_free(void *state)
{
    struct algebra *a;

    NQ_CAST(a, state, ALGEBRA_MAGIC);
    zmerge_free(a->merge);
    members_fini(&a->found);
    staging_drop(&a->staging);
    nq_free(a);
}

/* --- arguments ----------------------------------------------------------- */

static bool
parse_weights(struct req *rq, uint32_t at, struct zmerge_input *inputs,
              uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!arg_double(rq, at + i, "weight value is not a float",
                        &inputs[i].weight))
            return false;
    return true;
}

static bool
parse_sum(struct slice word, enum zmerge_sum *out)
{
    if (slice_is(word, "SUM"))
        *out = ZMERGE_SUM;
    else if (slice_is(word, "MIN"))
        *out = ZMERGE_MIN;
    else if (slice_is(word, "MAX"))
        *out = ZMERGE_MAX;
    else
        return false;
    return true;
}

/* One option at argv[*i]; leaves *i on its last word. */
static bool
parse_option(struct req *rq, uint32_t *i, struct plan *p,
             struct zmerge_input *inputs, uint32_t n)
{
    bool adds = p->op != ZMERGE_DIFF && p->goal != GOAL_COUNT;
    struct slice word = rq->argv[*i];
    uint32_t left = rq->argc - *i - 1;
    int64_t limit;

    if (adds && left >= n && slice_is(word, "WEIGHTS")) {
        *i += n;
        return parse_weights(rq, *i - n + 1, inputs, n);
    }
    if (adds && left >= 1 && slice_is(word, "AGGREGATE") &&
        parse_sum(rq->argv[*i + 1], &p->sum)) {
        ++*i;
        return true;
    }
    if (p->goal == GOAL_REPLY && slice_is(word, "WITHSCORES")) {
        p->with_scores = true;
        return true;
    }
    if (p->goal == GOAL_COUNT && left >= 1 && slice_is(word, "LIMIT")) {
        if (!arg_int_within(rq, ++*i, 0, INT64_MAX, "LIMIT can't be negative",
                            &limit))
            return false;
        p->limit = (uint64_t)limit;
        return true;
    }
    reply_syntax(rq);
    return false;
}

/* Finds the inputs that stand from argv[first] on; false: the reply is put. */
static bool
find_inputs(struct req *rq, uint32_t first, struct zmerge_input *inputs,
            uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct zmerge_input *in = &inputs[i];

        in->key = rq->argv[first + i];
        in->weight = 1;
        if (!key_is_found(rq, req_find(rq, first + i, &in->entry), &in->found))
            return false;
        if (in->found && in->entry.rec.type != DB_ZSET &&
            in->entry.rec.type != DB_SET) {
            reply_rc(rq, NQ_EWRONGTYPE);
            return false;
        }
    }
    return true;
}

/* From numkeys at argv[at] on.  NULL: the reply is put. */
static struct zmerge *
parse(struct req *rq, uint32_t at, struct plan *p)
{
    struct zmerge_input *inputs;
    int64_t n;

    if (!arg_int(rq, at, &n))
        return NULL;
    if (n < 1) {
        reply_error(rq, "at least 1 input key is needed for '%s' command",
                    rq->cmd->name);
        return NULL;
    }
    if (n > (int64_t)rq->argc - at - 1) {
        reply_syntax(rq);
        return NULL;
    }
    inputs = arena_alloc(rq->arena, (size_t)n * sizeof *inputs);
    if (!find_inputs(rq, at + 1, inputs, (uint32_t)n))
        return NULL;
    for (uint32_t i = at + 1 + (uint32_t)n; i < rq->argc; i++)
        if (!parse_option(rq, &i, p, inputs, (uint32_t)n))
            return NULL;
    return zmerge_new(p->op, p->sum, inputs, (uint32_t)n);
}

/* --- finding members ----------------------------------------------------- */

static bool
is_batch_full(const struct req *rq, const struct algebra *a)
{
    return a->plan.goal == GOAL_STORE && !rq->in_multi &&
           a->found.count >= MEMBERS_BATCH;
}

/* NQ_OK: all were found; NQ_AGAIN: the slice, or a batch, is full. */
static nq_rc
find_members(struct req *rq, struct algebra *a)
{
    struct member m;
    unsigned looks = 0;
    nq_rc rc = zmerge_open(rq, a->merge);

    while (rc == NQ_OK) {
        rc = zmerge_next(a->merge, &m);
        if (rc == NQ_OK) {
            a->count++;
            if (a->plan.goal != GOAL_COUNT)
                members_put(&a->found, m.name, m.score);
            if (a->count == a->plan.limit || members_are_too_many(&a->found))
                return NQ_OK;
            if (is_batch_full(rq, a))
                return NQ_AGAIN;
        }
        if (rc == NQ_AGAIN || ++looks % MEMBERS_PER_LOOK == 0) {
            if (req_should_yield(rq))
                return NQ_AGAIN;
            rc = rc == NQ_AGAIN ? NQ_OK : rc;
        }
    }
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}

/* A slice of that.  NQ_EHELD: nothing is left of what was done. */
static nq_rc
find_slice(struct req *rq, struct algebra *a)
{
    nq_rc rc = find_members(rq, a);
    bool stay = (rc == NQ_AGAIN || rc == NQ_MISS) && !rq->in_multi;
    nq_rc held = zmerge_close(rq, a->merge, stay);

    if (held != NQ_OK)
        return held;
    if (rc == NQ_OK) {
        zmerge_free(a->merge);
        a->merge = NULL;
    }
    return rc;
}

/* --- answering ----------------------------------------------------------- */

static void
emit_result(struct req *rq, const struct member *m, void *arg)
{
    const struct plan *p = arg;

    reply_member(rq, m, p->with_scores);
}

static nq_rc
store_result(struct req *rq, struct algebra *a)
{
    nq_rc rc = members_store(rq, &a->found, a->found.count, &a->staging,
                             rq->argv[1], a->plan.event);

    if (rc == NQ_OK)
        reply_int(rq, (int64_t)a->count);
    return rc;
}

static nq_rc
tell_result(struct req *rq, struct algebra *a)
{
    uint64_t n = a->found.count;
    nq_rc rc = members_sort(rq, &a->found, TIE_BY_NAME);

    if (rc != NQ_OK)
        return rc;
    (void)members_tell(rq, &a->found, n,
                       reply_members_header(rq, n, a->plan.with_scores),
                       emit_result, &a->plan);
    return NQ_OK;
}

static void
answer(struct req *rq, struct algebra *a)
{
    nq_rc rc = NQ_OK;

    if (a->plan.goal == GOAL_COUNT)
        reply_int(rq, (int64_t)a->count);
    else if (!members_refuse(rq, &a->found))
        rc = a->plan.goal == GOAL_STORE ? store_result(rq, a)
                                        : tell_result(rq, a);
    if (rc == NQ_AGAIN)
        req_yield(rq);
    else if (rc != NQ_OK)
        reply_rc(rq, rc);
}

static void
run_slice(struct req *rq)
{
    struct algebra *a;
    nq_rc rc = NQ_OK;

    NQ_CAST(a, rq->state, ALGEBRA_MAGIC);
    if (a->merge != NULL && !is_batch_full(rq, a))
        rc = find_slice(rq, a);
    if (rc == NQ_OK && a->merge == NULL) {
        answer(rq, a);
        return;
    }
    if ((rc == NQ_OK || rc == NQ_AGAIN) && a->plan.goal == GOAL_STORE)
        rc = members_stage(rq, &a->found, &a->staging);
    if (rc == NQ_OK || rc == NQ_AGAIN) {
        req_yield(rq);
        return;
    }
    if (rc == NQ_EHELD || (rc == NQ_MISS && rq->in_multi)) {
        algebra_free(a);
        rq->state = NULL;
    }
    reply_rc(rq, rc);
}

static void
run(struct req *rq, uint32_t numkeys_at, struct plan p)
{
    struct zmerge *merge;
    struct algebra *a;

    if (rq->state == NULL) {
        if ((merge = parse(rq, numkeys_at, &p)) == NULL)
            return;
        a = nq_calloc(1, sizeof *a);
        a->magic = ALGEBRA_MAGIC;
        a->plan = p;
        a->merge = merge;
        members_init(&a->found, rq);
        rq->state = a;
        rq->free_state = algebra_free;
    }
    run_slice(rq);
}

void
cmd_zunion(struct req *rq)
{
    run(rq, 1, (struct plan){.op = ZMERGE_UNION});
}

void
cmd_zinter(struct req *rq)
{
    run(rq, 1, (struct plan){.op = ZMERGE_INTER});
}

void
cmd_zdiff(struct req *rq)
{
    run(rq, 1, (struct plan){.op = ZMERGE_DIFF});
}

void
cmd_zintercard(struct req *rq)
{
    run(rq, 1, (struct plan){.op = ZMERGE_INTER, .goal = GOAL_COUNT});
}

static void
run_store(struct req *rq, enum zmerge_op op, const char *event)
{
    run(rq, 2, (struct plan){.op = op, .goal = GOAL_STORE, .event = event});
}

void
cmd_zunionstore(struct req *rq)
{
    run_store(rq, ZMERGE_UNION, "zunionstore");
}

void
cmd_zinterstore(struct req *rq)
{
    run_store(rq, ZMERGE_INTER, "zinterstore");
}

void
cmd_zdiffstore(struct req *rq)
{
    run_store(rq, ZMERGE_DIFF, "zdiffstore");
}
