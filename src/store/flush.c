/* store/flush.c - batches of dirty frames: encode, place, write, enter.
 *
 *   flush_start -> run_encode (worker) -> encoded -> run_write (worker)
 *               -> written
 *
 * Places are chosen after encoding, when lengths are known, so holes of any
 * size can be filled: a batch is one contiguous piece if there is such a run,
 * else several.  A piece is written with one pwrite. */
#include "store/flush.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/block.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/pool.h"
#include "store/dict_keeper.h"
#include "store/extent.h"
#include "store/frames_int.h"
#include "store/pagetable.h"
#include "store/space.h"

#define FLUSH_MAGIC 0x48534c46u
#define BATCH_PAGES 128u
#define BATCH_BYTES (1u << 20)
#define JOBS_DEFAULT 4u
#define RETRY_US 1000000u

struct flush_item {
    uint32_t frame;
    struct extent x;
    struct slice raw; /* immutable until written() */
    uint32_t at;      /* of the extent, in the job's buffer */
    uint64_t off;     /* in the file */
    bool in_cut;
};

struct flush_piece {
    uint32_t at, len; /* in the buffer */
    uint64_t off;     /* in the file */
};

struct flush_job {
    struct job job;
    uint32_t magic;
    struct list link; /* in disk.jobs */
    struct disk *disk;
    struct extent_style style;
    nq_rc rc;
    uint8_t *buf; /* encoded extents, whole sectors each */
    uint32_t len, cap;
    uint64_t weight;             /* of its frames */
    uint64_t grow_from, grow_to; /* blocks to allocate first; 0: none */
    nq_rc grow_rc;
    bool was_limited;      /* when its places were found */
    unsigned syncs_failed; /* when it began to write */
    unsigned items_count, pieces_count;
    struct flush_item items[BATCH_PAGES];
    struct flush_piece pieces[BATCH_PAGES];
};

static struct flush_job *
job_of(struct job *job)
{
    struct flush_job *j;

    NQ_CAST(j, nq_container(job, struct flush_job, job), FLUSH_MAGIC);
    return j;
}

/* --- the frames ----------------------------------------------------------- */

static void
take_frame(struct flush_job *j, uint32_t f, bool in_cut)
{
    struct frames_all *all = j->disk->frames;
    struct frame *m = frame_get(all, f);
    struct flush_item *it = &j->items[j->items_count++];

    *it = (struct flush_item){.frame = f, .in_cut = in_cut};
    it->x = (struct extent){
        .id = m->id,
        .generation = pagetable_next_generation(j->disk->table, m->id),
        .kind = m->kind,
    };
    if (frame_is_chunk(f)) {
        it->raw = slice_of(chunk_get(all, f)->bytes, chunk_get(all, f)->len);
        it->x.lsn = chunk_get(all, f)->stamp;
    } else {
        it->raw = slice_of(frame_bytes(all, f), all->pub.page_size);
        memcpy(&it->x.lsn, it->raw.p + PAGE_LSN_OFFSET, sizeof it->x.lsn);
    }
    j->weight += frame_weight(all, f);
    j->cap += (uint32_t)extent_bound(it->raw.len);
    frame_unlist(all, f);
    m->is_flushing = true;
    m->writable = 0;
    frame_protect(all, f);
}

/* The page is where its frame says again: dirty, or of no use. */
static void
put_back(struct frames_all *all, uint32_t f)
{
    struct frame *m = frame_get(all, f);

    m->is_flushing = false;
    if (frame_is_mapped(all, f, m))
        frame_set_dirty(all, f);
    else
        frame_drop_if_unused(all, f);
}

static void
enter(struct flush_job *j, struct flush_item *it)
{
    struct disk *d = j->disk;
    struct frame *m = frame_get(d->frames, it->frame);
    struct entry e = extent_entry(&it->x, it->off);

    m->is_flushing = false;
    if (it->in_cut) {
        pagetable_stage(d->table, it->x.id, e);
        d->cut_pages++;
        d->cut_bytes += entry_space(e);
    } else if (frame_is_mapped(d->frames, it->frame, m)) {
        pagetable_set(d->table, it->x.id, e);
    } else {
        space_free(d->space, it->off, entry_space(e));
    }
    if (frame_is_chunk(it->frame) && it->x.codec != BLOCK_RAW &&
        frame_is_mapped(d->frames, it->frame, m))
        chunk_set_unpacked(d->frames, it->frame, true);
    frame_drop_if_unused(d->frames, it->frame);
}

static bool
has_cut_pages(const struct flush_job *j)
{
    for (unsigned i = 0; i < j->items_count; i++) {
        if (j->items[i].in_cut)
            return true;
    }
    return false;
}

/* --- workers -------------------------------------------------------------- */

static void
run_encode(struct job *job)
{
    struct flush_job *j = job_of(job);

    j->buf = nq_malloc(j->cap);
    for (unsigned i = 0; i < j->items_count; i++) {
        struct flush_item *it = &j->items[i];

        it->at = j->len;
        j->rc = extent_encode(&it->x, it->raw, &j->disk->env, &j->style,
                              j->buf + j->len, j->cap - j->len);
        if (j->rc != NQ_OK)
            return;
        j->len += extent_space(&it->x);
    }
}

