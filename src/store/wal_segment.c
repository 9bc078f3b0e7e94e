/* store/wal_segment.c - the files of the log.
 *
 *   segment   0  header, copy A         8192  frames, one behind the other
 *          4096  header, copy B
 *
 *   header    0  u64 magic              56  u64 salt of this segment
 *             8  u32 version            64  u64 salt of the one before
 *            12  u32 header bytes       72  u64 all below was durable
 *            16  u8[16] uuid            80  u64 time, wall clock us
 *            32  u64 salt of the log    88  u64 file bytes
 *            40  u64 number             96  u32 flags
 *            48  u64 first LSN         100  u32 crc32c of 0..99
 *
 *   flags     1: sealed: no frame in the clear was ever in the file
 *
 * A file is prepared ahead of time: created, or renamed from a segment that
 * is not needed any more, given all its blocks, its name made durable with
 * the directory.  Beginning it is then one write of a header; the sync that
 * makes its first frames durable covers that too.
 *
 * I1  A header counts only in the file that has its number, so a spare that
 *     was recycled is not taken for what it was.
 * I2  Each segment has a salt of its own: frames left from an earlier life of
 *     the file, or behind a cut, never check in the new one.
 * I3  A segment ends where the next one begins, whatever bytes follow.
 * I4  A frame is never split; one too large for a segment gets a larger file
 *     of its own, which is removed instead of recycled.
 * I5  Old segments go from the oldest on, so the rest has no gaps.
 * I6  An encrypted log recycles no file that held frames in the clear: such
 *     segments are removed as soon as they are not needed, such spares when
 *     the log is opened. */
#include "store/wal_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "codec/crc32c.h"
#include "os/clock.h"
#include "os/dir.h"
#include "os/file.h"
#include "store/keyring.h"

#define SEGMENT_MAGIC 0x4745534c4157514eu /* "NQWALSEG" */
#define SEGMENT_VERSION 1u
#define HEADER_COPY 4096u

struct header {
    uint64_t magic;
    uint32_t version, header_bytes;
    uint8_t uuid[16];
    uint64_t log_salt, number, first, salt, previous_salt, durable, time_us,
        size;
    uint32_t flags, crc;
};
enum header_flags { HEADER_SEALED = 1 };
_Static_assert(sizeof(struct header) == 104, "on disk");

static uint32_t
header_crc(const struct header *h)
{
    return crc32c(0, h, offsetof(struct header, crc));
}

void
wal_segment_path(const struct wal *w, uint64_t number, char *path)
{
    snprintf(path, WAL_PATH_MAX, "%s/%08" PRIu64 ".wal", w->opts.dir, number);
}

/* --- scanning ------------------------------------------------------------- */

static void
on_name(const char *name, void *arg)
{
    struct wal_numbers *s = arg;
    size_t digits = strspn(name, "0123456789");
    uint64_t number = strtoull(name, NULL, 10);

    if (digits < 8 || digits > 18 || strcmp(name + digits, ".wal") != 0 ||
        number == 0)
        return;
    if (s->count == s->cap) {
        s->cap = nq_max(16u, 2 * s->cap);
        s->at = nq_realloc(s->at, s->cap * sizeof *s->at);
    }
    s->at[s->count++] = number;
}

