/* db/snapshot.h - the databases as they were at one position of the log, read
 * by workers from a pinned checkpoint (store/pin.h).
 *
 * Loop thread, but for the function that tells rows.  Writers are never
 * delayed: what is read is immutable and on disk.  A snapshot is the exact
 * state at one end of a turn, snapshot_lsn(): it has everything that was
 * executed before snapshot_take(), perhaps some of what came between then and
 * ready(), and nothing later; and it is durable.  Keys that were due by
 * snapshot_now() are not there, those that became due since are.
 *
 *   snapshot_take()         a checkpoint is made, if anything changed since
 *   snapshot_scan_new()     a query on it; any number at a time
 *   snapshot_scan_more()    one batch of rows, encoded by a worker; the owner
 *                           asks for the next one when it likes
 *
 * Between batches a scan keeps a key and no pages. */
#ifndef NQ_DB_SNAPSHOT_H
#define NQ_DB_SNAPSHOT_H

#include "base/buf.h"
#include "db/db.h"
#include "query/program.h"
#include "store/pin.h"

struct snapshot;

struct snapshot_wait {
    /* Never from inside snapshot_take().  With NQ_OK a reference. */
    void (*ready)(struct snapshot_wait *w, struct snapshot *s, nq_rc rc);
    /* private */
    struct pin_wait pin;
    struct db *db;
    uint64_t now_ms;
};
void snapshot_take(struct db *db, struct snapshot_wait *w);
/* Not wanted any more; after ready(), and of zeroes: does nothing. */
void snapshot_take_end(struct snapshot_wait *w);

struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot *s); /* of NULL: does nothing */

/* S: the effects of all records of the log before it are in the snapshot,
 * those at it and behind are not. */
lsn snapshot_lsn(const struct snapshot *s);
uint64_t snapshot_now(const struct snapshot *s); /* wall ms */
/* NULL: it holds.  Else a sentence that says why it is gone. */
const char *snapshot_broken(const struct snapshot *s);

/* --- rows ----------------------------------------------------------------- */

struct snapshot_scan;

/* As matching_how.tell() of cmd/matching.h: appends to `out` what is told of a
 * row that matches.  On a worker: sees nothing but these. */
typedef void snapshot_tell_fn(const void *arg, const struct row *row,
                              struct row_scratch *scratch, struct buf *out);

struct snapshot_scan_opts {
    uint32_t dbi;
    struct slice lo, hi; /* copied */
    bool has_hi, reverse;
    struct program *where;  /* NULL: every key; a reference is taken */
    uint64_t offset, limit; /* of matching rows; limit UINT64_MAX: all */
    size_t value_max;       /* bytes of values that are read of one row at
                               most; else NQ_ETOOMUCH */
    unsigned needs;         /* enum row_part: what tell() looks at */
    snapshot_tell_fn *tell;
    void *arg;               /* must not be changed while the scan lives */
    void (*free)(void *arg); /* nobody looks at it any more, which may be after
                                snapshot_scan_free(); may be NULL */
};

/* A batch, and how far it goes.  Valid during done(). */
struct snapshot_batch {
    nq_rc rc;          /* NQ_OK; NQ_ECLOSED: the snapshot is broken (see
                          snapshot_broken); NQ_ECORRUPT, NQ_EIO, NQ_ETOOMUCH */
    struct buf *out;   /* rows as told; the bytes may be taken out of it */
    uint64_t rows;     /* in it */
    uint64_t rows_sum; /* in all batches so far, this one included */
    uint64_t visited;  /* keys looked at so far, of ... */
    uint64_t total;    /* ... those of the range: what ranks say */
    bool is_over;      /* there is no more */
};
typedef void snapshot_batch_fn(void *arg, struct snapshot_batch *b);

struct snapshot_scan *snapshot_scan_new(struct snapshot *s,
                                        const struct snapshot_scan_opts *o);
/* Until about `rows` rows, `bytes` of output, or 10 ms of work, whichever
 * comes first: a batch may be empty and not the last.  done(arg) follows on
 * the loop, never from inside this call.  One at a time. */
void snapshot_scan_more(struct snapshot_scan *sc, uint64_t rows, size_t bytes,
                        snapshot_batch_fn *done, void *arg);
/* At any time: a worker that is at it ends by itself, done() is not called
 * any more.  Of NULL: does nothing. */
void snapshot_scan_free(struct snapshot_scan *sc);

#endif
