/* base/histogram.c - log-linear buckets, as HdrHistogram has them. */
#include "base/histogram.h"

#include <string.h>

#define SUB_BITS 4
#define SUB (1u << SUB_BITS)

static unsigned
bucket_of(uint64_t v)
{
    unsigned top, index;

    if (v < SUB)
        return (unsigned)v;
    top = 63 - (unsigned)__builtin_clzll(v);
    index = (top - SUB_BITS + 1) * SUB +
            (unsigned)((v >> (top - SUB_BITS)) & (SUB - 1));
    return index < HISTOGRAM_BUCKETS ? index : HISTOGRAM_BUCKETS - 1;
}

static uint64_t
bucket_edge(unsigned index)
{
    unsigned shift;

    if (index < SUB)
        return index;
    shift = index / SUB - 1;
    return (((uint64_t)SUB + index % SUB + 1) << shift) - 1;
}

void
histogram_add(struct histogram *h, uint64_t value)
{
    h->count++;
    h->sum += value;
    if (value > h->max)
        h->max = value;
    h->buckets[bucket_of(value)]++;
}

uint64_t
histogram_quantile(const struct histogram *h, double q)
{
    uint64_t want = (uint64_t)(q * (double)h->count), seen = 0;

    if (h->count == 0)
        return 0;
    if (want >= h->count)
        want = h->count - 1;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen > want)
            return bucket_edge(i) < h->max ? bucket_edge(i) : h->max;
    }
    return h->max;
}

uint64_t
histogram_at_most(const struct histogram *h, uint64_t limit)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKETS && bucket_edge(i) <= limit; i++)
        n += h->buckets[i];
    return n;
}

void
histogram_clear(struct histogram *h)
{
    memset(h, 0, sizeof *h);
}
