/* db/list_chunk.c - the tree of a long list: changes in its middle.
 *
 * The record of an element is written anew with what changed; if that is too
 * much for one chunk, it becomes two or three, whose labels lie between the
 * old one and the next.  When there are none left in between, the records
 * around get new labels, so many of them that the gaps are wide again.
 *
 *   C1  a chunk is not empty; its elements take at most sizes.chunk bytes, or
 *       it is one element
 *   C2  with what leads back, they take at most sizes.area bytes, so a chunk
 *       always fits an empty area
 *
 * Called by list_edit.c and list_tree.c. */
#include "base/mem.h"
#include "db/list_int.h"

#define PARTS_MAX 8
#define WINDOW_MIN 16 /* records that get new labels, at least */
#define GAP_MIN 4096  /* between two of them */
#define CUT_BUDGET 4096

/* --- labels -------------------------------------------------------------- */

/* Records to be labelled anew, and the labels that they lie between. */
struct window {
    struct buf records; /* each: u8 flags | varint length | val */
    uint64_t below, above;
    uint64_t first, last; /* labels as they are */
    uint64_t n;
};

static nq_rc
window_add(struct window *v, struct btree_cursor *c)
{
    struct record rec;
    uint64_t label;
    nq_rc rc = list_label_of(c, &label);

    if (rc != NQ_OK || (rc = btree_record(c, &rec)) != NQ_OK)
        return rc;
    if (v->n++ == 0)
        v->first = label;
    v->last = label;
    buf_put_u8(&v->records, rec.flags);
    buf_put_varint(&v->records, rec.val.len);
    buf_put_slice(&v->records, rec.val);
    return NQ_OK;
}

/* About `size` records around `label`. */
static nq_rc
window_collect(struct list_work *w, uint64_t label, uint64_t size,
               struct window *v)
{
    struct btree_cursor c;
    uint8_t key[LIST_LABEL];
    uint64_t back = size / 2;
    nq_rc rc;

    buf_clear(&v->records);
    v->below = 0;
    v->above = UINT64_MAX;
    v->n = 0;
    list_label_put(key, label);
    btree_cursor_init(&c, &w->tree);
    rc = btree_seek(&c, slice_of(key, sizeof key), false);
    while (rc == NQ_OK && c.valid && back-- > 0)
        rc = btree_prev(&c);
    if (rc == NQ_OK && !c.valid) {
        rc = btree_first(&c);
    } else if (rc == NQ_OK) {
        rc = list_label_of(&c, &v->below);
        if (rc == NQ_OK)
            rc = btree_next(&c);
    }
    for (; rc == NQ_OK && c.valid && v->n < size; rc = btree_next(&c))
        if ((rc = window_add(v, &c)) != NQ_OK)
            break;
    if (rc == NQ_OK && c.valid)
        rc = list_label_of(&c, &v->above);
    btree_cursor_fini(&c);
    return rc;
}

static nq_rc
window_remove(struct list_work *w, const struct window *v)
{
    uint8_t lo_key[LIST_LABEL], hi_key[LIST_LABEL];
    struct slice hi = slice_of(hi_key, sizeof hi_key);
    uint64_t removed;
    bool done = false;
    nq_rc rc = NQ_OK;

    list_label_put(lo_key, v->first);
    list_label_put(hi_key, v->above);
    while (rc == NQ_OK && !done)
        rc = btree_del_range(&w->tree, slice_of(lo_key, sizeof lo_key),
                             v->last == UINT64_MAX ? NULL : &hi, CUT_BUDGET,
                             NULL, NULL, &removed, &done);
    return rc;
}

static nq_rc
window_write(struct list_work *w, const struct window *v)
{
    struct cursor c = cursor_of(buf_slice(&v->records));
    uint64_t gap = (v->above - v->below) / (v->n + 1);
    uint64_t label = v->below;
    uint8_t key[LIST_LABEL];
    nq_rc rc = NQ_OK;

    while (rc == NQ_OK && cursor_left(&c) > 0) {
        struct record rec = {.type = DB_STRING};
        bool ok =
            cursor_get_u8(&c, &rec.flags) && cursor_get_slice(&c, &rec.val);

        nq_assert(ok);
        list_label_put(key, label += gap);
        rc = btree_put(&w->tree, slice_of(key, sizeof key), &rec, NULL);
    }
    return rc;
}

