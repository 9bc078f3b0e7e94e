/* db/owned.c - what records refer to besides their place in the leaf.
 *
 * Two kinds of record have REC_OWNS, and they must not be mixed up:
 *
 *   of a key    a string's value is a blob reference; any other type's has
 *               the root of a private tree (db_record_root)
 *   of an item  in a private tree: the value is a blob reference
 *
 * Called by whoever replaces or removes records. */
#include "db/owned.h"

#include "base/log.h"
#include "db/coll.h"
#include "db/db_int.h"

bool
db_record_root(const struct record *rec, pgno *root)
{
    return coll_record_root(rec, root);
}

/* Deleting or replacing it is the way to get rid of a damaged one. */
static void
give_up(void)
{
    log_error("pages of a damaged value stay in use after it is gone");
}

void
db_owned(const struct record *rec, struct owned *out)
{
    out->kind = OWNS_NOTHING;
    if (nq_likely((rec->flags & REC_OWNS) == 0))
        return;
    if (rec->type == DB_STRING) {
        if (blob_ref_decode(rec->val, &out->ref) == NQ_OK)
            out->kind = OWNS_BLOB;
    } else if (db_record_root(rec, &out->root)) {
        out->kind = OWNS_TREE;
    }
    if (out->kind == OWNS_NOTHING)
        give_up();
}

bool
db_owned_is_same(const struct owned *a, const struct owned *b)
{
    if (a->kind != b->kind || a->kind == OWNS_NOTHING)
        return false;
    return a->kind == OWNS_BLOB ? a->ref.root == b->ref.root
                                : a->root == b->root;
}

void
db_owned_free(struct db *db, const struct owned *o)
{
    if (nq_likely(o->kind == OWNS_NOTHING))
        return;
    if (o->kind == OWNS_BLOB)
        db_free_blob(db, &o->ref);
    else
        db_free_tree(db, o->root);
}

void
db_keep_owned(struct entry *old)
{
    old->rec.flags &= (uint8_t)~REC_OWNS;
}

void
db_free_key_record(void *arg, const struct record *rec)
{
    struct owned owned;

    db_owned(rec, &owned);
    db_owned_free(arg, &owned);
}

void
db_free_item_record(void *arg, const struct record *rec)
{
    struct blob_ref ref;

    if (blob_ref_decode(rec->val, &ref) == NQ_OK)
        db_free_blob(arg, &ref);
    else
        give_up();
}
