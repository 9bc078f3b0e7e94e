/* db/db_salvage.h - collections in parts: what single records of a private
 * tree say, when the tree is not whole any more.
 *
 * Loop thread of a tool, in blocking mode. */
#ifndef NQ_DB_DB_SALVAGE_H
#define NQ_DB_DB_SALVAGE_H

#include "base/arena.h"
#include "db/db.h"
#include "db/stream.h"

/* One element. */
struct db_piece {
    struct slice name, val; /* hash: field and value; set, zset: the member;
                               list: the element is `val` */
    double score;           /* zset */
    uint64_t expire_ms;     /* of the field, 0: never */
    struct stream_id id;    /* stream */
    struct stream_fields fields;
};
typedef void db_piece_fn(void *arg, const struct db_piece *p);

/* All of the log that fits: what cannot be applied is told (`key` may be
 * empty) and left out.  Then the database is there to be read. */
NQ_MUST_USE nq_rc db_salvage_replay(struct db *db,
                                    void (*failed)(void *arg,
                                                   const char *effect,
                                                   uint32_t dbi,
                                                   struct slice key),
                                    void *arg);
/* The root of the list of what is to be freed; 0: nothing is. */
pgno db_salvage_frees(const struct db *db);
/* How many elements the private tree of that record has; 0: not known. */
uint64_t db_salvage_count(const struct record *owner);
/* How many of them a record of such a tree stands for. */
uint64_t db_salvage_weight(uint8_t type, const struct record *item);
/* The elements of a record of the private tree of `owner`.  What it owns is
 * read; memory is the arena's.  Records that only lead to others, or tell of
 * groups of streams, have none.  NQ_ECORRUPT, NQ_EIO. */
NQ_MUST_USE nq_rc db_salvage_item(struct db *db, const struct record *owner,
                                  struct slice key, const struct record *item,
                                  struct arena *arena, db_piece_fn *fn,
                                  void *arg);
/* Those that stand in the record of a list itself, before and behind its
 * tree. */
NQ_MUST_USE nq_rc db_salvage_ends(const struct record *owner, bool tail,
                                  db_piece_fn *fn, void *arg);
/* Whether all that the value, a reference to a blob, consists of is
 * readable. */
NQ_MUST_USE nq_rc db_salvage_blob(struct db *db, struct slice val);
/* Whether it could be a record of the private tree of such a type. */
bool db_salvage_fits(uint8_t type, struct slice key, const struct record *item);

#endif
