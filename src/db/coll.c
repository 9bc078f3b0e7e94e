/* db/coll.c - collections: opening, looking up, changing, committing.
 *
 *   C1  nothing is written before coll_begin(); a packed collection is changed
 *       in c->work, laid out as the whole value, until coll_commit() puts it
 *   C2  `packed` points into a page while nothing is changed; the entry's
 *       version tells that others wrote the database since, and that the
 *       record is to be found again
 *   C3  a tree that was changed gets its record written even if the change is
 *       given up: the root in the record is always that of the tree
 *   C4  an empty collection has no tree
 *
 * Called by the type modules of this folder. */
#include "db/coll.h"

#include "base/arena.h"
#include "db/coll_int.h"
#include "db/hold.h"
#include "store/corrupt.h"

#define MAX_PACKED 512     /* items: more make scans long */
#define STALE UINT64_MAX   /* no tree has that version */
#define BUF_KEEP_MAX 65536 /* a larger one is given back to the heap */

/* --- memory, and pages that are missing ---------------------------------- */

struct buf
coll_take_buf(struct db *db)
{
    struct coll_pool *pool = &db->colls;

    return pool->resting > 0 ? pool->bufs[--pool->resting] : BUF_INIT;
}

void
coll_give_buf(struct db *db, struct buf *b)
{
    struct coll_pool *pool = &db->colls;

    if (b->cap == 0)
        return;
    if (pool->resting < nq_countof(pool->bufs) && b->cap <= BUF_KEEP_MAX) {
        buf_clear(b);
        pool->bufs[pool->resting++] = *b;
        *b = BUF_INIT;
    } else {
        buf_fini(b);
    }
}

void
coll_block(struct coll *c)
{
    struct coll_pool *pool = &c->db->colls;

    if (c->is_blocking)
        return;
    c->is_blocking = true;
    if (pool->blocking++ == 0)
        pool->was_blocking = frames_set_blocking(c->db->fr, true);
}

static void
unblock(struct coll *c)
{
    struct coll_pool *pool = &c->db->colls;

    if (!c->is_blocking)
        return;
    c->is_blocking = false;
    if (--pool->blocking == 0)
        (void)frames_set_blocking(c->db->fr, pool->was_blocking);
}

/* --- the record ---------------------------------------------------------- */

/* Where the items of a packed value begin. */
static size_t
items_off(const struct coll *c)
{
    return 1 + (size_t)c->head_len + COLL_PACKED_SIZE;
}

static nq_rc
decode_value(struct coll *c)
{
    const struct record *rec = &c->entry->rec;
    struct coll_value v;
    nq_rc rc = coll_value_decode(rec, &v);

    if (rc != NQ_OK)
        return rc;
    if (v.head.len != c->head_len || v.root >= c->db->fr->ids)
        return NQ_CORRUPT("value of a %s: root %u, head of %zu bytes",
                          db_type_name(c->type), v.root, v.head.len);
    memcpy(c->head, v.head.p, v.head.len);
    c->count = v.count;
    c->is_tree = c->was_tree = v.is_tree;
    c->tree.root = v.root;
    c->packed = v.items;
    c->expire_ms = rec->expire_ms;
    c->flags = (uint8_t)(rec->flags & ~REC_OWNS);
    return NQ_OK;
}

/* Finds the record again. */
static nq_rc
find_again(struct coll *c)
{
    struct entry *e = c->entry;
    nq_rc rc;

    coll_ready(c);
    rc = btree_get(&c->space->tree, c->key, &e->rec, &e->finger);
    if (rc == NQ_OK)
        e->version = db_record_version(c->db, c->space);
    return rc;
}

nq_rc
coll_refresh(struct coll *c)
{
    struct coll_value v;
    nq_rc rc = find_again(c);

    if (rc != NQ_OK || (rc = coll_value_decode(&c->entry->rec, &v)) != NQ_OK)
        return rc;
    nq_assert(v.items.len == c->packed.len);
    c->packed = v.items;
    return NQ_OK;
}

