/* codec/pack_stats.c - counters of packing, one atomic addition each. */
#include "codec/pack_stats.h"

#include "base/check.h"

#define WORDS (sizeof(struct pack_stats) / sizeof(uint64_t))

_Static_assert(sizeof(struct pack_stats) % sizeof(uint64_t) == 0,
               "counters only");

unsigned
pack_stats_index(uint8_t codec)
{
    return codec >= BLOCK_DICT0 ? PACK_CODEC_DICT : nq_min(codec, BLOCK_PIECES);
}

const char *
pack_stats_name(unsigned index)
{
    return index == PACK_CODEC_DICT ? "dict"
                                    : block_codec_name((enum block_codec)index);
}

static void
count(struct pack_count *c, size_t in, size_t out)
{
    pack_stats_add(&c->blocks, 1);
    pack_stats_add(&c->bytes_in, in);
    pack_stats_add(&c->bytes_out, out);
}

void
pack_stats_block(struct pack_stats *s, uint8_t codec, enum data_class class,
                 size_t in, size_t out)
{
    count(&s->codec[pack_stats_index(codec)], in, out);
    count(&s->class[class], in, out);
}

void
pack_stats_get(const struct pack_stats *s, struct pack_stats *out)
{
    const uint64_t *from = (const uint64_t *)(const void *)s;
    uint64_t *to = (uint64_t *)(void *)out;

    for (size_t i = 0; i < WORDS; i++)
        to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

void
pack_stats_reset(struct pack_stats *s)
{
    uint64_t *p = (uint64_t *)(void *)s;

    for (size_t i = 0; i < WORDS; i++)
        __atomic_store_n(&p[i], 0, __ATOMIC_RELAXED);
}
