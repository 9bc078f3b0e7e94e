/* store/wal_thread.c - the log thread: writes committed frames, has them
 * synced, prepares and recycles segments.
 *
 * Each round: write all that is committed, one write for each contiguous run;
 * sync if the strategy says so (wal_sync.c); release old segments; keep a
 * spare; sleep if there is nothing to do.
 *
 * I1  Frames are written in order, so that `written` says all.
 * I2  A failed write or sync is final: the state becomes NQ_EREADONLY and
 *     this thread touches no file again.
 * I3  While no spare can be had for want of space, appends are refused
 *     (NQ_ENOSPC); what was taken before still fits, as the segment being
 *     written was the spare.  Space is looked for once a second.
 * I4  Nobody waits for this thread holding the monitor longer than it takes
 *     to copy the counters. */
#include "store/wal_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/thread.h"

#define RUN_MAX ((uint64_t)1 << 20)
#define GATHER_MIN_US                                                          \
    500u                /* quicker syncs are not worth waiting for others      \
                         */
#define GATHER_SHARE 4u /* of the time that the last sync took */
#define RETRY_US 1000000u

/* --- telling the loop ----------------------------------------------------- */

static void
wake_loop(struct wal *w)
{
    atomic_store(&w->wake_at, WAL_NEVER);
    if (w->opts.wake != NULL)
        w->opts.wake(w->opts.arg);
}

static void
set_state(struct wal *w, nq_rc rc, const char *why)
{
    if ((nq_rc)atomic_load(&w->state) == rc)
        return;
    monitor_lock(w->monitor);
    snprintf(w->stats.error_text, sizeof w->stats.error_text, "%s", why);
    monitor_unlock(w->monitor);
    atomic_store(&w->state, (int)rc);
    if (rc == NQ_EREADONLY)
        log_error("log: %s; no writes until the server is restarted", why);
    else if (rc == NQ_ENOSPC)
        log_warn("log: %s; writes are refused until there is some", why);
    else
        log_notice("log: there is space again; writes go on");
    wake_loop(w);
}

void
wal_thread_fail(struct wal *w, const char *what, nq_rc rc)
{
    char why[128];

    snprintf(why, sizeof why, "%s failed at LSN %" PRIu64 " (%s)", what,
             w->next, rc_name(rc));
    set_state(w, NQ_EREADONLY, why);
}

/* A failed attempt to get a segment. */
static void
no_segment(struct wal *w, nq_rc rc)
{
    if (rc == NQ_ENOSPC) {
        w->retry_at_us = clock_mono_us() + RETRY_US;
        set_state(w, rc, "no space left for the next segment");
    } else {
        wal_thread_fail(w, "preparing a segment", rc);
    }
}

static bool
has_failed(const struct wal *w)
{
    return atomic_load(&w->state) == NQ_EREADONLY ||
           atomic_load(&w->is_abandoned);
}

void
wal_thread_publish(struct wal *w, lsn durable)
{
    lsn old = atomic_load(&w->durable), wanted = atomic_load(&w->sync_to);
    bool always = atomic_load(&w->fsync) == WAL_FSYNC_ALWAYS;
    lsn settled = always ? durable : w->next;

    atomic_store(&w->written, w->next);
    if (durable > old)
        atomic_store(&w->durable, durable);
    if (settled > atomic_load(&w->settled))
        atomic_store(&w->settled, settled);
    else
        settled = atomic_load(&w->settled);
    if (atomic_load(&w->wake_at) < settled || (old < wanted && durable > old))
        wake_loop(w);
}

void
wal_thread_note_files(struct wal *w)
{
    const struct wal_segments *s = &w->segments;

    monitor_lock(w->monitor);
    w->stats.segments = s->count + s->spares;
    w->stats.oldest = s->count > 0 ? s->at[0].first : w->next;
    w->stats.recycled = s->recycled;
    monitor_unlock(w->monitor);
}

/* --- writing -------------------------------------------------------------- */

/* Bytes that still fit the segment being written. */
static uint64_t
segment_room(struct wal *w)
{
    const struct wal_segment *seg = wal_segment_last(&w->segments);

    if (seg == NULL || seg->file == NULL)
        return 0;
    return seg->size - WAL_SEGMENT_HEADER - (w->next - seg->first);
}

