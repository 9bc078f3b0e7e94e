/* db/db_check_walk.c - the check's walk over everything that databases own.
 *
 *   1  each tree: order, fences, counts, expiry bounds (btree_walk); how many
 *      records expire, against the counter
 *   2  what records own, found in passing and looked at between two steps of
 *      the walk: values are read, private trees walked
 *   3  what waits to be freed, trees and values alike: those pages are still
 *      in use
 *   4  the two trees of each index; what they say is held against the data
 *      later (index_check.c)
 *
 * So walks stand on each other: a private tree's on that of its database, and
 * that, if it is to be freed, on the list of what is. */
#include <stdio.h>

#include "base/mem.h"
#include "db/coll.h"
#include "db/db_check_int.h"
#include "db/index_int.h"
#include "db/list_int.h"
#include "db/stream.h"
#include "db/zset.h"

#define PAGES_PER_STEP 8
#define SLICED_ITEMS 10000u /* a collection of more is not read to the end */

/* --- where ---------------------------------------------------------------- */

static struct check_place
copy_place(const struct check_place *p)
{
    struct check_place copy = *p;

    if (p->key.len > 0)
        copy.key = slice_of(nq_memdup(p->key.p, p->key.len), p->key.len);
    else
        copy.key = slice_of(NULL, 0);
    return copy;
}

static void
free_place(struct check_place *p)
{
    nq_free((void *)(uintptr_t)p->key.p);
    p->key = slice_of(NULL, 0);
}

static int64_t
database_of(const struct check_place *p)
{
    return p->is_freed || p->records == OF_FREES || p->records == OF_INDEX ||
                   p->dbi == DB_STAGING
               ? -1
               : (int64_t)p->dbi;
}

static struct check_walk *
top(struct db_check *c)
{
    return &c->walks[c->depth - 1];
}

/* --- damaged pages -------------------------------------------------------- */

static void
tell_tree_page(struct db_check *c, pgno id, const char *problem)
{
    struct check_walk *w = top(c);
    struct buf keys = BUF_INIT;
    struct btree_range r;
    const char *kind;

    if (w->place.records == OF_INDEX)
        check_index_is_bad(c, w->place.key);
    btree_walk_range(w->walk, &r);
    check_text_range(&keys, &w->place, &r);
    kind = r.is_tail                     ? "tail"
           : r.level == 0                ? "leaf"
           : r.level == BTREE_MAX_HEIGHT ? "root"
                                         : "inner";
    check_damage(c, id, kind, problem, (const char *)keys.p,
                 database_of(&w->place));
    buf_fini(&keys);
}

static void
on_page(void *arg, pgno id)
{
    struct db_check *c = arg;

    check_page(c, id);
    if (check_find_bad(c, id) != NULL)
        tell_tree_page(c, id, NULL);
}

static void
on_damage(void *arg, pgno id, nq_rc rc, const char *what)
{
    struct db_check *c = arg;

    tell_tree_page(c, id,
                   what != NULL   ? what
                   : rc == NQ_EIO ? rc_text(rc)
                                  : NULL);
}

static void
tell_chunk(struct db_check *c, const struct check_found *f, pgno id,
           const char *kind, uint64_t from, uint64_t to)
{
    struct buf keys = BUF_INIT;

    check_text_bytes(&keys, &f->place, from, to);
    check_damage(c, id, kind, NULL, (const char *)keys.p,
                 database_of(&f->place));
    buf_fini(&keys);
}

/* The chunks in their order, then the index if there is one. */
static void
on_chunk(void *arg, pgno id)
{
    struct db_check *c = arg;
    const struct check_found *f = c->blob;
    uint64_t from = (uint64_t)c->chunk * BLOB_CHUNK;
    bool is_index = c->chunk++ == f->ref.chunks;

    check_page(c, id);
    if (check_find_bad(c, id) == NULL)
        return;
    if (is_index)
        tell_chunk(c, f, id, "index", 0, f->ref.len - 1);
    else
        tell_chunk(c, f, id, "chunk", from,
                   nq_min(from + BLOB_CHUNK, f->ref.len) - 1);
}

