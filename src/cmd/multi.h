/* cmd/multi.h - MULTI: the queue of commands, and the watched keys of the
 * session (cmd/watch).
 *
 * Loop thread only.  A session has a struct multi while a MULTI is open or a
 * key is watched. */
#ifndef NQ_CMD_MULTI_H
#define NQ_CMD_MULTI_H

#include "cmd/command.h"
#include "cmd/session.h"

/* A command with its arguments, in one piece of heap memory. */
struct queued {
    const struct command *cmd;
    struct slice *argv;
    uint32_t argc;
};

struct multi {
    bool is_open;    /* between MULTI and EXEC */
    bool is_spoiled; /* a command was refused: EXEC aborts */
    bool is_expired; /* open for too long: EXEC aborts, the queue is gone */
    bool is_touched; /* a watched key changed: EXEC answers null */
    uint32_t flags;  /* of all queued commands */
    uint32_t n, cap;
    struct queued *queue;
    uint64_t bytes; /* of the queue, for its limit */
    uint64_t opened_ms;
    struct list watched; /* of struct watch */
};

static inline bool
multi_is_open(const struct session *s)
{
    return s->multi != NULL && s->multi->is_open;
}

/* Whether EXEC would write. */
bool multi_has_writes(const struct session *s);

/* The session's state, made if there is none; NULL: the error was put, there
 * are max_transactions. */
struct multi *multi_get(struct req *rq);
/* Frees the state if it holds nothing. */
void multi_put(struct session *s);

/* Queues `rq` and answers QUEUED. */
void multi_queue(struct req *rq);
/* A command was refused while a MULTI was open. */
void multi_spoil(struct session *s);
/* DISCARD: the queue and the watched keys; nothing if there are none. */
void multi_discard(struct session *s);
/* Ends a MULTI that has been open for longer than the limit. */
void multi_expire(struct session *s, uint64_t now_ms);

#endif
