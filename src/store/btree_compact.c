/* store/btree_compact.c - leaves filled up from their neighbours on the right,
 * inner pages joined.
 *
 * Level by level, from the parents of the leaves upwards, each level in key
 * order.  Leaves are looked at in windows of some thirty under one parent: if
 * they would fit fewer pages, each takes from the next what it has room for;
 * the last one, which may be half empty, is the first of the next window.
 * Then the parent is joined with the one behind it, if both fit one page, so
 * that its last leaf finds a neighbour.
 *
 *   K1  each pair of leaves is a whole change: a correct tree before and
 *       after it
 *   K2  the parent gets its key before the leaves move; if it has no room,
 *       they stay as they are
 *   K3  the key where it goes on is the first of a page at its time; later
 *       changes may move it, which costs a page packed less well
 *   K4  a page tells the last change of its records, which packing is not:
 *       who reads them waits for nothing new
 *
 * Called by db/compact.c. */
#include "store/btree_compact.h"

#include "store/btree_int.h"
#include "store/page_mix.h"

#define WINDOW 32u

/* --- where it goes on ------------------------------------------------------
 */

/* The whole key of the slot into `b`. */
static nq_rc
copy_key(struct btree *t, const struct page *pg, unsigned slot, struct buf *b)
{
    uint8_t bytes[KEY_ROOM];
    struct page_key k;
    struct slice tail;
    nq_rc rc;

    page_key_at(pg, slot, bytes, &k);
    if ((rc = tree_key_tail(t, &k, &tail)) != NQ_OK)
        return rc;
    buf_clear(b);
    buf_put_slice(b, k.in);
    buf_put_slice(b, tail);
    return NQ_OK;
}

/* From the root to the page of c->level for c->key; the last step's slot is
 * that of the child for it.  NQ_NOTFOUND: the tree is not so high. */
static nq_rc
descend(struct btree *t, const struct btree_compact *c, struct btree_path *path)
{
    pgno id = t->root;

    path->depth = 0;
    for (;;) {
        struct btree_step *at = &path->at[path->depth++];
        const struct page *pg;
        unsigned slot;
        nq_rc rc = tree_page(t, id, &pg);

        if (rc != NQ_OK)
            return rc;
        if (pg->level < c->level)
            return NQ_NOTFOUND;
        rc = page_find_child(pg, buf_slice(&c->key), tree_tail, t->fr, &slot);
        if (rc != NQ_OK)
            return rc;
        *at = (struct btree_step){id, slot};
        if (pg->level == c->level)
            return NQ_OK;
        id = page_child(pg, slot);
    }
}

/* On to the page behind that of the path, at the same level, or to the next
 * level. */
static nq_rc
go_on_behind(struct btree *t, struct btree_compact *c,
             const struct btree_path *path)
{
    for (unsigned i = path->depth - 1; i > 0; i--) {
        const struct page *up = tree_peek(t, path->at[i - 1].id);
        unsigned slot = path->at[i - 1].slot + 1;

        if (slot < up->count)
            return copy_key(t, up, slot, &c->key);
    }
    buf_clear(&c->key);
    c->level++;
    return NQ_OK;
}

/* --- two leaves ------------------------------------------------------------
 */

/* Two leaves and what becomes of them. */
struct pair {
    struct page_mix mix;
    struct tree_separator sep; /* the new one between them */
    _Alignas(64) uint8_t copy[2][1 << PAGE_MAX_SHIFT];
};

static void
take_pair(struct pair *p, const struct page *a, const struct page *b)
{
    memcpy(p->copy[0], a, page_size(a));
    memcpy(p->copy[1], b, page_size(b));
    page_mix_init(&p->mix, a->shift);
    page_mix_sources(&p->mix, page_of(p->copy[0]), page_of(p->copy[1]));
}

/* How many of their records fit the first page; at least as many as it has
 * now. */
static unsigned
count_fitting(const struct page_mix *m)
{
    unsigned fits = m->source[0]->count, over = page_mix_count(m);

    while (over - fits > 1) {
        unsigned middle = fits + (over - fits) / 2;

        if (page_mix_fits(m, 0, middle))
            fits = middle;
        else
            over = middle;
    }
    return fits;
}

