/* store/frames_hot.h - pages that stay because they are used so often.
 *
 * Loop thread only; for the files of the frame pool.  Uses are counted for
 * each frame, and halved whenever 32 uses for each frame of the pool have been
 * counted.  A tree page with `threshold` of them is hot: it is not evicted
 * until less than half of that is left.  Hot pages take at most `cap` bytes. */
#ifndef NQ_STORE_FRAMES_HOT_H
#define NQ_STORE_FRAMES_HOT_H

#include <stdint.h>

struct frames_all;

struct frame_heat; /* of one frame */

struct hot_pages {
    uint32_t threshold; /* 0: no page is hot */
    uint64_t cap;
    struct frame_heat *heat; /* by frame */
    uint32_t *frames;        /* those that are hot */
    uint32_t count, room;
    uint32_t hand;  /* which of them is looked at next */
    uint64_t uses;  /* counted in this round */
    uint16_t round; /* halvings so far */
};

void hot_init(struct frames_all *all);
void hot_fini(struct frames_all *all);
/* Another page is in the frame. */
void hot_reset(struct frames_all *all, uint32_t f);
/* The page of `f` is now that of `g`. */
void hot_succeed(struct frames_all *all, uint32_t f, uint32_t g);
/* One use more. */
void hot_count(struct frames_all *all, uint32_t f);
/* The frame is hot, and is that no more. */
void hot_let_go(struct frames_all *all, uint32_t f);
/* Lets go a few of those that have cooled down: call it now and then. */
void hot_cool_some(struct frames_all *all);

#endif
