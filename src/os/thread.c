/* os/thread.c - the only wrapper of pthreads besides os/pool.c. */
#include "os/thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"

struct thread {
    pthread_t id;
    void (*run)(void *arg);
    void *arg;
    char name[16];
};

struct monitor {
    pthread_mutex_t lock;
    pthread_cond_t cond; /* waits by the monotonic clock */
};

static void *
thread_main(void *arg)
{
    struct thread *t = arg;

    pthread_setname_np(pthread_self(), t->name);
    t->run(t->arg);
    return NULL;
}

nq_rc
thread_start(const char *name, void (*run)(void *arg), void *arg,
             struct thread **out)
{
    struct thread *t = nq_calloc(1, sizeof *t);
    sigset_t all, old;
    int err;

    *out = NULL;
    t->run = run;
    t->arg = arg;
    strncpy(t->name, name, sizeof t->name - 1);
    /* Signals are for the loop: a thread inherits the mask it is born with. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    err = pthread_create(&t->id, NULL, thread_main, t);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err != 0) {
        log_error("cannot start thread %s: %s", name, strerror(err));
        nq_free(t);
        return NQ_ELIMIT;
    }
    *out = t;
    return NQ_OK;
}

void
thread_join(struct thread *t)
{
    if (t == NULL)
        return;
    nq_assert(pthread_join(t->id, NULL) == 0);
    nq_free(t);
}

struct monitor *
monitor_new(void)
{
    struct monitor *m = nq_calloc(1, sizeof *m);
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->cond, &attr);
    pthread_condattr_destroy(&attr);
    return m;
}

void
monitor_free(struct monitor *m)
{
    if (m == NULL)
        return;
    nq_assert(pthread_cond_destroy(&m->cond) == 0);
    nq_assert(pthread_mutex_destroy(&m->lock) == 0);
    nq_free(m);
}

void
monitor_lock(struct monitor *m)
{
    nq_assert(pthread_mutex_lock(&m->lock) == 0);
}

void
monitor_unlock(struct monitor *m)
{
    nq_assert(pthread_mutex_unlock(&m->lock) == 0);
}

void
monitor_wait(struct monitor *m)
{
    nq_assert(pthread_cond_wait(&m->cond, &m->lock) == 0);
}

bool
monitor_wait_us(struct monitor *m, uint64_t us)
{
    struct timespec ts;
    uint64_t ns;
    int err;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    ns = (uint64_t)ts.tv_nsec + us % 1000000 * 1000;
    ts.tv_sec += (time_t)(us / 1000000 + ns / 1000000000);
    ts.tv_nsec = (long)(ns % 1000000000);
    err = pthread_cond_timedwait(&m->cond, &m->lock, &ts);
    nq_assert(err == 0 || err == ETIMEDOUT);
    return err == 0;
}

void
monitor_signal(struct monitor *m)
{
    pthread_cond_signal(&m->cond);
}

void
monitor_broadcast(struct monitor *m)
{
    pthread_cond_broadcast(&m->cond);
}

void
thread_sleep_us(uint64_t us)
{
    struct timespec ts = {(time_t)(us / 1000000), (long)(us % 1000000 * 1000)};

    while (nanosleep(&ts, &ts) != 0 && errno == EINTR)
        ;
}
