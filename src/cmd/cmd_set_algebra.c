/* cmd/cmd_set_algebra.c - SINTER, SUNION, SDIFF, their STORE variants, and
 * SINTERCARD.
 *
 * set_merge.c gives the members of the result in order.  They are collected,
 * because a reply begins with their number; a result to be stored that is
 * longer than a batch goes to a staged set instead, batch by batch, and takes
 * its name at the end (staging.h).  A batch is first read and then written,
 * so that a page missing from an input never comes after an effect. */
#include "base/check.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "cmd/args.h"
#include "cmd/cmd_range.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/reply.h"
#include "cmd/set_merge.h"
#include "cmd/staging.h"
#include "db/set.h"

#define ALGEBRA_MAGIC 0x414c4742u
#define MEMBERS_PER_LOOK 16 /* between two looks at the clock */
#define BATCH_MEMBERS 1024  /* written to a set at once */
#define BATCH_BYTES (UINT64_C(256) << 10)

enum goal { GOAL_REPLY, GOAL_COUNT, GOAL_STORE };

struct plan {
    enum set_op op;
    enum goal goal;
    uint32_t first, n; /* where the inputs stand in argv */
    uint64_t limit;    /* of the count; 0: none */
    const char *event; /* of a result that is stored at argv[1] */
};

struct algebra {
    uint32_t magic;
    struct merge *merge; /* NULL: all members were found */
    struct listing found;
    uint64_t count;
    struct staging staging;
};

static void
algebra_free(void *state)
{
    struct algebra *a;

    NQ_CAST(a, state, ALGEBRA_MAGIC);
    merge_free(a->merge);
    listing_fini(&a->found);
    staging_drop(&a->staging);
    nq_free(a);
}

/* Finds all inputs; false: the reply is put. */
static bool
algebra_begin(struct req *rq, const struct plan *p)
{
    struct entry *entries = arena_alloc(rq->arena, p->n * sizeof *entries);
    struct algebra *a;

    for (uint32_t i = 0; i < p->n; i++) {
        nq_rc rc = req_find_type(rq, p->first + i, DB_SET, false, &entries[i]);

        if (rc != NQ_OK && rc != NQ_NOTFOUND) {
            reply_rc(rq, rc);
            return false;
        }
        entries[i].finger.found = rc == NQ_OK;
    }
    a = nq_calloc(1, sizeof *a);
    a->magic = ALGEBRA_MAGIC;
    a->merge = merge_new(p->op, entries, rq->argv + p->first, p->n);
    listing_init(&a->found, rq);
    a->found.is_set = true;
    rq->state = a;
    rq->free_state = algebra_free;
    return true;
}

/* --- finding members ----------------------------------------------------- */

static bool
is_batch_full(const struct req *rq, const struct plan *p,
              const struct algebra *a)
{
    return p->goal == GOAL_STORE && !rq->in_multi &&
           (a->found.count >= BATCH_MEMBERS ||
            a->found.items.len > BATCH_BYTES);
}

