/* store/key_scan.h - whether any extent in use wants an old data key: looked
 * up in all headers on the disk, before those keys are forgotten for good.
 *
 * Loop thread only; workers read. */
#ifndef NQ_STORE_KEY_SCAN_H
#define NQ_STORE_KEY_SCAN_H

#include "base/rc.h"
#include "store/pgno.h"

#include <stdint.h>

struct key_scan;
struct store;

/* Extents sealed with a key below `least`, or not at all, are looked for. */
struct key_scan *key_scan_new(struct store *st, uint32_t least);
void key_scan_free(struct key_scan *k); /* of NULL: does nothing */

/* A slice, never waits.  NQ_AGAIN: see key_scan_wait_ms().  NQ_OK: over;
 * *found is the first page that has one, now or in the last checkpoint, or
 * 0.  NQ_EIO. */
NQ_MUST_USE nq_rc key_scan_turn(struct key_scan *k, pgno *found);
/* As rewrite_wait_ms(). */
int key_scan_wait_ms(const struct key_scan *k);
/* Headers are small, but come with a page of the file system each. */
void key_scan_set_rate(struct key_scan *k, uint64_t bytes_per_s);

#endif
