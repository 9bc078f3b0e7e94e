/* cmd/feed_ring.c - a ring of entries over chunks that are only appended to.
 *
 * I1 bytes is the sum of the lengths of the entries.
 * I2 `last` is the chunk of the newest entries, as long as there are some:
 *    an empty ring holds no memory but its places.
 *
 * Called by cmd/feed_group, cmd/feed_sub. */
#include "cmd/feed_ring.h"

#include "base/mem.h"

#define FIRST_PLACES 16u

struct feed_chunk *
feed_chunk_new(size_t bytes)
{
    struct feed_chunk *c = nq_malloc(sizeof *c + bytes);

    c->refs = 1;
    c->len = 0;
    c->cap = bytes;
    return c;
}

void
feed_chunk_unref(struct feed_chunk *c)
{
    if (c != NULL && --c->refs == 0)
        nq_free(c);
}

struct feed_chunk *
feed_chunk_room(struct feed_chunk **c, size_t n)
{
    size_t usual = FEED_CHUNK_BYTES - sizeof **c;

    if (*c != NULL && (*c)->cap - (*c)->len >= n)
        return *c;
    feed_chunk_unref(*c);
    *c = feed_chunk_new(nq_max(n, usual));
    return *c;
}

void
feed_ring_init(struct feed_ring *r)
{
    *r = (struct feed_ring){.first = 1, .end = 1};
}

void
feed_ring_fini(struct feed_ring *r)
{
    feed_ring_trim(r, r->end);
    nq_free(r->entries);
    r->entries = NULL;
    r->cap = 0;
}

static void
grow(struct feed_ring *r)
{
    uint32_t cap = r->cap == 0 ? FIRST_PLACES : r->cap * 2;
    struct feed_entry *entries = nq_malloc(cap * sizeof *entries);

    for (uint64_t n = r->first; n < r->end; n++)
        entries[n & (cap - 1)] = *feed_ring_at(r, n);
    nq_free(r->entries);
    r->entries = entries;
    r->cap = cap;
}

static void
append(struct feed_chunk *c, struct slice s)
{
    if (s.len > 0)
        memcpy(c->bytes + c->len, s.p, s.len);
    c->len += s.len;
}

void
feed_ring_put(struct feed_ring *r, lsn at, struct slice head, struct slice body,
              struct slice tail)
{
    size_t len = head.len + body.len + tail.len;
    struct feed_chunk *c = feed_chunk_room(&r->last, len);
    struct feed_entry *e;

    if (r->end - r->first == r->cap)
        grow(r);
    e = &r->entries[r->end++ & (r->cap - 1)];
    *e = (struct feed_entry){at, feed_chunk_ref(c), (uint32_t)c->len,
                             (uint32_t)len};
    append(c, head);
    append(c, body);
    append(c, tail);
    r->bytes += len;
}

void
feed_ring_trim(struct feed_ring *r, uint64_t first)
{
    nq_assert(first <= r->end);
    while (r->first < first) {
        const struct feed_entry *e = feed_ring_at(r, r->first);

        r->base = e->at;
        r->bytes -= e->len;
        feed_chunk_unref(e->chunk);
        r->first++;
    }
    if (r->first < r->end)
        return;
    nq_dassert(r->bytes == 0);
    feed_chunk_unref(r->last);
    r->last = NULL;
}

uint64_t
feed_ring_run(const struct feed_ring *r, uint64_t number, size_t limit,
              size_t *len)
{
    const struct feed_entry *first = feed_ring_at(r, number);
    uint64_t n = 1;

    *len = first->len;
    for (; number + n < r->end; n++) {
        const struct feed_entry *e = feed_ring_at(r, number + n);

        if (e->chunk != first->chunk || *len + e->len > limit)
            break;
        *len += e->len;
    }
    return n;
}