/* --- life ---------------------------------------------------------------- */

/* Field by field: the whole is large, and this is on every path. */
static void
init(struct coll *c)
{
    memset(c->head, 0, c->head_len);
    c->count = c->expire_ms = 0;
    c->flags = 0;
    c->keep_empty = c->may_pack = c->is_tree = c->was_tree = false;
    c->is_changed = c->has_shrunk = c->has_begun = c->is_blocking = false;
    c->in_work = false;
    c->spots_used = c->spot_next = 0;
    c->packed = slice_lit("");
    c->hint = PACKED_NONE;
    c->work = BUF_INIT;
    c->tree = (struct btree){.fr = c->db->fr};
}

nq_rc
coll_open(struct db *db, uint32_t dbi, struct slice key, enum db_type type,
          struct entry *e, bool found, uint8_t head_len, struct coll *out)
{
    nq_rc rc;

    nq_assert(head_len <= COLL_HEAD_MAX);
    out->db = db;
    out->dbi = dbi;
    out->key = key;
    out->type = type;
    out->space = db_space(db, dbi);
    out->entry = e;
    out->head_len = head_len;
    init(out);
    if (!found)
        return NQ_OK;
    if (nq_unlikely(e->version != db_record_version(db, out->space)) &&
        (rc = find_again(out)) != NQ_OK)
        return rc == NQ_NOTFOUND ? NQ_OK : rc; /* gone since: an empty one */
    nq_assert(e->rec.type == type);
    return decode_value(out);
}

static nq_rc store_record(struct coll *c);

/* Changes that nobody committed: those of a packed one, or of a tree just
 * made of it, are forgotten; an older tree cannot go back (C3). */
static void
give_up(struct coll *c)
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

void
coll_close(struct coll *c)
{
    if (nq_unlikely(c->is_changed))
        give_up(c);
    unblock(c);
    coll_give_buf(c->db, &c->work);
}

/* --- looking up ---------------------------------------------------------- */

nq_rc
coll_get(struct coll *c, struct slice key, struct item *out)
{
    struct packed_item it;
    struct record rec;
    nq_rc rc;

    if (c->is_tree) {
        if ((rc = coll_tree_get(c, key, &rec)) != NQ_OK)
            return rc;
        return coll_tree_item(key, &rec, out);
    }
    if ((rc = coll_fresh(c)) != NQ_OK ||
        (rc = packed_get(c->packed, key, &it)) != NQ_OK)
        return rc;
    c->hint = it.off;
    *out = (struct item){it.key, it.val, it.val.len, it.expire_ms, false};
    return NQ_OK;
}

nq_rc
coll_val(struct coll *c, const struct item *it, struct arena *arena,
         struct slice *out)
{
    struct blob_ref ref;
    uint8_t *copy;
    nq_rc rc;

    *out = it->val;
    if (!it->is_blob)
        return NQ_OK;
    coll_ready(c);
    if ((rc = blob_ref_decode(it->val, &ref)) != NQ_OK ||
        (rc = blob_want(c->db->fr, &ref, 0, ref.len)) != NQ_OK)
        return rc;
    copy = arena_alloc(arena, ref.len);
    *out = slice_of(copy, ref.len);
    return blob_read(c->db->fr, &ref, 0, ref.len, copy);
}

/* --- beginning ----------------------------------------------------------- */

nq_rc
coll_want(struct coll *c, const struct slice *keys, unsigned n)
{
    struct record rec;
    nq_rc rc = NQ_OK;

    for (unsigned i = 0; c->is_tree && i < n; i++) {
        nq_rc one = coll_tree_get(c, keys[i], &rec);

        if (one != NQ_OK && one != NQ_NOTFOUND && rc != NQ_MISS)
            rc = one;
        if (rc != NQ_OK && rc != NQ_MISS)
            break;
    }
    return rc;
}

nq_rc
coll_begin(struct coll *c)
{
    nq_rc rc;

    nq_assert(!c->has_begun);
    if (c->is_tree && (rc = hold_check_write(c->db, c->tree.root)) != NQ_OK)
        return rc;
    coll_block(c);
    c->has_begun = true;
    return NQ_OK;
}

