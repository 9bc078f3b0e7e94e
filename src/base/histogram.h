/* base/histogram.h - latencies in log-linear buckets: 16 sub-buckets per
 * power of two, so a quantile is within 6.25 % of the truth.  One writer. */
#ifndef NQ_BASE_HISTOGRAM_H
#define NQ_BASE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BUCKETS 640 /* values up to 2^43 */

struct histogram {
    uint64_t count, sum, max;
    uint32_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t value);
/* Upper edge of the bucket that holds quantile q (0..1); 0 when empty. */
uint64_t histogram_quantile(const struct histogram *h, double q);
/* How many values were at most `limit` (exact at bucket edges). */
uint64_t histogram_at_most(const struct histogram *h, uint64_t limit);
void histogram_clear(struct histogram *h);

#endif
