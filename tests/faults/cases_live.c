/* tests/faults/cases_live.c - one operation on a file fails while the script
 * runs, or takes long; then the process ends there, or the power goes.
 *
 * In a script without blocks, lines that are refused for the disk's sake are
 * sent again, so the run goes on behind the fault.  A block may have had some
 * of its effects when one of its commands is refused, as in Redis; where that
 * can be, scripts with blocks are left out. */
#include "faults.h"

#ifdef NQ_FAULTS

#include "base/check.h"
#include "base/rng.h"
#include "os/clock.h"
#include "store/store.h"

#define HANG_US 15000
#define SLOW_SYNC_US 300

/* Pages must be read, or written before others can be. */
static bool
has_tiny_pool(const struct round *r)
{
    return r->set.pool_bytes < (1u << 20);
}

static uint64_t
operations_of(struct round *r, enum fault_point point)
{
    round_record(r);
    if (has_tiny_pool(r) && r->script.opts.has_blocks)
        return 0;
    return r->operations[point];
}

/* Half of the cases end with the process, half with the power. */
static enum outcome
look_afterwards(struct round *r, const struct life *l, uint64_t seed)
{
    struct expected x = {.acked = l->acked, .issued = l->issued};
    struct image_opts o = {.upto = r->live.count,
                           .without = DISK_TRACE_NONE,
                           .cut = CUT_SECTORS,
                           .seed = seed};

    fault_clear();
    if (seed % 2 == 0)
        return verify(r, &x, seed / 2);
    x.acked = l->durable;
    image_build(&r->live, &o, &r->image);
    return verify_image(r, &x, seed / 2);
}

static enum outcome
fail_at(struct round *r, enum fault_point point, uint64_t skip,
        enum fault_kind kind, uint64_t seed)
{
    struct life l = {.tries_again = !r->script.opts.has_blocks};
    bool came;

    fault_clear();
    fault_after(point, skip, kind);
    if (round_live(r, &r->live, &l)) {
        engine_env_crash(&r->env);
        disk_trace_end(&r->live);
    }
    came = !fault_is_armed();
    return came ? look_afterwards(r, &l, seed) : OUTCOME_NOTHING;
}

#define FAILING(name, point, kind)                                             \
    uint64_t name##_points(struct round *r)                                    \
    {                                                                          \
        return operations_of(r, point);                                        \
    }                                                                          \
    enum outcome name##_run(struct round *r, uint64_t n, uint64_t seed)        \
    {                                                                          \
        return fail_at(r, point, n, kind, seed);                               \
    }

FAILING(eio, FAULT_WRITE, FAULT_EIO)
FAILING(full, FAULT_WRITE, FAULT_ENOSPC)
FAILING(part, FAULT_WRITE, FAULT_SHORT)
FAILING(sync, FAULT_SYNC, FAULT_EIO)
FAILING(space, FAULT_ALLOCATE, FAULT_ENOSPC)
FAILING(name, FAULT_DIR, FAULT_EIO)

uint64_t
read_points(struct round *r)
{
    round_record(r);
    return r->script.opts.has_blocks ? 0 : r->operations[FAULT_READ];
}

enum outcome
read_run(struct round *r, uint64_t point, uint64_t seed)
{
    return fail_at(r, FAULT_READ, point, FAULT_EIO, seed);
}

/* --- slow disks ---------------------------------------------------------- */

static void
watch_loop(struct life *l, unsigned n)
{
    nq_unused(l);
    if (n == 0)
        fault_watch_thread();
}

/* Whatever takes long, nothing is refused, nothing lost, and the loop itself
 * has never written, synced or allocated. */
static enum outcome
live_slowly(struct round *r, uint64_t seed)
{
    struct life l = {.before_unit = watch_loop};

    fault_set_hang(HANG_US);
    assert_true(round_live(r, &r->live, &l));
    assert_int_equal(fault_watched(), 0);
    assert_int_equal(l.acked, r->script.opts.units);
    engine_env_crash(&r->env);
    disk_trace_end(&r->live);
    return look_afterwards(r, &l, seed);
}

uint64_t
hang_points(struct round *r)
{
    uint64_t n = 0;

    round_record(r);
    for (unsigned p = 0; p < FAULT_POINTS; p++)
        n += r->operations[p];
    return n;
}

enum outcome
hang_run(struct round *r, uint64_t point, uint64_t seed)
{
    unsigned p = 0;

    while (point >= r->operations[p])
        point -= r->operations[p++];
    fault_clear();
    fault_after((enum fault_point)p, point, FAULT_HANG);
    return live_slowly(r, seed);
}

uint64_t
slow_points(struct round *r)
{
    round_record(r);
    return 4;
}

enum outcome
slow_run(struct round *r, uint64_t point, uint64_t seed)
{
    fault_clear();
    fault_slow_sync(SLOW_SYNC_US * (point + 1));
    return live_slowly(r, seed);
}

#endif
