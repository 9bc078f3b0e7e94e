/* cmd/cmd_zset.h - what the handlers of sorted sets share: ranges as clients
 * write them, finding a set, telling members.  Loop thread only. */
#ifndef NQ_CMD_CMD_ZSET_H
#define NQ_CMD_CMD_ZSET_H

#include "cmd/command.h"
#include "db/zset.h"

struct walk_plan;

/* --- ranges -------------------------------------------------------------- */

enum zset_order { BY_RANK, BY_SCORE, BY_LEX };

struct zset_range {
    enum zset_order by;
    int64_t start, stop; /* BY_RANK: inclusive, negative from the end */
    struct score_range score;
    struct lex_range lex;
};

/* argv[min] and argv[max]; false: the error is answered. */
bool zset_range_parse(struct req *rq, enum zset_order by, uint32_t min,
                      uint32_t max, struct zset_range *out);
/* Its members; of a range by rank that is told from the end, `backwards`. */
NQ_MUST_USE nq_rc zset_range_span(struct zset *z, const struct zset_range *r,
                                  bool backwards, struct span *out);

/* --- finding ------------------------------------------------------------- */

/* The set at argv[i] into `e`, found or absent; false: the reply is put. */
bool zset_look(struct req *rq, uint32_t i, bool write, struct entry *e,
               bool *found);
/* For reading: open if found; zset_close() it then. */
bool zset_look_open(struct req *rq, uint32_t i, struct entry *e, bool *found,
                    struct zset *z);

/* --- popping ------------------------------------------------------------- */

/* ZMPOP, BZMPOP: pops up to `count` members of the set found in `e` and
 * answers [key, [[member, score] ...]].  It may yield; then zset_pop_go_on()
 * is to be called in the next run.  That is false if there is nothing to go
 * on with. */
void zset_pop_many(struct req *rq, uint32_t key, bool from_max, uint64_t count,
                   struct entry *e);
bool zset_pop_go_on(struct req *rq);

/* --- telling ------------------------------------------------------------- */

#define ZSET_WITH_SCORES 1u /* flags of a walk */

/* One member, its score behind it or, in RESP3, the two as an array. */
void reply_member(struct req *rq, const struct member *m, bool with_score);
/* The length that `n` members make. */
uint64_t reply_members_header(const struct req *rq, uint64_t n,
                              bool with_scores);
/* Tells the members of `span` (cmd/walk.h); the handler called walk_go_on()
 * before. */
void zset_tell(struct req *rq, struct zset *z, struct span span, bool backwards,
               bool with_scores);

#endif
