/* server/server_int.h - the one running server, for the files of this folder
 * that wire it. */
#ifndef NQ_SERVER_SERVER_INT_H
#define NQ_SERVER_SERVER_INT_H

#include "base/sm.h"
#include "cmd/engine.h"
#include "codec/pack.h"
#include "server/config.h"

struct db;
struct loop;
struct loop_stats;
struct pool;
struct store;

enum life {
    LIFE_STARTING,
    LIFE_LOADING,
    LIFE_SERVING,
    LIFE_ENDING,
    LIFE_ENDED
};

#define SAVE_POINTS 16
#define SAMPLES 16

/* A counter seen ten times a second: its rate over the last samples. */
struct rate {
    uint64_t last;
    uint64_t samples[SAMPLES]; /* per second */
    unsigned next;
};

#define POOL_WINDOW 60

/* Counters of the pool, seen once a second for a minute. */
struct pool_window {
    uint64_t hits[POOL_WINDOW], misses[POOL_WINDOW];
    unsigned count, next;
    uint64_t seen_us; /* monotonic, the last time */
};

struct server {
    struct config *config;
    struct engine *engine;
    struct loop *loop;
    struct pool *pool;
    struct store *store;
    struct db *db;
    struct sm life;
    int exit_code;
    uint16_t port; /* bound; 0: none */
    bool cut_log;
    bool has_more; /* engine_turn() wants another turn at once */

    bool save_at_end; /* with a checkpoint */
    uint64_t opened_us, replay_us, replayed_bytes;

    uint64_t ckpt_tried_us;   /* monotonic, when the last one was asked */
    uint64_t ckpt_done_us;    /* when the last good one ended, or start */
    uint64_t ckpt_failed;     /* store's count, as seen last */
    uint64_t ckpt_count;      /* the same for good ones */
    uint64_t records_at_ckpt; /* wal_stats.records that the last one has */
    uint64_t records_at_cut;  /* the same of the one under way */
    uint64_t log_bytes;       /* on disk, as cron saw it */
    bool ckpt_works;          /* the last one did */
    struct {
        uint32_t seconds, changes;
    } saves[SAVE_POINTS];
    unsigned nsaves;

    struct scrub_state {
        bool is_loaded, is_running;
        uint64_t at; /* offset in the data file to go on at; 0: nowhere */
        uint64_t began_s, ended_s; /* the last one, Unix time */
        uint64_t extents, damaged, repaired;
    } scrub;

    struct rate ops, input, output;
    struct pool_window pool_window;
    uint64_t sampled_us;
    uint64_t turn_us_max;  /* longest turn of the loop since CONFIG RESETSTAT */
    uint64_t keys_look_us; /* monotonic; when to look at their age again */
    uint64_t memory_peak;  /* greatest sampler_memory() that cron saw */
};

/* NULL before and after server_run(). */
extern struct server *server;

/* --- server.c ----------------------------------------------------------------
 */

/* Begins the end: no more clients; with `save` a last checkpoint; `now` waits
 * for nothing. */
void server_end(struct server *s, bool save, bool now);
/* A buffer pool of 0 is what half of the memory comes to. */
void server_resolve_pool(struct config *c);
/* The log is replayed: serve. */
void server_serve(struct server *s);
/* Ends with `code` after an error that cannot be lived with. */
void server_fail(struct server *s, int code);

/* --- reactor.c: what the reactor calls
 * ------------------------------------------ */

struct loop_opts server_loop_opts(struct server *s);

/* --- checkpoints.c
 * ------------------------------------------------------------- */

/* Ten times a second: asks for a checkpoint when one is due. */
void checkpoints_cron(struct server *s);
/* Changes since the last checkpoint. */
uint64_t checkpoints_changes(struct server *s);
/* The store is about to cut. */
void checkpoints_cut(struct server *s);
/* The log has all of storage.wal.wal_max_size, and a checkpoint will make it
 * shorter: writers are to wait.  (If it will not, the store refuses.) */
bool checkpoints_log_is_full(const struct server *s);

/* --- maintenance.c
 * ------------------------------------------------------------- */

/* Lets NQ.JOBS show what goes on by itself. */
void maintenance_init(struct server *s);
/* The log is replayed: goes on with what the last end interrupted. */
void maintenance_resume(struct server *s);

/* --- encryption.c
 * ------------------------------------------------------------- */

/* Goes on with a rotation that is due, warns of old keys. */
void encryption_cron(struct server *s);
/* For engine_host. */
nq_rc encryption_fetch_master_key(void *arg, uint8_t *key, char *why);

/* --- scrub.c
 * --------------------------------------------------------------------- */

/* Ten times a second: begins a scrub when one is due. */
void scrub_cron(struct server *s);

/* --- config_hooks.c
 * ------------------------------------------------------------ */

/* Puts settings in force; a config_apply_fn with the server as `arg`. */
/* How blocks are to be packed. */
struct pack_opts hooks_pack_opts(const struct config *c);
nq_rc hooks_apply(void *arg, unsigned hooks, char err[CONFIG_ERR]);
void hooks_fill_host(struct engine_host *host);

/* --- info.c, sampler.c
 * ----------------------------------------------------------- */

void info_write(struct engine *e, const struct slice *sections, unsigned n,
                struct buf *out);
void sampler_cron(struct server *s);
/* Heap and pages in memory. */
uint64_t sampler_memory(const struct server *s);
/* The loop's counters; what they say about turns goes to turn_us_max. */
void sampler_loop(struct server *s, struct loop_stats *out);
void sampler_reset(struct server *s);
uint64_t rate_per_second(const struct rate *r);
/* Of the last minute, or since the start or CONFIG RESETSTAT. */
void sampler_pool_window(const struct server *s, uint64_t *hits,
                         uint64_t *misses);

#endif
