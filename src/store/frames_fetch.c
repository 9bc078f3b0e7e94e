/* store/frames_fetch.c - commands that wait for pages.
 *
 * A command that needs them notes what it misses (frames_missed), is parked
 * with frames_fetch(), and is run again when all of it is there.  What was
 * read for it is *held*: not evicted until frames_fetch_end(), so that each
 * round makes progress however small the pool is.
 *
 *   M1  ready() is never called from inside frames_fetch()
 *   M2  a command that holds pages is never made to wait for room, so two of
 *       them cannot wait for each other
 *
 * A read first tries the kernel's page cache on the loop (small pages only),
 * else a worker does it. */
#include "base/check.h"
#include "base/mem.h"
#include "os/pool.h"
#include "store/corrupt.h"
#include "store/extent.h"
#include "store/flush.h"
#include "store/frames_int.h"
#include "store/pagetable.h"

#define READY_MAX 512u /* commands run by one call */
#define ADMIT_MAX 16u
#define TIER_READS_MAX 32u /* reads on the loop by one fetch */
#define BORROW_PAGES 64u   /* that even the smallest pool may borrow */

#define BLOCKING_LEAST (128ull << 20)

enum wait_queue_id { QUEUE_NONE, QUEUE_READY, QUEUE_WAITING };

/* --- queues --------------------------------------------------------------- */

static void
queue_push(struct wait_queue *q, struct frames_wait *w, enum wait_queue_id id)
{
    nq_dassert(w->queue == QUEUE_NONE);
    w->queue = id;
    w->next = NULL;
    if (q->head == NULL)
        q->head = w;
    else
        q->tail->next = w;
    q->tail = w;
}

static struct frames_wait *
queue_pop(struct wait_queue *q)
{
    struct frames_wait *w = q->head;

    if (w != NULL) {
        q->head = w->next;
        w->queue = QUEUE_NONE;
    }
    return w;
}

static void
queue_remove(struct wait_queue *q, struct frames_wait *w)
{
    struct wait_queue rest = {NULL, NULL};
    struct frames_wait *it;
    enum wait_queue_id id = w->queue;

    while ((it = queue_pop(q)) != NULL) {
        if (it != w)
            queue_push(&rest, it, id);
    }
    *q = rest;
}

static void
run_nothing(struct job *job)
{
    (void)job;
}

static void
run_again(struct job *job)
{
    struct frames_all *all = nq_container(job, struct frames_all, again);

    all->is_again_running = false;
    frames_run_ready(&all->pub);
}

void
frames_run_ready(struct frames *fr)
{
    struct frames_all *all = frames_all(fr);
    struct frames_wait *w;

    for (unsigned n = 0; n < READY_MAX; n++) {
        if ((w = queue_pop(&all->ready)) == NULL)
            return;
        w->ready(w);
    }
    if (all->ready.head == NULL || all->is_again_running)
        return;
    all->is_again_running = true; /* others have their turn first */
    all->again = (struct job){.run = run_nothing, .done = run_again};
    pool_submit(all->disk->pool, &all->again, POOL_READ);
}

/* --- holding -------------------------------------------------------------- */

static void
hold(struct frames_all *all, struct frames_wait *w, pgno id)
{
    if (w->count == w->cap) {
        w->cap = w->cap == 0 ? 8 : w->cap * 2;
        w->ids = nq_realloc(w->ids, w->cap * sizeof *w->ids);
    }
    w->ids[w->count++] = id;
    frame_get(all, all->pub.frame_of[id])->holds++;
}

static void
release_holds(struct frames_all *all, struct frames_wait *w)
{
    for (uint32_t i = 0; i < w->count; i++) {
        uint32_t f = all->pub.frame_of[w->ids[i]];

        /* The id may have been freed, and even be another page's now. */
        if (!frame_is_mark(f) && frame_get(all, f)->holds > 0 &&
            --frame_get(all, f)->holds == 0)
            frame_may_go(all, f);
    }
    nq_free(w->ids);
    w->ids = NULL;
    w->count = w->cap = 0;
}

void
frames_wait_arrived(struct frames_all *all, struct frames_wait *w, pgno id,
                    nq_rc rc)
{
    if (id != 0 && !frame_is_mark(all->pub.frame_of[id]))
        hold(all, w, id);
    if (rc != NQ_OK && rc != NQ_ECORRUPT)
        w->rc = rc;
    if (--w->pending == 0)
        queue_push(&all->ready, w, QUEUE_READY);
}

/* --- what commands call --------------------------------------------------- */

static bool
is_beyond_borrowing(const struct frames_all *all, uint64_t more)
{
    uint64_t borrow =
        all->pool_bytes / 16 + (BORROW_PAGES << all->pub.page_shift);

    return frames_used_bytes(all) + all->reading_bytes + more >
           all->pool_bytes + borrow;
}

static nq_rc
bad_reference(struct frames_all *all, pgno id)
{
    static const struct extent_fault none = {"extents in the page table", 1, 0};

    if (id != 0 && id < all->next_id) {
        all->pub.frame_of[id] = FRAME_DAMAGED;
        damages_note(&all->damages, id, (struct entry){0}, &none);
        all->damages.last = id;
    }
    return NQ_CORRUPT("page %u is referred to but has no extent", id);
}

