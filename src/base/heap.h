/* base/heap.h - an intrusive binary heap: the node with the least key first,
 * any node removed in O(log n).  For deadlines.  One thread a heap. */
#ifndef NQ_BASE_HEAP_H
#define NQ_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    uint64_t key;
    size_t at; /* private: place + 1; 0: in no heap */
};

struct heap {
    struct heap_node **nodes;
    size_t count, cap;
};

#define HEAP_INIT ((struct heap){NULL, 0, 0})

/* Frees the array, not its nodes. */
void heap_fini(struct heap *h);
/* `n` is zeroed or was removed, and stays where it is until removed. */
void heap_insert(struct heap *h, struct heap_node *n, uint64_t key);
/* Does nothing with a node that is in no heap. */
void heap_remove(struct heap *h, struct heap_node *n);

static inline bool
heap_has(const struct heap_node *n)
{
    return n->at != 0;
}

/* NULL: it is empty. */
static inline struct heap_node *
heap_first(const struct heap *h)
{
    return h->count == 0 ? NULL : h->nodes[0];
}

#endif
