/* base/hash.h - keyed hashing and an intrusive chained hash table.
 *
 * Tables are keyed by bytes that clients choose, so the hash is SipHash-1-3
 * (Aumasson and Bernstein, 2012) with a key drawn at start.  One thread a
 * table. */
#ifndef NQ_BASE_HASH_H
#define NQ_BASE_HASH_H

#include "base/slice.h"

/* Draws the key; without it the key is fixed, which tests like. */
void hash_seed_random(void);
uint64_t hash_bytes(struct slice s);
uint64_t hash_u64(uint64_t v);

struct hash_node {
    struct hash_node *next;
    uint64_t hash;
};

struct hash {
    struct hash_node **slots;
    size_t mask, count;
};

#define HASH_INIT ((struct hash){NULL, 0, 0})

/* Frees the table, not its nodes. */
void hash_fini(struct hash *h);

/* The first node whose hash is `hv` and for which eq(node, key) is true. */
struct hash_node *hash_find(const struct hash *h, uint64_t hv,
                            bool (*eq)(const struct hash_node *, const void *),
                            const void *key);
/* `n` must stay where it is until removed. */
void hash_insert(struct hash *h, struct hash_node *n, uint64_t hv);
void hash_remove(struct hash *h, struct hash_node *n);

/* Visits every node; `fn` may remove the node it is given, nothing else. */
void hash_each(struct hash *h, void (*fn)(struct hash_node *, void *),
               void *arg);

#endif
