/* store/space.h - which bytes of the data file are in use.
 *
 * Loop thread only, memory only: there is no allocator on disk, the map is
 * rebuilt from the page table at open.  The unit is a sector of 512 bytes;
 * two extents never share one, so a torn sector hurts no neighbour.  Who may
 * free an extent, and when, is the page table's business (I4). */
#ifndef NQ_STORE_SPACE_H
#define NQ_STORE_SPACE_H

#include "base/rc.h"

#include <stdbool.h>
#include <stdint.h>

#define SPACE_SECTOR 512u

struct space;

/* An empty map whose first `reserved` bytes are never handed out. */
struct space *space_new(uint64_t reserved);
void space_delete(struct space *sp); /* space_delete(NULL) does nothing */

/* Takes [off, off+len) as in use, growing the map: for rebuilding it at open.
 * False if some of it is in use already or `off` is no sector. */
NQ_MUST_USE bool space_mark(struct space *sp, uint64_t off, uint64_t len);

/* Makes the map at least as long as a file of `bytes`. */
void space_extend(struct space *sp, uint64_t bytes);

/* A run of at least `min` and at most `want` bytes, rounded up to sectors.
 * NQ_EFULL: the quota; NQ_ENOSPC: growth is forbidden and no hole fits. */
NQ_MUST_USE nq_rc space_alloc(struct space *sp, uint64_t min, uint64_t want,
                              uint64_t *off, uint64_t *len);
/* The first run of at least `min` bytes that ends at or before `below`.  Never
 * grows.  NQ_NOTFOUND: there is none. */
NQ_MUST_USE nq_rc space_alloc_below(struct space *sp, uint64_t min,
                                    uint64_t want, uint64_t below,
                                    uint64_t *off, uint64_t *len);
/* Takes the first free run at or behind `from`, as far as it is in front of
 * `below`, at most `want` bytes of it.  False: there is none. */
NQ_MUST_USE bool space_take_free(struct space *sp, uint64_t from,
                                 uint64_t below, uint64_t want, uint64_t *off,
                                 uint64_t *len);
/* Must be in use, all of it. */
void space_free(struct space *sp, uint64_t off, uint64_t len);
bool space_is_used(const struct space *sp, uint64_t off, uint64_t len);

/* The same from what space_set_max() keeps for parts: tables, catalogs. */
NQ_MUST_USE nq_rc space_alloc_part(struct space *sp, uint64_t bytes,
                                   uint64_t *off);
/* Quota of the file in bytes, 0: none; the last `for_parts` bytes that the
 * file may grow by are for those. */
void space_set_max(struct space *sp, uint64_t max_bytes, uint64_t for_parts);
/* Hands out nothing at or behind `limit` (the file could not be extended);
 * 0 lifts it. */
void space_set_limit(struct space *sp, uint64_t limit);

uint64_t space_end(const struct space *sp);        /* size the file needs */
uint64_t space_used_bytes(const struct space *sp); /* reserved included */
uint64_t space_free_bytes(const struct space *sp); /* holes included */
/* Where the last used sector ends. */
uint64_t space_last_used(const struct space *sp);
/* Takes up to `cap` runs of at least `min` free bytes out of the map, to be
 * punched: as holes they take no space of the disk.  The first `keep` free
 * bytes stay what they are, for writes that must not fail.  Returns how many.
 * They come back by themselves, one at a time, before the file would grow. */
struct space_run {
    uint64_t off, len;
};
unsigned space_punch(struct space *sp, uint64_t min, uint64_t keep,
                     struct space_run *runs, unsigned cap);
/* All of them count as free again. */
void space_unpunch(struct space *sp);
uint64_t space_punched_bytes(const struct space *sp);
/* The next search begins at the beginning: what is rewritten moves there, so
 * that the end becomes free in time. */
void space_rewind(struct space *sp);
/* Forgets the free sectors behind `end`, so that the file may be cut. */
void space_cut(struct space *sp, uint64_t end);

#endif
