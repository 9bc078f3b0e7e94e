/* db/coll_change.c - putting items into a collection and taking them out.
 *
 * A packed one is copied into c->work by its first change and changed there,
 * laid out as the whole value: room for what comes before the items, then the
 * items.  What does not fit becomes a tree.  Nothing of a packed one is
 * written before coll_commit(); a tree is changed where it is.
 *
 * Called by the type modules of this folder. */
#include "db/coll_int.h"

#define MAX_PACKED 512 /* items: more make scans long */

uint8_t *
coll_splice(struct coll *c, size_t off, size_t end, size_t n)
{
    size_t head = c->in_work ? c->work_off : coll_items_off(c);
    size_t behind = c->packed.len - end, len = off + n + behind;
    uint8_t *items;

    if (c->in_work) {
        items = buf_reserve(&c->work, n) - c->packed.len;
        memmove(items + off + n, items + end, behind);
    } else {
        c->work = coll_take_buf(c->db);
        items = buf_reserve(&c->work, head + len) + head;
        memcpy(items, c->packed.p, off);
        memcpy(items + off + n, c->packed.p + end, behind);
        c->in_work = true;
        c->work_off = (uint8_t)head;
    }
    c->work.len = head + len;
    c->packed = slice_of(items, len);
    c->hint = PACKED_NONE;
    return items + off;
}

bool
coll_fits_packed(const struct coll *c, uint64_t items, size_t len)
{
    return items <= MAX_PACKED &&
           coll_items_off(c) + len <= btree_max_inline(&c->tree);
}

nq_rc
coll_grow(struct coll *c)
{
    nq_rc rc;

    if ((rc = coll_fresh(c)) != NQ_OK ||
        (rc = coll_tree_build(c, c->packed)) != NQ_OK)
        return rc;
    c->is_tree = true;
    c->packed = slice_lit("");
    c->in_work = false;
    coll_give_buf(c->db, &c->work);
    return NQ_OK;
}

nq_rc
coll_make_tree(struct coll *c)
{
    nq_assert(c->has_begun);
    if (c->is_tree)
        return NQ_OK;
    c->is_changed = true;
    return coll_grow(c);
}

nq_rc
coll_packed_find(const struct coll *c, struct slice key,
                 struct packed_place *out)
{
    struct packed_item it;
    nq_rc rc;

    if (!coll_is_by_arrival(c->type))
        return packed_find(c->packed, key, out);
    rc = packed_get(c->packed, key, &it);
    *out = (struct packed_place){
        .off = c->packed.len, .end = c->packed.len, .before = PACKED_NONE};
    if (rc == NQ_OK)
        *out = (struct packed_place){
            .off = it.off, .end = it.end, .before = PACKED_NONE, .found = true};
    return rc == NQ_NOTFOUND ? NQ_OK : rc;
}

/* Whether the item that was got last is the one with this key. */
static bool
is_at_hint(const struct coll *c, struct slice key, struct packed_item *it)
{
    return c->hint < c->packed.len &&
           packed_at(c->packed, c->hint, it) == NQ_OK && slice_eq(it->key, key);
}

static nq_rc
find_packed(const struct coll *c, struct slice key, struct packed_place *at)
{
    struct packed_item it;

    if (!is_at_hint(c, key, &it))
        return coll_packed_find(c, key, at);
    *at = (struct packed_place){.off = it.off, .end = it.end, .found = true};
    return NQ_OK;
}

static nq_rc
get_packed(const struct coll *c, struct slice key, struct packed_item *it)
{
    return is_at_hint(c, key, it) ? NQ_OK : packed_get(c->packed, key, it);
}

/* Whether just this item stands there already. */
static bool
is_same_packed(const struct coll *c, size_t off, const struct item *it)
{
    struct packed_item now;

    return packed_at(c->packed, off, &now) == NQ_OK &&
           now.expire_ms == it->expire_ms && slice_eq(now.val, it->val);
}

/* *fits: it is there now. */
static nq_rc
put_packed(struct coll *c, struct slice key, const struct item *it,
           bool *is_new, bool *fits)
{
    size_t n = packed_size(key, it->val, it->expire_ms);
    struct packed_place at;
    nq_rc rc;

    if ((rc = coll_fresh(c)) != NQ_OK ||
        (rc = find_packed(c, key, &at)) != NQ_OK)
        return rc;
    *is_new = !at.found;
    *fits = coll_fits_packed(c, c->count + !at.found,
                             c->packed.len - (at.end - at.off) + n);
    if (!*fits || (at.found && is_same_packed(c, at.off, it)))
        return NQ_OK;
    packed_write(coll_splice(c, at.off, at.end, n), key, it->val,
                 it->expire_ms);
    c->is_changed = true;
    return NQ_OK;
}

