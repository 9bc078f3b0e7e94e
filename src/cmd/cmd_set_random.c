/* cmd/cmd_set_random.c - SPOP and SRANDMEMBER: members drawn by chance.
 *
 * Sets are counted, so a member is drawn by its rank, and every member is as
 * likely as any other.  A rank that was drawn is kept when its page has to be
 * read first; drawing again would favour the pages that are in memory.
 *
 * Several members are drawn in slices, the set held as it was meanwhile:
 *
 *   all of them    in order
 *   with repeats   each rank anew
 *   most of them   going over the ranks once, each is taken with the chance of
 *                  those still wanted among those still to come (Knuth's S)
 *   few of them    Floyd's way: for each j of the last `count` ranks one of
 *                  0..j, or j itself if that one was taken before
 *
 * SPOP with a count removes what was drawn in one piece; in between nobody can
 * have changed the set, but its key may have gone: then all begins anew. */
#include "cmd/cmd_set_type.h"

#include "base/check.h"
#include "base/cursor.h"
#include "base/hash.h"
#include "base/mem.h"
#include "cmd/args.h"
#include "cmd/cmd_range.h"
#include "cmd/engine.h"
#include "cmd/handlers.h"
#include "cmd/held.h"
#include "cmd/reply.h"
#include "db/set.h"

#define ONE_MAGIC 0x444f4e45u
#define DRAW_MAGIC 0x44524157u
#define MEMBERS_PER_LOOK 16  /* between two looks at the clock */
#define REMOVED_AT_ONCE 1024 /* members of one effect */
#define MOST 8 /* more than every eighth member counts as most of them */
#define NO_RANK UINT64_MAX

/* --- a single one -------------------------------------------------------- */

/* The rank that a parked command drew. */
struct one {
    uint32_t magic;
    uint64_t size, rank;
};

static uint64_t
draw_one(struct req *rq, uint64_t size)
{
    struct one *o;

    if (rq->state != NULL) {
        NQ_CAST(o, rq->state, ONE_MAGIC);
        if (o->size == size)
            return o->rank;
    }
    return rng_below(&rq->engine->rng, size);
}

static void
keep_one(struct req *rq, uint64_t size, uint64_t rank)
{
    struct one *o = rq->state;

    if (rq->in_multi)
        return;
    if (o == NULL)
        o = nq_calloc(1, sizeof *o);
    *o = (struct one){ONE_MAGIC, size, rank};
    rq->state = o;
    rq->free_state = nq_free;
}

static nq_rc
count_members(struct req *rq, struct entry *e, uint64_t *size)
{
    struct coll c;
    nq_rc rc = set_open(rq->db, rq->dbi, rq->argv[1], e, true, &c);

    *size = c.count;
    coll_close(&c);
    return rc;
}

static nq_rc
reply_nth(struct req *rq, struct entry *e, uint64_t rank)
{
    struct coll_cursor cu;
    struct coll c;
    nq_rc rc = set_open(rq->db, rq->dbi, rq->argv[1], e, true, &c);

    coll_cursor_init(&cu, &c);
    if (rc == NQ_OK)
        rc = coll_nth(&cu, rank);
    nq_assert(rc != NQ_OK || cu.valid);
    if (rc == NQ_OK)
        reply_bulk(rq, cu.key);
    coll_cursor_fini(&cu);
    coll_close(&c);
    return rc;
}

static void
draw_single(struct req *rq, bool pop)
{
    uint64_t size, rank = 0;
    struct slice member;
    struct entry e;
    bool found;
    nq_rc rc;

    if (!(pop ? set_find_write(rq, 1, true, &e, &found)
              : set_find(rq, 1, &e, &found)))
        return;
    if (!found) {
        reply_null(rq);
        return;
    }
    if ((rc = count_members(rq, &e, &size)) == NQ_OK) {
        rank = draw_one(rq, size);
        rc = pop ? set_pop(rq->db, rq->dbi, rq->argv[1], &e, rank, "spop",
                           rq->arena, &member)
                 : reply_nth(rq, &e, rank);
    }
    if (rc == NQ_MISS)
        keep_one(rq, size, rank);
    if (rc != NQ_OK)
        reply_rc(rq, rc);
    else if (pop)
        reply_bulk(rq, member);
}

