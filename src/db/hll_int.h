/* db/hll_int.h - between hll.c and hll_sparse.c. */
#ifndef NQ_DB_HLL_INT_H
#define NQ_DB_HLL_INT_H

#include "db/hll.h"

#define HLL_HEADER 16
#define HLL_AT_ENCODING 4
#define HLL_AT_CACHE 8 /* u64; its top bit: out of date */
#define HLL_DENSE_SIZE (HLL_HEADER + HLL_REGISTERS / 4 * 3)
#define HLL_SPARSE_VALUE_MAX 32

/* The runs of an empty one, behind the header in `h`. */
void hll_sparse_init(struct buf *h);
/* NQ_AGAIN: it is to be made dense first; nothing was changed. */
NQ_MUST_USE nq_rc hll_sparse_raise(struct buf *h, unsigned i, uint8_t value,
                                   uint64_t size_max, bool *changed);
NQ_MUST_USE nq_rc hll_sparse_merge(struct slice v, uint8_t *max);

#endif
