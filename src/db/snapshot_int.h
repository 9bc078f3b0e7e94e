/* db/snapshot_int.h - what snapshot.c and snapshot_rows.c share. */
#ifndef NQ_DB_SNAPSHOT_INT_H
#define NQ_DB_SNAPSHOT_INT_H

#include "base/arena.h"
#include "db/rows.h"
#include "db/snapshot.h"
#include "store/pin_tree.h"

/* What a worker reads rows with. */
struct snapshot_reader {
    struct pin_tree *far; /* trees of hashes, and blobs */
    struct arena arena;   /* of one row */
    uint64_t now_ms;
    size_t value_max, taken; /* bytes of values: of a row at most, and so far */
    struct row_fields fields;
    nq_rc rc; /* why a field could not be read while the row was looked at */
};
void snapshot_reader_init(struct snapshot_reader *r, struct pin *p,
                          uint64_t now_ms, size_t value_max);
void snapshot_reader_fini(struct snapshot_reader *r);
/* Fills in *out with the parts of `needs`; good until the next call.
 * NQ_NOTFOUND: the key was due.  NQ_ECORRUPT, NQ_EIO, NQ_ETOOMUCH; after the
 * row was looked at, r->rc may be one of these, too. */
NQ_MUST_USE nq_rc snapshot_row(struct snapshot_reader *r, struct slice key,
                               const struct record *rec, unsigned needs,
                               struct row *out);

#endif
