/* store/checkpoint.h - the life of a checkpoint.
 *
 * Loop thread only; driven by store_turn().  The contract for those above is
 * in store.h. */
#ifndef NQ_STORE_CHECKPOINT_H
#define NQ_STORE_CHECKPOINT_H

#include "base/buf.h"
#include "base/sm.h"
#include "os/pool.h"
#include "store/redo.h"
#include "store/store.h"
#include "store/superblock.h"

struct ckpt_request;

struct checkpoint {
    struct sm sm; /* enum store_ckpt */
    struct store *st;
    struct ckpt_request *asked;   /* for the next one */
    struct ckpt_request *running; /* for this one */
    bool is_asked;
    uint64_t retry_us; /* after a failure: not before */
    lsn look_at;       /* the space left on the disk: not before */
    unsigned failures; /* in a row */
    struct superblock next;
    struct part *part;  /* of the table, in `next`, to be written; or NULL */
    struct buf catalog; /* as of the cut */
    bool is_planned;    /* `next` names space that it owns */
    bool was_limited;   /* when that was found: see flush_set_limited() */
    struct redo redo;   /* what a failed sync left in doubt */
    struct job job;
    bool job_running;
    nq_rc job_rc;
    uint64_t grow_from, grow_to;
    nq_rc grow_rc;
    uint64_t started_us;
    uint32_t pages_at_cut;
    struct store_stats stats; /* the part that is about checkpoints */
};

void checkpoint_init(struct checkpoint *c, struct store *st);
void checkpoint_fini(struct checkpoint *c);
void checkpoint_ask(struct checkpoint *c, void (*done)(void *arg, nq_rc rc),
                    void *arg);
/* Moves on as far as it can without waiting. */
void checkpoint_turn(struct checkpoint *c);
bool checkpoint_is_running(const struct checkpoint *c);
/* A job of its own is under way: nothing may be closed yet. */
bool checkpoint_is_busy(const struct checkpoint *c);

#endif
