/* base/mem.c - counted malloc that cannot fail.
 *
 * Big blocks (parts of values, batches of pages, long requests) are of any
 * size and live for any time: on the heap they leave holes that add up to as
 * much as is in use.  In a server each is a mapping of its own, so that it
 * can be given back whole; a few that were freed are kept for the next ones
 * of about their size, since a mapping is costly to fill. */
#include "base/mem.h"

#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIG (128u << 10)
#define MAPPINGS_MAX                                                           \
    16384 /* of the 65530 that the kernel lets a process have */
#define KEPT_BYTES (8u << 20)
#define KEPT_BLOCKS 32u
#define WASTE_SHARE 8u /* a kept block may be larger by such a part */

static uint64_t allocations;
static uint64_t used;

static void *
account(void *p, size_t size)
{
    if (p == NULL) {
        fprintf(stderr, "nqdb: out of memory allocating %zu bytes\n", size);
        abort();
    }
    __atomic_fetch_add(&allocations, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&used, malloc_usable_size(p), __ATOMIC_RELAXED);
    return p;
}

static void
unaccount(void *p)
{
    __atomic_fetch_sub(&used, malloc_usable_size(p), __ATOMIC_RELAXED);
}

/* --- big blocks that were freed ------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    bool is_on;
    unsigned count;
    size_t bytes;
    void *blocks[KEPT_BLOCKS]; /* the oldest first */
} kept = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *
kept_remove(unsigned i)
{
    void *p = kept.blocks[i];

    kept.count--;
    kept.bytes -= malloc_usable_size(p);
    memmove(&kept.blocks[i], &kept.blocks[i + 1],
            (kept.count - i) * sizeof kept.blocks[0]);
    return p;
}

/* The newest that fits; NULL: none. */
static void *
take_kept(size_t size)
{
    void *p = NULL;

    pthread_mutex_lock(&kept.lock);
    for (unsigned i = kept.count; i-- > 0 && p == NULL;) {
        size_t room = malloc_usable_size(kept.blocks[i]);

        if (room >= size && room - size <= size / WASTE_SHARE)
            p = kept_remove(i);
    }
    pthread_mutex_unlock(&kept.lock);
    return p;
}

static void
free_big(void *p, size_t room)
{
    void *old[KEPT_BLOCKS];
    unsigned n = 0;

    pthread_mutex_lock(&kept.lock);
    while (kept.count > 0 &&
           (kept.count == KEPT_BLOCKS || kept.bytes + room > KEPT_BYTES))
        old[n++] = kept_remove(0);
    kept.blocks[kept.count++] = p;
    kept.bytes += room;
    pthread_mutex_unlock(&kept.lock);
    while (n > 0)
        free(old[--n]);
}

/* --- allocating ----------------------------------------------------------- */

void *
nq_malloc(size_t size)
{
    void *p = size >= BIG && kept.is_on ? take_kept(size) : NULL;

    if (p == NULL)
        p = malloc(size == 0 ? 1 : size);
    return account(p, size);
}

void *
nq_calloc(size_t n, size_t size)
{
    return account(calloc(n == 0 ? 1 : n, size == 0 ? 1 : size), size);
}

void *
nq_realloc(void *p, size_t size)
{
    if (p != NULL)
        unaccount(p);
    return account(realloc(p, size == 0 ? 1 : size), size);
}

char *
nq_strdup(const char *s)
{
    return nq_memdup(s, strlen(s) + 1);
}

void *
nq_memdup(const void *p, size_t n)
{
    void *q = nq_malloc(n);

    if (n > 0)
        memcpy(q, p, n);
    return q;
}

void
nq_free(void *p)
{
    size_t room;

    if (p == NULL)
        return;
    unaccount(p);
    room = kept.is_on ? malloc_usable_size(p) : 0;
    if (room >= BIG && room <= KEPT_BYTES / 2)
        free_big(p, room);
    else
        free(p);
}

void
mem_keep_freed(void)
{
    mallopt(M_TRIM_THRESHOLD, -1);
    mallopt(M_MMAP_THRESHOLD, BIG);
    mallopt(M_MMAP_MAX, MAPPINGS_MAX);
    kept.is_on = true;
}

uint64_t
mem_allocations(void)
{
    return __atomic_load_n(&allocations, __ATOMIC_RELAXED);
}

uint64_t
mem_used(void)
{
    return __atomic_load_n(&used, __ATOMIC_RELAXED);
}
