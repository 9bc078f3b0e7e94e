/* query/sift.c - which documents surely do not match, seen without reading
 * them.
 *
 * A part of the AND at the top must be true, so there must be a member with
 * the last name of its path and a value of which it is true.  If the text has
 * no backslash, a name or text in it stands there byte for byte between
 * quotes.  So if behind no "name" there is such a value, the row does not
 * match, whatever the rest is, well formed or not.  All others are read by
 * json.c, which alone decides.
 *
 * Reading is some ten times as slow as this. */
#include "query/program_int.h"

#define CANDIDATES_MAX 8u

static struct slice
behind(struct slice s, size_t n)
{
    return slice_of(s.p + n, s.len - n);
}

static struct slice
skip_blanks(struct slice s)
{
    while (s.len > 0 && (*s.p == ' ' || (*s.p >= '\t' && *s.p <= '\r')))
        s = behind(s, 1);
    return s;
}

static size_t
number_len(struct slice s)
{
    size_t n = 0;

    while (n < s.len && ((s.p[n] >= '0' && s.p[n] <= '9') ||
                         (s.p[n] != 0 && strchr("+-.eE", s.p[n]) != NULL)))
        n++;
    return n;
}

/* The value that `s`, which begins behind a name, goes on with; false: it is
 * left to who reads in earnest. */
static bool
glimpse(struct slice s, struct value *out)
{
    const uint8_t *end;

    *out = (struct value){.kind = VALUE_OTHER};
    s = skip_blanks(s);
    if (s.len == 0 || *s.p != ':')
        return true; /* a text that is no name */
    s = skip_blanks(behind(s, 1));
    if (s.len == 0)
        return true;
    switch (*s.p) {
    case '"':
        s = behind(s, 1);
        end = memchr(s.p, '"', s.len);
        out->kind = VALUE_TEXT;
        out->text = slice_of(s.p, end == NULL ? 0 : (size_t)(end - s.p));
        return end != NULL;
    case '{':
    case '[':
        return true;
    case 't':
    case 'f':
    case 'n':
        out->kind = *s.p == 'n' ? VALUE_NULL : VALUE_BOOL;
        out->boolean = *s.p == 't';
        return true;
    default:
        out->kind = VALUE_NUMBER;
        return value_number_of(slice_of(s.p, number_len(s)), &out->number);
    }
}

/* Whether the test could be true of a member of the last name of its path. */
static bool
may_be_true(const struct program *p, const struct step *s,
            const struct path *path, struct slice text)
{
    struct slice name = path->steps[path->count - 1].name;
    struct value v;

    for (unsigned i = 0; i < CANDIDATES_MAX; i++) {
        const uint8_t *at = memmem(text.p, text.len, name.p - 1, name.len + 2);

        if (at == NULL)
            return false;
        text = behind(text, (size_t)(at - text.p) + 1);
        if (!glimpse(behind(text, name.len + 1), &v) ||
            step_test_constant(p, s, &v) == TRUTH_TRUE)
            return true;
    }
    return true;
}

/* The path of a term that can be looked for; NULL: it can not. */
static const struct path *
path_of_term(const struct program *p, uint32_t i)
{
    const struct step *s = &p->steps[p->term_steps[i]];
    const struct path *path = p->paths[p->operands[s->left].path];

    if (path->kind != PATH_FIELD || path->steps[path->count - 1].is_index)
        return NULL;
    return path;
}

bool
sift_is_of_use(const struct program *p)
{
    for (uint32_t i = 0; i < p->nterms; i++)
        if (path_of_term(p, i) != NULL)
            return true;
    return false;
}

bool
sift_may_match(const struct program *p, const struct row *r)
{
    if (r->is_hash || (r->has & ROW_VALUE) == 0)
        return true;
    if (r->value.len == 0)
        return false;
    if (memchr(r->value.p, '\\', r->value.len) != NULL)
        return true;
    for (uint32_t i = 0; i < p->nterms; i++) {
        const struct path *path = path_of_term(p, i);
        const struct step *s = &p->steps[p->term_steps[i]];

        if (path != NULL && !may_be_true(p, s, path, r->value))
            return false;
    }
    return true;
}
