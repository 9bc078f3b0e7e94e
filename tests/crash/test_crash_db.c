/* Commands of every kind, and death or a power cut at the n-th write or sync,
 * for every n: after the next start the databases are what they were after
 * some command that is not older than the last acknowledged one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../lib/big.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "db/compact.h"
#include "os/clock.h"
#include "os/fault.h"
#include "os/pool.h"
#include "os/thread.h"
#include "store/frames.h"

#ifdef NQ_FAULTS

#define COMMANDS 150u
#define KEYS 40u
#define HASHES 5u
#define DATABASES 3u
#define BIG 300000u
#define NOW UINT64_C(1700000000000)
#define BUDGET_US 4000000u /* for each kind of operation */

static bool compacts; /* all the time, beside the commands */

/* What a run does, and what the databases are after each command of it. */
struct script {
    uint64_t seed;
    uint8_t noise[2 * BIG];
    uint64_t sums[COMMANDS + 1];
};

/* --- commands ------------------------------------------------------------ */

static struct slice
key_of(unsigned i, char dst[16])
{
    return slice_of(dst, (size_t)snprintf(dst, 16, "key:%03u", i));
}

static struct slice
value_of(const struct script *s, struct rng *r)
{
    static const size_t maxs[] = {10, 100, 3000, BIG};
    size_t max = maxs[rng_below(r, 4)];

    return slice_of(s->noise + rng_below(r, BIG), rng_below(r, max) + 1);
}

static nq_rc
many_keys(struct env *e, struct rng *r, uint32_t d, struct slice key)
{
    struct slice hi = slice_lit("key:030");
    uint64_t removed;

    switch (rng_below(r, 4)) {
    case 0:
        return env_run(e, db_flush(e->db, d));
    case 1:
        return env_run(e, db_del_range(e->db, d, key, &hi, &removed));
    default:
        return env_run(e, db_swap(e->db, d, (uint32_t)rng_below(r, DATABASES)));
    }
}

static struct slice
hash_of(unsigned i, char dst[16])
{
    return slice_of(dst, (size_t)snprintf(dst, 16, "hash:%03u", i));
}

/* Hashes, nearly all of them with a tree. */
static nq_rc
hash_command(struct env *e, struct rng *r, uint32_t d, uint32_t to_d)
{
    char name[16], other[16];
    struct slice key = hash_of((unsigned)rng_below(r, HASHES), name);
    struct slice to = hash_of((unsigned)rng_below(r, HASHES), other);
    unsigned from = (unsigned)rng_below(r, 200);

    switch (rng_below(r, 8)) {
    case 0:
        return env_run(e, db_del(e->db, d, key));
    case 1:
        return env_run(e, db_rename(e->db, d, key, to_d, to));
    case 2:
        return slice_eq(key, to) ? NQ_OK
                                 : env_run(e, db_copy(e->db, d, key, to_d, to));
    default:
        return big_set(e, d, key, from, from + 20, 60);
    }
}

/* Command `n`, the same in every run.  NQ_NOTFOUND is as good as NQ_OK. */
static nq_rc
command(const struct script *s, struct env *e, unsigned n)
{
    char name[16], other[16];
    struct rng r;
    struct slice key, to;
    uint32_t d, to_d;

    rng_seed(&r, s->seed + n);
    key = key_of((unsigned)rng_below(&r, KEYS), name);
    to = key_of((unsigned)rng_below(&r, KEYS), other);
    d = (uint32_t)rng_below(&r, DATABASES);
    to_d = (uint32_t)rng_below(&r, DATABASES);
    switch (rng_below(&r, 24)) {
    case 0:
        return env_run(e, db_del(e->db, d, key));
    case 1:
        return env_run(e, db_rename(e->db, d, key, to_d, to));
    case 2:
        return slice_eq(key, to) ? NQ_OK
                                 : env_run(e, db_copy(e->db, d, key, to_d, to));
    case 3:
        return env_expire(e, d, key, NOW + 1 + rng_below(&r, 1000));
    case 4:
        return many_keys(e, &r, d, key);
    case 5:
        return env_set_int(e, d, key, (int64_t)rng_next(&r));
    case 6:
    case 7:
        return env_write(e, d, key, rng_below(&r, 5000), value_of(s, &r));
    case 16:
    case 17:
    case 18:
    case 19:
    case 20:
    case 21:
        return hash_command(e, &r, d, to_d);
    default:
        return env_set(e, d, key, value_of(s, &r), 0);
    }
}

