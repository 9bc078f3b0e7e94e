/* tests/faults/life.c - a run of a script, as a server would run it: replies
 * wait for the log, checkpoints and other maintenance go on beside it.
 *
 * A unit is acknowledged when its replies have left.  Where lines are tried
 * again, they are so because a command that is refused for the disk's sake
 * has had no effect; that is part of what is tested. */
#include "faults.h"

#ifdef NQ_FAULTS

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "cmd/errorstats.h"
#include "os/pool.h"
#include "os/thread.h"
#include "store/store.h"

#define MAINTENANCE_EVERY 5
#define TURNS 6 /* of the loop, a unit */
#define TRIES 300
#define WAIT_US 20

/* What goes on beside the units, begun by a command; one after the other.
 * Dictionaries are trained when there is enough to train them with. */
static const char *const maintenance[] = {
    "NQ.CHECKPOINT",          "BGSAVE",
    "NQ.CHECK EXTENTS",       "NQ.COMPACT ASYNC",
    "NQ.ENCRYPT ROTATE DATA", "NQ.ENCRYPT ROTATE MASTER",
    "NQ.COMPACT FULL ASYNC",  "NQ.CHECK REPAIR",
};

/* --- refusals ------------------------------------------------------------ */

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
    return reply.len > 0 && (memmem(reply.p, reply.len, "MISCONF", 7) != NULL ||
                             memmem(reply.p, reply.len, "IOERR", 5) != NULL);
}

static bool
can_write(struct life *l)
{
    return wal_writable(store_wal(l->env->store)) != NQ_EREADONLY;
}

/* --- pace ---------------------------------------------------------------- */

static void
settle(struct engine_env *env)
{
    struct wal *w = store_wal(env->store);
    lsn last;

    store_turn(env->store);
    last = wal_position(w);
    while (wal_settled(w) < last && wal_writable(w) == NQ_OK)
        thread_sleep_us(WAIT_US);
}

static void
turn(struct life *l, unsigned n)
{
    for (unsigned i = 0; i < TURNS; i++)
        engine_env_turn(l->env);
    if (n % 2 == 0 && pool_pending(l->env->pool) > 0)
        (void)pool_wait(l->env->pool);
    if (n % 3 == 2)
        settle(l->env);
}

static void
maintain(struct life *l, unsigned n)
{
    size_t which =
        (n / MAINTENANCE_EVERY + l->script->seed) % nq_countof(maintenance);

    if (n % MAINTENANCE_EVERY == MAINTENANCE_EVERY / 2 &&
        l->maintainer.nkept == 0)
        fake_send(&l->maintainer, maintenance[which]);
}

static void
tell(struct life *l)
{
    if (l->trace != NULL)
        disk_trace_note(l->trace, l->issued, l->acked, l->durable);
    if (l->progress != NULL) {
        l->progress->acked = l->acked;
        l->progress->durable = l->durable;
        l->progress->issued = l->issued;
    }
}

/* --- units --------------------------------------------------------------- */

/* The end of the value that begins at p; NULL: it is not whole, or none. */
static const char *
skip_value(const char *p, const char *end)
{
    const char *line = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
    long n;

    if (line++ == NULL || strchr("+-:$*", *p) == NULL)
        return NULL;
    if (*p != '$' && *p != '*')
        return line;
    n = strtol(p + 1, NULL, 10);
    if (*p == '$')
        return n < 0 ? line : n + 2 <= end - line ? line + n + 2 : NULL;
    while (n-- > 0 && line != NULL)
        line = skip_value(line, end);
    return line;
}

/* One answer to one command, whatever it says; or the connection is closed,
 * and the client comes again. */
static void
check_answer(struct fake_client *c, struct slice reply, const char *line)
{
    const char *p = (const char *)reply.p, *end = p + reply.len;
    struct engine_env *env = c->env;

    if (c->is_closed || (c->s.flags & SESSION_CLOSE_AFTER_REPLY) != 0) {
        fake_close(c);
        fake_open(env, c);
        return;
    }
    if (reply.len == 0 || skip_value(p, end) == end)
        return;
    fprintf(stderr,
            "%.100s\nis answered by %zu bytes, not one value:\n%.200s\n", line,
            reply.len, p);
    fail();
}

