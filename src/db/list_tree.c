/* db/list_tree.c - the tree of a long list: its ends.
 *
 * A record of the tree is a chunk, or one element too long for that:
 *
 *   key     u64 big-endian: the label
 *   chunk   u16 elements | the elements, one behind the other (list_piece.c)
 *   blob    REC_OWNS, a blob reference
 *
 * Labels only tell the order.  New ones at the ends stand LIST_LABEL_STEP
 * apart, so that chunks which are split find labels in between (list_chunk.c).
 * The first of all is in the middle, and half of what is left is taken when a
 * whole step no longer fits.
 *
 * Called by list_work.c, lists.c and list_edit.c. */
#include "db/list_int.h"

#define FIRST_LABEL (UINT64_C(1) << 63)
#define CUT_BUDGET 4096    /* pages a call */
#define CUT_NOW_MAX 100000 /* elements; a tree of more is freed later */
#define SETTLE_MAX 64      /* elements */

/* --- finding ------------------------------------------------------------- */

void
list_label_put(uint8_t dst[LIST_LABEL], uint64_t label)
{
    for (unsigned i = 0; i < LIST_LABEL; i++)
        dst[i] = (uint8_t)(label >> (56 - 8 * i));
}

nq_rc
list_label_of(const struct btree_cursor *c, uint64_t *label)
{
    *label = 0;
    if (!c->valid || c->key.len != LIST_LABEL)
        return LIST_DAMAGED();
    for (unsigned i = 0; i < LIST_LABEL; i++)
        *label = *label << 8 | c->key.p[i];
    return NQ_OK;
}

nq_rc
list_chunk_read(const struct record *rec, struct slice *run, uint32_t *n)
{
    struct cursor c = cursor_of(rec->val);
    uint16_t count;

    cursor_get_u16(&c, &count);
    cursor_get_bytes(&c, cursor_left(&c), run);
    *n = count;
    return cursor_ok(&c) && count > 0 ? NQ_OK : LIST_DAMAGED();
}

/* The outermost record. */
static nq_rc
seek_end(struct btree_cursor *c, enum list_end end)
{
    nq_rc rc = end == LIST_HEAD ? btree_first(c) : btree_last(c);

    return rc == NQ_OK && !c->valid ? LIST_DAMAGED() : rc;
}

nq_rc
list_tree_want(struct list_work *w, uint64_t i)
{
    struct btree_cursor c;
    uint64_t within;
    nq_rc rc;

    if (w->tree_n == 0)
        return NQ_OK;
    btree_cursor_init(&c, &w->tree);
    rc = btree_nth_within(&c, nq_min(i, w->tree_n - 1), &within);
    btree_cursor_fini(&c);
    return rc;
}

nq_rc
list_tree_want_ends(struct list_work *w)
{
    nq_rc head = list_tree_want(w, 0);
    nq_rc tail = list_tree_want(w, UINT64_MAX);

    return head != NQ_OK ? head : tail;
}

nq_rc
list_tree_count_listpack(struct list_work *w)
{
    struct btree_cursor c;
    nq_rc rc;

    if (w->tree_n == 0)
        return NQ_OK;
    btree_cursor_init(&c, &w->tree);
    for (rc = btree_first(&c); rc == NQ_OK && c.valid; rc = btree_next(&c)) {
        struct record rec;
        struct slice run;
        struct piece p;
        uint32_t n;

        if ((rc = btree_record(&c, &rec)) != NQ_OK)
            break;
        if (rec.flags & REC_OWNS) {
            struct blob_ref ref;

            if ((rc = blob_ref_decode(rec.val, &ref)) != NQ_OK)
                break;
            piece_of(slice_of(NULL, ref.len), &p);
            w->lp_bytes += piece_listpack_size(&p);
            continue;
        }
        if ((rc = list_chunk_read(&rec, &run, &n)) != NQ_OK)
            break;
        for (size_t at = 0; piece_at(run, at, &p); at += p.size)
            w->lp_bytes += piece_listpack_size(&p);
    }
    btree_cursor_fini(&c);
    return rc;
}

/* --- growing at the ends ------------------------------------------------- */

