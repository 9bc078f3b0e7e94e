/* cmd/wait_key.h - commands that wait for a key: BLPOP, BZPOPMIN, XREAD BLOCK
 * and their kin.
 *
 * Loop thread only.  A handler that finds nothing calls req_wait_keys(): its
 * arguments are copied, its call is done, and its session presents no further
 * command.  When one of the keys changes, the handler runs again, directly
 * behind the command (or the whole EXEC) that changed the key and before any
 * other command, in the order in which the sessions began to wait.  It may
 * wait again: then it keeps its place.  It may miss pages or meet a hold: then
 * it parks as any command does, and those behind it wait for it.  A handler
 * goes like this:
 *
 *   for each key argv[i]
 *       if (!wait_looks_at(rq, i)) continue;
 *       find it; if there is something: take it, answer, return
 *   if (rq->in_multi) answer null
 *   else req_wait_keys(rq, &what)
 *
 * When it was woken (rq->woken_by != 0), a key of a wrong type counts as
 * absent, as long as only appearing data is waited for (lists, sorted sets,
 * XREAD); XREADGROUP answers its error.  wait_find() does both.
 *
 * Timeouts, CLIENT UNBLOCK and the end of a client never come to the handler:
 * they are answered here (null array, or UNBLOCKED), as Redis does. */
#ifndef NQ_CMD_WAIT_KEY_H
#define NQ_CMD_WAIT_KEY_H

#include "cmd/command.h"

struct wait_keys; /* of the engine: all that is waited for */

struct wait_for {
    uint32_t first, n;    /* the keys are argv[first .. first + n) */
    enum db_type type;    /* DB_LIST, DB_ZSET or DB_STREAM */
    uint64_t deadline_ms; /* clock_mono_ms(); 0: for ever */
    /* DB_STREAM only.  Not 0: who waits for the same key with the same number
     * wants the same (a consumer of a group): once one of them has to wait
     * again, the others are not asked. */
    uint64_t same;
};

/* Not inside MULTI.  Answers nothing; the handler returns.  What it wants to
 * remember (the ids that `$` meant) is in rq->state, which comes back.  When
 * it was woken, `what` is as it was: it is not looked at again. */
void req_wait_keys(struct req *rq, const struct wait_for *what);

static inline bool
wait_looks_at(const struct req *rq, uint32_t i)
{
    return rq->woken_by == 0 || rq->woken_by == i;
}

/* req_find_type(write) of argv[i] as the rules above want it: NQ_NOTFOUND for
 * a key that is not to be looked at, or of another type once it was woken. */
NQ_MUST_USE nq_rc wait_find(struct req *rq, uint32_t i, enum db_type type,
                            struct entry *e);

/* --- for the engine ------------------------------------------------------ */

struct wait_keys *wait_keys_new(void);
void wait_keys_free(struct wait_keys *w); /* nobody waits any more */

/* A key changed, or with key.p NULL all of the database did: it is marked. */
void wait_on_touch(struct engine *e, uint32_t dbi, struct slice key);
/* The same for who waits for streams: they look only when there may be
 * something for them. */
void wait_on_event(struct engine *e, uint32_t dbi, enum db_event_class class,
                   const char *event, struct slice key);

/* Runs who waits for the keys that were marked: due when engine.keys_ready is
 * not 0.  Behind a command or outside of a batch, never inside a command. */
void wait_serve(struct engine *e);
/* A woken command that was parked may go on: called by park_turn(). */
void wait_go_on(struct session *s);

/* Ends what timed out and lets the served sessions present commands again.
 * True: there is more at once. */
bool wait_turn(struct engine *e);
uint64_t wait_next_due(const struct engine *e); /* clock_mono_ms(); 0: none */

bool wait_is_waiting(const struct session *s);
uint64_t wait_count_keys(const struct engine *e);
/* Of those, the ones whose end wakes somebody too. */
uint64_t wait_count_keys_on_nokey(const struct engine *e);
/* CLIENT UNBLOCK: false if it does not wait for a key. */
bool wait_cut(struct session *s, bool with_error);
/* The session ends, or its client sends no more. */
void wait_drop(struct session *s);

#endif
