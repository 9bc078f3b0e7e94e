/* cmd/matching.h - the rows of a range that a query wants, found by workers
 * while the loop goes on.
 *
 * Loop thread only, but for the functions of struct matching_how, which any
 * thread calls.  Leaves are pinned some dozens at a time (db/scan.h) and given
 * to workers, several batches at once; what a worker cannot decide, because a
 * value lies elsewhere, the loop does in slices that all matchings share.  A
 * leaf or two are done at once, inside matching_next().  What plan_choose()
 * finds by an index is looked up and tested again with the whole program.
 *
 * Rows come in the order of keys (or its reverse).  Each is as it was at
 * `as_of`, which never falls behind that of rows before it by more than what
 * is in flight; a key that is there throughout is met exactly once.
 *
 * It works ahead of its consumer until `memory` bytes of rows wait to be
 * taken, and goes on when they are.  In a request:
 *
 *   if ((m = rq->state) == NULL)                   the first run
 *       parse, then rq->state = m = matching_open_for(rq, ...),
 *       rq->free_state = matching_free_state
 *   while ((rc = matching_next(m, &row)) == NQ_OK)
 *       ... put it aside
 *   if (rc == NQ_AGAIN)
 *       req_block(rq);                             runs again when there is
 * more else if (rc != NQ_NOTFOUND) reply_rc(rq, rc);
 */
#ifndef NQ_CMD_MATCHING_H
#define NQ_CMD_MATCHING_H

#include "base/buf.h"
#include "cmd/select.h"

struct matching;

enum matching_what {
    MATCHING_ROWS,  /* keys, and what tell() makes of the rows */
    MATCHING_COUNT, /* only how many: matching_get_stats() */
    MATCHING_BITS,  /* of all rows in order, whether they match; and the keys
                       of those that do */
    MATCHING_FOLD   /* what fold() makes of them all, in no order */
};

/* What is made of a row that matches.  Any thread, several at once: `arg` is
 * not changed.  All zero: what the select says, see matched_field(). */
struct matching_how {
    const void *arg;
    unsigned needs; /* parts of the row that it looks at, enum row_part */
    /* ROWS: appends to `out` what it tells of the row. */
    void (*tell)(const void *arg, const struct row *r, struct row_scratch *s,
                 struct buf *out);
    /* FOLD: a part of the result, which one thread at a time adds rows to.
     * With part NULL it only reads of the row what it would read.  Not NQ_OK:
     * the matching ends with that. */
    void *(*part_new)(const void *arg);
    nq_rc (*fold)(const void *arg, void *part, const struct row *r,
                  struct row_scratch *s);
    /* `part`, which it frees, goes into `into`.  Any thread, as all here. */
    nq_rc (*merge)(const void *arg, void *into, void *part);
    /* The last is merged; may be NULL. */
    void (*seal)(const void *arg, void *sum);
    /* How much work merging it is, in rows. */
    size_t (*weight)(const void *part);
    void (*part_free)(void *part);
    /* Nobody uses arg any more: may come after matching_close(). */
    void (*free)(void *arg);
};

struct matching_opts {
    enum matching_what what;
    struct matching_how how;
    uint64_t limit;   /* matching rows wanted, 0: all */
    uint64_t memory;  /* bytes of rows not yet taken, about; 0: a MiB; BITS:
                         bytes in all, NQ_ETOOMUCH beyond */
    bool is_now;      /* all at once and here: inside MULTI.  NQ_MISS then asks
                         the caller to come again */
    bool has_no_plan; /* never by an index */
    /* There is something to take, or an end.  From the loop, never from
     * inside a call of matching_*(). */
    void (*wake)(void *arg);
    void *wake_arg;
};

/* Takes over what `sel` holds (it is zeroes afterwards) and copies its range.
 * LIMIT of the select is the caller's. */
struct matching *matching_open(struct engine *e, uint32_t dbi,
                               struct select *sel,
                               const struct matching_opts *opts);
