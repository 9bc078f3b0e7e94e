/* cmd/session.h - one client as commands see it: its database, its protocol,
 * its transaction, its subscriptions, its output.
 *
 * Loop thread only.  The connection (net/conn) owns the session and drives
 * it; news goes back to the connection through session_ops. */
#ifndef NQ_CMD_SESSION_H
#define NQ_CMD_SESSION_H

#include "base/list.h"
#include "base/outq.h"
#include "base/slice.h"
#include "cmd/pressure.h"
#include "store/pgno.h"

struct engine;
struct session;
struct command;
struct multi;        /* cmd/multi: queued commands and watched keys */
struct subs;         /* cmd/pubsub: what it is subscribed to */
struct parked;       /* cmd/park: a command that waits */
struct wait;         /* cmd/wait_key: a command that waits for a key */
struct feed_session; /* cmd/feeds: what it follows */
struct push;         /* cmd/push: what holds for holders of feeds */

struct session_ops {
    /* Output was put (perhaps from another client's command). */
    void (*wake)(struct session *s);
    /* No longer blocked: present its input again from the command that was
     * kept on. */
    void (*resume)(struct session *s);
    /* End the connection at the end of this turn; unsent output is dropped
     * unless SESSION_CLOSE_AFTER_REPLY is set. */
    void (*close)(struct session *s);
    /* For CLIENT LIST: bytes held in and allocated to the input buffer, fd. */
    void (*input_info)(const struct session *s, size_t *used, size_t *alloc,
                       int *fd);
    /* The two may be NULL.  Gives the socket the options that are set for
     * push clients (engine->limits.push). */
    void (*tune)(struct session *s);
    /* Bytes that left the queue and that the client's side has not taken. */
    uint64_t (*untaken)(const struct session *s);
};

enum session_flag {
    SESSION_BLOCKED = 1 << 0, /* present no commands until ops->resume */
    SESSION_CLOSE_AFTER_REPLY = 1 << 1,
    SESSION_CLOSE_ASAP = 1 << 2,
    SESSION_AUTHENTICATED = 1 << 3,
    SESSION_NO_EVICT = 1 << 4,
    SESSION_NO_TOUCH = 1 << 5,
    SESSION_REPLY_OFF = 1 << 6,
    SESSION_REPLY_SKIP = 1 << 7, /* the reply of this command */
    SESSION_REPLY_SKIP_NEXT = 1 << 8,
    SESSION_UNIX = 1 << 9,
    SESSION_INTERNAL = 1 << 10,
    SESSION_IN_REPLY = 1 << 11, /* a part of a reply was put, more follows */
    SESSION_OWN_PACE =
        1 << 12, /* the same, and its command looks itself at what
                    is unsent: a writer may wait for its end */
};

#define SESSION_MAGIC 0x5e551011

struct session {
    uint32_t magic;
    uint32_t flags;
    struct engine *engine;
    const struct session_ops *ops;
    void *conn;
    struct outq out;
    struct list link; /* engine's list of sessions */
    uint64_t id;
    uint32_t dbi;
    uint8_t resp;                    /* 2 or 3 */
    char *name, *lib_name, *lib_ver; /* owned, NULL if unset */
    const char *addr, *laddr;        /* "127.0.0.1:50123"; owned by the conn */
    uint64_t created_ms, active_ms;  /* wall clock */
    uint64_t commands;
    const struct command *last_cmd;
    lsn last_write; /* what its writes so far wait for, for WAITAOF */
    lsn gated;      /* the greatest gate in `out` */
    uint64_t out_soft_since_ms; /* output over the soft limit since; 0: not */
    struct multi *multi;        /* NULL: neither MULTI nor WATCH */
    struct subs *subs;          /* NULL: none */
    struct parked *parked;      /* NULL: no command waits */
    struct wait *wait;          /* NULL: nor for a key */
    struct feed_session *feeds; /* NULL: none */
    struct push *push;          /* NULL: no feeds, nothing said of heartbeats */
    struct list cursors;        /* cmd/cursors: queries that it holds open */
    struct list room;           /* cmd/pressure: who has more to put */
    uint8_t pressure[PRESSURE_SOURCES]; /* enum pressure_state */
};

/* `s` is zeroed storage of the connection, with conn, ops, addr, laddr set. */
void session_open(struct engine *e, struct session *s);
void session_close(struct session *s);

/* Messages come to it that it did not ask for one by one. */
static inline bool
session_is_subscribed(const struct session *s)
{
    return s->subs != NULL || s->feeds != NULL;
}

/* Which output limits apply. */
enum session_class { CLASS_NORMAL, CLASS_REPLICA, CLASS_PUBSUB, CLASSES };
enum session_class session_class(const struct session *s);

/* Closes a session whose output passed its hard limit. */
void session_check_output(struct session *s);
/* Ends it: with `after_reply`, once what was put has left. */
void session_end(struct session *s, bool after_reply);
/* Its client sends no more: it waits for no key any longer, for nobody may be
 * there to take what it would get; and it ends if its command is for nobody
 * else (req.ends_with_client). */
void session_lost(struct session *s);
/* NULL if there is none (any more). */
struct session *session_by_id(struct engine *e, uint64_t id);
/* Owned copies; an empty slice unsets. */
void session_set_text(char **field, struct slice text);
bool session_is_authenticated(const struct session *s);
/* No spaces or control characters, as CLIENT SETNAME wants. */
bool session_is_good_name(struct slice name);

#endif
