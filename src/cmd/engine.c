/* cmd/engine.c - the engine's life, its turn and its cron. */
#include "cmd/engine.h"

#include <stdio.h>

#include "base/mem.h"
#include "cmd/changes.h"
#include "cmd/command.h"
#include "cmd/cursors.h"
#include "cmd/errorstats.h"
#include "cmd/feeds.h"
#include "cmd/grover.h"
#include "cmd/history.h"
#include "cmd/idle.h"
#include "cmd/jobs.h"
#include "cmd/latency.h"
#include "cmd/matching.h"
#include "cmd/multi.h"
#include "cmd/notify.h"
#include "cmd/park.h"
#include "cmd/pubsub.h"
#include "cmd/result_cache.h"
#include "cmd/push.h"
#include "cmd/scan_cursor.h"
#include "cmd/slowlog.h"
#include "cmd/wait_key.h"
#include "cmd/watch.h"
#include "os/clock.h"

#define BACKGROUND_US 500 /* a turn */
#define DUE_MS_MAX 60000  /* looks again at least that often */

static void
draw_run_id(struct engine *e)
{
    for (int i = 0; i < 40; i += 8)
        snprintf(e->run_id + i, 9, "%08x",
                 (unsigned)(rng_next(&e->rng) & UINT32_MAX));
}

struct engine *
engine_new(void)
{
    struct engine *e = nq_calloc(1, sizeof *e);

    e->magic = ENGINE_MAGIC;
    list_init(&e->sessions);
    list_init(&e->pushes);
    e->next_session_id = 1;
    e->start_wall_ms = clock_wall_ms();
    e->version = "0.1.0";
    e->limits.queue = (struct queue_limits){true, 1000, 4 << 20, 10000, 0};
    e->limits.push = (struct push_limits){.most = 10000, .nodelay = true};
    e->limits.cursors = (struct cursor_limits){1000, 100, 300};
    e->limits.slowlog_us = 10000;
    e->limits.slowlog_max = 128;
    e->limits.proto_max_bulk = 512ull << 20;
    e->limits.query_buffer_limit = 1ull << 30;
    e->ticks = ticks_calibrate();
    rng_seed(&e->rng, rng_seed_from_os());
    draw_run_id(e);
    e->parking = parking_new(e);
    e->idle = nq_calloc(IDLE_PLACES, sizeof *e->idle);
    e->waits = wait_keys_new();
    pubsub_init(e);
    e->history = history_new();
    feeds_init(e);
    e->watches = watches_new();
    e->slowlog = slowlog_new();
    e->latency = latency_new();
    e->errors = errorstats_new();
    e->jobs = jobs_new();
    e->grover = grover_new();
    e->changes = changes_new();
    e->matchings = matchings_new(e);
    e->cursors = cursors_new(e);
    e->results = result_cache_new();
    return e;
}

void
engine_free(struct engine *e)
{
    if (e == NULL)
        return;
    nq_assert(e->magic == ENGINE_MAGIC && list_empty(&e->sessions));
    parking_free(e->parking);
    nq_free(e->idle);
    wait_keys_free(e->waits);
    pubsub_fini(e);
    history_free(e->history);
    feeds_fini(e);
    watches_free(e->watches);
    scan_cursors_free(e->scans);
    slowlog_free(e->slowlog);
    latency_free(e->latency);
    errorstats_free(e->errors);
    jobs_free(e->jobs);
    grover_free(e->grover);
    changes_free(e->changes);
    cursors_free(e->cursors);
    matchings_free(e->matchings);
    result_cache_free(e->results);
    arena_fini(&e->arena);
    nq_free(e->limits.requirepass);
    e->magic = 0;
    nq_free(e);
}

void
engine_attach(struct engine *e, struct db *db, struct store *store)
{
    e->db = db;
    e->store = store;
    changes_attach(e->changes, db, store);
    feeds_attach(e);
}

void
engine_detach(struct engine *e)
{
    grover_cancel_all(e->grover);
    if (e->db != NULL)
        feeds_detach(e);
    jobs_stop(e->jobs);
    if (e->store != NULL) {
        park_stop(e);
        cursors_stop(e);
        matchings_stop(e->matchings);
        result_cache_clear(e->results);
    }
    changes_detach(e->changes);
    e->db = NULL;
    e->store = NULL;
}

void
engine_on_touch(void *engine, uint32_t dbi, struct slice key)
{
    struct engine *e;

    NQ_CAST(e, engine, ENGINE_MAGIC);
    watches_touch(e->watches, dbi, key);
    result_cache_touch(e->results, dbi, key);
    wait_on_touch(e, dbi, key);
}

void
engine_on_event(void *engine, uint32_t dbi, enum db_event_class class,
                const char *event, struct slice key)
{
    struct engine *e;

    NQ_CAST(e, engine, ENGINE_MAGIC);
    wait_on_event(e, dbi, class, event, key);
    notify_on_event(e, dbi, class, event, key);
}

void
engine_on_change(void *engine, lsn at, uint32_t dbi, struct slice key,
                 struct slice args)
{
    struct engine *e;

    NQ_CAST(e, engine, ENGINE_MAGIC);
    changes_on_change(e->changes, at, dbi, key, args);
}

