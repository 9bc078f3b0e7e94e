/* A log made of any bytes opens, or is refused; it never crashes, and what it
 * gives out lies in the file.
 *
 *   byte 0   bit 0: the rest is a whole segment file, header and all;
 *            else it is what follows a good header, and every frame whose
 *            length is possible gets its LSN and checksum repaired, so that
 *            changes reach the records
 *            bit 1: force   bit 2: something behind was durable
 *            bit 3: cut and go on, then read again */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/wal_int.h"

#define SEGMENT_SIZE ((size_t)64 << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[] = "/tmp/nqdb-fuzz-wal-XXXXXX";
static uint8_t head[WAL_SEGMENT_HEADER];
static const struct wal_opts opts = {.dir = dir,
                                     .uuid = "fuzz",
                                     .salt = 7,
                                     .segment_size = SEGMENT_SIZE,
                                     .buffer_size = SEGMENT_SIZE};

static void
segment_path(unsigned number, char *path, size_t cap)
{
    snprintf(path, cap, "%s/%08u.wal", dir, number);
}

static void
remove_segments(void)
{
    char path[64];

    for (unsigned n = 1; n < 8; n++) {
        segment_path(n, path, sizeof path);
        (void)unlink(path);
    }
}

static void
remove_all(void)
{
    remove_segments();
    (void)rmdir(dir);
}

/* A directory, and the header of a segment of this log. */
static void
prepare(void)
{
    const struct wal_start start = {0};
    struct wal_record rec;
    char path[64];
    struct wal *w;
    lsn end;
    int fd;

    if (head[0] != 0)
        return;
    log_set_level(LOG_ERROR);
    nq_assert(log_set_file("/dev/null", 0, 0) == 0);
    nq_assert(mkdtemp(dir) != NULL);
    atexit(remove_all);
    nq_assert(wal_open(&opts, &start, &w) == NQ_OK);
    nq_assert(wal_replay_next(w, &rec) == NQ_NOTFOUND);
    nq_assert(wal_close(w, &end) == NQ_OK);
    segment_path(1, path, sizeof path);
    fd = open(path, O_RDONLY);
    nq_assert(fd >= 0 && read(fd, head, sizeof head) == sizeof head);
    close(fd);
}

static void
write_segment(const uint8_t *p, size_t len)
{
    char path[64];
    int fd;

    remove_segments();
    segment_path(1, path, sizeof path);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    nq_assert(fd >= 0 && write(fd, p, len) == (ssize_t)len);
    close(fd);
}

/* Gives frames their place, and checksums that hold. */
static void
repair(uint8_t *p, size_t len)
{
    uint64_t salt, at = 0;
    struct wal_frame h;

    memcpy(&salt, head + 56, sizeof salt);
    while (len - at >= WAL_FRAME_HEADER) {
        memcpy(&h, p + at, sizeof h);
        if (h.length <= WAL_FRAME_HEADER || h.length > len - at ||
            h.length % WAL_ALIGN != 0)
            return;
        h.lsn = WAL_FIRST_LSN + at;
        h.durable = nq_min(h.durable, h.lsn);
        memcpy(p + at, &h, sizeof h);
        wal_frame_finish(p + at, h.length, salt);
        at += h.length;
    }
}

/* Reads all of the log; returns the effects, or UINT64_MAX if refused. */
static uint64_t
replay(const struct wal_start *start)
{
    struct wal_record rec;
    uint64_t n = 0, sum = 0;
    struct wal *w;
    lsn end;
    nq_rc rc;

    if (wal_open(&opts, start, &w) != NQ_OK)
        return UINT64_MAX;
    while ((rc = wal_replay_next(w, &rec)) == NQ_OK) {
        for (size_t i = 0; i < rec.key.len; i++)
            sum += rec.key.p[i];
        for (size_t i = 0; i < rec.args.len; i++)
            sum += rec.args.p[i];
        n++;
    }
    if (rc != NQ_NOTFOUND) {
        wal_abandon(w);
        return UINT64_MAX;
    }
    nq_assert(wal_close(w, &end) == NQ_OK);
    return sum == UINT64_MAX ? 0 : n; /* keeps the reading */
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wal_start start = {.read_only = true};
    uint8_t *p;
    uint64_t n;

    if (size < 1 || size > SEGMENT_SIZE - WAL_SEGMENT_HEADER)
        return 0;
    prepare();
    if (data[0] & 1) {
        write_segment(data + 1, size - 1);
    } else {
        p = nq_malloc(WAL_SEGMENT_HEADER + size);
        memcpy(p, head, WAL_SEGMENT_HEADER);
        memcpy(p + WAL_SEGMENT_HEADER, data + 1, size - 1);
        repair(p + WAL_SEGMENT_HEADER, size - 1);
        write_segment(p, WAL_SEGMENT_HEADER + size - 1);
        nq_free(p);
    }
    start.force = data[0] & 2;
    start.durable = data[0] & 4 ? 600 : 0;
    n = replay(&start);
    if (n != UINT64_MAX && (data[0] & 8)) {
        start.read_only = false;
        nq_assert(replay(&start) == n);
        start = (struct wal_start){.read_only = true};
        nq_assert(replay(&start) == n);
    }
    return 0;
}
