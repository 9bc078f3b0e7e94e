/* db/mark.h - names for positions in the log, durable.
 *
 * Loop thread only.  A mark is made, moved and removed by effects in the log,
 * and is part of each checkpoint.  The log is kept from the least of them on,
 * within bounds (cmd/changes.h). */
#ifndef NQ_DB_MARK_H
#define NQ_DB_MARK_H

#include "db/db.h"

#define MARK_NAME_MAX 256u
#define MARK_DATA_MAX 65536u
#define MARKS_MAX 10000u

struct mark {
    struct slice name; /* up to MARK_NAME_MAX bytes */
    lsn at;
    struct slice data; /* means something to its owner; MARK_DATA_MAX */
};

/* Adds it, or replaces the one of this name.  Effects of the running command,
 * here and below.  NQ_EREADONLY, NQ_ENOSPC; NQ_EFULL: there are MARKS_MAX. */
NQ_MUST_USE nq_rc db_mark_put(struct db *db, const struct mark *m);
/* Moves it, its data stays; NQ_NOTFOUND. */
NQ_MUST_USE nq_rc db_mark_move(struct db *db, struct slice name, lsn at);
NQ_MUST_USE nq_rc db_mark_del(struct db *db, struct slice name);
/* Borrowed until the next change of marks.  NQ_NOTFOUND. */
NQ_MUST_USE nq_rc db_mark_find(struct db *db, struct slice name,
                               struct mark *out);
/* By rising name; `fn` changes nothing. */
void db_mark_each(struct db *db, void (*fn)(void *arg, const struct mark *m),
                  void *arg);

#endif
