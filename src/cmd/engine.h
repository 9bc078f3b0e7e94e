/* cmd/engine.h - all that commands work on: the databases, the sessions,
 * limits set from outside, counters, and the way up to the server.
 *
 * Loop thread only.  The server makes one, fills the limits and the host, and
 * hands it to net. */
#ifndef NQ_CMD_ENGINE_H
#define NQ_CMD_ENGINE_H

#include "base/arena.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/rc.h"
#include "base/rng.h"
#include "base/slice.h"
#include "cmd/session.h"
#include "db/db.h"
#include "os/ticks.h"

struct store;
struct req;
struct buf;
struct changes;
struct feeds;
struct pubsub;
struct slowlog;
struct latency;
struct watches;
struct scan_cursors;
struct parking;
struct errorstats;
struct wait_keys;
struct jobs;
struct cursors;
struct grover;
struct matching_stats;

/* The version whose behaviour clients may expect. */
#define ENGINE_REDIS_VERSION "7.2.4"

/* What the server does for commands.  Every function runs on the loop. */
struct engine_host {
    /* INFO: the sections asked for ("default", "all", "everything" or names),
     * as text into `out`. */
    void (*info)(struct engine *e, const struct slice *sections, unsigned n,
                 struct buf *out);
    /* CONFIG: each pair whose name matches one of the patterns is given to
     * pair(arg, name, value) once. */
    void (*config_get)(const struct slice *patterns, unsigned n,
                       void (*pair)(void *arg, const char *name,
                                    const char *value),
                       void *arg);
    /* All or nothing; on failure a sentence in err that follows Redis:
     * "Unknown option or number of arguments for CONFIG SET - 'x'",
     * "CONFIG SET failed (possibly related to argument 'x') - why". */
    nq_rc (*config_set)(const struct slice *names, const struct slice *values,
                        unsigned n, char *err, size_t err_size);
    nq_rc (*config_rewrite)(char *err, size_t err_size);
    void (*config_resetstat)(void);
    /* Starts an orderly end; `save`: with a checkpoint. */
    void (*shutdown)(bool save, bool now);
    bool (*shutdown_abort)(void);
    /* The master key from its source, 32 bytes; why not, in up to 512.  On a
     * worker. */
    nq_rc (*fetch_master_key)(void *arg, uint8_t *key, char *why);
};

/* What may wait for one subscriber outside of its output; see cmd/pressure. */
struct queue_limits {
    bool is_on;
    uint32_t messages; /* 1 at least */
    uint64_t bytes;
    uint32_t broadcast;  /* a message so many behind the newest is too old */
    uint8_t drop_policy; /* of channels: enum pressure_policy */
};

/* What is kept of channels; see cmd/history. */
struct history_limits {
    uint32_t messages; /* of a channel; 0: none, there is no history */
    uint64_t bytes;    /* of a channel */
    uint64_t memory;   /* of all channels */
    uint64_t age_ms;   /* 0: no limit */
};

/* What holds for push clients; see cmd/push.  Times are 0 for never. */
struct push_limits {
    uint32_t most; /* clients; 0: no limit */
    uint32_t rate; /* commands of one in a second; 0: no limit */
    bool has_heartbeat, nodelay;
    uint64_t interval_ms, timeout_ms, idle_ms;
    uint32_t send_buffer, recv_buffer; /* 0: the kernel's */
};

/* Cursors and streams, see cmd/cursors. */
struct cursor_limits {
    uint32_t most, per_client;
    uint32_t idle_s; /* then they are closed; 0: never */
};

/* Limits and settings that commands obey; written by the server's config. */
struct engine_limits {
    char *requirepass; /* owned; NULL: none */
    uint32_t maxclients;
    struct queue_limits queue;
    struct push_limits push;
    struct cursor_limits cursors;
    struct history_limits history;
    uint64_t maxmemory; /* reported; the pool is the bound */
    uint64_t proto_max_bulk;
    uint64_t query_buffer_limit;
    struct {
        uint64_t hard, soft;
        uint32_t soft_s;
    } output[CLASSES];
    uint32_t timeout_s;        /* idle normal clients; 0: never */
    uint32_t max_transactions; /* open MULTI/WATCH states; 0: no limit */
    uint32_t transaction_timeout_s;
    uint32_t notify;    /* bit per class letter, see cmd/notify */
    int64_t slowlog_us; /* -1: off */
    uint32_t slowlog_max;
    uint32_t latency_ms; /* 0: off */
    bool protected_mode, bound_to_all, enable_debug;
};

