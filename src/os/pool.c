/* os/pool.c - worker threads over three queues.
 *
 * One lock guards the queues and the list of finished jobs.  A worker takes
 * the oldest job of the most urgent class it may take; worker 0 never takes
 * POOL_LONG, so that a read or a flush never waits behind solvers only.
 *
 * Waking: pool_submit wakes one idle worker that may take the job; a worker
 * that took a job and sees more wakes the next.  So a wake that went to a
 * worker already on its way is made good.
 *
 *   I1  p->pending is touched by the loop thread only
 *   I2  a job is in one queue, or running, or in the done list
 *   I3  wake() is called once each time the done list turns non-empty, by the
 *       worker that made it so, after the lock was given up */
#include "os/pool.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"
#include "os/thread.h"

#define POOL_MAGIC 0x704f4f4cu

struct queue {
    struct job *first, **last;
};

struct worker {
    struct pool *pool;
    struct thread *thread;
    bool takes_long;
};

struct pool {
    uint32_t magic;
    pthread_mutex_t lock;
    pthread_cond_t work[2];  /* waiters: [0] worker 0, [1] all others */
    pthread_cond_t finished; /* waiter: the loop, in pool_wait */
    struct queue queues[POOL_CLASSES];
    struct queue done;
    unsigned idle[2]; /* workers waiting at work[i] */
    bool closing;
    void (*wake)(void *);
    void *wake_arg;
    unsigned pending; /* I1 */
    unsigned count;   /* workers started */
    struct worker workers[];
};

static void
queue_init(struct queue *q)
{
    q->first = NULL;
    q->last = &q->first;
}

static void
queue_push(struct queue *q, struct job *j)
{
    j->next = NULL;
    *q->last = j;
    q->last = &j->next;
}

static struct job *
queue_pop(struct queue *q)
{
    struct job *j = q->first;

    if (j == NULL)
        return NULL;
    q->first = j->next;
    if (q->first == NULL)
        q->last = &q->first;
    return j;
}

/* Wakes one worker for the most urgent job, if there is one to wake. */
static void
wake_next(struct pool *p)
{
    bool any = p->queues[POOL_READ].first != NULL ||
               p->queues[POOL_FLUSH].first != NULL;

    if (p->idle[1] > 0 && (any || p->queues[POOL_LONG].first != NULL))
        pthread_cond_signal(&p->work[1]);
    else if (p->idle[0] > 0 && any)
        pthread_cond_signal(&p->work[0]);
}

/* The next job for `w`; NULL when the pool closes. */
static struct job *
take(struct pool *p, const struct worker *w)
{
    unsigned classes = w->takes_long ? POOL_CLASSES : POOL_LONG;

    for (;;) {
        for (unsigned c = 0; c < classes; c++) {
            struct job *j = queue_pop(&p->queues[c]);

            if (j != NULL) {
                wake_next(p);
                return j;
            }
        }
        if (p->closing)
            return NULL;
        p->idle[w->takes_long]++;
        pthread_cond_wait(&p->work[w->takes_long], &p->lock);
        p->idle[w->takes_long]--;
    }
}

static void
worker_main(void *arg)
{
    struct worker *w = arg;
    struct pool *p;
    struct job *j;

    NQ_CAST(p, w->pool, POOL_MAGIC);
    pthread_mutex_lock(&p->lock);
    while ((j = take(p, w)) != NULL) {
        bool was_empty;

        pthread_mutex_unlock(&p->lock);
        j->run(j);
        pthread_mutex_lock(&p->lock);
        was_empty = p->done.first == NULL;
        queue_push(&p->done, j);
        if (!was_empty)
            continue;
        pthread_cond_signal(&p->finished);
        if (p->wake != NULL) {
            pthread_mutex_unlock(&p->lock);
            p->wake(p->wake_arg);
            pthread_mutex_lock(&p->lock);
        }
    }
    pthread_mutex_unlock(&p->lock);
}

static void
stop_workers(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    p->closing = true;
    pthread_cond_broadcast(&p->work[0]);
    pthread_cond_broadcast(&p->work[1]);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->count; i++)
        thread_join(p->workers[i].thread);
    pthread_cond_destroy(&p->finished);
    pthread_cond_destroy(&p->work[0]);
    pthread_cond_destroy(&p->work[1]);
    pthread_mutex_destroy(&p->lock);
    nq_free(p);
}

nq_rc
pool_open(unsigned threads, void (*wake)(void *), void *arg, struct pool **out)
{
    unsigned n = nq_max(threads, 2u);
    struct pool *p = nq_calloc(1, sizeof *p + (size_t)n * sizeof p->workers[0]);

    *out = NULL;
    p->magic = POOL_MAGIC;
    p->wake = wake;
    p->wake_arg = arg;
    for (unsigned c = 0; c < POOL_CLASSES; c++)
        queue_init(&p->queues[c]);
    queue_init(&p->done);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work[0], NULL);
    pthread_cond_init(&p->work[1], NULL);
    pthread_cond_init(&p->finished, NULL);
    for (unsigned i = 0; i < n; i++) {
        struct worker *w = &p->workers[i];
        char name[16];
        nq_rc rc;

        w->pool = p;
        w->takes_long = i != 0;
        snprintf(name, sizeof name, "nq-work-%u", i % 1000);
        rc = thread_start(name, worker_main, w, &w->thread);
        if (rc != NQ_OK) {
            stop_workers(p);
            return rc;
        }
        p->count++;
    }
    *out = p;
    return NQ_OK;
}

void
pool_close(struct pool *p)
{
    if (p == NULL)
        return;
    while (p->pending > 0)
        pool_wait(p);
    stop_workers(p);
}

void
pool_submit(struct pool *p, struct job *j, enum pool_class class)
{
    nq_assert(class < POOL_CLASSES);
    nq_assert(j->run != NULL && j->done != NULL);
    j->class = class;
    p->pending++;
    pthread_mutex_lock(&p->lock);
    queue_push(&p->queues[class], j);
    wake_next(p);
    pthread_mutex_unlock(&p->lock);
}

/* Runs done() of a list that was taken off the pool. */
static unsigned
finish(struct pool *p, struct job *j)
{
    unsigned n = 0;

    while (j != NULL) {
        struct job *next = j->next; /* done() may free the job */

        nq_assert(p->pending > 0);
        p->pending--;
        j->done(j);
        n++;
        j = next;
    }
    return n;
}

unsigned
pool_drain(struct pool *p)
{
    struct job *j;

    if (p->pending == 0)
        return 0;
    pthread_mutex_lock(&p->lock);
    j = p->done.first;
    queue_init(&p->done);
    pthread_mutex_unlock(&p->lock);
    return finish(p, j);
}

unsigned
pool_wait(struct pool *p)
{
    if (p->pending == 0)
        return 0;
    pthread_mutex_lock(&p->lock);
    while (p->done.first == NULL)
        pthread_cond_wait(&p->finished, &p->lock);
    pthread_mutex_unlock(&p->lock);
    return pool_drain(p);
}

unsigned
pool_pending(const struct pool *p)
{
    return p->pending;
}

unsigned
pool_long_workers(const struct pool *p)
{
    return p->count - 1;
}
