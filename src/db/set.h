/* db/set.h - the set type: members in bytewise order, each of them once.
 *
 * Loop thread only; NQ_MISS and NQ_EHELD as in coll.h.  Calls that write log
 * one effect a key, raise their event and touch watchers.  A set that loses
 * its last member is removed with it, and "del" is raised. */
#ifndef NQ_DB_SET_H
#define NQ_DB_SET_H

#include "db/coll.h"

#define SET_HEAD_LEN 1 /* as coll_open() wants it */

/* The set found (or not) in `e`, as a collection whose keys are the members,
 * without values: what readers work with. coll_close() it. */
NQ_MUST_USE nq_rc set_open(struct db *db, uint32_t dbi, struct slice key,
                           struct entry *e, bool found, struct coll *out);
/* "intset", "listpack" or "hashtable", as Redis 7.2 would keep it. */
const char *set_encoding(const struct entry *e);

/* SADD.  `old` is what db_find_write() found (with its result in `found`); the
 * members are the caller's memory, not pages.  *added: how many are new; none:
 * nothing is logged or raised.  NQ_EKEYLEN: a member is too long.
 * `event` ("sadd") may be NULL. */
NQ_MUST_USE nq_rc set_add(struct db *db, uint32_t dbi, struct slice key,
                          struct entry *old, bool found,
                          const struct slice *members, unsigned n,
                          const char *event, uint64_t *added);
/* SREM, of a found set; members that are none of it do not matter. */
NQ_MUST_USE nq_rc set_remove(struct db *db, uint32_t dbi, struct slice key,
                             struct entry *old, const struct slice *members,
                             unsigned n, const char *event, uint64_t *removed);

/* SPOP of the member of that rank (below the set's count), which is copied
 * into the arena. */
NQ_MUST_USE nq_rc set_pop(struct db *db, uint32_t dbi, struct slice key,
                          struct entry *old, uint64_t rank, const char *event,
                          struct arena *arena, struct slice *member);

/* Notes what adding or removing these members will need, so that a command that
 * changes two sets learns of every miss before its first effect. */
NQ_MUST_USE nq_rc set_want(struct db *db, uint32_t dbi, struct slice key,
                           struct entry *e, bool found,
                           const struct slice *members, unsigned n);

#endif
