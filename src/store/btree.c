/* store/btree.c - the tree: looking up, putting, deleting one key.
 *
 * Pages are those of page.h.  Leaves have level 0; there are no links between
 * neighbours: who moves sideways keeps the path.
 *
 *   B1  all leaves are at level 0 and as deep; a page of level n has children
 *       of level n - 1
 *   B2  an inner entry's count is exactly the number of records below; in a
 *       weighted tree, of the elements that they stand for
 *   B3  an inner entry's earliest expiry is not later than any below; the
 *       same holds for a leaf's header
 *   B4  an inner entry is marked `owns` if a record below may own pages: has
 *       REC_OWNS or a key with a tail
 *   B5  no page is empty; an empty tree has root 0
 *   B6  only pages on the path must be resident; a neighbour takes part in a
 *       split or merge only if it happens to be
 *
 * A put in a leaf with room changes the leaf and the counts above it;
 * replacing a value changes the leaf alone, unless a bound of B3 or B4 must
 * move.  What does not fit goes through btree_split.c.
 *
 * Called by db/ on the loop thread. */
#include "store/btree.h"

#include "store/btree_int.h"
#include "store/frames_int.h"

/* --- shared helpers ------------------------------------------------------ */

nq_rc
tree_tail(void *arg, pgno tail, struct slice *out)
{
    struct frames *fr = arg;

    return frames_chunk(fr, tail, out);
}

nq_rc
tree_key_tail(struct btree *t, const struct page_key *key, struct slice *tail)
{
    *tail = slice_of(NULL, 0);
    return key->tail == 0 ? NQ_OK : frames_chunk(t->fr, key->tail, tail);
}

/* The child is a leaf: its first lines are asked for before they are
 * needed, all at once. */
static inline __attribute__((always_inline)) void
prefetch_leaf(const struct btree *t, pgno id)
{
    const uint8_t *p = frames_peek(t->fr, id);

    if (p != NULL)
        tree_prefetch(p, LEAF_LINES);
}

nq_rc
tree_descend(struct btree *t, struct slice key, struct btree_path *path,
             const struct page **leaf)
{
    pgno id = t->root;
    const struct page *pg;
    unsigned depth = 0;
    nq_rc rc;

    for (;;) {
        unsigned slot;

        if ((rc = tree_page(t, id, &pg)) != NQ_OK)
            return rc;
        path->at[depth].id = id;
        if (pg->kind == PAGE_LEAF)
            break;
        rc = page_find_child_inline(pg, key, tree_tail, t->fr, &slot);
        if (rc != NQ_OK)
            return rc;
        nq_assert(depth + 1 < BTREE_MAX_HEIGHT);
        path->at[depth++].slot = slot;
        id = page_children(pg)[slot];
        if (pg->level == 1)
            prefetch_leaf(t, id);
    }
    path->at[depth].slot = 0;
    path->depth = depth + 1;
    *leaf = pg;
    return NQ_OK;
}

bool
tree_is_rightmost(struct btree *t, const struct btree_path *path,
                  unsigned levels)
{
    for (unsigned i = 0; i < levels; i++)
        if (path->at[i].slot + 1 != tree_peek(t, path->at[i].id)->count)
            return false;
    return true;
}

nq_rc
tree_rightmost(struct btree *t, struct btree_path *path)
{
    pgno id = t->root;

    for (unsigned depth = 0;; depth++) {
        const struct page *pg;
        nq_rc rc = tree_page(t, id, &pg);

        if (rc != NQ_OK)
            return rc;
        path->at[depth] = (struct btree_step){id, pg->count - 1u};
        path->depth = depth + 1;
        if (pg->kind == PAGE_LEAF)
            return NQ_OK;
        id = page_children(pg)[pg->count - 1u];
    }
}

void
tree_free_tail(struct btree *t, pgno tail)
{
    if (tail != 0)
        frames_free(t->fr, tail);
}

