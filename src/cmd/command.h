/* cmd/command.h - the command table and what a handler gets.
 *
 * Rows stand in table.def; COMMAND, dispatch, statistics and help all read
 * that one table. */
#ifndef NQ_CMD_COMMAND_H
#define NQ_CMD_COMMAND_H

#include "base/arena.h"
#include "base/histogram.h"
#include "base/rc.h"
#include "base/rng.h"
#include "base/slice.h"
#include "db/db.h"

struct session;
struct engine;

enum command_flag { /* Redis' names in COMMAND INFO, lower case */
                    CMD_WRITE = 1 << 0,
                    CMD_READONLY = 1 << 1,
                    CMD_DENYOOM = 1 << 2,
                    CMD_ADMIN = 1 << 3,
                    CMD_PUBSUB = 1 << 4,
                    CMD_NOSCRIPT = 1 << 5,
                    CMD_BLOCKING = 1 << 6,
                    CMD_LOADING = 1 << 7, /* allowed while loading */
                    CMD_STALE = 1 << 8,
                    CMD_FAST = 1 << 9,
                    CMD_NOAUTH = 1 << 10, /* allowed before AUTH */
                    CMD_NOMULTI = 1 << 11,
                    CMD_IN_SUBSCRIBED =
                        1 << 12, /* allowed in RESP2 subscribed mode */
                    CMD_SLICED =
                        1
                        << 13, /* works in slices; inside MULTI in one piece */
                    CMD_MOVABLEKEYS = 1 << 14,
                    CMD_NOASYNC = 1 << 15, /* no_async_loading */
                    CMD_BUSY = 1 << 16,    /* allow_busy */
                    CMD_NOLOG = 1 << 17,   /* skip_slowlog */
                    CMD_NOTOUCH = 1 << 18, /* is no use of its keys */
};

struct req;
typedef void (*command_fn)(struct req *rq);

struct command_stats {
    uint64_t calls, usec, rejected, failed;
    uint32_t nsec;             /* below 1000: what usec does not show yet */
    struct histogram *latency; /* microseconds; made at first use */
};

struct command {
    const char *name; /* lower case; "client|list" for a subcommand */
    command_fn fn;    /* NULL: only its subcommands do anything */
    int arity;        /* as Redis: -n is at least n */
    uint32_t flags;
    int16_t first_key, last_key, key_step; /* as COMMAND says */
    const char *group, *since;
    const char *categories; /* of ACLs, those that the flags do not imply */
    const char *summary;
    const struct command *subs;  /* NULL: none; ends with name NULL */
    struct command_stats *stats; /* one set a process */
};

struct reply_part; /* cmd/reply: output put aside until its length is known */

/* What a handler works with.  Lives in the arena of the batch. */
struct req {
    struct session *s;
    struct engine *engine;
    struct db *db;
    struct arena *arena; /* reset after the batch */
    const struct command *cmd;
    struct slice *argv; /* argv[0] is the name as sent */
    uint32_t argc;
    uint32_t dbi;
    struct finger *fingers; /* one per key position of the table's key spec */
    unsigned nfingers;
    bool in_multi; /* runs inside EXEC: may not yield or block */
    bool is_error; /* an error reply was put */
    bool is_push;  /* a push was put: CLIENT REPLY OFF does not silence it */
    struct reply_part *part; /* NULL: replies go to the session */
    enum req_outcome {
        REQ_DONE,
        REQ_PARK,
        REQ_HELD,
        REQ_YIELD,
        REQ_BLOCK,
        REQ_WAIT
    } outcome;
    /* Memory of a command that works in slices: NULL at its first run, then
     * what the handler put there.  free_state(state) runs when the command
     * ended or its client went. */
    void *state;
    void (*free_state)(void *state);
    bool keep_output; /* a yield keeps what was put so far */
    /* This run got further in what `state` keeps: the pages of earlier runs
     * need not be held any more. */
    bool has_progressed;
    /* Set in each run: if the client goes while this waits, it ends at once.
     * Else it has a second, for who ends his side may still read. */
    bool ends_with_client;
    /* Runs again after req_wait_keys(): the key that changed, by its place in
     * argv; 0: runs for the first time. */
    uint32_t woken_by;
    /* For dispatch and park. */
    uint32_t probed_dbi;     /* of the fingers */
    uint64_t start;          /* when this run began, in ticks */
    uint64_t block_until_ms; /* REQ_BLOCK: clock_mono_ms(), 0: no end */
    lsn block_durable;       /* REQ_BLOCK: until the log is durable, 0: not */
    bool is_cut;             /* waited, and is to end as if for too long */
};

/* Any case; NULL if there is none. */
const struct command *command_find(struct slice name);
/* `name` without its command: "list" of CLIENT. */
const struct command *command_find_sub(const struct command *cmd,
                                       struct slice name);
/* Whether `cmd` (may be NULL) is a plain command of that name: what a pipeline
 * repeats is found without a lookup. */
bool command_is_named(const struct command *cmd, struct slice name);
/* What argv names: the subcommand of a command that has some.  NULL:
 * *container tells the command whose subcommand is unknown, or is NULL. */
const struct command *command_find_argv(const struct slice *argv, uint32_t argc,
                                        const struct command **container);
unsigned command_count(void);
const struct command *command_at(unsigned i);
/* Positions of the keys in argv, into `out` (room for `cap`); the number of
 * keys, or -1 if the arguments do not tell. */
int command_keys(const struct command *cmd, const struct slice *argv,
                 uint32_t argc, uint32_t *out, int cap);

/* db_find / db_find_write of argv[i], with the probe's finger if there is
 * one; looks only at keys of the request's database. */
NQ_MUST_USE nq_rc req_find(struct req *rq, uint32_t i, struct entry *e);
NQ_MUST_USE nq_rc req_find_write(struct req *rq, uint32_t i, struct entry *e);
/* The same, and NQ_EWRONGTYPE unless it is of `type`. */
NQ_MUST_USE nq_rc req_find_type(struct req *rq, uint32_t i, enum db_type type,
                                bool write, struct entry *e);

/* Chance for this command: the same each time that it runs again for a page
 * that was missing, so what is in memory has no better chances. */
struct rng req_rng(const struct req *rq);

#define REQ_SLICE_NS 500000 /* a command in slices works this long a turn */

/* Run me again next turn (with rq->state), others first.  Only outside MULTI:
 * test rq->in_multi, or use req_should_yield(). */
void req_yield(struct req *rq);
/* Whether the slice of this turn (0.5 ms) is used up and a yield is allowed. */
bool req_should_yield(struct req *rq);
/* Wait until somebody calls session_unblock(); the command runs again. */
void req_block(struct req *rq);

#endif
