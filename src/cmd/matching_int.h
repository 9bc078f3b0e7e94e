/* cmd/matching_int.h - what the files of a matching share: matching.c,
 * matching_run.c, matching_far.c, matching_take.c, matching_tell.c.
 *
 * A *batch* is some leaves of the range and what became of them.  Batches stand
 * in the order of keys:
 *
 *   RUNNING  a worker has it: nobody else touches what the worker writes
 *   RAN      the worker is done, its leaves are given back; rows that it could
 *            not decide are *gaps*, which the loop fills in slices, while its
 *            consumer takes what is filled
 *   READY    its consumer may have it
 *
 *   M1  m->batches is in the order of keys; the first is consumed first
 *   M2  what a worker reads of a matching stands still from matching_open()
 *       until no batch is RUNNING any more
 *   M3  only a RUNNING batch has pins */
#ifndef NQ_CMD_MATCHING_INT_H
#define NQ_CMD_MATCHING_INT_H

#include "base/list.h"
#include "cmd/matching.h"
#include "db/rows.h"
#include "db/scan.h"
#include "os/pool.h"
#include "store/frames.h"

#define MATCHING_MAGIC 0x4d415443u
/* The longest value that is looked into: beyond it, as if it were none. */
#define MATCHING_VALUE_MAX (UINT64_C(1) << 20)

#define CARRY_MAX 32u /* rows with long values, tested by a worker at once */
#define MATCHING_TURN_NS UINT64_C(500000) /* on the loop, for all of them */

/* Bits, one behind the other. */
struct bits {
    struct buf words; /* u64 */
    uint64_t count;
};

enum batch_state { BATCH_RUNNING, BATCH_RAN, BATCH_READY };

struct batch {
    struct job job;
    struct list link; /* in m->batches, or m->spare */
    struct matching *m;
    enum batch_state state;
    struct scan_batch scan;
    lsn as_of;
    /* What was found: ROWS: rows (matching_run.c); BITS: keys. */
    struct buf found;
    struct bits bits;       /* BITS */
    struct buf *into;       /* `found`, or `filled` */
    struct bits *into_bits; /* likewise */
    void *part;             /* FOLD */
    uint64_t rows, matched, bytes, run_ns;
    nq_rc rc;
    /* Keys that were not decided: varint length, key, varint length of `found`
     * and varint count of bits when it was met. */
    struct buf gaps;
    uint64_t gap_count;
    size_t gap_at; /* of `gaps`: those before are filled */
    /* The same with what was filled in; moved back when all is. */
    struct buf filled;
    struct bits filled_bits;
    size_t found_at; /* of `found`: what is before is in `filled` */
    uint64_t bits_at;
    struct buf at;          /* of a far scan: the last key visited */
    bool has_at, is_filled; /* no gap is left */
    size_t held;            /* of m->held */
    struct buf anchor;      /* BITS: no key of the batch is below it */
    size_t taken; /* by the consumer: of `found`, of `filled` as long as it is
                     only RAN */
    struct row_scratch *scratch;
    struct row_fields fields; /* of the row that is looked at */
    /* Far rows with long values, read by the loop, tested by a worker. */
    unsigned carried_count;
    struct row carried[CARRY_MAX]; /* their bytes are in carried_bytes */
    struct buf carried_bytes;      /* key, value, key, value ... */
    lsn carried_as_of[CARRY_MAX];
    struct buf told;
};

struct matching {
    uint32_t magic;
    struct matchings *shared;
    struct list link; /* in shared->all */
    struct list due;  /* in shared->due, if it has something to do */
    struct engine *engine;
    uint32_t dbi;
    struct matching_opts opts;
    struct select sel;
    unsigned where_needs, tell_needs;
    struct scan_place place;
    struct buf lo, hi; /* as it began */
    bool has_hi;
    uint64_t session_id; /* woken instead of opts.wake; 0: none */
    struct list batches; /* M1 */
    struct list spare;   /* with parts of FOLD in them */
    unsigned running;    /* batches that are RUNNING */
    unsigned leaves;     /* of the next batch */
    uint64_t memory;     /* of opts */
    uint64_t held;       /* bytes found by workers that nobody took yet */
    uint64_t delivered;  /* rows */
    bool is_planned;
    struct index_reader *reader; /* NULL: reads leaves */
    bool is_collected;           /* it may be read */
    bool has_begun;              /* the first leaves were looked at */
    bool is_taken;               /* no more batches are to be made */
    bool is_waiting;             /* its consumer was told NQ_AGAIN */
    bool is_closed;              /* freed as soon as no batch is RUNNING */
    bool is_cancelled;    /* what is found is not wanted any more; atomic */
    bool is_scan_waiting; /* pages are being read: for the next batch */
    bool is_far_waiting;  /* likewise, for a gap */
    nq_rc rc;             /* why it ended, if not because all is done */
    struct frames_wait scan_wait, far_wait;
    struct bits bits;     /* BITS */
    struct buf keys;      /* BITS: those that match */
    struct buf anchors;   /* BITS: varint rows before it, varint length, key:
                             where each batch began */
    void *sum;            /* FOLD */
    struct job merge_job; /* counts as a batch that is RUNNING */
    enum merge_state { MERGE_NOT_YET, MERGE_RUNNING, MERGED } merge;
    nq_rc merge_rc;
    struct matching_stats stats;
    struct arena arena; /* of one far row */
};

