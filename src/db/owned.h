/* db/owned.h - what records own besides their place in a leaf, and how that is
 * let go: at once if it is little, else in the background.
 *
 * Private to db/.  Loop thread only.  Freeing cannot fail; pages that cannot
 * be read are given up, with a line in the log. */
#ifndef NQ_DB_OWNED_H
#define NQ_DB_OWNED_H

#include "db/db.h"
#include "store/blob.h"

/* What a record owns besides its place in the leaf: of a key, or of an item
 * in a private tree, whose records have type 0 as strings have. */
struct owned {
    enum { OWNS_NOTHING, OWNS_BLOB, OWNS_TREE } kind;
    struct blob_ref ref; /* OWNS_BLOB */
    pgno root;           /* OWNS_TREE */
};
/* Of a damaged value the pages are given up. */
void db_owned(const struct record *rec, struct owned *out);
bool db_owned_is_same(const struct owned *a, const struct owned *b);
void db_owned_free(struct db *db, const struct owned *o);
/* Whether a key's record has a private tree; its root. */
bool db_record_root(const struct record *rec, pgno *root);
/* Before a db_put() of a record that goes on with the tree of `old`, whose
 * root may have changed, or that has freed it: db_put() frees nothing. */
void db_keep_owned(struct entry *old);
/* For btree_del_range() of a database, or of a private tree, whose records
 * are items: frees what the record owned.  `arg` is the db. */
void db_free_key_record(void *arg, const struct record *rec);
void db_free_item_record(void *arg, const struct record *rec);

/* --- lazyfree.c ---------------------------------------------------------- */

/* What nobody sees any more, freed in slices. */
struct pending_free {
    struct btree tree; /* one record each */
    uint64_t count;
    bool are_held; /* all of them, when they were last looked at */
};
/* On disk, in the order in which they are freed. */
enum free_kind { FREE_BLOB = 1, FREE_TREE = 2, FREE_DATABASE = 3 };

void db_free_later(struct db *db, const struct btree *tree); /* a database's */
void db_free_tree(struct db *db, pgno root);                 /* private */
void db_free_blob(struct db *db, const struct blob_ref *ref);
/* Something that grows, and is to be freed unless its owner lives to finish it:
 * on the list as far as it has grown (told anew when it has grown on) until it
 * is taken off.  Its owner holds it (hold.h). */
void db_free_unless(struct db *db, enum free_kind kind, pgno root,
                    const struct blob_ref *ref);
void db_free_take_off(struct db *db, enum free_kind kind, pgno root);
/* What a record of frees.tree tells. */
NQ_MUST_USE nq_rc db_free_decode(const struct record *rec, enum free_kind *kind,
                                 pgno *root, struct blob_ref *ref);
/* Whether db_free_slice() has something to do. */
bool db_has_frees(const struct db *db);
/* One slice; NQ_AGAIN: there is more.  NQ_MISS: pages were noted. */
NQ_MUST_USE nq_rc db_free_slice(struct db *db, uint64_t until_us);
/* Its root as part of the catalog. */
void db_write_frees(struct db *db);
NQ_MUST_USE nq_rc db_load_frees(struct db *db);
/* A tree is not held any more: if it is to be freed, now it can. */
void db_free_released(struct db *db);

#endif