static void
run_write(struct job *job)
{
    struct flush_job *j = job_of(job);

    if (j->grow_to > j->grow_from)
        j->rc = j->grow_rc = file_allocate(j->disk->file, j->grow_from,
                                           j->grow_to - j->grow_from);
    for (unsigned i = 0; i < j->pieces_count && j->rc == NQ_OK; i++) {
        const struct flush_piece *p = &j->pieces[i];

        j->rc = file_write(j->disk->file, j->buf + p->at, p->len, p->off);
    }
}

/* --- the end of a batch --------------------------------------------------- */

static void
free_pieces(struct flush_job *j)
{
    for (unsigned i = 0; i < j->pieces_count; i++)
        space_free(j->disk->space, j->pieces[i].off, j->pieces[i].len);
    j->pieces_count = 0;
}

void
flush_set_limited(struct disk *d, bool is_limited)
{
    if (d->is_limited == is_limited)
        return;
    d->is_limited = is_limited;
    space_set_limit(d->space, is_limited ? nq_max(d->allocated, 1u) : 0);
}

/* Nothing of it counts. */
static void
take_back(struct flush_job *j)
{
    free_pieces(j);
    for (unsigned i = 0; i < j->items_count; i++)
        put_back(j->disk->frames, j->items[i].frame);
}

static void
failed(struct flush_job *j)
{
    struct disk *d = j->disk;

    take_back(j);
    if (d->last_rc == NQ_OK)
        log_warn("pages could not be written: %s; they stay in memory, the "
                 "last checkpoint stands",
                 rc_text(j->rc));
    if (has_cut_pages(j))
        d->cut_rc = j->rc;
    if (j->rc == NQ_ENOSPC)
        flush_set_limited(d, !j->was_limited);
    d->retry_us = clock_mono_us() + d->retry_step_us;
}

static void
finish(struct flush_job *j)
{
    struct disk *d = j->disk;

    d->frames->flushing_bytes -= j->weight;
    d->jobs_count--;
    d->cut_jobs -= has_cut_pages(j);
    list_remove(&j->link);
    if (j->rc != NQ_OK) {
        failed(j);
    } else if (j->syncs_failed != d->syncs_failed) {
        take_back(j); /* what it wrote is in doubt, see redo.h */
        if (has_cut_pages(j))
            d->cut_rc = NQ_EIO;
    } else {
        for (unsigned i = 0; i < j->items_count; i++)
            enter(j, &j->items[i]);
        d->frames->flushes += j->items_count;
        d->bytes_written += j->len;
    }
    d->last_rc = j->rc;
    j->magic = 0;
    nq_free(j->buf);
    nq_free(j);
}

static void written(struct job *job);

/* --- places --------------------------------------------------------------- */

static nq_rc
place_items(struct flush_job *j)
{
    unsigned i = 0;

    j->was_limited = j->disk->is_limited;
    while (i < j->items_count) {
        struct flush_piece *p = &j->pieces[j->pieces_count];
        uint64_t got, first = extent_space(&j->items[i].x);
        nq_rc rc;

        p->at = j->items[i].at;
        rc = space_alloc(j->disk->space, first, j->len - p->at, &p->off, &got);
        if (rc != NQ_OK)
            return rc;
        j->pieces_count++;
        for (p->len = 0; i < j->items_count; i++) {
            uint32_t n = extent_space(&j->items[i].x);

            if (p->len + n > got)
                break;
            j->items[i].off = p->off + p->len;
            p->len += n;
        }
        if (got > p->len)
            space_free(j->disk->space, p->off + p->len, got - p->len);
    }
    return NQ_OK;
}

bool
flush_may_write(struct disk *d, uint64_t end, uint64_t *from, uint64_t *to)
{
    *from = *to = 0;
    if (end <= d->allocated)
        return true;
    if (d->is_growing)
        return false;
    d->is_growing = true;
    *from = d->allocated;
    *to = space_end(d->space);
    return true;
}

static void
submit_write(struct flush_job *j)
{
    uint64_t end = 0;

    for (unsigned i = 0; i < j->pieces_count; i++)
        end = nq_max(end, j->pieces[i].off + j->pieces[i].len);
    if (!flush_may_write(j->disk, end, &j->grow_from, &j->grow_to)) {
        list_remove(&j->link);
        list_push_back(&j->disk->held, &j->link);
        return;
    }
    j->syncs_failed = j->disk->syncs_failed;
    j->job = (struct job){.run = run_write, .done = written};
    pool_submit(j->disk->pool, &j->job, POOL_FLUSH);
}

void
flush_grown(struct disk *d, uint64_t to, nq_rc rc)
{
    struct list held, *it;

    d->is_growing = false;
    if (rc == NQ_OK)
        d->allocated = to;
    list_init(&held);
    while ((it = list_pop_front(&d->held)) != NULL)
        list_push_back(&held, it);
    while ((it = list_pop_front(&held)) != NULL) {
        struct flush_job *j = nq_container(it, struct flush_job, link);

        list_push_back(&d->jobs, &j->link);
        j->rc = rc;
        if (rc == NQ_OK)
            submit_write(j);
        else
            finish(j);
    }
}

