/* cmd/park.c - the sessions whose command waits, by what they wait for.
 *
 *   PAGES    frames_fetch() is under way; its ready callback queues it
 *   HELD     the end of any hold that somebody waits for; it may have to wait
 *            again
 *   SLICE    queued at once: it goes on after the others had their turn
 *   EVENT    session_unblock(), its deadline, or the log getting durable
 *   PAUSE    the end of CLIENT PAUSE
 *   QUEUED   park_turn() will resume it
 *   RUNNING  resumed: the connection presents the command again
 *
 * What waits for a deadline or for the log stands in a heap, so a turn costs
 * nothing for those that are not due.
 *
 * I1: session->parked is set from park() to park_done().
 * I2: a parked session is blocked in all states but RUNNING.
 * I3: ops->resume is called from park_turn() alone, outside of any batch. */
#include "cmd/park.h"

#include "base/heap.h"
#include "base/mem.h"
#include "cmd/engine.h"
#include "cmd/session.h"
#include "cmd/wait_key.h"
#include "os/clock.h"
#include "store/frames.h"
#include "store/store.h"

enum park_state { PAGES, HELD, SLICE, EVENT, PAUSE, QUEUED, RUNNING };

#define PARKED_MAGIC 0x9a4ced01

struct parked {
    uint32_t magic;
    enum park_state state;
    struct session *s;
    struct list link; /* in held, paused or queue */
    struct frames_wait wait;
    bool has_wait; /* frames_fetch_end() is due */
    void *memory;  /* req.state */
    void (*free_memory)(void *);
    struct heap_node deadline; /* EVENT, in deadlines if it has one */
    struct heap_node durable;  /* EVENT, in durables if it waits for the log */
    bool may_be_cut;           /* EVENT */
    bool ends_with_client;     /* of the req */
    enum { CUT_NOT, CUT_SHORT, CUT_ERROR } cut;
};

struct parking {
    struct engine *engine;
    struct list held;   /* HELD */
    struct list paused; /* PAUSE */
    struct list queue;  /* QUEUED */
    struct heap deadlines, durables;
    struct frames_wait ahead;
    bool is_ahead; /* a read-ahead is under way */
};

struct parking *
parking_new(struct engine *e)
{
    struct parking *p = nq_calloc(1, sizeof *p);

    p->engine = e;
    list_init(&p->held);
    list_init(&p->paused);
    list_init(&p->queue);
    return p;
}

void
parking_free(struct parking *p)
{
    if (p == NULL)
        return;
    nq_assert(list_empty(&p->held) && list_empty(&p->paused));
    nq_assert(list_empty(&p->queue));
    nq_assert(!p->is_ahead);
    heap_fini(&p->deadlines);
    heap_fini(&p->durables);
    nq_free(p);
}

static struct parked *
of_session(const struct session *s)
{
    struct parked *pk;

    NQ_CAST(pk, s->parked, PARKED_MAGIC);
    return pk;
}

/* Out of the lists and heaps of what it waits for. */
static void
forget_wait(struct parking *p, struct parked *pk)
{
    list_remove(&pk->link);
    heap_remove(&p->deadlines, &pk->deadline);
    heap_remove(&p->durables, &pk->durable);
}

static void
queue(struct parked *pk)
{
    struct parking *p = pk->s->engine->parking;

    if (pk->state == QUEUED)
        return;
    forget_wait(p, pk);
    pk->state = QUEUED;
    list_push_back(&p->queue, &pk->link);
}

static void
end_wait(struct parked *pk)
{
    if (pk->has_wait)
        frames_fetch_end(store_frames(pk->s->engine->store), &pk->wait);
    pk->has_wait = false;
}

static void
on_pages_ready(struct frames_wait *w)
{
    queue(nq_container(w, struct parked, wait));
}

/* --- parking ------------------------------------------------------------- */

