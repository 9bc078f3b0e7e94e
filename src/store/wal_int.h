/* store/wal_int.h - what the files of the log share.  Private to store/wal*.
 *
 * Who may touch what: `loop` fields belong to the loop thread, `log` fields to
 * the log thread once it runs (to the loop before and after), atomics to
 * both; `stats` is under the monitor. */
#ifndef NQ_STORE_WAL_INT_H
#define NQ_STORE_WAL_INT_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/cursor.h"
#include "base/sm.h"
#include "store/wal.h"

struct file;
struct monitor;
struct thread;

#define WAL_SEGMENT_HEADER 8192u /* bytes before the first frame */
#define WAL_FRAME_HEADER 40u
#define WAL_SEALED_HEADER 72u
#define WAL_SEALED ((uint64_t)1 << 48) /* flag in the length of a frame */
#define WAL_ALIGN 8u                   /* frames begin at multiples of this */
#define WAL_FIRST_LSN 64u              /* of a new log: 0 stays "none" */
#define WAL_SPARES_MAX 4u              /* prepared segments kept ahead */
#define WAL_PATH_MAX 1024u
#define WAL_NEVER UINT64_MAX /* an LSN that is not reached */

/* --- wal_frame.c: bytes of frames and records ----------------------------- */

struct wal_frame {
    uint32_t crc;     /* CRC32C of the segment's salt, then all behind it */
    uint32_t count;   /* records */
    uint64_t length;  /* bits 0-47: bytes, header and padding included;
                         48-63: flags, WAL_SEALED */
    lsn lsn;          /* its place in the log */
    lsn durable;      /* all below was durable when this was written */
    uint64_t time_us; /* wall clock at the end of its turn */
};
_Static_assert(sizeof(struct wal_frame) == WAL_FRAME_HEADER, "on disk");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "stored as it is");

static inline uint64_t
wal_frame_length(const struct wal_frame *h)
{
    return h->length & 0xffffffffffffu;
}

static inline bool
wal_frame_is_sealed(const struct wal_frame *h)
{
    return (h->length & WAL_SEALED) != 0;
}

/* Fills in the crc of a frame in memory, `length` bytes at `p`. */
void wal_frame_finish(uint8_t *p, uint64_t length, uint64_t salt);
/* Decodes the header of a frame that should be `want`, with at most `room`
 * bytes.  Returns NULL, or what was expected and not found. */
const char *wal_frame_header(struct slice bytes, lsn want, uint64_t room,
                             struct wal_frame *out);
/* Whether the checksum of the whole frame (`frame.len` is its length) holds. */
bool wal_frame_checks(struct slice frame, uint64_t salt);
/* The next record of a frame; false if the bytes are not one. */
bool wal_record_get(struct cursor *c, struct wal_record *out);
/* Bytes before the first record. */
static inline uint32_t
wal_frame_head(bool is_sealed)
{
    return is_sealed ? WAL_SEALED_HEADER : WAL_FRAME_HEADER;
}

/* --- wal_seal.c: encrypted frames ----------------------------------------- */

/* Seals a frame that is whole but for its crc, where it is.  NQ_EIO. */
NQ_MUST_USE nq_rc wal_seal(struct keyring *keys, uint8_t *p, uint64_t length,
                           uint64_t salt);
/* The records of a frame whose checksum holds, as they were: a part of
 * `frame`, or of `plain`, which is overwritten.  NQ_EKEY: its data key is not
 * in `keys` (or NULL); NQ_ECORRUPT: the seal does not hold. */
NQ_MUST_USE nq_rc wal_unseal(const struct keyring *keys, struct slice frame,
                             uint64_t salt, struct buf *plain,
                             struct slice *records);
/* Number of the data key of a sealed frame. */
uint32_t wal_seal_key(struct slice frame);

/* --- wal_buffer.c: from the loop to the log thread ------------------------ */

struct wal_chunk {
    lsn base;                       /* LSN of data[0] */
    _Atomic lsn end;                /* WAL_NEVER until frames go elsewhere */
    struct wal_chunk *_Atomic next; /* valid once end is */
    size_t cap;
    uint8_t data[];
};

struct wal_buffer {
    size_t chunk_size;
    struct wal_chunk *first; /* oldest that the log thread may look at */
    struct wal_chunk *last;  /* where frames are built */
    struct wal_chunk *idle;  /* free ones */
    unsigned idle_count;
    struct wal_chunk *reader; /* log thread's; set by the loop when all is
                                 consumed */
};

