/* db/lazyfree.c - freeing in the background what nobody sees any more: trees
 * of flushed databases, private trees and blobs of values that are gone.
 *
 * What is to be freed stands in a tree of its own, so there may be any number
 * of them and none makes a command wait.  It is part of every checkpoint, so
 * a restart goes on where the checkpoint was; what the log tells after that
 * is found out by replay.
 *
 *   key    u8 kind | u32 the root's page, big-endian
 *   type   kind (enum free_kind)
 *   value  of a blob its reference, of a tree u32 its root
 *
 * Catalog entry "db.to_free": u32 root of that tree.
 *
 *   L1  what stands here is owned by nothing else
 *   L2  kinds go in order: what a database's tree lets go of is freed before
 *       the rest of that tree, so the list does not grow with the database
 *   L3  what is held (hold.h) is left alone until the hold ends
 *
 * Called by expire.c (the background), owned.c, db_bulk.c and db.c. */
#include "base/log.h"
#include "base/mem.h"
#include "db/db_int.h"
#include "db/hold.h"
#include "os/clock.h"

#define FREE_BUDGET 4 /* pages between two looks at the clock */
#define FREE_CHUNKS 8 /* the same of blobs; smaller ones are freed at once */
#define ENTRY_KEY 5

/* One row of the list. */
struct pending {
    enum free_kind kind;
    pgno page;
    struct blob_ref ref; /* of a blob */
};

/* --- the list ------------------------------------------------------------ */

static struct slice
entry_key(uint8_t dst[ENTRY_KEY], enum free_kind kind, pgno page)
{
    dst[0] = (uint8_t)kind;
    for (int i = 0; i < 4; i++)
        dst[1 + i] = (uint8_t)(page >> (24 - 8 * i));
    return slice_of(dst, ENTRY_KEY);
}

static void
lost(nq_rc rc)
{
    log_error("pages of what was deleted stay in use: %s", rc_text(rc));
}

/* On the spot, whatever has to be read: nothing may fail after the change
 * that let the pages go. */
static void
put(struct db *db, const struct pending *p)
{
    uint8_t key[ENTRY_KEY], val[BLOB_REF_SIZE];
    struct record rec = {.type = (uint8_t)p->kind}, old;
    struct finger f = {0};
    bool is_new, was = frames_set_blocking(db->fr, true);
    nq_rc rc;

    memcpy(val, &p->page, sizeof p->page);
    if (p->kind == FREE_BLOB)
        blob_ref_encode(val, &p->ref);
    rec.val = slice_of(val, p->kind == FREE_BLOB ? sizeof val : sizeof p->page);
    is_new = btree_get(&db->frees.tree, entry_key(key, p->kind, p->page), &old,
                       &f) == NQ_NOTFOUND;
    rc = btree_put(&db->frees.tree, entry_key(key, p->kind, p->page), &rec, &f);
    (void)frames_set_blocking(db->fr, was);
    if (rc != NQ_OK)
        lost(rc);
    db->frees.count += rc == NQ_OK && is_new;
    db->frees.are_held = false;
}

static void
drop(struct db *db, const struct pending *p)
{
    uint8_t key[ENTRY_KEY];
    bool was = frames_set_blocking(db->fr, true);
    nq_rc rc =
        btree_del(&db->frees.tree, entry_key(key, p->kind, p->page), NULL);

    (void)frames_set_blocking(db->fr, was);
    if (rc != NQ_OK)
        lost(rc);
    db->frees.count -= rc == NQ_OK;
}

nq_rc
db_free_decode(const struct record *rec, enum free_kind *kind, pgno *root,
               struct blob_ref *ref)
{
    struct cursor c = cursor_of(rec->val);
    nq_rc rc = NQ_OK;

    *kind = (enum free_kind)rec->type;
    if (*kind == FREE_BLOB) {
        rc = blob_ref_decode(rec->val, ref);
        *root = ref->root;
    } else if ((*kind != FREE_TREE && *kind != FREE_DATABASE) ||
               !cursor_get_u32(&c, root)) {
        rc = NQ_ECORRUPT;
    }
    return rc;
}

static nq_rc
row_at(struct btree_cursor *c, struct pending *p)
{
    struct record rec;
    nq_rc rc = btree_record(c, &rec);

    return rc == NQ_OK ? db_free_decode(&rec, &p->kind, &p->page, &p->ref) : rc;
}

/* The first row that is not held; NQ_NOTFOUND. */
static nq_rc
first_row(struct db *db, struct pending *p)
{
    struct btree_cursor c;
    nq_rc rc;

    btree_cursor_init(&c, &db->frees.tree);
    rc = btree_first(&c);
    while (rc == NQ_OK && c.valid && (rc = row_at(&c, p)) == NQ_OK &&
           hold_is_held(db, p->page))
        rc = btree_next(&c);
    if (rc == NQ_OK && !c.valid)
        rc = NQ_NOTFOUND;
    btree_cursor_fini(&c);
    return rc;
}