/* --- changing ------------------------------------------------------------ */

/* Bytes [off, end) of the packed items give way to `n` others, which are to be
 * written where the result points. */
static uint8_t *
splice(struct coll *c, size_t off, size_t end, size_t n)
{
    size_t head = c->in_work ? c->work_off : items_off(c);
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

/* Whether a packed value of so many items and bytes of them is allowed. */
static bool
fits_packed(const struct coll *c, uint64_t items, size_t len)
{
    return items <= MAX_PACKED &&
           items_off(c) + len <= btree_max_inline(&c->tree);
}

static nq_rc
make_tree(struct coll *c)
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
    return make_tree(c);
}

/* As packed_find(), but of a key that was just got it knows. */
static nq_rc
find_packed(const struct coll *c, struct slice key, struct packed_place *at)
{
    struct packed_item it;
    nq_rc rc;

    if (c->hint >= c->packed.len)
        return packed_find(c->packed, key, at);
    if ((rc = packed_at(c->packed, c->hint, &it)) != NQ_OK)
        return rc;
    if (!slice_eq(it.key, key))
        return packed_find(c->packed, key, at);
    *at = (struct packed_place){.off = it.off, .end = it.end, .found = true};
    return NQ_OK;
}

/* *fits: it was put. */
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
    *fits = fits_packed(c, c->count + !at.found,
                        c->packed.len - (at.end - at.off) + n);
    if (*fits)
        packed_write(splice(c, at.off, at.end, n), key, it->val, it->expire_ms);
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
    if (rc == NQ_OK && !fits)
        rc = coll_tree_put(c, key, &it, &new_here);
    if (rc != NQ_OK)
        return rc;
    c->is_changed = true;
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
        (rc = packed_get(c->packed, key, &it)) != NQ_OK)
        return rc;
    n = packed_info(info, it.val.len, expire_ms);
    from = (size_t)(it.key.p + it.key.len - c->packed.p);
    to = (size_t)(it.val.p - c->packed.p);
    *fits = fits_packed(c, c->count, c->packed.len - (to - from) + n);
    if (*fits)
        memcpy(splice(c, from, to, n), info, n);
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
            rc = packed_get(c->packed, key, &it);
        if (rc == NQ_OK)
            (void)splice(c, it.off, it.end, 0);
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
        rc = packed_find(c->packed, lo, &from);
    if (rc == NQ_OK && hi != NULL)
        rc = packed_find(c->packed, *hi, &to);
    if (rc != NQ_OK || to.off <= from.off)
        return rc;
    *removed = to.rank - nq_min(from.rank, to.rank);
    (void)splice(c, from.off, to.off, 0);
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

/* --- committing ---------------------------------------------------------- */

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
        (void)splice(c, 0, 0, 0);
    if (nq_unlikely(c->work_off != items_off(c)))
        move_items(c, items_off(c));
    coll_value_packed(c->work.p, slice_of(c->head, c->head_len), c->count);
    *out = buf_slice(&c->work);
    return NQ_OK;
}

/* A tree that lost items: none is left (C4), or so few that they fit the
 * record again.  `freed` is what is to be freed once the record is written. */
static void
maybe_pack(struct coll *c, struct btree *freed)
{
    size_t head = items_off(c);
    struct buf b;

    if (!c->is_tree || (c->count != 0 && (!c->may_pack || !c->has_shrunk)))
        return;
    b = coll_take_buf(c->db);
    (void)buf_reserve(&b, head);
    b.len = head;
    if (c->count != 0 &&
        (c->count > MAX_PACKED ||
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

/* Past db_put_record(): the tree of the old record is never to be freed, it
 * went on as this one or was freed when it became empty or packed. */
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

    if (!c->is_tree && !fits_packed(c, c->count, c->packed.len))
        rc = make_tree(c); /* the head has grown */
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
    unblock(c);
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
