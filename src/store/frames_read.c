/* store/frames_read.c - pages on their way in from the data file.
 *
 *   frame_of[id]  0 -> FRAME_LOADING -> a frame, or FRAME_DAMAGED, or 0 (EIO)
 *
 *   R1  an id is FRAME_LOADING exactly while a page_read for it is in
 *       all->reads
 *   R2  a damaged page is read once; then its mark answers
 *   R3  a read whose page was freed meanwhile, or was read by a blocking
 *       command, goes on out of all->reads, and its result is dropped
 *
 * Nothing is used before extent_io.c found every field of it as the page
 * table says (I12).  What comes in is immutable until frames_mut().  A page
 * that had to be rebuilt from its parity is dirty at once, so that it is
 * written anew. */
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/block.h"
#include "os/file.h"
#include "os/pool.h"
#include "store/corrupt.h"
#include "store/extent_io.h"
#include "store/flush.h"
#include "store/frames_int.h"
#include "store/pagetable.h"

#define READ_MAGIC 0x44414552u

/* One page on its way in. */
struct page_read {
    struct hash_node node; /* in all->reads, by id */
    struct job job;
    struct list link; /* in all->running */
    uint32_t magic;
    struct frames_all *all;
    pgno id;
    struct entry entry;
    bool is_cancelled; /* R3 */
    enum policy_origin origin;
    struct frames_wait **waiters;
    uint32_t waiters_count, waiters_cap;
    struct extent_from from;
    /* the worker's results */
    nq_rc rc;
    struct extent_got got;
};

/* --- one page ------------------------------------------------------------- */

static nq_rc
damaged(struct frames_all *all, pgno id, struct entry e,
        const struct extent_fault *why)
{
    struct disk *d = all->disk;

    all->pub.frame_of[id] = FRAME_DAMAGED;
    damages_note(&all->damages, id, e, why);
    all->damages.last = id;
    if (e.place != pagetable_get_kept(d->table, id).place && !d->is_lost) {
        d->is_lost = true;
        log_error("page %u was written after the last checkpoint and is "
                  "damaged: there will be no other checkpoint until a restart "
                  "recovers it from the log",
                  id);
    }
    return NQ_CORRUPT("%s: page %u at offset %llu: %s: expected %llu, found "
                      "%llu",
                      file_path(all->disk->file), id,
                      (unsigned long long)entry_off(e), why->what,
                      (unsigned long long)why->expected,
                      (unsigned long long)why->found);
}

static struct extent_from
from_of(const struct frames_all *all)
{
    return (struct extent_from){
        .file = all->disk->file,
        .env = &all->disk->env,
        .page_size = all->pub.page_size,
        .is_page = all->disk->is_page,
    };
}

/* Where the page's bytes go: a frame of its own, mapped and clean. */
static uint8_t *
install(struct frames_all *all, pgno id, const struct extent *x,
        enum policy_origin origin)
{
    uint32_t f;

    if (x->kind == PAGE_CHUNK) {
        f = chunk_take(all, id, x->raw_len, x->raw_len, false);
        chunk_get(all, f)->stamp = x->lsn;
        chunk_set_unpacked(all, f, x->codec != BLOCK_RAW);
        all->unpacked_misses += x->codec != BLOCK_RAW;
    } else {
        f = frame_take(all, id, (enum page_kind)x->kind);
    }
    all->pub.frame_of[id] = f;
    frame_enter(all, f, origin);
    return x->kind == PAGE_CHUNK ? chunk_get(all, f)->bytes
                                 : frame_bytes(all, f);
}

/* What was read on its own, in its frame; rebuilt: to be written anew. */
static void
install_got(struct frames_all *all, pgno id, struct entry e,
            enum policy_origin origin, const struct extent_got *got)
{
    uint32_t f;

    memcpy(install(all, id, &got->x, origin), got->raw, got->x.raw_len);
    f = all->pub.frame_of[id];
    damages_forget(&all->damages, id);
    if (got->rebuilt == 0) {
        frame_protect(all, f);
        return;
    }
    all->repaired_pages++;
    log_warn("%s: page %u at offset %llu: %s: expected %llu, found %llu; %u of "
             "its sectors were rebuilt from parity",
             file_path(all->disk->file), id, (unsigned long long)entry_off(e),
             got->fault.what, (unsigned long long)got->fault.expected,
             (unsigned long long)got->fault.found, got->rebuilt);
    if (!all->disk->is_read_only)
        frame_set_dirty(all, f);
}

