/* store/btree_cursor.c - walking in key order.
 *
 * A cursor keeps the path to its leaf, good while the tree's version stands,
 * and a copy of the key it stands on, from which it finds its place again.
 *
 *   C1  a call that fails (a miss) leaves the cursor where it was
 *   C2  valid: the key buffer holds the whole key of leaf and slot as they
 *       were at `version` */
#include "base/mem.h"
#include "store/btree_int.h"

void
btree_cursor_init(struct btree_cursor *c, struct btree *t)
{
    *c = (struct btree_cursor){.tree = t};
}

void
btree_cursor_fini(struct btree_cursor *c)
{
    nq_free(c->key_buf);
    c->key_buf = NULL;
    c->valid = false;
}

/* --- taking a place --------------------------------------------------------
 */

static void
grow_key(struct btree_cursor *c, size_t len)
{
    c->key_cap = nq_max(len, nq_max(c->key_cap * 2, 64u));
    c->key_buf = nq_realloc(c->key_buf, c->key_cap);
}

/* The key of the page's slot into the cursor. */
static nq_rc
load_key(struct btree_cursor *c, const struct page *pg, unsigned slot)
{
    struct slice tail = {NULL, 0};
    struct page_record r;
    size_t in;

    page_record_at(pg, slot, &r);
    in = pg->prefix_len + r.suffix.len;
    if (nq_unlikely(r.tail != 0)) {
        nq_rc rc = frames_chunk(c->tree->fr, r.tail, &tail);

        if (rc != NQ_OK)
            return rc;
    }
    if (nq_unlikely(in + tail.len >= c->key_cap))
        grow_key(c, in + tail.len + 1);
    memcpy(c->key_buf, page_prefix(pg).p, pg->prefix_len);
    memcpy(c->key_buf + pg->prefix_len, r.suffix.p, r.suffix.len);
    if (nq_unlikely(tail.len > 0))
        memcpy(c->key_buf + in, tail.p, tail.len);
    c->key = slice_of(c->key_buf, in + tail.len);
    return NQ_OK;
}

nq_rc
cursor_take(struct btree_cursor *c, const struct spot *s)
{
    struct btree_step at = s->path.at[s->path.depth - 1];
    nq_rc rc = load_key(c, s->pg, at.slot);

    if (rc != NQ_OK)
        return rc;
    c->path = s->path;
    c->leaf = at.id;
    c->slot = (int32_t)at.slot;
    c->version = c->tree->version;
    c->valid = true;
    return NQ_OK;
}

nq_rc
cursor_take_end(struct btree_cursor *c)
{
    c->version = c->tree->version;
    c->valid = false;
    c->key = slice_of(NULL, 0);
    return NQ_OK;
}

/* --- moving along the path -------------------------------------------------
 */

/* From the page at `level` down to the first or last record. */
static nq_rc
dive(struct btree *t, struct spot *s, unsigned level, pgno id, bool to_last)
{
    for (;; level++) {
        nq_rc rc = tree_page(t, id, &s->pg);

        if (rc != NQ_OK)
            return rc;
        nq_assert(level < BTREE_MAX_HEIGHT);
        s->path.at[level] =
            (struct btree_step){id, to_last ? s->pg->count - 1u : 0};
        if (s->pg->kind == PAGE_LEAF)
            break;
        id = page_child(s->pg, s->path.at[level].slot);
    }
    s->path.depth = level + 1;
    return NQ_OK;
}

/* To the neighbouring leaf; NQ_NOTFOUND: there is none. */
nq_rc
spot_step_aside(struct btree *t, struct spot *s, bool back)
{
    unsigned level = s->path.depth - 1;

    while (level-- > 0) {
        struct btree_step *at = &s->path.at[level];
        const struct page *pg;
        nq_rc rc = tree_page(t, at->id, &pg);

        if (rc != NQ_OK)
            return rc;
        if (back ? at->slot == 0 : at->slot + 1 >= pg->count)
            continue;
        at->slot = back ? at->slot - 1 : at->slot + 1;
        return dive(t, s, level + 1, page_child(pg, at->slot), back);
    }
    return NQ_NOTFOUND;
}

/* --- seeking ---------------------------------------------------------------
 */

