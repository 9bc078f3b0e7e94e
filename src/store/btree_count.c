/* store/btree_count.c - what the entries of inner pages know: how many
 * records (elements, in a weighted tree) are below, and when the earliest of
 * them expires.
 *
 * Counts are exact (B2), so ranks cost one descent.  Expiries are lower
 * bounds (B3): a subtree whose bound has passed may turn out to have nothing
 * due; btree_seek_due() then puts the truth into the leaf and the entries
 * above it, so that nobody looks there twice. */
#include "store/btree_int.h"

#define REPAIRS_MAX 256 /* leaves put right by one call */

nq_rc
btree_count(struct btree *t, uint64_t *out)
{
    const struct page *pg;
    struct page_entry e;
    nq_rc rc;

    *out = 0;
    if (t->root == 0)
        return NQ_OK;
    if ((rc = tree_page(t, t->root, &pg)) != NQ_OK)
        return rc;
    if (pg->kind == PAGE_LEAF) {
        *out = tree_weight_of(t, pg, 0, pg->count);
        return NQ_OK;
    }
    page_entry_total(pg, &e);
    *out = e.count;
    return NQ_OK;
}

nq_rc
btree_earliest(struct btree *t, uint64_t *out)
{
    const struct page *pg;
    struct page_entry e;
    nq_rc rc;

    *out = 0;
    if (t->root == 0)
        return NQ_OK;
    if ((rc = tree_page(t, t->root, &pg)) != NQ_OK)
        return rc;
    e.earliest = pg->earliest;
    if (pg->kind == PAGE_INNER)
        page_entry_total(pg, &e);
    *out = e.earliest == PAGE_NEVER ? 0 : e.earliest;
    return NQ_OK;
}

nq_rc
btree_rank(struct btree *t, struct slice key, uint64_t *out)
{
    pgno id = t->root;
    const struct page *pg;
    uint64_t rank = 0;
    unsigned slot;
    bool found;
    nq_rc rc;

    *out = 0;
    if (id == 0)
        return NQ_OK;
    for (;;) {
        if ((rc = tree_page(t, id, &pg)) != NQ_OK)
            return rc;
        if (pg->kind == PAGE_LEAF)
            break;
        if ((rc = page_find_child(pg, key, tree_tail, t->fr, &slot)) != NQ_OK)
            return rc;
        for (unsigned i = 0; i < slot; i++)
            rank += page_counts(pg)[i] & ~COUNT_OWNS;
        id = page_child(pg, slot);
    }
    if ((rc = page_find(pg, key, tree_tail, t->fr, &slot, &found)) != NQ_OK)
        return rc;
    *out = rank + tree_weight_of(t, pg, 0, slot);
    return NQ_OK;
}

/* The slot of a leaf's element n, which becomes its place in the record. */
static unsigned
slot_within(const struct btree *t, const struct page *leaf, uint64_t *n)
{
    unsigned slot = 0;

    if (nq_likely(!t->weighted)) {
        slot = (unsigned)*n;
        *n = 0;
    }
    for (; t->weighted && slot < leaf->count; slot++) {
        uint64_t weight = tree_weight_at(t, leaf, slot);

        if (*n < weight)
            break;
        *n -= weight;
    }
    nq_assert(slot < leaf->count);
    return slot;
}

nq_rc
btree_nth(struct btree_cursor *c, uint64_t n)
{
    uint64_t within;

    return btree_nth_within(c, n, &within);
}

nq_rc
btree_nth_within(struct btree_cursor *c, uint64_t n, uint64_t *within)
{
    struct btree *t = c->tree;
    pgno id = t->root;
    struct spot s = {.path.depth = 0};
    uint64_t count;
    uint32_t slot;
    nq_rc rc;

    *within = 0;
    if ((rc = btree_count(t, &count)) != NQ_OK)
        return rc;
    if (n >= count)
        return cursor_take_end(c);
    for (;;) {
        struct page_entry e;

        if ((rc = tree_page(t, id, &s.pg)) != NQ_OK)
            return rc;
        if (s.pg->kind == PAGE_LEAF)
            break;
        slot = 0;
        for (page_entry_at(s.pg, 0, &e); n >= e.count;
             page_entry_at(s.pg, slot, &e)) {
            n -= e.count;
            slot++;
        }
        s.path.at[s.path.depth++] = (struct btree_step){id, slot};
        id = e.child;
    }
    slot = slot_within(t, s.pg, &n);
    s.path.at[s.path.depth++] = (struct btree_step){id, slot};
    *within = n;
    return cursor_take(c, &s);
}