void
frames_mend(struct frames_all *all, pgno id, struct entry e,
            const struct extent_got *got)
{
    uint32_t f = all->pub.frame_of[id];

    if (f == FRAME_LOADING)
        return; /* that read mends it */
    if (frame_is_mark(f)) {
        nq_assert(got != NULL);
        all->pub.frame_of[id] = 0;
        install_got(all, id, e, POLICY_AHEAD, got);
        return;
    }
    damages_forget(&all->damages, id);
    all->repaired_pages++;
    if (frame_get(all, f)->list == FRAME_ON_NONE &&
        !frame_get(all, f)->is_flushing)
        frame_set_dirty(all, f);
}

/* `bytes` are those of the extent: checks and decodes them into a frame. */
static nq_rc
take_extent(struct frames_all *all, pgno id, struct entry e, struct slice bytes,
            enum policy_origin origin, struct extent_fault *fault)
{
    struct extent_from from = from_of(all);
    struct extent x;
    uint8_t *page;
    uint32_t f;

    if (extent_verify(bytes, id, e, &x, fault) != NQ_OK ||
        extent_check_size(&from, &x, fault) != NQ_OK)
        return NQ_ECORRUPT;
    page = install(all, id, &x, origin);
    f = all->pub.frame_of[id];
    if (extent_decode(bytes, &x, from.env, page, fault) == NQ_OK &&
        extent_check_page(&from, &x, page, fault) == NQ_OK) {
        frame_protect(all, f);
        return NQ_OK;
    }
    all->pub.frame_of[id] = 0;
    frame_unmapped(all, f);
    return NQ_ECORRUPT;
}

/* Damaged as it was read just now: once more, with its parity. */
static nq_rc
read_rebuilding(struct frames_all *all, pgno id, struct entry e)
{
    struct extent_from from = from_of(all);
    struct extent_got got;
    nq_rc rc = extent_get(&from, id, e, &got);

    if (rc == NQ_OK)
        install_got(all, id, e, POLICY_FETCHED, &got);
    else if (rc == NQ_ECORRUPT)
        rc = damaged(all, id, e, &got.fault);
    nq_free(got.raw);
    return rc;
}

nq_rc
frames_read_now(struct frames_all *all, pgno id, struct entry e)
{
    uint8_t *buf = nq_malloc(entry_len(e));
    nq_rc rc = file_read(all->disk->file, buf, entry_len(e), entry_off(e));
    struct extent_fault fault = {"bytes before the end of the file",
                                 entry_len(e), 0};

    all->blocking_reads++;
    if (rc == NQ_OK)
        rc = take_extent(all, id, e, slice_of(buf, entry_len(e)), POLICY_USED,
                         &fault);
    if (rc == NQ_ECORRUPT && entry_has_parity(e))
        rc = read_rebuilding(all, id, e);
    else if (rc == NQ_ECORRUPT)
        rc = damaged(all, id, e, &fault);
    nq_free(buf);
    return rc;
}

bool
frames_read_tier(struct frames_all *all, pgno id, struct entry e)
{
    struct extent_fault fault;
    nq_rc rc;

    if (entry_len(e) > all->tier_cap ||
        file_try_read(all->disk->file, all->tier_buf, entry_len(e),
                      entry_off(e)) != NQ_OK)
        return false;
    rc = take_extent(all, id, e, slice_of(all->tier_buf, entry_len(e)),
                     POLICY_FETCHED, &fault);
    if (rc == NQ_ECORRUPT && entry_has_parity(e))
        return false; /* a worker rebuilds it */
    all->tier_hits++;
    if (rc == NQ_ECORRUPT)
        (void)damaged(all, id, e, &fault);
    return true;
}

/* --- reads by workers ----------------------------------------------------- */