static void
write_leaf(struct btree *t, const struct page_mix *m, unsigned lo, unsigned hi,
           pgno id, struct page *parent, unsigned slot)
{
    struct page *pg = tree_mut(t, id);
    struct page_entry e;

    page_mix_write(m, lo, hi, pg);
    pg->lsn = nq_max(m->source[0]->lsn, m->source[1]->lsn); /* K4 */
    e = tree_leaf_entry(t, pg, id);
    page_entry_set(parent, slot, &e);
}

/* Fills the child of `slot` from the one behind it, as far as it goes. */
static nq_rc
fill_up(struct btree *t, pgno parent_id, unsigned slot)
{
    const struct page *old = tree_peek(t, parent_id);
    pgno left = page_child(old, slot), right = page_child(old, slot + 1);
    struct page *parent;
    struct pair p;
    unsigned cut;
    nq_rc rc;

    take_pair(&p, tree_peek(t, left), tree_peek(t, right));
    cut = count_fitting(&p.mix);
    if (cut == p.mix.source[0]->count)
        return NQ_OK;
    rc = tree_separator_plan(t, &p.mix, slice_of(NULL, 0), cut, &p.sep);
    if (rc != NQ_OK)
        return rc;
    parent = tree_mut(t, parent_id);
    if (!tree_rekey(t, parent, slot + 1, &p.sep)) /* K2 */
        return NQ_OK;
    write_leaf(t, &p.mix, 0, cut, left, parent, slot);
    write_leaf(t, &p.mix, cut, page_mix_count(&p.mix), right, parent, slot + 1);
    t->version++;
    t->shape++;
    return NQ_OK;
}

/* --- a window of leaves ----------------------------------------------------
 */

struct window {
    struct btree_path *path; /* to the parent; its last slot: the first leaf */
    unsigned count;
    bool is_last; /* up to the parent's end */
    size_t used;  /* by the records of all of them */
};

/* All of its leaves in memory. */
static nq_rc
bring(struct btree *t, struct window *w)
{
    struct btree_step at = w->path->at[w->path->depth - 1];
    const struct page *parent = tree_peek(t, at.id), *leaf;
    nq_rc rc = NQ_OK;

    w->count = nq_min(parent->count - at.slot, WINDOW);
    w->is_last = at.slot + w->count == parent->count;
    w->used = 0;
    for (unsigned i = 0; i < w->count; i++) {
        nq_rc one = tree_page(t, page_child(parent, at.slot + i), &leaf);

        if (one == NQ_OK)
            w->used += page_used(leaf);
        else if (rc == NQ_OK || rc == NQ_MISS)
            rc = one;
    }
    return rc;
}

/* Who is told of what owns something. */
struct listener {
    btree_owner_fn *fn; /* NULL: nobody */
    void *arg;
};

static nq_rc
tell_leaf(struct btree *t, const struct page *leaf, const struct listener *l)
{
    struct buf key = BUF_INIT;
    struct record rec;
    nq_rc rc = NQ_OK;

    if (l->fn == NULL || (leaf->flags & PAGE_OWNS) == 0)
        return NQ_OK;
    for (unsigned i = 0; i < leaf->count && rc == NQ_OK; i++) {
        tree_record(leaf, i, &rec);
        if ((rec.flags & REC_OWNS) != 0 &&
            (rc = copy_key(t, leaf, i, &key)) == NQ_OK)
            l->fn(l->arg, buf_slice(&key), &rec);
    }
    buf_fini(&key);
    return rc;
}

static nq_rc
tell_window(struct btree *t, const struct window *w, const struct listener *l)
{
    struct btree_step at = w->path->at[w->path->depth - 1];
    const struct page *parent = tree_peek(t, at.id);
    nq_rc rc = NQ_OK;

    for (unsigned i = 0; i < w->count && rc == NQ_OK; i++)
        rc = tell_leaf(t, tree_peek(t, page_child(parent, at.slot + i)), l);
    return rc;
}

static nq_rc
pack_window(struct btree *t, struct btree_compact *c, struct window *w)
{
    unsigned level = w->path->depth;
    struct btree_step at = w->path->at[level - 1];
    size_t room = t->fr->page_size - PAGE_HEADER;
    unsigned i = 0;
    nq_rc rc = NQ_OK;

    if ((w->used + room - 1) / room >= w->count)
        return NQ_OK; /* no page would be saved */
    while (i + 1 < w->count && rc == NQ_OK) {
        if (tree_join(t, w->path, level, at.slot + i)) {
            w->count--;
            c->freed++;
        } else {
            rc = fill_up(t, at.id, at.slot + i++);
        }
    }
    return rc;
}

