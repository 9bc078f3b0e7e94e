/* cmd/pile.h - bytes of a long answer, put aside until its length is known.
 *
 * They stand in chunks, so that putting more never moves what is there, and
 * each chunk goes as soon as it was given.  One thread. */
#ifndef NQ_CMD_PILE_H
#define NQ_CMD_PILE_H

#include <stdint.h>

#include "base/slice.h"

struct pile_chunk;

/* Zeroed: empty. */
struct pile {
    struct pile_chunk *first, *last;
    uint64_t bytes; /* that were put */
};

void pile_fini(struct pile *p);
void pile_put(struct pile *p, struct slice s);
/* Some of the bytes, in order, each once: borrowed until the next call.
 * False: that was all. */
bool pile_take(struct pile *p, struct slice *out);

#endif