static void
written(struct job *job)
{
    struct flush_job *j = job_of(job);

    if (j->grow_to > j->grow_from)
        flush_grown(j->disk, j->grow_to, j->grow_rc);
    finish(j);
}

/* Before frames may change again. */
static void
offer_samples(const struct flush_job *j)
{
    const struct pack_opts *o = &j->disk->style.pack;

    if (j->disk->dict_keeper == NULL || !o->enabled || !o->dictionaries)
        return;
    for (unsigned i = 0; i < j->items_count; i++) {
        if (j->items[i].x.kind == PAGE_LEAF)
            dict_keeper_offer(j->disk->dict_keeper, j->items[i].raw);
    }
}

static void
encoded(struct job *job)
{
    struct flush_job *j = job_of(job);

    if (j->rc == NQ_OK) {
        offer_samples(j);
        j->rc = place_items(j);
    }
    if (j->rc == NQ_OK)
        submit_write(j);
    else
        finish(j);
}

/* --- starting ------------------------------------------------------------- */

void
flush_init(struct disk *d)
{
    list_init(&d->jobs);
    list_init(&d->held);
    d->retry_step_us = RETRY_US;
}

bool
flush_is_allowed(const struct disk *d)
{
    return !d->is_read_only &&
           (d->last_rc == NQ_OK || clock_mono_us() >= d->retry_us);
}

/* Frames that were used since they came here go to the end once: it pays to
 * write a page that is still changing late. */
static uint32_t
next_frame(struct frames_all *all, bool from_cut)
{
    struct frame_list *l =
        &all->lists[from_cut ? 1 - all->current : all->current];

    for (unsigned tries = 0; !from_cut && tries < BATCH_PAGES; tries++) {
        uint32_t f = l->head;

        if (f == 0 || f == l->tail || frame_is_chunk(f) ||
            (all->pub.used[f] & USE_FLUSHER) == 0)
            break;
        all->pub.used[f] &= (uint8_t)~USE_FLUSHER;
        frame_unlist(all, f);
        frame_set_dirty(all, f);
    }
    return l->head;
}

static unsigned
jobs_max(const struct frames_all *all)
{
    return all->tuning.flush_jobs == 0 ? JOBS_DEFAULT : all->tuning.flush_jobs;
}

static bool
is_old(struct frames_all *all, uint32_t f)
{
    return all->now_s - frame_get(all, f)->dirty_s >= all->tuning.flush_age_s;
}

static bool
start(struct disk *d, bool from_cut, bool only_old)
{
    struct frames_all *all = d->frames;
    struct flush_job *j;
    uint32_t f;

    if (d->jobs_count >= jobs_max(all) || (d->still > 0 && !from_cut) ||
        !flush_is_allowed(d) || (f = next_frame(all, from_cut)) == 0 ||
        (only_old && !is_old(all, f)))
        return false;
    j = nq_calloc(1, sizeof *j);
    j->magic = FLUSH_MAGIC;
    j->disk = d;
    j->style = d->style;
    j->style.care = EXTENT_HURRIED;
    do {
        take_frame(j, f, from_cut);
        f = next_frame(all, from_cut);
    } while (f != 0 && j->items_count < BATCH_PAGES &&
             (!only_old || is_old(all, f)) &&
             j->cap + frame_weight(all, f) <= BATCH_BYTES);
    all->flushing_bytes += j->weight;
    list_push_back(&d->jobs, &j->link);
    d->jobs_count++;
    d->cut_jobs += from_cut;
    j->job = (struct job){.run = run_encode, .done = encoded};
    pool_submit(d->pool, &j->job, POOL_FLUSH);
    return true;
}

bool
flush_start(struct disk *d, bool from_cut)
{
    return start(d, from_cut, false);
}

bool
flush_start_old(struct disk *d)
{
    uint32_t oldest = d->frames->lists[d->frames->current].head;

    return oldest != 0 && is_old(d->frames, oldest) && start(d, false, true);
}

static void
join_cut(struct flush_job *j)
{
    for (unsigned i = 0; i < j->items_count; i++) {
        struct frame *m = frame_get(j->disk->frames, j->items[i].frame);

        j->items[i].in_cut =
            frame_is_mapped(j->disk->frames, j->items[i].frame, m);
    }
    j->disk->cut_jobs += has_cut_pages(j);
}

void
flush_cut(struct disk *d)
{
    d->cut_rc = NQ_OK;
    d->cut_jobs = 0;
    d->cut_pages = d->cut_bytes = 0;
    list_each(it, &d->jobs) join_cut(nq_container(it, struct flush_job, link));
    list_each(it, &d->held) join_cut(nq_container(it, struct flush_job, link));
}

void
flush_cut_end(struct disk *d)
{
    nq_assert(d->cut_jobs == 0);
    d->cut_rc = NQ_OK;
}
