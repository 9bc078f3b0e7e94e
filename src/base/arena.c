/* base/arena.c - a chain of blocks; the first is kept across resets. */
#include "base/arena.h"

#include <string.h>

#include "base/mem.h"

#define BLOCK_SIZE (64 * 1024)

struct arena_block {
    struct arena_block *next;
    size_t size;
    _Alignas(16) unsigned char bytes[];
};

static struct arena_block *
block_new(size_t size)
{
    struct arena_block *b = nq_malloc(sizeof *b + size);

    b->next = NULL;
    b->size = size;
    return b;
}

void *
arena_alloc(struct arena *a, size_t size)
{
    void *p;

    size = (size + 15) & ~(size_t)15;
    if (a->now == NULL || a->now->size - a->used < size) {
        struct arena_block *b =
            block_new(size > BLOCK_SIZE ? size : BLOCK_SIZE);

        if (a->first == NULL)
            a->first = b;
        else
            a->now->next = b;
        a->now = b;
        a->used = 0;
    }
    p = a->now->bytes + a->used;
    a->used += size;
    return p;
}

void *
arena_memdup(struct arena *a, const void *p, size_t n)
{
    void *q = arena_alloc(a, n);

    if (n > 0)
        memcpy(q, p, n);
    return q;
}

void
arena_reset(struct arena *a)
{
    struct arena_block *b;

    if (a->first == NULL)
        return;
    if (a->first->size > BLOCK_SIZE) {
        arena_fini(a);
        return;
    }
    b = a->first->next;
    while (b != NULL) {
        struct arena_block *next = b->next;

        nq_free(b);
        b = next;
    }
    a->first->next = NULL;
    a->now = a->first;
    a->used = 0;
}

void
arena_fini(struct arena *a)
{
    struct arena_block *b = a->first;

    while (b != NULL) {
        struct arena_block *next = b->next;

        nq_free(b);
        b = next;
    }
    *a = ARENA_INIT;
}