/* --- freeing ------------------------------------------------------------- */

/* Some pages of the row's tree, whose root may change by that. */
static nq_rc
free_tree_pages(struct db *db, struct pending *p)
{
    bool is_database = p->kind == FREE_DATABASE, done = false;
    struct btree t = {.fr = db->fr, .root = p->page};
    uint64_t removed = 0;
    nq_rc rc =
        btree_del_range(&t, slice_lit(""), NULL, FREE_BUDGET,
                        is_database ? db_free_key_record : db_free_item_record,
                        db, &removed, &done);

    db->stats.lazyfreed += is_database ? removed : done;
    if (t.root == p->page)
        return rc;
    drop(db, p);
    p->page = t.root;
    if (t.root != 0)
        put(db, p);
    return rc;
}

static nq_rc
free_chunks(struct db *db, struct pending *p)
{
    nq_rc rc = blob_can_free(db->fr, &p->ref);

    if (rc != NQ_OK)
        return rc;
    drop(db, p);
    if (!blob_free_some(db->fr, &p->ref, FREE_CHUNKS))
        put(db, p);
    else
        db->stats.lazyfreed++;
    return NQ_OK;
}

nq_rc
db_free_slice(struct db *db, uint64_t until_us)
{
    struct pending p;

    for (;;) {
        nq_rc rc = first_row(db, &p);

        if (rc == NQ_NOTFOUND) {
            db->frees.are_held = true;
            return NQ_OK;
        }
        if (rc != NQ_OK)
            return rc;
        if (clock_mono_us() >= until_us)
            return NQ_AGAIN;
        rc =
            p.kind == FREE_BLOB ? free_chunks(db, &p) : free_tree_pages(db, &p);
        if (rc == NQ_ECORRUPT) {
            lost(rc);
            drop(db, &p);
        } else if (rc != NQ_OK) {
            return rc;
        }
    }
}

bool
db_has_frees(const struct db *db)
{
    return db->frees.count > 0 && !db->frees.are_held;
}

void
db_free_released(struct db *db)
{
    db->frees.are_held = false;
}

/* --- what is let go ------------------------------------------------------ */

void
db_free_later(struct db *db, const struct btree *tree)
{
    put(db, &(struct pending){.kind = FREE_DATABASE, .page = tree->root});
}

void
db_free_tree(struct db *db, pgno root)
{
    struct btree t = {.fr = db->fr, .root = root};

    if (hold_is_held(db, root) || !btree_free_small(&t))
        put(db, &(struct pending){.kind = FREE_TREE, .page = root});
}

void
db_free_blob(struct db *db, const struct blob_ref *ref)
{
    if (hold_is_held(db, ref->root) ||
        !blob_free_small(db->fr, ref, FREE_CHUNKS))
        put(db, &(struct pending){
                    .kind = FREE_BLOB, .page = ref->root, .ref = *ref});
}

void
db_free_unless(struct db *db, enum free_kind kind, pgno root,
               const struct blob_ref *ref)
{
    struct pending p = {.kind = kind, .page = root};

    if (ref != NULL)
        p.ref = *ref;
    put(db, &p);
}

void
db_free_take_off(struct db *db, enum free_kind kind, pgno root)
{
    drop(db, &(struct pending){.kind = kind, .page = root});
}

/* --- the catalog --------------------------------------------------------- */

void
db_write_frees(struct db *db)
{
    struct slice name = slice_lit("db.to_free");
    struct buf b = BUF_INIT;

    if (db->frees.tree.root == 0) {
        store_catalog_del(db->opts.store, name);
        return;
    }
    buf_put_u32(&b, db->frees.tree.root);
    store_catalog_put(db->opts.store, name, buf_slice(&b));
    buf_fini(&b);
}

nq_rc
db_load_frees(struct db *db)
{
    uint8_t bytes[4];
    size_t len = 0;
    struct cursor c;
    bool was;
    nq_rc rc = store_catalog_get(db->opts.store, slice_lit("db.to_free"), bytes,
                                 sizeof bytes, &len);

    db->frees.tree.fr = db->fr;
    if (rc != NQ_OK)
        return rc == NQ_NOTFOUND ? NQ_OK : rc;
    c = cursor_of(slice_of(bytes, nq_min(len, sizeof bytes)));
    cursor_get_u32(&c, &db->frees.tree.root);
    if (!cursor_ok(&c) || len != sizeof bytes) {
        log_error("catalog entry \"db.to_free\" is damaged");
        return NQ_ECORRUPT;
    }
    was = frames_set_blocking(db->fr, true);
    rc = btree_count(&db->frees.tree, &db->frees.count);
    (void)frames_set_blocking(db->fr, was);
    return rc;
}
