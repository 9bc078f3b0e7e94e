/* cmd/cmd_zset_range.h - what ZRANGE and ZRANGESTORE share: a range of a
 * sorted set with its options.  Loop thread only. */
#ifndef NQ_CMD_CMD_ZSET_RANGE_H
#define NQ_CMD_CMD_ZSET_RANGE_H

#include "cmd/cmd_zset.h"

struct zset_query {
    uint32_t key; /* its place in argv; the bounds stand behind it */
    struct zset_range range;
    bool backwards, with_scores;
    int64_t offset, limit;
};

/* Of ZRANGESTORE: key min max [BYSCORE | BYLEX] [REV] [LIMIT offset count].
 * False: the error is answered. */
bool zset_query_parse_store(struct req *rq, uint32_t key, struct zset_query *q);
NQ_MUST_USE nq_rc zset_query_span(struct zset *z, const struct zset_query *q,
                                  struct span *out);

#endif
