/* store/btree_int.h - what the files of the tree share: btree.c, btree_split.c,
 * btree_merge.c, btree_cursor.c, btree_count.c, btree_range.c, btree_probe.c,
 * btree_check.c. */
#ifndef NQ_STORE_BTREE_INT_H
#define NQ_STORE_BTREE_INT_H

#include "base/check.h"
#include "store/btree.h"
#include "store/frames.h"
#include "store/page_search.h"

#define KEY_ROOM (1 << (PAGE_MAX_SHIFT - 2)) /* any key's in-page part */

#define LEAF_LINES                                                             \
    7 /* of a leaf's header and heads, worth asking for ahead                  \
       */

/* Always inline: gcc takes a call of a function that only prefetches for one
 * without effect, and drops it. */
static inline __attribute__((always_inline)) void
tree_prefetch(const void *p, unsigned lines)
{
    for (unsigned i = 0; i < lines; i++)
        __builtin_prefetch((const uint8_t *)p + (size_t)64 * i);
}

static inline const struct page *
page_of(const uint8_t *bytes)
{
    return (const struct page *)(const void *)bytes;
}

static inline NQ_MUST_USE nq_rc
tree_page(struct btree *t, pgno id, const struct page **out)
{
    const uint8_t *bytes;
    nq_rc rc = frames_page(t->fr, id, &bytes);

    if (nq_likely(rc == NQ_OK))
        *out = page_of(bytes);
    return rc;
}

/* Resident or NULL; notes nothing. */
static inline const struct page *
tree_peek(const struct btree *t, pgno id)
{
    return page_of(frames_peek(t->fr, id));
}

static inline struct page *
tree_mut(struct btree *t, pgno id)
{
    return (struct page *)(void *)frames_mut(t->fr, id);
}

static inline void
tree_record(const struct page *pg, unsigned slot, struct record *out)
{
    struct page_record r;

    record_decode(pg, page_offs(pg)[slot], &r);
    *out = (struct record){.val = r.v.val,
                           .expire_ms = r.v.expire_ms,
                           .type = PAGE_META_TYPE(r.v.meta),
                           .flags = PAGE_META_FLAGS(r.v.meta),
                           .page_lsn = pg->lsn};
}

/* A page_tail_fn; `arg` is the struct frames. */
nq_rc tree_tail(void *arg, pgno tail, struct slice *out);

/* The whole of a page's key: `in` stands in the page, the tail is looked up. */
NQ_MUST_USE nq_rc tree_key_tail(struct btree *t, const struct page_key *key,
                                struct slice *tail);

/* From the root to the leaf for `key`; the last step's slot is not set.
 * The tree is not empty. */
NQ_MUST_USE nq_rc tree_descend(struct btree *t, struct slice key,
                               struct btree_path *path,
                               const struct page **leaf);

/* A place that a cursor may take. */
struct spot {
    const struct page *pg;  /* the leaf */
    struct btree_path path; /* the last step is the leaf's */
};
/* To the first (last, if `back`) record of the neighbouring leaf.
 * NQ_NOTFOUND: there is none. */
NQ_MUST_USE nq_rc spot_step_aside(struct btree *t, struct spot *s, bool back);
NQ_MUST_USE nq_rc cursor_take(struct btree_cursor *c, const struct spot *s);
nq_rc cursor_take_end(struct btree_cursor *c);

/* A cursor has come to the leaf at the end of `path`: reads ahead of it if
 * this is a walk (btree_ahead.c). */
void tree_ahead(struct btree *t, const struct btree_path *path);

/* Does the path take the last slot of each of its first `levels` pages? */
bool tree_is_rightmost(struct btree *t, const struct btree_path *path,
                       unsigned levels);
/* The path to the last record. */
NQ_MUST_USE nq_rc tree_rightmost(struct btree *t, struct btree_path *path);

/* Frees the chunk with a key's tail, if it has one. */
void tree_free_tail(struct btree *t, pgno tail);

/* How many elements a record stands for (see the counts in btree.h).  A value
 * too short to say it came from a damaged page; it must do no harm. */
static inline uint64_t
tree_weight(const struct btree *t, const struct page_value *v)
{
    uint16_t weight;

    if (nq_likely(!t->weighted) || PAGE_META_FLAGS(v->meta) & REC_OWNS ||
        v->val.len < sizeof weight)
        return 1;
    memcpy(&weight, v->val.p, sizeof weight);
    return weight;
}

uint64_t tree_weight_at(const struct btree *t, const struct page *leaf,
                        unsigned slot);
/* The elements of the slots [lo, hi) of a leaf. */
uint64_t tree_weight_of(const struct btree *t, const struct page *leaf,
                        unsigned lo, unsigned hi);

/* What the elements of the tree become more by if `v` replaces the slot's. */
int64_t tree_weight_gain(const struct btree *t, const struct page *leaf,
                         unsigned slot, const struct page_value *v);

/* What the parent must know of a leaf. */
struct page_entry tree_leaf_entry(const struct btree *t,
                                  const struct page *leaf, pgno id);
/* The bounds that a value asks for. */
struct page_entry tree_value_entry(const struct page_value *v);
/* Lowers the expiry bounds and sets the owner marks of levels [0, levels) of
 * the path to cover `e`; stops where they do already. */
void tree_raise(struct btree *t, const struct btree_path *path, unsigned levels,
                const struct page_entry *e);
/* Adds `count` to the entries of levels [0, levels). */
void tree_add(struct btree *t, const struct btree_path *path, unsigned levels,
              int64_t count);

/* --- btree_split.c ------------------------------------------------------- */

/* The change that does not fit the leaf at the end of `path`: an insert
 * before the last step's slot, or a replacement of it.  `key` is the whole
 * key.  NQ_OK or, with nothing changed, why not. */
NQ_MUST_USE nq_rc tree_split(struct btree *t, struct btree_path *path,
                             struct slice key, const struct page_key *in,
                             const struct page_value *v, bool replaces);

struct page_mix;

/* A key between two leaves.  What does not stand in the page is in `rest`,
 * for a chunk of its own. */
struct tree_separator {
    struct page_key key; /* its bytes are those below */
    struct slice rest;
    uint8_t bytes[KEY_ROOM];
};

/* The shortest key that is above record i - 1 of the mix and not above record
 * i; `key` is the whole key of the mix's change, if it has one. */
NQ_MUST_USE nq_rc tree_separator_plan(struct btree *t, const struct page_mix *m,
                                      struct slice key, unsigned i,
                                      struct tree_separator *out);
/* Makes it the key of the parent's slot; the old one's tail goes.  False, and
 * nothing changed: there is no room for it. */
bool tree_rekey(struct btree *t, struct page *parent, unsigned slot,
                struct tree_separator *sep);

/* --- btree_merge.c ------------------------------------------------------- */

/* After records left the page at `level` of the path, whose slots are right
 * from the root down: frees it if it is empty, joins it with a resident
 * neighbour if it is under-full, and so on upwards; lowers the root. */
void tree_shrink(struct btree *t, struct btree_path *path, unsigned level);

/* Joins the children `slot` and slot + 1 of the page at `level` - 1, if both
 * are in memory and fit one page. */
bool tree_join(struct btree *t, const struct btree_path *path, unsigned level,
               unsigned slot);

/* Takes the entry of the path's slot out of the page at `level`; the child
 * itself is the caller's. */
void tree_remove_child(struct btree *t, const struct btree_path *path,
                       unsigned level);

#endif
