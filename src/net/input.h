/* net/input.h - where the bytes of requests wait: a shared area for what is
 * executed in the turn it came, buffers of their own for the rest.
 *
 * Loop thread only.  An input without bytes holds no memory. */
#ifndef NQ_NET_INPUT_H
#define NQ_NET_INPUT_H

#include "base/slice.h"

/* Bytes asked of a socket at once, but for big arguments. */
#ifdef NQ_HARSH
#define INPUT_READ 48
#else
#define INPUT_READ (16 * 1024)
#endif

struct input_pool;

struct input {
    uint8_t *p;   /* the first byte not consumed */
    size_t len;   /* bytes from there */
    uint8_t *own; /* start of the buffer of its own; NULL: in the area */
    size_t cap;   /* of `own` */
};

struct input_pool *input_pool_new(void);
void input_pool_free(struct input_pool *pool);
/* The turn is over: nothing lies in the area any more. */
void input_pool_reset(struct input_pool *pool);

/* Where to read to, and how much at most.  `want`: what the request under
 * way needs in all, 0 if unknown; memory for it is reserved only as bytes
 * really arrive. */
uint8_t *input_room(struct input_pool *pool, struct input *in, size_t want,
                    size_t *room);
/* `n` bytes were read to where input_room said. */
void input_filled(struct input_pool *pool, struct input *in, size_t n);
/* The first `n` bytes are done with. */
void input_consume(struct input_pool *pool, struct input *in, size_t n);
/* Moves what is left out of the area, so that it lasts beyond the turn. */
void input_keep(struct input_pool *pool, struct input *in);
void input_drop(struct input_pool *pool, struct input *in);

#endif
