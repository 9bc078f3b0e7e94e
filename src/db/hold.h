/* db/hold.h - holding a collection still while a command reads it in slices.
 *
 * Loop thread only.  A hold is on a tree, not on a key: DEL, RENAME, expiry
 * and FLUSHALL go on at once, and what they let go is freed after the last
 * hold on it ended.  Only a change of the tree itself (coll_begin, and the
 * like of lists) is told NQ_EHELD: its command parks and runs again after
 * the release.  While a writer waits, new holds on that tree are told NQ_EHELD
 * too, so that readers cannot starve it.
 *
 * The big value of a string is held in the same way, by its blob's root, while
 * COPY reads it.
 *
 * Take one at the first yield, not before: what ends within its first slice
 * needs none.  Packed collections need none: copy them. */
#ifndef NQ_DB_HOLD_H
#define NQ_DB_HOLD_H

#include "base/list.h"
#include "db/db.h"

struct hold {
    struct list link;
    struct db *db;
    pgno root; /* 0: not held */
};

/* NQ_EHELD: a writer waits for this tree.  Then end the other holds of the
 * command before it parks, or two readers may wait for each other.  `h` is
 * zeroed storage of the caller, in memory that outlives the slice (req.state).
 */
NQ_MUST_USE nq_rc hold_take(struct hold *h, struct db *db, pgno root);
/* Wakes who waits (db_opts.on_release); hold_end() of one that is not held
 * does nothing.  db_close() ends those that are left. */
void hold_end(struct hold *h);
/* NQ_EHELD if somebody holds the tree; then the caller waits for it. */
NQ_MUST_USE nq_rc hold_check_write(struct db *db, pgno root);
/* Whether anything is held. */
bool hold_is_any(const struct db *db);
/* Whether freeing the tree must wait. */
bool hold_is_held(struct db *db, pgno root);
/* Whether a writer waits for a tree that `h` holds: the reader should come to
 * an end whatever its client does. */
bool hold_is_wanted(const struct hold *h);
/* EXEC asks before its first effect: NQ_EHELD if the key's tree is held. */
NQ_MUST_USE nq_rc hold_check_key(struct db *db, uint32_t dbi, struct slice key);
/* The same for one whose keys are not known: NQ_EHELD while anything is held;
 * then no tree takes another hold before all have ended. */
NQ_MUST_USE nq_rc hold_check_all(struct db *db);

#endif
