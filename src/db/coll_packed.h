/* db/coll_packed.h - the items of a small collection as one run of bytes: pure
 * functions, no pages, no allocation.
 *
 * Any thread.  The bytes may come from disk: every function reads inside of
 * what it is given and says NQ_ECORRUPT of what it cannot make sense of.  That
 * the items are in order is believed; packed_check() tests it. */
#ifndef NQ_DB_COLL_PACKED_H
#define NQ_DB_COLL_PACKED_H

#include "base/rc.h"
#include "base/slice.h"

#define PACKED_MAX_EXPIRY ((UINT64_C(1) << 48) - 1)

/* One item; slices point into the run. */
struct packed_item {
    struct slice key, val;
    uint64_t expire_ms;
    size_t off, end; /* where it begins; where the next one does */
};

/* The item that begins at `off`, which is below the length of the run. */
NQ_MUST_USE nq_rc packed_at(struct slice run, size_t off,
                            struct packed_item *out);
/* The item with this key; NQ_NOTFOUND. */
NQ_MUST_USE nq_rc packed_get(struct slice run, struct slice key,
                             struct packed_item *out);
/* The item whose key is `skip` bytes of any kind, then `tail`. */
NQ_MUST_USE nq_rc packed_get_tail(struct slice run, size_t skip,
                                  struct slice tail, struct packed_item *out);

/* Where a key is, or belongs. */
struct packed_place {
    size_t off;    /* of the first item with a key not below it, or the end */
    size_t end;    /* behind that item if it has just this key; else off */
    size_t before; /* of the last item with a lower key; PACKED_NONE */
    uint64_t rank; /* how many keys are lower */
    bool found;
};
#define PACKED_NONE SIZE_MAX
NQ_MUST_USE nq_rc packed_find(struct slice run, struct slice key,
                              struct packed_place *out);
/* The last item begins there, PACKED_NONE if there is none. */
NQ_MUST_USE nq_rc packed_last(struct slice run, size_t *off);
/* The item of rank n begins there; NQ_NOTFOUND if there are not so many. */
NQ_MUST_USE nq_rc packed_nth(struct slice run, uint64_t n, size_t *off);

size_t packed_size(struct slice key, struct slice val, uint64_t expire_ms);
/* What stands between key and value: at most PACKED_INFO_MAX bytes; how many.
 */
#define PACKED_INFO_MAX 16
size_t packed_info(uint8_t *dst, size_t val_len, uint64_t expire_ms);
/* Writes packed_size() bytes. */
void packed_write(uint8_t *dst, struct slice key, struct slice val,
                  uint64_t expire_ms);

/* The whole run: readable, in order (but by_arrival), no key twice; how many
 * items. */
NQ_MUST_USE nq_rc packed_check(struct slice run, bool by_arrival,
                               uint64_t *items);

#endif
