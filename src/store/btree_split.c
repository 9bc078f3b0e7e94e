/* store/btree_split.c - making room: redistribution, splits, root growth.
 *
 * A change that does not fit its leaf is mixed with the leaf's records, and
 * perhaps those of a resident neighbour under the same parent, and the
 * sequence is written out again:
 *
 *   at an end of the tree            the old leaf stays full, the new one
 *                                    gets the record (sequential loads)
 *   behind a run of inserts          what follows the run moves out, and the
 *                                    run goes on as if it were at the end
 *   a neighbour has room             both written anew, half and half
 *   a neighbour is full as well      the two become three
 *   no neighbour                     one becomes two
 *
 * The order is: plan (reads only; may miss), room in the parents (splits of
 * inner pages, each leaving a correct tree), apply.  Nothing fails after the
 * plan.  Called by btree.c. */
#include "store/btree_int.h"
#include "store/page_mix.h"

#define RUN_MIN 4 /* ascending inserts in a row that make a run */
#define ROOMY 5   /* a neighbour with this part of its page free takes some */

struct split {
    struct btree *t;
    struct btree_path *path;
    unsigned level; /* of the leaf in the path */
    struct page_mix mix;
    struct slice key;        /* the whole key of the change */
    int first;               /* slot of the first source - slot of the leaf */
    pgno id[PAGE_MIX_PARTS]; /* of the sources, then of new pages */
    bool keeps_leaf;         /* the first part is the leaf as it is */
    unsigned parts, cut[PAGE_MIX_PARTS + 1];
    struct tree_separator sep[PAGE_MIX_PARTS]; /* [i] before part i + 1 */
    _Alignas(64) uint8_t copy[PAGE_MIX_SOURCES][1 << PAGE_MAX_SHIFT];
};

/* --- planning ------------------------------------------------------------ */

/* Copies the pages that will be written anew; a value that stands in one of
 * them is from now on read from the copy. */
static const struct page *
copy_source(struct split *s, unsigned i, const struct page *pg)
{
    struct slice *val = &s->mix.value.val;
    const uint8_t *from = page_at_const(pg, 0);
    size_t size = page_size(pg);

    memcpy(s->copy[i], from, size);
    if (val->p >= from && val->p < from + size)
        val->p = s->copy[i] + (val->p - from);
    return page_of(s->copy[i]);
}

/* The leaf and, if not NULL, its neighbour. */
static void
take_sources(struct split *s, const struct page *leaf, const struct page *other)
{
    const struct page *a = copy_source(s, 0, leaf), *b = NULL;

    s->mix.at = s->path->at[s->level].slot;
    if (other != NULL)
        b = copy_source(s, 1, other);
    if (s->first < 0) {
        s->mix.at += other->count;
        page_mix_sources(&s->mix, b, a);
    } else {
        page_mix_sources(&s->mix, a, b);
    }
}

/* Does the path take the first slot of each of its pages? */
static bool
is_leftmost(const struct split *s)
{
    for (unsigned i = 0; i <= s->level; i++)
        if (s->path->at[i].slot != 0)
            return false;
    return true;
}

/* Do the inserts come in order, so that the leaf should be cut where they
 * are? */
static bool
is_in_order(const struct split *s, const struct page *leaf)
{
    unsigned slot = s->path->at[s->level].slot;

    if (s->mix.replaces)
        return false;
    if (slot == 0)
        return is_leftmost(s);
    if (slot == leaf->count && tree_is_rightmost(s->t, s->path, s->level))
        return true;
    return slot == leaf->run_slot + 1u && leaf->run_len >= RUN_MIN;
}

