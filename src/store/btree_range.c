/* store/btree_range.c - deleting ranges, at a cost of pages, not of records.
 *
 * Each round finds the first record of the range.  If its leaf is wholly
 * inside, then so are those behind it under the same parent, up to the one
 * that holds `hi`: they are cut off by their parent's entries alone, and only
 * those marked as owners (B4) are read.  Otherwise the part of the leaf that
 * is inside goes record by record. */
#include "store/btree_int.h"

struct cut {
    struct btree *t;
    struct slice lo;
    const struct slice *hi;
    unsigned budget; /* pages still to be worked on */
    void (*on_record)(void *arg, const struct record *r);
    void *arg;
    uint64_t removed;
};

/* Pages that belong to the record are told or freed. */
static void
let_go(struct cut *c, const struct page *pg, unsigned slot)
{
    struct page_record r;
    struct record rec;

    page_record_at(pg, slot, &r);
    tree_free_tail(c->t, r.tail);
    if (c->on_record == NULL || !(PAGE_META_FLAGS(r.v.meta) & REC_OWNS))
        return;
    tree_record(pg, slot, &rec);
    c->on_record(c->arg, &rec);
}

/* The first record of the range; NQ_NOTFOUND: there is none. */
static nq_rc
find_first(struct cut *c, struct spot *s)
{
    struct btree *t = c->t;
    struct btree_step *at;
    unsigned slot;
    bool found;
    nq_rc rc;
    int cmp;

    if (t->root == 0)
        return NQ_NOTFOUND;
    if ((rc = tree_descend(t, c->lo, &s->path, &s->pg)) != NQ_OK ||
        (rc = page_find(s->pg, c->lo, tree_tail, t->fr, &slot, &found)) !=
            NQ_OK)
        return rc;
    s->path.at[s->path.depth - 1].slot = slot;
    if (slot == s->pg->count && (rc = spot_step_aside(t, s, false)) != NQ_OK)
        return rc;
    if (c->hi == NULL)
        return NQ_OK;
    at = &s->path.at[s->path.depth - 1];
    rc = page_compare(s->pg, at->slot, *c->hi, tree_tail, t->fr, &cmp);
    return rc == NQ_OK && cmp >= 0 ? NQ_NOTFOUND : rc;
}

/* How many of the parent's children, from the path's on, lie wholly inside.
 * The spot stands on the first record of its leaf. */
static nq_rc
count_whole(struct cut *c, const struct spot *s, unsigned *out)
{
    struct btree_step up = s->path.at[s->path.depth - 2];
    const struct page *parent = tree_peek(c->t, up.id);
    unsigned end = parent->count;
    nq_rc rc;

    if (c->hi != NULL) {
        rc = page_find_child(parent, *c->hi, tree_tail, c->t->fr, &end);
        if (rc != NQ_OK)
            return rc;
    }
    *out = end > up.slot ? end - up.slot : 0;
    return NQ_OK;
}

static void
changed(struct cut *c, struct spot *s, unsigned level)
{
    c->t->version++;
    c->t->shape++;
    tree_shrink(c->t, &s->path, level);
}

/* Up to `n` children from the path's on; stops at the first that must be read
 * and is not in memory. */
static nq_rc
remove_leaves(struct cut *c, struct spot *s, unsigned n)
{
    unsigned level = s->path.depth - 2;
    struct btree_step up = s->path.at[level];
    nq_rc rc = NQ_OK;
    unsigned done = 0;

    for (; done < n && c->budget > 0; done++, c->budget--) {
        const struct page *leaf;
        struct page_entry e;

        page_entry_at(tree_peek(c->t, up.id), up.slot, &e);
        if (e.owns) {
            if ((rc = tree_page(c->t, e.child, &leaf)) != NQ_OK)
                break;
            for (unsigned i = 0; i < leaf->count; i++)
                let_go(c, leaf, i);
        }
        frames_free(c->t->fr, e.child);
        tree_remove_child(c->t, &s->path, level);
        tree_add(c->t, &s->path, level, -(int64_t)e.count);
        c->removed += e.count;
    }
    if (done > 0)
        changed(c, s, level);
    return rc;
}

static nq_rc
remove_records(struct cut *c, struct spot *s)
{
    unsigned level = s->path.depth - 1;
    struct btree_step at = s->path.at[level];
    unsigned end = s->pg->count;
    uint64_t weight;
    struct page *pg;
    bool found;
    nq_rc rc;

    if (c->hi != NULL && (rc = page_find(s->pg, *c->hi, tree_tail, c->t->fr,
                                         &end, &found)) != NQ_OK)
        return rc;
    pg = tree_mut(c->t, at.id);
    weight = tree_weight_of(c->t, pg, at.slot, end);
    for (unsigned i = at.slot; i < end; i++) {
        let_go(c, pg, at.slot);
        page_remove(pg, at.slot);
    }
    tree_add(c->t, &s->path, level, -(int64_t)weight);
    c->removed += weight;
    c->budget--;
    changed(c, s, level);
    return NQ_OK;
}

nq_rc
btree_del_range(struct btree *t, struct slice lo, const struct slice *hi,
                unsigned budget,
                void (*on_record)(void *arg, const struct record *r), void *arg,
                uint64_t *removed, bool *done)
{
    struct cut c = {t, lo, hi, nq_max(budget, 1u), on_record, arg, 0};
    nq_rc rc = NQ_OK;

    *done = false;
    while (rc == NQ_OK && c.budget > 0) {
        unsigned whole = 0;
        struct spot s;

        if ((rc = find_first(&c, &s)) != NQ_OK)
            break;
        if (s.path.depth > 1 && s.path.at[s.path.depth - 1].slot == 0)
            rc = count_whole(&c, &s, &whole);
        if (rc == NQ_OK)
            rc = whole > 0 ? remove_leaves(&c, &s, whole)
                           : remove_records(&c, &s);
    }
    *removed = c.removed;
    *done = rc == NQ_NOTFOUND;
    return *done ? NQ_OK : rc;
}

bool
btree_free_small(struct btree *t)
{
    const struct page *pg = tree_peek(t, t->root);

    if (pg == NULL || pg->kind != PAGE_LEAF || (pg->flags & PAGE_OWNS) != 0)
        return false;
    frames_free(t->fr, t->root);
    btree_set_root(t, 0);
    return true;
}
