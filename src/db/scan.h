/* db/scan.h - the leaves of a range of keys, pinned, for workers to read.
 *
 * The loop walks the parents and pins leaves, some dozens at a time; a worker
 * then reads their records, which nobody writes any more, while commands go
 * on: who changes a pinned leaf changes a copy.  So each batch is what the
 * range was when it was taken, and batches are later ones than those before
 * them; a key that is there throughout is met exactly once.
 *
 * Reading on stands at a key, as the leaves may be others by then. */
#ifndef NQ_DB_SCAN_H
#define NQ_DB_SCAN_H

#include "base/buf.h"
#include "db/db.h"

#define SCAN_LEAVES 64u

/* One pinned leaf and, of its records, those in the range. */
struct scan_leaf {
    const struct page *page;
    uint32_t frame;
    uint16_t from, to; /* slots */
};

struct scan_batch {
    struct db *db;
    uint32_t dbi;
    uint64_t now_ms;
    bool reverse; /* leaves stand from the last to the first */
    unsigned count;
    struct scan_leaf leaves[SCAN_LEAVES];
    uint64_t records; /* slots of all of them */
};

/* Where a scan is; zeroed, then lo, hi and reverse set by the owner. */
struct scan_place {
    struct buf at; /* behind the last key taken; valid if has_at */
    bool has_at, is_over;
    struct slice lo, hi;
    bool has_hi, reverse;
};
void scan_place_fini(struct scan_place *pl);

/* Loop thread: pins up to `leaves` (at most SCAN_LEAVES) more of the range and
 * moves the place behind them.  NQ_NOTFOUND: the range is at its end.
 * NQ_MISS: some were noted as wanted (read-ahead has begun for others);
 * nothing is pinned.  NQ_EPOOL.  A batch takes at most a quarter of the
 * pool. */
NQ_MUST_USE nq_rc scan_take(struct db *db, uint32_t dbi, struct scan_place *pl,
                            unsigned leaves, struct scan_batch *out);
/* Loop thread: gives the pins back; of an empty batch: does nothing. */
void scan_drop(struct scan_batch *b);

/* Any one thread while the batch is held: the records in order, without those
 * that are over.  `key` and `rec` are borrowed from the leaf or from `at`;
 * keys whose tail lies in another page are given with is_whole false, and the
 * part that is in the leaf.  fn false: no more. */
struct scan_at {
    unsigned leaf, slot;
    bool is_whole;
    uint8_t bytes[4096]; /* the key is put together here */
};
typedef bool scan_fn(void *arg, const struct scan_at *at, struct slice key,
                     const struct record *rec);
void scan_each(const struct scan_batch *b, scan_fn *fn, void *arg);
/* Loop thread, while the batch is held: one record again, whole.  NQ_MISS. */
NQ_MUST_USE nq_rc scan_record(const struct scan_batch *b, unsigned leaf,
                              unsigned slot, struct buf *key,
                              struct record *rec);

#endif
