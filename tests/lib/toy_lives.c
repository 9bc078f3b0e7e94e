/* tests/lib/toy_lives.c - a life with a fault, and the one after it. */
#include "toy_lives.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/log.h"
#include "os/clock.h"
#include "os/thread.h"
#include "store/store_int.h"

#ifdef NQ_FAULTS

#define BUDGET_US 3000000u /* for each kind of operation */
#define NEVER UINT64_MAX

void
toy_lives_settle(struct toy *t)
{
    struct wal *w = store_wal(t->st);

    while (wal_settled(w) <= t->last && wal_writable(w) == NQ_OK)
        thread_sleep_us(20);
}

/* What ends or troubles a first life. */
struct trouble {
    enum fault_point point;
    enum fault_kind kind;
    bool power_cut;
};

/* One life with the fault in it, one after; returns how many operations of
 * the kind the first one saw. */
static uint64_t
live_and_die(const struct toy_lives *l, const struct trouble *x, uint64_t skip,
             uint64_t seed)
{
    uint64_t acked = 0, count;
    struct toy t;

    toy_init(&t, seed);
    t.opts.pool_bytes = 48 * 4096;
    t.opts.wal.fsync = l->fsync;
    t.opts.wal.fsync_interval_ms = 5;
    fault_clear();
    if (l->before != NULL)
        l->before(&t);
    t.opts.master_key = l->master_key;
    fault_clear();
    fault_record(x->power_cut);
    if (skip != NEVER)
        fault_after(x->point, skip, x->kind);
    if (toy_open(&t) == NQ_OK) {
        t.st->disk.retry_step_us = 1000;
        acked = l->work(&t);
        toy_abandon(&t);
    }
    count = fault_count(x->point);
    if (x->power_cut)
        fault_power_cut(seed + skip);
    fault_record(false);
    fault_clear();

    assert_int_equal(toy_open(&t), NQ_OK);
    assert_true(t.writes >= acked);
    toy_check(&t);
    if (l->after != NULL)
        l->after(&t);
    assert_int_equal(toy_checkpoint(&t), NQ_OK);
    assert_int_equal(toy_close(&t, true), NQ_OK);
    toy_fini(&t);
    return count;
}

void
toy_lives_everywhere(const struct toy_lives *l, enum fault_point point,
                     enum fault_kind kind, bool power_cut)
{
    struct trouble x = {.point = point, .kind = kind, .power_cut = power_cut};
    uint64_t seed = toy_env_seed(), began = clock_mono_us();
    uint64_t count, step, lives = 0;

    log_set_level(LOG_ERROR + 1);
    count = live_and_die(l, &x, NEVER, seed);
    step = 1 + count * (clock_mono_us() - began) / BUDGET_US;
    for (uint64_t n = seed % step; n < count; n += step, lives++)
        (void)live_and_die(l, &x, n, seed);
    printf("%llu of %llu points\n", (unsigned long long)lives,
           (unsigned long long)count);
}

#endif
