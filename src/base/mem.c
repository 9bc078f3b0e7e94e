/* base/mem.c - counted malloc that cannot fail. */
#include "base/mem.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MMAP_FROM (4 << 20) /* chunks of values are smaller */

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

void *
nq_malloc(size_t size)
{
    return account(malloc(size == 0 ? 1 : size), size);
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
    if (p == NULL)
        return;
    unaccount(p);
    free(p);
}

void
mem_keep_freed(void)
{
    mallopt(M_TRIM_THRESHOLD, -1);
    mallopt(M_MMAP_THRESHOLD, MMAP_FROM);
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
