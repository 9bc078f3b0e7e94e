/* tests/faults/verify.c - what must be true of a directory after a fault.
 *
 *   V1  it opens; or, where damage may be, it refuses by a code and a line in
 *       the log that names a file, and so the next time
 *   V2  what it holds is one of the states that the script had from the last
 *       acknowledged unit on to the last issued one; where damage may be,
 *       some keys may answer an error instead
 *   V3  a check of everything finds nothing; where keys are damaged it does,
 *       if it reads all extents
 *   V4  opened again, after an end in order or without, it holds the same
 *   V5  the rest of the script can be run on it, and ends as it should
 *
 * Of V4 and V5 the seed says whether they are looked at in this case. */
#include "faults.h"

#ifdef NQ_FAULTS

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "db/db_check.h"
#include "os/clock.h"
#include "os/pool.h"
#include "store/store.h"

#define NO_STATE UINT32_MAX

/* --- the log of the server ----------------------------------------------- */

static bool
log_names_a_file(const struct round *r)
{
    FILE *f = fopen(r->log_path, "r");
    char line[1024];
    bool found = false;

    assert_non_null(f);
    while (!found && fgets(line, sizeof line, f) != NULL)
        found = strstr(line, ".nq") != NULL || strstr(line, "/wal") != NULL;
    (void)fclose(f);
    return found;
}

static void
forget_log(const struct round *r)
{
    assert_int_equal(truncate(r->log_path, 0), 0);
}

/* --- states -------------------------------------------------------------- */

/* The unit after which the databases are what was found, of [from, to], the
 * last of them; NO_STATE. */
static uint32_t
find_state(struct round *r, uint32_t from, uint32_t to, unsigned *damaged)
{
    struct script_state found;

    script_read(&r->env, &found);
    for (uint32_t n = to + 1; n > from; n--) {
        if (script_is_state(&found, &r->script.states[n - 1], damaged))
            return n - 1;
    }
    return NO_STATE;
}

static unsigned
differences(const struct script_state *found, const struct script_state *want)
{
    unsigned n = 0;

    for (size_t i = 0; i < SCRIPT_SLOTS; i++)
        n += found->slots[i] != SCRIPT_DAMAGED &&
             found->slots[i] != want->slots[i];
    return n;
}

static void
print_differences(const struct script_state *found,
                  const struct script_state *want)
{
    char name[32];

    for (size_t i = 0; i < SCRIPT_SLOTS; i++) {
        if (found->slots[i] == want->slots[i])
            continue;
        script_slot_name(i, name);
        if (found->slots[i] == SCRIPT_DAMAGED) {
            fprintf(stderr, "  %s: answers an error\n", name);
            continue;
        }
        fprintf(stderr, "  %s: %s, and %s\n", name,
                found->slots[i] == 0 ? "not there" : "something else",
                want->slots[i] == 0 ? "should not be" : "should be there");
    }
}

/* The state that is nearest, for people. */
static void
fail_with_states(struct round *r, const struct expected *x, const char *when)
{
    uint32_t units = r->script.opts.units, nearest = 0;
    unsigned least = UINT32_MAX;
    struct script_state found;

    clock_freeze_wall(r->script.clocks[x->issued]);
    script_read(&r->env, &found);
    print_differences(&found, &r->script.states[x->issued]);
    for (uint32_t n = 0; n <= units; n++) {
        unsigned count;

        clock_freeze_wall(r->script.clocks[n]);
        script_read(&r->env, &found);
        count = differences(&found, &r->script.states[n]);
        nearest = count <= least ? n : nearest;
        least = nq_min(least, count);
    }
    fprintf(stderr,
            "%s: acknowledged %u, issued %u of %u; it is not one of these, "
            "but as after %u in all but %u keys\n",
            when, x->acked, x->issued, units, nearest, least);
    clock_freeze_wall(r->script.clocks[nearest]);
    script_read(&r->env, &found);
    print_differences(&found, &r->script.states[nearest]);
    for (uint32_t n = nq_min(nearest, x->acked); n < x->issued; n++)
        script_print(&r->script, n);
    fail();
}

static uint32_t
state_of(struct round *r, const struct expected *x, unsigned *damaged,
         const char *when)
{
    uint32_t n = find_state(r, x->acked, x->issued, damaged);

    if (n == NO_STATE)
        fail_with_states(r, x, when);
    return n;
}

