/* db/list_edit.c - lists: changes by index: LSET, LINSERT, LTRIM, LREM.
 *
 * An element of the record is changed in the area, one of the tree in its
 * chunk.  When the area has no room, or the element is to be a blob, elements
 * of the record go to the tree until the place is there or there is room.
 *
 * Arguments of the effects:
 *
 *   LSET      varint index | the element
 *   LINSERT   varint index it will have | the element
 *   LTRIM     varint first index kept | varint how many are kept
 *   LREM      u64 how many go, from the tail if negative | the element
 *
 * Called by command handlers and by replay. */
#include "db/list_int.h"

/* --- LSET, LINSERT ------------------------------------------------------- */

struct place {
    bool in_tree;
    enum list_end part; /* valid unless in_tree */
    uint64_t i;         /* there */
};

/* At the border of part and tree an insert goes to the part, if that has
 * elements; a blob always goes to the tree. */
static struct place
find_place(const struct list_work *w, uint64_t index, bool insert, bool is_blob)
{
    uint64_t lo = w->head_n, hi = lo + w->tree_n;
    bool at_lo = w->head_n == 0 && w->tree_n > 0;
    bool at_hi = w->tail_n == 0 && w->tree_n > 0;

    if (!insert) {
        at_lo = true;
        at_hi = false;
    } else if (is_blob) {
        at_lo = at_hi = true;
    }
    if ((index > lo && index < hi) ||
        (index == lo && at_lo && lo < hi + insert) || (index == hi && at_hi))
        return (struct place){.in_tree = true, .i = index - lo};
    if (index < lo || (index == lo && lo > 0 && insert))
        return (struct place){.part = LIST_HEAD, .i = index};
    return (struct place){.part = LIST_TAIL, .i = index - w->tree_n};
}

/* In the area; NQ_AGAIN: elements went to the tree to make room. */
static nq_rc
edit_area(struct list_work *w, const struct place *at, struct slice elem,
          bool insert)
{
    uint32_t size = (uint32_t)piece_size(elem), was = 0, off = w->end;
    uint32_t now = size + (uint32_t)piece_back_size(size);
    uint8_t *dst;
    struct piece p;
    nq_rc rc;

    if (at->i < w->head_n + w->tail_n) {
        if ((rc = list_work_find(w, at->i, &off, &p)) != NQ_OK)
            return rc;
        if (!insert)
            was = (uint32_t)(p.size + piece_back_size(p.size));
    }
    if (now > was && now - was > list_work_free(w)) {
        rc = list_work_need(w, now);
        return rc == NQ_OK ? NQ_AGAIN : rc;
    }
    dst = list_work_splice(w, at->part, off, was, now);
    (void)piece_put(dst, elem);
    (void)piece_put_back(dst + size, size);
    *(at->part == LIST_HEAD ? &w->head_n : &w->tail_n) += insert;
    return NQ_OK;
}

static nq_rc
edit(struct list_work *w, uint64_t index, struct slice elem, bool insert)
{
    bool is_blob = elem.len > w->sizes.elem;
    nq_rc rc = NQ_AGAIN;

    while (rc == NQ_AGAIN) {
        struct place at = find_place(w, index, insert, is_blob);

        if (at.in_tree) {
            rc = list_chunk_edit(w, at.i, elem, insert);
        } else if (is_blob) {
            rc = list_tree_spill(w, at.part);
            rc = rc == NQ_OK ? NQ_AGAIN : rc;
        } else {
            rc = edit_area(w, &at, elem, insert);
        }
    }
    return rc;
}

/* What it takes in a listpack. */
static nq_rc
item_listpack_size(struct db *db, const struct entry *e, uint64_t index,
                   uint64_t *out)
{
    struct list_item it;
    struct piece p;
    nq_rc rc = list_at(db, e, index, &it);

    if (rc != NQ_OK)
        return rc;
    piece_of(it.is_blob ? slice_of(NULL, it.blob.len) : it.bytes, &p);
    *out = piece_listpack_size(&p);
    return NQ_OK;
}

