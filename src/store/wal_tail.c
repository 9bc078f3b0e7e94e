/* store/wal_tail.c - reading the log while the log thread writes it.
 *
 * A tail stands at the beginning of a frame in a segment.  It goes on from
 * frame to frame by their lengths, and to the next segment where that begins.
 * To find a place it looks at the headers of all segments, then walks from the
 * beginning of the one.
 *
 *   I1  nothing at or behind `end` is read: below it all frames are written
 *       whole, and nobody writes them again
 *   I2  a frame counts if its checksum holds under the salt of the segment
 *       that the tail found by its header: so a file that was recycled
 *       meanwhile, or what a cut left behind (wal_segment.c, I3), is no frame
 *   I3  what is no frame though it is below `end` was released: the tail looks
 *       for its place anew, and says so if there is none; or it is damage
 *   I4  between calls a tail has neither a file nor much memory: there may be
 *       as many as there are slow readers
 *
 * Called by workers (cmd/changes). */
#include "store/wal_tail.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "os/file.h"
#include "store/corrupt.h"
#include "store/wal_int.h"

#define WINDOW ((size_t)256 << 10)
#define LOOKS_MAX 4 /* for one place, while others release segments */
#define TAIL_MAGIC 0x4c494154u

struct wal_tail {
    uint32_t magic;
    char *dir;
    uint8_t uuid[16];
    const struct keyring *keys;
    bool has_place;
    struct wal_segment seg; /* where it stands; seg.file: during a call */
    lsn at;                 /* of the next frame */
    lsn end;                /* of this call */
    uint8_t *window;        /* bytes of seg.file */
    size_t window_len, window_cap;
    uint64_t window_off;
    struct buf plain; /* of a sealed frame */
};

struct wal_tail *
wal_tail_new(const struct wal *w)
{
    struct wal_tail *t = nq_calloc(1, sizeof *t);

    t->magic = TAIL_MAGIC;
    t->dir = nq_strdup(w->opts.dir);
    memcpy(t->uuid, w->opts.uuid, sizeof t->uuid);
    t->keys = w->opts.keys;
    return t;
}

static void
leave(struct wal_tail *t)
{
    file_close(t->seg.file);
    t->seg.file = NULL;
    nq_free(t->window);
    t->window = NULL;
    t->window_len = t->window_cap = 0;
}

void
wal_tail_free(struct wal_tail *t)
{
    if (t == NULL)
        return;
    nq_assert(t->magic == TAIL_MAGIC);
    leave(t);
    nq_free(t->dir);
    t->magic = 0;
    nq_free(t);
}

/* --- segments ------------------------------------------------------------- */

static void
path_of(const struct wal_tail *t, uint64_t number, char path[WAL_PATH_MAX])
{
    snprintf(path, WAL_PATH_MAX, "%s/%08" PRIu64 ".wal", t->dir, number);
}

/* The segment of that number, its file open.  NQ_NOTFOUND. */
static nq_rc
open_segment(const struct wal_tail *t, uint64_t number, struct wal_segment *out)
{
    char path[WAL_PATH_MAX];
    struct file *file;
    nq_rc rc;

    path_of(t, number, path);
    if ((rc = file_open(path, FILE_READ, &file)) != NQ_OK)
        return rc;
    if ((rc = wal_segment_peek(file, number, t->uuid, out)) != NQ_OK) {
        file_close(file);
        return rc;
    }
    out->file = file;
    return NQ_OK;
}

/* The one that goes on where t->seg ends.  NQ_NOTFOUND: there is none yet. */
static nq_rc
open_next(const struct wal_tail *t, struct wal_segment *out)
{
    nq_rc rc = open_segment(t, t->seg.number + 1, out);

    if (rc == NQ_OK &&
        (out->previous_salt != t->seg.salt || out->first < t->seg.first)) {
        file_close(out->file);
        rc = NQ_NOTFOUND;
    }
    return rc;
}

/* Looks whether the segment has an end meanwhile. */
static nq_rc
learn_end(struct wal_tail *t)
{
    struct wal_segment next;
    nq_rc rc = open_next(t, &next);

    if (rc != NQ_OK)
        return rc == NQ_NOTFOUND ? NQ_OK : rc;
    file_close(next.file);
    t->seg.end = next.first;
    return NQ_OK;
}

static nq_rc
enter(struct wal_tail *t, const struct wal_segment *seg)
{
    file_close(t->seg.file);
    t->window_len = 0;
    t->seg = *seg;
    t->at = seg->first;
    t->has_place = true;
    return learn_end(t);
}

