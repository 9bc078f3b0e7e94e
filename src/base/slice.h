/* base/slice.h - borrowed bytes: a pointer and a length.  Never owns. */
#ifndef NQ_BASE_SLICE_H
#define NQ_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *p;
    size_t len;
};

#define slice_lit(s) ((struct slice){(const uint8_t *)(s), sizeof(s) - 1})

static inline struct slice
slice_of(const void *p, size_t len)
{
    return (struct slice){p, len};
}

static inline struct slice
slice_str(const char *s)
{
    return (struct slice){(const uint8_t *)s, strlen(s)};
}

/* Bytewise order, a prefix before what it is a prefix of: <0, 0, >0. */
static inline int
slice_cmp(struct slice a, struct slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n == 0 ? 0 : memcmp(a.p, b.p, n);

    if (c != 0)
        return c;
    return a.len < b.len ? -1 : a.len > b.len;
}

static inline bool
slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline bool
slice_has_prefix(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len &&
           (prefix.len == 0 || memcmp(s.p, prefix.p, prefix.len) == 0);
}

/* ASCII case-insensitive equality with a C string, as RESP options need. */
bool slice_is(struct slice s, const char *word);

/* Redis' string2ll: the whole slice is one canonical decimal int64 (no
 * spaces, no plus, no leading zeros, no "-0"). */
bool slice_to_i64(struct slice s, int64_t *out);

/* Decimal text of `v`; `dst` holds at least 21 bytes; returns the length. */
size_t i64_to_text(char *dst, int64_t v);
size_t u64_to_text(char *dst, uint64_t v);

/* Redis' glob: * ? [a-z] [^a] \x; linear in the pattern for each start, with
 * a bound on work so that no pattern can stall the loop. */
bool slice_glob(struct slice pattern, struct slice s, bool nocase);

#endif