/* Joins the last page of the path with those behind it under the same parent.
 * Their children then are children of the first. */
static nq_rc
join_next(struct btree *t, struct btree_compact *c,
          const struct btree_path *path, bool *joined)
{
    struct btree_path up = *path;
    unsigned level = path->depth - 1;
    struct btree_step at;
    const struct page *parent, *next;
    nq_rc rc;

    *joined = false;
    if (level == 0)
        return NQ_OK;
    at = path->at[level - 1];
    parent = tree_peek(t, at.id);
    if (at.slot + 1u >= parent->count)
        return NQ_OK;
    if ((rc = tree_page(t, page_child(parent, at.slot + 1), &next)) != NQ_OK)
        return rc;
    *joined = tree_join(t, &up, level, at.slot);
    c->freed += *joined;
    return NQ_OK;
}

static nq_rc
step_leaves(struct btree *t, struct btree_compact *c, struct btree_path *path,
            const struct listener *l)
{
    struct btree_step *at = &path->at[path->depth - 1];
    struct window w = {.path = path};
    const struct page *parent;
    bool joined = false;
    unsigned last;
    nq_rc rc = bring(t, &w);

    if (rc == NQ_OK)
        rc = tell_window(t, &w, l);
    if (rc == NQ_OK)
        rc = pack_window(t, c, &w);
    if (rc == NQ_OK && w.is_last)
        rc = join_next(t, c, path, &joined);
    if (rc != NQ_OK)
        return rc;
    if (w.is_last && !joined) {
        c->seen += w.count;
        return go_on_behind(t, c, path);
    }
    /* Once more from the window's last leaf, which is a later one than its
     * first, or has got neighbours just now. */
    parent = tree_peek(t, at->id);
    last = at->slot + w.count - 1;
    c->seen += w.count - 1;
    return last == 0 ? NQ_OK : copy_key(t, parent, last, &c->key);
}

static nq_rc
step_inners(struct btree *t, struct btree_compact *c, struct btree_path *path)
{
    bool joined;
    nq_rc rc = join_next(t, c, path, &joined);

    return rc != NQ_OK || joined ? rc : go_on_behind(t, c, path);
}

/* A root with one child becomes that child, in its own place. */
static nq_rc
lower_root(struct btree *t, struct btree_compact *c)
{
    const struct page *root, *child;
    struct page *pg;
    pgno id;
    nq_rc rc;

    for (;;) {
        if ((rc = tree_page(t, t->root, &root)) != NQ_OK ||
            root->kind != PAGE_INNER || root->count > 1)
            return rc;
        id = page_child(root, 0);
        if ((rc = tree_page(t, id, &child)) != NQ_OK)
            return rc;
        pg = tree_mut(t, t->root);
        memcpy(pg, tree_peek(t, id), page_size(child)); /* K4: its LSN, too */
        frames_set_kind(t->fr, t->root, (enum page_kind)pg->kind);
        frames_free(t->fr, id);
        c->freed++;
        t->version++;
        t->shape++;
    }
}

/* The tree ends below the level: all is packed, or it is one leaf. */
static nq_rc
end_at_root(struct btree *t, struct btree_compact *c, const struct listener *l)
{
    const struct page *root;
    nq_rc rc = lower_root(t, c);

    if (rc == NQ_OK && c->level == 1 &&
        (rc = tree_page(t, t->root, &root)) == NQ_OK)
        rc = tell_leaf(t, root, l);
    return rc;
}

nq_rc
btree_compact_step(struct btree *t, struct btree_compact *c,
                   btree_owner_fn *on_owner, void *arg)
{
    struct listener l = {on_owner, arg};
    struct btree_path path;
    nq_rc rc;

    if (t->root == 0)
        return NQ_OK;
    if (c->level == 0)
        c->level = 1;
    rc = descend(t, c, &path);
    if (rc == NQ_NOTFOUND)
        return end_at_root(t, c, &l);
    if (rc == NQ_OK)
        rc = c->level == 1 ? step_leaves(t, c, &path, &l)
                           : step_inners(t, c, &path);
    return rc == NQ_OK ? NQ_AGAIN : rc;
}

void
btree_compact_fini(struct btree_compact *c)
{
    buf_fini(&c->key);
}
