/* db/zset_int.h - what the files of the sorted set share: the keys of its
 * collection, and looking members up.  The layout is told in zset.c. */
#ifndef NQ_DB_ZSET_INT_H
#define NQ_DB_ZSET_INT_H

#include "db/db_int.h"
#include "db/zset.h"

/* Bits of the record's head. */
#define ZSET_SKIPLIST                                                          \
    1                /* OBJECT ENCODING says so, and never again otherwise     \
                      */
#define ZSET_STALE 2 /* a tree that holds an 'a' item */
#define ZSET_STALE_KEY "a"

#define ZSET_SCORE_SIZE 8
#define ZSET_NAME_AT (1 + ZSET_SCORE_SIZE) /* of the member in an 's' key */
#define ZSET_MAX_NAME (BTREE_MAX_KEY - ZSET_NAME_AT)

/* A key of the collection, being put together: in place unless it is long. */
#define ZSET_KEY_ROOM 144
struct zset_key {
    struct slice key;
    uint8_t *heap; /* NULL: in room */
    uint8_t room[ZSET_KEY_ROOM];
};
/* The key of (score, name) in order. */
void zset_key_score(struct zset_key *k, double score, struct slice name);
/* The key of a member's score. */
void zset_key_name(struct zset_key *k, struct slice name);
static inline void
zset_key_fini(struct zset_key *k)
{
    if (nq_unlikely(k->heap != NULL))
        nq_free(k->heap);
}

double zset_score_at(uint64_t order);

enum standing { ABSENT, STALE, PRESENT };
/* How `name` stands in the set; its score unless ABSENT. */
NQ_MUST_USE nq_rc zset_find(struct zset *z, struct slice name,
                            enum standing *st, double *score);

/* card and first follow the collection's count. */
void zset_recount(struct zset *z);

/* --- zset_change.c ------------------------------------------------------- */

/* Notes what putting or removing a member takes: its old place if it is
 * PRESENT with the score `was`, the new one unless `score` is NULL. */
NQ_MUST_USE nq_rc zset_want(struct zset *z, struct slice name, enum standing st,
                            double was, const double *score);
NQ_MUST_USE nq_rc zset_del_name(struct zset *z, struct slice name);
NQ_MUST_USE nq_rc zset_remove_member(struct zset *z, struct slice name,
                                     double score);
/* `event` may be NULL. */
void zset_raise(struct zset *z, const char *event, bool is_gone);
/* The end of a change that went as `rc` says: what was done of it is committed
 * in any case, and told by the effect. */
NQ_MUST_USE nq_rc zset_finish(struct zset *z, nq_rc rc, uint8_t effect,
                              const struct slice *args, unsigned nargs,
                              const char *event);
NQ_MUST_USE nq_rc zset_find_for_replay(struct db *db,
                                       const struct wal_record *r,
                                       struct entry *e, bool *found);

/* --- zset_sweep.c -------------------------------------------------------- */

/* What the 'a' item says; only of a set that has one. */
NQ_MUST_USE nq_rc zset_stale_read(struct zset *z);
/* After every change: the 'a' item follows z->stale, and some stale items
 * are swept if there are any. */
NQ_MUST_USE nq_rc zset_sweep_some(struct zset *z);

#endif
