/* cmd/cursors.h - the queries that clients hold open: cursors (NQ.CURSOR) and
 * streams (NQ.STREAM).
 *
 * Loop thread only.  Each belongs to the connection that opened it: others do
 * not see it, and it ends with it (or with RESET).  One that nobody used for
 * limits.cursors.idle_s ends, too; a stream is used as long as its client
 * takes what is pushed, or gives credits. */
#ifndef NQ_CMD_CURSORS_H
#define NQ_CMD_CURSORS_H

#include "base/hash.h"
#include "base/list.h"
#include "cmd/command.h"
#include "cmd/source.h"

struct cursors;
struct req;

enum cursor_kind { CURSOR_PULL, CURSOR_STREAM, CURSOR_KINDS };

struct cursor {
    uint64_t id;
    enum cursor_kind kind;
    struct engine *engine;
    struct session *s;
    struct source *source;
    uint8_t resp;
    uint32_t dbi;
    uint64_t used_ms, opened_ms; /* monotonic */
    uint64_t given;              /* rows that the client got */
    /* A command of the session waits for a row. */
    bool is_blocking;
    struct cursor_stream *stream; /* CURSOR_STREAM: cmd_stream_query.c */
    /* private */
    struct hash_node node;
    struct list in_session, due;
};

struct cursors *cursors_new(struct engine *e);
void cursors_free(struct cursors *cs); /* none is open; of NULL: nothing */

/* Parses PREFIX or RANGE with WHERE, RETURN, LIMIT, REV, KEYSONLY, VALUESONLY
 * and SNAPSHOT, up to one of `own` (see select.h), from argv[*i] on, and opens
 * it.  NULL: an error is answered; sel is zeroes in any case. */
struct cursor *cursor_open(struct req *rq, uint32_t *i, const char *const *own,
                           enum cursor_kind kind);
/* Of this session; NULL: there is none (any more). */
struct cursor *cursor_find(struct req *rq, struct slice id,
                           enum cursor_kind kind);
void cursor_close(struct cursor *c);
void cursor_touch(struct cursor *c); /* it is being used */
/* A stream has something to push, or may have: in one of the next turns. */
void cursor_make_due(struct cursor *c);

/* The session ends, or is RESET. */
void cursors_drop(struct session *s);
/* Before the databases are closed: those of all sessions. */
void cursors_stop(struct engine *e);
/* Once a turn: streams that are due, for half a millisecond all together; true:
 * there is more. */
bool cursors_turn(struct engine *e);
bool cursors_are_due(const struct engine *e);
/* Ten times a second. */
void cursors_cron(struct engine *e);
/* Calls fn for each of the session (NULL: of all sessions). */
void cursors_each(struct engine *e, const struct session *s,
                  void (*fn)(void *arg, struct cursor *c), void *arg);

struct cursors_stats {
    uint64_t open[CURSOR_KINDS], opened[CURSOR_KINDS];
    uint64_t expired, rows, bytes; /* closed for being idle; given to clients */
};
struct cursors_stats *cursors_stats(struct engine *e);

#endif
