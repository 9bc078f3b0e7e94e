/* store/wal_sync.c - when and how what is written becomes durable.
 *
 *   always            the log thread syncs, each round: what was committed
 *                     during one sync shares the next
 *   periodic, never   a helper thread syncs, so that writing, and with it
 *                     replies, goes on meanwhile however slow the disk is
 *
 * log thread   begin -> (helper: fdatasync of each file) -> collect
 *
 * I1  One sync at a time: the helper's is collected before the next begins.
 * I2  What is written during a sync leaves its segment dirty: it needs the
 *     next one.
 * I3  A segment being synced stays open and is not released.
 * I4  `durable` moves only on the log thread, to what a sync without error
 *     covered. */
#include "store/wal_int.h"

#include "base/check.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/thread.h"

#define DIRTY_SOON 8u /* unsynced segments: sync, whatever the strategy */

static unsigned
unsynced_segments(const struct wal *w)
{
    unsigned n = 0;

    for (unsigned i = 0; i < w->segments.count; i++)
        n += w->segments.at[i].is_dirty || w->segments.at[i].is_syncing;
    return n;
}

bool
wal_sync_is_behind(const struct wal *w)
{
    return unsynced_segments(w) >= WAL_SYNC_FILES;
}

uint64_t
wal_sync_due_us(const struct wal *w)
{
    lsn durable = atomic_load(&w->durable);

    if (durable == w->next || w->sync.is_under_way)
        return UINT64_MAX;
    if (atomic_load(&w->sync_to) > durable || atomic_load(&w->stop) ||
        unsynced_segments(w) >= DIRTY_SOON)
        return 0;
    switch ((enum wal_fsync)atomic_load(&w->fsync)) {
    case WAL_FSYNC_ALWAYS:
        return 0;
    case WAL_FSYNC_PERIODIC:
        return w->sync.last_us + atomic_load(&w->interval_us);
    case WAL_FSYNC_NEVER:
        break;
    }
    return UINT64_MAX;
}

/* --- one sync ------------------------------------------------------------- */

static void
begin(struct wal *w)
{
    struct wal_sync *y = &w->sync;
    struct wal_segments *s = &w->segments;

    y->count = 0;
    y->target = w->next;
    y->last_us = clock_mono_us();
    for (unsigned i = 0; i < s->count; i++) {
        if (!s->at[i].is_dirty)
            continue;
        if (y->count == WAL_SYNC_FILES) {
            y->target = s->at[i].first;
            break;
        }
        s->at[i].is_dirty = false;
        s->at[i].is_syncing = true;
        y->files[y->count++] = s->at[i].file;
    }
    y->is_under_way = true;
}

/* The syncs themselves; on either thread. */
static nq_rc
sync_files(struct wal *w)
{
    nq_rc rc = NQ_OK;

    for (unsigned i = 0; rc == NQ_OK && i < w->sync.count; i++) {
        uint64_t began = clock_mono_us(), took;

        rc = file_sync(w->sync.files[i]);
        took = clock_mono_us() - began;
        monitor_lock(w->monitor);
        w->stats.syncs++;
        w->stats.sync_us_last = took;
        w->stats.sync_us_total += took;
        w->stats.sync_us_max = nq_max(w->stats.sync_us_max, took);
        histogram_add(&w->stats.sync_us, took);
        monitor_unlock(w->monitor);
    }
    return rc;
}

static void
end(struct wal *w, nq_rc rc)
{
    struct wal_segments *s = &w->segments;

    w->sync.is_under_way = false;
    for (unsigned i = 0; i < s->count; i++) {
        struct wal_segment *seg = &s->at[i];

        if (!seg->is_syncing)
            continue;
        seg->is_syncing = false;
        if (!seg->is_dirty && i + 1 < s->count) {
            file_close(seg->file);
            seg->file = NULL;
        }
    }
    if (rc == NQ_OK)
        wal_thread_publish(w, w->sync.target);
    else
        wal_thread_fail(w, "a sync", rc);
}

/* --- the helper ----------------------------------------------------------- */

static void
helper_main(void *arg)
{
    struct wal *w;
    struct wal_sync *y;

    NQ_CAST(w, arg, WAL_MAGIC);
    y = &w->sync;
    monitor_lock(y->monitor);
    while (y->state != WAL_SYNC_STOP) {
        nq_rc rc;

        if (y->state != WAL_SYNC_ASKED) {
            monitor_wait(y->monitor);
            continue;
        }
        monitor_unlock(y->monitor);
        rc = sync_files(w);
        monitor_lock(y->monitor);
        y->rc = rc;
        y->state = WAL_SYNC_DONE;
        atomic_store(&y->is_done, true);
        monitor_broadcast(y->monitor);
        monitor_unlock(y->monitor);
        wal_thread_kick(w);
        monitor_lock(y->monitor);
    }
    monitor_unlock(y->monitor);
}

void
wal_sync_run(struct wal *w)
{
    struct wal_sync *y = &w->sync;

    nq_assert(!y->is_under_way);
    begin(w);
    if (atomic_load(&w->fsync) == WAL_FSYNC_ALWAYS || atomic_load(&w->stop)) {
        end(w, sync_files(w));
        return;
    }
    monitor_lock(y->monitor);
    y->state = WAL_SYNC_ASKED;
    monitor_broadcast(y->monitor);
    monitor_unlock(y->monitor);
}

void
wal_sync_collect(struct wal *w, bool wait)
{
    struct wal_sync *y = &w->sync;
    nq_rc rc;

    if (!y->is_under_way || !(wait || atomic_load(&y->is_done)))
        return;
    monitor_lock(y->monitor);
    while (y->state != WAL_SYNC_DONE)
        monitor_wait(y->monitor);
    y->state = WAL_SYNC_IDLE;
    rc = y->rc;
    atomic_store(&y->is_done, false);
    monitor_unlock(y->monitor);
    end(w, rc);
}

nq_rc
wal_sync_start(struct wal *w)
{
    w->sync.monitor = monitor_new();
    return thread_start("wal-sync", helper_main, w, &w->sync.thread);
}

void
wal_sync_stop(struct wal *w)
{
    if (w->sync.monitor == NULL)
        return;
    monitor_lock(w->sync.monitor);
    w->sync.state = WAL_SYNC_STOP;
    monitor_broadcast(w->sync.monitor);
    monitor_unlock(w->sync.monitor);
    thread_join(w->sync.thread);
    monitor_free(w->sync.monitor);
}
