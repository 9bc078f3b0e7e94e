/* db/list_work.c - a list being changed: its record taken apart, changed in
 * memory and written back.
 *
 * The area holds the elements of the record one behind the other, the part
 * before the tree and the part behind it, with room at both sides.  A push
 * that finds no room moves all of it; when little is left anyhow, the larger
 * part gives its innermost elements to the tree.
 *
 *   W1  [start, mid) are head_n elements, [mid, end) are tail_n
 *   W2  head, tree and tail, in this order, are the list
 *   W3  unless lp_unknown or is_quick, lp_bytes is what a listpack takes
 *
 * A list whose tree is empty keeps a record of any size; it grows by a
 * quarter and shrinks when three quarters are unused.
 *
 * Called by lists.c and list_edit.c. */
#include "db/list_int.h"

#define ROOM_MIN 8    /* spare bytes of a record without a tree */
#define SHRINK_MIN 64 /* a record shorter than this is left as it is */
#define LITTLE 16     /* of the area: less than this part is no room */

/* --- opening ------------------------------------------------------------- */

/* What the elements of the area take in a listpack. */
static nq_rc
count_listpack(struct list_work *w)
{
    struct piece p;

    for (size_t at = w->start; at < w->end;) {
        if (!piece_at(list_work_run(w), at, &p))
            return LIST_DAMAGED();
        w->lp_bytes += piece_listpack_size(&p);
        at += p.size + piece_back_size(p.size);
    }
    return NQ_OK;
}

static nq_rc
take_record(struct list_work *w)
{
    struct list_shape s;
    nq_rc rc = list_shape_of(&w->old->rec, &s);
    uint32_t used = s.end - s.start;

    if (rc != NQ_OK || used > w->sizes.area)
        return LIST_DAMAGED();
    w->start = (w->sizes.area - used) / 2;
    w->mid = w->start + s.mid - s.start;
    w->end = w->start + used;
    memcpy(w->area + w->start, w->old->rec.val.p + s.start, used);
    w->head_n = s.head_n;
    w->tail_n = s.tail_n;
    w->is_quick = s.is_quick;
    w->tree_n = s.tree_n;
    w->lp_bytes = s.lp_bytes;
    btree_set_root(&w->tree, s.root);
    if (s.has_tree)
        return hold_check_write(w->db, s.root);
    return s.is_quick ? NQ_OK : count_listpack(w);
}

nq_rc
list_work_open(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
               bool found, struct list_work *w)
{
    nq_dassert(found == old->finger.found);
    w->db = db;
    w->dbi = dbi;
    w->key = key;
    w->old = old;
    w->found = found;
    w->tree = (struct btree){.fr = db->fr, .weighted = true};
    w->sizes = list_sizes_of(&w->tree);
    w->lean = LIST_TAIL;
    w->is_quick = w->lp_unknown = w->is_shrinking = false;
    w->tree_n = w->lp_bytes = 0;
    w->start = w->mid = w->end = w->sizes.area / 2;
    w->head_n = w->tail_n = 0;
    return found ? take_record(w) : NQ_OK;
}

void
list_work_begin(struct list_work *w)
{
    w->was_blocking = frames_set_blocking(w->db->fr, true);
    w->tree_was = w->tree_n;
    w->root_was = w->tree.root;
}

/* --- the area ------------------------------------------------------------ */

/* All elements move so that the area begins with `free` unused bytes. */
static void
move_to(struct list_work *w, uint32_t free)
{
    memmove(w->area + free, w->area + w->start, w->end - w->start);
    w->mid = free + w->mid - w->start;
    w->end = free + w->end - w->start;
    w->start = free;
}

/* Three quarters of the room are where elements are being pushed. */
static uint32_t
lean_room(enum list_end lean, uint32_t free)
{
    return lean == LIST_HEAD ? free - free / 4 : free / 4;
}

void
list_work_join(struct list_work *w, enum list_end part)
{
    uint32_t n = w->head_n + w->tail_n;

    if (w->tree_n > 0)
        return;
    w->head_n = part == LIST_HEAD ? n : 0;
    w->tail_n = part == LIST_HEAD ? 0 : n;
    w->mid = part == LIST_HEAD ? w->end : w->start;
}

uint8_t *
list_work_splice(struct list_work *w, enum list_end part, uint32_t at,
                 uint32_t was, uint32_t now)
{
    uint32_t off = at - w->start;

    nq_assert(now <= was || now - was <= list_work_free(w));
    if (now > was && now - was > w->sizes.area - w->end)
        move_to(w, lean_room(w->lean, list_work_free(w) - (now - was)));
    at = w->start + off;
    memmove(w->area + at + now, w->area + at + was, w->end - at - was);
    w->end = w->end + now - was;
    if (part == LIST_HEAD)
        w->mid = w->mid + now - was;
    return w->area + at;
}

