/* os/file.c - whole reads and writes at offsets.
 *
 * Every call that fails says so in the log once, with path, offset, length
 * and cause, and gives the cause as a code: a full disk or quota is
 * NQ_ENOSPC, all else NQ_EIO. */
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/fault_int.h"

#define FILE_MAGIC 0x66494c45u

struct file {
    uint32_t magic;
    int fd;
    char path[]; /* as given, for messages */
};

static nq_rc
failed(const char *path, const char *what, size_t n, uint64_t off, int err)
{
    log_error("%s: cannot %s %zu bytes at %" PRIu64 ": %s", path, what, n, off,
              strerror(err));
    return err == ENOSPC || err == EDQUOT ? NQ_ENOSPC : NQ_EIO;
}

static nq_rc
failed_plain(const char *path, const char *what, int err)
{
    log_error("%s: cannot %s: %s", path, what, strerror(err));
    return err == ENOSPC || err == EDQUOT ? NQ_ENOSPC : NQ_EIO;
}

nq_rc
file_open(const char *path, enum file_mode mode, struct file **out)
{
    static const int flags[] = {
        [FILE_READ] = O_RDONLY | O_CLOEXEC,
        [FILE_WRITE] = O_RDWR | O_CLOEXEC,
        [FILE_CREATE] = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
    };
    size_t len = strlen(path) + 1;
    struct file *f;
    int fd;

    *out = NULL;
    do
        fd = fault_open(path, flags[mode], 0640);
    while (fd < 0 && errno == EINTR);
    if (fd < 0 && errno == ENOENT && mode != FILE_CREATE)
        return NQ_NOTFOUND;
    if (fd < 0)
        return failed_plain(path, mode == FILE_CREATE ? "create" : "open",
                            errno);
    f = nq_malloc(sizeof *f + len);
    f->magic = FILE_MAGIC;
    f->fd = fd;
    memcpy(f->path, path, len);
    *out = f;
    return NQ_OK;
}

void
file_close(struct file *f)
{
    if (f == NULL)
        return;
    nq_assert(f->magic == FILE_MAGIC);
    close(f->fd);
    f->magic = 0;
    nq_free(f);
}

const char *
file_path(const struct file *f)
{
    return f->path;
}

nq_rc
file_read(struct file *f, void *dst, size_t n, uint64_t off)
{
    size_t done = 0;

    nq_dassert(f->magic == FILE_MAGIC);
    while (done < n) {
        ssize_t got = fault_pread(f->fd, (char *)dst + done, n - done,
                                  (off_t)(off + done));

        if (got > 0) {
            done += (size_t)got;
        } else if (got == 0) {
            log_error("%s: ends at %" PRIu64 ", expected %zu bytes at %" PRIu64,
                      f->path, off + done, n, off);
            return NQ_ECORRUPT;
        } else if (errno != EINTR) {
            return failed(f->path, "read", n, off, errno);
        }
    }
    return NQ_OK;
}

/* In one call, without waiting if `flags` says so; how many bytes came. */
static ssize_t
read_parts(const struct file *f, const struct file_parts *to, uint64_t off,
           int flags)
{
    struct iovec parts[] = {
        {.iov_base = to->head, .iov_len = to->head_len},
        {.iov_base = to->rest, .iov_len = to->rest_len},
    };

    nq_dassert(f->magic == FILE_MAGIC);
    return fault_preadv(f->fd, parts, 2, (off_t)off, flags);
}

nq_rc
file_read_parts(struct file *f, const struct file_parts *to, uint64_t off)
{
    size_t n = to->head_len + to->rest_len;
    ssize_t got = read_parts(f, to, off, 0);
    nq_rc rc;

    if (got == (ssize_t)n)
        return NQ_OK;
    if (got < 0 && errno != EINTR)
        return failed(f->path, "read", n, off, errno);
    rc = file_read(f, to->head, to->head_len, off);
    if (rc != NQ_OK)
        return rc;
    return file_read(f, to->rest, to->rest_len, off + to->head_len);
}