static nq_rc
change(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
       uint64_t index, struct slice elem, bool insert, uint64_t *len)
{
    uint8_t head[10];
    struct slice args[2] = {{head, varint_encode(head, index)}, elem};
    struct list_work w;
    uint64_t was = 0;
    struct piece p;
    nq_rc rc, failed;

    if ((rc = db_may_grow(db)) != NQ_OK ||
        (rc = list_work_open(db, dbi, key, old, true, &w)) != NQ_OK ||
        (rc = list_tree_want_ends(&w)) != NQ_OK ||
        (rc = list_tree_want(&w, index - nq_min(index, w.head_n))) != NQ_OK ||
        (!insert && (rc = item_listpack_size(db, old, index, &was)) != NQ_OK))
        return rc;
    piece_of(elem, &p);
    list_work_grow(&w, elem.len, insert);
    list_work_begin(&w);
    w.is_shrinking = !insert;
    if ((rc = edit(&w, index, elem, insert)) != NQ_OK)
        return list_work_give_up(&w, rc);
    w.lp_bytes += piece_listpack_size(&p) - was;
    *len = list_work_count(&w);
    failed = insert ? NQ_OK : list_tree_settle(&w);
    rc = list_work_commit(&w, insert ? EFFECT_LINSERT : EFFECT_LSET, args, 2,
                          NULL);
    return rc != NQ_OK ? rc : failed;
}

nq_rc
list_set(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
         uint64_t index, struct slice elem)
{
    uint64_t len;
    nq_rc rc = change(db, dbi, key, old, index, elem, false, &len);

    if (rc == NQ_OK)
        db_event(db, dbi, EVENT_LIST, "lset", key);
    return rc;
}

nq_rc
list_insert_at(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
               uint64_t index, struct slice elem, uint64_t *len)
{
    nq_rc rc = change(db, dbi, key, old, index, elem, true, len);

    if (rc == NQ_OK)
        db_event(db, dbi, EVENT_LIST, "linsert", key);
    return rc;
}

/* --- LTRIM --------------------------------------------------------------- */

/* The event, and that the key went. */
static void
tell(struct db *db, uint32_t dbi, struct slice key, const char *event,
     bool is_gone)
{
    db_event(db, dbi, EVENT_LIST, event, key);
    if (is_gone)
        db_event(db, dbi, EVENT_GENERIC, "del", key);
}

static nq_rc
commit_trim(struct list_work *w, uint64_t start, uint64_t n, bool *is_gone)
{
    uint8_t arg[20];
    size_t len = varint_encode(arg, start);
    struct slice args[1];

    len += varint_encode(arg + len, n);
    args[0] = slice_of(arg, len);
    return list_work_commit(w, EFFECT_LTRIM, args, 1, is_gone);
}

nq_rc
list_trim(struct db *db, uint32_t dbi, struct slice key, struct entry *old,
          uint64_t start, uint64_t n)
{
    uint64_t behind, count;
    struct list_work w;
    bool is_gone;
    nq_rc rc, failed;

    if ((rc = list_work_open(db, dbi, key, old, true, &w)) != NQ_OK ||
        (rc = list_tree_want_ends(&w)) != NQ_OK ||
        (rc = list_tree_want(&w, start - nq_min(start, w.head_n))) != NQ_OK ||
        (rc = list_tree_want(&w, start + n - nq_min(start + n, w.head_n))) !=
            NQ_OK)
        return rc;
    count = list_work_count(&w);
    nq_assert(start + n <= count);
    behind = count - start - n;
    list_work_begin(&w);
    failed = list_work_shed(&w, LIST_HEAD, n == 0 ? count : start);
    start = count - list_work_count(&w);
    if (failed == NQ_OK && n > 0)
        failed = list_work_shed(&w, LIST_TAIL, behind);
    rc = commit_trim(&w, start, list_work_count(&w), &is_gone);
    if (rc == NQ_OK)
        tell(db, dbi, key, "ltrim", is_gone);
    return rc != NQ_OK ? rc : failed;
}

