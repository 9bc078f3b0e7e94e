/* store/policy.h - which page to give up.
 *
 * Pure bookkeeping, no pages: the same code serves the frame pool
 * (frames_evict.c) and the replay of traces (bench/trace_replay.c).  One
 * thread a policy.  Policies are chosen by name:
 *
 *   lru     least recently used
 *   clock   second chance (Corbato, 1968)
 *   2q      full 2Q (Johnson and Shasha, VLDB 1994): A1in a quarter, A1out
 *           half of the capacity
 *   arc     ARC (Megiddo and Modha, FAST 2003)
 *   s3fifo  S3-FIFO (Yang et al., SOSP 2023): small queue a tenth
 *   s3arc   S3-FIFO whose small queue is sized as ARC sizes its recency list;
 *           the default: best or close to it on all traces
 *
 * What is in memory is an *item*: a number that the policy gives out, good
 * until the item is removed or evicted.  Items weigh what their pages take
 * (or 1 in a trace).  Evicted ids are remembered (ghosts), no more of them
 * than weigh twice the capacity.
 *
 * Memory: 28 bytes an item or ghost, and 4 to 8 for finding it for each ghost
 * of usual weight that there may be. */
#ifndef NQ_STORE_POLICY_H
#define NQ_STORE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "store/pgno.h"

enum policy_kind {
    POLICY_S3ARC, /* what zeroed options choose */
    POLICY_LRU,
    POLICY_CLOCK,
    POLICY_2Q,
    POLICY_ARC,
    POLICY_S3FIFO,
    POLICY_KINDS
};

enum policy_origin {
    POLICY_NEW,     /* a page just made */
    POLICY_FETCHED, /* read because a command asked for it: its first touch is
                       that command's, and does not count as another use */
    POLICY_AHEAD,   /* read before anybody asked: likewise */
    POLICY_USED,    /* its one use so far is this call */
};

struct policy;

/* `unit` is the weight of a usual item. */
struct policy *policy_new(enum policy_kind kind, uint64_t capacity,
                          uint32_t unit);
void policy_free(struct policy *p); /* policy_free(NULL) does nothing */
void policy_set_capacity(struct policy *p, uint64_t capacity);

/* `id` is in memory from now on, at `owner` (the caller's number for it). */
uint32_t policy_insert(struct policy *p, pgno id, uint32_t owner,
                       uint32_t weight, enum policy_origin origin);
/* The item was used. */
void policy_touch(struct policy *p, uint32_t item);
/* It is gone for good: nothing is remembered. */
void policy_remove(struct policy *p, uint32_t item);
/* It has moved to another place in memory. */
void policy_set_owner(struct policy *p, uint32_t item, uint32_t owner);
void policy_set_weight(struct policy *p, uint32_t item, uint32_t weight);

/* Whose turn it is to go; 0: nobody is left, or *steps, of which each item
 * that is looked at takes one, are used up.  The caller does one of the
 * following with it before it asks again. */
uint32_t policy_victim(struct policy *p, unsigned *steps);
/* Its page goes.  *owner gets its place. */
void policy_evict(struct policy *p, uint32_t item);
/* It cannot go now: it is out of the game until policy_put_back(), and is
 * the next to go then unless it was touched meanwhile. */
void policy_set_aside(struct policy *p, uint32_t item);
void policy_put_back(struct policy *p, uint32_t item);
/* Is there one whose turn may come? */
bool policy_has_items(const struct policy *p);
bool policy_is_aside(const struct policy *p, uint32_t item);
/* It is let off: its turn comes again when that of the others has. */
void policy_spare(struct policy *p, uint32_t item);

uint32_t policy_owner(const struct policy *p, uint32_t item);
/* Brought in, and the touch that this was for has not come yet; or, ahead,
 * and nobody has asked for it yet. */
bool policy_is_fresh(const struct policy *p, uint32_t item);
bool policy_is_unused(const struct policy *p, uint32_t item);

struct policy_stats {
    uint64_t items, ghosts, aside;
    uint64_t weight; /* of items, those set aside included */
    uint64_t ghost_weight;
    uint64_t bytes; /* of memory for all this */
};
void policy_get_stats(const struct policy *p, struct policy_stats *out);
/* Every list, weight and ghost against what they should be: for tests. */
void policy_check(const struct policy *p);

const char *policy_name(enum policy_kind kind);
/* False: no policy of that name. */
bool policy_by_name(struct slice name, enum policy_kind *out);

#endif
