/* cmd/feed_int.h - what the files of feeds share.  Private to them.
 *
 *   feed     a query that is followed: its range, its test, what it tells
 *   lane     its messages for one version of the protocol, ready to be sent
 *   sub      one session that follows one feed: a position
 *   name     a durable position, and the subs that share it (feed_name.c)
 *
 * A change passes each feed whose range it lies in once; what matches becomes
 * a message in the lanes that somebody is live in.  A sub is live (it takes
 * from its lane), or behind (it reads the changes by itself until it has
 * caught up with the lane). */
#ifndef NQ_CMD_FEED_INT_H
#define NQ_CMD_FEED_INT_H

#include "base/hash.h"
#include "base/list.h"
#include "cmd/changes.h"
#include "cmd/engine.h"
#include "cmd/feed_message.h"
#include "cmd/feed_range.h"
#include "cmd/feed_ring.h"
#include "cmd/feeds.h"
#include "cmd/pressure.h"
#include "cmd/select.h"

#define FEED_LANES 2u /* RESP2, RESP3 */
#define FEED_SUB_MAGIC 0xfeed5b01

/* Bits of feed->events. */
enum { FEED_SET = 1, FEED_DEL = 2, FEED_EXPIRE = 4, FEED_ALL = 7 };

struct feed_lane {
    struct feed_ring ring;
    struct list subs;    /* live in it, by in_lane */
    struct list tip;     /* those that have all of it, by link */
    uint32_t live, idle; /* how many are on these lists */
    uint64_t least;      /* no live sub wants a number below: may be too low */
};

struct feed {
    struct hash_node node;
    struct list order;       /* feeds->order */
    struct feed_range range; /* in feeds->ranges while a lane has a sub */
    struct feeds *all;
    uint64_t id;
    uint32_t refs, subs;
    uint32_t db;
    struct buf identity; /* see feed_identity() */
    struct buf text;     /* the query, for people */
    struct program *where;
    struct path *returns[SELECT_RETURN_MAX];
    uint32_t return_count;
    unsigned needs; /* parts of a row, enum row_part */
    uint8_t events;
    struct cover *cover;
    char *channel; /* owned */
    struct feed_lane lanes[FEED_LANES];
    uint64_t matched;
};

enum feed_mode {
    FEED_ROWS,   /* the first answer is under way */
    FEED_BEHIND, /* reads changes by itself */
    FEED_LIVE,   /* takes messages from its lane */
    FEED_OVER    /* was told that it lost its place: gets nothing any more */
};

struct feed_sub {
    uint32_t magic;
    struct session *s;
    struct feed *feed;
    struct feed_name *name; /* NULL: none */
    struct list in_session; /* s->feeds */
    struct list in_lane;    /* LIVE: lane->subs; a name's: its list */
    struct list link;       /* feeds->ready, or lane->tip, or none */
    struct pressure_wait room;
    enum feed_mode mode;
    enum pressure_policy policy;
    struct change_reader *reader; /* BEHIND */
    bool has_fallen;              /* BEHIND, for it was too slow */
    struct feed_rows *rows;       /* ROWS: what is left of them */
    uint8_t lane;                 /* LIVE: which one */
    uint64_t next;                /* LIVE: number of the message */
    lsn at;                       /* all up to here is put or is not for it */
    lsn ready_at;                 /* "ready" is due at this position, or 0 */
    /* drop-oldest: the first that was dropped; 0: none.  drop-newest: the
     * first that is to be dropped. */
    lsn gap_from, gap_to;
    uint64_t gap_count;
    uint64_t sent, dropped;    /* messages */
    uint64_t held, held_bytes; /* of a name: not acknowledged */
    struct feed_chunk *chunk;  /* of messages for it alone */
};

struct feed_session {
    struct list subs;
    uint32_t count;
};

struct feeds {
    struct engine *e;
    struct hash by_identity;
    struct list order;          /* feeds by rising id */
    struct feed_ranges *ranges; /* one each database */
    uint32_t databases;
    struct change_reader *tail; /* NULL: nobody is live */
    bool has_news;              /* there may be something behind the tail */
    lsn tail_at;                /* all up to here has passed the lanes */
    struct feed **hits;         /* of the change that passes */
    size_t hit_count, hit_next, hit_cap;
    bool is_passing;   /* hits are known, not all of them were told */
    struct list ready; /* subs that may have something to put */
    struct list early; /* subs that wait until the log has settled so far */
    struct list names; /* of marks, once they are loaded */
    bool has_names;
    struct row_scratch *scratch;
    struct buf body;
    uint64_t next_id;
    uint64_t slice_end; /* of the turn, clock_mono_us() */
    struct feeds_stats stats;
};

/* --- feed.c ---------------------------------------------------------------
 */

/* The bytes that make two queries the same: database, range, test, fields,
 * events, and the channel if it is not ours to name (else empty); also what a
 * durable name keeps of its query. */
void feed_identity(uint32_t db, const struct select *sel, uint8_t events,
                   struct slice channel, struct buf *out);
/* The range that an identity begins with, borrowed from it. */
bool feed_identity_range(struct slice identity, struct key_range *out);
/* The same query for people. */
void feed_describe(const struct select *sel, uint8_t events, struct buf *out);

struct feed *feed_find(const struct feeds *all, struct slice identity);
/* Takes what `sel` holds.  One reference, which feed_unref() gives back; its
 * cover is the caller's to set. */
struct feed *feed_new(struct feeds *all, uint32_t db, struct select *sel,
                      uint8_t events, struct slice channel,
                      struct slice identity);