nq_rc
list_tree_relabel(struct list_work *w, uint64_t label)
{
    struct window v = {.records = BUF_INIT};
    uint64_t size = WINDOW_MIN;
    nq_rc rc;

    for (;; size *= 2) {
        if ((rc = window_collect(w, label, size, &v)) != NQ_OK)
            break;
        if ((v.above - v.below) / (v.n + 1) >= GAP_MIN)
            break;
        nq_assert(v.n == size); /* all labels there are, and no gap */
    }
    if (rc == NQ_OK)
        rc = window_remove(w, &v);
    if (rc == NQ_OK)
        rc = window_write(w, &v);
    buf_fini(&v.records);
    return rc;
}

/* --- what a record becomes ----------------------------------------------- */

struct chunk_part {
    size_t off, len; /* of its val, in bytes[] */
    uint32_t n;
    bool is_owned; /* a blob */
};

struct chunk_parts {
    const struct list_sizes *sizes;
    struct chunk_part part[PARTS_MAX];
    unsigned count;
    size_t limit;         /* of a chunk's elements */
    size_t len, back_len; /* of the open chunk: without and with what leads
                             back */
    bool is_open;
    size_t used;
    uint8_t bytes[3 * LIST_RECORD_MAX];
};

static void
close_chunk(struct chunk_parts *b)
{
    struct chunk_part *p;

    if (!b->is_open)
        return;
    b->is_open = false;
    p = &b->part[b->count - 1];
    p->len = b->used - p->off;
    b->bytes[p->off] = (uint8_t)p->n;
    b->bytes[p->off + 1] = (uint8_t)(p->n >> 8);
}

static struct chunk_part *
new_part(struct chunk_parts *b)
{
    close_chunk(b);
    nq_assert(b->count < PARTS_MAX);
    b->part[b->count] = (struct chunk_part){.off = b->used};
    return &b->part[b->count++];
}

/* One element, as it is written in a chunk. */
static void
add_piece(struct chunk_parts *b, const uint8_t *p, size_t size)
{
    size_t with_back = size + piece_back_size(size);

    if (b->is_open &&
        (b->len + size > b->limit || b->back_len + with_back > b->sizes->area))
        close_chunk(b);
    if (!b->is_open) {
        (void)new_part(b);
        b->is_open = true;
        b->used += LIST_CHUNK_HEADER;
        b->len = b->back_len = 0;
    }
    nq_assert(b->used + size <= sizeof b->bytes);
    memcpy(b->bytes + b->used, p, size);
    b->used += size;
    b->len += size;
    b->back_len += with_back;
    b->part[b->count - 1].n++;
}

static void
add_run(struct chunk_parts *b, struct slice run)
{
    struct piece p;

    for (size_t at = 0; piece_at(run, at, &p); at += p.size)
        add_piece(b, run.p + at, p.size);
}

static void
add_owned(struct chunk_parts *b, struct slice ref)
{
    struct chunk_part *p = new_part(b);

    nq_assert(b->used + ref.len <= sizeof b->bytes);
    memcpy(b->bytes + b->used, ref.p, ref.len);
    b->used += ref.len;
    p->len = ref.len;
    p->n = 1;
    p->is_owned = true;
}

void
list_chunk_of(struct list_work *w, struct slice elem,
              uint8_t room[LIST_RECORD_MAX], struct record *out)
{
    struct blob_ref ref;

    *out = (struct record){.type = DB_STRING};
    if (elem.len > w->sizes.elem) {
        blob_new(w->db->fr, elem, &ref);
        blob_ref_encode(room, &ref);
        out->flags = REC_OWNS;
        out->val = slice_of(room, BLOB_REF_SIZE);
        return;
    }
    room[0] = 1;
    room[1] = 0;
    out->val = slice_of(room, LIST_CHUNK_HEADER +
                                  piece_put(room + LIST_CHUNK_HEADER, elem));
}

/* --- editing ------------------------------------------------------------- */

/* The record with the element, and what is to be done there. */
struct edit {
    uint64_t label, next; /* its label, and that of the record behind it */
    struct slice before, after; /* elements around the change */
    uint8_t was[BLOB_REF_SIZE]; /* the blob that the record is */
    bool is_blob;
    bool keeps_before, keeps_after; /* the blob is one of those */
};

/* The elements around the change, in a chunk. */
static nq_rc
split_run(struct slice run, uint64_t within, bool insert, struct edit *ed)
{
    struct piece p = {.size = 0};
    size_t at = 0;

    for (; within > 0; within--) {
        if (!piece_at(run, at, &p))
            return LIST_DAMAGED();
        at += p.size;
    }
    ed->before = slice_of(run.p, at);
    if (!insert) {
        if (!piece_at(run, at, &p))
            return LIST_DAMAGED();
        at += p.size;
    }
    ed->after = slice_of(run.p + at, run.len - at);
    return NQ_OK;
}

