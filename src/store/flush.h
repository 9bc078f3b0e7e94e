/* store/flush.h - dirty pages on their way to the data file, in batches.
 *
 * Loop thread only.  The oldest dirty frames are taken off their list, a
 * worker encodes them, the loop finds places for the results, a worker
 * writes them, the loop enters them into the page table: as part of the
 * unfinished cut if they belong to it, else as where the page is from now on.
 * Until then the frame is immutable (I1).  Nothing here syncs. */
#ifndef NQ_STORE_FLUSH_H
#define NQ_STORE_FLUSH_H

#include "base/list.h"
#include "base/rc.h"
#include "store/extent.h"
#include "store/pgno.h"
#include "store/store.h"

struct dict_keeper;
struct file;
struct frames_all;
struct pagetable;
struct pool;
struct space;

/* The data file and all that describes it. */
struct disk {
    struct file *file;
    struct space *space;
    struct pagetable *table;
    struct pool *pool;
    struct frames_all *frames;
    struct extent_env env;
    struct extent_style style;       /* of extents written from now on */
    struct dict_keeper *dict_keeper; /* gets samples; NULL: nobody does */
    /* Whether bytes that were read are a tree page; NULL: any are. */
    bool (*is_page)(const uint8_t *bytes, size_t size);
    bool is_read_only;
    int still;          /* so many checks want no page on its way to disk */
    uint64_t allocated; /* the file has real blocks up to here */
    bool is_growing;    /* a job extends it; others that write behind
                           `allocated` wait in `held` */
    struct list held;
    bool is_limited; /* nothing is placed behind `allocated` */
    bool is_lost;    /* an extent newer than the checkpoint is damaged: only a
                        restart, from checkpoint and log, has its page again */
    unsigned syncs_failed; /* what was written while one failed is in doubt */
    unsigned rewrite_jobs; /* batches of rewrite.c under way */
    unsigned sweep_jobs;   /* the same of sweep.c, which only read */
    struct list jobs;      /* flush jobs under way */
    unsigned jobs_count;
    unsigned cut_jobs;      /* of them, those with pages of the cut */
    nq_rc cut_rc;           /* why pages of the cut could not be written */
    nq_rc last_rc;          /* of the last batch */
    uint64_t retry_us;      /* after a failure: not before, monotonic */
    uint64_t retry_step_us; /* from failure to retry: one second */
    uint64_t cut_pages, cut_bytes; /* staged for the running checkpoint */
    uint64_t bytes_written;
};

void flush_init(struct disk *d);
/* Takes a batch off the cut's list (`from_cut`) or the running one and starts
 * it; false: nothing to take, or enough is under way. */
bool flush_start(struct disk *d, bool from_cut);
/* The same with pages of the running epoch that have been dirty for at least
 * the age that is set; false also: there are none. */
bool flush_start_old(struct disk *d);
/* At a cut: flushes under way whose pages were not changed since belong to
 * it. */
void flush_cut(struct disk *d);
/* The cut was given up: what is under way is like any other flush. */
void flush_cut_end(struct disk *d);
/* Files grow in steps, one at a time, by whoever first writes behind the
 * allocated part: its job allocates [*from, *to) before it writes, unless
 * that is empty, and flush_grown() tells how it went.  False: another job is
 * at it, wait. */
bool flush_may_write(struct disk *d, uint64_t end, uint64_t *from,
                     uint64_t *to);
void flush_grown(struct disk *d, uint64_t to, nq_rc rc);
/* The file system is full: after a failure without the limit, the next try
 * uses only what the file has already; after one with it, the file may be
 * extended again. */
void flush_set_limited(struct disk *d, bool is_limited);
/* May flushing be tried?  After a failure, only from time to time. */
bool flush_is_allowed(const struct disk *d);

#endif
