/* query/value.h - what an operand of a WHERE is while it is evaluated.
 *
 * Any thread.  A text is borrowed from the row, the program or the scratch
 * that it came from.
 *
 * Types meet as in SQL with one addition, the bytes that a key, $value or a
 * field of a hash holds: Redis gives them no type, so they are a number beside
 * a number and a text beside a text; beside other bytes they are numbers if
 * both are, else texts.  All else that differs in type compares as unknown:
 * neither is less, equal or greater.  NULL and a missing path too. */
#ifndef NQ_QUERY_VALUE_H
#define NQ_QUERY_VALUE_H

#include <stdbool.h>

#include "base/slice.h"

enum value_kind {
    VALUE_MISSING, /* no such field or path */
    VALUE_NULL,    /* of JSON, or the word */
    VALUE_BOOL,
    VALUE_NUMBER, /* integers beyond 2^53 are rounded, as in JSON readers;
                   * what is too great for a double is infinite */
    VALUE_TEXT,
    VALUE_BYTES, /* of no type: see above */
    VALUE_OTHER  /* an object, an array, a number of more than 64 bytes:
                  * exists, compares with nothing */
};

struct value {
    enum value_kind kind;
    bool boolean;
    double number; /* never NaN */
    struct slice text;
};

enum truth { TRUTH_FALSE, TRUTH_TRUE, TRUTH_UNKNOWN };

/* -1, 0, 1; 2: they do not compare.  Texts and bytes as memcmp() has it, the
 * order of keys. */
int value_cmp(const struct value *a, const struct value *b);
/* The number that the bytes are: all of them, in the grammar of JSON and a
 * leading '+', at most 64 bytes; false: none. */
bool value_number_of(struct slice bytes, double *out);

#endif
