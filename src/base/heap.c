/* base/heap.c - the array of the heap; nodes[i] is never after its children
 * nodes[2i + 1] and nodes[2i + 2]. */
#include "base/heap.h"

#include "base/check.h"
#include "base/mem.h"

#define CAP_MIN 16

void
heap_fini(struct heap *h)
{
    nq_free(h->nodes);
    *h = HEAP_INIT;
}

static void
put(struct heap *h, struct heap_node *n, size_t i)
{
    h->nodes[i] = n;
    n->at = i + 1;
}

static void
sift_up(struct heap *h, struct heap_node *n, size_t i)
{
    for (; i > 0 && h->nodes[(i - 1) / 2]->key > n->key; i = (i - 1) / 2)
        put(h, h->nodes[(i - 1) / 2], i);
    put(h, n, i);
}

static void
sift_down(struct heap *h, struct heap_node *n, size_t i)
{
    size_t child;

    for (; (child = 2 * i + 1) < h->count; i = child) {
        if (child + 1 < h->count &&
            h->nodes[child + 1]->key < h->nodes[child]->key)
            child++;
        if (h->nodes[child]->key >= n->key)
            break;
        put(h, h->nodes[child], i);
    }
    put(h, n, i);
}

static void
resize(struct heap *h, size_t cap)
{
    h->nodes = nq_realloc(h->nodes, cap * sizeof(struct heap_node *));
    h->cap = cap;
}

void
heap_insert(struct heap *h, struct heap_node *n, uint64_t key)
{
    nq_assert(n->at == 0);
    if (h->count == h->cap)
        resize(h, nq_max(h->cap * 2, (size_t)CAP_MIN));
    n->key = key;
    sift_up(h, n, h->count++);
}

void
heap_remove(struct heap *h, struct heap_node *n)
{
    size_t i = n->at - 1;
    struct heap_node *last;

    if (n->at == 0)
        return;
    nq_assert(i < h->count && h->nodes[i] == n);
    n->at = 0;
    last = h->nodes[--h->count];
    if (last != n) {
        if (i > 0 && h->nodes[(i - 1) / 2]->key > last->key)
            sift_up(h, last, i);
        else
            sift_down(h, last, i);
    }
    if (h->cap > CAP_MIN && h->count < h->cap / 4)
        resize(h, h->cap / 2);
}
