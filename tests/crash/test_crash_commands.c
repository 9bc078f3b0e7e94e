/* Commands on all types, through the engine, and death, a power cut or one
 * failure at the n-th write or sync, for every n: after the next start the
 * databases are what they were after some command that is not older than the
 * last acknowledged one.
 *
 * A script is made of units: commands that change nothing, then a command, or
 * a block with MULTI and EXEC around it, that does; it happens as a whole or
 * not at all.  A first run without faults takes a digest of everything after
 * each unit.  A unit is acknowledged when its replies have left.  A life ends
 * when the disk makes the engine refuse a command.  Time stands still, so times
 * to live and idle times compare. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../lib/engine_env.h"
#include "../lib/type_grammar.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "cmd/errorstats.h"
#include "db/db_check.h"
#include "os/clock.h"
#include "os/fault.h"
#include "os/pool.h"
#include "os/thread.h"
#include "store/store.h"

#ifdef NQ_FAULTS

#define UNITS 150u
#define BLOCK_MAX 6 /* commands in a MULTI block */
#define FAT_PAIRS 14
#define KEYS 2 /* by each letter: few, so that commands meet something */
#define DATABASES 2u
#define BIG_POOL (64u << 20)
#define SMALL_POOL (32u * 4096) /* less than there is in the end */
#define NOW UINT64_C(1700000000000)
#define BUDGET_US 2000000u /* for each kind of operation */
#define NEVER UINT64_MAX

/* What a run does, and what the databases are after each unit of it. */
struct script {
    uint64_t seed;
    struct buf units[UNITS]; /* lines, each terminated */
    uint64_t sums[UNITS + 1];
};

/* What happens to a life, and where. */
struct end {
    enum fault_point point;
    enum fault_kind kind;
    uint64_t skip; /* operations before; NEVER: nothing happens */
    bool power_cut;
    uint64_t pool_bytes;
};

/* --- the script ---------------------------------------------------------- */

static bool
begins_with_one_of(const char *line, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strncmp(line, *words, strlen(*words)) == 0)
            return true;
    return false;
}

static void
put_grammar_line(struct type_grammar *g, struct buf *out, bool in_block)
{
    static const char *const states[] = {"MULTI", "EXEC", "DISCARD", NULL};
    static const char *const waits[] = {"B", "XREAD BLOCK", NULL};
    size_t begin = out->len;
    const char *line;

    do {
        out->len = begin;
        type_command(g, out);
        line = (const char *)out->p + begin;
    } while (begins_with_one_of(line, states) ||
             (!in_block && begins_with_one_of(line, waits)));
}

/* Enough at once that collections outgrow their record, strings their page;
 * half of the members are such as the grammar asks for. */
static void
put_fat_line(struct type_grammar *g, struct buf *out)
{
    static const struct {
        const char *head;
        bool has_id, has_numbers;
    } kinds[] = {
        {"RPUSH l", false, false}, {"LPUSH l", false, false},
        {"SADD s", false, false},  {"ZADD z", false, true},
        {"HSET h", false, true},   {"XADD q", true, true},
    };
    size_t kind = rng_below(&g->rng, nq_countof(kinds) + 1);
    unsigned key = (unsigned)rng_below(&g->rng, KEYS);
    unsigned number = (unsigned)rng_below(&g->rng, 40);

    if (kind == nq_countof(kinds)) {
        buf_printf(out, "SETRANGE p:%u %u %0900u", key, number * 500, number);
        buf_put_u8(out, 0);
        return;
    }
    buf_printf(out, "%s:%u", kinds[kind].head, key);
    if (kinds[kind].has_id)
        buf_printf(out, " %llu-0", (unsigned long long)g->next_id++);
    for (unsigned i = 0; i < FAT_PAIRS; i++, number++) {
        if (kinds[kind].has_numbers)
            buf_printf(out, " %u", number);
        if (i % 2 == 0)
            buf_printf(out, " %c", 'a' + (int)i / 2);
        else
            buf_printf(out, " %0200u", number);
    }
    buf_put_u8(out, 0);
}

static void
put_line(struct type_grammar *g, struct buf *out, bool in_block)
{
    if (rng_below(&g->rng, 5) == 0)
        put_fat_line(g, out);
    else
        put_grammar_line(g, out, in_block);
}

