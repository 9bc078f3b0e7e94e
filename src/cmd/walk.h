/* cmd/walk.h - a collection told to its client in slices: HGETALL, SMEMBERS,
 * ZRANGE and their kin.
 *
 * Loop thread only.  The answer is as of one moment: from the first yield on
 * the collection's tree is held (db/hold.h), and items that expire meanwhile
 * are told all the same.  A client that reads slowly makes the walk wait, but
 * not while a writer waits for it.  Inside MULTI all is told in one piece.
 *
 * A handler looks like this:
 *
 *   if (walk_go_on(rq))
 *       return;                  a later slice: rq->state is the walk's
 *   find, coll_open, count
 *   walk_tell(rq, &c, &plan);
 *   coll_close(&c);
 */
#ifndef NQ_CMD_WALK_H
#define NQ_CMD_WALK_H

#include "cmd/command.h"
#include "db/coll.h"

/* Puts all that is told about one item, always as many values.  Not NQ_OK:
 * what it put of the item is taken back, and it is called again or the
 * command ends with an error.  NQ_NOTFOUND: there is nothing to tell of it, it
 * does not count. */
typedef nq_rc walk_emit(struct req *rq, struct coll *c, const struct item *it,
                        uint32_t flags);

enum walk_shape { WALK_ARRAY, WALK_SET, WALK_MAP };

/* Which items: one after the other; each time any one, all being equally
 * likely; or n different ones, all sets of n being equally likely. */
enum walk_pick { WALK_ALL, WALK_RANDOM, WALK_SAMPLE };

struct walk_plan {
    enum walk_shape shape;
    uint64_t header;     /* the length that the reply begins with: pairs of a
                            map, else values */
    uint64_t n;          /* items to tell: there must be as many, the due ones
                            not counted */
    enum walk_pick pick; /* not WALK_ALL: of the whole collection, and what
                            follows does not matter but for `living` */
    uint64_t living;     /* WALK_SAMPLE: items that are not due */
    bool backwards;
    bool by_rank;
    uint64_t rank;     /* of the first item to tell, valid only if by_rank */
    struct slice from; /* else it is the first with a key >= from (backwards:
                          the last <= from) ... */
    bool is_open;      /* ... but not `from` itself */
    walk_emit *emit;
    uint32_t flags; /* for emit */
};

/* Whether the command was under way: then this was another slice of it and
 * the handler has nothing more to do. */
bool walk_go_on(struct req *rq);
/* Tells `plan` of `c`, which is open for reading.  The whole reply is put,
 * the request has yielded, or it is parked. */
void walk_tell(struct req *rq, struct coll *c, const struct walk_plan *plan);

#endif