/* The roomier resident neighbour; NULL if there is none. */
static const struct page *
find_neighbour(struct split *s)
{
    const struct page *parent, *best = NULL;
    struct btree_step at;

    if (s->level == 0)
        return NULL;
    at = s->path->at[s->level - 1];
    parent = tree_peek(s->t, at.id);
    for (int side = -1; side <= 1; side += 2) {
        unsigned slot = at.slot + (unsigned)side;
        const struct page *pg;

        if (slot >= parent->count)
            continue;
        pg = tree_peek(s->t, page_child(parent, slot));
        if (pg == NULL || (best != NULL && page_free(pg) <= page_free(best)))
            continue;
        best = pg;
        s->first = nq_min(side, 0);
        s->id[s->first == 0 ? 1 : 0] = page_child(parent, slot);
        s->id[s->first == 0 ? 0 : 1] = s->path->at[s->level].id;
    }
    return best;
}

/* Which records become which pages. */
static void
plan_parts(struct split *s, const struct page *leaf)
{
    bool in_order = is_in_order(s, leaf), fits;
    const struct page *other;
    unsigned at;

    s->first = 0;
    s->parts = 2;
    s->keeps_leaf = false;
    other = in_order ? NULL : find_neighbour(s);
    if (other != NULL) {
        take_sources(s, leaf, other);
        s->parts = page_free(other) >= page_size(leaf) / ROOMY ? 2 : 3;
        if (page_mix_cut(&s->mix, s->parts, s->cut))
            return;
        s->parts = 2;
        s->first = 0;
    }
    take_sources(s, leaf, NULL);
    s->id[0] = s->path->at[s->level].id;
    at = s->mix.at + (s->mix.at < leaf->count);
    fits = (in_order && page_mix_cut_at(&s->mix, at, s->cut)) ||
           page_mix_cut_any(&s->mix, s->cut);
    nq_assert(fits);
    s->keeps_leaf =
        !s->mix.replaces && s->cut[1] == s->mix.at && s->mix.at == leaf->count;
}

/* The bytes of record `i`'s key that are not in the page. */
static nq_rc
tail_of(struct btree *t, const struct page_mix *m, struct slice key, unsigned i,
        const struct page_key *k, struct slice *out)
{
    if (m->changes && !m->replaces && i == m->at) {
        *out = slice_of(key.p + k->in.len, key.len - k->in.len);
        return NQ_OK;
    }
    return tree_key_tail(t, k, out);
}

nq_rc
tree_separator_plan(struct btree *t, const struct page_mix *m, struct slice key,
                    unsigned i, struct tree_separator *out)
{
    uint8_t below[KEY_ROOM];
    struct page_key a, b, *sep = &out->key;
    struct slice x, y;
    size_t common;
    nq_rc rc;

    page_mix_key(m, i - 1, below, &a);
    page_mix_key(m, i, out->bytes, &b);
    common = bytes_common(a.in.p, a.in.len, b.in.p, b.in.len);
    *sep = b;
    sep->tail = 0;
    out->rest = slice_of(NULL, 0);
    if (common < b.in.len) {
        sep->in.len = common + 1;
        sep->len = (uint32_t)sep->in.len;
        return NQ_OK;
    }
    if ((rc = tail_of(t, m, key, i - 1, &a, &x)) != NQ_OK ||
        (rc = tail_of(t, m, key, i, &b, &y)) != NQ_OK)
        return rc;
    common = bytes_common(x.p, x.len, y.p, y.len);
    nq_assert(common < y.len);
    out->rest = slice_of(y.p, common + 1);
    sep->len = (uint32_t)(sep->in.len + common + 1);
    return NQ_OK;
}

/* --- room in inner pages ------------------------------------------------- */

/* A root above the root. */
static void
grow_root(struct btree *t, struct btree_path *path)
{
    const struct page *old = tree_peek(t, t->root);
    struct page_entry e;
    struct page *pg;
    uint8_t *bytes;
    pgno id;
    bool fits;

    if (old->kind == PAGE_LEAF)
        e = tree_leaf_entry(t, old, t->root);
    else
        page_entry_total(old, &e);
    e.child = t->root;
    id = frames_new(t->fr, PAGE_INNER, &bytes);
    pg = (struct page *)(void *)bytes;
    page_init(pg, PAGE_INNER, t->fr->page_shift, old->level + 1u,
              slice_of(NULL, 0));
    fits = page_entry_insert(pg, 0, NULL, &e);
    nq_assert(fits);
    nq_assert(path->depth < BTREE_MAX_HEIGHT);
    memmove(path->at + 1, path->at, path->depth * sizeof path->at[0]);
    path->at[0] = (struct btree_step){id, 0};
    path->depth++;
    t->root = id;
}

