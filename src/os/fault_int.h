/* os/fault_int.h - the system calls of file.c and dir.c, with fault points.
 *
 * Each fault_x() is the call x, with its arguments, result and errno; builds
 * without NQ_FAULTS call the C library directly.  Any thread. */
#ifndef NQ_OS_FAULT_INT_H
#define NQ_OS_FAULT_INT_H

#include <sys/types.h>

#include "os/fault.h"

#ifdef NQ_FAULTS

int fault_open(const char *path, int flags, mode_t mode);
ssize_t fault_pread(int fd, void *p, size_t n, off_t off);
struct iovec;
ssize_t fault_preadv(int fd, const struct iovec *parts, int count, off_t off,
                     int flags);
ssize_t fault_pwrite(int fd, const void *p, size_t n, off_t off);
int fault_fdatasync(int fd);
int fault_fallocate(int fd, int mode, off_t off, off_t n);
int fault_ftruncate(int fd, off_t size);
int fault_rename(const char *from, const char *to);
int fault_unlink(const char *path);
int fault_mkdir(const char *path, mode_t mode);
int fault_fsync_dir(int fd);

/* os/fault_cut.c, called by os/fault.c around the calls that change the disk.
 * Between begin and end other changes wait, so that what a sync covers is
 * exactly what was recorded before it; end is told what begin returned. */
bool fault_cut_begin_change(int fd, uint64_t off, uint64_t n);
bool fault_cut_begin_resize(int fd, uint64_t size);
void fault_cut_end_change(bool begun);
uint64_t fault_cut_mark(void); /* taken before a sync */
void fault_cut_synced(int fd, uint64_t mark);
void fault_cut_dir_synced(int fd, uint64_t mark);
void fault_cut_created(const char *path);
/* A file, opened for reading, that a rename or unlink is about to take away;
 * -1 if there is none.  Then what happened, with that descriptor. */
int fault_cut_keep(const char *path);
void fault_cut_renamed(const char *from, const char *to, int kept);
void fault_cut_unlinked(const char *path, int kept);

#else

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define fault_open(path, flags, mode) open(path, flags, mode)
#define fault_pread(fd, p, n, off) pread(fd, p, n, off)
#define fault_preadv(fd, parts, count, off, flags)                             \
    preadv2(fd, parts, count, off, flags)
#define fault_pwrite(fd, p, n, off) pwrite(fd, p, n, off)
#define fault_fdatasync(fd) fdatasync(fd)
#define fault_fallocate(fd, mode, off, n) fallocate(fd, mode, off, n)
#define fault_ftruncate(fd, size) ftruncate(fd, size)
#define fault_rename(from, to) rename(from, to)
#define fault_unlink(path) unlink(path)
#define fault_mkdir(path, mode) mkdir(path, mode)
#define fault_fsync_dir(fd) fsync(fd)

#endif

#endif
