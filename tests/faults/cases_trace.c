/* tests/faults/cases_trace.c - images from the traces of a round, at each
 * point: what the disk holds after the end of the process or of the power
 * there, and of a disk that lies.
 *
 * Points of `kill` and the cuts are the events of both traces, one behind the
 * other: even seeds of a case or odd ones do not matter, the point says all. */
#include "faults.h"

#ifdef NQ_FAULTS

#include <string.h>

#include "base/check.h"
#include "base/rng.h"
#include "os/clock.h"

#define SECOND_UNITS 5

uint64_t
event_points(struct round *r)
{
    round_record(r);
    return r->crashed.count + r->stopped.count;
}

static const struct disk_trace *
trace_of(const struct round *r, uint64_t point, size_t *event)
{
    bool is_first = point < r->crashed.count;

    *event = is_first ? point : point - r->crashed.count;
    return is_first ? &r->crashed : &r->stopped;
}

struct expected
expected_after(const struct disk_trace *t, size_t last, bool power_cut)
{
    const struct disk_event *e = &t->events[last];
    bool is_end = last + 1 == t->count;
    uint32_t acked = is_end ? t->acked : e->acked;
    uint32_t durable = is_end ? t->durable : e->durable;

    return (struct expected){.acked = power_cut ? durable : acked,
                             .issued = is_end ? t->issued : e->issued};
}

static enum outcome
at_point(struct round *r, uint64_t point, enum image_cut cut, uint64_t seed)
{
    size_t event;
    const struct disk_trace *t = trace_of(r, point, &event);
    struct image_opts o = {.upto = event + 1,
                           .without = DISK_TRACE_NONE,
                           .cut = cut,
                           .seed = seed};
    struct expected x = expected_after(t, event, cut != CUT_NONE);

    image_build(t, &o, &r->image);
    return verify_image(r, &x, seed);
}

enum outcome
kill_run(struct round *r, uint64_t point, uint64_t seed)
{
    return at_point(r, point, CUT_NONE, seed);
}

enum outcome
cut_run(struct round *r, uint64_t point, uint64_t seed)
{
    return at_point(r, point, CUT_SECTORS, seed);
}

enum outcome
lose_run(struct round *r, uint64_t point, uint64_t seed)
{
    return at_point(r, point, CUT_WRITES, seed);
}

enum outcome
reorder_run(struct round *r, uint64_t point, uint64_t seed)
{
    return at_point(r, point, CUT_ORDER, seed);
}

enum outcome
torn_run(struct round *r, uint64_t point, uint64_t seed)
{
    size_t event;
    const struct disk_trace *t = trace_of(r, point, &event);
    struct image_opts o = {.upto = event + 1,
                           .without = DISK_TRACE_NONE,
                           .is_last_torn = true,
                           .seed = seed};
    /* The last of a trace, too, was not whole when that was so. */
    struct expected x = {.acked = t->events[event].acked,
                         .issued = t->events[event].issued};

    if (!disk_trace_is_write(&t->events[event]))
        return OUTCOME_NOTHING;
    image_build(t, &o, &r->image);
    return verify_image(r, &x, seed);
}

/* --- faults after faults -------------------------------------------------- */

/* What r->image holds, opened: the unit it is as after. */
static uint32_t
state_of_image(struct round *r, const struct expected *x)
{
    struct script_state found;
    uint32_t n = x->issued + 1;

    image_write(&r->image, r->env.dir);
    clock_freeze_wall(r->script.clocks[x->issued]);
    assert_int_equal(settings_open(&r->set, &r->env), NQ_OK);
    script_read(&r->env, &found);
    engine_env_crash(&r->env);
    do
        assert_true(n-- > x->acked);
    while (!script_is_state(&found, &r->script.states[n], NULL));
    return n;
}

/* Opens what is left of a first power cut and runs some units on it, recorded;
 * returns how many events were before that. */
static size_t
record_second_life(struct round *r, uint32_t n)
{
    struct life l = {.script = &r->script,
                     .set = &r->set,
                     .env = &r->env,
                     .trace = &r->live};
    size_t before;

    image_write(&r->image, r->env.dir);
    disk_trace_fini(&r->live);
    disk_trace_begin_with(&r->live, r->env.dir, &r->image);
    disk_trace_note(&r->live, n, n, n);
    before = r->live.count;
    assert_int_equal(settings_open(&r->set, &r->env), NQ_OK);
    life_run(&l, n, nq_min(n + SECOND_UNITS, r->script.opts.units));
    engine_env_crash(&r->env);
    disk_trace_end(&r->live);
    return before;
}