void
list_work_push(struct list_work *w, enum list_end part, struct slice elem)
{
    uint32_t size = (uint32_t)piece_size(elem);
    uint32_t need = size + (uint32_t)piece_back_size(size);
    uint32_t free = list_work_free(w) - need;
    uint8_t *p;

    nq_assert(need <= list_work_free(w));
    w->lean = part;
    if (part == LIST_HEAD) {
        if (w->start < need)
            move_to(w, need + lean_room(part, free));
        w->start -= need;
        w->head_n++;
        p = w->area + w->start;
    } else {
        if (w->sizes.area - w->end < need)
            move_to(w, lean_room(part, free));
        p = w->area + w->end;
        w->end += need;
        w->tail_n++;
    }
    (void)piece_put(p, elem);
    (void)piece_put_back(p + size, size);
}

nq_rc
list_work_need(struct list_work *w, uint32_t need)
{
    uint32_t want = nq_min(need + w->sizes.area / LITTLE, w->sizes.area);
    nq_rc rc = NQ_OK;

    while (rc == NQ_OK && list_work_free(w) < want)
        rc = list_tree_spill(
            w, w->mid - w->start > w->end - w->mid ? LIST_HEAD : LIST_TAIL);
    return rc;
}

nq_rc
list_work_find(const struct list_work *w, uint64_t i, uint32_t *at,
               struct piece *out)
{
    struct slice run = list_work_run(w);

    *at = w->start;
    for (;; i--) {
        if (!piece_at(run, *at, out))
            return LIST_DAMAGED();
        if (i == 0)
            return NQ_OK;
        *at += (uint32_t)(out->size + piece_back_size(out->size));
    }
}

/* The outermost element of the part goes; false: there is none. */
static bool
cut_one(struct list_work *w, enum list_end part)
{
    struct slice run = list_work_run(w);
    size_t at = w->start, next;
    struct piece p;

    if (part == LIST_TAIL && !piece_before(run, w->end, &at))
        return false;
    if (!piece_at(run, at, &p))
        return false;
    next = at + p.size + piece_back_size(p.size);
    if (part == LIST_HEAD ? next > w->mid : at < w->mid)
        return false;
    w->lp_bytes -= piece_listpack_size(&p);
    if (part == LIST_HEAD) {
        w->start = (uint32_t)next;
        w->head_n--;
    } else {
        w->end = (uint32_t)at;
        w->tail_n--;
    }
    return true;
}

nq_rc
list_work_cut(struct list_work *w, enum list_end part, uint64_t n)
{
    for (n = nq_min(n, part == LIST_HEAD ? w->head_n : w->tail_n); n > 0; n--)
        if (!cut_one(w, part))
            return LIST_DAMAGED();
    return NQ_OK;
}

nq_rc
list_work_shed(struct list_work *w, enum list_end end, uint64_t n)
{
    uint64_t most = list_work_count(w), left = most - nq_min(n, most);
    nq_rc rc;

    w->is_shrinking = true;
    list_work_join(w, end);
    if ((rc = list_work_cut(w, end, n)) != NQ_OK)
        return rc;
    n = list_work_count(w) - left;
    if ((rc = list_tree_cut(w, end, nq_min(n, w->tree_n))) != NQ_OK)
        return rc;
    list_work_join(w, end);
    if ((rc = list_work_cut(w, end, list_work_count(w) - left)) != NQ_OK)
        return rc;
    return list_tree_settle(w);
}

void
list_work_grow(struct list_work *w, uint64_t raw, uint64_t n)
{
    if (!w->is_quick)
        w->is_quick = list_is_over_limit(w->db, w->lp_bytes + raw,
                                         list_work_count(w) + n, false);
}

/* --- writing ------------------------------------------------------------- */

/* A list that got small again is a listpack, as in Redis; and what is none
 * must know how long it would be. */
static nq_rc
settle_encoding(struct list_work *w)
{
    nq_rc rc = NQ_OK;

    if (w->is_quick && w->tree_n > 0)
        return NQ_OK;
    if (w->is_quick || w->lp_unknown) {
        w->lp_bytes = 0;
        if ((rc = count_listpack(w)) == NQ_OK)
            rc = list_tree_count_listpack(w);
    }
    if (w->is_quick && rc == NQ_OK && w->is_shrinking)
        w->is_quick =
            list_is_over_limit(w->db, w->lp_bytes, list_work_count(w), true);
    w->lp_unknown = false;
    return rc;
}

