/* query/row.c - what paths say of a row.
 *
 * A program names each path once; what it says of the row is kept in a slot of
 * the scratch until the program runs again.  Paths into the JSON of a string
 * are read together, when the first of them is asked for: once the quick look
 * (sift.c) let a document pass, most of them are needed.  Fields of hashes are
 * looked up one by one. */
#include "query/row.h"

#include "base/check.h"
#include "base/mem.h"
#include "query/program_int.h"

/* --- the scratch --------------------------------------------------------- */

struct row_scratch *
row_scratch_new(void)
{
    return nq_calloc(1, sizeof(struct row_scratch));
}

void
row_scratch_free(struct row_scratch *s)
{
    if (s == NULL)
        return;
    arena_fini(&s->texts);
    arena_fini(&s->work);
    nq_free(s->slots);
    nq_free(s->wants);
    nq_free(s->want_paths);
    nq_free(s);
}

void
row_scratch_next(struct row_scratch *s)
{
    arena_reset(&s->texts);
}

static void
make_room(struct row_scratch *s, uint32_t n)
{
    if (n <= s->cap)
        return;
    s->cap = n;
    s->slots = nq_realloc(s->slots, n * sizeof *s->slots);
    s->wants = nq_realloc(s->wants, n * sizeof *s->wants);
    s->want_paths = nq_realloc(s->want_paths, n * sizeof *s->want_paths);
}

void
row_scratch_begin(struct row_scratch *s, const struct program *p)
{
    make_room(s, p->npaths);
    for (uint32_t i = 0; i < p->npaths; i++)
        s->slots[i].is_read = false;
}

/* --- values that are not JSON -------------------------------------------- */

static double
seconds_to_live(const struct row *r)
{
    if (r->expire_ms == 0)
        return -1;
    if (r->expire_ms <= r->now_ms)
        return 0;
    return (double)((r->expire_ms - r->now_ms + 500) / 1000);
}

static struct value
special_value(enum path_kind kind, const struct row *r)
{
    struct value v = {.kind = VALUE_MISSING};

    switch (kind) {
    case PATH_KEY:
        return (struct value){.kind = VALUE_BYTES, .text = r->key};
    case PATH_TYPE:
        return (struct value){.kind = VALUE_TEXT, .text = slice_str(r->type)};
    case PATH_LEN:
        return (struct value){.kind = VALUE_NUMBER, .number = (double)r->len};
    case PATH_TTL:
        v.kind = VALUE_NUMBER;
        v.number = seconds_to_live(r);
        return v;
    case PATH_VALUE:
        if (!r->is_hash && (r->has & ROW_VALUE) != 0) {
            v.kind = VALUE_BYTES;
            v.text = r->value;
        }
        return v;
    case PATH_FIELD:
        break;
    }
    check_failed("a path of no kind", __FILE__, __LINE__);
}

/* The text that a path leads into, and how many of its steps got there.  True
 * and all steps: it is what the field holds.  False: there is none. */
static bool
find_document(const struct path *p, const struct row *r, struct slice *out,
              uint32_t *steps)
{
    *steps = 0;
    if (!r->is_hash) {
        *out = r->value;
        return (r->has & ROW_VALUE) != 0;
    }
    if ((r->has & ROW_FIELDS) == 0 || p->steps[0].is_index)
        return false;
    *steps = 1;
    return r->field(r, p->steps[0].name, out);
}

/* --- one path
 * ----------------------------------------------------------------- */

static struct json_want
want_of(const struct path *p, uint32_t steps)
{
    return (struct json_want){.steps = p->steps + steps,
                              .count = p->count - steps};
}

/* The value of a path, and of what is JSON its source. */
static struct value
read_path(const struct path *p, const struct row *r, struct row_scratch *s,
          enum json_until until, struct slice *source)
{
    struct value v = {.kind = VALUE_MISSING};
    struct json_want want;
    struct slice document;
    uint32_t steps;

    if (p->kind != PATH_FIELD)
        return special_value(p->kind, r);
    if (!find_document(p, r, &document, &steps))
        return v;
    if (steps == p->count)
        return (struct value){.kind = VALUE_BYTES, .text = document};
    want = want_of(p, steps);
    json_read(document, &want, 1, until, &s->work, &s->texts);
    *source = want.source;
    return want.value;
}

struct value
path_value(const struct path *p, const struct row *r, struct row_scratch *s)
{
    struct slice source;

    return read_path(p, r, s, JSON_ALL, &source);
}

bool
path_bytes(const struct path *p, const struct row *r, struct row_scratch *s,
           struct buf *out)
{
    struct slice source = slice_lit("");
    struct value v = read_path(p, r, s, JSON_SOURCE, &source);

    switch (v.kind) {
    case VALUE_MISSING:
    case VALUE_NULL:
        return false;
    case VALUE_BOOL:
        buf_put_str(out, v.boolean ? "true" : "false");
        return true;
    case VALUE_TEXT:
    case VALUE_BYTES:
        buf_put_slice(out, v.text);
        return true;
    case VALUE_NUMBER:
        if (source.len == 0)
            buf_printf(out, "%.17g", v.number); /* $len, $ttl */
        else
            buf_put_slice(out, source);
        return true;
    case VALUE_OTHER:
        buf_put_slice(out, source);
        return true;
    }
    return false;
}

/* --- the paths of a program
 * --------------------------------------------------- */

/* Reads JSON for all paths of the program. */
static void
read_document(struct row_scratch *s, const struct program *p,
              const struct row *r)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < p->npaths; i++) {
        if (p->paths[i]->kind != PATH_FIELD)
            continue;
        s->wants[n] = want_of(p->paths[i], 0);
        s->want_paths[n++] = i;
    }
    json_read(r->value, s->wants, n, JSON_ALL, &s->work, &s->texts);
    for (uint32_t i = 0; i < n; i++)
        s->slots[s->want_paths[i]] =
            (struct row_slot){.is_read = true, .value = s->wants[i].value};
}

const struct value *
row_value(struct row_scratch *s, const struct program *p, const struct row *r,
          uint32_t path)
{
    struct row_slot *slot = &s->slots[path];
    const struct path *want = p->paths[path];
    struct slice source;

    if (slot->is_read)
        return &slot->value;
    if (want->kind == PATH_FIELD && !r->is_hash && (r->has & ROW_VALUE) != 0) {
        read_document(s, p, r);
        return &slot->value;
    }
    slot->value = read_path(want, r, s, JSON_ALL, &source);
    slot->is_read = true;
    return &slot->value;
}
