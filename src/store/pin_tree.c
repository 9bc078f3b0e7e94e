/* store/pin_tree.c - reading a tree without frames.
 *
 * The page of each level from the root to a leaf is a copy in a buffer of its
 * own; a step that leaves the leaf reads the next one over it.  So memory is
 * the height of the tree, and a walk reads each page once.  The kernel is told
 * of the next leaves in time, so that a cold disk works ahead.
 *
 *   T1  valid: level[0..depth) are the pages from the root to a leaf, each
 *       the child that the slot of the one above takes
 *   T2  a page is what its parent says: of the level below, and not empty,
 *       but for a root; anything else is damage
 *
 * Called by db/snapshot.c on workers. */
#include "store/pin_tree.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "os/file.h"
#include "store/corrupt.h"
#include "store/extent_io.h"
#include "store/frames_int.h"
#include "store/page.h"
#include "store/pin_int.h"
#include "store/store_int.h"

#define TREE_MAGIC 0x54495021u
#define AHEAD 16u /* leaves that the kernel is told of */

struct level {
    uint8_t *bytes; /* a page; allocated when it is needed first */
    unsigned slot;
};

struct pin_tree {
    uint32_t magic;
    struct pin *pin;
    struct extent_from from;
    struct extent_into into;
    pgno root;
    bool valid;
    unsigned depth;
    struct level level[BTREE_MAX_HEIGHT];
    struct buf key;
    pgno tail_id; /* whose bytes `tail` are; 0: none */
    struct slice tail;
};

/* --- pages and chunks ----------------------------------------------------- */

static const struct page *
page_of(const struct pin_tree *t, unsigned i)
{
    return (const struct page *)(const void *)t->level[i].bytes;
}

/* `page` NULL: a chunk, whose bytes are the caller's. */
static nq_rc
read_extent(struct pin_tree *t, pgno id, uint8_t *page, struct extent_got *got)
{
    struct entry e = pagetable_view_get(t->pin->view, id);
    nq_rc rc;

    if (entry_is_none(e))
        return NQ_CORRUPT("page %u of a checkpoint has no place in its table",
                          id);
    t->into.page = page;
    rc = extent_get_into(&t->from, id, e, &t->into, got);
    if (rc == NQ_ECORRUPT)
        return NQ_CORRUPT("page %u at offset %llu: %s: expected %llu, "
                          "found %llu",
                          id, (unsigned long long)entry_off(e), got->fault.what,
                          (unsigned long long)got->fault.expected,
                          (unsigned long long)got->fault.found);
    if (rc == NQ_OK && (got->x.kind == PAGE_CHUNK) != (page == NULL)) {
        if (got->raw != page)
            nq_free(got->raw);
        return NQ_CORRUPT("page %u is of kind %u", id, got->x.kind);
    }
    return rc;
}

static nq_rc
read_chunk(struct pin_tree *t, pgno id, struct slice *out)
{
    struct extent_got got;
    nq_rc rc = read_extent(t, id, NULL, &got);

    if (rc == NQ_OK)
        *out = slice_of(got.raw, got.x.raw_len);
    return rc;
}

static void
free_bytes(struct slice *s)
{
    nq_free((void *)(uintptr_t)s->p);
    *s = slice_of(NULL, 0);
}

/* A page_tail_fn. */
static nq_rc
get_tail(void *arg, pgno id, struct slice *out)
{
    struct pin_tree *t = arg;
    nq_rc rc = NQ_OK;

    if (t->tail_id != id) {
        free_bytes(&t->tail);
        t->tail_id = 0;
        rc = read_chunk(t, id, &t->tail);
        if (rc == NQ_OK)
            t->tail_id = id;
    }
    *out = t->tail;
    return rc;
}

/* T2 */
static nq_rc
check_level(const struct pin_tree *t, unsigned i, pgno id)
{
    const struct page *pg = page_of(t, i);
    bool is_right = i == 0 || pg->level + 1 == page_of(t, i - 1)->level;

    if (is_right && (pg->level == 0) == (pg->kind == PAGE_LEAF) &&
        (pg->count > 0 || (i == 0 && pg->level == 0)))
        return NQ_OK;
    return NQ_CORRUPT("page %u of level %u stands at depth %u of a tree", id,
                      pg->level, i);
}

