/* codec/dna_int.h - what the files of the nucleotide codec share, and its
 * format.
 *
 * A block is taken apart into residues, the letters of sequences, and all
 * that is between them.  Packed it is
 *
 *   0  u8  flags, DNA_RNA ...
 *   1  u8  which streams follow, bit 1 << enum dna_stream
 *   2      those streams, in the order of the enum: a varint
 *          stored length << 1 | packed; if packed (by zstd) a varint raw
 *          length; the bytes.  No raw length is above that of the block.
 *   ..     the bases, two bits each (codec/bases.h), to the end
 *
 * Streams; numbers are varints:
 *
 *   ops      how the text is laid out: operand << 2 | enum dna_op
 *   text     the bytes of DNA_TEXT, and the names of reads, each ended by \n
 *   quality  the quality lines of reads, one after the other
 *   odd      residues that are no A, C, G or T, in runs of one symbol:
 *            residues since the run before | u8 code + 16 * (length - 1), 240
 *            and more: the length less 16 follows | if the code is
 *            ODD_LITERAL: u8 symbol, in upper case.  Runs of DNA_CUT and more
 *            have no bases; in shorter ones each residue has an A.
 *   case     lengths of upper case, lower case, upper case ... over all
 *            residues, the last one of upper case left out
 *   repeats  what bases are copies of others: see codec/dna_repeat.c.  The
 *            bases that are stored are then only those that are not.
 *
 * An ambiguous base is the set of what it may be, one bit for each of A, C, G
 * and T (1, 2, 4, 8): R is 5, N is 15, a gap 0.  The three sets of one that
 * never are odd stand for other things, and T for U.  In RNA (DNA_RNA) T and
 * U change places before anything else. */
#ifndef NQ_CODEC_DNA_INT_H
#define NQ_CODEC_DNA_INT_H

#include "base/buf.h"
#include "codec/dna.h"

enum dna_flag {
    DNA_RNA = 1,
    DNA_CRLF = 2, /* lines end in \r\n, else in \n */
    DNA_PLUS = 4, /* in reads, the line of '+' repeats the name */
    DNA_FLAGS = 7
};

enum dna_stream {
    DNA_OPS,
    DNA_TEXT_BYTES,
    DNA_QUALITY,
    DNA_ODD,
    DNA_CASE,
    DNA_REPEATS,
    DNA_STREAMS
};

enum dna_op {
    DNA_TEXT,  /* so many bytes of text */
    DNA_LINES, /* so many residues, an end of line between each `width` */
    DNA_WIDTH, /* sets `width`; 0, as at the beginning: one line */
    DNA_READ   /* @name, so many residues, +, as many bytes of quality; four
                  lines with their ends */
};

#define DNA_CUT 32u
#define ODD_LITERAL 1u
#define ODD_U 8u

/* What a letter is in nucleotide text. */
enum dna_class { DNA_NONE, DNA_AMBIGUOUS, DNA_PLAIN };
extern const uint8_t dna_class[256];

/* T to U and U to T, in both cases. */
void dna_swap_rna(uint8_t *p, size_t n);

/* --- residues on their way to bits
 * ------------------------------------------------------------------------ */

struct dna_residues {
    uint8_t *pending; /* residues not packed yet, less than chunk + 64 */
    size_t held, chunk;
    uint8_t *packed;         /* scratch, as many bases */
    uint64_t *other, *lower; /* scratch, as many bits */
    uint8_t *bases;          /* the result, room for all */
    size_t stored;           /* bases in it */
    size_t count;            /* residues that went through */
    size_t odd_end;          /* behind the last odd run */
    size_t case_at;          /* where the case changed last */
    size_t lower_end;        /* behind the last lower one */
    bool is_lower, is_rna;
    struct buf odd, cases;
};

/* `most`: as many residues as will come at most. */
void dna_residues_init(struct dna_residues *r, size_t most, size_t chunk,
                       bool is_rna);
void dna_residues_fini(struct dna_residues *r);
void dna_residues_add(struct dna_residues *r, const uint8_t *p, size_t n);
/* The same in two steps: where to write `n` or even *room of them, NULL if `n`
 * is more than a chunk may hold; and that so many were written. */
uint8_t *dna_residues_room(struct dna_residues *r, size_t n, size_t *room);
void dna_residues_fill(struct dna_residues *r, size_t n);
void dna_residues_end(struct dna_residues *r);

/* The bases of a block, on their way back: packed, or as text. */
struct dna_source {
    const uint8_t *packed;
    const uint8_t *text; /* or NULL: in `packed` */
};

/* How many of `count` residues have bases; false: damage. */
bool dna_residues_stored(struct slice odd, size_t count, size_t *stored);
/* Makes `count` residues of as many bases as that said. */
bool dna_residues_restore(uint8_t *dst, size_t count,
                          const struct dna_source *from, struct slice odd,
                          struct slice cases);

/* --- layout
 * ------------------------------------------------------------------------ */

struct dna_layout {
    struct buf ops, text, quality;
    uint8_t flags;
};

/* Takes `src` apart. */
void dna_layout_split(struct dna_layout *l, struct dna_residues *r,
                      struct slice src);
/* How many residues `ops` wants for `len` bytes of text; false: damage. */
bool dna_layout_residues(struct slice ops, size_t len, size_t *count);
/* Puts it together again: exactly `len` bytes.  False: damage. */
bool dna_layout_join(uint8_t *dst, size_t len, uint8_t flags, struct slice ops,
                     struct slice text, struct slice quality,
                     struct slice residues);

/* --- repeats
 * ------------------------------------------------------------------------ */

/* Moves what is a copy of earlier bases from `bases` to a stream that tells
 * where it is from; returns how many bases are left, or `n` if it does not
 * pay: then nothing is changed. */
size_t dna_repeat_find(uint8_t *bases, size_t n, struct buf *repeats);
/* How many bases `repeats` leaves of `n`; false: damage. */
bool dna_repeat_left(struct slice repeats, size_t n, size_t *left);
/* Writes `n` bases as text; `packed` has as many as that said. */
bool dna_repeat_restore(uint8_t *dst, size_t n, struct slice repeats,
                        const uint8_t *packed);

#endif
