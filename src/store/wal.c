/* store/wal.c - the loop's side of the log: opening, building frames,
 * asking.
 *
 *   wal_append -> the frame under construction, in place in the buffer
 *   wal_commit -> header, `committed` moves, the log thread is woken
 *   log thread -> checksum, write, sync; `written`, `durable`, `settled` move
 *
 * I1  A frame is one turn of the loop; its LSN is known from its beginning.
 * I2  Within a turn wal_append and wal_writable give one answer (`latched`):
 *     a disk that fills up in the middle never cuts a command in two.
 * I3  `settled` only grows, also when the strategy is made stricter.
 * I4  After an error nothing more settles: what waits is answered with it.
 *
 * Called by db (appends), store (turns, checkpoints), net (gates). */
#include "store/wal.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/clock.h"
#include "os/thread.h"
#include "store/wal_int.h"

#define SEGMENT_MIN (2 * WAL_SEGMENT_HEADER)

static const struct sm_def wal_sm[] = {
    [WAL_REPLAYING] = {"replaying", SM(WAL_READY) | SM(WAL_CLOSED)},
    [WAL_READY] = {"ready", SM(WAL_RUNNING) | SM(WAL_CLOSED)},
    [WAL_RUNNING] = {"running", SM(WAL_CLOSED)},
    [WAL_CLOSED] = {"closed", 0},
};

/* --- opening and closing -------------------------------------------------- */

static void
wal_free(struct wal *w)
{
    wal_sync_stop(w);
    wal_segments_fini(&w->segments);
    wal_buffer_fini(&w->buffer);
    nq_free(w->reader.window);
    buf_fini(&w->reader.plain);
    monitor_free(w->monitor);
    nq_free((char *)(uintptr_t)w->opts.dir);
    w->magic = 0;
    nq_free(w);
}

nq_rc
wal_open(const struct wal_opts *opts, const struct wal_start *start,
         struct wal **out)
{
    struct wal *w = nq_calloc(1, sizeof *w);
    nq_rc rc;

    *out = NULL;
    w->magic = WAL_MAGIC;
    w->opts = *opts;
    w->opts.dir = nq_strdup(opts->dir);
    w->opts.segment_size = nq_max(opts->segment_size, SEGMENT_MIN);
    w->start = *start;
    w->start.from = nq_max(start->from, WAL_FIRST_LSN);
    w->position = w->start.from;
    sm_init(&w->life, "log", wal_sm, WAL_REPLAYING);
    w->monitor = monitor_new();
    atomic_init(&w->wake_at, WAL_NEVER);
    atomic_init(&w->hold, WAL_HOLD_NONE);
    atomic_init(&w->state, NQ_OK);
    wal_set_fsync(w, opts->fsync, opts->fsync_interval_ms);
    if (strlen(opts->dir) + 32 > WAL_PATH_MAX) {
        log_error("%s: the name of the log directory is too long", opts->dir);
        rc = NQ_EINVAL;
    } else {
        rc = wal_segments_scan(w);
    }
    if (rc == NQ_OK)
        rc = wal_replay_begin(w);
    if (rc != NQ_OK) {
        wal_free(w);
        return rc;
    }
    *out = w;
    return NQ_OK;
}

nq_rc
wal_start(struct wal *w)
{
    nq_rc rc;

    nq_assert(w->magic == WAL_MAGIC && !w->start.read_only);
    wal_thread_note_files(w);
    if ((rc = wal_sync_start(w)) != NQ_OK ||
        (rc = thread_start("wal", wal_thread_main, w, &w->thread)) != NQ_OK)
        return rc;
    sm_move(&w->life, WAL_RUNNING);
    return NQ_OK;
}

static void
end_thread(struct wal *w)
{
    atomic_store(&w->stop, true);
    wal_thread_kick(w);
    thread_join(w->thread);
}

