/* db/db_check.c - walks everything that the databases own and holds it
 * against what the store says is in use.
 *
 *   1  each tree: order, fences, counts, expiry bounds (btree_check)
 *   2  each record: what it owns; how many expire, against the counter
 *   3  what waits to be freed: those pages are still in use
 *   4  page table and space against the pages found (store_check)
 *
 * Pages are noted in a bitmap by page number; one that was noted before is
 * owned twice. */
#include "db/db_check.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "db/db_int.h"

struct walk {
    struct db *db;
    uint8_t *seen; /* bit per page number */
    uint32_t ids;
    void (*report)(void *arg, const char *text);
    void *arg;
    struct db_check_stats *stats;
};

static void __attribute__((format(printf, 2, 3)))
finding(struct walk *w, const char *fmt, ...)
{
    char text[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    w->stats->findings++;
    w->report(w->arg, text);
}

static void
on_page(void *arg, pgno id)
{
    struct walk *w = arg;
    uint8_t bit = (uint8_t)(1u << (id & 7));

    if (id == 0 || id >= w->ids) {
        finding(w, "page %u does not exist, but is referred to", id);
        return;
    }
    if ((w->seen[id >> 3] & bit) != 0)
        finding(w, "page %u is owned twice", id);
    w->seen[id >> 3] |= bit;
    w->stats->pages++;
}

static void
walk_blob(struct walk *w, const struct blob_ref *ref)
{
    nq_rc rc = blob_each_page(w->db->fr, ref, on_page, w);

    w->stats->blobs++;
    w->stats->blob_bytes += ref->len;
    if (rc != NQ_OK)
        finding(w, "value of %llu bytes at page %u: %s",
                (unsigned long long)ref->len, ref->root, rc_text(rc));
}

/* What the records own; *expires: how many have an expiry. */
static nq_rc
walk_records(struct walk *w, struct btree *tree, uint64_t *expires)
{
    struct btree_cursor c;
    struct record rec;
    struct owned owned;
    nq_rc rc;

    btree_cursor_init(&c, tree);
    rc = btree_first(&c);
    while (rc == NQ_OK && c.valid) {
        if ((rc = btree_record(&c, &rec)) != NQ_OK)
            break;
        *expires += rec.expire_ms != 0;
        if ((rec.flags & REC_OWNS) != 0) {
            if (db_owned(w->db, &rec, &owned) == NQ_OK && owned.is_blob)
                walk_blob(w, &owned.ref);
            else
                finding(w, "a record's reference to its value is damaged");
        }
        frames_make_room(w->db->fr);
        rc = btree_next(&c);
    }
    btree_cursor_fini(&c);
    return rc;
}

static void
walk_tree(struct walk *w, struct btree *tree, const char *what, uint32_t number,
          uint64_t *expires)
{
    struct btree_stats st = {0};
    struct btree_stats *sum = &w->stats->trees;
    nq_rc rc = btree_check(tree, &st, on_page, w);

    sum->leaves += st.leaves;
    sum->inners += st.inners;
    sum->records += st.records;
    sum->used_bytes += st.used_bytes;
    sum->page_bytes += st.page_bytes;
    sum->height = nq_max(sum->height, st.height);
    if (rc == NQ_OK)
        rc = walk_records(w, tree, expires);
    if (rc != NQ_OK)
        finding(w, "%s %u: the tree of its keys: %s", what, number,
                rc_text(rc));
}

static void
walk_all(struct walk *w)
{
    struct db *db = w->db;
    uint64_t ignored = 0;

    for (uint32_t i = 0; i < db->count; i++) {
        struct keyspace *ks = &db->spaces[i];
        uint64_t expires = 0;

        if (ks->tree.root == 0)
            continue;
        walk_tree(w, &ks->tree, "database", i, &expires);
        if (expires != ks->expires)
            finding(w, "database %u: %llu keys have an expiry, %llu counted", i,
                    (unsigned long long)expires,
                    (unsigned long long)ks->expires);
    }
    for (uint32_t i = 0; i < db->frees.tree_count; i++)
        walk_tree(w, &db->frees.trees[i], "tree to be freed", i, &ignored);
    for (uint32_t i = 0; i < db->frees.blob_count; i++)
        walk_blob(w, &db->frees.blobs[i]);
}

/* Counts what the store finds, too. */
static void
on_finding(void *arg, const char *text)
{
    finding(arg, "%s", text);
}

nq_rc
db_check(struct db *db, bool read_extents,
         void (*report)(void *arg, const char *text), void *arg,
         struct db_check_stats *out)
{
    struct walk w = {.db = db,
                     .ids = db->fr->ids,
                     .report = report,
                     .arg = arg,
                     .stats = out};
    bool was = frames_set_blocking(db->fr, true);
    nq_rc rc;

    *out = (struct db_check_stats){0};
    w.seen = nq_calloc((size_t)w.ids / 8 + 1, 1);
    walk_all(&w);
    rc = store_check(db->opts.store, w.seen, w.ids, read_extents, on_finding,
                     &w);
    (void)frames_set_blocking(db->fr, was);
    nq_free(w.seen);
    if (rc == NQ_OK && out->findings > 0)
        rc = NQ_ECORRUPT;
    return rc;
}
