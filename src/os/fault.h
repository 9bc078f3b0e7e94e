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
};

#ifdef NQ_FAULTS
/* The operation after `skip` more of this kind fails, once (FAULT_DIE: it
 * and all behind it, of every kind). */
void fault_after(enum fault_point point, uint64_t skip, enum fault_kind kind);
/* Each sync waits `us` microseconds first. */
void fault_slow_sync(uint64_t us);
/* Forgets the faults asked for, comes back from death, zeroes the counts. */
void fault_clear(void);
uint64_t fault_count(enum fault_point point); /* operations seen */
bool fault_is_dead(void);
/* Every write and sync from here on, for power cuts; what is on the disk now
 * counts as synced.  Turning it off forgets what was recorded. */
void fault_record(bool on);
/* While recording, with no file in use: cuts; then records on as if begun
 * anew.  What a dead process left behind is cut like the rest. */
void fault_power_cut(uint64_t seed);
#endif

#endif
