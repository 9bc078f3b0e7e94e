/* store/frames_int.h - what the files of the frame pool share: frames.c,
 * frames_*.c, flush.c, redo.c. */
#ifndef NQ_STORE_FRAMES_INT_H
#define NQ_STORE_FRAMES_INT_H

#include "base/hash.h"
#include "base/list.h"
#include "os/pool.h"
#include "store/damage.h"
#include "store/extent_io.h"
#include "store/frames.h"
#include "store/frames_hot.h"
#include "store/policy.h"

struct disk;

#define FRAMES_MAGIC 0x4e51464du
/* Frame numbers of chunks start here, marks (frames.h) end the space. */
#define FRAME_CHUNK0 0x80000000u
#define FRAME_MARK0 (UINT32_MAX - 15)
#define FRAME_LOADING (UINT32_MAX - 1) /* a read is under way */
#define FRAME_DAMAGED (UINT32_MAX - 2) /* sticky: the extent is damaged */

/* Dirty frames hang on one of two lists, that of the running epoch and that
 * of the unfinished cut; a cut swaps their roles. */
enum { FRAME_ON_NONE = 0 }; /* else 1 + index into lists[] */

struct frame {
    pgno id;       /* whose bytes; 0: the frame is free */
    uint32_t next; /* on its list, or the list of free frames */
    uint32_t prev;
    uint32_t writable; /* the epoch in which it may be written in place */
    uint32_t pins;
    uint32_t dirty_s; /* since when, seconds; valid if it is on a list */
    uint8_t list;
    uint8_t kind;         /* enum page_kind */
    bool is_flushing : 1; /* a worker reads it: as good as a pin */
    bool is_protected : 1;
    bool is_hot : 1; /* stays, because it is used so often */
    uint32_t item;   /* in the policy, valid while mapped; 0: none */
    uint32_t holds;  /* parked commands that need it in memory */
};

struct chunk {
    struct frame frame; /* id 0: `len` is the next free descriptor */
    uint8_t *bytes;
    uint32_t len, cap;
    lsn stamp;
    uint8_t used;     /* like frames.used */
    bool is_unpacked; /* clean, and packed on disk: it counts as cached */
};

struct frame_list {
    uint32_t head, tail, count;
};

struct id_stack {
    pgno *ids;
    uint32_t count, cap;
};

struct wait_queue {
    struct frames_wait *head, *tail;
};

/* A walk in key order (btree_ahead.c), as far as it has been seen. */
struct ahead_stream {
    pgno parent;       /* 0: none */
    pgno leaf;         /* that it came to */
    unsigned slot;     /* of the leaf that it came to, in the parent */
    int direction;     /* 1, -1; 0: not known yet */
    unsigned distance; /* leaves read ahead, as of now */
    unsigned ready;    /* of those, the ones not yet walked over */
    uint64_t stamp;    /* when it was seen last */
};

#define AHEAD_STREAMS 16
#define AHEAD_MOST 1024u /* what ahead_most may be */

struct ahead {
    struct ahead_stream streams[AHEAD_STREAMS];
    uint64_t clock;
    unsigned limit;                  /* of distances */
    uint64_t used_seen, wasted_seen; /* when the limit was last looked at */
};

struct frames_all {
    struct frames pub; /* first: the handle is its address */
    uint32_t magic;
    uint32_t epoch;                /* 1 and up; a cut moves it on */
    struct frame *frame;           /* by number; [0] unused */
    uint32_t frames_max;           /* reserved address space, in frames */
    uint32_t frames_top;           /* numbers handed out so far + 1 */
    uint32_t opened;               /* frames below are mapped for use */
    uint32_t free_warm, free_cold; /* heads; cold ones hold no memory */
    uint32_t warm_count, cold_count;
    uint32_t used; /* frames that hold a page, old versions included */
    struct chunk *chunk;
    uint32_t chunks_cap, chunks_top, chunk_free, chunks_used;
    uint64_t chunk_bytes;
    struct frame_list lists[2];
    unsigned current; /* lists[current] is that of the running epoch */
    bool cut_running;
    pgno next_id; /* ids from here on were never used */
    struct id_stack ids_free, ids_limbo;
    uint64_t pages; /* live ids */
    uint64_t pool_bytes;
    uint32_t pinned;      /* frames with pins */
    uint64_t dirty_bytes; /* on the dirty lists */
    uint64_t flushing_bytes;
    uint64_t soft_bytes, hard_bytes; /* of dirty pages */
    struct disk *disk;               /* NULL: memory only */
    struct damages damages;
    uint64_t repaired_pages;
    uint8_t *touched; /* bit by id: taken or freed since somebody set this;
                         NULL: nobody wants to know.  touched_ids of them */
    uint32_t touched_ids;
    /* misses */
    bool is_blocking;
    struct id_stack wanted;
    uint64_t wanted_bytes;
    uint64_t reading_bytes; /* about what reads under way will take */
    struct hash reads;      /* struct page_read by id */
    struct list running;    /* those that were sent, and cancelled ones */
    struct list begun;      /* and those that were not yet */
    unsigned begun_count;
    struct wait_queue ready; /* to be called */
    struct job again;        /* comes back for the rest of them */
    bool is_again_running;
    struct wait_queue waiting; /* for room */
    struct extent_into into;   /* of reads on the loop */
    uint32_t tier_cap;         /* longest extent of the second tier */
    /* eviction */
    struct policy *policy; /* NULL: nothing is ever evicted */
    uint32_t now_s;        /* monotonic, of this turn */
    bool is_close;         /* the pool is nearly full */
    uint64_t noted_hits;   /* requests when all were last to be noted again */
    uint32_t *noted;       /* frames used since the last drain */
    uint32_t noted_count;
    uint32_t harsh;
    uint32_t inner;  /* inner pages in memory */
    uint32_t spared; /* of those, in a row, since a page came or may go */
    struct hot_pages hot;
    struct ahead ahead;
    struct frames_tuning tuning;
    uint32_t unpacked_hand, unpacked_chunks;
    uint64_t unpacked_bytes, unpacked_hits, unpacked_misses;
    /* counters, see struct frames_stats */
    uint64_t copies, demand_reads, tier_hits, evictions, flushes,
        blocking_reads, parked, ahead_issued, ahead_used, ahead_wasted,
        ahead_late;
};