uint64_t
tree_weight_at(const struct btree *t, const struct page *leaf, unsigned slot)
{
    struct page_record r;

    page_record_at(leaf, slot, &r);
    return tree_weight(t, &r.v);
}

uint64_t
tree_weight_of(const struct btree *t, const struct page *leaf, unsigned lo,
               unsigned hi)
{
    uint64_t sum = 0;

    if (nq_likely(!t->weighted))
        return hi - lo;
    for (; lo < hi; lo++)
        sum += tree_weight_at(t, leaf, lo);
    return sum;
}

struct page_entry
tree_leaf_entry(const struct btree *t, const struct page *leaf, pgno id)
{
    return (struct page_entry){.child = id,
                               .count = tree_weight_of(t, leaf, 0, leaf->count),
                               .earliest = leaf->earliest,
                               .owns = (leaf->flags & PAGE_OWNS) != 0};
}

struct page_entry
tree_value_entry(const struct page_value *v)
{
    return (struct page_entry){
        .earliest = v->expire_ms == 0 ? PAGE_NEVER : v->expire_ms,
        .owns = (PAGE_META_FLAGS(v->meta) & REC_OWNS) != 0};
}

void
tree_raise(struct btree *t, const struct btree_path *path, unsigned levels,
           const struct page_entry *e)
{
    if (e->earliest == PAGE_NEVER && !e->owns)
        return;
    while (levels-- > 0) {
        struct btree_step at = path->at[levels];
        const struct page *pg = tree_peek(t, at.id);
        struct page_entry up;

        page_entry_at(pg, at.slot, &up);
        if (up.earliest <= e->earliest && up.owns >= e->owns)
            return;
        up.earliest = nq_min(up.earliest, e->earliest);
        up.owns |= e->owns;
        page_entry_set(tree_mut(t, at.id), at.slot, &up);
    }
}

void
tree_add(struct btree *t, const struct btree_path *path, unsigned levels,
         int64_t count)
{
    for (unsigned i = 0; i < levels; i++)
        page_entry_add(tree_mut(t, path->at[i].id), path->at[i].slot, count);
}

uint32_t
btree_max_inline(const struct btree *t)
{
    return t->fr->page_size / 4 - 64;
}

/* --- finding ------------------------------------------------------------- */

/* No two trees have the same root: a finger is never taken for another
 * tree's, even where databases were swapped since. */
static bool
finger_is_good(const struct btree *t, const struct finger *f)
{
    return f != NULL && f->leaf != 0 && f->version == t->shape &&
           f->root == t->root && frames_peek(t->fr, f->leaf) != NULL;
}

/* Where a key is, or would be. */
struct place {
    const struct page *pg; /* the leaf */
    pgno leaf;
    unsigned slot;
    bool found;
    bool has_path;    /* false: it was found through a finger */
    struct finger *f; /* that one, or NULL */
    struct btree_path path;
};

static void
path_copy(struct btree_path *dst, const struct btree_path *src)
{
    dst->depth = src->depth;
    memcpy(dst->at, src->at, src->depth * sizeof src->at[0]);
}

/* The finger's path, if it keeps one, is always that of its leaf. */
static void
finger_set(const struct btree *t, struct finger *f, const struct place *p)
{
    if (f == NULL)
        return;
    f->version = t->shape;
    f->root = t->root;
    f->leaf = p->leaf;
    f->slot = (uint16_t)p->slot;
    f->found = p->found;
    if (f->path != NULL && p->has_path)
        path_copy(f->path, &p->path);
}

/* What frames_mut() will look at first, asked for while the leaf is searched.
 */
static inline __attribute__((always_inline)) void
prefetch_frame(const struct btree *t, pgno id)
{
    __builtin_prefetch(&frames_all(t->fr)->frame[t->fr->frame_of[id]]);
}

/* Through the finger if it is good; `f` is set.  The tree is not empty. */
static nq_rc
find(struct btree *t, struct slice key, struct finger *f, bool writes,
     struct place *p)
{
    nq_rc rc;

