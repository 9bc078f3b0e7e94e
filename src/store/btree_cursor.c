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

void
btree_cursor_finger(const struct btree_cursor *c, struct finger *f)
{
    const struct btree *t = c->tree;

    f->leaf = 0;
    if (!c->valid || c->version != t->version)
        return;
    f->version = t->shape;
    f->root = t->root;
    f->leaf = c->leaf;
    f->slot = (uint16_t)c->slot;
    f->found = true;
    if (f->path != NULL) {
        f->path->depth = c->path.depth;
        memcpy(f->path->at, c->path.at, c->path.depth * sizeof c->path.at[0]);
    }
}

/* --- taking a place ------------------------------------------------------ */

static void
grow_key(struct btree_cursor *c, size_t len)
{
    c->key_cap = nq_max(len, nq_max(c->key_cap * 2, 64u));
    c->key_buf = nq_realloc(c->key_buf, c->key_cap);
}

/* Decodes the record again, so that the caller's copy stays in registers. */
static __attribute__((noinline)) nq_rc
load_long_key(struct btree_cursor *c, const struct page *pg, unsigned slot)
{
    struct page_record record, *r = &record;
    struct slice tail;
    size_t in;
    nq_rc rc;

    page_record_at(pg, slot, r);
    in = pg->prefix_len + r->suffix.len;
    if ((rc = frames_chunk(c->tree->fr, r->tail, &tail)) != NQ_OK)
        return rc;
    if (in + tail.len >= c->key_cap)
        grow_key(c, in + tail.len + 1);
    memcpy(c->key_buf, page_prefix(pg).p, pg->prefix_len);
    memcpy(c->key_buf + pg->prefix_len, r->suffix.p, r->suffix.len);
    memcpy(c->key_buf + in, tail.p, tail.len);
    c->key = slice_of(c->key_buf, in + tail.len);
    return NQ_OK;
}

/* Short copies without a call. */
static inline void
copy_bytes(uint8_t *dst, const uint8_t *src, size_t n)
{
    if (n >= 8 && n <= 16) {
        uint64_t a = load_u64(src), b = load_u64(src + n - 8);

        memcpy(dst, &a, 8);
        memcpy(dst + n - 8, &b, 8);
    } else if (n >= 4 && n < 8) {
        uint32_t a = load_u32(src), b = load_u32(src + n - 4);

        memcpy(dst, &a, 4);
        memcpy(dst + n - 4, &b, 4);
    } else if (n < 4) {
        for (size_t i = 0; i < n; i++)
            dst[i] = src[i];
    } else {
        memcpy(dst, src, n);
    }
}

/* The record's key into the cursor; with `same_leaf` its prefix is there
 * already. */
static inline __attribute__((always_inline)) nq_rc
copy_key(struct btree_cursor *c, const struct page *pg, unsigned slot,
         const struct page_record *r, bool same_leaf)
{
    size_t len = pg->prefix_len + r->suffix.len;

    if (nq_unlikely(r->tail != 0))
        return load_long_key(c, pg, slot);
    if (nq_unlikely(len >= c->key_cap))
        grow_key(c, len + 1);
    if (!same_leaf)
        memcpy(c->key_buf, page_prefix(pg).p, pg->prefix_len);
    copy_bytes(c->key_buf + pg->prefix_len, r->suffix.p, r->suffix.len);
    c->key = slice_of(c->key_buf, len);
    return NQ_OK;
}

/* What btree_record() will answer. */
static inline void
note_record(struct btree_cursor *c, const struct page *pg,
            const struct page_record *r)
{
    c->val_off = (uint32_t)(r->v.val.p - page_at_const(pg, 0));
    c->val_len = (uint32_t)r->v.val.len;
    c->expire_ms = r->v.expire_ms;
    c->meta = r->v.meta;
}

static inline nq_rc
load_key(struct btree_cursor *c, const struct page *pg, unsigned slot,
         bool same_leaf)
{
    struct page_record r;
    nq_rc rc;

    record_decode(pg, page_offs(pg)[slot], &r);
    if ((rc = copy_key(c, pg, slot, &r, same_leaf)) == NQ_OK)
        note_record(c, pg, &r);
    return rc;
}

/* The leaf that a walk will come to next is fetched while this one is read,
 * a few lines with each step. */
