/* codec/numeric_text.c - text of rows that are alike but for their numbers:
 * CSV, time series, lists of numbers.
 *
 *   the shape of the rows, the formats of the columns     (numeric_row.c)
 *   varint rows | varint odd ones among them
 *   stream: each odd row: varint rows since the last odd one | varint length
 *           | bytes
 *   columns of the rows that are not odd, each: u8 parts | packed integers
 *           (numeric_column.c); parts is 0, or how many columns are one date
 *           (numeric_date.c)
 *   varint length | bytes behind the last separator
 *
 *   stream: u8 zstd? | varint length | varint length as it is | bytes
 *
 * Which shape the rows have is learned from a few of them.  A row is odd if it
 * has another one (a header, the half rows at the ends of a block), or if its
 * numbers, written in the format of their columns, are not its bytes: every
 * row is written as the decoder would and compared, so that nothing depends
 * on how numbers are read. */
#include "codec/numeric_int.h"

#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "codec/zpack.h"

#define SAMPLE_ROWS 16u
#define SAMPLE_BYTES 256u
#define ROWS_MIN 8u
#define CHECK_EVERY 64u /* rows between looks at how many are odd */
#define LEVEL_ZSTD 2u

struct row {
    uint32_t at, len; /* without its separator */
    bool is_odd;
};

/* A block taken apart. */
struct table {
    struct slice src;
    struct numeric_shape shape;
    struct numeric_format formats[NUMERIC_COLUMNS];
    struct row *rows;
    size_t count; /* of rows */
    size_t n;     /* of rows that are not odd */
    size_t odd_bytes;
    int64_t *columns[NUMERIC_COLUMNS];
    uint8_t *fractions[NUMERIC_COLUMNS]; /* digits behind the point */
    uint8_t whole[NUMERIC_COLUMNS];      /* the fewest digits before it */
    bool is_padded[NUMERIC_COLUMNS];
};

/* --- the shape
 * ----------------------------------------------------------------------- */

static unsigned
count_digits_in(const uint8_t *p, size_t n)
{
    unsigned digits = 0;

    for (size_t i = 0; i < n; i++)
        digits += p[i] >= '0' && p[i] <= '9';
    return digits;
}

/* A fifth of what is looked at has to be digits. */
static bool
has_digits(struct slice src)
{
    size_t n = nq_min(src.len, SAMPLE_BYTES);

    return (count_digits_in(src.p, n) +
            count_digits_in(src.p + (src.len - n) / 2, n)) *
               5 >=
           2 * n;
}

/* The next row from *at on; false: no separator follows. */
static bool
next_row(struct slice src, uint8_t separator, size_t *at, struct slice *row)
{
    const uint8_t *p = src.p + *at, *end;

    if (*at >= src.len)
        return false;
    end = memchr(p, separator, src.len - *at);
    if (end == NULL)
        return false;
    *row = slice_of(p, (size_t)(end - p));
    *at += row->len + 1;
    return true;
}

static unsigned
count_alike(const struct slice *rows, unsigned n, const struct numeric_shape *s)
{
    struct numeric_token tokens[NUMERIC_COLUMNS];
    unsigned alike = 0;

    for (unsigned i = 0; i < n; i++)
        alike += numeric_row_parse(rows[i], s, tokens);
    return alike;
}

/* The shape that most of the first rows have, if half of them have it.  The
 * first one may be a header or the end of another. */
static bool
find_shape(struct slice src, uint8_t separator, struct numeric_shape *best)
{
    struct slice rows[SAMPLE_ROWS];
    struct numeric_shape s;
    unsigned n = 0, most = 0;
    size_t at = 0;

    while (n < SAMPLE_ROWS && next_row(src, separator, &at, &rows[n])) {
        if (rows[n++].len > NUMERIC_ROW)
            return false;
    }
    if (n < ROWS_MIN)
        return false;
    for (unsigned i = 1; i < n && most * 2 < n; i++) {
        unsigned alike;

        if (!numeric_shape_of(rows[i], &s))
            continue;
        s.separator = separator;
        alike = count_alike(rows, n, &s);
        if (alike > most) {
            most = alike;
            *best = s;
        }
    }
    return most * 2 >= n;
}

