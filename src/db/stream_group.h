/* db/stream_group.h - consumer groups of a stream: what each group has read,
 * its consumers, and the entries that wait for their acknowledgement.
 *
 * Loop thread only; all as db/stream.h says. */
#ifndef NQ_DB_STREAM_GROUP_H
#define NQ_DB_STREAM_GROUP_H

#include "db/stream.h"

#define STREAM_READ_UNKNOWN (-1)
#define STREAM_NEVER (-1)
/* Longer names of groups and consumers: NQ_EKEYLEN. */
#define STREAM_NAME_MAX (BTREE_MAX_KEY - 17)

/* Names that a walk gives are borrowed until its next step. */
struct stream_group {
    struct slice name;
    uint64_t number;        /* unique within the stream, for ever */
    struct stream_id last;  /* delivered */
    int64_t read;           /* entries read so far, or STREAM_READ_UNKNOWN */
    uint64_t next_consumer; /* private */
};

struct stream_consumer {
    struct slice name;
    uint64_t number;   /* unique within the group, for ever */
    uint64_t seen_ms;  /* its last attempt, wall ms */
    int64_t active_ms; /* its last success, or STREAM_NEVER */
};

struct stream_pending {
    struct stream_id id;
    uint64_t consumer; /* number */
    uint64_t delivered_ms, deliveries;
};

/* --- reading ------------------------------------------------------------- */

/* All three: NQ_OK or NQ_NOTFOUND. */
NQ_MUST_USE nq_rc stream_group_find(struct stream *s, struct slice name,
                                    struct stream_group *out);
NQ_MUST_USE nq_rc stream_consumer_find(struct stream *s,
                                       const struct stream_group *g,
                                       struct slice name,
                                       struct stream_consumer *out);
NQ_MUST_USE nq_rc stream_pending_find(struct stream *s,
                                      const struct stream_group *g,
                                      struct stream_id id,
                                      struct stream_pending *out);
/* The name of consumer `number`, copied into the arena.  One that is not there
 * is damage. */
NQ_MUST_USE nq_rc stream_consumer_name(struct stream *s,
                                       const struct stream_group *g,
                                       uint64_t number, struct arena *arena,
                                       struct slice *out);

/* O(log n). */
NQ_MUST_USE nq_rc stream_group_count(struct stream *s, uint64_t *out);
NQ_MUST_USE nq_rc stream_consumer_count(struct stream *s,
                                        const struct stream_group *g,
                                        uint64_t *out);
/* `c` NULL: of all consumers. */
NQ_MUST_USE nq_rc stream_pending_count(struct stream *s,
                                       const struct stream_group *g,
                                       const struct stream_consumer *c,
                                       uint64_t *out);

/* Groups and consumers in order of their names, pending entries in order of
 * their ids.  A position is good for reads only. */
struct stream_walk {
    bool valid; /* stands on something; false: at the end */
    /* private */
    struct stream *s;
    const struct stream_group *g;
    const struct stream_consumer *c;
    struct coll_cursor items;
    uint8_t prefix[17];
    uint8_t prefix_len;
};
void stream_walk_init(struct stream_walk *w, struct stream *s);
void stream_walk_fini(struct stream_walk *w);
/* The first group with a name >= `from`. */
NQ_MUST_USE nq_rc stream_walk_groups(struct stream_walk *w, struct slice from);
NQ_MUST_USE nq_rc stream_walk_group(struct stream_walk *w,
                                    struct stream_group *out);
NQ_MUST_USE nq_rc stream_walk_consumers(struct stream_walk *w,
                                        const struct stream_group *g,
                                        struct slice from);
NQ_MUST_USE nq_rc stream_walk_consumer(struct stream_walk *w,
                                       struct stream_consumer *out);
/* The first with an id >= `from`; of `c` alone, unless that is NULL. */
NQ_MUST_USE nq_rc stream_walk_pending(struct stream_walk *w,
                                      const struct stream_group *g,
                                      const struct stream_consumer *c,
                                      struct stream_id from);
NQ_MUST_USE nq_rc stream_walk_pending_at(struct stream_walk *w,
                                         struct stream_pending *out);
NQ_MUST_USE nq_rc stream_walk_next(struct stream_walk *w);
/* The greatest id that is pending: NQ_NOTFOUND. */
NQ_MUST_USE nq_rc stream_pending_last(struct stream *s,
                                      const struct stream_group *g,
                                      struct stream_id *out);

/* How many entries are behind what the group has read; false: nobody knows
 * (entries were deleted between). */
bool stream_group_lag(const struct stream *s, const struct stream_group *g,
                      int64_t *out);
/* g->last and g->read after entry `id`, which is behind g->last, was
 * delivered. */
void stream_group_step(const struct stream *s, struct stream_group *g,
                       struct stream_id id);

/* --- changes ------------------------------------------------------------- */

/* XGROUP CREATE: NQ_EEXISTS.  The stream is made if it is not there. */
NQ_MUST_USE nq_rc stream_group_create(struct stream *s, struct slice name,
                                      struct stream_id last, int64_t read);
/* XGROUP SETID: NQ_NOTFOUND, as of all below. */
NQ_MUST_USE nq_rc stream_group_set_id(struct stream *s, struct slice name,
                                      struct stream_id last, int64_t read);
NQ_MUST_USE nq_rc stream_group_destroy(struct stream *s, struct slice name);
/* *is_new false: it was there; nothing is logged and raised. */
NQ_MUST_USE nq_rc stream_consumer_create(struct stream *s, struct slice group,
                                         struct slice name, uint64_t now_ms,
                                         bool *is_new);
/* *pending: entries that were its; NQ_NOTFOUND: the group or the consumer. */
NQ_MUST_USE nq_rc stream_consumer_delete(struct stream *s, struct slice group,
                                         struct slice name, uint64_t *pending);
/* XACK.  *acked may be 0; then nothing is logged. */
NQ_MUST_USE nq_rc stream_ack(struct stream *s, struct slice group,
                             const struct stream_id *ids, uint32_t n,
                             uint64_t *acked);

/* One entry that becomes pending for the consumer whoever had it before, or
 * (is_dropped) is no longer pending. */
struct stream_claim {
    struct stream_id id;
    uint64_t delivered_ms, deliveries;
    bool is_dropped;
};

/* What a delivery changes: XREADGROUP, XCLAIM and XAUTOCLAIM are this.  The
 * consumer is made if it is not there ("xgroup-createconsumer" is raised). */
struct stream_delivery {
    struct slice group, consumer;
    uint64_t now_ms;  /* the consumer was seen */
    bool is_active;   /* and it got something */
    bool moves_group; /* `last` and `read` are the group's from now on */
    struct stream_id last;
    int64_t read;
    const struct stream_claim *claims; /* rising ids are fastest */
    uint32_t n;                        /* at most STREAM_CLAIMS_MAX */
};
#define STREAM_CLAIMS_MAX 65536

/* Notes all that stream_deliver() will need, for a command that changes
 * several streams: NQ_MISS. */
NQ_MUST_USE nq_rc stream_want_delivery(struct stream *s,
                                       const struct stream_delivery *d);
NQ_MUST_USE nq_rc stream_deliver(struct stream *s,
                                 const struct stream_delivery *d);

#endif
