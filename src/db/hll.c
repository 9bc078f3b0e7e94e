/* db/hll.c - the header, dense registers, and the estimate.
 *
 *   0   "HYLL"
 *   4   u8  encoding: 0 dense, 1 sparse; three bytes of zero
 *   8   u64 the last estimate; the top bit says that it is out of date
 *   16  dense: 16384 registers of 6 bits, least significant bits first;
 *       sparse: runs (hll_sparse.c)
 *
 * An element is hashed (MurmurHash64A of Austin Appleby, with the seed that
 * Redis has): 14 bits choose a register, and the register keeps the greatest
 * place of the lowest set bit among the other 50.  The estimate is that of
 * Otmar Ertl, "New cardinality estimation algorithms for HyperLogLog
 * sketches", arXiv:1702.01284.
 *
 * Called by cmd/cmd_hll. */
#include "db/hll.h"

#include <math.h>

#include "base/check.h"
#include "db/hll_int.h"

#define INDEX_BITS 14
#define VALUE_BITS (64 - INDEX_BITS)
#define HASH_SEED 0xadc83b19u
#define CACHE_STALE (UINT64_C(1) << 63)
#define ALPHA_INF 0.721347520444481703680 /* 1 / (2 ln 2) */

_Static_assert(HLL_REGISTERS == 1 << INDEX_BITS, "as the index has it");
_Static_assert(HLL_DENSE_SIZE == 12304, "as Redis has it");

/* --- the header ---------------------------------------------------------- */

bool
hll_is(struct slice v)
{
    if (v.len < HLL_HEADER || memcmp(v.p, "HYLL", 4) != 0)
        return false;
    return v.p[HLL_AT_ENCODING] == HLL_SPARSE ||
           (v.p[HLL_AT_ENCODING] == HLL_DENSE && v.len == HLL_DENSE_SIZE);
}

enum hll_encoding
hll_encoding(struct slice v)
{
    return v.p[HLL_AT_ENCODING] == HLL_DENSE ? HLL_DENSE : HLL_SPARSE;
}

static uint64_t
get_u64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

bool
hll_cached(struct slice v, uint64_t *count)
{
    *count = get_u64(v.p + HLL_AT_CACHE);
    return (*count & CACHE_STALE) == 0;
}

void
hll_set_cached(struct buf *h, uint64_t count)
{
    memcpy(h->p + HLL_AT_CACHE, &count, sizeof count);
}

void
hll_spoil_cached(struct buf *h)
{
    hll_set_cached(h, get_u64(h->p + HLL_AT_CACHE) | CACHE_STALE);
}

static void
put_header(struct buf *h, enum hll_encoding encoding)
{
    static const uint8_t zeroes[HLL_HEADER];

    buf_clear(h);
    buf_put(h, zeroes, sizeof zeroes);
    memcpy(h->p, "HYLL", 4);
    h->p[HLL_AT_ENCODING] = (uint8_t)encoding;
}

void
hll_init(struct buf *h)
{
    put_header(h, HLL_SPARSE);
    hll_sparse_init(h);
}

/* --- dense --------------------------------------------------------------- */

/* The place of a register: in this byte and, if `shift` is above 2, the next.
 */
struct place {
    uint8_t *p;
    unsigned shift;
};

static struct place
place_of(struct buf *h, unsigned i)
{
    return (struct place){h->p + HLL_HEADER + i * 6 / 8, i * 6 % 8};
}

static uint8_t
dense_get(struct place at)
{
    unsigned bits = at.p[0];

    if (at.shift > 2)
        bits |= (unsigned)at.p[1] << 8;
    return bits >> at.shift & HLL_REGISTER_MAX;
}

static void
dense_set(struct place at, uint8_t value)
{
    unsigned mask = (unsigned)HLL_REGISTER_MAX << at.shift;
    unsigned bits = (unsigned)value << at.shift;

    at.p[0] = (uint8_t)((at.p[0] & ~mask) | (bits & 0xff));
    if (at.shift > 2)
        at.p[1] = (uint8_t)((at.p[1] & ~(mask >> 8)) | bits >> 8);
}

static void
dense_merge(const uint8_t *p, uint8_t *max)
{
    for (unsigned i = 0; i < HLL_REGISTERS; i += 4, p += 3) {
        unsigned bits = p[0] | (unsigned)p[1] << 8 | (unsigned)p[2] << 16;

        for (unsigned k = 0; k < 4; k++, bits >>= 6) {
            uint8_t value = bits & HLL_REGISTER_MAX;

            max[i + k] = nq_max(max[i + k], value);
        }
    }
}

