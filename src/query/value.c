/* query/value.c - numbers out of bytes, and the order of values.
 *
 * Most numbers of data are short decimals: up to 15 digits and a power of ten
 * up to 22, both of which a double holds exactly, so that one multiplication
 * or division gives what strtod() would.  All others are left to strtod(). */
#include "query/value.h"

#include <math.h>
#include <stdlib.h>

#define NUMBER_TEXT_MAX 64u
#define EXACT_DIGITS 15u /* 10^15 < 2^53 */
#define EXACT_POWER 22   /* 10^22 is a double */

/* --- numbers ------------------------------------------------------------- */

/* What was read of a number: digits without the point, and where it was. */
struct decimal {
    const uint8_t *p, *end;
    bool is_negative;
    uint64_t digits; /* exact while count <= EXACT_DIGITS */
    unsigned count;  /* of significant digits */
    int power;       /* of ten */
};

/* Reads digits into d; how many there were. */
static size_t
take_digits(struct decimal *d)
{
    const uint8_t *from = d->p;

    for (; d->p < d->end && (uint8_t)(*d->p - '0') <= 9; d->p++) {
        d->digits = d->digits * 10 + (uint64_t)(*d->p - '0');
        d->count += d->digits != 0;
    }
    return (size_t)(d->p - from);
}

static bool
take_exponent(struct decimal *d)
{
    bool is_negative = false;
    int power = 0;
    const uint8_t *from;

    d->p++;
    if (d->p < d->end && (*d->p == '-' || *d->p == '+'))
        is_negative = *d->p++ == '-';
    from = d->p;
    for (; d->p < d->end && (uint8_t)(*d->p - '0') <= 9; d->p++)
        if (power < 10000)
            power = power * 10 + (*d->p - '0');
    d->power += is_negative ? -power : power;
    return d->p > from;
}

/* The grammar of JSON and a leading '+'. */
static bool
take_number(struct decimal *d)
{
    const uint8_t *from;
    size_t n;

    if (d->p < d->end && (*d->p == '-' || *d->p == '+'))
        d->is_negative = *d->p++ == '-';
    from = d->p;
    n = take_digits(d);
    if (n == 0 || (n > 1 && *from == '0'))
        return false;
    if (d->p < d->end && *d->p == '.') {
        d->p++;
        n = take_digits(d);
        if (n == 0)
            return false;
        d->power = -(int)n;
    }
    if (d->p < d->end && (*d->p | 0x20) == 'e' && !take_exponent(d))
        return false;
    return d->p == d->end;
}

static double
read_slowly(struct slice bytes)
{
    char text[NUMBER_TEXT_MAX + 1];

    memcpy(text, bytes.p, bytes.len);
    text[bytes.len] = '\0';
    return strtod(text, NULL);
}

bool
value_number_of(struct slice bytes, double *out)
{
    static const double powers[EXACT_POWER + 1] = {
        1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    struct decimal d = {.p = bytes.p, .end = bytes.p + bytes.len};
    double v;

    if (bytes.len == 0 || bytes.len > NUMBER_TEXT_MAX || !take_number(&d))
        return false;
    if (d.count > EXACT_DIGITS || abs(d.power) > EXACT_POWER) {
        *out = read_slowly(bytes);
        return true;
    }
    v = (double)d.digits;
    v = d.power < 0 ? v / powers[-d.power] : v * powers[d.power];
    *out = d.is_negative ? -v : v;
    return true;
}

/* --- order --------------------------------------------------------------- */

static int
cmp_numbers(double a, double b)
{
    return a < b ? -1 : a > b;
}

static int
cmp_texts(struct slice a, struct slice b)
{
    int c = slice_cmp(a, b);

    return c < 0 ? -1 : c > 0;
}

static bool
is_textual(enum value_kind k)
{
    return k == VALUE_TEXT || k == VALUE_BYTES;
}

/* The number that a value can be. */
static bool
as_number(const struct value *v, double *out)
{
    if (v->kind == VALUE_BYTES)
        return value_number_of(v->text, out);
    *out = v->number;
    return v->kind == VALUE_NUMBER;
}

int
value_cmp(const struct value *a, const struct value *b)
{
    double x, y;

    if (a->kind == VALUE_TEXT || b->kind == VALUE_TEXT) {
        if (!is_textual(a->kind) || !is_textual(b->kind))
            return 2;
        return cmp_texts(a->text, b->text);
    }
    if (as_number(a, &x) && as_number(b, &y))
        return cmp_numbers(x, y);
    if (a->kind == VALUE_BYTES && b->kind == VALUE_BYTES)
        return cmp_texts(a->text, b->text);
    if (a->kind == VALUE_BOOL && b->kind == VALUE_BOOL)
        return (int)a->boolean - (int)b->boolean;
    return 2;
}