/* A label beyond all others; equal to the outermost: there is none left. */
static nq_rc
outer_label(struct list_work *w, enum list_end end, uint64_t *label)
{
    struct btree_cursor c;
    uint64_t left;
    nq_rc rc;

    *label = FIRST_LABEL;
    if (w->tree_n == 0)
        return NQ_OK;
    btree_cursor_init(&c, &w->tree);
    if ((rc = seek_end(&c, end)) == NQ_OK)
        rc = list_label_of(&c, label);
    btree_cursor_fini(&c);
    left = end == LIST_HEAD ? *label : UINT64_MAX - *label;
    left = nq_min(LIST_LABEL_STEP, left / 2);
    if (rc == NQ_OK && left == 0) {
        if ((rc = list_tree_relabel(w, *label)) != NQ_OK)
            return rc;
        return outer_label(w, end, label);
    }
    *label = end == LIST_HEAD ? *label - left : *label + left;
    return rc;
}

nq_rc
list_tree_push(struct list_work *w, enum list_end end, const struct record *rec,
               uint32_t n)
{
    uint8_t key[LIST_LABEL];
    uint64_t label;
    nq_rc rc;

    if ((rc = outer_label(w, end, &label)) != NQ_OK)
        return rc;
    list_label_put(key, label);
    rc = btree_put(&w->tree, slice_of(key, sizeof key), rec, NULL);
    if (rc == NQ_OK)
        w->tree_n += n;
    return rc;
}

/* From which to which byte the part's innermost elements stand that make a
 * chunk. */
static nq_rc
plan_spill(const struct list_work *w, enum list_end part, uint32_t *from,
           uint32_t *to, uint32_t *n)
{
    struct slice run = list_work_run(w);
    uint32_t bytes = 0;

    *from = *to = w->mid;
    for (*n = 0; part == LIST_HEAD ? *from > w->start : *to < w->end; ++*n) {
        size_t at = *to;
        struct piece p;

        if (part == LIST_HEAD && !piece_before(run, *from, &at))
            return LIST_DAMAGED();
        if (!piece_at(run, at, &p))
            return LIST_DAMAGED();
        bytes += (uint32_t)p.size;
        if (*n > 0 && bytes > w->sizes.chunk)
            break;
        if (part == LIST_HEAD)
            *from = (uint32_t)at;
        else
            *to += (uint32_t)(p.size + piece_back_size(p.size));
    }
    return *from >= w->start && *to <= w->end ? NQ_OK : LIST_DAMAGED();
}

nq_rc
list_tree_spill(struct list_work *w, enum list_end part)
{
    uint8_t room[LIST_RECORD_MAX];
    struct record rec = {.type = DB_STRING};
    size_t len = LIST_CHUNK_HEADER;
    uint32_t from, to, n;
    nq_rc rc;

    if ((rc = plan_spill(w, part, &from, &to, &n)) != NQ_OK)
        return rc;
    nq_assert(n > 0);
    for (size_t at = from; at < to;) {
        struct piece p;

        if (!piece_at(list_work_run(w), at, &p))
            return LIST_DAMAGED();
        memcpy(room + len, w->area + at, p.size);
        len += p.size;
        at += p.size + piece_back_size(p.size);
    }
    room[0] = (uint8_t)n;
    room[1] = (uint8_t)(n >> 8);
    rec.val = slice_of(room, len);
    if ((rc = list_tree_push(w, part, &rec, n)) != NQ_OK)
        return rc;
    (void)list_work_splice(w, part, from, to - from, 0);
    *(part == LIST_HEAD ? &w->head_n : &w->tail_n) -= n;
    return NQ_OK;
}

/* --- shrinking at the ends ----------------------------------------------- */

/* What the chunk's elements take in a record. */
static nq_rc
record_size(struct slice run, uint32_t *out)
{
    struct piece p;
    size_t at = 0;

    *out = 0;
    for (; at < run.len; at += p.size) {
        if (!piece_at(run, at, &p))
            return LIST_DAMAGED();
        *out += (uint32_t)(p.size + piece_back_size(p.size));
    }
    return NQ_OK;
}

static nq_rc
outer_chunk(struct btree_cursor *c, enum list_end end, struct slice *run,
            uint32_t *n, uint32_t *need)
{
    struct record rec;
    nq_rc rc;

    if ((rc = seek_end(c, end)) != NQ_OK ||
        (rc = btree_record(c, &rec)) != NQ_OK ||
        (rc = list_chunk_read(&rec, run, n)) != NQ_OK)
        return rc;
    return record_size(*run, need);
}