nq_rc
hll_make_dense(struct buf *h)
{
    uint8_t registers[HLL_REGISTERS] = {0};
    nq_rc rc;

    if (hll_encoding(buf_slice(h)) == HLL_DENSE)
        return NQ_OK;
    if ((rc = hll_sparse_merge(buf_slice(h), registers)) != NQ_OK)
        return rc;
    h->len = HLL_HEADER; /* with the estimate */
    h->p[HLL_AT_ENCODING] = HLL_DENSE;
    memset(buf_reserve(h, HLL_DENSE_SIZE - HLL_HEADER), 0,
           HLL_DENSE_SIZE - HLL_HEADER);
    h->len = HLL_DENSE_SIZE;
    for (unsigned i = 0; i < HLL_REGISTERS; i++)
        if (registers[i] != 0)
            dense_set(place_of(h, i), registers[i]);
    return NQ_OK;
}

/* --- both ---------------------------------------------------------------- */

nq_rc
hll_raise(struct buf *h, unsigned i, uint8_t value, uint64_t sparse_max,
          bool *changed)
{
    nq_rc rc = NQ_AGAIN;
    struct place at;

    *changed = false;
    if (hll_encoding(buf_slice(h)) == HLL_SPARSE)
        rc = hll_sparse_raise(h, i, value, sparse_max, changed);
    if (rc != NQ_AGAIN)
        return rc;
    if ((rc = hll_make_dense(h)) != NQ_OK)
        return rc;
    at = place_of(h, i);
    *changed = dense_get(at) < value;
    if (*changed)
        dense_set(at, value);
    return NQ_OK;
}

/* MurmurHash64A. */
static uint64_t
hash(struct slice s)
{
    const uint64_t m = 0xc6a4a7935bd1e995;
    uint64_t h = HASH_SEED ^ (s.len * m), k;
    size_t i;

    for (i = 0; i + 8 <= s.len; i += 8) {
        k = get_u64(s.p + i) * m;
        h = (h ^ (k ^ k >> 47) * m) * m;
    }
    if (i < s.len) {
        k = 0;
        memcpy(&k, s.p + i, s.len - i);
        h = (h ^ k) * m;
    }
    h = (h ^ h >> 47) * m;
    return h ^ h >> 47;
}

nq_rc
hll_add(struct buf *h, struct slice elem, uint64_t sparse_max, bool *changed)
{
    uint64_t v = hash(elem);
    uint64_t rest = v >> INDEX_BITS | UINT64_C(1) << VALUE_BITS;

    return hll_raise(h, (unsigned)(v % HLL_REGISTERS),
                     (uint8_t)(__builtin_ctzll(rest) + 1), sparse_max, changed);
}

nq_rc
hll_merge(struct slice v, uint8_t max[HLL_REGISTERS])
{
    if (hll_encoding(v) == HLL_SPARSE)
        return hll_sparse_merge(v, max);
    dense_merge(v.p + HLL_HEADER, max);
    return NQ_OK;
}

/* --- the estimate -------------------------------------------------------- */

static double
sigma(double x)
{
    double before, y = 1, z = x;

    if (x == 1.0)
        return INFINITY;
    do {
        x *= x;
        before = z;
        z += x * y;
        y += y;
    } while (before != z);
    return z;
}

static double
tau(double x)
{
    double before, y = 1, z = 1 - x;

    if (x == 0.0 || x == 1.0)
        return 0;
    do {
        x = sqrt(x);
        before = z;
        y *= 0.5;
        z -= pow(1 - x, 2) * y;
    } while (before != z);
    return z / 3;
}

uint64_t
hll_count(const uint8_t registers[HLL_REGISTERS])
{
    const double m = HLL_REGISTERS;
    unsigned histogram[UINT8_MAX + 1] = {0};
    double z, estimate;

    for (unsigned i = 0; i < HLL_REGISTERS; i++)
        histogram[registers[i]]++;
    z = m * tau((m - histogram[VALUE_BITS + 1]) / m);
    for (unsigned v = VALUE_BITS; v >= 1; v--)
        z = (z + histogram[v]) * 0.5;
    z += m * sigma(histogram[0] / m);
    estimate = ALPHA_INF * m * m / z;
    /* Registers that no element can set may say that there is no end. */
    return estimate < 0x1p63 ? (uint64_t)llround(estimate) : CACHE_STALE;
}
