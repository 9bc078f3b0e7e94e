/* db/hll.h - HyperLogLog in the bytes of a string, as Redis keeps it: how many
 * distinct elements were seen, within a percent or so.
 *
 * Pure functions of bytes, any thread.  The bytes may come from a client (SET,
 * RESTORE): whatever they are, nothing outside them is read.  NQ_EBADHLL: they
 * are not what they say. */
#ifndef NQ_DB_HLL_H
#define NQ_DB_HLL_H

#include "base/buf.h"
#include "base/rc.h"

#define HLL_REGISTERS 16384
#define HLL_REGISTER_MAX 63
#define HLL_SIZE_MAX (16 + HLL_REGISTERS * 2) /* bytes; more are damage */

enum hll_encoding { HLL_DENSE, HLL_SPARSE };

/* Whether the string begins and measures as one; the rest may be damaged. */
bool hll_is(struct slice v);
/* Of what hll_is(). */
enum hll_encoding hll_encoding(struct slice v);

/* An empty one, in place of what `h` holds. */
void hll_init(struct buf *h);
/* Adds an element; *changed: the estimate may differ now.  A sparse one that
 * would get longer than `sparse_max` bytes becomes dense. */
NQ_MUST_USE nq_rc hll_add(struct buf *h, struct slice elem, uint64_t sparse_max,
                          bool *changed);
/* Raises register `i` to `value` at least. */
NQ_MUST_USE nq_rc hll_raise(struct buf *h, unsigned i, uint8_t value,
                            uint64_t sparse_max, bool *changed);
NQ_MUST_USE nq_rc hll_make_dense(struct buf *h);

/* Each of `max` becomes the greater of itself and the register of `v`. */
NQ_MUST_USE nq_rc hll_merge(struct slice v, uint8_t max[HLL_REGISTERS]);
/* The estimate. */
uint64_t hll_count(const uint8_t registers[HLL_REGISTERS]);

/* The estimate that is kept in the header; false: it is out of date. */
bool hll_cached(struct slice v, uint64_t *count);
void hll_set_cached(struct buf *h, uint64_t count);
void hll_spoil_cached(struct buf *h);

/* For PFDEBUG DECODE: the runs of a sparse one as text, "z:len Z:len
 * v:value,len ...", behind what `out` holds. */
NQ_MUST_USE nq_rc hll_decode(struct slice v, struct buf *out);

#endif
