/* cmd/float_text.c - numbers that are computed in long double and printed with
 * 17 digits after the point, so that clients see what Redis shows them.
 * Called by the handlers of counters. */
#include "cmd/float_text.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

bool
float_parse(struct slice s, long double *out)
{
    char text[FLOAT_TEXT_MAX], *end;

    if (s.len == 0 || s.len >= sizeof text || isspace(s.p[0]))
        return false;
    memcpy(text, s.p, s.len);
    text[s.len] = '\0';
    errno = 0;
    *out = strtold(text, &end);
    return end == text + s.len && !isnan(*out) &&
           !(errno == ERANGE && (isinf(*out) || *out == 0));
}

size_t
float_print(char dst[FLOAT_TEXT_MAX], long double v)
{
    size_t n = (size_t)snprintf(dst, FLOAT_TEXT_MAX, "%.17Lf", v);

    while (dst[n - 1] == '0')
        n--;
    if (dst[n - 1] == '.')
        n--;
    if (n == 2 && dst[0] == '-' && dst[1] == '0') {
        dst[0] = '0';
        n = 1;
    }
    return n;
}
