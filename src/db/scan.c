/* db/scan.c - pinning the leaves of a range, batch by batch.
 *
 *   S1  what a place says is left is exactly what no batch had: the bound that
 *       a batch ends at is a separator of the tree when it was taken
 *   S2  a batch has leaves of one parent only; all of them, but for the first
 *       and the last, lie wholly in the range
 *   S3  no leaf of a batch has PAGE_LONG, so its keys are whole
 *
 * Called by cmd/matching_*.c; scan_page() by whoever has a page. */
#include "db/scan.h"

#include "base/mem.h"
#include "db/db_int.h"
#include "store/btree_leaves.h"
#include "store/corrupt.h"
#include "store/page.h"

#define KEY_MAX (1u << (PAGE_MAX_SHIFT - 2)) /* any key's part in a page */
#define PINS_SHARE 4 /* of the pool's frames may be pinned by scans */

/* --- places --------------------------------------------------------------- */

static void
set(struct buf *b, struct slice s)
{
    buf_clear(b);
    buf_put_slice(b, s);
}

void
scan_place_init(struct scan_place *pl, struct slice lo, const struct slice *hi,
                bool reverse)
{
    set(&pl->lo, lo);
    if (hi != NULL)
        set(&pl->hi, *hi);
    pl->has_hi = hi != NULL;
    pl->reverse = reverse;
    pl->is_over = hi != NULL && slice_cmp(lo, *hi) >= 0;
}

void
scan_place_fini(struct scan_place *pl)
{
    buf_fini(&pl->lo);
    buf_fini(&pl->hi);
}

/* What the leaves had is no longer left. */
static void
move_on(struct scan_place *pl, const struct btree_leaves *l)
{
    if (l->is_end) {
        pl->is_over = true;
    } else if (pl->reverse) {
        set(&pl->hi, buf_slice(&l->bound));
        pl->has_hi = true;
    } else {
        set(&pl->lo, buf_slice(&l->bound));
    }
}

/* --- pinning -------------------------------------------------------------- */

/* A page_tail_fn for leaves whose keys have no tails. */
static nq_rc
no_tail(void *arg, pgno tail, struct slice *out)
{
    (void)arg;
    *out = slice_lit("");
    return NQ_CORRUPT("a leaf without long keys names page %u as a tail", tail);
}

static const struct page *
peek(const struct frames *fr, pgno id)
{
    return (const struct page *)(const void *)frames_peek(fr, id);
}

/* The slots of the leaf that are in the range. */
static nq_rc
clip(const struct scan_place *pl, struct scan_leaf *leaf)
{
    unsigned from, to = leaf->page->count;
    bool found;
    nq_rc rc =
        page_find(leaf->page, buf_slice(&pl->lo), no_tail, NULL, &from, &found);

    if (rc == NQ_OK && pl->has_hi)
        rc = page_find(leaf->page, buf_slice(&pl->hi), no_tail, NULL, &to,
                       &found);
    leaf->from = (uint16_t)from;
    leaf->to = (uint16_t)nq_max(to, from);
    return rc;
}

static nq_rc
pin(struct btree *t, struct scan_batch *b, const struct scan_place *pl, pgno id,
    bool is_edge)
{
    struct scan_leaf *leaf = &b->leaves[b->count];
    nq_rc rc = NQ_OK;

    leaf->page = (const void *)btree_leaf_visit(t, id);
    nq_assert(leaf->page != NULL);
    leaf->from = 0;
    leaf->to = leaf->page->count;
    if (leaf->page->kind != PAGE_LEAF)
        return NQ_CORRUPT("page %u is named as a leaf, and is none", id);
    if (is_edge && (rc = clip(pl, leaf)) != NQ_OK)
        return rc;
    leaf->frame = frames_pin(b->frames, id);
    b->records += leaf->to - leaf->from;
    b->count++;
    return NQ_OK;
}

void
scan_drop(struct scan_batch *b)
{
    for (unsigned i = 0; i < b->count; i++)
        frames_unpin(b->frames, b->leaves[i].frame);
    b->count = 0;
    b->records = 0;
    buf_fini(&b->lo);
    buf_fini(&b->hi);
    b->lo = b->hi = BUF_INIT;
}

/* --- taking --------------------------------------------------------------- */

static bool
is_plain(const struct frames *fr, pgno id)
{
    const struct page *pg = peek(fr, id);

    return pg != NULL && (pg->flags & PAGE_LONG) == 0;
}

/* Notes those of the first `n` leaves that are not in memory. */
static nq_rc
want(struct frames *fr, const struct btree_leaves *l, unsigned n)
{
    nq_rc rc = NQ_OK, one;
    const uint8_t *bytes;

    for (unsigned i = 0; i < n; i++) {
        if (frames_peek(fr, l->ids[i]) != NULL)
            continue;
        one = frames_page(fr, l->ids[i], &bytes);
        if (one != NQ_OK && one != NQ_MISS)
            return i > 0 && rc == NQ_MISS ? rc : one;
        rc = one == NQ_MISS ? one : rc;
    }
    return rc;
}

static nq_rc
leaves_of(struct db *db, uint32_t dbi, const struct scan_place *pl,
          unsigned max, struct btree_leaves *out)
{
    struct slice hi = buf_slice(&pl->hi);

    return btree_leaves(db_tree(db, dbi), buf_slice(&pl->lo),
                        pl->has_hi ? &hi : NULL, pl->reverse, max, out);
}

