/* cmd/exact_sum.c - exact addition (J. R. Shewchuk, Adaptive precision
 * floating-point arithmetic and fast robust geometric predicates, 1997).
 *
 * The sum of two doubles is a double and a double error, both exact.  So a sum
 * is kept as a few doubles of which each is the error of the next: adding one
 * more goes through them all.  There are as many as the exponents of doubles
 * are wide, at most: 2098 bits in pieces of 53.
 *
 *   E1  parts do not overlap and rise in magnitude; none is zero
 *   E2  `more`, once there is need of it, holds all of them
 *
 * Called by cmd/aggregate.c. */
#include "cmd/exact_sum.h"

#include <math.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

#define PARTS_MAX 44u
#define PIECE_BITS 32 /* of an integer, added as a double */
#define PIECES 4
#define EXACT_INT 9007199254740992.0 /* all integers up to it are doubles */

void
exact_sum_fini(struct exact_sum *s)
{
    nq_free(s->more);
    s->more = NULL;
    s->count = s->cap = 0;
}

static double *
parts_of(struct exact_sum *s)
{
    return s->more != NULL ? s->more : s->few;
}

void
exact_sum_add_int(struct exact_sum *s, int64_t v)
{
    s->whole += v;
}

static void
make_more(struct exact_sum *s)
{
    s->cap = PARTS_MAX;
    s->more = nq_malloc(s->cap * sizeof *s->more);
    memcpy(s->more, s->few, sizeof s->few);
}

static void
push(struct exact_sum *s, unsigned at, double v)
{
    nq_assert(at < PARTS_MAX);
    if (at == EXACT_SUM_FEW && s->more == NULL)
        make_more(s);
    parts_of(s)[at] = v;
    s->count = (uint8_t)(at + 1);
}

static void
add_part(struct exact_sum *s, double v)
{
    double *parts = parts_of(s);
    unsigned kept = 0;

    for (unsigned i = 0; i < s->count; i++) {
        double part = parts[i], sum, error;

        if (fabs(v) < fabs(part)) {
            double t = v;

            v = part;
            part = t;
        }
        sum = v + part;
        error = part - (sum - v);
        if (error != 0)
            parts[kept++] = error;
        v = sum;
    }
    s->count = (uint8_t)kept;
    if (!isfinite(v)) {
        s->beyond += v;
        s->count = 0;
    } else if (v != 0) {
        push(s, kept, v);
    }
}

void
exact_sum_add(struct exact_sum *s, double v)
{
    nq_dassert(!isnan(v));
    if (fabs(v) <= EXACT_INT && v == floor(v))
        s->whole += (int64_t)v;
    else if (isfinite(v))
        add_part(s, v);
    else
        s->beyond += v;
}

void
exact_sum_join(struct exact_sum *s, const struct exact_sum *other)
{
    s->whole += other->whole;
    s->beyond += other->beyond;
    for (unsigned i = 0; i < other->count; i++)
        add_part(s, other->more != NULL ? other->more[i] : other->few[i]);
}

bool
exact_sum_is_whole(const struct exact_sum *s)
{
    return s->count == 0 && s->beyond == 0;
}

void
exact_sum_text(const struct exact_sum *s, char dst[EXACT_SUM_TEXT])
{
    unsigned __int128 v = s->whole < 0 ? -(unsigned __int128)s->whole
                                       : (unsigned __int128)s->whole;
    char digits[EXACT_SUM_TEXT];
    unsigned n = 0;

    do {
        digits[n++] = (char)('0' + (unsigned)(v % 10));
        v /= 10;
    } while (v != 0);
    if (s->whole < 0)
        *dst++ = '-';
    while (n > 0)
        *dst++ = digits[--n];
    *dst = 0;
}

/* The integers as parts: each piece is exact. */
static void
add_whole(struct exact_sum *s)
{
    __int128 v = s->whole;

    for (int i = 0; i < PIECES && v != 0; i++) {
        int64_t piece = (int64_t)(v % ((__int128)1 << PIECE_BITS));

        v /= (__int128)1 << PIECE_BITS;
        if (piece != 0)
            add_part(s, ldexp((double)piece, i * PIECE_BITS));
    }
    s->whole = 0;
}

/* From the greatest down, until there is an error: it says how the sum was
 * rounded.  If it was a tie, the next part decides. */
static double
round_parts(struct exact_sum *s)
{
    const double *parts = parts_of(s);
    unsigned n = s->count;
    double hi, lo = 0;

    if (n == 0)
        return 0;
    hi = parts[--n];
    while (n > 0 && lo == 0) {
        double v = hi, part = parts[--n];

        hi = v + part;
        lo = part - (hi - v);
    }
    if (n > 0 &&
        ((lo < 0 && parts[n - 1] < 0) || (lo > 0 && parts[n - 1] > 0))) {
        double twice = lo * 2, next = hi + twice;

        if (twice == next - hi)
            hi = next;
    }
    return hi;
}

double
exact_sum_value(const struct exact_sum *s)
{
    struct exact_sum all = {.whole = 0};
    double v;

    exact_sum_join(&all, s);
    add_whole(&all);
    v = all.beyond != 0 || isnan(all.beyond) ? all.beyond : round_parts(&all);
    exact_sum_fini(&all);
    return v;
}
