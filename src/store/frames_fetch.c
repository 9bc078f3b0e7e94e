/* store/frames_fetch.c - pages that are not in memory.
 *
 * A command that needs them notes what it misses (frames_missed), is parked
 * with frames_fetch(), and is run again when all of it is there.  What was
 * read for it is *held*: not evicted until frames_fetch_end(), so that each
 * round makes progress however small the pool is.
 *
 *   frame_of[id]  0 -> FRAME_LOADING -> a frame, or FRAME_DAMAGED, or 0 (EIO)
 *
 *   M1  an id is FRAME_LOADING exactly while a page_read for it is in
 *       all->reads
 *   M2  ready() is never called from inside frames_fetch()
 *   M3  a damaged page is read once; then its mark answers
 *   M4  a command that holds pages is never made to wait for room, so two of
 *       them cannot wait for each other
 *
 * A read first tries the kernel's page cache on the loop (small pages only),
 * else a worker does it. */
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/file.h"
#include "os/pool.h"
#include "store/corrupt.h"
#include "store/extent.h"
#include "store/flush.h"
#include "store/frames_int.h"
#include "store/pagetable.h"
#include "store/policy.h"

#define READ_MAGIC 0x44414552u
#define READY_MAX 512u /* commands run by one call */
#define ADMIT_MAX 16u
#define TIER_READS_MAX 32u /* reads on the loop by one fetch */
#define BORROW_PAGES 64u   /* that even the smallest pool may borrow */

enum wait_queue_id { QUEUE_NONE, QUEUE_READY, QUEUE_WAITING };

/* One page on its way in. */
struct page_read {
    struct hash_node node; /* in all->reads, by id */
    struct job job;
    struct list link; /* in all->running */
    uint32_t magic;
    struct frames_all *all;
    pgno id;
    struct entry entry;
    struct file *file;
    bool is_cancelled; /* the page was freed meanwhile */
    enum policy_origin origin;
    struct frames_wait **waiters;
    uint32_t waiters_count, waiters_cap;
    /* the worker's results */
    nq_rc rc;
    struct extent extent;
    struct extent_fault fault;
    uint8_t *raw; /* extent.raw_len bytes */
};

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
        if (!frame_is_mark(f) && frame_get(all, f)->holds > 0)
            frame_get(all, f)->holds--;
    }
    nq_free(w->ids);
    w->ids = NULL;
    w->count = w->cap = 0;
}

/* --- one page ------------------------------------------------------------- */

static nq_rc
damaged(struct frames_all *all, pgno id, struct entry e,
        const struct extent_fault *why)
{
    all->pub.frame_of[id] = FRAME_DAMAGED;
    return NQ_CORRUPT("%s: page %u at offset %llu: %s: expected %llu, found "
                      "%llu",
                      file_path(all->disk->file), id,
                      (unsigned long long)entry_off(e), why->what,
                      (unsigned long long)why->expected,
                      (unsigned long long)why->found);
}

/* A tree page must have the size of one. */
static bool
is_good_size(const struct frames_all *all, const struct extent *x,
             struct extent_fault *fault)
{
    if (x->kind == PAGE_CHUNK || x->raw_len == all->pub.page_size)
        return true;
    *fault = (struct extent_fault){"raw length of a tree page",
                                   all->pub.page_size, x->raw_len};
    return false;
}

/* Where the page's bytes go: a frame of its own, mapped and clean. */
static uint8_t *
install(struct frames_all *all, pgno id, const struct extent *x,
        enum policy_origin origin)
{
    uint32_t f;

    if (x->kind == PAGE_CHUNK) {
        f = chunk_take(all, id, x->raw_len, x->raw_len);
        chunk_get(all, f)->stamp = x->lsn;
        chunk_get(all, f)->referenced = 0;
    } else {
        f = frame_take(all, id, (enum page_kind)x->kind);
        all->pub.referenced[f] = 0;
    }
    frame_get(all, f)->heat = policy_first(origin);
    all->pub.frame_of[id] = f;
    return x->kind == PAGE_CHUNK ? chunk_get(all, f)->bytes
                                 : frame_bytes(all, f);
}

/* `bytes` are those of the extent: checks and decodes them into a frame. */
static nq_rc
take_extent(struct frames_all *all, pgno id, struct entry e, struct slice bytes)
{
    struct extent_fault fault;
    struct extent x;

    if (extent_verify(bytes, id, e, &x, &fault) != NQ_OK ||
        !is_good_size(all, &x, &fault))
        return damaged(all, id, e, &fault);
    if (extent_decode(bytes, &x, install(all, id, &x, POLICY_FETCHED),
                      &fault) != NQ_OK) {
        uint32_t f = all->pub.frame_of[id];

        all->pub.frame_of[id] = 0;
        frame_unmapped(all, f);
        return damaged(all, id, e, &fault);
    }
    frame_protect(all, all->pub.frame_of[id]);
    return NQ_OK;
}

