/* server/cli_salvage_orphans.c - tree pages that nobody came to: what was below
 * pages that are lost.
 *
 * What is certain: a page with a record of a type that only keys have, if one
 * database alone has a gap for it.  If no page is missing that could have held
 * the record of a tree of which nothing else is known: a page for which one
 * tree alone has a gap; and the pages for one gap, if together they have as
 * many elements as were there.  The rest is saved on demand (is_doubtful).
 *
 * Without a catalog there are no roots.  If the page table is good and no page
 * is damaged, what nobody refers to is a root, each of a database.  If nothing
 * is damaged and there is one tree, it is a database.  Else everything that is
 * sure to be of a database (it has a record of a type that only keys have) is
 * given to database 0.
 *
 * Pages of indexes, whose records have a type of their own, are left out. */
#include "server/cli_salvage_int.h"

#include <stdlib.h>

#include "base/check.h"
#include "db/db_salvage.h"
#include "db/owned.h"
#include "store/frames.h"

/* --- pages that nobody came to ----------------------------------------------
 */

struct top {
    pgno id;
    uint32_t level;
    lsn stamp;
    struct slice first, last; /* owned */
    bool is_typed;            /* a record that only keys have */
    bool is_freed;            /* all are rows of what is to be freed */
    bool is_index;            /* it has a record that only indexes have */
    uint8_t fits; /* bit by type: all could be records of such a tree */
    uint64_t records, weight; /* weight: if it is of a list */
    bool is_done;
};

static bool
is_orphan(struct salvage *v, pgno id, const struct page **pg)
{
    return v->label[id] == 0 && salvage_page(v->store, id, pg) == NQ_OK &&
           (*pg)->count > 0;
}

static void
mark(uint8_t *bits, pgno ids, pgno id)
{
    if (id < ids)
        bits[id / 8] |= (uint8_t)(1u << id % 8);
}

static void
mark_owned(struct salvage *v, pgno id, uint8_t *bits)
{
    struct arena arena = ARENA_INIT;
    uint32_t n, lost;
    struct salvage_record *all = salvage_leaf(v, id, &arena, &n, &lost);
    pgno root;

    for (uint32_t i = 0; all != NULL && i < n; i++) {
        if (all[i].rec.type != DB_STRING && db_record_root(&all[i].rec, &root))
            mark(bits, v->ids, root);
    }
    arena_fini(&arena);
}

/* What orphans refer to, as bits. */
static uint8_t *
referred(struct salvage *v)
{
    uint8_t *bits = nq_calloc(v->ids / 8 + 1, 1);
    const struct page *pg;

    for (pgno id = 1; id < v->ids; id++) {
        frames_make_room(v->frames);
        if (!is_orphan(v, id, &pg))
            continue;
        for (unsigned i = 0; pg->level > 0 && i < pg->count; i++)
            mark(bits, v->ids, page_child(pg, i));
        if (pg->level == 0)
            mark_owned(v, id, bits);
    }
    return bits;
}

static void
judge_leaf(struct salvage *v, pgno id, struct top *t)
{
    struct arena arena = ARENA_INIT;
    uint32_t n, lost;
    struct salvage_record *all = salvage_leaf(v, id, &arena, &n, &lost);
    enum free_kind kind;
    struct blob_ref ref;
    pgno root;

    for (uint32_t i = 0; all != NULL && i < n; i++) {
        const struct salvage_record *r = &all[i];

        t->records++;
        t->weight += db_salvage_weight(DB_LIST, &r->rec);
        t->is_typed = t->is_typed || r->rec.type != DB_STRING;
        t->is_index = t->is_index || r->rec.type >= DB_TYPES;
        t->is_freed =
            t->is_freed && db_free_decode(&r->rec, &kind, &root, &ref) == NQ_OK;
        for (uint8_t type = DB_LIST; type < DB_TYPES; type++) {
            if (!db_salvage_fits(type, r->key, &r->rec))
                t->fits &= (uint8_t) ~(1u << type);
        }
        if (t->first.p == NULL || slice_cmp(r->key, t->first) < 0) {
            salvage_disown(&t->first);
            t->first = salvage_own(r->key);
        }
        if (t->last.p == NULL || slice_cmp(r->key, t->last) > 0) {
            salvage_disown(&t->last);
            t->last = salvage_own(r->key);
        }
    }
    arena_fini(&arena);
}

/* All of what is below it. */
static void
judge(struct salvage *v, pgno id, struct top *t)
{
    const struct page *pg;
    unsigned n;
    pgno *ids;

    frames_make_room(v->frames);
    if (!is_orphan(v, id, &pg))
        return;
    if (pg->level == 0) {
        judge_leaf(v, id, t);
        return;
    }
    n = pg->count;
    ids = nq_malloc(n * sizeof *ids);
    for (unsigned i = 0; i < n; i++)
        ids[i] = page_child(pg, i);
    for (unsigned i = 0; i < n; i++)
        judge(v, ids[i], t);
    nq_free(ids);
}

static void
disown_top(struct top *t)
{
    salvage_disown(&t->first);
    salvage_disown(&t->last);
}

