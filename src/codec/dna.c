/* codec/dna.c - nucleotide text: the container. */
#include "codec/dna.h"

#include "base/check.h"

bool
dna_sniff(struct slice block)
{
    nq_unused(block);
    return false;
}

size_t
dna_encode(const struct dna_opts *opts, void *dst, size_t cap, const void *src,
           size_t len)
{
    nq_unused(opts);
    nq_unused(dst);
    nq_unused(cap);
    nq_unused(src);
    nq_unused(len);
    return 0;
}

nq_rc
dna_decode(void *dst, size_t raw_len, const void *src, size_t len)
{
    nq_unused(dst);
    nq_unused(raw_len);
    nq_unused(src);
    nq_unused(len);
    return NQ_ECORRUPT;
}
