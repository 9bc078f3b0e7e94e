/* Any bytes as text to pack, and as packed text.  The first byte says how:
 * bit 0 with repeats, the others how much longer the text is that they are to
 * be unpacked to. */
#include "base/check.h"
#include "base/mem.h"
#include "codec/dna.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
round_trip(const struct dna_opts *opts, const uint8_t *p, size_t len)
{
    size_t cap = len + 64, n;
    uint8_t *packed = nq_malloc(cap), *back = nq_malloc(len), *exact;

    n = dna_encode(opts, packed, cap, p, len);
    nq_assert(n <= cap);
    if (n > 0) {
        exact = nq_memdup(packed, n);
        nq_assert(dna_decode(back, len, exact, n) == NQ_OK);
        nq_assert(memcmp(back, p, len) == 0);
        nq_free(exact);
    }
    nq_free(packed);
    nq_free(back);
}

static void
decode(size_t raw_len, const uint8_t *p, size_t len)
{
    uint8_t *back = nq_malloc(raw_len);

    (void)!dna_decode(back, raw_len, p, len);
    nq_free(back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dna_opts opts = {0};

    if (size < 2 || size > DNA_BLOCK_MAX)
        return 0;
    opts.patterns = data[0] % 2 == 1;
    (void)dna_sniff(slice_of(data + 1, size - 1));
    round_trip(&opts, data + 1, size - 1);
    for (size_t more = 0; more < 4; more++)
        decode(size * more + data[0] / 2u, data + 1, size - 1);
    return 0;
}
