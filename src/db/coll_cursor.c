/* db/coll_cursor.c - collections in the order of their keys.
 *
 * Over a tree a cursor is a btree_cursor.  Over a packed collection it is the
 * offset of an item; as those can be read forwards only, the first step
 * backwards notes where all items before it begin (`back`), and further steps
 * take the last of those.
 *
 * The memory of both comes from the database's pool of buffers, so that a
 * cursor costs no heap call.  Called by the type modules of this folder. */
#include "db/coll_int.h"

void
coll_cursor_init(struct coll_cursor *cu, struct coll *c)
{
    cu->c = c;
    cu->valid = false;
    cu->key = slice_lit("");
    cu->off = cu->next = 0;
    cu->back = BUF_INIT;
    cu->at.tree = NULL;
}

/* The tree's cursor, with its key in memory of the pool. */
static struct btree_cursor *
cursor_at(struct coll_cursor *cu)
{
    struct buf key_buf;

    coll_ready(cu->c);
    if (nq_unlikely(cu->at.tree == NULL)) {
        btree_cursor_init(&cu->at, &cu->c->tree);
        key_buf = coll_take_buf(cu->c->db);
        cu->at.key_buf = key_buf.p;
        cu->at.key_cap = key_buf.cap;
    }
    return &cu->at;
}

void
coll_cursor_fini(struct coll_cursor *cu)
{
    struct buf key_buf;

    cu->valid = false;
    coll_give_buf(cu->c->db, &cu->back);
    if (cu->at.tree == NULL)
        return;
    key_buf = (struct buf){cu->at.key_buf, 0, cu->at.key_cap};
    coll_give_buf(cu->c->db, &key_buf);
    cu->at.tree = NULL;
}

/* --- taking a place ------------------------------------------------------ */

/* What a call on the tree's cursor did. */
static nq_rc
took(struct coll_cursor *cu, nq_rc rc)
{
    if (rc != NQ_OK)
        return rc;
    cu->valid = cu->at.valid;
    cu->key = cu->at.key;
    return NQ_OK;
}

/* Onto the packed item at `off`; at the end, or PACKED_NONE: onto none. */
static nq_rc
take_packed(struct coll_cursor *cu, size_t off)
{
    struct packed_item it;
    nq_rc rc = coll_fresh(cu->c);

    if (rc != NQ_OK)
        return rc;
    if (off >= cu->c->packed.len) {
        cu->valid = false;
        cu->key = slice_lit("");
        return NQ_OK;
    }
    if ((rc = packed_at(cu->c->packed, off, &it)) != NQ_OK)
        return rc;
    cu->valid = true;
    cu->key = it.key;
    cu->off = off;
    cu->next = it.end;
    return NQ_OK;
}

/* The same, from somewhere else than one step before or behind. */
static nq_rc
jump_packed(struct coll_cursor *cu, size_t off)
{
    buf_clear(&cu->back);
    return take_packed(cu, off);
}

/* --- seeking ------------------------------------------------------------- */

nq_rc
coll_first(struct coll_cursor *cu)
{
    if (!cu->c->is_tree)
        return jump_packed(cu, 0);
    return took(cu, btree_first(cursor_at(cu)));
}

nq_rc
coll_last(struct coll_cursor *cu)
{
    size_t off;
    nq_rc rc;

    if (!cu->c->is_tree) {
        if ((rc = coll_fresh(cu->c)) == NQ_OK)
            rc = packed_last(cu->c->packed, &off);
        return rc == NQ_OK ? jump_packed(cu, off) : rc;
    }
    return took(cu, btree_last(cursor_at(cu)));
}

nq_rc
coll_seek(struct coll_cursor *cu, struct slice key, bool after)
{
    struct packed_place at;
    nq_rc rc;

    if (!cu->c->is_tree) {
        if ((rc = coll_fresh(cu->c)) != NQ_OK ||
            (rc = coll_packed_find(cu->c, key, &at)) != NQ_OK)
            return rc;
        if (coll_is_by_arrival(cu->c->type) &&
            (!at.found || (key.len == 0 && !after)))
            return jump_packed(cu, 0); /* all keys are at or above "" */
        return jump_packed(cu, after ? at.end : at.off);
    }
    return took(cu, btree_seek(cursor_at(cu), key, after));
}

nq_rc
coll_seek_back(struct coll_cursor *cu, struct slice key, bool before)
{
    struct packed_place at;
    nq_rc rc;

    if (!cu->c->is_tree) {
        if ((rc = coll_fresh(cu->c)) != NQ_OK ||
            (rc = coll_packed_find(cu->c, key, &at)) != NQ_OK)
            return rc;
        return jump_packed(cu, at.found && !before ? at.off : at.before);
    }
    return took(cu, btree_seek_back(cursor_at(cu), key, before));
}

nq_rc
coll_nth(struct coll_cursor *cu, uint64_t n)
{
    size_t off;
    nq_rc rc;

    if (!cu->c->is_tree) {
        if ((rc = coll_fresh(cu->c)) == NQ_OK)
            rc = packed_nth(cu->c->packed, n, &off);
        if (rc != NQ_OK && rc != NQ_NOTFOUND)
            return rc;
        return jump_packed(cu, rc == NQ_OK ? off : PACKED_NONE);
    }
    return took(cu, btree_nth(cursor_at(cu), n));
}

/* --- stepping ------------------------------------------------------------ */

