/* cmd/pubsub.h - who is subscribed to what, and messages to them.
 *
 * Loop thread only.  Channels, patterns and shard channels are three kinds of
 * topic; on this server, which is no cluster, shard channels are channels
 * with names of their own. */
#ifndef NQ_CMD_PUBSUB_H
#define NQ_CMD_PUBSUB_H

#include "base/slice.h"
#include "store/pgno.h"

struct engine;
struct pubsub;
struct session;

enum pubsub_kind { PUBSUB_CHANNEL, PUBSUB_PATTERN, PUBSUB_SHARD, PUBSUB_KINDS };

/* Sets engine->pubsub and engine->drop_subs. */
void pubsub_init(struct engine *e);
/* All sessions are closed. */
void pubsub_fini(struct engine *e);

/* False if it was subscribed already. */
bool pubsub_subscribe(struct session *s, enum pubsub_kind kind,
                      struct slice name);
/* False if it was not. */
bool pubsub_unsubscribe(struct session *s, enum pubsub_kind kind,
                        struct slice name);
/* The oldest subscription of the kind, borrowed; false if there is none. */
bool pubsub_first(const struct session *s, enum pubsub_kind kind,
                  struct slice *name);
uint32_t pubsub_count(const struct session *s, enum pubsub_kind kind);

/* Sends `message` to the subscribers of the channel (and, unless it is a
 * shard channel, of patterns that match it), who see it once the log is
 * settled past `gate` (0: at once).  Returns how many they are. */
uint64_t pubsub_publish(struct engine *e, enum pubsub_kind kind,
                        struct slice channel, struct slice message, lsn gate);
/* Whether a message could have a receiver at all. */
bool pubsub_has_subscribers(const struct engine *e);
/* The reply of the session's command is complete: puts the messages that
 * came meanwhile. */
void pubsub_deliver(struct session *s);

/* Subscribes to the channel from its message `from` on (0: the oldest that is
 * kept): it gets those of the history, then what is published, once each and
 * in order.  A message on "__replay__:channel" comes first and tells the ids
 * of the next message and of the next to be published, from which on each has
 * one more.  No queue bounds such a subscriber: what it cannot take is read
 * from the history later (the state is paused), and what the history loses
 * meanwhile is told as a gap.  *oldest and *next tell what `from` may be. */
enum pubsub_place { PUBSUB_REPLAYS, PUBSUB_GONE, PUBSUB_FUTURE };
enum pubsub_place pubsub_replay(struct session *s, struct slice channel,
                                uint64_t from, uint64_t *oldest,
                                uint64_t *next);

/* What waits for a subscriber outside of its output, and what it lost. */
struct pubsub_queue {
    uint64_t messages, bytes, dropped;
};
void pubsub_get_queue(const struct session *s, struct pubsub_queue *out);

/* --- what is there, for PUBSUB --- */
uint64_t pubsub_topics(const struct engine *e, enum pubsub_kind kind);
/* Messages that wait, of all subscribers. */
uint64_t pubsub_waiting(const struct engine *e);
uint64_t pubsub_subscribers(const struct engine *e, enum pubsub_kind kind,
                            struct slice name);
void pubsub_each(const struct engine *e, enum pubsub_kind kind,
                 void (*fn)(struct slice name, void *arg), void *arg);

#endif
