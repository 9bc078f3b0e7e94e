/* store/wal_replay.c - reading the log back, finding its end, cutting there.
 *
 * Frames are read through a window of the segment's file and checked before
 * any of their records is given out: all of a frame happens, or none of it.
 *
 * The log ends at the first place P that holds no good frame.  What that
 * means is decided so (writes that were never synced may have reached the
 * disk in any order, so a good frame behind a bad one proves nothing):
 *
 *   damage     something says that all below some D > P had been durable: the
 *              superblock or clean mark (start.durable), the durable LSN
 *              of a good frame behind P, or that of a later segment's header
 *   torn tail  nothing does
 *
 * I1  After a cut nothing behind P can come back: later segments are removed,
 *     and the log goes on at P in a new segment, with a new salt.
 * I2  What was replayed is synced before the log goes on: after a kill it may
 *     have been in the kernel's memory only. */
#include "store/wal_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/file.h"
#include "store/corrupt.h"
#include "store/keyring.h"

#define WINDOW ((size_t)1 << 20)

/* --- reading -------------------------------------------------------------- */

static uint64_t
file_offset(const struct wal_segment *seg, lsn at)
{
    return WAL_SEGMENT_HEADER + (at - seg->first);
}

/* Bytes of the segment at and behind `off` that may hold frames. */
static uint64_t
room_at(const struct wal_segment *seg, uint64_t off)
{
    uint64_t end = seg->size;

    if (seg->end != WAL_NEVER)
        end = nq_min(end, file_offset(seg, seg->end));
    return off < end ? end - off : 0;
}

/* Borrows `n` bytes at `off` of segment `i`; they must be in the file. */
static nq_rc
window_get(struct wal *w, unsigned i, uint64_t off, size_t n,
           const uint8_t **out)
{
    struct wal_reader *r = &w->reader;
    struct wal_segment *seg = &w->segments.at[i];
    size_t len;
    nq_rc rc;

    nq_assert(off + n <= seg->size);
    if (r->window_segment == i && off >= r->window_off &&
        off + n <= r->window_off + r->window_len) {
        *out = r->window + (off - r->window_off);
        return NQ_OK;
    }
    len = nq_max(n, (size_t)nq_min((uint64_t)WINDOW, seg->size - off));
    if (len > r->window_cap || (len <= WINDOW && r->window_cap > WINDOW)) {
        nq_free(r->window);
        r->window_cap = nq_max(len, WINDOW);
        r->window = nq_malloc(r->window_cap);
    }
    r->window_len = 0;
    if ((rc = wal_segment_open(w, i)) != NQ_OK ||
        (rc = file_read(seg->file, r->window, len, off)) != NQ_OK)
        return rc;
    r->window_segment = i;
    r->window_off = off;
    r->window_len = len;
    *out = r->window;
    return NQ_OK;
}

nq_rc
wal_frame_get(struct wal *w, unsigned i, lsn at, struct wal_frame *h,
              struct slice *frame, const char **problem)
{
    const struct wal_segment *seg = &w->segments.at[i];
    uint64_t off = file_offset(seg, at), room = room_at(seg, off);
    const uint8_t *p;
    nq_rc rc;

    *problem = "a frame header";
    if (room < WAL_FRAME_HEADER)
        return NQ_OK;
    if ((rc = window_get(w, i, off, WAL_FRAME_HEADER, &p)) != NQ_OK)
        return rc;
    *problem = wal_frame_header(slice_of(p, WAL_FRAME_HEADER), at, room, h);
    if (*problem != NULL)
        return NQ_OK;
    if ((rc = window_get(w, i, off, wal_frame_length(h), &p)) != NQ_OK)
        return rc;
    *frame = slice_of(p, wal_frame_length(h));
    if (!wal_frame_checks(*frame, seg->salt))
        *problem = "a frame whose checksum holds";
    return NQ_OK;
}

nq_rc
wal_frame_open(struct wal *w, unsigned i, struct slice frame,
               struct slice *records, const char **problem)
{
    nq_rc rc = wal_unseal(w->opts.keys, frame, w->segments.at[i].salt,
                          &w->reader.plain, records);

    *problem = rc == NQ_ECORRUPT ? "a frame whose seal holds" : NULL;
    return rc == NQ_ECORRUPT ? NQ_OK : rc;
}

/* Opens a frame that is to be replayed.  Its checksum holds: so a key that is
 * missing, or a seal that is broken, is never the torn end of the log. */
