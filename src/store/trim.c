/* store/trim.c - cut, then punch, by a worker, while others write elsewhere.
 *
 * What is being cut is like what another is growing to the writers; what is
 * being punched is not free in the map any more.  A hole that could not be
 * punched does no harm: it keeps its blocks.
 *
 * Called by checkpoint.c and shrink.c. */
#include "store/trim.h"

#include "base/log.h"
#include "os/file.h"
#include "store/flush.h"
#include "store/store_int.h"

#define CUT_MIN (16u << 20) /* less is not worth it */
#define HOLE_MIN (1u << 20)
#define SPARE (16ull << 20) /* free and not punched, for the next writes */
#define ALL_MIN (64u << 10) /* the same when all is to be given back */

static struct trim *
of_job(struct job *job)
{
    struct trim *tr = nq_container(job, struct trim, job);

    nq_assert(tr->st->magic == STORE_MAGIC && tr->is_busy);
    return tr;
}

static void
submit(struct trim *tr, void (*run)(struct job *), void (*done)(struct job *))
{
    tr->is_busy = true;
    tr->job = (struct job){.run = run, .done = done};
    pool_submit(tr->st->disk.pool, &tr->job, POOL_FLUSH);
}

/* --- holes ----------------------------------------------------------------
 */

static void punch(struct trim *tr);

static void
run_punch(struct job *job)
{
    struct trim *tr = of_job(job);

    for (unsigned i = 0; i < tr->runs_count; i++)
        file_punch(tr->st->disk.file, tr->runs[i].off, tr->runs[i].len);
}

static void
punched(struct job *job)
{
    struct trim *tr = of_job(job);

    tr->is_busy = false;
    for (unsigned i = 0; i < tr->runs_count; i++)
        tr->punched += tr->runs[i].len;
    if (tr->mode == TRIM_ALL && tr->runs_count == TRIM_RUNS && tr->st->is_ready)
        punch(tr);
}

static void
punch(struct trim *tr)
{
    struct space *sp = tr->st->disk.space;
    uint64_t keep = nq_max(SPARE, space_used_bytes(sp) / 4);

    bool gives_all = tr->mode == TRIM_ALL;

    if (!tr->punches || tr->mode == TRIM_CUT || tr->st->disk.is_limited)
        return;
    tr->runs_count = space_punch(sp, gives_all ? ALL_MIN : HOLE_MIN,
                                 gives_all ? 0 : keep, tr->runs, TRIM_RUNS);
    if (tr->runs_count > 0)
        submit(tr, run_punch, punched);
}

/* --- the end --------------------------------------------------------------
 */

static void
run_cut(struct job *job)
{
    struct trim *tr = of_job(job);

    tr->rc = file_truncate(tr->st->disk.file, tr->cut_to);
}

static void
cut(struct job *job)
{
    struct trim *tr = of_job(job);

    tr->is_busy = false;
    tr->cuts += tr->rc == NQ_OK;
    flush_grown(&tr->st->disk, tr->cut_to, tr->rc);
    if (tr->st->is_ready) /* else it is being closed */
        punch(tr);
}

static bool
is_worth_cutting(const struct trim *tr, uint64_t last, uint64_t end)
{
    if (tr->mode != TRIM_USUAL)
        return end - last >= ALL_MIN;
    return end - last >= CUT_MIN && end - last >= end / 4;
}

void
trim_begin(struct trim *tr)
{
    struct disk *d = &tr->st->disk;
    uint64_t last = space_last_used(d->space), end = space_end(d->space);

    if (tr->is_busy)
        return;
    if (d->is_growing || !is_worth_cutting(tr, last, end)) {
        punch(tr);
        return;
    }
    space_cut(d->space, last);
    d->allocated = last;
    d->is_growing = true;
    tr->cut_to = last;
    submit(tr, run_cut, cut);
}
