/* store/frames_read.c - pages on their way in from the data file.
 *
 *   frame_of[id]  0 -> FRAME_LOADING -> a frame, or FRAME_DAMAGED, or 0 (EIO)
 *
 *   R1  an id is FRAME_LOADING exactly while a page_read for it is in
 *       all->reads
 *   R2  a damaged page is read once; then its mark answers
 *   R3  a read whose page was freed meanwhile, or was read by a blocking
 *       command, goes on out of all->reads, and its result is dropped
 *   R4  the frame that a read takes with it is the worker's until read_done():
 *       no page is mapped to it, and nobody else knows of it
 *
 * So the bytes of a page are where they belong when they come: what is left
 * for the loop is to map the frame.  Reads are begun one by one and sent
 * together, in the order of their places: a job tells the kernel of all of
 * its own, so that the disk works on them side by side, then reads and
 * unpacks one after the other.
 *
 * Nothing is used before extent_io.c found every field of it as the page
 * table says (I12).  What comes in is immutable until frames_mut().  A page
 * that had to be rebuilt from its parity is dirty at once, so that it is
 * written anew. */
#include <stdlib.h>

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

#define JOB_READS 4u           /* by one job */
#define SORTED_READS 128u      /* at most, together */
#define INTO_KEPT (256u << 10) /* bytes of a buffer that stays */

/* One page on its way in. */
struct page_read {
    struct hash_node node; /* in all->reads, by id */
    struct list link;      /* in all->running */
    uint32_t magic;
    struct frames_all *all;
    pgno id;
    struct entry entry;
    bool is_cancelled; /* R3 */
    enum policy_origin origin;
    struct frames_wait **waiters;
    uint32_t waiters_count, waiters_cap;
    uint32_t frame; /* R4; 0: none, it is a chunk */
    uint8_t *page;  /* the bytes of that frame */
    /* the worker's results */
    nq_rc rc;
    struct extent_got got;
};

struct read_job {
    struct job job;
    struct extent_from from;
    unsigned count;
    struct page_read *reads[JOB_READS];
};

/* --- one page ------------------------------------------------------------- */

