/* os/fault.c - fault points: system calls that fail when a test asks.
 *
 * Each call first visits its point, which counts it and decides: go on, fail
 * with an errno, or (a write) store half and fail.  Harsh builds also make
 * some reads and writes short or interrupted, and some cached reads absent,
 * so that the loops which finish them are always in use.
 *
 *   I1  once dead nothing changes the disk until fault_clear()
 *   I2  a fault fires once; only death lasts */
#include "os/fault.h"

#ifdef NQ_FAULTS

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/check.h"
#include "os/fault_int.h"
#include "os/thread.h"

struct point {
    uint64_t count; /* operations seen */
    uint64_t skip;  /* valid only if armed: as many more pass */
    enum fault_kind kind;
    bool armed;
};

static struct {
    pthread_mutex_t lock; /* over points */
    struct point points[FAULT_POINTS];
    bool dead;             /* atomic */
    uint64_t slow_sync_us; /* atomic */
    unsigned harsh_turn;   /* atomic */
} faults = {.lock = PTHREAD_MUTEX_INITIALIZER};

void
fault_after(enum fault_point point, uint64_t skip, enum fault_kind kind)
{
    struct point *p = &faults.points[point];

    nq_assert(point < FAULT_POINTS);
    pthread_mutex_lock(&faults.lock);
    p->skip = skip;
    p->kind = kind;
    p->armed = true;
    pthread_mutex_unlock(&faults.lock);
}

void
fault_slow_sync(uint64_t us)
{
    __atomic_store_n(&faults.slow_sync_us, us, __ATOMIC_RELAXED);
}

void
fault_clear(void)
{
    pthread_mutex_lock(&faults.lock);
    for (unsigned i = 0; i < FAULT_POINTS; i++)
        faults.points[i] = (struct point){0};
    pthread_mutex_unlock(&faults.lock);
    fault_slow_sync(0);
    __atomic_store_n(&faults.dead, false, __ATOMIC_RELAXED);
}

uint64_t
fault_count(enum fault_point point)
{
    uint64_t n;

    pthread_mutex_lock(&faults.lock);
    n = faults.points[point].count;
    pthread_mutex_unlock(&faults.lock);
    return n;
}

bool
fault_is_dead(void)
{
    return __atomic_load_n(&faults.dead, __ATOMIC_RELAXED);
}

/* True if this operation shall fail; then how. */
static bool
fires(enum fault_point point, enum fault_kind *kind)
{
    struct point *p = &faults.points[point];
    bool fire = false;

    pthread_mutex_lock(&faults.lock);
    p->count++;
    if (p->armed && p->skip-- == 0) {
        p->armed = false;
        *kind = p->kind;
        fire = true;
    }
    pthread_mutex_unlock(&faults.lock);
    return fire;
}

/* Counts; 0 lets the operation pass, -1 fails it with errno set.  With
 * *part (may be NULL) set, half of it shall be done first. */
static int
visit(enum fault_point point, bool *part)
{
    enum fault_kind kind = FAULT_EIO;
    bool fire;

    if (part != NULL)
        *part = false;
    if (fault_is_dead()) {
        errno = EIO;
        return -1;
    }
    fire = fires(point, &kind);
    if (!fire)
        return 0;
    if (kind == FAULT_DIE)
        __atomic_store_n(&faults.dead, true, __ATOMIC_RELAXED);
    if (kind == FAULT_SHORT && part != NULL)
        *part = true;
    errno = kind == FAULT_ENOSPC ? ENOSPC : EIO;
    return -1;
}

/* In harsh builds true at every `every`-th call. */
static bool
is_harsh_turn(unsigned every)
{
#ifdef NQ_HARSH
    return __atomic_add_fetch(&faults.harsh_turn, 1, __ATOMIC_RELAXED) %
               every ==
           0;
#else
    nq_unused(every);
    return false;
#endif
}

static size_t
harsh_size(size_t n)
{
    return n > 64 && is_harsh_turn(3) ? n - n / 3 : n;
}

int
fault_open(const char *path, int flags, mode_t mode)
{
    int fd;

    if ((flags & O_CREAT) != 0 && visit(FAULT_DIR, NULL) != 0)
        return -1;
    if (fault_is_dead()) {
        errno = EIO;
        return -1;
    }
    fd = open(path, flags, mode);
    if (fd >= 0 && (flags & O_CREAT) != 0)
        fault_cut_created(path);
    return fd;
}