    p->f = f;
    p->has_path = !finger_is_good(t, f);
    if (p->has_path) {
        if ((rc = tree_descend(t, key, &p->path, &p->pg)) != NQ_OK)
            return rc;
        p->leaf = p->path.at[p->path.depth - 1].id;
    } else {
        p->leaf = f->leaf;
        if ((rc = tree_page(t, p->leaf, &p->pg)) != NQ_OK)
            return rc;
        if (f->found && f->slot < p->pg->count) {
            int cmp;

            rc = page_compare(p->pg, f->slot, key, tree_tail, t->fr, &cmp);
            p->slot = f->slot;
            p->found = true;
            if (rc != NQ_OK || cmp == 0)
                return rc;
        }
    }
    if (writes)
        prefetch_frame(t, p->leaf);
    rc = page_find(p->pg, key, tree_tail, t->fr, &p->slot, &p->found);
    if (rc == NQ_OK)
        finger_set(t, f, p);
    return rc;
}

/* From the finger, if it has kept the path and all of it is resident. */
static bool
take_path(const struct btree *t, struct place *p)
{
    const struct btree_path *kept = p->f == NULL ? NULL : p->f->path;

    if (kept == NULL || kept->depth == 0)
        return false;
    for (unsigned i = 0; i < kept->depth; i++)
        if (tree_peek(t, kept->at[i].id) == NULL)
            return false;
    path_copy(&p->path, kept);
    return true;
}

/* The path to a place that was found through a finger. */
static nq_rc
need_path(struct btree *t, struct slice key, struct place *p)
{
    unsigned last;
    nq_rc rc;

    if (!p->has_path && !take_path(t, p) &&
        (rc = tree_descend(t, key, &p->path, &p->pg)) != NQ_OK)
        return rc;
    last = p->path.depth - 1;
    nq_assert(p->path.at[last].id == p->leaf);
    p->path.at[last].slot = p->slot;
    p->has_path = true;
    return NQ_OK;
}

nq_rc
btree_get(struct btree *t, struct slice key, struct record *out,
          struct finger *f)
{
    struct place p;
    nq_rc rc;

    if (t->root == 0)
        return NQ_NOTFOUND;
    if ((rc = find(t, key, f, false, &p)) != NQ_OK)
        return rc;
    if (!p.found)
        return NQ_NOTFOUND;
    tree_record(p.pg, p.slot, out);
    return NQ_OK;
}

nq_rc
btree_patch(struct btree *t, struct slice key, struct finger *f, uint8_t **val,
            size_t *len)
{
    struct page_record r;
    struct place p;
    nq_rc rc;

    if (t->root == 0)
        return NQ_NOTFOUND;
    if ((rc = find(t, key, f, false, &p)) != NQ_OK)
        return rc;
    if (!p.found)
        return NQ_NOTFOUND;
    page_record_at(p.pg, p.slot, &r);
    *val = page_at(tree_mut(t, p.leaf),
                   (size_t)(r.v.val.p - page_at_const(p.pg, 0)));
    *len = r.v.val.len;
    return NQ_OK;
}

uint8_t *
btree_patch_got(struct btree *t, const struct finger *f, struct slice val)
{
    size_t off = (size_t)(val.p - frames_peek(t->fr, f->leaf));

    nq_assert(f->found && off + val.len <= t->fr->page_size);
    return page_at(tree_mut(t, f->leaf), off);
}

/* --- putting ------------------------------------------------------------- */

/* The chunk with what of a new key is not in the page. */
static pgno
new_tail(struct btree *t, struct slice key, const struct page_key *in)
{
    size_t n = key.len - in->in.len;
    uint8_t *bytes;
    pgno id;

    if (n == 0)
        return 0;
    id = frames_chunk_new(t->fr, (uint32_t)n, &bytes);
    memcpy(bytes, key.p + in->in.len, n);
    return id;
}

