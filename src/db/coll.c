/* db/coll.c - collections: opening them, looking items up, beginning a change.
 *
 *   C1  nothing is written before coll_begin(); a packed collection is changed
 *       in c->work (coll_change.c) until coll_commit() puts it (coll_commit.c)
 *   C2  `packed` points into a page while nothing is changed; the entry's
 *       version tells that others wrote the database since, and that the
 *       record is to be found again
 *   C3  a tree that was changed gets its record written even if the change is
 *       given up: the root in the record is always that of the tree
 *   C4  an empty collection has no tree
 *
 * Called by the type modules of this folder. */
#include "db/coll.h"

#include "base/arena.h"
#include "db/coll_int.h"
#include "db/hold.h"
#include "store/corrupt.h"

#define BUF_KEEP_MAX 65536 /* a larger one is given back to the heap */

/* --- memory, and pages that are missing ---------------------------------- */

struct buf
coll_take_buf(struct db *db)
{
    struct coll_pool *pool = &db->colls;

    return pool->resting > 0 ? pool->bufs[--pool->resting] : BUF_INIT;
}

void
coll_give_buf(struct db *db, struct buf *b)
{
    struct coll_pool *pool = &db->colls;

    if (b->cap == 0)
        return;
    if (pool->resting < nq_countof(pool->bufs) && b->cap <= BUF_KEEP_MAX) {
        buf_clear(b);
        pool->bufs[pool->resting++] = *b;
        *b = BUF_INIT;
    } else {
        buf_fini(b);
    }
}

void
coll_block(struct coll *c)
{
    struct coll_pool *pool = &c->db->colls;

    if (c->is_blocking)
        return;
    c->is_blocking = true;
    if (pool->blocking++ == 0)
        pool->was_blocking = frames_set_blocking(c->db->fr, true);
}

void
coll_unblock(struct coll *c)
{
    struct coll_pool *pool = &c->db->colls;

    if (!c->is_blocking)
        return;
    c->is_blocking = false;
    if (--pool->blocking == 0)
        (void)frames_set_blocking(c->db->fr, pool->was_blocking);
}

/* --- the record ---------------------------------------------------------- */

size_t
coll_items_off(const struct coll *c)
{
    return 1 + (size_t)c->head_len + COLL_PACKED_SIZE;
}

static nq_rc
decode_value(struct coll *c)
{
    const struct record *rec = &c->entry->rec;
    struct coll_value v;
    nq_rc rc = coll_value_decode(rec, &v);

    if (rc != NQ_OK)
        return rc;
    if (v.head.len != c->head_len || v.root >= c->db->fr->ids)
        return NQ_CORRUPT("value of a %s: root %u, head of %zu bytes",
                          db_type_name(c->type), v.root, v.head.len);
    memcpy(c->head, v.head.p, v.head.len);
    c->count = v.count;
    c->is_tree = c->was_tree = v.is_tree;
    c->tree.root = v.root;
    c->packed = v.items;
    c->expire_ms = rec->expire_ms;
    c->flags = (uint8_t)(rec->flags & ~REC_OWNS);
    return NQ_OK;
}

/* Finds the record again. */
static nq_rc
find_again(struct coll *c)
{
    struct entry *e = c->entry;
    nq_rc rc;

    coll_ready(c);
    rc = btree_get(&c->space->tree, c->key, &e->rec, &e->finger);
    if (rc == NQ_OK)
        e->version = db_record_version(c->db, c->space);
    return rc;
}

nq_rc
coll_refresh(struct coll *c)
{
    struct coll_value v;
    nq_rc rc = find_again(c);

    if (rc != NQ_OK || (rc = coll_value_decode(&c->entry->rec, &v)) != NQ_OK)
        return rc;
    nq_dassert(v.items.len == c->packed.len);
    if (nq_unlikely(v.items.len != c->packed.len))
        return NQ_CORRUPT("a %s was changed by two at once",
                          db_type_name(c->type));
    c->packed = v.items;
    return NQ_OK;
}

/* --- life ---------------------------------------------------------------- */

