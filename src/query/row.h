/* query/row.h - a key and its value, as a query sees them.
 *
 * Any thread; a row borrows everything it tells.  Who fills one in says what
 * is at hand by `has`: a program needs what program_needs() says, no more. */
#ifndef NQ_QUERY_ROW_H
#define NQ_QUERY_ROW_H

#include <stdint.h>

#include "query/value.h"

/* What of a row is wanted, or there. */
enum row_part {
    ROW_KEY = 1 << 0,   /* always there, as are type and expiry */
    ROW_LEN = 1 << 1,   /* $len: bytes of a string, elements of the others */
    ROW_VALUE = 1 << 2, /* the bytes of a string: $value and JSON paths */
    ROW_FIELDS = 1 << 3 /* of a hash */
};

struct row {
    struct slice key;
    const char *type; /* "string", "hash" ... as TYPE answers; static */
    bool is_hash;
    uint8_t has;        /* enum row_part */
    uint64_t expire_ms; /* 0: never */
    uint64_t now_ms;    /* $ttl is the difference, in seconds, -1: none */
    uint64_t len;
    struct slice value;
    /* Of a hash: the value of the field, borrowed; false: there is none. */
    bool (*field)(const struct row *r, struct slice name, struct slice *out);
    /* All fields, in the order of the hash; fn false: no more. */
    void (*each_field)(const struct row *r,
                       bool (*fn)(void *arg, struct slice name,
                                  struct slice value),
                       void *arg);
    const void *arg; /* for these */
};

/* Memory of a thread that reads rows: the JSON of the last one, texts without
 * their escapes.  Bounded by the longest value that it met. */
struct row_scratch;
struct row_scratch *row_scratch_new(void);
void row_scratch_free(struct row_scratch *s); /* of NULL: does nothing */
/* Another row comes: what was read of the last one is void. */
void row_scratch_next(struct row_scratch *s);

#endif
