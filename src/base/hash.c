/* base/hash.c - SipHash-1-3 and the chained table. */
#include "base/hash.h"

#include <sys/random.h>

#include "base/mem.h"

static uint64_t key0 = 0x0706050403020100, key1 = 0x0f0e0d0c0b0a0908;

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))

static inline void
sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = ROTL(v[1], 13) ^ v[0];
    v[0] = ROTL(v[0], 32);
    v[2] += v[3];
    v[3] = ROTL(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = ROTL(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = ROTL(v[1], 17) ^ v[2];
    v[2] = ROTL(v[2], 32);
}

void
hash_seed_random(void)
{
    uint64_t k[2];

    if (getrandom(k, sizeof k, 0) == (ssize_t)sizeof k) {
        key0 = k[0];
        key1 = k[1];
    }
}

uint64_t
hash_bytes(struct slice s)
{
    uint64_t v[4] = {key0 ^ 0x736f6d6570736575, key1 ^ 0x646f72616e646f6d,
                     key0 ^ 0x6c7967656e657261, key1 ^ 0x7465646279746573};
    uint64_t m, last = (uint64_t)s.len << 56;
    size_t i;

    for (i = 0; i + 8 <= s.len; i += 8) {
        memcpy(&m, s.p + i, 8);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    for (unsigned shift = 0; i < s.len; i++, shift += 8)
        last |= (uint64_t)s.p[i] << shift;
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int r = 0; r < 3; r++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t
hash_u64(uint64_t x)
{
    return hash_bytes(slice_of(&x, sizeof x));
}

void
hash_fini(struct hash *h)
{
    nq_free(h->slots);
    *h = HASH_INIT;
}

static void
resize(struct hash *h, size_t slots)
{
    struct hash_node **fresh = nq_calloc(slots, sizeof *fresh);

    for (size_t i = 0; h->slots != NULL && i <= h->mask; i++) {
        struct hash_node *n = h->slots[i];

        while (n != NULL) {
            struct hash_node *next = n->next;

            n->next = fresh[n->hash & (slots - 1)];
            fresh[n->hash & (slots - 1)] = n;
            n = next;
        }
    }
    nq_free(h->slots);
    h->slots = fresh;
    h->mask = slots - 1;
}

struct hash_node *
hash_find(const struct hash *h, uint64_t hv,
          bool (*eq)(const struct hash_node *, const void *), const void *key)
{
    if (h->count == 0)
        return NULL;
    for (struct hash_node *n = h->slots[hv & h->mask]; n != NULL; n = n->next)
        if (n->hash == hv && eq(n, key))
            return n;
    return NULL;
}

void
hash_insert(struct hash *h, struct hash_node *n, uint64_t hv)
{
    if (h->slots == NULL)
        resize(h, 16);
    else if (h->count > h->mask)
        resize(h, (h->mask + 1) * 2);
    n->hash = hv;
    n->next = h->slots[hv & h->mask];
    h->slots[hv & h->mask] = n;
    h->count++;
}

void
hash_remove(struct hash *h, struct hash_node *n)
{
    struct hash_node **at = &h->slots[n->hash & h->mask];

    while (*at != n)
        at = &(*at)->next;
    *at = n->next;
    h->count--;
}

void
hash_each(struct hash *h, void (*fn)(struct hash_node *, void *), void *arg)
{
    for (size_t i = 0; h->slots != NULL && i <= h->mask; i++) {
        struct hash_node *n = h->slots[i];

        while (n != NULL) {
            struct hash_node *next = n->next;

            fn(n, arg);
            n = next;
        }
    }
}
