/* codec/numeric.h - the codec for blocks that are numbers: text of decimal
 * numbers in columns (time series, exports of tables), and arrays of 32- or
 * 64-bit integers as they are in memory.
 *
 * Columns are stored apart, as differences (or differences of those) in as
 * few bits as they need.  What comes out is the same bytes.  Any thread. */
#ifndef NQ_CODEC_NUMERIC_H
#define NQ_CODEC_NUMERIC_H

#include <stddef.h>
#include <stdint.h>

#include "base/rc.h"

/* Packs src[0..len) into dst; returns how many bytes, or 0: it is not such a
 * block, or it would be more than `cap` bytes.  That it is none is mostly
 * known after a look at its beginning.  `level` 1 to 9, 0 the fastest: from 2
 * on the numbers also go through zstd where that is smaller. */
size_t numeric_encode(void *dst, size_t cap, const void *src, size_t len,
                      int level);

/* Unpacks into exactly raw_len bytes at dst.  The input may be anything.
 * NQ_ECORRUPT: it is not that many bytes packed; dst is then undefined. */
NQ_MUST_USE nq_rc numeric_decode(void *dst, size_t raw_len, const void *src,
                                 size_t len);

#endif
