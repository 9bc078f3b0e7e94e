/* quantum/amplitudes.c - a state of n qubits under Grover's iterations.
 *
 * An iteration is: turn the sign of what is marked, then replace each
 * amplitude a by 2 m - a, where m is the mean.  Both happen in one pass over
 * memory, which also adds up what the next one needs for its mean; only the
 * first after a start has its sum taken beforehand.
 *
 *   I1  amplitudes from `rows` on are 0, in both parts
 *   I2  the squares of all others add up to 1 but for rounding
 *   I3  parts begin at addresses divisible by 64
 *
 * Sums are exact to some units in the last place (amplitudes_int.h): errors
 * of the mean would all push the norm the same way, iteration by iteration. */
#include "quantum/amplitudes.h"

#include <math.h>

#include "base/check.h"
#include "base/mem.h"
#include "quantum/amplitudes_int.h"
#include "quantum/theory.h"

#define ALIGN 64u
#define CHUNK 1024u /* words between two looks at `cancel` */
#define SAMPLE 4u   /* words that variants are compared on */

struct amplitudes {
    uint64_t rows, iterations;
    unsigned parts;  /* 1: real; 2: the second are the imaginary parts */
    double *part[2]; /* point into `memory` */
    double sums[2];  /* of the parts with the oracle's signs; has_sums */
    bool has_sums;
    void *memory;
};

static struct {
    const struct amplitudes_kernels *now;
    enum amplitudes_variant variant;
} chosen = {&amplitudes_scalar, AMPLITUDES_SCALAR};

/* --- life ------------------------------------------------------------------
 */

/* In one part: the power of two, and at least one word of the oracle. */
static uint64_t
room_of(uint64_t rows)
{
    return nq_max(UINT64_C(1) << theory_qubits(rows), (uint64_t)ORACLE_BITS);
}

uint64_t
amplitudes_bytes(uint64_t rows, bool is_complex)
{
    return (is_complex ? 16u : 8u) * (UINT64_C(1) << theory_qubits(rows));
}

struct amplitudes *
amplitudes_new(uint64_t rows, bool is_complex)
{
    struct amplitudes *a = nq_calloc(1, sizeof *a);
    uint64_t room = room_of(rows);
    uintptr_t at;

    nq_assert(rows > 0);
    a->rows = rows;
    a->parts = is_complex ? 2 : 1;
    a->memory = nq_calloc(1, a->parts * room * sizeof(double) + ALIGN);
    at = ((uintptr_t)a->memory + ALIGN - 1) / ALIGN * ALIGN;
    for (unsigned p = 0; p < a->parts; p++)
        a->part[p] = (double *)at + p * room;
    amplitudes_start(a);
    return a;
}

void
amplitudes_free(struct amplitudes *a)
{
    if (a == NULL)
        return;
    nq_free(a->memory);
    nq_free(a);
}

void
amplitudes_start(struct amplitudes *a)
{
    double even = 1 / sqrt((double)a->rows);

    for (uint64_t i = 0; i < a->rows; i++)
        a->part[0][i] = even;
    for (uint64_t i = 0; a->parts > 1 && i < a->rows; i++)
        a->part[1][i] = 0;
    a->iterations = 0;
    a->has_sums = false;
}

/* --- sums ------------------------------------------------------------------
 */

static double
total(const struct amplitudes_lanes *l)
{
    return (l->sum[0] + l->sum[1]) + (l->sum[2] + l->sum[3]) +
           ((l->rest[0] + l->rest[1]) + (l->rest[2] + l->rest[3]));
}

/* Of all amplitudes of a part, marked ones with their sign turned. */
static double
signed_sum(const struct amplitudes *a, unsigned part, const struct oracle *o)
{
    struct amplitudes_lanes lanes = {{0}, {0}};
    uint64_t words = (a->rows + ORACLE_BITS - 1) / ORACLE_BITS;
    const double *amps = a->part[part];
    double numbers[ORACLE_BITS];

    for (uint64_t w = 0; w < words; w++, amps += ORACLE_BITS) {
        for (unsigned i = 0; i < ORACLE_BITS; i++)
            numbers[i] = amplitudes_turned(amps[i], o->words[w] >> i & 1);
        amplitudes_add_word(numbers, &lanes);
    }
    return total(&lanes);
}

void
amplitudes_sum(const struct amplitudes *a, const struct oracle *o,
               struct amplitudes_sums *out)
{
    struct amplitudes_lanes all = {{0}, {0}}, marked = {{0}, {0}};
    double squares[ORACLE_BITS], of_marked[ORACLE_BITS];
    uint64_t words = (a->rows + ORACLE_BITS - 1) / ORACLE_BITS;

    nq_assert(o->rows == a->rows);
    for (unsigned p = 0; p < a->parts; p++) {
        for (uint64_t w = 0; w < words; w++) {
            const double *amps = a->part[p] + w * ORACLE_BITS;

            for (unsigned i = 0; i < ORACLE_BITS; i++) {
                squares[i] = amps[i] * amps[i];
                of_marked[i] = (o->words[w] >> i & 1) != 0 ? squares[i] : 0;
            }
            amplitudes_add_word(squares, &all);
            if (o->words[w] != 0)
                amplitudes_add_word(of_marked, &marked);
        }
    }
    out->norm = total(&all);
    out->success = total(&marked);
}

/* --- iterations ------------------------------------------------------------
 */