/* Where to cut an inner page: in the middle, or at its end if the tree grows
 * there; never between `keep` and the slot before it. */
static unsigned
inner_cut(const struct page *pg, unsigned keep, bool at_end)
{
    unsigned cut = at_end ? pg->count - 1u : pg->count / 2u;

    nq_assert(pg->count >= 3 || keep == 0 || keep >= pg->count);
    if (cut == keep)
        cut = cut > 1 ? cut - 1 : cut + 1;
    nq_assert(cut >= 1 && cut < pg->count);
    return cut;
}

/* Splits the inner page at `level`; its parent has room for the key. */
static void
split_inner_at(struct btree *t, struct btree_path *path, unsigned level,
               unsigned cut, const struct page_key *sep)
{
    _Alignas(64) uint8_t copy[1 << PAGE_MAX_SHIFT];
    struct btree_step *step = &path->at[level], *up = step - 1;
    struct page *left = tree_mut(t, step->id), *right, *parent;
    const struct page *old = page_of(copy);
    struct page_entry a, b;
    uint8_t *bytes;
    pgno id = frames_new(t->fr, PAGE_INNER, &bytes);
    bool fits;

    memcpy(copy, left, page_size(left));
    right = (struct page *)(void *)bytes;
    page_entries_write(left, old, 0, cut);
    page_entries_write(right, old, cut, old->count);
    page_entry_total(left, &a);
    a.child = step->id;
    page_entry_total(right, &b);
    b.child = id;
    parent = tree_mut(t, up->id);
    page_entry_set(parent, up->slot, &a);
    fits = page_entry_insert(parent, up->slot + 1, sep, &b);
    nq_assert(fits);
    if (step->slot >= cut) {
        *step = (struct btree_step){id, step->slot - cut};
        up->slot++;
    }
}

/* Until `n` more keys fit the inner page at `level` of the path, it is cut in
 * two, and the path follows its slot.  Slots keep - 1 and keep (relative to
 * the path's slot) stay in one page.  Returns the level, which a new root
 * raises. */
static unsigned
make_inner_room(struct btree *t, struct btree_path *path, unsigned level,
                const struct page_key *seps, unsigned n, int keep)
{
    uint8_t bytes[KEY_ROOM];
    struct page_key up;

    for (;;) {
        const struct page *pg = tree_peek(t, path->at[level].id);
        unsigned cut;
        bool at_end;

        if (page_entries_fit(pg, seps, n))
            return level;
        at_end = tree_is_rightmost(t, path, level + 1);
        cut = inner_cut(pg, path->at[level].slot + (unsigned)keep, at_end);
        page_key_at(pg, cut, bytes, &up);
        if (level == 0) {
            grow_root(t, path);
            level = 1;
        }
        level = 1 + make_inner_room(t, path, level - 1, &up, 1, 1);
        split_inner_at(t, path, level, cut, &up);
    }
}

/* --- applying ------------------------------------------------------------ */

/* What does not stand in the page gets a chunk of its own. */
static void
give_tail(struct btree *t, struct tree_separator *sep)
{
    uint8_t *bytes;

    if (sep->rest.len == 0)
        return;
    sep->key.tail = frames_chunk_new(t->fr, (uint32_t)sep->rest.len, &bytes);
    memcpy(bytes, sep->rest.p, sep->rest.len);
}