static nq_rc
read_now(struct frames_all *all, pgno id, struct entry e)
{
    uint8_t *buf = nq_malloc(entry_len(e));
    nq_rc rc = file_read(all->disk->file, buf, entry_len(e), entry_off(e));
    struct extent_fault fault = {"bytes before the end of the file",
                                 entry_len(e), 0};

    all->blocking_reads++;
    if (rc == NQ_OK)
        rc = take_extent(all, id, e, slice_of(buf, entry_len(e)));
    else if (rc == NQ_ECORRUPT)
        rc = damaged(all, id, e, &fault);
    nq_free(buf);
    return rc;
}

/* The second tier: the kernel has it in memory. */
static bool
try_second_tier(struct frames_all *all, pgno id, struct entry e)
{
    if (entry_len(e) > all->tier_cap ||
        file_try_read(all->disk->file, all->tier_buf, entry_len(e),
                      entry_off(e)) != NQ_OK)
        return false;
    all->tier_hits++;
    (void)take_extent(all, id, e, slice_of(all->tier_buf, entry_len(e)));
    return true;
}

/* --- reads by workers ----------------------------------------------------- */

/* About what the page will take in memory. */
static uint64_t
read_weight(const struct frames_all *all, struct entry e)
{
    return nq_max(entry_len(e), all->pub.page_size);
}

static struct page_read *
read_of(struct job *job)
{
    struct page_read *r;

    NQ_CAST(r, nq_container(job, struct page_read, job), READ_MAGIC);
    return r;
}

static bool
is_read_of(const struct hash_node *n, const void *key)
{
    return ((const struct page_read *)(const void *)n)->id ==
           *(const pgno *)key;
}

static struct page_read *
find_read(struct frames_all *all, pgno id)
{
    return (struct page_read *)(void *)hash_find(&all->reads, hash_u64(id),
                                                 is_read_of, &id);
}

static void
run_read(struct job *job)
{
    struct page_read *r = read_of(job);
    uint32_t len = entry_len(r->entry);
    uint8_t *buf = nq_malloc(len);
    struct slice bytes = slice_of(buf, len);

    r->fault =
        (struct extent_fault){"bytes before the end of the file", len, 0};
    r->rc = file_read(r->file, buf, len, entry_off(r->entry));
    if (r->rc == NQ_OK)
        r->rc = extent_verify(bytes, r->id, r->entry, &r->extent, &r->fault);
    if (r->rc == NQ_OK) {
        r->raw = nq_malloc(r->extent.raw_len);
        r->rc = extent_decode(bytes, &r->extent, r->raw, &r->fault);
    }
    nq_free(buf);
}

/* Somebody else may have read it meanwhile, in blocking mode. */
static void
settle_page(struct page_read *r)
{
    struct frames_all *all = r->all;

    if (r->is_cancelled || all->pub.frame_of[r->id] != FRAME_LOADING)
        return;
    all->pub.frame_of[r->id] = 0;
    if (r->rc == NQ_OK && !is_good_size(all, &r->extent, &r->fault))
        r->rc = NQ_ECORRUPT;
    if (r->rc == NQ_OK) {
        memcpy(install(all, r->id, &r->extent, r->origin), r->raw,
               r->extent.raw_len);
        frame_protect(all, all->pub.frame_of[r->id]);
    } else if (r->rc == NQ_ECORRUPT) {
        (void)damaged(all, r->id, r->entry, &r->fault);
    }
}

static void
read_done(struct job *job)
{
    struct page_read *r = read_of(job);
    struct frames_all *all = r->all;

    all->reading_bytes -= read_weight(all, r->entry);
    list_remove(&r->link);
    if (!r->is_cancelled)
        hash_remove(&all->reads, &r->node);
    settle_page(r);
    for (uint32_t i = 0; i < r->waiters_count; i++) {
        struct frames_wait *w = r->waiters[i];

        if (w == NULL)
            continue;
        if (!r->is_cancelled && !frame_is_mark(all->pub.frame_of[r->id]))
            hold(all, w, r->id);
        if (r->rc != NQ_OK && r->rc != NQ_ECORRUPT)
            w->rc = r->rc;
        if (--w->pending == 0)
            queue_push(&all->ready, w, QUEUE_READY);
    }
    r->magic = 0;
    nq_free(r->waiters);
    nq_free(r->raw);
    nq_free(r);
    frames_run_ready(&all->pub);
}

static struct page_read *
start_read(struct frames_all *all, pgno id, struct entry e,
           enum policy_origin origin)
{
    struct page_read *r = nq_calloc(1, sizeof *r);

    r->magic = READ_MAGIC;
    r->all = all;
    r->id = id;
    r->entry = e;
    r->file = all->disk->file;
    r->origin = origin;
    hash_insert(&all->reads, &r->node, hash_u64(id));
    all->pub.frame_of[id] = FRAME_LOADING;
    all->read_jobs++;
    all->reading_bytes += read_weight(all, e);
    list_push_back(&all->running, &r->link);
    r->job = (struct job){.run = run_read, .done = read_done};
    pool_submit(all->disk->pool, &r->job, POOL_READ);
    return r;
}

