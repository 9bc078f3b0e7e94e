/* store/catalog.h - small named values that belong to a checkpoint: roots of
 * trees, counters.  A few kilobytes, kept as a list, written as a whole.
 *
 * One thread. */
#ifndef NQ_STORE_CATALOG_H
#define NQ_STORE_CATALOG_H

#include "base/buf.h"
#include "base/rc.h"
#include "base/slice.h"

struct catalog_row;

struct catalog {
    struct catalog_row *rows; /* by rising name */
    uint32_t count, cap;
};

#define CATALOG_INIT ((struct catalog){NULL, 0, 0})
#define CATALOG_NAME_MAX 255u
#define CATALOG_VALUE_MAX 65535u

void catalog_fini(struct catalog *c);
/* Borrowed until the next change; NQ_NOTFOUND. */
NQ_MUST_USE nq_rc catalog_get(const struct catalog *c, struct slice name,
                              struct slice *val);
void catalog_put(struct catalog *c, struct slice name, struct slice val);
void catalog_del(struct catalog *c, struct slice name);

/* Appends the bytes to store; whoever stores them checks them too. */
void catalog_encode(const struct catalog *c, struct buf *out);
/* Into an empty catalog.  NQ_ECORRUPT. */
NQ_MUST_USE nq_rc catalog_decode(struct slice src, struct catalog *c);

#endif
