/* db/list_check.c - a list against its invariants: I1, I2 of lists.c, W1 to W3
 * of list_work.c, C1 and C2 of list_chunk.c, and that equal elements have
 * equal bytes.  The tree itself is btree_check()'s.  Called by tests and
 * tools. */
#include "db/list_int.h"
#include "store/corrupt.h"

struct check {
    struct list_sizes sizes;
    uint64_t listpack; /* bytes */
};

/* The elements of a run, each as it would be written again. */
static nq_rc
check_run(struct check *c, struct slice run, bool has_back, uint32_t n)
{
    uint8_t again[LIST_RECORD_MAX + 2];
    char text[PIECE_TEXT];
    size_t at = 0, from;
    struct piece p;

    for (; n > 0 && piece_at(run, at, &p); n--) {
        if (p.size > LIST_RECORD_MAX ||
            piece_put(again, piece_text(&p, text)) != p.size ||
            memcmp(again, run.p + at, p.size) != 0)
            return NQ_CORRUPT("list: an element is written in another way");
        c->listpack += piece_listpack_size(&p);
        from = at;
        at += p.size;
        if (!has_back)
            continue;
        at += piece_back_size(p.size);
        if (at > run.len || !piece_before(run, at, &from) ||
            from + p.size + piece_back_size(p.size) != at)
            return NQ_CORRUPT("list: no way back from an element");
    }
    return n == 0 && at == run.len
               ? NQ_OK
               : NQ_CORRUPT("list: %u elements too few, or bytes behind", n);
}

static nq_rc
check_chunk(struct check *c, const struct record *rec, uint32_t *n)
{
    struct slice run;
    nq_rc rc = list_chunk_read(rec, &run, n);
    size_t back = 0;
    struct piece p;

    if (rc != NQ_OK || (rc = check_run(c, run, false, *n)) != NQ_OK)
        return rc;
    for (size_t at = 0; piece_at(run, at, &p); at += p.size)
        back += p.size + piece_back_size(p.size);
    if (back > c->sizes.area || (*n > 1 && run.len > c->sizes.chunk))
        return NQ_CORRUPT("list: a chunk of %zu bytes", run.len);
    return NQ_OK;
}

static nq_rc
check_tree(struct check *c, struct db *db, const struct list_shape *s)
{
    struct btree tree = {.fr = db->fr, .weighted = true, .root = s->root};
    struct btree_cursor cu;
    uint64_t count = 0;
    nq_rc rc;

    btree_cursor_init(&cu, &tree);
    for (rc = btree_first(&cu); rc == NQ_OK && cu.valid; rc = btree_next(&cu)) {
        struct blob_ref ref;
        struct record rec;
        struct piece p;
        uint32_t n = 1;

        if ((rc = btree_record(&cu, &rec)) != NQ_OK)
            break;
        if ((rec.flags & REC_OWNS) == 0)
            rc = check_chunk(c, &rec, &n);
        else if ((rc = blob_ref_decode(rec.val, &ref)) == NQ_OK &&
                 ref.len <= c->sizes.elem)
            rc = NQ_CORRUPT("list: a short blob");
        if (rc != NQ_OK)
            break;
        if (rec.flags & REC_OWNS) {
            piece_of(slice_of(NULL, ref.len), &p);
            c->listpack += piece_listpack_size(&p);
        }
        count += n;
    }
    btree_cursor_fini(&cu);
    if (rc == NQ_OK && count != s->tree_n)
        rc = NQ_CORRUPT("list: %llu elements in the tree, %llu told",
                        (unsigned long long)count,
                        (unsigned long long)s->tree_n);
    return rc;
}

nq_rc
list_check(struct db *db, const struct entry *e)
{
    struct btree tree = {.fr = db->fr};
    struct check c = {.sizes = list_sizes_of(&tree)};
    const uint8_t *val = e->rec.val.p;
    struct list_shape s;
    nq_rc rc;

    if ((rc = list_shape_of(&e->rec, &s)) != NQ_OK)
        return rc;
    if (list_shape_count(&s) == 0 || s.end - s.start > c.sizes.area ||
        (s.root != 0) != (s.tree_n != 0) || (s.root != 0) != s.has_tree)
        return NQ_CORRUPT("list: the record does not fit together");
    if ((rc = check_run(&c, slice_of(val + s.start, s.mid - s.start), true,
                        s.head_n)) != NQ_OK ||
        (rc = check_run(&c, slice_of(val + s.mid, s.end - s.mid), true,
                        s.tail_n)) != NQ_OK ||
        (s.has_tree && (rc = check_tree(&c, db, &s)) != NQ_OK))
        return rc;
    if (s.has_tree && !s.is_quick && s.lp_bytes != c.listpack)
        return NQ_CORRUPT("list: %u bytes of listpack, %llu found", s.lp_bytes,
                          (unsigned long long)c.listpack);
    return NQ_OK;
}
