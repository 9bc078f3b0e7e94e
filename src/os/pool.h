/* os/pool.h - the worker threads: jobs in, completions out.
 *
 * A job owns copies of all it needs, or pointers to immutable pages; run()
 * sees nothing but the job and runs on a worker; done() runs on the thread
 * that calls pool_drain(), the loop.  Reads overtake flushes, flushes
 * overtake long jobs; one worker is always free of long jobs. */
#ifndef NQ_OS_POOL_H
#define NQ_OS_POOL_H

#include "base/rc.h"

enum pool_class { POOL_READ, POOL_FLUSH, POOL_LONG, POOL_CLASSES };

struct job {
    void (*run)(struct job *);
    void (*done)(struct job *);
    struct job *next;      /* private */
    enum pool_class class; /* private */
};

struct pool;

/* Starts `threads` (at least 2) workers.  wake(arg) is called from a worker
 * when the completion list turns non-empty: it must make the loop call
 * pool_drain() soon, and may be NULL. */
NQ_MUST_USE nq_rc pool_open(unsigned threads, void (*wake)(void *), void *arg,
                            struct pool **out);
/* Waits for the running jobs, runs the queued ones, drains, ends. */
void pool_close(struct pool *p);

/* Loop thread.  `j` must live until its done() ran. */
void pool_submit(struct pool *p, struct job *j, enum pool_class class);
/* Loop thread: runs the done() of finished jobs; returns how many. */
unsigned pool_drain(struct pool *p);
/* Loop thread, at start, at shutdown and in tools and tests only: waits for
 * at least one completion if any job is under way, then drains. */
unsigned pool_wait(struct pool *p);
unsigned pool_long_workers(const struct pool *p); /* that take POOL_LONG */
unsigned pool_pending(const struct pool *p); /* submitted, done() not yet run */

#endif
