/* store/wal_buffer.c - committed frames on their way to the log thread.
 *
 * A list of chunks.  The loop builds each frame in place in the last chunk;
 * one that outgrows it moves, unfinished, to a new chunk with room for it,
 * however large.  The log thread reads from `reader` on.  Chunks that are
 * written are used again; under a light load all frames fit the beginning of
 * one chunk, and little memory is ever touched.
 *
 * I1  Frames of a chunk are contiguous in LSN: byte n of it is LSN base + n.
 * I2  A frame is never split between chunks.
 * I3  The log thread looks at chunks only while something is committed and
 *     not written; so with all of it written the loop may change anything.
 * I4  A chunk is freed early only when something behind it is written: the
 *     log thread has left it then. */
#include "store/wal_int.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"

#ifdef NQ_HARSH
#define CHUNK_SIZE ((size_t)4 << 10)
#else
#define CHUNK_SIZE ((size_t)256 << 10)
#endif
#define CHUNK_MIN ((size_t)4 << 10)
#define IDLE_MAX 8u /* more are given back */

static struct wal_chunk *
chunk_next(const struct wal_chunk *c)
{
    return atomic_load_explicit(&c->next, memory_order_relaxed);
}

static struct wal_chunk *
chunk_new(struct wal_buffer *b, size_t cap, lsn base)
{
    struct wal_chunk *c = b->idle;

    if (c != NULL && cap <= b->chunk_size) {
        b->idle = chunk_next(c);
        b->idle_count--;
    } else {
        cap = nq_max(cap, b->chunk_size);
        c = nq_malloc(sizeof *c + cap);
        c->cap = cap;
    }
    c->base = base;
    atomic_init(&c->end, WAL_NEVER);
    atomic_init(&c->next, NULL);
    return c;
}

/* Keeps some of the usual size for the next time. */
static void
chunk_free(struct wal_buffer *b, struct wal_chunk *c)
{
    if (b->idle_count == IDLE_MAX || c->cap != b->chunk_size) {
        nq_free(c);
        return;
    }
    atomic_store_explicit(&c->next, b->idle, memory_order_relaxed);
    b->idle = c;
    b->idle_count++;
}

static void
free_list(struct wal_chunk *c)
{
    while (c != NULL) {
        struct wal_chunk *next = chunk_next(c);

        nq_free(c);
        c = next;
    }
}

void
wal_buffer_init(struct wal_buffer *b, uint64_t size, lsn position)
{
    memset(b, 0, sizeof *b);
    b->chunk_size = nq_min(CHUNK_SIZE, nq_max(CHUNK_MIN, (size_t)size / 4));
    b->first = b->last = b->reader = chunk_new(b, 0, position);
}

void
wal_buffer_fini(struct wal_buffer *b)
{
    free_list(b->first);
    free_list(b->idle);
    memset(b, 0, sizeof *b);
}

/* Everything is written: begin again at the start of one chunk. */
static void
buffer_reset(struct wal_buffer *b, lsn position)
{
    struct wal_chunk *c = b->last;

    if (c->cap > b->chunk_size) {
        c = chunk_new(b, 0, position);
        atomic_store_explicit(&b->last->next, c, memory_order_relaxed);
        b->last = c;
    }
    while (b->first != c) {
        struct wal_chunk *gone = b->first;

        b->first = chunk_next(gone);
        chunk_free(b, gone);
    }
    c->base = position;
    b->reader = c;
}

void
wal_buffer_reclaim(struct wal_buffer *b, lsn written, lsn position)
{
    if (written == position) {
        if (b->last->base != position || b->first != b->last)
            buffer_reset(b, position);
        return;
    }
    while (b->first != b->last) {
        struct wal_chunk *c = b->first;

        if (atomic_load_explicit(&c->end, memory_order_relaxed) >= written)
            break;
        b->first = chunk_next(c);
        chunk_free(b, c);
    }
}

uint8_t *
wal_buffer_frame(struct wal_buffer *b, lsn position, size_t *cap)
{
    size_t off = position - b->last->base;

    nq_dassert(position >= b->last->base && off <= b->last->cap);
    if (b->last->cap - off < 2 * WAL_FRAME_HEADER)
        return wal_buffer_grow(b, position, 0, 2 * WAL_FRAME_HEADER, cap);
    *cap = b->last->cap - off;
    return b->last->data + off;
}

uint8_t *
wal_buffer_grow(struct wal_buffer *b, lsn position, size_t used, size_t need,
                size_t *cap)
{
    struct wal_chunk *old = b->last;
    struct wal_chunk *c;
    size_t want = used + need;

    /* Only a frame larger than a chunk grows by more than it asks for: half
     * again, so that many appends copy it few times. */
    if (want > b->chunk_size)
        want += want / 2;
    c = chunk_new(b, want, position);
    if (used > WAL_FRAME_HEADER)
        memcpy(c->data + WAL_FRAME_HEADER,
               old->data + (position - old->base) + WAL_FRAME_HEADER,
               used - WAL_FRAME_HEADER);
    atomic_store_explicit(&old->next, c, memory_order_relaxed);
    atomic_store_explicit(&old->end, position, memory_order_relaxed);
    b->last = c;
    *cap = c->cap;
    return c->data;
}

uint8_t *
wal_buffer_run(struct wal_buffer *b, lsn at, lsn committed, uint64_t *len)
{
    struct wal_chunk *c = b->reader;
    lsn end;

    /* A chunk may be empty: a frame began in it and moved on. */
    while ((end = atomic_load_explicit(&c->end, memory_order_relaxed)) <= at) {
        c = chunk_next(c);
        nq_assert(c != NULL);
    }
    b->reader = c;
    nq_assert(at >= c->base && at < committed);
    *len = nq_min(end, committed) - at;
    return c->data + (at - c->base);
}
