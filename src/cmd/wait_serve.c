/* cmd/wait_serve.c - running commands again whose key changed.
 *
 * Marked keys are served in the order of their changes, and those who wait for
 * a key in the order in which they began.  What a served command changes marks
 * further keys (BLMOVE), which are served behind it, until none is left.
 *
 *   lists, sorted sets  one who has to wait again took nothing, so there is
 *                       nothing for those behind it: the key is done
 *   streams             each may want something else: all are asked once,
 *                       but for those of a group that had nothing left
 *
 * One whose command parks (NQ_MISS, a hold) keeps its place: those behind it
 * are not asked before it could go on, when park hands it to wait_go_on().
 *
 * Called behind each command that marked a key, and once a turn. */
#include "cmd/wait_int.h"

#include "cmd/dispatch.h"
#include "cmd/engine.h"
#include "cmd/session.h"
#include "os/clock.h"

#define SAME_MAX 16 /* groups of a stream that are remembered */

enum answer { SERVED, AGAIN, STALLED };

static struct req
request_of(struct wait *w, uint32_t woken_by)
{
    struct engine *e = w->s->engine;
    struct req rq = {.s = w->s,
                     .engine = e,
                     .db = e->db,
                     .arena = &e->waits->arena,
                     .cmd = w->cmd,
                     .argv = w->argv,
                     .argc = w->argc,
                     .dbi = w->dbi,
                     .woken_by = woken_by,
                     .state = w->memory,
                     .free_state = w->free_memory};

    w->memory = NULL;
    return rq;
}

/* It began to answer and yielded, but what it had found was gone then.  The
 * other keys may have changed meanwhile: all are looked at. */
static void
wait_once_more(struct wait *w)
{
    wait_enter_keys(w);
    for (uint32_t i = 0; i < w->n; i++)
        wait_mark(w->s->engine, w->entries[i].key);
}

/* Runs its command.  Of its entries, those of other keys may leave, too. */
static enum answer
run(struct wait *w, uint32_t woken_by)
{
    struct req rq = request_of(w, woken_by);

    arena_reset(rq.arena);
    dispatch_woken(&rq);
    w->s->flags |= SESSION_BLOCKED;
    switch (rq.outcome) {
    case REQ_DONE:
        wait_served(w);
        return SERVED;
    case REQ_WAIT:
        w->memory = rq.state;
        w->free_memory = rq.free_state;
        w->state = WAIT_IDLE;
        if (w->n == 0)
            wait_once_more(w);
        return AGAIN;
    case REQ_YIELD:
        wait_leave_keys(w);
        w->state = WAIT_RUNNING;
        return SERVED;
    default:
        w->state = w->n == 0 ? WAIT_RUNNING : WAIT_PARKED;
        return STALLED;
    }
}

static enum answer
ask(struct wait_entry *at)
{
    struct wait *w = at->wait;

    if (w->s->flags & (SESSION_CLOSE_ASAP | SESSION_CLOSE_AFTER_REPLY)) {
        wait_drop(w->s);
        return SERVED;
    }
    if (w->state == WAIT_PARKED)
        return STALLED;
    w->stalled = (uint32_t)(at - w->entries);
    return run(w, at->arg);
}

/* Lists and sorted sets. */
static void
serve_first(struct list *waiters)
{
    while (!list_empty(waiters))
        if (ask(nq_container(waiters->next, struct wait_entry, of_key)) !=
            SERVED)
            return;
}

struct dry {
    uint64_t same[SAME_MAX];
    unsigned n;
};

static bool
is_dry(const struct dry *dry, const struct wait *w)
{
    if (w->same == 0 || w->s->parked != NULL)
        return false;
    for (unsigned i = 0; i < dry->n; i++)
        if (dry->same[i] == w->same)
            return true;
    return false;
}

static void
serve_streams(struct list *waiters)
{
    struct dry dry = {.n = 0};

    list_each(it, waiters)
    {
        struct wait_entry *at = nq_container(it, struct wait_entry, of_key);
        uint64_t same = at->wait->same;

        if (is_dry(&dry, at->wait))
            continue;
        switch (ask(at)) {
        case STALLED:
            return;
        case AGAIN:
            if (same != 0 && dry.n < SAME_MAX)
                dry.same[dry.n++] = same;
            break;
        case SERVED:
            break;
        }
    }
}

void
wait_serve(struct engine *e)
{
    struct wait_keys *all = e->waits;
    struct list *it;

    nq_assert(all->now == NULL);
    if (e->pause_until_ms != 0 || e->db == NULL)
        return;
    db_set_now(e->db, clock_wall_ms()); /* a key may have expired meanwhile */
    while ((it = list_pop_front(&all->ready)) != NULL) {
        struct waited_key *k = nq_container(it, struct waited_key, ready);

        e->keys_ready--;
        all->now = k;
        serve_first(&k->waiters[WAIT_LIST]);
        serve_first(&k->waiters[WAIT_ZSET]);
        serve_streams(&k->waiters[WAIT_STREAM]);
        all->now = NULL;
        wait_key_release(e, k);
    }
}

void
wait_go_on(struct session *s)
{
    struct wait *w = wait_of(s);

    s->flags |= SESSION_BLOCKED;
    if (w->state == WAIT_RUNNING) {
        run(w, w->entries[w->stalled].arg);
        return;
    }
    nq_assert(w->state == WAIT_PARKED);
    w->state = WAIT_IDLE;
    wait_mark(s->engine, w->entries[w->stalled].key);
    for (uint32_t i = 0; i < w->n; i++)
        wait_mark(s->engine, w->entries[i].key);
}