/* --- rows
 * ----------------------------------------------------------------------- */

static size_t
count_rows(struct slice src, uint8_t separator)
{
    size_t at = 0, n = 0;
    struct slice row;

    while (next_row(src, separator, &at, &row))
        n++;
    return n;
}

static void
note_tokens(struct table *t, const struct numeric_token *tokens)
{
    for (unsigned c = 0; c < t->shape.columns; c++) {
        const struct numeric_token *k = &tokens[c];

        t->columns[c][t->n] = k->digits;
        t->fractions[c][t->n] = k->fraction;
        t->whole[c] = nq_min(t->whole[c], k->whole);
        t->is_padded[c] |= k->is_padded;
    }
    t->n++;
}

/* False: too much of it is odd. */
static bool
parse_rows(struct table *t)
{
    struct numeric_token tokens[NUMERIC_COLUMNS];
    struct slice row;
    size_t at = 0;

    for (size_t i = 0; next_row(t->src, t->shape.separator, &at, &row); i++) {
        bool is_odd =
            row.len > NUMERIC_ROW || !numeric_row_parse(row, &t->shape, tokens);

        t->rows[i] = (struct row){(uint32_t)(row.p - t->src.p),
                                  (uint32_t)row.len, is_odd};
        if (is_odd)
            t->odd_bytes += row.len + 1;
        else
            note_tokens(t, tokens);
        if (i % CHECK_EVERY == 0 && t->n < i / 2)
            return false;
    }
    return t->n > 0 && t->odd_bytes <= t->src.len / 3;
}

/* Digits behind the point: as many as 99 of 100 rows make do with; more than
 * that in a few rows would make all the others longer. */
static void
choose_format(struct table *t, unsigned c)
{
    size_t rows_with[NUMERIC_DIGITS] = {0}, seen = 0;
    struct numeric_format *f = &t->formats[c];

    for (size_t i = 0; i < t->n; i++)
        rows_with[t->fractions[c][i]]++;
    f->least = 0;
    while (rows_with[f->least] == 0)
        f->least++;
    f->most = f->least;
    seen = rows_with[f->most];
    while (seen * 100 < t->n * 99)
        seen += rows_with[++f->most];
    f->width = t->is_padded[c] ? t->whole[c] : 1;
}

/* The number in the units of its column; false: it has more digits. */
static bool
scale(int64_t *v, unsigned fraction, const struct numeric_format *f)
{
    return fraction <= f->most &&
           !__builtin_mul_overflow(*v, numeric_power(f->most - fraction), v);
}

static bool
is_same_text(const struct table *t, const struct row *row, size_t i)
{
    char text[NUMERIC_ROW + 1];
    size_t len = numeric_row_render(text, &t->shape, t->formats, t->columns, i);

    return len == row->len + 1 &&
           memcmp(text, t->src.p + row->at, row->len) == 0;
}

/* Scales all numbers; a row that would be written otherwise becomes odd.  Rows
 * that stay move to the front of the columns. */
static void
scale_rows(struct table *t)
{
    size_t from = 0, to = 0;

    for (size_t i = 0; i < t->count; i++) {
        struct row *row = &t->rows[i];
        bool is_good = true;

        if (row->is_odd)
            continue;
        for (unsigned c = 0; c < t->shape.columns; c++) {
            t->columns[c][to] = t->columns[c][from];
            is_good = is_good && scale(&t->columns[c][to],
                                       t->fractions[c][from], &t->formats[c]);
        }
        from++;
        if (is_good && is_same_text(t, row, to)) {
            to++;
        } else {
            row->is_odd = true;
            t->odd_bytes += row->len + 1;
        }
    }
    t->n = to;
}

/* --- encoding
 * ----------------------------------------------------------------------- */

static void
put_stream(struct buf *out, struct slice s, unsigned level)
{
    uint8_t *packed = nq_malloc(s.len + 1);
    size_t len = 0;

    if (level >= LEVEL_ZSTD && s.len > 0)
        len = zpack_encode(level, NULL, packed, s.len, s.p, s.len);
    buf_put_u8(out, len != 0);
    buf_put_varint(out, len != 0 ? len : s.len);
    buf_put_varint(out, s.len);
    if (len != 0)
        buf_put(out, packed, len);
    else
        buf_put_slice(out, s);
    nq_free(packed);
}