nq_rc
coll_put(struct coll *c, struct slice key, struct slice val, uint64_t expire_ms,
         bool *is_new)
{
    struct item it = {.val = val, .expire_ms = nq_min(expire_ms, DB_FOREVER)};
    bool fits = false, new_here;
    nq_rc rc = NQ_OK;

    nq_assert(c->has_begun);
    if (key.len > BTREE_MAX_KEY)
        return NQ_EKEYLEN;
    if (!c->is_changed && (rc = db_may_grow(c->db)) != NQ_OK)
        return rc;
    if (!c->is_tree)
        rc = put_packed(c, key, &it, &new_here, &fits);
    if (rc == NQ_OK && !fits && !c->is_tree)
        rc = coll_make_tree(c);
    if (rc == NQ_OK && !fits) {
        rc = coll_tree_put(c, key, &it, &new_here);
        c->is_changed |= rc == NQ_OK;
    }
    if (rc != NQ_OK)
        return rc;
    c->count += new_here;
    if (is_new != NULL)
        *is_new = new_here;
    return NQ_OK;
}

/* What is said of the value is written anew, the value itself is moved. */
static nq_rc
set_packed_expire(struct coll *c, struct slice key, uint64_t expire_ms,
                  bool *fits)
{
    uint8_t info[PACKED_INFO_MAX];
    struct packed_item it;
    size_t n, from, to;
    nq_rc rc;

    if ((rc = coll_fresh(c)) != NQ_OK ||
        (rc = get_packed(c, key, &it)) != NQ_OK)
        return rc;
    n = packed_info(info, it.val.len, expire_ms);
    from = (size_t)(it.key.p + it.key.len - c->packed.p);
    to = (size_t)(it.val.p - c->packed.p);
    *fits = coll_fits_packed(c, c->count, c->packed.len - (to - from) + n);
    if (*fits)
        memcpy(coll_splice(c, from, to, n), info, n);
    return NQ_OK;
}

nq_rc
coll_set_expire(struct coll *c, struct slice key, uint64_t expire_ms)
{
    bool fits = false;
    nq_rc rc = NQ_OK;

    nq_assert(c->has_begun);
    expire_ms = nq_min(expire_ms, DB_FOREVER);
    if (!c->is_changed && (rc = db_may_grow(c->db)) != NQ_OK)
        return rc;
    if (!c->is_tree)
        rc = set_packed_expire(c, key, expire_ms, &fits);
    if (rc == NQ_OK && !fits && !c->is_tree)
        rc = coll_make_tree(c);
    if (rc == NQ_OK && !fits)
        rc = coll_tree_set_expire(c, key, expire_ms);
    c->is_changed |= rc == NQ_OK;
    return rc;
}

/* `n` items went; the tree alone knows if that was all. */
static void
note_removed(struct coll *c, uint64_t n)
{
    c->is_changed = c->has_shrunk = true;
    c->count -= nq_min(n, c->count);
    if (c->is_tree && c->tree.root == 0)
        c->count = 0;
}

nq_rc
coll_del(struct coll *c, struct slice key)
{
    struct packed_item it;
    nq_rc rc;

    nq_assert(c->has_begun);
    if (c->is_tree) {
        rc = coll_tree_del(c, key);
    } else {
        if ((rc = coll_fresh(c)) == NQ_OK)
            rc = get_packed(c, key, &it);
        if (rc == NQ_OK)
            (void)coll_splice(c, it.off, it.end, 0);
    }
    if (rc == NQ_OK)
        note_removed(c, 1);
    return rc;
}

static nq_rc
del_packed_range(struct coll *c, struct slice lo, const struct slice *hi,
                 uint64_t *removed)
{
    struct packed_place from, to = {.off = c->packed.len, .rank = c->count};
    nq_rc rc = coll_fresh(c);

    if (rc == NQ_OK)
        rc = coll_packed_find(c, lo, &from);
    if (rc == NQ_OK && hi != NULL)
        rc = coll_packed_find(c, *hi, &to);
    if (rc != NQ_OK || to.off <= from.off)
        return rc;
    *removed = to.rank - nq_min(from.rank, to.rank);
    (void)coll_splice(c, from.off, to.off, 0);
    return NQ_OK;
}

nq_rc
coll_del_range(struct coll *c, struct slice lo, const struct slice *hi,
               uint64_t *removed)
{
    nq_rc rc;

    nq_assert(c->has_begun);
    *removed = 0;
    if (hi != NULL && slice_cmp(lo, *hi) >= 0)
        return NQ_OK;
    rc = c->is_tree ? coll_tree_del_range(c, lo, hi, removed)
                    : del_packed_range(c, lo, hi, removed);
    if (*removed > 0)
        note_removed(c, *removed);
    return rc;
}
