/* store/wal.h - the write-ahead log: one frame of effects per loop turn,
 * written and synced by a thread of its own.
 *
 * Loop thread only, except where said.  An LSN is a byte position in the log
 * since the database was created; a frame's LSN is where it begins.  What
 * was appended at wal_position() == p is settled once wal_settled() > p.
 *
 * Files: wal/00000012.wal, 16 MiB, preallocated and recycled; segment n holds
 * the LSNs from its header's first LSN on.
 *
 * Torn or damaged?  A frame that does not check is damage only if something
 * later (a good frame's durable LSN, the superblock, the clean-shutdown
 * length) says that it had been durable; otherwise the log ends there. */
#ifndef NQ_STORE_WAL_H
#define NQ_STORE_WAL_H

#include <stdio.h>

#include "base/histogram.h"
#include "base/rc.h"
#include "base/slice.h"
#include "store/pgno.h"

struct wal;
struct keyring;

enum wal_fsync { WAL_FSYNC_ALWAYS, WAL_FSYNC_PERIODIC, WAL_FSYNC_NEVER };

struct wal_opts {
    const char *dir;       /* of the segments; created if missing */
    uint8_t uuid[16];      /* of the database */
    uint64_t salt;         /* of this generation of the log */
    uint64_t segment_size; /* bytes, 16 MiB */
    uint64_t buffer_size;  /* bytes of the ring, a power of two */
    struct keyring *keys;  /* NULL: not encrypted; outlives the log */
    enum wal_fsync fsync;
    uint64_t fsync_interval_ms;
    uint64_t group_delay_us; /* 0: none */
    /* Called on the log thread after wal_settled(), wal_durable() or the
     * error state moved and somebody asked (wal_wake_at); makes the loop look
     * again.  May be NULL. */
    void (*wake)(void *arg);
    void *arg;
};

/* Where recovery must begin and what is known to be durable. */
struct wal_start {
    lsn from;       /* first LSN to replay: the superblock's */
    lsn durable;    /* at least this much was durable: damage below is real */
    bool clean;     /* durable is the exact end of the log */
    bool force;     /* cut at damage instead of refusing (an explicit flag) */
    bool read_only; /* tools: nothing is cut or written, no appends */
};

/* Opens the log for replay: no appends yet.  Reads nothing but headers. */
NQ_MUST_USE nq_rc wal_open(const struct wal_opts *opts,
                           const struct wal_start *start, struct wal **out);
/* One effect of the log, borrowed until the next call. */
struct wal_record {
    lsn frame;        /* LSN of its frame */
    lsn at;           /* its own: where in the log it begins */
    uint64_t time_us; /* wall clock of its frame */
    uint8_t effect;
    uint32_t db;
    struct slice key;
    struct slice args; /* the caller's encoding */
    bool is_last;      /* of its frame */
};
/* The next effect.  NQ_NOTFOUND: the end; the log is now cut there and ready
 * for appends.  NQ_ECORRUPT: damage; file, offset and expectation logged. */
NQ_MUST_USE nq_rc wal_replay_next(struct wal *w, struct wal_record *out);
/* Bytes read so far and in all, for progress. */
void wal_replay_progress(const struct wal *w, uint64_t *done, uint64_t *total);

/* Starts the log thread; after replay. */
NQ_MUST_USE nq_rc wal_start(struct wal *w);
/* Syncs all of it, ends the thread, closes.  Gives the exact end (of what is
 * durable, when an error says that not all is).  Also ends a replay. */
NQ_MUST_USE nq_rc wal_close(struct wal *w, lsn *end);
/* As a crash would: ends without writing or syncing what is left.  Tests. */
void wal_abandon(struct wal *w);

/* LSN of the frame under construction. */
lsn wal_position(const struct wal *w);
/* The own LSN of the next record to be appended; and one that all records so
 * far are at or below, and all later ones above. */
lsn wal_next_record(const struct wal *w);
lsn wal_head(const struct wal *w);
/* Adds one effect to the frame under construction.  NQ_EREADONLY after a
 * failed write or sync, NQ_ENOSPC while the disk is full: nothing added.
 * Never waits: the ring takes any one command, and wal_is_full() tells when
 * to stop reading from writers. */
NQ_MUST_USE nq_rc wal_append(struct wal *w, uint8_t effect, uint32_t db,
                             struct slice key, const struct slice *args,
                             unsigned nargs);
/* The same test without appending: what the write gate of dispatch asks. */
NQ_MUST_USE nq_rc wal_writable(struct wal *w);
/* A group of effects that must stand or fall together (MULTI) never
 * straddles frames: between these calls the frame is not closed. */
void wal_begin_group(struct wal *w);
void wal_end_group(struct wal *w);
/* End of the loop turn: closes the frame, hands it to the log thread. */
void wal_commit(struct wal *w);

/* All below is on the disk (always) or with the kernel (else). */
lsn wal_settled(const struct wal *w);
lsn wal_durable(const struct wal *w); /* any thread: below is synced */
/* Calls opts.wake once wal_settled() passes `at`, or nothing will settle any
 * more (wal_writable() says NQ_EREADONLY); at once, on this thread, if that
 * is so already. */
void wal_wake_at(struct wal *w, lsn at);
bool wal_is_full(const struct wal *w); /* the ring is 75 % full */
/* Syncs what was appended until now soon after it is committed, whatever the
 * strategy (WAITAOF, checkpoint).  Calls opts.wake as wal_durable() moves, so
 * wal_wake_at() is not needed, and would not wait for it. */
void wal_sync_soon(struct wal *w);

void wal_set_fsync(struct wal *w, enum wal_fsync fsync, uint64_t interval_ms);

/* Segments wholly below `keep` may be recycled or removed, `spare` kept. */
void wal_release(struct wal *w, lsn keep, unsigned keep_segments);
/* Until told otherwise, nothing from `from` on is released either: somebody
 * reads there (store/wal_tail.h).  WAL_HOLD_NONE: nobody does. */
#define WAL_HOLD_NONE UINT64_MAX
void wal_hold(struct wal *w, lsn from);
/* From there on, too, if that is less than what is held now. */
void wal_hold_also(struct wal *w, lsn from);

struct wal_stats {
    lsn position, written, durable, oldest;
    uint64_t frames, records, bytes, syncs, sync_us_total, sync_us_max,
        sync_us_last, segments, recycled, writes, ring_used, ring_size;
    struct histogram sync_us; /* one value a sync */
    nq_rc error;              /* NQ_OK, NQ_EREADONLY or NQ_ENOSPC */
    char error_text[160];
};
void wal_get_stats(const struct wal *w, struct wal_stats *out);

/* Prints segments, frames from LSN `from` on and their records, of the log
 * of any database, for people; changes nothing.  `keys` opens sealed frames
 * and may be NULL: then only their headers are shown.  `name` gives an effect
 * its name and may be NULL.  NQ_NOTFOUND: no segment in `dir`. */
NQ_MUST_USE nq_rc wal_dump(const char *dir, lsn from, struct keyring *keys,
                           const char *(*name)(uint8_t effect), FILE *out);

#endif
