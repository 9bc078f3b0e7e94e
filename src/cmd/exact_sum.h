/* cmd/exact_sum.h - sums of numbers that come out the same in any order.
 *
 * Integers are added as integers.  All else is added without any error, and
 * rounded once, when the sum is asked for: so it does not matter how the rows
 * were dealt out to workers.  One thread a sum. */
#ifndef NQ_CMD_EXACT_SUM_H
#define NQ_CMD_EXACT_SUM_H

#include <stdbool.h>
#include <stdint.h>

#define EXACT_SUM_TEXT 48 /* bytes of one in decimal, with the zero */

#define EXACT_SUM_FEW 4 /* parts that need no memory of their own */

/* Zeroed: nothing was added. */
struct exact_sum {
    __int128 whole;
    double few[EXACT_SUM_FEW];
    double *more;       /* NULL: the parts are in `few` */
    uint8_t count, cap; /* cap: of `more` */
    double beyond;      /* infinities that were added */
};

void exact_sum_fini(struct exact_sum *s); /* needed if it has `more` */
void exact_sum_add_int(struct exact_sum *s, int64_t v);
void exact_sum_add(struct exact_sum *s, double v); /* never NaN */
void exact_sum_join(struct exact_sum *s, const struct exact_sum *other);

/* Nothing but integers was added; the sum in decimal. */
bool exact_sum_is_whole(const struct exact_sum *s);
void exact_sum_text(const struct exact_sum *s, char dst[EXACT_SUM_TEXT]);
/* The double nearest to the sum; what is beyond all is infinite, and NaN if
 * both infinities were added. */
double exact_sum_value(const struct exact_sum *s);

#endif
