/* tests/lib/kv_model.h - what a tree must equal: a sorted array of records. */
#ifndef NQ_TESTS_LIB_KV_MODEL_H
#define NQ_TESTS_LIB_KV_MODEL_H

#include "base/slice.h"
#include "store/btree.h"

#define KV_MAX 4000 /* records */

struct kv_item {
    uint8_t *key, *val;
    size_t key_len, val_len;
    uint64_t expire_ms;
    uint8_t type, flags;
};

struct kv_model {
    struct kv_item items[KV_MAX];
    size_t count;
};

struct slice kv_key(const struct kv_item *it);
/* The first item with a key >= `key`. */
size_t kv_lower(const struct kv_model *m, struct slice key);
/* Is the item `at` (kv_lower) that of `key`? */
bool kv_has(const struct kv_model *m, size_t at, struct slice key);
void kv_drop(struct kv_model *m, size_t at);
/* Copies; there is room. */
void kv_put(struct kv_model *m, struct slice key, const struct record *r);
void kv_assert_same(const struct kv_item *it, const struct record *rec);

#endif
