/* codec/zpack.h - zstd, with contexts that are kept, and levels of ours.
 * Any thread. */
#ifndef NQ_CODEC_ZPACK_H
#define NQ_CODEC_ZPACK_H

#include "base/rc.h"
#include "base/slice.h"

#define ZPACK_LEVEL_MAX 9u

struct ZSTD_CDict_s; /* zstd's prepared dictionaries */
struct ZSTD_DDict_s;

/* zstd's own level for one of ours: 1 fast to 9 small, 0 the fastest. */
int zpack_level(unsigned level);

/* Packs src[0..len) into dst; returns how many bytes, or 0 if they would be
 * more than `cap`.  `dict` brings its level along; NULL: none. */
size_t zpack_encode(unsigned level, const struct ZSTD_CDict_s *dict, void *dst,
                    size_t cap, const void *src, size_t len);
/* Unpacks into exactly raw_len bytes.  NQ_ECORRUPT. */
NQ_MUST_USE nq_rc zpack_decode(const struct ZSTD_DDict_s *dict, void *dst,
                               size_t raw_len, const void *src, size_t len);
/* Bytes that the kept contexts take. */
size_t zpack_memory(void);

#endif