/* The newest segment that begins at or before `want`.  NQ_NOTFOUND: none;
 * *oldest is the first LSN of those that there are, or `want` if none is. */
static nq_rc
find_segment(struct wal_tail *t, lsn want, lsn *oldest)
{
    struct wal_numbers numbers;
    struct wal_segment seg;
    nq_rc rc = wal_numbers_list(t->dir, &numbers);

    *oldest = WAL_NEVER;
    t->has_place = false;
    for (unsigned i = numbers.count; rc == NQ_OK && i > 0; i--) {
        rc = open_segment(t, numbers.at[i - 1], &seg);
        if (rc == NQ_OK) {
            *oldest = nq_min(*oldest, seg.first);
            if (seg.first <= want)
                break;
            file_close(seg.file);
        }
        rc = rc == NQ_NOTFOUND ? NQ_OK : rc; /* a spare, or just gone */
    }
    nq_free(numbers.at);
    if (rc != NQ_OK)
        return rc;
    if (*oldest > want)
        return NQ_NOTFOUND;
    return enter(t, &seg);
}

/* --- frames --------------------------------------------------------------- */

/* Borrows `n` bytes of the segment at `off`, of which all is below t->end. */
static nq_rc
window_get(struct wal_tail *t, uint64_t off, size_t n, const uint8_t **out)
{
    uint64_t left = WAL_SEGMENT_HEADER + (t->end - t->seg.first) - off;
    size_t len;
    nq_rc rc;

    if (off >= t->window_off && off + n <= t->window_off + t->window_len) {
        *out = t->window + (off - t->window_off);
        return NQ_OK;
    }
    left = nq_min(left, t->seg.size - off);
    len = nq_max(n, (size_t)nq_min(left, (uint64_t)WINDOW));
    if (len > t->window_cap || (len <= WINDOW && t->window_cap > WINDOW)) {
        nq_free(t->window);
        t->window_cap = nq_max(len, WINDOW);
        t->window = nq_malloc(t->window_cap);
    }
    t->window_len = 0;
    if ((rc = file_read(t->seg.file, t->window, len, off)) != NQ_OK)
        return rc;
    t->window_off = off;
    t->window_len = len;
    *out = t->window;
    return NQ_OK;
}

/* The frame at t->at in this segment; *problem: NULL, or why there is none. */
static nq_rc
frame_here(struct wal_tail *t, struct wal_frame *h, struct slice *frame,
           const char **problem)
{
    uint64_t off = WAL_SEGMENT_HEADER + (t->at - t->seg.first), room;
    const uint8_t *p;
    nq_rc rc;

    *problem = "a frame header";
    room = off < t->seg.size ? t->seg.size - off : 0;
    room = nq_min(room, t->end - t->at);
    if (room < WAL_FRAME_HEADER)
        return NQ_OK;
    if ((rc = window_get(t, off, WAL_FRAME_HEADER, &p)) != NQ_OK)
        return rc;
    *problem = wal_frame_header(slice_of(p, WAL_FRAME_HEADER), t->at, room, h);
    if (*problem != NULL)
        return NQ_OK;
    if ((rc = window_get(t, off, wal_frame_length(h), &p)) != NQ_OK)
        return rc;
    *frame = slice_of(p, wal_frame_length(h));
    if (!wal_frame_checks(*frame, t->seg.salt))
        *problem = "a frame whose checksum holds";
    return NQ_OK;
}

/* The frame at t->at, in this segment or the next; with *problem the tail
 * stands where it stood. */
static nq_rc
next_frame(struct wal_tail *t, struct wal_frame *h, struct slice *frame,
           const char **problem)
{
    struct wal_segment next;
    nq_rc rc;

    if (t->at < t->seg.end) {
        rc = frame_here(t, h, frame, problem);
        if (rc != NQ_OK || *problem == NULL)
            return rc;
        if (t->seg.end == WAL_NEVER && (rc = learn_end(t)) != NQ_OK)
            return rc;
        if (t->at != t->seg.end)
            return NQ_OK;
    }
    *problem = "the next segment";
    if ((rc = open_next(t, &next)) != NQ_OK)
        return rc == NQ_NOTFOUND ? NQ_OK : rc;
    if (next.first != t->at) {
        file_close(next.file);
        return NQ_OK;
    }
    if ((rc = enter(t, &next)) != NQ_OK)
        return rc;
    return frame_here(t, h, frame, problem);
}

