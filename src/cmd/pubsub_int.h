/* cmd/pubsub_int.h - what pubsub.c (topics, members, publishing),
 * pubsub_queue.c (what waits for a subscriber) and pubsub_replay.c (those who
 * begin in the past) share.  Private to these. */
#ifndef NQ_CMD_PUBSUB_INT_H
#define NQ_CMD_PUBSUB_INT_H

#include "base/hash.h"
#include "cmd/message.h"
#include "cmd/patterns.h"
#include "cmd/pressure.h"
#include "cmd/pubsub.h"

struct history_channel;

/* A channel, pattern or shard channel with at least one member. */
struct topic {
    struct hash_node node;  /* stays first */
    struct pattern pattern; /* kind PUBSUB_PATTERN */
    struct list members;
    uint64_t count;
    enum pubsub_kind kind;
    uint32_t len;
    uint8_t name[];
};

/* Messages that were dropped, and not told yet. */
struct pubsub_gap {
    uint64_t count;
    uint64_t from, to; /* their ids; 0: they have none */
};

/* A member that reads the history of its channel. */
struct replay {
    struct history_channel *ch; /* held */
    uint64_t next;              /* id of the message that it gets next */
};

/* One session subscribed to one topic: in the topic's list, in the session's
 * list, and in a hash by both. */
struct member {
    struct hash_node node; /* stays first */
    struct list in_topic, in_session;
    struct topic *topic;
    struct session *s;
    struct list in_gapped; /* subs->gapped, while gap.count > 0 */
    struct pubsub_gap gap;
    struct list in_behind; /* subs->behind, while replay->next is behind */
    struct replay *replay; /* NULL: takes what comes */
};

/* What a session is subscribed to, and what waits for it. */
struct subs {
    struct session *s;
    struct list members[PUBSUB_KINDS];
    uint32_t counts[PUBSUB_KINDS];
    struct list waiting; /* struct waiting_message, the oldest first */
    uint64_t waiting_count, waiting_bytes;
    struct list in_queued; /* pubsub->queued, while something waits */
    struct list gapped, behind;
    bool is_full;     /* drop-newest: takes none until half of it left */
    bool is_gap_last; /* the gap is behind what waits, not before it */
    uint64_t dropped; /* of all time */
    struct pressure_wait room;
};

struct pubsub {
    struct hash topics[PUBSUB_KINDS];
    struct hash members;
    struct patterns *patterns;
    struct list queued;     /* struct subs */
    uint64_t number;        /* of the last publication */
    uint64_t swept;         /* `number` at the last pubsub_queue_sweep() */
    uint64_t waiting_count; /* of all subscribers */
};

static inline struct slice
pubsub_topic_name(const struct topic *t)
{
    return slice_of(t->name, t->len);
}

/* --- pubsub_queue.c --------------------------------------------------------
 */

void pubsub_queue_init(struct subs *subs);
/* Nothing waits any more; what did is dropped. */
void pubsub_queue_fini(struct subs *subs);
bool pubsub_queue_is_empty(const struct subs *subs);
/* Now, or when it may, or never, as the settings say. */
void pubsub_queue_send(struct member *m, struct message *msg);
/* In any case, behind what waits. */
void pubsub_queue_notice(struct member *m, struct message *msg);
/* The member ends. */
void pubsub_queue_forget(struct member *m);
/* After a publication: ends the waiting of what is too old. */
void pubsub_queue_sweep(struct engine *e);
/* Tells how many a member missed, and forgets it. */
struct message *pubsub_gap_message(struct member *m);
/* The state of the session, from what waits for it. */
void pubsub_queue_note(struct subs *subs);

/* --- pubsub_replay.c -------------------------------------------------------
 */

/* A message for a member that reads history. */
void pubsub_replay_send(struct member *m, struct message *msg);
/* Puts what the members that are behind may get, while there is room. */
void pubsub_replay_pump(struct subs *subs);
void pubsub_replay_end(struct member *m);

/* --- pubsub.c --------------------------------------------------------------
 */

struct member *pubsub_member(const struct session *s, enum pubsub_kind kind,
                             struct slice name);
/* Forgets s->subs if there is nothing in it. */
void pubsub_free_empty(struct session *s);

#endif
