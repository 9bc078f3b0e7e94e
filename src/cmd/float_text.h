/* cmd/float_text.h - long doubles as INCRBYFLOAT and HINCRBYFLOAT read and
 * write them.  Pure functions. */
#ifndef NQ_CMD_FLOAT_TEXT_H
#define NQ_CMD_FLOAT_TEXT_H

#include <stdbool.h>

#include "base/slice.h"

#define FLOAT_TEXT_MAX 5200 /* the longest %.17Lf of an x87 long double */

/* The whole slice as a number, without leading spaces; NaN is none, and
 * neither is what is too great or too small to be told. */
bool float_parse(struct slice s, long double *out);
/* 17 digits after the point, trailing zeroes cut; the length. */
size_t float_print(char dst[FLOAT_TEXT_MAX], long double v);

#endif