void wal_buffer_init(struct wal_buffer *b, uint64_t size, lsn position);
void wal_buffer_fini(struct wal_buffer *b);
/* Frees what is written.  Between frames only: `position` is the next. */
void wal_buffer_reclaim(struct wal_buffer *b, lsn written, lsn position);
/* Where the frame at `position` goes; room for at least a header. */
uint8_t *wal_buffer_frame(struct wal_buffer *b, lsn position, size_t *cap);
/* Moves the unfinished frame of `used` bytes to where `need` more fit. */
uint8_t *wal_buffer_grow(struct wal_buffer *b, lsn position, size_t used,
                         size_t need, size_t *cap);
/* Log thread: the contiguous committed bytes from `at` on (at < committed). */
uint8_t *wal_buffer_run(struct wal_buffer *b, lsn at, lsn committed,
                        uint64_t *len);

/* --- wal_segment.c: files ------------------------------------------------- */

struct wal_segment {
    uint64_t number;
    lsn first, end; /* end: WAL_NEVER for the last */
    lsn durable;    /* noted in its header */
    uint64_t salt, previous_salt;
    uint64_t size, time_us;
    struct file *file; /* NULL when closed */
    bool is_sealed;    /* no plaintext was ever in the file */
    bool is_dirty;     /* written since its last sync began */
    bool is_syncing;
};

struct wal_segments {
    struct wal_segment *at; /* by rising number; the last is written to */
    unsigned count, cap;
    unsigned spares; /* prepared files behind the last number */
    uint64_t recycled;
};

/* The numbers that names of files in `dir` have, rising; free `at`. */
struct wal_numbers {
    uint64_t *at;
    unsigned count, cap;
};
NQ_MUST_USE nq_rc wal_numbers_list(const char *dir, struct wal_numbers *out);
/* What the header of a file says; NQ_NOTFOUND: it is not that of segment
 * `number` of the database.  Any thread. */
NQ_MUST_USE nq_rc wal_segment_peek(struct file *file, uint64_t number,
                                   const uint8_t uuid[16],
                                   struct wal_segment *out);
/* Reads the names and headers in opts.dir, creating the directory.  Files
 * whose header does not fit their name are left out. */
NQ_MUST_USE nq_rc wal_segments_scan(struct wal *w);
void wal_segments_fini(struct wal_segments *s);
/* Opens segment `i` of the list if it is not. */
NQ_MUST_USE nq_rc wal_segment_open(struct wal *w, unsigned i);
void wal_segment_path(const struct wal *w, uint64_t number, char *path);
/* Makes segment `i` the last: removes those behind it, counts spares. */
NQ_MUST_USE nq_rc wal_segments_cut(struct wal *w, unsigned count);
/* Adds one spare.  NQ_ENOSPC: nothing changed. */
NQ_MUST_USE nq_rc wal_spare_prepare(struct wal *w);
/* Begins a segment at `first` that holds a frame of `bytes`: header written,
 * not synced.  NQ_ENOSPC: nothing changed. */
NQ_MUST_USE nq_rc wal_segment_begin(struct wal *w, lsn first, uint64_t bytes);
/* Recycles or removes old segments, as wal_release() asked. */
NQ_MUST_USE nq_rc wal_segments_release(struct wal *w, lsn keep, unsigned n);
static inline struct wal_segment *
wal_segment_last(struct wal_segments *s)
{
    return s->count == 0 ? NULL : &s->at[s->count - 1];
}

/* --- wal_replay.c --------------------------------------------------------- */

struct wal_reader {
    unsigned segment; /* index in the list */
    lsn at;           /* of the next frame */
    uint8_t *window;  /* bytes of a segment's file */
    size_t window_len, window_cap;
    unsigned window_segment; /* index in the list */
    uint64_t window_off;     /* file offset of window[0] */
    struct wal_frame frame;
    struct buf plain;      /* of a sealed frame */
    struct cursor records; /* what is left of the frame */
    const uint8_t *first_record;
    uint32_t records_left;
    bool saw_torn; /* where the log ends a frame had been begun */
    uint64_t done, total, frames, effects;
};

/* Loads the frame that should be at `at` of segment `i`: *frame is borrowed
 * until the next one.  *problem is NULL, or what was expected and not found. */
NQ_MUST_USE nq_rc wal_frame_get(struct wal *w, unsigned i, lsn at,
                                struct wal_frame *h, struct slice *frame,
                                const char **problem);
/* The records of that frame, borrowed for as long.  NQ_EKEY is not logged. */
NQ_MUST_USE nq_rc wal_frame_open(struct wal *w, unsigned i, struct slice frame,
                                 struct slice *records, const char **problem);
