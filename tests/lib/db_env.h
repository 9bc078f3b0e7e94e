/* tests/lib/db_env.h - databases in a temporary directory, driven as the loop
 * would: commands that miss are fetched for and run again, turns end. */
#ifndef NQ_TESTS_DB_ENV_H
#define NQ_TESTS_DB_ENV_H

#include "base/arena.h"
#include "db/db.h"
#include "db/string.h"
#include "store/frames.h"
#include "store/store.h"

struct pool;
struct buf;

struct env {
    char dir[64];
    uint32_t page_size, databases;
    uint64_t pool_bytes;
    enum wal_fsync fsync; /* at the next open, as is ... */
    const uint8_t *master_key;
    struct pool *pool;
    struct store *st;
    struct db *db;
    struct arena arena;
    struct buf *events; /* "class event dbi key\n", if not NULL */
    unsigned touches, releases;
    uint64_t misses;         /* commands that were parked */
    struct frames_wait wait; /* of the command, until it ran */
    bool is_ready;
};

/* An empty directory, opened. */
void env_init(struct env *e, uint32_t page_size, uint64_t pool_bytes);
/* The same, not opened yet. */
void env_init_closed(struct env *e, uint32_t page_size, uint64_t pool_bytes);
/* Closes if open, removes the directory. */
void env_fini(struct env *e);

void env_open(struct env *e);
/* The same where it may fail: then nothing is open. */
nq_rc env_try_open(struct env *e);
void env_close(struct env *e, bool checkpoint);
/* All that was logged so far reaches the files, nothing else. */
void env_crash(struct env *e);
/* The same when the log takes nothing any more. */
void env_crash_dead(struct env *e);
/* The end of a turn, with a slice of background work. */
void env_turn(struct env *e);
/* A checkpoint from cut to end. */
void env_checkpoint(struct env *e);
/* Turns until the background has nothing to do. */
void env_settle(struct env *e);
/* Walks all trees and the store: no page owned twice or by none. */
void env_check(struct env *e);

/* Runs `call`, an expression of type nq_rc, as a command; see env_again. */
#define env_run(e, call)                                                       \
    ({                                                                         \
        nq_rc run_rc;                                                          \
        env_begin(e);                                                          \
        do                                                                     \
            run_rc = (call);                                                   \
        while (env_again(e, run_rc));                                          \
        run_rc;                                                                \
    })
void env_begin(struct env *e);
bool env_again(struct env *e, nq_rc rc);

/* Commands in one call; strings are C strings. */
nq_rc env_set(struct env *e, uint32_t dbi, struct slice key, struct slice val,
              uint64_t expire_ms);
/* The value, in the env's arena; NQ_NOTFOUND. */
nq_rc env_get(struct env *e, uint32_t dbi, struct slice key, struct slice *val);
nq_rc env_write(struct env *e, uint32_t dbi, struct slice key, uint64_t off,
                struct slice bytes);
nq_rc env_set_int(struct env *e, uint32_t dbi, struct slice key, int64_t v);
nq_rc env_expire(struct env *e, uint32_t dbi, struct slice key,
                 uint64_t expire_ms);
/* The record found; zeroed if there is none. */
struct record env_record(struct env *e, uint32_t dbi, struct slice key);
const char *env_encoding(struct env *e, uint32_t dbi, struct slice key);

#endif