/* One descent, at `part` of `parts` of every page it passes. */
static nq_rc
estimate_once(struct btree *t, unsigned part, unsigned parts, double *pages)
{
    const struct page *pg;
    double level = 1;
    pgno id = t->root;
    nq_rc rc;

    for (*pages = 0;; id = page_child(pg, (unsigned)pg->count * part / parts)) {
        if ((rc = tree_page(t, id, &pg)) != NQ_OK)
            return rc;
        *pages += level;
        if (pg->kind == PAGE_LEAF)
            return NQ_OK;
        level *= pg->count;
    }
}

nq_rc
btree_estimate_pages(struct btree *t, unsigned samples, uint64_t *out)
{
    double sum = 0, pages;
    nq_rc rc;

    *out = 0;
    if (t->root == 0)
        return NQ_OK;
    for (unsigned i = 0; i < samples; i++) {
        if ((rc = estimate_once(t, i, samples, &pages)) != NQ_OK)
            return rc;
        sum += pages;
    }
    *out = (uint64_t)(sum / samples + 0.5);
    return NQ_OK;
}

/* --- what is due --------------------------------------------------------- */

static bool
is_due(const struct page *pg, unsigned slot, uint64_t now_ms)
{
    struct page_record r;

    page_record_at(pg, slot, &r);
    return r.v.expire_ms != 0 && r.v.expire_ms <= now_ms;
}

/* The bounds of a count; NULL: the subtree is wholly on the inner side. */
struct bounds {
    const struct slice *lo, *hi;
    uint64_t now_ms;
    btree_due_fn *fn; /* NULL: all that are due */
    void *arg;
};

/* The record there, which is due. */
static bool
is_counted(const struct page *pg, unsigned slot, const struct bounds *b)
{
    struct page_record r;
    struct record rec;

    if (b->fn == NULL)
        return true;
    page_record_at(pg, slot, &r);
    rec = (struct record){.val = r.v.val,
                          .expire_ms = r.v.expire_ms,
                          .type = PAGE_META_TYPE(r.v.meta),
                          .flags = PAGE_META_FLAGS(r.v.meta),
                          .page_lsn = pg->lsn};
    return b->fn(b->arg, &rec);
}

static nq_rc
count_leaf(struct btree *t, const struct page *pg, const struct bounds *b,
           uint64_t *out)
{
    unsigned from = 0, to = pg->count;
    bool found;
    nq_rc rc;

    if (b->lo != NULL &&
        (rc = page_find(pg, *b->lo, tree_tail, t->fr, &from, &found)) != NQ_OK)
        return rc;
    if (b->hi != NULL &&
        (rc = page_find(pg, *b->hi, tree_tail, t->fr, &to, &found)) != NQ_OK)
        return rc;
    for (; from < to; from++)
        *out += is_due(pg, from, b->now_ms) && is_counted(pg, from, b);
    return NQ_OK;
}

static nq_rc
count_due(struct btree *t, pgno id, const struct bounds *b, uint64_t *out)
{
    unsigned from = 0, to;
    const struct page *pg;
    nq_rc rc = tree_page(t, id, &pg);

    if (rc != NQ_OK)
        return rc;
    if (pg->kind == PAGE_LEAF)
        return pg->earliest > b->now_ms ? NQ_OK : count_leaf(t, pg, b, out);
    to = pg->count - 1u;
    if (b->lo != NULL &&
        (rc = page_find_child(pg, *b->lo, tree_tail, t->fr, &from)) != NQ_OK)
        return rc;
    if (b->hi != NULL &&
        (rc = page_find_child(pg, *b->hi, tree_tail, t->fr, &to)) != NQ_OK)
        return rc;
    for (unsigned i = from; i <= to && rc == NQ_OK; i++) {
        struct bounds part = {i == from ? b->lo : NULL, i == to ? b->hi : NULL,
                              b->now_ms, b->fn, b->arg};

        if (page_expiries(pg)[i] <= b->now_ms)
            rc = count_due(t, page_child(pg, i), &part, out);
    }
    return rc;
}

