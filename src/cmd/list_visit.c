/* cmd/list_visit.c - looking through a list in slices.
 *
 *   list_visit_go -> see_some ... -> the end
 *                      |-> the slice is used up, or a page is missing behind
 *                          what was seen: keep the list, yield -> the handler
 *                          runs again -> list_visit_go -> see_some ...
 *
 *   I1  until the first yield the visit is on the handler's stack, so that a
 *       command that is parked runs again from its start
 *   I2  from then on it is the request's state, and keeps the list as it was
 *       found (cmd/held.h): the key may go or be renamed meanwhile
 *   I3  an element is seen wholly or not at all
 *
 * A list without a tree is seen in one piece: it is as small as a record.
 * Called by the handlers of lists. */
#include "cmd/list_visit.h"

#include "base/check.h"
#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/park.h"
#include "cmd/reply.h"
#include "os/clock.h"

#define VISIT_MAGIC 0x4c564953u
#define SEEN_PER_LOOK 64                /* between two looks at the clock */
#define BYTES_PER_LOOK (256u << 10)     /* the same */
#define UNSENT_MAX (UINT64_C(32) << 20) /* bytes; more wait for the client */
#define DRAIN_MS 5                      /* between two looks at them */

/* --- life ---------------------------------------------------------------- */

static void
visit_fini(struct list_visit *v)
{
    held_end(&v->held);
    list_marks_fini(&v->marks);
    buf_fini(&v->found);
    listing_fini(&v->listing);
}

static void
visit_free(void *state)
{
    struct list_visit *v;

    NQ_CAST(v, state, VISIT_MAGIC);
    visit_fini(v);
    v->magic = 0;
    nq_free(v);
}

struct list_visit *
list_visit_of(struct req *rq, struct list_visit *first)
{
    struct list_visit *v;

    if (rq->state == NULL)
        return first;
    NQ_CAST(v, rq->state, VISIT_MAGIC);
    return v;
}

void
list_visit_init(struct req *rq, struct list_visit *v, list_see *see,
                bool is_back, uint64_t next, uint64_t left)
{
    *v = (struct list_visit){.magic = VISIT_MAGIC,
                             .see = see,
                             .is_back = is_back,
                             .next = next,
                             .left = left,
                             .mark = rq->s->out.put};
}

void
list_visit_end(struct req *rq, struct list_visit *v)
{
    if (rq->state == v) {
        rq->state = NULL;
        visit_free(v);
    } else {
        visit_fini(v);
    }
}

void
list_visit_anew(struct req *rq, struct list_visit *v, nq_rc rc)
{
    list_visit_end(rq, v);
    if (rc == NQ_NOTFOUND)
        req_yield(rq);
    else
        reply_rc(rq, rc);
}

/* --- seeing -------------------------------------------------------------- */

static nq_rc
see_one(struct req *rq, struct list_visit *v, struct list_cursor *cu)
{
    uint64_t mark = rq->s->out.put;
    nq_rc rc = v->see(rq, v, cu);

    if (nq_likely(rc == NQ_OK)) {
        v->left--;
        v->next = v->is_back ? cu->index - 1 : cu->index + 1;
    } else if (rq->s->out.put != mark) {
        outq_rewind(&rq->s->out, mark);
    }
    return rc;
}

/* NQ_AGAIN: the slice is used up. */
static nq_rc
see_elements(struct req *rq, struct list_visit *v, struct list_cursor *cu,
             bool in_slices)
{
    uint64_t looked_at = rq->s->out.put;
    unsigned n = 0;
    nq_rc rc = list_seek(cu, v->next);

    while (rc == NQ_OK && v->left > 0) {
        if (!cu->valid)
            return NQ_ECORRUPT;
        if ((rc = see_one(rq, v, cu)) != NQ_OK || v->left == 0)
            break;
        if (++n % SEEN_PER_LOOK == 0 ||
            rq->s->out.put - looked_at > BYTES_PER_LOOK) {
            looked_at = rq->s->out.put;
            if (in_slices && req_should_yield(rq))
                return NQ_AGAIN;
        }
        rc = v->is_back ? list_prev(cu) : list_next(cu);
    }
    /* What was seen stays seen: only then does a walk over pages that are not
     * in memory come to an end. */
    return rc == NQ_MISS && n > 0 && in_slices ? NQ_AGAIN : rc;
}