struct feed *feed_ref(struct feed *f);
void feed_unref(struct feed *f);
struct key_range feed_key_range(const struct feed *f);

/* Whether the change is told by the feed; then its message is in
 * feeds->body. */
bool feed_tell(struct feed *f, const struct change *c);
/* The bytes around a message on the channel: what comes before the text,
 * which has `len` bytes.  Returns the length; `dst` has FEED_HEAD_MAX. */
#define FEED_CHANNEL_MAX 1024u /* bytes of a channel */
#define FEED_HEAD_MAX (FEED_CHANNEL_MAX + 128u)
size_t feed_head(const char *channel, uint8_t resp, size_t len, uint8_t *dst);

/* --- feed_lane.c ----------------------------------------------------------
 */

/* A change that is settled passes all lanes.  False: not all of them yet, the
 * slice is over; it comes again. */
bool feed_lanes_pass(struct feeds *all, const struct change *c);
/* It does not come again. */
void feed_lanes_forget(struct feeds *all);
/* The sub, at sub->at, becomes live, if the lane has what comes behind. */
bool feed_lane_join(struct feed_sub *sub);
/* It is live no more; sub->at says where it is. */
void feed_lane_leave(struct feed_sub *sub);
/* Puts messages of the lane while there is room.  True: it has all. */
bool feed_lane_send(struct feed_sub *sub);
/* The invariants of the lane. */
void feed_lane_check(const struct feed_lane *l);
uint64_t feed_lane_waiting(const struct feed_sub *sub);

/* --- feeds.c --------------------------------------------------------------
 */

/* All changes up to `at` are settled. */
bool feeds_is_settled(const struct feeds *all, lsn at);
/* The tail is read, from now on at the latest; up to `at`, which is settled, if
 * the slice lasts so long. */
void feeds_follow(struct feeds *all, lsn at);
/* The slice of this turn is used up. */
bool feeds_is_over_slice(const struct feeds *all);

/* --- feed_sub.c -----------------------------------------------------------
 */

/* Takes over the reference to `f`.  It runs from the next turn on. */
struct feed_sub *feed_sub_new(struct session *s, struct feed *f);
void feed_sub_free(struct feed_sub *sub);
/* It may have something to put: looked at in this turn or the next. */
void feed_sub_wake(struct feed_sub *sub);
/* Puts what it may; for feeds_turn(). */
void feed_sub_run(struct feed_sub *sub);
/* Goes on from sub->at by itself. */
void feed_sub_fall_behind(struct feed_sub *sub);
/* Whether messages may be put now. */
bool feed_sub_has_room(const struct feed_sub *sub);
/* Puts a reference to messages, `count` of them. */
void feed_sub_put(struct feed_sub *sub, struct feed_chunk *c, size_t from,
                  size_t len, uint64_t count);
/* Puts feeds->body as a message for it alone. */
void feed_sub_put_body(struct feed_sub *sub);
const char *feed_sub_channel(const struct feed_sub *sub);
void feed_sub_set_state(struct feed_sub *sub);
enum pressure_state feed_sub_state(const struct feed_sub *sub);

/* --- feed_rows.c ----------------------------------------------------------
 */

/* The first answer: rows of the query, to be put before anything else. */
struct feed_rows;
/* Of a short range, as it is now: read for the running command, before its
 * effects.  *out is NULL if the range is long.  NQ_MISS. */
NQ_MUST_USE nq_rc feed_rows_read(struct req *rq, const struct select *sel,
                                 struct feed_rows **out);
/* Of any range, as it is when a snapshot was made; the sub's position is set
 * then. */
struct feed_rows *feed_rows_ask(struct feed_sub *sub);
void feed_rows_free(struct feed_rows *r); /* of NULL: does nothing */
/* Puts them while there is room.  NQ_OK: that was all; NQ_AGAIN: the sub is
 * woken; else they cannot be read. */
NQ_MUST_USE nq_rc feed_rows_send(struct feed_sub *sub);

/* --- feed_name.c ----------------------------------------------------------
 */

struct feed_name;
/* The names that the database has; the first call, once it is loaded. */
void feed_names_load(struct feeds *all);
void feed_names_free(struct feeds *all);
struct feed_name *feed_name_find(struct feeds *all, struct slice name);
/* The one whose place on feeds->names this is. */
const struct feed_name *feed_name_of(struct list *link);
/* Of its query, see feed_identity(). */
struct slice feed_name_identity(const struct feed_name *n);
/* A new one, from position `at` on; an effect of the running command. */
NQ_MUST_USE nq_rc feed_name_make(struct feeds *all, struct slice name,
                                 struct slice identity, struct slice text,
                                 lsn at, struct feed_name **out);
/* It is gone, and its subs with it. */
NQ_MUST_USE nq_rc feed_name_drop(struct feed_name *n);
const char *feed_name_channel(const struct feed_name *n);
void feed_name_join(struct feed_name *n, struct feed_sub *sub);
void feed_name_leave(struct feed_sub *sub);
void feed_name_run(struct feed_sub *sub);
/* Messages up to `at` are done: those that the session was given, or if it is
 * no sub of the name, all.  *count: how many they are. */
NQ_MUST_USE nq_rc feed_name_ack(struct feed_name *n, const struct session *s,
                                lsn at, uint64_t *count);

struct feed_name_info {
    struct slice name, text; /* borrowed */
    const char *channel;
    lsn acked, at;
    uint32_t subs;
    uint64_t waiting; /* for an acknowledgement */
    uint64_t acknowledged, redelivered;
};
void feed_name_get_info(const struct feed_name *n, struct feed_name_info *out);

#endif