static void
put_line_or_block(struct type_grammar *g, struct buf *out)
{
    uint64_t lines;

    if (rng_below(&g->rng, 6) != 0) {
        put_line(g, out, false);
        return;
    }
    buf_put(out, "MULTI", sizeof "MULTI");
    for (lines = 2 + rng_below(&g->rng, BLOCK_MAX - 1); lines > 0; lines--)
        put_line(g, out, true);
    buf_put(out, "EXEC", sizeof "EXEC");
}

/* The lines from `begin` on, to where their replies are put, not to where they
 * leave. */
static void
run_lines(struct fake_client *c, const struct buf *lines, size_t begin)
{
    const char *p = (const char *)lines->p + begin;
    const char *end = (const char *)lines->p + lines->len;

    for (; p < end; p += strlen(p) + 1)
        fake_send(c, p);
    fake_finish(c);
}

/* --- what is there ------------------------------------------------------- */

static uint64_t
mix_reply(uint64_t sum, struct fake_client *c, const char *format,
          const char *key)
{
    char line[64];

    snprintf(line, sizeof line, format, key);
    fake_send(c, line);
    fake_finish(c);
    return hash_u64(sum ^ hash_bytes(fake_read_raw(c)));
}

/* Who has read what, and who has what pending since when. */
static uint64_t
mix_groups(uint64_t sum, struct fake_client *c, const char *key)
{
    static const char *const reads[] = {
        "XINFO STREAM %s",         "XINFO GROUPS %s",
        "XPENDING %s g1 - + 1000", "XPENDING %s g2 - + 1000",
        "XPENDING %s g3 - + 1000", "XINFO CONSUMERS %s g1",
        "XINFO CONSUMERS %s g2",   "XINFO CONSUMERS %s g3",
    };

    for (size_t i = 0; i < nq_countof(reads); i++)
        sum = mix_reply(sum, c, reads[i], key);
    return sum;
}

static uint64_t
mix_key(uint64_t sum, struct fake_client *c, const char *key)
{
    char line[32], type[16];
    const char *read;

    snprintf(line, sizeof line, "TYPE %s", key);
    snprintf(type, sizeof type, "%s", fake_ask(c, line));
    type[strcspn(type, "|")] = '\0';
    if ((read = type_whole_read(type)) == NULL)
        return sum;
    sum = hash_u64(sum ^ hash_bytes(slice_str(key)));
    sum = mix_reply(sum, c, read, key);
    sum = mix_reply(sum, c, "PEXPIRETIME %s", key);
    return strcmp(type, "+stream") == 0 ? mix_groups(sum, c, key) : sum;
}

static uint64_t
sum_of(struct engine_env *env)
{
    struct fake_client c;
    uint64_t sum = 0;

    fake_open(env, &c);
    for (unsigned d = 0; d < DATABASES; d++) {
        char key[16];

        snprintf(key, sizeof key, "%u", d);
        sum = mix_reply(sum, &c, "SELECT %s", key);
        sum = mix_reply(sum, &c, "DBSIZE", key);
        for (const char *l = TYPE_LETTERS; *l != '\0'; l++)
            for (unsigned k = 0; k < KEYS; k++) {
                snprintf(key, sizeof key, "%c:%u", *l, k);
                sum = mix_key(sum, &c, key);
            }
    }
    fake_close(&c);
    return sum;
}

/* Adds lines until one changes something, runs them; returns the digest. */
static uint64_t
write_unit(struct type_grammar *g, struct fake_client *c, struct buf *unit,
           uint64_t before)
{
    uint64_t sum;

    do {
        size_t begin = unit->len;

        put_line_or_block(g, unit);
        run_lines(c, unit, begin);
        (void)fake_read_raw(c);
        engine_env_turn(c->env);
        sum = sum_of(c->env);
    } while (sum == before);
    return sum;
}

static void
write_script(struct script *s)
{
    struct type_grammar g = {.next_id = 1, .keys = KEYS};
    struct engine_env env;
    struct fake_client c;

    rng_seed(&g.rng, s->seed);
    engine_env_init(&env, BIG_POOL);
    fake_open(&env, &c);
    s->sums[0] = sum_of(&env);
    for (unsigned n = 0; n < UNITS; n++)
        s->sums[n + 1] = write_unit(&g, &c, &s->units[n], s->sums[n]);
    fake_close(&c);
    engine_env_fini(&env);
}