/* Those behind the last whole word, in the way of the kernels. */
static void
step_rest(double *amps, uint64_t marks, unsigned n, double twice_mean,
          struct amplitudes_lanes *lanes)
{
    double next[ORACLE_BITS] = {0};

    for (unsigned i = 0; i < n; i++) {
        amps[i] = twice_mean - amplitudes_turned(amps[i], marks >> i & 1);
        next[i] = amplitudes_turned(amps[i], marks >> i & 1);
    }
    amplitudes_add_word(next, lanes);
}

/* One iteration of one part, whose signed sum is *sum before and after. */
static bool
step(struct amplitudes *a, unsigned part, const struct oracle *o, double *sum,
     const atomic_bool *cancel)
{
    struct amplitudes_lanes lanes = {{0}, {0}};
    uint64_t words = a->rows / ORACLE_BITS, n;
    unsigned rest = (unsigned)(a->rows % ORACLE_BITS);
    double twice_mean = 2 * (*sum / (double)a->rows);
    double *amps = a->part[part];

    for (uint64_t w = 0; w < words; w += n) {
        if (cancel != NULL &&
            atomic_load_explicit(cancel, memory_order_relaxed))
            return false;
        n = nq_min(words - w, (uint64_t)CHUNK);
        chosen.now->step(amps + w * ORACLE_BITS, o->words + w, n, twice_mean,
                         &lanes);
    }
    if (rest > 0)
        step_rest(amps + words * ORACLE_BITS, o->words[words], rest, twice_mean,
                  &lanes);
    *sum = total(&lanes);
    return true;
}

bool
amplitudes_iterate(struct amplitudes *a, const struct oracle *o, uint64_t k,
                   const atomic_bool *cancel)
{
    nq_assert(o->rows == a->rows);
    for (unsigned p = 0; !a->has_sums && k > 0 && p < a->parts; p++)
        a->sums[p] = signed_sum(a, p, o);
    a->has_sums |= k > 0;
    for (; k > 0; k--) {
        for (unsigned p = 0; p < a->parts; p++) {
            if (!step(a, p, o, &a->sums[p], cancel))
                return false;
        }
        a->iterations++;
    }
    return true;
}

uint64_t
amplitudes_iterations(const struct amplitudes *a)
{
    return a->iterations;
}

/* --- measurement -----------------------------------------------------------
 */

static double
chance(const struct amplitudes *a, uint64_t row)
{
    double re, im;

    amplitudes_get(a, row, &re, &im);
    return re * re + im * im;
}

uint64_t
amplitudes_measure(const struct amplitudes *a, double u)
{
    uint64_t last = 0;

    for (uint64_t i = 0; i < a->rows; i++) {
        double p = chance(a, i);

        if (u < p)
            return i;
        u -= p;
        if (p > 0)
            last = i;
    }
    return last; /* rounding left less than all of it */
}

void
amplitudes_get(const struct amplitudes *a, uint64_t row, double *re, double *im)
{
    nq_assert(row < a->rows);
    *re = a->part[0][row];
    *im = a->parts > 1 ? a->part[1][row] : 0;
}

/* --- variants --------------------------------------------------------------
 */

static const struct amplitudes_kernels *
kernels(enum amplitudes_variant v)
{
#ifdef __x86_64__
    if (v == AMPLITUDES_AVX2)
        return &amplitudes_avx2;
#endif
    return v == AMPLITUDES_SCALAR ? &amplitudes_scalar : NULL;
}

bool
amplitudes_has(enum amplitudes_variant v)
{
#ifdef __x86_64__
    __builtin_cpu_init();
    if (v == AMPLITUDES_AVX2)
        return __builtin_cpu_supports("avx2") != 0;
#endif
    return kernels(v) != NULL;
}

struct outcome {
    _Alignas(ALIGN) double amps[SAMPLE * ORACLE_BITS];
    struct amplitudes_lanes lanes;
};

static void
run_sample(const struct amplitudes_kernels *k, struct outcome *out)
{
    static const uint64_t marks[SAMPLE] = {0, UINT64_C(0x8000000000000001),
                                           UINT64_MAX,
                                           UINT64_C(0x0123456789abcdef)};

    memset(out, 0, sizeof *out);
    for (unsigned i = 0; i < SAMPLE * ORACLE_BITS; i++)
        out->amps[i] = 1.0 / (3 + i);
    k->step(out->amps, marks, SAMPLE, 0.1, &out->lanes);
}

/* Whether these kernels give the bits of the scalar ones. */
static bool
agrees(const struct amplitudes_kernels *k)
{
    struct outcome want, got;

    run_sample(&amplitudes_scalar, &want);
    run_sample(k, &got);
    return memcmp(&want, &got, sizeof want) == 0;
}

__attribute__((constructor)) static void
choose_at_start(void)
{
    for (unsigned v = AMPLITUDES_SCALAR; v < AMPLITUDES_KINDS; v++) {
        if (amplitudes_has(v) && agrees(kernels(v)))
            amplitudes_choose(v);
    }
}

void
amplitudes_choose(enum amplitudes_variant v)
{
    nq_assert(amplitudes_has(v));
    chosen.now = kernels(v);
    chosen.variant = v;
}

enum amplitudes_variant
amplitudes_variant(void)
{
    return chosen.variant;
}

const char *
amplitudes_variant_name(enum amplitudes_variant v)
{
    return v == AMPLITUDES_AVX2 ? "avx2" : "scalar";
}
