/* cmd/feeds.h - live feeds: queries whose changes are sent to those who follow
 * them (NQ.SUBSCRIBE).
 *
 * Loop thread only.  A feed is a query; all who ask the same share it, so a
 * change is tested and encoded once, however many follow.  What is sent is
 * settled, in the order of commit, and each follower gets each change once.
 * Who is slow is read for again from the log (cmd/changes.h), or loses what
 * its policy says and is told.
 *
 * Messages are those of pub/sub, on the channel of the feed; their text is one
 * JSON object, see cmd/feed_message.h. */
#ifndef NQ_CMD_FEEDS_H
#define NQ_CMD_FEEDS_H

#include "base/buf.h"
#include "cmd/session.h"

struct engine;
struct feeds;
struct req;

/* Sets engine->feeds. */
void feeds_init(struct engine *e);
/* All sessions are closed. */
void feeds_fini(struct engine *e);
/* The databases are there (still loading, perhaps); before they are closed. */
void feeds_attach(struct engine *e);
void feeds_detach(struct engine *e);

/* A slice of matching and sending; true: there is more at once. */
bool feeds_turn(struct engine *e);
bool feeds_has_more(const struct engine *e);

/* Ends what the session follows. */
void feeds_drop(struct session *s);
/* The same for one, by the name of its channel; false: it does not follow it.
 */
bool feeds_unsubscribe(struct session *s, struct slice channel);
/* The channel of the feed that it follows longest, borrowed; false: there is
 * none. */
bool feeds_first(const struct session *s, struct slice *channel);
/* A channel of the name "NQ.SUBSCRIBE ..." stands for that command, so that
 * any client can follow a query with SUBSCRIBE. */
bool feeds_is_channel(struct slice name);
/* Follows the query of such a channel, unless it is followed already.  False:
 * an error is answered, or the command is to run again. */
bool feeds_subscribe(struct req *rq, struct slice name);
/* How many feeds it follows. */
uint32_t feeds_count(const struct session *s);

struct feeds_stats {
    uint64_t feeds, subscribers, named, live, behind;
    uint64_t matched;     /* changes, once a feed */
    uint64_t tested;      /* the same that matched or not */
    uint64_t sent, bytes; /* messages and their bytes, once a subscriber */
    uint64_t dropped;     /* messages that policies took away */
    uint64_t gaps, pauses, disconnects;
    uint64_t redelivered; /* of named feeds */
};
void feeds_get_stats(const struct engine *e, struct feeds_stats *out);

#endif
