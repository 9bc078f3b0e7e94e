/* store/frames.h - pages in memory: the frame pool, the translation from page
 * id to frame, the copy-on-write rule, misses and eviction.
 *
 * Loop thread only.  Two kinds of page share one id space, one page table and
 * one life: tree pages of exactly page_size bytes, kept in the pool's frames,
 * and blob chunks of 1 byte to 1 MiB, kept on the heap.  Both count against
 * the pool size.
 *
 *   I1  a frame that is pinned, being flushed, or dirty from before an
 *       unfinished cut is never written
 *   I2  to change such a page: take a frame, copy, repoint frame_of; the last
 *       holder frees the old one
 *   I8  all misses of a command come before its first effect
 *   I10 ids freed after a cut are not used again before it is finished
 *
 * Nothing is ever evicted while a command runs: only frames_make_room() does
 * that, between commands.  A pointer from frames_page() therefore stays good
 * until the command ends, and until frames_mut() of the same page moves it.
 * If a command needs more frames than are free, the pool borrows beyond its
 * size (bounded, then NQ_EPOOL from the calls that may miss) and gives back
 * at the next frames_make_room().
 *
 * Memory: the pool, and on top of it 41 bytes a frame, up to 120 for the
 * eviction policy (policy.h), 4 + 33 bytes a page of the database (frame_of,
 * page table), flush batches of 1 MiB under way, and what the heap loses
 * between chunks (a fifth at worst seen). */
#ifndef NQ_STORE_FRAMES_H
#define NQ_STORE_FRAMES_H

#include "base/check.h"
#include "base/rc.h"
#include "base/slice.h"
#include "store/pgno.h"
#include "store/policy.h"

#define BLOB_CHUNK (1u << 20)
#define FRAMES_PAGE_MIN 512u /* tests; databases have 4096 and more */
#define FRAMES_PAGE_MAX 65536u
#define FRAMES_MAX 0x7fffffffu /* numbers of frames are at most that */
#define FRAMES_USED 3u
#define PAGE_LSN_OFFSET 32 /* u64, little-endian: the stamp in a tree page */

enum page_kind { PAGE_LEAF = 1, PAGE_INNER = 2, PAGE_CHUNK = 3 };

struct frames {         /* the part that inline code needs */
    uint32_t *frame_of; /* by pgno; 0: not resident */
    uint8_t *base;      /* frame f of a tree page stands at base + f*size */
    uint8_t *used;      /* by frame: FRAMES_USED, or a use is to be noted */
    uint64_t hits;      /* requests for pages that were in memory */
    uint32_t page_size;
    uint32_t page_shift; /* log2(page_size) */
    uint32_t ids;        /* length of frame_of */
    lsn stamp;           /* what frames_mut() writes into page headers: the
                            position of the log frame under construction */
};

struct disk;

struct frames_opts {
    uint32_t page_size;  /* power of two, FRAMES_PAGE_MIN..MAX */
    uint64_t pool_bytes; /* frames and chunks together */
    struct disk *disk;   /* where pages live when not in memory; NULL: all of
                            them stay in memory and nothing can miss */
    double dirty_soft, dirty_hard; /* shares of the pool; 0: 0.6 and 0.8 */
    enum policy_kind policy;       /* which pages are given up */
};

/* Reserves address space; memory is taken as pages come.  NQ_ENOMEM. */
NQ_MUST_USE nq_rc frames_open(const struct frames_opts *opts,
                              struct frames **out);
void frames_close(struct frames *fr); /* frames_close(NULL) does nothing */

/* Not resident: notes `id` as wanted by the running command and returns
 * NQ_MISS; or NQ_ECORRUPT, NQ_EIO, NQ_EPOOL.  In blocking mode (replay,
 * tools, the rest of a MULTI that already has effects) it reads the page
 * here and returns NQ_OK. */
NQ_MUST_USE nq_rc frames_missed(struct frames *fr, pgno id,
                                const uint8_t **out);

/* The damaged page that the running command met: where it is in the data file.
 * False: none.  frames_forget_damage() begins a command. */
bool frames_last_damage(const struct frames *fr, pgno *id, uint64_t *off);
void frames_forget_damage(struct frames *fr);

/* Notes that the page in `frame` is used, if that was not noted lately. */
void frames_note_use(struct frames *fr, uint32_t frame);

/* The bytes of a tree page, for reading. */
static inline NQ_MUST_USE nq_rc
frames_page(struct frames *fr, pgno id, const uint8_t **out)
{
    uint32_t f = fr->frame_of[id];

    nq_dassert(id < fr->ids);
    if (nq_unlikely(f - 1 >= FRAMES_MAX)) /* none, a mark, or a chunk */
        return frames_missed(fr, id, out);
    fr->hits++;
    if (nq_unlikely(fr->used[f] != FRAMES_USED))
        frames_note_use(fr, f);
    *out = fr->base + ((size_t)f << fr->page_shift);
    return NQ_OK;
}

/* The frame's bytes if resident, else NULL; notes nothing (for prefetch). */
static inline const uint8_t *
frames_peek(const struct frames *fr, pgno id)
{
    uint32_t f = fr->frame_of[id];

    return f - 1 >= FRAMES_MAX ? NULL
                               : fr->base + ((size_t)f << fr->page_shift);
}

/* THE way to write a tree page.  The page is resident (it was got before, in
 * this command); the result is its one writable copy, dirty, stamped with
 * fr->stamp, at an address that may be new.  Cannot fail. */