int64_t
tree_weight_gain(const struct btree *t, const struct page *leaf, unsigned slot,
                 const struct page_value *v)
{
    if (nq_likely(!t->weighted))
        return 0;
    return (int64_t)tree_weight(t, v) - (int64_t)tree_weight_at(t, leaf, slot);
}

/* The page moved when it was made writable; so did a value inside. */
static void
follow_move(struct page_value *v, const struct page *from,
            const struct page *to)
{
    const uint8_t *base = page_at_const(from, 0);

    if (v->val.p >= base && v->val.p < base + page_size(from))
        v->val.p = page_at_const(to, 0) + (v->val.p - base);
}

static nq_rc
replace(struct btree *t, struct slice key, struct place *p,
        struct page_value *v)
{
    struct page_entry e = tree_value_entry(v);
    bool raises =
        e.earliest < p->pg->earliest || (e.owns && !(p->pg->flags & PAGE_OWNS));
    int64_t gain = tree_weight_gain(t, p->pg, p->slot, v);
    struct page *w;
    nq_rc rc;

    if ((raises || gain != 0) && (rc = need_path(t, key, p)) != NQ_OK)
        return rc;
    w = tree_mut(t, p->leaf);
    follow_move(v, p->pg, w);
    if (page_replace(w, p->slot, v)) {
        t->version++; /* cursors know where the value stands */
        if (raises)
            tree_raise(t, &p->path, p->path.depth - 1, &e);
        if (nq_unlikely(gain != 0))
            tree_add(t, &p->path, p->path.depth - 1, gain);
        return NQ_OK;
    }
    if ((rc = need_path(t, key, p)) != NQ_OK)
        return rc;
    return tree_split(t, &p->path, key, NULL, v, true);
}

/* Keys put behind all others, one after the other: their leaf is remembered,
 * so that the next such key is compared with the last record only. */
static void
note_append(struct btree *t, const struct place *p)
{
    if (nq_likely(p->slot != p->pg->count || t->append_leaf == p->leaf))
        return;
    if (tree_is_rightmost(t, &p->path, p->path.depth - 1)) {
        t->append_leaf = p->leaf;
        t->append_shape = t->shape;
    }
}

/* Does `key` go behind the last record of the remembered leaf? */
static nq_rc
find_append(struct btree *t, struct slice key, struct place *p, bool *is_append)
{
    pgno leaf = t->append_leaf;
    int cmp;
    nq_rc rc;

    *is_append = false;
    t->append_leaf = 0;
    if (t->append_shape != t->shape)
        return NQ_OK;
    if ((rc = tree_page(t, leaf, &p->pg)) != NQ_OK ||
        (rc = page_compare(p->pg, p->pg->count - 1u, key, tree_tail, t->fr,
                           &cmp)) != NQ_OK)
        return rc;
    if (cmp >= 0)
        return NQ_OK;
    t->append_leaf = leaf;
    p->leaf = leaf;
    p->slot = p->pg->count;
    p->found = false;
    p->has_path = true;
    *is_append = true;
    return tree_rightmost(t, &p->path);
}

static nq_rc
insert(struct btree *t, struct slice key, struct place *p, struct page_value *v)
{
    struct page_key in = page_key_of(t->fr->page_shift, key);
    struct page_entry e = tree_value_entry(v);
    uint64_t weight = tree_weight(t, v);
    struct page *w;
    nq_rc rc = need_path(t, key, p);

    if (rc != NQ_OK)
        return rc;
    w = tree_mut(t, p->leaf);
    follow_move(v, p->pg, w);
    p->pg = w;
    in.tail = new_tail(t, key, &in);
    e.owns |= in.tail != 0;
    note_append(t, p);
    if (page_insert(w, p->slot, &in, v)) {
        tree_add(t, &p->path, p->path.depth - 1, (int64_t)weight);
        tree_raise(t, &p->path, p->path.depth - 1, &e);
        t->version++;
        return NQ_OK;
    }
    if ((rc = tree_split(t, &p->path, key, &in, v, false)) != NQ_OK)
        tree_free_tail(t, in.tail);
    return rc;
}

