/* tests/lib/engine_env.h - an engine over a store in a temporary directory,
 * and clients without sockets: what they are sent comes back as text. */
#ifndef NQ_TESTS_ENGINE_ENV_H
#define NQ_TESTS_ENGINE_ENV_H

#include "base/buf.h"
#include "cmd/dispatch.h"
#include "cmd/engine.h"
#include "cmd/session.h"
#include "db/db.h"
#include "store/wal.h"

struct pool;
struct store_opts;

struct engine_env {
    char dir[64]; /* in $TMPDIR, or /tmp */
    struct pool *pool;
    struct store *store;
    struct db *db;
    struct engine *e;
    /* At the next open; 0, NULL: page size 4096, segments of 1 MiB, as the
     * store would have it. */
    uint64_t pool_bytes;
    enum wal_fsync fsync;
    uint32_t page_size;
    uint64_t segment_size;
    void (*tune)(void *arg, struct store_opts *opts);
    void (*on_open)(void *arg, struct engine_env *env); /* at its end */
    void *arg;
    unsigned resumes; /* commands presented again */
};

void engine_env_init(struct engine_env *env, uint64_t pool_bytes);
/* The same, not opened yet. */
void engine_env_init_closed(struct engine_env *env, uint64_t pool_bytes);
/* Closes if open, removes the directory. */
void engine_env_fini(struct engine_env *env);
/* If it fails, nothing is open. */
NQ_MUST_USE nq_rc engine_env_try_open(struct engine_env *env);
/* With a last checkpoint.  No client is open.  If it fails, it is closed all
 * the same. */
NQ_MUST_USE nq_rc engine_env_close(struct engine_env *env);
/* As the end of a process would: writes nothing.  No client is open. */
void engine_env_crash(struct engine_env *env);
/* Engine turn, store turn, completions. */
void engine_env_turn(struct engine_env *env);
/* A checkpoint, and every page out of memory. */
void engine_env_cool(struct engine_env *env);

#define FAKE_ARGS 32
#define FAKE_KEPT 64

/* One request: arguments in memory of its own. */
struct fake_request {
    uint32_t argc;
    struct slice argv[FAKE_ARGS];
    char *bytes;
};

struct fake_client {
    struct session s;
    struct engine_env *env;
    struct fake_request kept[FAKE_KEPT]; /* not yet executed, in order */
    unsigned nkept;
    bool is_closed;
    struct buf text; /* of the last fake_read() */
};

void fake_open(struct engine_env *env, struct fake_client *c);
void fake_close(struct fake_client *c);
/* Sends words separated by blanks; 'a b' in quotes is one word, '' is empty. */
void fake_send(struct fake_client *c, const char *line);
/* The bytes put so far, CR LF shown as "|"; borrowed until the next read. */
const char *fake_read(struct fake_client *c);
/* The bytes as they are. */
struct slice fake_read_raw(struct fake_client *c);
/* The same without those whose effects the log has not settled: these stay. */
struct slice fake_read_settled(struct fake_client *c);
/* Turns until nothing is kept, or the engine closes the connection. */
void fake_finish(struct fake_client *c);
/* Send, finish, read. */
const char *fake_ask(struct fake_client *c, const char *line);
#define fake_expect(c, line, want) assert_string_equal(fake_ask(c, line), want)
/* Several lines, of several clients, in one batch. */
void fake_batch(struct fake_client **clients, const char *const *lines,
                unsigned n);

#endif
