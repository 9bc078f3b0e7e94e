/* db/db_check.c - walks everything that the databases own and holds it
 * against what the store says is in use.
 *
 *   1  each tree: order, fences, counts, expiry bounds (btree_walk); how many
 *      records expire, against the counter
 *   2  what records own, found in passing and followed between two steps of
 *      the walk: the pages of values, whose index may have to be read, and the
 *      trees of collections, walked in the same way
 *   3  what waits to be freed: those pages are still in use
 *   4  page table and space against the pages found (store_check)
 *
 * Pages are noted in a bitmap by page number; one that was noted before is
 * owned twice.  Damage ends the walk of its tree, not the check. */
#include "db/db_check.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "db/coll.h"
#include "db/db_int.h"
#include "os/clock.h"

#define PAGES_PER_STEP 8
#define SLICE_US 1000 /* of a check in one piece, between making room */

/* The tree of a collection. */
struct private_tree {
    struct btree tree;
    const char *what; /* its type */
    uint64_t items;   /* as its record tells; UNKNOWN */
};
#define UNKNOWN UINT64_MAX

struct db_check {
    struct db *db;
    bool read_extents;
    void (*report)(void *arg, const char *text);
    void *arg;
    struct db_check_stats stats;
    uint8_t *seen; /* bit per page number */
    uint32_t ids;
    uint32_t number; /* of the tree: databases first, then those to be freed */
    struct btree_walk *walk; /* of that tree; NULL: not begun */
    struct btree_walk_opts opts;
    uint64_t expires;      /* records of that tree with an expiry */
    struct blob_ref *refs; /* values found and not noted yet */
    uint32_t refs_count, refs_cap;
    struct private_tree *found; /* and trees; the last one is being walked */
    uint32_t found_count, found_cap;
    struct btree_walk *private_walk; /* NULL: not begun */
    struct btree_walk_opts private_opts;
};

static void __attribute__((format(printf, 2, 3)))
finding(struct db_check *c, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    c->stats.findings++;
    c->report(c->arg, text);
}

static void
on_page(void *arg, pgno id)
{
    struct db_check *c = arg;
    uint8_t bit = (uint8_t)(1u << (id & 7));

    if (id == 0 || id >= c->ids) {
        finding(c, "page %u does not exist, but is referred to", id);
        return;
    }
    if ((c->seen[id >> 3] & bit) != 0)
        finding(c, "page %u is owned twice", id);
    c->seen[id >> 3] |= bit;
    c->stats.pages++;
}

/* --- values -------------------------------------------------------------- */

static void
push_ref(struct db_check *c, const struct blob_ref *ref)
{
    if (c->refs_count == c->refs_cap) {
        c->refs_cap = nq_max(64u, 2 * c->refs_cap);
        c->refs = nq_realloc(c->refs, c->refs_cap * sizeof *c->refs);
    }
    c->refs[c->refs_count++] = *ref;
}

/* An item of a collection, or a string. */
static void
on_item(void *arg, const struct record *rec)
{
    struct db_check *c = arg;
    struct blob_ref ref;

    if ((rec->flags & REC_OWNS) == 0)
        return;
    if (blob_ref_decode(rec->val, &ref) == NQ_OK)
        push_ref(c, &ref);
    else
        finding(c, "a record's reference to its value is damaged");
}

static void
push_tree(struct db_check *c, const struct private_tree *t)
{
    if (c->found_count == c->found_cap) {
        c->found_cap = nq_max(16u, 2 * c->found_cap);
        c->found = nq_realloc(c->found, c->found_cap * sizeof *c->found);
    }
    c->found[c->found_count++] = *t;
}

