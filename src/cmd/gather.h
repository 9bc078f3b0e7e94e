/* cmd/gather.h - a part of an answer that is put aside until its length is
 * known, over as many slices as it takes.
 *
 * Loop thread only.  In the first slice everything stands in a deferred array
 * of cmd/reply.h; only if that slice is not the last one is it kept here:
 *
 *   d = reply_array_begin(rq); reply_...
 *   to be continued:  gather_keep(rq, g, d, n); req_yield(rq)
 *   at the end:       gather_end_array(rq, g, d, n)
 *
 * A gather stands, zeroed at first, in the request's state or on the stack
 * until there is one. */
#ifndef NQ_CMD_GATHER_H
#define NQ_CMD_GATHER_H

#include "base/buf.h"
#include "cmd/reply.h"

struct gather {
    struct buf text; /* RESP, whole values */
    uint64_t n;      /* elements in it, as the caller counts */
    size_t told;     /* bytes of it, once is_telling */
    bool is_telling;
};

void gather_fini(struct gather *g);
/* Ends the innermost deferred part, with n elements in it, and keeps it. */
void gather_keep(struct req *rq, struct gather *g, struct reply_deferred d,
                 uint64_t n);
/* An array of all that was kept and what `d` has, as part of a larger answer;
 * g is empty afterwards. */
void gather_end_array(struct req *rq, struct gather *g, struct reply_deferred d,
                      uint64_t n);
/* Makes the answer wait for all that earlier slices depended on, which only
 * they knew.  For who puts the text himself; the others do so. */
void gather_gate(struct req *rq);
/* The text, behind whatever header was put, as the end of the answer.  It may
 * yield: the handler calls this again, first of all, as long as is_telling. */
void gather_tell(struct req *rq, struct gather *g);
/* Whether more was kept than one answer may have; the same, answered with an
 * error. */
bool gather_is_full(const struct req *rq, const struct gather *g);
bool gather_is_too_long(struct req *rq, const struct gather *g);

#endif
