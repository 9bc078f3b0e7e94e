/* cmd/cmd_range.h - what the ordered reads and the key listings share:
 * bounds, counts of living keys, and answers that are collected in slices.
 *
 * Loop thread only. */
#ifndef NQ_CMD_CMD_RANGE_H
#define NQ_CMD_CMD_RANGE_H

#include "base/buf.h"
#include "cmd/command.h"

/* Keys k with lo <= k < hi. */
struct range {
    struct slice lo, hi;
    bool has_hi; /* false: no upper end */
    bool is_empty;
};

/* "-" and "+" are the ends, "[k" and a bare word include k, "(k" does not.
 * Bounds in the wrong order make an empty range. */
struct range range_parse(struct req *rq, struct slice start, struct slice end);
/* The least key greater than `key`, in the arena. */
struct slice range_behind(struct req *rq, struct slice key);
struct range range_of_prefix(struct req *rq, struct slice prefix);
/* The prefix that all matches of a glob pattern share; *is_whole: the pattern
 * has no wildcard and matches just that. */
struct slice range_glob_prefix(struct req *rq, struct slice pattern,
                               bool *is_whole);

static inline const struct slice *
range_hi(const struct range *r)
{
    return r->has_hi ? &r->hi : NULL;
}

static inline bool
range_has(const struct range *r, struct slice key)
{
    return slice_cmp(key, r->lo) >= 0 &&
           (!r->has_hi || slice_cmp(key, r->hi) < 0);
}

/* How many keys of the range are not expired.  O(log n + what is due). */
NQ_MUST_USE nq_rc range_count(struct req *rq, const struct range *r,
                              uint64_t *out);
/* Stands on living key number `n` of the range, which has that many. */
NQ_MUST_USE nq_rc range_nth(struct req *rq, const struct range *r, uint64_t n,
                            struct btree_cursor *c);
bool range_is_due(const struct req *rq, const struct record *rec);

/* How long an answer to this client may be, that is put aside before it is
 * sent; and what it is told of a longer one. */
uint64_t answer_limit(const struct req *rq);
void reply_too_long(struct req *rq, uint64_t limit_bytes);

/* --- answers collected in slices -------------------------------------------
 * A long answer needs its length before its first item, so the items are put
 * aside while the tree is walked, turn by turn, and answered when all are
 * there.  This is the state of a request that works so. */
struct listing {
    uint32_t magic;
    struct buf items; /* varint length and bytes, each */
    uint64_t count, limit_bytes;
    size_t emitted;   /* bytes of items already answered */
    bool is_complete; /* all collected; answering */
    bool is_set;      /* answered as a set, not as an array */
    struct buf at;    /* the last key visited, valid only if has_at */
    bool has_at;
    uint64_t visited; /* keys looked at */
    uint64_t wanted;  /* items or visits still to come, as the user says */
};

/* The request's listing, made at its first run. */
struct listing *listing_of(struct req *rq);
/* One that is a part of another state; `l` is zeroed storage. */
void listing_init(struct listing *l, struct req *rq);
void listing_fini(struct listing *l);
void listing_put(struct listing *l, struct slice item);
/* Room for an item of `n` bytes. */
uint8_t *listing_put_room(struct listing *l, size_t n);
/* The limit of memory for one answer is passed: answered with an error. */
bool listing_is_too_long(struct req *rq, struct listing *l);
/* Remembers where the walk is. */
void listing_stand(struct listing *l, struct slice key);
/* Answers the items as one array, in slices; false: there is more to come
 * and the request has yielded. */
bool listing_answer(struct req *rq, struct listing *l);
/* The array of items in one piece. */
void listing_answer_now(struct req *rq, struct listing *l);

/* --- answers found by a matching (cmd_range_rows.c) ------------------------
 */

struct select;
/* Begins an answer of the rows that `sel` (taken over) wants, without the first
 * `skip`; its LIMIT's count holds. */
void range_rows_begin(struct req *rq, struct select *sel, uint64_t skip);
/* In each run of the handler from then on. */
void range_rows_run(struct req *rq);

/* Of scans: the request's listing, at its first run standing where the cursor
 * says and wanting `count` visits; and the reply, to one that was at `from`. */
struct listing *scan_listing(struct req *rq, uint64_t cursor, uint64_t count);
void scan_reply(struct req *rq, struct listing *l, uint64_t from, bool at_end);

#endif