/* --- LREM ---------------------------------------------------------------- */

static nq_rc
count_in_area(const struct list_work *w, enum list_end part,
              struct slice needle, uint64_t *out)
{
    uint32_t at = part == LIST_HEAD ? w->start : w->mid;
    uint32_t end = part == LIST_HEAD ? w->mid : w->end;
    struct piece p;

    for (*out = 0; at < end;
         at += (uint32_t)(p.size + piece_back_size(p.size))) {
        if (!piece_at(list_work_run(w), at, &p))
            return LIST_DAMAGED();
        *out += slice_eq(slice_of(w->area + at, p.size), needle);
    }
    return NQ_OK;
}

/* Of the part, `take` elements equal to `needle` go: the first or the last. */
static nq_rc
remove_in_area(struct list_work *w, enum list_end part, struct slice needle,
               uint64_t take, bool last)
{
    uint32_t at = part == LIST_HEAD ? w->start : w->mid;
    uint64_t skip = 0;
    nq_rc rc = last ? count_in_area(w, part, needle, &skip) : NQ_OK;

    skip -= last ? take : 0;
    while (rc == NQ_OK && take > 0) {
        uint32_t size;
        struct piece p;
        bool is_equal;

        if (!piece_at(list_work_run(w), at, &p))
            return LIST_DAMAGED();
        size = (uint32_t)(p.size + piece_back_size(p.size));
        is_equal = slice_eq(slice_of(w->area + at, p.size), needle);
        if (is_equal && skip == 0) {
            (void)list_work_splice(w, part, at, size, 0);
            *(part == LIST_HEAD ? &w->head_n : &w->tail_n) -= 1;
            take--;
            continue;
        }
        skip -= is_equal;
        at += size;
    }
    return rc;
}

static nq_rc
remove_marked(struct list_work *w, const struct list_needle *n,
              const struct list_marks *marks, bool last)
{
    struct cursor c = cursor_of(buf_slice(&marks->in_tree));
    nq_rc rc = NQ_OK;

    if (marks->head > 0)
        rc = remove_in_area(w, LIST_HEAD, n->bytes, marks->head, last);
    if (rc == NQ_OK && marks->tail > 0)
        rc = remove_in_area(w, LIST_TAIL, n->bytes, marks->tail, last);
    while (rc == NQ_OK && cursor_left(&c) > 0) {
        uint64_t label;
        uint32_t take;

        cursor_get_u64(&c, &label);
        cursor_get_u32(&c, &take);
        rc = list_chunk_remove(w, label, n->bytes, take, last);
    }
    w->lp_unknown = true;
    w->is_shrinking = true;
    return rc == NQ_OK ? list_tree_settle(w) : rc;
}

static nq_rc
commit_remove(struct list_work *w, uint64_t count, struct slice elem,
              bool *is_gone)
{
    uint8_t arg[8];
    struct slice args[2] = {{arg, sizeof arg}, elem};

    for (unsigned i = 0; i < sizeof arg; i++)
        arg[i] = (uint8_t)(count >> (8 * i));
    return list_work_commit(w, EFFECT_LREM, args, 2, is_gone);
}

nq_rc
list_remove_marked(struct db *db, uint32_t dbi, struct slice key,
                   struct entry *old, const struct list_needle *n,
                   const struct list_marks *marks, bool last)
{
    struct list_work w;
    uint64_t count;
    bool is_gone;
    nq_rc rc, failed;

    if ((rc = list_work_open(db, dbi, key, old, true, &w)) != NQ_OK ||
        (rc = list_tree_want_ends(&w)) != NQ_OK)
        return rc;
    count = list_work_count(&w);
    list_work_begin(&w);
    failed = remove_marked(&w, n, marks, last);
    count -= list_work_count(&w);
    if (count == 0)
        return list_work_give_up(&w, failed);
    rc = commit_remove(&w, last ? 0 - count : count, n->elem, &is_gone);
    if (rc == NQ_OK)
        tell(db, dbi, key, "lrem", is_gone);
    return rc != NQ_OK ? rc : failed;
}
