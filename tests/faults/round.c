/* tests/faults/round.c - what the cases of one seed and one choice of settings
 * share: the script, and two recorded lives of it. */
#include "faults.h"

#ifdef NQ_FAULTS

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "os/clock.h"

#define UNITS_MIN 30u
#define UNITS_MORE 50u

void
round_open(struct round *r, uint64_t seed, unsigned settings)
{
    struct script_opts opts;
    struct rng rng;

    memset(r, 0, sizeof *r);
    r->seed = seed;
    settings_choose(&r->set, settings);
    rng_seed(&rng, seed);
    opts.units = UNITS_MIN + (unsigned)rng_below(&rng, UNITS_MORE);
    opts.has_blocks = rng_below(&rng, 4) != 0;
    opts.has_clock = rng_below(&rng, 2) == 0;
    opts.has_filler =
        opts.has_blocks && r->set.has_dictionaries && rng_below(&rng, 2) == 0;
    script_write(&r->script, seed, &opts);
    engine_env_init_closed(&r->env, r->set.pool_bytes);
    settings_apply(&r->set, &r->env);
    snprintf(r->log_path, sizeof r->log_path, "%s.log", r->env.dir);
    assert_int_equal(log_set_file(r->log_path, 0, 1), 0);
    log_set_level(LOG_WARN);
}

bool
round_live(struct round *r, struct disk_trace *t, struct life *l)
{
    l->script = &r->script;
    l->set = &r->set;
    l->env = &r->env;
    l->trace = t;
    image_clear_dir(r->env.dir);
    clock_freeze_wall(r->script.clocks[0]);
    disk_trace_fini(t);
    disk_trace_begin(t, r->env.dir);
    r->set.key = 0;
    if (engine_env_try_open(&r->env) != NQ_OK) {
        disk_trace_end(t);
        return false;
    }
    life_run(l, 0, r->script.opts.units);
    return true;
}

static void
record(struct round *r, struct disk_trace *t, bool in_order)
{
    struct life l = {.issued = 0};

    fault_clear();
    assert_true(round_live(r, t, &l));
    assert_int_equal(l.acked, r->script.opts.units);
    for (unsigned p = 0; p < FAULT_POINTS; p++)
        r->operations[p] = fault_count((enum fault_point)p);
    if (in_order) {
        assert_int_equal(engine_env_close(&r->env), NQ_OK);
        disk_trace_note(t, l.issued, l.acked, l.acked);
    } else {
        engine_env_crash(&r->env);
    }
    disk_trace_end(t);
}

/* Beside the directory, for who repeats a case: threads meet in another order
 * every time. */
static void
keep_trace(struct round *r, struct disk_trace *t, const char *name)
{
    const char *from = getenv("TRACE");
    char path[160];

    snprintf(path, sizeof path, "%s.%s", from != NULL ? from : r->env.dir,
             name);
    if (from != NULL) {
        disk_trace_fini(t);
        assert_true(disk_trace_load(t, path));
    } else
        assert_true(disk_trace_save(t, path));
}

static void
forget_trace(struct round *r, struct disk_trace *t, const char *name)
{
    char path[160];

    snprintf(path, sizeof path, "%s.%s", r->env.dir, name);
    (void)unlink(path);
    disk_trace_fini(t);
}

void
round_record(struct round *r)
{
    if (r->has_traces)
        return;
    record(r, &r->crashed, false);
    record(r, &r->stopped, true);
    keep_trace(r, &r->crashed, "crashed");
    keep_trace(r, &r->stopped, "stopped");
    r->has_traces = true;
}

void
round_close(struct round *r)
{
    image_fini(&r->image);
    image_write(&r->image, r->env.dir); /* nothing, and its folder */
    engine_env_fini(&r->env);
    (void)unlink(r->log_path);
    script_fini(&r->script);
    forget_trace(r, &r->crashed, "crashed");
    forget_trace(r, &r->stopped, "stopped");
    disk_trace_fini(&r->live);
    image_fini(&r->other);
}

#endif