static struct parked *
parked_of(struct req *rq)
{
    struct session *s = rq->s;
    struct parked *pk;

    if (s->parked == NULL) {
        pk = nq_calloc(1, sizeof *pk);
        pk->magic = PARKED_MAGIC;
        pk->s = s;
        list_init(&pk->link);
        s->parked = pk;
    }
    pk = of_session(s);
    pk->memory = rq->state;
    pk->free_memory = rq->free_state;
    pk->ends_with_client = rq->ends_with_client;
    rq->state = NULL;
    s->last_cmd = rq->cmd;
    s->flags |= SESSION_BLOCKED;
    return pk;
}

/* What an earlier round read stays held until the command ran, or got further,
 * so it comes to its end however small the pool is. */
static void
park_for_pages(const struct req *rq, struct parked *pk)
{
    struct engine *e = rq->engine;
    struct frames *fr = store_frames(e->store);

    if (rq->has_progressed)
        end_wait(pk);
    e->stats.parked_commands++;
    pk->state = PAGES;
    if (frames_wanted(fr) == 0) {
        queue(pk); /* they came in meanwhile: run it again */
        return;
    }
    pk->wait.ready = on_pages_ready;
    pk->has_wait = true;
    frames_fetch(fr, &pk->wait);
}

void
park(struct req *rq)
{
    struct parked *pk = parked_of(rq);
    struct parking *p = rq->engine->parking;

    switch (rq->outcome) {
    case REQ_PARK:
        park_for_pages(rq, pk);
        break;
    case REQ_HELD:
        rq->engine->stats.held_commands++;
        pk->state = HELD;
        list_push_back(&p->held, &pk->link);
        break;
    case REQ_YIELD:
        rq->engine->stats.sliced_yields++;
        end_wait(pk);
        pk->state = SLICE;
        queue(pk);
        break;
    case REQ_BLOCK:
        pk->state = EVENT;
        pk->may_be_cut = (rq->cmd->flags & CMD_ADMIN) == 0 &&
                         (rq->s->flags & SESSION_IN_REPLY) == 0;
        if (rq->block_until_ms != 0)
            heap_insert(&p->deadlines, &pk->deadline, rq->block_until_ms);
        if (rq->block_durable != 0)
            heap_insert(&p->durables, &pk->durable, rq->block_durable);
        break;
    case REQ_DONE:
    case REQ_WAIT:
        check_failed("a command that does not park is parked", __FILE__,
                     __LINE__);
    }
}

void
park_paused(struct req *rq)
{
    struct parked *pk = parked_of(rq);

    pk->state = PAUSE;
    list_push_back(&rq->engine->parking->paused, &pk->link);
}

nq_rc
park_take(struct req *rq)
{
    struct parked *pk;

    if (nq_likely(rq->s->parked == NULL))
        return NQ_OK;
    pk = of_session(rq->s);
    nq_assert(pk->state == RUNNING);
    rq->state = pk->memory;
    rq->free_state = pk->free_memory;
    pk->memory = NULL;
    rq->is_cut = pk->cut == CUT_SHORT;
    if (pk->cut == CUT_ERROR)
        return NQ_EUNBLOCKED;
    return pk->has_wait ? pk->wait.rc : NQ_OK;
}

static void
free_memory(struct parked *pk)
{
    if (pk->memory != NULL && pk->free_memory != NULL)
        pk->free_memory(pk->memory);
    pk->memory = NULL;
}

void
park_done(struct session *s)
{
    struct parked *pk;

    if (nq_likely(s->parked == NULL))
        return;
    pk = of_session(s);
    forget_wait(s->engine->parking, pk);
    end_wait(pk);
    free_memory(pk);
    s->parked = NULL;
    s->flags &= ~(uint32_t)SESSION_BLOCKED;
    pk->magic = 0;
    nq_free(pk);
}

bool
park_ends_with_client(const struct session *s)
{
    return s->parked != NULL && of_session(s)->ends_with_client;
}

bool
park_cut(struct session *s, bool with_error)
{
    struct parked *pk = s->parked == NULL ? NULL : of_session(s);

    if (pk == NULL || pk->state != EVENT || !pk->may_be_cut)
        return false;
    pk->cut = with_error ? CUT_ERROR : CUT_SHORT;
    queue(pk);
    return true;
}

