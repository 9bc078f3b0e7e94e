/* store/btree_probe.c - looking up many keys at once.
 *
 * A single lookup waits for memory at each level: header, heads, record.  Up
 * to PROBE_MAX lookups go down in lockstep instead: in each pass every one of
 * them asks for the lines that its next pass will read, so that their waits
 * overlap.  The result is a finger, and the record is in the cache. */
#include "store/btree_int.h"

#define PROBE_MAX 64

struct lane {
    struct probe *p;
    const struct page *pg;
    pgno id;
    struct page_guess guess;
};

static void
lane_fails(struct lane *l)
{
    l->p->missed = true;
    *l->p->finger = (struct finger){0};
    l->id = 0;
}

/* From page id to page; its first lines are on their way afterwards. */
static void
load_pages(struct lane *lanes, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct lane *l = &lanes[i];

        if (l->id == 0 || (l->pg != NULL && l->pg->kind == PAGE_LEAF))
            continue;
        if (tree_page(l->p->tree, l->id, &l->pg) != NQ_OK) {
            l->pg = NULL;
            lane_fails(l);
            continue;
        }
        tree_prefetch(l->pg, LEAF_LINES);
    }
}

/* From inner pages to the ids of their children.  False: all are at leaves. */
static bool
choose_children(struct lane *lanes, unsigned n)
{
    bool any = false;

    for (unsigned i = 0; i < n; i++) {
        struct lane *l = &lanes[i];
        struct frames *fr = l->p->tree->fr;
        unsigned slot;

        if (l->id == 0 || l->pg->kind == PAGE_LEAF)
            continue;
        if (page_find_child_inline(l->pg, l->p->key, tree_tail, fr, &slot) !=
            NQ_OK) {
            lane_fails(l);
            continue;
        }
        l->id = page_child(l->pg, slot);
        __builtin_prefetch(&fr->frame_of[l->id]);
        any = true;
    }
    return any;
}

static void
search_leaves(struct lane *lanes, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct lane *l = &lanes[i];

        if (l->id == 0)
            continue;
        page_find_heads(l->pg, l->p->key, &l->guess);
        __builtin_prefetch(page_offs(l->pg) + l->guess.slot);
    }
    for (unsigned i = 0; i < n; i++) {
        struct lane *l = &lanes[i];

        if (l->id == 0 || !l->guess.is_tied)
            continue;
        tree_prefetch(page_at_const(l->pg, page_offs(l->pg)[l->guess.slot]), 2);
    }
}

static unsigned
set_fingers(struct lane *lanes, unsigned n)
{
    unsigned missed = 0;

    for (unsigned i = 0; i < n; i++) {
        struct lane *l = &lanes[i];
        struct btree *t = l->p->tree;
        unsigned slot;
        bool found;

        if (l->id != 0 &&
            page_find_record(l->pg, l->p->key, &l->guess, tree_tail, t->fr,
                             &slot, &found) != NQ_OK)
            lane_fails(l);
        missed += l->p->missed;
        if (l->id != 0)
            *l->p->finger = (struct finger){.version = t->shape,
                                            .root = t->root,
                                            .leaf = l->id,
                                            .slot = (uint16_t)slot,
                                            .found = found};
    }
    return missed;
}

static unsigned
probe_some(struct probe *probes, unsigned n)
{
    struct lane lanes[PROBE_MAX];

    for (unsigned i = 0; i < n; i++) {
        struct probe *p = &probes[i];

        p->missed = false;
        *p->finger = (struct finger){0};
        lanes[i] = (struct lane){.p = p, .id = p->tree->root};
    }
    do
        load_pages(lanes, n);
    while (choose_children(lanes, n));
    search_leaves(lanes, n);
    return set_fingers(lanes, n);
}

unsigned
btree_probe(struct probe *probes, unsigned n)
{
    unsigned missed = 0;

    for (unsigned i = 0; i < n; i += PROBE_MAX)
        missed += probe_some(probes + i, nq_min(n - i, (unsigned)PROBE_MAX));
    return missed;
}
