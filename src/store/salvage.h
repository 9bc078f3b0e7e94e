/* store/salvage.h - opening what is left of a badly damaged data file, to
 * read from it.
 *
 * Loop thread of a tool; nothing on disk is changed.  What is readable is
 * used as in store_open(); what is not is put together again from the
 * extents, which tell by themselves whose bytes they are. */
#ifndef NQ_STORE_SALVAGE_H
#define NQ_STORE_SALVAGE_H

#include "store/store.h"

struct page;

struct salvage_found {
    nq_rc superblock, keys, catalog, table, log; /* NQ_OK: as in a good one */
    bool is_scanned;  /* the table is what was found: see below */
    uint64_t extents; /* good ones met */
    uint64_t broken;  /* that say who they are, and are damaged */
    uint64_t lost;    /* pages whose newest extent is one of those */
};

/* A store that can be read as store_open() with read_only leaves it, for
 * db_open().  Without superblock or page table the newest good extent of each
 * page is taken, unless a damaged one says that it is newer.  Then pages may
 * be of different times, and pages that were freed are there as well: nobody
 * but the table could tell.  Without a catalog no tree has a root.  NQ_EIO,
 * NQ_EFORMAT (nothing is there), NQ_ELOCKED, NQ_EKEY. */
NQ_MUST_USE nq_rc store_salvage(const struct store_opts *opts,
                                struct pool *pool, struct salvage_found *found,
                                struct store **out);

/* A tree page that is there and good; NQ_NOTFOUND: the page is none, or a
 * chunk; NQ_ECORRUPT.  Borrowed until pages are let go. */
NQ_MUST_USE nq_rc salvage_page(struct store *st, pgno id,
                               const struct page **out);
/* Ids are below this. */
pgno salvage_ids(const struct store *st);

#endif