/* The chunk's elements go innermost into the part, which has room. */
static void
take_chunk(struct list_work *w, enum list_end part, struct slice run,
           uint32_t n, uint32_t need)
{
    uint8_t *dst = list_work_splice(w, part, w->mid, 0, need);
    struct piece p;

    for (size_t at = 0; piece_at(run, at, &p); at += p.size) {
        memcpy(dst, run.p + at, p.size);
        dst += p.size;
        dst += piece_put_back(dst, p.size);
    }
    *(part == LIST_HEAD ? &w->head_n : &w->tail_n) += n;
    w->tree_n -= n;
}

nq_rc
list_tree_pull(struct list_work *w, enum list_end part)
{
    struct btree_cursor c;
    struct slice run;
    uint32_t n, need;
    nq_rc rc;

    btree_cursor_init(&c, &w->tree);
    if ((rc = outer_chunk(&c, part, &run, &n, &need)) != NQ_OK ||
        (rc = list_work_need(w, need)) != NQ_OK ||
        /* Once more: the chunk may have moved. */
        (rc = outer_chunk(&c, part, &run, &n, &need)) != NQ_OK)
        goto done;
    if (need > list_work_free(w)) {
        rc = LIST_DAMAGED();
        goto done;
    }
    take_chunk(w, part, run, n, need);
    rc = btree_del(&w->tree, c.key, NULL);
done:
    btree_cursor_fini(&c);
    return rc;
}

/* Whole records from that end go, about as many elements as n; *removed at
 * most n. */
static nq_rc
cut_records(struct list_work *w, enum list_end end, uint64_t n,
            uint64_t *removed)
{
    struct slice lo = slice_lit(""), hi;
    struct btree_cursor c;
    uint64_t within = 0;
    bool done = false, all = n == w->tree_n;
    nq_rc rc = NQ_OK;

    *removed = 0;
    btree_cursor_init(&c, &w->tree);
    if (!all)
        rc =
            btree_nth_within(&c, end == LIST_HEAD ? n : w->tree_n - n, &within);
    if (rc == NQ_OK && !all && end == LIST_TAIL && within > 0)
        rc = btree_next(&c);
    if (rc == NQ_OK && !all && c.valid) {
        hi = c.key;
        if (end == LIST_TAIL)
            lo = c.key;
    }
    all |= end == LIST_TAIL;
    if (!c.valid && end == LIST_TAIL && n < w->tree_n)
        done = true; /* the last record is cut in part only */
    while (rc == NQ_OK && !done) {
        uint64_t some;

        rc = btree_del_range(&w->tree, lo, all ? NULL : &hi, CUT_BUDGET,
                             db_free_item_record, w->db, &some, &done);
        *removed += some;
        w->tree_n -= some;
    }
    btree_cursor_fini(&c);
    return rc;
}

nq_rc
list_tree_cut(struct list_work *w, enum list_end end, uint64_t n)
{
    uint64_t removed;
    nq_rc rc;

    nq_assert(n <= w->tree_n);
    if (n == 0)
        return NQ_OK;
    w->lp_unknown = true;
    if (n == w->tree_n && n > CUT_NOW_MAX) {
        db_free_tree(w->db, w->tree.root);
        btree_set_root(&w->tree, 0);
        w->tree_n = 0;
        return NQ_OK;
    }
    if ((rc = cut_records(w, end, n, &removed)) != NQ_OK || removed == n)
        return rc;
    if ((rc = list_tree_pull(w, end)) != NQ_OK)
        return rc;
    return list_work_cut(w, end, n - removed);
}

nq_rc
list_tree_settle(struct list_work *w)
{
    uint32_t used = w->end - w->start, most = w->sizes.area / 4 * 3;
    struct btree_cursor c;
    nq_rc rc;

    if (w->tree_n == 0 || w->tree_n > SETTLE_MAX)
        return NQ_OK;
    btree_cursor_init(&c, &w->tree);
    for (rc = btree_first(&c); rc == NQ_OK && c.valid; rc = btree_next(&c)) {
        struct record rec;
        struct slice run;
        uint32_t n, need;

        if ((rc = btree_record(&c, &rec)) != NQ_OK)
            break;
        if (rec.flags & REC_OWNS)
            used = most; /* a blob stays where it is */
        else if ((rc = list_chunk_read(&rec, &run, &n)) != NQ_OK ||
                 (rc = record_size(run, &need)) != NQ_OK)
            break;
        else
            used += need;
        if (used >= most)
            break;
    }
    btree_cursor_fini(&c);
    while (rc == NQ_OK && used < most && w->tree_n > 0)
        rc = list_tree_pull(w, LIST_HEAD);
    return rc;
}
