/* tests/lib/kv_model.c - the sorted array. */
#include "kv_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/mem.h"

struct slice
kv_key(const struct kv_item *it)
{
    return slice_of(it->key, it->key_len);
}

size_t
kv_lower(const struct kv_model *m, struct slice key)
{
    size_t lo = 0, hi = m->count;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (slice_cmp(kv_key(&m->items[mid]), key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

bool
kv_has(const struct kv_model *m, size_t at, struct slice key)
{
    return at < m->count && slice_eq(kv_key(&m->items[at]), key);
}

void
kv_drop(struct kv_model *m, size_t at)
{
    nq_free(m->items[at].key);
    nq_free(m->items[at].val);
    memmove(&m->items[at], &m->items[at + 1],
            (m->count - at - 1) * sizeof m->items[0]);
    m->count--;
}

void
kv_put(struct kv_model *m, struct slice key, const struct record *r)
{
    size_t at = kv_lower(m, key);

    if (!kv_has(m, at, key)) {
        memmove(&m->items[at + 1], &m->items[at],
                (m->count - at) * sizeof m->items[0]);
        m->count++;
        m->items[at].key = nq_memdup(key.p, key.len + 1);
        m->items[at].key_len = key.len;
    } else {
        nq_free(m->items[at].val);
    }
    m->items[at].val = nq_malloc(r->val.len + 1);
    memcpy(m->items[at].val, r->val.p, r->val.len);
    m->items[at].val_len = r->val.len;
    m->items[at].expire_ms = r->expire_ms;
    m->items[at].type = r->type;
    m->items[at].flags = r->flags;
}

void
kv_assert_same(const struct kv_item *it, const struct record *rec)
{
    assert_int_equal(it->val_len, rec->val.len);
    assert_memory_equal(it->val, rec->val.p, it->val_len);
    assert_true(it->expire_ms == rec->expire_ms);
    assert_int_equal(it->type, rec->type);
    assert_int_equal(it->flags, rec->flags);
}
