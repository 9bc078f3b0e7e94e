/* os/dir.h - directories: creating, locking, listing, durable renames.
 * Any thread. */
#ifndef NQ_OS_DIR_H
#define NQ_OS_DIR_H

#include <stdbool.h>

#include "base/rc.h"

struct dir_lock;

/* Creates `path` and its missing parents (mode 0750). */
NQ_MUST_USE nq_rc dir_create(const char *path);
/* fsync of the directory, so that new, renamed and removed names last. */
NQ_MUST_USE nq_rc dir_sync(const char *path);
/* Exclusive lock (flock on `path`/LOCK, holding our pid) until unlocked or
 * the process ends.  NQ_ELOCKED names the holder in the log. */
NQ_MUST_USE nq_rc dir_lock(const char *path, struct dir_lock **out);
void dir_unlock(struct dir_lock *l);
/* Calls fn(name, arg) for each regular file, in no order. */
NQ_MUST_USE nq_rc dir_each(const char *path,
                           void (*fn)(const char *name, void *arg), void *arg);
/* Replaces `to`.  NQ_NOTFOUND, here and below: there is no such file. */
NQ_MUST_USE nq_rc dir_rename(const char *from, const char *to);
NQ_MUST_USE nq_rc dir_remove_file(const char *path);
bool dir_has(const char *path);
/* Bytes free to us on the file system of `path`; 0 if unknown. */
unsigned long long dir_free_bytes(const char *path);

#endif