/* NQ_OK: all members were found; NQ_AGAIN: the slice, or a batch, is full. */
static nq_rc
find_members(struct req *rq, const struct plan *p, struct algebra *a)
{
    struct slice member;
    uint64_t looks = 0;
    nq_rc rc = merge_open(rq, a->merge);

    while (rc == NQ_OK) {
        rc = merge_next(a->merge, &member);
        if (rc == NQ_OK) {
            a->count++;
            if (p->goal != GOAL_COUNT)
                listing_put(&a->found, member);
            if (a->count == p->limit ||
                a->found.items.len > a->found.limit_bytes)
                return NQ_OK;
            if (is_batch_full(rq, p, a))
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
find_in_slice(struct req *rq, const struct plan *p, struct algebra *a)
{
    nq_rc rc = find_members(rq, p, a);
    bool stay = rc == NQ_AGAIN || rc == NQ_MISS;
    nq_rc held = merge_close(rq, a->merge, stay && !rq->in_multi);

    if (held != NQ_OK)
        return held;
    if (rc == NQ_OK) {
        merge_free(a->merge);
        a->merge = NULL;
    }
    return rc;
}

/* --- storing them -------------------------------------------------------- */

/* The next members of `c`, at most a batch. */
static unsigned
take_batch(struct cursor *c, struct slice *members)
{
    unsigned n = 0;

    while (n < BATCH_MEMBERS && cursor_left(c) > 0) {
        bool ok = cursor_get_slice(c, &members[n++]);

        nq_assert(ok);
    }
    return n;
}

/* Adds all that was found to the staged set; misses before the first effect. */
static nq_rc
stage_members(struct req *rq, struct algebra *a)
{
    struct slice *members =
        arena_alloc(rq->arena, BATCH_MEMBERS * sizeof *members);
    struct cursor c = cursor_of(buf_slice(&a->found.items));
    struct entry e;
    uint64_t added;
    unsigned n;
    nq_rc rc = NQ_OK;

    if (!staging_is_begun(&a->staging))
        rc = staging_begin(rq, &a->staging);
    while (rc == NQ_OK && (n = take_batch(&c, members)) > 0) {
        rc = staging_find(&a->staging, &e);
        if (rc == NQ_OK || rc == NQ_NOTFOUND)
            rc = set_add(rq->db, DB_STAGING, staging_key(&a->staging), &e,
                         rc == NQ_OK, members, n, NULL, &added);
    }
    if (rc == NQ_OK) {
        buf_clear(&a->found.items);
        a->found.count = 0;
    }
    return rc;
}

/* All that was found becomes the set at argv[1]. */
static nq_rc
store_members(struct req *rq, struct algebra *a)
{
    struct slice *members =
        arena_alloc(rq->arena, BATCH_MEMBERS * sizeof *members);
    struct cursor c = cursor_of(buf_slice(&a->found.items));
    struct entry e;
    uint64_t added;
    unsigned n;
    nq_rc rc = staging_replace(rq, rq->argv[1], &e);

    while (rc == NQ_OK && (n = take_batch(&c, members)) > 0) {
        rc = set_add(rq->db, rq->dbi, rq->argv[1], &e, e.finger.found, members,
                     n, NULL, &added);
        if (rc == NQ_OK && cursor_left(&c) > 0)
            rc = db_find_write(rq->db, rq->dbi, rq->argv[1], &e);
    }
    return rc;
}

/* The last step: nothing is read any more. */
static nq_rc
finish_store(struct req *rq, const struct plan *p, struct algebra *a)
{
    nq_rc rc = NQ_OK;

    if (staging_is_begun(&a->staging) && a->found.count > 0)
        rc = stage_members(rq, a);
    if (rc != NQ_OK)
        return rc;
    if (staging_is_begun(&a->staging))
        rc = staging_publish(rq, &a->staging, rq->argv[1]);
    else if (a->count == 0)
        rc = staging_delete(rq, rq->argv[1]);
    else
        rc = store_members(rq, a);
    if (rc == NQ_OK && a->count > 0)
        db_event(rq->db, rq->dbi, EVENT_SET, p->event, rq->argv[1]);
    return rc;
}

/* --- a run --------------------------------------------------------------- */

static void
algebra_answer(struct req *rq, const struct plan *p, struct algebra *a)
{
    nq_rc rc;

    if (p->goal == GOAL_COUNT) {
        reply_int(rq, (int64_t)a->count);
    } else if (listing_is_too_long(rq, &a->found)) {
        return;
    } else if (p->goal == GOAL_REPLY) {
        (void)listing_answer(rq, &a->found);
    } else if ((rc = finish_store(rq, p, a)) != NQ_OK) {
        reply_rc(rq, rc);
    } else {
        reply_int(rq, (int64_t)a->count);
    }
}

/* Makes room for another batch, which the next slice reads. */
static nq_rc
algebra_flush(struct req *rq, const struct plan *p, struct algebra *a)
{
    return p->goal == GOAL_STORE && a->found.count > 0 ? stage_members(rq, a)
                                                       : NQ_OK;
}

static void
algebra_run(struct req *rq, const struct plan *p)
{
    struct algebra *a;
    nq_rc rc = NQ_OK;

    if (rq->state == NULL && !algebra_begin(rq, p))
        return;
    NQ_CAST(a, rq->state, ALGEBRA_MAGIC);
    if (a->merge != NULL && !is_batch_full(rq, p, a))
        rc = find_in_slice(rq, p, a);
    if (rc == NQ_EHELD) {
        algebra_free(a);
        rq->state = NULL;
    }
    if (rc == NQ_OK && a->merge == NULL) {
        algebra_answer(rq, p, a);
        return;
    }
    if (rc == NQ_AGAIN || rc == NQ_OK)
        rc = algebra_flush(rq, p, a);
    if (rc == NQ_OK)
        req_yield(rq);
    else
        reply_rc(rq, rc);
}

static void
reply_of(struct req *rq, enum set_op op)
{
    struct plan p = {.op = op, .first = 1, .n = rq->argc - 1};

    algebra_run(rq, &p);
}

static void
store_of(struct req *rq, enum set_op op, const char *event)
{
    struct plan p = {.op = op,
                     .goal = GOAL_STORE,
                     .first = 2,
                     .n = rq->argc - 2,
                     .event = event};

    algebra_run(rq, &p);
}

void
cmd_sinter(struct req *rq)
{
    reply_of(rq, SET_INTER);
}

void
cmd_sunion(struct req *rq)
{
    reply_of(rq, SET_UNION);
}

void
cmd_sdiff(struct req *rq)
{
    reply_of(rq, SET_DIFF);
}

void
cmd_sinterstore(struct req *rq)
{
    store_of(rq, SET_INTER, "sinterstore");
}

void
cmd_sunionstore(struct req *rq)
{
    store_of(rq, SET_UNION, "sunionstore");
}

void
cmd_sdiffstore(struct req *rq)
{
    store_of(rq, SET_DIFF, "sdiffstore");
}

/* SINTERCARD's LIMIT; false: the reply is put. */
static bool
parse_limit(struct req *rq, uint32_t i, uint64_t *limit)
{
    int64_t v;

    *limit = 0;
    for (; i < rq->argc; i += 2) {
        if (!slice_is(rq->argv[i], "LIMIT") || i + 1 == rq->argc) {
            reply_syntax(rq);
            return false;
        }
        if (!arg_int_within(rq, i + 1, 0, INT64_MAX, "LIMIT can't be negative",
                            &v))
            return false;
        *limit = (uint64_t)v;
    }
    return true;
}

void
cmd_sintercard(struct req *rq)
{
    struct plan p = {.op = SET_INTER, .goal = GOAL_COUNT, .first = 2};
    int64_t n;

    if (!arg_int_within(rq, 1, 1, INT64_MAX, "numkeys should be greater than 0",
                        &n))
        return;
    if (n > (int64_t)rq->argc - 2) {
        reply_error(rq, "Number of keys can't be greater than number of args");
        return;
    }
    p.n = (uint32_t)n;
    if (parse_limit(rq, p.first + p.n, &p.limit))
        algebra_run(rq, &p);
}
