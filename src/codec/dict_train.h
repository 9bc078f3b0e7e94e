/* codec/dict_train.h - making a dictionary out of samples, and finding out
 * whether it is any good.  Any thread; takes a fraction of a second. */
#ifndef NQ_CODEC_DICT_TRAIN_H
#define NQ_CODEC_DICT_TRAIN_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct dict;

struct dict_corpus {
    const uint8_t *samples; /* one behind the other, the last the newest */
    const size_t *lens;     /* of each */
    unsigned count;
    const struct slice *blocks; /* to judge by; none was sampled */
    unsigned blocks_count;
    uint64_t stand_for;     /* how many blocks in all these stand for */
    unsigned level;         /* at which blocks are packed: zpack.h */
    size_t max_bytes;       /* of the dictionary */
    const struct dict *old; /* what is in use now; NULL: nothing */
};

struct dict_trained {
    uint8_t *bytes; /* the caller's to free; NULL: none could be trained */
    size_t len;
    uint64_t raw, before, after; /* bytes of the blocks: as they are, packed
                                    as now, packed with the dictionary */
    int64_t gain; /* bytes, over all that the blocks stand for, less the
                     dictionary's own */
};

/* Tries dictionaries of several sizes, by selection and of the newest samples
 * as they are, and returns the one that gains most. */
void dict_train(const struct dict_corpus *corpus, struct dict_trained *out);

#endif