static void
wait_for_read(struct page_read *r, struct frames_wait *w)
{
    if (r->waiters_count > 0 && r->waiters[r->waiters_count - 1] == w)
        return; /* the command named it twice */
    if (r->waiters_count == r->waiters_cap) {
        r->waiters_cap = r->waiters_cap == 0 ? 2 : r->waiters_cap * 2;
        r->waiters = nq_realloc(r->waiters,
                                r->waiters_cap * sizeof(struct frames_wait *));
    }
    r->waiters[r->waiters_count++] = w;
    w->pending++;
}

void
frames_read_cancel(struct frames_all *all, pgno id)
{
    struct page_read *r = find_read(all, id);

    nq_assert(r != NULL);
    r->is_cancelled = true;
    hash_remove(&all->reads, &r->node);
}

/* --- what commands call --------------------------------------------------- */

static bool
is_beyond_borrowing(const struct frames_all *all, uint64_t more)
{
    uint64_t borrow =
        all->pool_bytes / 4 + (BORROW_PAGES << all->pub.page_shift);

    return frames_used_bytes(all) + all->reading_bytes + more >
           all->pool_bytes + borrow;
}

static nq_rc
bad_reference(struct frames_all *all, pgno id)
{
    if (id != 0 && id < all->next_id)
        all->pub.frame_of[id] = FRAME_DAMAGED;
    return NQ_CORRUPT("page %u is referred to but has no extent", id);
}

static nq_rc
missed_blocking(struct frames_all *all, pgno id, struct entry e,
                const uint8_t **out)
{
    nq_rc rc;

    if (is_beyond_borrowing(all, entry_len(e)))
        return NQ_EPOOL;
    if (all->pub.frame_of[id] == FRAME_LOADING)
        all->pub.frame_of[id] = 0; /* the job's result will not be used */
    if ((rc = read_now(all, id, e)) != NQ_OK)
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
    if (f == FRAME_DAMAGED)
        return NQ_ECORRUPT;
    if (frame_is_chunk(f))
        return NQ_CORRUPT("page %u is a chunk of a value, but a tree names it "
                          "as one of its pages",
                          id);
    e = all->disk == NULL ? (struct entry){0}
                          : pagetable_get(all->disk->table, id);
    if (entry_is_none(e))
        return bad_reference(all, id);
    all->misses++;
    if (all->is_blocking)
        return missed_blocking(all, id, e, out);
    weight = read_weight(all, e);
    if (all->wanted_bytes + weight >
        nq_max(all->pool_bytes, (uint64_t)BORROW_PAGES << fr->page_shift))
        return NQ_EPOOL;
    all->wanted_bytes += weight;
    id_push(&all->wanted, id);
    return NQ_MISS;
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
        (void)try_second_tier(all, id, e);
        f = all->pub.frame_of[id];
    }
    if (!frame_is_mark(f))
        hold(all, w, id);
    else if (f == FRAME_LOADING)
        wait_for_read(find_read(all, id), w);
    else if (f == 0)
        wait_for_read(start_read(all, id, e, POLICY_FETCHED), w);
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
    frames_forget_wanted(fr);
    if (w->pending == 0)
        queue_push(&all->ready, w, QUEUE_READY);
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

static void
forget_waiter(struct frames_all *all, const struct frames_wait *w)
{
    list_each(it, &all->running)
    {
        struct page_read *r = nq_container(it, struct page_read, link);

        for (uint32_t i = 0; i < r->waiters_count; i++) {
            if (r->waiters[i] == w)
                r->waiters[i] = NULL;
        }
    }
}

void
frames_fetch_end(struct frames *fr, struct frames_wait *w)
{
    struct frames_all *all = frames_all(fr);

    if (w->pending > 0)
        forget_waiter(all, w);
    w->pending = 0;
    if (w->queue == QUEUE_READY)
        queue_remove(&all->ready, w);
    else if (w->queue == QUEUE_WAITING)
        queue_remove(&all->waiting, w);
    w->queue = QUEUE_NONE;
    release_holds(all, w);
}

void
frames_prefetch(struct frames *fr, pgno id)
{
    struct frames_all *all = frames_all(fr);
    struct entry e;

    if (all->disk == NULL || fr->frame_of[id] != 0 ||
        is_beyond_borrowing(all, 0))
        return;
    e = pagetable_get(all->disk->table, id);
    if (!entry_is_none(e))
        (void)start_read(all, id, e, POLICY_AHEAD);
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
    nq_assert(list_empty(&all->running));
    hash_fini(&all->reads);
    nq_free(all->wanted.ids);
    nq_free(all->tier_buf);
}
