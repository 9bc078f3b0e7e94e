/* cmd/held.h - a collection kept as it was found, over the slices of a
 * command, whatever becomes of its key meanwhile.
 *
 * Loop thread only.  The record is copied, and its tree, if it has one, held
 * (db/hold.h).  Keep the struct in req.state and end it in free_state. */
#ifndef NQ_CMD_HELD_H
#define NQ_CMD_HELD_H

#include "cmd/command.h"
#include "db/hold.h"

struct held {
    struct record rec; /* private, as all below */
    uint8_t *val;      /* of rec, owned */
    struct hold hold;
    bool is_kept;
};

/* `h` is zeroed storage; `e` was found in this run.  NQ_EHELD: a writer waits
 * for it; end the others that the command keeps, and begin anew later. */
NQ_MUST_USE nq_rc held_keep(struct held *h, struct db *db,
                            const struct entry *e);
/* The entry to open it with (coll_open ..., found), in a later slice; good
 * until that writes the database. */
void held_entry(const struct held *h, struct req *rq, struct entry *e);
/* Does nothing for one that is not kept. */
void held_end(struct held *h);

#endif
