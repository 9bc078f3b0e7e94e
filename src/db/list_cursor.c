/* db/list_cursor.c - walking along a list, and looking for elements.
 *
 * The elements of a run (a part of the record, or a chunk) are found one from
 * the other.  Backwards that goes by what leads back, in the record; where
 * the elements of a chunk begin is noted when it is first walked backwards.
 *
 * Called by command handlers, list_edit.c and replay. */
#include "base/arena.h"
#include "base/mem.h"
#include "db/list_int.h"

/* --- runs ---------------------------------------------------------------- */

/* Stands on the element that begins at `off` of the run. */
static nq_rc
stand(struct list_cursor *cu, size_t off, uint32_t nth)
{
    struct piece p;

    cu->off = off;
    cu->nth = nth;
    cu->valid = true;
    if (cu->is_blob)
        return NQ_OK;
    if (nq_unlikely(!piece_at(cu->run, off, &p)))
        return LIST_DAMAGED();
    cu->size = p.size;
    return NQ_OK;
}

static void
enter_part(struct list_cursor *cu, enum list_end part)
{
    bool head = part == LIST_HEAD;
    uint32_t from = head ? cu->start : cu->mid;
    uint32_t to = head ? cu->mid : cu->end;

    cu->where = head ? LIST_IN_HEAD : LIST_IN_TAIL;
    cu->is_blob = false;
    cu->run = slice_of(cu->val.p + from, to - from);
    cu->run_n = (uint32_t)(head ? cu->head_n : cu->tail_n);
}

/* The record of the tree that cu->at stands on. */
static nq_rc
enter_record(struct list_cursor *cu)
{
    struct record rec;
    nq_rc rc;

    if (!cu->at.valid)
        return LIST_DAMAGED();
    if ((rc = btree_record(&cu->at, &rec)) != NQ_OK)
        return rc;
    cu->where = LIST_IN_TREE;
    cu->is_blob = (rec.flags & REC_OWNS) != 0;
    cu->starts_n = 0;
    cu->run = rec.val;
    cu->run_n = 1;
    return cu->is_blob ? NQ_OK : list_chunk_read(&rec, &cu->run, &cu->run_n);
}

static inline size_t
step_size(const struct list_cursor *cu)
{
    return cu->where == LIST_IN_TREE ? cu->size
                                     : cu->size + piece_back_size(cu->size);
}

/* Notes where the elements of the chunk begin. */
static nq_rc
note_starts(struct list_cursor *cu)
{
    struct piece p = {.size = 0};
    size_t at = 0;

    if (cu->starts_cap < cu->run_n) {
        cu->starts_cap = nq_max(cu->run_n, 512u);
        cu->starts =
            nq_realloc(cu->starts, cu->starts_cap * sizeof *cu->starts);
    }
    for (uint32_t i = 0; i < cu->run_n; i++, at += p.size) {
        if (!piece_at(cu->run, at, &p))
            return LIST_DAMAGED();
        cu->starts[i] = (uint16_t)at;
    }
    cu->starts_n = cu->run_n;
    return NQ_OK;
}

/* To the nth element of the run. */
static nq_rc
stand_at(struct list_cursor *cu, uint64_t nth)
{
    nq_rc rc = stand(cu, 0, 0);

    if (nth >= cu->run_n)
        return LIST_DAMAGED();
    while (rc == NQ_OK && cu->nth < nth)
        rc = stand(cu, cu->off + step_size(cu), cu->nth + 1);
    return rc;
}

static nq_rc
stand_last(struct list_cursor *cu)
{
    size_t off = 0;
    nq_rc rc;

    if (cu->is_blob)
        return stand(cu, 0, 0);
    if (cu->where != LIST_IN_TREE) {
        if (!piece_before(cu->run, cu->run.len, &off))
            return LIST_DAMAGED();
    } else {
        if ((rc = note_starts(cu)) != NQ_OK)
            return rc;
        off = cu->starts[cu->run_n - 1];
    }
    return stand(cu, off, cu->run_n - 1);
}

/* --- life ---------------------------------------------------------------- */

nq_rc
list_cursor_init(struct list_cursor *cu, struct db *db, const struct entry *e)
{
    struct list_shape s;
    nq_rc rc = list_shape_of(&e->rec, &s);

    cu->valid = false;
    cu->db = db;
    cu->starts = NULL;
    cu->starts_cap = cu->starts_n = 0;
    cu->tree = (struct btree){.fr = db->fr, .weighted = true};
    btree_cursor_init(&cu->at, &cu->tree);
    if (rc != NQ_OK)
        return rc;
    cu->val = e->rec.val;
    cu->head_n = s.head_n;
    cu->tree_n = s.tree_n;
    cu->tail_n = s.tail_n;
    cu->start = s.start;
    cu->mid = s.mid;
    cu->end = s.end;
    btree_set_root(&cu->tree, s.root);
    return NQ_OK;
}

void
list_cursor_fini(struct list_cursor *cu)
{
    btree_cursor_fini(&cu->at);
    nq_free(cu->starts);
    cu->starts = NULL;
}