/* --- one life ------------------------------------------------------------ */

static void
add_refusals(void *arg, const char *word, uint64_t count)
{
    if (strcmp(word, "MISCONF") == 0 || strcmp(word, "IOERR") == 0)
        *(uint64_t *)arg += count;
}

/* Whether the disk was a reason to refuse anything so far. */
static bool
has_refused(const struct engine_env *env)
{
    uint64_t count = 0;

    errorstats_each(env->e->errors, add_refusals, &count);
    return count > 0;
}

static bool
tells_refusal(struct slice reply)
{
    return memmem(reply.p, reply.len, "MISCONF", 7) != NULL ||
           memmem(reply.p, reply.len, "IOERR", 5) != NULL;
}

static void
settle(struct engine_env *env)
{
    struct wal *w = store_wal(env->store);
    lsn last = wal_position(w);

    store_turn(env->store);
    while (wal_settled(w) < last && wal_writable(w) == NQ_OK)
        thread_sleep_us(20);
}

/* *issued units ran; the first *acked of them were acknowledged. */
static void
live(const struct script *s, struct engine_env *env, unsigned *issued,
     unsigned *acked)
{
    struct fake_client c;

    fake_open(env, &c);
    for (unsigned n = 0; n < UNITS; n++) {
        if (n % 40 == 20)
            store_checkpoint(env->store, NULL, NULL);
        *issued = n + 1;
        run_lines(&c, &s->units[n], 0);
        engine_env_turn(env);
        if (n % 2 == 0 && pool_pending(env->pool) > 0)
            (void)pool_wait(env->pool);
        if (n % 3 == 2)
            settle(env);
        if (has_refused(env))
            break; /* what follows would build on another state */
        if (tells_refusal(fake_read_settled(&c)))
            break; /* by EXEC, which counts as EXECABORT */
        if (outq_is_empty(&c.s.out))
            *acked = n + 1;
        else if (wal_writable(store_wal(env->store)) != NQ_OK)
            break; /* it never will be */
    }
    fake_close(&c);
}

static void
print_finding(void *arg, const struct db_finding *f)
{
    (void)arg;
    print_error("%s\n", f->text);
}

static void
print_unit(const struct script *s, unsigned n)
{
    const char *p = (const char *)s->units[n].p;
    const char *end = p + s->units[n].len;

    for (; p < end; p += strlen(p) + 1)
        print_error("  %u: %.100s\n", n, p);
}

static void
assert_is_between(const struct script *s, struct engine_env *env,
                  const struct end *end, unsigned acked, unsigned issued)
{
    uint64_t sum = sum_of(env);

    for (unsigned n = acked; n <= issued; n++)
        if (s->sums[n] == sum)
            return;
    print_error("point %d, skip %llu: acknowledged %u, issued %u; found "
                "something else\n",
                end->point, (unsigned long long)end->skip, acked, issued);
    for (unsigned n = 0; n <= UNITS; n++)
        if (s->sums[n] == sum)
            print_error("it is as after %u\n", n);
    for (unsigned n = acked; n < issued; n++)
        print_unit(s, n);
    fail();
}

/* One life with the fault in it, one after; returns how many operations of
 * the kind the first one saw. */
static uint64_t
live_and_die(const struct script *s, const struct end *end)
{
    unsigned issued = 0, acked = 0;
    struct db_check_opts opts = {.report = print_finding};
    struct db_check_stats stats;
    struct engine_env env;
    uint64_t count;

    engine_env_init_closed(&env, end->pool_bytes);
    env.fsync = end->power_cut ? WAL_FSYNC_ALWAYS : WAL_FSYNC_NEVER;
    fault_clear();
    fault_record(end->power_cut);
    if (end->skip != NEVER)
        fault_after(end->point, end->skip, end->kind);
    if (engine_env_try_open(&env) == NQ_OK) {
        live(s, &env, &issued, &acked);
        engine_env_crash(&env);
    }
    count = fault_count(end->point);
    if (end->power_cut)
        fault_power_cut(s->seed + end->skip);
    fault_record(false);
    fault_clear();

    assert_int_equal(engine_env_try_open(&env), NQ_OK);
    assert_is_between(s, &env, end, acked, issued);
    assert_int_equal(db_check(env.db, &opts, &stats), NQ_OK);
    engine_env_fini(&env);
    return count;
}

