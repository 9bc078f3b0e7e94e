/* query/path.c - paths: $key and its kin, fields of hashes, places in JSON.
 *
 * A path is one block of memory: the steps, then its text, then the names, each
 * between two quotes, as sift.c looks for them.
 * The text is what path_text() promises: names that need no quotes are joined
 * by points, others stand in brackets, the leading "$." is left out.  Numbers
 * have no leading zeros in it. */
#include "query/program_int.h"

#include "base/mem.h"
#include "query/tokens.h"

static const char *const special_names[] = {
    [PATH_KEY] = "$key", [PATH_VALUE] = "$value", [PATH_LEN] = "$len",
    [PATH_TTL] = "$ttl", [PATH_TYPE] = "$type",
};

/* A path while it is read. */
struct path_reader {
    struct slice text;
    size_t i, at; /* in text; of text in the query */
    struct path_step steps[PATH_STEPS_MAX];
    uint32_t count;
    struct buf names; /* all of them; steps[].name.len says how much each */
    struct query_error *err;
};

/* --- reading ------------------------------------------------------------- */

static bool
fail(struct path_reader *r, const char *wanted)
{
    struct slice rest = slice_of(r->text.p + r->i, r->text.len - r->i);

    if (rest.len == 0)
        query_fail(r->err, r->at + r->i, "expected %s, found the end", wanted);
    else
        query_fail(r->err, r->at + r->i, "expected %s, found '%.*s'", wanted,
                   (int)nq_min(rest.len, 20U), (const char *)rest.p);
    return false;
}

static bool
add_step(struct path_reader *r, bool is_index, uint32_t index, size_t len)
{
    if (r->count == PATH_STEPS_MAX)
        return fail(r, "a path of at most 32 steps");
    r->steps[r->count++] = (struct path_step){
        .is_index = is_index, .index = index, .name = {NULL, len}};
    return true;
}

/* Whether a name can stand without quotes. */
static bool
is_plain(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.p[i];

        if (c <= ' ' || c == 127 || strchr(".[]()\"',=<>!\\", c) != NULL)
            return false;
    }
    return name.len > 0 && name.p[0] != '$';
}

/* name, up to a point or a bracket. */
static bool
read_name(struct path_reader *r)
{
    size_t from = r->i;
    struct slice name;

    while (r->i < r->text.len && r->text.p[r->i] != '.' &&
           r->text.p[r->i] != '[')
        r->i++;
    name = slice_of(r->text.p + from, r->i - from);
    if (!is_plain(name)) {
        r->i = from;
        return fail(r, "a name");
    }
    buf_put_slice(&r->names, name);
    return add_step(r, false, 0, name.len);
}

static bool
read_index(struct path_reader *r, struct slice digits)
{
    int64_t n;

    if (!slice_to_i64(digits, &n) || n < 0 || n > UINT32_MAX)
        return fail(r, "an index below 2^32");
    return add_step(r, true, (uint32_t)n, 0);
}

/* Behind the bracket: "a name", a number, or a name whose quotes got lost. */
static bool
read_bracket(struct path_reader *r)
{
    const uint8_t *p = r->text.p + r->i;
    size_t left = r->text.len - r->i, len = 0;
    bool is_quoted = left > 0 && (*p == '"' || *p == '\'');
    struct slice inner;
    uint8_t *dst;

    if (is_quoted)
        for (len = 1; len < left && p[len] != *p; len++)
            len += p[len] == '\\';
    else
        while (len < left && p[len] != ']')
            len++;
    inner = slice_of(p + is_quoted, len - is_quoted);
    len += is_quoted;
    if (len >= left || p[len] != ']' || (inner.len == 0 && !is_quoted))
        return fail(r, "a name or a number and ]");
    if (!is_quoted && strspn((const char *)p, "0123456789") == len) {
        if (!read_index(r, inner))
            return false;
    } else {
        dst = buf_reserve(&r->names, inner.len);
        len = is_quoted ? tokens_unescape(inner, dst) : inner.len;
        if (!is_quoted)
            memcpy(dst, inner.p, len);
        r->names.len += len;
        if (!add_step(r, false, 0, len))
            return false;
    }
    r->i += inner.len + (is_quoted ? 3 : 1);
    return true;
}