/* The power goes a second time, during the recovery or soon after it. */
enum outcome
twice_run(struct round *r, uint64_t point, uint64_t seed)
{
    size_t event, before;
    const struct disk_trace *t = trace_of(r, point, &event);
    struct image_opts o = {.upto = event + 1,
                           .without = DISK_TRACE_NONE,
                           .cut = CUT_SECTORS,
                           .seed = seed};
    struct expected x = expected_after(t, event, true);
    struct rng rng;

    rng_seed(&rng, ~seed);
    image_build(t, &o, &r->image);
    before = record_second_life(r, state_of_image(r, &x));
    o.upto = before + 1 + rng_below(&rng, r->live.count - before);
    o.cut = rng_below(&rng, 4) == 0 ? CUT_NONE : CUT_SECTORS;
    x = expected_after(&r->live, o.upto - 1, o.cut != CUT_NONE);
    image_build(&r->live, &o, &r->image);
    return verify_image(r, &x, seed);
}

/* --- disks that lie ------------------------------------------------------ */

bool
is_in_hole(const struct disk_trace *t, const struct disk_event *write,
           const struct hole *holes, unsigned count)
{
    const char *name = disk_trace_name_of(t, write);

    for (const struct hole *h = holes; h < holes + count; h++)
        if (write->off < h->off + h->len && write->off + write->len > h->off &&
            strcmp(name, h->name) == 0)
            return true;
    return false;
}

/* A u64 of what was written to the log: of frames (store/wal_frame.c) and
 * headers of segments (store/wal_segment.c). */
static uint64_t
u64_at(const struct disk_trace *t, const struct disk_event *write, size_t off)
{
    uint64_t v;

    memcpy(&v, t->bytes.p + write->at + off, sizeof v);
    return v;
}

bool
is_told_of(const struct disk_trace *t, size_t lost, size_t upto,
           const struct hole *holes, unsigned count)
{
    const struct disk_event *l = &t->events[lost];
    uint64_t end;

    if (!disk_trace_is_log(t, l) || l->off < LOG_HEADERS)
        return true;
    end = u64_at(t, l, 16) + l->len;
    for (size_t i = lost + 1; i < upto; i++) {
        const struct disk_event *e = &t->events[i];

        if (!disk_trace_is_write(e) || !disk_trace_is_log(t, e) ||
            is_in_hole(t, e, holes, count))
            continue;
        if (u64_at(t, e, e->off < LOG_HEADERS ? 72 : 24) >= end)
            return true;
    }
    return false;
}

bool
has_one_clock(const struct round *r, const struct expected *x)
{
    for (uint32_t n = x->acked; n < x->issued; n++)
        if (script_moves_clock(&r->script, n))
            return false;
    return true;
}

enum outcome
drop_run(struct round *r, uint64_t point, uint64_t seed)
{
    size_t event;
    const struct disk_trace *t = trace_of(r, point, &event);
    struct image_opts o = {.upto = t->count, .without = event, .seed = seed};
    struct expected x = expected_after(t, t->count - 1, false);

    if (!disk_trace_is_write(&t->events[event]))
        return OUTCOME_NOTHING;
    x.may_be_damaged = true;
    if (!is_told_of(t, event, t->count, NULL, 0))
        x.acked = t->events[event].acked;
    if (!has_one_clock(r, &x))
        return OUTCOME_NOTHING;
    image_build(t, &o, &r->image);
    return verify_image(r, &x, seed);
}

/* Whether a later sync covers what this one should have. */
static bool
is_made_good(const struct disk_trace *t, size_t lie, size_t upto)
{
    enum fault_op end = t->events[lie].op == FAULT_OP_SYNC
                            ? FAULT_OP_SYNCED
                            : FAULT_OP_DIR_SYNCED;

    for (size_t i = lie + 1; i < upto; i++)
        if (t->events[i].op == end && t->events[i].begun > lie &&
            t->events[i].file == t->events[lie].file)
            return true;
    return false;
}

/* The power goes some events later. */
enum outcome
lie_run(struct round *r, uint64_t point, uint64_t seed)
{
    size_t event;
    const struct disk_trace *t = trace_of(r, point, &event);
    const struct disk_event *e = &t->events[event];
    struct image_opts o = {.without = event, .cut = CUT_SECTORS, .seed = seed};
    struct expected x;
    struct rng rng;

    if (!disk_trace_is_sync(e))
        return OUTCOME_NOTHING;
    rng_seed(&rng, ~seed);
    o.upto = event + 1 + rng_below(&rng, nq_min(t->count - event, (size_t)60));
    x = expected_after(t, o.upto - 1, true);
    x.may_be_damaged = true;
    if (!is_made_good(t, event, o.upto) &&
        (e->op == FAULT_OP_DIR_SYNC || disk_trace_is_log(t, e)))
        x.acked = e->durable; /* the end of the log, as if it never was */
    if (!has_one_clock(r, &x))
        return OUTCOME_NOTHING;
    image_build(t, &o, &r->image);
    return verify_image(r, &x, seed);
}

#endif