/* The page of level `i` is now that of `id`; the levels below are void. */
static nq_rc
load(struct pin_tree *t, unsigned i, pgno id)
{
    struct extent_got got;
    nq_rc rc;

    if (i >= BTREE_MAX_HEIGHT)
        return NQ_CORRUPT("a tree is higher than %u pages", BTREE_MAX_HEIGHT);
    if (t->level[i].bytes == NULL)
        t->level[i].bytes = nq_malloc(t->from.page_size);
    rc = read_extent(t, id, t->level[i].bytes, &got);
    if (rc == NQ_OK)
        rc = check_level(t, i, id);
    t->depth = rc == NQ_OK ? i + 1 : 0;
    return rc;
}

static void
hint(struct pin_tree *t, pgno id)
{
    struct entry e = pagetable_view_get(t->pin->view, id);

    if (!entry_is_none(e))
        file_read_hint(t->from.file, entry_off(e), entry_len(e));
}

/* The leaves that follow the slot of level `i`: all of AHEAD after a seek, the
 * farthest one after a step. */
static void
hint_leaves(struct pin_tree *t, unsigned i, bool back, bool is_step)
{
    const struct page *pg = page_of(t, i);

    if (pg->level != 1)
        return;
    for (unsigned k = is_step ? AHEAD : 1; k <= AHEAD; k++) {
        unsigned slot = back ? t->level[i].slot - k : t->level[i].slot + k;

        if (slot >= pg->count) /* or below 0 */
            return;
        hint(t, page_child(pg, slot));
    }
}

/* --- descending ----------------------------------------------------------- */

/* From the child of level i - 1 on down to the first or last record. */
static nq_rc
dive(struct pin_tree *t, unsigned i, pgno id, bool back)
{
    for (;; i++) {
        const struct page *pg;
        nq_rc rc = load(t, i, id);

        if (rc != NQ_OK)
            return rc;
        pg = page_of(t, i);
        if (pg->count == 0)
            return NQ_NOTFOUND;
        t->level[i].slot = back ? pg->count - 1u : 0;
        if (pg->level == 0) {
            t->valid = true;
            return NQ_OK;
        }
        hint_leaves(t, i, back, false);
        id = page_child(pg, t->level[i].slot);
    }
}

/* To the leaf where `key` is or would be; the slot there is not set. */
static nq_rc
descend(struct pin_tree *t, struct slice key)
{
    pgno id = t->root;

    t->valid = false;
    if (id == 0)
        return NQ_NOTFOUND;
    for (unsigned i = 0;; i++) {
        const struct page *pg;
        nq_rc rc = load(t, i, id);

        if (rc != NQ_OK || page_of(t, i)->level == 0)
            return rc;
        pg = page_of(t, i);
        rc = page_find_child(pg, key, get_tail, t, &t->level[i].slot);
        if (rc != NQ_OK)
            return rc;
        id = page_child(pg, t->level[i].slot);
    }
}

/* The record beside the leaf, whose slot does not matter. */
static nq_rc
step_aside(struct pin_tree *t, bool back)
{
    t->valid = false;
    for (unsigned i = t->depth - 1; i > 0; i--) {
        struct level *up = &t->level[i - 1];
        const struct page *pg = page_of(t, i - 1);

        if (back ? up->slot == 0 : up->slot + 1 >= pg->count)
            continue;
        up->slot = back ? up->slot - 1 : up->slot + 1;
        hint_leaves(t, i - 1, back, true);
        return dive(t, i, page_child(pg, up->slot), back);
    }
    return NQ_NOTFOUND;
}

static nq_rc
find(struct pin_tree *t, struct slice key, unsigned *slot, bool *found)
{
    nq_rc rc = descend(t, key);

    if (rc == NQ_OK)
        rc = page_find(page_of(t, t->depth - 1), key, get_tail, t, slot, found);
    return rc;
}