static void
new_root(struct btree *t, struct slice key, const struct page_value *v,
         struct finger *f)
{
    struct place p = {.found = true, .has_path = true};
    struct page_key in = page_key_of(t->fr->page_shift, key);
    uint8_t *bytes;
    struct page *pg;
    bool fits;

    in.tail = new_tail(t, key, &in);
    t->root = frames_new(t->fr, PAGE_LEAF, &bytes);
    pg = (struct page *)(void *)bytes;
    page_init(pg, PAGE_LEAF, t->fr->page_shift, 0, slice_of(NULL, 0));
    fits = page_insert(pg, 0, &in, v);
    nq_assert(fits);
    t->version++;
    t->shape++;
    p.leaf = t->root;
    p.path.depth = 1;
    p.path.at[0] = (struct btree_step){t->root, 0};
    finger_set(t, f, &p);
}

static void
tell_old(const struct place *p, btree_old_fn *on_old, void *arg)
{
    struct record old;

    if (on_old == NULL)
        return;
    tree_record(p->pg, p->slot, &old);
    on_old(arg, &old);
}

nq_rc
btree_put(struct btree *t, struct slice key, const struct record *rec,
          struct finger *f)
{
    return btree_put_told(t, key, rec, f, NULL, NULL);
}

nq_rc
btree_put_told(struct btree *t, struct slice key, const struct record *rec,
               struct finger *f, btree_old_fn *on_old, void *arg)
{
    struct page_value v = {rec->val, rec->expire_ms,
                           PAGE_META(rec->type, rec->flags)};
    bool is_append = false;
    struct place p;
    nq_rc rc;

    if (key.len > BTREE_MAX_KEY)
        return NQ_EKEYLEN;
    nq_assert(v.val.len <= btree_max_inline(t));
    nq_assert(v.expire_ms < (uint64_t)1 << 48);
    nq_dassert(rec->type < 16 && rec->flags < 8);
    nq_dassert(!t->weighted || v.val.len >= 2);
    nq_dassert(tree_weight(t, &v) > 0);
    if (t->root == 0) {
        new_root(t, key, &v, f);
        return NQ_OK;
    }
    if (t->append_leaf != 0 &&
        (rc = find_append(t, key, &p, &is_append)) != NQ_OK)
        return rc;
    if (is_append) /* before the leaf may be split */
        finger_set(t, f, &p);
    else if ((rc = find(t, key, f, true, &p)) != NQ_OK)
        return rc;
    if (p.found)
        tell_old(&p, on_old, arg);
    rc = p.found ? replace(t, key, &p, &v) : insert(t, key, &p, &v);
    if (rc == NQ_OK && f != NULL)
        f->found = true; /* void anyway if the shape moved */
    return rc;
}

/* --- deleting ------------------------------------------------------------ */

nq_rc
btree_del(struct btree *t, struct slice key, struct finger *f)
{
    return btree_del_told(t, key, f, NULL, NULL);
}

nq_rc
btree_del_told(struct btree *t, struct slice key, struct finger *f,
               btree_old_fn *on_old, void *arg)
{
    struct page_record r;
    struct place p;
    uint64_t weight;
    nq_rc rc;

    if (t->root == 0)
        return NQ_NOTFOUND;
    if ((rc = find(t, key, f, true, &p)) != NQ_OK)
        return rc;
    if (!p.found)
        return NQ_NOTFOUND;
    if ((rc = need_path(t, key, &p)) != NQ_OK)
        return rc;
    tell_old(&p, on_old, arg);
    page_record_at(p.pg, p.slot, &r);
    weight = tree_weight(t, &r.v);
    page_remove(tree_mut(t, p.leaf), p.slot);
    tree_free_tail(t, r.tail);
    tree_add(t, &p.path, p.path.depth - 1, -(int64_t)weight);
    t->version++;
    tree_shrink(t, &p.path, p.path.depth - 1);
    if (f != NULL)
        f->found = false;
    return NQ_OK;
}
