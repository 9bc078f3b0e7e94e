/* tests/lib/dna_text.h - nucleotide text of all kinds, made by chance. */
#ifndef NQ_TESTS_DNA_TEXT_H
#define NQ_TESTS_DNA_TEXT_H

#include "base/buf.h"
#include "base/rng.h"

/* `n` letters out of `alphabet`, each as likely. */
void dna_text_letters(struct buf *b, struct rng *rng, const char *alphabet,
                      size_t n);
/* A FASTA record: a header, `n` bases in lines of `width`. */
void dna_text_fasta(struct buf *b, struct rng *rng, size_t n, size_t width,
                    const char *eol);
/* `count` reads of FASTQ of `n` bases, on lines that end in `eol`. */
void dna_text_fastq(struct buf *b, struct rng *rng, unsigned count, size_t n,
                    const char *eol);
/* Some `n` bytes put together from all of that, and from what is no
 * nucleotide text, cut anywhere. */
void dna_text_any(struct buf *b, struct rng *rng, size_t n);
/* The reverse complement of `n` bases at `src`, of upper case. */
void dna_text_turn(uint8_t *dst, const uint8_t *src, size_t n);

#endif
