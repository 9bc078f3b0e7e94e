/* cmd/cmd_range_parse.c - bounds of ordered reads, as half-open ranges.
 *
 * Every bound becomes "at least this key" or "below this key": the key right
 * behind k in bytewise order is k with a zero byte appended, and the first
 * key behind all that begin with p is p with its last byte that is not 255
 * raised by one and what follows cut off. */
#include "cmd/cmd_range.h"

struct slice
range_behind(struct req *rq, struct slice key)
{
    uint8_t *p = arena_alloc(rq->arena, key.len + 1);

    if (key.len > 0)
        memcpy(p, key.p, key.len);
    p[key.len] = 0;
    return slice_of(p, key.len + 1);
}

/* The word without its bracket; *open: "(" stood there. */
static struct slice
strip_bracket(struct slice word, bool *open)
{
    *open = word.len > 0 && word.p[0] == '(';
    if (word.len > 0 && (word.p[0] == '(' || word.p[0] == '['))
        return slice_of(word.p + 1, word.len - 1);
    return word;
}

struct range
range_parse(struct req *rq, struct slice start, struct slice end)
{
    struct range r = {.lo = slice_lit(""), .hi = slice_lit("")};
    bool open;
    struct slice key;

    if (slice_eq(start, slice_lit("+")) || slice_eq(end, slice_lit("-"))) {
        r.is_empty = true;
        return r;
    }
    if (!slice_eq(start, slice_lit("-"))) {
        key = strip_bracket(start, &open);
        r.lo = open ? range_behind(rq, key) : key;
    }
    if (!slice_eq(end, slice_lit("+"))) {
        key = strip_bracket(end, &open);
        r.hi = open ? key : range_behind(rq, key);
        r.has_hi = true;
    }
    r.is_empty = r.has_hi && slice_cmp(r.lo, r.hi) >= 0;
    return r;
}

struct range
range_of_prefix(struct req *rq, struct slice prefix)
{
    struct range r = {.lo = prefix, .hi = slice_lit("")};
    size_t n = prefix.len;
    uint8_t *p;

    while (n > 0 && prefix.p[n - 1] == UINT8_MAX)
        n--;
    if (n == 0)
        return r;
    p = arena_memdup(rq->arena, prefix.p, n);
    p[n - 1]++;
    r.hi = slice_of(p, n);
    r.has_hi = true;
    return r;
}

struct slice
range_glob_prefix(struct req *rq, struct slice pattern, bool *is_whole)
{
    uint8_t *p = arena_alloc(rq->arena, pattern.len + 1);
    size_t n = 0, i = 0;

    while (i < pattern.len && strchr("*?[", pattern.p[i]) == NULL) {
        if (pattern.p[i] == '\\' && i + 1 < pattern.len)
            i++;
        p[n++] = pattern.p[i++];
    }
    /* A zero byte stops the search: strchr() finds it in any string. */
    *is_whole = i == pattern.len;
    return slice_of(p, n);
}