static void
on_collection(struct db_check *c, const struct record *rec)
{
    struct private_tree t = {.tree = {.fr = c->db->fr},
                             .what = db_type_name(rec->type),
                             .items = UNKNOWN};

    /* A list counts elements; what else it says, list_check() knows. */
    t.tree.weighted = rec->type == DB_LIST;
    if (rec->type != DB_LIST && coll_record_check(rec, &t.items) != NQ_OK)
        finding(c, "the value of a %s is damaged", t.what);
    if (coll_record_root(rec, &t.tree.root) && t.tree.root < c->ids)
        push_tree(c, &t);
    else if ((rec->flags & REC_OWNS) != 0)
        finding(c, "a %s has page %u for a tree", t.what, t.tree.root);
}

static void
on_record(void *arg, const struct record *rec)
{
    struct db_check *c = arg;

    c->expires += rec->expire_ms != 0;
    if (rec->type == DB_STRING)
        on_item(c, rec);
    else
        on_collection(c, rec);
}

/* Notes the pages of the values found. */
static nq_rc
note_values(struct db_check *c)
{
    while (c->refs_count > 0) {
        const struct blob_ref *ref = &c->refs[c->refs_count - 1];
        nq_rc rc = blob_each_page(c->db->fr, ref, on_page, c);

        if (rc == NQ_MISS || rc == NQ_EPOOL)
            return rc;
        if (rc != NQ_OK)
            finding(c, "value of %llu bytes at page %u: %s",
                    (unsigned long long)ref->len, ref->root, rc_text(rc));
        c->stats.blobs++;
        c->stats.blob_bytes += ref->len;
        c->refs_count--;
    }
    return NQ_OK;
}

/* --- trees --------------------------------------------------------------- */

static struct btree *
tree_of(struct db_check *c, const char **what, uint32_t *number)
{
    struct db *db = c->db;

    *what = c->number < db->count ? "database" : "tree to be freed";
    *number = c->number < db->count ? c->number : c->number - db->count;
    if (c->number < db->count)
        return &db->spaces[*number].tree;
    return *number < db->frees.tree_count ? &db->frees.trees[*number] : NULL;
}

/* Ends the walk; *records: how many it saw. */
static void
end_walk(struct db_check *c, struct btree_walk **walk, uint64_t *records)
{
    struct btree_stats *sum = &c->stats.trees, st;

    btree_walk_free(*walk, &st);
    *walk = NULL;
    sum->leaves += st.leaves;
    sum->inners += st.inners;
    sum->used_bytes += st.used_bytes;
    sum->page_bytes += st.page_bytes;
    sum->height = nq_max(sum->height, st.height);
    *records = st.records;
}

static void
end_tree(struct db_check *c, nq_rc rc, const char *what, uint32_t number)
{
    uint64_t keys;

    end_walk(c, &c->walk, &keys);
    c->stats.trees.records += keys;
    if (rc != NQ_OK)
        finding(c, "%s %u: the tree of its keys: %s", what, number,
                rc_text(rc));
    else if (c->number < c->db->count &&
             c->expires != c->db->spaces[number].expires)
        finding(c, "database %u: %llu keys have an expiry, %llu counted",
                number, (unsigned long long)c->expires,
                (unsigned long long)c->db->spaces[number].expires);
    c->expires = 0;
    c->number++;
}

static void
end_private(struct db_check *c, nq_rc rc, const struct private_tree *t)
{
    uint64_t items;

    end_walk(c, &c->private_walk, &items);
    if (rc != NQ_OK)
        finding(c, "the tree of a %s at page %u: %s", t->what, t->tree.root,
                rc_text(rc));
    else if (t->items != UNKNOWN && t->items != items)
        finding(c, "a %s at page %u has %llu items, %llu counted", t->what,
                t->tree.root, (unsigned long long)items,
                (unsigned long long)t->items);
    c->stats.collections++;
    c->stats.items += items;
    c->found_count--;
}