/* --- moving -------------------------------------------------------------- */

static nq_rc
seek(struct list_cursor *cu, uint64_t index)
{
    uint64_t within;
    nq_rc rc;

    cu->valid = false;
    if (index >= cu->head_n + cu->tree_n + cu->tail_n)
        return NQ_OK;
    cu->index = index;
    if (index < cu->head_n) {
        enter_part(cu, LIST_HEAD);
        return stand_at(cu, index);
    }
    index -= cu->head_n;
    if (index >= cu->tree_n) {
        enter_part(cu, LIST_TAIL);
        return stand_at(cu, index - cu->tree_n);
    }
    if ((rc = btree_nth_within(&cu->at, index, &within)) != NQ_OK ||
        (rc = enter_record(cu)) != NQ_OK)
        return rc;
    return stand_at(cu, within);
}

nq_rc
list_seek(struct list_cursor *cu, uint64_t index)
{
    bool was = db_calls_begin(cu->db);
    nq_rc rc = seek(cu, index);

    db_calls_end(cu->db, was);
    cu->valid &= rc == NQ_OK;
    return rc;
}

/* To the first element of the next run. */
static nq_rc
next_run(struct list_cursor *cu)
{
    nq_rc rc;

    if (cu->where == LIST_IN_HEAD && cu->tree_n == 0) {
        enter_part(cu, LIST_TAIL);
        return stand(cu, 0, 0);
    }
    rc = cu->where == LIST_IN_HEAD ? btree_first(&cu->at) : btree_next(&cu->at);
    if (rc != NQ_OK)
        return rc;
    if (cu->where == LIST_IN_TREE && !cu->at.valid)
        enter_part(cu, LIST_TAIL);
    else if ((rc = enter_record(cu)) != NQ_OK)
        return rc;
    return stand(cu, 0, 0);
}

/* To the last one of the run before. */
static nq_rc
prev_run(struct list_cursor *cu)
{
    nq_rc rc;

    if (cu->where == LIST_IN_TAIL && cu->tree_n == 0) {
        enter_part(cu, LIST_HEAD);
        return stand_last(cu);
    }
    rc = cu->where == LIST_IN_TAIL ? btree_last(&cu->at) : btree_prev(&cu->at);
    if (rc != NQ_OK)
        return rc;
    if (cu->where == LIST_IN_TREE && !cu->at.valid)
        enter_part(cu, LIST_HEAD);
    else if ((rc = enter_record(cu)) != NQ_OK)
        return rc;
    return stand_last(cu);
}

nq_rc
list_next(struct list_cursor *cu)
{
    bool was;
    nq_rc rc;

    if (nq_likely(cu->nth + 1 < cu->run_n)) {
        cu->index++;
        return stand(cu, cu->off + step_size(cu), cu->nth + 1);
    }
    if (cu->index + 1 >= cu->head_n + cu->tree_n + cu->tail_n) {
        cu->valid = false;
        return NQ_OK;
    }
    was = db_calls_begin(cu->db);
    rc = next_run(cu);
    db_calls_end(cu->db, was);
    cu->index += rc == NQ_OK;
    return rc;
}

nq_rc
list_prev(struct list_cursor *cu)
{
    size_t off;
    bool was;
    nq_rc rc;

    if (cu->index == 0) {
        cu->valid = false;
        return NQ_OK;
    }
    if (nq_likely(cu->nth > 0)) {
        if (cu->where == LIST_IN_TREE) {
            if (cu->starts_n == 0 && (rc = note_starts(cu)) != NQ_OK)
                return rc;
            off = cu->starts[cu->nth - 1];
        } else if (!piece_before(cu->run, cu->off, &off)) {
            return LIST_DAMAGED();
        }
        cu->index--;
        return stand(cu, off, cu->nth - 1);
    }
    was = db_calls_begin(cu->db);
    rc = prev_run(cu);
    db_calls_end(cu->db, was);
    cu->index -= rc == NQ_OK;
    return rc;
}

/* --- elements ------------------------------------------------------------ */

nq_rc
list_item(struct list_cursor *cu, struct list_item *out)
{
    struct piece p;

    nq_dassert(cu->valid);
    out->is_blob = cu->is_blob;
    if (nq_unlikely(cu->is_blob)) {
        out->bytes = slice_of(NULL, 0);
        return blob_ref_decode(cu->run, &out->blob);
    }
    if (!piece_at(cu->run, cu->off, &p))
        return LIST_DAMAGED();
    out->bytes = piece_text(&p, out->text);
    return NQ_OK;
}

/* The outermost element, if it stands in the record. */
static bool
peek(const struct record *rec, const struct list_shape *s, uint64_t index,
     struct list_item *out)
{
    struct slice run = slice_of(rec->val.p, s->end);
    size_t at = s->start;
    struct piece p;
    bool is_first = index == 0 && (s->head_n > 0 || s->tree_n == 0);
    bool is_last =
        index + 1 == list_shape_count(s) && (s->tail_n > 0 || s->tree_n == 0);