static inline struct frames_all *
frames_all(struct frames *fr)
{
    struct frames_all *all;

    NQ_CAST(all, nq_container(fr, struct frames_all, pub), FRAMES_MAGIC);
    return all;
}

static inline bool
frame_is_mark(uint32_t f)
{
    return f == 0 || f >= FRAME_MARK0;
}

static inline bool
frame_is_chunk(uint32_t f)
{
    return f >= FRAME_CHUNK0 && f < FRAME_MARK0;
}

static inline struct frame *
frame_get(struct frames_all *all, uint32_t f)
{
    if (frame_is_chunk(f))
        return &all->chunk[f - FRAME_CHUNK0].frame;
    nq_dassert(f > 0 && f < all->frames_top);
    return &all->frame[f];
}

static inline uint8_t *
frame_bytes(struct frames_all *all, uint32_t f)
{
    return all->pub.base + ((size_t)f << all->pub.page_shift);
}

static inline bool
frame_is_mapped(const struct frames_all *all, uint32_t f, const struct frame *m)
{
    return all->pub.frame_of[m->id] == f;
}

/* Dirty from before the unfinished cut. */
static inline bool
frame_is_in_cut(const struct frames_all *all, const struct frame *m)
{
    return all->cut_running && m->list == 2 - all->current;
}

/* May its bytes be changed where they are? (I1) */
static inline bool
frame_is_mutable(const struct frames_all *all, const struct frame *m)
{
    return m->pins == 0 && !m->is_flushing && !frame_is_in_cut(all, m);
}

/* May its page be given up? (E2) */
static inline bool
frame_is_evictable(const struct frames_all *all, uint32_t f,
                   const struct frame *m)
{
    return m->id != 0 && m->list == FRAME_ON_NONE && m->pins == 0 &&
           m->holds == 0 && !m->is_flushing && !m->is_hot &&
           frame_is_mapped(all, f, m);
}

/* Debug builds keep bytes that must not change (I1) write-protected, as long
 * as the pool is small; elsewhere these do nothing. */
#ifdef NQ_DEBUG
void frame_protect(struct frames_all *all, uint32_t f);
void frame_unprotect(struct frames_all *all, uint32_t f);
#else
static inline void
frame_protect(struct frames_all *all, uint32_t f)
{
    (void)all;
    (void)f;
}
static inline void
frame_unprotect(struct frames_all *all, uint32_t f)
{
    (void)all;
    (void)f;
}
#endif

#define USE_NOTED 1u   /* in `noted`, or need not be */
#define USE_FLUSHER 2u /* since the flusher looked */
#define USE_WALKED 4u  /* noted for a walk that passes */

/* The page of `f` has become resident, or is mapped no more: for the
 * policy. */
void frame_enter(struct frames_all *all, uint32_t f, enum policy_origin origin);
void frame_leave(struct frames_all *all, uint32_t f);
/* The page of `f` is now that of `g`. */
void frame_succeed(struct frames_all *all, uint32_t f, uint32_t g);
/* Nothing may keep the frame any more: it takes part in eviction again. */
void frame_may_go(struct frames_all *all, uint32_t f);
/* A walk has come to the leaf, in this turn. */
void frames_note_walk(struct frames_all *all, pgno leaf);
/* Those frames that were used and noted, to the policy. */
void frames_drain_uses(struct frames_all *all);
void frames_use_init(struct frames_all *all);
void frames_evict_init(struct frames_all *all, enum policy_kind kind);
void frames_evict_fini(struct frames_all *all);

