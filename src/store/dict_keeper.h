/* store/dict_keeper.h - the life of the database's dictionaries: trained from
 * samples of flushed pages, kept in the database, used, let go.
 *
 * Loop thread only.  The dictionaries themselves, which any thread may use,
 * are in codec/dict.h. */
#ifndef NQ_STORE_DICT_KEEPER_H
#define NQ_STORE_DICT_KEEPER_H

#include <stdbool.h>

#include "base/slice.h"
#include "store/pgno.h"

struct dict_keeper;
struct store;
struct store_dict_stats; /* store.h */

/* With the store's dictionaries: store->disk.env.dicts. */
struct dict_keeper *dict_keeper_new(struct store *st);
void dict_keeper_free(struct dict_keeper *k); /* of NULL: does nothing */
/* Reads what the catalog names, blocking.  A dictionary that is missing or
 * damaged is told in the log and makes its pages unreadable, nothing else. */
void dict_keeper_load(struct dict_keeper *k);

/* A leaf page was encoded: it may be a sample. */
void dict_keeper_offer(struct dict_keeper *k, struct slice page);
/* Once a turn: takes up what was trained, lets go what nobody needs. */
void dict_keeper_turn(struct dict_keeper *k);
/* Right before the catalog is copied for a checkpoint. */
void dict_keeper_cut(struct dict_keeper *k);
/* Training: nothing may be closed yet. */
bool dict_keeper_is_busy(const struct dict_keeper *k);
/* Is the page part of a dictionary? */
bool dict_keeper_owns(const struct dict_keeper *k, pgno id);

void dict_keeper_get_stats(const struct dict_keeper *k,
                           struct store_dict_stats *out);

#endif
