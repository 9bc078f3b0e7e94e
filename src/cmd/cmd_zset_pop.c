/* cmd/cmd_zset_pop.c - ZPOPMIN, ZPOPMAX, ZMPOP, and what BZMPOP takes.
 *
 * A long pop first collects its members, slice by slice, with the set held;
 * then they go in one step, and then they are told.  If the key has become
 * another set meanwhile, or its pages are not there, it begins anew: nothing
 * was told yet. */
#include "base/check.h"
#include "base/mem.h"
#include "cmd/args.h"
#include "cmd/cmd_zset.h"
#include "cmd/handlers.h"
#include "cmd/held.h"
#include "cmd/members.h"
#include "cmd/reply.h"
#include "cmd/session.h"

#define POP_MAGIC 0x5a504f50u
#define POP_AT_ONCE 256 /* members popped without collecting them first */

/* What is popped, and how it is told. */
struct pop {
    uint32_t key; /* its place in argv */
    uint64_t count;
    bool from_max, is_nested;
    bool with_key; /* [key, [member ...]] */
};

struct popping {
    uint32_t magic;
    struct held held;
    struct members taken;
    struct pop pop;
    uint64_t n;
    bool is_done; /* they are gone; only told any more */
};

static void
popping_free(void *state)
{
    struct popping *s;

    NQ_CAST(s, state, POP_MAGIC);
    held_end(&s->held);
    members_fini(&s->taken);
    nq_free(s);
}

/* --- telling ------------------------------------------------------------- */

static void
tell_one(struct req *rq, const struct member *m, void *arg)
{
    const struct pop *p = arg;

    if (p->is_nested)
        reply_array(rq, 2);
    reply_bulk(rq, m->name);
    reply_double(rq, m->score);
}

static void
put_key(struct req *rq, const struct pop *p)
{
    if (!p->with_key)
        return;
    reply_array(rq, 2);
    reply_bulk(rq, rq->argv[p->key]);
}

static uint64_t
header_of(const struct pop *p, uint64_t n)
{
    return p->is_nested ? n : 2 * n;
}

/* --- short pops ---------------------------------------------------------- */

struct teller {
    struct req *rq;
    struct pop *pop;
};

static void
on_popped(void *arg, const struct member *m)
{
    struct teller *t = arg;

    tell_one(t->rq, m, t->pop);
}

static void
pop_at_once(struct req *rq, struct pop *p, uint64_t n, struct entry *e)
{
    struct teller t = {rq, p};
    uint64_t mark = rq->s->out.put;
    nq_rc rc;

    put_key(rq, p);
    reply_array(rq, header_of(p, n));
    rc = zset_pop(rq->db, rq->dbi, rq->argv[p->key], e, p->from_max, n,
                  on_popped, &t);
    if (rc == NQ_OK)
        return;
    outq_rewind(&rq->s->out, mark);
    reply_rc(rq, rc);
}

/* --- long pops ----------------------------------------------------------- */

/* NQ_AGAIN: the slice is used up. */
static nq_rc
take_members(struct req *rq, struct popping *s, struct zset *z)
{
    bool from_max = s->pop.from_max;
    uint64_t taken = s->taken.count;
    struct zset_cursor cu;
    nq_rc rc;

    zset_cursor_init(&cu, z);
    rc = zset_nth(&cu, from_max ? z->card - 1 - taken : taken);
    while (rc == NQ_OK && cu.valid && s->taken.count < s->n) {
        members_put(&s->taken, cu.at.name, cu.at.score);
        if (s->taken.count % MEMBERS_BATCH == 0 && req_should_yield(rq)) {
            rc = NQ_AGAIN;
            break;
        }
        rc = from_max ? zset_prev(&cu) : zset_next(&cu);
    }
    zset_cursor_fini(&cu);
    return rc;
}

static nq_rc
take_slice(struct req *rq, struct popping *s)
{
    struct entry e;
    struct zset z;
    nq_rc rc;

    held_entry(&s->held, rq, &e);
    rc = zset_open(rq->db, rq->dbi, rq->argv[s->pop.key], &e, true, &z);
    if (rc != NQ_OK)
        return rc;
    rc = take_members(rq, s, &z);
    zset_close(&z);
    return rc;
}

/* Whether the key found in `e` still is the set that was held. */
static bool
is_still_held(struct req *rq, const struct popping *s, const struct entry *e)
{
    struct entry held;
    pgno was, now;

    held_entry(&s->held, rq, &held);
    return coll_record_root(&held.rec, &was) &&
           coll_record_root(&e->rec, &now) && was == now;
}

