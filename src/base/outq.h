/* base/outq.h - bytes on their way to one client: copied bytes in pooled
 * blocks, big values by reference, and gates that hold replies back until
 * the log has what they depend on.
 *
 * Loop thread.  An empty queue holds no memory.  Positions are offsets in
 * the whole stream ever put, so they never move. */
#ifndef NQ_BASE_OUTQ_H
#define NQ_BASE_OUTQ_H

#include <sys/uio.h>

#include "base/slice.h"

struct outq_block;
struct outq_gate_entry;

struct outq {
    struct outq_block *first, *last;
    struct outq_gate_entry *gates; /* ring, by rising position */
    uint32_t gate_head, gate_count, gate_cap;
    uint64_t put;   /* stream position behind the last byte put */
    uint64_t sent;  /* behind the last byte handed to the kernel */
    uint64_t bytes; /* memory held: blocks and references, for limits */
};

#define OUTQ_INIT ((struct outq){0})

/* Drops everything, releasing references. */
void outq_fini(struct outq *q);

/* At least `n` (at most 4096) contiguous bytes to write into; then commit
 * what was used.  This is the hot path: inline as long as the block has
 * room. */
uint8_t *outq_reserve(struct outq *q, size_t n);
void outq_commit(struct outq *q, size_t n);
void outq_put(struct outq *q, const void *p, size_t n);
/* Sends [p, p+n) from where it stands; release(arg, n) is called when it has
 * left or the queue is dropped. */
void outq_ref(struct outq *q, const void *p, size_t n,
              void (*release)(void *arg, size_t n), void *arg);

/* Takes back everything put since `mark` (an earlier q->put, not yet sent). */
void outq_rewind(struct outq *q, uint64_t mark);

/* Bytes at and behind `mark` may leave only once the log is settled past
 * `lsn`.  Marks come in rising order. */
void outq_gate(struct outq *q, uint64_t mark, uint64_t lsn);

/* Fills up to `max` vectors with what may leave when the log is settled up
 * to `settled`; returns how many. */
int outq_peek(struct outq *q, uint64_t settled, struct iovec *iov, int max);
void outq_consume(struct outq *q, size_t n);

static inline bool
outq_is_empty(const struct outq *q)
{
    return q->put == q->sent;
}

#endif
