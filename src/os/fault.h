/* os/fault.h - faults on demand, for tests: the n-th write, sync, read or
 * allocation of space fails, is torn, or is dropped.
 *
 * Compiled to nothing unless NQ_FAULTS is set (all builds but release).
 * Set from one thread while no I/O is under way; counted from any.
 *
 * Power cuts: while recording, every byte written but not yet synced is
 * remembered per file; fault_power_cut() puts the files back to what a disk
 * may hold: synced bytes for sure, each unsynced 512-byte sector kept, lost
 * or torn as the seed decides. */
#ifndef NQ_OS_FAULT_H
#define NQ_OS_FAULT_H

#include <stdbool.h>
#include <stdint.h>

enum fault_point {
    FAULT_READ,
    FAULT_WRITE,
    FAULT_SYNC,
    FAULT_ALLOCATE,
    FAULT_DIR, /* create, rename, remove, directory sync */
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
void fault_clear(void);
uint64_t fault_count(enum fault_point point); /* operations seen */
bool fault_is_dead(void);
/* Every write and sync from here on, for power cuts. */
void fault_record(bool on);
void fault_power_cut(uint64_t seed);
#endif

#endif
