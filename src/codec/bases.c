/* codec/bases.c - which variant of the inner loops is used, and the ends that
 * they leave: heads that are no whole byte, tails that are no whole block.
 *
 * A variant is used only if it gives what the scalar one gives on a small
 * sample with every byte in it; that takes some microseconds, once, before
 * main().  From then on the choice is only read, unless bases_choose(). */
#include "codec/bases.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "codec/bases_int.h"

#define SAMPLE 512u /* bytes that variants are compared on */

static struct {
    const struct bases_kernels *now;
    enum bases_variant variant;
} chosen = {&bases_scalar, BASES_SCALAR};

/* --- packing and unpacking
 * ----------------------------------------------------------------------- */

unsigned
bases_pack(uint8_t *dst, uint64_t *other, uint64_t *lower, const void *src,
           size_t n)
{
    const uint8_t *text = src;
    size_t blocks = n / BASES_BLOCK, left = n % BASES_BLOCK;
    uint8_t tail[BASES_BLOCK], packed[BASES_BLOCK / 4];
    unsigned found = chosen.now->pack(dst, other, lower, text, blocks);

    if (left == 0)
        return found;
    memset(tail, 'A', sizeof tail);
    memcpy(tail, text + blocks * BASES_BLOCK, left);
    found |= chosen.now->pack(packed, other + blocks, lower + blocks, tail, 1);
    memcpy(dst + blocks * (BASES_BLOCK / 4), packed, BASES_BYTES(left));
    return found;
}

void
bases_unpack(char *dst, const uint8_t *packed, size_t first, size_t n)
{
    uint8_t tail[BASES_BLOCK / 4] = {0}, text[BASES_BLOCK];
    size_t blocks, left;

    for (; n > 0 && first % 4 != 0; n--)
        *dst++ = "ACGT"[bases_get(packed, first++)];
    packed += first / 4;
    blocks = n / BASES_BLOCK;
    left = n % BASES_BLOCK;
    chosen.now->unpack((uint8_t *)dst, packed, blocks);
    if (left == 0)
        return;
    memcpy(tail, packed + blocks * (BASES_BLOCK / 4), BASES_BYTES(left));
    chosen.now->unpack(text, tail, 1);
    memcpy(dst + blocks * BASES_BLOCK, text, left);
}

size_t
bases_count(const void *src, size_t n)
{
    const uint8_t *text = src;
    size_t blocks = n / BASES_BLOCK, left = n % BASES_BLOCK;
    uint8_t tail[BASES_BLOCK] = {0};
    size_t count = chosen.now->count(text, blocks);

    if (left == 0)
        return count;
    memcpy(tail, text + blocks * BASES_BLOCK, left);
    return count + chosen.now->count(tail, 1);
}

bool
bases_run(const uint64_t *bitmap, size_t n, size_t *at, size_t *end)
{
    size_t word = *at / 64, words = BASES_WORDS(n);
    uint64_t bits;

    if (*at >= n)
        return false;
    bits = bitmap[word] & UINT64_MAX << *at % 64;
    while (bits == 0 && ++word < words)
        bits = bitmap[word];
    if (bits == 0)
        return false;
    *at = word * 64 + (unsigned)__builtin_ctzll(bits);
    bits = ~bitmap[word] & UINT64_MAX << *at % 64;
    while (bits == 0 && ++word < words)
        bits = ~bitmap[word];
    *end = bits == 0 ? n : word * 64 + (unsigned)__builtin_ctzll(bits);
    *end = nq_min(*end, n);
    return *at < n;
}

void
bases_lower(char *text, size_t n)
{
    for (; n >= 8; text += 8, n -= 8) {
        uint64_t w;

        memcpy(&w, text, 8);
        w |= 0x2020202020202020u;
        memcpy(text, &w, 8);
    }
    for (; n > 0; text++, n--)
        *text = (char)(*text | 0x20);
}

/* --- variants
 * ----------------------------------------------------------------------- */

const struct bases_kernels *
bases_kernels(enum bases_variant v)
{
    switch (v) {
    case BASES_SCALAR:
        return &bases_scalar;
#ifdef __x86_64__
    case BASES_SSSE3:
        return &bases_ssse3;
    case BASES_AVX2:
        return &bases_avx2;
#endif
#ifdef __aarch64__
    case BASES_NEON:
        return &bases_neon;
#endif
    default:
        return NULL;
    }
}