nq_rc
coll_next(struct coll_cursor *cu)
{
    if (!cu->valid)
        return NQ_OK;
    if (!cu->c->is_tree)
        return jump_packed(cu, cu->next);
    return took(cu, btree_next(cursor_at(cu)));
}

/* Where all items before this one begin. */
static nq_rc
note_back(struct coll_cursor *cu)
{
    struct packed_item it;
    nq_rc rc = coll_fresh(cu->c);

    if (rc != NQ_OK)
        return rc;
    if (cu->back.cap == 0)
        cu->back = coll_take_buf(cu->c->db);
    for (size_t off = 0; off < cu->off; off = it.end) {
        if ((rc = packed_at(cu->c->packed, off, &it)) != NQ_OK)
            return rc;
        buf_put_u32(&cu->back, (uint32_t)off);
    }
    return NQ_OK;
}

static nq_rc
prev_packed(struct coll_cursor *cu)
{
    uint32_t off;
    nq_rc rc;

    if (cu->off == 0)
        return take_packed(cu, PACKED_NONE);
    if (cu->back.len == 0 && (rc = note_back(cu)) != NQ_OK)
        return rc;
    cu->back.len -= sizeof off;
    memcpy(&off, cu->back.p + cu->back.len, sizeof off);
    return take_packed(cu, off);
}

nq_rc
coll_prev(struct coll_cursor *cu)
{
    if (!cu->valid)
        return NQ_OK;
    if (!cu->c->is_tree)
        return prev_packed(cu);
    return took(cu, btree_prev(cursor_at(cu)));
}

nq_rc
coll_item(struct coll_cursor *cu, struct item *out)
{
    struct packed_item it;
    struct record rec;
    nq_rc rc;

    if (!cu->valid)
        return NQ_NOTFOUND;
    if (!cu->c->is_tree) {
        if ((rc = coll_fresh(cu->c)) == NQ_OK &&
            (rc = packed_at(cu->c->packed, cu->off, &it)) == NQ_OK)
            *out =
                (struct item){it.key, it.val, it.val.len, it.expire_ms, false};
        return rc;
    }
    if ((rc = btree_record(cursor_at(cu), &rec)) != NQ_OK)
        return rc;
    return coll_tree_item(cu->key, &rec, out);
}

/* --- counting ------------------------------------------------------------ */

nq_rc
coll_rank(struct coll *c, struct slice key, uint64_t *out)
{
    struct packed_place at;
    nq_rc rc;

    *out = 0;
    if (!c->is_tree) {
        if ((rc = coll_fresh(c)) == NQ_OK &&
            (rc = coll_packed_find(c, key, &at)) == NQ_OK)
            *out = at.rank;
        return rc;
    }
    coll_ready(c);
    return btree_rank(&c->tree, key, out);
}

/* What expires in a packed one. */
struct expiries {
    uint64_t due, earliest; /* earliest 0: none */
    size_t due_off;         /* of the first that is due; PACKED_NONE */
};

static nq_rc
scan_expiries(struct coll *c, uint64_t now_ms, struct expiries *out)
{
    struct packed_item it;
    nq_rc rc = coll_fresh(c);

    *out = (struct expiries){.due_off = PACKED_NONE};
    if (rc != NQ_OK)
        return rc;
    for (size_t off = 0; off < c->packed.len; off = it.end) {
        if ((rc = packed_at(c->packed, off, &it)) != NQ_OK)
            return rc;
        if (it.expire_ms == 0)
            continue;
        if (out->earliest == 0 || it.expire_ms < out->earliest)
            out->earliest = it.expire_ms;
        if (it.expire_ms <= now_ms && out->due++ == 0)
            out->due_off = off;
    }
    return NQ_OK;
}

nq_rc
coll_count_due(struct coll *c, uint64_t now_ms, uint64_t *out)
{
    struct expiries found;
    nq_rc rc;

    *out = 0;
    if (!c->is_tree) {
        if ((rc = scan_expiries(c, now_ms, &found)) == NQ_OK)
            *out = found.due;
        return rc;
    }
    coll_ready(c);
    return btree_count_due(&c->tree, slice_lit(""), NULL, now_ms, out);
}

nq_rc
coll_seek_due(struct coll_cursor *cu, uint64_t now_ms)
{
    struct expiries found;
    nq_rc rc;

    if (!cu->c->is_tree) {
        rc = scan_expiries(cu->c, now_ms, &found);
        return rc == NQ_OK ? jump_packed(cu, found.due_off) : rc;
    }
    do
        rc = btree_seek_due(cursor_at(cu), now_ms);
    while (rc == NQ_AGAIN);
    return took(cu, rc);
}

/* The tree's bound may be too early; looking for what should be due then puts
 * it right, each time to a later one. */
static nq_rc
earliest_in_tree(struct coll *c, uint64_t *out)
{
    struct coll_cursor cu;
    nq_rc rc;

    coll_ready(c);
    coll_cursor_init(&cu, c);
    do {
        if ((rc = btree_earliest(&c->tree, out)) == NQ_OK && *out != 0)
            rc = coll_seek_due(&cu, *out);
    } while (rc == NQ_OK && *out != 0 && !cu.valid);
    coll_cursor_fini(&cu);
    return rc;
}

nq_rc
coll_earliest(struct coll *c, uint64_t *out)
{
    struct expiries found;
    nq_rc rc;

    *out = 0;
    if (c->is_tree)
        return earliest_in_tree(c, out);
    if ((rc = scan_expiries(c, 0, &found)) == NQ_OK)
        *out = found.earliest;
    return rc;
}
