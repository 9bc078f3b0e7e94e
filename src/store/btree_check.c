/* store/btree_check.c - the whole tree against its invariants (B1-B5 at the
 * top of btree.c, P1-P4 and N1-N2 of the pages).
 *
 * One walk in key order.  It remembers the last key and the last separator
 * that it passed: each separator must be above the last key, each key above
 * the last key and not below the last separator; that is order and fences
 * both.
 *
 * The walk goes page by page and can stop after any: where it is is a path of
 * page numbers.  All that a page needs is brought in before anything of it
 * is noted, so a miss leaves no trace.
 *
 * At each level it keeps the separators on both sides of the page there, so
 * that whatever happens to the page the keys are known that it stands for.
 * Called by tests after steps, by NQ.CHECK and the tools. */
#include "store/btree_check.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/btree_int.h"

/* The separators around a page. */
struct bounds {
    struct buf low, high;
    bool has_high;
};

struct btree_walk {
    struct btree *t;
    struct btree_stats stats;
    const struct btree_walk_opts *opts;
    struct buf key, last, fence;
    bool has_last, has_fence, has_begun, has_gaps, is_tail;
    struct btree_path path; /* inner pages; slot: the next child */
    /* By depth: that of path.at[i].  One more for a leaf. */
    struct bounds bounds[BTREE_MAX_HEIGHT + 1];
    unsigned at;          /* depth of the page that is told */
    unsigned level;       /* of that page */
    uint64_t rank, count; /* elements before it, and in it */
};

