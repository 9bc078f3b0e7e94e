/* store/rewrite.h - extents written once more, somewhere else, though nobody
 * changed their pages: for compaction, new keys, new codec settings.
 *
 * Loop thread only.  The owner calls rewrite_turn() until it is done:
 *
 *   - a worker reads some extents that `pick` chose, checks them and encodes
 *     their pages in the style of now (disk.style); the loop finds places; a
 *     worker writes; the loop enters what was neither changed nor freed
 *     meanwhile.  The frame pool is not touched, however small it is.
 *   - a page that is dirty in memory is left to the flusher, which writes it
 *     in the style of then.  A flush that was under way already is waited for.
 *   - the old extent is free once the next checkpoint is published.
 *
 * So when rewrite_turn() says NQ_OK, and a checkpoint that began later is
 * done, each page that was picked has an extent younger than the start of the
 * rewriting, unless progress counts it as `damaged` or `stayed`. */
#ifndef NQ_STORE_REWRITE_H
#define NQ_STORE_REWRITE_H

#include "base/rc.h"
#include "store/extent.h"

#include <stdbool.h>

struct rewrite;
struct store;

/* Is the page to be written again?  NULL: each one.  Must be pure. */
typedef bool rewrite_pick_fn(void *arg, pgno id, struct entry e);

enum rewrite_place {
    REWRITE_ANYWHERE,
    REWRITE_LOWEST, /* nearest to the beginning of the file */
    REWRITE_DOWN,   /* the same, and before where it was: a page that finds
                       no room there stays */
};

struct rewrite_opts {
    rewrite_pick_fn *pick;
    void *arg;            /* of pick */
    pgno from;            /* where an earlier one stood (progress.next); or 0 */
    uint64_t bytes_per_s; /* of extents written; 0: as fast as it goes */
    enum rewrite_place place;
};

struct rewrite_progress {
    pgno next, end;        /* ids from `next` on are still to be looked at */
    uint64_t pages, bytes; /* written again; bytes of new extents */
    uint64_t old_bytes;    /* what the same pages took before */
    uint64_t damaged;      /* could not be read */
    uint64_t stayed;       /* no room before them */
};

struct rewrite *rewrite_new(struct store *st, const struct rewrite_opts *opts);
/* Cancels what is under way; nothing is lost by that. */
void rewrite_free(struct rewrite *r); /* of NULL: does nothing */

/* A slice of at most half a millisecond; never waits.  NQ_AGAIN: there is
 * more, see rewrite_wait_ms().  NQ_OK: all is looked at and entered.
 * NQ_ENOSPC, NQ_EFULL, NQ_EIO: stopped at progress.next; calling again tries
 * again from there. */
NQ_MUST_USE nq_rc rewrite_turn(struct rewrite *r);
/* After NQ_AGAIN: when to call again.  0: at once; -1: a worker is
 * busy, whose end wakes the loop; else in so many milliseconds. */
int rewrite_wait_ms(const struct rewrite *r);

/* The same rate again changes nothing. */
void rewrite_set_rate(struct rewrite *r, uint64_t bytes_per_s);
void rewrite_get_progress(const struct rewrite *r,
                          struct rewrite_progress *out);

#endif