static nq_rc
stand(struct pin_tree *t, unsigned slot, bool back)
{
    t->level[t->depth - 1].slot = slot;
    t->valid = true;
    if (t->depth > 1)
        hint_leaves(t, t->depth - 2, back, false);
    return NQ_OK;
}

nq_rc
pin_tree_seek(struct pin_tree *t, struct slice key, bool after)
{
    unsigned slot;
    bool found;
    nq_rc rc = find(t, key, &slot, &found);

    if (rc != NQ_OK)
        return rc;
    slot += found && after;
    return slot < page_of(t, t->depth - 1)->count ? stand(t, slot, false)
                                                  : step_aside(t, false);
}

nq_rc
pin_tree_seek_back(struct pin_tree *t, struct slice key, bool before)
{
    unsigned slot;
    bool found;
    nq_rc rc = find(t, key, &slot, &found);

    if (rc != NQ_OK)
        return rc;
    if (found && !before)
        return stand(t, slot, true);
    return slot > 0 ? stand(t, slot - 1, true) : step_aside(t, true);
}

static nq_rc
seek_end(struct pin_tree *t, bool back)
{
    t->valid = false;
    return t->root == 0 ? NQ_NOTFOUND : dive(t, 0, t->root, back);
}

nq_rc
pin_tree_first(struct pin_tree *t)
{
    return seek_end(t, false);
}

nq_rc
pin_tree_last(struct pin_tree *t)
{
    return seek_end(t, true);
}

nq_rc
pin_tree_next(struct pin_tree *t)
{
    struct level *leaf;

    if (!t->valid)
        return NQ_NOTFOUND;
    leaf = &t->level[t->depth - 1];
    if (leaf->slot + 1 >= page_of(t, t->depth - 1)->count)
        return step_aside(t, false);
    leaf->slot++;
    return NQ_OK;
}

nq_rc
pin_tree_prev(struct pin_tree *t)
{
    struct level *leaf;

    if (!t->valid)
        return NQ_NOTFOUND;
    leaf = &t->level[t->depth - 1];
    if (leaf->slot == 0)
        return step_aside(t, true);
    leaf->slot--;
    return NQ_OK;
}

/* --- what is there -------------------------------------------------------- */

static nq_rc
get_key(struct pin_tree *t, const struct page *pg, unsigned slot)
{
    struct page_key k;
    struct slice tail;
    nq_rc rc;

    buf_clear(&t->key);
    page_key_at(pg, slot, buf_reserve(&t->key, page_max_key(pg->shift) + 1),
                &k);
    t->key.len = k.in.len;
    if (nq_likely(k.tail == 0))
        return NQ_OK;
    if ((rc = get_tail(t, k.tail, &tail)) != NQ_OK)
        return rc;
    if (k.in.len + tail.len != k.len || k.len > BTREE_MAX_KEY)
        return NQ_CORRUPT("the tail of a key has %zu bytes of %u", tail.len,
                          k.len);
    buf_put_slice(&t->key, tail);
    return NQ_OK;
}

nq_rc
pin_tree_record(struct pin_tree *t, struct slice *key, struct record *rec)
{
    const struct page *pg;
    struct page_record r;
    unsigned slot;
    nq_rc rc;

    if (!t->valid)
        return NQ_NOTFOUND;
    pg = page_of(t, t->depth - 1);
    slot = t->level[t->depth - 1].slot;
    if ((rc = get_key(t, pg, slot)) != NQ_OK)
        return rc;
    page_record_at(pg, slot, &r);
    *key = buf_slice(&t->key);
    *rec = (struct record){.val = r.v.val,
                           .expire_ms = r.v.expire_ms,
                           .type = PAGE_META_TYPE(r.v.meta),
                           .flags = PAGE_META_FLAGS(r.v.meta),
                           .page_lsn = pg->lsn};
    return NQ_OK;
}