static int
number_cmp(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

nq_rc
wal_numbers_list(const char *dir, struct wal_numbers *out)
{
    nq_rc rc;

    *out = (struct wal_numbers){NULL, 0, 0};
    rc = dir_each(dir, on_name, out);
    if (rc == NQ_OK && out->count > 0)
        qsort(out->at, out->count, sizeof *out->at, number_cmp);
    return rc;
}

/* Whether the header bytes are a good header of segment `number`. */
static bool
header_decode(const uint8_t *p, uint64_t number, struct header *h)
{
    memcpy(h, p, sizeof *h);
    return h->magic == SEGMENT_MAGIC && h->crc == header_crc(h) &&
           h->version == SEGMENT_VERSION && h->number == number &&
           h->header_bytes == WAL_SEGMENT_HEADER;
}

/* *found: the file has the header of that segment. */
static nq_rc
header_read(struct file *file, uint64_t number, struct header *h,
            uint64_t *size, bool *found)
{
    uint8_t block[WAL_SEGMENT_HEADER];
    nq_rc rc = file_size(file, size);

    *found = false;
    if (rc != NQ_OK || *size < sizeof block)
        return rc;
    if ((rc = file_read(file, block, sizeof block, 0)) == NQ_OK)
        *found = header_decode(block, number, h) ||
                 header_decode(block + HEADER_COPY, number, h);
    return rc;
}

static void
segment_of(const struct header *h, uint64_t size, struct wal_segment *out)
{
    *out = (struct wal_segment){.number = h->number,
                                .first = h->first,
                                .end = WAL_NEVER,
                                .durable = h->durable,
                                .salt = h->salt,
                                .previous_salt = h->previous_salt,
                                .size = size,
                                .time_us = h->time_us,
                                .is_sealed = (h->flags & HEADER_SEALED) != 0};
}

nq_rc
wal_segment_peek(struct file *file, uint64_t number, const uint8_t uuid[16],
                 struct wal_segment *out)
{
    struct header h;
    uint64_t size;
    bool found;
    nq_rc rc = header_read(file, number, &h, &size, &found);

    if (rc != NQ_OK)
        return rc;
    if (!found || memcmp(h.uuid, uuid, sizeof h.uuid) != 0)
        return NQ_NOTFOUND;
    segment_of(&h, size, out);
    return NQ_OK;
}

static void
segment_push(struct wal_segments *s, const struct wal_segment *seg)
{
    if (s->count == s->cap) {
        s->cap = nq_max(16u, 2 * s->cap);
        s->at = nq_realloc(s->at, s->cap * sizeof *s->at);
    }
    if (s->count > 0)
        s->at[s->count - 1].end = seg->first;
    s->at[s->count++] = *seg;
}

/* Reads one file's header; adds it if it is a segment of this log. */
static nq_rc
segment_load(struct wal *w, uint64_t number)
{
    char path[WAL_PATH_MAX];
    struct wal_segment seg;
    struct header h;
    struct file *file;
    uint64_t size;
    bool found;
    nq_rc rc;

    wal_segment_path(w, number, path);
    if ((rc = file_open(path, FILE_READ, &file)) != NQ_OK)
        return rc;
    rc = header_read(file, number, &h, &size, &found);
    file_close(file);
    if (rc != NQ_OK || !found)
        return rc;
    if (!w->any_database && (memcmp(h.uuid, w->opts.uuid, sizeof h.uuid) != 0 ||
                             h.log_salt != w->opts.salt)) {
        log_error("%s: belongs to another database", path);
        return NQ_EMISMATCH;
    }
    segment_of(&h, size, &seg);
    segment_push(&w->segments, &seg);
    return NQ_OK;
}

nq_rc
wal_segments_scan(struct wal *w)
{
    struct wal_numbers numbers = {NULL, 0, 0};
    nq_rc rc = dir_create(w->opts.dir);

    if (rc == NQ_OK)
        rc = wal_numbers_list(w->opts.dir, &numbers);
    for (unsigned i = 0; rc == NQ_OK && i < numbers.count; i++)
        rc = segment_load(w, numbers.at[i]);
    nq_free(numbers.at);
    return rc;
}

void
wal_segments_fini(struct wal_segments *s)
{
    for (unsigned i = 0; i < s->count; i++)
        file_close(s->at[i].file);
    nq_free(s->at);
    memset(s, 0, sizeof *s);
}

nq_rc
wal_segment_open(struct wal *w, unsigned i)
{
    struct wal_segment *seg = &w->segments.at[i];
    char path[WAL_PATH_MAX];

    if (seg->file != NULL)
        return NQ_OK;
    wal_segment_path(w, seg->number, path);
    return file_open(path, FILE_READ, &seg->file);
}

/* --- cutting -------------------------------------------------------------- */

static bool
is_spare(struct wal *w, uint64_t number)
{
    const struct keyring *keys = w->opts.keys;
    char path[WAL_PATH_MAX];
    struct file *file;
    uint64_t size = 0;
    bool ok;

    if (keys != NULL && !keyring_is_complete(keys))
        return false; /* from before encryption was switched on, perhaps */
    wal_segment_path(w, number, path);
    if (file_open(path, FILE_READ, &file) != NQ_OK)
        return false;
    ok = file_size(file, &size) == NQ_OK && size == w->opts.segment_size;
    file_close(file);
    return ok;
}

nq_rc
wal_segments_cut(struct wal *w, unsigned count)
{
    struct wal_segments *s = &w->segments;
    uint64_t last = count == 0 ? 0 : s->at[count - 1].number;
    struct wal_numbers numbers;
    char path[WAL_PATH_MAX];
    nq_rc rc = wal_numbers_list(w->opts.dir, &numbers);

    if (rc != NQ_OK)
        goto done;
    s->spares = 0;
    for (unsigned i = 0, k = count; rc == NQ_OK && i < numbers.count; i++) {
        uint64_t number = numbers.at[i];
        bool is_segment = k < s->count && s->at[k].number == number;

        if (number <= last)
            continue;
        if (is_segment)
            file_close(s->at[k++].file);
        else if (number == last + 1 + s->spares && is_spare(w, number)) {
            s->spares++;
            continue;
        }
        wal_segment_path(w, number, path);
        rc = dir_remove_file(path);
    }
    s->count = nq_min(s->count, count);
    if (s->count > 0)
        s->at[s->count - 1].end = WAL_NEVER;
    if (rc == NQ_OK)
        rc = dir_sync(w->opts.dir);
done:
    nq_free(numbers.at);
    return rc;
}

/* --- preparing and beginning ---------------------------------------------- */

static uint64_t
next_spare_number(const struct wal_segments *s)
{
    return (s->count == 0 ? 0 : s->at[s->count - 1].number) + 1 + s->spares;
}

nq_rc
wal_spare_prepare(struct wal *w)
{
    char path[WAL_PATH_MAX];
    struct file *file;
    nq_rc rc;

    wal_segment_path(w, next_spare_number(&w->segments), path);
    /* A failed attempt may have left the file behind. */
    rc = file_open(path, FILE_WRITE, &file);
    if (rc == NQ_NOTFOUND)
        rc = file_open(path, FILE_CREATE, &file);
    if (rc != NQ_OK)
        return rc;
    /* Blocks and name, not content: that is synced with the first frames. */
    rc = file_allocate(file, 0, w->opts.segment_size);
    file_close(file);
    if (rc == NQ_OK)
        rc = dir_sync(w->opts.dir);
    else if (rc == NQ_ENOSPC && dir_remove_file(path) != NQ_OK)
        rc = NQ_EIO;
    if (rc == NQ_OK)
        w->segments.spares++;
    return rc;
}

/* Each copy by a write of its own: a disk that loses one of them, or a page
 * of it, does not lose the segment. */
static nq_rc
header_write(const struct wal *w, const struct wal_segment *seg)
{
    uint8_t block[HEADER_COPY] = {0};
    nq_rc rc;
    struct header h = {.magic = SEGMENT_MAGIC,
                       .version = SEGMENT_VERSION,
                       .header_bytes = WAL_SEGMENT_HEADER,
                       .log_salt = w->opts.salt,
                       .number = seg->number,
                       .first = seg->first,
                       .salt = seg->salt,
                       .previous_salt = seg->previous_salt,
                       .durable = seg->durable,
                       .time_us = seg->time_us,
                       .size = seg->size,
                       .flags = seg->is_sealed ? HEADER_SEALED : 0};

    memcpy(h.uuid, w->opts.uuid, sizeof h.uuid);
    h.crc = header_crc(&h);
    memcpy(block, &h, sizeof h);
    if ((rc = file_write(seg->file, block, sizeof block, HEADER_COPY)) == NQ_OK)
        rc = file_write(seg->file, block, sizeof block, 0);
    return rc;
}

nq_rc
wal_segment_begin(struct wal *w, lsn first, uint64_t bytes)
{
    struct wal_segments *s = &w->segments;
    struct wal_segment *last = wal_segment_last(s);
    struct wal_segment seg = {.first = first,
                              .end = WAL_NEVER,
                              .size = w->opts.segment_size,
                              .is_sealed = w->opts.keys != NULL,
                              .is_dirty = true};
    uint64_t need = WAL_SEGMENT_HEADER + bytes;
    char path[WAL_PATH_MAX];
    nq_rc rc;

    if (s->spares == 0 && (rc = wal_spare_prepare(w)) != NQ_OK)
        return rc;
    seg.number = last == NULL ? 1 : last->number + 1;
    seg.salt = rng_seed_from_os();
    seg.previous_salt = last == NULL ? 0 : last->salt;
    seg.durable = atomic_load(&w->durable);
    seg.time_us = clock_wall_us();
    wal_segment_path(w, seg.number, path);
    if ((rc = file_open(path, FILE_WRITE, &seg.file)) != NQ_OK)
        return rc == NQ_NOTFOUND ? NQ_EIO : rc;
    if (need > seg.size) {
        rc = file_allocate(seg.file, 0, need);
        seg.size = need;
    }
    if (rc == NQ_OK)
        rc = header_write(w, &seg);
    if (rc != NQ_OK) {
        file_close(seg.file);
        return rc;
    }
    s->spares--;
    segment_push(s, &seg);
    return NQ_OK;
}

/* --- releasing ------------------------------------------------------------ */

/* Holds frames in the clear, though the log is encrypted now (I6). */
static bool
is_unwanted(const struct wal *w, const struct wal_segment *seg)
{
    return w->opts.keys != NULL && !seg->is_sealed;
}

/* Makes the oldest segment a spare, or removes it. */
static nq_rc
release_oldest(struct wal *w)
{
    struct wal_segments *s = &w->segments;
    struct wal_segment *old = &s->at[0];
    char from[WAL_PATH_MAX], to[WAL_PATH_MAX];
    nq_rc rc;

    nq_assert(!old->is_dirty && !old->is_syncing && s->count > 1);
    file_close(old->file);
    old->file = NULL;
    wal_segment_path(w, old->number, from);
    wal_segment_path(w, next_spare_number(s), to);
    if (s->spares < WAL_SPARES_MAX && old->size == w->opts.segment_size &&
        !is_unwanted(w, old)) {
        rc = dir_rename(from, to);
        if (rc == NQ_OK) {
            s->spares++;
            s->recycled++;
        }
    } else {
        rc = dir_remove_file(from);
    }
    if (rc != NQ_OK)
        return rc;
    memmove(s->at, s->at + 1, --s->count * sizeof *s->at);
    return NQ_OK;
}

/* Recovery from `keep` must find a segment that begins at or before it: if
 * the next one begins exactly there, its header has to be synced first. */
static bool
may_release_oldest(const struct wal *w, lsn keep, unsigned n)
{
    const struct wal_segments *s = &w->segments;
    unsigned least = s->count > 0 && is_unwanted(w, &s->at[0]) ? 1 : n;

    if (s->count <= nq_max(least, 1u) || s->at[0].end > keep ||
        s->at[0].is_dirty || s->at[0].is_syncing)
        return false;
    return s->at[1].first < keep ||
           (!s->at[1].is_dirty && !s->at[1].is_syncing);
}

nq_rc
wal_segments_release(struct wal *w, lsn keep, unsigned n)
{
    struct wal_segments *s = &w->segments;
    unsigned before = s->count;
    nq_rc rc = NQ_OK;

    while (rc == NQ_OK && may_release_oldest(w, keep, n))
        rc = release_oldest(w);
    if (rc == NQ_OK && s->count != before)
        rc = dir_sync(w->opts.dir);
    return rc;
}
