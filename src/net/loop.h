/* net/loop.h - the reactor: sockets, timers and completions on one thread.
 *
 * One turn: ready sockets are read; their commands are collected and run in
 * batches (cmd/dispatch); store_turn() through `on_turn` closes the log frame;
 * replies whose gate is open are written.  Nothing in a turn blocks. */
#ifndef NQ_NET_LOOP_H
#define NQ_NET_LOOP_H

#include "base/rc.h"
#include <stdbool.h>
#include <stdint.h>

#include "store/pgno.h"

struct engine;
struct loop;

struct loop_opts {
    struct engine *engine;
    /* Settled position of the log, for gates; asks to be woken at `at`. */
    lsn (*settled)(void *arg);
    void (*wake_at)(void *arg, lsn at);
    /* The log failed: nothing will settle any more, and clients whose replies
     * wait for it are closed.  May be NULL, as all below. */
    bool (*is_log_dead)(void *arg);
    /* After the commands of the turn, before replies are written. */
    void (*on_turn)(void *arg);
    /* After loop_wake(): pool completions and the log's news. */
    void (*on_wake)(void *arg);
    /* Ten times a second. */
    void (*on_cron)(void *arg);
    /* Writers are to be held back at their sockets (ring or pool full). */
    bool (*is_throttling)(void *arg);
    /* When something is due without a socket: ms to sleep at most; 0: more
     * work at once; -1: nothing. */
    int (*next_due_ms)(void *arg);
    void (*on_signal)(void *arg, int signum); /* SIGTERM, SIGINT, SIGHUP */
    void *arg;
};

struct listen_opts {
    const char *const *binds; /* addresses; "-" before one: may fail */
    unsigned nbinds;
    uint16_t port; /* 0: none; tests ask for a free one with port_any */
    bool port_any;
    const char *unix_path; /* NULL: none */
    unsigned unix_perm;
    int backlog;
    uint32_t keepalive_s;
    bool nodelay;
};

NQ_MUST_USE nq_rc loop_new(const struct loop_opts *opts, struct loop **out);
/* Logs what could not be bound; *port gets the TCP port bound. */
NQ_MUST_USE nq_rc loop_listen(struct loop *l, const struct listen_opts *opts,
                              uint16_t *port);
void loop_run(struct loop *l);
void loop_stop(struct loop *l); /* from inside the loop */
void loop_wake(void *loop);     /* any thread */
void loop_stop_accepting(struct loop *l);
/* Writes out what may leave, for at most `ms`; then closes all. */
void loop_drain(struct loop *l, unsigned ms);
void loop_free(struct loop *l);

struct loop_stats {
    uint64_t turns, reads, writes, accepts;
    uint64_t lag_us_max; /* longest turn since asked last */
};
void loop_get_stats(struct loop *l, struct loop_stats *out);

#endif