static nq_rc
missed_blocking(struct frames_all *all, pgno id, struct entry e,
                const uint8_t **out)
{
    nq_rc rc;

    /* The command may have had effects: it is refused only if going on would
     * endanger the process. */
    if (frames_used_bytes(all) > 2 * nq_max(all->pool_bytes, BLOCKING_LEAST))
        return NQ_EPOOL;
    if (all->pub.frame_of[id] == FRAME_LOADING) {
        frames_read_cancel(all, id);
        all->pub.frame_of[id] = 0;
    }
    if ((rc = frames_read_now(all, id, e)) != NQ_OK)
        return rc;
    if (frame_is_chunk(all->pub.frame_of[id]))
        *out = chunk_get(all, all->pub.frame_of[id])->bytes;
    else
        *out = frame_bytes(all, all->pub.frame_of[id]);
    return NQ_OK;
}

nq_rc
frames_missed(struct frames *fr, pgno id, const uint8_t **out)
{
    struct frames_all *all = frames_all(fr);
    uint32_t f = fr->frame_of[id];
    struct entry e;
    uint64_t weight;

    *out = NULL;
    if (f == FRAME_DAMAGED) {
        all->damages.last = id;
        return NQ_ECORRUPT;
    }
    if (frame_is_chunk(f))
        return NQ_CORRUPT("page %u is a chunk of a value, but a tree names it "
                          "as one of its pages",
                          id);
    e = all->disk == NULL ? (struct entry){0}
                          : pagetable_get(all->disk->table, id);
    if (entry_is_none(e))
        return bad_reference(all, id);
    if (all->is_blocking)
        return missed_blocking(all, id, e, out);
    weight = frames_read_weight(all, e);
    if (all->wanted_bytes + weight >
        nq_max(all->pool_bytes, (uint64_t)BORROW_PAGES << fr->page_shift))
        return NQ_EPOOL;
    all->wanted_bytes += weight;
    id_push(&all->wanted, id);
    return NQ_MISS;
}

bool
frames_last_damage(const struct frames *fr, pgno *id, uint64_t *off)
{
    const struct frames_all *all = frames_all((struct frames *)(uintptr_t)fr);
    const struct damage *d = damages_find(&all->damages, all->damages.last);

    if (d == NULL)
        return false;
    *id = d->id;
    *off = entry_off(d->entry);
    return true;
}

void
frames_forget_damage(struct frames *fr)
{
    frames_all(fr)->damages.last = 0;
}

uint32_t
frames_wanted(const struct frames *fr)
{
    return frames_all((struct frames *)(uintptr_t)fr)->wanted.count;
}

void
frames_forget_wanted(struct frames *fr)
{
    struct frames_all *all = frames_all(fr);

    all->wanted.count = 0;
    all->wanted_bytes = 0;
}

/* Brings one page in for `w`. */
static void
fetch_page(struct frames_all *all, struct frames_wait *w, pgno id,
           unsigned *tier_reads)
{
    uint32_t f = all->pub.frame_of[id];
    struct entry e = pagetable_get(all->disk->table, id);

    if (f == 0 && entry_is_none(e))
        return; /* freed since it was noted */
    if (f == 0 && *tier_reads < TIER_READS_MAX) {
        ++*tier_reads;
        (void)frames_read_tier(all, id, e);
        f = all->pub.frame_of[id];
    }
    if (!frame_is_mark(f))
        hold(all, w, id);
    else if (f == FRAME_LOADING)
        frames_read_wait(all, id, w);
    if (f == 0) {
        frames_read_begin(all, id, e, POLICY_FETCHED);
        frames_read_wait(all, id, w);
    }
}

void
frames_fetch(struct frames *fr, struct frames_wait *w)
{
    struct frames_all *all = frames_all(fr);
    unsigned tier_reads = 0;

    nq_assert(w->pending == 0 && w->queue == QUEUE_NONE);
    w->rc = NQ_OK;
    if (w->count == 0 && is_beyond_borrowing(all, 0)) {
        frames_forget_wanted(fr);
        queue_push(&all->waiting, w, QUEUE_WAITING);
        return;
    }
    for (uint32_t i = 0; i < all->wanted.count; i++)
        fetch_page(all, w, all->wanted.ids[i], &tier_reads);
    frames_read_send(all);
    frames_forget_wanted(fr);
    if (w->pending == 0)
        queue_push(&all->ready, w, QUEUE_READY);
    all->parked += w->pending > 0;
}

/* They will run again, miss again, and this time be let in. */
void
frames_start_waiting(struct frames_all *all)
{
    struct frames_wait *w;

    if (is_beyond_borrowing(all, 0))
        return;
    for (unsigned n = 0; n < ADMIT_MAX; n++) {
        if ((w = queue_pop(&all->waiting)) != NULL)
            queue_push(&all->ready, w, QUEUE_READY);
    }
}

void
frames_fetch_end(struct frames *fr, struct frames_wait *w)
{
    struct frames_all *all = frames_all(fr);

    if (w->pending > 0)
        frames_read_forget(all, w);
    w->pending = 0;
    if (w->queue == QUEUE_READY)
        queue_remove(&all->ready, w);
    else if (w->queue == QUEUE_WAITING)
        queue_remove(&all->waiting, w);
    w->queue = QUEUE_NONE;
    release_holds(all, w);
}

bool
frames_is_crowded(const struct frames_all *all)
{
    return is_beyond_borrowing(all, 0);
}

bool
frames_set_blocking(struct frames *fr, bool on)
{
    struct frames_all *all = frames_all(fr);
    bool was = all->is_blocking;

    all->is_blocking = on;
    return was;
}

void
frames_fetch_fini(struct frames_all *all)
{
    nq_assert(list_empty(&all->running) && list_empty(&all->begun));
    hash_fini(&all->reads);
    damages_fini(&all->damages);
    nq_free(all->wanted.ids);
    extent_into_fini(&all->into);
}
