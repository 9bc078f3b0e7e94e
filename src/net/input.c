/* net/input.c - input memory.
 *
 * Most requests are executed in the turn that reads them, so sockets are
 * read one behind the other into one area that all share: at 50 clients with
 * one small request each the bytes of a turn are 50 cache lines, not 50
 * buffers.  What is left of a connection at the end of the turn (a part of a
 * request, a parked one) moves to a buffer of its own, from a free list.
 *
 * I1 in->own == NULL and in->len > 0 only within a turn.
 * I2 A buffer grows with what arrived: to at most twice that and a half, or
 *    one step of GROW_STEP, whatever length was announced. */
#include "net/input.h"

#include "base/check.h"
#include "base/mem.h"

#define AREA_BYTES (256 * 1024)
#define BUFFER_BYTES (16 * 1024)
#define BUFFERS_KEPT 256        /* on the free list at most */
#define GROW_STEP (1024 * 1024) /* reserved at once on announcement alone */
#define READ_MAX (256 * 1024)   /* of one connection in one turn */

_Static_assert(INPUT_READ <= BUFFER_BYTES, "a read fits a buffer");

struct free_buffer {
    struct free_buffer *next;
};

struct input_pool {
    size_t used; /* of area */
    struct free_buffer *free;
    unsigned nfree;
    uint8_t area[AREA_BYTES];
};

struct input_pool *
input_pool_new(void)
{
    return nq_calloc(1, sizeof(struct input_pool));
}

void
input_pool_free(struct input_pool *pool)
{
    if (pool == NULL)
        return;
    while (pool->free != NULL) {
        struct free_buffer *b = pool->free;

        pool->free = b->next;
        nq_free(b);
    }
    nq_free(pool);
}

void
input_pool_reset(struct input_pool *pool)
{
    pool->used = 0;
}

static uint8_t *
buffer_get(struct input_pool *pool)
{
    struct free_buffer *b = pool->free;

    if (b == NULL)
        return nq_malloc(BUFFER_BYTES);
    pool->free = b->next;
    pool->nfree--;
    return (uint8_t *)b;
}

static void
buffer_put(struct input_pool *pool, uint8_t *p, size_t cap)
{
    struct free_buffer *b = (void *)p;

    if (cap != BUFFER_BYTES || pool->nfree >= BUFFERS_KEPT) {
        nq_free(p);
        return;
    }
    b->next = pool->free;
    pool->free = b;
    pool->nfree++;
}

void
input_drop(struct input_pool *pool, struct input *in)
{
    if (in->own != NULL)
        buffer_put(pool, in->own, in->cap);
    *in = (struct input){NULL, 0, NULL, 0};
}

/* Moves the bytes to a fresh buffer of `cap` bytes. */
static void
move_to(struct input_pool *pool, struct input *in, size_t cap)
{
    uint8_t *to = cap == BUFFER_BYTES ? buffer_get(pool) : nq_malloc(cap);

    nq_assert(in->len <= cap);
    if (in->len > 0)
        memcpy(to, in->p, in->len);
    if (in->own != NULL)
        buffer_put(pool, in->own, in->cap);
    in->own = in->p = to;
    in->cap = cap;
}

void
input_keep(struct input_pool *pool, struct input *in)
{
    if (in->len == 0) {
        input_drop(pool, in);
        return;
    }
    if (in->own == NULL ||
        (in->cap > 4 * BUFFER_BYTES && in->len <= BUFFER_BYTES / 2))
        move_to(pool, in, BUFFER_BYTES);
}

/* Makes room behind the bytes of an input that has a buffer of its own. */
static void
grow(struct input_pool *pool, struct input *in, size_t want)
{
    size_t least = in->len + INPUT_READ, cap = in->cap;
    size_t before = (size_t)(in->p - in->own);

    if (want > least)
        least = nq_min(want, nq_max(2 * in->len, in->len + GROW_STEP));
    if (before + least <= cap)
        return;
    if (least <= cap) {
        memmove(in->own, in->p, in->len);
        in->p = in->own;
        return;
    }
    least = nq_max(least, cap + cap / 2); /* few moves, however it arrives */
    if (before > 0 || cap == BUFFER_BYTES) {
        move_to(pool, in, least);
        return;
    }
    in->own = in->p = nq_realloc(in->own, least);
    in->cap = least;
}

uint8_t *
input_room(struct input_pool *pool, struct input *in, size_t want, size_t *room)
{
    if (in->len == 0 && in->own == NULL) {
        if (AREA_BYTES - pool->used >= INPUT_READ) {
            *room = INPUT_READ;
            return pool->area + pool->used;
        }
        in->own = in->p = buffer_get(pool);
        in->cap = BUFFER_BYTES;
    }
    if (in->own == NULL)
        move_to(pool, in, BUFFER_BYTES);
    grow(pool, in, want);
    *room = in->cap - (size_t)(in->p - in->own) - in->len;
    *room = nq_min(*room, in->len >= INPUT_READ ? (size_t)READ_MAX
                                                : (size_t)INPUT_READ);
    return in->p + in->len;
}

void
input_filled(struct input_pool *pool, struct input *in, size_t n)
{
    if (in->own == NULL) {
        in->p = pool->area + pool->used;
        pool->used =
            nq_min((pool->used + n + 63) & ~(size_t)63, (size_t)AREA_BYTES);
    }
    in->len += n;
}

void
input_consume(struct input_pool *pool, struct input *in, size_t n)
{
    nq_dassert(n <= in->len);
    in->p += n;
    in->len -= n;
    if (in->len == 0)
        input_drop(pool, in);
}
