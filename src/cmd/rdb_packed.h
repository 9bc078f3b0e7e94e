/* cmd/rdb_packed.h - the three packed forms inside Redis' payloads: listpack,
 * ziplist, intset.
 *
 * Pure functions of bytes; any thread.  Elements that are kept as integers
 * come out as their decimal text. */
#ifndef NQ_CMD_RDB_PACKED_H
#define NQ_CMD_RDB_PACKED_H

#include "base/buf.h"
#include "base/slice.h"

struct arena;

/* A growing array of slices in an arena, of at most `max`; what is put beyond
 * that is dropped, and remembered. */
struct slices {
    struct arena *arena;
    struct slice *at;
    uint64_t count, cap, max;
    bool is_overfull;
};
void slices_put(struct slices *s, struct slice item);

/* All elements, appended to `out`; borrowed from `in` or in the arena.  False:
 * not well formed. */
bool listpack_decode(struct slice in, struct slices *out);
bool ziplist_decode(struct slice in, struct slices *out);
bool intset_decode(struct slice in, struct slices *out);

/* A listpack under construction at the end of `b`. */
struct listpack {
    struct buf *b;
    size_t start;
    uint32_t count;
};
struct listpack listpack_begin(struct buf *b);
void listpack_put(struct listpack *lp, struct slice item);
void listpack_put_int(struct listpack *lp, int64_t v);
void listpack_end(struct listpack *lp);

#endif
