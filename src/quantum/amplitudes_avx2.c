/* quantum/amplitudes_avx2.c - the inner loop with AVX2, four amplitudes a
 * register.
 *
 * Shifting the word of marks so that a lane's bit comes to be its highest, and
 * keeping that alone, gives the sign to turn by.  Most words mark nothing and
 * need none of that. */
#include "quantum/amplitudes_int.h"

#ifdef __x86_64__

#include <immintrin.h>

#define VECTORS (ORACLE_BITS / AMPLITUDES_LANES)

/* What turns the signs of marked amplitudes among 4 * `row` and the next. */
static inline __m256d
signs(__m256i marks, unsigned row)
{
    const __m256i highest = _mm256_set1_epi64x(INT64_MIN);
    const __m256i first = _mm256_setr_epi64x(63, 62, 61, 60);
    __m256i by = _mm256_sub_epi64(first, _mm256_set1_epi64x(4 * (int)row));

    return _mm256_castsi256_pd(
        _mm256_and_si256(_mm256_sllv_epi64(marks, by), highest));
}

/* One vector; what the next iteration's signs make of it. */
static inline __m256d
step_vector(double *amps, __m256d sign, __m256d twice_mean)
{
    __m256d v = _mm256_xor_pd(_mm256_load_pd(amps), sign);

    v = _mm256_sub_pd(twice_mean, v);
    _mm256_store_pd(amps, v);
    return _mm256_xor_pd(v, sign);
}

static inline __m256d
plain_vector(double *amps, __m256d twice_mean)
{
    __m256d v = _mm256_sub_pd(twice_mean, _mm256_load_pd(amps));

    _mm256_store_pd(amps, v);
    return v;
}

static inline __m256d
add_vectors(__m256d *v)
{
    for (unsigned n = VECTORS / 4; n > 0; n /= 2) {
        for (unsigned i = 0; i < n; i++)
            v[i] = _mm256_add_pd(v[i], v[i + n]);
    }
    return v[0];
}

static inline __m256d
step_word(double *amps, uint64_t word, __m256d twice_mean)
{
    const __m256i marks = _mm256_set1_epi64x((int64_t)word);
    __m256d half[VECTORS / 2];

    for (unsigned i = 0; i < VECTORS / 2; i++) {
        unsigned j = i + VECTORS / 2;

        half[i] = _mm256_add_pd(
            step_vector(amps + 4 * i, signs(marks, i), twice_mean),
            step_vector(amps + 4 * j, signs(marks, j), twice_mean));
    }
    return add_vectors(half);
}

static inline __m256d
plain_word(double *amps, __m256d twice_mean)
{
    __m256d half[VECTORS / 2];

    for (unsigned i = 0; i < VECTORS / 2; i++)
        half[i] = _mm256_add_pd(
            plain_vector(amps + 4 * i, twice_mean),
            plain_vector(amps + 4 * (i + VECTORS / 2), twice_mean));
    return add_vectors(half);
}

static void
avx2_step(double *amps, const uint64_t *marks, uint64_t words,
          double twice_mean, struct amplitudes_lanes *lanes)
{
    const __m256d mean = _mm256_set1_pd(twice_mean);
    __m256d sum = _mm256_loadu_pd(lanes->sum);
    __m256d rest = _mm256_loadu_pd(lanes->rest);

    for (uint64_t w = 0; w < words; w++, amps += ORACLE_BITS) {
        __m256d v = marks[w] == 0 ? plain_word(amps, mean)
                                  : step_word(amps, marks[w], mean);
        __m256d s = _mm256_add_pd(sum, v), b = _mm256_sub_pd(s, sum);
        __m256d cut = _mm256_sub_pd(sum, _mm256_sub_pd(s, b));

        rest = _mm256_add_pd(rest, _mm256_add_pd(cut, _mm256_sub_pd(v, b)));
        sum = s;
    }
    _mm256_storeu_pd(lanes->sum, sum);
    _mm256_storeu_pd(lanes->rest, rest);
}

const struct amplitudes_kernels amplitudes_avx2 = {avx2_step};

#endif