nq_rc
file_try_read_parts(struct file *f, const struct file_parts *to, uint64_t off)
{
    size_t n = to->head_len + to->rest_len;
    ssize_t got = read_parts(f, to, off, RWF_NOWAIT);

    if (got == (ssize_t)n)
        return NQ_OK;
    /* Part of it, the end of the file, a file system without RWF_NOWAIT:
     * file_read finds out, and says so. */
    if (got >= 0 || errno == EAGAIN || errno == EINTR || errno == EOPNOTSUPP)
        return NQ_AGAIN;
    return failed(f->path, "read", n, off, errno);
}

nq_rc
file_try_read(struct file *f, void *dst, size_t n, uint64_t off)
{
    struct file_parts to = {.rest = dst, .rest_len = n};

    return file_try_read_parts(f, &to, off);
}

nq_rc
file_write(struct file *f, const void *src, size_t n, uint64_t off)
{
    size_t done = 0;

    nq_dassert(f->magic == FILE_MAGIC);
    while (done < n) {
        ssize_t put = fault_pwrite(f->fd, (const char *)src + done, n - done,
                                   (off_t)(off + done));

        if (put >= 0)
            done += (size_t)put;
        else if (errno != EINTR)
            return failed(f->path, "write", n, off, errno);
    }
    return NQ_OK;
}

/* No retry, not even after EINTR: a failed sync may have dropped the pages
 * it could not write, and the next one would then report success. */
nq_rc
file_pad_sector(struct file *f, uint64_t off)
{
    static const uint8_t zeros[512];
    size_t used = (size_t)(off % sizeof zeros);

    return used == 0 ? NQ_OK : file_write(f, zeros, sizeof zeros - used, off);
}

nq_rc
file_sync(struct file *f)
{
    nq_dassert(f->magic == FILE_MAGIC);
    if (fault_fdatasync(f->fd) == 0)
        return NQ_OK;
    return failed_plain(f->path, "sync", errno);
}

nq_rc
file_size(struct file *f, uint64_t *out)
{
    struct stat st;

    *out = 0;
    if (fstat(f->fd, &st) != 0)
        return failed_plain(f->path, "stat", errno);
    *out = (uint64_t)st.st_size;
    return NQ_OK;
}

/* For file systems without fallocate: zeros behind the end of the file.
 * Holes before the end stay what they are. */
static nq_rc
allocate_by_writing(struct file *f, uint64_t end)
{
    static const char zeros[64 * 1024];
    uint64_t at;
    nq_rc rc = file_size(f, &at);

    while (rc == NQ_OK && at < end) {
        size_t n = (size_t)nq_min(end - at, (uint64_t)sizeof zeros);

        rc = file_write(f, zeros, n, at);
        at += n;
    }
    return rc;
}

nq_rc
file_allocate(struct file *f, uint64_t off, uint64_t n)
{
    int rc;

    nq_dassert(f->magic == FILE_MAGIC);
    if (n == 0)
        return NQ_OK;
    do
        rc = fault_fallocate(f->fd, 0, (off_t)off, (off_t)n);
    while (rc != 0 && errno == EINTR);
    if (rc == 0)
        return NQ_OK;
    if (errno == EOPNOTSUPP)
        return allocate_by_writing(f, off + n);
    return failed(f->path, "allocate", (size_t)n, off, errno);
}

nq_rc
file_truncate(struct file *f, uint64_t size)
{
    int rc;

    nq_dassert(f->magic == FILE_MAGIC);
    do
        rc = fault_ftruncate(f->fd, (off_t)size);
    while (rc != 0 && errno == EINTR);
    if (rc != 0)
        return failed_plain(f->path, "truncate", errno);
    return NQ_OK;
}

void
file_punch(struct file *f, uint64_t off, uint64_t n)
{
    nq_dassert(f->magic == FILE_MAGIC);
    if (n > 0)
        (void)!fault_fallocate(f->fd,
                               FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                               (off_t)off, (off_t)n);
}

void
file_forget_cache(struct file *f, uint64_t off, uint64_t n)
{
    (void)!posix_fadvise(f->fd, (off_t)off, (off_t)n, POSIX_FADV_DONTNEED);
}

void
file_read_hint(struct file *f, uint64_t off, uint64_t n)
{
    (void)!posix_fadvise(f->fd, (off_t)off, (off_t)n, POSIX_FADV_WILLNEED);
}

void
file_write_hint(struct file *f, uint64_t off, uint64_t n)
{
    (void)!sync_file_range(f->fd, (off_t)off, (off_t)n, SYNC_FILE_RANGE_WRITE);
}
