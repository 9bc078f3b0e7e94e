/* os/file.h - files of the data directory: whole reads and writes, syncs,
 * space, and the fault points that tests use.
 *
 * Any thread; a struct file may be used by several threads at once (all
 * calls carry their offset).  All writes go through the C library's pwrite
 * and fdatasync.  Short reads and writes are finished here, EINTR is hidden.
 * Errors are logged here, once, with path, offset and cause. */
#ifndef NQ_OS_FILE_H
#define NQ_OS_FILE_H

#include "base/rc.h"
#include "base/slice.h"

struct file;

enum file_mode {
    FILE_READ,   /* existing, read only */
    FILE_WRITE,  /* existing, read and write */
    FILE_CREATE, /* must not exist; mode 0640 */
};

/* NQ_NOTFOUND: FILE_READ/FILE_WRITE of a file that is not there. */
NQ_MUST_USE nq_rc file_open(const char *path, enum file_mode mode,
                            struct file **out);
void file_close(struct file *f); /* file_close(NULL) does nothing */
const char *file_path(const struct file *f);

/* All `n` bytes at `off`; NQ_ECORRUPT if the file ends before them. */
NQ_MUST_USE nq_rc file_read(struct file *f, void *dst, size_t n, uint64_t off);
/* The same only if the kernel has them in memory (preadv2 RWF_NOWAIT):
 * NQ_AGAIN if it would have to wait. */
NQ_MUST_USE nq_rc file_try_read(struct file *f, void *dst, size_t n,
                                uint64_t off);
/* The same two for bytes whose first `head_len` go elsewhere: one call. */
struct file_parts {
    void *head;
    size_t head_len;
    void *rest;
    size_t rest_len;
};
NQ_MUST_USE nq_rc file_read_parts(struct file *f, const struct file_parts *to,
                                  uint64_t off);
NQ_MUST_USE nq_rc file_try_read_parts(struct file *f,
                                      const struct file_parts *to,
                                      uint64_t off);
/* NQ_ENOSPC, NQ_EIO; then an unknown part of the bytes was written. */
NQ_MUST_USE nq_rc file_write(struct file *f, const void *src, size_t n,
                             uint64_t off);
/* Zeros from `off` to the end of its sector of 512 bytes: what was there
 * before does not stay behind what was written. */
NQ_MUST_USE nq_rc file_pad_sector(struct file *f, uint64_t off);
NQ_MUST_USE nq_rc file_sync(struct file *f); /* fdatasync */

NQ_MUST_USE nq_rc file_size(struct file *f, uint64_t *out);
/* Reserves real blocks for [off, off+n) and extends the size. */
NQ_MUST_USE nq_rc file_allocate(struct file *f, uint64_t off, uint64_t n);
NQ_MUST_USE nq_rc file_truncate(struct file *f, uint64_t size);
/* Gives the blocks of [off, off+n) back; a file system that cannot is fine. */
void file_punch(struct file *f, uint64_t off, uint64_t n);
/* The kernel need not keep what it has of the range: the next read is one of
 * the disk.  Advice. */
void file_forget_cache(struct file *f, uint64_t off, uint64_t n);
/* Advice to bring the range into memory; the disk works on it meanwhile. */
void file_read_hint(struct file *f, uint64_t off, uint64_t n);
/* Advice to start writing dirty pages of the range out; never waits long. */
void file_write_hint(struct file *f, uint64_t off, uint64_t n);

#endif