static nq_rc
damaged(struct frames_all *all, pgno id, struct entry e,
        const struct extent_fault *why)
{
    struct disk *d = all->disk;
    char text[DAMAGE_TEXT];

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
    damage_text(damages_find(&all->damages, id), text);
    return NQ_CORRUPT("%s: %s", file_path(d->file), text);
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

/* A frame for the page, which is not mapped yet; 0: it is none of a tree. */
static uint32_t
take_frame(struct frames_all *all, pgno id, struct entry e)
{
    if (!extent_may_be_page(e, all->pub.page_size))
        return 0;
    return frame_take(all, id, PAGE_LEAF);
}

static void
map_frame(struct frames_all *all, pgno id, uint32_t f,
          const struct extent_got *got, enum policy_origin origin)
{
    frame_get(all, f)->kind = got->x.kind;
    all->pub.frame_of[id] = f;
    frame_enter(all, f, origin);
}

static void
map_chunk(struct frames_all *all, pgno id, uint8_t *bytes,
          const struct extent_got *got, enum policy_origin origin)
{
    const struct extent *x = &got->x;
    uint32_t f = chunk_adopt(all, id, bytes, x->raw_len);

    chunk_get(all, f)->stamp = x->lsn;
    chunk_set_unpacked(all, f, x->codec != BLOCK_RAW);
    all->unpacked_misses += x->codec != BLOCK_RAW;
    all->pub.frame_of[id] = f;
    frame_enter(all, f, origin);
}

/* The page has just been mapped; rebuilt: it is to be written anew. */
static void
welcome(struct frames_all *all, pgno id, struct entry e,
        const struct extent_got *got)
{
    uint32_t f = all->pub.frame_of[id];

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

/* A page that was read with `f` (R4), or as a chunk. */
static void
install(struct frames_all *all, pgno id, struct entry e, uint32_t f,
        const struct extent_got *got, enum policy_origin origin)
{
    if (got->x.kind == PAGE_CHUNK) {
        if (f != 0)
            frame_drop_if_unused(all, f);
        map_chunk(all, id, got->raw, got, origin);
    } else {
        nq_assert(f != 0 && got->raw == frame_bytes(all, f));
        map_frame(all, id, f, got, origin);
    }
    welcome(all, id, e, got);
}

/* A copy of what somebody else read. */
static void
install_copy(struct frames_all *all, pgno id, struct entry e,
             const struct extent_got *got)
{
    uint32_t f;

    if (got->x.kind == PAGE_CHUNK) {
        map_chunk(all, id, nq_memdup(got->raw, got->x.raw_len), got,
                  POLICY_AHEAD);
    } else {
        f = frame_take(all, id, PAGE_LEAF);
        memcpy(frame_bytes(all, f), got->raw, got->x.raw_len);
        map_frame(all, id, f, got, POLICY_AHEAD);
    }
    welcome(all, id, e, got);
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
        install_copy(all, id, e, got);
        return;
    }
    damages_forget(&all->damages, id);
    all->repaired_pages++;
    if (frame_get(all, f)->list == FRAME_ON_NONE &&
        !frame_get(all, f)->is_flushing)
        frame_set_dirty(all, f);
}

/* --- by the loop itself --------------------------------------------------- */

/* Not mapped, and not marked either, unless it returns NQ_OK. */
static nq_rc
read_here(struct frames_all *all, pgno id, struct entry e, bool is_at_hand,
          struct extent_got *got)
{
    struct extent_from from = from_of(all);
    uint32_t f = take_frame(all, id, e);
    nq_rc rc;

    all->into.page = f == 0 ? NULL : frame_bytes(all, f);
    all->into.is_at_hand = is_at_hand;
    rc = extent_get_into(&from, id, e, &all->into, got);
    if (rc == NQ_OK)
        install(all, id, e, f, got, is_at_hand ? POLICY_FETCHED : POLICY_USED);
    else if (f != 0)
        frame_drop_if_unused(all, f);
    if (all->into.cap > INTO_KEPT)
        extent_into_fini(&all->into);
    return rc;
}

nq_rc
frames_read_now(struct frames_all *all, pgno id, struct entry e)
{
    struct extent_got got;
    nq_rc rc;

    all->blocking_reads++;
    rc = read_here(all, id, e, false, &got);
    return rc == NQ_ECORRUPT ? damaged(all, id, e, &got.fault) : rc;
}

bool
frames_read_tier(struct frames_all *all, pgno id, struct entry e)
{
    struct extent_got got;
    nq_rc rc;

    if (entry_len(e) > all->tier_cap)
        return false;
    rc = read_here(all, id, e, true, &got);
    if (rc != NQ_OK && (rc != NQ_ECORRUPT || entry_has_parity(e)))
        return false; /* a worker reads, or rebuilds it */
    all->tier_hits++;
    if (rc == NQ_ECORRUPT)
        (void)damaged(all, id, e, &got.fault);
    return true;
}

/* --- reads by workers ----------------------------------------------------- */

uint64_t
frames_read_weight(const struct frames_all *all, struct entry e)
{
    return nq_max(entry_len(e), all->pub.page_size);
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
run_reads(struct job *job)
{
    struct read_job *j = nq_container(job, struct read_job, job);
    struct extent_into into = {.page = NULL};

    for (unsigned i = 0; j->count > 1 && i < j->count; i++) {
        struct entry e = j->reads[i]->entry;

        file_read_hint(j->from.file, entry_off(e), entry_len(e));
    }
    for (unsigned i = 0; i < j->count; i++) {
        struct page_read *r = j->reads[i];

        into.page = r->page;
        r->rc = extent_get_into(&j->from, r->id, r->entry, &into, &r->got);
    }
    extent_into_fini(&into);
}

/* Maps what came, or gives back what was taken for it. */
static void
settle_page(struct page_read *r)
{
    struct frames_all *all = r->all;

    if (!r->is_cancelled) {
        nq_dassert(all->pub.frame_of[r->id] == FRAME_LOADING);
        all->pub.frame_of[r->id] = 0;
        if (r->rc == NQ_OK) {
            install(all, r->id, r->entry, r->frame, &r->got, r->origin);
            return;
        }
        if (r->rc == NQ_ECORRUPT)
            (void)damaged(all, r->id, r->entry, &r->got.fault);
    }
    if (r->rc == NQ_OK && r->got.raw != r->page)
        nq_free(r->got.raw);
    if (r->frame != 0)
        frame_drop_if_unused(all, r->frame);
}

static void
read_done(struct page_read *r)
{
    struct frames_all *all = r->all;

    nq_assert(r->magic == READ_MAGIC);
    all->reading_bytes -= r->frame == 0 ? entry_len(r->entry) : 0;
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
    nq_free(r);
}

static void
reads_done(struct job *job)
{
    struct read_job *j = nq_container(job, struct read_job, job);
    struct frames_all *all = j->reads[0]->all;

    for (unsigned i = 0; i < j->count; i++)
        read_done(j->reads[i]);
    nq_free(j);
    frames_run_ready(&all->pub);
}

void
frames_read_begin(struct frames_all *all, pgno id, struct entry e,
                  enum policy_origin origin)
{
    struct page_read *r = nq_malloc(sizeof *r);

    *r = (struct page_read){
        .magic = READ_MAGIC,
        .all = all,
        .id = id,
        .entry = e,
        .origin = origin,
        .frame = take_frame(all, id, e),
    };
    if (r->frame != 0)
        r->page = frame_bytes(all, r->frame);
    else
        all->reading_bytes += entry_len(e);
    hash_insert(&all->reads, &r->node, hash_u64(id));
    all->pub.frame_of[id] = FRAME_LOADING;
    if (origin == POLICY_AHEAD)
        all->ahead_issued++;
    else
        all->demand_reads++;
    list_push_back(&all->begun, &r->link);
    all->begun_count++;
}

static int
by_place(const void *a, const void *b)
{
    uint64_t x = entry_off((*(struct page_read *const *)a)->entry);
    uint64_t y = entry_off((*(struct page_read *const *)b)->entry);

    return (x > y) - (x < y);
}

/* The first `n` of those that were begun. */
static void
send_some(struct frames_all *all, unsigned n)
{
    struct page_read *reads[SORTED_READS];
    unsigned jobs = (n + JOB_READS - 1) / JOB_READS;

    for (unsigned i = 0; i < n; i++) {
        reads[i] =
            nq_container(list_pop_front(&all->begun), struct page_read, link);
        list_push_back(&all->running, &reads[i]->link);
    }
    all->begun_count -= n;
    qsort(reads, n, sizeof(struct page_read *), by_place);
    for (unsigned k = 0, at = 0; k < jobs; k++) {
        struct read_job *j = nq_malloc(sizeof *j);

        *j = (struct read_job){
            .job = {.run = run_reads, .done = reads_done},
            .from = from_of(all),
            .count = (n - at) / (jobs - k),
        };
        memcpy(j->reads, reads + at, j->count * sizeof(struct page_read *));
        at += j->count;
        pool_submit(all->disk->pool, &j->job, POOL_READ);
    }
}

void
frames_read_send(struct frames_all *all)
{
    while (all->begun_count > 0)
        send_some(all, nq_min(all->begun_count, SORTED_READS));
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