/* --- what is there ------------------------------------------------------- */

static uint64_t
mix(uint64_t sum, struct slice s)
{
    return hash_u64(sum ^ hash_bytes(s));
}

static uint64_t
sum_of(struct env *e)
{
    bool was = frames_set_blocking(store_frames(e->st), true);
    uint64_t sum = 0;

    for (uint32_t d = 0; d < DATABASES; d++) {
        for (unsigned i = 0; i < KEYS; i++) {
            char name[16];
            struct slice key = key_of(i, name), val;
            struct record rec;

            if (env_get(e, d, key, &val) != NQ_OK)
                continue;
            sum = mix(mix(sum + d, key), val);
            rec = env_record(e, d, key);
            sum = hash_u64(sum + rec.expire_ms);
        }
        for (unsigned i = 0; i < HASHES; i++) {
            char name[16];

            sum = hash_u64(sum + d + big_sum(e, d, hash_of(i, name)));
        }
    }
    (void)frames_set_blocking(store_frames(e->st), was);
    return sum;
}

static void
write_script(struct script *s)
{
    struct env e;
    struct rng r;

    rng_seed(&r, s->seed);
    for (size_t i = 0; i < sizeof s->noise; i++)
        s->noise[i] = (uint8_t)rng_next(&r);
    env_init(&e, 4096, 64 << 20);
    s->sums[0] = sum_of(&e);
    for (unsigned n = 0; n < COMMANDS; n++) {
        nq_rc rc = command(s, &e, n);

        assert_true(rc == NQ_OK || rc == NQ_NOTFOUND);
        env_turn(&e);
        s->sums[n + 1] = sum_of(&e);
    }
    env_fini(&e);
}

/* --- one life ------------------------------------------------------------ */

static void
settle(struct env *e, lsn last)
{
    struct wal *w = store_wal(e->st);

    while (wal_settled(w) <= last && wal_writable(w) == NQ_OK)
        thread_sleep_us(20);
}

/* Some slices; one that ended is followed by another. */
static void
compact_some(struct env *e, struct compact **c, unsigned n)
{
    struct compact_opts o = {.full = n % 2 == 0};

    if (!compacts)
        return;
    if (*c == NULL)
        *c = compact_new(e->db, &o);
    for (unsigned i = 0; i < 4; i++) {
        nq_rc rc = compact_step(*c);

        (void)pool_drain(e->pool);
        if (rc == NQ_AGAIN)
            continue;
        compact_free(*c, true);
        *c = NULL;
        return;
    }
}

/* All of it, undisturbed. */
static void
compact_all(struct env *e)
{
    struct compact_opts o = {.full = false};
    struct compact *c = compact_new(e->db, &o);
    nq_rc rc;

    while ((rc = compact_step(c)) == NQ_AGAIN) {
        env_turn(e);
        if (pool_pending(e->pool) > 0)
            (void)pool_wait(e->pool);
    }
    assert_int_equal(rc, NQ_OK);
    compact_free(c, true);
}

/* *issued commands ran; the first *acked of them were acknowledged. */
static void
live(const struct script *s, struct env *e, unsigned *issued, unsigned *acked)
{
    struct wal *w = store_wal(e->st);
    struct compact *c = NULL;

    for (unsigned n = 0; n < COMMANDS; n++) {
        lsn last;
        nq_rc rc;

        if (n % 50 == 30)
            store_checkpoint(e->st, NULL, NULL);
        rc = command(s, e, n);
        if (rc != NQ_OK && rc != NQ_NOTFOUND)
            break;
        *issued = n + 1;
        last = wal_position(w);
        env_turn(e);
        compact_some(e, &c, n);
        if (n % 2 == 0 && pool_pending(e->pool) > 0)
            (void)pool_wait(e->pool);
        if (wal_position(w) == last)
            continue; /* nothing to log: nothing to wait for */
        if (n % 3 == 2)
            settle(e, last);
        if (wal_settled(w) > last)
            *acked = n + 1;
    }
    compact_free(c, false);
}