static int
younger_first(const void *a, const void *b)
{
    const struct top *x = a, *y = b;

    return (x->stamp < y->stamp) - (x->stamp > y->stamp);
}

static struct top *
find_tops(struct salvage *v, uint32_t *count)
{
    uint8_t *bits = referred(v);
    struct top *tops = NULL;
    uint32_t cap = 0;
    const struct page *pg;

    *count = 0;
    for (pgno id = 1; id < v->ids; id++) {
        v->damaged += salvage_page(v->store, id, &pg) == NQ_ECORRUPT;
        if ((bits[id / 8] >> id % 8 & 1) != 0 || !is_orphan(v, id, &pg))
            continue;
        GROW(tops, *count, cap);
        tops[*count] = (struct top){.id = id,
                                    .level = pg->level,
                                    .stamp = pg->lsn,
                                    .is_freed = true,
                                    .fits = 0xff};
        judge(v, id, &tops[*count]);
        if (tops[*count].is_index)
            disown_top(&tops[*count]); /* it can be made again */
        else
            ++*count;
    }
    nq_free(bits);
    if (*count > 0)
        qsort(tops, *count, sizeof *tops, younger_first);
    return tops;
}

/* --- giving them to trees ----------------------------------------------------
 */

static bool
is_taken(const struct salvage_tree *t, const struct top *top)
{
    for (uint32_t i = 0; i < t->attached_count; i++) {
        const struct salvage_range *a = &t->attached[i];

        if (slice_cmp(top->first, a->high) <= 0 &&
            slice_cmp(top->last, a->low) >= 0)
            return true;
    }
    return false;
}

/* A page is missing that could have held the record of a private tree. */
static bool
may_miss_owner(const struct salvage *v)
{
    uint64_t known = 0;

    if (v->found.is_scanned)
        return true; /* nobody knows what else there was */
    for (uint32_t i = 0; i < v->trees_count; i++) {
        const struct salvage_tree *t = &v->trees[i];

        for (uint32_t k = 0; k < t->gaps_count; k++) {
            if (!t->is_items && t->gaps[k].range.level == 0 &&
                !t->gaps[k].range.owns_none)
                return true;
            known++;
        }
    }
    return v->damaged > known;
}

static bool
fits_tree(const struct salvage_tree *t, const struct top *top)
{
    return top->first.p != NULL && !top->is_freed && !t->is_freed &&
           !(t->is_items && top->is_typed) &&
           (!t->is_items || (top->fits >> t->rec.type & 1) != 0) &&
           !is_taken(t, top);
}

static bool
fits_gap(const struct salvage_gap *g, const struct top *top)
{
    return (g->range.level == SALVAGE_ANY || top->level < g->range.level) &&
           (!g->is_typed_only || top->is_typed) &&
           salvage_is_inside(&g->range, top->first, top->last);
}

static struct salvage_gap *
gap_for(struct salvage_tree *t, const struct top *top)
{
    for (uint32_t i = 0; fits_tree(t, top) && i < t->gaps_count; i++) {
        if (fits_gap(&t->gaps[i], top))
            return &t->gaps[i];
    }
    return NULL;
}

/* The one tree that it fits; -1: none, or several. */
static int64_t
tree_for(struct salvage *v, const struct top *top)
{
    int64_t found = -1;

    if (!top->is_typed && v->misses_owner && !v->is_doubtful && !v->is_only_one)
        return -1;
    for (uint32_t i = 0; i < v->trees_count; i++) {
        if (gap_for(&v->trees[i], top) == NULL)
            continue;
        if (found >= 0)
            return -1;
        found = i;
    }
    return found;
}

static void
attach(struct salvage *v, uint32_t ti, struct top *top)
{
    struct salvage_tree *t = &v->trees[ti];
    struct salvage_gap *g = gap_for(t, top);
    struct salvage_range r = g->range;

    g->attached++;
    GROW(t->attached, t->attached_count, t->attached_cap);
    t->attached[t->attached_count++] =
        (struct salvage_range){.low = top->first, .high = top->last};
    top->is_done = true;
    r.level = top->level;
    salvage_visit(v, ti, top->id, &r); /* may move all trees and gaps */
}

/* All that fits the gap, if it is as much as was there. */
static bool
fill_gap(struct salvage *v, uint32_t ti, uint32_t gi, struct top *tops,
         uint32_t n)
{
    const struct salvage_tree *t = &v->trees[ti];
    bool is_list = t->is_items && t->rec.type == DB_LIST;
    struct salvage_gap g = t->gaps[gi];
    uint64_t sum = 0;

    if (g.range.count == 0 || g.attached > 0 ||
        (v->misses_owner && !v->is_doubtful))
        return false;
    for (uint32_t i = 0; i < n; i++) {
        if (!tops[i].is_done && v->label[tops[i].id] == 0 &&
            fits_tree(t, &tops[i]) && fits_gap(&g, &tops[i]))
            sum += is_list ? tops[i].weight : tops[i].records;
    }
    if (sum != g.range.count)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        if (!tops[i].is_done && v->label[tops[i].id] == 0 &&
            fits_tree(&v->trees[ti], &tops[i]) && fits_gap(&g, &tops[i]))
            attach(v, ti, &tops[i]);
    }
    return true;
}

