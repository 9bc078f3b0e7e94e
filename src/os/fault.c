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
    uint64_t hang_us;      /* atomic */
    uint64_t watched;      /* atomic */
    unsigned harsh_turn;   /* atomic */
} faults = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Held while a change is made and told, so that they are told in order. */
static struct {
    pthread_mutex_t lock;
    void (*fn)(void *arg, const struct fault_event *ev);
    void *arg;
} observer = {.lock = PTHREAD_MUTEX_INITIALIZER};

static __thread bool is_watched;

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
fault_set_hang(uint64_t us)
{
    __atomic_store_n(&faults.hang_us, us, __ATOMIC_RELAXED);
}

void
fault_watch_thread(void)
{
    is_watched = true;
    __atomic_store_n(&faults.watched, 0, __ATOMIC_RELAXED);
}

uint64_t
fault_watched(void)
{
    return __atomic_load_n(&faults.watched, __ATOMIC_RELAXED);
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

bool
fault_is_armed(void)
{
    bool armed = false;

    pthread_mutex_lock(&faults.lock);
    for (unsigned i = 0; i < FAULT_POINTS; i++)
        armed |= faults.points[i].armed;
    pthread_mutex_unlock(&faults.lock);
    return armed;
}

/* --- observing ----------------------------------------------------------- */

void
fault_observe(void (*fn)(void *arg, const struct fault_event *ev), void *arg)
{
    pthread_mutex_lock(&observer.lock);
    observer.fn = fn;
    observer.arg = arg;
    pthread_mutex_unlock(&observer.lock);
}

static void
begin_change(void)
{
    pthread_mutex_lock(&observer.lock);
}

static uint64_t
inode_of(int fd)
{
    struct stat st;

    nq_assert(fstat(fd, &st) == 0);
    return st.st_ino;
}

/* `fd` is the file, or -1.  Keeps errno. */
static void
end_change(bool is_made, struct fault_event ev, int fd)
{
    int err = errno;

    if (is_made && observer.fn != NULL) {
        if (fd >= 0)
            ev.inode = inode_of(fd);
        observer.fn(observer.arg, &ev);
    }
    pthread_mutex_unlock(&observer.lock);
    errno = err;
}

static void
tell(enum fault_op op, int fd)
{
    begin_change();
    end_change(true, (struct fault_event){.op = op}, fd);
}

/* --- points -------------------------------------------------------------- */

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

enum outcome {
    PASS,
    FAIL, /* errno is set */
    PART, /* half of it is done first */
    LIE,  /* nothing is done, and success told */
};

static enum outcome
visit_any(enum fault_point point)
{
    enum fault_kind kind = FAULT_EIO;
    bool fire;

    if (is_watched && point != FAULT_READ)
        __atomic_add_fetch(&faults.watched, 1, __ATOMIC_RELAXED);
    if (fault_is_dead()) {
        errno = EIO;
        return FAIL;
    }
    fire = fires(point, &kind);
    if (!fire)
        return PASS;
    if (kind == FAULT_HANG) {
        thread_sleep_us(__atomic_load_n(&faults.hang_us, __ATOMIC_RELAXED));
        return PASS;
    }
    if (kind == FAULT_DROP)
        return LIE;
    if (kind == FAULT_DIE)
        __atomic_store_n(&faults.dead, true, __ATOMIC_RELAXED);
    errno = kind == FAULT_ENOSPC ? ENOSPC : EIO;
    return kind == FAULT_SHORT ? PART : FAIL;
}

/* Of what can only pass or fail: 0, or -1 with errno set. */
static int
visit(enum fault_point point)
{
    enum outcome o = visit_any(point);

    return o == FAIL || o == PART ? -1 : 0;
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

    if ((flags & O_CREAT) != 0 && visit(FAULT_DIR) != 0)
        return -1;
    if (fault_is_dead()) {
        errno = EIO;
        return -1;
    }
    if ((flags & O_CREAT) == 0)
        return open(path, flags, mode);
    begin_change();
    fd = open(path, flags, mode);
    if (fd >= 0)
        fault_cut_created(path);
    end_change(fd >= 0,
               (struct fault_event){.op = FAULT_OP_CREATE, .path = path}, fd);
    return fd;
}

ssize_t
fault_pread(int fd, void *p, size_t n, off_t off)
{
    if (visit(FAULT_READ) != 0)
        return -1;
    if (is_harsh_turn(7)) {
        errno = EINTR;
        return -1;
    }
    return pread(fd, p, harsh_size(n), off);
}

ssize_t
fault_preadv(int fd, const struct iovec *parts, int count, off_t off, int flags)
{
    bool may_wait = (flags & RWF_NOWAIT) == 0;

    if (visit(FAULT_READ) != 0)
        return -1;
    if (is_harsh_turn(may_wait ? 7 : 3)) {
        errno = may_wait ? EINTR : EAGAIN;
        return -1;
    }
    return preadv2(fd, parts, count, off, flags);
}

static ssize_t
write_part(int fd, const void *p, size_t n, off_t off)
{
    ssize_t put;
    bool begun;

    begin_change();
    begun = fault_cut_begin_change(fd, (uint64_t)off, n);
    put = pwrite(fd, p, n, off);
    fault_cut_end_change(begun);
    end_change(put > 0,
               (struct fault_event){.op = FAULT_OP_WRITE,
                                    .off = (uint64_t)off,
                                    .len = (uint64_t)put,
                                    .bytes = p},
               fd);
    return put;
}

ssize_t
fault_pwrite(int fd, const void *p, size_t n, off_t off)
{
    enum outcome o = visit_any(FAULT_WRITE);
    int err = errno;

    if (o == FAIL)
        return -1;
    if (o == LIE)
        return (ssize_t)n;
    if (o == PART) {
        (void)write_part(fd, p, n / 2, off);
        errno = err;
        return -1;
    }
    if (is_harsh_turn(7)) {
        errno = EINTR;
        return -1;
    }
    return write_part(fd, p, harsh_size(n), off);
}

int
fault_fdatasync(int fd)
{
    uint64_t us = __atomic_load_n(&faults.slow_sync_us, __ATOMIC_RELAXED);
    enum outcome o;
    uint64_t mark;
    int rc;

    if (us > 0)
        thread_sleep_us(us);
    o = visit_any(FAULT_SYNC);
    if (o != PASS)
        return o == LIE ? 0 : -1;
    tell(FAULT_OP_SYNC, fd);
    mark = fault_cut_mark();
    rc = fdatasync(fd);
    if (rc != 0)
        return rc;
    fault_cut_synced(fd, mark);
    tell(FAULT_OP_SYNCED, fd);
    return 0;
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
    if (!punch && visit(FAULT_ALLOCATE) != 0)
        return -1;
    begin_change();
    /* Without a hole only the size can change. */
    begun = punch ? fault_cut_begin_change(fd, (uint64_t)off, (uint64_t)n)
                  : fault_cut_begin_change(fd, (uint64_t)(off + n), 0);
    rc = fallocate(fd, mode, off, n);
    fault_cut_end_change(begun);
    end_change(
        rc == 0,
        (struct fault_event){.op = punch ? FAULT_OP_PUNCH : FAULT_OP_ALLOCATE,
                             .off = (uint64_t)off,
                             .len = (uint64_t)n},
        fd);
    return rc;
}

int
fault_ftruncate(int fd, off_t size)
{
    bool begun;
    int rc;

    if (visit(FAULT_ALLOCATE) != 0)
        return -1;
    begin_change();
    begun = fault_cut_begin_resize(fd, (uint64_t)size);
    rc = ftruncate(fd, size);
    fault_cut_end_change(begun);
    end_change(
        rc == 0,
        (struct fault_event){.op = FAULT_OP_TRUNCATE, .off = (uint64_t)size},
        fd);
    return rc;
}

int
fault_rename(const char *from, const char *to)
{
    int kept, rc;

    if (visit(FAULT_DIR) != 0)
        return -1;
    begin_change();
    kept = fault_cut_keep(to);
    rc = rename(from, to);
    if (rc == 0)
        fault_cut_renamed(from, to, kept);
    else if (kept >= 0)
        close(kept);
    end_change(
        rc == 0,
        (struct fault_event){.op = FAULT_OP_RENAME, .path = to, .from = from},
        -1);
    return rc;
}

int
fault_unlink(const char *path)
{
    int kept, rc;

    if (visit(FAULT_DIR) != 0)
        return -1;
    begin_change();
    kept = fault_cut_keep(path);
    rc = unlink(path);
    if (rc == 0)
        fault_cut_unlinked(path, kept);
    else if (kept >= 0)
        close(kept);
    end_change(rc == 0,
               (struct fault_event){.op = FAULT_OP_UNLINK, .path = path}, -1);
    return rc;
}

int
fault_mkdir(const char *path, mode_t mode)
{
    if (visit(FAULT_DIR) != 0)
        return -1;
    return mkdir(path, mode);
}

int
fault_fsync_dir(int fd)
{
    uint64_t mark;
    int rc;

    if (visit(FAULT_DIR) != 0)
        return -1;
    tell(FAULT_OP_DIR_SYNC, fd);
    mark = fault_cut_mark();
    rc = fsync(fd);
    if (rc != 0)
        return rc;
    fault_cut_dir_synced(fd, mark);
    tell(FAULT_OP_DIR_SYNCED, fd);
    return 0;
}

#endif