/* --- several ------------------------------------------------------------- */

enum draw_kind { DRAW_ALL, DRAW_REPEATS, DRAW_MOST, DRAW_FEW };

struct draw {
    uint32_t magic;
    enum draw_kind kind;
    uint64_t size, count, done;
    uint64_t next;  /* most: the rank to be decided on */
    uint64_t rank;  /* drawn, and not read yet; or NO_RANK */
    uint64_t *seen; /* few: the ranks drawn, hashed; NO_RANK: free */
    uint64_t seen_mask;
    struct held held;
    struct listing found;
};

static void
draw_free(void *state)
{
    struct draw *d;

    NQ_CAST(d, state, DRAW_MAGIC);
    held_end(&d->held);
    listing_fini(&d->found);
    nq_free(d->seen);
    nq_free(d);
}

/* An empty table for the ranks of few members, at most half full. */
static void
seen_init(struct draw *d)
{
    uint64_t slots = 8;

    while (slots < 2 * d->count)
        slots *= 2;
    d->seen = nq_malloc(slots * sizeof *d->seen);
    memset(d->seen, 0xff, slots * sizeof *d->seen);
    d->seen_mask = slots - 1;
}

/* Whether `rank` is new. */
static bool
seen_add(struct draw *d, uint64_t rank)
{
    uint64_t at = hash_u64(rank) & d->seen_mask;

    while (d->seen[at] != NO_RANK) {
        if (d->seen[at] == rank)
            return false;
        at = (at + 1) & d->seen_mask;
    }
    d->seen[at] = rank;
    return true;
}

static struct draw *
draw_new(struct req *rq, uint64_t size, uint64_t count, bool repeats)
{
    struct draw *d = nq_calloc(1, sizeof *d);

    d->magic = DRAW_MAGIC;
    d->size = size;
    d->count = repeats ? count : nq_min(count, size);
    d->rank = NO_RANK;
    listing_init(&d->found, rq);
    if (repeats) {
        d->kind = DRAW_REPEATS;
    } else if (d->count == size) {
        d->kind = DRAW_ALL;
    } else if (d->count > size / MOST) {
        d->kind = DRAW_MOST;
    } else {
        d->kind = DRAW_FEW;
        seen_init(d);
    }
    rq->state = d;
    rq->free_state = draw_free;
    return d;
}

static uint64_t
next_rank(struct draw *d, struct rng *rng)
{
    uint64_t last, rank;

    switch (d->kind) {
    case DRAW_ALL:
        return d->done;
    case DRAW_REPEATS:
        return rng_below(rng, d->size);
    case DRAW_MOST:
        while (rng_below(rng, d->size - d->next) >= d->count - d->done)
            d->next++;
        return d->next++;
    default:
        last = d->size - d->count + d->done;
        rank = rng_below(rng, last + 1);
        if (seen_add(d, rank))
            return rank;
        (void)seen_add(d, last);
        return last;
    }
}

/* To d->rank, from where the cursor stands (on `from`, unless NO_RANK). */
static nq_rc
go_to_rank(struct draw *d, struct coll_cursor *cu, uint64_t from)
{
    nq_rc rc;

    if (from != NO_RANK && cu->valid && from + 1 == d->rank)
        rc = coll_next(cu);
    else
        rc = coll_nth(cu, d->rank);
    nq_assert(rc != NQ_OK || cu->valid);
    return rc;
}

