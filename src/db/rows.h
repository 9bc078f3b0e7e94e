/* db/rows.h - records of the keyspace as rows of a query (query/row.h).
 *
 * What lies in a leaf is told at once, on any thread that holds the leaf.  A
 * long value, or a hash with a tree of its own, is read on the loop thread. */
#ifndef NQ_DB_ROWS_H
#define NQ_DB_ROWS_H

#include "base/arena.h"
#include "db/db.h"
#include "query/row.h"

/* Fills in *out, which borrows from the record, with the parts of `needs` that
 * lie in it; false: one of them lies elsewhere, so db_row_far() is to be
 * asked.  Any thread.  Whether the key is over is the caller's to know:
 * expire_ms is that of the key.  `fields` is memory for what out->arg says. */
struct row_fields {
    struct slice packed;
    uint64_t now_ms; /* fields that are due do not exist */
    const void *more;
};
bool db_row_near(struct slice key, const struct record *rec, unsigned needs,
                 uint64_t now_ms, struct row_fields *fields, struct row *out);
/* The same for any record just read from its tree: values are collected into
 * the arena, at most `limit` bytes of them.  NQ_MISS; NQ_ETOOLONG. */
NQ_MUST_USE nq_rc db_row_far(struct db *db, uint32_t dbi, struct slice key,
                             const struct record *rec, unsigned needs,
                             size_t limit, struct arena *arena,
                             struct row_fields *fields, struct row *out);

#endif
