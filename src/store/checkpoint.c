/* store/checkpoint.c - cut, copy, sync, publish, trim.
 *
 *   IDLE     asked for, and the log takes appends: the cut.  The owner of the
 *            trees writes roots into the catalog, the frame of the log is
 *            closed, dirty lists and changed entries are swapped.  O(1).
 *   COPY     flush.c writes the pages of the cut; then the entries that had
 *            changed before it are carried over in slices; then space for the
 *            table and the catalog is found
 *   SYNC     a worker writes them and syncs the data file; then the log must
 *            be durable up to the cut (I5)
 *   PUBLISH  a worker writes one superblock, syncs, then the other, syncs
 *   TRIM     extents that only the checkpoint before needed are given back in
 *            slices, then its table and catalog; the log horizon moves; what
 *            is free at the end of the file may be given back (trim.c)
 *
 * A failure up to SYNC gives it up: the published one stands, its extents
 * were never touched, all pages are dirty again, and another is tried later.
 * After a failed sync nothing written since the last good one is trusted: it
 * is written once more (redo.c) before the next cut.
 * A failure of PUBLISH is different: the new superblock may or may not be on
 * the disk, so neither generation's extents may go; the same superblock is
 * written and synced again until that succeeds. */
#include "store/checkpoint.h"

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/crc32c.h"
#include "os/clock.h"
#include "os/dir.h"
#include "os/file.h"
#include "store/dict_keeper.h"
#include "store/encrypt.h"
#include "store/flush.h"
#include "store/frames_int.h"
#include "store/pagetable.h"
#include "store/space.h"
#include "store/store_int.h"

#define SLICE_PAGES 4096u /* settled or released at a time: < 0.5 ms */
#define DOUBLINGS 5u      /* of the wait after failures in a row */
#define LOG_SPARES 2u
#define LOOK_BYTES (16u << 20)  /* of log between looks at the disk */
#define TIGHT_LOG (64ull << 20) /* bytes of log that are worth it */
#define TIGHT_DIRTY 4u          /* times the dirty bytes should fit in */

struct ckpt_request {
    struct ckpt_request *next;
    void (*done)(void *arg, nq_rc rc);
    void *arg;
};

static const struct sm_def moves[] = {
    [CKPT_IDLE] = {"idle", SM(CKPT_COPY)},
    [CKPT_COPY] = {"copy", SM(CKPT_SYNC) | SM(CKPT_IDLE)},
    [CKPT_SYNC] = {"sync", SM(CKPT_PUBLISH) | SM(CKPT_IDLE)},
    [CKPT_PUBLISH] = {"publish", SM(CKPT_TRIM)},
    [CKPT_TRIM] = {"trim", SM(CKPT_IDLE)},
};

/* --- who waits for it ----------------------------------------------------- */

static void
answer(struct ckpt_request **list, nq_rc rc)
{
    struct ckpt_request *r = *list;

    *list = NULL;
    while (r != NULL) {
        struct ckpt_request *next = r->next;

        r->done(r->arg, rc);
        nq_free(r);
        r = next;
    }
}

void
checkpoint_ask(struct checkpoint *c, void (*done)(void *arg, nq_rc rc),
               void *arg)
{
    struct ckpt_request **at = &c->asked;

    c->is_asked = true;
    c->retry_us = 0;
    if (done == NULL)
        return;
    while (*at != NULL)
        at = &(*at)->next;
    *at = nq_malloc(sizeof **at);
    **at = (struct ckpt_request){NULL, done, arg};
}

/* --- jobs ----------------------------------------------------------------- */

static struct checkpoint *
of_job(struct job *job)
{
    struct checkpoint *c = nq_container(job, struct checkpoint, job);

    nq_assert(c->st->magic == STORE_MAGIC);
    return c;
}

static void
job_done(struct job *job)
{
    struct checkpoint *c = of_job(job);

    c->job_running = false;
    if (c->grow_to > c->grow_from)
        flush_grown(&c->st->disk, c->grow_to, c->grow_rc);
    c->grow_from = c->grow_to = 0;
    if (c->st->is_ready) /* else it is being closed */
        checkpoint_turn(c);
}

