/* base/outq.h - bytes on their way to one client: copied bytes in pooled
 * blocks, big values by reference, and gates that hold replies back until
 * the log has what they depend on.
 *
 * Loop thread.  An empty queue holds no memory but for gates that are still
 * shut.  Positions are offsets in the whole stream ever put, so they never
 * move. */
#ifndef NQ_BASE_OUTQ_H
#define NQ_BASE_OUTQ_H

#include <sys/uio.h>

#include "base/check.h"
#include "base/slice.h"

#define OUTQ_MAX_RESERVE 4096

/* Private, but for the inline functions below. */
struct outq_block {
    struct outq_block *next;
    const uint8_t *bytes; /* our own `data`, or what is referenced */
    size_t begin, end;    /* bytes[begin..end) are still to be sent */
    size_t cap;           /* end may grow up to this */
    void (*release)(void *arg, size_t n); /* of a reference; may be NULL */
    void *arg;
    uint8_t data[];
};

struct outq_gate_entry;

struct outq {
    struct outq_block *first, *last;
    struct outq_gate_entry *gates; /* ring, by rising position and lsn */
    uint32_t gate_head, gate_count, gate_cap;
    uint64_t put;   /* stream position behind the last byte put */
    uint64_t sent;  /* behind the last byte handed to the kernel */
    uint64_t bytes; /* memory held: blocks and references, for limits */
};

#define OUTQ_INIT ((struct outq){0})

/* Drops everything, releasing references. */
void outq_fini(struct outq *q);

/* At least `n` (at most OUTQ_MAX_RESERVE) contiguous bytes to write into;
 * then commit what was used of them, before any other call. */
uint8_t *outq_reserve_block(struct outq *q, size_t n); /* private */
static inline uint8_t *
outq_reserve(struct outq *q, size_t n)
{
    struct outq_block *b = q->last;

    if (nq_likely(b != NULL && b->cap - b->end >= n))
        return b->data + b->end;
    return outq_reserve_block(q, n);
}

static inline void
outq_commit(struct outq *q, size_t n)
{
    nq_dassert(q->last != NULL && q->last->cap - q->last->end >= n);
    q->last->end += n;
    q->put += n;
}

void outq_put(struct outq *q, const void *p, size_t n);
/* Sends [p, p+n) from where it stands; release(arg, n) is called when it has
 * left or the queue is dropped, or at once if n is 0. */
void outq_ref(struct outq *q, const void *p, size_t n,
              void (*release)(void *arg, size_t n), void *arg);

/* Takes back everything put since `mark` (an earlier q->put, not yet sent)
 * and the gates behind it; a gate at `mark` itself stays. */
void outq_rewind(struct outq *q, uint64_t mark);

/* Up to `n` bytes from `mark` on, an earlier q->put, not yet sent; how many. */
size_t outq_read(const struct outq *q, uint64_t mark, void *dst, size_t n);

/* Bytes at and behind `mark` may leave only once the log is settled past
 * `lsn`.  Marks come in rising order. */
void outq_gate(struct outq *q, uint64_t mark, uint64_t lsn);

/* Fills up to `max` vectors with what may leave when the log is settled up
 * to `settled`; returns how many. */
int outq_peek(struct outq *q, uint64_t settled, struct iovec *iov, int max);
/* The first `n` of those bytes have left. */
void outq_consume(struct outq *q, size_t n);

/* The lsn that the first shut gate waits for; false if all are open. */
bool outq_shut_at(const struct outq *q, uint64_t *lsn);

static inline bool
outq_is_empty(const struct outq *q)
{
    return q->put == q->sent;
}

#endif
