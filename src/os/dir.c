/* os/dir.c - names in directories, and the lock of a data directory.
 *
 * LOCK is a file holding the decimal pid of whoever has it flock()ed.  It is
 * never removed: a process that opened it before the removal would lock a
 * file that nobody else sees. */
#include "os/dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "os/fault_int.h"

#define DIR_LOCK_MAGIC 0x644c4f4bu

struct dir_lock {
    uint32_t magic;
    int fd;
};

static nq_rc
failed(const char *path, const char *what, int err)
{
    log_error("%s: cannot %s: %s", path, what, strerror(err));
    return err == ENOSPC || err == EDQUOT ? NQ_ENOSPC : NQ_EIO;
}

static nq_rc
create_one(const char *path)
{
    struct stat st;

    if (fault_mkdir(path, 0750) == 0)
        return NQ_OK;
    if (errno != EEXIST)
        return failed(path, "create directory", errno);
    if (stat(path, &st) != 0)
        return failed(path, "stat", errno);
    if (!S_ISDIR(st.st_mode))
        return failed(path, "create directory", ENOTDIR);
    return NQ_OK;
}

nq_rc
dir_create(const char *path)
{
    char *copy;
    nq_rc rc = NQ_OK;

    if (dir_has(path)) /* parents may be closed to us, then */
        return create_one(path);
    copy = nq_strdup(path);
    for (char *p = copy; rc == NQ_OK && *p != '\0'; p++) {
        if (*p != '/' || p == copy)
            continue;
        *p = '\0';
        if (!dir_has(copy))
            rc = create_one(copy);
        *p = '/';
    }
    if (rc == NQ_OK)
        rc = create_one(copy);
    nq_free(copy);
    return rc;
}

nq_rc
dir_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    nq_rc rc = NQ_OK;

    if (fd < 0)
        return failed(path, "open", errno);
    if (fault_fsync_dir(fd) != 0)
        rc = failed(path, "sync", errno);
    close(fd);
    return rc;
}

/* Somebody else has the lock: who, if the file says so. */
static void
log_holder(const char *path, int fd)
{
    char pid[24];
    ssize_t n = pread(fd, pid, sizeof pid - 1, 0);

    pid[n > 0 ? n : 0] = '\0';
    pid[strcspn(pid, "\r\n")] = '\0';
    log_error("%s is locked by another server%s%s", path,
              pid[0] != '\0' ? ", process " : "", pid);
}

/* What the lock file says is for people; failing to write it is no error. */
static void
write_pid(int fd)
{
    char pid[24];
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());

    if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)n, 0) != n)
        log_debug("cannot write the pid into the lock file");
}

nq_rc
dir_lock(const char *path, struct dir_lock **out)
{
    struct buf name = BUF_INIT;
    nq_rc rc = NQ_OK;
    int fd;

    *out = NULL;
    buf_printf(&name, "%s/LOCK", path);
    buf_put_u8(&name, 0);
    fd = open((const char *)name.p, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0) {
        rc = failed((const char *)name.p, "open", errno);
    } else if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) {
            log_holder(path, fd);
            rc = NQ_ELOCKED;
        } else {
            rc = failed((const char *)name.p, "lock", errno);
        }
        close(fd);
    }
    buf_fini(&name);
    if (rc != NQ_OK)
        return rc;
    write_pid(fd);
    *out = nq_calloc(1, sizeof **out);
    (*out)->magic = DIR_LOCK_MAGIC;
    (*out)->fd = fd;
    return NQ_OK;
}

void
dir_unlock(struct dir_lock *l)
{
    if (l == NULL)
        return;
    nq_assert(l->magic == DIR_LOCK_MAGIC);
    close(l->fd);
    l->magic = 0;
    nq_free(l);
}

static bool
is_regular(DIR *d, const struct dirent *e)
{
    struct stat st;

    if (e->d_type != DT_UNKNOWN)
        return e->d_type == DT_REG;
    return fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(st.st_mode);
}

nq_rc
dir_each(const char *path, void (*fn)(const char *name, void *arg), void *arg)
{
    DIR *d = opendir(path);
    const struct dirent *e;
    int err;

    if (d == NULL)
        return failed(path, "list", errno);
    while (errno = 0, (e = readdir(d)) != NULL) {
        if (is_regular(d, e))
            fn(e->d_name, arg);
    }
    err = errno;
    closedir(d);
    return err == 0 ? NQ_OK : failed(path, "list", err);
}

nq_rc
dir_rename(const char *from, const char *to)
{
    if (fault_rename(from, to) == 0)
        return NQ_OK;
    return errno == ENOENT ? NQ_NOTFOUND : failed(from, "rename", errno);
}

nq_rc
dir_remove_file(const char *path)
{
    if (fault_unlink(path) == 0)
        return NQ_OK;
    return errno == ENOENT ? NQ_NOTFOUND : failed(path, "remove", errno);
}

bool
dir_has(const char *path)
{
    return access(path, F_OK) == 0;
}

unsigned long long
dir_free_bytes(const char *path)
{
    struct statvfs st;

    if (statvfs(path, &st) != 0)
        return 0;
    return (unsigned long long)st.f_bavail * st.f_frsize;
}
