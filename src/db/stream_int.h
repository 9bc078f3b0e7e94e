/* db/stream_int.h - what the files of the stream share: the layout of its
 * collection's keys and head.
 *
 *   'c' group consumer name of a consumer: empty
 *   'g' name                of a group: number varint, last id, entries read
 *                           + 1 varint, next consumer's number varint
 *   'n' group name          of a consumer: number varint, seen varint, active
 *                           + 1 varint
 *   'p' group id            of a pending entry: consumer varint, when
 *                           delivered varint, how often varint
 *   'q' group consumer id   the same entry by its consumer; empty
 *   'x' id                  an entry (stream.c)
 *
 * Groups and consumers stand in keys as numbers: u64, and ids as two of them,
 * all big-endian.  Numbers are never given twice, so a new group cannot meet
 * what an old one left.  Entries come last, where appending is cheapest, and
 * an entry's rank is that of its key less the number of all other items. */
#ifndef NQ_DB_STREAM_INT_H
#define NQ_DB_STREAM_INT_H

#include "db/db_int.h"
#include "db/stream.h"
#include "db/stream_group.h"

#define STREAM_ID_SIZE 16
#define STREAM_HEAD_SIZE 72

#define KEY_CONSUMER 'c'
#define KEY_GROUP 'g'
#define KEY_NAME 'n'
#define KEY_PENDING 'p'
#define KEY_OWNED 'q'
#define KEY_ENTRY 'x'

#define OF_GROUP_SIZE 9  /* letter, group */
#define CONSUMER_SIZE 17 /* ... consumer */
#define PENDING_SIZE (OF_GROUP_SIZE + STREAM_ID_SIZE)
#define OWNED_SIZE (CONSUMER_SIZE + STREAM_ID_SIZE)

static inline void
stream_put_u64(uint8_t *dst, uint64_t v)
{
    for (int i = 7; i >= 0; i--, v >>= 8)
        dst[i] = (uint8_t)v;
}

static inline uint64_t
stream_get_u64(const uint8_t *p)
{
    uint64_t v = 0;

    for (int i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

static inline void
stream_put_id(uint8_t *dst, struct stream_id id)
{
    stream_put_u64(dst, id.ms);
    stream_put_u64(dst + 8, id.seq);
}

static inline struct stream_id
stream_get_id(const uint8_t *p)
{
    return (struct stream_id){stream_get_u64(p), stream_get_u64(p + 8)};
}

bool stream_cursor_id(struct cursor *c, struct stream_id *out);

/* Keys; all return what they wrote. */
struct slice stream_of_group(uint8_t *dst, uint8_t letter, uint64_t group);
struct slice stream_pending_key(uint8_t dst[PENDING_SIZE], uint64_t group,
                                struct stream_id id);
struct slice stream_owned_key(uint8_t dst[OWNED_SIZE], uint64_t group,
                              uint64_t consumer, struct stream_id id);
/* In s->work, until its next use. */
struct slice stream_consumer_key(struct stream *s, uint64_t group,
                                 uint64_t consumer, struct slice name);
struct slice stream_group_key(struct stream *s, struct slice name);
struct slice stream_name_key(struct stream *s, uint64_t group,
                             struct slice name);
/* The first key behind all that begin with `prefix`, at most 17 bytes. */
struct slice stream_prefix_end(uint8_t *dst, struct slice prefix);
/* How many items have keys that begin with `prefix`. */
NQ_MUST_USE nq_rc stream_prefix_count(struct stream *s, struct slice prefix,
                                      uint64_t *out);

/* Values; of groups and consumers into dst[GROUP_VALUE_MAX]. */
#define GROUP_VALUE_MAX 46
struct slice stream_encode_group(uint8_t *dst, const struct stream_group *g);
struct slice stream_encode_consumer(uint8_t *dst,
                                    const struct stream_consumer *c);
NQ_MUST_USE nq_rc stream_decode_pending(struct slice val,
                                        struct stream_pending *out);
NQ_MUST_USE nq_rc stream_decode_entry(struct slice val,
                                      struct stream_fields *out);

/* How many entries have smaller ids. */
NQ_MUST_USE nq_rc stream_rank(struct stream *s, struct stream_id id,
                              uint64_t *out);

/* Keys to be wanted: room for `cap`, freed by the caller. */
struct stream_keys {
    struct slice *keys;
    uint8_t *room;
    unsigned n;
};
void stream_keys_init(struct stream_keys *k, unsigned cap);
void stream_keys_fini(struct stream_keys *k);
/* Where the next key (at most OWNED_SIZE bytes) goes. */
uint8_t *stream_keys_room(struct stream_keys *k);
void stream_keys_add(struct stream_keys *k, struct slice key);

/* Whether pages that are missing have to be asked for: a small stream has
 * none, replay reads them on the spot. */
static inline bool
stream_can_miss(const struct stream *s)
{
    return s->coll.is_tree && !s->coll.db->is_replaying;
}

/* The consumer, or (*is_new) what it will be: number and all; g->next_consumer
 * is moved on then. */
NQ_MUST_USE nq_rc stream_find_or_make(struct stream *s, struct stream_group *g,
                                      struct slice name, uint64_t now_ms,
                                      struct stream_consumer *out,
                                      bool *is_new);
/* Wants the items of the group and of the consumer. */
NQ_MUST_USE nq_rc stream_want_consumer(struct stream *s,
                                       const struct stream_group *g,
                                       const struct stream_consumer *c,
                                       bool is_new);
NQ_MUST_USE nq_rc stream_put_consumer(struct stream *s,
                                      const struct stream_group *g,
                                      const struct stream_consumer *c,
                                      bool is_new);

/* Writes head and record, logs the effect. */
NQ_MUST_USE nq_rc stream_commit(struct stream *s, uint8_t effect,
                                const struct slice *args, unsigned n);
void stream_event(struct stream *s, const char *event);
/* Opens the stream that an effect is to be applied to; stream_close() always.
 */
NQ_MUST_USE nq_rc stream_open_replay(struct db *db, const struct wal_record *r,
                                     struct entry *e, struct stream *out);

#endif
