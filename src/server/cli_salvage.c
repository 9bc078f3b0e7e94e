/* server/cli_salvage.c - which page belongs to which tree, in a database that
 * is not whole.
 *
 *   1  each database is walked from its root, each private tree from the
 *      record that owns it.  A page that cannot be had leaves a gap: a range
 *      of keys, and of levels below it
 *   2  tree pages that nobody came to, and that no other of these refers to,
 *      are what was below a gap.  Each is given to the one tree that has a
 *      gap for its keys; if several have, to none: what is not certain is not
 *      saved
 *   3  again, since what was found may own trees itself
 *
 * Which pages are given to which tree is told in cli_salvage_orphans.c.
 *
 * Pages come and go, so nothing of a page is kept but copies. */
#include "server/cli_salvage.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/mem.h"
#include "db/db_salvage.h"
#include "db/owned.h"
#include "os/clock.h"
#include "server/cli_salvage_int.h"
#include "store/btree.h"
#include "store/frames.h"
#include "store/page.h"

#define DATABASES 16    /* at least so many are opened */
#define KEY_ROOM 20000u /* of the part of a key that is in a page */

struct slice
salvage_own(struct slice s)
{
    return slice_of(s.len == 0 ? nq_calloc(1, 1) : nq_memdup(s.p, s.len),
                    s.len);
}

void
salvage_disown(struct slice *s)
{
    nq_free((void *)(uintptr_t)s->p);
    *s = slice_of(NULL, 0);
}

/* --- pages ------------------------------------------------------------------
 */

/* The whole key of the slot, in the arena; false: its end is lost. */
bool
salvage_key(struct salvage *v, const struct page *pg, unsigned slot,
            struct arena *arena, struct slice *out)
{
    uint8_t *bytes = arena_alloc(arena, KEY_ROOM);
    struct slice tail = slice_of(NULL, 0);
    struct page_key k;
    uint8_t *whole;

    page_key_at(pg, slot, bytes, &k);
    *out = slice_of(bytes, k.in.len);
    if (k.tail == 0)
        return true;
    if (frames_chunk(v->frames, k.tail, &tail) != NQ_OK ||
        k.in.len + tail.len != k.len)
        return false;
    whole = arena_alloc(arena, k.len);
    memcpy(whole, bytes, k.in.len);
    memcpy(whole + k.in.len, tail.p, tail.len);
    *out = slice_of(whole, k.len);
    return true;
}

struct salvage_record *
salvage_leaf(struct salvage *v, pgno id, struct arena *arena, uint32_t *count,
             uint32_t *lost)
{
    struct salvage_record *all;
    const struct page *pg;

    *count = *lost = 0;
    if (salvage_page(v->store, id, &pg) != NQ_OK || pg->level != 0)
        return NULL;
    all = arena_alloc(arena, (pg->count + 1u) * sizeof *all);
    for (unsigned i = 0; i < pg->count; i++) {
        struct salvage_record *r = &all[*count];
        struct page_record in;

        if (!salvage_key(v, pg, i, arena, &r->key)) {
            ++*lost;
            continue;
        }
        page_record_at(pg, i, &in);
        r->rec = (struct record){
            .val = slice_of(arena_memdup(arena, in.v.val.p, in.v.val.len),
                            in.v.val.len),
            .expire_ms = in.v.expire_ms,
            .type = PAGE_META_TYPE(in.v.meta),
            .flags = PAGE_META_FLAGS(in.v.meta),
        };
        ++*count;
    }
    return all;
}

/* --- trees ------------------------------------------------------------------
 */

uint32_t
salvage_add_tree(struct salvage *v, const struct salvage_tree *t)
{
    GROW(v->trees, v->trees_count, v->trees_cap);
    v->trees[v->trees_count] = *t;
    return v->trees_count++;
}

struct salvage_gap *
salvage_add_gap(struct salvage *v, uint32_t ti, pgno id,
                const struct salvage_range *r)
{
    struct salvage_tree *t = &v->trees[ti];
    struct salvage_gap *g;

    GROW(t->gaps, t->gaps_count, t->gaps_cap);
    g = &t->gaps[t->gaps_count++];
    *g = (struct salvage_gap){.range = *r, .id = id};
    g->range.low = salvage_own(r->low);
    g->range.high = salvage_own(r->high);
    return g;
}