nq_rc
wal_close(struct wal *w, lsn *end)
{
    nq_rc rc = NQ_OK;

    nq_assert(w->magic == WAL_MAGIC);
    if (w->life.state == WAL_RUNNING) {
        w->in_group = false;
        wal_commit(w);
        end_thread(w);
        rc = (nq_rc)atomic_load(&w->state);
        /* A full disk loses nothing that was taken before it was full. */
        if (rc == NQ_ENOSPC && atomic_load(&w->durable) == w->position)
            rc = NQ_OK;
    }
    *end = rc == NQ_OK ? w->position : atomic_load(&w->durable);
    sm_move(&w->life, WAL_CLOSED);
    wal_free(w);
    return rc;
}

void
wal_abandon(struct wal *w)
{
    nq_assert(w->magic == WAL_MAGIC);
    atomic_store(&w->is_abandoned, true);
    if (w->life.state == WAL_RUNNING)
        end_thread(w);
    wal_free(w);
}

/* --- building frames ------------------------------------------------------ */

lsn
wal_position(const struct wal *w)
{
    return w->position;
}

static size_t
head_size(const struct wal *w)
{
    return wal_frame_head(w->opts.keys != NULL);
}

lsn
wal_next_record(const struct wal *w)
{
    return w->position + (w->frame_len > 0 ? w->frame_len : head_size(w));
}

lsn
wal_head(const struct wal *w)
{
    return w->position + w->frame_len - 1;
}

/* Makes `need` bytes (and padding) fit behind the frame so far. */
static void
make_room(struct wal *w, size_t need)
{
    need += WAL_ALIGN;
    if (w->frame_len == 0) {
        wal_buffer_reclaim(&w->buffer, atomic_load(&w->written), w->position);
        w->frame = wal_buffer_frame(&w->buffer, w->position, &w->frame_cap);
        w->frame_len = head_size(w);
    }
    if (w->frame_cap - w->frame_len < need)
        w->frame = wal_buffer_grow(&w->buffer, w->position, w->frame_len, need,
                                   &w->frame_cap);
    /* What is left for appends that need not look here again. */
    w->frame_cap -= WAL_ALIGN;
}

static inline uint8_t *
put_varint(uint8_t *p, uint64_t v)
{
    if (nq_likely(v < 0x80)) {
        *p = (uint8_t)v;
        return p + 1;
    }
    return p + varint_encode(p, v);
}

static inline uint8_t *
put_bytes(uint8_t *p, struct slice s)
{
    if (s.len > 0)
        memcpy(p, s.p, s.len);
    return p + s.len;
}

nq_rc
wal_append(struct wal *w, uint8_t effect, uint32_t db, struct slice key,
           const struct slice *args, unsigned nargs)
{
    size_t len = 0, need;
    uint8_t *p;

    nq_dassert(w->life.state == WAL_RUNNING || w->life.state == WAL_READY);
    if (nq_unlikely(w->latched != NQ_OK))
        return w->latched;
    for (unsigned i = 0; i < nargs; i++)
        len += args[i].len;
    need = 1 + 5 + 10 + key.len + 10 + len;
    if (nq_unlikely(w->frame_len + need > w->frame_cap))
        make_room(w, need);
    p = w->frame + w->frame_len;
    *p++ = effect;
    p = put_varint(p, db);
    p = put_varint(p, key.len);
    p = put_bytes(p, key);
    p = put_varint(p, len);
    for (unsigned i = 0; i < nargs; i++)
        p = put_bytes(p, args[i]);
    w->frame_len = (size_t)(p - w->frame);
    w->frame_count++;
    return NQ_OK;
}

nq_rc
wal_writable(struct wal *w)
{
    /* Asked between turns, this is as fresh as it can be; in the middle of
     * one it stays what it was (I2). */
    if (w->frame_count == 0 && !w->in_group)
        w->latched = (nq_rc)atomic_load(&w->state);
    return w->latched;
}

void
wal_begin_group(struct wal *w)
{
    nq_assert(!w->in_group);
    w->in_group = true;
}

void
wal_end_group(struct wal *w)
{
    nq_assert(w->in_group);
    w->in_group = false;
}

