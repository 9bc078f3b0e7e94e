/* cmd/set_merge.h - union, intersection and difference of sets, member by
 * member in their order, in as many slices as it takes.
 *
 * Loop thread only.  The result is as of the moment of merge_new(): when a
 * slice ends, all inputs are kept as they were (held.h). */
#ifndef NQ_CMD_SET_MERGE_H
#define NQ_CMD_SET_MERGE_H

#include "cmd/command.h"

enum set_op { SET_UNION, SET_INTER, SET_DIFF };

struct merge;

/* Of the sets found in entries[0..n); e->finger.found tells whether there is
 * one.  They are borrowed until merge_close().  keys[i] is the name of the i-th
 * and lives as long as the command. */
struct merge *merge_new(enum set_op op, struct entry *entries,
                        const struct slice *keys, unsigned n);
void merge_free(struct merge *m);

/* Begins a slice, where the last one ended.  NQ_MISS. */
NQ_MUST_USE nq_rc merge_open(struct req *rq, struct merge *m);
/* The next member of the result, borrowed until the next call.  NQ_NOTFOUND:
 * there is none.  NQ_AGAIN: it has looked at many without finding one; call
 * again, or end the slice.  NQ_MISS: end the slice; nothing is lost. */
NQ_MUST_USE nq_rc merge_next(struct merge *m, struct slice *member);
/* Ends a slice; `stay`: there will be another, so what is not kept yet is
 * kept.  NQ_EHELD: somebody waits to change an input; begin anew. */
NQ_MUST_USE nq_rc merge_close(struct req *rq, struct merge *m, bool stay);

#endif
