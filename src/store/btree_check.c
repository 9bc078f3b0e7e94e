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
 * is noted, so a miss leaves no trace.  Called by tests after steps, by
 * NQ.CHECK and the tools. */
#include "store/btree_check.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/btree_int.h"

struct btree_walk {
    struct btree *t;
    struct btree_stats stats;
    const struct btree_walk_opts *opts;
    struct buf key, last, fence;
    bool has_last, has_fence, has_begun;
    struct btree_path path; /* inner pages; slot: the next child */
};

static nq_rc found(const struct page *pg, pgno id, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static nq_rc
found(const struct page *pg, pgno id, const char *fmt, ...)
{
    char text[160];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    log_error("tree page %u (level %u, %u slots): %s", id, pg->level, pg->count,
              text);
    return NQ_ECORRUPT;
}

static void
see(struct btree_walk *w, pgno id)
{
    if (w->opts->on_page != NULL)
        w->opts->on_page(w->opts->arg, id);
}

/* The whole key of the slot into w->key. */
static nq_rc
whole_key(struct btree_walk *w, const struct page *pg, unsigned slot)
{
    struct page_key k;
    struct slice tail;
    nq_rc rc;

    buf_clear(&w->key);
    page_key_at(pg, slot, buf_reserve(&w->key, KEY_ROOM), &k);
    w->key.len = k.in.len;
    if ((rc = tree_key_tail(w->t, &k, &tail)) != NQ_OK)
        return rc;
    buf_put_slice(&w->key, tail);
    if (k.tail != 0)
        see(w, k.tail);
    return w->key.len == k.len ? NQ_OK : NQ_ECORRUPT;
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
            return rc == NQ_ECORRUPT ? found(pg, id, "key %u: length", i) : rc;
        page_record_at(pg, i, &r);
        if (pg->head[i] != page_head_of(r.suffix.p, r.suffix.len))
            return found(pg, id, "head %u is not that of its key", i);
        if (w->has_last && !is_above(&w->key, &w->last, false))
            return found(pg, id, "key %u is not above the one before", i);
        if (w->has_fence && !is_above(&w->key, &w->fence, true))
            return found(pg, id, "key %u is below its separator", i);
        if (r.v.expire_ms != 0 && r.v.expire_ms < pg->earliest)
            return found(pg, id, "record %u is due before the bound", i);
        if ((PAGE_META_FLAGS(r.v.meta) & REC_OWNS || r.tail != 0) &&
            !(pg->flags & PAGE_OWNS))
            return found(pg, id, "record %u owns pages, unmarked", i);
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
        return rc == NQ_ECORRUPT ? found(pg, id, "separator %u: length", slot)
                                 : rc;
    if (pg->head[slot] != head_at(pg, &w->key))
        return found(pg, id, "head %u is not that of its key", slot);
    if (w->has_last && !is_above(&w->key, &w->last, false))
        return found(pg, id, "separator %u is not above what is before", slot);
    buf_copy(&w->fence, &w->key);
    w->has_fence = true;
    return NQ_OK;
}

/* What the parent's entry tells of the child, against the child. */
static nq_rc
check_entry(const struct btree_walk *w, const struct page *pg, pgno id,
            unsigned slot, const struct page_entry *is)
{
    struct page_entry told;

    page_entry_at(pg, slot, &told);
    if (told.count != is->count && !w->opts->ignore_counts)
        return found(pg, id, "slot %u counts %llu, has %llu", slot,
                     (unsigned long long)told.count,
                     (unsigned long long)is->count);
    if (told.earliest > is->earliest)
        return found(pg, id, "slot %u: its bound is later than the page's",
                     slot);
    if (is->owns && !told.owns)
        return found(pg, id, "slot %u owns pages, unmarked", slot);
    return NQ_OK;
}

/* The page by itself; *out: what its parent should tell of it. */
static nq_rc
check_page(struct btree_walk *w, const struct page *pg, pgno id, unsigned level,
           struct page_entry *out)
{
    see(w, id);
    if (!page_verify(page_at_const(pg, 0), w->t->fr->page_size))
        return found(pg, id, "structure");
    if (pg->level != level)
        return found(pg, id, "stands at level %u", level);
    if (pg->count == 0)
        return found(pg, id, "is empty");
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
        return found(*out, id, "structure");
    for (unsigned i = 0; i < (*out)->count && rc == NQ_OK; i++) {
        buf_clear(&w->key);
        page_key_at(*out, i, buf_reserve(&w->key, KEY_ROOM), &k);
        rc = tree_key_tail(w->t, &k, &tail);
    }
    return rc;
}

static nq_rc
bring_separator(struct btree_walk *w, const struct page *pg, unsigned slot)
{
    struct page_key k;
    struct slice tail;

    if (slot == 0)
        return NQ_OK;
    buf_clear(&w->key);
    page_key_at(pg, slot, buf_reserve(&w->key, KEY_ROOM), &k);
    return tree_key_tail(w->t, &k, &tail);
}

static nq_rc
begin(struct btree_walk *w)
{
    const struct page *root;
    struct page_entry e;
    nq_rc rc;

    if (w->t->root == 0)
        return NQ_OK;
    if ((rc = bring(w, w->t->root, &root)) != NQ_OK)
        return rc;
    w->has_begun = true;
    w->stats.height = root->level + 1u;
    return check_page(w, root, w->t->root, root->level, &e);
}

/* The next child of the last page of the path, or its end. */
static nq_rc
advance(struct btree_walk *w)
{
    struct btree_step *at = &w->path.at[w->path.depth - 1];
    struct btree_step here = *at;
    const struct page *pg, *child;
    struct page_entry is;
    nq_rc rc;

    if ((rc = tree_page(w->t, here.id, &pg)) != NQ_OK)
        return rc;
    if (here.slot == pg->count) {
        w->path.depth--;
        return NQ_OK;
    }
    if ((rc = bring_separator(w, pg, here.slot)) != NQ_OK ||
        (rc = bring(w, page_child(pg, here.slot), &child)) != NQ_OK)
        return rc;
    at->slot++;
    if ((rc = check_separator(w, pg, here.id, here.slot)) != NQ_OK ||
        (rc = check_page(w, child, page_child(pg, here.slot), pg->level - 1u,
                         &is)) != NQ_OK)
        return rc;
    return check_entry(w, pg, here.id, here.slot, &is);
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
btree_walk_free(struct btree_walk *w, struct btree_stats *stats)
{
    if (w == NULL)
        return;
    if (stats != NULL)
        *stats = w->stats;
    buf_fini(&w->key);
    buf_fini(&w->last);
    buf_fini(&w->fence);
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