/* How long the record is to be. */
static uint32_t
record_len(const struct list_work *w)
{
    uint32_t used = LIST_HEADER + w->end - w->start, len;

    if (w->tree_n > 0)
        return w->sizes.record;
    if (w->found && (w->old->rec.flags & REC_OWNS) == 0) {
        len = (uint32_t)w->old->rec.val.len;
        if (used <= len && (len < SHRINK_MIN || used > len / 4))
            return len;
    }
    /* What fits here must fit a record with a tree. */
    return nq_min(used + used / 4 + ROOM_MIN, w->sizes.record - LIST_TRAILER);
}

static void
write_record(const struct list_work *w, uint8_t *val, uint32_t len)
{
    bool has_tree = w->tree_n > 0;
    uint32_t used = w->end - w->start;
    struct list_shape s = {.room = len - (has_tree ? LIST_TRAILER : 0),
                           .head_n = w->head_n,
                           .tail_n = w->tail_n,
                           .is_quick = w->is_quick,
                           .has_tree = has_tree,
                           .lp_bytes = w->is_quick ? 0 : (uint32_t)w->lp_bytes,
                           .tree_n = w->tree_n,
                           .root = w->tree.root};

    s.start =
        LIST_HEADER +
        (has_tree ? w->start : lean_room(w->lean, len - LIST_HEADER - used));
    s.mid = s.start + w->mid - w->start;
    s.end = s.start + used;
    memcpy(val + s.start, w->area + w->start, used);
    list_shape_put(val, len, &s);
}

/* Where it was, if it is as long and owns a tree as before. */
static nq_rc
put_record(struct list_work *w)
{
    struct keyspace *ks = db_space(w->db, w->dbi);
    bool has_tree = w->tree_n > 0;
    bool had_tree = w->found && (w->old->rec.flags & REC_OWNS) != 0;
    uint32_t len = record_len(w);
    uint8_t room[LIST_RECORD_MAX], *val;
    struct record rec = {.type = DB_LIST,
                         .flags = has_tree ? REC_OWNS : 0,
                         .val = slice_of(room, len),
                         .expire_ms = w->found ? w->old->rec.expire_ms : 0};
    size_t old_len;
    nq_rc rc;

    if (w->found && had_tree == has_tree && len == w->old->rec.val.len) {
        rc = db_patch(w->db, w->dbi, w->key, w->old, &val, &old_len);
        if (rc == NQ_OK)
            write_record(w, val, len);
        return rc;
    }
    memset(room, 0, len);
    write_record(w, room, len);
    if (w->found)
        db_keep_owned(w->old); /* the tree goes on, or is gone */
    rc = db_put_record(w->db, ks, w->key, &rec, w->old);
    if (rc != NQ_OK && has_tree && !had_tree)
        db_free_tree(w->db, w->tree.root);
    return rc;
}

nq_rc
list_work_give_up(struct list_work *w, nq_rc why)
{
    nq_rc rc = w->tree_n != w->tree_was || w->tree.root != w->root_was
                   ? put_record(w)
                   : NQ_OK;

    (void)frames_set_blocking(w->db->fr, w->was_blocking);
    return rc != NQ_OK ? rc : why;
}

/* The tree went before. */
static nq_rc
remove_key(struct list_work *w)
{
    struct keyspace *ks = db_space(w->db, w->dbi);
    nq_rc rc = btree_del(&ks->tree, w->key, &w->old->finger);

    if (rc == NQ_OK)
        db_count_expiry(ks, db_expiry_kind(&w->old->rec), -1);
    return rc;
}

nq_rc
list_work_commit(struct list_work *w, uint8_t effect, const struct slice *args,
                 unsigned nargs, bool *is_gone)
{
    struct keyspace *ks = db_space(w->db, w->dbi);
    bool goes = list_work_count(w) == 0;
    nq_rc rc;

    nq_assert((w->tree_n > 0) == (w->tree.root != 0));
    if (is_gone != NULL)
        *is_gone = goes;
    if (goes) {
        rc = remove_key(w);
    } else {
        rc = settle_encoding(w);
        if (rc == NQ_OK)
            rc = put_record(w);
    }
    (void)frames_set_blocking(w->db->fr, w->was_blocking);
    if (rc != NQ_OK)
        return rc;
    rc = db_log(w->db, w->dbi, effect, w->key, args, nargs);
    if (goes)
        ks->removed = ks->changed;
    if (rc == NQ_OK && !w->found)
        db_event(w->db, w->dbi, EVENT_NEW, "new", w->key);
    return rc;
}
