/* cmd/source.h - the rows of a query one after the other, as slowly as
 * somebody takes them: of the keys as they are (cmd/matching.h), or of a
 * snapshot (db/snapshot.h).
 *
 * Loop thread only.  Workers are at most a few batches ahead of who takes the
 * rows, so memory is bounded (SOURCE_BATCH bytes, some times), however many
 * rows there are. */
#ifndef NQ_CMD_SOURCE_H
#define NQ_CMD_SOURCE_H

#include "cmd/row_reply.h"
#include "store/pgno.h"

#define SOURCE_BATCH (128u << 10)

struct source;

struct source_opts {
    uint32_t dbi;
    uint8_t resp; /* that rows are to be in */
    bool is_snapshot;
    /* What source_next() waited for is there.  Never from inside a call. */
    void (*wake)(void *arg);
    void *arg;
};

/* Takes over what `sel` holds.  Its LIMIT holds, too. */
struct source *source_open(struct engine *e, struct select *sel,
                           const struct source_opts *o);
/* Any time.  Of NULL: does nothing. */
void source_close(struct source *s);

/* The next row, as row_reply.h has it; borrowed until the next call.
 * NQ_AGAIN: nothing yet, wake() will be called.  NQ_NOTFOUND: no more.  Else it
 * has failed: source_error(). */
NQ_MUST_USE nq_rc source_next(struct source *s, struct slice *row);
unsigned source_values(const struct source *s); /* of RESP, a row */
/* What to answer after a failure: "-SNAPSHOTGONE the snapshot ..." or the
 * like; valid until the next call. */
const char *source_error(struct source *s, nq_rc rc);
/* A snapshot is there, or none is wanted; false: wake() will be called. */
bool source_is_open(const struct source *s);
/* Why it could not be opened. */
nq_rc source_failure(const struct source *s);
/* It is known by now that there are no more rows. */
bool source_is_over(struct source *s);

struct source_progress {
    uint64_t keys, done; /* of the range, and those that were passed */
    double percent;      /* monotonic; 100 when it is over, not before */
    lsn at;              /* of the snapshot; 0: there is none */
};
void source_get_progress(struct source *s, struct source_progress *out);

#endif