/* The same for a request, in its database: its session is woken, and inside
 * MULTI is_now is set. */
struct matching *matching_open_for(struct req *rq, struct select *sel,
                                   const struct matching_opts *opts);
/* Any time, also while workers are at it; of NULL: does nothing. */
void matching_close(struct matching *m);
/* The same for req.free_state, if the state is a matching. */
void matching_free_state(void *state);

/* A row, borrowed until the next call. */
struct matched {
    struct slice key;
    struct slice told; /* by tell() */
    lsn as_of;         /* changes up to there are in it, later ones are not */
};
/* NQ_AGAIN: nothing yet, wake() will be called.  NQ_NOTFOUND: no more. */
NQ_MUST_USE nq_rc matching_next(struct matching *m, struct matched *out);
/* COUNT, BITS, FOLD: NQ_OK: all is there.  NQ_AGAIN: wake() will be called. */
NQ_MUST_USE nq_rc matching_finish(struct matching *m);

/* What the select itself tells of a row (no tell()). */
enum matched_shape {
    MATCHED_NOTHING, /* only keys are wanted */
    MATCHED_NULL,    /* a value that is no string and no hash */
    MATCHED_VALUE,   /* of a string */
    MATCHED_FIELDS   /* those of RETURN, or all of a hash */
};
enum matched_shape matched_shape(const struct matched *row);
/* VALUE: the value, with an empty name; FIELDS: one after the other.  Reads at
 * *at, which begins at 0; *has false: there is no such field.  False: no more.
 */
bool matched_field(const struct matched *row, size_t *at, struct slice *name,
                   bool *has, struct slice *value);
/* Replies it: null, a bulk, or a map of fields (RESP2: a flat array) whose
 * values are bulks or null.  NOTHING: replies nothing. */
void matched_reply(struct req *rq, const struct matched *row);

/* BITS, when finished: bit i of words[i / 64] is that of row i. */
const uint64_t *matching_bits(const struct matching *m, uint64_t *rows);
/* The keys of the rows that match, in order: varint length and bytes, each. */
struct slice matching_keys(const struct matching *m);
/* The key that is row `i` now, counted from the nearest leaf's first row that
 * was met: the same one unless keys came or went there.  NQ_MISS; NQ_NOTFOUND:
 * there are not so many. */
NQ_MUST_USE nq_rc matching_key_of(struct matching *m, uint64_t i,
                                  struct buf *out);
/* FOLD, when finished: the sum of all parts, the caller's from now on; NULL:
 * no row matched. */
void *matching_take_sum(struct matching *m);

struct matching_stats {
    uint64_t rows; /* looked at */
    uint64_t matched;
    uint64_t estimated; /* rows of the range when it began; by an index: what
                           that said */
    uint64_t far;       /* rows that the loop had to decide */
    uint64_t far_hits;  /* requests for pages in memory, for these */
    uint64_t batches, leaves, misses; /* pages that had to be read */
    uint64_t bytes;                   /* of keys and values looked at */
    uint64_t take_ns, run_ns, far_ns; /* loop, workers, loop */
    bool is_over;
};
void matching_get_stats(const struct matching *m, struct matching_stats *out);
/* Rows of the range that lie behind it, of all, as ranks say: for progress. */
NQ_MUST_USE nq_rc matching_progress(struct matching *m, uint64_t *done,
                                    uint64_t *total);

/* What all of them share. */
struct matchings;
struct matchings *matchings_new(struct engine *e);
/* Before the databases are closed: no worker is at it any more, and who asks
 * for more gets NQ_ECLOSED. */
void matchings_stop(struct matchings *ms);
void matchings_free(struct matchings *ms);
/* Once a turn of the loop, before sessions go on: at most half a millisecond
 * for all of them.  True: more at once. */
bool matchings_turn(struct matchings *ms);
bool matchings_are_due(const struct matchings *ms);

#endif
