/* server/reactor.c - what the reactor asks of the server in each turn: the
 * log's positions, the work between commands and replies, time, signals.
 *
 * While loading, each turn replays a slice of the log, so that clients get
 * their LOADING answers in between. */
#include <signal.h>

#include "base/check.h"
#include "base/log.h"
#include "cmd/cmd_index.h"
#include "db/db.h"
#include "db/index.h"
#include "net/loop.h"
#include "os/clock.h"
#include "os/pool.h"
#include "server/server.h"
#include "server/server_int.h"
#include "store/frames.h"
#include "store/store.h"

#define REPLAY_SLICE_US 4000

static lsn
on_settled(void *arg)
{
    struct server *s = arg;

    return wal_settled(store_wal(s->store));
}

static bool
on_is_log_dead(void *arg)
{
    struct server *s = arg;

    return s->store != NULL &&
           wal_writable(store_wal(s->store)) == NQ_EREADONLY;
}

static void
on_wake_at(void *arg, lsn at)
{
    struct server *s = arg;

    wal_wake_at(store_wal(s->store), at);
}

static void
replay(struct server *s)
{
    struct engine *e = s->engine;
    nq_rc rc = db_replay(s->db, REPLAY_SLICE_US);

    wal_replay_progress(store_wal(s->store), &e->loading_done,
                        &e->loading_total);
    s->replayed_bytes = e->loading_done;
    if (rc == NQ_OK) {
        server_serve(s);
        return;
    }
    if (rc == NQ_AGAIN)
        return;
    log_error("the log cannot be replayed: %s%s", rc_text(rc),
              rc == NQ_ECORRUPT ? "; --cut-damaged-log starts without what is "
                                  "behind the damage"
                                : "");
    server_fail(s, EXIT_DATA);
}

static void
on_turn(void *arg)
{
    struct server *s = arg;

    if (nq_unlikely(s->life.state == LIFE_LOADING)) {
        pool_drain(s->pool);
        replay(s);
        if (s->life.state == LIFE_LOADING)
            return;
    }
    s->has_more = engine_turn(s->engine);
    store_turn(s->store);
    if (frames_wants_turn(store_frames(s->store)))
        s->has_more = true;
}

static void
on_wake(void *arg)
{
    struct server *s = arg;

    pool_drain(s->pool);
}

static void
on_cron(void *arg)
{
    struct server *s = arg;

    engine_cron(s->engine);
    sampler_cron(s);
    if (s->life.state == LIFE_SERVING) {
        checkpoints_cron(s);
        encryption_cron(s);
        scrub_cron(s);
        index_jobs_cron(s->engine);
    }
}

static bool
on_is_throttling(void *arg)
{
    struct server *s = arg;

    return s->life.state != LIFE_LOADING &&
           (wal_is_full(store_wal(s->store)) ||
            frames_is_throttling(store_frames(s->store)) ||
            db_index_is_throttling(s->db) || store_is_tight(s->store) ||
            checkpoints_log_is_full(s));
}

static int
on_next_due(void *arg)
{
    struct server *s = arg;
    int commands_ms;
    uint64_t due, now;

    if (s->life.state == LIFE_LOADING || s->has_more)
        return 0;
    commands_ms = engine_next_due_ms(s->engine);
    due = db_next_due(s->db);
    if (due == 0)
        return commands_ms;
    now = clock_wall_ms();
    /* The cron looks again anyway: far ones need no timer of their own. */
    due = due <= now ? 1 : nq_min(due - now, (uint64_t)60000);
    return commands_ms >= 0 ? nq_min(commands_ms, (int)due) : (int)due;
}

static void
on_signal(void *arg, int signum)
{
    struct server *s = arg;
    char err[CONFIG_ERR];

    if (signum == SIGHUP) {
        if (hooks_apply(s, HOOK_LOG, err) != NQ_OK)
            log_error("%s", err);
        log_notice("log file opened again");
        return;
    }
    log_notice("received %s", signum == SIGINT ? "SIGINT" : "SIGTERM");
    server_end(s, true, false);
}

struct loop_opts
server_loop_opts(struct server *s)
{
    return (struct loop_opts){
        .engine = s->engine,
        .settled = on_settled,
        .wake_at = on_wake_at,
        .is_log_dead = on_is_log_dead,
        .on_turn = on_turn,
        .on_wake = on_wake,
        .on_cron = on_cron,
        .is_throttling = on_is_throttling,
        .next_due_ms = on_next_due,
        .on_signal = on_signal,
        .arg = s,
    };
}
