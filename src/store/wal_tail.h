/* store/wal_tail.h - reading the log while it is written, from any place in
 * it that is still there.
 *
 * A tail is made on the loop and then used by one thread at a time, as a rule
 * by a worker: it reads segment files, sealed ones too, and touches nothing of
 * `struct wal` but what was copied when it was made.  It holds nothing back:
 * that is wal_hold()'s.
 *
 * LSNs of records: that of the frame and where in it the record begins; so
 * each has one of its own, and they rise. */
#ifndef NQ_STORE_WAL_TAIL_H
#define NQ_STORE_WAL_TAIL_H

#include "store/wal.h"

struct wal_tail;

/* Loop thread. */
struct wal_tail *wal_tail_new(const struct wal *w);
void wal_tail_free(struct wal_tail *t); /* of NULL: does nothing */

/* Gives the records with an LSN in (after, end) in order to fn, until it says
 * no, or about `max_bytes` of the log were read.  `end` must be a position
 * that wal_settled() had.  *next: all up to there were read; pass it as
 * `after` next time (a record that fn said no to comes again).
 * NQ_OK; NQ_NOTFOUND: the log does not reach back so far, *oldest is the least
 * `after` for which it does; NQ_ECORRUPT, NQ_EIO; NQ_EKEY. */
typedef bool wal_tail_fn(void *arg, const struct wal_record *r);
NQ_MUST_USE nq_rc wal_tail_read(struct wal_tail *t, lsn after, lsn end,
                                size_t max_bytes, wal_tail_fn *fn, void *arg,
                                lsn *next, lsn *oldest);

#endif