/* Completes the whole frames at the start of [p, p+len) that fit `room`; at
 * least one if any fits.  *n: their bytes. */
static nq_rc
finish_frames(struct wal *w, uint8_t *p, uint64_t len, uint64_t room,
              uint64_t *n)
{
    uint64_t salt = wal_segment_last(&w->segments)->salt, length;
    lsn durable = atomic_load(&w->durable);

    for (*n = 0; *n < nq_min(len, RUN_MAX); *n += length, p += length) {
        struct wal_frame h;
        nq_rc rc = NQ_OK;

        memcpy(&h, p, sizeof h);
        length = wal_frame_length(&h);
        nq_assert(h.lsn == w->next + *n && length <= len - *n);
        if (length > room - *n)
            break;
        memcpy(p + offsetof(struct wal_frame, durable), &durable,
               sizeof durable);
        if (wal_frame_is_sealed(&h))
            rc = wal_seal(w->opts.keys, p, length, salt);
        if (rc != NQ_OK)
            return rc;
        wal_frame_finish(p, length, salt);
    }
    return NQ_OK;
}

/* Goes on in a new segment that holds at least one frame of `bytes`. */
static nq_rc
next_segment(struct wal *w, uint64_t bytes)
{
    nq_rc rc;

    if (wal_sync_is_behind(w)) {
        wal_sync_collect(w, true);
        if (wal_sync_due_us(w) == 0)
            wal_sync_run(w);
    }
    if (has_failed(w))
        return NQ_EREADONLY;
    rc = wal_segment_begin(w, w->next, bytes);
    if (rc != NQ_OK)
        no_segment(w, rc);
    else
        wal_thread_note_files(w);
    return rc;
}

/* Writes a run of committed frames; false if that could not be done now. */
static bool
write_run(struct wal *w, lsn committed)
{
    uint64_t len, n, room = segment_room(w);
    uint8_t *p = wal_buffer_run(&w->buffer, w->next, committed, &len);
    struct wal_segment *seg;
    struct wal_frame h;
    nq_rc rc;

    memcpy(&h, p, sizeof h);
    if (wal_frame_length(&h) > room)
        return next_segment(w, wal_frame_length(&h)) == NQ_OK;
    seg = wal_segment_last(&w->segments);
    if ((rc = finish_frames(w, p, len, room, &n)) != NQ_OK) {
        wal_thread_fail(w, "sealing", rc);
        return false;
    }
    rc = file_write(seg->file, p, n,
                    WAL_SEGMENT_HEADER + (w->next - seg->first));
    if (rc != NQ_OK) {
        wal_thread_fail(w, "a write", rc);
        return false;
    }
    seg->is_dirty = true;
    w->next += n;
    monitor_lock(w->monitor);
    w->stats.bytes += n;
    w->stats.writes++;
    monitor_unlock(w->monitor);
    wal_thread_publish(w, atomic_load(&w->durable));
    return true;
}

static void
write_committed(struct wal *w)
{
    lsn committed = atomic_load(&w->committed);

    w->is_stuck = false;
    while (w->next < committed && !has_failed(w)) {
        if (!write_run(w, committed)) {
            w->is_stuck = true;
            return;
        }
    }
    wal_thread_publish(w, atomic_load(&w->durable));
}

/* --- segments ------------------------------------------------------------- */

static void
release_segments(struct wal *w)
{
    nq_rc rc;

    if (!atomic_exchange(&w->release_asked, false))
        return;
    rc = wal_segments_release(
        w, nq_min(atomic_load(&w->keep), atomic_load(&w->hold)),
        atomic_load(&w->keep_segments));
    if (rc != NQ_OK)
        wal_thread_fail(w, "recycling a segment", rc);
    w->retry_at_us = 0;
    wal_thread_note_files(w);
}

static bool
wants_spare(const struct wal *w)
{
    return w->segments.spares == 0 && !atomic_load(&w->stop);
}

