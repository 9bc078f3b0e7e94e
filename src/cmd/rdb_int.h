/* cmd/rdb_int.h - what the rdb files share: lengths and strings of payloads,
 * and the numbers of the types. */
#ifndef NQ_CMD_RDB_INT_H
#define NQ_CMD_RDB_INT_H

#include "base/cursor.h"
#include "cmd/rdb.h"
#include "cmd/rdb_packed.h"

enum rdb_type {
    RDB_STRING = 0,
    RDB_LIST = 1,
    RDB_SET = 2,
    RDB_ZSET_TEXT = 3,
    RDB_HASH = 4,
    RDB_ZSET = 5,
    RDB_LIST_ZIPLIST = 10,
    RDB_SET_INTSET = 11,
    RDB_ZSET_ZIPLIST = 12,
    RDB_HASH_ZIPLIST = 13,
    RDB_LIST_QUICKLIST = 14,
    RDB_STREAM_1 = 15,
    RDB_HASH_LISTPACK = 16,
    RDB_ZSET_LISTPACK = 17,
    RDB_LIST_QUICKLIST_2 = 18,
    RDB_STREAM_2 = 19,
    RDB_SET_LISTPACK = 20,
    RDB_STREAM_3 = 21,
    RDB_HASH_EXPIRES = 24,
    RDB_HASH_EXPIRES_LISTPACK = 25
};

/* A payload being read. */
struct rdb_reader {
    struct cursor c;
    struct arena *arena;
    uint64_t max_len; /* of a string */
    uint64_t unpack;  /* bytes that may still be unpacked */
    uint64_t items;   /* elements that it may still have: what each takes in
                         memory is many times what it takes in the payload */
};

bool rdb_get_length(struct rdb_reader *r, uint64_t *len);
bool rdb_get_string(struct rdb_reader *r, struct slice *s);
/* A length that says how many things of at least `bytes` bytes follow. */
bool rdb_get_count(struct rdb_reader *r, uint64_t bytes, uint64_t *n);

void rdb_put_length(struct buf *out, uint64_t len);
void rdb_put_string(struct buf *out, struct slice s);

/* What follows the type. */
bool rdb_get_value(struct rdb_reader *r, uint8_t type, struct rdb_value *v);
bool rdb_get_stream(struct rdb_reader *r, uint8_t type, struct rdb_value *v);
void rdb_put_stream(struct buf *out, const struct rdb_stream *s);

#endif