/* Counters: one row each in stats.def, shown by INFO. */
struct engine_stats {
#define STAT(name, section, doc) uint64_t name;
#include "cmd/stats.def"
#undef STAT
};

#define ENGINE_MAGIC 0xe6914e01

struct engine {
    uint32_t magic;
    struct db *db;
    struct store *store;
    struct engine_host host;
    struct engine_limits limits;
    struct engine_stats stats;
    struct list sessions;
    uint32_t session_count;
    uint64_t next_session_id;
    uint32_t pressured[PRESSURE_STATES]; /* see cmd/pressure */
    struct list pushes;                  /* see cmd/push */
    uint32_t push_clients;
    bool is_loading, is_shutting_down;
    uint64_t loading_start_s, loading_done, loading_total;
    uint64_t start_wall_ms;
    uint64_t pause_until_ms; /* CLIENT PAUSE; clock_mono_ms(), 0: not paused */
    bool pause_writes_only;
    uint32_t transactions; /* sessions with a MULTI or WATCH state */
    struct arena arena;    /* of the batch */
    bool is_dispatching;
    uint64_t now_ms; /* wall clock of the batch */
    uint64_t clock;  /* when the last command of the batch ended, in ticks */
    struct ticks_rate ticks;
    lsn settled; /* of the log, when the batch began */
    struct rng rng;
    struct session *running; /* whose command runs now; NULL: none */
    /* NQ.EXPLAIN ANALYZE: matchings that are closed add what they did. */
    struct matching_stats *profile;
    struct changes *changes; /* what happened to covered keys */
    struct feeds *feeds;     /* who follows which queries */
    struct pubsub *pubsub;
    struct history *history;
    /* Ends all subscriptions of a session (close, RESET); set by pubsub. */
    void (*drop_subs)(struct session *s);
    struct watches *watches;
    struct scan_cursors *scans; /* cmd/scan_cursor; made at first use */
    struct parking *parking;    /* sessions whose command waits */
    struct wait_keys *waits;    /* the same, for keys */
    uint32_t keys_ready;        /* of those, changed: wait_serve() is due */
    struct errorstats *errors;
    struct slowlog *slowlog;
    struct latency *latency;
    struct jobs *jobs;            /* maintenance that runs long */
    struct matchings *matchings;  /* queries that read ranges */
    struct cursors *cursors;      /* and those that clients hold open */
    struct grover *grover;        /* rules and counts of quantum searches */
    uint32_t *idle;               /* when keys were used last, see cmd/idle */
    struct result_cache *results; /* of such queries */
    char run_id[41];
    const char *version; /* of nqdb */
};

struct engine *engine_new(void);
void engine_free(struct engine *e);
/* The databases are there (still loading, perhaps). */
void engine_attach(struct engine *e, struct db *db, struct store *store);
/* Before they are closed: nothing of the engine looks at them any more. */
void engine_detach(struct engine *e);
/* Once per turn, after the batches: slices of commands that yielded, paused
 * clients, expiry and freeing in the background.  True: more at once. */
bool engine_turn(struct engine *e);
/* Ten times a second: output limits over time, idle clients, MULTI timeouts. */
void engine_cron(struct engine *e);
/* When engine_turn() has something to do next: ms from now, 0: at once, -1:
 * nothing.  For loop_opts.next_due_ms. */
int engine_next_due_ms(struct engine *e);
/* db_opts.on_touch and on_event; `engine` is the struct engine. */
void engine_on_touch(void *engine, uint32_t dbi, struct slice key);
void engine_on_event(void *engine, uint32_t dbi, enum db_event_class class,
                     const char *event, struct slice key);
/* db_opts.on_change. */
void engine_on_change(void *engine, lsn at, uint32_t dbi, struct slice key,
                      struct slice args);
/* db_opts.on_release. */
void engine_on_release(void *engine);
/* CONFIG RESETSTAT: all counters to zero. */
void engine_reset_stats(struct engine *e);
/* CLIENT PAUSE and UNPAUSE; a longer pause under way is kept, as in Redis. */
void engine_pause(struct engine *e, uint64_t for_ms, bool writes_only);
void engine_unpause(struct engine *e);
/* Ends a block begun by req_block. */
void session_unblock(struct session *s);

#endif
