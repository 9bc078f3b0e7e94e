/* base/outq.c - a list of blocks and references, and a ring of gates.
 *
 * Copied bytes go to blocks of OUTQ_LARGE bytes; behind a reference, where
 * often only a few bytes follow before the next, to OUTQ_SMALL ones.  Freed
 * large blocks and first-size rings are kept in two short lists shared by
 * all queues, so that a busy server does not allocate for its replies.
 *
 *   I1  the unsent bytes of the list, in order, are stream positions
 *       [sent, put)
 *   I2  gates rise strictly in position and in lsn: a gate that asks no more
 *       than the one before it is not kept, since that one holds back what
 *       is behind it too */
#include "base/outq.h"

#include "base/mem.h"

#define OUTQ_LARGE 16384u
#define OUTQ_SMALL 1024u
#define SPARE_BLOCKS 128u
#define SPARE_RINGS 128u
#define FIRST_GATES 8u

struct outq_gate_entry {
    uint64_t mark, lsn;
};

/* A ring that nobody uses; it lies in the ring's own memory. */
struct spare_ring {
    struct spare_ring *next;
};

static struct {
    struct outq_block *blocks; /* all OUTQ_LARGE */
    unsigned block_count;
    struct spare_ring *rings; /* all FIRST_GATES */
    unsigned ring_count;
} spare;

static size_t
unsent(const struct outq_block *b)
{
    return b->end - b->begin;
}

static bool
is_reference(const struct outq_block *b)
{
    return b->bytes != b->data;
}

/* What one block counts for in q->bytes. */
static size_t
footprint(const struct outq_block *b)
{
    return sizeof *b + b->cap;
}

static void
append(struct outq *q, struct outq_block *b)
{
    b->next = NULL;
    if (q->last == NULL)
        q->first = b;
    else
        q->last->next = b;
    q->last = b;
    q->bytes += footprint(b);
}

static struct outq_block *
new_block(size_t size)
{
    struct outq_block *b = spare.blocks;

    if (size == OUTQ_LARGE && b != NULL) {
        spare.blocks = b->next;
        spare.block_count--;
    } else {
        b = nq_malloc(size);
    }
    b->bytes = b->data;
    b->begin = b->end = 0;
    b->cap = size - sizeof *b;
    b->release = NULL;
    b->arg = NULL;
    return b;
}

/* `b` is no longer linked. */
static void
drop_block(struct outq *q, struct outq_block *b)
{
    q->bytes -= footprint(b);
    if (is_reference(b) && b->release != NULL)
        b->release(b->arg, b->end);
    if (!is_reference(b) && b->cap == OUTQ_LARGE - sizeof *b &&
        spare.block_count < SPARE_BLOCKS) {
        b->next = spare.blocks;
        spare.blocks = b;
        spare.block_count++;
    } else {
        nq_free(b);
    }
}

/* Drops the list from `b` on; the caller mends what pointed to it. */
static void
drop_from(struct outq *q, struct outq_block *b)
{
    while (b != NULL) {
        struct outq_block *next = b->next;

        drop_block(q, b);
        b = next;
    }
}

static void
drop_all(struct outq *q)
{
    drop_from(q, q->first);
    q->first = q->last = NULL;
    nq_dassert(q->bytes == 0);
}

static void
free_gates(struct outq *q)
{
    if (q->gate_cap == FIRST_GATES && spare.ring_count < SPARE_RINGS) {
        struct spare_ring *r = (struct spare_ring *)(void *)q->gates;

        r->next = spare.rings;
        spare.rings = r;
        spare.ring_count++;
    } else {
        nq_free(q->gates);
    }
    q->gates = NULL;
    q->gate_head = q->gate_count = q->gate_cap = 0;
}

void
outq_fini(struct outq *q)
{
    drop_all(q);
    free_gates(q);
    q->sent = q->put;
}

uint8_t *
outq_reserve_block(struct outq *q, size_t n)
{
    bool small = q->last != NULL && is_reference(q->last) &&
                 n <= OUTQ_SMALL - sizeof(struct outq_block);

    nq_assert(n <= OUTQ_MAX_RESERVE);
    append(q, new_block(small ? OUTQ_SMALL : OUTQ_LARGE));
    return q->last->data;
}

void
outq_put(struct outq *q, const void *p, size_t n)
{
    const uint8_t *from = p;

    while (n > 0) {
        uint8_t *to = outq_reserve(q, 1);
        size_t part = nq_min(q->last->cap - q->last->end, n);

        memcpy(to, from, part);
        outq_commit(q, part);
        from += part;
        n -= part;
    }
}

void
outq_ref(struct outq *q, const void *p, size_t n,
         void (*release)(void *arg, size_t n), void *arg)
{
    struct outq_block *b;

    if (n == 0) {
        if (release != NULL)
            release(arg, 0);
        return;
    }
    b = nq_malloc(sizeof *b);
    b->bytes = p;
    b->begin = 0;
    b->end = b->cap = n;
    b->release = release;
    b->arg = arg;
    append(q, b);
    q->put += n;
}

