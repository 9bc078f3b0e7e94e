/* query/wildcard.h - patterns of LIKE and GLOB, compiled.
 *
 * A pattern is never changed: any thread may match by it. */
#ifndef NQ_QUERY_WILDCARD_H
#define NQ_QUERY_WILDCARD_H

#include <stdbool.h>

#include "base/slice.h"

struct wildcard;

/* LIKE: % any run, _ one character (of UTF-8; else a byte), \x is x.
 * GLOB: as KEYS (slice_glob). */
struct wildcard *wildcard_new_like(struct slice pattern);
struct wildcard *wildcard_new_glob(struct slice pattern);
void wildcard_free(struct wildcard *w); /* of NULL: does nothing */
size_t wildcard_bytes(const struct wildcard *w);

enum wildcard_result {
    WILDCARD_NO,
    WILDCARD_YES,
    WILDCARD_TOO_LONG /* given up: the work is bounded, some steps a byte */
};
enum wildcard_result wildcard_match(const struct wildcard *w, struct slice s);

/* What all matches begin with, borrowed; *is_rest: and everything that begins
 * so matches. */
struct slice wildcard_prefix(const struct wildcard *w, bool *is_rest);

#endif
