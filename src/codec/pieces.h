/* codec/pieces.h - a block cut in pieces of one size, each packed by a codec
 * of its own: for blocks whose parts differ in kind.  Any thread. */
#ifndef NQ_CODEC_PIECES_H
#define NQ_CODEC_PIECES_H

#include <stddef.h>
#include <stdint.h>

#include "base/rc.h"

#define PIECES_MIN 4096u /* bytes in a piece; a power of two */
#define PIECES_MAX (1u << 24)

/* Packs one piece into dst: returns how many bytes, at most `cap` and less
 * than `len`, and the codec; or 0: it is kept raw. */
typedef size_t pieces_fn(void *arg, const void *src, size_t len, void *dst,
                         size_t cap, uint8_t *codec);

/* Packs src[0..len) into dst, `piece` bytes at a time (rounded to a power of
 * two); returns how many bytes, or 0 if they would be more than `cap`. */
size_t pieces_encode(size_t piece, pieces_fn *fn, void *arg, void *dst,
                     size_t cap, const void *src, size_t len);
/* Unpacks into exactly raw_len bytes.  NQ_ECORRUPT, NQ_EFORMAT. */
NQ_MUST_USE nq_rc pieces_decode(void *dst, size_t raw_len, const void *src,
                                size_t len);

#endif
