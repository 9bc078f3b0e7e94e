/* store/btree_clone.c - a copy of a tree, page by page, in slices.
 *
 * A walk through the source from left to right.  Each page of it is copied as
 * it stands, with the slots whose children, tails or values are not copied
 * yet hidden (page_hide), and hung into the copy when its first slot shows:
 *
 *   C1  between steps the copy is a tree (B1-B5 of btree.c): no page is
 *       empty, counts and bounds are those of what is there
 *   C2  it owns all that was made for it, so freeing it frees everything
 *   C3  its root is known when the first page hangs, and stays
 *
 * Leaves that own nothing, nearly all, go in one piece; of others each record
 * goes by itself, and its value chunk by chunk.  Whatever a unit of work
 * needs is brought in before anything is made.  Called by db/copy.c. */
#include "base/mem.h"
#include "store/blob.h"
#include "store/btree_int.h"

struct clone_level {
    pgno src, dst; /* dst 0: nothing of it is copied yet */
    uint32_t slot; /* the next one to be copied */
};

struct btree_clone {
    struct btree from; /* the source */
    pgno root;         /* of the copy */
    unsigned depth;
    bool has_begun;
    struct clone_level at[BTREE_MAX_HEIGHT];
    struct blob_ref value; /* of the next record, half copied; len 0: none */
};

/* --- pages ---------------------------------------------------------------- */

static struct page *
new_page(struct btree_clone *c, const struct page *src, pgno *id)
{
    uint8_t *bytes;
    struct page *pg;
    lsn stamp;

    *id = frames_new(c->from.fr, src->kind, &bytes);
    pg = (struct page *)(void *)bytes;
    stamp = pg->lsn;
    memcpy(pg, src, page_size(src));
    pg->lsn = stamp;
    return pg;
}

/* The tail of the slot's key is in memory; 0: it has none. */
static nq_rc
bring_tail(struct btree_clone *c, const struct page *pg, unsigned slot)
{
    uint8_t bytes[KEY_ROOM];
    struct page_key k;
    struct slice tail;

    if ((pg->flags & PAGE_LONG) == 0)
        return NQ_OK;
    page_key_at(pg, slot, bytes, &k);
    return tree_key_tail(&c->from, &k, &tail);
}

/* A tail of its own for the slot of the copy; the old one was brought in. */
static void
own_tail(struct btree_clone *c, struct page *pg, unsigned slot)
{
    uint8_t bytes[KEY_ROOM], *to;
    struct page_key k;
    struct slice tail;
    pgno id;
    nq_rc rc;

    if ((pg->flags & PAGE_LONG) == 0)
        return;
    page_key_at(pg, slot, bytes, &k);
    if (k.tail == 0)
        return;
    rc = tree_key_tail(&c->from, &k, &tail);
    nq_assert(rc == NQ_OK);
    id = frames_chunk_new(c->from.fr, (uint32_t)tail.len, &to);
    memcpy(to, tail.p, tail.len);
    page_set_tail(pg, slot, id);
}

/* The page to be written at `level`; it is resident. */
static struct page *
made(struct btree_clone *c, unsigned level)
{
    return tree_mut(&c->from, c->at[level].dst);
}

/* All that will be written to, and what the pages that do not hang yet will
 * need of their parents. */
static nq_rc
bring_path(struct btree_clone *c)
{
    const struct page *pg;
    nq_rc rc = NQ_OK;

    for (unsigned i = 0; i < c->depth && rc == NQ_OK; i++) {
        if (c->at[i].dst != 0)
            rc = tree_page(&c->from, c->at[i].dst, &pg);
        if (rc == NQ_OK)
            rc = tree_page(&c->from, c->at[i].src, &pg);
        if (rc == NQ_OK && c->at[i].slot < pg->count)
            rc = bring_tail(c, pg, c->at[i].slot);
    }
    return rc;
}

/* The next slot of the page at `level` of the copy shows; the first one makes
 * it. */
static struct page *
show_next(struct btree_clone *c, unsigned level)
{
    struct clone_level *lv = &c->at[level];
    struct page *pg;

    if (lv->dst == 0) {
        pg = new_page(c, tree_peek(&c->from, lv->src), &lv->dst);
        page_hide(pg, 0);
    } else {
        pg = made(c, level);
    }
    page_show(pg);
    own_tail(c, pg, lv->slot);
    return pg;
}

/* Hangs `child` below the page at `level` - 1, and that below its own parent
 * if it is new. */
static void
hang(struct btree_clone *c, unsigned level, pgno child)
{
    while (level-- > 0) {
        bool is_new = c->at[level].dst == 0;
        struct page *pg = show_next(c, level);
        struct page_entry e;

        page_entry_at(pg, c->at[level].slot, &e);
        e.child = child;
        page_entry_set(pg, c->at[level].slot, &e);
        c->at[level].slot++;
        if (!is_new)
            return;
        child = c->at[level].dst;
    }
    c->root = child;
}

