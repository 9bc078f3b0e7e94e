/* Any bytes as a HyperLogLog.  The first two say how long a sparse one may
 * get and whether the header is put right, so that the runs are reached; then
 * elements are added, registers raised, and it is read in every way. */
#include "base/check.h"
#include "base/mem.h"
#include "db/hll.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PREFIX 2u

/* The bytes in memory of their own size, so that a look behind them is
 * noticed. */
static void
read_all(struct slice v)
{
    uint8_t registers[HLL_REGISTERS] = {0};
    uint8_t *copy = nq_memdup(v.p, v.len);
    struct buf text = BUF_INIT;
    uint64_t count;

    v.p = copy;
    (void)hll_cached(v, &count);
    if (hll_merge(v, registers) == NQ_OK)
        (void)hll_count(registers);
    if (hll_encoding(v) == HLL_SPARSE)
        (void)!hll_decode(v, &text);
    buf_fini(&text);
    nq_free(copy);
}

static void
change(struct slice v, uint64_t sparse_max)
{
    struct buf h = BUF_INIT;
    bool changed;
    nq_rc rc = NQ_OK;

    buf_put_slice(&h, v);
    for (uint32_t i = 0; i < 20 && rc == NQ_OK; i++)
        rc = hll_add(&h, slice_of(&i, sizeof i), sparse_max, &changed);
    for (unsigned i = 0; i < HLL_REGISTERS && rc == NQ_OK; i += 801)
        rc = hll_raise(&h, i, (uint8_t)(i % 52), sparse_max, &changed);
    nq_assert(hll_is(buf_slice(&h)));
    read_all(buf_slice(&h));
    if (hll_make_dense(&h) == NQ_OK)
        read_all(buf_slice(&h));
    buf_fini(&h);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy;
    struct slice v;

    if (size <= PREFIX || size > HLL_SIZE_MAX + 100)
        return 0;
    copy = nq_memdup(data + PREFIX, size - PREFIX);
    v = slice_of(copy, size - PREFIX);
    if (data[1] % 2 == 1 && v.len >= 16) {
        memcpy(copy, "HYLL", 4);
        copy[4] &= 1;
    }
    if (hll_is(v)) {
        read_all(v);
        change(v, data[0] * 100u);
    }
    nq_free(copy);
    return 0;
}
