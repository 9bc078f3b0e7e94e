/* db/zset.h - the sorted set: members with scores, in order of score and then
 * of member.
 *
 * Loop thread only; NQ_MISS as in db.h.  Calls that write log one effect,
 * raise `event` (and "del" if the key went) and touch watchers; they may
 * return NQ_EHELD (coll.h), having changed nothing.  `old` and `found` are
 * what db_find_write() left.
 *
 * Scores are never NaN; 0.0 and -0.0 are equal. */
#ifndef NQ_DB_ZSET_H
#define NQ_DB_ZSET_H

#include "db/coll.h"

#define ZSET_HEAD_LEN 1 /* of its collection, as coll_open() wants it */

struct member {
    struct slice name; /* borrowed, until the next step or change */
    double score;
};

/* Doubles in order as integers in order; 0.0 and -0.0 are the same. */
uint64_t zset_order_of(double score);

struct zset {
    struct coll coll; /* for readers in slices; else private */
    uint64_t card;
    uint64_t first; /* rank in coll of the first member in order */
    uint64_t stale; /* private, as all below */
    uint64_t sweep_at;
};

/* `e` as coll_open() wants it, found or not; zset_close() always. */
NQ_MUST_USE nq_rc zset_open(struct db *db, uint32_t dbi, struct slice key,
                            struct entry *e, bool found, struct zset *out);
void zset_close(struct zset *z);
/* "listpack" or "skiplist". */
const char *zset_encoding(const struct entry *e);

/* Whether the encoding of a set that is open, as a collection, is "listpack".
 */
bool zset_is_listpack(const struct coll *c);

/* NQ_OK or NQ_NOTFOUND. */
NQ_MUST_USE nq_rc zset_score(struct zset *z, struct slice member, double *out);
/* How many members come before it. */
NQ_MUST_USE nq_rc zset_rank(struct zset *z, struct slice member, uint64_t *rank,
                            double *score);

/* What an item of the collection says; false: it is not about a member.  Both
 * the items of a walk in order and those by name are. */
bool zset_member_of(const struct item *it, struct member *out);
/* Whether it is one of a member that is there: in a tree, items by name may
 * stay behind for a while.  NQ_MISS. */
NQ_MUST_USE nq_rc zset_item_is_there(struct coll *c, const struct item *it,
                                     bool *out);
#define ZSET_NAMES slice_lit("m") /* how keys of items by name begin */

/* --- order --------------------------------------------------------------- */

struct score_range {
    double min, max;
    bool min_open, max_open; /* the end itself is not in the range */
};

enum lex_end { LEX_FIRST, LEX_INCLUDED, LEX_EXCLUDED, LEX_LAST };
/* Of members with the same score; LEX_FIRST and LEX_LAST are - and +. */
struct lex_range {
    struct slice min, max;
    enum lex_end min_end, max_end;
};

/* Ranks from .. from + n - 1. */
struct span {
    uint64_t from, n;
};

NQ_MUST_USE nq_rc zset_by_score(struct zset *z, const struct score_range *r,
                                struct span *out);
NQ_MUST_USE nq_rc zset_by_lex(struct zset *z, const struct lex_range *r,
                              struct span *out);

/* Stands on a member or at an end; void after a change of the set. */
struct zset_cursor {
    bool valid;
    struct member at; /* while valid */
    /* private */
    struct zset *z;
    struct coll_cursor items;
};
void zset_cursor_init(struct zset_cursor *cu, struct zset *z);
void zset_cursor_fini(struct zset_cursor *cu);
NQ_MUST_USE nq_rc zset_nth(struct zset_cursor *cu, uint64_t rank);
/* First member at or behind (score, name); the same member if `name` is one
 * with that score. */
NQ_MUST_USE nq_rc zset_seek(struct zset_cursor *cu, struct member at);
NQ_MUST_USE nq_rc zset_next(struct zset_cursor *cu);
NQ_MUST_USE nq_rc zset_prev(struct zset_cursor *cu);

/* --- changes ------------------------------------------------------------- */

enum zset_add_flags {
    ZSET_NX = 1,
    ZSET_XX = 2,
    ZSET_GT = 4,
    ZSET_LT = 8,
    ZSET_INCR = 16,  /* scores are added to what is there */
    ZSET_RESULT = 32 /* of a command: the encoding of all that is put now holds
                        for its first member already */
};

struct zset_added {
    uint64_t added, updated;
    double score; /* of the last member, afterwards */
    bool is_done; /* the last member was not held back by a flag */
};

/* ZADD.  In order, each as if alone; names are the caller's memory, not pages.
 * NQ_ENAN, only of a single member: the sum is not a number; nothing was
 * changed.  NQ_EKEYLEN: neither. */
NQ_MUST_USE nq_rc zset_add(struct db *db, uint32_t dbi, struct slice key,
                           struct entry *old, bool found,
                           const struct member *members, uint32_t n,
                           unsigned flags, const char *event,
                           struct zset_added *out);
/* ZREM.  *removed may be 0; then nothing is logged and raised. */
NQ_MUST_USE nq_rc zset_rem(struct db *db, uint32_t dbi, struct slice key,
                           struct entry *old, const struct slice *members,
                           uint32_t n, const char *event, uint64_t *removed);
/* Removes by rank; `span` lies inside the set, and is not empty.  Of more than
 * ZSET_REMOVED_WHOLE members something may stay behind: zset_sweep(). */
#define ZSET_REMOVED_WHOLE 512
NQ_MUST_USE nq_rc zset_rem_span(struct db *db, uint32_t dbi, struct slice key,
                                struct entry *old, struct span span,
                                const char *event);

/* Takes up to n members from one end, best first, and shows each to
 * fn(arg, member) before it goes; the call may still fail after that.  For as
 * many as one slice of a command takes. */
typedef void zset_each_fn(void *arg, const struct member *m);
NQ_MUST_USE nq_rc zset_pop(struct db *db, uint32_t dbi, struct slice key,
                           struct entry *old, bool from_max, uint64_t n,
                           zset_each_fn *fn, void *arg);

/* A long range removed from a large set leaves something behind, which nobody
 * sees: changes of the set clear it away bit by bit, and this does `n` items
 * of it.  *left: how many there still are (at once after zset_rem_span, too).
 * Logged, but no event. */
NQ_MUST_USE nq_rc zset_sweep(struct db *db, uint32_t dbi, struct slice key,
                             struct entry *old, uint64_t n, uint64_t *left);

/* Against its invariants (zset.c), all of it: NQ_ECORRUPT. */
NQ_MUST_USE nq_rc zset_check(struct zset *z);

#endif