static bool
read_steps(struct path_reader *r)
{
    uint8_t first = r->text.len > 0 ? r->text.p[0] : 0;
    bool is_rooted = first == '$';

    r->i = is_rooted;
    if (first != '$' && first != '[' && !read_name(r))
        return false;
    while (r->i < r->text.len) {
        uint8_t c = r->text.p[r->i];

        if (c != '.' && c != '[')
            return fail(r, is_rooted && r->count == 0
                               ? "$key, $value, $len, $ttl, $type or $.path"
                               : ". or [");
        r->i++;
        if (!(c == '.' ? read_name(r) : read_bracket(r)))
            return false;
    }
    return r->count > 0 || fail(r, ". or [");
}

/* --- making -------------------------------------------------------------- */

static void
put_step_text(const struct path_step *s, bool is_first, struct buf *out)
{
    if (s->is_index) {
        buf_printf(out, "[%u]", s->index);
    } else if (is_plain(s->name)) {
        if (!is_first)
            buf_put_u8(out, '.');
        buf_put_slice(out, s->name);
    } else {
        buf_put_u8(out, '[');
        tokens_put_quoted(s->name, out);
        buf_put_u8(out, ']');
    }
}

static struct path *
path_new(enum path_kind kind, const struct path_reader *r, struct slice text)
{
    size_t steps = r->count * sizeof r->steps[0];
    size_t bytes =
        sizeof(struct path) + steps + text.len + r->names.len + 2 * r->count;
    struct path *p = nq_calloc(1, bytes);
    uint8_t *at = (uint8_t *)p->steps + steps;

    p->kind = kind;
    p->count = r->count;
    p->bytes = bytes;
    p->text = slice_of(at, text.len);
    memcpy(at, text.p, text.len);
    at += text.len;
    for (uint32_t i = 0; i < r->count; i++) {
        struct slice name = r->steps[i].name;

        p->steps[i] = r->steps[i];
        p->steps[i].name.p = at + 1;
        *at++ = '"';
        if (name.len > 0)
            memcpy(at, name.p, name.len);
        at += name.len;
        *at++ = '"';
    }
    return p;
}

nq_rc
path_parse(struct slice text, size_t at, struct path **out,
           struct query_error *err)
{
    struct path_reader r = {.text = text, .at = at, .err = err};
    struct buf canonical = BUF_INIT;
    nq_rc rc = NQ_ESYNTAX;
    size_t names = 0;

    *out = NULL;
    for (unsigned k = PATH_KEY; k < nq_countof(special_names); k++) {
        if (slice_is(text, special_names[k])) {
            *out = path_new(k, &r, slice_str(special_names[k]));
            return NQ_OK;
        }
    }
    if (read_steps(&r)) {
        for (uint32_t i = 0; i < r.count; i++) {
            r.steps[i].name.p = r.names.p + names;
            names += r.steps[i].name.len;
            put_step_text(&r.steps[i], i == 0, &canonical);
        }
        *out = path_new(PATH_FIELD, &r, buf_slice(&canonical));
        rc = NQ_OK;
    }
    buf_fini(&canonical);
    buf_fini(&r.names);
    return rc;
}

nq_rc
path_compile(struct slice text, struct path **out, struct query_error *err)
{
    if (text.len > PROGRAM_TEXT_MAX) {
        *out = NULL;
        query_fail(err, PROGRAM_TEXT_MAX, "expected at most 64 KB of text");
        return NQ_ESYNTAX;
    }
    return path_parse(text, 0, out, err);
}

void
path_free(struct path *p)
{
    nq_free(p);
}

struct slice
path_text(const struct path *p)
{
    return p->text;
}

unsigned
path_needs(const struct path *p)
{
    switch (p->kind) {
    case PATH_VALUE:
        return ROW_KEY | ROW_VALUE;
    case PATH_LEN:
        return ROW_KEY | ROW_LEN;
    case PATH_FIELD:
        return ROW_KEY | ROW_VALUE | (p->steps[0].is_index ? 0U : ROW_FIELDS);
    default:
        return ROW_KEY;
    }
}
