/* codec/bases_ssse3.c - the inner loops with SSSE3, 16 bytes a register; they
 * go as those of codec/bases_avx2.c do. */
#include "codec/bases_int.h"

#ifdef __x86_64__

#include <immintrin.h>

static inline __m128i
load(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline void
store(void *p, __m128i v)
{
    _mm_storeu_si128((__m128i *)p, v);
}

/* By the low half of a letter. */
static inline __m128i
by_letter(char a, char c, char g, char t, char n, char rest)
{
    return _mm_setr_epi8(rest, a, rest, c, t, rest, rest, g, rest, rest, rest,
                         rest, rest, rest, n, rest);
}

struct quarter {
    __m128i words;         /* four bases in each 32 bits */
    uint64_t other, lower; /* bit i: of byte i */
};

static inline struct quarter
pack_quarter(__m128i v)
{
    const __m128i letters = by_letter('A', 'C', 'G', 'T', -1, -1);
    const __m128i codes = by_letter(0, 1, 2, 3, 0, 0);
    __m128i upper = _mm_and_si128(v, _mm_set1_epi8((char)0xdf));
    __m128i is_base = _mm_cmpeq_epi8(_mm_shuffle_epi8(letters, v), upper);
    __m128i code = _mm_and_si128(_mm_shuffle_epi8(codes, v), is_base);
    __m128i is_lower = _mm_and_si128(_mm_cmpgt_epi8(v, _mm_set1_epi8('a' - 1)),
                                     _mm_cmpgt_epi8(_mm_set1_epi8('z' + 1), v));

    code = _mm_maddubs_epi16(code, _mm_set1_epi16(0x0401));
    return (struct quarter){
        _mm_madd_epi16(code, _mm_set1_epi32(0x00100001)),
        (unsigned)_mm_movemask_epi8(is_base) ^ 0xffffu,
        (unsigned)_mm_movemask_epi8(is_lower),
    };
}

static unsigned
ssse3_pack(uint8_t *dst, uint64_t *other, uint64_t *lower, const uint8_t *src,
           size_t blocks)
{
    uint64_t any_other = 0, any_lower = 0;

    for (size_t b = 0; b < blocks; b++) {
        struct quarter q = pack_quarter(load(src));
        struct quarter r = pack_quarter(load(src + 16));
        struct quarter s = pack_quarter(load(src + 32));
        struct quarter t = pack_quarter(load(src + 48));

        store(dst, _mm_packus_epi16(_mm_packs_epi32(q.words, r.words),
                                    _mm_packs_epi32(s.words, t.words)));
        other[b] = q.other | r.other << 16 | s.other << 32 | t.other << 48;
        lower[b] = q.lower | r.lower << 16 | s.lower << 32 | t.lower << 48;
        any_other |= other[b];
        any_lower |= lower[b];
        src += BASES_BLOCK;
        dst += BASES_BLOCK / 4;
    }
    return (any_other != 0 ? BASES_OTHER : 0u) |
           (any_lower != 0 ? BASES_LOWER : 0u);
}

/* Bytes of two bases, in bits 0 to 3, to 32 letters. */
static inline void
store_letters(uint8_t *dst, __m128i pairs)
{
    const __m128i letters =
        _mm_set1_epi32('A' | 'C' << 8 | 'G' << 16 | 'T' << 24);
    const __m128i mask = _mm_set1_epi8(3);
    __m128i first = _mm_and_si128(pairs, mask);
    __m128i second = _mm_and_si128(_mm_srli_epi16(pairs, 2), mask);

    store(dst, _mm_shuffle_epi8(letters, _mm_unpacklo_epi8(first, second)));
    store(dst + 16,
          _mm_shuffle_epi8(letters, _mm_unpackhi_epi8(first, second)));
}

static void
ssse3_unpack(uint8_t *dst, const uint8_t *packed, size_t blocks)
{
    const __m128i mask = _mm_set1_epi8(15);

    for (size_t b = 0; b < blocks; b++) {
        __m128i v = load(packed);
        __m128i low = _mm_and_si128(v, mask);
        __m128i high = _mm_and_si128(_mm_srli_epi16(v, 4), mask);

        store_letters(dst, _mm_unpacklo_epi8(low, high));
        store_letters(dst + 32, _mm_unpackhi_epi8(low, high));
        dst += BASES_BLOCK;
        packed += BASES_BLOCK / 4;
    }
}

static size_t
ssse3_count(const uint8_t *src, size_t blocks)
{
    const __m128i letters = by_letter('A', 'C', 'G', 'T', 'N', -1);
    __m128i sums = _mm_setzero_si128();
    uint64_t sum[2];

    for (size_t i = 0; i < blocks * BASES_BLOCK; i += 16) {
        __m128i v = load(src + i);
        __m128i upper = _mm_and_si128(v, _mm_set1_epi8((char)0xdf));
        __m128i same = _mm_cmpeq_epi8(_mm_shuffle_epi8(letters, v), upper);

        sums = _mm_add_epi64(sums,
                             _mm_sad_epu8(_mm_and_si128(same, _mm_set1_epi8(1)),
                                          _mm_setzero_si128()));
    }
    store(sum, sums);
    return sum[0] + sum[1];
}

/* The places that begin in 16 bytes at p; see codec/bases_search.c. */
static inline __m128i
match_half(const uint8_t *p, const struct bases_pattern *pattern)
{
    const __m128i none = _mm_setzero_si128();
    __m128i match = _mm_set1_epi8(0x55);

    for (unsigned j = 0; j < pattern->probes; j++) {
        const uint64_t *t = pattern->table[j];
        int shift = 2 * (int)(j % 4);
        __m128i w = _mm_or_si128(
            _mm_srl_epi64(load(p + j / 4), _mm_cvtsi32_si128(shift)),
            _mm_sll_epi64(load(p + j / 4 + 8), _mm_cvtsi32_si128(64 - shift)));
        __m128i low =
            _mm_xor_si128(_mm_set1_epi64x((long long)t[0]),
                          _mm_and_si128(w, _mm_set1_epi64x((long long)t[1])));
        __m128i high =
            _mm_xor_si128(_mm_set1_epi64x((long long)t[2]),
                          _mm_and_si128(w, _mm_set1_epi64x((long long)t[3])));
        __m128i is_in = _mm_xor_si128(
            low, _mm_and_si128(_mm_srli_epi64(w, 1), _mm_xor_si128(low, high)));

        match = _mm_and_si128(match, is_in);
        if (_mm_movemask_epi8(_mm_cmpeq_epi8(match, none)) == 0xffff)
            break;
    }
    return match;
}

static size_t
ssse3_find(const uint8_t *packed, size_t steps, const struct bases_pattern *p,
           struct bases_matches *m)
{
    for (size_t s = 0; s < steps; s++, packed += BASES_STEP) {
        store(m->words, match_half(packed, p));
        store(m->words + 2, match_half(packed + 16, p));
        if ((m->words[0] | m->words[1] | m->words[2] | m->words[3]) != 0)
            return s;
    }
    memset(m, 0, sizeof *m);
    return steps;
}

const struct bases_kernels bases_ssse3 = {
    .pack = ssse3_pack,
    .unpack = ssse3_unpack,
    .count = ssse3_count,
    .find = ssse3_find,
};

#endif
