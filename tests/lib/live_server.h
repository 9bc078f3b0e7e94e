/* tests/lib/live_server.h - a real server for a test: the binary that
 * $NQDB_SERVER names, on a free loopback port, in a directory of its own.
 *
 * $NQDB_SERVER_ARGS, split at spaces, is appended to its arguments. */
#ifndef NQ_TESTS_LIVE_SERVER_H
#define NQ_TESTS_LIVE_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

struct redisContext;

struct live_server {
    pid_t pid; /* 0: not running */
    int port;
    char dir[64];            /* data */
    char log[80];            /* what it prints, of all its lives */
    const char *options[16]; /* more arguments, NULL at the end */
    unsigned descriptors;    /* that it may have; 0: as we */
};

/* Makes the directory, picks a port; starts nothing. */
void live_init(struct live_server *s);
/* Starts it and waits until it answers PING (not LOADING), at most 30 s;
 * false, and its log on stderr, if it does not. */
bool live_start(struct live_server *s);
/* kill -9. */
void live_kill(struct live_server *s);
/* SIGTERM and wait, at most 30 s (then kill -9); its exit status, or -1. */
int live_stop(struct live_server *s);
/* Kills what runs, removes the directory. */
void live_fini(struct live_server *s);
/* A server for a group of tests: init, the options up to a NULL, start; false,
 * and nothing is left of it, if that fails.  Its end is live_end(): the exit
 * status of live_stop(), after the log if that is not 0; nothing is left. */
bool live_begin(struct live_server *s, ...) __attribute__((sentinel));
int live_end(struct live_server *s);
void live_print_log(const struct live_server *s);

/* A connection with a timeout of 10 s; NULL if it is refused. */
struct redisContext *live_connect(const struct live_server *s);

#endif