static nq_rc
open_frame(struct wal *w, struct slice frame, struct slice *records,
           const char **problem)
{
    const struct wal_reader *r = &w->reader;
    const struct wal_segment *seg = &w->segments.at[r->segment];
    const struct keyring *keys = w->opts.keys;
    bool is_sealed = wal_frame_is_sealed(&r->frame);
    nq_rc rc = wal_frame_open(w, r->segment, frame, records, problem);
    char path[WAL_PATH_MAX];

    if (rc == NQ_OK && !is_sealed && keys != NULL && keyring_is_complete(keys))
        *problem = "a sealed frame";
    if (rc == NQ_OK && (*problem == NULL || w->start.force))
        return rc;
    wal_segment_path(w, seg->number, path);
    if (rc == NQ_EKEY)
        log_error("%s: offset %" PRIu64 ": the frame is sealed with data key "
                  "%" PRIu32 ", which is not there",
                  path, file_offset(seg, r->at), wal_seal_key(frame));
    if (rc != NQ_OK)
        return rc;
    return NQ_CORRUPT("%s: offset %" PRIu64 ": expected %s (LSN %" PRIu64
                      "); its checksum holds, so somebody changed it",
                      path, file_offset(seg, r->at), *problem, r->at);
}

/* A frame that checks was written by us; this guards against a version of us
 * that wrote records differently. */
static bool
records_are_good(struct cursor c, uint32_t count)
{
    struct wal_record rec;

    while (count-- > 0) {
        if (!wal_record_get(&c, &rec))
            return false;
    }
    return cursor_left(&c) < WAL_ALIGN;
}

/* --- the end -------------------------------------------------------------- */

/* Looks for good frames of segment `i` at and behind `at`; raises *durable to
 * what they say, counts them, stops once that passes `enough`. */
static nq_rc
scan_segment(struct wal *w, unsigned i, lsn at, lsn enough, lsn *durable,
             uint64_t *found)
{
    const struct wal_segment *seg = &w->segments.at[i];
    uint64_t step;

    for (; *durable <= enough; at += step) {
        uint64_t room = room_at(seg, file_offset(seg, at));
        struct wal_frame h;
        struct slice frame;
        const char *problem;
        nq_rc rc;

        if (room < WAL_FRAME_HEADER)
            break;
        if ((rc = wal_frame_get(w, i, at, &h, &frame, &problem)) != NQ_OK)
            return rc;
        step = WAL_ALIGN;
        if (problem != NULL)
            continue;
        step = frame.len;
        *durable = nq_max(*durable, h.durable);
        ++*found;
    }
    return NQ_OK;
}

/* What the rest of the log says was durable, as far as it is above `at`. */
static nq_rc
find_evidence(struct wal *w, lsn at, lsn *durable, uint64_t *found)
{
    const struct wal_segments *s = &w->segments;
    unsigned i = w->reader.segment;
    nq_rc rc = NQ_OK;

    *durable = w->start.durable;
    *found = 0;
    for (unsigned k = i + 1; k < s->count; k++)
        *durable = nq_max(*durable, s->at[k].durable);
    for (unsigned k = i; rc == NQ_OK && k < s->count && *durable <= at; k++)
        rc = scan_segment(w, k, k == i ? at : s->at[k].first, at, durable,
                          found);
    return rc;
}

/* The replayed segments, on the disk for certain (I2). */
static nq_rc
sync_replayed(struct wal *w, unsigned count)
{
    nq_rc rc = NQ_OK;

    for (unsigned i = 0; rc == NQ_OK && i < count; i++) {
        struct wal_segment *seg = &w->segments.at[i];

        if (seg->end <= w->start.from)
            continue;
        rc = wal_segment_open(w, i);
        if (rc == NQ_OK)
            rc = file_sync(seg->file);
        file_close(seg->file);
        seg->file = NULL;
    }
    return rc;
}

/* Ends replay: the log ends at `end` and goes on there. */
static nq_rc
finish(struct wal *w, lsn end)
{
    struct wal_segments *s = &w->segments;
    unsigned count = s->count == 0 ? 0 : w->reader.segment + 1;
    nq_rc rc;

    w->position = w->next = end;
    atomic_store(&w->committed, end);
    atomic_store(&w->written, end);
    atomic_store(&w->durable, end);
    atomic_store(&w->settled, end);
    wal_buffer_init(&w->buffer, w->opts.buffer_size, end);
    nq_free(w->reader.window);
    w->reader.window = NULL;
    w->reader.window_cap = w->reader.window_len = 0;
    buf_fini(&w->reader.plain);
    w->reader.total = w->reader.done;
    if (w->start.read_only)
        return NQ_OK;
    /* A last one without frames is not worth keeping; but one stays, as the
     * witness that there is a log. */
    if (count > 1 && s->at[count - 1].first == end)
        count--;
    if ((rc = sync_replayed(w, count)) != NQ_OK ||
        (rc = wal_segments_cut(w, count)) != NQ_OK)
        return rc;
    return wal_thread_begin(w);
}

static nq_rc
report_damage(const struct wal *w, const char *problem, lsn durable)
{
    const struct wal_reader *r = &w->reader;
    char path[WAL_PATH_MAX];
    uint64_t off = 0;
    nq_rc rc;

    snprintf(path, sizeof path, "%s", w->opts.dir);
    if (r->segment < w->segments.count) {
        const struct wal_segment *seg = &w->segments.at[r->segment];

        wal_segment_path(w, seg->number, path);
        off = file_offset(seg, r->at);
    }
    rc = NQ_CORRUPT("%s: offset %" PRIu64 ": expected %s (LSN %" PRIu64
                    "), as all below LSN %" PRIu64 " had been durable%s",
                    path, off, problem, r->at, durable,
                    w->start.force ? "; cutting the log there, as asked" : "");
    return w->start.force ? NQ_OK : rc;
}