static bool
fill_gaps(struct salvage *v, struct top *tops, uint32_t n)
{
    bool has_progress = false;

    for (uint32_t ti = 0; ti < v->trees_count; ti++) {
        for (uint32_t gi = 0; gi < v->trees[ti].gaps_count; gi++)
            has_progress = fill_gap(v, ti, gi, tops, n) || has_progress;
    }
    return has_progress;
}

static void
attach_all(struct salvage *v, struct top *tops, uint32_t n)
{
    bool has_progress;

    do {
        v->misses_owner = may_miss_owner(v);
        has_progress = fill_gaps(v, tops, n);
        for (uint32_t i = 0; i < n; i++) {
            int64_t ti = tops[i].is_done || v->label[tops[i].id] != 0
                             ? -1
                             : tree_for(v, &tops[i]);

            if (ti < 0)
                continue;
            attach(v, (uint32_t)ti, &tops[i]);
            has_progress = true;
        }
    } while (has_progress);
    for (uint32_t i = 0; i < n; i++)
        v->unassigned += !tops[i].is_done && v->label[tops[i].id] == 0;
}

/* One database for all that can only be of databases. */
static void
guess_database(struct salvage *v, const struct top *tops, uint32_t n)
{
    struct salvage_range all = {.level = SALVAGE_ANY};
    struct salvage_tree t = {.dbi = 0};
    bool has_typed = false;
    uint32_t count = 0;

    for (uint32_t i = 0; i < n; i++) {
        has_typed = has_typed || tops[i].is_typed;
        count += !tops[i].is_freed;
    }
    /* One tree alone, and nothing damaged: what else could it be? */
    v->is_only_one = count == 1 && v->found.broken == 0 && v->damaged == 0;
    salvage_add_gap(v, salvage_add_tree(v, &t), 0, &all)->is_typed_only =
        has_typed;
}

/* The databases get new numbers: the greatest is 0. */
static void
number_databases(struct salvage *v)
{
    uint32_t *rank = nq_calloc(v->trees_count + 1, sizeof *rank);

    for (uint32_t i = 0; i < v->trees_count; i++) {
        const struct salvage_tree *t = &v->trees[i];

        for (uint32_t k = 0; !t->is_items && k < v->trees_count; k++) {
            const struct salvage_tree *other = &v->trees[k];

            rank[t->dbi] += !other->is_items &&
                            (other->leaves_count > t->leaves_count ||
                             (other->leaves_count == t->leaves_count && k < i));
        }
    }
    for (uint32_t i = 0; i < v->trees_count; i++)
        v->trees[i].dbi = rank[v->trees[i].dbi];
    nq_free(rank);
}

/* Each is a root of one. */
static void
take_databases(struct salvage *v, struct top *tops, uint32_t n)
{
    uint32_t dbi = 0;

    for (uint32_t i = 0; i < n; i++) {
        struct salvage_tree t = {.dbi = dbi, .root = tops[i].id};

        if (tops[i].is_freed || v->label[t.root] != 0)
            continue;
        salvage_visit_root(v, &t);
        dbi++;
    }
    number_databases(v);
}

static int
by_first_key(const void *a, const void *b, void *arg)
{
    struct salvage *v = arg;
    struct arena arena = ARENA_INIT;
    struct slice x = slice_lit(""), y = slice_lit("");
    const struct page *pg;
    int c;

    if (salvage_page(v->store, *(const pgno *)a, &pg) == NQ_OK)
        (void)salvage_key(v, pg, 0, &arena, &x);
    if (salvage_page(v->store, *(const pgno *)b, &pg) == NQ_OK)
        (void)salvage_key(v, pg, 0, &arena, &y);
    c = slice_cmp(x, y);
    arena_fini(&arena);
    return c;
}

static void
sort_leaves(struct salvage *v)
{
    for (uint32_t i = 0; i < v->trees_count; i++) {
        struct salvage_tree *t = &v->trees[i];

        if (t->attached_count > 0 && t->leaves_count > 1)
            qsort_r(t->leaves, t->leaves_count, sizeof *t->leaves, by_first_key,
                    v);
    }
}

void
salvage_attach_orphans(struct salvage *v)
{
    struct top *tops;
    uint32_t n;

    tops = find_tops(v, &n);
    v->are_roots =
        v->found.catalog != NQ_OK && !v->found.is_scanned && v->damaged == 0;
    if (v->are_roots)
        take_databases(v, tops, n);
    else if (v->found.catalog != NQ_OK)
        guess_database(v, tops, n);
    attach_all(v, tops, n);
    sort_leaves(v);
    for (uint32_t i = 0; i < n; i++) {
        if (tops[i].is_done)
            continue; /* the range is the tree's */
        salvage_disown(&tops[i].first);
        salvage_disown(&tops[i].last);
    }
    nq_free(tops);
}
