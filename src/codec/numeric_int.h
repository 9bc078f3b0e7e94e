/* codec/numeric_int.h - what the files of the numeric codec share: the shape
 * of rows of text, numbers in decimal, dates, and columns of integers.
 * Any thread. */
#ifndef NQ_CODEC_NUMERIC_INT_H
#define NQ_CODEC_NUMERIC_INT_H

#include "base/buf.h"
#include "base/cursor.h"
#include "codec/numeric.h"

#define NUMERIC_COLUMNS 64u   /* numbers in a row, at most */
#define NUMERIC_LITERALS 512u /* bytes beside the numbers, at most */
#define NUMERIC_DIGITS 19u    /* of a number, at most */
/* A row at its longest: sign, point and padding with each number. */
#define NUMERIC_ROW (NUMERIC_LITERALS + NUMERIC_COLUMNS * 48)

enum numeric_kind { NUMERIC_TEXT = 1, NUMERIC_BINARY = 2 };

/* --- numbers in decimal (numeric_row.c)
 * ----------------------------------------------------------------------- */

/* A number as it stands in the text. */
struct numeric_token {
    int64_t digits; /* all of them, without the point */
    uint8_t whole;  /* digits before the point */
    uint8_t fraction;
    bool is_padded; /* begins with a 0 that means nothing */
};

/* How the numbers of a column are written: `width` digits before the point at
 * least, `most` behind it less zeros at the end, of which those up to `least`
 * stay.  A number is then an integer, in units of 10^-most. */
struct numeric_format {
    uint8_t width, least, most;
};

/* 10^n, n at most 18. */
int64_t numeric_power(unsigned n);
/* Whether a number begins at p, which is inside of [begin, end). */
bool numeric_begins(const uint8_t *begin, const uint8_t *p, const uint8_t *end);
/* Reads it; returns where it ends, or NULL: it has too many digits. */
const uint8_t *numeric_parse(const uint8_t *begin, const uint8_t *p,
                             const uint8_t *end, struct numeric_token *t);
/* Writes `v` and returns where it ends; at most 48 bytes. */
char *numeric_render(char *dst, const struct numeric_format *f, int64_t v);

/* --- rows (numeric_row.c)
 * ----------------------------------------------------------------------- */

/* literal[0] number literal[1] ... number literal[columns]; then, in the text,
 * the separator. */
struct numeric_shape {
    uint8_t separator;
    unsigned columns;
    struct slice literal[NUMERIC_COLUMNS + 1]; /* borrowed */
};

/* The shape of one row; false: it has no number, or too much of something. */
bool numeric_shape_of(struct slice row, struct numeric_shape *s);
/* The numbers of a row of that shape, one for each column; false: it has
 * another shape. */
bool numeric_row_parse(struct slice row, const struct numeric_shape *s,
                       struct numeric_token *tokens);
/* Row number `i` of the columns as text, with its separator; returns how many
 * bytes, at most NUMERIC_ROW + 1. */
size_t numeric_row_render(char *dst, const struct numeric_shape *s,
                          const struct numeric_format *formats,
                          int64_t *const *columns, size_t i);

void numeric_shape_put(struct buf *out, const struct numeric_shape *s,
                       const struct numeric_format *formats);
/* False: it makes no sense.  The literals are borrowed from the input. */
bool numeric_shape_get(struct cursor *in, struct numeric_shape *s,
                       struct numeric_format *formats);

/* --- dates (numeric_date.c)
 * ----------------------------------------------------------------------- */

/* How many columns from number `at` on are year, month, day, and perhaps hour,
 * minute and second: 0, 3, 5 or 6. */
unsigned numeric_date_parts(const struct numeric_shape *s,
                            const struct numeric_format *formats,
                            int64_t *const *columns, size_t n, unsigned at);
/* Makes one number of them, in the first column: days, minutes or parts of
 * seconds; and back.  Any number can be taken apart: what comes out is then
 * some date. */
void numeric_date_join(int64_t *const *columns, size_t n, unsigned parts,
                       unsigned most);
void numeric_date_split(int64_t *const *columns, size_t n, unsigned parts,
                        unsigned most);
/* Fractions of seconds have at most so many digits. */
#define NUMERIC_DATE_MOST 6u

/* --- columns (numeric_column.c)
 * ----------------------------------------------------------------------- */

/* Appends `n` integers, packed. */
void numeric_column_put(struct buf *out, const int64_t *v, size_t n,
                        unsigned level);
/* Reads that many; false: they are not there.  They are any integers. */
bool numeric_column_get(struct cursor *in, int64_t *v, size_t n);

/* --- kinds of blocks
 * ----------------------------------------------------------------------- */

/* numeric_text.c: append a block; false: it is none. */
bool numeric_text_put(struct buf *out, struct slice src, unsigned level);
bool numeric_text_get(struct cursor *in, uint8_t *dst, size_t raw_len);
/* numeric_binary.c */
bool numeric_binary_put(struct buf *out, struct slice src, unsigned level);
bool numeric_binary_get(struct cursor *in, uint8_t *dst, size_t raw_len);

static inline uint64_t
zigzag(int64_t v)
{
    return (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
}

static inline int64_t
unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1 ^ -(v & 1));
}

#endif
