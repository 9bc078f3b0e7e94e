/* db/coll_int.h - what the files of collections share: coll.c, coll_tree.c,
 * coll_cursor.c. */
#ifndef NQ_DB_COLL_INT_H
#define NQ_DB_COLL_INT_H

#include "db/coll.h"
#include "db/coll_packed.h"
#include "db/db_int.h"

/* From here to the end of this change, or of the collection's use, what is
 * missing is read on the spot. */
void coll_block(struct coll *c);

/* Before every look into a tree: a command with effects cannot be parked. */
static inline void
coll_ready(struct coll *c)
{
    if (nq_unlikely(c->db->has_effects))
        coll_block(c);
}

/* Empty, with memory of earlier uses; give it back. */
struct buf coll_take_buf(struct db *db);
void coll_give_buf(struct db *db, struct buf *b);

/* --- coll_tree.c: the private tree --------------------------------------- */

/* What the tree keeps for `key`, as an item. */
NQ_MUST_USE nq_rc coll_tree_item(struct slice key, const struct record *rec,
                                 struct item *out);
NQ_MUST_USE nq_rc coll_tree_get(struct coll *c, struct slice key,
                                struct record *out);
NQ_MUST_USE nq_rc coll_tree_put(struct coll *c, struct slice key,
                                const struct item *it, bool *is_new);
NQ_MUST_USE nq_rc coll_tree_del(struct coll *c, struct slice key);
NQ_MUST_USE nq_rc coll_tree_del_range(struct coll *c, struct slice lo,
                                      const struct slice *hi,
                                      uint64_t *removed);
/* A tree of these packed items; on failure c->tree is empty. */
NQ_MUST_USE nq_rc coll_tree_build(struct coll *c, struct slice items);
/* The items of a tree that is small enough, appended to `b`; false: it is
 * not. */
bool coll_tree_pack(struct coll *c, size_t max, struct buf *b);
/* Frees what is left of the tree, in the background. */
void coll_tree_drop(struct coll *c);

#endif