/* One line until it is not refused any more; false: it still is. */
static bool
run_until_taken(struct life *l, struct fake_client *c, const char *line)
{
    for (unsigned i = 0; i < TRIES; i++) {
        struct slice reply;
        bool is_refused;

        script_run_line(c, line);
        reply = fake_read_raw(c);
        is_refused = tells_refusal(reply);
        check_answer(c, reply, line);
        if (!is_refused)
            return true;
        if (!can_write(l))
            return false;
        engine_env_turn(l->env);
        if (pool_pending(l->env->pool) > 0)
            (void)pool_wait(l->env->pool);
        thread_sleep_us(WAIT_US);
    }
    return false;
}

/* False: this life is over. */
static bool
run_with_patience(struct life *l, struct fake_client *c, unsigned n)
{
    const char *line = NULL;

    while ((line = script_line(l->script, n, line)) != NULL)
        if (!run_until_taken(l, c, line))
            return false;
    turn(l, n);
    settle(l->env);
    if (wal_settled(store_wal(l->env->store)) <
        wal_position(store_wal(l->env->store)))
        return can_write(l);
    l->acked = n + 1;
    return true;
}

static bool
run_unit(struct life *l, struct fake_client *c, unsigned n)
{
    const char *line = NULL;

    while ((line = script_line(l->script, n, line)) != NULL)
        script_run_line(c, line);
    turn(l, n);
    if (has_refused(l->env) || tells_refusal(fake_read_settled(c)))
        return false; /* what follows would build on another state */
    if (outq_is_empty(&c->s.out))
        l->acked = n + 1;
    else if (wal_writable(store_wal(l->env->store)) != NQ_OK)
        return false; /* it never will be */
    return true;
}

/* Before the clock moves all is said, done and synced: what expires by it is
 * deleted, and must not be so in a state from before. */
static bool
finish_all(struct life *l, struct fake_client *c, unsigned n)
{
    struct wal *w = store_wal(l->env->store);
    lsn last = wal_position(w);

    wal_sync_soon(w);
    settle(l->env);
    while (wal_durable(w) < last && can_write(l))
        thread_sleep_us(WAIT_US);
    (void)fake_read_settled(c);
    if (!outq_is_empty(&c->s.out))
        return false;
    l->acked = n;
    if (wal_durable(w) < last)
        return false;
    l->durable = n;
    return true;
}

static bool
live_through(struct life *l, struct fake_client *c, unsigned n)
{
    struct wal *w = store_wal(l->env->store);
    bool ok;

    if (script_moves_clock(l->script, n) && !finish_all(l, c, n))
        return false;
    if (l->before_unit != NULL)
        l->before_unit(l, n);
    maintain(l, n);
    l->issued = n + 1;
    tell(l);
    ok = l->tries_again ? run_with_patience(l, c, n) : run_unit(l, c, n);
    l->ends[n] = wal_position(w);
    while (l->durable < l->acked && l->ends[l->durable] <= wal_durable(w))
        l->durable++;
    tell(l);
    return ok;
}

void
life_run(struct life *l, unsigned from, unsigned to)
{
    struct fake_client c;

    errorstats_clear(l->env->e->errors);
    l->issued = l->acked = l->durable = from;
    fake_open(l->env, &c);
    fake_open(l->env, &l->maintainer);
    for (unsigned n = from; n < to && !l->was_refused; n++)
        l->was_refused = !live_through(l, &c, n);
    if (!l->was_refused) {
        settle(l->env);
        (void)fake_read_settled(&c);
        if (outq_is_empty(&c.s.out))
            l->acked = l->issued;
        tell(l);
    }
    fake_close(&l->maintainer);
    fake_close(&c);
}

#endif
