/* cmd/feed_range.h - ranges of keys, and which of them a key lies in.
 *
 * One thread.  A balanced tree: n ranges of which k hold the key are found in
 * O((k + 1) log n), however many lie elsewhere. */
#ifndef NQ_CMD_FEED_RANGE_H
#define NQ_CMD_FEED_RANGE_H

#include "base/slice.h"

/* Keys k with lo <= k, and k < hi if it has one.  A part of what its owner
 * keeps; lo, hi and has_hi are set before it is put, and stay as they are
 * while it is there. */
struct feed_range {
    struct slice lo, hi;
    bool has_hi;
    /* Private. */
    bool is_put;
    uint32_t weight;
    struct feed_range *left, *right;
    struct feed_range *farthest; /* of this subtree: ends last */
};

struct feed_ranges {
    struct feed_range *root;
    size_t count;
    uint64_t draws; /* of weights */
};

#define FEED_RANGES_INIT ((struct feed_ranges){NULL, 0, 0})

void feed_ranges_put(struct feed_ranges *rs, struct feed_range *r);
/* Does nothing with one that was not put. */
void feed_ranges_remove(struct feed_ranges *rs, struct feed_range *r);
/* Every range that holds the key, by rising lo.  `fn` may neither put nor
 * remove. */
void feed_ranges_at(const struct feed_ranges *rs, struct slice key,
                    void (*fn)(void *arg, struct feed_range *r), void *arg);
/* Every range that has a key with [lo, hi) in common; hi NULL: no end. */
void feed_ranges_across(const struct feed_ranges *rs, struct slice lo,
                        const struct slice *hi,
                        void (*fn)(void *arg, struct feed_range *r), void *arg);

bool feed_range_has(const struct feed_range *r, struct slice key);
/* The order, the weights and the farthest ends of the whole tree. */
void feed_ranges_check(const struct feed_ranges *rs);

#endif