static void
submit(struct checkpoint *c, void (*run)(struct job *))
{
    nq_assert(!c->job_running);
    c->job_running = true;
    c->job_rc = NQ_OK;
    c->job = (struct job){.run = run, .done = job_done};
    pool_submit(c->st->disk.pool, &c->job, POOL_FLUSH);
}

static void
run_nothing(struct job *job)
{
    (void)job;
}

/* More of the same to do: comes back soon, after others had their turn. */
static void
come_back(struct checkpoint *c)
{
    if (!c->job_running)
        submit(c, run_nothing);
}

static void
run_sync(struct job *job)
{
    struct checkpoint *c = of_job(job);
    struct disk *d = &c->st->disk;
    nq_rc rc = NQ_OK;

    if (c->grow_to > c->grow_from)
        rc = c->grow_rc =
            file_allocate(d->file, c->grow_from, c->grow_to - c->grow_from);
    if (rc == NQ_OK && c->part != NULL)
        rc = pagetable_write(d->table, d->file, c->part == &c->next.base,
                             c->part);
    if (rc == NQ_OK)
        rc = file_write(d->file, c->catalog.p, c->catalog.len,
                        c->next.catalog.off);
    if (rc == NQ_OK)
        rc = file_pad_sector(d->file, c->next.catalog.off + c->catalog.len);
    if (rc == NQ_OK)
        rc = file_sync(d->file);
    c->job_rc = rc;
}

static void
run_publish(struct job *job)
{
    struct checkpoint *c = of_job(job);

    c->job_rc = superblock_publish(c->st->disk.file, &c->next);
}

/* --- giving up ------------------------------------------------------------ */

static void
free_part(struct checkpoint *c, const struct part *p)
{
    if (p->len > 0)
        space_free(c->st->disk.space, p->off, p->len);
}

static void
give_up(struct checkpoint *c, nq_rc rc)
{
    struct disk *d = &c->st->disk;

    log_error("checkpoint at LSN %llu given up: %s; that of LSN %llu stands",
              (unsigned long long)c->next.lsn, rc_text(rc),
              (unsigned long long)c->st->sb.lsn);
    if (c->is_planned) {
        free_part(c, &c->next.catalog);
        if (c->part != NULL)
            free_part(c, c->part);
    }
    c->is_planned = false;
    if (rc == NQ_ENOSPC && d->cut_rc == NQ_OK)
        flush_set_limited(d, !c->was_limited);
    pagetable_give_up(d->table);
    flush_cut_end(d);
    frames_cut_end(d->frames, false);
    c->stats.failed++;
    c->stats.last_rc = rc;
    c->is_asked = true;
    c->retry_us =
        clock_mono_us() + (d->retry_step_us << nq_min(c->failures, DOUBLINGS));
    c->failures++;
    sm_move(&c->sm, CKPT_IDLE);
    answer(&c->running, rc);
}

/* --- the steps, in the order they run ------------------------------------- */

/* Never again in this life: the pages of the cut could not all be written, or
 * the log can no longer be made durable up to it. */
static nq_rc
why_never(const struct checkpoint *c)
{
    if (c->st->disk.is_lost)
        return NQ_ECORRUPT;
    return wal_writable(c->st->wal) == NQ_EREADONLY ? NQ_EREADONLY : NQ_OK;
}

static bool
may_begin(struct checkpoint *c)
{
    nq_rc rc;

    if (!c->is_asked || !c->st->is_ready || c->st->disk.still > 0 ||
        !redo_is_done(&c->redo) || !pins_are_settled(c->st->pins) ||
        (c->retry_us != 0 && clock_mono_us() < c->retry_us))
        return false;
    if ((rc = why_never(c)) == NQ_OK)
        return true;
    c->is_asked = false;
    c->stats.last_rc = rc;
    answer(&c->asked, rc);
    return false;
}