/* No good frame at r->at: the end, or damage. */
static nq_rc
end_of_log(struct wal *w, const char *problem)
{
    struct wal_reader *r = &w->reader;
    uint64_t found = 0;
    lsn durable = w->start.durable;
    nq_rc rc;

    if (r->segment < w->segments.count &&
        (rc = find_evidence(w, r->at, &durable, &found)) != NQ_OK)
        return rc;
    if (durable > r->at) {
        rc = report_damage(w, problem, durable);
        if (rc != NQ_OK)
            return rc;
    } else if (found > 0 || r->saw_torn) {
        log_notice("log: the tail behind LSN %" PRIu64 " was never synced "
                   "and is torn (%" PRIu64 " whole frames behind it): cut",
                   r->at, found);
    }
    if ((rc = finish(w, r->at)) != NQ_OK)
        return rc;
    sm_move(&w->life, WAL_READY);
    return NQ_NOTFOUND;
}

/* --- replay --------------------------------------------------------------- */

/* Bytes of frames that the segment may hold from `at` on. */
static uint64_t
bytes_from(const struct wal_segment *seg, lsn at)
{
    return room_at(seg, file_offset(seg, at));
}

nq_rc
wal_replay_begin(struct wal *w)
{
    const struct wal_segments *s = &w->segments;
    struct wal_reader *r = &w->reader;
    nq_rc rc;

    r->at = w->start.from;
    r->window_segment = UINT32_MAX;
    for (unsigned i = 0; i < s->count && s->at[i].first <= r->at; i++)
        r->segment = i;
    if (s->count > 0 ? s->at[0].first <= r->at : r->at == WAL_FIRST_LSN) {
        for (unsigned i = r->segment; i < s->count; i++)
            r->total += bytes_from(&s->at[i], nq_max(r->at, s->at[i].first));
        return NQ_OK;
    }
    rc = NQ_CORRUPT("%s: the log begins at LSN %" PRIu64
                    ", the database needs it "
                    "from %" PRIu64 " on%s",
                    w->opts.dir, s->count > 0 ? s->at[0].first : 0, r->at,
                    w->start.force ? "; starting a new log, as asked" : "");
    if (!w->start.force)
        return rc;
    w->start.durable = 0;
    return wal_segments_cut(w, 0);
}

/* Whether segment i + 1 goes on where segment i ends. */
static bool
is_followed(const struct wal_segments *s, unsigned i)
{
    return i + 1 < s->count && s->at[i + 1].number == s->at[i].number + 1 &&
           s->at[i + 1].previous_salt == s->at[i].salt;
}

/* Moves r->at and r->records to the next good frame. */
static nq_rc
next_frame(struct wal *w)
{
    const struct wal_segments *s = &w->segments;
    struct wal_reader *r = &w->reader;
    const char *problem;
    struct slice frame, records;
    nq_rc rc;

    if (s->count == 0)
        return end_of_log(w, "a segment");
    while (r->at == s->at[r->segment].end) {
        if (!is_followed(s, r->segment))
            return end_of_log(w, "the next segment");
        file_close(s->at[r->segment].file);
        s->at[r->segment++].file = NULL;
    }
    rc = wal_frame_get(w, r->segment, r->at, &r->frame, &frame, &problem);
    if (rc != NQ_OK)
        return rc;
    if (problem == NULL &&
        (rc = open_frame(w, frame, &records, &problem)) != NQ_OK)
        return rc;
    if (problem == NULL) {
        r->records = cursor_of(records);
        r->first_record = records.p;
        if (!records_are_good(r->records, r->frame.count))
            problem = "a frame of whole records";
    }
    if (problem != NULL) {
        r->saw_torn = r->frame.lsn == r->at;
        return end_of_log(w, problem);
    }
    r->records_left = r->frame.count;
    r->at += frame.len;
    r->done += frame.len;
    r->frames++;
    return NQ_OK;
}

nq_rc
wal_replay_next(struct wal *w, struct wal_record *out)
{
    struct wal_reader *r = &w->reader;
    nq_rc rc;

    nq_assert(w->magic == WAL_MAGIC);
    if (w->life.state != WAL_REPLAYING)
        return NQ_NOTFOUND;
    if (r->records_left == 0 && (rc = next_frame(w)) != NQ_OK)
        return rc;
    out->at = r->frame.lsn + wal_frame_head(wal_frame_is_sealed(&r->frame)) +
              (uint64_t)(r->records.p - r->first_record);
    nq_assert(wal_record_get(&r->records, out));
    out->frame = r->frame.lsn;
    out->time_us = r->frame.time_us;
    out->is_last = --r->records_left == 0;
    r->effects++;
    return NQ_OK;
}

void
wal_replay_progress(const struct wal *w, uint64_t *done, uint64_t *total)
{
    *done = w->reader.done;
    *total = nq_max(w->reader.total, w->reader.done);
}