static nq_rc
take_after_step(struct btree_cursor *c, struct spot *s, nq_rc rc)
{
    if (rc == NQ_NOTFOUND)
        return cursor_take_end(c);
    return rc == NQ_OK ? cursor_take(c, s) : rc;
}

nq_rc
btree_seek(struct btree_cursor *c, struct slice key, bool after)
{
    struct btree *t = c->tree;
    struct btree_step *at;
    struct spot s;
    unsigned slot;
    bool found;
    nq_rc rc;

    if (t->root == 0)
        return cursor_take_end(c);
    if ((rc = tree_descend(t, key, &s.path, &s.pg)) != NQ_OK ||
        (rc = page_find(s.pg, key, tree_tail, t->fr, &slot, &found)) != NQ_OK)
        return rc;
    at = &s.path.at[s.path.depth - 1];
    at->slot = slot + (found && after);
    if (at->slot >= s.pg->count)
        rc = spot_step_aside(t, &s, false);
    return take_after_step(c, &s, rc);
}

nq_rc
btree_seek_back(struct btree_cursor *c, struct slice key, bool before)
{
    struct btree *t = c->tree;
    struct spot s;
    unsigned slot;
    bool found;
    nq_rc rc;

    if (t->root == 0)
        return cursor_take_end(c);
    if ((rc = tree_descend(t, key, &s.path, &s.pg)) != NQ_OK ||
        (rc = page_find(s.pg, key, tree_tail, t->fr, &slot, &found)) != NQ_OK)
        return rc;
    if (found && !before)
        s.path.at[s.path.depth - 1].slot = slot;
    else if (slot > 0)
        s.path.at[s.path.depth - 1].slot = slot - 1;
    else
        rc = spot_step_aside(t, &s, true);
    return take_after_step(c, &s, rc);
}

static nq_rc
seek_end(struct btree_cursor *c, bool last)
{
    struct spot s;
    nq_rc rc;

    if (c->tree->root == 0)
        return cursor_take_end(c);
    rc = dive(c->tree, &s, 0, c->tree->root, last);
    return rc == NQ_OK ? cursor_take(c, &s) : rc;
}

nq_rc
btree_first(struct btree_cursor *c)
{
    return seek_end(c, false);
}

nq_rc
btree_last(struct btree_cursor *c)
{
    return seek_end(c, true);
}

/* --- stepping --------------------------------------------------------------
 */

static nq_rc
step_to_leaf(struct btree_cursor *c, bool back)
{
    struct spot s = {.path = c->path};
    nq_rc rc = spot_step_aside(c->tree, &s, back);

    return take_after_step(c, &s, rc);
}

nq_rc
btree_next(struct btree_cursor *c)
{
    const struct page *pg;
    nq_rc rc;

    if (nq_unlikely(!c->valid))
        return NQ_OK;
    if (nq_unlikely(c->version != c->tree->version))
        return btree_seek(c, c->key, true);
    if ((rc = tree_page(c->tree, c->leaf, &pg)) != NQ_OK)
        return rc;
    if (nq_unlikely(c->slot + 1 >= pg->count))
        return step_to_leaf(c, false);
    rc = load_key(c, pg, (unsigned)c->slot + 1);
    c->slot += rc == NQ_OK;
    return rc;
}

nq_rc
btree_prev(struct btree_cursor *c)
{
    const struct page *pg;
    nq_rc rc;

    if (nq_unlikely(!c->valid))
        return NQ_OK;
    if (nq_unlikely(c->version != c->tree->version))
        return btree_seek_back(c, c->key, true);
    if (nq_unlikely(c->slot == 0))
        return step_to_leaf(c, true);
    if ((rc = tree_page(c->tree, c->leaf, &pg)) != NQ_OK)
        return rc;
    rc = load_key(c, pg, (unsigned)c->slot - 1);
    c->slot -= rc == NQ_OK;
    return rc;
}

nq_rc
btree_record(struct btree_cursor *c, struct record *out)
{
    const struct page *pg;
    nq_rc rc;

    if (nq_unlikely(!c->valid))
        return NQ_NOTFOUND;
    if (nq_unlikely(c->version != c->tree->version))
        return btree_get(c->tree, c->key, out, NULL);
    if ((rc = tree_page(c->tree, c->leaf, &pg)) != NQ_OK)
        return rc;
    tree_record(pg, (unsigned)c->slot, out);
    return NQ_OK;
}