/* One spare is always there, or the loop knows that it is not. */
static void
keep_spare(struct wal *w)
{
    nq_rc rc;

    if (wants_spare(w)) {
        if (clock_mono_us() < w->retry_at_us)
            return;
        if ((rc = wal_spare_prepare(w)) != NQ_OK) {
            no_segment(w, rc);
            return;
        }
        wal_thread_note_files(w);
    }
    if (w->segments.spares > 0 && atomic_load(&w->state) == NQ_ENOSPC) {
        w->retry_at_us = 0;
        set_state(w, NQ_OK, "");
    }
}

nq_rc
wal_thread_begin(struct wal *w)
{
    nq_rc rc = wal_segment_begin(w, w->next, 0);

    if (rc == NQ_ENOSPC) {
        no_segment(w, rc);
        return NQ_OK;
    }
    if (rc == NQ_OK)
        rc = file_sync(wal_segment_last(&w->segments)->file);
    if (rc == NQ_OK)
        wal_segment_last(&w->segments)->is_dirty = false;
    return rc;
}

/* --- the thread ----------------------------------------------------------- */

void
wal_thread_kick(struct wal *w)
{
    if (!atomic_load(&w->is_asleep))
        return;
    monitor_lock(w->monitor);
    monitor_signal(w->monitor);
    monitor_unlock(w->monitor);
}

/* Monotonic time at which there is something to do: 0 is now. */
static uint64_t
next_work_us(const struct wal *w)
{
    uint64_t due;

    if (atomic_load(&w->stop))
        return 0;
    if (has_failed(w))
        return UINT64_MAX;
    if (atomic_load(&w->release_asked) || atomic_load(&w->sync.is_done))
        return 0;
    if (!w->is_stuck && atomic_load(&w->committed) != w->next)
        return atomic_load(&w->committed) - w->next < w->gather_bytes
                   ? w->gather_until_us
                   : 0;
    /* The strategy was made looser: what is written is settled now. */
    if (atomic_load(&w->fsync) != WAL_FSYNC_ALWAYS &&
        atomic_load(&w->settled) < w->next)
        return 0;
    due = wal_sync_due_us(w);
    if (w->is_stuck || wants_spare(w))
        due = nq_min(due, w->retry_at_us);
    return due;
}

static void
sleep_until_work(struct wal *w)
{
    monitor_lock(w->monitor);
    atomic_store(&w->is_asleep, true);
    for (;;) {
        uint64_t due = next_work_us(w), now;

        if (due == UINT64_MAX) {
            monitor_wait(w->monitor);
            continue;
        }
        now = due == 0 ? 0 : clock_mono_us();
        if (due <= now)
            break;
        (void)monitor_wait_us(w->monitor, due - now);
    }
    atomic_store(&w->is_asleep, false);
    monitor_unlock(w->monitor);
}

/* A slow sync has just let its writers go, who are likely to write again at
 * once.  If the next began with those that came meanwhile, each client would
 * wait for the rest of one sync and then for its own; waiting a moment for
 * all of them gives the next sync twice as many. */
static void
sync_and_gather(struct wal *w)
{
    uint64_t began = clock_mono_us(), now;
    lsn durable = atomic_load(&w->durable);

    wal_sync_run(w);
    now = clock_mono_us();
    w->gather_bytes = 0;
    if (now - began < GATHER_MIN_US || w->sync.is_under_way)
        return;
    w->gather_bytes = (atomic_load(&w->durable) - durable +
                       atomic_load(&w->committed) - w->next) /
                      4 * 3;
    w->gather_until_us = now + (now - began) / GATHER_SHARE;
}

void
wal_thread_main(void *arg)
{
    struct wal *w;
    bool stop;

    NQ_CAST(w, arg, WAL_MAGIC);
    do {
        stop = atomic_load(&w->stop);
        if (w->opts.group_delay_us > 0 && !stop &&
            atomic_load(&w->fsync) == WAL_FSYNC_ALWAYS &&
            atomic_load(&w->committed) != w->next)
            thread_sleep_us(w->opts.group_delay_us);
        if (!has_failed(w))
            write_committed(w);
        wal_sync_collect(w, stop);
        if (!has_failed(w) && wal_sync_due_us(w) <= clock_mono_us())
            sync_and_gather(w);
        if (!has_failed(w))
            release_segments(w);
        if (!has_failed(w))
            keep_spare(w);
        if (!stop)
            sleep_until_work(w);
    } while (!stop);
}
