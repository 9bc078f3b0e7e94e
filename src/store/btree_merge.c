/* store/btree_merge.c - shrinking: empty pages go, under-full ones join a
 * resident neighbour under the same parent, a root with one child gives way
 * to it.  A page whose neighbours are not in memory stays as it is.
 *
 * Called by btree.c and btree_range.c after records are gone. */
#include "store/btree_int.h"
#include "store/page_mix.h"

/* Pages used less than a third look for a partner; the result is filled at
 * most five sixths, so that the next inserts do not split it at once. */
static bool
is_underfull(const struct page *pg)
{
    return page_used(pg) < (page_size(pg) - PAGE_HEADER) / 3;
}

static bool
may_join(const struct page *a, const struct page *b)
{
    size_t room = page_size(a) - PAGE_HEADER;

    return page_used(a) + page_used(b) <= room - room / 6;
}

static bool
join_leaves(struct btree *t, pgno left, const struct page *b)
{
    _Alignas(64) uint8_t copy[1 << PAGE_MAX_SHIFT];
    const struct page *a = tree_peek(t, left);
    struct page_mix mix;
    struct page *w;

    memcpy(copy, a, page_size(a));
    page_mix_init(&mix, a->shift);
    page_mix_sources(&mix, page_of(copy), b);
    if (!page_mix_fits(&mix, 0, page_mix_count(&mix)))
        return false;
    w = tree_mut(t, left);
    page_mix_write(&mix, 0, page_mix_count(&mix), w);
    w->lsn = nq_max(page_of(copy)->lsn, b->lsn); /* of the last change */
    return true;
}

static bool
join_inners(struct btree *t, pgno left, const struct page_key *sep,
            const struct page *b)
{
    _Alignas(64) uint8_t joined[1 << PAGE_MAX_SHIFT];
    struct page *dst = (struct page *)(void *)joined, *w;
    lsn stamp;

    dst->lsn = 0;
    if (!page_entries_join(dst, tree_peek(t, left), sep, b))
        return false;
    w = tree_mut(t, left);
    stamp = w->lsn;
    memcpy(w, joined, page_size(dst));
    w->lsn = stamp;
    return true;
}

bool
tree_join(struct btree *t, const struct btree_path *path, unsigned level,
          unsigned slot)
{
    pgno parent_id = path->at[level - 1].id;
    const struct page *parent = tree_peek(t, parent_id);
    pgno left = page_child(parent, slot), right = page_child(parent, slot + 1);
    const struct page *a = tree_peek(t, left), *b = tree_peek(t, right);
    uint8_t bytes[KEY_ROOM];
    struct page_entry e;
    struct page_key sep;
    struct page *w;

    if (a == NULL || b == NULL)
        return false;
    page_key_at(parent, slot + 1, bytes, &sep);
    if (a->kind == PAGE_LEAF ? !join_leaves(t, left, b)
                             : !join_inners(t, left, &sep, b))
        return false;
    if (a->kind == PAGE_LEAF) {
        tree_free_tail(t, sep.tail);
        e = tree_leaf_entry(t, tree_peek(t, left), left);
    } else {
        page_entry_total(tree_peek(t, left), &e);
        e.child = left;
    }
    w = tree_mut(t, parent_id);
    page_entry_remove(w, slot + 1);
    page_entry_set(w, slot, &e);
    frames_free(t->fr, right);
    t->version++;
    t->shape++;
    return true;
}

/* The same, if the result has room for some inserts. */
static bool
join(struct btree *t, const struct btree_path *path, unsigned level,
     unsigned slot)
{
    const struct page *parent = tree_peek(t, path->at[level - 1].id);
    const struct page *a = tree_peek(t, page_child(parent, slot));
    const struct page *b = tree_peek(t, page_child(parent, slot + 1));

    return a != NULL && b != NULL && may_join(a, b) &&
           tree_join(t, path, level, slot);
}

void
tree_remove_child(struct btree *t, const struct btree_path *path,
                  unsigned level)
{
    struct page *pg = tree_mut(t, path->at[level].id);
    unsigned slot = path->at[level].slot;
    unsigned keyed = slot > 0 ? slot : 1;
    uint8_t bytes[KEY_ROOM];
    struct page_key k;

    if (keyed < pg->count) {
        page_key_at(pg, keyed, bytes, &k);
        tree_free_tail(t, k.tail);
    }
    page_entry_remove(pg, slot);
}

static void
lower_root(struct btree *t)
{
    for (;;) {
        const struct page *pg = tree_peek(t, t->root);
        pgno old = t->root;

        if (pg == NULL || pg->kind != PAGE_INNER || pg->count > 1)
            return;
        t->root = page_child(pg, 0);
        frames_free(t->fr, old);
        t->version++;
        t->shape++;
    }
}

void
tree_shrink(struct btree *t, struct btree_path *path, unsigned level)
{
    while (tree_peek(t, path->at[level].id)->count == 0) {
        frames_free(t->fr, path->at[level].id);
        t->version++;
        t->shape++;
        if (level == 0) {
            t->root = 0;
            return;
        }
        tree_remove_child(t, path, --level);
    }
    for (; level > 0; level--) {
        const struct page *pg = tree_peek(t, path->at[level].id);
        unsigned slot = path->at[level - 1].slot;
        const struct page *parent = tree_peek(t, path->at[level - 1].id);

        if (!is_underfull(pg))
            break;
        if (!(slot > 0 && join(t, path, level, slot - 1)) &&
            !(slot + 1 < parent->count && join(t, path, level, slot)))
            break;
    }
    lower_root(t);
}
