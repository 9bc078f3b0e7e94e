/* store/btree_leaves.c - the leaves of a range, by a descent to the parent of
 * the first.
 *
 * A separator stands between two leaves: keys of the left one are below it,
 * those of the right one are not.  So the separator behind the last leaf that
 * is told is where the rest of the range begins, however the tree changes
 * meanwhile.  If that leaf is the last of its parent, the separator is that of
 * the nearest ancestor that has a child to the right (back: to the left).
 *
 * Called by db/scan.c. */
#include "store/btree_leaves.h"

#include "store/btree_int.h"
#include "store/frames_int.h"

/* The child for `key` or, if `back`, for what is right below it; the last one
 * if it is NULL. */
static nq_rc
find_child(struct btree *t, const struct page *pg, const struct slice *key,
           bool back, unsigned *slot)
{
    nq_rc rc;
    int cmp;

    *slot = pg->count - 1u;
    if (key == NULL)
        return NQ_OK;
    rc = page_find_child(pg, *key, tree_tail, t->fr, slot);
    if (rc != NQ_OK || !back || *slot == 0)
        return rc;
    rc = page_compare(pg, *slot, *key, tree_tail, t->fr, &cmp);
    *slot -= rc == NQ_OK && cmp == 0;
    return rc;
}

/* The path to the parent of the leaf where that is.  A tree of one leaf has
 * none: depth 0, and *leaf is that. */
static nq_rc
descend(struct btree *t, const struct slice *key, bool back,
        struct btree_path *path, pgno *leaf)
{
    pgno id = t->root;

    for (path->depth = 0;; path->depth++) {
        const struct page *pg;
        unsigned slot;
        nq_rc rc;

        if (path->depth > 0 &&
            tree_peek(t, path->at[path->depth - 1].id)->level == 1)
            break;
        if ((rc = tree_page(t, id, &pg)) != NQ_OK)
            return rc;
        if (pg->kind == PAGE_LEAF)
            break;
        if ((rc = find_child(t, pg, key, back, &slot)) != NQ_OK)
            return rc;
        nq_assert(path->depth + 1 < BTREE_MAX_HEIGHT);
        path->at[path->depth] = (struct btree_step){id, slot};
        id = page_child(pg, slot);
    }
    *leaf = id;
    return NQ_OK;
}

/* The whole key of an inner page's slot. */
static nq_rc
put_separator(struct btree *t, pgno id, unsigned slot, struct buf *out)
{
    struct page_key key;
    struct slice tail;
    nq_rc rc;

    buf_clear(out);
    page_key_at(tree_peek(t, id), slot, buf_reserve(out, KEY_ROOM), &key);
    out->len = key.in.len;
    if ((rc = tree_key_tail(t, &key, &tail)) == NQ_OK)
        buf_put_slice(out, tail);
    return rc;
}

/* What lies behind the child `slot` of the path's last page. */
static nq_rc
find_bound(struct btree *t, const struct btree_path *path, unsigned slot,
           bool back, struct btree_leaves *out)
{
    for (unsigned level = path->depth; level-- > 0;) {
        struct btree_step at = path->at[level];

        if (level + 1 < path->depth)
            slot = at.slot;
        if (back && slot > 0)
            return put_separator(t, at.id, slot, &out->bound);
        if (!back && slot + 1 < tree_peek(t, at.id)->count)
            return put_separator(t, at.id, slot + 1, &out->bound);
    }
    out->is_end = true;
    return NQ_OK;
}

/* The bound lies outside of [lo, hi): nothing of the range is behind it. */
static void
end_if_outside(struct slice lo, const struct slice *hi, bool back,
               struct btree_leaves *out)
{
    struct slice bound = buf_slice(&out->bound);

    if (out->is_end)
        return;
    if (back)
        out->is_end = slice_cmp(bound, lo) <= 0;
    else
        out->is_end = hi != NULL && slice_cmp(bound, *hi) >= 0;
}

nq_rc
btree_leaves(struct btree *t, struct slice lo, const struct slice *hi,
             bool back, unsigned max, struct btree_leaves *out)
{
    struct btree_path path;
    const struct page *up;
    unsigned slot, far, last;
    nq_rc rc;

    nq_assert(max > 0 && max <= BTREE_LEAVES_MAX);
    out->count = 0;
    out->is_end = false;
    buf_clear(&out->bound);
    if (t->root == 0)
        return NQ_NOTFOUND;
    if ((rc = descend(t, back ? hi : &lo, back, &path, &out->ids[0])) != NQ_OK)
        return rc;
    if (path.depth == 0) {
        out->count = 1;
        out->is_end = true;
        return NQ_OK;
    }
    slot = path.at[path.depth - 1].slot;
    up = tree_peek(t, path.at[path.depth - 1].id);
    if ((rc = find_child(t, up, back ? &lo : hi, !back, &far)) != NQ_OK)
        return rc;
    far = back ? nq_min(far, slot) : nq_max(far, slot);
    last =
        back ? slot - nq_min(slot - far, max - 1) : nq_min(far, slot + max - 1);
    for (unsigned i = slot;; i = back ? i - 1 : i + 1) {
        out->ids[out->count++] = page_child(up, i);
        if (i == last)
            break;
    }
    rc = find_bound(t, &path, last, back, out);
    end_if_outside(lo, hi, back, out);
    return rc;
}

const uint8_t *
btree_leaf_visit(struct btree *t, pgno id)
{
    struct frames_all *all = frames_all(t->fr);
    const uint8_t *bytes = frames_peek(t->fr, id);

    if (bytes == NULL || frames_page(t->fr, id, &bytes) != NQ_OK)
        return NULL;
    if (!frames_are_all_resident(all))
        frames_note_walk(all, id);
    return bytes;
}

void
btree_leaves_ahead(struct btree *t, const pgno *ids, unsigned n)
{
    struct frames_all *all = frames_all(t->fr);

    if (all->disk != NULL && frames_may_read_ahead(all))
        frames_ahead(all, ids, nq_min(n, all->tuning.ahead_most));
}
