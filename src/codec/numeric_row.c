/* codec/numeric_row.c - rows of decimal numbers: taken apart and written.
 *
 * What is a number is decided by what stands around it and nothing else, so
 * rows that were written by the same program come apart in the same way:
 *
 *   - digits, at most 19 of them and no more than an int64 holds
 *   - a '-' before them, unless a digit stands before that ("2014-07")
 *   - a '.' and digits behind them, unless another '.' and a digit follow, or
 *     stand before ("10.0.0.1" is four numbers)
 *
 * Shapes and formats in a block:
 *
 *   u8 separator | u8 columns
 *   each literal: varint length | bytes         (one more than columns)
 *   each column:  u8 width | u8 least | u8 most */
#include "codec/numeric_int.h"

#include "base/check.h"

static bool
is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* Is there a '.' at p, and a digit behind it? */
static bool
is_point(const uint8_t *p, const uint8_t *end)
{
    return end - p >= 2 && p[0] == '.' && is_digit(p[1]);
}

static const uint64_t powers[NUMERIC_DIGITS] = {
    1,
    10,
    100,
    1000,
    10000,
    100000,
    1000000,
    10000000,
    100000000,
    1000000000,
    10000000000,
    100000000000,
    1000000000000,
    10000000000000,
    100000000000000,
    1000000000000000,
    10000000000000000,
    100000000000000000,
    1000000000000000000,
};

int64_t
numeric_power(unsigned n)
{
    nq_assert(n < NUMERIC_DIGITS);
    return (int64_t)powers[n];
}

bool
numeric_begins(const uint8_t *begin, const uint8_t *p, const uint8_t *end)
{
    if (is_digit(*p))
        return true;
    return *p == '-' && end - p >= 2 && is_digit(p[1]) &&
           (p == begin || !is_digit(p[-1]));
}

/* Digits from p on, into t->digits; NULL: too many. */
static const uint8_t *
parse_digits(const uint8_t *p, const uint8_t *end, uint64_t *v, unsigned *n)
{
    for (; p < end && is_digit(*p); p++) {
        if (++*n > NUMERIC_DIGITS)
            return NULL;
        *v = *v * 10 + (*p - (unsigned)'0');
    }
    return p;
}

/* Behind the whole digits at `start`: does a fraction begin at p? */
static bool
has_fraction(const uint8_t *begin, const uint8_t *start, const uint8_t *p,
             const uint8_t *end)
{
    const uint8_t *q = p + 1;

    if (!is_point(p, end) || (start > begin && start[-1] == '.'))
        return false;
    while (q < end && is_digit(*q))
        q++;
    return !is_point(q, end);
}

const uint8_t *
numeric_parse(const uint8_t *begin, const uint8_t *p, const uint8_t *end,
              struct numeric_token *t)
{
    bool is_negative = *p == '-';
    const uint8_t *start = p + is_negative;
    uint64_t v = 0;
    unsigned n = 0;

    p = parse_digits(start, end, &v, &n);
    if (p == NULL)
        return NULL;
    t->whole = (uint8_t)n;
    t->is_padded = n > 1 && *start == '0';
    if (has_fraction(begin, start, p, end)) {
        p = parse_digits(p + 1, end, &v, &n);
        if (p == NULL)
            return NULL;
    }
    t->fraction = (uint8_t)(n - t->whole);
    if (v > INT64_MAX || t->fraction >= NUMERIC_DIGITS)
        return NULL;
    t->digits = is_negative ? -(int64_t)v : (int64_t)v;
    return p;
}

/* Exactly `n` digits of v, which has no more. */
static char *
put_digits(char *dst, uint64_t v, unsigned n)
{
    for (unsigned i = n; i-- > 0; v /= 10)
        dst[i] = (char)('0' + v % 10);
    return dst + n;
}

static unsigned
count_digits(uint64_t v)
{
    unsigned n = 1;

    while (n < NUMERIC_DIGITS && v >= powers[n])
        n++;
    return n;
}

/* The point and what is behind it, without the zeros that are not written. */
static char *
put_fraction(char *dst, const struct numeric_format *f, uint64_t part)
{
    unsigned digits = f->most;

    for (; digits > f->least && part % 10 == 0; digits--)
        part /= 10;
    if (digits == 0)
        return dst;
    *dst++ = '.';
    return put_digits(dst, part, digits);
}