bool
salvage_is_inside(const struct salvage_range *r, struct slice first,
                  struct slice last)
{
    return slice_cmp(first, r->low) >= 0 &&
           (!r->has_high || slice_cmp(last, r->high) < 0);
}

static void
visit_owned(struct salvage *v, uint32_t ti, const struct salvage_record *r)
{
    struct salvage_range all = {.level = SALVAGE_ANY};
    struct salvage_tree t = {.is_items = true,
                             .is_freed = v->trees[ti].is_freed,
                             .dbi = v->trees[ti].dbi};
    enum free_kind kind = FREE_TREE;
    struct blob_ref ref;

    if (v->trees[ti].is_list) {
        if (db_free_decode(&r->rec, &kind, &t.root, &ref) != NQ_OK ||
            kind == FREE_BLOB)
            return;
        t.is_items = kind == FREE_TREE;
    } else if (r->rec.type == DB_STRING || !db_record_root(&r->rec, &t.root)) {
        return;
    }
    t.key = salvage_own(r->key);
    t.rec = r->rec;
    t.rec.val = salvage_own(r->rec.val);
    all.count = t.is_items && !t.is_freed ? db_salvage_count(&t.rec) : 0;
    salvage_visit(v, salvage_add_tree(v, &t), t.root, &all);
}

static void
visit_leaf(struct salvage *v, uint32_t ti, pgno id)
{
    struct salvage_tree *t = &v->trees[ti];
    struct arena arena = ARENA_INIT;
    struct salvage_record *all;
    uint32_t n, lost;

    GROW(t->leaves, t->leaves_count, t->leaves_cap);
    t->leaves[t->leaves_count++] = id;
    if (t->is_items)
        return;
    all = salvage_leaf(v, id, &arena, &n, &lost);
    for (uint32_t i = 0; all != NULL && i < n; i++)
        visit_owned(v, ti, &all[i]);
    arena_fini(&arena);
}

/* The children, each with the separators around it. */
static void
visit_inner(struct salvage *v, uint32_t ti, const struct page *pg,
            const struct salvage_range *r)
{
    struct arena arena = ARENA_INIT;
    unsigned n = pg->count;
    struct salvage_range *ranges = arena_alloc(&arena, n * sizeof *ranges);
    pgno *ids = arena_alloc(&arena, n * sizeof *ids);
    struct page_entry told;

    for (unsigned i = 0; i < n; i++) {
        ids[i] = page_child(pg, i);
        ranges[i] = (struct salvage_range){.level = pg->level - 1u,
                                           .low = r->low,
                                           .high = r->high,
                                           .has_high = r->has_high};
        page_entry_at(pg, i, &told);
        ranges[i].count = told.count;
        ranges[i].owns_none = !told.owns;
        if (i == 0)
            continue;
        (void)salvage_key(v, pg, i, &arena, &ranges[i].low);
        ranges[i - 1].high = ranges[i].low;
        ranges[i - 1].has_high = true;
    }
    for (unsigned i = 0; i < n; i++)
        salvage_visit(v, ti, ids[i], &ranges[i]);
    arena_fini(&arena);
}

/* The first key of a leaf and the last; false: it is empty. */
static bool
leaf_ends(struct salvage *v, const struct page *pg, struct arena *arena,
          struct slice *first, struct slice *last)
{
    if (pg->count == 0)
        return false;
    (void)salvage_key(v, pg, 0, arena, first);
    (void)salvage_key(v, pg, pg->count - 1u, arena, last);
    return true;
}

/* Pages of another time than their parents may be somewhere else now. */
static bool
is_in_place(struct salvage *v, const struct page *pg,
            const struct salvage_range *r)
{
    struct arena arena = ARENA_INIT;
    struct slice first, last;
    bool is_good = true;

    if (v->found.is_scanned && pg->level == 0 &&
        leaf_ends(v, pg, &arena, &first, &last))
        is_good = salvage_is_inside(r, first, last);
    arena_fini(&arena);
    return is_good;
}