/* NQ_AGAIN: the slice is used up. */
static nq_rc
draw_from(struct req *rq, struct draw *d, struct coll_cursor *cu)
{
    uint64_t from = NO_RANK;
    nq_rc rc;

    while (d->done < d->count) {
        if (d->rank == NO_RANK)
            d->rank = next_rank(d, &rq->engine->rng);
        if ((rc = go_to_rank(d, cu, from)) != NQ_OK)
            return rc;
        listing_put(&d->found, cu->key);
        from = d->rank;
        d->rank = NO_RANK;
        d->done++;
        if (d->found.items.len > d->found.limit_bytes)
            return NQ_OK;
        if (d->done % MEMBERS_PER_LOOK == 0 && d->done < d->count &&
            req_should_yield(rq))
            return NQ_AGAIN;
    }
    return NQ_OK;
}

/* A slice of drawing from the set in `e`; keeps it if there will be more. */
static nq_rc
draw_slice(struct req *rq, struct draw *d, struct entry *e)
{
    struct coll_cursor cu;
    struct coll c;
    nq_rc rc = set_open(rq->db, rq->dbi, rq->argv[1], e, true, &c), held;

    coll_cursor_init(&cu, &c);
    if (rc == NQ_OK)
        rc = draw_from(rq, d, &cu);
    coll_cursor_fini(&cu);
    coll_close(&c);
    if ((rc != NQ_AGAIN && rc != NQ_MISS) || d->held.is_kept || rq->in_multi)
        return rc;
    held = held_keep(&d->held, rq->db, e);
    return held == NQ_OK ? rc : held;
}

/* The end of a run that did not come to the end of drawing. */
static void
draw_pause(struct req *rq, nq_rc rc)
{
    if (rc == NQ_EHELD) {
        draw_free(rq->state);
        rq->state = NULL;
    }
    if (rc == NQ_AGAIN)
        req_yield(rq);
    else
        reply_rc(rq, rc);
}

/* A slice of drawing; NULL: the reply is put, or more is to come. */
static struct draw *
draw_some(struct req *rq, struct entry *e, uint64_t count, bool repeats)
{
    struct draw *d;
    uint64_t size;
    nq_rc rc = NQ_OK;

    if (rq->state == NULL) {
        if ((rc = count_members(rq, e, &size)) != NQ_OK) {
            reply_rc(rq, rc);
            return NULL;
        }
        (void)draw_new(rq, size, count, repeats);
    }
    NQ_CAST(d, rq->state, DRAW_MAGIC);
    if (d->held.is_kept) {
        held_entry(&d->held, rq, e);
        db_gate_all(rq->db, rq->dbi);
    }
    rc = draw_slice(rq, d, e);
    if (rc != NQ_OK)
        draw_pause(rq, rc);
    else if (!listing_is_too_long(rq, &d->found))
        return d;
    return NULL;
}

/* --- SRANDMEMBER --------------------------------------------------------- */

static void
srandmember_count(struct req *rq)
{
    struct draw *d = rq->state;
    struct entry e = {0};
    int64_t count;
    bool found;

    if (!arg_int(rq, 2, &count))
        return;
    if (count == INT64_MIN) {
        reply_error(rq, "value is out of range, value must between "
                        "-9223372036854775807 and 9223372036854775807");
        return;
    }
    if (d == NULL) {
        if (!set_find(rq, 1, &e, &found))
            return;
        if (!found || count == 0) {
            reply_array(rq, 0);
            return;
        }
    }
    if (d == NULL || !d->found.is_complete) {
        d = draw_some(rq, &e, (uint64_t)(count < 0 ? -count : count),
                      count < 0);
        if (d == NULL)
            return;
        held_end(&d->held);
    }
    (void)listing_answer(rq, &d->found);
}

void
cmd_srandmember(struct req *rq)
{
    if (rq->argc == 2)
        draw_single(rq, false);
    else if (rq->argc == 3)
        srandmember_count(rq);
    else
        reply_syntax(rq);
}

/* --- SPOP ---------------------------------------------------------------- */

/* Whether what is found at argv[1] still is the set that was drawn from. */
static bool
is_the_same(const struct draw *d, const struct entry *e)
{
    pgno now, then;

    return !d->held.is_kept ||
           (coll_record_root(&e->rec, &now) &&
            coll_record_root(&d->held.rec, &then) && now == then);
}

