/* cmd/patterns.c - patterns in buckets by their anchor.
 *
 * The anchor of a pattern is what every name it matches must begin with: the
 * literal bytes before its first wildcard; if there are none, what the name
 * must end with: the literal bytes behind its last one, if there are neither
 * classes nor escapes in it; ANCHOR_MAX bytes at most.  Patterns of the same
 * anchor share a bucket, found by hash.
 *
 * I1 used[side][n] buckets have an anchor of n bytes at that side, so a name
 *    is looked up only for lengths that occur.
 *
 * Called by cmd/pubsub. */
#include "cmd/patterns.h"

#include "base/hash.h"
#include "base/mem.h"

#define ANCHOR_MAX 32

enum side { SIDE_BEGIN, SIDE_END, SIDES };

struct pattern_bucket {
    struct hash_node node; /* stays first */
    struct list patterns;
    enum side side;
    uint32_t len;
    uint8_t anchor[ANCHOR_MAX];
};

struct patterns {
    struct hash buckets[SIDES];
    uint32_t used[SIDES][ANCHOR_MAX + 1];
};

static struct pattern_bucket *
bucket_of(struct hash_node *n)
{
    return nq_container(n, struct pattern_bucket, node);
}

static bool
has_anchor(const struct hash_node *n, const void *key)
{
    const struct pattern_bucket *b = (const struct pattern_bucket *)n;

    return slice_eq(slice_of(b->anchor, b->len), *(const struct slice *)key);
}

static bool
is_special(uint8_t c)
{
    return c == '*' || c == '?' || c == '[' || c == ']' || c == '\\';
}

/* The anchor of `text`, and at which side it is. */
static struct slice
anchor_of(struct slice text, enum side *side)
{
    size_t begin = 0, end = 0;

    while (begin < text.len && !is_special(text.p[begin]))
        begin++;
    *side = SIDE_BEGIN;
    if (begin > 0 || text.len == 0 || text.p[0] != '*')
        return slice_of(text.p, nq_min(begin, (size_t)ANCHOR_MAX));
    *side = SIDE_END;
    if (memchr(text.p, '[', text.len) != NULL ||
        memchr(text.p, '\\', text.len) != NULL)
        return slice_of(text.p, 0); /* what is literal takes more to tell */
    while (!is_special(text.p[text.len - 1 - end]))
        end++;
    end = nq_min(end, (size_t)ANCHOR_MAX);
    return slice_of(text.p + text.len - end, end);
}

struct patterns *
patterns_new(void)
{
    return nq_calloc(1, sizeof(struct patterns));
}

void
patterns_free(struct patterns *ps)
{
    if (ps == NULL)
        return;
    for (int side = 0; side < SIDES; side++) {
        nq_assert(ps->buckets[side].count == 0);
        hash_fini(&ps->buckets[side]);
    }
    nq_free(ps);
}

void
patterns_add(struct patterns *ps, struct pattern *p)
{
    enum side side;
    struct slice anchor = anchor_of(p->text, &side);
    uint64_t hv = hash_bytes(anchor);
    struct hash_node *n =
        hash_find(&ps->buckets[side], hv, has_anchor, &anchor);
    struct pattern_bucket *b;

    if (n == NULL) {
        b = nq_calloc(1, sizeof *b);
        b->side = side;
        b->len = (uint32_t)anchor.len;
        if (anchor.len > 0)
            memcpy(b->anchor, anchor.p, anchor.len);
        list_init(&b->patterns);
        hash_insert(&ps->buckets[side], &b->node, hv);
        ps->used[side][b->len]++;
    } else {
        b = bucket_of(n);
    }
    p->bucket = b;
    list_push_back(&b->patterns, &p->link);
}

void
patterns_remove(struct patterns *ps, struct pattern *p)
{
    struct pattern_bucket *b = p->bucket;

    list_remove(&p->link);
    p->bucket = NULL;
    if (!list_empty(&b->patterns))
        return;
    ps->used[b->side][b->len]--;
    hash_remove(&ps->buckets[b->side], &b->node);
    nq_free(b);
}

void
patterns_match(struct patterns *ps, struct slice name,
               void (*fn)(struct pattern *p, void *arg), void *arg)
{
    for (int side = 0; side < SIDES; side++) {
        for (size_t n = 0; n <= ANCHOR_MAX && n <= name.len; n++) {
            struct slice anchor = slice_of(
                side == SIDE_BEGIN ? name.p : name.p + name.len - n, n);
            struct hash_node *node;

            if (ps->used[side][n] == 0)
                continue;
            node = hash_find(&ps->buckets[side], hash_bytes(anchor), has_anchor,
                             &anchor);
            if (node == NULL)
                continue;
            list_each(it, &bucket_of(node)->patterns)
            {
                struct pattern *p = nq_container(it, struct pattern, link);

                if (slice_glob(p->text, name, false))
                    fn(p, arg);
            }
        }
    }
}