static nq_rc found(struct btree_walk *w, const struct page *pg, pgno id,
                   const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static nq_rc
found(struct btree_walk *w, const struct page *pg, pgno id, const char *fmt,
      ...)
{
    char text[160];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    w->is_tail = false;
    if (w->opts->on_damage != NULL)
        w->opts->on_damage(w->opts->arg, id, NQ_ECORRUPT, text);
    else
        log_error("tree page %u (level %u, %u slots): %s", id, pg->level,
                  pg->count, text);
    return NQ_ECORRUPT;
}

/* Damage ends the walk, unless there is somebody to tell. */
static nq_rc
leave_out(struct btree_walk *w, nq_rc rc)
{
    if (w->opts->on_damage == NULL || (rc != NQ_ECORRUPT && rc != NQ_EIO))
        return rc;
    w->has_gaps = true;
    return NQ_OK;
}

static void
see(struct btree_walk *w, pgno id, bool is_tail)
{
    w->is_tail = is_tail;
    if (w->opts->on_page != NULL)
        w->opts->on_page(w->opts->arg, id);
}

static bool
is_going_on(const struct btree_walk *w)
{
    return w->opts->on_damage != NULL;
}

/* The whole key of the slot into w->key.  NQ_ECORRUPT: told, and only the part
 * in the page is there. */
static nq_rc
whole_key(struct btree_walk *w, const struct page *pg, unsigned slot)
{
    struct page_key k;
    struct slice tail;
    nq_rc rc;

    buf_clear(&w->key);
    page_key_at(pg, slot, buf_reserve(&w->key, KEY_ROOM), &k);
    w->key.len = k.in.len;
    rc = tree_key_tail(w->t, &k, &tail);
    if (rc == NQ_OK)
        buf_put_slice(&w->key, tail);
    if (k.tail != 0 && (rc == NQ_OK || leave_out(w, rc) == NQ_OK))
        see(w, k.tail, true);
    if (rc == NQ_ECORRUPT && is_going_on(w))
        w->opts->on_damage(w->opts->arg, k.tail, rc, NULL);
    if (rc == NQ_OK && w->key.len != k.len)
        return found(w, pg, k.tail, "length of a key: %u, found %zu", k.len,
                     w->key.len);
    return rc;
}

static void
buf_copy(struct buf *dst, const struct buf *src)
{
    buf_clear(dst);
    buf_put_slice(dst, buf_slice(src));
}

static bool
is_above(const struct buf *key, const struct buf *other, bool or_equal)
{
    int c = slice_cmp(buf_slice(key), buf_slice(other));

    return or_equal ? c >= 0 : c > 0;
}

static uint32_t
head_at(const struct page *pg, const struct buf *key)
{
    size_t skip = pg->prefix_len;

    size_t in = nq_min(key->len, (size_t)page_max_key(pg->shift) + 1);

    return page_head_of(key->p + skip, in - skip);
}

static void
tell_record(struct btree_walk *w, const struct page *pg, unsigned slot)
{
    struct record rec;

    if (w->opts->on_record == NULL)
        return;
    tree_record(pg, slot, &rec);
    w->opts->on_record(w->opts->arg, &rec);
}

static nq_rc
check_leaf(struct btree_walk *w, const struct page *pg, pgno id)
{
    struct page_record r;
    nq_rc rc;

    for (unsigned i = 0; i < pg->count; i++) {
        if ((rc = whole_key(w, pg, i)) != NQ_OK)
            return rc == NQ_ECORRUPT ? found(w, pg, id, "key %u: length", i)
                                     : rc;
        page_record_at(pg, i, &r);
        if (pg->head[i] != page_head_of(r.suffix.p, r.suffix.len))
            return found(w, pg, id, "head %u is not that of its key", i);
        if (w->has_last && !is_above(&w->key, &w->last, false))
            return found(w, pg, id, "key %u is not above the one before", i);
        if (w->has_fence && !is_above(&w->key, &w->fence, true))
            return found(w, pg, id, "key %u is below its separator", i);
        if (r.v.expire_ms != 0 && r.v.expire_ms < pg->earliest)
            return found(w, pg, id, "record %u is due before the bound", i);
        if ((PAGE_META_FLAGS(r.v.meta) & REC_OWNS || r.tail != 0) &&
            !(pg->flags & PAGE_OWNS))
            return found(w, pg, id, "record %u owns pages, unmarked", i);
        buf_copy(&w->last, &w->key);
        w->has_last = true;
        tell_record(w, pg, i);
    }
    w->stats.records += pg->count;
    return NQ_OK;
}

/* The separator before the child of `slot`; its tail is in memory. */
static nq_rc
check_separator(struct btree_walk *w, const struct page *pg, pgno id,
                unsigned slot)
{
    nq_rc rc;

    if (slot == 0)
        return NQ_OK;
    if ((rc = whole_key(w, pg, slot)) != NQ_OK)
        return rc;
    if (pg->head[slot] != head_at(pg, &w->key))
        return found(w, pg, id, "head %u is not that of its key", slot);
    if (w->has_last && !is_above(&w->key, &w->last, false))
        return found(w, pg, id, "separator %u is not above what is before",
                     slot);
    buf_copy(&w->fence, &w->key);
    w->has_fence = true;
    return NQ_OK;
}

/* What the parent's entry tells of the child, against the child. */
static nq_rc
check_entry(struct btree_walk *w, const struct page *pg, pgno id, unsigned slot,
            const struct page_entry *is)
{
    struct page_entry told;

    page_entry_at(pg, slot, &told);
    if (told.count != is->count && !w->opts->ignore_counts)
        return found(w, pg, id, "slot %u counts %llu, has %llu", slot,
                     (unsigned long long)told.count,
                     (unsigned long long)is->count);
    if (told.earliest > is->earliest)
        return found(w, pg, id, "slot %u: its bound is later than the page's",
                     slot);
    if (is->owns && !told.owns)
        return found(w, pg, id, "slot %u owns pages, unmarked", slot);
    return NQ_OK;
}

/* The page by itself; *out: what its parent should tell of it. */
static nq_rc
check_page(struct btree_walk *w, const struct page *pg, pgno id, unsigned level,
           struct page_entry *out)
{
    w->level = level;
    see(w, id, false);
    if (!page_verify(page_at_const(pg, 0), w->t->fr->page_size))
        return found(w, pg, id, "structure");
    if (pg->level != level)
        return found(w, pg, id, "stands at level %u", level);
    if (pg->count == 0)
        return found(w, pg, id, "is empty");
    w->stats.page_bytes += page_size(pg);
    w->stats.used_bytes += page_used(pg) + PAGE_HEADER;
    if (pg->kind == PAGE_LEAF) {
        w->stats.leaves++;
        *out = tree_leaf_entry(w->t, pg, id);
        return check_leaf(w, pg, id);
    }
    w->stats.inners++;
    page_entry_total(pg, out);
    nq_assert(w->path.depth < BTREE_MAX_HEIGHT);
    w->path.at[w->path.depth++] = (struct btree_step){id, 0};
    return NQ_OK;
}

/* --- going on --------------------------------------------------------------
 */

/* The page, and if it is a leaf the tails of its keys, in memory. */
static nq_rc
bring(struct btree_walk *w, pgno id, const struct page **out)
{
    nq_rc rc = tree_page(w->t, id, out);
    struct page_key k;
    struct slice tail;

    if (rc != NQ_OK || (*out)->kind != PAGE_LEAF ||
        !((*out)->flags & PAGE_OWNS))
        return rc;
    if (!page_verify(page_at_const(*out, 0), w->t->fr->page_size))
        return found(w, *out, id, "structure");
    for (unsigned i = 0; i < (*out)->count; i++) {
        buf_clear(&w->key);
        page_key_at(*out, i, buf_reserve(&w->key, KEY_ROOM), &k);
        rc = tree_key_tail(w->t, &k, &tail);
        if (rc != NQ_OK && !(rc == NQ_ECORRUPT && is_going_on(w)))
            return rc;
    }
    return NQ_OK;
}

/* Of a separator whose tail is damaged: what is in the page. */
static nq_rc
put_bound(struct btree_walk *w, const struct page *pg, unsigned slot,
          struct buf *dst)
{
    struct page_key k;
    struct slice tail;
    nq_rc rc;

    buf_clear(dst);
    page_key_at(pg, slot, buf_reserve(dst, KEY_ROOM), &k);
    dst->len = k.in.len;
    rc = tree_key_tail(w->t, &k, &tail);
    if (rc == NQ_OK)
        buf_put_slice(dst, tail);
    return rc == NQ_ECORRUPT ? NQ_OK : rc;
}

/* Of the child in `slot` of the last page of the path. */
static nq_rc
set_bounds(struct btree_walk *w, const struct page *pg, unsigned slot)
{
    unsigned depth = w->path.depth;
    struct bounds *of = &w->bounds[depth], *parent = &w->bounds[depth - 1];
    nq_rc rc = NQ_OK;

    if (slot > 0)
        rc = put_bound(w, pg, slot, &of->low);
    else
        buf_copy(&of->low, &parent->low);
    if (rc != NQ_OK)
        return rc;
    of->has_high = slot + 1 < pg->count || parent->has_high;
    if (slot + 1 < pg->count)
        return put_bound(w, pg, slot + 1, &of->high);
    buf_copy(&of->high, &parent->high);
    return NQ_OK;
}

/* A page that cannot be had. */
static nq_rc
lose(struct btree_walk *w, pgno id, unsigned level, nq_rc rc)
{
    if (leave_out(w, rc) != NQ_OK)
        return rc;
    w->level = level;
    w->is_tail = false;
    w->opts->on_damage(w->opts->arg, id, rc, NULL);
    return NQ_OK;
}

static bool
is_for_now(nq_rc rc)
{
    return rc == NQ_MISS || rc == NQ_EPOOL;
}

static nq_rc
begin(struct btree_walk *w)
{
    const struct page *root;
    struct page_entry e;
    nq_rc rc;

    if (w->t->root == 0)
        return NQ_OK;
    rc = bring(w, w->t->root, &root);
    if (is_for_now(rc))
        return rc;
    w->has_begun = true;
    if (rc != NQ_OK) {
        w->level = BTREE_MAX_HEIGHT; /* nobody tells */
        see(w, w->t->root, false);
        return lose(w, w->t->root, BTREE_MAX_HEIGHT, rc);
    }
    w->stats.height = root->level + 1u;
    return leave_out(w, check_page(w, root, w->t->root, root->level, &e));
}

/* The child that was brought, or could not be. */
static nq_rc
visit(struct btree_walk *w, const struct page *pg, struct btree_step here,
      const struct page *child, nq_rc brought)
{
    pgno id = page_child(pg, here.slot);
    struct page_entry is;
    nq_rc rc = check_separator(w, pg, here.id, here.slot);

    if (rc != NQ_OK && leave_out(w, rc) != NQ_OK)
        return rc;
    if (brought != NQ_OK) {
        w->level = pg->level - 1u;
        see(w, id, false);
        return lose(w, id, w->level, brought);
    }
    rc = check_page(w, child, id, pg->level - 1u, &is);
    if (rc == NQ_OK)
        rc = check_entry(w, pg, here.id, here.slot, &is);
    return leave_out(w, rc);
}

/* The next child of the last page of the path; all that it needs is there. */
static nq_rc
next_child(struct btree_walk *w, const struct page *pg)
{
    struct btree_step *at = &w->path.at[w->path.depth - 1];
    struct btree_step here = *at;
    const struct page *child = NULL;
    unsigned depth = w->path.depth;
    struct page_entry told;
    nq_rc rc;

    if ((rc = set_bounds(w, pg, here.slot)) != NQ_OK)
        return rc;
    rc = bring(w, page_child(pg, here.slot), &child);
    if (is_for_now(rc))
        return rc;
    at->slot++;
    page_entry_at(pg, here.slot, &told);
    w->at = depth;
    w->count = told.count;
    rc = visit(w, pg, here, child, rc);
    if (w->path.depth == depth) /* its children are not next */
        w->rank += told.count;
    return rc;
}

static nq_rc
advance(struct btree_walk *w)
{
    struct btree_step here = w->path.at[w->path.depth - 1];
    const struct page *pg;
    nq_rc rc = tree_page(w->t, here.id, &pg);

    if (is_for_now(rc))
        return rc;
    if (rc == NQ_OK && here.slot < pg->count)
        return next_child(w, pg);
    w->at = --w->path.depth;
    return rc == NQ_OK ? rc : lose(w, here.id, w->level + 1, rc);
}

struct btree_walk *
btree_walk_new(struct btree *t, const struct btree_walk_opts *opts)
{
    struct btree_walk *w = nq_calloc(1, sizeof *w);

    w->t = t;
    w->opts = opts;
    return w;
}

nq_rc
btree_walk_step(struct btree_walk *w, unsigned pages)
{
    nq_rc rc = NQ_OK;

    if (!w->has_begun && ((rc = begin(w)) != NQ_OK || !w->has_begun))
        return rc;
    while (w->path.depth > 0 && rc == NQ_OK) {
        if (pages-- == 0)
            return NQ_AGAIN;
        rc = advance(w);
    }
    return rc;
}

void
btree_walk_range(const struct btree_walk *w, struct btree_range *out)
{
    const struct bounds *of = &w->bounds[w->at];

    *out = (struct btree_range){
        .low = buf_slice(&of->low),
        .high = buf_slice(&of->high),
        .has_high = of->has_high,
        .rank = w->rank,
        .count = w->count,
        .level = w->level,
        .is_tail = w->is_tail,
    };
}

struct slice
btree_walk_key(const struct btree_walk *w)
{
    return buf_slice(&w->last);
}

bool
btree_walk_has_gaps(const struct btree_walk *w)
{
    return w->has_gaps;
}

void
btree_walk_free(struct btree_walk *w, struct btree_stats *stats)
{
    if (w == NULL)
        return;
    if (stats != NULL)
        *stats = w->stats;
    buf_fini(&w->key);
    buf_fini(&w->last);
    buf_fini(&w->fence);
    for (unsigned i = 0; i < nq_countof(w->bounds); i++) {
        buf_fini(&w->bounds[i].low);
        buf_fini(&w->bounds[i].high);
    }
    nq_free(w);
}

nq_rc
btree_check(struct btree *t, struct btree_stats *stats,
            void (*on_page)(void *arg, pgno id), void *arg)
{
    struct btree_walk_opts opts = {.on_page = on_page, .arg = arg};
    struct btree_walk *w = btree_walk_new(t, &opts);
    nq_rc rc;

    while ((rc = btree_walk_step(w, UINT_MAX)) == NQ_AGAIN)
        ;
    btree_walk_free(w, stats);
    return rc;
}
