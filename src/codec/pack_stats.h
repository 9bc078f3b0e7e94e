/* codec/pack_stats.h - what packing did: counted by workers, read by anybody.
 * Any thread; the numbers of one moment may be off by the blocks under way. */
#ifndef NQ_CODEC_PACK_STATS_H
#define NQ_CODEC_PACK_STATS_H

#include "base/slice.h"
#include "codec/block.h"
#include "codec/detect.h"

/* All dictionaries count as one codec. */
#define PACK_CODEC_DICT ((unsigned)BLOCK_CODECS)
#define PACK_CODECS (PACK_CODEC_DICT + 1u)

struct pack_count {
    uint64_t blocks, bytes_in, bytes_out;
};

struct pack_stats {
    struct pack_count codec[PACK_CODECS]; /* of the codec that won */
    struct pack_count class[DATA_CLASSES];
    uint64_t tried[PACK_CODECS]; /* blocks that it was tried on */
    uint64_t pack_us;            /* processor time; filled in by who has a
                                    clock */
};

/* Index of a codec number into the arrays above. */
unsigned pack_stats_index(uint8_t codec);
/* "raw", "zstd", ..., "dict". */
const char *pack_stats_name(unsigned index);

static inline void
pack_stats_add(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* A block of `in` bytes became `out`. */
void pack_stats_block(struct pack_stats *s, uint8_t codec,
                      enum data_class class, size_t in, size_t out);
void pack_stats_get(const struct pack_stats *s, struct pack_stats *out);
void pack_stats_reset(struct pack_stats *s);

#endif
