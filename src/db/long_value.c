/* db/long_value.c - values of the catalog that may be longer than a row: cut
 * into rows of LONG_VALUE_ROW bytes, all but the last of which are full.
 *
 * Called by cover.c and mark.c, before cuts and when a database is opened. */
#include "db/long_value.h"

#include <stdio.h>

#include "base/check.h"
#include "store/store.h"

#define LONG_VALUE_ROW 32768u
#define ROW_NAME_MAX 48

static struct slice
row_name(char dst[ROW_NAME_MAX], const char *name, unsigned i)
{
    return slice_of(dst, (size_t)snprintf(dst, ROW_NAME_MAX, "%s.%u", name, i));
}

void
long_value_put(struct store *st, const char *name, struct slice val)
{
    char row[ROW_NAME_MAX];
    unsigned i = 0;
    size_t len;

    for (size_t off = 0; off < val.len; off += LONG_VALUE_ROW, i++) {
        size_t n = nq_min(val.len - off, (size_t)LONG_VALUE_ROW);

        store_catalog_put(st, row_name(row, name, i), slice_of(val.p + off, n));
    }
    /* What a longer one left behind. */
    while (store_catalog_get(st, row_name(row, name, i), NULL, 0, &len) ==
           NQ_OK) {
        store_catalog_del(st, row_name(row, name, i));
        i++;
    }
}

nq_rc
long_value_get(struct store *st, const char *name, struct buf *out)
{
    char row[ROW_NAME_MAX];
    nq_rc rc = NQ_OK;

    for (unsigned i = 0; rc == NQ_OK; i++) {
        uint8_t *p = buf_reserve(out, LONG_VALUE_ROW);
        size_t len = 0;

        rc = store_catalog_get(st, row_name(row, name, i), p, LONG_VALUE_ROW,
                               &len);
        if (rc == NQ_OK)
            out->len += nq_min(len, (size_t)LONG_VALUE_ROW);
    }
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}
