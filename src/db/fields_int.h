/* db/fields_int.h - what the files of the hash type share: fields.c,
 * fields_expire.c. */
#ifndef NQ_DB_FIELDS_INT_H
#define NQ_DB_FIELDS_INT_H

#include "db/coll_int.h"
#include "db/fields.h"

/* The head of a hash's record:
 *
 *   0  u8   1: OBJECT ENCODING says hashtable
 *   1  u48  the key's own expiry, 0: none; only with DB_FIELD_TTL */
#define FIELDS_HEAD 1
#define FIELDS_HEAD_TTL 7

/* The key's own expiry. */
uint64_t fields_own_expiry(const struct coll *c);
/* A field is to get an expiry: the key's own gets a place of its own.  Right
 * after coll_begin(), before anything else is changed (coll.h). */
void fields_note_ttl(struct coll *c);

static inline bool
fields_is_due(const struct coll *c, const struct item *it)
{
    return it->expire_ms != 0 && it->expire_ms <= c->db->now_ms &&
           !c->db->is_replaying;
}

/* Commits what was done: the record's expiry and the keyspace's counters
 * follow from it, and the effect is `head` and how many and which words it is
 * about.  Raises `event` if it is not NULL, and "del". */
NQ_MUST_USE nq_rc fields_commit(struct coll *c, uint8_t effect,
                                struct slice head, const struct slice *words,
                                uint32_t n, const char *event);
/* The words of an effect, borrowed from its arguments, in memory to be freed;
 * NQ_EFORMAT. */
NQ_MUST_USE nq_rc fields_words_decode(struct cursor *in, struct slice **words,
                                      uint32_t *n);
/* What is known of a hash that replay changes: NQ_NOTFOUND: absent. */
NQ_MUST_USE nq_rc fields_find_replayed(struct db *db,
                                       const struct wal_record *r,
                                       struct entry *e);

#endif
