/* codec/bases_avx2.c - the inner loops with AVX2, 32 bytes a register.
 *
 * A shuffle by the low half of a byte tells which letter it would have to be
 * and the two bits of that base; no upper-case form has bit 5, so places
 * without a letter hold 0xff, which nothing equals, and bytes from 0x80 on
 * look up 0, which they are not.  Two multiplications with sums of neighbours
 * bring four bases into each 32-bit word, two narrowings those to bytes. */
#include "codec/bases_int.h"

#ifdef __x86_64__

#include <immintrin.h>

static inline __m256i
load(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

/* The same 16 bytes in both halves. */
static inline __m256i
both(char a, char c, char g, char t, char n, char rest)
{
    return _mm256_broadcastsi128_si256(
        _mm_setr_epi8(rest, a, rest, c, t, rest, rest, g, rest, rest, rest,
                      rest, rest, rest, n, rest));
}

struct half {
    __m256i words;         /* four bases in each 32 bits */
    uint32_t bases, lower; /* bit i: of byte i */
};

static inline struct half
pack_half(__m256i v)
{
    const __m256i letters = both('A', 'C', 'G', 'T', -1, -1);
    const __m256i codes = both(0, 1, 2, 3, 0, 0);
    __m256i upper = _mm256_and_si256(v, _mm256_set1_epi8((char)0xdf));
    __m256i is_base = _mm256_cmpeq_epi8(_mm256_shuffle_epi8(letters, v), upper);
    __m256i code = _mm256_and_si256(_mm256_shuffle_epi8(codes, v), is_base);
    __m256i is_lower =
        _mm256_and_si256(_mm256_cmpgt_epi8(v, _mm256_set1_epi8('a' - 1)),
                         _mm256_cmpgt_epi8(_mm256_set1_epi8('z' + 1), v));

    code = _mm256_maddubs_epi16(code, _mm256_set1_epi16(0x0401));
    return (struct half){
        _mm256_madd_epi16(code, _mm256_set1_epi32(0x00100001)),
        (uint32_t)_mm256_movemask_epi8(is_base),
        (uint32_t)_mm256_movemask_epi8(is_lower),
    };
}

static unsigned
avx2_pack(uint8_t *dst, uint64_t *other, uint64_t *lower, const uint8_t *src,
          size_t blocks)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 0, 4, 1, 5);
    uint64_t any_other = 0, any_lower = 0;

    for (size_t b = 0; b < blocks; b++) {
        struct half x = pack_half(load(src)), y = pack_half(load(src + 32));
        __m256i bytes = _mm256_packs_epi32(x.words, y.words);

        /* Narrowing goes half by half: the order is put right at the end. */
        bytes = _mm256_packus_epi16(bytes, bytes);
        bytes = _mm256_permutevar8x32_epi32(bytes, order);
        _mm_storeu_si128((__m128i *)(void *)dst, _mm256_castsi256_si128(bytes));
        other[b] = ~(x.bases | (uint64_t)y.bases << 32);
        lower[b] = x.lower | (uint64_t)y.lower << 32;
        any_other |= other[b];
        any_lower |= lower[b];
        src += BASES_BLOCK;
        dst += BASES_BLOCK / 4;
    }
    return (any_other != 0 ? BASES_OTHER : 0u) |
           (any_lower != 0 ? BASES_LOWER : 0u);
}

/* Sixteen bytes of two bases each, in bits 0 to 3, to 32 letters. */
static inline void
store_letters(uint8_t *dst, __m128i pairs)
{
    const __m256i letters =
        _mm256_set1_epi32('A' | 'C' << 8 | 'G' << 16 | 'T' << 24);
    __m256i codes = _mm256_cvtepu8_epi16(pairs);

    codes = _mm256_or_si256(codes, _mm256_slli_epi16(codes, 6));
    codes = _mm256_and_si256(codes, _mm256_set1_epi8(3));
    _mm256_storeu_si256((__m256i *)(void *)dst,
                        _mm256_shuffle_epi8(letters, codes));
}

static void
avx2_unpack(uint8_t *dst, const uint8_t *packed, size_t blocks)
{
    const __m128i mask = _mm_set1_epi8(15);

    for (size_t b = 0; b < blocks; b++) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)packed);
        __m128i low = _mm_and_si128(v, mask);
        __m128i high = _mm_and_si128(_mm_srli_epi16(v, 4), mask);

        store_letters(dst, _mm_unpacklo_epi8(low, high));
        store_letters(dst + 32, _mm_unpackhi_epi8(low, high));
        dst += BASES_BLOCK;
        packed += BASES_BLOCK / 4;
    }
}

static size_t
avx2_count(const uint8_t *src, size_t blocks)
{
    const __m256i letters = both('A', 'C', 'G', 'T', 'N', -1);
    const __m256i one = _mm256_set1_epi8(1), zero = _mm256_setzero_si256();
    __m256i sums = zero;
    uint64_t sum[4];

    for (size_t i = 0; i < blocks * BASES_BLOCK; i += 32) {
        __m256i v = load(src + i);
        __m256i upper = _mm256_and_si256(v, _mm256_set1_epi8((char)0xdf));
        __m256i same =
            _mm256_cmpeq_epi8(_mm256_shuffle_epi8(letters, v), upper);

        sums = _mm256_add_epi64(
            sums, _mm256_sad_epu8(_mm256_and_si256(same, one), zero));
    }
    _mm256_storeu_si256((__m256i *)(void *)sum, sums);
    return sum[0] + sum[1] + sum[2] + sum[3];
}

/* The places that begin in 32 bytes at p; see codec/bases_search.c. */
static inline __m256i
match_step(const uint8_t *p, const struct bases_pattern *pattern)
{
    __m256i match = _mm256_set1_epi8(0x55);

    for (unsigned j = 0; j < pattern->probes; j++) {
        const uint64_t *t = pattern->table[j];
        int shift = 2 * (int)(j % 4);
        __m256i w = _mm256_or_si256(
            _mm256_srl_epi64(load(p + j / 4), _mm_cvtsi32_si128(shift)),
            _mm256_sll_epi64(load(p + j / 4 + 8),
                             _mm_cvtsi32_si128(64 - shift)));
        __m256i low = _mm256_xor_si256(
            _mm256_set1_epi64x((long long)t[0]),
            _mm256_and_si256(w, _mm256_set1_epi64x((long long)t[1])));
        __m256i high = _mm256_xor_si256(
            _mm256_set1_epi64x((long long)t[2]),
            _mm256_and_si256(w, _mm256_set1_epi64x((long long)t[3])));
        __m256i is_in = _mm256_xor_si256(
            low, _mm256_and_si256(_mm256_srli_epi64(w, 1),
                                  _mm256_xor_si256(low, high)));

        match = _mm256_and_si256(match, is_in);
        if (_mm256_testz_si256(match, match))
            break;
    }
    return match;
}

static size_t
avx2_find(const uint8_t *packed, size_t steps, const struct bases_pattern *p,
          struct bases_matches *m)
{
    for (size_t s = 0; s < steps; s++) {
        __m256i match = match_step(packed + s * BASES_STEP, p);

        if (_mm256_testz_si256(match, match))
            continue;
        _mm256_storeu_si256((__m256i *)(void *)m->words, match);
        return s;
    }
    memset(m, 0, sizeof *m);
    return steps;
}

const struct bases_kernels bases_avx2 = {
    .pack = avx2_pack,
    .unpack = avx2_unpack,
    .count = avx2_count,
    .find = avx2_find,
};

#endif
