/* codec/bases_neon.c - the inner loops with NEON, which all of arm64 has.
 *
 * The loads and stores that deal bytes out over four registers do most of the
 * work: register k has the bases 4 * i + k, so a packed byte is the same
 * element of all four, shifted and inserted. */
#include "codec/bases_int.h"

#ifdef __aarch64__

#include <arm_neon.h>

/* By the low half of a letter: it, its base, and it with N; 0xff: none. */
static const uint8_t letter_table[16] = {
    255, 'A', 255, 'C', 'T', 255, 255, 'G',
    255, 255, 255, 255, 255, 255, 255, 255,
};
static const uint8_t letter_or_n_table[16] = {
    255, 'A', 255, 'C', 'T', 255, 255, 'G',
    255, 255, 255, 255, 255, 255, 'N', 255,
};
static const uint8_t code_table[16] = {0, 0, 0, 1, 3, 0, 0, 2};
static const uint8_t text_table[16] = {'A', 'C', 'G', 'T'};

/* Ones where the byte, in either case, is in the table of letters. */
static inline uint8x16_t
is_letter_of(uint8x16_t table, uint8x16_t v)
{
    uint8x16_t low = vandq_u8(v, vdupq_n_u8(15));

    return vceqq_u8(vqtbl1q_u8(table, low), vandq_u8(v, vdupq_n_u8(0xdf)));
}

static inline uint8x16_t
is_lower(uint8x16_t v)
{
    return vandq_u8(vcgeq_u8(v, vdupq_n_u8('a')), vcleq_u8(v, vdupq_n_u8('z')));
}

/* Four masks of bytes, dealt out as above, to 64 bits in order. */
static inline uint64_t
bits_of(const uint8x16_t m[4])
{
    uint8x16_t nibbles = vandq_u8(m[0], vdupq_n_u8(1));
    uint16x8_t pairs;

    nibbles = vsliq_n_u8(nibbles, m[1], 1);
    nibbles = vandq_u8(nibbles, vdupq_n_u8(3));
    nibbles = vorrq_u8(nibbles, vandq_u8(m[2], vdupq_n_u8(4)));
    nibbles = vorrq_u8(nibbles, vandq_u8(m[3], vdupq_n_u8(8)));
    pairs = vreinterpretq_u16_u8(nibbles);
    pairs = vorrq_u16(pairs, vshrq_n_u16(pairs, 4));
    return vget_lane_u64(vreinterpret_u64_u8(vmovn_u16(pairs)), 0);
}

static unsigned
neon_pack(uint8_t *dst, uint64_t *other, uint64_t *lower, const uint8_t *src,
          size_t blocks)
{
    const uint8x16_t letters = vld1q_u8(letter_table);
    const uint8x16_t codes = vld1q_u8(code_table);
    uint64_t any_other = 0, any_lower = 0;

    for (size_t b = 0; b < blocks; b++) {
        uint8x16x4_t v = vld4q_u8(src);
        uint8x16_t not_base[4], small[4], code[4];

        for (unsigned k = 0; k < 4; k++) {
            uint8x16_t is_base = is_letter_of(letters, v.val[k]);
            uint8x16_t low = vandq_u8(v.val[k], vdupq_n_u8(15));

            code[k] = vandq_u8(vqtbl1q_u8(codes, low), is_base);
            not_base[k] = vmvnq_u8(is_base);
            small[k] = is_lower(v.val[k]);
        }
        code[0] = vsliq_n_u8(code[0], code[1], 2);
        code[2] = vsliq_n_u8(code[2], code[3], 2);
        vst1q_u8(dst, vsliq_n_u8(code[0], code[2], 4));
        any_other |= other[b] = bits_of(not_base);
        any_lower |= lower[b] = bits_of(small);
        src += BASES_BLOCK;
        dst += BASES_BLOCK / 4;
    }
    return (any_other != 0 ? BASES_OTHER : 0u) |
           (any_lower != 0 ? BASES_LOWER : 0u);
}

static void
neon_unpack(uint8_t *dst, const uint8_t *packed, size_t blocks)
{
    const uint8x16_t letters = vld1q_u8(text_table), mask = vdupq_n_u8(3);

    for (size_t b = 0; b < blocks; b++) {
        uint8x16_t v = vld1q_u8(packed);
        uint8x16x4_t text;

        text.val[0] = vqtbl1q_u8(letters, vandq_u8(v, mask));
        text.val[1] = vqtbl1q_u8(letters, vandq_u8(vshrq_n_u8(v, 2), mask));
        text.val[2] = vqtbl1q_u8(letters, vandq_u8(vshrq_n_u8(v, 4), mask));
        text.val[3] = vqtbl1q_u8(letters, vshrq_n_u8(v, 6));
        vst4q_u8(dst, text);
        dst += BASES_BLOCK;
        packed += BASES_BLOCK / 4;
    }
}

static size_t
neon_count(const uint8_t *src, size_t blocks)
{
    const uint8x16_t letters = vld1q_u8(letter_or_n_table);
    size_t n = 0;

    for (size_t i = 0; i < blocks * BASES_BLOCK; i += 16) {
        uint8x16_t same = is_letter_of(letters, vld1q_u8(src + i));

        n += vaddvq_u8(vandq_u8(same, vdupq_n_u8(1)));
    }
    return n;
}

static inline uint64x2_t
load(const uint8_t *p)
{
    return vreinterpretq_u64_u8(vld1q_u8(p));
}

/* The places that begin in 16 bytes at p; see codec/bases_search.c.  Shifts
 * to the right are those to the left by less than nothing. */
static inline uint64x2_t
match_half(const uint8_t *p, const struct bases_pattern *pattern)
{
    uint64x2_t match = vdupq_n_u64(0x5555555555555555u);

    for (unsigned j = 0; j < pattern->probes; j++) {
        const uint64_t *t = pattern->table[j];
        int64_t shift = 2 * (int64_t)(j % 4);
        uint64x2_t w =
            vorrq_u64(vshlq_u64(load(p + j / 4), vdupq_n_s64(-shift)),
                      vshlq_u64(load(p + j / 4 + 8), vdupq_n_s64(64 - shift)));
        uint64x2_t low =
            veorq_u64(vdupq_n_u64(t[0]), vandq_u64(w, vdupq_n_u64(t[1])));
        uint64x2_t high =
            veorq_u64(vdupq_n_u64(t[2]), vandq_u64(w, vdupq_n_u64(t[3])));
        uint64x2_t is_in =
            veorq_u64(low, vandq_u64(vshrq_n_u64(w, 1), veorq_u64(low, high)));

        match = vandq_u64(match, is_in);
        if (vmaxvq_u32(vreinterpretq_u32_u64(match)) == 0)
            break;
    }
    return match;
}

static size_t
neon_find(const uint8_t *packed, size_t steps, const struct bases_pattern *p,
          struct bases_matches *m)
{
    for (size_t s = 0; s < steps; s++, packed += BASES_STEP) {
        vst1q_u64(m->words, match_half(packed, p));
        vst1q_u64(m->words + 2, match_half(packed + 16, p));
        if ((m->words[0] | m->words[1] | m->words[2] | m->words[3]) != 0)
            return s;
    }
    memset(m, 0, sizeof *m);
    return steps;
}

const struct bases_kernels bases_neon = {
    .pack = neon_pack,
    .unpack = neon_unpack,
    .count = neon_count,
    .find = neon_find,
};

#endif
