/* store/pagetable_view.c - the kept entries as they were at one checkpoint.
 *
 * A view is an array of references to the blocks of kept entries.  While the
 * table has the same block, both say the same; when the table wants to change
 * it, it gets a copy (pagetable.c, P5), so a view never changes, and any
 * thread may read it.
 *
 *   V1  views are made of what is published, so the younger of two is that of
 *       a later checkpoint
 *   V2  an extent that a view names belongs to the published checkpoint, or,
 *       from the moment that it would be freed on, to the views: then it is
 *       in viewed_bytes and viewed_of
 *   V3  an entry that two views name, all views between them name, too, and
 *       so does the table, if it names it at all
 *
 * By V3 a view that goes compares itself with its two neighbours only (the
 * table being that of the youngest), and blocks that are the same need no
 * look inside. */
#include "store/pagetable.h"

#include "base/check.h"
#include "base/mem.h"
#include "store/pagetable_int.h"

#define SAME_COST 8u /* of a block that is not looked into, as of entries */

struct table_view {
    struct table_view *younger, *older;
    uint32_t count, at; /* blocks; those before `at` are let go, and NULL */
    struct table_block **blocks;
};

static struct table_block *
block_at(const struct table_view *v, uint32_t i)
{
    return i < v->count ? v->blocks[i] : NULL;
}

static struct entry
entry_in(const struct table_block *b, unsigned i)
{
    return b == NULL ? (struct entry){0} : b->kept[i];
}

struct table_view *
pagetable_view_new(struct pagetable *pt)
{
    struct table_view *v = nq_calloc(1, sizeof *v);

    nq_assert(!pt->cut_running && pt->undo_count == 0);
    v->count = pt->next_id / BLOCK_IDS + 1;
    v->blocks = nq_calloc(v->count, sizeof(struct table_block *));
    for (uint32_t i = 0; i < v->count; i++) {
        v->blocks[i] = table_block_of(pt, i * BLOCK_IDS);
        if (v->blocks[i] != NULL)
            v->blocks[i]->refs++;
    }
    v->older = pt->views;
    if (v->older != NULL)
        v->older->younger = v;
    pt->views = v;
    return v;
}

struct entry
pagetable_view_get(const struct table_view *v, pgno id)
{
    return entry_in(block_at(v, id / BLOCK_IDS), id % BLOCK_IDS);
}

bool
pagetable_view_keeps(struct pagetable *pt, pgno id, struct entry e)
{
    if (nq_likely(pt->views == NULL) || entry_is_none(e) ||
        pagetable_view_get(pt->views, id).place != e.place)
        return false;
    nq_assert(pt->views->at == 0);
    pt->viewed_bytes += entry_space(e);
    pt->viewed_of[entry_codec(e)]++;
    return true;
}

/* --- letting go ----------------------------------------------------------- */

static void
unlink_view(struct pagetable *pt, struct table_view *v)
{
    if (v->younger != NULL)
        v->younger->older = v->older;
    else
        pt->views = v->older;
    if (v->older != NULL)
        v->older->younger = v->younger;
    nq_free(v->blocks);
    nq_free(v);
}

/* What neither neighbour names is free (V3). */
static void
free_entries(struct pagetable *pt, const struct table_block *b,
             const struct table_block *younger, const struct table_block *older)
{
    for (unsigned i = 0; i < BLOCK_IDS; i++) {
        struct entry e = b->kept[i];

        if (entry_is_none(e) || e.place == entry_in(younger, i).place ||
            e.place == entry_in(older, i).place)
            continue;
        pt->viewed_bytes -= entry_space(e);
        pt->viewed_of[entry_codec(e)]--;
        pagetable_free_extent(pt, e);
    }
}

/* The next block; what that cost. */
static unsigned
let_go_block(struct pagetable *pt, struct table_view *v)
{
    uint32_t i = v->at++;
    struct table_block *b = v->blocks[i];
    struct table_block *older = v->older == NULL ? NULL : block_at(v->older, i);
    struct table_block *younger = v->younger == NULL
                                      ? table_block_of(pt, i * BLOCK_IDS)
                                      : block_at(v->younger, i);
    bool is_needed = b == NULL || b == older || b == younger;

    if (!is_needed)
        free_entries(pt, b, younger, older);
    v->blocks[i] = NULL;
    table_block_unref(b);
    return is_needed ? SAME_COST : BLOCK_IDS;
}

bool
pagetable_view_end(struct pagetable *pt, struct table_view *v, unsigned budget)
{
    nq_assert(!pt->cut_running && pt->undo_count == 0);
    nq_assert(v->older == NULL || v->older->at == 0);
    nq_assert(v->younger == NULL || v->younger->at == 0);
    pt->version++;
    while (v->at < v->count && budget > 0) {
        unsigned cost = let_go_block(pt, v);

        budget -= nq_min(budget, cost);
    }
    if (v->at < v->count)
        return false;
    unlink_view(pt, v);
    return true;
}

void
pagetable_views_free(struct pagetable *pt)
{
    while (pt->views != NULL) {
        struct table_view *v = pt->views;

        for (uint32_t i = 0; i < v->count; i++)
            table_block_unref(v->blocks[i]);
        unlink_view(pt, v);
    }
}

/* --- what there is -------------------------------------------------------- */

uint64_t
pagetable_view_bytes(const struct pagetable *pt)
{
    return pt->viewed_bytes;
}

void
pagetable_view_each(const struct pagetable *pt, pgno id,
                    void (*fn)(void *arg, pgno id, struct entry e), void *arg)
{
    uint64_t last = pagetable_get_kept(pt, id).place;

    for (const struct table_view *v = pt->views; v != NULL; v = v->older) {
        struct entry e = pagetable_view_get(v, id);

        if (block_at(v, id / BLOCK_IDS) == NULL || e.place == last)
            continue;
        last = e.place;
        if (!entry_is_none(e))
            fn(arg, id, e);
    }
}
