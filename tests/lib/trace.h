/* tests/lib/trace.h - traces of page references, and replaying them.
 *
 * A trace is a text file, one decimal id a line in the order of time, plain
 * or compressed by zstd (.zst). */
#ifndef NQ_TESTS_TRACE_H
#define NQ_TESTS_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/policy.h"

struct trace {
    uint32_t *ids; /* renumbered from 1 in the order of first use */
    size_t count;
    uint32_t unique;
};

/* False: no such file, or something else is in it. */
bool trace_load(const char *path, struct trace *out);
void trace_free(struct trace *t);

/* The share of references that a cache of `size` pages misses. */
double trace_replay(const struct trace *t, enum policy_kind kind,
                    uint32_t size);
/* The same for a cache that knows the future (Belady, 1966): no policy that
 * fetches on demand does better. */
double trace_belady(const struct trace *t, uint32_t size);

#endif