static nq_rc
see_some(struct req *rq, struct list_visit *v, const struct entry *e)
{
    bool in_slices = list_root(e) != 0 && !rq->in_multi && !v->is_in_one_piece;
    struct list_cursor cu;
    nq_rc rc = list_cursor_init(&cu, rq->db, e);

    if (rc == NQ_OK)
        rc = see_elements(rq, v, &cu, in_slices);
    list_cursor_fini(&cu);
    return rc;
}

/* --- between slices ------------------------------------------------------ */

/* From the stack to the request's state; NQ_EHELD. */
static nq_rc
settle_in(struct req *rq, struct list_visit *first, const struct entry *e)
{
    struct list_visit *v = nq_memdup(first, sizeof *first);
    nq_rc rc = held_keep(&v->held, rq->db, e);

    if (rc != NQ_OK) {
        nq_free(v); /* what it refers to is still the first one's */
        return rc;
    }
    rq->state = v;
    rq->free_state = visit_free;
    return NQ_OK;
}

static bool
is_client_behind(const struct req *rq, const struct list_visit *v)
{
    const struct outq *out = &rq->s->out;

    return v->tells && out->put - out->sent > UNSENT_MAX &&
           !hold_is_wanted(&v->held.hold);
}

/* The next slice: at once, or when some of the output has left. */
static void
yield(struct req *rq, const struct list_visit *v)
{
    rq->keep_output = v->tells;
    if (v->tells) {
        rq->s->flags |= SESSION_OWN_PACE;
        session_check_output(rq->s);
    }
    if (is_client_behind(rq, v))
        req_block_until(rq, clock_mono_ms() + DRAIN_MS);
    else
        req_yield(rq);
}

/* In the first slice nothing of it has left yet. */
static void
fail(struct req *rq, struct list_visit *v, nq_rc rc)
{
    if (rq->state == NULL) {
        outq_rewind(&rq->s->out, v->mark);
        list_visit_end(rq, v);
        reply_rc(rq, rc);
        return;
    }
    reply_rc(rq, rc);
    if (rc != NQ_MISS && v->tells)
        session_end(rq->s, true);
}

bool
list_visit_go(struct req *rq, struct list_visit *v, const struct entry *e)
{
    struct entry held;
    nq_rc rc;

    if (rq->state != NULL) {
        if (is_client_behind(rq, v)) {
            yield(rq, v);
            return false;
        }
        held_entry(&v->held, rq, &held);
        e = &held;
    }
    rc = see_some(rq, v, e);
    if (rc == NQ_OK)
        return true;
    if (rc == NQ_AGAIN)
        rc = rq->state == NULL ? settle_in(rq, v, e) : NQ_OK;
    if (rc == NQ_OK)
        yield(rq, rq->state);
    else
        fail(rq, v, rc);
    return false;
}

nq_rc
list_visit_find_write(struct req *rq, struct list_visit *v, uint32_t key,
                      struct entry *e)
{
    struct entry held;
    nq_rc rc;

    if (rq->state == NULL)
        return NQ_OK; /* found in this run */
    rc = req_find_type(rq, key, DB_LIST, true, e);
    if (rc == NQ_EWRONGTYPE)
        return NQ_NOTFOUND;
    if (rc != NQ_OK)
        return rc;
    held_entry(&v->held, rq, &held);
    if (list_root(&held) != list_root(e))
        return NQ_NOTFOUND;
    held_end(&v->held);
    return NQ_OK;
}
