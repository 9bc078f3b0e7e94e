/* server/toml.h - reads the part of TOML that settings need.
 *
 * Read: comments, [tables] with dotted names, keys that are bare, quoted or
 * dotted, "basic" and 'literal' strings on one line, integers (decimal, with
 * _), floats, booleans, arrays of scalars (over several lines, too).
 * Refused, by name and line: multi-line strings, inline tables, arrays of
 * tables, nested arrays, dates, hexadecimal, octal and binary numbers.
 * Any thread. */
#ifndef NQ_SERVER_TOML_H
#define NQ_SERVER_TOML_H

#include "base/rc.h"
#include "base/slice.h"

#define TOML_MAX_KEY 256    /* bytes of a dotted name */
#define TOML_MAX_VALUE 4096 /* bytes of a value as text */
#define TOML_MAX_FILE (1 << 20)

struct toml_item {
    const char *key;    /* tables and key joined by dots */
    struct slice value; /* strings decoded, array elements joined by blanks */
    unsigned line;
    size_t at, len; /* of the value in the text, for replacing it */
};

struct toml_error {
    unsigned line;
    char text[160];
};

/* Calls fn for each key in the order of the text, and for each table header
 * with value.p NULL and at/len of its line; stops when it fails and returns
 * that.  Slices live until fn returns.  NQ_EINVAL: err is set. */
NQ_MUST_USE nq_rc toml_parse(struct slice text,
                             nq_rc (*fn)(void *arg,
                                         const struct toml_item *item),
                             void *arg, struct toml_error *err);

#endif