void
engine_on_release(void *engine)
{
    struct engine *e;

    NQ_CAST(e, engine, ENGINE_MAGIC);
    park_released(e);
}

/* --- pauses -------------------------------------------------------------- */

void
engine_pause(struct engine *e, uint64_t for_ms, bool writes_only)
{
    uint64_t until_ms = clock_mono_ms() + for_ms;
    bool is_paused = e->pause_until_ms != 0;

    e->pause_writes_only = writes_only && (!is_paused || e->pause_writes_only);
    e->pause_until_ms = nq_max(e->pause_until_ms, until_ms);
}

void
engine_unpause(struct engine *e)
{
    e->pause_until_ms = 0;
    park_end_pause(e);
}

/* --- the turn ------------------------------------------------------------ */

bool
engine_turn(struct engine *e)
{
    bool more, has_matchings = false;

    if (e->pause_until_ms != 0 && clock_mono_ms() >= e->pause_until_ms)
        engine_unpause(e);
    if (e->db != NULL && !e->is_loading)
        has_matchings = matchings_turn(e->matchings);
    has_matchings |= cursors_turn(e);
    more = park_turn(e) || has_matchings;
    if (e->db != NULL && !e->is_loading && e->pause_until_ms == 0) {
        db_set_now(e->db, clock_wall_ms());
        more |= db_background(e->db, BACKGROUND_US);
    }
    if (e->db != NULL && !e->is_loading)
        jobs_turn(e->jobs);
    if (e->keys_ready > 0)
        wait_serve(e);
    changes_turn(e->changes);
    more |= feeds_turn(e);
    return wait_turn(e) || more;
}

static uint64_t
earlier(uint64_t a, uint64_t b)
{
    if (a == 0 || b == 0)
        return a + b;
    return nq_min(a, b);
}

/* From `now` to `due`: 0: it is due; -1: there is none. */
static int
time_left(uint64_t due, uint64_t now)
{
    if (due == 0)
        return -1;
    return due <= now ? 0 : (int)nq_min(due - now, (uint64_t)DUE_MS_MAX);
}

/* Of two waits, -1 being none. */
static int
sooner(int a, int b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

int
engine_next_due_ms(struct engine *e)
{
    uint64_t due =
        earlier(earlier(park_next_due(e), wait_next_due(e)), e->pause_until_ms);
    int left = time_left(due, clock_mono_ms()), keys = -1;

    if (cursors_are_due(e) || matchings_are_due(e->matchings))
        return 0;
    if (e->db != NULL && !e->is_loading && e->pause_until_ms == 0)
        keys = time_left(db_next_due(e->db), clock_wall_ms());
    left = sooner(left, keys);
    if (feeds_has_more(e))
        left = 0;
    return e->is_loading ? left : sooner(left, jobs_next_due_ms(e->jobs));
}

/* --- cron ---------------------------------------------------------------- */

/* Over the soft limit for longer than it allows. */
static void
check_soft_limit(struct engine *e, struct session *s)
{
    uint64_t soft = e->limits.output[session_class(s)].soft;
    uint64_t grace_ms = e->limits.output[session_class(s)].soft_s * 1000ull;

    if (soft == 0 || s->out.bytes <= soft) {
        s->out_soft_since_ms = 0;
        return;
    }
    if (s->out_soft_since_ms == 0)
        s->out_soft_since_ms = e->now_ms;
    if (e->now_ms - s->out_soft_since_ms <= grace_ms)
        return;
    e->stats.output_limit_closes++;
    session_end(s, false);
}

static bool
is_idle(const struct engine *e, const struct session *s)
{
    return e->limits.timeout_s > 0 && s->parked == NULL && s->wait == NULL &&
           s->subs == NULL && !push_is_client(s) &&
           e->now_ms - s->active_ms > e->limits.timeout_s * 1000ull;
}

void
engine_cron(struct engine *e)
{
    e->now_ms = clock_wall_ms();
    changes_cron(e->changes, e->now_ms);
    list_each(it, &e->sessions)
    {
        struct session *s = nq_container(it, struct session, link);

        if (s->flags & (SESSION_CLOSE_ASAP | SESSION_INTERNAL))
            continue;
        check_soft_limit(e, s);
        session_check_output(s);
        multi_expire(s, e->now_ms);
        if (is_idle(e, s))
            session_end(s, false);
    }
    push_cron(e);
    cursors_cron(e);
    history_trim(e);
    slowlog_trim(e->slowlog, e->limits.slowlog_max);
}

static void
clear_command(const struct command *cmd)
{
    struct histogram *latency = cmd->stats->latency;

    *cmd->stats = (struct command_stats){.latency = latency};
    if (latency != NULL)
        histogram_clear(latency);
    for (const struct command *sub = cmd->subs;
         sub != NULL && sub->name != NULL; sub++)
        clear_command(sub);
}

void
engine_reset_stats(struct engine *e)
{
    e->stats = (struct engine_stats){0};
    e->grover->stats = (struct grover_stats){0};
    errorstats_clear(e->errors);
    for (unsigned i = 0; i < command_count(); i++)
        clear_command(command_at(i));
}
