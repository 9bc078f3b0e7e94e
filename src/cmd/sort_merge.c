/* cmd/sort_merge.c - a bottom-up merge sort that can pause.
 *
 * Passes with runs of 1, 2, 4 ... items; each merges pairs of neighbouring
 * runs from one array into the other.  What is between two steps:
 *
 *   [left, left_end)    what is left of the first run of the pair
 *   [right, right_end)  of the second one, directly behind the first at its
 *                       start; empty at the end of the array
 *   put                 where the next item goes */
#include "cmd/sort_merge.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"

/* The pair of runs that begins at `at`. */
static void
begin_pair(struct sorter *s, size_t at)
{
    s->left = s->put = at;
    s->left_end = s->right = nq_min(at + s->width, s->n);
    s->right_end = nq_min(s->right + s->width, s->n);
}

void
sorter_init(struct sorter *s, struct sort_item *items, size_t n,
            sort_compare *compare, const void *arg)
{
    *s = (struct sorter){.items = items,
                         .from = items,
                         .n = n,
                         .width = 1,
                         .compare = compare,
                         .arg = arg};
    s->other = s->to = nq_malloc(nq_max(n, 1u) * sizeof *items);
    begin_pair(s, 0);
}

void
sorter_fini(struct sorter *s)
{
    nq_free(s->other);
    s->other = NULL;
}

/* Up to `steps` items of the pair. */
static void
merge_some(struct sorter *s, size_t steps)
{
    while (steps-- > 0 && s->left < s->left_end && s->right < s->right_end) {
        bool take_right =
            s->compare(s->arg, &s->from[s->right], &s->from[s->left]) < 0;

        s->to[s->put++] = s->from[take_right ? s->right++ : s->left++];
    }
}

/* One run is used up: the rest of the other follows as it is. */
static void
end_pair(struct sorter *s)
{
    size_t n = s->left_end - s->left;

    memcpy(&s->to[s->put], &s->from[s->left], n * sizeof *s->to);
    s->put += n;
    n = s->right_end - s->right;
    memcpy(&s->to[s->put], &s->from[s->right], n * sizeof *s->to);
    s->put += n;
    nq_dassert(s->put == s->right_end);
}

static void
end_pass(struct sorter *s)
{
    struct sort_item *swap = s->from;

    s->from = s->to;
    s->to = swap;
    s->width *= 2;
    begin_pair(s, 0);
}

bool
sorter_run(struct sorter *s, size_t steps)
{
    while (s->width < s->n) {
        size_t before = s->put;

        merge_some(s, steps);
        if (s->left < s->left_end && s->right < s->right_end)
            return true;
        end_pair(s);
        steps -= nq_min(steps, s->put - before);
        if (s->right_end < s->n)
            begin_pair(s, s->right_end);
        else
            end_pass(s);
        if (steps == 0)
            return true;
    }
    if (s->from != s->items)
        memcpy(s->items, s->from, s->n * sizeof *s->items);
    s->from = s->items;
    return false;
}