static nq_rc
read_edit(struct btree_cursor *c, uint64_t within, bool insert, struct edit *ed)
{
    struct record rec;
    struct slice run;
    uint32_t n;
    nq_rc rc;

    if ((rc = list_label_of(c, &ed->label)) != NQ_OK ||
        (rc = btree_record(c, &rec)) != NQ_OK)
        return rc;
    ed->is_blob = (rec.flags & REC_OWNS) != 0;
    ed->before = ed->after = slice_of(ed->was, 0);
    if (!ed->is_blob) {
        if ((rc = list_chunk_read(&rec, &run, &n)) == NQ_OK)
            rc = split_run(run, within, insert, ed);
    } else if (rec.val.len != sizeof ed->was) {
        rc = LIST_DAMAGED();
    } else {
        memcpy(ed->was, rec.val.p, sizeof ed->was);
        ed->keeps_before = insert && within > 0;
        ed->keeps_after = insert && within == 0;
    }
    if (rc != NQ_OK || (rc = btree_next(c)) != NQ_OK)
        return rc;
    ed->next = UINT64_MAX;
    return c->valid ? list_label_of(c, &ed->next) : NQ_OK;
}

static nq_rc
find_edit(struct list_work *w, uint64_t i, bool insert, struct edit *ed)
{
    bool behind = i == w->tree_n;
    struct btree_cursor c;
    uint64_t within;
    nq_rc rc;

    *ed = (struct edit){.label = 0};
    btree_cursor_init(&c, &w->tree);
    rc = btree_nth_within(&c, i - behind, &within);
    if (rc == NQ_OK && !c.valid)
        rc = LIST_DAMAGED();
    if (rc == NQ_OK)
        rc = read_edit(&c, within + behind, insert, ed);
    btree_cursor_fini(&c);
    return rc;
}

static void
build_parts(struct list_work *w, const struct edit *ed, struct slice elem,
            struct chunk_parts *b)
{
    bool is_blob = elem.len > w->sizes.elem;
    size_t size = is_blob ? 0 : piece_size(elem);
    size_t total = ed->before.len + size + ed->after.len;
    uint8_t room[LIST_RECORD_MAX];
    struct record rec;

    b->sizes = &w->sizes;
    b->count = 0;
    b->used = 0;
    b->is_open = false;
    b->limit = total <= w->sizes.chunk ? w->sizes.chunk
                                       : nq_min(total / 2 + 1, w->sizes.chunk);
    if (ed->keeps_before)
        add_owned(b, slice_of(ed->was, sizeof ed->was));
    add_run(b, ed->before);
    list_chunk_of(w, elem, room, &rec);
    if (is_blob)
        add_owned(b, rec.val);
    else
        add_piece(b, room + LIST_CHUNK_HEADER, size);
    add_run(b, ed->after);
    if (ed->keeps_after)
        add_owned(b, slice_of(ed->was, sizeof ed->was));
    close_chunk(b);
}

/* The first part takes the place of the record, the others come behind. */
static nq_rc
put_parts(struct list_work *w, uint64_t label, uint64_t gap,
          const struct chunk_parts *b)
{
    nq_rc rc = NQ_OK;

    for (unsigned i = b->count; i-- > 0 && rc == NQ_OK;) {
        const struct chunk_part *p = &b->part[i];
        uint8_t key[LIST_LABEL];
        struct record rec = {.type = DB_STRING,
                             .flags = p->is_owned ? REC_OWNS : 0,
                             .val = slice_of(b->bytes + p->off, p->len)};

        list_label_put(key, label + i * gap);
        rc = btree_put(&w->tree, slice_of(key, sizeof key), &rec, NULL);
    }
    return rc;
}

static nq_rc
push_first(struct list_work *w, struct slice elem)
{
    uint8_t room[LIST_RECORD_MAX];
    struct record rec;

    list_chunk_of(w, elem, room, &rec);
    return list_tree_push(w, LIST_TAIL, &rec, 1);
}

