/* codec/bases_speed.h - the inner loops of codec/bases.h one by one, variant
 * by variant, for who measures them.  Any thread, each with its own. */
#ifndef NQ_CODEC_BASES_SPEED_H
#define NQ_CODEC_BASES_SPEED_H

#include "codec/bases.h"

enum bases_loop {
    BASES_LOOP_COPY, /* memcpy, to compare with; the same in all variants */
    BASES_LOOP_PACK,
    BASES_LOOP_UNPACK,
    BASES_LOOP_COUNT,
    BASES_LOOP_FIND,
    BASES_LOOPS
};

struct bases_speed;

/* Text of `n` bases, 64 and more. */
struct bases_speed *bases_speed_new(size_t n);
void bases_speed_free(struct bases_speed *s);
/* Goes through that text once; bases_has(v). */
void bases_speed_run(struct bases_speed *s, enum bases_variant v,
                     enum bases_loop loop);
const char *bases_loop_name(enum bases_loop loop);

#endif