struct matchings {
    struct engine *engine;
    struct list all, due;
    unsigned pins, pins_max; /* leaves pinned by all; 0: not asked yet */
    uint64_t until_ns; /* work on the loop ends then; 0: none yet this turn */
};

/* --- matching_run.c: any thread --------------------------------------------
 */

/* Reads the batch's leaves. */
void batch_run(struct batch *b);
/* A living row: whether it matches; then it is counted, and taken if it does.
 * Not NQ_OK: what db_row_check() says, and nothing was done. */
NQ_MUST_USE nq_rc batch_match(struct batch *b, const struct row *r,
                              bool *matches);
NQ_MUST_USE nq_rc batch_count(struct batch *b, const struct row *r,
                              bool matches, lsn as_of);
/* Those of `needs` that a row of its type can have. */
bool row_has(const struct row *r, unsigned needs);
/* A key that was not decided. */
void batch_put_gap(struct batch *b, struct slice key);
void bits_put(struct bits *b, bool bit);
bool bits_get(const struct bits *b, uint64_t i);
/* Appends those of [lo, hi). */
void bits_copy(struct bits *to, const struct bits *from, uint64_t lo,
               uint64_t hi);

/* --- matching_far.c ------------------------------------------------------- */

/* Fills gaps of a batch that RAN: until it is READY or enough waits to be
 * taken (NQ_OK), time is up (NQ_AGAIN) or a page is missing (NQ_MISS). */
NQ_MUST_USE nq_rc batch_fill(struct batch *b);
/* The rows that are carried.  Any thread. */
void batch_run_carried(struct batch *b);

/* --- matching_take.c ------------------------------------------------------ */

/* Makes batches and gives them to workers, as many as may be under way. */
void matching_pump(struct matching *m);
/* The next batch here and now.  NQ_NOTFOUND: there is none.  NQ_MISS. */
NQ_MUST_USE nq_rc matching_do_next(struct matching *m, unsigned leaves);
/* Gives the rows that are carried to a worker: RUNNING, then RAN again. */
void batch_carry(struct batch *b);
/* The first batch is done with. */
void batch_retire(struct batch *b);
/* FOLD: all parts into one, when no batch is left.  NQ_AGAIN: a worker is at
 * it, then the matching is due. */
NQ_MUST_USE nq_rc matching_merge(struct matching *m);
/* Nothing of what is found, or being found, is wanted any more. */
void matching_cancel(struct matching *m, nq_rc why);
/* Reads what was noted as missing; then the matching is due. */
void matching_fetch_far(struct matching *m);
void matching_fetch_scan(struct matching *m);
void matching_free(struct matching *m); /* nothing is RUNNING */
/* matchings_turn() is to look at it. */
void matching_make_due(struct matching *m);
/* The time that the loop may spend in this turn is over. */
bool matching_is_late(struct matching *m);

/* --- matching_plan.c ------------------------------------------------------ */

/* Before the first batch.  NQ_MISS. */
NQ_MUST_USE nq_rc matching_plan(struct matching *m);
/* What the index tells, in slices; without one: NQ_OK.  NQ_AGAIN, NQ_MISS. */
NQ_MUST_USE nq_rc matching_collect(struct matching *m);
/* Fills a batch with the next keys of the index; NQ_NOTFOUND. */
NQ_MUST_USE nq_rc matching_take_keys(struct matching *m, struct batch *b);

/* --- matching_tell.c ------------------------------------------------------ */

/* How the select itself tells rows; `arg` is to be m->sel. */
struct matching_how matching_own_how(const struct select *sel);

#endif