/* Finds where to begin; nothing but headers was read. */
NQ_MUST_USE nq_rc wal_replay_begin(struct wal *w);

/* --- wal_sync.c ----------------------------------------------------------- */

#define WAL_SYNC_FILES 32u /* unsynced segments; then writing waits */

enum wal_sync_state {
    WAL_SYNC_IDLE,
    WAL_SYNC_ASKED,
    WAL_SYNC_DONE,
    WAL_SYNC_STOP
};

struct wal_sync {
    /* log thread */
    bool is_under_way;
    lsn target;       /* durable up to here when it succeeds */
    uint64_t last_us; /* monotonic; when the last one began */
    struct thread *thread;
    /* the helper's while WAL_SYNC_ASKED, else the log thread's */
    struct file *files[WAL_SYNC_FILES];
    unsigned count;
    nq_rc rc;
    /* both */
    struct monitor *monitor;
    enum wal_sync_state state; /* under the monitor */
    _Atomic bool is_done;
};

NQ_MUST_USE nq_rc wal_sync_start(struct wal *w);
void wal_sync_stop(struct wal *w); /* after the log thread has ended */
/* Log thread.  Monotonic time when the strategy wants a sync; UINT64_MAX:
 * nothing to sync, or one is under way. */
uint64_t wal_sync_due_us(const struct wal *w);
/* Begins one; with strategy always, or when stopping, ends it as well. */
void wal_sync_run(struct wal *w);
/* Ends the one under way if it is done, or waits until it is. */
void wal_sync_collect(struct wal *w, bool wait);
/* So many segments are unsynced that no other should be begun. */
bool wal_sync_is_behind(const struct wal *w);

/* --- the log -------------------------------------------------------------- */

enum wal_life { WAL_REPLAYING, WAL_READY, WAL_RUNNING, WAL_CLOSED };

#define WAL_MAGIC 0x57414c21u

struct wal {
    uint32_t magic;
    struct wal_opts opts; /* dir is our copy */
    struct wal_start start;
    struct sm life;
    bool any_database; /* wal_dump: whatever uuid and salt the files have */

    /* loop */
    uint8_t *frame;   /* under construction, or NULL */
    size_t frame_len; /* 0: not begun */
    size_t frame_cap;
    uint32_t frame_count;
    bool in_group;
    nq_rc latched; /* state as this turn sees it: one answer a turn */
    lsn position;
    struct wal_buffer buffer;
    uint64_t frames, records;

    /* both */
    _Atomic lsn committed, written, durable, settled;
    _Atomic lsn wake_at; /* WAL_NEVER: nobody waits */
    _Atomic lsn sync_to; /* durable is wanted up to here */
    _Atomic lsn keep;    /* below may be released */
    _Atomic lsn hold;    /* no further than this, though */
    _Atomic unsigned keep_segments;
    _Atomic bool release_asked, stop, is_abandoned;
    _Atomic bool is_asleep;
    _Atomic int state; /* nq_rc: NQ_OK, NQ_ENOSPC, NQ_EREADONLY */
    _Atomic int fsync; /* enum wal_fsync */
    _Atomic uint64_t interval_us;
    struct monitor *monitor;
    struct thread *thread;
    struct wal_stats stats; /* the log thread's part, under the monitor */

    /* log */
    lsn next; /* first LSN not written */
    struct wal_segments segments;
    struct wal_reader reader;
    struct wal_sync sync;
    uint64_t retry_at_us;     /* for space; 0: nothing to retry */
    bool is_stuck;            /* committed frames wait for space */
    uint64_t gather_bytes;    /* fewer committed ones wait for others ... */
    uint64_t gather_until_us; /* ... until then (monotonic) */
};

/* wal_thread.c */
void wal_thread_main(void *arg);
/* Before the thread runs: begins a segment at w->next, durable.  On a full
 * disk the log goes on without one, and refuses appends. */
NQ_MUST_USE nq_rc wal_thread_begin(struct wal *w);
/* Moves what the loop sees; wakes it if it waits for that. */
void wal_thread_publish(struct wal *w, lsn durable);
/* The end of writing, for any error but a full disk. */
void wal_thread_fail(struct wal *w, const char *what, nq_rc rc);
/* Makes the log thread look again if it sleeps. */
void wal_thread_kick(struct wal *w);
/* Notes the counters of the files for wal_get_stats(). */
void wal_thread_note_files(struct wal *w);

#endif