static void
cut(struct checkpoint *c)
{
    struct store *st = c->st;
    struct disk *d = &st->disk;
    uint64_t began = clock_mono_us();

    if (st->opts.before_cut != NULL)
        st->opts.before_cut(st->opts.arg);
    wal_commit(st->wal);
    c->next = st->sb;
    c->next.lsn = wal_position(st->wal);
    c->next.is_clean = false;
    c->next.log_end = 0;
    c->next.next_id = d->frames->next_id;
    dict_keeper_cut(st->dict_keeper);
    c->next.key = encrypt_key(st);
    buf_clear(&c->catalog);
    catalog_encode(&st->catalog, &c->catalog);
    pins_cut(st->pins);
    frames_cut(d->frames);
    flush_cut(d);
    pagetable_cut(d->table, c->next.next_id);
    wal_sync_soon(st->wal);

    c->pages_at_cut = d->frames->lists[1 - d->frames->current].count;
    c->is_asked = false;
    c->running = c->asked;
    c->asked = NULL;
    c->started_us = began;
    c->stats.last_cut_us = clock_mono_us() - began;
    c->stats.max_cut_us = nq_max(c->stats.max_cut_us, c->stats.last_cut_us);
    sm_move(&c->sm, CKPT_COPY);
}

/* Finds places for the table and the catalog, and starts to write them;
 * false if somebody else is extending the file. */
static bool
plan(struct checkpoint *c, nq_rc *rc)
{
    struct disk *d = &c->st->disk;
    struct part *cat = &c->next.catalog;
    uint64_t end;

    if (!c->is_planned) {
        c->was_limited = d->is_limited;
        c->part = NULL;
        *rc = pagetable_plan(d->table, &c->st->sb, &c->next, &c->part);
        if (*rc == NQ_OK)
            *rc = encrypt_seal_catalog(c->st, &c->catalog);
        if (*rc != NQ_OK)
            goto undo_table;
        cat->len = c->catalog.len;
        cat->crc = crc32c(0, c->catalog.p, c->catalog.len);
        *rc = space_alloc_part(d->space, cat->len, &cat->off);
        if (*rc != NQ_OK)
            goto undo_table;
        c->is_planned = true;
    }
    end = cat->off + cat->len;
    if (c->part != NULL)
        end = nq_max(end, c->part->off + c->part->len);
    return flush_may_write(d, end, &c->grow_from, &c->grow_to);

undo_table:
    if (c->part != NULL)
        free_part(c, c->part);
    return true;
}

static void
copy(struct checkpoint *c)
{
    struct disk *d = &c->st->disk;
    struct frames_all *all = d->frames;
    nq_rc rc = NQ_OK;

    while (d->cut_rc == NQ_OK && flush_start(d, true))
        ;
    if (d->cut_jobs > 0)
        return;
    if (d->cut_rc != NQ_OK) {
        give_up(c, d->cut_rc);
        return;
    }
    if (all->lists[1 - all->current].count > 0 || c->job_running)
        return;
    if (!pagetable_settle(d->table, SLICE_PAGES)) {
        come_back(c);
        return;
    }
    if (!plan(c, &rc))
        return;
    if (rc != NQ_OK) {
        give_up(c, rc);
        return;
    }
    sm_move(&c->sm, CKPT_SYNC);
    submit(c, run_sync);
}

static void
sync_log(struct checkpoint *c)
{
    struct wal *w = c->st->wal;

    if (c->job_running)
        return;
    if (c->job_rc != NQ_OK) {
        nq_rc rc = c->job_rc;

        give_up(c, rc);
        c->st->disk.syncs_failed++;
        redo_collect(&c->redo, &c->st->disk);
        return;
    }
    if (wal_durable(w) < c->next.lsn) {
        if (wal_writable(w) == NQ_EREADONLY)
            give_up(c, NQ_EREADONLY);
        else
            wal_sync_soon(w);
        return;
    }
    c->next.wall_us = clock_wall_us();
    c->next.file_bytes = space_end(c->st->disk.space);
    sm_move(&c->sm, CKPT_PUBLISH);
    submit(c, run_publish);
}

static void
publish(struct checkpoint *c)
{
    if (c->job_running)
        return;
    if (c->job_rc != NQ_OK) {
        c->stats.last_rc = c->job_rc;
        answer(&c->running, c->job_rc);
        answer(&c->asked, c->job_rc);
        if (c->retry_us == 0) {
            log_error("the superblock could not be written: %s; trying again",
                      rc_text(c->job_rc));
            c->stats.failed++;
            c->retry_us = clock_mono_us() + c->st->disk.retry_step_us;
        } else if (clock_mono_us() >= c->retry_us) {
            c->retry_us = 0;
            submit(c, run_publish);
        }
        return;
    }
    c->retry_us = 0;
    sm_move(&c->sm, CKPT_TRIM);
}

