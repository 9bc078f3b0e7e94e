/* The workers: every job done once, urgent ones first, one worker free of
 * long ones, one wake for a list of completions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/rng.h"
#include "os/pool.h"
#include "os/thread.h"

struct test_job {
    struct job job;
    struct monitor *gate; /* run() waits at it while *shut */
    bool *shut;
    unsigned *order; /* atomic counter: run() takes the next number */
    unsigned number;
    unsigned runs, dones;
    struct pool *again; /* done() submits once more */
};

static void
run_job(struct job *j)
{
    struct test_job *t = nq_container(j, struct test_job, job);

    if (t->gate != NULL) {
        monitor_lock(t->gate);
        while (*t->shut)
            monitor_wait(t->gate);
        monitor_unlock(t->gate);
    }
    if (t->order != NULL)
        t->number = __atomic_add_fetch(t->order, 1, __ATOMIC_RELAXED);
    t->runs++;
}

static void
job_done(struct job *j)
{
    struct test_job *t = nq_container(j, struct test_job, job);

    t->dones++;
    if (t->again != NULL) {
        struct pool *p = t->again;

        t->again = NULL;
        pool_submit(p, &t->job, POOL_FLUSH);
    }
}

static struct test_job
make_job(void)
{
    return (struct test_job){.job = {.run = run_job, .done = job_done}};
}

static void
open_gate(struct monitor *gate, bool *shut)
{
    monitor_lock(gate);
    *shut = false;
    monitor_broadcast(gate);
    monitor_unlock(gate);
}

static void
every_job_runs_once_and_is_told(void **state)
{
    enum { JOBS = 5000 };
    struct test_job *jobs = nq_calloc(JOBS, sizeof *jobs);
    struct pool *p;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 1);
    assert_int_equal(pool_open(3, NULL, NULL, &p), NQ_OK);
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = make_job();
        pool_submit(p, &jobs[i].job, rng_below(&rng, POOL_CLASSES));
        if (rng_below(&rng, 50) == 0)
            pool_drain(p);
    }
    while (pool_pending(p) > 0)
        assert_true(pool_wait(p) > 0);
    assert_int_equal(pool_wait(p), 0);
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(jobs[i].runs, 1);
        assert_int_equal(jobs[i].dones, 1);
    }
    pool_close(p);
    nq_free(jobs);
}

static void
closing_runs_what_is_queued_and_what_that_submits(void **state)
{
    struct test_job jobs[20];
    struct pool *p;

    (void)state;
    assert_int_equal(pool_open(0, NULL, NULL, &p), NQ_OK);
    for (unsigned i = 0; i < 20; i++) {
        jobs[i] = make_job();
        jobs[i].again = p;
        pool_submit(p, &jobs[i].job, POOL_LONG);
    }
    pool_close(p);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(jobs[i].dones, 2);
    pool_close(NULL);
}

static void
reads_pass_while_long_jobs_fill_the_rest(void **state)
{
    struct monitor *gate = monitor_new();
    struct test_job longs[6], reads[6];
    unsigned done = 0;
    bool shut = true;
    struct pool *p;

    (void)state;
    assert_int_equal(pool_open(3, NULL, NULL, &p), NQ_OK);
    for (unsigned i = 0; i < 6; i++) {
        longs[i] = make_job();
        longs[i].gate = gate;
        longs[i].shut = &shut;
        pool_submit(p, &longs[i].job, POOL_LONG);
    }
    for (unsigned i = 0; i < 6; i++) {
        reads[i] = make_job();
        pool_submit(p, &reads[i].job, i % 2 == 0 ? POOL_READ : POOL_FLUSH);
    }
    while (done < 6)
        done += pool_wait(p);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(reads[i].dones, 1);
        assert_int_equal(longs[i].dones, 0);
    }
    open_gate(gate, &shut);
    pool_close(p);
    monitor_free(gate);
}

/* Both workers are held while flushes and a read are queued; then one goes
 * on alone. */
static void
reads_overtake_flushes(void **state)
{
    struct monitor *gate = monitor_new();
    struct test_job held[2], flush[2], read = make_job();
    bool shut[2] = {true, true};
    unsigned order = 0, done = 0;
    struct pool *p;

    (void)state;
    assert_int_equal(pool_open(2, NULL, NULL, &p), NQ_OK);
    for (unsigned i = 0; i < 2; i++) {
        held[i] = make_job();
        held[i].gate = gate;
        held[i].shut = &shut[i];
        pool_submit(p, &held[i].job, POOL_READ);
    }
    for (unsigned i = 0; i < 2; i++) {
        flush[i] = make_job();
        flush[i].order = &order;
        pool_submit(p, &flush[i].job, POOL_FLUSH);
    }
    read.order = &order;
    pool_submit(p, &read.job, POOL_READ);
    open_gate(gate, &shut[0]);
    while (done < 4)
        done += pool_wait(p);
    assert_int_equal(read.number, 1);
    assert_int_equal(flush[0].number, 2);
    assert_int_equal(flush[1].number, 3);
    open_gate(gate, &shut[1]);
    pool_close(p);
    monitor_free(gate);
}

struct waker {
    struct monitor *m;
    unsigned wakes;
};

static void
wake(void *arg)
{
    struct waker *w = arg;

    monitor_lock(w->m);
    w->wakes++;
    monitor_signal(w->m);
    monitor_unlock(w->m);
}

static void
a_list_of_completions_wakes_once(void **state)
{
    struct waker w = {monitor_new(), 0};
    struct test_job jobs[50];
    unsigned ran = 0;
    struct pool *p;

    (void)state;
    assert_int_equal(pool_open(2, wake, &w, &p), NQ_OK);
    for (unsigned i = 0; i < 50; i++) {
        jobs[i] = make_job();
        jobs[i].order = &ran;
        pool_submit(p, &jobs[i].job, POOL_READ);
    }
    while (__atomic_load_n(&ran, __ATOMIC_RELAXED) < 50)
        thread_sleep_us(500);
    monitor_lock(w.m);
    while (w.wakes == 0)
        monitor_wait(w.m);
    /* Nobody drained, so all that finished joined the list silently. */
    assert_int_equal(w.wakes, 1);
    monitor_unlock(w.m);
    pool_close(p);
    assert_int_equal(jobs[49].dones, 1);
    monitor_free(w.m);
}

static void
a_wait_with_a_limit_ends(void **state)
{
    struct monitor *m = monitor_new();

    (void)state;
    monitor_lock(m);
    assert_false(monitor_wait_us(m, 1000));
    monitor_unlock(m);
    monitor_free(m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_runs_once_and_is_told),
        cmocka_unit_test(closing_runs_what_is_queued_and_what_that_submits),
        cmocka_unit_test(reads_pass_while_long_jobs_fill_the_rest),
        cmocka_unit_test(reads_overtake_flushes),
        cmocka_unit_test(a_list_of_completions_wakes_once),
        cmocka_unit_test(a_wait_with_a_limit_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
