/* cmd/cmd_list_pop.c - lists: LPOP, RPOP, LMPOP, and what BLMPOP takes.
 *
 * A long pop first collects its elements, slice by slice (list_visit.h), then
 * they go in one step, and then they are told.  If the key has become another
 * list meanwhile, or pages are not there, it begins anew: nothing was told
 * yet. */
#include "base/check.h"
#include "cmd/args.h"
#include "cmd/cmd_list.h"
#include "cmd/handlers.h"
#include "cmd/list_visit.h"
#include "cmd/reply.h"
#include "cmd/session.h"

#define POP_AT_ONCE 256 /* elements popped without collecting them first */

struct pop {
    uint32_t key; /* its place in argv */
    enum list_end end;
    uint64_t count;
    bool with_key; /* [key, [element ...]] */
};

static void
put_key(struct req *rq, const struct pop *p)
{
    if (!p->with_key)
        return;
    reply_array(rq, 2);
    reply_bulk(rq, rq->argv[p->key]);
}

/* --- one element --------------------------------------------------------- */

void
list_pop_one(struct req *rq, uint32_t key, enum list_end end, struct entry *e)
{
    uint64_t mark = rq->s->out.put;
    struct list_item it;
    nq_rc rc = list_at(rq->db, e, end == LIST_HEAD ? 0 : list_len(e) - 1, &it);

    if (rc == NQ_OK)
        rc = reply_list_item(rq, &it);
    if (rc == NQ_OK)
        rc = list_drop(rq->db, rq->dbi, rq->argv[key], e, end, 1);
    if (rc == NQ_OK)
        return;
    if (rq->part == NULL)
        outq_rewind(&rq->s->out, mark);
    reply_rc(rq, rc);
}

/* --- some ---------------------------------------------------------------- */

static nq_rc
see_and_tell(struct req *rq, struct list_visit *v, struct list_cursor *cu)
{
    struct list_item it;
    nq_rc rc = list_item(cu, &it);

    nq_unused(v);
    return rc == NQ_OK ? reply_list_item(rq, &it) : rc;
}

static nq_rc
see_and_collect(struct req *rq, struct list_visit *v, struct list_cursor *cu)
{
    struct list_item it;
    struct slice bytes;
    nq_rc rc = list_item(cu, &it);

    if (rc == NQ_OK)
        rc = list_item_bytes(rq->db, &it, rq->arena, &bytes);
    if (rc != NQ_OK)
        return rc;
    listing_put(&v->listing, bytes);
    if (v->listing.items.len > v->listing.limit_bytes)
        v->left = 1;
    return NQ_OK;
}

static void
pop_told(struct req *rq, struct list_visit *v, const struct pop *p, uint64_t n,
         struct entry *e)
{
    uint64_t mark = rq->s->out.put;
    nq_rc rc;

    put_key(rq, p);
    reply_array(rq, n);
    v->mark = mark;
    if (!list_visit_go(rq, v, e))
        return;
    rc = list_drop(rq->db, rq->dbi, rq->argv[p->key], e, p->end, n);
    if (rc != NQ_OK)
        outq_rewind(&rq->s->out, mark);
    list_visit_end(rq, v);
    reply_rc(rq, rc);
}

/* All are collected: they go. */
static bool
drop_collected(struct req *rq, struct list_visit *v, const struct pop *p,
               struct entry *e)
{
    nq_rc rc;

    if (listing_is_too_long(rq, &v->listing)) {
        list_visit_end(rq, v);
        return false;
    }
    rc = list_visit_find_write(rq, v, p->key, e);
    if (rc == NQ_OK)
        rc = list_drop(rq->db, rq->dbi, rq->argv[p->key], e, p->end,
                       v->listing.count);
    if (rc != NQ_OK) {
        list_visit_anew(rq, v, rc);
        return false;
    }
    v->is_done = true;
    return true;
}

/* Collecting, or telling what was collected. */
static void
pop_collected(struct req *rq, struct list_visit *v, const struct pop *p,
              struct entry *e)
{
    if (!v->is_done) {
        if (!list_visit_go(rq, v, e) || !drop_collected(rq, v, p, e))
            return;
        put_key(rq, p);
    }
    if (rq->state != v)
        listing_answer_now(rq, &v->listing);
    else if (!listing_answer(rq, &v->listing))
        return;
    list_visit_end(rq, v);
}

static void
pop_some(struct req *rq, const struct pop *p, struct entry *e)
{
    uint64_t len = list_len(e), n = nq_min(p->count, len);
    uint64_t from = p->end == LIST_HEAD ? 0 : len - 1;
    bool is_long = n > POP_AT_ONCE && !rq->in_multi && list_root(e) != 0;
    struct list_visit v;

    list_visit_init(rq, &v, is_long ? see_and_collect : see_and_tell,
                    p->end == LIST_TAIL, from, n);
    v.index = p->key;
    v.is_in_one_piece = !is_long;
    if (!is_long) {
        pop_told(rq, &v, p, n, e);
        return;
    }
    listing_init(&v.listing, rq);
    pop_collected(rq, &v, p, e);
}

void
list_pop_many(struct req *rq, uint32_t key, enum list_end end, uint64_t count,
              struct entry *e)
{
    struct pop p = {.key = key, .end = end, .count = count, .with_key = true};

    pop_some(rq, &p, e);
}

bool
list_pop_go_on(struct req *rq, enum list_end end)
{
    struct list_visit *v = list_visit_of(rq, NULL);
    struct pop p = {.end = end, .with_key = true};
    struct entry e;

    if (v == NULL)
        return false;
    p.key = (uint32_t)v->index;
    pop_collected(rq, v, &p, &e);
    return true;
}

/* --- the commands -------------------------------------------------------- */

static void
pop_end(struct req *rq, enum list_end end)
{
    struct pop p = {.key = 1, .end = end, .count = 1};
    bool found, has_count = rq->argc == 3;
    struct list_visit *v = list_visit_of(rq, NULL);
    struct entry e;
    int64_t count = 1;

    if (v != NULL) {
        pop_collected(rq, v, &p, &e);
        return;
    }
    if (rq->argc > 3) {
        reply_wrong_arity(rq);
        return;
    }
    if (has_count &&
        !arg_int_within(rq, 2, 0, INT64_MAX,
                        "value is out of range, must be positive", &count))
        return;
    p.count = (uint64_t)count;
    if (!list_look(rq, 1, true, &e, &found))
        return;
    if (!found)
        has_count ? reply_null_array(rq) : reply_null(rq);
    else if (!has_count)
        list_pop_one(rq, 1, end, &e);
    else if (count == 0)
        reply_array(rq, 0);
    else
        pop_some(rq, &p, &e);
}

void
cmd_lpop(struct req *rq)
{
    pop_end(rq, LIST_HEAD);
}

void
cmd_rpop(struct req *rq)
{
    pop_end(rq, LIST_TAIL);
}

void
cmd_lmpop(struct req *rq)
{
    struct arg_mpop a;
    enum list_end end;
    struct entry e;
    bool found;

    if (!arg_mpop(rq, 1, "LEFT", "RIGHT", &a))
        return;
    end = a.is_second ? LIST_TAIL : LIST_HEAD;
    if (list_pop_go_on(rq, end))
        return;
    for (uint32_t i = a.first; i < a.first + a.n; i++) {
        if (!list_look(rq, i, true, &e, &found))
            return;
        if (found) {
            list_pop_many(rq, i, end, (uint64_t)a.count, &e);
            return;
        }
    }
    reply_null_array(rq);
}
