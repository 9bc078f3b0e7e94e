/* cmd/residues.h - the letters of the sequences in a string value, one after
 * the other, wherever lines and headers are in between.
 *
 * FASTA: lines that begin with > or ; are left out.  FASTQ (the value begins
 * with @): of four lines only the second counts.  Anything else is sequence.
 * White space never counts.  Loop thread only. */
#ifndef NQ_CMD_RESIDUES_H
#define NQ_CMD_RESIDUES_H

#include "cmd/bits.h"

struct residues {
    struct bits bits;              /* the value, held still */
    uint64_t at;                   /* the next byte to look at */
    uint64_t line;                 /* of FASTQ */
    bool is_fastq, in_line, skips; /* the rest of the line */
};

/* As bits_open(): false: answered, or parked. */
bool residues_open(struct req *rq, uint32_t i, struct residues *r);
void residues_close(struct residues *r);

/* Copies the next residues to `dst` until there are `n` or some `n` bytes of
 * the value were looked at; returns how many.  residues_end() tells whether
 * there may be more. */
size_t residues_read(struct residues *r, uint8_t *dst, size_t n);
bool residues_end(const struct residues *r);

#endif
