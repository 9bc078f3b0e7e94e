/* cmd/result_cache.h - results of queries over ranges, until a key of the range
 * is written.
 *
 * Loop thread only.  Few and bounded in bytes: those used last stay.  A write
 * outside of all their ranges costs two comparisons, inside of them a few. */
#ifndef NQ_CMD_RESULT_CACHE_H
#define NQ_CMD_RESULT_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct result_cache;

struct result_cache *result_cache_new(void);
void result_cache_free(struct result_cache *c); /* of NULL: nothing */
/* Other data will be there. */
void result_cache_clear(struct result_cache *c);
/* 0: keeps none. */
void result_cache_set_bytes(struct result_cache *c, uint64_t bytes);

/* What the query in `key` (which says all that the result depends on, but the
 * data) came to; NULL: not known.  Borrowed until the next call here. */
void *result_cache_find(struct result_cache *c, struct slice key,
                        uint64_t now_ms);
/* A query begins that reads keys [lo, hi) (hi NULL: no end) of a database.
 * Returns a ticket for result_cache_put(). */
uint64_t result_cache_begin(struct result_cache *c, struct slice key,
                            uint32_t dbi, struct slice lo,
                            const struct slice *hi);
/* It has ended with `value`, which drop() ends the use of.  False: a key of the
 * range was written meanwhile, or it is too long to be kept; the value is still
 * the caller's.  Of no use any more from until_ms on (wall; 0: always). */
bool result_cache_put(struct result_cache *c, uint64_t ticket, void *value,
                      uint64_t bytes, void (*drop)(void *value),
                      uint64_t until_ms);
/* A key was written; key.p NULL: all of the database. */
void result_cache_touch(struct result_cache *c, uint32_t dbi, struct slice key);

struct result_cache_stats {
    uint64_t hits, misses, entries, bytes, invalidated;
};
void result_cache_get_stats(const struct result_cache *c,
                            struct result_cache_stats *out);

#endif