/* --- places --------------------------------------------------------------- */

/* Opens the file again, if the tail stands before `want` and not far. */
static bool
may_go_on(struct wal_tail *t, lsn want)
{
    struct wal_segment seg;
    lsn at = t->at;

    if (!t->has_place || want < at || want - at > t->seg.size ||
        open_segment(t, t->seg.number, &seg) != NQ_OK)
        return false;
    if (seg.salt != t->seg.salt) {
        file_close(seg.file);
        return false;
    }
    seg.end = t->seg.end;
    t->seg = seg;
    return true;
}

/* I3: at t->at, below the end, is no frame.  NQ_OK: the tail stands there
 * anew, once more. */
static nq_rc
look_again(struct wal_tail *t, const char *problem, unsigned looks, lsn *oldest)
{
    lsn at = t->at;
    nq_rc rc = find_segment(t, at, oldest);

    if (rc != NQ_OK || looks < LOOKS_MAX)
        return rc;
    return NQ_CORRUPT("%s/%08" PRIu64 ".wal: expected %s at LSN %" PRIu64
                      ", which had been settled",
                      t->dir, t->seg.number, problem, at);
}

/* --- records -------------------------------------------------------------- */

struct reading {
    lsn after;
    wal_tail_fn *fn;
    void *arg;
    lsn next;
    bool is_over; /* fn said no */
};

static nq_rc
give_records(struct wal_tail *t, struct reading *r, const struct wal_frame *h,
             struct slice frame)
{
    struct wal_record rec = {.frame = h->lsn, .time_us = h->time_us};
    lsn first = h->lsn + wal_frame_head(wal_frame_is_sealed(h));
    struct slice records;
    struct cursor c;
    nq_rc rc = wal_unseal(t->keys, frame, t->seg.salt, &t->plain, &records);

    if (rc != NQ_OK)
        return rc;
    c = cursor_of(records);
    for (uint32_t i = 0; i < h->count && !r->is_over; i++) {
        rec.at = first + (uint64_t)(c.p - records.p);
        if (!wal_record_get(&c, &rec))
            return NQ_CORRUPT("log frame at LSN %" PRIu64 ": record %" PRIu32
                              " is none",
                              h->lsn, i);
        rec.is_last = i + 1 == h->count;
        if (rec.at <= r->after)
            continue;
        r->is_over = !r->fn(r->arg, &rec);
        r->next = r->is_over ? rec.at - 1 : rec.at;
    }
    return NQ_OK;
}

/* From t->at on; the records of frames before `r->after` are not looked at. */
static nq_rc
read_frames(struct wal_tail *t, struct reading *r, size_t max_bytes,
            lsn *oldest)
{
    unsigned looks = 0;
    size_t done = 0;
    nq_rc rc;

    while (t->at < t->end && done < max_bytes && !r->is_over) {
        const char *problem;
        struct wal_frame h;
        struct slice frame;

        if ((rc = next_frame(t, &h, &frame, &problem)) != NQ_OK)
            return rc;
        if (problem != NULL) {
            if ((rc = look_again(t, problem, ++looks, oldest)) != NQ_OK)
                return rc;
            continue;
        }
        if (t->at + frame.len > r->after + 1) {
            if ((rc = give_records(t, r, &h, frame)) != NQ_OK)
                return rc;
            done += frame.len;
        }
        if (r->is_over)
            break;
        t->at += frame.len;
        r->after = r->next = nq_max(r->next, t->at - 1);
    }
    return NQ_OK;
}

nq_rc
wal_tail_read(struct wal_tail *t, lsn after, lsn end, size_t max_bytes,
              wal_tail_fn *fn, void *arg, lsn *next, lsn *oldest)
{
    struct reading r = {.after = after, .fn = fn, .arg = arg, .next = after};
    nq_rc rc = NQ_OK;

    nq_assert(t->magic == TAIL_MAGIC);
    *next = after;
    if (after + 1 >= end)
        return NQ_OK;
    t->end = end;
    if (!may_go_on(t, after + 1))
        rc = find_segment(t, after + 1, oldest);
    if (rc == NQ_OK)
        rc = read_frames(t, &r, max_bytes, oldest);
    leave(t);
    buf_fini(&t->plain);
    if (rc == NQ_NOTFOUND) {
        *oldest = nq_min(*oldest, end) - 1;
        t->has_place = false;
    }
    *next = r.next;
    return rc;
}
