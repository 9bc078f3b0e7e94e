/* net/loop_int.h - what the files of net share: the loop, its lists, and the
 * calls from one file to another.  Private to this folder. */
#ifndef NQ_NET_LOOP_INT_H
#define NQ_NET_LOOP_INT_H

#include <ev.h>

#include "base/list.h"
#include "base/sm.h"
#include "cmd/dispatch.h"
#include "cmd/engine.h"
#include "net/input.h"
#include "net/loop.h"
#include "resp/parse.h"

#define LOOP_MAGIC 0x10070001
#define CONN_MAGIC 0xc0220001
#define LISTENER_MAX 32

/* A client whose unsent output is beyond this gets no more commands run
 * until it reads: its requests wait in the kernel. */
#define CONN_OUTPUT_PAUSE (32u * 1024 * 1024)

#define LSN_NEVER UINT64_MAX

struct listener {
    struct ev_io io;
    struct loop *loop;
    int fd;
    bool is_unix;
};

struct loop {
    uint32_t magic;
    struct loop_opts opts;
    struct engine *engine;
    struct ev_loop *ev;
    struct ev_prepare prepare;
    struct ev_check check;
    struct ev_idle idle;
    struct ev_timer cron, alarm;
    struct ev_async wake;
    struct ev_signal signals[3];
    double alarm_at; /* ev_now() at which `alarm` fires; valid if active */

    struct list conns;   /* all of them */
    struct list ready;   /* may have a whole request; run in this order */
    struct list arrived; /* the same, read in this turn: last comes first */
    struct list held;    /* writers held back while the log is behind */
    struct list ended;   /* blocked, and their client sends no more */
    struct list dirty;   /* have replies to be written in this turn */
    struct list pushed;  /* have messages of others to be written soon */
    struct list gated;   /* have output that waits for the log */
    struct list closing; /* go at the end of this turn */
    unsigned nconns;
    lsn settled;  /* of the log, when replies were last written */
    lsn gate_min; /* the least that `gated` waits for; LSN_NEVER: unknown */
    lsn asked;    /* what wake_at() was called with since `settled` moved */
    bool is_throttling, is_draining;

    struct input_pool *inputs;
    struct call calls[BATCH_MAX];
    size_t ends[BATCH_MAX];        /* of the call's bytes, from conn->in.p */
    struct conn *batch[BATCH_MAX]; /* the connections in `calls` */
    struct slice *argv;            /* BATCH_MAX * RESP_SHORT_ARGS */

    struct listener listeners[LISTENER_MAX];
    unsigned nlisteners;
    struct listen_opts listen; /* of the sockets; strings not kept */
    char *unix_path;           /* owned; unlinked at the end */
    bool is_accept_paused;     /* out of descriptors: until next second */
    unsigned cron_count;
    struct loop_stats stats;
};

/* What the parser said last about what is left in the input. */
enum conn_input { INPUT_UNKNOWN, INPUT_PARTIAL, INPUT_BAD };

enum conn_state {
    CONN_OPEN,
    CONN_DRAINING, /* takes no more requests; closes when all is written */
    CONN_CLOSING   /* is on the list `closing` */
};

struct conn {
    uint32_t magic;
    int fd;
    struct loop *loop;
    struct session session;
    struct ev_io reader, writer;
    struct resp_parser parser;
    struct input in;
    size_t want;      /* bytes that the partial request needs at least, or 0 */
    size_t parsed;    /* bytes of `in` given to the batch being collected */
    size_t done;      /* bytes of `in` that the batch executed */
    struct list link; /* conns, or closing */
    struct list ready_link; /* ready, held or ended */
    struct list out_link;   /* dirty, pushed or gated */
    struct sm life;         /* enum conn_state */
    uint8_t input;          /* enum conn_input */
    bool is_at_end;         /* the client will send no more */
    bool is_aside;          /* ready_link is on `held` or `ended` */
    bool is_overdue;        /* was on `ended` a second ago */
    bool is_pushed;         /* out_link is on `pushed` */
    bool is_writable;       /* the socket said so in this turn */
    bool was_kept;          /* a call of the batch came back CALL_KEPT */
    uint8_t calls;          /* in the batch being collected */
    char *addresses;        /* owned: "addr\0laddr" */
};

/* --- net/conn.c ------------------------------------------------------------
 */

/* Takes over `fd` and `addresses` ("addr\0laddr\0", from nq_malloc). */
void conn_open(struct loop *l, int fd, char *addresses, bool is_unix);
/* Moves to `closing`; unsent output is lost. */
void conn_close(struct conn *c);
/* Takes no more requests, closes when what was put is written. */
void conn_drain(struct conn *c);
/* The client of a blocked session sends no more. */
void conn_end_blocked(struct conn *c);
void conn_free(struct conn *c);
/* Writes what may leave. */
void conn_flush(struct conn *c);
/* Whether so much output is unsent that no more of its commands run. */
bool conn_is_behind(const struct conn *c);
void conn_mark_dirty(struct conn *c);
void conn_mark_ready(struct conn *c);
/* To `held` or `ended`: nothing runs and nothing is read. */
void conn_put_aside(struct conn *c, struct list *where);
void conn_drop_input(struct conn *c);
/* Reads if more could be used now; else lets the bytes wait in the kernel. */
void conn_update_reader(struct conn *c);
/* Between two turns. */
void conn_check(struct conn *c);

/* --- net/turn.c ------------------------------------------------------------
 */

/* One turn: run commands, close the log frame, write replies, close. */
void turn_run(struct loop *l);
/* Whether there is work that needs no event. */
bool turn_has_more(const struct loop *l);

/* --- net/listen.c ----------------------------------------------------------
 */

/* Takes up accepting again after the process was out of descriptors. */
void listen_resume(struct loop *l);
/* The options of push clients, engine->limits.push. */
void listen_tune_push(const struct conn *c);
void listen_close(struct loop *l);

#endif