    if (!is_first && (!is_last || !piece_before(run, s->end, &at)))
        return false;
    if (!piece_at(run, at, &p))
        return false;
    out->is_blob = false;
    out->bytes = piece_text(&p, out->text);
    return true;
}

nq_rc
list_at(struct db *db, const struct entry *e, uint64_t index,
        struct list_item *out)
{
    struct list_cursor cu;
    struct list_shape s;
    nq_rc rc;

    if (list_shape_of(&e->rec, &s) == NQ_OK &&
        nq_likely(peek(&e->rec, &s, index, out)))
        return NQ_OK;
    if ((rc = list_cursor_init(&cu, db, e)) == NQ_OK)
        rc = list_seek(&cu, index);
    if (rc == NQ_OK)
        rc = cu.valid ? list_item(&cu, out) : NQ_NOTFOUND;
    list_cursor_fini(&cu);
    return rc;
}

nq_rc
list_item_bytes(struct db *db, const struct list_item *it, struct arena *arena,
                struct slice *out)
{
    uint8_t *copy;
    bool was;
    nq_rc rc;

    *out = it->bytes;
    if (!it->is_blob)
        return NQ_OK;
    copy = arena_alloc(arena, it->blob.len);
    *out = slice_of(copy, it->blob.len);
    was = db_calls_begin(db);
    rc = blob_read(db->fr, &it->blob, 0, it->blob.len, copy);
    db_calls_end(db, was);
    return rc;
}

/* --- looking for elements ------------------------------------------------ */

void
list_needle_init(struct list_needle *n, struct db *db, struct slice elem,
                 struct arena *arena)
{
    struct btree tree = {.fr = db->fr};
    uint8_t *p;

    n->elem = elem;
    n->bytes = slice_of(NULL, 0);
    if (elem.len > list_sizes_of(&tree).elem)
        return;
    p = arena_alloc(arena, elem.len + 2);
    n->bytes = slice_of(p, piece_put(p, elem));
}

static nq_rc
is_blob_equal(struct list_cursor *cu, struct slice elem, bool *out)
{
    struct blob_ref ref;
    uint64_t off = 0;
    nq_rc rc = blob_ref_decode(cu->run, &ref);

    *out = rc == NQ_OK && ref.len == elem.len;
    for (uint32_t i = 0; *out && i < ref.chunks; i++) {
        struct slice bytes;
        uint32_t pin;

        if ((rc = blob_chunk(cu->db->fr, &ref, i, &bytes, &pin)) != NQ_OK)
            return rc;
        *out = slice_eq(bytes, slice_of(elem.p + off, bytes.len));
        off += bytes.len;
        frames_unpin(cu->db->fr, pin);
    }
    return rc;
}

nq_rc
list_is_equal(struct list_cursor *cu, const struct list_needle *n, bool *out)
{
    bool was;
    nq_rc rc;

    *out = false;
    if (nq_unlikely(n->bytes.len == 0)) {
        if (!cu->is_blob)
            return NQ_OK;
        was = db_calls_begin(cu->db);
        rc = is_blob_equal(cu, n->elem, out);
        db_calls_end(cu->db, was);
        return rc;
    }
    *out = !cu->is_blob && cu->size == n->bytes.len &&
           memcmp(cu->run.p + cu->off, n->bytes.p, cu->size) == 0;
    return NQ_OK;
}

/* --- marks --------------------------------------------------------------- */

#define MARK_SIZE 12

void
list_marks_fini(struct list_marks *m)
{
    buf_fini(&m->in_tree);
}

/* The last mark, if it is of this chunk. */
static uint8_t *
same_mark(struct list_marks *m, uint64_t label)
{
    struct cursor c;
    uint64_t last;
    uint8_t *p;

    if (m->in_tree.len < MARK_SIZE)
        return NULL;
    p = m->in_tree.p + m->in_tree.len - MARK_SIZE;
    c = cursor_of(slice_of(p, MARK_SIZE));
    cursor_get_u64(&c, &last);
    return last == label ? p + 8 : NULL;
}

nq_rc
list_mark(struct list_marks *m, struct list_cursor *cu)
{
    uint32_t n = 1;
    uint64_t label;
    struct cursor c;
    uint8_t *p;
    nq_rc rc;

    m->n++;
    if (cu->where != LIST_IN_TREE) {
        *(cu->where == LIST_IN_HEAD ? &m->head : &m->tail) += 1;
        return NQ_OK;
    }
    if ((rc = list_label_of(&cu->at, &label)) != NQ_OK)
        return rc;
    p = same_mark(m, label);
    if (p != NULL) {
        c = cursor_of(slice_of(p, 4));
        cursor_get_u32(&c, &n);
        m->in_tree.len -= 4;
        n++;
    } else {
        buf_put_u64(&m->in_tree, label);
    }
    buf_put_u32(&m->in_tree, n);
    return NQ_OK;
}