void
wal_commit(struct wal *w)
{
    uint64_t flags = w->opts.keys != NULL ? WAL_SEALED : 0;
    struct wal_frame h;
    size_t len;

    if (w->in_group)
        return;
    if (w->frame_count > 0) {
        len = (w->frame_len + WAL_ALIGN - 1) & ~(size_t)(WAL_ALIGN - 1);
        memset(w->frame + w->frame_len, 0, len - w->frame_len);
        h = (struct wal_frame){.count = w->frame_count,
                               .length = len | flags,
                               .lsn = w->position,
                               .time_us = clock_wall_us()};
        memcpy(w->frame, &h, sizeof h);
        w->frames++;
        w->records += w->frame_count;
        w->position += len;
        w->frame = NULL;
        w->frame_len = w->frame_cap = 0;
        w->frame_count = 0;
        atomic_store(&w->committed, w->position);
        wal_thread_kick(w);
    } else if (w->buffer.first != NULL) {
        /* A large frame that has been written gives its memory back. */
        wal_buffer_reclaim(&w->buffer, atomic_load(&w->written), w->position);
    }
    w->latched = (nq_rc)atomic_load_explicit(&w->state, memory_order_relaxed);
}

/* --- asking --------------------------------------------------------------- */

lsn
wal_settled(const struct wal *w)
{
    return atomic_load_explicit(&w->settled, memory_order_acquire);
}

lsn
wal_durable(const struct wal *w)
{
    return atomic_load_explicit(&w->durable, memory_order_acquire);
}

void
wal_wake_at(struct wal *w, lsn at)
{
    lsn seen = atomic_load(&w->wake_at);

    while (at < seen && !atomic_compare_exchange_weak(&w->wake_at, &seen, at))
        ;
    /* It may have been passed before the log thread saw the wish; or nothing
     * will ever settle again. */
    if ((atomic_load(&w->settled) > at ||
         atomic_load(&w->state) == NQ_EREADONLY) &&
        atomic_exchange(&w->wake_at, WAL_NEVER) != WAL_NEVER &&
        w->opts.wake != NULL)
        w->opts.wake(w->opts.arg);
}

static uint64_t
in_flight(const struct wal *w)
{
    return w->position + w->frame_len - atomic_load(&w->written);
}

bool
wal_is_full(const struct wal *w)
{
    return in_flight(w) >= w->opts.buffer_size / 4 * 3;
}

void
wal_sync_soon(struct wal *w)
{
    /* A frame under construction counts: no LSN within it is durable before
     * it is committed. */
    lsn to = w->position + (w->frame_count > 0 ? 1 : 0);

    if (atomic_load(&w->durable) >= to)
        return;
    atomic_store(&w->sync_to, to);
    wal_thread_kick(w);
}

void
wal_set_fsync(struct wal *w, enum wal_fsync fsync, uint64_t interval_ms)
{
    atomic_store(&w->interval_us, nq_max(interval_ms, 1u) * 1000);
    atomic_store(&w->fsync, (int)fsync);
    wal_thread_kick(w);
}

void
wal_release(struct wal *w, lsn keep, unsigned keep_segments)
{
    atomic_store(&w->keep, keep);
    atomic_store(&w->keep_segments, keep_segments);
    atomic_store(&w->release_asked, true);
    wal_thread_kick(w);
}

void
wal_hold(struct wal *w, lsn from)
{
    lsn before = atomic_exchange(&w->hold, from);

    if (before >= from || atomic_load(&w->keep) <= before)
        return; /* nothing more can go than could before */
    atomic_store(&w->release_asked, true);
    wal_thread_kick(w);
}

void
wal_hold_also(struct wal *w, lsn from)
{
    if (from < atomic_load(&w->hold))
        atomic_store(&w->hold, from);
}

void
wal_get_stats(const struct wal *w, struct wal_stats *out)
{
    monitor_lock(w->monitor);
    *out = w->stats;
    monitor_unlock(w->monitor);
    out->position = w->position;
    out->written = atomic_load(&w->written);
    out->durable = atomic_load(&w->durable);
    out->frames = w->frames;
    out->records = w->records;
    out->ring_used = in_flight(w);
    out->ring_size = w->opts.buffer_size;
    out->error = (nq_rc)atomic_load(&w->state);
}