uint64_t
frames_read_weight(const struct frames_all *all, struct entry e)
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

    r->rc = extent_get(&r->from, r->id, r->entry, &r->got);
}

static void
settle_page(struct page_read *r)
{
    struct frames_all *all = r->all;

    if (r->is_cancelled)
        return;
    nq_dassert(all->pub.frame_of[r->id] == FRAME_LOADING);
    all->pub.frame_of[r->id] = 0;
    if (r->rc == NQ_OK)
        install_got(all, r->id, r->entry, r->origin, &r->got);
    else if (r->rc == NQ_ECORRUPT)
        (void)damaged(all, r->id, r->entry, &r->got.fault);
}

static void
read_done(struct job *job)
{
    struct page_read *r = read_of(job);
    struct frames_all *all = r->all;

    all->reading_bytes -= frames_read_weight(all, r->entry);
    list_remove(&r->link);
    if (!r->is_cancelled)
        hash_remove(&all->reads, &r->node);
    settle_page(r);
    for (uint32_t i = 0; i < r->waiters_count; i++) {
        if (r->waiters[i] != NULL)
            frames_wait_arrived(all, r->waiters[i], r->is_cancelled ? 0 : r->id,
                                r->rc);
    }
    r->magic = 0;
    nq_free(r->waiters);
    nq_free(r->got.raw);
    nq_free(r);
    frames_run_ready(&all->pub);
}

/* `id` is being read from now on; somebody must see to that. */
static struct page_read *
new_read(struct frames_all *all, pgno id, struct entry e,
         enum policy_origin origin)
{
    struct page_read *r = nq_calloc(1, sizeof *r);

    r->magic = READ_MAGIC;
    r->all = all;
    r->id = id;
    r->entry = e;
    r->from = from_of(all);
    r->origin = origin;
    hash_insert(&all->reads, &r->node, hash_u64(id));
    all->pub.frame_of[id] = FRAME_LOADING;
    if (origin == POLICY_AHEAD)
        all->ahead_issued++;
    else
        all->demand_reads++;
    all->reading_bytes += frames_read_weight(all, e);
    list_push_back(&all->running, &r->link);
    return r;
}

void
frames_read_start(struct frames_all *all, pgno id, struct entry e,
                  enum policy_origin origin)
{
    struct page_read *r = new_read(all, id, e, origin);

    r->job = (struct job){.run = run_read, .done = read_done};
    pool_submit(all->disk->pool, &r->job, POOL_READ);
}

/* --- several pages at once ------------------------------------------------ */

/* Its reads are not submitted themselves: their jobs stand still. */
struct read_batch {
    struct job job;
    unsigned count;
    struct page_read *reads[];
};

static void
run_batch(struct job *job)
{
    struct read_batch *b = nq_container(job, struct read_batch, job);

    for (unsigned i = 0; i < b->count; i++) {
        const struct page_read *r = b->reads[i];

        file_read_hint(r->from.file, entry_off(r->entry), entry_len(r->entry));
    }
    for (unsigned i = 0; i < b->count; i++)
        run_read(&b->reads[i]->job);
}

static void
batch_done(struct job *job)
{
    struct read_batch *b = nq_container(job, struct read_batch, job);

    for (unsigned i = 0; i < b->count; i++)
        read_done(&b->reads[i]->job);
    nq_free(b);
}

void
frames_read_batch(struct frames_all *all, const struct page_want *wants,
                  unsigned n)
{
    struct read_batch *b = nq_malloc(sizeof *b + n * sizeof b->reads[0]);

    b->count = n;
    for (unsigned i = 0; i < n; i++)
        b->reads[i] = new_read(all, wants[i].id, wants[i].entry, POLICY_AHEAD);
    b->job = (struct job){.run = run_batch, .done = batch_done};
    pool_submit(all->disk->pool, &b->job, POOL_READ);
}

void
frames_read_wait(struct frames_all *all, pgno id, struct frames_wait *w)
{
    struct page_read *r = find_read(all, id);

    nq_assert(r != NULL);
    all->ahead_late += r->origin == POLICY_AHEAD && r->waiters_count == 0;
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

void
frames_read_forget(struct frames_all *all, const struct frames_wait *w)
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