static void
put_odd_rows(struct buf *out, const struct table *t, unsigned level)
{
    struct buf odd = BUF_INIT;
    size_t gap = 0;

    for (size_t i = 0; i < t->count; i++) {
        const struct row *row = &t->rows[i];

        if (!row->is_odd) {
            gap++;
            continue;
        }
        buf_put_varint(&odd, gap);
        buf_put_varint(&odd, row->len);
        buf_put(&odd, t->src.p + row->at, row->len);
        gap = 0;
    }
    put_stream(out, buf_slice(&odd), level);
    buf_fini(&odd);
}

static void
put_columns(struct buf *out, const struct table *t, unsigned level)
{
    unsigned parts;

    for (unsigned c = 0; c < t->shape.columns; c += nq_max(parts, 1u)) {
        parts = numeric_date_parts(&t->shape, t->formats, t->columns, t->n, c);
        if (parts != 0)
            numeric_date_join(t->columns + c, t->n, parts,
                              parts == 6 ? t->formats[c + 5].most : 0);
        buf_put_u8(out, (uint8_t)parts);
        numeric_column_put(out, t->columns[c], t->n, level);
    }
}

static void
put_table(struct buf *out, const struct table *t, unsigned level)
{
    const struct row *last = &t->rows[t->count - 1];
    size_t end = (size_t)last->at + last->len + 1;

    numeric_shape_put(out, &t->shape, t->formats);
    buf_put_varint(out, t->count);
    buf_put_varint(out, t->count - t->n);
    put_odd_rows(out, t, level);
    put_columns(out, t, level);
    buf_put_varint(out, t->src.len - end);
    buf_put(out, t->src.p + end, t->src.len - end);
}

static bool
put_with_shape(struct buf *out, struct table *t, unsigned level)
{
    unsigned columns = t->shape.columns;
    int64_t *numbers;
    uint8_t *fractions;
    bool ok;

    t->count = count_rows(t->src, t->shape.separator);
    /* A row has two bytes for each of its numbers, at least. */
    if (t->count * columns > t->src.len)
        return false;
    t->rows = nq_malloc(t->count * sizeof *t->rows);
    numbers = nq_malloc(t->count * columns * sizeof *numbers);
    fractions = nq_malloc(t->count * columns);
    for (unsigned c = 0; c < columns; c++) {
        t->columns[c] = numbers + c * t->count;
        t->fractions[c] = fractions + c * t->count;
        t->whole[c] = NUMERIC_DIGITS;
    }
    ok = parse_rows(t);
    for (unsigned c = 0; ok && c < columns; c++)
        choose_format(t, c);
    if (ok)
        scale_rows(t);
    ok = ok && t->n > 0 && t->odd_bytes <= t->src.len / 3;
    if (ok)
        put_table(out, t, level);
    nq_free(t->rows);
    nq_free(numbers);
    nq_free(fractions);
    return ok;
}

bool
numeric_text_put(struct buf *out, struct slice src, unsigned level)
{
    static const char separators[] = "\n, ;\t|";
    struct table *t;
    bool ok = false;

    if (!has_digits(src))
        return false;
    t = nq_calloc(1, sizeof *t);
    t->src = src;
    for (const char *s = separators; *s != '\0' && !ok; s++)
        ok = find_shape(src, (uint8_t)*s, &t->shape);
    ok = ok && put_with_shape(out, t, level);
    nq_free(t);
    return ok;
}

/* --- decoding
 * ----------------------------------------------------------------------- */

/* What a block says, while it is written out. */
struct reader {
    struct numeric_shape shape;
    struct numeric_format formats[NUMERIC_COLUMNS];
    int64_t *columns[NUMERIC_COLUMNS];
    size_t count, n; /* as in struct table */
    struct cursor odd;
    uint8_t *dst, *end;
};

