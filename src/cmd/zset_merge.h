/* cmd/zset_merge.h - union, intersection and difference of sorted sets and
 * sets, member by member, in as many slices as it takes.
 *
 * Loop thread only.  Members of a union come in order of their names, others
 * in no order that means anything.  The result is as of the moment of
 * zmerge_new(): when a slice ends, all inputs are kept as they were
 * (held.h). */
#ifndef NQ_CMD_ZSET_MERGE_H
#define NQ_CMD_ZSET_MERGE_H

#include "cmd/command.h"
#include "db/zset.h"

enum zmerge_op { ZMERGE_UNION, ZMERGE_INTER, ZMERGE_DIFF };
enum zmerge_sum { ZMERGE_SUM, ZMERGE_MIN, ZMERGE_MAX };

/* One input, as the command names it. */
struct zmerge_input {
    struct slice key;   /* lives as long as the command */
    struct entry entry; /* of a sorted set or a set; borrowed */
    bool found;
    double weight;
};

struct zmerge;

/* `inputs` is borrowed until the first zmerge_close(). */
struct zmerge *zmerge_new(enum zmerge_op op, enum zmerge_sum sum,
                          const struct zmerge_input *inputs, uint32_t n);
void zmerge_free(struct zmerge *m);

/* Begins a slice, where the last one ended.  NQ_MISS: end it. */
NQ_MUST_USE nq_rc zmerge_open(struct req *rq, struct zmerge *m);
/* The next member of the result, borrowed until the next call.  NQ_NOTFOUND:
 * there is none.  NQ_AGAIN: it has looked at many without finding one; call
 * again, or end the slice.  NQ_MISS: end the slice; nothing is lost. */
NQ_MUST_USE nq_rc zmerge_next(struct zmerge *m, struct member *out);
/* Ends a slice.  `stay`: there will be another, so what is not kept yet is
 * kept.  NQ_EHELD: somebody waits to change an input; begin anew. */
NQ_MUST_USE nq_rc zmerge_close(struct req *rq, struct zmerge *m, bool stay);

#endif