/* --- what records own ---------------------------------------------------- */

static void
push_found(struct db_check *c, const struct check_found *f)
{
    if (c->found_count == c->found_cap) {
        c->found_cap = nq_max(64u, 2 * c->found_cap);
        c->found = nq_realloc(c->found, c->found_cap * sizeof *c->found);
    }
    c->found[c->found_count] = *f;
    c->found[c->found_count++].place = copy_place(&f->place);
}

static nq_rc
check_stream(struct db_check *c, const struct check_place *p, struct entry *e)
{
    struct stream s;
    nq_rc rc = stream_open(c->db, p->dbi, p->key, e, true, &s);

    if (rc == NQ_OK)
        rc = stream_check(&s);
    stream_close(&s);
    return rc;
}

static nq_rc
check_zset(struct db_check *c, const struct check_place *p, struct entry *e)
{
    struct zset z;
    nq_rc rc = zset_open(c->db, p->dbi, p->key, e, true, &z);

    if (rc == NQ_OK)
        rc = zset_check(&z);
    zset_close(&z);
    return rc;
}

/* The value against the invariants of its type. */
static nq_rc
check_type(struct db_check *c, const struct check_place *p,
           const struct record *rec)
{
    struct entry e = {.rec = *rec};

    if (p->is_freed)
        return NQ_OK;
    e.version = db_record_version(c->db, db_space(c->db, p->dbi));
    switch (rec->type) {
    case DB_LIST:
        return list_check(c->db, &e);
    case DB_STREAM:
        return check_stream(c, p, &e);
    case DB_ZSET:
        return check_zset(c, p, &e);
    default:
        return NQ_OK;
    }
}

static void
tell_value(struct db_check *c, const struct check_place *p, const char *what)
{
    struct btree_range all = {.level = 0};
    struct buf keys = BUF_INIT;

    if (p->records == OF_KEYS)
        all.low = p->key;
    check_text_range(&keys, p, &all);
    check_finding(c, "value", "%s: %s", (const char *)keys.p, what);
    buf_fini(&keys);
}

static uint64_t
head_of_list(const struct record *rec)
{
    struct list_shape s;

    return list_shape_of(rec, &s) == NQ_OK ? s.head_n : 0;
}

static void
on_key(struct db_check *c, struct check_walk *w, const struct record *rec)
{
    struct check_found f = {.is_weighted = rec->type == DB_LIST,
                            .what = db_type_name(rec->type),
                            .items = UNKNOWN,
                            .place = w->place};
    struct owned owned;

    f.place.records = OF_ITEMS;
    f.place.type = rec->type;
    f.place.key = btree_walk_key(w->walk);
    w->expires += rec->expire_ms != 0;
    w->fields_only += db_expiry_kind(rec) == FIELDS_EXPIRE;
    if (rec->type != DB_STRING && rec->type != DB_LIST &&
        coll_record_check(rec, &f.items) != NQ_OK)
        tell_value(c, &f.place, "the value is damaged");
    if (rec->type == DB_LIST)
        f.place.head = head_of_list(rec);
    if ((rec->flags & REC_OWNS) == 0) {
        if (check_type(c, &f.place, rec) == NQ_ECORRUPT)
            tell_value(c, &f.place, "the value breaks the rules of its type");
        return;
    }
    db_owned(rec, &owned);
    f.kind = owned.kind == OWNS_TREE ? FREE_TREE : FREE_BLOB;
    f.root = owned.root;
    f.ref = owned.ref;
    if (owned.kind == OWNS_NOTHING)
        tell_value(c, &f.place, "the reference to its pages is damaged");
    else if (f.kind == FREE_TREE && f.root >= c->ids)
        tell_value(c, &f.place, "the root of its tree does not exist");
    else
        push_found(c, &f);
}

static void
on_item(struct db_check *c, const struct check_walk *w,
        const struct record *rec)
{
    struct check_found f = {.kind = FREE_BLOB, .place = w->place};

    if ((rec->flags & REC_OWNS) == 0)
        return;
    if (blob_ref_decode(rec->val, &f.ref) == NQ_OK)
        push_found(c, &f);
    else
        tell_value(c, &w->place, "the reference to a long item is damaged");
}