/* The block that holds the byte before `mark`, and where it begins. */
static struct outq_block *
find_before(const struct outq *q, uint64_t mark, uint64_t *begins)
{
    struct outq_block *b = q->last;

    *begins = q->put - unsent(b);
    if (mark > *begins)
        return b;
    *begins = q->sent;
    for (b = q->first; *begins + unsent(b) < mark; b = b->next)
        *begins += unsent(b);
    return b;
}

static struct outq_gate_entry *
gate_at(const struct outq *q, uint32_t i)
{
    return &q->gates[(q->gate_head + i) & (q->gate_cap - 1)];
}

void
outq_rewind(struct outq *q, uint64_t mark)
{
    struct outq_block *b;
    uint64_t begins;

    nq_assert(mark >= q->sent && mark <= q->put);
    while (q->gate_count > 0 && gate_at(q, q->gate_count - 1)->mark > mark)
        q->gate_count--;
    if (q->gate_count == 0)
        free_gates(q);
    if (mark == q->put)
        return;
    if (mark == q->sent) {
        drop_all(q);
    } else {
        b = find_before(q, mark, &begins);
        nq_assert(!is_reference(b) || mark == begins + unsent(b));
        drop_from(q, b->next);
        b->next = NULL;
        b->end = b->begin + (size_t)(mark - begins);
        q->last = b;
    }
    q->put = mark;
}

static void
grow_gates(struct outq *q)
{
    uint32_t cap = q->gate_cap == 0 ? FIRST_GATES : q->gate_cap * 2;
    struct outq_gate_entry *ring;

    if (cap == FIRST_GATES && spare.rings != NULL) {
        ring = (struct outq_gate_entry *)(void *)spare.rings;
        spare.rings = spare.rings->next;
        spare.ring_count--;
    } else {
        ring = nq_malloc(cap * sizeof *ring);
    }
    for (uint32_t i = 0; i < q->gate_count; i++)
        ring[i] = *gate_at(q, i);
    nq_free(q->gates);
    q->gates = ring;
    q->gate_head = 0;
    q->gate_cap = cap;
}

void
outq_gate(struct outq *q, uint64_t mark, uint64_t lsn)
{
    if (q->gate_count > 0) {
        struct outq_gate_entry *newest = gate_at(q, q->gate_count - 1);

        nq_assert(mark >= newest->mark);
        if (lsn <= newest->lsn)
            return; /* I2 */
        if (mark == newest->mark) {
            newest->lsn = lsn;
            return;
        }
    }
    if (q->gate_count == q->gate_cap)
        grow_gates(q);
    *gate_at(q, q->gate_count++) = (struct outq_gate_entry){mark, lsn};
}

/* Forgets the gates that `settled` has opened; returns the position where
 * the bytes that may leave end. */
static uint64_t
open_gates(struct outq *q, uint64_t settled)
{
    while (q->gate_count > 0 && gate_at(q, 0)->lsn < settled) {
        q->gate_head = (q->gate_head + 1) & (q->gate_cap - 1);
        q->gate_count--;
    }
    if (q->gate_count > 0)
        return gate_at(q, 0)->mark;
    if (q->gates != NULL)
        free_gates(q);
    return UINT64_MAX;
}

size_t
outq_read(const struct outq *q, uint64_t mark, void *dst, size_t n)
{
    uint64_t at = q->sent;
    size_t done = 0;

    nq_assert(mark >= q->sent && mark <= q->put);
    for (const struct outq_block *b = q->first; b != NULL && done < n;
         b = b->next) {
        size_t skip =
            (size_t)nq_min(mark - nq_min(at, mark), (uint64_t)unsent(b));
        size_t len = nq_min(unsent(b) - skip, n - done);

        if (len > 0)
            memcpy((uint8_t *)dst + done, b->bytes + b->begin + skip, len);
        done += len;
        at += unsent(b);
    }
    return done;
}

int
outq_peek(struct outq *q, uint64_t settled, struct iovec *iov, int max)
{
    uint64_t limit = nq_min(open_gates(q, settled), q->put);
    uint64_t at = q->sent;
    int n = 0;

    for (const struct outq_block *b = q->first; n < max && at < limit;
         b = b->next) {
        size_t len = (size_t)nq_min((uint64_t)unsent(b), limit - at);

        if (len == 0)
            continue; /* reserved, and nothing was committed */
        /* writev does not write through iov_base. */
        iov[n].iov_base = (void *)(uintptr_t)(b->bytes + b->begin);
        iov[n].iov_len = len;
        at += len;
        n++;
    }
    return n;
}

void
outq_consume(struct outq *q, size_t n)
{
    nq_assert(n <= q->put - q->sent);
    q->sent += n;
    if (q->sent == q->put) {
        drop_all(q);
        return;
    }
    while (n > 0) {
        struct outq_block *b = q->first;
        size_t part = nq_min(n, unsent(b));

        b->begin += part;
        n -= part;
        if (unsent(b) == 0) {
            q->first = b->next;
            drop_block(q, b);
        }
    }
}

bool
outq_shut_at(const struct outq *q, uint64_t *lsn)
{
    if (q->gate_count == 0)
        return false;
    *lsn = gate_at(q, 0)->lsn;
    return true;
}
