/* base/arena.h - memory of one request: bump allocation, freed all at once.
 * After the first few requests a reset arena allocates nothing.  One thread. */
#ifndef NQ_BASE_ARENA_H
#define NQ_BASE_ARENA_H

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *first, *now;
    size_t used; /* in `now` */
};

#define ARENA_INIT ((struct arena){NULL, NULL, 0})

/* 16-byte aligned, not zeroed; lives until the next arena_reset. */
void *arena_alloc(struct arena *a, size_t size);
void *arena_memdup(struct arena *a, const void *p, size_t n);

/* Forgets everything; keeps one block, gives back larger ones. */
void arena_reset(struct arena *a);
void arena_fini(struct arena *a);

#endif
