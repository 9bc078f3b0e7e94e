/* store/policy_int.h - what the files of the eviction policies share. */
#ifndef NQ_STORE_POLICY_INT_H
#define NQ_STORE_POLICY_INT_H

#include "base/check.h"
#include "store/policy.h"

#define POLICY_MAGIC 0x4e51504cu
#define POLICY_LISTS 5 /* [0] unused */

/* An item, a ghost, or a free number. */
struct item {
    uint32_t next;  /* towards the newer end; of free numbers: the next one */
    uint32_t prev;  /* towards the older end */
    uint32_t chain; /* ghosts: the next one in the same slot of the table */
    pgno id;
    uint32_t owner;
    uint32_t weight;
    uint8_t list;   /* 1 ..; 0: free.  Set aside: the one it goes back to */
    uint8_t uses;   /* what a policy counts */
    uint8_t origin; /* enum policy_origin, as long as its first touch is
                       awaited; else POLICY_USED */
    uint8_t aside;  /* enum item_aside */
};

enum item_aside { ASIDE_NOT, ASIDE_YES, ASIDE_TOUCHED };

/* Items come in at the new end; the old end goes first. */
struct item_list {
    uint32_t newest, oldest;
    uint32_t count;
    uint64_t weight;
    uint64_t aside; /* weight of those that will come back to it */
};

struct policy_ops {
    /* A new item: onto a list.  `was` is the list of ghosts on which its id
     * stood, or 0. */
    void (*insert)(struct policy *p, uint32_t item, unsigned was);
    void (*touch)(struct policy *p, uint32_t item);
    /* May move items about, one for each of *steps, of which there is one at
     * least; somebody is left. */
    uint32_t (*victim)(struct policy *p, unsigned *steps);
    /* The list of ghosts for what is evicted from `list`; 0: none. */
    unsigned (*ghosts_of)(unsigned list);
    /* Ghosts beyond what the policy remembers are dropped. */
    void (*trim)(struct policy *p);
};

struct policy {
    uint32_t magic;
    const struct policy_ops *ops;
    uint64_t capacity;
    uint32_t unit;
    uint64_t target; /* weight: of the recency list, of the small queue */
    struct item *items;
    uint32_t items_cap, items_top, items_free;
    struct item_list lists[POLICY_LISTS];
    uint32_t *ghosts; /* table by id: heads of chains */
    uint32_t ghosts_mask, ghosts_count;
    uint32_t count; /* items, not ghosts */
    uint32_t aside;
};

extern const struct policy_ops policy_lru_ops, policy_clock_ops, policy_2q_ops,
    policy_arc_ops, policy_s3fifo_ops, policy_s3arc_ops;

static inline struct item *
item_get(const struct policy *p, uint32_t item)
{
    nq_dassert(item > 0 && item < p->items_top);
    return &p->items[item];
}

/* What its share of the memory is compared with. */
static inline uint64_t
list_weight(const struct item_list *l)
{
    return l->weight + l->aside;
}

/* Onto the new end of `list`, or to it, from wherever it is. */
void item_push(struct policy *p, uint32_t item, unsigned list);
void item_unlink(struct policy *p, uint32_t item);
static inline void
item_move(struct policy *p, uint32_t item, unsigned list)
{
    item_unlink(p, item);
    item_push(p, item, list);
}
/* The oldest ghosts go until `list` weighs at most `weight`. */
void ghosts_trim(struct policy *p, unsigned list, uint64_t weight);

/* ARC's rule: the target moves towards the list whose ghost came back, the
 * faster the fewer ghosts that list has beside the other. */
void policy_adapt(struct policy *p, uint32_t weight, unsigned was,
                  unsigned recent, unsigned frequent, uint64_t least,
                  uint64_t most);

#endif
