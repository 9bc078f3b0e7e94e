/* db/residency.h - how much of a range of keys is in memory.
 *
 * Loop thread only.  Leaves are counted from their parents, without being
 * used, so that looking changes nothing. */
#ifndef NQ_DB_RESIDENCY_H
#define NQ_DB_RESIDENCY_H

#include "base/buf.h"
#include "db/db.h"

struct residency {
    uint64_t leaves, resident; /* so far */
    bool is_over;              /* the range is at its end */
    /* What is left of it; private. */
    struct buf lo, hi;
    bool has_hi, back;
};

/* Of [lo, hi), which are copied; hi NULL: no upper end.  back: from its end
 * on. */
void residency_init(struct residency *r, struct slice lo,
                    const struct slice *hi, bool back);
void residency_fini(struct residency *r); /* of zeroes: does nothing */
/* Looks at up to `most` more leaves.  NQ_MISS: parents of them are noted as
 * wanted. */
NQ_MUST_USE nq_rc residency_look(struct db *db, uint32_t dbi,
                                 struct residency *r, unsigned most);

#endif
