/* cmd/history.h - the last messages of channels, for NQ.HISTORY and for
 * subscribers that begin in the past (NQ.REPLAY; see pubsub_replay).
 *
 * Loop thread only.  Kept in memory, so they are gone with the process, within
 * the bounds of engine->limits.history: by channel and in all the oldest go
 * first.  Off, as it is by default, nothing is kept and PUBLISH pays nothing.
 *
 * The messages of a channel have ids that follow one another, so who has one
 * knows the next.  The first id of a channel is the wall clock in
 * microseconds: ids do not come again after a restart, or when a channel was
 * forgotten meanwhile. */
#ifndef NQ_CMD_HISTORY_H
#define NQ_CMD_HISTORY_H

#include "base/slice.h"

struct engine;
struct history;
struct history_channel;
struct message;

struct history *history_new(void);
void history_free(struct history *h); /* nobody holds a channel */

/* Whether history_add() would do anything for some channel. */
bool history_is_on(const struct engine *e);
/* Gives the message of that channel its id and keeps it, if history is on or
 * somebody holds the channel. */
void history_add(struct engine *e, struct slice channel, struct message *m);

/* What is kept of a channel; NULL: nothing. */
struct history_channel *history_find(struct engine *e, struct slice channel);
/* The same, made if there is none, and its ids go on without a break until
 * it was let go as often. */
struct history_channel *history_hold(struct engine *e, struct slice channel);
void history_let_go(struct engine *e, struct history_channel *ch);

/* The ids kept are [first, next); next is that of the message to come. */
uint64_t history_first(const struct history_channel *ch);
uint64_t history_next(const struct history_channel *ch);
/* first <= id < next; borrowed until something is added.  `ms` (may be NULL)
 * gets the wall clock when it was published. */
struct message *history_at(const struct history_channel *ch, uint64_t id,
                           uint64_t *ms);

/* Forgets what is too old, or more than the settings allow by now. */
void history_trim(struct engine *e);

struct history_stats {
    uint64_t channels, messages, bytes;
};
void history_get_stats(const struct engine *e, struct history_stats *out);

#endif
