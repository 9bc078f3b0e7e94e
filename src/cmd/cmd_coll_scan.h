/* cmd/cmd_coll_scan.h - HSCAN, SSCAN and ZSCAN: what a type says about itself
 * is all that they differ in.
 *
 * Loop thread only.  A packed collection is answered whole, with cursor 0.
 * Of a tree each call visits COUNT items behind the one its cursor stands for,
 * so an item that is there throughout is given exactly once. */
#ifndef NQ_CMD_CMD_COLL_SCAN_H
#define NQ_CMD_CMD_COLL_SCAN_H

#include "cmd/cmd_range.h"
#include "db/coll.h"

struct coll_scan {
    enum db_type type;
    bool has_novalues; /* takes NOVALUES */
    /* Of a tree only items whose keys begin so are visited, what follows being
     * their name.  Sorted sets give that of their members, because an item must
     * keep its place while it is there. */
    struct slice prefix;
    /* What MATCH looks at. */
    struct slice (*name)(const struct item *it);
    /* Puts the item's values aside with listing_put(); NQ_MISS.  NQ_NOTFOUND:
     * nothing is to be told of it. */
    nq_rc (*put)(struct req *rq, struct coll *c, const struct item *it,
                 bool novalues, struct listing *l);
};

/* The whole command: key cursor [MATCH pattern] [COUNT n] [NOVALUES]. */
void coll_scan(struct req *rq, const struct coll_scan *kind);

#endif
