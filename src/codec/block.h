/* codec/block.h - one block of bytes, a page or a chunk of a value, packed
 * for the disk.  Which codec packed it is kept by the caller, beside it.
 * Any thread. */
#ifndef NQ_CODEC_BLOCK_H
#define NQ_CODEC_BLOCK_H

#include <stdbool.h>

#include "base/rc.h"
#include "base/slice.h"

/* On disk: never renumber.  A new codec is a row in block.c. */
enum block_codec { BLOCK_RAW = 0, BLOCK_ZSTD = 1, BLOCK_CODECS };

/* Packs src[0..len) into dst; returns how many bytes, or 0 if they would be
 * more than `cap`: then the caller stores the block raw.  `level` means what
 * the codec says, 0 is its default. */
size_t block_encode(enum block_codec codec, int level, void *dst, size_t cap,
                    const void *src, size_t len);

/* Unpacks into exactly `raw_len` bytes at dst.  The input may be anything.
 * NQ_ECORRUPT: it is not that many bytes packed; dst is then undefined.
 * NQ_EFORMAT: no such codec. */
NQ_MUST_USE nq_rc block_decode(enum block_codec codec, void *dst,
                               size_t raw_len, const void *src, size_t len);

/* As in the configuration: "raw", "zstd"; NULL if there is none. */
const char *block_codec_name(enum block_codec codec);
bool block_codec_find(struct slice name, enum block_codec *out);

#endif
