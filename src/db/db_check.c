/* db/db_check.c - walks everything that the databases own and holds it
 * against what the store says is in use.
 *
 *   1  each tree: order, fences, counts, expiry bounds (btree_walk); how many
 *      records expire, against the counter
 *   2  what records own, found in passing and looked at between two steps of
 *      the walk: values are read, private trees walked
 *   3  what waits to be freed, trees and values alike: those pages are still
 *      in use
 *   4  page table and space against the pages found (store_check)
 *
 * So walks stand on each other: a private tree's on that of its database, and
 * that, if it is to be freed, on the list of what is.
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
#define WALKS_MAX 3

#define UNKNOWN UINT64_MAX

/* What a record was found to own. */
struct found {
    enum free_kind kind;
    struct blob_ref ref; /* FREE_BLOB */
    /* of a tree */
    pgno root;
    bool is_weighted, is_freed;
    const char *what;
    uint64_t items; /* as the record tells; UNKNOWN */
};

/* A tree that is being walked. */
struct walking {
    enum { OF_KEYS, OF_ITEMS, OF_FREES } records;
    struct btree tree;
    struct btree_walk *walk;
    struct btree_walk_opts opts;
    const char *what;
    uint32_t number;              /* of the database, or its root's page */
    uint32_t base;                /* what was found before it */
    uint64_t items;               /* that its records should be; UNKNOWN */
    uint64_t expires;             /* records with an expiry */
    uint64_t fields_only;         /* of them: only fields expire */
    const struct keyspace *space; /* NULL: of no database */
};