/* The keys of the first leaf, as far as they are in the range. */
static void
take_far(const struct scan_place *pl, const struct btree_leaves *l,
         struct scan_batch *out)
{
    struct slice bound = buf_slice(&l->bound);
    bool back = pl->reverse && !l->is_end, on = !pl->reverse && !l->is_end;

    out->is_far = true;
    set(&out->lo, back ? bound : buf_slice(&pl->lo));
    out->has_hi = on || pl->has_hi;
    if (out->has_hi)
        set(&out->hi, on ? bound : buf_slice(&pl->hi));
}

/* Those at the beginning of `l`, at most `max`, that are in memory and have no
 * long keys; or the first one as it is. */
static nq_rc
take_some(struct db *db, uint32_t dbi, struct scan_place *pl, unsigned max,
          struct btree_leaves *l, struct scan_batch *out)
{
    struct btree *t = db_tree(db, dbi);
    unsigned n = 0, all = l->count;
    nq_rc rc = NQ_OK;

    while (n < nq_min(max, all) && is_plain(out->frames, l->ids[n]))
        n++;
    btree_leaves_ahead(t, l->ids + n, all - n);
    if (n < all && (rc = leaves_of(db, dbi, pl, nq_max(n, 1u), l)) != NQ_OK)
        return rc;
    if (n == 0)
        take_far(pl, l, out);
    for (unsigned i = 0; i < n && rc == NQ_OK; i++)
        rc = pin(t, out, pl, l->ids[i], i == 0 || i + 1 == n);
    if (rc == NQ_OK)
        move_on(pl, l);
    else
        scan_drop(out);
    return rc;
}

nq_rc
scan_take(struct db *db, uint32_t dbi, struct scan_place *pl, unsigned leaves,
          struct scan_batch *out)
{
    struct btree_leaves l = {.bound = BUF_INIT};
    nq_rc rc;

    nq_assert(leaves > 0 && leaves <= SCAN_LEAVES);
    *out = (struct scan_batch){
        .frames = db->fr, .now_ms = db->now_ms, .reverse = pl->reverse};
    if (pl->is_over)
        return NQ_NOTFOUND;
    rc = leaves_of(db, dbi, pl, 2 * leaves, &l);
    if (rc == NQ_NOTFOUND)
        pl->is_over = true;
    if (rc == NQ_OK && frames_peek(db->fr, l.ids[0]) == NULL)
        rc = want(db->fr, &l, nq_min(leaves, l.count));
    if (rc == NQ_OK)
        rc = take_some(db, dbi, pl, leaves, &l, out);
    buf_fini(&l.bound);
    return rc;
}

nq_rc
scan_want_all(struct db *db, uint32_t dbi, const struct scan_place *pl)
{
    struct scan_place rest = {.lo = BUF_INIT};
    struct btree_leaves l = {.bound = BUF_INIT};
    struct slice hi = buf_slice(&pl->hi);
    nq_rc rc = NQ_OK, all = NQ_OK;

    scan_place_init(&rest, buf_slice(&pl->lo), pl->has_hi ? &hi : NULL, false);
    while (rc == NQ_OK && !rest.is_over) {
        if ((rc = leaves_of(db, dbi, &rest, BTREE_LEAVES_MAX, &l)) != NQ_OK)
            break;
        rc = want(db->fr, &l, l.count);
        all = rc == NQ_MISS ? rc : all;
        rc = rc == NQ_MISS ? NQ_OK : rc;
        move_on(&rest, &l);
    }
    buf_fini(&l.bound);
    scan_place_fini(&rest);
    return rc == NQ_OK || rc == NQ_NOTFOUND ? all : rc;
}

unsigned
scan_pins_max(struct db *db)
{
    struct frames_stats st;

    frames_get_stats(db->fr, &st);
    return (unsigned)nq_max((st.pool_bytes >> db->fr->page_shift) / PINS_SHARE,
                            (uint64_t)1);
}

/* --- reading -------------------------------------------------------------- */

static void
record_of(const struct page *pg, const struct page_record *r,
          struct record *out)
{
    *out = (struct record){.val = r->v.val,
                           .expire_ms = r->v.expire_ms,
                           .type = PAGE_META_TYPE(r->v.meta),
                           .flags = PAGE_META_FLAGS(r->v.meta),
                           .page_lsn = pg->lsn};
}

bool
scan_page(const struct page *pg, unsigned from, unsigned to, bool reverse,
          scan_fn *fn, void *arg)
{
    struct slice prefix = page_prefix(pg);
    struct page_record r;
    struct record rec;
    uint8_t key[KEY_MAX];

    nq_assert(to <= pg->count && prefix.len <= sizeof key);
    if (prefix.len > 0)
        memcpy(key, prefix.p, prefix.len);
    for (unsigned i = from; i < to; i++) {
        page_record_at(pg, reverse ? to - 1 - (i - from) : i, &r);
        nq_assert(prefix.len + r.suffix.len <= sizeof key);
        memcpy(key + prefix.len, r.suffix.p, r.suffix.len);
        record_of(pg, &r, &rec);
        if (!fn(arg, slice_of(key, prefix.len + r.suffix.len), r.tail == 0,
                &rec))
            return false;
    }
    return true;
}