static void
look_ahead(struct btree_cursor *c, const struct page *leaf)
{
    const struct btree *t = c->tree;
    struct btree_step up;
    const struct page *parent;

    c->ahead = NULL;
    if (c->path.depth < 2)
        return;
    up = c->path.at[c->path.depth - 2];
    parent = tree_peek(t, up.id);
    if (parent == NULL || up.slot + 1 >= parent->count)
        return;
    c->ahead = frames_peek(t->fr, page_child(parent, up.slot + 1));
    c->ahead_lines =
        (uint16_t)(page_size(leaf) / 64 / nq_max(leaf->count, 1u) + 1);
}

static inline __attribute__((always_inline)) void
prefetch_ahead(struct btree_cursor *c)
{
    size_t n = (size_t)64 * c->ahead_lines;
    uintptr_t offset = (uintptr_t)c->ahead & (c->tree->fr->page_size - 1);

    tree_prefetch(c->ahead, c->ahead_lines);
    c->ahead = offset + n < c->tree->fr->page_size ? c->ahead + n : NULL;
}

nq_rc
cursor_take(struct btree_cursor *c, const struct spot *s)
{
    struct btree_step at = s->path.at[s->path.depth - 1];
    nq_rc rc = load_key(c, s->pg, at.slot, false);

    if (rc != NQ_OK)
        return rc;
    c->path = s->path;
    c->leaf = at.id;
    c->slot = (int32_t)at.slot;
    c->version = c->tree->version;
    c->valid = true;
    look_ahead(c, s->pg);
    tree_ahead(c->tree, &c->path);
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

/* --- moving along the path ----------------------------------------------- */

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

/* --- seeking ------------------------------------------------------------- */

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

/* --- stepping ------------------------------------------------------------ */

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
    if (c->ahead != NULL)
        prefetch_ahead(c);
    rc = load_key(c, pg, (unsigned)c->slot + 1, true);
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
    rc = load_key(c, pg, (unsigned)c->slot - 1, true);
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
    *out = (struct record){.val = {page_at_const(pg, c->val_off), c->val_len},
                           .expire_ms = c->expire_ms,
                           .type = PAGE_META_TYPE(c->meta),
                           .flags = PAGE_META_FLAGS(c->meta),
                           .page_lsn = pg->lsn};
    return NQ_OK;
}

/* --- visiting ------------------------------------------------------------ */

/* The rest of the cursor's leaf.  *goes_on: fn has seen all of it. */
static nq_rc
visit_leaf(struct btree_cursor *c, const struct page *pg, btree_visit_fn *fn,
           void *arg, bool *goes_on)
{
    const uint16_t *off = page_offs(pg);
    unsigned slot = (unsigned)c->slot, count = pg->count;
    struct record rec = {.page_lsn = pg->lsn};

    for (;; slot++) {
        struct page_record r;
        nq_rc rc;

        if (c->ahead != NULL)
            prefetch_ahead(c);
        record_decode(pg, off[slot], &r);
        if ((rc = copy_key(c, pg, slot, &r, true)) != NQ_OK)
            return rc;
        c->slot = (int32_t)slot;
        rec.val = r.v.val;
        rec.expire_ms = r.v.expire_ms;
        rec.type = PAGE_META_TYPE(r.v.meta);
        rec.flags = PAGE_META_FLAGS(r.v.meta);
        *goes_on = fn(arg, c->key, &rec);
        if (!*goes_on || slot + 1 == count) {
            note_record(c, pg, &r);
            return NQ_OK;
        }
    }
}

nq_rc
btree_visit(struct btree_cursor *c, btree_visit_fn *fn, void *arg)
{
    bool goes_on = true;

    if (c->valid && c->version != c->tree->version) {
        nq_rc rc = btree_seek(c, c->key, false);

        if (rc != NQ_OK)
            return rc;
    }
    while (c->valid && goes_on) {
        const struct page *pg;
        nq_rc rc = tree_page(c->tree, c->leaf, &pg);

        if (rc != NQ_OK || (rc = visit_leaf(c, pg, fn, arg, &goes_on)) != NQ_OK)
            return rc;
        if (goes_on && (rc = step_to_leaf(c, false)) != NQ_OK)
            return rc;
    }
    return NQ_OK;
}
