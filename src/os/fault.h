/* os/fault.h - faults on demand, for tests: the n-th write, sync, read or
 * allocation of space fails, is torn, or is dropped.  All that os/file.h and
 * os/dir.h do passes here, but for the lock file.
 *
 * Compiled to nothing unless NQ_FAULTS is set (all builds but release).
 * Set from one thread while no I/O is under way; counted from any.
 *
 * Power cuts: while recording, every byte written but not yet synced is
 * remembered per file; fault_power_cut() puts the files back to what a disk
 * may hold: synced bytes for sure, each unsynced 512-byte sector kept, lost,
 * as it was in between, or torn, as the seed decides.  Names created, renamed
 * or removed since the last sync of their directory survive up to some point
 * in their order, and are undone behind it (new directories always stay). */
#ifndef NQ_OS_FAULT_H
#define NQ_OS_FAULT_H

#include <stdbool.h>
#include <stdint.h>

enum fault_point {
    FAULT_READ,
    FAULT_WRITE,
    FAULT_SYNC,
    FAULT_ALLOCATE, /* allocate and truncate */
    FAULT_DIR,      /* create, rename, remove, directory sync */
    FAULT_POINTS
};

enum fault_kind {
    FAULT_EIO,
    FAULT_ENOSPC,
    FAULT_SHORT, /* a write stores only a part, then EIO */
    FAULT_DIE,   /* from here on nothing reaches the disk; calls say EIO */
    FAULT_DROP,  /* a write or sync is not made, but says that it was */
    FAULT_HANG,  /* waits as long as fault_set_hang() says, then is made */
};

/* What a change of the disk was, for whoever observes them. */
enum fault_op {
    FAULT_OP_WRITE,    /* bytes, off, len */
    FAULT_OP_ALLOCATE, /* off, len: the file is at least off + len long */
    FAULT_OP_PUNCH,    /* off, len: zeros */
    FAULT_OP_TRUNCATE, /* off: the size */
    FAULT_OP_SYNC,     /* begins */
    FAULT_OP_SYNCED,   /* has ended: changes before its FAULT_OP_SYNC last */
    FAULT_OP_CREATE,   /* path */
    FAULT_OP_RENAME,   /* path, to which `from` was renamed */
    FAULT_OP_UNLINK,   /* path */
    FAULT_OP_DIR_SYNC, /* as with files: begins, has ended */
    FAULT_OP_DIR_SYNCED,
};

/* Borrowed for the call. */
struct fault_event {
    enum fault_op op;
    uint64_t inode; /* of the file, or of the directory that is synced */
    uint64_t off, len;
    const void *bytes;
    const char *path, *from;
};

#ifdef NQ_FAULTS
/* The operation after `skip` more of this kind fails, once (FAULT_DIE: it
 * and all behind it, of every kind). */
void fault_after(enum fault_point point, uint64_t skip, enum fault_kind kind);
/* Each sync waits `us` microseconds first. */
void fault_slow_sync(uint64_t us);
void fault_set_hang(uint64_t us); /* of FAULT_HANG */
/* Forgets the faults asked for, comes back from death, zeroes the counts. */
void fault_clear(void);
uint64_t fault_count(enum fault_point point); /* operations seen */
bool fault_is_dead(void);
/* Whether a fault that was asked for has not come yet. */
bool fault_is_armed(void);
/* From here on counts the writes, syncs, allocations and changes of names
 * that the calling thread makes itself. */
void fault_watch_thread(void);
uint64_t fault_watched(void);
/* Calls fn(arg, event) for all that changes files and succeeds, in its order,
 * one at a time, from any thread; a sync is told when it begins and when it
 * has ended.  NULL: no more.  With no I/O under way. */
void fault_observe(void (*fn)(void *arg, const struct fault_event *ev),
                   void *arg);
/* Every write and sync from here on, for power cuts; what is on the disk now
 * counts as synced.  Turning it off forgets what was recorded. */
void fault_record(bool on);
/* While recording, with no file in use: cuts; then records on as if begun
 * anew.  What a dead process left behind is cut like the rest. */
void fault_power_cut(uint64_t seed);
#endif

#endif