static void
on_free(struct db_check *c, const struct record *rec)
{
    struct check_found f = {
        .what = "value to be freed",
        .items = UNKNOWN,
        .place = {.records = OF_ITEMS, .is_freed = true},
    };

    if (db_free_decode(rec, &f.kind, &f.root, &f.ref) == NQ_OK)
        push_found(c, &f);
    else
        check_finding(c, "value", "a row of what is to be freed is damaged");
}

static void
on_record(void *arg, const struct record *rec)
{
    struct db_check *c = arg;
    struct check_walk *w = top(c);

    if (w->place.records == OF_KEYS)
        on_key(c, w, rec);
    else if (w->place.records == OF_ITEMS)
        on_item(c, w, rec);
    else if (w->place.records == OF_FREES)
        on_free(c, rec);
}

/* --- trees --------------------------------------------------------------- */

static void
begin_walk(struct db_check *c, const struct check_walk *begun)
{
    struct check_walk *w = &c->walks[c->depth++];

    nq_assert(c->depth <= WALKS_MAX);
    *w = *begun;
    w->base = c->found_count;
    w->tree.fr = c->db->fr;
    w->opts.on_page = on_page;
    w->opts.on_record = on_record;
    w->opts.on_damage = on_damage;
    w->opts.arg = c;
    w->walk = btree_walk_new(&w->tree, &w->opts);
}

static void
add_stats(struct db_check *c, const struct check_walk *w,
          const struct btree_stats *st)
{
    struct btree_stats *sum = &c->stats.trees;

    sum->leaves += st->leaves;
    sum->inners += st->inners;
    sum->used_bytes += st->used_bytes;
    sum->page_bytes += st->page_bytes;
    sum->height = nq_max(sum->height, st->height);
    if (w->place.records == OF_KEYS)
        sum->records += st->records;
    if (w->place.records == OF_ITEMS) {
        c->stats.collections++;
        c->stats.items += st->records;
    }
}

static void
check_expiries(struct db_check *c, const struct check_walk *w)
{
    const struct keyspace *ks = w->space;

    if (w->expires != ks->expires || w->fields_only != ks->fields_only)
        check_finding(c, "tree",
                      "%s %u: %llu keys have an expiry, %llu only of fields; "
                      "counted %llu and %llu",
                      w->what, w->number, (unsigned long long)w->expires,
                      (unsigned long long)w->fields_only,
                      (unsigned long long)ks->expires,
                      (unsigned long long)ks->fields_only);
}

static void
end_walk(struct db_check *c, nq_rc rc)
{
    struct check_walk *w = top(c);
    bool has_gaps = btree_walk_has_gaps(w->walk);
    struct btree_stats st;

    btree_walk_free(w->walk, &st);
    add_stats(c, w, &st);
    has_gaps = has_gaps || rc != NQ_OK;
    c->has_gaps = c->has_gaps || has_gaps;
    if (w->base > 0 && c->found[w->base - 1].is_walked) {
        c->found[w->base - 1].has_gaps = has_gaps;
        c->found[w->base - 1].items = st.records;
    }
    if (rc != NQ_OK)
        check_finding(c, "tree", "the tree of %s %u: %s", w->what, w->number,
                      rc_text(rc));
    else if (!has_gaps && w->items != UNKNOWN && w->items != st.records)
        check_finding(c, "tree", "%s %u: it has %llu items, %llu counted",
                      w->what, w->number, (unsigned long long)st.records,
                      (unsigned long long)w->items);
    else if (!has_gaps && w->space != NULL)
        check_expiries(c, w);
    free_place(&w->place);
    c->depth--;
}

