/* cmd/feed_range.c - an interval tree: a treap by (lo, address), each node of
 * which knows the range of its subtree that ends last.
 *
 * I1 In order, nodes rise by lo, and by address where lo is the same.
 * I2 No node weighs more than its parent; weights are drawn, so the depth is
 *    about 2 log n.
 * I3 n->farthest ends no earlier than any range below n, and is one of them.
 *
 * Called by cmd/feed_group. */
#include "cmd/feed_range.h"

#include "base/check.h"
#include "base/hash.h"

bool
feed_range_has(const struct feed_range *r, struct slice key)
{
    return slice_cmp(r->lo, key) <= 0 &&
           (!r->has_hi || slice_cmp(key, r->hi) < 0);
}

static bool
ends_after(const struct feed_range *a, const struct feed_range *b)
{
    if (!b->has_hi)
        return false;
    return !a->has_hi || slice_cmp(a->hi, b->hi) > 0;
}

/* Whether nothing of the subtree reaches `key`. */
static bool
is_left_of(const struct feed_range *n, struct slice key)
{
    const struct feed_range *last = n->farthest;

    return last->has_hi && slice_cmp(last->hi, key) <= 0;
}

static bool
is_before(const struct feed_range *a, const struct feed_range *b)
{
    int c = slice_cmp(a->lo, b->lo);

    return c != 0 ? c < 0 : (uintptr_t)a < (uintptr_t)b;
}

static void
find_farthest(struct feed_range *n)
{
    n->farthest = n;
    if (n->left != NULL && ends_after(n->left->farthest, n->farthest))
        n->farthest = n->left->farthest;
    if (n->right != NULL && ends_after(n->right->farthest, n->farthest))
        n->farthest = n->right->farthest;
}

/* Cuts the tree `n` in those before `at` and those behind it. */
static void
split(struct feed_range *n, const struct feed_range *at,
      struct feed_range **before, struct feed_range **behind)
{
    if (n == NULL) {
        *before = *behind = NULL;
    } else if (is_before(n, at)) {
        split(n->right, at, &n->right, behind);
        *before = n;
        find_farthest(n);
    } else {
        split(n->left, at, before, &n->left);
        *behind = n;
        find_farthest(n);
    }
}

/* Joins two trees, all of `a` being before all of `b`. */
static struct feed_range *
join(struct feed_range *a, struct feed_range *b)
{
    if (a == NULL || b == NULL)
        return a == NULL ? b : a;
    if (a->weight >= b->weight) {
        a->right = join(a->right, b);
        find_farthest(a);
        return a;
    }
    b->left = join(a, b->left);
    find_farthest(b);
    return b;
}

static struct feed_range *
put_below(struct feed_range *n, struct feed_range *r)
{
    if (n == NULL || n->weight < r->weight) {
        split(n, r, &r->left, &r->right);
        find_farthest(r);
        return r;
    }
    if (is_before(r, n))
        n->left = put_below(n->left, r);
    else
        n->right = put_below(n->right, r);
    find_farthest(n);
    return n;
}

void
feed_ranges_put(struct feed_ranges *rs, struct feed_range *r)
{
    nq_assert(!r->is_put);
    r->weight = (uint32_t)hash_u64(++rs->draws);
    r->is_put = true;
    rs->root = put_below(rs->root, r);
    rs->count++;
}

static struct feed_range *
remove_below(struct feed_range *n, struct feed_range *r)
{
    nq_assert(n != NULL);
    if (n == r)
        return join(r->left, r->right);
    if (is_before(r, n))
        n->left = remove_below(n->left, r);
    else
        n->right = remove_below(n->right, r);
    find_farthest(n);
    return n;
}

void
feed_ranges_remove(struct feed_ranges *rs, struct feed_range *r)
{
    if (!r->is_put)
        return;
    rs->root = remove_below(rs->root, r);
    rs->count--;
    r->is_put = false;
    r->left = r->right = r->farthest = NULL;
}

struct visit {
    struct slice from;       /* ranges that end at it or before do not count */
    const struct slice *end; /* those that begin at it or behind neither */
    bool is_point;           /* no `end`: those that begin behind `from` */
    void (*fn)(void *arg, struct feed_range *r);
    void *arg;
};

static bool
begins_behind(const struct feed_range *n, const struct visit *v)
{
    if (v->is_point)
        return slice_cmp(n->lo, v->from) > 0;
    return v->end != NULL && slice_cmp(n->lo, *v->end) >= 0;
}

static void
visit_below(struct feed_range *n, const struct visit *v)
{
    if (n == NULL || is_left_of(n, v->from))
        return;
    visit_below(n->left, v);
    if (begins_behind(n, v))
        return;
    if (!n->has_hi || slice_cmp(n->hi, v->from) > 0)
        v->fn(v->arg, n);
    visit_below(n->right, v);
}

void
feed_ranges_at(const struct feed_ranges *rs, struct slice key,
               void (*fn)(void *arg, struct feed_range *r), void *arg)
{
    visit_below(rs->root, &(struct visit){key, NULL, true, fn, arg});
}

void
feed_ranges_across(const struct feed_ranges *rs, struct slice lo,
                   const struct slice *hi,
                   void (*fn)(void *arg, struct feed_range *r), void *arg)
{
    visit_below(rs->root, &(struct visit){lo, hi, false, fn, arg});
}

/* Returns how many there are. */
static size_t
check_below(const struct feed_range *n)
{
    size_t count = 1;

    nq_assert(n->is_put && n->farthest != NULL);
    nq_assert(!ends_after(n, n->farthest));
    if (n->left != NULL) {
        nq_assert(is_before(n->left, n) && n->left->weight <= n->weight);
        nq_assert(!ends_after(n->left->farthest, n->farthest));
        count += check_below(n->left);
    }
    if (n->right != NULL) {
        nq_assert(is_before(n, n->right) && n->right->weight <= n->weight);
        nq_assert(!ends_after(n->right->farthest, n->farthest));
        count += check_below(n->right);
    }
    return count;
}

void
feed_ranges_check(const struct feed_ranges *rs)
{
    nq_assert((rs->root == NULL ? 0 : check_below(rs->root)) == rs->count);
}