static void
assert_is_between(const struct script *s, struct env *e, unsigned acked,
                  unsigned issued)
{
    uint64_t sum = sum_of(e);

    for (unsigned n = acked; n <= issued; n++)
        if (s->sums[n] == sum)
            return;
    print_error("acknowledged %u, issued %u; found something else\n", acked,
                issued);
    for (unsigned n = 0; n <= COMMANDS; n++)
        if (s->sums[n] == sum)
            print_error("it is as after %u\n", n);
    fail();
}

/* One life with the fault in it, one after; false: the fault never came. */
static bool
live_and_die(const struct script *s, enum fault_point point, uint64_t skip,
             bool power_cut)
{
    unsigned issued = 0, acked = 0;
    struct env e;
    bool came;

    env_init_closed(&e, 4096, 64 << 20);
    e.fsync = power_cut ? WAL_FSYNC_ALWAYS : WAL_FSYNC_NEVER;
    log_set_level(LOG_ERROR + 1);
    fault_clear();
    fault_record(power_cut);
    fault_after(point, skip, FAULT_DIE);
    if (env_try_open(&e) == NQ_OK) {
        live(s, &e, &issued, &acked);
        env_crash_dead(&e);
    }
    came = fault_count(point) > skip;
    if (power_cut)
        fault_power_cut(s->seed + skip);
    fault_record(false);
    fault_clear();

    env_open(&e);
    assert_is_between(s, &e, acked, issued);
    env_check(&e);
    env_settle(&e);
    env_check(&e);
    if (compacts) {
        compact_all(&e);
        assert_is_between(s, &e, acked, issued);
        env_check(&e);
    }
    env_fini(&e);
    return came;
}

/* Every n, or as many as time allows, evenly spread. */
static void
die_everywhere(const struct script *s, enum fault_point point, bool power_cut)
{
    uint64_t until = clock_mono_us() + BUDGET_US, step = 1, n = 0;

    for (unsigned misses = 0; misses < 2; n += step) {
        misses += !live_and_die(s, point, n, power_cut);
        if (clock_mono_us() > until) {
            step *= 2;
            until += BUDGET_US / 8;
        }
    }
    print_message("%llu points, last step %llu\n", (unsigned long long)n,
                  (unsigned long long)step);
}

static void
death_at_each_write_loses_no_command(void **state)
{
    die_everywhere(*state, FAULT_WRITE, false);
}

static void
power_cut_at_each_write_loses_no_command(void **state)
{
    die_everywhere(*state, FAULT_WRITE, true);
}

static void
power_cut_at_each_sync_loses_no_command(void **state)
{
    die_everywhere(*state, FAULT_SYNC, true);
}

static void
death_or_a_power_cut_while_compacting_loses_no_command(void **state)
{
    compacts = true;
    die_everywhere(*state, FAULT_WRITE, false);
    die_everywhere(*state, FAULT_WRITE, true);
    die_everywhere(*state, FAULT_ALLOCATE, true);
    compacts = false;
}

static int
setup(void **state)
{
    const char *text = getenv("SEED");
    struct script *s = nq_calloc(1, sizeof *s);

    s->seed = text != NULL ? strtoull(text, NULL, 0) : rng_seed_from_os();
    print_message("SEED=%llu\n", (unsigned long long)s->seed);
    clock_freeze_wall(NOW);
    write_script(s);
    *state = s;
    return 0;
}

static int
teardown(void **state)
{
    nq_free(*state);
    clock_freeze_wall(0);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(death_at_each_write_loses_no_command),
        cmocka_unit_test(power_cut_at_each_write_loses_no_command),
        cmocka_unit_test(
            death_or_a_power_cut_while_compacting_loses_no_command),
        cmocka_unit_test(power_cut_at_each_sync_loses_no_command),
    };

    return cmocka_run_group_tests_name("crash_db", tests, setup, teardown);
}

#else

int
main(void)
{
    printf("SKIP crash_db: this build has no fault points\n");
    return 0;
}

#endif