/* The next members of what was drawn. */
static unsigned
take_drawn(struct cursor *left, struct slice *members)
{
    unsigned n = 0;

    while (n < REMOVED_AT_ONCE && cursor_left(left) > 0) {
        bool ok = cursor_get_slice(left, &members[n++]);

        nq_assert(ok);
    }
    return n;
}

/* Has the pages that the first effect needs in memory, while the set is still
 * held: behind that effect nothing misses. */
static nq_rc
want_drawn(struct req *rq, struct entry *e, const struct slice *members,
           unsigned n)
{
    struct coll c;
    nq_rc rc = set_open(rq->db, rq->dbi, rq->argv[1], e, true, &c);

    if (rc == NQ_OK)
        rc = coll_want(&c, members, n);
    coll_close(&c);
    return rc;
}

static nq_rc
remove_drawn(struct req *rq, struct draw *d, struct entry *e)
{
    struct cursor left = cursor_of(buf_slice(&d->found.items));
    struct slice *members;
    uint64_t removed;
    unsigned n;
    nq_rc rc;

    if (d->kind == DRAW_ALL)
        return db_del_replaced(rq->db, rq->dbi, rq->argv[1], e);
    members = arena_alloc(rq->arena, REMOVED_AT_ONCE * sizeof *members);
    n = take_drawn(&left, members);
    if ((rc = want_drawn(rq, e, members, n)) != NQ_OK)
        return rc;
    held_end(&d->held); /* or it would be in its own way */
    for (;;) {
        rc = set_remove(rq->db, rq->dbi, rq->argv[1], e, members, n, NULL,
                        &removed);
        if (rc != NQ_OK || (n = take_drawn(&left, members)) == 0)
            return rc;
        if ((rc = req_find_write(rq, 1, e)) != NQ_OK)
            return rc;
    }
}

/* All was drawn.  False: not removed; the reply is put, or there will be
 * another run, from the start unless the set is held. */
static bool
pop_drawn(struct req *rq, struct draw *d)
{
    struct entry e;
    nq_rc rc = req_find_type(rq, 1, DB_SET, true, &e);

    if (rc == NQ_NOTFOUND || rc == NQ_EWRONGTYPE ||
        (rc == NQ_OK && !is_the_same(d, &e)))
        rc = NQ_AGAIN;
    if (rc == NQ_OK)
        rc = remove_drawn(rq, d, &e);
    if (rc == NQ_OK) {
        held_end(&d->held);
        db_event(rq->db, rq->dbi, EVENT_SET, "spop", rq->argv[1]);
        if (d->kind == DRAW_ALL)
            db_event(rq->db, rq->dbi, EVENT_GENERIC, "del", rq->argv[1]);
        return true;
    }
    if (!d->held.is_kept || rc == NQ_AGAIN) {
        draw_free(d);
        rq->state = NULL;
    }
    if (rc == NQ_AGAIN)
        req_yield(rq);
    else
        reply_rc(rq, rc);
    return false;
}

static void
spop_count(struct req *rq)
{
    struct draw *d = rq->state;
    struct entry e = {0};
    int64_t count;
    bool found;

    if (!arg_int_within(rq, 2, 0, INT64_MAX,
                        "value is out of range, must be positive", &count))
        return;
    if (d == NULL) {
        if (!set_find_write(rq, 1, true, &e, &found))
            return;
        if (!found || count == 0) {
            reply_set(rq, 0);
            return;
        }
    }
    if (d == NULL || !d->found.is_complete) {
        if ((d = draw_some(rq, &e, (uint64_t)count, false)) == NULL ||
            !pop_drawn(rq, d))
            return;
        d->found.is_set = true;
    }
    (void)listing_answer(rq, &d->found);
}

void
cmd_spop(struct req *rq)
{
    if (rq->argc == 2)
        draw_single(rq, true);
    else if (rq->argc == 3)
        spop_count(rq);
    else
        reply_syntax(rq);
}