static bool
get_stream(struct cursor *in, size_t most, uint8_t **memory, struct slice *out)
{
    uint8_t is_packed;
    uint64_t len, raw;
    struct slice bytes;

    cursor_get_u8(in, &is_packed);
    cursor_get_varint(in, &len);
    if (!cursor_get_varint(in, &raw) || raw > most ||
        !cursor_get_bytes(in, (size_t)nq_min(len, SIZE_MAX), &bytes))
        return false;
    *out = bytes;
    if (is_packed == 0)
        return true;
    *memory = nq_malloc(raw + 1);
    *out = slice_of(*memory, (size_t)raw);
    return zpack_decode(NULL, *memory, (size_t)raw, bytes.p, bytes.len) ==
           NQ_OK;
}

static bool
get_columns(struct cursor *in, struct reader *r)
{
    uint8_t parts;

    for (unsigned c = 0; c < r->shape.columns; c += nq_max(parts, 1)) {
        if (!cursor_get_u8(in, &parts) ||
            (parts != 0 && parts != 3 && parts != 5 && parts != 6) ||
            c + parts > r->shape.columns ||
            (parts == 6 && r->formats[c + 5].most > NUMERIC_DATE_MOST) ||
            !numeric_column_get(in, r->columns[c], r->n))
            return false;
        if (parts != 0)
            numeric_date_split(r->columns + c, r->n, parts,
                               parts == 6 ? r->formats[c + 5].most : 0);
    }
    return true;
}

static bool
write_bytes(struct reader *r, const void *p, size_t len)
{
    if (len > (size_t)(r->end - r->dst))
        return false;
    if (len > 0)
        memcpy(r->dst, p, len);
    r->dst += len;
    return true;
}

/* Rows first .. first + n of those in the shape. */
static bool
write_rows(struct reader *r, size_t first, size_t n)
{
    char text[NUMERIC_ROW + 1];

    for (size_t i = first; i < first + n; i++) {
        bool has_room = r->end - r->dst >= (ptrdiff_t)sizeof text;
        char *p = has_room ? (char *)r->dst : text;
        size_t len =
            numeric_row_render(p, &r->shape, r->formats, r->columns, i);

        if (has_room)
            r->dst += len;
        else if (!write_bytes(r, text, len))
            return false;
    }
    return true;
}

static bool
write_table(struct reader *r)
{
    size_t done = 0;
    struct slice row;
    uint64_t gap;

    for (size_t i = r->n; i < r->count; i++) {
        if (!cursor_get_varint(&r->odd, &gap) || gap > r->n - done ||
            !cursor_get_slice(&r->odd, &row) ||
            !write_rows(r, done, (size_t)gap) ||
            !write_bytes(r, row.p, row.len) ||
            !write_bytes(r, &r->shape.separator, 1))
            return false;
        done += (size_t)gap;
    }
    return cursor_left(&r->odd) == 0 && write_rows(r, done, r->n - done);
}

/* All but the memory, which the caller frees. */
static bool
read_table(struct cursor *in, struct reader *r, size_t raw_len, uint8_t **odd,
           int64_t **numbers)
{
    uint64_t count, odd_rows;
    struct slice s;

    if (!numeric_shape_get(in, &r->shape, r->formats) ||
        !cursor_get_varint(in, &count) || !cursor_get_varint(in, &odd_rows) ||
        odd_rows > count || count > raw_len ||
        (count - odd_rows) * r->shape.columns > raw_len ||
        !get_stream(in, 16 * raw_len, odd, &s))
        return false;
    r->count = (size_t)count;
    r->n = (size_t)(count - odd_rows);
    r->odd = cursor_of(s);
    *numbers = nq_malloc((r->n * r->shape.columns + 1) * sizeof **numbers);
    for (unsigned c = 0; c < r->shape.columns; c++)
        r->columns[c] = *numbers + c * r->n;
    return get_columns(in, r) && write_table(r) && cursor_get_slice(in, &s) &&
           cursor_left(in) == 0 && write_bytes(r, s.p, s.len) &&
           r->dst == r->end;
}

bool
numeric_text_get(struct cursor *in, uint8_t *dst, size_t raw_len)
{
    struct reader *r = nq_calloc(1, sizeof *r);
    uint8_t *odd = NULL;
    int64_t *numbers = NULL;
    bool ok;

    r->dst = dst;
    r->end = dst + raw_len;
    ok = read_table(in, r, raw_len, &odd, &numbers);
    nq_free(odd);
    nq_free(numbers);
    nq_free(r);
    return ok;
}
