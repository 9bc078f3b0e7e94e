/* db/hold.c - which trees are read in slices, and who waits for them.
 *
 * One node a held tree, by its root.  While a tree is held nothing changes
 * it, so its root stays what it is.
 *
 *   H1  a node has at least one hold
 *   H2  a node that a writer asked for takes no further holds, and its end is
 *       told (db_opts.on_release)
 *   H3  after hold_check_all() said NQ_EHELD the same is true of every tree,
 *       until there are no holds at all
 *
 * Called by commands in slices, by the types before they change a tree, and
 * by whoever frees trees. */
#include "db/hold.h"

#include "base/hash.h"
#include "base/mem.h"
#include "db/db_int.h"

struct held {
    struct hash_node node;
    pgno root;
    struct list holds;
    bool is_wanted; /* a writer waits */
};

static bool
is_of_root(const struct hash_node *n, const void *root)
{
    const struct held *held =
        (const struct held *)((const char *)n - offsetof(struct held, node));

    return held->root == *(const pgno *)root;
}

static struct held *
find(const struct db *db, pgno root)
{
    struct hash_node *n;

    if (nq_likely(db->holds.held.count == 0) || root == 0)
        return NULL;
    n = hash_find(&db->holds.held, hash_u64(root), is_of_root, &root);
    return n == NULL ? NULL : nq_container(n, struct held, node);
}

nq_rc
hold_take(struct hold *h, struct db *db, pgno root)
{
    struct held *held = find(db, root);

    nq_assert(h->root == 0 && root != 0);
    if (db->holds.are_all_wanted || (held != NULL && held->is_wanted))
        return NQ_EHELD;
    if (held == NULL) {
        held = nq_calloc(1, sizeof *held);
        held->root = root;
        list_init(&held->holds);
        hash_insert(&db->holds.held, &held->node, hash_u64(root));
    }
    h->db = db;
    h->root = root;
    list_push_back(&held->holds, &h->link);
    return NQ_OK;
}

void
hold_end(struct hold *h)
{
    struct db *db = h->db;
    struct held *held;
    bool is_wanted;

    if (h->root == 0)
        return;
    held = find(db, h->root);
    nq_assert(held != NULL);
    h->root = 0;
    list_remove(&h->link);
    if (!list_empty(&held->holds))
        return;
    is_wanted = held->is_wanted || db->holds.are_all_wanted;
    hash_remove(&db->holds.held, &held->node);
    nq_free(held);
    if (db->holds.held.count == 0)
        db->holds.are_all_wanted = false;
    db_free_released(db);
    if (is_wanted && db->opts.on_release != NULL)
        db->opts.on_release(db->opts.arg);
}

nq_rc
hold_check_write(struct db *db, pgno root)
{
    struct held *held = find(db, root);

    if (nq_likely(held == NULL))
        return NQ_OK;
    held->is_wanted = true;
    return NQ_EHELD;
}

bool
hold_is_any(const struct db *db)
{
    return db->holds.held.count > 0;
}

bool
hold_is_held(struct db *db, pgno root)
{
    return find(db, root) != NULL;
}

bool
hold_is_wanted(const struct hold *h)
{
    const struct held *held = h->root == 0 ? NULL : find(h->db, h->root);

    return held != NULL && (held->is_wanted || h->db->holds.are_all_wanted);
}

nq_rc
hold_check_key(struct db *db, uint32_t dbi, struct slice key)
{
    struct owned owned;
    struct record rec;

    /* A key that cannot be looked up now holds nobody up; the command that
     * wants it will say why. */
    if (nq_likely(db->holds.held.count == 0) ||
        btree_get(&db_space(db, dbi)->tree, key, &rec, NULL) != NQ_OK)
        return NQ_OK;
    db_owned(&rec, &owned);
    if (owned.kind == OWNS_NOTHING)
        return NQ_OK;
    return hold_check_write(db, owned.kind == OWNS_TREE ? owned.root
                                                        : owned.ref.root);
}

nq_rc
hold_check_all(struct db *db)
{
    if (nq_likely(db->holds.held.count == 0))
        return NQ_OK;
    db->holds.are_all_wanted = true;
    return NQ_EHELD;
}

/* The database goes before those who read it. */
static void
let_go(struct hash_node *n, void *arg)
{
    struct hash *all = arg;
    struct held *held = nq_container(n, struct held, node);
    struct list *it;

    while ((it = list_pop_front(&held->holds)) != NULL)
        nq_container(it, struct hold, link)->root = 0;
    hash_remove(all, n);
    nq_free(held);
}

void
db_holds_fini(struct db *db)
{
    hash_each(&db->holds.held, let_go, &db->holds.held);
    hash_fini(&db->holds.held);
}