void
salvage_visit(struct salvage *v, uint32_t ti, pgno id,
              const struct salvage_range *r)
{
    const struct page *pg;

    frames_make_room(v->frames);
    if (salvage_page(v->store, id, &pg) != NQ_OK || v->label[id] != 0 ||
        (r->level != SALVAGE_ANY && pg->level != r->level) ||
        !is_in_place(v, pg, r)) {
        salvage_add_gap(v, ti, id, r);
        return;
    }
    v->label[id] = ti + 1;
    if (pg->level == 0)
        visit_leaf(v, ti, id);
    else
        visit_inner(v, ti, pg, r);
}

void
salvage_visit_root(struct salvage *v, const struct salvage_tree *t)
{
    struct salvage_range all = {.level = SALVAGE_ANY};

    if (t->root != 0)
        salvage_visit(v, salvage_add_tree(v, t), t->root, &all);
}

static void
visit_roots(struct salvage *v)
{
    struct salvage_tree t = {.is_freed = true, .is_list = true};

    for (uint32_t i = 0; i < db_count(v->db); i++)
        salvage_visit_root(v, &(struct salvage_tree){
                                  .dbi = i, .root = db_tree(v->db, i)->root});
    t.root = db_salvage_frees(v->db);
    salvage_visit_root(v, &t);
    t.is_list = false;
    t.dbi = DB_STAGING;
    t.root = db_tree(v->db, DB_STAGING)->root;
    salvage_visit_root(v, &t);
}

void
salvage_label(struct salvage *v)
{
    v->ids = salvage_ids(v->store);
    v->label = nq_calloc(v->ids, sizeof *v->label);
    visit_roots(v);
    salvage_attach_orphans(v);
}

/* --- the beginning
 * ------------------------------------------------------------ */

static void
on_unapplied(void *arg, const char *effect, uint32_t dbi, struct slice key)
{
    if (key.len == 0)
        fprintf(stderr, "log: %s in database %u could not be applied\n", effect,
                dbi);
    salvage_taint(arg, dbi, key);
}

nq_rc
salvage_open(struct salvage *v, const struct store_opts *opts,
             struct pool *pool)
{
    struct db_opts dbo = {.databases = DATABASES};
    nq_rc rc;

    memset(v, 0, sizeof *v);
    if ((rc = store_salvage(opts, pool, &v->found, &v->store)) != NQ_OK)
        return rc;
    dbo.store = v->store;
    if ((rc = db_open(&dbo, &v->db)) != NQ_OK)
        return rc;
    v->frames = store_frames(v->store);
    db_set_now(v->db, clock_wall_ms());
    rc = db_salvage_replay(v->db, on_unapplied, v);
    if (rc == NQ_ECORRUPT) /* what the log has before that is applied */
        v->found.log = rc;
    (void)frames_set_blocking(v->frames, true);
    return rc == NQ_ECORRUPT ? NQ_OK : rc;
}

/* --- the end -----------------------------------------------------------------
 */

static void
tree_fini(struct salvage_tree *t)
{
    for (uint32_t i = 0; i < t->gaps_count; i++) {
        salvage_disown(&t->gaps[i].range.low);
        salvage_disown(&t->gaps[i].range.high);
    }
    for (uint32_t i = 0; i < t->attached_count; i++) {
        salvage_disown(&t->attached[i].low);
        salvage_disown(&t->attached[i].high);
    }
    nq_free(t->leaves);
    nq_free(t->gaps);
    nq_free(t->attached);
    salvage_disown(&t->key);
    salvage_disown(&t->rec.val);
}

void
salvage_fini(struct salvage *v)
{
    for (uint32_t i = 0; i < v->trees_count; i++)
        tree_fini(&v->trees[i]);
    salvage_free_taints(v);
    nq_free(v->trees);
    nq_free(v->label);
}

struct salvage_tree *
salvage_find_tree(struct salvage *v, uint32_t dbi, struct slice key, pgno root)
{
    if (root < v->ids && v->label[root] != 0)
        return &v->trees[v->label[root] - 1];
    for (uint32_t i = 0; i < v->trees_count; i++) {
        struct salvage_tree *t = &v->trees[i];

        if (t->is_items && t->dbi == dbi && t->root == root &&
            slice_cmp(t->key, key) == 0)
            return t;
    }
    return NULL;
}