static nq_rc
look_at_blob(struct db_check *c, struct check_found *f)
{
    nq_rc rc;

    c->blob = f;
    c->chunk = 0;
    rc = blob_each_page(c->db->fr, &f->ref, on_chunk, c);
    if (rc == NQ_MISS || rc == NQ_EPOOL)
        return rc;
    if (rc != NQ_OK) {
        c->has_gaps = true;
        check_page(c, f->ref.root);
        tell_chunk(c, f, f->ref.root, "index", 0, f->ref.len - 1);
    }
    c->stats.blobs++;
    c->stats.blob_bytes += f->ref.len;
    free_place(&f->place);
    c->found_count--;
    return NQ_OK;
}

/* After its tree: the record once more, and all of the value, unless that is
 * too much for a slice. */
static nq_rc
look_at_type(struct db_check *c, struct check_found *f)
{
    struct btree *t = &db_space(c->db, f->place.dbi)->tree;
    bool is_too_long = !c->opts.is_whole && f->items > SLICED_ITEMS;
    struct record rec;
    nq_rc rc = NQ_OK;

    if (!f->has_gaps && !is_too_long &&
        (rc = btree_get(t, f->place.key, &rec, NULL)) == NQ_OK)
        rc = check_type(c, &f->place, &rec);
    if (rc == NQ_MISS || rc == NQ_EPOOL)
        return rc;
    if (rc != NQ_OK)
        tell_value(c, &f->place, "the value breaks the rules of its type");
    c->stats.skipped += is_too_long;
    free_place(&f->place);
    c->found_count--;
    return NQ_OK;
}

/* Looks at the last of what was found. */
static nq_rc
look_at_found(struct db_check *c)
{
    struct check_found *f = &c->found[c->found_count - 1];
    struct check_walk w = {.tree.root = f->root,
                           .tree.weighted = f->is_weighted,
                           .opts.ignore_counts = f->place.is_freed,
                           .what = f->what,
                           .number = f->root,
                           .items = f->items,
                           .place = f->place};

    if (f->is_walked)
        return look_at_type(c, f);
    if (f->kind == FREE_BLOB)
        return look_at_blob(c, f);
    if (f->place.is_freed) {
        c->found_count--;
    } else {
        f->is_walked = true;
        w.place = copy_place(&f->place);
    }
    if (f->kind == FREE_DATABASE)
        w.place.records = OF_KEYS;
    begin_walk(c, &w);
    return NQ_OK;
}

static nq_rc
begin_index_tree(struct db_check *c, unsigned n)
{
    struct index *ix = db_index_at(c->db, n / 2);
    struct check_walk w = {.what = "index", .number = n / 2, .items = UNKNOWN};
    struct index_info info;

    if (ix == NULL)
        return NQ_NOTFOUND;
    index_get_info(ix, &info);
    w.place = (struct check_place){
        .records = OF_INDEX, .dbi = info.def.dbi, .key = info.def.name};
    w.place = copy_place(&w.place);
    w.tree = *index_tree(ix, n % 2);
    begin_walk(c, &w);
    return NQ_OK;
}

/* NQ_NOTFOUND: there are no more. */
static nq_rc
begin_next_tree(struct db_check *c)
{
    struct db *db = c->db;
    uint32_t n = c->next++;
    struct check_walk w = {.number = n, .items = UNKNOWN};

    if (n > db->count + 1)
        return begin_index_tree(c, n - db->count - 2);
    w.place = (struct check_place){.records = OF_KEYS, .dbi = n};
    if (n < db->count) {
        w.space = &db->spaces[n];
        w.what = "database";
    } else if (n == db->count) {
        w.space = &db->staging;
        w.what = "staging database";
        w.place.dbi = DB_STAGING;
    } else {
        w.what = "list of what is to be freed";
        w.place.records = OF_FREES;
    }
    w.tree = w.space != NULL ? w.space->tree : db->frees.tree;
    begin_walk(c, &w);
    return NQ_OK;
}

nq_rc
check_walk_some(struct db_check *c)
{
    struct check_walk *w = c->depth > 0 ? top(c) : NULL;
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

void
check_walk_fini(struct db_check *c)
{
    while (c->depth > 0) {
        btree_walk_free(top(c)->walk, NULL);
        free_place(&top(c)->place);
        c->depth--;
    }
    while (c->found_count > 0)
        free_place(&c->found[--c->found_count].place);
    nq_free(c->found);
}
