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

/* --- what is there, for PUBSUB --- */
uint64_t pubsub_topics(const struct engine *e, enum pubsub_kind kind);
uint64_t pubsub_subscribers(const struct engine *e, enum pubsub_kind kind,
                            struct slice name);
void pubsub_each(const struct engine *e, enum pubsub_kind kind,
                 void (*fn)(struct slice name, void *arg), void *arg);

#endif