/* All are taken: they go.  NQ_NOTFOUND: the set is another by now. */
static nq_rc
remove_taken(struct req *rq, struct popping *s)
{
    const char *event = s->pop.from_max ? "zpopmax" : "zpopmin";
    struct span span = {0, s->n};
    struct entry e;
    struct zset z;
    nq_rc rc = req_find_type(rq, s->pop.key, DB_ZSET, true, &e);

    if (rc == NQ_EWRONGTYPE || (rc == NQ_OK && !is_still_held(rq, s, &e)))
        return NQ_NOTFOUND;
    if (rc != NQ_OK || (rc = zset_open(rq->db, rq->dbi, rq->argv[s->pop.key],
                                       &e, true, &z)) != NQ_OK)
        return rc;
    span.from = s->pop.from_max ? z.card - s->n : 0;
    zset_close(&z);
    held_end(&s->held);
    rc = zset_rem_span(rq->db, rq->dbi, rq->argv[s->pop.key], &e, span, event);
    s->is_done = rc == NQ_OK;
    return rc;
}

static void
begin_anew(struct req *rq, struct popping *s, nq_rc rc)
{
    popping_free(s);
    rq->state = NULL;
    if (rc == NQ_NOTFOUND)
        req_yield(rq);
    else
        reply_rc(rq, rc);
}

static void
go_on(struct req *rq, struct popping *s)
{
    nq_rc rc = NQ_OK;

    if (!s->is_done) {
        rc = take_slice(rq, s);
        if (rc == NQ_AGAIN)
            req_yield(rq);
        else if (rc != NQ_OK)
            reply_rc(rq, rc);
        else if (!members_refuse(rq, &s->taken) &&
                 (rc = remove_taken(rq, s)) != NQ_OK)
            begin_anew(rq, s, rc);
        if (rc != NQ_OK || !s->is_done)
            return;
        put_key(rq, &s->pop);
    }
    (void)members_tell(rq, &s->taken, s->n, header_of(&s->pop, s->n), tell_one,
                       &s->pop);
}

static void
begin(struct req *rq, const struct pop *p, uint64_t n, const struct entry *e)
{
    struct popping *s = nq_calloc(1, sizeof *s);
    nq_rc rc;

    s->magic = POP_MAGIC;
    s->pop = *p;
    s->n = n;
    members_init(&s->taken, rq);
    if ((rc = held_keep(&s->held, rq->db, e)) != NQ_OK) {
        popping_free(s);
        reply_rc(rq, rc);
        return;
    }
    rq->state = s;
    rq->free_state = popping_free;
    go_on(rq, s);
}

/* From the set at argv[p->key], found in `e`. */
static void
pop(struct req *rq, struct pop *p, struct entry *e)
{
    bool is_tree;
    uint64_t n;
    struct zset z;
    nq_rc rc = zset_open(rq->db, rq->dbi, rq->argv[p->key], e, true, &z);

    if (rc != NQ_OK) {
        reply_rc(rq, rc);
        return;
    }
    n = nq_min(p->count, z.card);
    is_tree = z.coll.is_tree;
    zset_close(&z);
    if (n <= POP_AT_ONCE || !is_tree || rq->in_multi)
        pop_at_once(rq, p, n, e);
    else
        begin(rq, p, n, e);
}

void
zset_pop_many(struct req *rq, uint32_t key, bool from_max, uint64_t count,
              struct entry *e)
{
    struct pop p = {.key = key,
                    .count = count,
                    .from_max = from_max,
                    .is_nested = true,
                    .with_key = true};

    pop(rq, &p, e);
}

bool
zset_pop_go_on(struct req *rq)
{
    struct popping *s;

    if (rq->state == NULL)
        return false;
    NQ_CAST(s, rq->state, POP_MAGIC);
    go_on(rq, s);
    return true;
}

/* --- the commands -------------------------------------------------------- */

static void
pop_end(struct req *rq, bool from_max)
{
    bool has_count = rq->argc == 3, found;
    struct pop p = {.key = 1, .count = 1, .from_max = from_max};
    int64_t count = 1;
    struct entry e;

    if (zset_pop_go_on(rq))
        return;
    if (rq->argc > 3) {
        reply_syntax(rq);
        return;
    }
    if (has_count &&
        !arg_int_within(rq, 2, 0, INT64_MAX,
                        "value is out of range, must be positive", &count))
        return;
    p.count = (uint64_t)count;
    p.is_nested = has_count && rq->s->resp > 2;
    if (!zset_look(rq, 1, true, &e, &found))
        return;
    if (!found || count == 0)
        reply_array(rq, 0);
    else
        pop(rq, &p, &e);
}

void
cmd_zpopmin(struct req *rq)
{
    pop_end(rq, false);
}

void
cmd_zpopmax(struct req *rq)
{
    pop_end(rq, true);
}

void
cmd_zmpop(struct req *rq)
{
    struct arg_mpop a;
    struct entry e;
    bool found;

    if (zset_pop_go_on(rq) || !arg_mpop(rq, 1, "min", "max", &a))
        return;
    for (uint32_t i = a.first; i < a.first + a.n; i++) {
        if (!zset_look(rq, i, true, &e, &found))
            return;
        if (found) {
            zset_pop_many(rq, i, a.is_second, (uint64_t)a.count, &e);
            return;
        }
    }
    reply_null_array(rq);
}