/* Field by field: the whole is large, and this is on every path. */
static void
init(struct coll *c)
{
    memset(c->head, 0, c->head_len);
    c->count = c->expire_ms = 0;
    c->flags = 0;
    c->keep_empty = c->may_pack = c->is_tree = c->was_tree = false;
    c->is_changed = c->has_shrunk = c->has_begun = c->is_blocking = false;
    c->in_work = false;
    c->spots_used = c->spot_next = 0;
    c->packed = slice_lit("");
    c->hint = PACKED_NONE;
    c->work = BUF_INIT;
    c->tree = (struct btree){.fr = c->db->fr};
}

nq_rc
coll_open(struct db *db, uint32_t dbi, struct slice key, enum db_type type,
          struct entry *e, bool found, uint8_t head_len, struct coll *out)
{
    nq_rc rc;

    nq_assert(head_len <= COLL_HEAD_MAX);
    out->db = db;
    out->dbi = dbi;
    out->key = key;
    out->type = type;
    out->space = db_space(db, dbi);
    out->entry = e;
    out->head_len = head_len;
    init(out);
    if (!found)
        return NQ_OK;
    if (nq_unlikely(e->version != db_record_version(db, out->space)) &&
        (rc = find_again(out)) != NQ_OK)
        return rc == NQ_NOTFOUND ? NQ_OK : rc; /* gone since: an empty one */
    nq_assert(e->rec.type == type);
    return decode_value(out);
}

void
coll_close(struct coll *c)
{
    if (nq_unlikely(c->is_changed))
        coll_give_up(c);
    coll_unblock(c);
    coll_give_buf(c->db, &c->work);
}

/* --- looking up ---------------------------------------------------------- */

/* As an item; the hint is set. */
static void
take_item(struct coll *c, const struct packed_item *it, struct item *out)
{
    c->hint = it->off;
    *out = (struct item){it->key, it->val, it->val.len, it->expire_ms, false};
}

nq_rc
coll_get(struct coll *c, struct slice key, struct item *out)
{
    struct packed_item it;
    struct record rec;
    nq_rc rc;

    if (c->is_tree) {
        if ((rc = coll_tree_get(c, key, &rec)) != NQ_OK)
            return rc;
        return coll_tree_item(key, &rec, out);
    }
    if ((rc = coll_fresh(c)) == NQ_OK &&
        (rc = packed_get(c->packed, key, &it)) == NQ_OK)
        take_item(c, &it, out);
    return rc;
}

nq_rc
coll_get_tail(struct coll *c, size_t skip, struct slice tail, struct item *out)
{
    struct packed_item it;
    nq_rc rc;

    nq_assert(!c->is_tree);
    if ((rc = coll_fresh(c)) == NQ_OK &&
        (rc = packed_get_tail(c->packed, skip, tail, &it)) == NQ_OK)
        take_item(c, &it, out);
    return rc;
}

nq_rc
coll_val(struct coll *c, const struct item *it, struct arena *arena,
         struct slice *out)
{
    struct blob_ref ref;
    uint8_t *copy;
    nq_rc rc;

    *out = it->val;
    if (!it->is_blob)
        return NQ_OK;
    coll_ready(c);
    if ((rc = blob_ref_decode(it->val, &ref)) != NQ_OK ||
        (rc = blob_want(c->db->fr, &ref, 0, ref.len)) != NQ_OK)
        return rc;
    copy = arena_alloc(arena, ref.len);
    *out = slice_of(copy, ref.len);
    return blob_read(c->db->fr, &ref, 0, ref.len, copy);
}

/* --- beginning ----------------------------------------------------------- */

nq_rc
coll_want(struct coll *c, const struct slice *keys, unsigned n)
{
    struct record rec;
    nq_rc rc = NQ_OK;

    for (unsigned i = 0; c->is_tree && i < n; i++) {
        nq_rc one = coll_tree_get(c, keys[i], &rec);

        if (one != NQ_OK && one != NQ_NOTFOUND && rc != NQ_MISS)
            rc = one;
        if (rc != NQ_OK && rc != NQ_MISS)
            break;
    }
    return rc;
}

nq_rc
coll_begin(struct coll *c)
{
    nq_rc rc;

    nq_assert(!c->has_begun);
    if (c->is_tree && (rc = hold_check_write(c->db, c->tree.root)) != NQ_OK)
        return rc;
    coll_block(c);
    c->has_begun = true;
    return NQ_OK;
}
