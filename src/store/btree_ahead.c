/* store/btree_ahead.c - reading ahead of walks in key order.
 *
 * A walk is seen by the leaves that cursors come to, not by the cursor: a long
 * command seeks its place again in each slice, and SCAN in each call.  For
 * each of the last few walks a *stream* keeps the parent page and the slot of
 * the leaf that it came to.  A cursor at the slot beside it goes on with the
 * stream; anything else begins one.  The parent names the leaves that come
 * next, so they are read by workers before the walk needs them.
 *
 * The distance is 2 leaves at the second leaf of a walk, and doubles whenever
 * half of what was read ahead has been walked over, up to a limit.  The limit
 * is that of the setting, halved when a good part of what was read is evicted
 * unused, and doubled again while it is used.  A random read touches no
 * cursor, and a short range ends before the second leaf: neither reads
 * ahead. */
#include "store/btree_int.h"
#include "store/frames_int.h"

#define DISTANCE_FIRST 2u
#define LIMIT_LEAST 4u
#define POOL_SHARE 8u /* of the pool is read ahead at most */

/* --- leaves beside the path ----------------------------------------------- */

/* The inner page beside the path's last one; 0: there is none under the same
 * grandparent, or that cannot be told. */
static pgno
parent_beside(struct btree *t, const struct btree_path *path, int direction)
{
    const struct btree_step *up;
    const struct page *pg;

    if (path->depth < 3)
        return 0;
    up = &path->at[path->depth - 3];
    pg = tree_peek(t, up->id);
    if (pg == NULL || (direction < 0 && up->slot == 0) ||
        (direction > 0 && up->slot + 1 >= pg->count))
        return 0;
    return page_child(pg, direction < 0 ? up->slot - 1 : up->slot + 1);
}

/* The ids of leaves `from` to `to` steps away; an inner page that is not in
 * memory stands for those below it.  Returns how many there are. */
static unsigned
leaves_near(struct btree *t, const struct btree_path *path, int direction,
            unsigned from, unsigned to, pgno *ids)
{
    const struct btree_step *at = &path->at[path->depth - 2];
    const struct page *pg = tree_peek(t, at->id);
    int64_t first = at->slot;
    pgno beside = 0;
    unsigned n = 0;

    for (unsigned k = from; k <= to && pg != NULL; k++) {
        int64_t slot = first + direction * (int64_t)k;

        if (beside == 0 && (slot < 0 || slot >= pg->count)) {
            beside = parent_beside(t, path, direction);
            first = direction > 0 ? first - pg->count : first;
            pg = beside == 0 ? NULL : tree_peek(t, beside);
            if (beside != 0 && pg == NULL)
                ids[n++] = beside;
            if (pg == NULL)
                break;
            first = direction > 0 ? first : first + pg->count;
            slot = first + direction * (int64_t)k;
        }
        if (slot < 0 || slot >= pg->count)
            break;
        ids[n++] = page_child(pg, (unsigned)slot);
    }
    return n;
}

/* --- streams -------------------------------------------------------------- */

/* How the path's leaf lies to where the stream was: 0 the same, 1 or -1
 * beside it; 2: elsewhere. */
static int
step_of(struct btree *t, const struct ahead_stream *s,
        const struct btree_path *path)
{
    const struct btree_step *at = &path->at[path->depth - 2];
    const struct page *pg;

    if (s->parent == at->id) {
        int64_t d = (int64_t)at->slot - s->slot;

        return d >= -1 && d <= 1 ? (int)d : 2;
    }
    if (at->slot == 0 && parent_beside(t, path, -1) == s->parent)
        return 1;
    pg = tree_peek(t, at->id);
    if (pg != NULL && at->slot + 1u == pg->count &&
        parent_beside(t, path, 1) == s->parent)
        return -1;
    return 2;
}

static struct ahead_stream *
find_stream(struct btree *t, struct ahead *a, const struct btree_path *path,
            int *step)
{
    struct ahead_stream *oldest = &a->streams[0];

    for (unsigned i = 0; i < AHEAD_STREAMS; i++) {
        struct ahead_stream *s = &a->streams[i];

        if (s->parent != 0 && (*step = step_of(t, s, path)) != 2)
            return s;
        if (s->stamp < oldest->stamp)
            oldest = s;
    }
    *step = 2;
    return oldest;
}

/* The limit follows what became of the pages that were read ahead. */
static unsigned
limit_now(struct frames_all *all)
{
    struct ahead *a = &all->ahead;
    uint64_t used = all->ahead_used - a->used_seen;
    uint64_t wasted = all->ahead_wasted - a->wasted_seen;
    uint64_t most =
        nq_min((uint64_t)all->tuning.ahead_most,
               (all->pool_bytes >> all->pub.page_shift) / POOL_SHARE);

    if (a->limit == 0)
        a->limit = (unsigned)most;
    if (wasted > a->limit / 4 + LIMIT_LEAST || used > 4ull * a->limit) {
        bool is_bad = wasted > used / 4;

        a->limit = is_bad ? nq_max(a->limit / 2, LIMIT_LEAST) : a->limit * 2;
        a->used_seen = all->ahead_used;
        a->wasted_seen = all->ahead_wasted;
    }
    a->limit = (unsigned)nq_min((uint64_t)a->limit, most);
    return a->limit;
}

static void
read_on(struct btree *t, struct ahead_stream *s, const struct btree_path *path)
{
    struct frames_all *all = frames_all(t->fr);
    unsigned limit = limit_now(all), n;
    pgno ids[AHEAD_MOST];

    if (limit == 0 || 2 * s->ready > s->distance)
        return;
    s->distance = s->distance == 0 ? DISTANCE_FIRST : s->distance * 2;
    s->distance = nq_min(s->distance, limit);
    if (s->ready >= s->distance)
        return;
    n = leaves_near(t, path, s->direction, s->ready + 1, s->distance, ids);
    s->ready += n;
    frames_ahead(all, ids, n);
}

/* The stream has come to the path's leaf.  What it came from was touched once
 * more on the way. */
static void
note_walk(struct frames_all *all, struct ahead_stream *s, pgno leaf)
{
    frames_note_walk(all, leaf);
    if (s->leaf != leaf)
        frames_note_walk(all, s->leaf);
    s->leaf = leaf;
}

void
tree_ahead(struct btree *t, const struct btree_path *path)
{
    struct frames_all *all = frames_all(t->fr);
    const struct btree_step *at;
    struct ahead_stream *s;
    int step;

    if (path->depth < 2 || frames_are_all_resident(all))
        return;
    at = &path->at[path->depth - 2];
    s = find_stream(t, &all->ahead, path, &step);
    s->stamp = ++all->ahead.clock;
    if (step == 2 || (step != 0 && s->direction == -step)) {
        *s = (struct ahead_stream){.stamp = s->stamp};
        s->direction = step == 2 ? 0 : step;
        s->leaf = path->at[path->depth - 1].id;
    } else if (step != 0) {
        s->direction = step;
        s->ready -= s->ready > 0;
    }
    s->parent = at->id;
    s->slot = at->slot;
    if (s->direction == 0)
        return;
    note_walk(all, s, path->at[path->depth - 1].id);
    if (step != 0 && frames_may_read_ahead(all))
        read_on(t, s, path);
}
