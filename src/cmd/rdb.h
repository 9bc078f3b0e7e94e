/* cmd/rdb.h - values in Redis' serialized form, as DUMP and RESTORE carry
 * them.
 *
 * Pure functions of bytes; any thread.  A decoded value is a set of slices
 * that are borrowed from the payload or stand in the arena, in the order in
 * which the payload has them; nothing is said about repeated ones. */
#ifndef NQ_CMD_RDB_H
#define NQ_CMD_RDB_H

#include "base/buf.h"
#include "base/rc.h"
#include "db/db.h"

struct arena;

struct rdb_id { /* of a stream entry */
    uint64_t ms, seq;
};

struct rdb_entry {
    struct rdb_id id;
    const struct slice *fields; /* field, value, field, value ... */
    uint64_t count;             /* of those slices: even */
};

#define RDB_NOBODY UINT64_MAX

struct rdb_pending {
    struct rdb_id id;
    uint64_t delivered_ms, deliveries;
    uint64_t consumer; /* its place in the group's list, or RDB_NOBODY */
};

struct rdb_consumer {
    struct slice name;
    uint64_t seen_ms, active_ms; /* active_ms UINT64_MAX: never */
};

struct rdb_group {
    struct slice name;
    struct rdb_id last;
    int64_t entries_read; /* -1: not known */
    struct rdb_consumer *consumers;
    uint64_t consumer_count;
    struct rdb_pending *pending; /* by rising id */
    uint64_t pending_count;
};

struct rdb_stream {
    struct rdb_entry *entries; /* by rising id */
    uint64_t count;
    struct rdb_id first, last, max_deleted;
    uint64_t entries_added;
    struct rdb_group *groups;
    uint64_t group_count;
};

struct rdb_value {
    enum db_type type;
    /* A string: one.  A list, set, sorted set: elements or members.  A hash:
     * field, value, field, value ... */
    struct slice *items;
    uint64_t count;
    double *scores;      /* of a sorted set: one an item */
    uint64_t *expire_ms; /* of a hash, may be NULL: one a field, 0: never */
    struct rdb_stream *stream;
};

/* The value as a payload with version and checksum. */
void rdb_encode(struct buf *out, const struct rdb_value *v);

/* Strings are at most `max_len` bytes, and all that has to be unpacked in all
 * takes at most that much.  NQ_ECORRUPT: version or checksum are wrong;
 * NQ_EFORMAT: not well formed, or of a kind that is not kept here. */
NQ_MUST_USE nq_rc rdb_decode(struct slice payload, uint64_t max_len,
                             struct arena *arena, struct rdb_value *out);

/* CRC-64 of Jones, as Redis uses it: reflected, from 0. */
uint64_t rdb_crc64(uint64_t crc, struct slice s);

#endif
