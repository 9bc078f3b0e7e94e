/* db/scan.h - the leaves of a range of keys, pinned, for workers to read.
 *
 * The loop finds leaves by their parents and pins them, some dozens at a time;
 * a worker then reads their records, which nobody writes any more, while
 * commands go on: who changes a pinned leaf changes a copy.  So each batch is
 * what the range was when it was taken, and batches are later ones than those
 * before them; a key that is there throughout is met exactly once.
 *
 * What is left of the range is known by the separators of leaves, so nothing
 * that happens to the tree meanwhile makes the scan lose its place.
 *
 * A leaf with keys so long that a part of them lies elsewhere is not pinned:
 * it comes as a batch of its own, which names the keys that it is about, and
 * the loop walks over these. */
#ifndef NQ_DB_SCAN_H
#define NQ_DB_SCAN_H

#include "base/buf.h"
#include "db/db.h"

#define SCAN_LEAVES 64u

struct page;

/* One pinned leaf and, of its records, those in the range. */
struct scan_leaf {
    const struct page *page;
    uint32_t frame;
    uint16_t from, to; /* slots */
};

struct scan_batch {
    struct frames *frames;
    uint64_t now_ms;
    bool reverse; /* leaves stand from the last to the first */
    bool is_far;  /* no leaves, but the keys of [lo, hi) */
    unsigned count;
    uint64_t records; /* slots of all leaves */
    struct scan_leaf leaves[SCAN_LEAVES];
    struct buf lo, hi; /* valid only if is_far */
    bool has_hi;
};

/* What is left of a range; zeroed, then set by scan_place_init(). */
struct scan_place {
    struct buf lo, hi;
    bool has_hi, reverse, is_over;
};
/* Copies the bounds; hi NULL: no end. */
void scan_place_init(struct scan_place *pl, struct slice lo,
                     const struct slice *hi, bool reverse);
void scan_place_fini(struct scan_place *pl);

/* Loop thread: pins up to `leaves` (at most SCAN_LEAVES) more of the range,
 * which then is shorter by them.  NQ_NOTFOUND: the range is at its end.
 * NQ_MISS: some were noted as wanted; nothing is pinned.  Read-ahead has begun
 * for those behind.  NQ_EPOOL, NQ_ECORRUPT. */
NQ_MUST_USE nq_rc scan_take(struct db *db, uint32_t dbi, struct scan_place *pl,
                            unsigned leaves, struct scan_batch *out);
/* Loop thread: gives the pins and the memory back; of zeroes: does nothing. */
void scan_drop(struct scan_batch *b);
/* Loop thread: notes all leaves of the range that are not in memory, as far as
 * the pool takes them; NQ_OK: none. */
NQ_MUST_USE nq_rc scan_want_all(struct db *db, uint32_t dbi,
                                const struct scan_place *pl);
/* How many leaves all scans together may pin: a quarter of the pool. */
unsigned scan_pins_max(struct db *db);

/* Any one thread: the records of slots [from, to) of a leaf that is pinned, or
 * of a page that came from elsewhere and was verified, in order or backwards,
 * those that are over too.  Key and record are borrowed: the key until the
 * next one.  fn false: no more, and so is the result.  A key whose tail lies
 * in a page of its own is given as far as it is in the leaf, with
 * is_whole false (not for leaves of a batch). */
typedef bool scan_fn(void *arg, struct slice key, bool is_whole,
                     const struct record *rec);
bool scan_page(const struct page *pg, unsigned from, unsigned to, bool reverse,
               scan_fn *fn, void *arg);

#endif
