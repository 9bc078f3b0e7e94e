/* tests/lib/tier.h - frame pools that do without the kernel's page cache. */
#ifndef NQ_TESTS_TIER_H
#define NQ_TESTS_TIER_H

struct frames;

/* From now on every read of the pool is a worker's, as if the kernel had
 * nothing in memory. */
void tier_forget(struct frames *fr);

#endif
