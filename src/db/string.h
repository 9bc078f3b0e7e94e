/* db/string.h - the string type: inline bytes, integers, blobs.
 *
 * Loop thread only; NQ_MISS as in db.h.  Calls that write log their effect,
 * raise their event and touch watchers. */
#ifndef NQ_DB_STRING_H
#define NQ_DB_STRING_H

#include "db/db.h"

struct arena;

#define STRING_KEEP_TTL UINT64_MAX

/* Length in bytes of a found string, as STRLEN says. */
uint64_t string_len(const struct entry *e);
/* Its bytes [off, off+n), clipped to its length: borrowed from the page when
 * inline, else copied into the arena. */
NQ_MUST_USE nq_rc string_range(struct db *db, const struct entry *e,
                               uint64_t off, uint64_t n, struct arena *arena,
                               struct slice *out);
/* The same of [off, off+n), which lies inside, to dst. */
NQ_MUST_USE nq_rc string_copy(struct db *db, const struct entry *e,
                              uint64_t off, uint64_t n, uint8_t *dst);
/* All of it. */
NQ_MUST_USE nq_rc string_bytes(struct db *db, const struct entry *e,
                               struct arena *arena, struct slice *out);
/* For sending a blob by reference: chunk i and its pin (see store/blob.h).
 * chunks is 0 when the string is inline. */
uint32_t string_chunks(const struct entry *e);
NQ_MUST_USE nq_rc string_chunk(struct db *db, const struct entry *e, uint32_t i,
                               struct slice *out, uint32_t *pin);
void string_unpin(struct db *db, uint32_t pin);

/* How a string stands on disk: its leaf, and the pages of a blob. */
struct string_disk {
    uint32_t pages, written; /* all, and those that have been written */
    uint64_t bytes;          /* of the written ones, whole */
    uint8_t codec;           /* of the first chunk, or else of the leaf */
    bool is_mixed;           /* other chunks have other codecs */
};
NQ_MUST_USE nq_rc string_disk(struct db *db, const struct entry *e,
                              struct string_disk *out);
/* The value as an integer, if it is one: NQ_ENOTINT. */
NQ_MUST_USE nq_rc string_int(struct db *db, const struct entry *e,
                             int64_t *out);
/* "int", "embstr" or "raw". */
const char *string_encoding(const struct entry *e);

/* SET.  `old` is what db_find_write() found (with its result in `found`).
 * expire_ms: 0 none, STRING_KEEP_TTL, or when.  Integers are kept as such. */
NQ_MUST_USE nq_rc string_set(struct db *db, uint32_t dbi, struct slice key,
                             struct entry *old, bool found, struct slice val,
                             uint64_t expire_ms, const char *event);
/* The value after adding; expiry kept.  Raises `event` ("incrby" ...). */
NQ_MUST_USE nq_rc string_set_int(struct db *db, uint32_t dbi, struct slice key,
                                 struct entry *old, bool found, int64_t val,
                                 const char *event);
/* Writes `bytes` at `off`, growing with zeroes; creates the key.  Only the
 * chunks touched are copied.  *len: length afterwards.  APPEND, SETRANGE and
 * SETBIT are this. */
NQ_MUST_USE nq_rc string_write(struct db *db, uint32_t dbi, struct slice key,
                               struct entry *old, bool found, uint64_t off,
                               struct slice bytes, const char *event,
                               uint64_t *len);

#endif