char *
numeric_render(char *dst, const struct numeric_format *f, int64_t v)
{
    uint64_t all = v < 0 ? -(uint64_t)v : (uint64_t)v, whole = all;

    if (f->most > 0)
        whole = all / powers[f->most];
    if (v < 0)
        *dst++ = '-';
    dst = put_digits(dst, whole, nq_max(count_digits(whole), f->width));
    if (f->most > 0)
        dst = put_fraction(dst, f, all - whole * powers[f->most]);
    return dst;
}

/* --- rows
 * ----------------------------------------------------------------------- */

bool
numeric_shape_of(struct slice row, struct numeric_shape *s)
{
    const uint8_t *p = row.p, *end = row.p + row.len, *from = p;
    struct numeric_token t;
    size_t literals = 0;

    s->columns = 0;
    while (p < end) {
        if (!numeric_begins(row.p, p, end)) {
            p++;
            continue;
        }
        if (s->columns == NUMERIC_COLUMNS)
            return false;
        s->literal[s->columns++] = slice_of(from, (size_t)(p - from));
        literals += (size_t)(p - from);
        from = p = numeric_parse(row.p, p, end, &t);
        if (p == NULL)
            return false;
    }
    s->literal[s->columns] = slice_of(from, (size_t)(end - from));
    literals += (size_t)(end - from);
    return s->columns > 0 && literals <= NUMERIC_LITERALS;
}

bool
numeric_row_parse(struct slice row, const struct numeric_shape *s,
                  struct numeric_token *tokens)
{
    const uint8_t *p = row.p, *end = row.p + row.len;

    for (unsigned c = 0; c < s->columns; c++) {
        struct slice left = slice_of(p, (size_t)(end - p));

        if (!slice_has_prefix(left, s->literal[c]))
            return false;
        p += s->literal[c].len;
        if (p == end || !numeric_begins(row.p, p, end))
            return false;
        p = numeric_parse(row.p, p, end, &tokens[c]);
        if (p == NULL)
            return false;
    }
    return slice_eq(slice_of(p, (size_t)(end - p)), s->literal[s->columns]);
}

static char *
put_literal(char *dst, struct slice literal)
{
    /* Most are one byte, for which a call is long. */
    if (literal.len == 1)
        *dst = (char)*literal.p;
    else if (literal.len > 0)
        memcpy(dst, literal.p, literal.len);
    return dst + literal.len;
}

size_t
numeric_row_render(char *dst, const struct numeric_shape *s,
                   const struct numeric_format *formats,
                   int64_t *const *columns, size_t i)
{
    char *p = put_literal(dst, s->literal[0]);

    for (unsigned c = 0; c < s->columns; c++) {
        p = numeric_render(p, &formats[c], columns[c][i]);
        p = put_literal(p, s->literal[c + 1]);
    }
    *p++ = (char)s->separator;
    return (size_t)(p - dst);
}

void
numeric_shape_put(struct buf *out, const struct numeric_shape *s,
                  const struct numeric_format *formats)
{
    buf_put_u8(out, s->separator);
    buf_put_u8(out, (uint8_t)s->columns);
    for (unsigned c = 0; c <= s->columns; c++) {
        buf_put_varint(out, s->literal[c].len);
        buf_put_slice(out, s->literal[c]);
    }
    for (unsigned c = 0; c < s->columns; c++) {
        buf_put_u8(out, formats[c].width);
        buf_put_u8(out, formats[c].least);
        buf_put_u8(out, formats[c].most);
    }
}

bool
numeric_shape_get(struct cursor *in, struct numeric_shape *s,
                  struct numeric_format *formats)
{
    size_t literals = 0;
    uint8_t columns;

    cursor_get_u8(in, &s->separator);
    cursor_get_u8(in, &columns);
    s->columns = columns;
    if (columns == 0 || columns > NUMERIC_COLUMNS)
        return false;
    for (unsigned c = 0; c <= columns; c++) {
        if (!cursor_get_slice(in, &s->literal[c]))
            return false;
        literals += s->literal[c].len;
    }
    for (unsigned c = 0; c < columns; c++) {
        cursor_get_u8(in, &formats[c].width);
        cursor_get_u8(in, &formats[c].least);
        cursor_get_u8(in, &formats[c].most);
        if (formats[c].width > NUMERIC_DIGITS ||
            formats[c].most >= NUMERIC_DIGITS ||
            formats[c].least > formats[c].most)
            return false;
    }
    return cursor_ok(in) && literals <= NUMERIC_LITERALS;
}