ssize_t
fault_pread(int fd, void *p, size_t n, off_t off)
{
    if (visit(FAULT_READ, NULL) != 0)
        return -1;
    if (is_harsh_turn(7)) {
        errno = EINTR;
        return -1;
    }
    return pread(fd, p, harsh_size(n), off);
}

ssize_t
fault_pread_nowait(int fd, void *p, size_t n, off_t off)
{
    struct iovec iov = {p, n};

    if (visit(FAULT_READ, NULL) != 0)
        return -1;
    if (is_harsh_turn(3)) {
        errno = EAGAIN;
        return -1;
    }
    return preadv2(fd, &iov, 1, off, RWF_NOWAIT);
}

ssize_t
fault_pwrite(int fd, const void *p, size_t n, off_t off)
{
    bool part;
    int rc = visit(FAULT_WRITE, &part);
    int err = errno;
    bool begun;
    ssize_t put;

    if (rc != 0 && !part)
        return -1;
    if (!part && is_harsh_turn(7)) {
        errno = EINTR;
        return -1;
    }
    n = part ? n / 2 : harsh_size(n);
    begun = fault_cut_begin_change(fd, (uint64_t)off, n);
    put = pwrite(fd, p, n, off);
    fault_cut_end_change(begun);
    if (!part)
        return put;
    errno = err;
    return -1;
}

int
fault_fdatasync(int fd)
{
    uint64_t us = __atomic_load_n(&faults.slow_sync_us, __ATOMIC_RELAXED);
    uint64_t mark;
    int rc;

    if (us > 0)
        thread_sleep_us(us);
    if (visit(FAULT_SYNC, NULL) != 0)
        return -1;
    mark = fault_cut_mark();
    rc = fdatasync(fd);
    if (rc == 0)
        fault_cut_synced(fd, mark);
    return rc;
}

int
fault_fallocate(int fd, int mode, off_t off, off_t n)
{
    bool punch = (mode & FALLOC_FL_PUNCH_HOLE) != 0, begun;
    int rc;

    if (punch && fault_is_dead()) {
        errno = EIO;
        return -1;
    }
    if (!punch && visit(FAULT_ALLOCATE, NULL) != 0)
        return -1;
    /* Without a hole only the size can change. */
    begun = punch ? fault_cut_begin_change(fd, (uint64_t)off, (uint64_t)n)
                  : fault_cut_begin_change(fd, (uint64_t)(off + n), 0);
    rc = fallocate(fd, mode, off, n);
    fault_cut_end_change(begun);
    return rc;
}

int
fault_ftruncate(int fd, off_t size)
{
    bool begun;
    int rc;

    if (visit(FAULT_ALLOCATE, NULL) != 0)
        return -1;
    begun = fault_cut_begin_resize(fd, (uint64_t)size);
    rc = ftruncate(fd, size);
    fault_cut_end_change(begun);
    return rc;
}

int
fault_rename(const char *from, const char *to)
{
    int kept, rc;

    if (visit(FAULT_DIR, NULL) != 0)
        return -1;
    kept = fault_cut_keep(to);
    rc = rename(from, to);
    if (rc == 0)
        fault_cut_renamed(from, to, kept);
    else if (kept >= 0)
        close(kept);
    return rc;
}

int
fault_unlink(const char *path)
{
    int kept, rc;

    if (visit(FAULT_DIR, NULL) != 0)
        return -1;
    kept = fault_cut_keep(path);
    rc = unlink(path);
    if (rc == 0)
        fault_cut_unlinked(path, kept);
    else if (kept >= 0)
        close(kept);
    return rc;
}

int
fault_mkdir(const char *path, mode_t mode)
{
    if (visit(FAULT_DIR, NULL) != 0)
        return -1;
    return mkdir(path, mode);
}

int
fault_fsync_dir(int fd)
{
    uint64_t mark;
    int rc;

    if (visit(FAULT_DIR, NULL) != 0)
        return -1;
    mark = fault_cut_mark();
    rc = fsync(fd);
    if (rc == 0)
        fault_cut_dir_synced(fd, mark);
    return rc;
}

#endif