/* Some pages of the last tree of a collection that was found. */
static nq_rc
walk_private(struct db_check *c)
{
    struct private_tree *t = &c->found[c->found_count - 1];
    nq_rc rc;

    if (c->private_walk == NULL)
        c->private_walk = btree_walk_new(&t->tree, &c->private_opts);
    rc = btree_walk_step(c->private_walk, PAGES_PER_STEP);
    if (rc == NQ_MISS || rc == NQ_EPOOL)
        return rc;
    if (rc != NQ_AGAIN)
        end_private(c, rc, t);
    return NQ_OK;
}

/* Some pages; NQ_NOTFOUND: there are no more trees. */
static nq_rc
walk_some(struct db_check *c)
{
    const char *what;
    uint32_t number;
    struct btree *tree = tree_of(c, &what, &number);
    nq_rc rc;

    if (tree == NULL)
        return NQ_NOTFOUND;
    if (c->walk == NULL)
        c->walk = btree_walk_new(tree, &c->opts);
    rc = btree_walk_step(c->walk, PAGES_PER_STEP);
    if (rc == NQ_MISS || rc == NQ_EPOOL)
        return rc;
    if (rc != NQ_AGAIN)
        end_tree(c, rc, what, number);
    return NQ_OK;
}

/* Counts what the store finds, too. */
static void
on_finding(void *arg, const char *text)
{
    finding(arg, "%s", text);
}

static nq_rc
finish(struct db_check *c)
{
    nq_rc rc = store_check(c->db->opts.store, c->seen, c->ids, c->read_extents,
                           on_finding, c);

    return rc == NQ_OK && c->stats.findings > 0 ? NQ_ECORRUPT : rc;
}

/* --- the check ----------------------------------------------------------- */

struct db_check *
db_check_new(struct db *db, bool read_extents,
             void (*report)(void *arg, const char *text), void *arg)
{
    struct db_check *c = nq_calloc(1, sizeof *c);

    c->db = db;
    c->read_extents = read_extents;
    c->report = report;
    c->arg = arg;
    c->ids = db->fr->ids;
    c->seen = nq_calloc((size_t)c->ids / 8 + 1, 1);
    c->opts = (struct btree_walk_opts){on_page, on_record, c};
    c->private_opts = (struct btree_walk_opts){on_page, on_item, c};
    for (uint32_t i = 0; i < db->frees.blob_count; i++)
        push_ref(c, &db->frees.blobs[i]);
    return c;
}

nq_rc
db_check_step(struct db_check *c, uint64_t budget_us)
{
    uint64_t until = clock_mono_us() + budget_us;
    nq_rc rc;

    do {
        if ((rc = note_values(c)) == NQ_OK)
            rc = c->found_count > 0 ? walk_private(c) : walk_some(c);
        if (rc == NQ_NOTFOUND)
            return finish(c);
    } while (rc == NQ_OK && clock_mono_us() < until);
    return rc == NQ_OK ? NQ_AGAIN : rc;
}

const struct db_check_stats *
db_check_get_stats(const struct db_check *c)
{
    return &c->stats;
}

void
db_check_free(struct db_check *c)
{
    if (c == NULL)
        return;
    btree_walk_free(c->walk, NULL);
    btree_walk_free(c->private_walk, NULL);
    nq_free(c->found);
    nq_free(c->seen);
    nq_free(c->refs);
    nq_free(c);
}

nq_rc
db_check(struct db *db, bool read_extents,
         void (*report)(void *arg, const char *text), void *arg,
         struct db_check_stats *out)
{
    struct db_check *c = db_check_new(db, read_extents, report, arg);
    bool was = frames_set_blocking(db->fr, true);
    nq_rc rc, before = NQ_OK;

    for (;;) {
        rc = db_check_step(c, SLICE_US);
        if (rc != NQ_AGAIN && (rc != NQ_EPOOL || before == NQ_EPOOL))
            break;
        before = rc;
        frames_make_room(db->fr);
    }
    (void)frames_set_blocking(db->fr, was);
    *out = c->stats;
    db_check_free(c);
    return rc;
}