nq_rc
pin_tree_rank(struct pin_tree *t, struct slice key, uint64_t *out)
{
    unsigned slot;
    bool found;
    nq_rc rc = find(t, key, &slot, &found);

    t->valid = false;
    *out = 0;
    if (rc != NQ_OK)
        return rc == NQ_NOTFOUND ? NQ_OK : rc;
    for (unsigned i = 0; i + 1 < t->depth; i++) {
        for (unsigned k = 0; k < t->level[i].slot; k++) {
            struct page_entry e;

            page_entry_at(page_of(t, i), k, &e);
            *out += e.count;
        }
    }
    *out += slot;
    return NQ_OK;
}

nq_rc
pin_tree_count(struct pin_tree *t, uint64_t *out)
{
    struct page_entry sum;
    nq_rc rc;

    *out = 0;
    t->valid = false;
    if (t->root == 0)
        return NQ_OK;
    if ((rc = load(t, 0, t->root)) != NQ_OK)
        return rc;
    if (page_of(t, 0)->level == 0) {
        *out = page_of(t, 0)->count;
        return NQ_OK;
    }
    page_entry_total(page_of(t, 0), &sum);
    *out = sum.count;
    return NQ_OK;
}

/* --- blobs ---------------------------------------------------------------- */

static nq_rc
blob_chunk_into(struct pin_tree *t, pgno id, uint64_t len, uint8_t *dst)
{
    struct slice bytes;
    nq_rc rc = read_chunk(t, id, &bytes);

    if (rc != NQ_OK)
        return rc;
    if (bytes.len == len)
        memcpy(dst, bytes.p, len);
    else
        rc = NQ_CORRUPT("chunk %u of a blob has %zu bytes, expected %llu", id,
                        bytes.len, (unsigned long long)len);
    free_bytes(&bytes);
    return rc;
}

nq_rc
pin_tree_blob(struct pin_tree *t, const struct blob_ref *ref, uint8_t *dst)
{
    struct slice ids = slice_of(&ref->root, sizeof ref->root);
    nq_rc rc = NQ_OK;

    if (ref->chunks > 1 && (rc = read_chunk(t, ref->root, &ids)) != NQ_OK)
        return rc;
    if (ids.len != (size_t)ref->chunks * 4)
        rc = NQ_CORRUPT("the index of a blob of %u chunks has %zu bytes",
                        ref->chunks, ids.len);
    for (uint32_t i = 0; rc == NQ_OK && i < ref->chunks; i++) {
        uint64_t at = (uint64_t)i * BLOB_CHUNK;
        pgno id;

        memcpy(&id, ids.p + (size_t)i * 4, 4);
        rc =
            blob_chunk_into(t, id, nq_min(ref->len - at, BLOB_CHUNK), dst + at);
    }
    if (ref->chunks > 1)
        free_bytes(&ids);
    return rc;
}

/* --- life ----------------------------------------------------------------- */

struct pin_tree *
pin_tree_new(struct pin *p, pgno root)
{
    struct pin_tree *t = nq_calloc(1, sizeof *t);
    const struct disk *d = &pin_store(p)->disk;

    t->magic = TREE_MAGIC;
    t->pin = p;
    t->root = root;
    t->from = (struct extent_from){.file = d->file,
                                   .env = &d->env,
                                   .page_size = d->frames->pub.page_size,
                                   .is_page = d->is_page};
    return t;
}

void
pin_tree_reset(struct pin_tree *t, pgno root)
{
    nq_assert(t->magic == TREE_MAGIC);
    t->root = root;
    t->valid = false;
    t->depth = 0;
}

void
pin_tree_free(struct pin_tree *t)
{
    if (t == NULL)
        return;
    nq_assert(t->magic == TREE_MAGIC);
    for (unsigned i = 0; i < BTREE_MAX_HEIGHT; i++)
        nq_free(t->level[i].bytes);
    extent_into_fini(&t->into);
    free_bytes(&t->tail);
    buf_fini(&t->key);
    t->magic = 0;
    nq_free(t);
}
