/* query/choices.h - the constants of a long IN, sorted, so that looking for a
 * value among them takes steps in proportion to the logarithm of their number.
 *
 * Never changed: any thread may look. */
#ifndef NQ_QUERY_CHOICES_H
#define NQ_QUERY_CHOICES_H

#include "query/value.h"

struct choices;

/* Copies the values, not their texts. */
struct choices *choices_new(const struct value *values, uint32_t n);
void choices_free(struct choices *c); /* of NULL: does nothing */
size_t choices_bytes(const struct choices *c);

/* Whether one of them equals `v`: -1 unknown, else 0 or 1, as comparing with
 * one after the other by value_cmp() would say. */
int choices_have(const struct choices *c, const struct value *v);

#endif
