/* db/coll_tree.c - the private tree of a collection.
 *
 * A counted B+tree (store/btree.h) whose records are the items: type
 * DB_STRING, the item's expiry, and the value's bytes, or with REC_OWNS the
 * reference of the blob that has them.
 *
 *   T1  the tree is changed between coll_begin() and coll_commit() only, when
 *       missing pages are read on the spot
 *   T2  the finger is of finger_key, whose bytes are kept; a key too long for
 *       that has none once the call is over
 *
 * Called by coll.c and coll_cursor.c. */
#include "base/log.h"
#include "db/coll_int.h"
#include "store/corrupt.h"
#include "store/page.h"

#define NO_FINGER_KEY UINT8_MAX
#define DEL_BUDGET 4096 /* pages a call */
#define PACK_SHARE 3    /* of what is packed at most, to become packed again */

_Static_assert(COLL_FINGER_KEY < NO_FINGER_KEY, "the mark is no length");

static struct finger *
finger_for(struct coll *c, struct slice key)
{
    if (nq_likely(key.len == c->finger_len) &&
        memcmp(c->finger_key, key.p, key.len) == 0)
        return &c->finger;
    c->finger = (struct finger){.leaf = 0};
    c->finger_len = NO_FINGER_KEY;
    if (key.len > 0 && key.len <= COLL_FINGER_KEY) {
        memcpy(c->finger_key, key.p, key.len);
        c->finger_len = (uint8_t)key.len;
    }
    return &c->finger;
}

/* --- reading ------------------------------------------------------------- */

nq_rc
coll_tree_item(struct slice key, const struct record *rec, struct item *out)
{
    struct blob_ref ref;

    *out = (struct item){.key = key,
                         .val = rec->val,
                         .len = rec->val.len,
                         .expire_ms = rec->expire_ms};
    if (nq_likely((rec->flags & REC_OWNS) == 0))
        return NQ_OK;
    out->is_blob = true;
    if (blob_ref_decode(rec->val, &ref) != NQ_OK)
        return NQ_CORRUPT("reference to the value of an item: %zu bytes",
                          rec->val.len);
    out->len = ref.len;
    return NQ_OK;
}

nq_rc
coll_tree_get(struct coll *c, struct slice key, struct record *out)
{
    coll_ready(c);
    return btree_get(&c->tree, key, out, finger_for(c, key));
}

/* --- changing ------------------------------------------------------------ */

nq_rc
coll_tree_put(struct coll *c, struct slice key, const struct item *it,
              bool *is_new)
{
    struct record rec = {.val = it->val, .expire_ms = it->expire_ms}, old;
    struct owned owned = {.kind = OWNS_NOTHING};
    struct finger *f = finger_for(c, key);
    uint8_t room[BLOB_REF_SIZE];
    struct blob_ref ref;
    nq_rc rc = btree_get(&c->tree, key, &old, f);

    *is_new = rc == NQ_NOTFOUND;
    if (rc == NQ_OK)
        db_owned(&old, &owned);
    else if (!*is_new)
        return rc;
    if (nq_unlikely(it->val.len > btree_max_inline(&c->tree))) {
        blob_new(c->db->fr, it->val, &ref);
        blob_ref_encode(room, &ref);
        rec.flags = REC_OWNS;
        rec.val = slice_of(room, sizeof room);
    }
    rc = btree_put(&c->tree, key, &rec, f);
    if (rc == NQ_OK)
        db_owned_free(c->db, &owned);
    else if (rec.flags & REC_OWNS)
        blob_free(c->db->fr, &ref);
    return rc;
}

nq_rc
coll_tree_set_expire(struct coll *c, struct slice key, uint64_t expire_ms)
{
    struct finger *f = finger_for(c, key);
    struct record rec;
    nq_rc rc = btree_get(&c->tree, key, &rec, f);

    if (rc != NQ_OK)
        return rc;
    rec.expire_ms = expire_ms;
    return btree_put(&c->tree, key, &rec, f);
}

nq_rc
coll_tree_del(struct coll *c, struct slice key)
{
    struct finger *f = finger_for(c, key);
    struct owned owned;
    struct record rec;
    nq_rc rc = btree_get(&c->tree, key, &rec, f);

    if (rc != NQ_OK)
        return rc;
    db_owned(&rec, &owned);
    if ((rc = btree_del(&c->tree, key, f)) == NQ_OK)
        db_owned_free(c->db, &owned);
    return rc;
}

nq_rc
coll_tree_del_range(struct coll *c, struct slice lo, const struct slice *hi,
                    uint64_t *removed)
{
    bool done = false;
    nq_rc rc = NQ_OK;

    *removed = 0;
    while (rc == NQ_OK && !done) {
        uint64_t part = 0;

        rc = btree_del_range(&c->tree, lo, hi, DEL_BUDGET, db_free_item_record,
                             c->db, &part, &done);
        *removed += part;
    }
    return rc;
}

void
coll_tree_drop(struct coll *c)
{
    if (c->tree.root != 0)
        db_free_tree(c->db, c->tree.root);
    btree_set_root(&c->tree, 0);
}

/* --- from packed to tree and back ---------------------------------------- */

nq_rc
coll_tree_build(struct coll *c, struct slice items)
{
    struct packed_item it;
    nq_rc rc = NQ_OK;

    btree_set_root(&c->tree, 0);
    for (size_t off = 0; off < items.len && rc == NQ_OK; off = it.end) {
        if ((rc = packed_at(items, off, &it)) == NQ_OK) {
            struct record rec = {.val = it.val, .expire_ms = it.expire_ms};

            rc = btree_put(&c->tree, it.key, &rec, NULL);
        }
    }
    if (rc != NQ_OK)
        coll_tree_drop(c);
    return rc;
}

struct packing {
    struct buf *to;
    size_t left; /* bytes that may still be added */
    bool fits;
};

static bool
pack_one(void *arg, struct slice key, const struct record *rec)
{
    struct packing *p = arg;
    size_t n = packed_size(key, rec->val, rec->expire_ms);

    p->fits = n <= p->left && (rec->flags & REC_OWNS) == 0;
    if (!p->fits)
        return false;
    packed_write(buf_reserve(p->to, n), key, rec->val, rec->expire_ms);
    p->to->len += n;
    p->left -= n;
    return true;
}

bool
coll_tree_pack(struct coll *c, size_t max, struct buf *b)
{
    const struct page *root =
        (const struct page *)(const void *)frames_peek(c->db->fr, c->tree.root);
    struct packing p = {b, max / PACK_SHARE, true};
    struct btree_cursor cu;
    nq_rc rc;

    if (root == NULL || root->kind != PAGE_LEAF ||
        (root->flags & PAGE_OWNS) != 0 || page_used(root) > max / PACK_SHARE)
        return false;
    btree_cursor_init(&cu, &c->tree);
    rc = btree_first(&cu);
    if (rc == NQ_OK)
        rc = btree_visit(&cu, pack_one, &p);
    btree_cursor_fini(&cu);
    return rc == NQ_OK && p.fits;
}
