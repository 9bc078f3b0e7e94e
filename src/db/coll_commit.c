/* db/coll_commit.c - a changed collection becomes its record again.
 *
 * The record is written past db_put_record(): the tree of the old one is never
 * to be freed for it, as it went on in the new one, or was freed when it
 * became empty or packed.
 *
 * Called by the type modules of this folder. */
#include "db/coll_int.h"
#include "store/corrupt.h"

#define STALE UINT64_MAX /* a version that no database has */

/* The type has made its head longer or shorter. */
static void
move_items(struct coll *c, size_t off)
{
    struct buf *b = &c->work;

    (void)buf_reserve(b, COLL_HEAD_MAX);
    memmove(b->p + off, b->p + c->work_off, c->packed.len);
    b->len = off + c->packed.len;
    c->work_off = (uint8_t)off;
    c->packed = slice_of(b->p + off, c->packed.len);
}

static nq_rc
encode_packed(struct coll *c, struct slice *out)
{
    nq_rc rc = coll_fresh(c);

    if (rc != NQ_OK)
        return rc;
    if (!c->in_work)
        (void)coll_splice(c, 0, 0, 0);
    if (nq_unlikely(c->work_off != coll_items_off(c)))
        move_items(c, coll_items_off(c));
    coll_value_packed(c->work.p, slice_of(c->head, c->head_len), c->count);
    *out = buf_slice(&c->work);
    return NQ_OK;
}

/* A tree that lost items: none is left (C4), or so few that they fit the
 * record again.  `freed` is what is to be freed once the record is written. */
static void
maybe_pack(struct coll *c, struct btree *freed)
{
    size_t head = coll_items_off(c);
    struct buf b;

    if (!c->is_tree || (c->count != 0 && (!c->may_pack || !c->has_shrunk)))
        return;
    b = coll_take_buf(c->db);
    (void)buf_reserve(&b, head);
    b.len = head;
    if (c->count != 0 &&
        (!coll_fits_packed(c, c->count, 0) ||
         !coll_tree_pack(c, btree_max_inline(&c->tree) - head, &b))) {
        coll_give_buf(c->db, &b);
        return;
    }
    coll_give_buf(c->db, &c->work);
    c->work = b;
    c->work_off = (uint8_t)head;
    c->in_work = true;
    c->is_tree = false;
    c->packed = slice_of(b.p + head, b.len - head);
    *freed = c->tree;
    btree_set_root(&c->tree, 0);
}

/* Only the value changed, and not its length, as that of a tree never does:
 * written where it stands. */
static nq_rc
patch_record(struct coll *c, struct slice val)
{
    uint8_t *p;
    size_t len;
    nq_rc rc =
        btree_patch(&c->space->tree, c->key, &c->entry->finger, &p, &len);

    if (rc != NQ_OK)
        return rc;
    nq_assert(len == val.len);
    memcpy(p, val.p, len);
    c->db->patches++;
    return NQ_OK;
}

static nq_rc
put_record(struct coll *c, const struct record *rec)
{
    struct keyspace *ks = c->space;
    struct entry *e = c->entry;
    bool expired = e->finger.found && e->rec.expire_ms != 0;
    nq_rc rc = btree_put(&ks->tree, c->key, rec, &e->finger);

    if (rc == NQ_OK)
        ks->expires += (uint64_t)(rec->expire_ms != 0) - (uint64_t)expired;
    return rc;
}

static nq_rc
remove_record(struct coll *c)
{
    struct keyspace *ks = c->space;
    struct entry *e = c->entry;
    nq_rc rc;

    if (!e->finger.found)
        return NQ_OK;
    if ((rc = btree_del(&ks->tree, c->key, &e->finger)) != NQ_OK)
        return rc;
    ks->expires -= e->rec.expire_ms != 0;
    e->finger = (struct finger){0};
    return NQ_OK;
}

static bool
is_same_but_value(const struct coll *c, const struct record *rec)
{
    const struct entry *e = c->entry;

    return e->finger.found && e->rec.flags == rec->flags &&
           e->rec.type == rec->type && e->rec.expire_ms == rec->expire_ms &&
           e->rec.val.len == rec->val.len;
}

static nq_rc
write_record(struct coll *c)
{
    uint8_t room[1 + COLL_HEAD_MAX + COLL_TREE_SIZE];
    struct slice head = {c->head, c->head_len};
    struct record rec = {.type = (uint8_t)c->type,
                         .flags = c->flags,
                         .expire_ms = nq_min(c->expire_ms, DB_FOREVER)};
    struct entry *e = c->entry;
    nq_rc rc = NQ_OK;

    if (!c->is_tree && !coll_fits_packed(c, c->count, c->packed.len))
        rc = coll_grow(c); /* the head has grown */
    if (c->is_tree) {
        rec.val = coll_value_tree(room, head, c->count, c->tree.root);
        rec.flags |= REC_OWNS;
    } else if (rc == NQ_OK) {
        rc = encode_packed(c, &rec.val);
    }
    if (rc != NQ_OK)
        return rc;
    rc = is_same_but_value(c, &rec) ? patch_record(c, rec.val)
                                    : put_record(c, &rec);
    if (rc != NQ_OK)
        return rc;
    e->rec = rec;
    e->rec.val.p = NULL;
    return NQ_OK;
}

/* The record could not be written: the tree goes on. */
static void
take_back(struct coll *c, const struct btree *tree)
{
    c->tree = *tree;
    c->is_tree = true;
    c->packed = slice_lit("");
    c->in_work = false;
    coll_give_buf(c->db, &c->work);
}

static nq_rc
store_record(struct coll *c)
{
    struct btree freed = {.root = 0};
    bool is_gone;
    nq_rc rc;

    maybe_pack(c, &freed);
    is_gone = c->count == 0 && !c->keep_empty;
    rc = is_gone ? remove_record(c) : write_record(c);
    c->entry->version = STALE;
    if (rc != NQ_OK) {
        if (freed.root != 0)
            take_back(c, &freed);
        return rc;
    }
    if (freed.root != 0)
        db_free_tree(c->db, freed.root);
    c->was_tree = c->is_tree;
    c->is_changed = c->has_shrunk = false;
    return NQ_OK;
}

void
coll_give_up(struct coll *c)
{
    nq_rc rc = NQ_OK;

    if (c->was_tree) {
        c->keep_empty = true;
        rc = store_record(c);
    } else if (c->is_tree) {
        coll_tree_drop(c);
    }
    if (rc != NQ_OK)
        (void)NQ_CORRUPT("a %s lost its tree: %s", db_type_name(c->type),
                         rc_text(rc));
}

nq_rc
coll_commit(struct coll *c, uint8_t effect, const struct slice *args,
            unsigned nargs, bool *is_gone)
{
    struct keyspace *ks = c->space;
    bool was_there = c->entry->finger.found, is_there;
    nq_rc rc;

    nq_assert(c->has_begun);
    rc = store_record(c);
    is_there = c->entry->finger.found;
    c->has_begun = false;
    coll_unblock(c);
    if (rc == NQ_OK && (was_there || is_there))
        rc = db_log(c->db, c->dbi, effect, c->key, args, nargs);
    if (was_there && !is_there)
        ks->removed = ks->changed;
    if (rc == NQ_OK && is_there && !was_there)
        db_event(c->db, c->dbi, EVENT_NEW, "new", c->key);
    if (is_gone != NULL)
        *is_gone = was_there && !is_there;
    return rc;
}