const struct bases_kernels *
bases_now(void)
{
    return chosen.now;
}

bool
bases_has(enum bases_variant v)
{
#ifdef __x86_64__
    __builtin_cpu_init();
    if (v == BASES_SSSE3)
        return __builtin_cpu_supports("ssse3") != 0;
    if (v == BASES_AVX2)
        return __builtin_cpu_supports("avx2") != 0;
#endif
    return bases_kernels(v) != NULL; /* all of arm64 has NEON */
}

/* Everything that a variant makes of the sample. */
struct outcome {
    uint64_t other[SAMPLE / 64], lower[SAMPLE / 64];
    uint8_t packed[SAMPLE / 4], text[SAMPLE];
    struct bases_matches matches;
    size_t count, step;
    unsigned found;
};

static void
run_sample(const struct bases_kernels *k, const uint8_t *sample,
           const struct bases_pattern *p, struct outcome *o)
{
    size_t blocks = SAMPLE / BASES_BLOCK;

    memset(o, 0, sizeof *o);
    o->found = k->pack(o->packed, o->other, o->lower, sample, blocks);
    k->unpack(o->text, o->packed, blocks);
    o->count = k->count(sample, blocks);
    o->step = k->find(o->packed, (SAMPLE / 4 - BASES_STEP_READ) / BASES_STEP, p,
                      &o->matches);
}

bool
bases_agree(const struct bases_kernels *k)
{
    uint8_t sample[SAMPLE];
    struct bases_pattern p;
    struct outcome want, got;

    /* Every byte once; then bases, their order that of the squares. */
    for (unsigned i = 0; i < SAMPLE; i++)
        sample[i] = i < 256 ? (uint8_t)i : (uint8_t) "ACGTacgt"[i * i / 8 % 8];
    if (!bases_pattern_parse(&p, slice_lit("GNYA")))
        return false;
    run_sample(&bases_scalar, sample, &p, &want);
    run_sample(k, sample, &p, &got);
    return memcmp(&want, &got, sizeof want) == 0;
}

static void
use(enum bases_variant v)
{
    chosen.now = bases_kernels(v);
    chosen.variant = v;
}

static void
choose_best(void)
{
    for (unsigned v = BASES_SCALAR; v < BASES_VARIANTS; v++) {
        if (bases_has(v) && bases_agree(bases_kernels(v)))
            use(v);
    }
}

__attribute__((constructor)) static void
choose_at_start(void)
{
    choose_best();
}

const char *
bases_variant_name(enum bases_variant v)
{
    static const char *const names[] = {
        [BASES_SCALAR] = "scalar", [BASES_SSSE3] = "ssse3",
        [BASES_AVX2] = "avx2",     [BASES_NEON] = "neon",
        [BASES_AUTO] = "auto",
    };

    nq_assert(v < nq_countof(names));
    return names[v];
}

enum bases_variant
bases_variant(void)
{
    return chosen.variant;
}

static nq_rc
refuse(enum bases_variant lacking, char *why, size_t cap)
{
    char have[64] = "";
    size_t len = 0;

    for (unsigned v = BASES_SCALAR; v < BASES_VARIANTS; v++) {
        if (bases_has(v))
            len += (size_t)snprintf(have + len, sizeof have - len, " %s",
                                    bases_variant_name(v));
    }
    snprintf(why, cap, "this processor has no %s; it has:%s",
             bases_variant_name(lacking), have);
    return NQ_EINVAL;
}

nq_rc
bases_choose(enum bases_variant v, char *why, size_t cap)
{
    if (v == BASES_AUTO) {
        choose_best();
        return NQ_OK;
    }
    if (!bases_has(v))
        return refuse(v, why, cap);
    use(v);
    if (!bases_agree(chosen.now)) {
        log_error("the %s code for nucleotides does not work as it should on "
                  "this processor; scalar code is used",
                  bases_variant_name(v));
        use(BASES_SCALAR);
    }
    return NQ_OK;
}
