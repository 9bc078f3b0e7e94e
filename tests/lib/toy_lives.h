/* tests/lib/toy_lives.h - a toy that dies, or fails once, at the n-th write,
 * sync, allocation or directory change of its work, for every n, or as many
 * as time allows: each seed takes others then.  It is opened again; what is
 * there must be a prefix of the writes that holds all that were
 * acknowledged. */
#ifndef NQ_TESTS_LIB_TOY_LIVES_H
#define NQ_TESTS_LIB_TOY_LIVES_H

#include "os/fault.h"
#include "toy.h"

#ifdef NQ_FAULTS

struct toy_lives {
    /* Does something on the open toy; returns how many writes were
     * acknowledged before the end came. */
    uint64_t (*work)(struct toy *t);
    enum wal_fsync fsync;
    /* Another life before all that, without faults and in the clear; may be
     * NULL.  What it leaves counts as synced. */
    void (*before)(struct toy *t);
    const uint8_t *master_key; /* of both lives; NULL: not encrypted */
    /* What else must hold of the toy of the second life, once it has all;
     * may be NULL. */
    void (*after)(struct toy *t);
};

/* `power_cut`: at the end of the first life, too. */
void toy_lives_everywhere(const struct toy_lives *l, enum fault_point point,
                          enum fault_kind kind, bool power_cut);
/* For work(): until the log has it all, or never will. */
void toy_lives_settle(struct toy *t);

#endif
#endif
