/* db/fields.h - the hash type: named fields with values, each of which may
 * have an expiry of its own.  (base/hash.h is a table in memory.)
 *
 * Loop thread only; NQ_MISS as in db.h.  Calls that write log one effect,
 * raise their event (and "del" if the key went) and touch watchers.  They may
 * return NQ_EHELD (coll.h), having changed nothing.
 *
 * A field that is due is never visible.  Those that nobody overwrites are
 * removed in the background; until then they are counted by coll.count, so
 * ask fields_count().  A hash all of whose fields are due is not found.
 *
 * While a hash has had fields with an expiry its record has DB_FIELD_TTL:
 * rec.expire_ms is the earliest expiry of all, the key's own is
 * db_expire_of(). */
#ifndef NQ_DB_FIELDS_H
#define NQ_DB_FIELDS_H

#include "db/coll.h"

struct rng;

#define FIELDS_KEEP_TTL UINT64_MAX

/* `e` is what db_find() or db_find_write() left.  coll_close() always. */
NQ_MUST_USE nq_rc fields_open(struct db *db, uint32_t dbi, struct slice key,
                              struct entry *e, bool found, struct coll *out);
/* How coll_open() is to be told of the hash in `rec`. */
uint8_t fields_head_len(const struct record *rec);
/* NQ_OK or NQ_NOTFOUND (absent or due). */
NQ_MUST_USE nq_rc fields_get(struct coll *c, struct slice field,
                             struct item *out);
/* How many are not due. */
NQ_MUST_USE nq_rc fields_count(struct coll *c, uint64_t *out);
/* Stands on any one that is not due, all equally likely; NQ_NOTFOUND. */
NQ_MUST_USE nq_rc fields_random(struct coll_cursor *cu, struct rng *rng);
/* "listpack", "listpackex" or "hashtable". */
const char *fields_encoding(const struct entry *e);

/* --- changes ------------------------------------------------------------- */

/* HSET of n pairs: field, value, field, value ...  expire_ms: 0 none,
 * FIELDS_KEEP_TTL, or when.  *added: fields that were not there.  NQ_EKEYLEN.
 */
NQ_MUST_USE nq_rc fields_set(struct db *db, uint32_t dbi, struct slice key,
                             struct entry *old, bool found,
                             const struct slice *pairs, uint32_t n,
                             uint64_t expire_ms, const char *event,
                             uint64_t *added);
/* HDEL.  `old` was found.  *removed may be 0; then nothing is raised. */
NQ_MUST_USE nq_rc fields_del(struct db *db, uint32_t dbi, struct slice key,
                             struct entry *old, const struct slice *fields,
                             uint32_t n, const char *event, uint64_t *removed);

/* When a new expiry replaces what there is, as EXPIRE has it; 0: always. */
enum fields_when { FIELDS_NX = 1, FIELDS_XX = 2, FIELDS_GT = 4, FIELDS_LT = 8 };
/* What became of a field, in the numbers that Redis answers. */
enum fields_result {
    FIELDS_ABSENT = -2,
    FIELDS_NO_TTL = -1, /* it had none that could be removed */
    FIELDS_REFUSED = 0, /* by `when` */
    FIELDS_DONE = 1,
    FIELDS_DELETED = 2 /* expire_ms is not in the future */
};
/* HPEXPIREAT, or with 0 HPERSIST, in order, each as if alone.  `old` was
 * found. */
NQ_MUST_USE nq_rc fields_expire(struct db *db, uint32_t dbi, struct slice key,
                                struct entry *old, const struct slice *fields,
                                uint32_t n, uint64_t expire_ms, unsigned when,
                                enum fields_result *results);

/* --- for the keyspace ---------------------------------------------------- */

/* The key's own expiry, of a record with DB_FIELD_TTL. */
uint64_t fields_expiry(const struct record *rec);
/* The same record with another; its value is in db->scratch. */
NQ_MUST_USE nq_rc fields_with_expiry(struct db *db, uint32_t dbi,
                                     struct slice key, struct entry *e,
                                     uint64_t expire_ms, struct record *out);
/* Whether all fields are due, and so the key is not there. */
NQ_MUST_USE nq_rc fields_all_due(struct db *db, uint32_t dbi, struct slice key,
                                 struct entry *e, bool *out);
/* Removes some of the fields that are due; effect HDEL, event "hexpired".
 * NQ_ECORRUPT: the record says so, but none is. */
NQ_MUST_USE nq_rc fields_remove_due(struct db *db, uint32_t dbi,
                                    struct slice key, struct entry *e);
/* The keyspace is to come back to the fields that are due at until_ms. */
NQ_MUST_USE nq_rc fields_postpone(struct db *db, uint32_t dbi, struct slice key,
                                  struct entry *e, uint64_t until_ms);

#endif
