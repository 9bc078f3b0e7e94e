/* store/rotate.h - keys of an encrypted store replaced while it is used.
 *
 * Loop thread only.
 *
 * The master key: the data keys are sealed with another one, which is a file
 * of some hundred bytes written anew.
 *
 * Data keys: a fresh one is begun, all extents are written again with it
 * (store/rewrite.h), a checkpoint is taken, and the older keys are forgotten.
 * Where it stands is part of every checkpoint, so after a crash it goes on
 * there (rotate_is_due).  The same finishes the switch of a database that was
 * in the clear: what is free in the data file is overwritten at the end, as
 * it may hold what was there before. */
#ifndef NQ_STORE_ROTATE_H
#define NQ_STORE_ROTATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rc.h"

struct store;

struct rotate_stats {
    bool is_on;       /* what is written is encrypted */
    bool is_complete; /* and nothing else is in the database */
    bool is_due;      /* a rotation of data keys is not finished */
    uint32_t keys, oldest, current;
    uint64_t oldest_ms, current_ms; /* when they were made, wall clock */
    uint64_t extents, frames;       /* sealed since the store was opened */
};
void rotate_get_stats(const struct store *st, struct rotate_stats *out);

/* --- the master key ------------------------------------------------------- */

#define ROTATE_WHY 512u

/* Fetches a key of 32 bytes; on a worker.  A failure says why, in at most
 * ROTATE_WHY bytes. */
typedef nq_rc rotate_fetch_fn(void *arg, uint8_t *key, char *why);
typedef void rotate_done_fn(void *arg, nq_rc rc, const char *why);

/* Seals the data keys with the key that `fetch` gives; then done(arg), on the
 * loop.  NQ_EINVAL: not encrypted, no key, or the key that is in use; NQ_EIO,
 * NQ_ENOSPC: keys.nq could not be written, and either key may be the right
 * one: both are to be kept. */
void rotate_master(struct store *st, rotate_fetch_fn *fetch, void *fetch_arg,
                   rotate_done_fn *done, void *arg);

/* --- data keys ------------------------------------------------------------ */

struct rotate;

/* One was begun and is not done, or the switch from the clear is not. */
bool rotate_is_due(const struct store *st);
/* Begins one, or goes on with the one that is due.  One at a time.
 * NQ_EINVAL: the store is not encrypted. */
NQ_MUST_USE nq_rc rotate_new(struct store *st, struct rotate **out);
/* What was not finished stays due. */
void rotate_free(struct rotate *r); /* of NULL: does nothing */

/* A slice, never waits.  NQ_AGAIN: see rotate_wait_ms().  NQ_OK: one data key
 * is left, or few.  NQ_ECORRUPT: some pages could not be read; the old keys
 * are kept.  Other failures: it stays due, from where it stood. */
NQ_MUST_USE nq_rc rotate_turn(struct rotate *r);
/* As rewrite_wait_ms(). */
int rotate_wait_ms(const struct rotate *r);
void rotate_set_rate(struct rotate *r, uint64_t bytes_per_s);

struct rotate_progress {
    const char *phase; /* static */
    uint64_t pages, total;
    uint64_t damaged;
};
void rotate_get_progress(const struct rotate *r, struct rotate_progress *out);

#endif