/* --- the checks ---------------------------------------------------------- */

static void
on_finding(void *arg, const struct db_finding *f)
{
    struct buf *findings = arg;

    buf_printf(findings, "%s\n", f->text);
}

/* Right behind an open, so that nothing goes on beside it. */
static void
check_all(struct round *r, bool may_be_damaged, bool is_damaged,
          bool read_extents)
{
    struct db_check_stats stats;
    struct buf findings = BUF_INIT;
    struct db_check_opts opts = {
        .read_extents = read_extents, .report = on_finding, .arg = &findings};
    nq_rc rc = db_check(r->env.db, &opts, &stats);

    if ((rc != NQ_OK && !may_be_damaged) || (rc == NQ_OK && is_damaged)) {
        fprintf(stderr, "the check says %d, %s damaged:\n%.*s", (int)rc,
                is_damaged ? "but something is" : "nothing may be",
                (int)findings.len, (const char *)findings.p);
        fail();
    }
    buf_fini(&findings);
}

/* V1 */
static enum outcome
check_refusal(struct round *r, const struct expected *x, nq_rc rc)
{
    if (!x->may_be_damaged)
        fail_msg("it does not open: %s", rc_text(rc));
    if (rc != NQ_ECORRUPT && rc != NQ_EFORMAT && rc != NQ_NOTFOUND &&
        rc != NQ_EMISMATCH && rc != NQ_EKEY)
        fail_msg("it does not open, with %s", rc_text(rc));
    if (!log_names_a_file(r))
        fail_msg("it does not open (%s) and does not say why", rc_text(rc));
    assert_int_equal(settings_open(&r->set, &r->env), rc);
    return OUTCOME_REFUSED;
}

/* V4 */
static void
open_again(struct round *r, uint32_t n, bool in_order)
{
    struct expected x = {n, n, false};

    if (in_order)
        assert_int_equal(engine_env_close(&r->env), NQ_OK);
    else
        engine_env_crash(&r->env);
    assert_int_equal(settings_open(&r->set, &r->env), NQ_OK);
    (void)state_of(r, &x, NULL, "opened again");
}

/* V5 */
static void
run_the_rest(struct round *r, uint32_t n)
{
    struct life l = {.script = &r->script, .set = &r->set, .env = &r->env};
    uint32_t units = r->script.opts.units;
    struct expected x = {units, units, false};

    life_run(&l, n, units);
    assert_int_equal(l.acked, units);
    (void)state_of(r, &x, NULL, "at the end of the script");
}

/* Whatever it answers, it does not fall. */
static void
use_damaged(struct round *r, uint32_t n)
{
    struct life l = {.script = &r->script, .set = &r->set, .env = &r->env};

    l.tries_again = true;
    life_run(&l, n, r->script.opts.units);
}

enum outcome
verify(struct round *r, const struct expected *x, uint64_t seed)
{
    unsigned damaged = 0;
    struct rng rng;
    uint32_t n;
    nq_rc rc;

    rng_seed(&rng, seed);
    forget_log(r);
    clock_freeze_wall(r->script.clocks[x->issued]);
    if ((rc = settings_open(&r->set, &r->env)) != NQ_OK)
        return check_refusal(r, x, rc);
    n = state_of(r, x, x->may_be_damaged ? &damaged : NULL, "opened");
    check_all(r, x->may_be_damaged, damaged > 0,
              damaged > 0 || rng_below(&rng, 4) == 0);
    if (damaged > 0 && !log_names_a_file(r))
        fail_msg("%u keys are damaged, and the log is silent", damaged);
    if (!x->may_be_damaged && rng_below(&rng, 4) == 0)
        open_again(r, n, rng_below(&rng, 2) == 0);
    if (!x->may_be_damaged && rng_below(&rng, 8) == 0) {
        run_the_rest(r, n);
        n = r->script.opts.units;
        open_again(r, n, rng_below(&rng, 2) == 0);
        check_all(r, false, false, true);
    }
    if (x->may_be_damaged && rng_below(&rng, damaged > 0 ? 2 : 16) == 0)
        use_damaged(r, n);
    engine_env_crash(&r->env);
    return damaged > 0 ? OUTCOME_DAMAGED : OUTCOME_RIGHT;
}

enum outcome
verify_image(struct round *r, const struct expected *x, uint64_t seed)
{
    image_write(&r->image, r->env.dir);
    return verify(r, x, seed);
}

#endif
