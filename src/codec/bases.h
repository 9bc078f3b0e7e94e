/* codec/bases.h - nucleotides at two bits each: packing, unpacking, and
 * searching what is packed.
 *
 * A is 0, C 1, G 2, T 3, so the complement of a base is 3 less it; base
 * number i is in byte i / 4 at bits 2 * (i % 4), lowest first.  What a last
 * byte has to spare is 0.  Buffers need no alignment and nothing is read or
 * written outside of them.
 *
 * The inner loops exist in several variants that give the same bytes: scalar
 * everywhere, SSSE3 and AVX2 on x86-64, NEON on arm64.  (AVX-512 is left out:
 * there was no machine to test it on.)  The best that the processor has is
 * chosen before main(); bases_choose() changes it.
 *
 * Any thread, but for bases_choose(). */
#ifndef NQ_CODEC_BASES_H
#define NQ_CODEC_BASES_H

#include <stdbool.h>

#include "base/rc.h"
#include "base/slice.h"

#define BASES_BYTES(n) (((n) + 3) / 4)   /* that `n` bases take packed */
#define BASES_WORDS(n) (((n) + 63) / 64) /* of a bitmap of `n` bits */

enum { BASES_OTHER = 1, BASES_LOWER = 2 };

/* Packs any `n` bytes of text into BASES_BYTES(n) at dst.  Byte i that is none
 * of ACGTacgt is packed as A and sets bit i % 64 of other[i / 64]; one of a-z
 * (any letter) sets that bit in `lower`.  Both bitmaps have BASES_WORDS(n)
 * words, all of which are written.  Returns which of the two have any bit:
 * BASES_OTHER | BASES_LOWER. */
unsigned bases_pack(uint8_t *dst, uint64_t *other, uint64_t *lower,
                    const void *src, size_t n);

/* Writes the bases first .. first + n as upper-case text, `n` bytes. */
void bases_unpack(char *dst, const uint8_t *packed, size_t first, size_t n);

/* The base number `i`: 0 to 3. */
static inline unsigned
bases_get(const uint8_t *packed, size_t i)
{
    return (unsigned)packed[i / 4] >> 2 * (i % 4) & 3u;
}

/* The next run of set bits in a bitmap of `n` bits at or after bit `*at`:
 * *at becomes its first bit, *end the one behind its last; false: none. */
bool bases_run(const uint64_t *bitmap, size_t n, size_t *at, size_t *end);

/* Sets bit 5 of all `n` bytes: letters become lower case.  What is no letter
 * may become something else. */
void bases_lower(char *text, size_t n);

/* How many of `n` bytes are A, C, G, T or N in either case. */
size_t bases_count(const void *src, size_t n);

/* --- on packed bases
 * ----------------------------------------------------------------------- */

#define BASES_PATTERN_MAX 1024u /* bases in a pattern */
#define BASES_PROBES 32u        /* of them are looked at in bulk */

/* What bases_find() looks for.  Private but for `length`. */
struct bases_pattern {
    unsigned length;
    unsigned probes;
    /* The base at place i may be b if bit b of sets[i] is set. */
    uint8_t sets[BASES_PATTERN_MAX];
    /* The same for the first ones, as words: see codec/bases_search.c. */
    uint64_t table[BASES_PROBES][4];
};

/* Text of 1 to BASES_PATTERN_MAX codes of IUPAC, in either case: A C G T, U
 * (T), R Y S W K M, B D H V, N (any).  False: it is not that. */
bool bases_pattern_parse(struct bases_pattern *p, struct slice text);

/* The first match that begins at or behind base `from` and ends at or before
 * `n`, the number of packed bases; BASES_NONE: there is none.  What was no
 * base when it was packed counts as an A here. */
#define BASES_NONE SIZE_MAX
size_t bases_find(const uint8_t *packed, size_t n,
                  const struct bases_pattern *p, size_t from);

/* In how many places the first `n` bases of two packed runs differ. */
size_t bases_hamming(const uint8_t *a, const uint8_t *b, size_t n);

/* The reverse complement of `n` packed bases; dst and src do not overlap. */
void bases_revcomp(uint8_t *dst, const uint8_t *src, size_t n);

/* --- variants
 * ----------------------------------------------------------------------- */

enum bases_variant {
    BASES_SCALAR,
    BASES_SSSE3,
    BASES_AVX2,
    BASES_NEON,
    BASES_VARIANTS,
    BASES_AUTO = BASES_VARIANTS /* the best that is here */
};

/* "scalar", "ssse3", "avx2", "neon", "auto". */
const char *bases_variant_name(enum bases_variant v);
/* What is in use. */
enum bases_variant bases_variant(void);
/* Whether this build and this processor have it. */
bool bases_has(enum bases_variant v);

/* Uses `v` from now on.  Before other threads use this module.  NQ_EINVAL: it
 * is not here; `why` (of `cap` bytes) then says what is.  One that does not
 * agree with the scalar one is refused with a line in the log, and scalar
 * used. */
NQ_MUST_USE nq_rc bases_choose(enum bases_variant v, char *why, size_t cap);

#endif