struct db_check {
    struct db *db;
    bool read_extents;
    void (*report)(void *arg, const char *text);
    void *arg;
    struct db_check_stats stats;
    uint8_t *seen; /* bit per page number */
    uint32_t ids;
    uint32_t next; /* tree: databases, staging, what is to be freed */
    struct walking walks[WALKS_MAX];
    uint32_t depth;
    struct found *found; /* and not looked at yet */
    uint32_t found_count, found_cap;
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

/* --- what records own ---------------------------------------------------- */

static void
push_found(struct db_check *c, const struct found *f)
{
    if (c->found_count == c->found_cap) {
        c->found_cap = nq_max(64u, 2 * c->found_cap);
        c->found = nq_realloc(c->found, c->found_cap * sizeof *c->found);
    }
    c->found[c->found_count++] = *f;
}

static void
on_key(struct db_check *c, struct walking *w, const struct record *rec)
{
    struct found f = {.is_weighted = rec->type == DB_LIST,
                      .is_freed = w->space == NULL,
                      .what = db_type_name(rec->type),
                      .items = UNKNOWN};
    struct owned owned;

    w->expires += rec->expire_ms != 0;
    w->fields_only += db_expiry_kind(rec) == FIELDS_EXPIRE;
    /* A list counts elements; what else it says, list_check() knows. */
    if (rec->type != DB_STRING && rec->type != DB_LIST &&
        coll_record_check(rec, &f.items) != NQ_OK)
        finding(c, "the value of a %s is damaged", f.what);
    if ((rec->flags & REC_OWNS) == 0)
        return;
    db_owned(rec, &owned);
    f.kind = owned.kind == OWNS_TREE ? FREE_TREE : FREE_BLOB;
    f.root = owned.root;
    f.ref = owned.ref;
    if (owned.kind == OWNS_NOTHING)
        finding(c, "a record's reference to its value is damaged");
    else if (f.kind == FREE_TREE && f.root >= c->ids)
        finding(c, "a %s has page %u for a tree", f.what, f.root);
    else
        push_found(c, &f);
}

static void
on_item(struct db_check *c, const struct record *rec)
{
    struct found f = {.kind = FREE_BLOB};

    if ((rec->flags & REC_OWNS) == 0)
        return;
    if (blob_ref_decode(rec->val, &f.ref) == NQ_OK)
        push_found(c, &f);
    else
        finding(c, "an item's reference to its value is damaged");
}

static void
on_free(struct db_check *c, const struct record *rec)
{
    struct found f = {
        .is_freed = true, .what = "value to be freed", .items = UNKNOWN};

    if (db_free_decode(rec, &f.kind, &f.root, &f.ref) == NQ_OK)
        push_found(c, &f);
    else
        finding(c, "a row of what is to be freed is damaged");
}

static void
on_record(void *arg, const struct record *rec)
{
    struct db_check *c = arg;
    struct walking *w = &c->walks[c->depth - 1];

    if (w->records == OF_KEYS)
        on_key(c, w, rec);
    else if (w->records == OF_ITEMS)
        on_item(c, rec);
    else
        on_free(c, rec);
}

/* --- trees --------------------------------------------------------------- */

static void
begin_walk(struct db_check *c, const struct walking *begun)
{
    struct walking *w = &c->walks[c->depth++];

    nq_assert(c->depth <= WALKS_MAX);
    *w = *begun;
    w->base = c->found_count;
    w->tree.fr = c->db->fr;
    w->opts.on_page = on_page;
    w->opts.on_record = on_record;
    w->opts.arg = c;
    w->walk = btree_walk_new(&w->tree, &w->opts);
}

static void
add_stats(struct db_check *c, const struct walking *w,
          const struct btree_stats *st)
{
    struct btree_stats *sum = &c->stats.trees;

    sum->leaves += st->leaves;
    sum->inners += st->inners;
    sum->used_bytes += st->used_bytes;
    sum->page_bytes += st->page_bytes;
    sum->height = nq_max(sum->height, st->height);
    if (w->records == OF_KEYS)
        sum->records += st->records;
    if (w->records == OF_ITEMS) {
        c->stats.collections++;
        c->stats.items += st->records;
    }
}

static void
check_expiries(struct db_check *c, const struct walking *w)
{
    const struct keyspace *ks = w->space;

    if (w->expires != ks->expires || w->fields_only != ks->fields_only)
        finding(c,
                "%s %u: %llu keys have an expiry, %llu only of fields; counted "
                "%llu and %llu",
                w->what, w->number, (unsigned long long)w->expires,
                (unsigned long long)w->fields_only,
                (unsigned long long)ks->expires,
                (unsigned long long)ks->fields_only);
}

static void
end_walk(struct db_check *c, nq_rc rc)
{
    struct walking *w = &c->walks[--c->depth];
    struct btree_stats st;

    btree_walk_free(w->walk, &st);
    add_stats(c, w, &st);
    if (rc != NQ_OK)
        finding(c, "the tree of %s %u: %s", w->what, w->number, rc_text(rc));
    else if (w->items != UNKNOWN && w->items != st.records)
        finding(c, "%s %u: it has %llu items, %llu counted", w->what, w->number,
                (unsigned long long)st.records, (unsigned long long)w->items);
    else if (w->space != NULL)
        check_expiries(c, w);
}

/* Looks at the last of what was found. */
static nq_rc
look_at_found(struct db_check *c)
{
    struct found f = c->found[c->found_count - 1];
    struct walking w = {.tree.root = f.root,
                        .tree.weighted = f.is_weighted,
                        .opts.ignore_counts = f.is_freed,
                        .what = f.what,
                        .number = f.root,
                        .items = f.items};
    nq_rc rc;

    if (f.kind == FREE_BLOB) {
        rc = blob_each_page(c->db->fr, &f.ref, on_page, c);
        if (rc == NQ_MISS || rc == NQ_EPOOL)
            return rc;
        if (rc != NQ_OK)
            finding(c, "value of %llu bytes at page %u: %s",
                    (unsigned long long)f.ref.len, f.ref.root, rc_text(rc));
        c->stats.blobs++;
        c->stats.blob_bytes += f.ref.len;
        c->found_count--;
        return NQ_OK;
    }
    c->found_count--;
    w.records = f.kind == FREE_TREE ? OF_ITEMS : OF_KEYS;
    begin_walk(c, &w);
    return NQ_OK;
}

/* NQ_NOTFOUND: there are no more. */
static nq_rc
begin_next_tree(struct db_check *c)
{
    struct db *db = c->db;
    uint32_t n = c->next++;
    struct walking w = {.records = OF_KEYS, .number = n, .items = UNKNOWN};

    if (n > db->count + 1)
        return NQ_NOTFOUND;
    if (n < db->count) {
        w.space = &db->spaces[n];
        w.what = "database";
    } else if (n == db->count) {
        w.space = &db->staging;
        w.what = "staging database";
    } else {
        w.records = OF_FREES;
        w.what = "list of what is to be freed";
    }
    w.tree = w.space != NULL ? w.space->tree : db->frees.tree;
    begin_walk(c, &w);
    return NQ_OK;
}

/* Some pages; NQ_NOTFOUND: all is seen. */
static nq_rc
walk_some(struct db_check *c)
{
    struct walking *w = c->depth > 0 ? &c->walks[c->depth - 1] : NULL;
    nq_rc rc;

    if (c->found_count > (w == NULL ? 0 : w->base))
        return look_at_found(c);
    if (w == NULL)
        return begin_next_tree(c);
    rc = btree_walk_step(w->walk, PAGES_PER_STEP);
    if (rc == NQ_MISS || rc == NQ_EPOOL)
        return rc;
    if (rc == NQ_OK && c->found_count > w->base)
        return NQ_OK; /* once more, when that was looked at */
    if (rc != NQ_AGAIN)
        end_walk(c, rc);
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
    return c;
}

nq_rc
db_check_step(struct db_check *c, uint64_t budget_us)
{
    uint64_t until = clock_mono_us() + budget_us;
    nq_rc rc;

    do {
        rc = walk_some(c);
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
    while (c->depth > 0)
        btree_walk_free(c->walks[--c->depth].walk, NULL);
    nq_free(c->seen);
    nq_free(c->found);
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
