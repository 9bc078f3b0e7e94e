/* db/lazyfree.c - freeing in the background what nobody sees any more: trees
 * that FLUSHDB left behind, blobs whose index has to be read first.
 *
 * The list is part of every checkpoint, so a restart goes on where the
 * checkpoint was; what the log tells after that is found out by replay.
 * Catalog entry "db.frees":
 *
 *   u32 number of trees | u32 root, each
 *   the rest: blob references of BLOB_REF_SIZE bytes
 *
 * Called by expire.c (the background), db_bulk.c and db.c. */
#include "base/log.h"
#include "base/mem.h"
#include "db/db_int.h"
#include "os/clock.h"

#define FREE_BUDGET 16          /* pages between two looks at the clock */
#define FREE_MAX_TREES 4096     /* pending, then one is freed on the spot */
#define FREE_MAX_CATALOG 262144 /* bytes of the catalog entry, at most */

static void
push_tree(struct pending_free *f, const struct btree *tree)
{
    if (f->tree_count == f->tree_cap) {
        f->tree_cap = nq_max(16u, 2 * f->tree_cap);
        f->trees = nq_realloc(f->trees, f->tree_cap * sizeof *f->trees);
    }
    f->trees[f->tree_count++] = *tree;
}

static void
push_blob(struct pending_free *f, const struct blob_ref *ref)
{
    if (f->blob_count == f->blob_cap) {
        f->blob_cap = nq_max(16u, 2 * f->blob_cap);
        f->blobs = nq_realloc(f->blobs, f->blob_cap * sizeof *f->blobs);
    }
    f->blobs[f->blob_count++] = *ref;
}

void
db_free_owned_record(void *arg, const struct record *rec)
{
    struct db *db = arg;
    struct owned owned;
    bool was = frames_set_blocking(db->fr, false);
    nq_rc rc = db_owned(db, rec, &owned);

    (void)frames_set_blocking(db->fr, was);
    if (rc == NQ_OK) {
        db_owned_free(db, &owned);
    } else {
        frames_forget_wanted(db->fr);
        push_blob(&db->frees, &owned.ref);
    }
}

/* Some pages of the last tree. */
static nq_rc
free_some(struct db *db)
{
    struct pending_free *f = &db->frees;
    struct btree *t = &f->trees[f->tree_count - 1];
    uint64_t removed = 0;
    bool done = false;
    nq_rc rc = btree_del_range(t, slice_lit(""), NULL, FREE_BUDGET,
                               db_free_owned_record, db, &removed, &done);

    db->stats.lazyfreed += removed;
    if (rc == NQ_OK && done) {
        nq_assert(t->root == 0);
        f->tree_count--;
    } else if (rc == NQ_ECORRUPT) {
        log_error("pages of a flushed database stay in use: %s", rc_text(rc));
        f->tree_count--;
        rc = NQ_OK;
    }
    return rc;
}

static nq_rc
free_blob(struct db *db)
{
    struct pending_free *f = &db->frees;
    const struct blob_ref *ref = &f->blobs[f->blob_count - 1];
    nq_rc rc = blob_can_free(db->fr, ref);

    if (rc != NQ_OK && rc != NQ_ECORRUPT)
        return rc;
    f->blob_count--;
    if (rc == NQ_OK)
        blob_free(db->fr, ref);
    else
        log_error("pages of a deleted value stay in use: %s", rc_text(rc));
    return NQ_OK;
}

nq_rc
db_free_slice(struct db *db, uint64_t until_us)
{
    struct pending_free *f = &db->frees;
    nq_rc rc = NQ_OK;

    /* Blobs first: the list must not outgrow the catalog. */
    while (rc == NQ_OK && f->blob_count + f->tree_count > 0) {
        if (clock_mono_us() >= until_us)
            return NQ_AGAIN;
        rc = f->blob_count > 0 ? free_blob(db) : free_some(db);
    }
    return rc;
}

void
db_free_later(struct db *db, const struct btree *tree)
{
    struct pending_free *f = &db->frees;
    bool was;
    nq_rc rc = NQ_OK;

    push_tree(f, tree);
    if (f->tree_count < FREE_MAX_TREES)
        return;
    was = frames_set_blocking(db->fr, true);
    while (rc == NQ_OK && f->tree_count >= FREE_MAX_TREES)
        rc = free_some(db);
    (void)frames_set_blocking(db->fr, was);
}

void
db_write_frees(struct db *db)
{
    const struct pending_free *f = &db->frees;
    struct slice name = slice_lit("db.frees");
    struct buf b = BUF_INIT;

    if (f->tree_count + f->blob_count == 0) {
        store_catalog_del(db->opts.store, name);
        return;
    }
    buf_put_u32(&b, f->tree_count);
    for (uint32_t i = 0; i < f->tree_count; i++)
        buf_put_u32(&b, f->trees[i].root);
    for (uint32_t i = 0; i < f->blob_count; i++) {
        blob_ref_encode(buf_reserve(&b, BLOB_REF_SIZE), &f->blobs[i]);
        b.len += BLOB_REF_SIZE;
    }
    store_catalog_put(db->opts.store, name, buf_slice(&b));
    buf_fini(&b);
}

static nq_rc
decode_frees(struct db *db, struct slice list)
{
    struct cursor c = cursor_of(list);
    struct btree tree = {.fr = db->fr};
    struct blob_ref ref;
    struct slice s;
    uint32_t trees;

    cursor_get_u32(&c, &trees);
    while (trees-- > 0 && cursor_get_u32(&c, &tree.root))
        push_tree(&db->frees, &tree);
    while (cursor_left(&c) > 0 && cursor_get_bytes(&c, BLOB_REF_SIZE, &s)) {
        if (blob_ref_decode(s, &ref) != NQ_OK)
            return NQ_ECORRUPT;
        push_blob(&db->frees, &ref);
    }
    return cursor_ok(&c) ? NQ_OK : NQ_ECORRUPT;
}

nq_rc
db_load_frees(struct db *db)
{
    uint8_t *bytes = nq_malloc(FREE_MAX_CATALOG);
    size_t len = 0;
    nq_rc rc = store_catalog_get(db->opts.store, slice_lit("db.frees"), bytes,
                                 FREE_MAX_CATALOG, &len);

    if (rc == NQ_OK)
        rc = decode_frees(db, slice_of(bytes, nq_min(len, FREE_MAX_CATALOG)));
    else if (rc == NQ_NOTFOUND)
        rc = NQ_OK;
    if (rc == NQ_ECORRUPT)
        log_error("catalog entry \"db.frees\" is damaged");
    nq_free(bytes);
    return rc;
}

void
db_frees_fini(struct db *db)
{
    nq_free(db->frees.trees);
    nq_free(db->frees.blobs);
    db->frees = (struct pending_free){0};
}
