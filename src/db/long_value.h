/* db/long_value.h - values of the catalog that may be longer than one of its
 * rows (store/store.h).
 *
 * Private to db/.  Loop thread only.  Kept in rows "name.0", "name.1" ... */
#ifndef NQ_DB_LONG_VALUE_H
#define NQ_DB_LONG_VALUE_H

#include "base/buf.h"
#include "base/rc.h"

struct store;

/* An empty one is removed. */
void long_value_put(struct store *st, const char *name, struct slice val);
/* Appends it to `out`; nothing if there is none. */
NQ_MUST_USE nq_rc long_value_get(struct store *st, const char *name,
                                 struct buf *out);

#endif