static uint64_t
greatest_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

/* Visits every point once, and while it does, those visited are spread
 * evenly: the golden section of the count, or the next that shares no divisor
 * with it. */
static uint64_t
stride_of(uint64_t count)
{
    uint64_t step = count * 618 / 1000 + 1;

    while (greatest_divisor(step, count) != 1)
        step++;
    return step;
}

/* Every n, or as many as time allows: each seed takes others then. */
static void
end_everywhere(const struct script *s, struct end end)
{
    uint64_t until = clock_mono_us() + BUDGET_US, lives = 0, count, step;

    end.skip = NEVER;
    count = live_and_die(s, &end);
    step = stride_of(count);
    end.skip = s->seed % count;
    while (lives < count && clock_mono_us() < until) {
        (void)live_and_die(s, &end);
        end.skip = (end.skip + step) % count;
        lives++;
    }
    print_message("%llu of %llu points\n", (unsigned long long)lives,
                  (unsigned long long)count);
}

#define END_EVERYWHERE(state, ...)                                             \
    end_everywhere(*(state), (struct end){__VA_ARGS__})

static void
death_at_each_write_loses_no_unit(void **state)
{
    END_EVERYWHERE(state, FAULT_WRITE, FAULT_DIE, .pool_bytes = BIG_POOL);
    END_EVERYWHERE(state, FAULT_WRITE, FAULT_DIE, .pool_bytes = SMALL_POOL);
}

static void
power_cut_at_each_write_loses_no_unit(void **state)
{
    END_EVERYWHERE(state, FAULT_WRITE, FAULT_DIE, .power_cut = true,
                   .pool_bytes = SMALL_POOL);
}

static void
power_cut_at_each_sync_loses_no_unit(void **state)
{
    END_EVERYWHERE(state, FAULT_SYNC, FAULT_DIE, .power_cut = true,
                   .pool_bytes = BIG_POOL);
}

/* In a big pool: where pages must be evicted or read, one command of a block
 * can fail by itself, and as in Redis the others stay. */
static void
a_write_that_fails_loses_no_unit(void **state)
{
    END_EVERYWHERE(state, FAULT_WRITE, FAULT_EIO, .pool_bytes = BIG_POOL);
    END_EVERYWHERE(state, FAULT_WRITE, FAULT_ENOSPC, .power_cut = true,
                   .pool_bytes = BIG_POOL);
}

static void
a_sync_that_fails_loses_no_unit(void **state)
{
    END_EVERYWHERE(state, FAULT_SYNC, FAULT_EIO, .power_cut = true,
                   .pool_bytes = BIG_POOL);
}

static void
space_that_is_refused_loses_no_unit(void **state)
{
    END_EVERYWHERE(state, FAULT_ALLOCATE, FAULT_ENOSPC, .power_cut = true,
                   .pool_bytes = BIG_POOL);
}

static int
setup(void **state)
{
    const char *text = getenv("SEED");
    struct script *s = nq_calloc(1, sizeof *s);

    s->seed = text != NULL ? strtoull(text, NULL, 0) : rng_seed_from_os();
    print_message("SEED=%llu\n", (unsigned long long)s->seed);
    clock_freeze_wall(NOW);
    log_set_level(LOG_ERROR + 1);
    write_script(s);
    *state = s;
    return 0;
}

static int
teardown(void **state)
{
    struct script *s = *state;

    for (unsigned n = 0; n < UNITS; n++)
        buf_fini(&s->units[n]);
    nq_free(s);
    clock_freeze_wall(0);
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(death_at_each_write_loses_no_unit),
        cmocka_unit_test(power_cut_at_each_write_loses_no_unit),
        cmocka_unit_test(power_cut_at_each_sync_loses_no_unit),
        cmocka_unit_test(a_write_that_fails_loses_no_unit),
        cmocka_unit_test(a_sync_that_fails_loses_no_unit),
        cmocka_unit_test(space_that_is_refused_loses_no_unit),
    };

    return cmocka_run_group_tests_name("crash_commands", tests, setup,
                                       teardown);
}

#else

int
main(void)
{
    printf("SKIP crash_commands: this build has no fault points\n");
    return 0;
}

#endif
