/* db/rows.h - records of the keyspace as rows of a query (query/row.h).
 *
 * What lies in a leaf is told at once, on any thread that holds the leaf.  A
 * long value, or a hash with a tree of its own, is read on the loop thread. */
#ifndef NQ_DB_ROWS_H
#define NQ_DB_ROWS_H

#include "base/arena.h"
#include "db/db.h"
#include "query/row.h"

/* Memory for what row.arg says. */
struct row_far;
struct row_fields {
    struct slice packed; /* fields of a hash that lie in its record */
    uint64_t now_ms;     /* fields that are due do not exist */
    char digits[24];     /* of an integer */
    struct row_far *far; /* NULL: the row was near */
};

enum row_near {
    ROW_NEAR, /* *out is filled in */
    ROW_OVER, /* the key is over, though not removed yet */
    ROW_FAR   /* something of it lies elsewhere: ask db_row_far() */
};

/* Fills in *out, which borrows from key, record and `fields`, with the parts of
 * `needs`.  Any thread. */
enum row_near db_row_near(struct slice key, const struct record *rec,
                          unsigned needs, uint64_t now_ms,
                          struct row_fields *fields, struct row *out);

/* The same for any key.  Long values are copied into the arena; the fields of
 * a hash with a tree are looked up as they are asked for.  NQ_NOTFOUND: no such
 * key, or it is over.  NQ_MISS.  NQ_ETOOLONG: the value is longer than `limit`;
 * *out is filled in without ROW_VALUE.  Loop thread; nothing may be written
 * before db_row_end(), which is called in any case. */
NQ_MUST_USE nq_rc db_row_far(struct db *db, uint32_t dbi, struct slice key,
                             unsigned needs, size_t limit, struct arena *arena,
                             struct row_fields *fields, struct row *out);
/* Not NQ_OK: what was read of the row through its functions is void, because a
 * page was missing (NQ_MISS: come again), or the fields that were read are
 * longer than `limit` (NQ_ETOOLONG).  Of a near row: NQ_OK. */
NQ_MUST_USE nq_rc db_row_check(const struct row_fields *fields);
void db_row_end(struct row_fields *fields);

#endif