uint8_t *frames_mut(struct frames *fr, pgno id);

/* Of a page that frames_mut() just gave: it is one of the other kind now. */
void frames_set_kind(struct frames *fr, pgno id, enum page_kind kind);

/* A new tree page: zeroed but for its stamp, dirty.  Cannot fail: space on
 * disk is found at flush. */
pgno frames_new(struct frames *fr, enum page_kind kind, uint8_t **out);
/* Forgets the page: its frame, its id (I10), its extent (I4). */
void frames_free(struct frames *fr, pgno id);

/* Blob chunks.  A chunk's bytes stay where they are while it is pinned. */
NQ_MUST_USE nq_rc frames_chunk(struct frames *fr, pgno id, struct slice *out);
/* Writable, `len` long afterwards (grown or cut; new bytes zero), with room
 * to grow to `reserve` without moving. */
uint8_t *frames_chunk_mut(struct frames *fr, pgno id, uint32_t len,
                          uint32_t reserve);
/* All zero. */
pgno frames_chunk_new(struct frames *fr, uint32_t len, uint8_t **out);

/* Pins keep the bytes of the page as they are now, in place, whatever happens
 * to the page: a writer gets a copy.  The handle is the frame. */
uint32_t frames_pin(struct frames *fr, pgno id);
void frames_unpin(struct frames *fr, uint32_t frame);

/* --- misses ------------------------------------------------------------ */

/* One parked command.  Caller's storage, zeroed before first use. */
struct frames_wait {
    void (*ready)(struct frames_wait *w); /* on the loop: run it again now */
    nq_rc rc;                             /* NQ_OK, or why a read failed */
    /* private */
    uint32_t pending; /* reads under way for it */
    uint32_t count, cap;
    pgno *ids;      /* held in memory for it */
    uint32_t queue; /* which queue it stands in */
    struct frames_wait *next;
};

/* How many pages are noted as wanted since the last fetch or forget. */
uint32_t frames_wanted(const struct frames *fr);
void frames_forget_wanted(struct frames *fr);
/* Starts reading what is noted; w->ready is called, never from inside this
 * call, when all of it is in memory and pinned. */
void frames_fetch(struct frames *fr, struct frames_wait *w);
/* The command ran (or its client is gone): gives the pins back.  May be
 * called while reads are under way: then ready is not called any more. */
void frames_fetch_end(struct frames *fr, struct frames_wait *w);
/* Starts reads without anybody waiting (read-ahead, probe). */
void frames_prefetch(struct frames *fr, pgno id);

/* Blocking mode on or off; returns the old one. */
bool frames_set_blocking(struct frames *fr, bool on);

/* Calls ready() of those whose pages turned out to be at hand. */
void frames_run_ready(struct frames *fr);

/* What can be set while running; not set: as zeroed, but for flush_jobs. */
struct frames_tuning {
    uint32_t hot_threshold;   /* uses that make a page hot; 0: none is */
    double hot_share;         /* of the pool, for hot pages at most */
    uint32_t inner_least;     /* inner pages that are not evicted */
    uint32_t ahead_most;      /* pages read ahead of a walk; 0: none */
    uint64_t unpacked_bytes;  /* clean chunks that are packed on disk: how */
    uint32_t unpacked_chunks; /* much of them stays; both 0: no bound */
    uint32_t flush_jobs;      /* batches under way at once; 0: 4 */
    uint32_t flush_age_s;     /* dirty pages are written then; 0: any age */
};
void frames_tune(struct frames *fr, const struct frames_tuning *tuning);

/* Between commands: evicts until the reserve of free frames is whole, starts
 * flushing dirty frames above the soft limit.  Cheap when there is nothing
 * to do. */
void frames_make_room(struct frames *fr);
/* The pool is above its size and more turns would help at once. */
bool frames_wants_turn(const struct frames *fr);
/* Above the hard limit of dirty frames: writers must wait at their sockets. */
bool frames_is_throttling(const struct frames *fr);

/* Requests are calls of frames_page() and frames_chunk(): each is a hit, or
 * its page is brought in, which is a miss once, however often the command
 * asks until it is there.  misses = demand_reads + second_tier_hits +
 * blocking_reads + ahead_late; reads = demand_reads + ahead_issued. */
struct frames_stats {
    uint64_t hits, misses;
    uint64_t demand_reads;     /* by workers, for a command */
    uint64_t second_tier_hits; /* found in the kernel's page cache */
    uint64_t blocking_reads;   /* by the loop itself */
    uint64_t reads;            /* by workers */
    uint64_t parked;           /* waits of commands for pages */
    uint64_t ahead_issued, ahead_used, ahead_wasted, ahead_late;
    uint64_t ahead_distance; /* pages, at most, as of now */
    uint64_t evictions, flushes, copies;
    uint64_t inner_resident, hot_pinned;
    uint64_t unpacked_chunks, unpacked_bytes, unpacked_hits, unpacked_misses;
    uint64_t flush_jobs; /* batches under way */
    double dirty_ratio;  /* dirty bytes, a share of the pool */
    struct policy_stats policy;
    uint64_t frames, frames_used, frames_dirty, frames_pinned, chunk_bytes,
        pages, pool_bytes, used_bytes;
    uint64_t damaged_pages;  /* known to be, now */
    uint64_t repaired_pages; /* rebuilt from parity since the start */
};
void frames_get_stats(const struct frames *fr, struct frames_stats *out);

#endif