/* A frame without a page: never fails (borrows beyond the pool). */
uint32_t frame_take(struct frames_all *all, pgno id, enum page_kind kind);
/* Zeroed bytes cost no memory until they are written, if they are many. */
uint32_t chunk_take(struct frames_all *all, pgno id, uint32_t len, uint32_t cap,
                    bool zeroed);
/* Gives the memory back if nobody holds the frame any more: not mapped, not
 * pinned, not flushing, not part of the cut. */
void frame_drop_if_unused(struct frames_all *all, uint32_t f);
void chunk_release(struct frames_all *all, uint32_t f);
/* One of `len` bytes that were allocated already. */
uint32_t chunk_adopt(struct frames_all *all, pgno id, uint8_t *bytes,
                     uint32_t len);
/* The chunk's bytes are, or are no more, the unpacked form of its extent. */
void chunk_set_unpacked(struct frames_all *all, uint32_t f, bool on);
/* The page of `f` has moved to another frame, or is gone. */
void frame_unmapped(struct frames_all *all, uint32_t f);
/* Puts it on the dirty list of the running epoch. */
void frame_set_dirty(struct frames_all *all, uint32_t f);
void frame_unlist(struct frames_all *all, uint32_t f);
pgno frames_take_id(struct frames_all *all);
/* For rebuilding at open: `id` is in use, or (free) may be handed out. */
void frames_set_next_id(struct frames_all *all, pgno next_id);
void frames_add_free_id(struct frames_all *all, pgno id);
void id_push(struct id_stack *s, pgno id);
/* Bytes that the frame or chunk takes. */
uint64_t frame_weight(struct frames_all *all, uint32_t f);

static inline struct chunk *
chunk_get(struct frames_all *all, uint32_t f)
{
    nq_dassert(frame_is_chunk(f));
    return &all->chunk[f - FRAME_CHUNK0];
}

static inline uint64_t
frames_used_bytes(const struct frames_all *all)
{
    return ((uint64_t)all->used << all->pub.page_shift) + all->chunk_bytes;
}

/* Pool size, and shares of it; 0: the defaults. */
void frames_set_limits(struct frames_all *all, uint64_t pool_bytes,
                       double dirty_soft, double dirty_hard);
/* O(1): all dirty frames now belong to the cut. */
void frames_cut(struct frames_all *all);
/* With !done what is left of it is dirty again. */
void frames_cut_end(struct frames_all *all, bool done);

/* frames_read.c.  `id` is not resident, `e` is its entry; afterwards it is
 * resident, or marked, or (EIO) neither. */
NQ_MUST_USE nq_rc frames_read_now(struct frames_all *all, pgno id,
                                  struct entry e);
/* The same if the kernel has it in memory; else false. */
bool frames_read_tier(struct frames_all *all, pgno id, struct entry e);
/* The page's extent is damaged, but its bytes are known: those in memory, or
 * `got` (not NULL), which was rebuilt.  Makes it dirty. */
void frames_mend(struct frames_all *all, pgno id, struct entry e,
                 const struct extent_got *got);
/* By a worker; `id` is FRAME_LOADING until then.  It is on its way when those
 * that were begun are sent. */
void frames_read_begin(struct frames_all *all, pgno id, struct entry e,
                       enum policy_origin origin);
void frames_read_send(struct frames_all *all);
/* `w` waits for it too (w->pending), and is told by frames_wait_arrived(). */
void frames_read_wait(struct frames_all *all, pgno id, struct frames_wait *w);
void frames_read_forget(struct frames_all *all, const struct frames_wait *w);
/* The page is freed, or read otherwise, while it is being read. */
void frames_read_cancel(struct frames_all *all, pgno id);
/* About what the page will take in memory. */
uint64_t frames_read_weight(const struct frames_all *all, struct entry e);

/* frames_fetch.c.  One read that `w` waited for has ended; id 0: the page is
 * gone. */
void frames_wait_arrived(struct frames_all *all, struct frames_wait *w, pgno id,
                         nq_rc rc);
/* No room even for what is read ahead. */
bool frames_is_crowded(const struct frames_all *all);

/* frames_ahead.c.  No page of the database is on disk only, or almost. */
bool frames_are_all_resident(const struct frames_all *all);
/* Whether it makes sense now. */
bool frames_may_read_ahead(const struct frames_all *all);
/* Reads those that neither we nor the kernel have in memory. */
void frames_ahead(struct frames_all *all, const pgno *ids, unsigned n);

/* Gives back what parked commands and reads hold; no job may be under way. */
void frames_fetch_fini(struct frames_all *all);
/* Lets commands that wait for room try again, if there is some. */
void frames_start_waiting(struct frames_all *all);
/* Dirty pages against their hard limit: above 1.0 writers must stop. */
double frames_dirty_share(const struct frames_all *all);
/* Blocking: until the pool is within its size, as far as that can be. */
void frames_wait_for_room(struct frames_all *all);

#endif