static bool
names_part(const struct superblock *sb, const struct part *p)
{
    bool found = sb->base.off == p->off || sb->catalog.off == p->off;

    for (uint32_t i = 0; i < sb->deltas_count; i++)
        found = found || sb->deltas[i].off == p->off;
    return found;
}

static void
free_old_parts(struct checkpoint *c)
{
    const struct superblock *old = &c->st->sb;

    free_part(c, &old->catalog);
    if (!names_part(&c->next, &old->base))
        free_part(c, &old->base);
    for (uint32_t i = 0; i < old->deltas_count; i++) {
        if (!names_part(&c->next, &old->deltas[i]))
            free_part(c, &old->deltas[i]);
    }
}

static void
succeeded(struct checkpoint *c)
{
    struct disk *d = &c->st->disk;

    c->failures = 0;
    c->stats.checkpoints++;
    c->stats.last_rc = NQ_OK;
    c->stats.last_pages = d->cut_pages;
    c->stats.last_bytes = d->cut_bytes;
    c->stats.last_ms = (clock_mono_us() - c->started_us) / 1000;
    c->stats.last_wall_s = c->st->sb.wall_us / 1000000;
    log_info("checkpoint at LSN %llu: %llu pages, %llu bytes in %llu ms",
             (unsigned long long)c->st->sb.lsn,
             (unsigned long long)d->cut_pages, (unsigned long long)d->cut_bytes,
             (unsigned long long)c->stats.last_ms);
    answer(&c->running, NQ_OK);
}

static void
trim(struct checkpoint *c)
{
    struct disk *d = &c->st->disk;

    if (c->job_running)
        return;
    if (!pagetable_release(d->table, SLICE_PAGES)) {
        come_back(c);
        return;
    }
    free_old_parts(c);
    c->st->sb = c->next;
    c->is_planned = false;
    flush_set_limited(d, false);
    flush_cut_end(d);
    frames_cut_end(d->frames, true);
    wal_release(c->st->wal, c->st->sb.lsn, LOG_SPARES);
    sm_move(&c->sm, CKPT_IDLE);
    space_rewind(d->space);
    quota_published(c->st);
    pins_published(c->st->pins);
    trim_begin(&c->st->trim);
    succeeded(c);
}

/* A checkpoint needs room for what is dirty, and gives the log's back: while
 * there is still room, not when the disk is full. */
static void
look_at_disk(struct checkpoint *c)
{
    struct store *st = c->st;
    lsn now = st->is_ready ? wal_position(st->wal) : 0;
    uint64_t avail;

    if (now < c->look_at || now - st->sb.lsn < TIGHT_LOG)
        return;
    c->look_at = now + LOOK_BYTES;
    avail = dir_free_bytes(st->dir);
    if (avail == 0 || c->is_asked ||
        avail > TIGHT_LOG + TIGHT_DIRTY * st->disk.frames->dirty_bytes)
        return;
    log_warn("%s has %llu bytes left: a checkpoint, to give log back", st->dir,
             (unsigned long long)avail);
    checkpoint_ask(c, NULL, NULL);
}

void
checkpoint_turn(struct checkpoint *c)
{
    if (c->sm.state == CKPT_IDLE)
        look_at_disk(c);
    redo_turn(&c->redo, &c->st->disk);
    if (c->sm.state == CKPT_IDLE && may_begin(c))
        cut(c);
    if (c->sm.state == CKPT_COPY)
        copy(c);
    if (c->sm.state == CKPT_SYNC)
        sync_log(c);
    if (c->sm.state == CKPT_PUBLISH)
        publish(c);
    if (c->sm.state == CKPT_TRIM)
        trim(c);
}

void
checkpoint_init(struct checkpoint *c, struct store *st)
{
    c->st = st;
    sm_init(&c->sm, "checkpoint", moves, CKPT_IDLE);
}

void
checkpoint_fini(struct checkpoint *c)
{
    answer(&c->running, NQ_ECLOSED);
    answer(&c->asked, NQ_ECLOSED);
    buf_fini(&c->catalog);
    redo_fini(&c->redo);
}

bool
checkpoint_is_running(const struct checkpoint *c)
{
    return c->sm.state != CKPT_IDLE;
}

bool
checkpoint_is_busy(const struct checkpoint *c)
{
    return c->job_running;
}
