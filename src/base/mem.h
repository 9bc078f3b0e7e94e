/* base/mem.h - heap memory.  Running out of memory ends the process with a
 * clear message (the log makes that safe), so callers never test for NULL.
 * Sizes that a client controls are limited before they come here.
 * Any thread. */
#ifndef NQ_BASE_MEM_H
#define NQ_BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

void *nq_malloc(size_t size) __attribute__((malloc, returns_nonnull));
void *nq_calloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *nq_realloc(void *p, size_t size) __attribute__((returns_nonnull));
char *nq_strdup(const char *s) __attribute__((malloc, returns_nonnull));
void *nq_memdup(const void *p, size_t n)
    __attribute__((malloc, returns_nonnull));
void nq_free(void *p); /* nq_free(NULL) does nothing */

/* For a server, once, before there are other threads: what is freed stays
 * with the process, to be used again, until malloc_trim().  Giving it back
 * takes milliseconds whenever the end of the heap becomes free, and happens in
 * the middle of anything.  Blocks of 128 KiB and more are given back at once,
 * but for 8 MiB of them. */
void mem_keep_freed(void);

/* Calls of nq_malloc, nq_calloc and nq_realloc since the start: the test
 * "a GET allocates nothing" looks at this. */
uint64_t mem_allocations(void);
/* Bytes held through this module now, as the allocator rounds them. */
uint64_t mem_used(void);

#endif