nq_rc
list_chunk_edit(struct list_work *w, uint64_t i, struct slice elem, bool insert)
{
    struct chunk_parts b;
    struct edit ed;
    uint64_t gap;
    nq_rc rc;

    if (w->tree_n == 0)
        return push_first(w, elem);
    if ((rc = find_edit(w, i, insert, &ed)) != NQ_OK)
        return rc;
    if (ed.next - ed.label < PARTS_MAX) {
        if ((rc = list_tree_relabel(w, ed.label)) != NQ_OK ||
            (rc = find_edit(w, i, insert, &ed)) != NQ_OK)
            return rc;
    }
    build_parts(w, &ed, elem, &b);
    gap = nq_min((ed.next - ed.label) / b.count, LIST_LABEL_STEP);
    if ((rc = put_parts(w, ed.label, gap, &b)) != NQ_OK)
        return rc;
    w->tree_n += insert;
    if (ed.is_blob && !insert) {
        struct record was = {.flags = REC_OWNS,
                             .val = slice_of(ed.was, sizeof ed.was)};

        db_free_item_record(w->db, &was);
    }
    return NQ_OK;
}

/* --- removing ------------------------------------------------------------ */

/* The elements of a chunk that stay: `take` of those that are equal to
 * `needle` go, the first or the last ones. */
static void
filter_run(struct slice run, struct slice needle, uint32_t take, bool last,
           struct chunk_parts *b)
{
    uint32_t skip = 0;
    struct piece p;

    for (size_t at = 0; last && piece_at(run, at, &p); at += p.size)
        skip += slice_eq(slice_of(run.p + at, p.size), needle);
    skip = last ? skip - nq_min(take, skip) : 0;
    for (size_t at = 0; piece_at(run, at, &p); at += p.size) {
        bool is_equal = slice_eq(slice_of(run.p + at, p.size), needle);

        if (is_equal && skip > 0)
            skip--;
        else if (is_equal && take > 0) {
            take--;
            continue;
        }
        add_piece(b, run.p + at, p.size);
    }
}

/* A chunk that got short joins the one before it. */
static nq_rc
join_before(struct list_work *w, struct btree_cursor *c, struct chunk_parts *b)
{
    uint8_t key[LIST_LABEL], before_key[LIST_LABEL];
    struct chunk_parts both = {.sizes = &w->sizes, .limit = w->sizes.chunk};
    struct record rec;
    struct slice run;
    uint64_t label, before;
    uint32_t n;
    nq_rc rc;

    if ((rc = list_label_of(c, &label)) != NQ_OK ||
        (rc = btree_prev(c)) != NQ_OK || !c->valid ||
        (rc = list_label_of(c, &before)) != NQ_OK ||
        (rc = btree_record(c, &rec)) != NQ_OK || (rec.flags & REC_OWNS) ||
        (rc = list_chunk_read(&rec, &run, &n)) != NQ_OK ||
        run.len + b->len > w->sizes.chunk)
        return rc;
    add_run(&both, run);
    add_run(&both, slice_of(b->bytes + LIST_CHUNK_HEADER, b->len));
    close_chunk(&both);
    if (both.count != 1)
        return NQ_OK;
    list_label_put(key, label);
    list_label_put(before_key, before);
    if ((rc = put_parts(w, before, 0, &both)) != NQ_OK)
        return rc;
    return btree_del(&w->tree, slice_of(key, sizeof key), NULL);
}

nq_rc
list_chunk_remove(struct list_work *w, uint64_t label, struct slice needle,
                  uint32_t take, bool last)
{
    struct chunk_parts b = {.sizes = &w->sizes, .limit = w->sizes.area};
    uint8_t key[LIST_LABEL];
    struct btree_cursor c;
    struct record rec;
    struct slice run;
    uint32_t n;
    nq_rc rc;

    list_label_put(key, label);
    btree_cursor_init(&c, &w->tree);
    if ((rc = btree_seek(&c, slice_of(key, sizeof key), false)) != NQ_OK ||
        (rc = c.valid ? btree_record(&c, &rec) : LIST_DAMAGED()) != NQ_OK)
        goto done;
    w->tree_n -= take;
    if (rec.flags & REC_OWNS) {
        uint8_t ref[BLOB_REF_SIZE];

        memcpy(ref, rec.val.p, nq_min(rec.val.len, sizeof ref));
        rec.val.p = ref;
        if ((rc = btree_del(&w->tree, slice_of(key, sizeof key), NULL)) ==
            NQ_OK)
            db_free_item_record(w->db, &rec);
        goto done;
    }
    if ((rc = list_chunk_read(&rec, &run, &n)) != NQ_OK)
        goto done;
    filter_run(run, needle, take, last, &b);
    close_chunk(&b);
    nq_assert(b.count <= 1);
    if (b.count == 0) {
        rc = btree_del(&w->tree, slice_of(key, sizeof key), NULL);
    } else {
        rc = put_parts(w, label, 0, &b);
        if (rc == NQ_OK && b.len < w->sizes.chunk / 2)
            rc = join_before(w, &c, &b);
    }
done:
    btree_cursor_fini(&c);
    return rc;
}
