/* codec/dna.h - nucleotide text at two bits a base, byte-exact.
 *
 * FASTA with lines of any width, FASTQ, GenBank, or bare sequences; DNA or
 * RNA, with ambiguity codes, gaps and lower case.  A block may begin and end
 * in the middle of anything.  The format is told in codec/dna_int.h.
 * Any thread. */
#ifndef NQ_CODEC_DNA_H
#define NQ_CODEC_DNA_H

#include <stdbool.h>

#include "base/rc.h"
#include "base/slice.h"

#define DNA_BLOCK_MAX ((size_t)1 << 20) /* bytes in a block, at most */

struct dna_opts {
    bool patterns;  /* look for repeats and reverse complements: slower */
    uint8_t level;  /* for what is beside the bases: see codec/zpack.h */
    uint32_t chunk; /* bases that are packed at once; 0: 64 KiB */
};

/* Whether it may be worth a try: looks at a few hundred bytes. */
bool dna_sniff(struct slice block);

/* Packs src[0..len) into dst; returns how many bytes, or 0 if they would be
 * more than `cap`, or if it is no nucleotide text, or too long. */
size_t dna_encode(const struct dna_opts *opts, void *dst, size_t cap,
                  const void *src, size_t len);

/* Unpacks into exactly `raw_len` bytes at dst.  The input may be anything.
 * NQ_ECORRUPT: it is not that many bytes packed; dst is then undefined. */
NQ_MUST_USE nq_rc dna_decode(void *dst, size_t raw_len, const void *src,
                             size_t len);

#endif