/* --- units of work -------------------------------------------------------- */

static void
push(struct btree_clone *c, pgno src)
{
    nq_assert(c->depth < BTREE_MAX_HEIGHT);
    c->at[c->depth++] = (struct clone_level){.src = src};
}

/* What the page at `level` holds so far, for its parent's last slot. */
static void
tell_parent(struct btree_clone *c, unsigned level)
{
    const struct page *pg;
    struct page *parent;
    struct page_entry e;

    if (level == 0 || c->at[level].dst == 0)
        return;
    pg = tree_peek(&c->from, c->at[level].dst);
    if (pg->kind == PAGE_LEAF)
        e = tree_leaf_entry(&c->from, pg, c->at[level].dst);
    else
        page_entry_total(pg, &e);
    e.child = c->at[level].dst;
    parent = made(c, level - 1);
    page_entry_set(parent, parent->count - 1u, &e);
}

static bool
is_plain_leaf(const struct page *pg)
{
    return pg->kind == PAGE_LEAF && (pg->flags & PAGE_OWNS) == 0;
}

/* The page `id` is the next to be copied, below the last of the path. */
static nq_rc
enter(struct btree_clone *c, pgno id)
{
    const struct page *pg;
    pgno copy;
    nq_rc rc = tree_page(&c->from, id, &pg);

    if (rc != NQ_OK)
        return rc;
    if (is_plain_leaf(pg)) {
        (void)new_page(c, pg, &copy);
        hang(c, c->depth, copy);
    } else {
        push(c, id);
    }
    return NQ_OK;
}

static uint8_t *
value_at(struct page *pg, unsigned slot)
{
    struct page_record r;

    page_record_at(pg, slot, &r);
    return page_at(pg, (size_t)(r.v.val.p - page_at_const(pg, 0)));
}

/* The next record of a leaf that owns something, or a part of its value. */
static nq_rc
copy_record(struct btree_clone *c, const struct page *src, unsigned *cost)
{
    unsigned level = c->depth - 1;
    struct clone_level *lv = &c->at[level];
    bool hangs = lv->dst != 0, is_shown = c->value.len > 0;
    struct page_record r;
    struct blob_ref ref = {.len = 0};
    struct page *pg;
    nq_rc rc = NQ_OK;

    page_record_at(src, lv->slot, &r);
    if (PAGE_META_FLAGS(r.v.meta) & REC_OWNS) {
        if ((rc = blob_ref_decode(r.v.val, &ref)) != NQ_OK ||
            (rc = blob_copy_some(c->from.fr, &ref, &c->value)) != NQ_OK)
            return rc;
        *cost += (unsigned)nq_min(ref.len, BLOB_CHUNK) / c->from.fr->page_size;
    }
    pg = is_shown ? made(c, level) : show_next(c, level);
    if (ref.len > 0)
        blob_ref_encode(value_at(pg, lv->slot), &c->value);
    if (!hangs)
        hang(c, level, lv->dst);
    if (c->value.len < ref.len)
        return NQ_OK;
    c->value.len = 0;
    lv->slot++;
    return NQ_OK;
}

static nq_rc
advance(struct btree_clone *c, unsigned *cost)
{
    struct clone_level *lv = &c->at[c->depth - 1];
    const struct page *src;
    nq_rc rc = tree_page(&c->from, lv->src, &src);

    *cost = 1;
    if (rc == NQ_OK && lv->slot < src->count)
        rc = bring_tail(c, src, lv->slot);
    if (rc != NQ_OK)
        return rc;
    if (lv->slot < src->count)
        return src->kind == PAGE_LEAF ? copy_record(c, src, cost)
                                      : enter(c, page_child(src, lv->slot));
    tell_parent(c, --c->depth);
    return NQ_OK;
}

/* --- the clone ------------------------------------------------------------ */

struct btree_clone *
btree_clone_new(const struct btree *from)
{
    struct btree_clone *c = nq_calloc(1, sizeof *c);

    c->from = *from;
    return c;
}

nq_rc
btree_clone_step(struct btree_clone *c, unsigned pages)
{
    nq_rc rc = bring_path(c);
    unsigned cost;

    if (rc != NQ_OK)
        return rc;
    if (!c->has_begun && c->from.root != 0)
        rc = enter(c, c->from.root);
    c->has_begun |= rc == NQ_OK;
    while (rc == NQ_OK && c->depth > 0) {
        if (pages == 0)
            rc = NQ_AGAIN;
        else if ((rc = advance(c, &cost)) == NQ_OK)
            pages -= nq_min(pages, cost);
    }
    for (unsigned i = c->depth; i-- > 1;)
        tell_parent(c, i);
    return rc;
}

pgno
btree_clone_root(const struct btree_clone *c)
{
    return c->root;
}

void
btree_clone_free(struct btree_clone *c)
{
    nq_free(c);
}
