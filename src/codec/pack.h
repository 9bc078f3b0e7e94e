/* codec/pack.h - which codec a block of bytes gets.
 *
 * A sample of the block tells what kind of data it is (detect.h), and so
 * which codecs may do.  With `competes` all of these are tried and the
 * smallest result is kept ("superposition", in the words of the settings),
 * else only the likeliest; what does not shrink is stored raw.  Any thread. */
#ifndef NQ_CODEC_PACK_H
#define NQ_CODEC_PACK_H

#include <stdbool.h>

#include "base/rc.h"
#include "base/slice.h"
#include "codec/dict.h"
#include "codec/pack_stats.h"

/* Settings, plain data: a copy goes with every job. */
struct pack_opts {
    bool enabled;       /* else all is stored raw */
    bool competes;      /* try several codecs, keep the smallest */
    bool patterns;      /* look for reverse complements in nucleotides */
    bool dictionaries;  /* use trained dictionaries */
    uint8_t level;      /* 1 fast to 9 small; 0: the fastest there is */
    uint8_t text_level; /* the same by kind of data; 0: `level` */
    uint8_t integer_level;
    uint8_t blob_level;
    uint32_t dict_bytes; /* of a dictionary at most */
    uint32_t min_size;   /* smaller blocks are stored raw */
    uint32_t chunk;      /* bytes that a nucleotide block is packed in at once,
                            and in which a mixed block is cut */
    struct pack_stats *stats; /* outlives all jobs; NULL: nobody counts */
};

/* As the settings are unless told otherwise. */
#define PACK_OPTS_USUAL                                                        \
    ((struct pack_opts){.enabled = true,                                       \
                        .competes = true,                                      \
                        .patterns = true,                                      \
                        .dictionaries = true,                                  \
                        .level = 6,                                            \
                        .dict_bytes = 65536,                                   \
                        .min_size = 1024,                                      \
                        .chunk = 65536})

/* Packs src[0..len) into dst and tells the codec (codec/block.h) in *codec;
 * returns how many bytes, less than len, or 0: store it raw.  `dict` is the
 * dictionary that fits the block, or NULL. */
size_t pack_block(const struct pack_opts *o, const struct dict *dict,
                  const void *src, size_t len, void *dst, size_t cap,
                  uint8_t *codec);
/* Unpacks into exactly raw_len bytes.  NQ_ECORRUPT: it is not that many bytes
 * packed; NQ_EFORMAT: no such codec, or its dictionary is missing. */
NQ_MUST_USE nq_rc unpack_block(uint8_t codec, const struct dicts *dicts,
                               void *dst, size_t raw_len, const void *src,
                               size_t len);
/* "raw", "zstd", "dna", ..., "dict" for all dictionaries: for people; never
 * NULL. */
const char *pack_codec_name(uint8_t codec);
/* What `o` says of blocks of that kind. */
unsigned pack_level(const struct pack_opts *o, enum data_class class);

#endif
