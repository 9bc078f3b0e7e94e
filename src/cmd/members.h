/* cmd/members.h - members with scores, collected in memory: sorted, told or
 * stored in as many slices as it takes.
 *
 * Loop thread only.  Results of ZUNION, GEOSEARCH and their kin, and what a
 * long ZPOPMIN takes.  Part of req.state; memory is bounded by the client's
 * hard output limit, as that of every collected answer. */
#ifndef NQ_CMD_MEMBERS_H
#define NQ_CMD_MEMBERS_H

#include "base/buf.h"
#include "cmd/command.h"
#include "cmd/staging.h"
#include "db/zset.h"

struct members_ref { /* private */
    uint64_t order;  /* of the score */
    size_t at;       /* in items */
};

struct members {
    uint64_t count;
    /* private */
    struct buf items; /* u64 score | varint length | name, each */
    uint64_t limit_bytes, told;
    size_t at;                   /* in items, of the next one to tell */
    struct members_ref *sorted;  /* NULL: in the order in which they came */
    struct members_ref *other;   /* room to merge into */
    uint64_t filled, width, low; /* how far sorting is */
    uint64_t left, right;
    bool has_header, is_sorted;
};

/* `m` is zeroed storage. */
void members_init(struct members *m, const struct req *rq);
void members_fini(struct members *m);
void members_put(struct members *m, struct slice name, double score);
/* They are more than one answer may take; the second answers that. */
bool members_are_too_many(const struct members *m);
bool members_refuse(struct req *rq, const struct members *m);

enum members_tie { TIE_BY_NAME, TIE_AS_CAME };
/* By score; NQ_AGAIN: the slice is used up, call again in the next. */
NQ_MUST_USE nq_rc members_sort(struct req *rq, struct members *m,
                               enum members_tie tie);
/* The next one in order; false: there is none. */
bool members_next(struct members *m, struct member *out);

/* Puts one member's part of the answer. */
typedef void members_emit(struct req *rq, const struct member *m, void *arg);
/* Puts the array of the first `n` members, `header` long; false: there is more
 * to come and the request has yielded. */
bool members_tell(struct req *rq, struct members *m, uint64_t n,
                  uint64_t header, members_emit *emit, void *arg);

/* --- storing ------------------------------------------------------------- */

#define MEMBERS_BATCH 256 /* put into a set in one slice */

/* What was collected goes to the staged set, and is forgotten here.  NQ_MISS:
 * once more. */
NQ_MUST_USE nq_rc members_stage(struct req *rq, struct members *m,
                                struct staging *s);
/* The first `n` of what was collected, and all that was staged before, become
 * the set `to`, in place of what is there; raises `event`, or "del" if that is
 * nothing.  NQ_AGAIN: call again in the next slice. */
NQ_MUST_USE nq_rc members_store(struct req *rq, struct members *m, uint64_t n,
                                struct staging *s, struct slice to,
                                const char *event);

#endif
