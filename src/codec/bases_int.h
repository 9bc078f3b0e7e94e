/* codec/bases_int.h - the inner loops behind codec/bases.h, one table a
 * variant; all give the same bytes, by test and by a check at start.
 *
 * They work on whole blocks of 64 bases (64 bytes of text, 16 packed, one
 * word of a bitmap); codec/bases.c pads what is left over.  Any thread. */
#ifndef NQ_CODEC_BASES_INT_H
#define NQ_CODEC_BASES_INT_H

#include "codec/bases.h"

#define BASES_BLOCK 64u

/* One step of a search: the 128 places that begin in 32 packed bytes. */
#define BASES_STEP 32u
/* Bytes that must be readable from where a step begins. */
#define BASES_STEP_READ (BASES_STEP + 8 + BASES_PROBES / 4 - 1)

/* Bit 2 * i of words[w]: a match may begin at place 32 * w + i. */
struct bases_matches {
    uint64_t words[4];
};

struct bases_kernels {
    unsigned (*pack)(uint8_t *dst, uint64_t *other, uint64_t *lower,
                     const uint8_t *src, size_t blocks);
    void (*unpack)(uint8_t *dst, const uint8_t *packed, size_t blocks);
    size_t (*count)(const uint8_t *src, size_t blocks);
    /* The first of `steps` in which the probes of the pattern match somewhere
     * and where; `steps`: in none, and *m is empty. */
    size_t (*find)(const uint8_t *packed, size_t steps,
                   const struct bases_pattern *p, struct bases_matches *m);
};

extern const struct bases_kernels bases_scalar;
#ifdef __x86_64__
extern const struct bases_kernels bases_ssse3, bases_avx2;
#endif
#ifdef __aarch64__
extern const struct bases_kernels bases_neon;
#endif

/* The table of a variant; NULL: neither in this build nor, therefore, here.
 * The processor is not asked. */
const struct bases_kernels *bases_kernels(enum bases_variant v);
/* What is in use. */
const struct bases_kernels *bases_now(void);
/* Whether these kernels agree with the scalar ones on a small sample. */
bool bases_agree(const struct bases_kernels *k);

#endif
