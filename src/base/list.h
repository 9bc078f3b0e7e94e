/* base/list.h - doubly linked intrusive list with a head.  One thread. */
#ifndef NQ_BASE_LIST_H
#define NQ_BASE_LIST_H

#include "base/check.h"

struct list {
    struct list *prev, *next;
};

static inline void
list_init(struct list *l)
{
    l->prev = l->next = l;
}

static inline int
list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void
list_insert(struct list *at, struct list *node)
{
    node->prev = at->prev;
    node->next = at;
    at->prev->next = node;
    at->prev = node;
}

#define list_push_back(head, node) list_insert((head), (node))
#define list_push_front(head, node) list_insert((head)->next, (node))

/* Leaves the node pointing at itself, so removing twice does no harm. */
static inline void
list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* The first node, unlinked; NULL if there is none. */
static inline struct list *
list_pop_front(struct list *head)
{
    struct list *node = head->next;

    if (node == head)
        return NULL;
    list_remove(node);
    return node;
}

/* Moves all nodes of `from` to the end of `to`. */
static inline void
list_take_all(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

/* The body may remove `it`, and nothing else. */
#define list_each(it, head)                                                    \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head);  \
         it = it##_next, it##_next = it->next)

#endif
