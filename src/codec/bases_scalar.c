/* codec/bases_scalar.c - the inner loops without vector instructions: what
 * the other variants are compared with, and what any machine has.
 *
 * Packing looks each byte up and puts what it finds, shifted, together with
 * that of seven more: 16 bits of bases below 16 bits of flags. */
#include "codec/bases_int.h"

#define BYTES(v) (0x0101010101010101u * (v))

/* Of a byte: its base in bits 0 and 1, and two flags that many bits up. */
#define BASE(code) (1u << 16 | (code))
#define LOWER (1u << 17)

static const uint32_t letters[256] = {
    ['A'] = BASE(0),         ['C'] = BASE(1),         ['G'] = BASE(2),
    ['T'] = BASE(3),         ['a'] = BASE(0) | LOWER, ['b'] = LOWER,
    ['c'] = BASE(1) | LOWER, ['d'] = LOWER,           ['e'] = LOWER,
    ['f'] = LOWER,           ['g'] = BASE(2) | LOWER, ['h'] = LOWER,
    ['i'] = LOWER,           ['j'] = LOWER,           ['k'] = LOWER,
    ['l'] = LOWER,           ['m'] = LOWER,           ['n'] = LOWER,
    ['o'] = LOWER,           ['p'] = LOWER,           ['q'] = LOWER,
    ['r'] = LOWER,           ['s'] = LOWER,           ['t'] = BASE(3) | LOWER,
    ['u'] = LOWER,           ['v'] = LOWER,           ['w'] = LOWER,
    ['x'] = LOWER,           ['y'] = LOWER,           ['z'] = LOWER,
};

static const uint8_t is_counted[256] = {
    ['A'] = 1, ['C'] = 1, ['G'] = 1, ['T'] = 1, ['N'] = 1,
    ['a'] = 1, ['c'] = 1, ['g'] = 1, ['t'] = 1, ['n'] = 1,
};

static uint64_t
word_at(const uint8_t *p)
{
    uint64_t w;

    memcpy(&w, p, 8);
    return w;
}

/* Every second of sixteen bits. */
static uint64_t
even_bits(uint32_t v)
{
    v &= 0x5555;
    v = (v | v >> 1) & 0x3333;
    v = (v | v >> 2) & 0x0f0f;
    return (v | v >> 4) & 0x00ff;
}

static uint32_t
look_up_eight(uint64_t w)
{
    return letters[w & 255] | letters[w >> 8 & 255] << 2 |
           letters[w >> 16 & 255] << 4 | letters[w >> 24 & 255] << 6 |
           letters[w >> 32 & 255] << 8 | letters[w >> 40 & 255] << 10 |
           letters[w >> 48 & 255] << 12 | letters[w >> 56] << 14;
}

static unsigned
scalar_pack(uint8_t *dst, uint64_t *other, uint64_t *lower, const uint8_t *src,
            size_t blocks)
{
    uint64_t any_other = 0, any_lower = 0;

    for (size_t b = 0; b < blocks; b++) {
        uint64_t not_base = 0, small = 0;

        for (unsigned i = 0; i < 8; i++) {
            uint32_t v = look_up_eight(word_at(src + 8 * i));
            uint16_t bases = (uint16_t)v;

            memcpy(dst + 2 * i, &bases, 2);
            if (v >> 16 == 0x5555)
                continue;
            not_base |= even_bits(~v >> 16) << 8 * i;
            small |= even_bits(v >> 17) << 8 * i;
        }
        any_other |= other[b] = not_base;
        any_lower |= lower[b] = small;
        src += BASES_BLOCK;
        dst += BASES_BLOCK / 4;
    }
    return (any_other != 0 ? BASES_OTHER : 0u) |
           (any_lower != 0 ? BASES_LOWER : 0u);
}

/* Bases are spread to a byte each; the letter of one is
 * 'A' + 2 * low + 6 * high + 11 * (low and high). */
static void
scalar_unpack(uint8_t *dst, const uint8_t *packed, size_t blocks)
{
    for (size_t i = 0; i < blocks * (BASES_BLOCK / 8); i++) {
        uint16_t bases;
        uint64_t codes, low, high;

        memcpy(&bases, packed + 2 * i, 2);
        codes = bases;
        codes = (codes | codes << 24) & 0x000000ff000000ffu;
        codes = (codes | codes << 12) & 0x000f000f000f000fu;
        codes = (codes | codes << 6) & BYTES(0x03);
        low = codes & BYTES(0x01);
        high = codes >> 1 & BYTES(0x01);
        codes = BYTES('A') + 2 * low + 6 * high + 11 * (low & high);
        memcpy(dst + 8 * i, &codes, 8);
    }
}

static size_t
scalar_count(const uint8_t *src, size_t blocks)
{
    size_t n = 0;

    for (size_t i = 0; i < blocks * BASES_BLOCK; i++)
        n += is_counted[src[i]];
    return n;
}

/* The 32 places that begin at p: bit 2 * i is set where all probes match. */
static uint64_t
match_word(const uint8_t *p, const struct bases_pattern *pattern)
{
    uint64_t match = BYTES(0x55);

    for (unsigned j = 0; j < pattern->probes && match != 0; j++) {
        const uint64_t *t = pattern->table[j];
        unsigned shift = 2 * (j % 4);
        uint64_t w = word_at(p + j / 4) >> shift | word_at(p + j / 4 + 8)
                                                       << 1 << (63 - shift);
        uint64_t low_half = t[0] ^ (w & t[1]), high_half = t[2] ^ (w & t[3]);

        match &= low_half ^ (w >> 1 & (low_half ^ high_half));
    }
    return match;
}

static size_t
scalar_find(const uint8_t *packed, size_t steps, const struct bases_pattern *p,
            struct bases_matches *m)
{
    for (size_t s = 0; s < steps; s++) {
        uint64_t any = 0;

        for (unsigned i = 0; i < 4; i++)
            any |= m->words[i] = match_word(packed + s * BASES_STEP + 8 * i, p);
        if (any != 0)
            return s;
    }
    memset(m, 0, sizeof *m);
    return steps;
}

const struct bases_kernels bases_scalar = {
    .pack = scalar_pack,
    .unpack = scalar_unpack,
    .count = scalar_count,
    .find = scalar_find,
};
