/* codec/bases_scalar.c - the inner loops without vector instructions: what
 * the other variants are compared with, and what any machine has.
 *
 * Text goes eight bytes a step in one register.  Of a letter's bits 2 and 1,
 * A has 00, C 01, G 11, T 10; adding (without carry) bit 2 to bit 1 gives the
 * two bits of the base.  The letter that belongs to them,
 *
 *   0x41 + 2 * low + 6 * high + 11 * (low and high)
 *
 * is compared with the upper-case form of the byte to see whether it was one.
 * Sums of bytes never exceed 0xff, so no carry goes from byte to byte. */
#include "codec/bases_int.h"

#define BYTES(v) (0x0101010101010101u * (v))

static uint64_t
word_at(const uint8_t *p)
{
    uint64_t w;

    memcpy(&w, p, 8);
    return w;
}

/* The bits 7 of eight bytes, the first one lowest. */
static uint64_t
gather_high_bits(uint64_t w)
{
    return (w >> 7 & BYTES(0x01)) * 0x0102040810204080u >> 56;
}

/* Bit 7 of each byte that is not 0. */
static uint64_t
nonzero_bytes(uint64_t w)
{
    return ((w & BYTES(0x7f)) + BYTES(0x7f)) | w;
}

static uint64_t
lower_letters(uint64_t w)
{
    uint64_t low = w & BYTES(0x7f);
    uint64_t from_a = low + BYTES(0x80 - 'a');
    uint64_t behind_z = low + BYTES(0x80 - 'z' - 1);

    return from_a & ~behind_z & ~w;
}

/* Eight bases, one in each byte, to sixteen bits. */
static uint64_t
squeeze(uint64_t codes)
{
    codes = (codes | codes >> 6) & 0x000f000f000f000fu;
    codes = (codes | codes >> 12) & 0x000000ff000000ffu;
    return (codes | codes >> 24) & 0xffff;
}

struct eight {
    uint64_t bases, other, lower;
};

static struct eight
pack_eight(uint64_t w)
{
    uint64_t codes = (w >> 1 & BYTES(0x03)) ^ (w >> 2 & BYTES(0x01));
    uint64_t low = codes & BYTES(0x01), high = codes >> 1 & BYTES(0x01);
    uint64_t letters = BYTES('A') + 2 * low + 6 * high + 11 * (low & high);
    uint64_t other = nonzero_bytes((w & BYTES(0xdf)) ^ letters);

    /* Spread bit 7 of what is no base over the two bits of its code. */
    codes &= ~((other >> 7 & BYTES(0x01)) * 3);
    return (struct eight){squeeze(codes), gather_high_bits(other),
                          gather_high_bits(lower_letters(w))};
}

static unsigned
scalar_pack(uint8_t *dst, uint64_t *other, uint64_t *lower, const uint8_t *src,
            size_t blocks)
{
    uint64_t any_other = 0, any_lower = 0;

    for (size_t b = 0; b < blocks; b++) {
        uint64_t not_base = 0, small = 0;

        for (unsigned i = 0; i < 8; i++) {
            struct eight e = pack_eight(word_at(src + 8 * i));
            uint16_t bases = (uint16_t)e.bases;

            memcpy(dst + 2 * i, &bases, 2);
            not_base |= e.other << 8 * i;
            small |= e.lower << 8 * i;
        }
        any_other |= other[b] = not_base;
        any_lower |= lower[b] = small;
        src += BASES_BLOCK;
        dst += BASES_BLOCK / 4;
    }
    return (any_other != 0 ? BASES_OTHER : 0u) |
           (any_lower != 0 ? BASES_LOWER : 0u);
}

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

    for (size_t i = 0; i < blocks * BASES_BLOCK; i += 8) {
        uint64_t w = word_at(src + i);
        uint64_t not_base = pack_eight(w).other;
        uint64_t not_n =
            gather_high_bits(nonzero_bytes((w & BYTES(0xdf)) ^ BYTES('N')));

        n += 8 - (unsigned)__builtin_popcountll(not_base & not_n);
    }
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
