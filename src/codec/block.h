/* codec/block.h - one block of bytes, a page or a chunk of a value, packed
 * for the disk.  Which codec packed it is kept by the caller, beside it;
 * which codec is best for it is pack.h's business.
 * Any thread. */
#ifndef NQ_CODEC_BLOCK_H
#define NQ_CODEC_BLOCK_H

#include <stdbool.h>

#include "base/rc.h"
#include "base/slice.h"

/* On disk: never renumber.  A new codec is a row in block.c.  BLOCK_DICT0 +
 * slot is zstd with the dictionary of that slot (dict.h). */
enum block_codec {
    BLOCK_RAW = 0,
    BLOCK_ZSTD = 1,
    BLOCK_DNA = 2,
    BLOCK_NUMERIC = 3,
    BLOCK_PIECES = 4, /* pieces.h: parts with codecs of their own */
    BLOCK_CODECS,
    BLOCK_DICT0 = 16
};

struct block_effort {
    uint8_t level;  /* 1 fast to 9 small; 0: the fastest there is */
    bool patterns;  /* look for reverse complements in nucleotides */
    uint32_t chunk; /* bases packed at once; 0: the codec's default */
};

/* Packs src[0..len) into dst; returns how many bytes, or 0 if they would be
 * more than `cap`, or it is nothing for that codec.  Not of pieces, nor with
 * a dictionary: pack.h does that. */
size_t block_encode(enum block_codec codec, const struct block_effort *effort,
                    void *dst, size_t cap, const void *src, size_t len);

/* Unpacks into exactly `raw_len` bytes at dst.  The input may be anything.
 * NQ_ECORRUPT: it is not that many bytes packed; dst is then undefined.
 * NQ_EFORMAT: no such codec, or one that needs more than the bytes. */
NQ_MUST_USE nq_rc block_decode(enum block_codec codec, void *dst,
                               size_t raw_len, const void *src, size_t len);

/* As in the configuration: "raw", "zstd"; NULL if there is none. */
const char *block_codec_name(enum block_codec codec);
bool block_codec_find(struct slice name, enum block_codec *out);

#endif
