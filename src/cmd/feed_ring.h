/* cmd/feed_ring.h - messages ready to be sent, in their order, shared by all
 * who are to get them.
 *
 * One thread.  A message is bytes in a chunk that it has in common with its
 * neighbours, so several go out by one reference.  Messages are numbered from
 * 1 without gaps; the ring holds numbers [first, end). */
#ifndef NQ_CMD_FEED_RING_H
#define NQ_CMD_FEED_RING_H

#include "base/check.h"
#include "base/slice.h"
#include "store/pgno.h"

#define FEED_CHUNK_BYTES 16384u

/* Bytes that several refer to; those behind `len` are still to be written. */
struct feed_chunk {
    uint32_t refs;
    size_t len, cap;
    uint8_t bytes[];
};

struct feed_chunk *feed_chunk_new(size_t bytes);
static inline struct feed_chunk *
feed_chunk_ref(struct feed_chunk *c)
{
    c->refs++;
    return c;
}
void feed_chunk_unref(struct feed_chunk *c); /* of NULL: does nothing */
/* A chunk with room for `n` more bytes: *c, or a new one in its place. */
struct feed_chunk *feed_chunk_room(struct feed_chunk **c, size_t n);

struct feed_entry {
    lsn at;
    struct feed_chunk *chunk; /* one reference */
    uint32_t from, len;
};

struct feed_ring {
    struct feed_entry *entries; /* a power of two of places; NULL: none */
    uint32_t cap;
    uint64_t first, end; /* numbers; equal: it is empty */
    uint64_t bytes;      /* of the messages in it */
    lsn base;            /* position of the last one that left it, or 0 */
    struct feed_chunk *last;
};

void feed_ring_init(struct feed_ring *r);
void feed_ring_fini(struct feed_ring *r);
/* Appends a copy of the message, which belongs to position `at`. */
void feed_ring_put(struct feed_ring *r, lsn at, struct slice head,
                   struct slice body, struct slice tail);
/* Lets go of all before number `first`. */
void feed_ring_trim(struct feed_ring *r, uint64_t first);

static inline const struct feed_entry *
feed_ring_at(const struct feed_ring *r, uint64_t number)
{
    nq_dassert(number >= r->first && number < r->end);
    return &r->entries[number & (r->cap - 1)];
}

/* From message `number` on, as many as lie behind each other and have at most
 * `limit` bytes, but at least one: how many, and *len bytes. */
uint64_t feed_ring_run(const struct feed_ring *r, uint64_t number, size_t limit,
                       size_t *len);

#endif