void
session_unblock(struct session *s)
{
    if (s->parked != NULL && of_session(s)->state == EVENT)
        queue(of_session(s));
}

/* --- reading ahead ------------------------------------------------------- */

static void
on_ahead(struct frames_wait *w)
{
    struct parking *p = nq_container(w, struct parking, ahead);

    p->is_ahead = false;
    frames_fetch_end(store_frames(p->engine->store), w);
}

/* One at a time: its only aim is that the commands of a pipeline do not fetch
 * their pages one after the other. */
void
park_read_ahead(struct engine *e)
{
    struct parking *p = e->parking;
    struct frames *fr = store_frames(e->store);

    if (frames_wanted(fr) == 0)
        return;
    if (p->is_ahead) {
        frames_forget_wanted(fr);
        return;
    }
    p->is_ahead = true;
    p->ahead = (struct frames_wait){.ready = on_ahead};
    frames_fetch(fr, &p->ahead);
}

void
park_stop(struct engine *e)
{
    if (e->parking->is_ahead)
        on_ahead(&e->parking->ahead);
    list_each(it, &e->sessions)
    {
        struct session *s = nq_container(it, struct session, link);

        if (s->parked != NULL)
            free_memory(of_session(s));
    }
}

/* --- resuming ------------------------------------------------------------ */

static void
queue_due(struct engine *e)
{
    struct parking *p = e->parking;
    uint64_t now = p->deadlines.count > 0 ? clock_mono_ms() : 0;
    struct wal *w = p->durables.count > 0 ? store_wal(e->store) : NULL;
    lsn durable = w == NULL ? 0 : wal_durable(w);
    struct heap_node *n;

    if (w != NULL && wal_writable(w) == NQ_EREADONLY)
        durable = UINT64_MAX; /* nothing will be: let them say so */
    while ((n = heap_first(&p->deadlines)) != NULL && n->key <= now)
        queue(nq_container(n, struct parked, deadline));
    while ((n = heap_first(&p->durables)) != NULL && n->key < durable)
        queue(nq_container(n, struct parked, durable));
}

static void
queue_all(struct list *waiting)
{
    list_each(it, waiting)
    {
        queue(nq_container(it, struct parked, link));
    }
}

void
park_end_pause(struct engine *e)
{
    queue_all(&e->parking->paused);
}

void
park_released(struct engine *e)
{
    queue_all(&e->parking->held);
}

bool
park_turn(struct engine *e)
{
    struct parking *p = e->parking;
    struct list now, *it;

    queue_due(e);
    list_init(&now);
    while ((it = list_pop_front(&p->queue)) != NULL)
        list_push_back(&now, it);
    while ((it = list_pop_front(&now)) != NULL) {
        struct parked *pk = nq_container(it, struct parked, link);

        pk->state = RUNNING;
        pk->s->flags &= ~(uint32_t)SESSION_BLOCKED;
        if (pk->s->wait != NULL)
            wait_go_on(pk->s);
        else
            pk->s->ops->resume(pk->s);
    }
    return !list_empty(&p->queue);
}

uint64_t
park_next_due(const struct engine *e)
{
    const struct parking *p = e->parking;
    const struct heap_node *first = heap_first(&p->deadlines);

    if (!list_empty(&p->queue))
        return 1;
    return first == NULL ? 0 : first->key;
}

/* --- what handlers call -------------------------------------------------- */

void
req_yield(struct req *rq)
{
    nq_assert(!rq->in_multi);
    rq->outcome = REQ_YIELD;
}

void
req_block(struct req *rq)
{
    req_block_until(rq, 0);
}

void
req_block_until(struct req *rq, uint64_t deadline_ms)
{
    nq_assert(!rq->in_multi);
    rq->outcome = REQ_BLOCK;
    rq->block_until_ms = deadline_ms;
}

void
req_block_durable(struct req *rq, lsn at, uint64_t deadline_ms)
{
    req_block_until(rq, deadline_ms);
    rq->block_durable = at;
    wal_sync_soon(store_wal(rq->engine->store));
}
