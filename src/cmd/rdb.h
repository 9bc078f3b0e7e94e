/* cmd/rdb.h - values in Redis' serialized form, as DUMP and RESTORE carry
 * them.  Strings only, the one type there is.
 *
 * Pure functions of bytes; any thread. */
#ifndef NQ_CMD_RDB_H
#define NQ_CMD_RDB_H

#include "base/buf.h"
#include "base/rc.h"

struct arena;

/* The string `val` as a payload with version and checksum. */
void rdb_encode(struct buf *out, struct slice val);

/* The string of a payload: borrowed from it, or in the arena.  At most
 * `max_len` bytes.  NQ_ECORRUPT: version or checksum are wrong; NQ_EFORMAT:
 * not a string, or not well formed. */
NQ_MUST_USE nq_rc rdb_decode(struct slice payload, uint64_t max_len,
                             struct arena *arena, struct slice *val);

/* CRC-64 of Jones, as Redis uses it: reflected, from 0. */
uint64_t rdb_crc64(uint64_t crc, struct slice s);

#endif
