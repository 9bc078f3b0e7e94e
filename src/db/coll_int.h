/* db/coll_int.h - what the files of collections share: coll.c, coll_record.c,
 * coll_change.c, coll_commit.c, coll_tree.c, coll_cursor.c. */
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

/* The packed items, wherever their record stands now: before every look at
 * c->packed. */
NQ_MUST_USE nq_rc coll_refresh(struct coll *c);
static inline NQ_MUST_USE nq_rc
coll_fresh(struct coll *c)
{
    if (nq_likely(c->entry->version == db_record_version(c->db, c->space)) ||
        c->in_work || c->packed.len == 0)
        return NQ_OK;
    return coll_refresh(c);
}

/* Empty, with memory of earlier uses; give it back. */
struct buf coll_take_buf(struct db *db);
void coll_give_buf(struct db *db, struct buf *b);

/* Where the items of a packed value begin. */
size_t coll_items_off(const struct coll *c);
void coll_unblock(struct coll *c);

/* --- coll_change.c ------------------------------------------------------- */

/* Bytes [off, end) of the packed items give way to `n` others, which are to be
 * written where the result points. */
uint8_t *coll_splice(struct coll *c, size_t off, size_t end, size_t n);
/* Whether a packed value of so many items and bytes of them is allowed. */
bool coll_fits_packed(const struct coll *c, uint64_t items, size_t len);
/* Makes a tree of a packed one. */
NQ_MUST_USE nq_rc coll_grow(struct coll *c);

/* --- coll_commit.c ------------------------------------------------------- */

/* Changes that nobody committed: those of a packed one, or of a tree just
 * made of it, are forgotten; an older tree cannot go back (C3 in coll.c). */
void coll_give_up(struct coll *c);

/* Where a key is, or belongs, among the packed items: behind the last one if
 * they are in the order in which they came. */
NQ_MUST_USE nq_rc coll_packed_find(const struct coll *c, struct slice key,
                                   struct packed_place *out);
static inline bool
coll_is_by_arrival(enum db_type type)
{
    return type == DB_HASH;
}

/* --- coll_record.c: the record's value ----------------------------------- */

struct coll_value {
    struct slice head;
    bool is_tree;
    uint64_t count;
    pgno root;          /* of the tree */
    struct slice items; /* if packed */
};
/* NQ_ECORRUPT; the root may still be no page at all. */
NQ_MUST_USE nq_rc coll_value_decode(const struct record *rec,
                                    struct coll_value *out);

#define COLL_TREE_SIZE 12 /* of what stands behind the head of a tree */
/* The whole value into `dst`, which has room for it. */
struct slice coll_value_tree(uint8_t *dst, struct slice head, uint64_t count,
                             pgno root);
#define COLL_PACKED_SIZE 2
/* The bytes before the packed items. */
void coll_value_packed(uint8_t *dst, struct slice head, uint64_t count);

/* --- coll_tree.c: the private tree --------------------------------------- */

/* What the tree keeps for `key`, as an item. */
NQ_MUST_USE nq_rc coll_tree_item(struct slice key, const struct record *rec,
                                 struct item *out);
NQ_MUST_USE nq_rc coll_tree_get(struct coll *c, struct slice key,
                                struct record *out);
NQ_MUST_USE nq_rc coll_tree_put(struct coll *c, struct slice key,
                                const struct item *it, bool *is_new);
NQ_MUST_USE nq_rc coll_tree_set_expire(struct coll *c, struct slice key,
                                       uint64_t expire_ms);
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
