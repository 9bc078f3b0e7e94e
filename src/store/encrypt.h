/* store/encrypt.h - the keys of one store: opening them, and what of the
 * store is sealed besides extents and log.
 *
 * Loop thread only.  What is on disk in the clear: superblocks and page table
 * (ids, places, lengths, positions of the log: nothing that a user wrote),
 * headers of extents and frames, LOCK. */
#ifndef NQ_STORE_ENCRYPT_H
#define NQ_STORE_ENCRYPT_H

#include "base/buf.h"
#include "base/rc.h"

struct store;

/* Behind the superblock, before all that may be sealed: opens the ring that
 * it wants, into disk.env.  NQ_EKEY, with the reason in the log. */
NQ_MUST_USE nq_rc encrypt_open(struct store *st);
/* For the superblock: number of the key that is sealed with now, or the one
 * that is there if this store seals nothing. */
uint32_t encrypt_key(const struct store *st);

/* The bytes of a catalog, to and from what is on disk. */
NQ_MUST_USE nq_rc encrypt_seal_catalog(struct store *st, struct buf *bytes);
NQ_MUST_USE nq_rc encrypt_open_catalog(struct store *st, uint8_t *bytes,
                                       size_t len, struct slice *plain);

#endif
