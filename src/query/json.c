/* query/json.c - values out of JSON, read by yajl.
 *
 * yajl tells what it meets one by one; nothing is built.  A path of k steps
 * ends in a container of depth k, so containers that are nested deeper than
 * the longest path are only counted.  For each path `level` says how many of
 * its steps the open containers fit: a member of the innermost one, at depth
 * d, is met by step d - 1 of those with level d - 1.
 *
 * The whole text is given to yajl in one piece, so texts without escapes are
 * told as pointers into it.  A callback that returns 0 ends the reading: all
 * was found, or nesting is too deep. */
#include "query/json.h"

#include <yajl/yajl_parse.h>

#include "base/check.h"
#include "base/mem.h"

struct reader {
    struct slice text;
    struct json_want *wants;
    uint32_t n, left; /* wants, and those not done */
    enum json_until until;
    struct json_want *open; /* JSON_SOURCE: its end is awaited */
    uint32_t open_depth;    /* of its container */
    uint32_t depth;         /* containers that are open */
    uint32_t interest;      /* the most steps of a path */
    bool is_array[JSON_NESTING_MAX + 1];
    uint32_t index[JSON_NESTING_MAX + 1]; /* of the next element */
    struct arena *texts;
    yajl_handle yajl;
};

/* --- memory of yajl ------------------------------------------------------ */

/* A block begins with its size, for realloc. */
#define BLOCK_HEAD 16u

static void *
work_alloc(void *ctx, size_t size)
{
    size_t *p = arena_alloc(ctx, BLOCK_HEAD + size);

    *p = size;
    return (uint8_t *)p + BLOCK_HEAD;
}

static void *
work_realloc(void *ctx, void *old, size_t size)
{
    void *p = work_alloc(ctx, size);
    size_t had;

    if (old != NULL) {
        memcpy(&had, (uint8_t *)old - BLOCK_HEAD, sizeof had);
        memcpy(p, old, nq_min(had, size));
    }
    return p;
}

static void
work_free(void *ctx, void *p)
{
    nq_unused(ctx);
    nq_unused(p);
}

/* --- what is met --------------------------------------------------------- */

static bool
step_fits(const struct reader *r, const struct json_want *w)
{
    const struct path_step *s;

    if (w->is_done || w->level + 1 != r->depth || r->depth > w->count)
        return false;
    if (!r->is_array[r->depth])
        return w->is_next;
    s = &w->steps[r->depth - 1];
    return s->is_index && s->index == r->index[r->depth];
}

static bool
goes_on(const struct reader *r)
{
    return r->open != NULL || r->left > 0;
}

static void
found(struct reader *r, struct json_want *w, const struct value *v,
      struct slice source)
{
    w->value = *v;
    w->source = source;
    w->is_done = true;
    r->left--;
    if (v->kind == VALUE_NUMBER && !value_number_of(source, &w->value.number))
        w->value.kind = VALUE_OTHER;
    if (v->kind == VALUE_TEXT &&
        (v->text.p < r->text.p || v->text.p >= r->text.p + r->text.len))
        w->value.text.p = arena_memdup(r->texts, v->text.p, v->text.len);
    if (v->kind == VALUE_OTHER && r->until == JSON_SOURCE) {
        r->open = w;
        r->open_depth = r->depth + 1;
    }
}

/* A value begins: whose it is.  Containers that a path leads through become
 * its next level. */
static int
on_value(struct reader *r, const struct value *v, struct slice source)
{
    uint32_t d = r->depth;

    if (d == 0 || d > r->interest || r->open != NULL)
        return 1;
    for (uint32_t i = 0; i < r->n; i++) {
        struct json_want *w = &r->wants[i];

        if (!step_fits(r, w))
            continue;
        if (d == w->count)
            found(r, w, v, source);
        else if (v->kind == VALUE_OTHER)
            w->level = d;
    }
    r->index[d]++;
    return goes_on(r);
}

static int
on_null(void *ctx)
{
    struct value v = {.kind = VALUE_NULL};

    return on_value(ctx, &v, slice_lit(""));
}

static int
on_boolean(void *ctx, int is_true)
{
    struct value v = {.kind = VALUE_BOOL, .boolean = is_true != 0};

    return on_value(ctx, &v, slice_lit(""));
}

static int
on_number(void *ctx, const char *p, size_t n)
{
    struct value v = {.kind = VALUE_NUMBER}; /* which, is for found() */

    return on_value(ctx, &v, slice_of(p, n));
}

static int
on_string(void *ctx, const unsigned char *p, size_t n)
{
    struct value v = {.kind = VALUE_TEXT, .text = slice_of(p, n)};

    return on_value(ctx, &v, slice_lit(""));
}

static int
on_key(void *ctx, const unsigned char *p, size_t n)
{
    struct reader *r = ctx;
    struct slice name = slice_of(p, n);

    if (r->depth > r->interest || r->open != NULL)
        return 1;
    for (uint32_t i = 0; i < r->n; i++) {
        struct json_want *w = &r->wants[i];

        w->is_next = w->level + 1 == r->depth && r->depth <= w->count &&
                     !w->steps[r->depth - 1].is_index &&
                     slice_eq(w->steps[r->depth - 1].name, name);
    }
    return 1;
}

/* The place behind the token that is told now. */
static const uint8_t *
place(const struct reader *r)
{
    return r->text.p + yajl_get_bytes_consumed(r->yajl);
}

static int
on_container(struct reader *r, bool is_array)
{
    struct value v = {.kind = VALUE_OTHER};

    if (!on_value(r, &v, slice_of(place(r) - 1, 0)))
        return 0;
    if (r->depth == JSON_NESTING_MAX)
        return 0;
    r->depth++;
    r->is_array[r->depth] = is_array;
    r->index[r->depth] = 0;
    return 1;
}

static int
on_object(void *ctx)
{
    return on_container(ctx, false);
}

static int
on_array(void *ctx)
{
    return on_container(ctx, true);
}

static int
on_end(void *ctx)
{
    struct reader *r = ctx;

    if (r->open != NULL && r->depth == r->open_depth) {
        r->open->source.len = (size_t)(place(r) - r->open->source.p);
        r->open = NULL;
        return 0;
    }
    r->depth--;
    for (uint32_t i = 0; r->depth < r->interest && i < r->n; i++)
        if (r->wants[i].level + 1 > r->depth && r->depth > 0)
            r->wants[i].level = r->depth - 1;
    return 1;
}

void
json_read(struct slice text, struct json_want *wants, uint32_t n,
          enum json_until until, struct arena *work, struct arena *texts)
{
    static const yajl_callbacks callbacks = {
        on_null,   on_boolean, NULL,   NULL,     on_number, on_string,
        on_object, on_key,     on_end, on_array, on_end};
    yajl_alloc_funcs memory = {work_alloc, work_realloc, work_free, work};
    struct reader r;

    r.text = text;
    r.wants = wants;
    r.n = r.left = n;
    r.until = until;
    r.open = NULL;
    r.depth = r.interest = 0;
    r.texts = texts;
    for (uint32_t i = 0; i < n; i++) {
        wants[i].is_done = wants[i].is_next = false;
        wants[i].level = 0;
        wants[i].value.kind = VALUE_MISSING;
        r.interest = nq_max(r.interest, wants[i].count);
    }
    arena_reset(work);
    r.yajl = yajl_alloc(&callbacks, &memory, &r);
    yajl_config(r.yajl, yajl_dont_validate_strings, 1);
    yajl_parse(r.yajl, text.p, text.len);
    if (r.open != NULL)
        r.open->value.kind = VALUE_MISSING; /* it does not end */
}