nq_rc
btree_count_due(struct btree *t, struct slice lo, const struct slice *hi,
                uint64_t now_ms, uint64_t *out)
{
    return btree_count_due_if(t, lo, hi, now_ms, NULL, NULL, out);
}

nq_rc
btree_count_due_if(struct btree *t, struct slice lo, const struct slice *hi,
                   uint64_t now_ms, btree_due_fn *fn, void *arg, uint64_t *out)
{
    struct bounds b = {&lo, hi, now_ms, fn, arg};

    *out = 0;
    return t->root == 0 ? NQ_OK : count_due(t, t->root, &b, out);
}

/* Down where bounds say that something is due, to the due record or to the
 * first page that has none; then the last slot is its count. */
static nq_rc
follow_bounds(struct btree *t, uint64_t now_ms, struct spot *s)
{
    pgno id = t->root;
    unsigned depth = 0;

    for (;;) {
        uint32_t slot = 0;
        nq_rc rc = tree_page(t, id, &s->pg);

        if (rc != NQ_OK)
            return rc;
        s->path.depth = depth + 1;
        if (s->pg->kind == PAGE_INNER)
            while (slot < s->pg->count && page_expiries(s->pg)[slot] > now_ms)
                slot++;
        else
            while (slot < s->pg->count && !is_due(s->pg, slot, now_ms))
                slot++;
        s->path.at[depth++] = (struct btree_step){id, slot};
        if (s->pg->kind == PAGE_LEAF || slot == s->pg->count)
            return NQ_OK;
        id = page_child(s->pg, slot);
    }
}

/* The leaf keeps its stamp: nobody's answer depends on the bound, and nothing
 * is logged that it could wait for. */
static void
set_earliest(struct btree *t, pgno leaf, uint64_t earliest)
{
    lsn stamp = tree_peek(t, leaf)->lsn;
    struct page *w = tree_mut(t, leaf);

    w->earliest = earliest;
    w->lsn = stamp;
}

/* The last page of the path has nothing due: its true bound goes into it and
 * into the entries above. */
static void
repair(struct btree *t, const struct btree_path *path)
{
    unsigned level = path->depth - 1;
    const struct page *pg = tree_peek(t, path->at[level].id);
    struct page_entry e;

    e.earliest = page_find_earliest(pg);
    if (pg->kind == PAGE_LEAF && pg->earliest != e.earliest)
        set_earliest(t, path->at[level].id, e.earliest);
    while (level-- > 0) {
        uint64_t earliest = e.earliest;

        pg = tree_peek(t, path->at[level].id);
        page_entry_at(pg, path->at[level].slot, &e);
        if (e.earliest == earliest)
            return;
        e.earliest = earliest;
        page_entry_set(tree_mut(t, path->at[level].id), path->at[level].slot,
                       &e);
        page_entry_total(tree_peek(t, path->at[level].id), &e);
    }
}

nq_rc
btree_seek_due(struct btree_cursor *c, uint64_t now_ms)
{
    struct spot s;
    nq_rc rc;

    if (c->tree->root == 0)
        return cursor_take_end(c);
    for (unsigned i = 0; i < REPAIRS_MAX; i++) {
        if ((rc = follow_bounds(c->tree, now_ms, &s)) != NQ_OK)
            return rc;
        if (s.path.at[s.path.depth - 1].slot < s.pg->count)
            return cursor_take(c, &s);
        repair(c->tree, &s.path);
        if (s.path.depth == 1)
            return cursor_take_end(c);
    }
    cursor_take_end(c);
    return NQ_AGAIN;
}
