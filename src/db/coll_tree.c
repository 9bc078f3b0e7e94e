/* db/coll_tree.c - the private tree of a collection.
 *
 * A counted B+tree (store/btree.h) whose records are the items: type
 * DB_STRING, the item's expiry, and the value's bytes, or with REC_OWNS the
 * reference of the blob that has them.
 *
 *   T1  the tree is changed between coll_begin() and coll_commit() only, when
 *       missing pages are read on the spot
 *   T2  a spot's finger is that of its key, whose bytes are kept; a key too
 *       long for that has a spot for one call
 *
 * Called by coll.c and coll_cursor.c. */
#include "base/log.h"
#include "db/coll_int.h"
#include "store/corrupt.h"
#include "store/page.h"

#define NO_KEY UINT8_MAX /* of a spot */
#define DEL_BUDGET 4096  /* pages a call */
#define PACK_SHARE 3     /* of what is packed at most, to become packed again */

_Static_assert(COLL_SPOT_KEY < NO_KEY, "the mark is no length");

/* The oldest spot, for another key. */
static __attribute__((noinline)) struct finger *
new_spot(struct coll *c, struct slice key)
{
    struct coll_spot *s = &c->spots[c->spot_next];

    c->spot_next = (uint8_t)((c->spot_next + 1) % COLL_SPOTS);
    c->spots_used = (uint8_t)nq_min(c->spots_used + 1, COLL_SPOTS);
    s->finger = (struct finger){.path = &s->path};
    s->path.depth = 0;
    s->key_len = NO_KEY;
    if (key.len <= COLL_SPOT_KEY) {
        s->key_len = (uint8_t)key.len;
        if (key.len > 0)
            memcpy(s->key, key.p, key.len);
    }
    return &s->finger;
}

static struct finger *
finger_for(struct coll *c, struct slice key)
{
    for (unsigned i = 0; i < c->spots_used; i++) {
        struct coll_spot *s = &c->spots[i];

        if (s->key_len == key.len &&
            slice_eq(slice_of(s->key, s->key_len), key))
            return &s->finger;
    }
    return new_spot(c, key);
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

void
coll_remember(struct coll_cursor *cu)
{
    if (cu->c->is_tree && cu->valid)
        btree_cursor_finger(&cu->at, finger_for(cu->c, cu->key));
}

/* --- changing ------------------------------------------------------------ */

/* The record that a change takes away. */
struct taken {
    bool was_there;
    struct owned owned;
};

static void
on_taken(void *arg, const struct record *old)
{
    struct taken *t = arg;

    t->was_there = true;
    db_owned(old, &t->owned);
}

nq_rc
coll_tree_put(struct coll *c, struct slice key, const struct item *it,
              bool *is_new)
{
    struct record rec = {.val = it->val, .expire_ms = it->expire_ms};
    struct taken old = {.owned.kind = OWNS_NOTHING};
    uint8_t room[BLOB_REF_SIZE];
    struct blob_ref ref;
    nq_rc rc;

    if (nq_unlikely(it->val.len > btree_max_inline(&c->tree))) {
        blob_new(c->db->fr, it->val, &ref);
        blob_ref_encode(room, &ref);
        rec.flags = REC_OWNS;
        rec.val = slice_of(room, sizeof room);
    }
    rc =
        btree_put_told(&c->tree, key, &rec, finger_for(c, key), on_taken, &old);
    *is_new = !old.was_there;
    if (rc == NQ_OK)
        db_owned_free(c->db, &old.owned);
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
    struct taken old = {.owned.kind = OWNS_NOTHING};
    nq_rc rc =
        btree_del_told(&c->tree, key, finger_for(c, key), on_taken, &old);

    if (rc == NQ_OK)
        db_owned_free(c->db, &old.owned);
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
