/* store/quota.h - storage.max_size: who may still take space.
 *
 * Loop thread only.  Near the limit three things happen in turn, as the room
 * that is left shrinks:
 *
 *   below 2 reserves   pinned checkpoints are broken (store/pin.h), and there
 *                      is a checkpoint, which frees what the last one kept
 *   below 1 reserve    what takes more space is refused (store_writable);
 *                      deleting, and packing, go on
 *   below half of one  those wait for a checkpoint (store_is_tight)
 *
 * So a checkpoint always finds room for what is dirty, and what was deleted
 * comes back: writes go on by themselves. */
#ifndef NQ_STORE_QUOTA_H
#define NQ_STORE_QUOTA_H

#include "base/rc.h"

#include <stdbool.h>
#include <stdint.h>

struct store;

struct quota {
    uint64_t max;       /* 0: none */
    uint64_t published; /* bytes in use after the last checkpoint */
    uint64_t next_us;   /* monotonic: no checkpoint is asked for before */
};

void quota_set(struct store *st, uint64_t max_bytes);
/* A checkpoint is done: what it found in use is what the next one needs room
 * beside, even if the limit was lowered meanwhile. */
void quota_published(struct store *st);
/* NQ_OK or NQ_EFULL: may a command take more space? */
NQ_MUST_USE nq_rc quota_may_grow(const struct store *st);
/* Once a turn: asks for checkpoints. */
void quota_turn(struct store *st);
/* Less than two reserves are left. */
bool quota_is_short(const struct store *st);
/* A checkpoint must free space before anything else is changed. */
bool quota_is_tight(const struct store *st);
/* How many bytes maintenance may have written again, or dirtied, when it is to
 * wait for a checkpoint; UINT64_MAX: there is no quota. */
uint64_t quota_slack(const struct store *st);

#endif