bool
tree_rekey(struct btree *t, struct page *parent, unsigned slot,
           struct tree_separator *sep)
{
    uint8_t bytes[KEY_ROOM];
    struct page_key old;

    page_key_at(parent, slot, bytes, &old);
    give_tail(t, sep);
    if (!page_entry_rekey(parent, slot, &sep->key)) {
        tree_free_tail(t, sep->key.tail);
        return false;
    }
    tree_free_tail(t, old.tail);
    return true;
}

static void
write_parts(struct split *s)
{
    struct btree_step up = s->path->at[s->level - 1];
    unsigned first = up.slot + (unsigned)s->first;
    struct page *parent = tree_mut(s->t, up.id);

    for (unsigned i = 0; i < s->parts; i++) {
        bool is_new = i >= s->mix.sources, fits;
        struct page_entry e;
        uint8_t *bytes;

        if (is_new)
            s->id[i] = frames_new(s->t->fr, PAGE_LEAF, &bytes);
        else
            bytes = frames_mut(s->t->fr, s->id[i]);
        if (i > 0 || !s->keeps_leaf)
            page_mix_write(&s->mix, s->cut[i], s->cut[i + 1],
                           (struct page *)(void *)bytes);
        e = tree_leaf_entry(s->t, page_of(bytes), s->id[i]);
        if (is_new) {
            give_tail(s->t, &s->sep[i - 1]);
            fits = page_entry_insert(parent, first + i, &s->sep[i - 1].key, &e);
            nq_assert(fits);
            continue;
        }
        fits = i == 0 || tree_rekey(s->t, parent, first + i, &s->sep[i - 1]);
        nq_assert(fits);
        page_entry_set(parent, first + i, &e);
    }
}

/* Reads only. */
static nq_rc
plan(struct split *s)
{
    plan_parts(s, tree_peek(s->t, s->path->at[s->level].id));
    for (unsigned i = 1; i < s->parts; i++) {
        nq_rc rc = tree_separator_plan(s->t, &s->mix, s->key, s->cut[i],
                                       &s->sep[i - 1]);

        if (rc != NQ_OK)
            return rc;
    }
    return NQ_OK;
}

/* For the keys between the parts, in the parent of the leaf. */
static unsigned
make_leaf_room(struct split *s)
{
    struct page_key seps[PAGE_MIX_PARTS];

    for (unsigned i = 0; i + 1 < s->parts; i++)
        seps[i] = s->sep[i].key;
    return make_inner_room(s->t, s->path, s->level - 1, seps, s->parts - 1,
                           s->first < 0 ? 0 : 1);
}

nq_rc
tree_split(struct btree *t, struct btree_path *path, struct slice key,
           const struct page_key *in, const struct page_value *v, bool replaces)
{
    struct split s;
    struct page_entry e = tree_value_entry(v);
    struct btree_step leaf = path->at[path->depth - 1];
    int64_t gain = (int64_t)tree_weight(t, v);
    uint8_t bytes[KEY_ROOM];
    nq_rc rc;

    s.t = t;
    s.path = path;
    s.level = path->depth - 1;
    s.key = key;
    page_mix_init(&s.mix, t->fr->page_shift);
    s.mix.changes = true;
    s.mix.replaces = replaces;
    s.mix.value = *v;
    if (replaces) {
        page_key_at(tree_peek(t, leaf.id), leaf.slot, bytes, &s.mix.key);
        gain = tree_weight_gain(t, tree_peek(t, leaf.id), leaf.slot, v);
    } else {
        s.mix.key = *in;
    }
    e.owns |= s.mix.key.tail != 0;
    if ((rc = plan(&s)) != NQ_OK)
        return rc;
    if (s.level == 0) {
        grow_root(t, path);
        s.level = 1;
    }
    s.level = 1 + make_leaf_room(&s);
    write_parts(&s);
    tree_add(t, path, s.level - 1, gain);
    tree_raise(t, path, s.level - 1, &e);
    t->version++;
    t->shape++;
    return NQ_OK;
}
