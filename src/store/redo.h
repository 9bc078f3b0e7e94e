/* store/redo.h - pages to be written once more, because a sync of the data
 * file failed.
 *
 * After a failed sync the kernel may have dropped what it could not write and
 * call it clean; so every extent written since the last good sync is in
 * doubt.  Their pages are made dirty again, those that were evicted meanwhile
 * are read back (and checked) first.  Loop thread only. */
#ifndef NQ_STORE_REDO_H
#define NQ_STORE_REDO_H

#include "store/frames.h"

struct disk;

struct redo {
    struct frames_wait wait;
    struct disk *disk;
    pgno *ids; /* still to be made dirty */
    uint32_t count, cap;
    uint32_t fetched; /* the last so many of ids are being read */
};

void redo_collect(struct redo *r, struct disk *d);
void redo_turn(struct redo *r, struct disk *d);
bool redo_is_done(const struct redo *r);
void redo_fini(struct redo *r);

#endif
