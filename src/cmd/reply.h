/* cmd/reply.h - replies of the running command, in its client's protocol.
 *
 * Loop thread only.  A handler may put a part of a reply and then meet a miss
 * (reply_rc(rq, NQ_MISS)): dispatch takes back all that it put. */
#ifndef NQ_CMD_REPLY_H
#define NQ_CMD_REPLY_H

#include "cmd/command.h"

struct buf;
struct item;

void reply_ok(struct req *rq);
void reply_status(struct req *rq, const char *text); /* +text */
void reply_bulk(struct req *rq, struct slice s);
void reply_bulk_str(struct req *rq, const char *s);
void reply_bulk_printf(struct req *rq, const char *fmt, ...)
    __attribute__((format(printf, 2, 3))); /* cut at 1023 bytes */
void reply_int(struct req *rq, int64_t v);
void reply_null(struct req *rq);             /* $-1 or _ */
void reply_null_array(struct req *rq);       /* *-1 or _ */
void reply_double(struct req *rq, double v); /* bulk in RESP2 */
void reply_bool(struct req *rq, bool v);     /* :1 or #t */
void reply_bignum(struct req *rq, const char *digits);
void reply_verbatim(struct req *rq, const char *format, struct slice s);
void reply_array(struct req *rq, uint64_t n);
void reply_map(struct req *rq, uint64_t pairs); /* array of 2n in RESP2 */
void reply_set(struct req *rq, uint64_t n);
void reply_push(struct req *rq, uint64_t n); /* array in RESP2 */
/* Bytes that are RESP already. */
void reply_raw(struct req *rq, struct slice s);

/* An array whose length is known later: begin, put, end with the count.  What
 * is put between stands in the arena, so a yield may not come between. */
struct reply_deferred {
    struct reply_part *part;
};
struct reply_deferred reply_array_begin(struct req *rq);
void reply_array_end(struct req *rq, struct reply_deferred d, uint64_t n);
void reply_map_end(struct req *rq, struct reply_deferred d, uint64_t pairs);
void reply_set_end(struct req *rq, struct reply_deferred d, uint64_t n);

/* Ends it without a header: what was put follows what stands before it, is
 * appended to `out` in place, or was never put. */
void reply_part_join(struct req *rq, struct reply_deferred d);
void reply_part_save(struct req *rq, struct reply_deferred d, struct buf *out);
void reply_part_drop(struct req *rq, struct reply_deferred d);

/* The string found in `e` as a bulk: inline copied, blob by reference. */
void reply_entry(struct req *rq, const struct entry *e);
/* The value of an item of a collection as a bulk, likewise.  Not NQ_OK:
 * nothing was put. */
NQ_MUST_USE nq_rc reply_item_val(struct req *rq, const struct item *it);

/* NQ_OK: nothing.  NQ_MISS, NQ_EHELD: the command is parked.  Else the
 * error's text. */
void reply_rc(struct req *rq, nq_rc rc);
/* Takes back what was put since `mark`, an earlier reply_mark(), and then the
 * same.  Not inside a deferred array. */
uint64_t reply_mark(const struct req *rq);
void reply_rc_from(struct req *rq, uint64_t mark, nq_rc rc);
/* "-ERR ..." or, if fmt begins with '-', what follows it with a prefix of its
 * own: reply_error(rq, "-NOAUTH Authentication required."). */
void reply_error(struct req *rq, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void reply_syntax(struct req *rq);
void reply_wrong_arity(struct req *rq);
/* Redis' text for an unknown subcommand, and HELP from a NULL-ended list of
 * the subcommands; its first line and HELP itself are added. */
void reply_unknown_sub(struct req *rq);
void reply_help(struct req *rq, const char *const *lines);

/* For messages to others (pub/sub): the same, to any session's queue. */
void reply_to_array(struct session *s, uint64_t n, bool push);
void reply_to_bulk(struct session *s, struct slice v);
void reply_to_int(struct session *s, int64_t v);
void reply_to_null(struct session *s);

/* For dispatch: drops the parts that a handler left open. */
void reply_drop_parts(struct req *rq);

#endif
